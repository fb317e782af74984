/* Goal: guessing changes the speed and nothing else. Method: the same requests to a context that never
 * guesses and to contexts that do, most of them told to verify every guess; tokens, text, quotations,
 * log-probabilities, what is kept for the next request, and the answer to that one, must be equal, byte
 * by byte. Small models of random weights (recurrent ones with the multi-token head, dense and with
 * experts, and one without recurrence), with six ids that may be produced so that guesses come true
 * often by chance, and with all; and SmolLM2 with quote sources and stop strings. Greedy and sampled.
 * Then frequencies of sampled answers against the probabilities they should have. Guesses that were
 * right and guesses that were wrong are counted: there must be many of both. With an argument: the long
 * run, that many requests to each. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/rng.h"
#include "base/size.h"
#include "engine/engine_priv.h"
#include "engine/head.h"
#include "engine/speculate.h"
#include "golden/synthetic.h"
#include "support/model_writer.h"
#include "support/must.h"

enum { N_CTX = 160, N_ANSWER = 24, SEED = 31 };

static size_t n_real_requests = 6, n_small_requests = 20;

static struct kt_context *context(struct kt_engine *e, enum kt_speculate kind, bool eager)
{
    struct kt_context *c;
    struct kt_context_options o = { .n_ctx = N_CTX, .speculate = kind };
    must(kt_context_create(&c, e, &o, &err));
    if (eager)
        speculation_be_eager(c->guessing);
    return c;
}

static struct kt_generate_result ask(struct kt_context *c, const struct kt_generate_request *rq)
{
    struct kt_generate_result r;
    must(kt_generate(c, rq, &r, &err));
    return r;
}

static void same(const char *what, size_t i, const struct kt_generate_result *want,
                 const struct kt_generate_result *got)
{
    if (want->n_tokens != got->n_tokens ||
        memcmp(want->tokens, got->tokens, want->n_tokens * sizeof(*want->tokens)) != 0)
        fail_msg("%s, request %zu (seed %d): other tokens; '%s', expected '%s'", what, i, SEED,
                 got->text, want->text);
    if (strcmp(want->text, got->text) != 0 || want->finish != got->finish ||
        memcmp(&want->mean_logprob, &got->mean_logprob, sizeof(float)) != 0)
        fail_msg("%s, request %zu (seed %d): text, end or log-probability differ", what, i, SEED);
    if (want->tokens_cached != got->tokens_cached)
        fail_msg("%s, request %zu: %zu tokens were kept, expected %zu", what, i, got->tokens_cached,
                 want->tokens_cached);
    assert_int_equal(want->n_quotes, got->n_quotes);
    if (want->n_quotes)
        assert_memory_equal(want->quotes, got->quotes, want->n_quotes * sizeof(*want->quotes));
    assert_true(got->lookup.right <= got->lookup.tried && got->mtp.right <= got->mtp.tried);
    /* A right guess is a step less. */
    assert_int_equal(got->n_steps + got->lookup.right + got->mtp.right, want->n_steps);
}

/* What a context that guesses did in all. */
struct tally {
    struct kt_guesses lookup, mtp;
    size_t n_requests;
};

static void count(struct tally *t, const struct kt_generate_result *r)
{
    t->lookup.tried += r->lookup.tried;
    t->lookup.right += r->lookup.right;
    t->mtp.tried += r->mtp.tried;
    t->mtp.right += r->mtp.right;
    t->n_requests++;
}

static void enough(const char *name, const char *kind, struct kt_guesses g, size_t least)
{
    if (g.right < least || g.tried - g.right < least)
        fail_msg("%s: %zu of %zu guesses by %s were right; too few of a kind to prove anything",
                 name, g.right, g.tried, kind);
}

/* ---- small models ---- */

