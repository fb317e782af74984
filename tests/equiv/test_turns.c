/* What: several contexts of one engine at work together (engine/turns.h) give the bytes that each gives alone. How: every
 * answer is first made alone, without guesses. Then threads make all of them at once, each in its own order and with its
 * own kind of guessing, as different users and classes, with chunks of different sizes; tokens, text, quotations and
 * log-probabilities are compared. Small models of every kind, and SmolLM2 with quotations. How many answers shared a step is
 * counted: a test in which nobody met would prove nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/rng.h"
#include "base/size.h"
#include "engine/engine_priv.h"
#include "engine/speculate.h"
#include "golden/synthetic.h"
#include "support/model_writer.h"
#include "support/must.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

enum { N_CTX = 192, N_THREADS = 5, REQUESTS_MAX = 16, SEED = 17 };

/* ---- the same answers, alone and together ---- */

struct crowd {
    struct kt_engine *e;
    struct kt_generate_request rq[REQUESTS_MAX];
    struct kt_generate_result alone[REQUESTS_MAX];
    size_t n;
};

struct member {
    struct crowd *crowd;
    size_t idx;
    pthread_t thread;
    struct kt_context *context;
    struct kt_generate_result got[REQUESTS_MAX];
    enum kt_status st;
    struct kt_error err;
};

static struct kt_context *make_context(struct kt_engine *e, size_t idx)
{
    static const enum kt_speculate KINDS[N_THREADS] = { KT_SPECULATE_OFF, KT_SPECULATE_AUTO,
                                                        KT_SPECULATE_LOOKUP, KT_SPECULATE_AUTO,
                                                        KT_SPECULATE_OFF };
    static const size_t BATCH[N_THREADS] = { 0, 7, 64, 5, 33 };
    struct kt_context *c;
    struct kt_context_options o = { .n_ctx = N_CTX,
                                    .speculate = KINDS[idx],
                                    .n_batch = BATCH[idx] };
    must(kt_context_create(&c, e, &o, &err));
    if (c->guessing && idx < 3)
        speculation_be_eager(c->guessing);
    if (idx != 4)
        kt_context_share(c, (enum kt_class)(idx % 3), (int64_t)idx / 2);
    return c;
}

static void *work(void *arg)
{
    struct member *m = arg;
    const struct crowd *c = m->crowd;
    for (size_t i = 0; i < c->n && !m->st; i++) {
        size_t k = (i + 3 * m->idx) % c->n; /* others at other prompts */
        m->st = kt_generate(m->context, &c->rq[k], &m->got[k], &m->err);
    }
    return NULL;
}

static void compare(const char *name, const struct member *m)
{
    for (size_t i = 0; i < m->crowd->n; i++) {
        const struct kt_generate_result *want = &m->crowd->alone[i], *got = &m->got[i];
        if (want->n_tokens != got->n_tokens || want->finish != got->finish ||
            memcmp(want->tokens, got->tokens, want->n_tokens * sizeof(*want->tokens)) != 0 ||
            memcmp(&want->mean_logprob, &got->mean_logprob, sizeof(float)) != 0 ||
            strcmp(want->text, got->text) != 0)
            fail_msg("%s, thread %zu, request %zu (seed %d): another answer than alone", name,
                     m->idx, i, SEED);
        assert_int_equal(want->n_quotes, got->n_quotes);
        if (want->n_quotes)
            assert_memory_equal(want->quotes, got->quotes, want->n_quotes * sizeof(*want->quotes));
    }
}

static void together(const char *name, struct crowd *c)
{
    struct kt_context *plain;
    must(kt_context_create(
        &plain, c->e, &(struct kt_context_options){ .n_ctx = N_CTX, .speculate = KT_SPECULATE_OFF },
        &err));
    for (size_t i = 0; i < c->n; i++)
        must(kt_generate(plain, &c->rq[i], &c->alone[i], &err));
    struct turns_counts before, after;
    struct member m[N_THREADS] = { 0 };
    turns_count(c->e->turns, &before);
    for (size_t i = 0; i < N_THREADS; i++) {
        m[i] = (struct member){ .crowd = c, .idx = i, .context = make_context(c->e, i) };
        assert_int_equal(pthread_create(&m[i].thread, NULL, work, &m[i]), 0);
    }
    size_t right = 0;
    for (size_t i = 0; i < N_THREADS; i++) {
        pthread_join(m[i].thread, NULL);
        if (m[i].st)
            fail_msg("%s, thread %zu: %s", name, i, m[i].err.text);
        compare(name, &m[i]);
        for (size_t k = 0; k < c->n; k++) {
            right += m[i].got[k].lookup.right + m[i].got[k].mtp.right;
            kt_generate_result_deinit(&m[i].got[k]);
        }
        kt_context_destroy(m[i].context);
    }
    turns_count(c->e->turns, &after);
    size_t n_steps = (size_t)(after.n_steps - before.n_steps),
           n_spans = (size_t)(after.n_spans - before.n_spans);
    print_message("  %s: %zu spans in %zu steps, %zu guesses right\n", name, n_spans, n_steps,
                  right);
    if (n_spans < n_steps * 3 / 2 || right == 0)
        fail_msg("%s: %zu spans in %zu steps, %zu guesses right: they hardly met", name, n_spans,
                 n_steps, right);
    kt_context_destroy(plain);
    for (size_t i = 0; i < c->n; i++)
        kt_generate_result_deinit(&c->alone[i]);
}

