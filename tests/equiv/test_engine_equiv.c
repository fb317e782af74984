/* What: the engine's promises hold for every shape of model, recurrent ones too, and for models
 * that have no tokenizer: tokens in, tokens out. How: the small synthetic models; answers by
 * different roads are compared token by token and bit by bit: chunk sizes, thread counts, continued
 * against fresh, one text's vector alone and among others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/size.h"
#include "golden/gold.h"
#include "golden/synthetic.h"
#include "kontor/engine.h"
#include "support/model_writer.h"
#include "support/must.h"

enum { N_PROMPT = 37, N_ANSWER = 10, N_CTX = 96 };

struct road {
    uint32_t n_threads;
    size_t n_batch;
    bool in_two; /* first a shorter prompt, then the whole */
};

/* The answer to the same prompt by that road; returns how many tokens were not computed again. */
static size_t take(const char *path, struct road r, struct kt_generate_result *out)
{
    struct kt_engine *e;
    struct kt_context *c;
    must(kt_engine_open(&e, path, &(struct kt_engine_options){ .n_threads = r.n_threads }, &err));
    must(kt_context_create(
        &c, e, &(struct kt_context_options){ .n_ctx = N_CTX, .n_batch = r.n_batch }, &err));
    int32_t prompt[N_PROMPT];
    struct rng rng;
    rng_init(&rng, 5);
    for (size_t i = 0; i < N_PROMPT; i++)
        prompt[i] = (int32_t)rng_below(&rng, SYNTH_VOCAB);
    struct kt_generate_request rq = { .prompt = prompt, .n_prompt = 20, .n_max = 1 };
    if (r.in_two) {
        must(kt_generate(c, &rq, out, &err));
        kt_generate_result_deinit(out);
    }
    rq.n_prompt = N_PROMPT;
    rq.n_max = N_ANSWER;
    must(kt_generate(c, &rq, out, &err));
    kt_context_destroy(c);
    kt_engine_close(e);
    return out->tokens_cached;
}

static void every_road_gives_one_answer(const char *path, const char *name)
{
    static const struct road ROADS[] = {
        { 1, 0, false }, { 2, 0, false }, { 3, 1, false },
        { 2, 7, false }, { 1, 0, true },  { 2, 5, true },
    };
    struct kt_generate_result first = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(ROADS); i++) {
        struct kt_generate_result r;
        size_t cached = take(path, ROADS[i], &r);
        if (cached != (ROADS[i].in_two ? 20 : 0))
            fail_msg("%s, road %zu: %zu tokens were kept", name, i, cached);
        assert_int_equal(r.n_tokens, N_ANSWER);
        assert_int_equal(r.finish, KT_FINISH_LENGTH);
        assert_int_equal(r.text_len, 0); /* no tokenizer, no text */
        if (i == 0) {
            first = r;
            continue;
        }
        if (memcmp(r.tokens, first.tokens, N_ANSWER * sizeof(*r.tokens)) != 0 ||
            memcmp(&r.mean_logprob, &first.mean_logprob, sizeof(float)) != 0)
            fail_msg(
                "%s, road %zu: another answer (mean log-probability %.9g, by the first road %.9g)",
                name, i, (double)r.mean_logprob, (double)first.mean_logprob);
        kt_generate_result_deinit(&r);
    }
    kt_generate_result_deinit(&first);
}

/* What needs text says why it cannot; what needs none works. */
static void text_is_refused(const char *path)
{
    struct kt_engine *e;
    struct kt_context *c;
    int32_t *ids = (int32_t *)&err; /* anything but NULL */
    size_t n = 1;
    must(kt_engine_open(&e, path, NULL, &err));
    assert_int_not_equal(kt_tokenize(e, "x", 1, KT_TOKENS_PLAIN, &ids, &n, &err), KT_OK);
    assert_null(ids);
    assert_true(strlen(err.text) > 10);
    must(kt_context_create(&c, e, &(struct kt_context_options){ .n_ctx = 16 }, &err));
    int32_t prompt = 3;
    struct kt_generate_result r;
    struct kt_generate_request rq = { .prompt = &prompt,
                                      .n_prompt = 1,
                                      .n_max = 2,
                                      .stop = (const char *const[]){ "x" },
                                      .n_stop = 1 };
    assert_int_not_equal(kt_generate(c, &rq, &r, &err), KT_OK);
    struct kt_quote_source s = { "a source", 8 };
    rq = (struct kt_generate_request){
        .prompt = &prompt, .n_prompt = 1, .n_max = 2, .quotes = &s, .n_quotes = 1
    };
    assert_int_not_equal(kt_generate(c, &rq, &r, &err), KT_OK);
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    assert_null(info.tokenizer);
    assert_null(info.chat_layout);
    kt_context_destroy(c);
    kt_engine_close(e);
}