/* n_real ids of SYNTH_VOCAB may be produced. */
static struct kt_engine *open_small(const char *name, enum qtype mats, size_t n_real)
{
    char *dir = temp_dir_make(), path[512];
    struct kt_engine *e;
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    synth_write_gguf_of(synth_named(name), path, mats, n_real);
    must(kt_engine_open(&e, path, &(struct kt_engine_options){ .n_threads = 1 }, &err));
    temp_dir_remove(dir); /* the mapping stays */
    return e;
}

/* Noise, of which parts come again. */
static size_t make_prompt(int32_t *out, size_t n_real, struct rng *rng)
{
    size_t n = 5 + rng_below(rng, 40);
    for (size_t i = 0; i < n;) {
        size_t run = 1 + rng_below(rng, 9), from = i ? rng_below(rng, i) : 0;
        bool again = i > 4 && rng_below(rng, 2);
        for (size_t k = 0; k < run && i < n; k++, i++)
            out[i] = again ? out[from + k] : (int32_t)rng_below(rng, n_real);
    }
    return n;
}

static struct kt_sampling some_sampling(struct rng *rng)
{
    static const struct kt_logit_bias BIAS = { 1, 1.5f };
    static const struct kt_sampling KINDS[] = {
        { .temperature = 0 },
        { .temperature = 0 },
        { .temperature = 0.7f },
        { .temperature = 1.4f, .top_k = 40, .top_p = 0.9f },
        { .temperature = 0.9f, .min_p = 0.05f, .presence_penalty = 1.5f },
        { .temperature = 0.8f, .frequency_penalty = 0.5f, .biases = &BIAS, .n_biases = 1 },
        { .frequency_penalty = 0.3f },
    };
    struct kt_sampling s = KINDS[rng_below(rng, ARRAY_LEN(KINDS))];
    s.seed = rng_u64(rng);
    return s;
}

struct roads {
    const char *name;
    enum kt_speculate kind;
    bool eager;
};
static const struct roads ROADS[] = {
    { "all guesses", KT_SPECULATE_AUTO, true },
    { "the head's", KT_SPECULATE_MTP, true },
    { "the text's", KT_SPECULATE_LOOKUP, true },
    { "what pays", KT_SPECULATE_AUTO, false },
};

static void compare_small(const char *name, enum qtype mats, size_t n_real, size_t n_requests)
{
    struct kt_engine *e = open_small(name, mats, n_real);
    bool has_head = model_has_mtp(e->model);
    struct kt_context *plain = context(e, KT_SPECULATE_OFF, false);
    struct kt_context *guessing[ARRAY_LEN(ROADS)] = { 0 };
    struct tally t[ARRAY_LEN(ROADS)] = { 0 };
    for (size_t r = 0; r < ARRAY_LEN(ROADS); r++)
        if (ROADS[r].kind != KT_SPECULATE_MTP || has_head)
            guessing[r] = context(e, ROADS[r].kind, ROADS[r].eager);
    struct rng rng;
    rng_init(&rng, SEED);
    for (size_t i = 0; i < n_requests; i++) {
        int32_t prompt[N_CTX];
        size_t n = make_prompt(prompt, n_real, &rng);
        struct kt_generate_request rq = { .prompt = prompt,
                                          .n_prompt = n,
                                          .n_max = 1 + rng_below(&rng, N_ANSWER),
                                          .sampling = some_sampling(&rng) };
        struct kt_generate_result first = ask(plain, &rq);
        /* The next prompt goes on from this answer: what was kept must be what is there. */
        struct kt_generate_request next = rq;
        int32_t longer[N_CTX];
        memcpy(longer, prompt, n * sizeof(*longer));
        memcpy(longer + n, first.tokens, first.n_tokens * sizeof(*longer));
        n += first.n_tokens;
        n += make_prompt(longer + n, n_real, &rng);
        next.prompt = longer;
        next.n_prompt = n;
        struct kt_generate_result second = ask(plain, &next);
        assert_true(second.tokens_cached >= rq.n_prompt);
        for (size_t r = i % 2; r < ARRAY_LEN(ROADS); r += 2) {
            if (!guessing[r])
                continue;
            struct kt_generate_result a = ask(guessing[r], &rq), b = ask(guessing[r], &next);
            same(ROADS[r].name, i, &first, &a);
            same(ROADS[r].name, i, &second, &b);
            count(&t[r], &a);
            count(&t[r], &b);
            kt_generate_result_deinit(&a);
            kt_generate_result_deinit(&b);
        }
        kt_generate_result_deinit(&first);
        kt_generate_result_deinit(&second);
    }
    if (n_real < 10) {
        enough(name, "the text", t[2].lookup, n_requests / 3);
        if (has_head)
            enough(name, "the head", t[1].mtp, n_requests / 3);
    }
    kt_context_destroy(plain);
    for (size_t r = 0; r < ARRAY_LEN(ROADS); r++)
        kt_context_destroy(guessing[r]);
    kt_engine_close(e);
}

