/* Goal: a sequence's numbers do not depend on how its tokens were handed over, on who rode along,
 * on the number of threads, or on the processor's instruction set: byte for byte. Method: the small
 * models of golden/synthetic.h, once with float matrices and once with Q4_K and Q8_0 blocks, read
 * N_TOKENS tokens in one step on one thread; then in many other ways, compared by memcmp. Also: a
 * copied state continues as the original, a step that fails changes nothing, sizes are exact, and a
 * step allocates nothing. The seed of the chunkings is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "golden/synthetic.h"
#include "kernels/kernels.h"
#include "model/model.h"
#include "model/model_file.h"
#include "support/model_writer.h"

enum { N_TOKENS = 80, N_CTX = 96, SEED = 20240611 };

static const struct {
    const char *synth;
    enum qtype mats;
    enum kv_type kv;
    enum state_type recurrent;
} CASES[] = {
    { "llama-tied", QT_Q8_0, KV_F16, STATE_F32 }, { "llama-rope3", QT_BF16, KV_F32, STATE_F32 },
    { "qwen2", QT_Q4_K, KV_Q8, STATE_F32 },       { "qwen3", QT_Q4_K, KV_F16, STATE_F32 },
    { "qwen35-r1", QT_Q8_0, KV_F16, STATE_BF16 }, { "qwen35-r2", QT_Q4_K, KV_F16, STATE_F32 },
    { "qwen35-r3", QT_BF16, KV_F32, STATE_F32 },  { "moe-r2", QT_Q4_K, KV_F16, STATE_F32 },
    { "moe-r4", QT_BF16, KV_Q8, STATE_F32 },      { "moe-r4", QT_Q8_0, KV_F16, STATE_F32 },
};

/* One way of running: its own kernels, pool and model over a shared file. */
struct way {
    struct kernels k;
    struct pool *pool;
    struct model *m;
    struct state_types types;
};

static void must(enum kt_status st, const struct kt_error *err)
{
    if (st)
        fail_msg("%s: %s", kt_status_name(st), err->text);
}

static void way_open(struct way *w, const struct model_file *f, size_t n_threads, uint32_t cpu,
                     struct state_types types)
{
    struct kt_error err = { 0 };
    kernels_init(&w->k, cpu);
    w->types = types;
    must(pool_create(&w->pool, n_threads, &err), &err);
    must(model_create(&w->m, f, &w->k, w->pool, &err), &err);
}

static void way_close(struct way *w)
{
    model_destroy(w->m);
    pool_destroy(w->pool);
}

static void make_tokens(int32_t *out, const char *name)
{
    float v[N_TOKENS];
    random_weights(v, name, N_TOKENS, 1.0f);
    for (size_t i = 0; i < N_TOKENS; i++)
        out[i] = (int32_t)((v[i] + 1.0f) * 0.5f * (SYNTH_VOCAB - 1));
}

static struct model_state *new_state(const struct way *w)
{
    struct kt_error err = { 0 };
    struct model_state *s;
    must(model_state_create(&s, w->m, N_CTX, w->types, &err), &err);
    return s;
}

static struct model_run *new_run(const struct way *w)
{
    struct kt_error err = { 0 };
    struct model_run *r;
    must(model_run_create(&r, w->m, 2 * N_TOKENS, &err), &err);
    return r;
}

static float *new_logits(void)
{
    float *p = malloc(N_TOKENS * SYNTH_VOCAB * sizeof(float));
    assert_non_null(p);
    return p;
}

static void step(struct model_run *r, struct model_state *s, const int32_t *tokens, size_t n,
                 float *logits)
{
    struct kt_error err = { 0 };
    struct model_span sp = {
        .state = s, .tokens = tokens, .n_tokens = n, .logits_of = OUT_ALL, .logits = logits
    };
    must(model_step(r, &sp, 1, &err), &err);
}

/* All logits of the tokens, read in chunks of at most max_chunk (0: all at once; the lengths are
 * random). */