static struct kt_sampling some_sampling(size_t i)
{
    static const struct kt_sampling KINDS[] = {
        { .temperature = 0 },
        { .temperature = 0.8f, .seed = 5 },
        { .temperature = 1.3f, .top_k = 40, .top_p = 0.9f, .seed = 77 },
    };
    return KINDS[i % ARRAY_LEN(KINDS)];
}

/* ---- small models ---- */

/* Of whose ids n_real may be produced. */
static struct kt_engine *open_small(const char *name, size_t n_real)
{
    char *dir = temp_dir_make(), path[512];
    struct kt_engine *e;
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    synth_write_gguf_of(synth_named(name), path, QT_Q8_0, n_real);
    must(kt_engine_open(&e, path, &(struct kt_engine_options){ .n_threads = 1 }, &err));
    temp_dir_remove(dir); /* the mapping stays */
    return e;
}

static void small_models(void **state)
{
    (void)state;
    static const char *const NAMES[] = { "qwen35-r4", "moe-r4", "llama-tied" };
    for (size_t k = 0; k < ARRAY_LEN(NAMES); k++) {
        struct crowd c = { .e = open_small(NAMES[k], 6), .n = SANITIZED ? 2 : 4 };
        int32_t prompts[REQUESTS_MAX][N_CTX];
        struct rng rng;
        rng_init(&rng, SEED);
        for (size_t i = 0; i < c.n; i++) {
            size_t n = i % 4 != 1 ? 3 + rng_below(&rng, 30) : 140;
            for (size_t t = 0; t < n; t++)
                prompts[i][t] = (int32_t)rng_below(&rng, 6);
            c.rq[i] = (struct kt_generate_request){ .prompt = prompts[i],
                                                    .n_prompt = n,
                                                    .n_max = 6 + rng_below(&rng, 16),
                                                    .sampling = some_sampling(i) };
        }
        together(NAMES[k], &c);
        kt_engine_close(c.e);
    }
}

#if !SANITIZED

/* ---- a real model ---- */

static void smollm2_with_quotations(void **state)
{
    (void)state;
    const char *data = getenv("KONTOR_TESTDATA"), *source = getenv("KONTOR_SOURCE");
    if (!data || !source)
        fail_msg("KONTOR_TESTDATA and KONTOR_SOURCE are not set; run through ctest");
    char path[1024];
    struct buf text = { 0 };
    snprintf(path, sizeof(path), "%s/tests/golden/smollm2.txt", source);
    must(file_read(&text, path, 1 << 20, &err));
    snprintf(path, sizeof(path), "%s/SmolLM2-135M-Instruct.Q4_1.gguf", data);
    struct crowd c = { .n = 2 };
    must(kt_engine_open(&c.e, path, NULL, &err));
    int32_t *ids[REQUESTS_MAX] = { NULL };
    struct kt_quote_source sources[REQUESTS_MAX];
    for (size_t i = 0; i < c.n; i++) {
        char prompt[1024];
        size_t from = 700 * i, n_bytes = 120;
        while (((uint8_t)text.ptr[from] & 0xC0) == 0x80)
            from++;
        int n = snprintf(prompt, sizeof(prompt),
                         "<|im_start|>user\n%.*s\n\nRepeat this text word for word.<|im_end|>\n"
                         "<|im_start|>assistant\n%s",
                         (int)n_bytes, text.ptr + from, i % 2 ? "" : "It says: \"");
        size_t n_ids;
        must(kt_tokenize(c.e, prompt, (size_t)n, KT_TOKENS_SPECIAL, &ids[i], &n_ids, &err));
        sources[i] = (struct kt_quote_source){ text.ptr + from, n_bytes };
        c.rq[i] = (struct kt_generate_request){ .prompt = ids[i],
                                                .n_prompt = n_ids,
                                                .n_max = 12,
                                                .sampling = some_sampling(i),
                                                .quotes = i % 2 ? NULL : &sources[i],
                                                .n_quotes = i % 2 ? 0 : 1,
                                                .start_in_quote = i % 2 == 0,
                                                .quote_min_bytes = i % 2 ? 0 : 30 };
    }
    together("SmolLM2", &c);
    for (size_t i = 0; i < c.n; i++)
        free(ids[i]);
    buf_deinit(&text);
    kt_engine_close(c.e);
}

#endif

/* ---- one step ---- */

struct poster {
    struct turn_seat seat;
    struct model_state *state;
    bool prompt;
    int32_t tokens[8];
    size_t n_taken;
    float *logits;
    enum kt_status st;
    struct kt_error err;
    pthread_t thread;
};