static void small_models_answer_alike(void **state)
{
    (void)state;
    compare_small("qwen35-r4", QT_Q8_0, 6, n_small_requests);
    compare_small("qwen35-r4", QT_Q4_K, SYNTH_VOCAB, n_small_requests / 2);
    compare_small("moe-r4", QT_Q8_0, 6, n_small_requests);
    compare_small("llama-tied", QT_Q8_0, 6, n_small_requests);
}

/* ---- the head ---- */

enum { N_READ = 40 };

/* What the head says about the token after each, by kt_logits_mtp(): the most probable of the first n_real. */
struct head_says {
    int32_t id[N_READ];
    size_t n_real;
};

static enum kt_status keep_best(void *ctx, size_t pos, const float *logits, size_t n_vocab,
                                struct kt_error *e)
{
    struct head_says *h = ctx;
    (void)n_vocab;
    (void)e;
    size_t best = 0;
    for (size_t i = 1; i < h->n_real; i++)
        best = logits[i] > logits[best] ? i : best;
    h->id[pos + 1] = (int32_t)best; /* row 0 is of the pair of tokens 0 and 1 */
    return KT_OK;
}

/* A part of a prompt, then token by token, with guesses on guesses between, and a gap: each first guess is the one
 * that the head gives when it reads the same pairs in one go. */
static void the_head_is_kept_in_step(void **state)
{
    (void)state;
    struct kt_engine *e = open_small("qwen35-r4", QT_Q8_0, 200);
    struct kt_context *c = context(e, KT_SPECULATE_OFF, false);
    struct head_says want = { .n_real = 200 };
    int32_t tokens[N_READ];
    struct rng rng;
    rng_init(&rng, 8);
    for (size_t i = 0; i < N_READ; i++)
        tokens[i] = (int32_t)rng_below(&rng, 200);
    must(kt_logits_mtp(c, tokens, N_READ, keep_best, &want, &err));

    struct state_types types = engine_state_types(KT_KV_F32, KT_STATE_F32);
    struct model_state *trunk;
    struct model_run *run;
    struct head *h;
    must(model_state_create(&trunk, e->model, N_CTX, types, &err));
    must(model_run_create(&run, e->model, 16, &err));
    must(head_create(&h, e, NULL, run, N_CTX, 16, types, &err));
    for (size_t at = 0, n; at < N_READ; at += n) {
        n = at < 22 ? 11 : 1;
        must(head_saw_token(h, tokens[at], at, true, &err));
        struct model_span sp = {
            .state = trunk, .tokens = tokens + at, .n_tokens = n, .hidden = head_rows(h)
        };
        int32_t id, more;
        float p;
        if (at >= 22 && at % 3) { /* sometimes pairs wait for each other */
            must(head_guess(h, &id, &p, &err));
            assert_true(p > 0 && p <= 1);
            if (id != want.id[at])
                fail_msg("after token %zu the head guesses %d, expected %d", at, id, want.id[at]);
            for (size_t k = 0; k < at % 4; k++, id = more)
                must(head_guess_on(h, id, &more, &p, &err));
            head_cut(h);
        }
        must(model_step(run, &sp, 1, &err));
        if (n > 1)
            must(head_saw_chunk(h, tokens + at, n, at, &err));
        else
            head_saw_row(h, 0, at);
    }
    /* What was not seen is not made up. */
    int32_t id;
    float p;
    head_lost(h);
    must(head_saw_token(h, 5, N_READ, true, &err));
    must(head_guess(h, &id, &p, &err));
    assert_int_equal(id, -1);
    head_destroy(h);
    model_run_destroy(run);
    model_state_destroy(trunk);
    kt_context_destroy(c);
    kt_engine_close(e);
}