static float *read_in_chunks(const struct way *w, const int32_t *tokens, size_t max_chunk,
                             unsigned *seed)
{
    float *logits = new_logits();
    struct model_state *s = new_state(w);
    struct model_run *r = new_run(w);
    for (size_t at = 0; at < N_TOKENS;) {
        size_t n = max_chunk ? 1 + (size_t)rand_r(seed) % max_chunk : N_TOKENS;
        n = n < N_TOKENS - at ? n : N_TOKENS - at;
        step(r, s, tokens + at, n, logits + at * SYNTH_VOCAB);
        at += n;
    }
    assert_int_equal(model_state_n_past(s), N_TOKENS);
    model_run_destroy(r);
    model_state_destroy(s);
    return logits;
}

static void same(const char *what, const float *want, const float *got)
{
    for (size_t i = 0; i < (size_t)N_TOKENS * SYNTH_VOCAB; i++) {
        if (memcmp(&want[i], &got[i], sizeof(float)) != 0)
            fail_msg("%s (seed %d): token %zu, logit %zu is %.9g, expected %.9g", what, SEED,
                     i / SYNTH_VOCAB, i % SYNTH_VOCAB, (double)got[i], (double)want[i]);
    }
}

/* Reads other-way and compares, then frees what was read. */
static void same_and_free(const char *what, const float *want, float *got)
{
    same(what, want, got);
    free(got);
}

static void check_chunks(const struct way *w, const int32_t *tokens, const float *want)
{
    unsigned seed = SEED;
    same_and_free("token by token", want, read_in_chunks(w, tokens, 1, &seed));
    same_and_free("chunks up to 7", want, read_in_chunks(w, tokens, 7, &seed));
    same_and_free("chunks up to 40", want, read_in_chunks(w, tokens, 40, &seed));
}

/* Two sequences in one step, of unequal chunks, in both orders. */
static void check_company(const struct way *w, const int32_t *tokens, const float *want)
{
    int32_t other[N_TOKENS];
    unsigned seed = SEED;
    struct kt_error err = { 0 };
    make_tokens(other, "somebody else");
    float *want_other = read_in_chunks(w, other, 0, &seed), *got = new_logits(),
          *got_other = new_logits();
    struct model_state *a = new_state(w), *b = new_state(w);
    struct model_run *r = new_run(w);
    for (size_t at_a = 0, at_b = 0, turn = 0; at_a < N_TOKENS || at_b < N_TOKENS; turn++) {
        size_t n_a = N_TOKENS - at_a < 11 ? N_TOKENS - at_a : turn % 3 ? 1 : 11;
        size_t n_b = N_TOKENS - at_b < 5 ? N_TOKENS - at_b : turn % 2 ? 1 : 5;
        struct model_span spans[2] = {
            { .state = a,
              .tokens = tokens + at_a,
              .n_tokens = n_a,
              .logits_of = OUT_ALL,
              .logits = got + at_a * SYNTH_VOCAB },
            { .state = b,
              .tokens = other + at_b,
              .n_tokens = n_b,
              .logits_of = OUT_ALL,
              .logits = got_other + at_b * SYNTH_VOCAB },
        };
        if (n_a == 0)
            must(model_step(r, spans + 1, 1, &err), &err);
        else
            must(model_step(r, spans, n_b ? 2 : 1, &err), &err);
        at_a += n_a;
        at_b += n_b;
    }
    same("in company, first", want, got);
    same("in company, second", want_other, got_other);
    free(got);
    free(got_other);
    free(want_other);
    model_run_destroy(r);
    model_state_destroy(a);
    model_state_destroy(b);
}

/* Half the tokens, a copy, the rest on both; then the first state reset and used again. */
static void check_copy(const struct way *w, const int32_t *tokens, const float *want)
{
    const size_t half = N_TOKENS / 2;
    float *got = new_logits(), *got_copy = new_logits();
    struct model_state *s = new_state(w), *copy = new_state(w);
    struct model_run *r = new_run(w);
    step(r, copy, tokens, 3, got_copy); /* what a copy overwrites */
    step(r, s, tokens, half, got);
    model_state_copy(copy, s);
    memcpy(got_copy, got, half * SYNTH_VOCAB * sizeof(float));
    step(r, s, tokens + half, N_TOKENS - half, got + half * SYNTH_VOCAB);
    step(r, copy, tokens + half, N_TOKENS - half, got_copy + half * SYNTH_VOCAB);
    same("original after copying", want, got);
    same("copied state", want, got_copy);
    model_state_reset(s);
    assert_int_equal(model_state_n_past(s), 0);
    step(r, s, tokens, N_TOKENS, got);
    same("reset state", want, got);
    free(got);
    free(got_copy);
    model_run_destroy(r);
    model_state_destroy(s);
    model_state_destroy(copy);
}