static void models_that_write(void **state)
{
    (void)state;
    size_t n_tested = 0;
    for (size_t i = 0; i < N_SYNTHS; i++) {
        if (SYNTHS[i].arch == ARCH_BERT)
            continue;
        char *path = temp_dir_make();
        synth_write_folder(&SYNTHS[i], path);
        every_road_gives_one_answer(path, SYNTHS[i].name);
        if (n_tested++ == 0)
            text_is_refused(path);
        temp_dir_remove(path);
    }
    assert_true(n_tested >= 5);
}

/* Rows as they are handed out. */
struct rows {
    float *values; /* [n_width] each */
    size_t n;
};

static enum kt_status keep_row(void *ctx, size_t pos, const float *logits, size_t n_vocab,
                               struct kt_error *e)
{
    struct rows *r = ctx;
    (void)e;
    assert_int_equal(pos, r->n++);
    assert_int_equal(n_vocab, SYNTH_VOCAB);
    memcpy(r->values + pos * n_vocab, logits, n_vocab * sizeof(*logits));
    return KT_OK;
}

/* The multi-token head through the engine, in chunks of 7 and as it likes, is the reference's. */
static void check_mtp(const char *path, const char *name, size_t n_batch)
{
    struct kt_engine *e;
    struct kt_context *c;
    struct gold g;
    char gold[64];
    int32_t *tokens = synth_tokens(synth_named(name), N_CTX);
    snprintf(gold, sizeof(gold), "%s.mtp.gold", name);
    gold_open(&g, gold);
    must(kt_engine_open(&e, path, NULL, &err));
    struct kt_context_options o = { .n_ctx = N_CTX, .n_batch = n_batch, .kv = KT_KV_F32 };
    must(kt_context_create(&c, e, &o, &err));
    struct rows r = { .values = malloc((size_t)(N_CTX - 1) * SYNTH_VOCAB * sizeof(float)) };
    assert_non_null(r.values);
    must(kt_logits_mtp(c, tokens, N_CTX, keep_row, &r, &err));
    assert_int_equal(r.n, N_CTX - 1);
    struct gold_distance d = gold_compare_rows(&g, r.n, r.values, 2e-3);
    if (!(d.max_abs <= 1e-4))
        fail_msg("%s, steps of %zu: %.2e of the std from the reference, expected at most 1e-4",
                 name, n_batch, d.max_abs);
    assert_int_equal(kt_logits_mtp(c, tokens, 1, keep_row, &r, &err), KT_E_LIMIT);
    free(r.values);
    kt_context_destroy(c);
    kt_engine_close(e);
    free(tokens);
    gold_close(&g);
}

static void the_multi_token_head(void **state)
{
    (void)state;
    size_t n_tested = 0;
    for (size_t i = 0; i < N_SYNTHS; i++) {
        if (!SYNTHS[i].mtp)
            continue;
        char *path = temp_dir_make();
        synth_write_folder(&SYNTHS[i], path);
        check_mtp(path, SYNTHS[i].name, 0);
        check_mtp(path, SYNTHS[i].name, 7);
        temp_dir_remove(path);
        n_tested++;
    }
    assert_true(n_tested >= 3);
}

static void streams_are_measured_on_a_recurrent_model(void **state)
{
    (void)state;
    char *path = temp_dir_make();
    synth_write_folder(synth_named("qwen35-r2"), path);
    struct kt_engine *e;
    must(kt_engine_open(&e, path, NULL, &err));
    struct kt_bench_request rq = {
        .n_prompt = 20, .n_gen = 4, .n_depth = 9, .n_streams = 5, .n_reps = 2, .n_batch = 8
    };
    struct kt_bench_result r;
    must(kt_bench(e, &rq, &r, &err));
    assert_true(r.pp > 0 && r.tg > 0);
    kt_engine_close(e);
    temp_dir_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_that_write),
        cmocka_unit_test(the_multi_token_head),
        cmocka_unit_test(streams_are_measured_on_a_recurrent_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