static void *post(void *arg)
{
    struct poster *p = arg;
    struct model_span span = { .state = p->state,
                               .tokens = p->tokens,
                               .n_tokens = 8,
                               .logits_of = OUT_LAST,
                               .logits = p->logits };
    p->st = turns_step(&p->seat, &span, !p->prompt, &p->n_taken, NULL, &p->err);
    return NULL;
}

/* Three post for one step (nobody can begin it before all have: the threads are taken), and the second's state is
 * full. It alone is told so. */
static void one_fails_and_no_other(void **state)
{
    (void)state;
    struct kt_engine *e = open_small("llama-tied", 6);
    struct poster p[3] = { 0 };
    struct turns_counts n;
    must(turns_reserve(e->turns, 64, &err));
    turns_enter(e->turns, NULL);
    for (size_t i = 0; i < 3; i++) {
        must(model_state_create(&p[i].state, e->model, i == 1 ? 4 : 32,
                                engine_state_types(KT_KV_F16, KT_STATE_F32), &err));
        p[i].logits = calloc(SYNTH_VOCAB, sizeof(float));
        turns_sit(e->turns, &p[i].seat);
        assert_int_equal(pthread_create(&p[i].thread, NULL, post, &p[i]), 0);
        do
            turns_count(e->turns, &n);
        while (n.n_waiting < i + 1);
    }
    turns_exit(e->turns);
    for (size_t i = 0; i < 3; i++)
        pthread_join(p[i].thread, NULL);
    turns_count(e->turns, &n);
    assert_int_equal(n.n_steps, 1);
    assert_int_equal(n.n_spans, 3);
    assert_int_equal(p[1].st, KT_E_LIMIT);
    assert_int_equal(model_state_n_past(p[1].state), 0);
    for (size_t i = 0; i < 3; i += 2) {
        assert_int_equal(p[i].st, KT_OK);
        assert_int_equal(p[i].n_taken, 8);
        assert_int_equal(model_state_n_past(p[i].state), 8);
    }
    assert_memory_equal(p[0].logits, p[2].logits, SYNTH_VOCAB * sizeof(float));
    for (size_t i = 0; i < 3; i++) {
        turns_stand_up(&p[i].seat);
        model_state_destroy(p[i].state);
        free(p[i].logits);
    }
    turns_unreserve(e->turns);
    kt_engine_close(e);
}

/* A prompt that nobody can read comes back to its owner, who may have left; the next time it is read. */
static void a_prompt_is_not_held(void **state)
{
    (void)state;
    struct kt_engine *e = open_small("llama-tied", 6);
    struct poster p = { .prompt = true };
    must(turns_reserve(e->turns, 64, &err));
    must(model_state_create(&p.state, e->model, 32, engine_state_types(KT_KV_F16, KT_STATE_F32),
                            &err));
    p.logits = calloc(SYNTH_VOCAB, sizeof(float));
    turns_sit(e->turns, &p.seat);
    turns_enter(e->turns, NULL); /* all along */
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&p.thread, NULL, post, &p), 0);
        pthread_join(p.thread, NULL);
        assert_int_equal(p.st, KT_OK);
        assert_int_equal(p.n_taken, 0);
        assert_int_equal(model_state_n_past(p.state), 0);
    }
    turns_exit(e->turns);
    post(&p);
    assert_int_equal(p.st, KT_OK);
    assert_int_equal(p.n_taken, 8);
    assert_int_equal(p.seat.order, 1); /* its place all the time */
    turns_stand_up(&p.seat);
    model_state_destroy(p.state);
    free(p.logits);
    turns_unreserve(e->turns);
    kt_engine_close(e);
}

/* ---- memory ---- */

/* Contexts of one engine share the memory of steps; kt_context_bytes() says so. */
static void scratch_is_made_once(void **state)
{
    (void)state;
    struct kt_engine *e = open_small("qwen35-r4", 6);
    struct kt_context *c[3];
    struct kt_context_options o = { .n_ctx = 256, .n_batch = 64 }, wide = { .n_ctx = 256 };
    uint64_t all, shared;
    must(kt_context_create(&c[0], e, &o, &err));
    must(kt_context_create(&c[1], e, &wide, &err));
    must(kt_context_create(&c[2], e, &o, &err));
    struct model_run *run = turns_enter(e->turns, NULL);
    assert_int_equal(model_run_n_batch(run), 256);
    turns_exit(e->turns);
    must(kt_context_bytes(e, &wide, &all, &err));
    must(kt_context_shared_bytes(e, &wide, &shared, &err));
    assert_true(shared > 0 && shared < all);
    for (size_t i = 0; i < 3; i++)
        kt_context_destroy(c[i]);
    assert_null(turns_enter(e->turns, NULL)); /* gone with the last */
    turns_exit(e->turns);
    kt_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_models),
#if !SANITIZED
        cmocka_unit_test(smollm2_with_quotations), /* half a minute there, by the same code */
#endif
        cmocka_unit_test(one_fails_and_no_other),
        cmocka_unit_test(a_prompt_is_not_held),
        cmocka_unit_test(scratch_is_made_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