/* Last logits only, none, and hidden states give the same as all of them. */
static void check_outputs(const struct way *w, const int32_t *tokens, const float *want)
{
    struct kt_error err = { 0 };
    struct model_state *s = new_state(w);
    struct model_run *r = new_run(w);
    float *last = new_logits(), *hidden = malloc(N_TOKENS * SYNTH_HIDDEN * sizeof(float));
    assert_non_null(hidden);
    struct model_span none = { .state = s, .tokens = tokens, .n_tokens = 30, .hidden = hidden };
    must(model_step(r, &none, 1, &err), &err);
    struct model_span sp = { .state = s,
                             .tokens = tokens + 30,
                             .n_tokens = N_TOKENS - 30,
                             .logits_of = OUT_LAST,
                             .logits = last,
                             .hidden = hidden };
    must(model_step(r, &sp, 1, &err), &err);
    assert_memory_equal(last, want + (N_TOKENS - 1) * SYNTH_VOCAB, SYNTH_VOCAB * sizeof(float));
    float *all_hidden = malloc(N_TOKENS * SYNTH_HIDDEN * sizeof(float));
    assert_non_null(all_hidden);
    model_state_reset(s);
    struct model_span all = {
        .state = s, .tokens = tokens, .n_tokens = N_TOKENS, .hidden = all_hidden
    };
    must(model_step(r, &all, 1, &err), &err);
    assert_memory_equal(hidden, all_hidden + 30 * SYNTH_HIDDEN,
                        (N_TOKENS - 30) * SYNTH_HIDDEN * sizeof(float));
    free(all_hidden);
    free(hidden);
    free(last);
    model_run_destroy(r);
    model_state_destroy(s);
}

static void refuse(struct model_run *r, const struct model_span *spans, size_t n,
                   enum kt_status want)
{
    struct kt_error err = { 0 };
    enum kt_status st = model_step(r, spans, n, &err);
    if (st != want)
        fail_msg("a bad step gave %s (%s), expected %s", kt_status_name(st), err.text,
                 kt_status_name(want));
    assert_true(err.text[0] != '\0');
}

/* Bad steps are refused before anything moves. */
static void check_refusals(const struct way *w, const int32_t *tokens, const float *want)
{
    float *got = new_logits();
    struct model_state *s = new_state(w), *other = new_state(w);
    struct model_run *r = new_run(w);
    step(r, s, tokens, 40, got);

    const int32_t bad[2] = { 5, SYNTH_VOCAB }, negative[1] = { -1 };
    int32_t many[N_CTX] = { 0 };
    struct model_span good = { .state = other, .tokens = tokens, .n_tokens = 1 };
    struct model_span spans[2] = { good, { .state = s, .tokens = bad, .n_tokens = 2 } };
    refuse(r, spans, 2,
           KT_E_USAGE); /* token id too large; the first span must not advance either */
    assert_int_equal(model_state_n_past(other), 0);
    spans[1] = (struct model_span){ .state = s, .tokens = negative, .n_tokens = 1 };
    refuse(r, spans, 2, KT_E_USAGE);
    spans[1] = (struct model_span){ .state = s, .tokens = many, .n_tokens = N_CTX - 39 };
    refuse(r, spans, 2, KT_E_LIMIT); /* context full */
    spans[1] = good;
    refuse(r, spans, 2, KT_E_USAGE); /* the same state twice */
    spans[1] =
        (struct model_span){ .state = s, .tokens = tokens, .n_tokens = 1, .logits_of = OUT_LAST };
    refuse(r, spans, 2, KT_E_USAGE); /* nowhere to put logits */
    spans[1] = (struct model_span){ .state = s, .tokens = tokens, .n_tokens = 0 };
    refuse(r, spans, 2, KT_E_USAGE);

    assert_int_equal(model_state_n_past(s), 40);
    step(r, s, tokens + 40, N_TOKENS - 40, got + 40 * SYNTH_VOCAB);
    same("after refused steps", want, got);
    free(got);
    model_run_destroy(r);
    model_state_destroy(s);
    model_state_destroy(other);
}

static size_t heap_in_use(void)
{
    struct mallinfo2 i = mallinfo2();
    return i.uordblks + i.hblkhd;
}