/* ---- frequencies ---- */

enum { V = 6, DRAWS = 400 };
static const double HOT = 4; /* the temperature: outcomes are nearly even */

struct last_row {
    double *p;
    size_t n;
};

static enum kt_status softmax_row(void *ctx, size_t pos, const float *logits, size_t n_vocab,
                                  struct kt_error *e)
{
    struct last_row *r = ctx;
    (void)n_vocab;
    (void)e;
    double sum = 0;
    if (pos + 1 != r->n)
        return KT_OK;
    for (size_t i = 0; i < V; i++)
        sum += r->p[i] = exp(((double)logits[i] - (double)logits[0]) / HOT);
    for (size_t i = 0; i < V; i++)
        r->p[i] /= sum;
    return KT_OK;
}

static void probabilities(struct kt_context *c, const int32_t *tokens, size_t n, double *p)
{
    struct last_row r = { p, n };
    must(kt_logits(c, tokens, n, softmax_row, &r, &err));
}

/* Two tokens drawn: 36 outcomes, whose probabilities the logits say. */
static void sampled_answers_have_their_frequencies(void **state)
{
    (void)state;
    struct kt_engine *e = open_small("qwen35-r4", QT_Q8_0, V);
    struct kt_context *c = context(e, KT_SPECULATE_AUTO, true);
    int32_t tokens[6] = { 1, 4, 2, 0, 0, 0 };
    double p[V], q[V], chi = 0, n_seen[V][V] = { { 0 } };
    size_t n_tried = 0, n_right = 0;
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        struct kt_generate_request rq = { .prompt = tokens,
                                          .n_prompt = 3,
                                          .n_max = 4,
                                          .sampling = { .temperature = (float)HOT, .seed = seed } };
        struct kt_generate_result r = ask(c, &rq);
        assert_int_equal(r.n_tokens, 4);
        n_seen[r.tokens[0]][r.tokens[1]]++;
        n_tried += r.mtp.tried + r.lookup.tried;
        n_right += r.mtp.right + r.lookup.right;
        kt_generate_result_deinit(&r);
    }
    probabilities(c, tokens, 3, p);
    size_t n_cells = 0;
    for (int32_t i = 0; i < V; i++) {
        tokens[3] = i;
        probabilities(c, tokens, 4, q);
        for (size_t k = 0; k < V; k++) {
            double want = p[i] * q[k] * DRAWS, off = n_seen[i][k] - want;
            if (want < 4) /* too rare for the statistic */
                continue;
            chi += off * off / want;
            n_cells++;
        }
    }
    /* Mean n_cells - 1, variance twice that; the seeds are fixed, so this either holds or does not. */
    double limit = (double)n_cells + 4 * sqrt(2 * (double)n_cells);
    if (n_cells < 8 || !(chi < limit))
        fail_msg("chi-square %.1f over %zu outcomes, expected below %.1f", chi, n_cells, limit);
    if (n_right < DRAWS / 10 || n_tried < DRAWS / 2)
        fail_msg("%zu of %zu guesses were right: nothing was tested", n_right, n_tried);
    kt_context_destroy(c);
    kt_engine_close(e);
}

/* ---- a real model ---- */