/* One decode step, with the allocator watched. Sanitizers replace the allocator; then this sees
 * zeros. */
static void check_no_allocation(const struct way *w, const int32_t *tokens)
{
    float *got = new_logits();
    struct model_state *s = new_state(w);
    struct model_run *r = new_run(w);
    step(r, s, tokens, 10, got);
    struct mallinfo2 before = mallinfo2();
    size_t in_use = heap_in_use();
    for (size_t i = 10; i < 20; i++)
        step(r, s, tokens + i, 1, got);
    struct mallinfo2 after = mallinfo2();
    assert_int_equal(heap_in_use(), in_use);
    assert_int_equal(after.arena, before.arena);
    free(got);
    model_run_destroy(r);
    model_state_destroy(s);
}

/* ---- the multi-token head ---- */

static struct model_state *new_mtp_state(const struct way *w)
{
    struct kt_error err = { 0 };
    struct model_state *s;
    must(model_mtp_state_create(&s, w->m, N_CTX, w->types, &err), &err);
    return s;
}

static void mtp_step(struct model_run *r, struct model_state *s, const float *hidden,
                     const int32_t *tokens, size_t n, float *logits)
{
    struct kt_error err = { 0 };
    struct model_span sp = { .state = s,
                             .tokens = tokens,
                             .n_tokens = n,
                             .logits_of = OUT_ALL,
                             .logits = logits,
                             .hidden_in = hidden };
    must(model_mtp_step(r, &sp, 1, &err), &err);
}

/* The head's logits for N_TOKENS pairs, as read_in_chunks(). In the middle some other pairs are
 * tried and cut off again. */
static float *mtp_in_chunks(const struct way *w, const float *hidden, const int32_t *tokens,
                            size_t max_chunk, unsigned *seed)
{
    float *logits = new_logits();
    struct model_state *s = new_mtp_state(w);
    struct model_run *r = new_run(w);
    for (size_t at = 0; at < N_TOKENS;) {
        size_t n = max_chunk ? 1 + (size_t)rand_r(seed) % max_chunk : N_TOKENS;
        n = n < N_TOKENS - at ? n : N_TOKENS - at;
        if (at && at + 3 < N_TOKENS) {
            mtp_step(r, s, hidden, tokens, 3, logits + at * SYNTH_VOCAB);
            model_state_cut(s, at);
        }
        mtp_step(r, s, hidden + at * SYNTH_HIDDEN, tokens + at, n, logits + at * SYNTH_VOCAB);
        at += n;
    }
    assert_int_equal(model_state_n_past(s), N_TOKENS);
    model_run_destroy(r);
    model_state_destroy(s);
    return logits;
}

static void refuse_mtp(struct model_run *r, const struct model_span *sp, const char *message)
{
    struct kt_error err = { 0 };
    enum kt_status st = model_mtp_step(r, sp, 1, &err);
    if (st != KT_E_USAGE || !strstr(err.text, message))
        fail_msg("a bad step of the head gave %s (%s), expected '%s'", kt_status_name(st), err.text,
                 message);
}

static void check_mtp_refusals(const struct way *w, const float *hidden, const int32_t *tokens)
{
    struct model_state *trunk = new_state(w), *head = new_mtp_state(w);
    struct model_run *r = new_run(w);
    struct model_span sp = { .state = trunk, .tokens = tokens, .n_tokens = 2, .hidden_in = hidden };
    refuse_mtp(r, &sp, "a state of the trunk");
    sp.state = head;
    refuse(r, &sp, 1, KT_E_USAGE);
    sp.hidden_in = NULL;
    refuse_mtp(r, &sp, "without hidden states");
    assert_int_equal(model_state_n_past(trunk) + model_state_n_past(head), 0);
    model_run_destroy(r);
    model_state_destroy(trunk);
    model_state_destroy(head);
}

/* Pairs of the trunk's hidden states and the next tokens, by one thread and in other ways; each row
 * counts as its own next token, which is as good as any. */