static char *read_text(const char *path, size_t *len)
{
    struct buf b = { 0 };
    must(file_read(&b, path, 1 << 20, &err));
    *len = b.len;
    return buf_take(&b);
}

static bool go_on_for_a_while(void *ctx, size_t done, size_t total)
{
    size_t *left = ctx;
    (void)done;
    (void)total;
    return (*left)-- > 0;
}

/* A passage of the text, to be repeated; every third time as a quotation, which only it may fill. */
static void compare_real(struct kt_engine *e, const char *text, size_t len, size_t i,
                         struct kt_context *plain, struct kt_context *guessing, struct tally *t,
                         struct rng *rng)
{
    size_t n_bytes = 120 + rng_below(rng, 160), from = rng_below(rng, len - n_bytes);
    while (from + n_bytes < len && ((uint8_t)text[from] & 0xC0) == 0x80)
        from++;
    bool quote = i % 3 == 1;
    char prompt[1024];
    int n = snprintf(prompt, sizeof(prompt),
                     "<|im_start|>user\n%.*s\n\nRepeat this text word for word.<|im_end|>\n"
                     "<|im_start|>assistant\n%s",
                     (int)n_bytes, text + from, quote ? "It says: \"" : "");
    int32_t *ids;
    size_t n_ids;
    must(kt_tokenize(e, prompt, (size_t)n, KT_TOKENS_SPECIAL, &ids, &n_ids, &err));
    struct kt_quote_source source = { text + from, n_bytes };
    static const char *const STOP[] = { "the ", ", " };
    struct kt_generate_request rq = { .prompt = ids,
                                      .n_prompt = n_ids,
                                      .n_max = 16 + rng_below(rng, 16),
                                      .quotes = quote ? &source : NULL,
                                      .n_quotes = quote,
                                      .start_in_quote = quote,
                                      .quote_min_bytes = quote ? 40 : 0,
                                      .stop = i % 7 == 3 ? STOP : NULL,
                                      .n_stop = i % 7 == 3 ? 2 : 0 };
    if (i % 4 == 2)
        rq.sampling = some_sampling(rng);
    size_t steps_left = i % 11 == 5 ? 7 : SIZE_MAX, again = steps_left;
    rq.on_progress = go_on_for_a_while;
    rq.callback_ctx = &steps_left;
    struct kt_generate_result want = ask(plain, &rq);
    rq.callback_ctx = &again;
    struct kt_generate_result got = ask(guessing, &rq);
    same("SmolLM2", i, &want, &got);
    count(t, &got);
    kt_generate_result_deinit(&want);
    kt_generate_result_deinit(&got);
    free(ids);
}

static void a_real_model_answers_alike(void **state)
{
    (void)state;
    const char *data = getenv("KONTOR_TESTDATA"), *source = getenv("KONTOR_SOURCE");
    if (!data || !source)
        fail_msg("KONTOR_TESTDATA and KONTOR_SOURCE are not set; run through ctest");
    char path[1024];
    snprintf(path, sizeof(path), "%s/tests/golden/smollm2.txt", source);
    size_t len;
    char *text = read_text(path, &len);
    snprintf(path, sizeof(path), "%s/SmolLM2-135M-Instruct.Q4_1.gguf", data);
    struct kt_engine *e;
    must(kt_engine_open(&e, path, NULL, &err));
    struct kt_context *plain = context(e, KT_SPECULATE_OFF, false);
    struct kt_context *eager = context(e, KT_SPECULATE_AUTO, true),
                      *wise = context(e, KT_SPECULATE_LOOKUP, false);
    struct tally t[2] = { 0 };
    struct rng rng;
    rng_init(&rng, SEED);
    for (size_t i = 0; i < n_real_requests; i++)
        compare_real(e, text, len, i, plain, i % 2 ? wise : eager, &t[i % 2], &rng);
    printf("%zu requests; every guess: %zu of %zu right; what pays: %zu of %zu\n", n_real_requests,
           t[0].lookup.right, t[0].lookup.tried, t[1].lookup.right, t[1].lookup.tried);
    enough("SmolLM2", "the text", t[0].lookup, n_real_requests);
    kt_context_destroy(plain);
    kt_context_destroy(eager);
    kt_context_destroy(wise);
    kt_engine_close(e);
    free(text);
}