static void check_mtp(const struct way *one, const struct way *two, const struct way *plain,
                      const int32_t *tokens)
{
    struct kt_error err = { 0 };
    struct model_state *s;
    unsigned seed = SEED;
    if (!model_has_mtp(one->m)) {
        assert_int_equal(model_mtp_state_create(&s, one->m, N_CTX, one->types, &err),
                         KT_E_UNSUPPORTED);
        return;
    }
    float *hidden = malloc(N_TOKENS * SYNTH_HIDDEN * sizeof(float));
    assert_non_null(hidden);
    s = new_state(one);
    struct model_run *r = new_run(one);
    struct model_span all = {
        .state = s, .tokens = tokens, .n_tokens = N_TOKENS, .hidden = hidden
    };
    must(model_step(r, &all, 1, &err), &err);
    model_run_destroy(r);
    model_state_destroy(s);

    float *want = mtp_in_chunks(one, hidden, tokens, 0, &seed);
    same_and_free("head, pair by pair", want, mtp_in_chunks(two, hidden, tokens, 1, &seed));
    same_and_free("head, chunks up to 9", want, mtp_in_chunks(two, hidden, tokens, 9, &seed));
    same_and_free("head, portable kernels", want, mtp_in_chunks(plain, hidden, tokens, 40, &seed));
    check_mtp_refusals(one, hidden, tokens);
    free(want);
    free(hidden);
}

static void check_sizes(const struct way *w)
{
    const struct model_shape *s = model_shape_of(w->m);
    struct state_sizes one, two;
    assert_true(state_sizes(&one, s, ATTN_PAGE - 1, w->types));
    assert_true(state_sizes(&two, s, 2 * ATTN_PAGE, w->types));
    size_t n_linear = 0;
    for (uint32_t i = 0; i < s->n_layers; i++)
        n_linear += s->recurrent[i];
    size_t row = kv_row_bytes(w->types.kv, s->head_dim),
           state = w->types.recurrent == STATE_BF16 ? 2 : 4;
    size_t page = (s->n_layers - n_linear) * 2 * s->n_kv_heads * row * ATTN_PAGE;
    assert_int_equal(one.page, size_align(page, 4096));
    assert_int_equal(one.kv, one.page);
    assert_int_equal(two.kv, 2 * one.kv);
    assert_int_equal(one.recurrent, n_linear * s->lin_v_heads * 128 * 128 * state);
    assert_int_equal(one.conv, n_linear * 3 * 4 * 128 * (2 * s->lin_k_heads + s->lin_v_heads));
    assert_int_equal(two.recurrent, one.recurrent);
    assert_true(mtp_state_sizes(&two, s, ATTN_PAGE + 1, w->types));
    assert_int_equal(two.kv, 2 * size_align(2 * s->n_kv_heads * row * ATTN_PAGE, 4096));
    assert_int_equal(two.recurrent + two.conv, 0);

    struct kt_error err = { 0 };
    struct model_state *st;
    assert_int_equal(model_state_create(&st, w->m, UINT32_MAX / 2, w->types, &err), KT_E_LIMIT);
    assert_null(st);
    if (s->n_experts) {
        struct state_types bad = { KV_F16, STATE_BF16 };
        assert_int_equal(model_state_create(&st, w->m, N_CTX, bad, &err), KT_E_UNSUPPORTED);
        assert_null(st);
    }
    struct model_run *r;
    size_t bytes;
    assert_false(scratch_size(&bytes, s, SIZE_MAX / 2, 1));
    assert_int_equal(model_run_create(&r, w->m, SIZE_MAX / 2, &err), KT_E_LIMIT);
    assert_null(r);
}

static void test_case(void **state)
{
    size_t i = (size_t)(uintptr_t)*state;
    char *dir = temp_dir_make(), path[512];
    struct kt_error err = { 0 };
    struct model_file *f;
    int32_t tokens[N_TOKENS];
    unsigned seed = SEED;
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    synth_write_gguf(synth_named(CASES[i].synth), path, CASES[i].mats);
    must(model_file_open(&f, path, &err), &err);
    make_tokens(tokens, "tokens");

    struct state_types types = { CASES[i].kv, CASES[i].recurrent };
    struct way one, two, three, plain;
    way_open(&one, f, 1, cpu_detect(), types);
    way_open(&two, f, 2, cpu_detect(), types);
    way_open(&three, f, 3, cpu_detect() & ~(uint32_t)(CPU_AVX512 | CPU_AVX512VNNI | CPU_DOTPROD),
             types);
    way_open(&plain, f, 2, 0, types);

    float *want = read_in_chunks(&one, tokens, 0, &seed);
    same_and_free("two threads", want, read_in_chunks(&two, tokens, 0, &seed));
    same_and_free("three threads, no AVX-512", want, read_in_chunks(&three, tokens, 33, &seed));
    same_and_free("portable kernels", want, read_in_chunks(&plain, tokens, 0, &seed));
    check_chunks(&two, tokens, want);
    check_company(&two, tokens, want);
    check_copy(&one, tokens, want);
    check_outputs(&two, tokens, want);
    check_refusals(&one, tokens, want);
    check_no_allocation(&two, tokens);
    check_sizes(&one);
    check_mtp(&one, &two, &plain, tokens);

    free(want);
    way_close(&one);
    way_close(&two);
    way_close(&three);
    way_close(&plain);
    model_file_close(f);
    temp_dir_remove(dir);
}