/* ---- what is refused ---- */

static void kinds_that_are_not_there(void **state)
{
    (void)state;
    struct kt_engine *e = open_small("llama-tied", QT_Q8_0, V);
    struct kt_context *c;
    struct kt_context_options o = { .n_ctx = 32, .speculate = KT_SPECULATE_MTP };
    assert_int_equal(kt_context_create(&c, e, &o, &err), KT_E_UNSUPPORTED);
    assert_null(c);
    int32_t prompt[1] = { 1 };
    struct kt_generate_request rq = { .prompt = prompt, .n_prompt = 1, .n_max = 2 };
    struct kt_generate_result r;
    static const struct {
        enum kt_speculate made, asked;
        enum kt_status want;
    } CASES[] = {
        { KT_SPECULATE_AUTO, KT_SPECULATE_MTP, KT_E_UNSUPPORTED },
        { KT_SPECULATE_OFF, KT_SPECULATE_LOOKUP, KT_E_USAGE },
        { KT_SPECULATE_OFF, KT_SPECULATE_AUTO, KT_OK },
        { KT_SPECULATE_LOOKUP, KT_SPECULATE_OFF, KT_OK },
        { KT_SPECULATE_LOOKUP, KT_SPECULATE_AUTO, KT_OK },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        c = context(e, CASES[i].made, false);
        rq.speculate = CASES[i].asked;
        assert_int_equal(kt_generate(c, &rq, &r, &err), CASES[i].want);
        kt_generate_result_deinit(&r);
        kt_context_destroy(c);
    }
    kt_engine_close(e);
}

/* What guessing costs is measured, the head's part where there is one; and what it takes is counted. */
static void costs_are_told(void **state)
{
    (void)state;
    static const char *const NAMES[] = { "qwen35-r4", "llama-tied" };
    for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
        struct kt_engine *e = open_small(NAMES[i], QT_Q8_0, SYNTH_VOCAB);
        struct kt_bench_guesses g;
        struct kt_bench_request rq = { .n_reps = 3, .n_depth = 5 };
        must(kt_bench_guesses(e, &rq, &g, &err));
        for (size_t r = 0; r < KT_BENCH_ROWS; r++)
            assert_true(g.rows_s[r] > 0 && g.n_rows[r] >= 1);
        assert_int_equal(g.n_rows[0], 1);
        assert_true((g.head_s > 0) == model_has_mtp(e->model));
        uint64_t off, all, lookup;
        struct kt_context_options o = { .n_ctx = 256, .speculate = KT_SPECULATE_OFF };
        must(kt_context_bytes(e, &o, &off, &err));
        o.speculate = KT_SPECULATE_LOOKUP;
        must(kt_context_bytes(e, &o, &lookup, &err));
        o.speculate = KT_SPECULATE_AUTO;
        must(kt_context_bytes(e, &o, &all, &err));
        size_t tentative;
        assert_true(tentative_size(&tentative, model_shape_of(e->model), SPECULATION_ROWS));
        assert_true(lookup > off + tentative);
        assert_true(model_has_mtp(e->model) ? all > lookup : all == lookup);
        kt_engine_close(e);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1)
        n_real_requests = n_small_requests = (size_t)strtoul(argv[1], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_models_answer_alike),
        cmocka_unit_test(the_head_is_kept_in_step),
        cmocka_unit_test(sampled_answers_have_their_frequencies),
        cmocka_unit_test(a_real_model_answers_alike),
        cmocka_unit_test(kinds_that_are_not_there),
        cmocka_unit_test(costs_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