/* ---- long caches ---- */

enum { N_LONG = ATTN_SPLIT + 70, LONG_CTX = N_LONG + 5 };

/* The last logits of N_LONG tokens: all but n_single of them in chunks, those one by one. */
static float *read_long(const struct way *w, size_t chunk, size_t n_single)
{
    static int32_t tokens[N_LONG];
    for (size_t i = 0; i < N_LONG; i++)
        tokens[i] = (int32_t)(i * i * 7 + i * 13) % SYNTH_VOCAB;
    struct kt_error err = { 0 };
    struct model_state *s;
    struct model_run *r;
    must(model_state_create(&s, w->m, LONG_CTX, w->types, &err), &err);
    must(model_run_create(&r, w->m, chunk, &err), &err);
    float *logits = malloc(SYNTH_VOCAB * sizeof(float));
    assert_non_null(logits);
    for (size_t at = 0; at < N_LONG;) {
        size_t left = N_LONG - at, n = left > n_single ? left - n_single : 1;
        struct model_span sp = { .state = s,
                                 .tokens = tokens + at,
                                 .n_tokens = n < chunk ? n : chunk,
                                 .logits_of = OUT_LAST,
                                 .logits = logits };
        must(model_step(r, &sp, 1, &err), &err);
        at += sp.n_tokens;
    }
    model_run_destroy(r);
    model_state_destroy(s);
    return logits;
}

/* Where several threads share one row's cache, the numbers are those of one thread. */
static void test_long_cache(void **state)
{
    static const struct {
        const char *synth;
        struct state_types types;
    } LONG[] = {
        { "llama-rope3", { KV_F16, STATE_F32 } },
        { "qwen35-r2", { KV_Q8, STATE_BF16 } },
    };
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    const size_t n_long = 1; /* the other takes a minute there and shows nothing more */
#else
    const size_t n_long = sizeof(LONG) / sizeof(LONG[0]);
#endif
    (void)state;
    char *dir = temp_dir_make(), path[512];
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    for (size_t i = 0; i < n_long; i++) {
        struct kt_error err = { 0 };
        struct model_file *f;
        struct way one, three;
        synth_write_gguf(synth_named(LONG[i].synth), path, QT_Q8_0);
        must(model_file_open(&f, path, &err), &err);
        way_open(&one, f, 1, cpu_detect(), LONG[i].types);
        way_open(&three, f, 3, cpu_detect() & ~(uint32_t)CPU_AVX512, LONG[i].types);
        float *want = read_long(&one, N_LONG, 0), *some = read_long(&three, 700, 9),
              *again = read_long(&one, 333, 3);
        assert_memory_equal(want, some, SYNTH_VOCAB * sizeof(float));
        assert_memory_equal(want, again, SYNTH_VOCAB * sizeof(float));
        free(want);
        free(some);
        free(again);
        way_close(&one);
        way_close(&three);
        model_file_close(f);
    }
    temp_dir_remove(dir);
}

int main(void)
{
    struct CMUnitTest tests[sizeof(CASES) / sizeof(CASES[0]) + 1];
    size_t n = sizeof(CASES) / sizeof(CASES[0]);
    for (size_t i = 0; i < n; i++)
        tests[i] = (struct CMUnitTest){ .name = CASES[i].synth,
                                        .test_func = test_case,
                                        .initial_state = (void *)(uintptr_t)i };
    tests[n++] = (struct CMUnitTest)cmocka_unit_test(test_long_cache);
    return _cmocka_run_group_tests("model_equiv", tests, n, NULL, NULL);
}
