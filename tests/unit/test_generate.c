/* What: the promises of kontor/engine.h about contexts, generation and scores, on a real model
 * (SmolLM2). How: equivalences (two roads, one result) and laws that hold whatever the model says:
 * text up to a stop string, streams that add up, quotations that are in their source. Text is
 * asserted nowhere. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/size.h"
#include "base/utf8.h"
#include "kontor/engine.h"
#include "support/must.h"

enum { N_CTX = 256 };

static struct kt_engine *engine;
static struct kt_context *shared; /* for tests that do not care what was in it */
static char *data_path(const char *name)
{
    const char *dir = getenv("KONTOR_TESTDATA");
    if (!dir)
        fail_msg("KONTOR_TESTDATA is not set; run through ctest");
    char *path = path_join(dir, name);
    if (!path || !file_exists(path))
        fail_msg("%s: missing; tools/fetch.sh gets it", path);
    return path;
}

static struct kt_context *context(size_t n_batch)
{
    struct kt_context *c;
    must(kt_context_create(
        &c, engine, &(struct kt_context_options){ .n_ctx = N_CTX, .n_batch = n_batch }, &err));
    return c;
}

static int setup(void **state)
{
    (void)state;
    char *path = data_path("SmolLM2-135M-Instruct.Q4_1.gguf");
    must(kt_engine_open(&engine, path, NULL, &err));
    free(path);
    shared = context(0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kt_context_destroy(shared);
    kt_engine_close(engine);
    return 0;
}

struct ids {
    int32_t *p;
    size_t n;
};

static struct ids tokens(const char *text)
{
    struct ids t;
    must(kt_tokenize(engine, text, strlen(text), KT_TOKENS_SPECIAL, &t.p, &t.n, &err));
    return t;
}

static struct kt_generate_result generate(struct kt_context *c, struct kt_generate_request rq)
{
    struct kt_generate_result r;
    must(kt_generate(c, &rq, &r, &err));
    if (strlen(r.text) != r.text_len)
        fail_msg("text_len is %zu, the text has %zu bytes", r.text_len, strlen(r.text));
    return r;
}

static void assert_same(const struct kt_generate_result *a, const struct kt_generate_result *b,
                        const char *what)
{
    if (a->n_tokens != b->n_tokens ||
        memcmp(a->tokens, b->tokens, a->n_tokens * sizeof(*a->tokens)) != 0 ||
        strcmp(a->text, b->text) != 0)
        fail_msg("%s: '%s' (%zu tokens) and '%s' (%zu)", what, a->text, a->n_tokens, b->text,
                 b->n_tokens);
    if (memcmp(&a->mean_logprob, &b->mean_logprob, sizeof(float)) != 0)
        fail_msg("%s: mean log-probability %.9g and %.9g", what, (double)a->mean_logprob,
                 (double)b->mean_logprob);
}

static struct kt_generate_request plain(const int32_t *prompt, size_t n_prompt, size_t n_max)
{
    return (struct kt_generate_request){ .prompt = prompt, .n_prompt = n_prompt, .n_max = n_max };
}

static const char STORY[] =
    "Once upon a time there was a small house by the river, and in it lived";

/* ---- two roads, one result ------------------------------------------------------------------- */

static void chunks_and_threads_change_nothing(void **state)
{
    (void)state;
    struct ids p = tokens(STORY);
    struct kt_generate_request rq = { .prompt = p.p, .n_prompt = p.n, .n_max = 12 };
    struct kt_generate_result a = generate(shared, rq);
    struct kt_context *small = context(3);
    struct kt_generate_result b = generate(small, rq);
    assert_same(&a, &b, "one chunk and chunks of 3");

    char *path = data_path("SmolLM2-135M-Instruct.Q4_1.gguf");
    struct kt_engine *one;
    struct kt_context *c;
    must(kt_engine_open(&one, path, &(struct kt_engine_options){ .n_threads = 1 }, &err));
    must(kt_context_create(&c, one, &(struct kt_context_options){ .n_ctx = 64 }, &err));
    struct kt_generate_result d = generate(c, rq);
    assert_same(&a, &d, "all threads and one");
    kt_generate_result_deinit(&a);
    kt_generate_result_deinit(&b);
    kt_generate_result_deinit(&d);
    kt_context_destroy(c);
    kt_engine_close(one);
    kt_context_destroy(small);
    free(path);
    free(p.p);
}

static void a_grown_prefix_is_continued(void **state)
{
    (void)state;
    struct ids p = tokens(STORY);
    struct kt_context *c = context(0);
    struct kt_generate_result a = generate(c, plain(p.p, p.n, 6));
    assert_int_equal(a.tokens_cached, 0);

    /* The next prompt: what was there, the answer, and more. The last token was chosen, never
     * computed. */
    int32_t next[N_CTX];
    memcpy(next, p.p, p.n * sizeof(*next));
    memcpy(next + p.n, a.tokens, a.n_tokens * sizeof(*next));
    struct ids more = tokens(" and then");
    memcpy(next + p.n + a.n_tokens, more.p, more.n * sizeof(*next));
    size_t n = p.n + a.n_tokens + more.n;
    struct kt_generate_request rq = { .prompt = next, .n_prompt = n, .n_max = 6 };
    struct kt_generate_result b = generate(c, rq);
    assert_int_equal(b.tokens_cached, p.n + a.n_tokens - 1);
    struct kt_generate_result fresh = generate(shared, rq);
    assert_same(&b, &fresh, "continued and from nothing");

    /* Another beginning, and a beginning only: both start over. */
    struct kt_generate_result other = generate(c, plain(more.p, more.n, 2));
    assert_int_equal(other.tokens_cached, 0);
    struct kt_generate_result again = generate(c, plain(p.p, p.n, 6));
    assert_int_equal(again.tokens_cached, 0);
    assert_same(&a, &again, "the same prompt twice");

    /* One token only: nothing was computed after the prompt, so asking again costs nothing. */
    struct kt_generate_request one = { .prompt = p.p, .n_prompt = p.n, .n_max = 1 };
    struct kt_generate_result x = generate(c, one), y = generate(c, one);
    assert_int_equal(y.tokens_cached, p.n);
    assert_same(&x, &y, "no step between");
    struct kt_generate_result *all[] = { &a, &b, &fresh, &other, &again, &x, &y };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        kt_generate_result_deinit(all[i]);
    kt_context_destroy(c);
    free(more.p);
    free(p.p);
}

static void a_seed_repeats(void **state)
{
    (void)state;
    struct ids p = tokens("The");
    struct kt_generate_request rq = { .prompt = p.p, .n_prompt = p.n, .n_max = 10 };
    rq.sampling =
        (struct kt_sampling){ .temperature = 1.5f, .top_k = 200, .top_p = 0.98f, .seed = 4 };
    struct kt_generate_result a = generate(shared, rq), b = generate(shared, rq);
    assert_same(&a, &b, "seed 4 twice");
    rq.sampling.seed = 5;
    struct kt_generate_result c = generate(shared, rq);
    assert_string_not_equal(a.text, c.text);
    kt_generate_result_deinit(&a);
    kt_generate_result_deinit(&b);
    kt_generate_result_deinit(&c);
    free(p.p);
}

/* ---- limits -------------------------------------------------------------------------------- */

static void what_cannot_fit_is_refused_first(void **state)
{
    (void)state;
    struct kt_generate_result r;
    int32_t long_prompt[N_CTX + 1] = { 0 };
    struct kt_generate_request rq = { .prompt = long_prompt, .n_prompt = N_CTX + 1, .n_max = 1 };
    assert_int_equal(kt_generate(shared, &rq, &r, &err), KT_E_LIMIT);
    rq.n_prompt = N_CTX - 3;
    rq.n_max = 4;
    assert_int_equal(kt_generate(shared, &rq, &r, &err), KT_E_LIMIT);
    assert_non_null(strstr(err.text, "253"));
    rq.n_max = SIZE_MAX;
    assert_int_equal(kt_generate(shared, &rq, &r, &err), KT_E_LIMIT);
    rq.n_prompt = 0;
    rq.n_max = 1;
    assert_int_equal(kt_generate(shared, &rq, &r, &err), KT_E_USAGE);
    static const int32_t BAD[] = { -1, 49152, INT32_MAX };
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        int32_t prompt[2] = { 1, BAD[i] };
        rq = (struct kt_generate_request){ .prompt = prompt, .n_prompt = 2, .n_max = 1 };
        assert_int_equal(kt_generate(shared, &rq, &r, &err), KT_E_USAGE);
    }
    rq.stop = (const char *const[]){ "" };
    rq.n_stop = 1;
    assert_int_equal(kt_generate(shared, &rq, &r, &err), KT_E_USAGE);
    assert_null(r.text);
}

static void the_context_can_be_filled(void **state)
{
    (void)state;
    struct ids p = tokens("a b c d");
    struct kt_context *c;
    must(kt_context_create(&c, engine, &(struct kt_context_options){ .n_ctx = p.n + 5 }, &err));
    struct kt_generate_result r = generate(
        c,
        (struct kt_generate_request){ .prompt = p.p, .n_prompt = p.n, .ignore_stop_tokens = true });
    assert_int_equal(r.n_tokens, 5);
    assert_int_equal(r.finish, KT_FINISH_LENGTH);
    kt_generate_result_deinit(&r);
    kt_context_destroy(c);
    free(p.p);
}

/* ---- ends ----------------------------------------------------------------------------------- */

struct stream {
    char text[4096];
    size_t len, n_calls, n_allowed; /* cancels after that many calls; 0: never */
    size_t n_progress, n_progress_allowed;
};

static bool on_text(void *ctx, const char *text, size_t len)
{
    struct stream *s = ctx;
    if (len == 0 || !utf8_valid((struct span){ text, len }))
        fail_msg("call %zu: %zu bytes that are not whole characters", s->n_calls, len);
    memcpy(s->text + s->len, text, len);
    s->len += len;
    s->text[s->len] = 0;
    return ++s->n_calls != s->n_allowed;
}

static bool on_progress(void *ctx, size_t done, size_t total)
{
    struct stream *s = ctx;
    assert_true(done <= total);
    return ++s->n_progress != s->n_progress_allowed;
}

static void a_stop_token_ends_the_answer(void **state)
{
    (void)state;
    struct kt_message msgs[] = { { "user", "Say hi.", 7 } };
    struct ids p;
    must(kt_chat_tokens(engine, msgs, 1, &p.p, &p.n, &err));
    struct kt_generate_request rq = { .prompt = p.p, .n_prompt = p.n, .n_max = 100 };
    struct kt_generate_result r = generate(shared, rq);
    assert_int_equal(r.finish, KT_FINISH_STOP);
    assert_true(r.n_tokens > 0 && r.n_tokens < 100);
    struct ids end = tokens("<|im_end|>");
    assert_int_equal(end.n, 1);
    for (size_t i = 0; i < r.n_tokens; i++)
        assert_int_not_equal(r.tokens[i], end.p[0]);
    assert_null(strstr(r.text, "<|im_end|>"));
    rq.ignore_stop_tokens = true;
    rq.n_max = r.n_tokens + 3;
    struct kt_generate_result on = generate(shared, rq);
    assert_int_equal(on.finish, KT_FINISH_LENGTH);
    assert_int_equal(on.n_tokens, r.n_tokens + 3);
    assert_int_equal(on.tokens[r.n_tokens], end.p[0]);
    kt_generate_result_deinit(&on);
    kt_generate_result_deinit(&r);
    free(end.p);
    free(p.p);
}

static void stop_strings_end_the_text_before_themselves(void **state)
{
    (void)state;
    struct ids p = tokens(STORY);
    struct kt_generate_request rq = { .prompt = p.p, .n_prompt = p.n, .n_max = 16 };
    struct kt_generate_result whole = generate(shared, rq);
    size_t len = whole.text_len;
    assert_true(len > 20);
    /* Pieces of the text itself, of any length, at any place: most begin and end inside tokens. */
    static const size_t LENS[] = { 1, 2, 3, 5, 9 };
    for (size_t i = 0; i < ARRAY_LEN(LENS); i++) {
        char stop[16] = "";
        memcpy(stop, whole.text + 7 + 2 * i, LENS[i]);
        size_t at = (size_t)(strstr(whole.text, stop) - whole.text);
        struct stream s = { 0 };
        rq.stop = (const char *const[]){ "\x01 never", stop };
        rq.n_stop = 2;
        rq.on_text = on_text;
        rq.callback_ctx = &s;
        struct kt_generate_result r = generate(shared, rq);
        if (r.text_len != at || strncmp(r.text, whole.text, at) != 0)
            fail_msg("stop '%s' in '%s': got '%s'", stop, whole.text, r.text);
        assert_string_equal(s.text, r.text);
        assert_int_equal(r.finish, KT_FINISH_STOP_STRING);
        assert_string_equal(kt_finish_name(r.finish), "stop");
        kt_generate_result_deinit(&r);
    }
    kt_generate_result_deinit(&whole);
    free(p.p);
}

/* What may become a stop string is held back, and comes when it does not. */
static void the_stream_adds_up(void **state)
{
    (void)state;
    struct ids p = tokens("日本語日本語日本語日本語日本語日本語");
    struct stream s = { 0 };
    struct kt_generate_request rq = { .prompt = p.p,
                                      .n_prompt = p.n,
                                      .n_max = 24,
                                      .stop = (const char *const[]){ " e of nothing",
                                                                     "日本 of nothing" },
                                      .n_stop = 2,
                                      .on_text = on_text,
                                      .callback_ctx = &s };
    struct kt_generate_result r = generate(shared, rq);
    assert_string_equal(s.text, r.text);
    assert_true(utf8_valid((struct span){ r.text, r.text_len }));
    size_t n_chars = utf8_count((struct span){ r.text, r.text_len });
    if (n_chars == r.text_len)
        fail_msg("'%s' has no character of several bytes: the test tests nothing", r.text);
    kt_generate_result_deinit(&r);
    free(p.p);
}

static void cancelling_is_a_success(void **state)
{
    (void)state;
    struct ids p = tokens(STORY);
    struct kt_context *c = context(4);
    struct stream s = { .n_allowed = 3 };
    struct kt_generate_request rq = { .prompt = p.p,
                                      .n_prompt = p.n,
                                      .n_max = 20,
                                      .on_text = on_text,
                                      .on_progress = on_progress,
                                      .callback_ctx = &s };
    struct kt_generate_result r = generate(c, rq);
    assert_int_equal(r.finish, KT_FINISH_CANCELLED);
    assert_int_equal(s.n_calls, 3);
    assert_memory_equal(r.text, s.text, s.len);
    kt_generate_result_deinit(&r);

    struct kt_context *other = context(4);
    s = (struct stream){ .n_progress_allowed = 3 }; /* during the prompt */
    r = generate(other, rq);
    assert_int_equal(r.finish, KT_FINISH_CANCELLED);
    assert_int_equal(r.n_tokens, 0);
    assert_int_equal(r.text_len, 0);
    kt_generate_result_deinit(&r);

    s = (struct stream){ 0 }; /* and both go on as if nothing had been */
    rq.n_max = 6;
    struct kt_generate_result a = generate(other, rq), b = generate(shared, rq);
    assert_int_equal(a.tokens_cached, 8);
    assert_same(&a, &b, "after a cancelled prompt");
    kt_generate_result_deinit(&a);
    kt_generate_result_deinit(&b);
    kt_context_destroy(other);
    kt_context_destroy(c);
    free(p.p);
}

/* ---- quotations
 * ---------------------------------------------------------------------------------- */

static const char RENT[] =
    "Die Miete beträgt 1.250,00 € im Monat.\nDie Kündigungsfrist   beträgt drei Monate.";
static const char DEPOSIT[] =
    "The tenant pays a deposit of three months' rent. It is due before the keys are handed over.";
static const struct kt_quote_source SOURCES[] = {
    { RENT, sizeof(RENT) - 1 },
    { DEPOSIT, sizeof(DEPOSIT) - 1 },
};

static void check_quotes(const struct kt_generate_result *r, bool inside, size_t seed)
{
    size_t n_marks = inside;
    for (size_t i = 0; i < r->text_len; i++)
        n_marks += r->text[i] == '"';
    if (n_marks != 2 * r->n_quotes && !(inside && r->text_len == 0))
        fail_msg("seed %zu: %zu marks and %zu quotations in '%s'", seed, n_marks, r->n_quotes,
                 r->text);
    for (size_t i = 0; i < r->n_quotes; i++) {
        const struct kt_quote *k = &r->quotes[i];
        const struct kt_quote_source *s = &SOURCES[k->src_idx];
        if (!kt_quote_matches(r->text + k->out_start, k->out_end - k->out_start,
                              s->text + k->src_start, k->src_end - k->src_start) ||
            r->text[k->out_end] != '"')
            fail_msg("seed %zu: quotation %zu of '%s' is not in its source", seed, i, r->text);
    }
}

static void quotations_are_in_their_source(void **state)
{
    (void)state;
    struct ids p = tokens("The house costs a lot. He quoted it: \""),
               q = tokens("They said \"no\" and \"yes\" and");
    size_t n_quotes = 0;
    for (size_t seed = 0; seed < 4; seed++) {
        bool inside = seed % 2 == 0;
        struct stream s = { 0 };
        struct kt_generate_request rq = {
            .prompt = inside ? p.p : q.p,
            .n_prompt = inside ? p.n : q.n,
            .n_max = 24,
            .sampling = { .temperature = seed ? 0.8f : 0, .seed = seed },
            .quotes = SOURCES,
            .n_quotes = ARRAY_LEN(SOURCES),
            .start_in_quote = inside,
            .quote_min_bytes = 8,
            .quote_max_bytes = 40,
            .ignore_stop_tokens = true,
            .on_text = on_text,
            .callback_ctx = &s,
        };
        struct kt_generate_result r = generate(shared, rq);
        check_quotes(&r, inside, seed);
        assert_string_equal(s.text, r.text);
        n_quotes += r.n_quotes;
        kt_generate_result_deinit(&r);
    }
    assert_true(n_quotes >=
                2); /* those that start inside: 40 bytes and a word fit into 24 tokens */

    /* A stop string that falls into a quotation: it is closed before it. */
    struct kt_generate_request rq = { .prompt = p.p,
                                      .n_prompt = p.n,
                                      .n_max = 24,
                                      .stop = (const char *const[]){ "a", "e", "i" },
                                      .n_stop = 3,
                                      .quotes = SOURCES,
                                      .n_quotes = ARRAY_LEN(SOURCES),
                                      .start_in_quote = true };
    struct kt_generate_result r = generate(shared, rq);
    check_quotes(&r, true, 100);
    assert_int_equal(r.finish, KT_FINISH_STOP_STRING);
    kt_generate_result_deinit(&r);

    rq.n_quotes =
        0; /* nothing may be quoted, and the prompt ends with an opening mark: an empty answer */
    r = generate(shared, rq);
    assert_int_equal(r.text_len, 0);
    assert_int_equal(r.n_tokens, 0);
    assert_int_equal(r.finish, KT_FINISH_STOP);
    kt_generate_result_deinit(&r);
    free(q.p);
    free(p.p);
}

/* ---- scores
 * --------------------------------------------------------------------------------------- */

struct rows {
    const int32_t *ids;
    size_t n, first;
    double logprob;
};

static enum kt_status add_row(void *ctx, size_t pos, const float *logits, size_t n_vocab,
                              struct kt_error *e)
{
    struct rows *r = ctx;
    (void)e;
    if (pos + 1 >= r->first && pos + 1 < r->n)
        r->logprob += kt_logprob(logits, n_vocab, r->ids[pos + 1]);
    return KT_OK;
}

static enum kt_status refuse(void *ctx, size_t pos, const float *logits, size_t n_vocab,
                             struct kt_error *e)
{
    (void)e;
    (void)logits;
    (void)n_vocab;
    ++*(size_t *)ctx;
    return pos == 2 ? KT_E_NOSPACE : KT_OK;
}

static void scores_agree(void **state)
{
    (void)state;
    struct ids p = tokens(STORY);
    struct kt_generate_result g = generate(shared, plain(p.p, p.n, 8));
    double score;
    must(kt_score(shared, p.p, p.n, g.tokens, g.n_tokens, &score, &err));
    /* The sampler's logprob is among the samplable ids: a few unused ones are missing there. */
    assert_float_equal(score / (double)g.n_tokens, g.mean_logprob, 1e-3);

    int32_t all[N_CTX];
    memcpy(all, p.p, p.n * sizeof(*all));
    memcpy(all + p.n, g.tokens, g.n_tokens * sizeof(*all));
    struct rows rows = { all, p.n + g.n_tokens, p.n, 0 };
    must(kt_logits(shared, all, rows.n, add_row, &rows, &err));
    if (fabs(rows.logprob - score) > 1e-9)
        fail_msg("score %.12g, from the logits %.12g", score, rows.logprob);

    size_t n_calls = 0;
    assert_int_equal(kt_logits(shared, all, 6, refuse, &n_calls, &err), KT_E_NOSPACE);
    assert_int_equal(n_calls, 3);
    assert_int_equal(kt_score(shared, p.p, 0, g.tokens, 1, &score, &err), KT_E_USAGE);
    assert_int_equal(kt_score(shared, p.p, p.n, g.tokens, N_CTX, &score, &err), KT_E_LIMIT);
    kt_generate_result_deinit(&g);
    free(p.p);
}

struct judged {
    size_t n, text_end;
    int32_t ids[8], top[8][KT_TOP_MAX];
    float logprob[8], top_logprob[8][KT_TOP_MAX];
};

static void note_token(void *ctx, const struct kt_token *t)
{
    struct judged *j = ctx;
    assert_true(j->n < 8);
    assert_int_equal(t->n_top, KT_TOP_MAX);
    assert_true(t->text_end >= j->text_end);
    j->text_end = t->text_end;
    j->ids[j->n] = t->id;
    j->logprob[j->n] = t->logprob;
    memcpy(j->top[j->n], t->top_ids, sizeof(j->top[0]));
    memcpy(j->top_logprob[j->n++], t->top_logprobs, sizeof(j->top_logprob[0]));
}

struct compared {
    const struct judged *judged;
    size_t n_prompt, n;
};

/* The same from the logits of every position, one whole sort each. */
static enum kt_status compare_row(void *ctx, size_t pos, const float *logits, size_t n_vocab,
                                  struct kt_error *e)
{
    (void)e;
    struct compared *k = ctx;
    if (pos + 1 < k->n_prompt)
        return KT_OK;
    size_t i = pos + 1 - k->n_prompt;
    if (i >= k->judged->n)
        return KT_OK;
    assert_true(fabs((double)k->judged->logprob[i] -
                     kt_logprob(logits, n_vocab, k->judged->ids[i])) < 1e-4);
    for (size_t t = 0; t < KT_TOP_MAX; t++) {
        int32_t id = k->judged->top[i][t];
        assert_true(fabs((double)k->judged->top_logprob[i][t] - kt_logprob(logits, n_vocab, id)) <
                    1e-4);
        size_t n_larger = 0;
        for (size_t v = 0; v < n_vocab; v++)
            n_larger += logits[v] > logits[id];
        assert_int_equal(n_larger, t);
    }
    k->n++;
    return KT_OK;
}

/* What on_token says of an answer drawn at a high temperature is what the logits of its text say: the temperature is not in
 * it, nor whether tokens were guessed. */
static void tokens_are_judged_by_the_model(void **state)
{
    (void)state;
    struct ids p = tokens(STORY);
    struct judged j[2] = { 0 };
    for (int i = 0; i < 2; i++) {
        struct kt_generate_request rq = plain(p.p, p.n, 8);
        rq.sampling = (struct kt_sampling){ .temperature = 2.0f, .top_k = 40, .seed = 11 };
        rq.speculate = i ? KT_SPECULATE_OFF : KT_SPECULATE_AUTO;
        rq.on_token = note_token;
        rq.n_top = KT_TOP_MAX;
        rq.callback_ctx = &j[i];
        struct kt_generate_result r = generate(shared, rq);
        assert_int_equal(j[i].n, r.n_tokens);
        assert_memory_equal(j[i].ids, r.tokens, r.n_tokens * sizeof(*r.tokens));
        kt_generate_result_deinit(&r);
    }
    assert_memory_equal(&j[0], &j[1], sizeof(j[0]));
    int32_t all[N_CTX];
    memcpy(all, p.p, p.n * sizeof(*all));
    memcpy(all + p.n, j[0].ids, j[0].n * sizeof(*all));
    struct compared k = { &j[0], p.n, 0 };
    must(kt_logits(shared, all, p.n + j[0].n, compare_row, &k, &err));
    assert_int_equal(k.n, j[0].n);
    struct kt_generate_request bad = plain(p.p, p.n, 1);
    struct kt_generate_result r;
    bad.n_top = KT_TOP_MAX + 1;
    assert_int_equal(kt_generate(shared, &bad, &r, &err), KT_E_USAGE);
    free(p.p);
}

static void logprob_is_log_softmax(void **state)
{
    (void)state;
    float x[4] = { -1, 2, 0.5f, -90 };
    double sum = exp(-1) + exp(2) + exp(0.5) + exp(-90);
    for (int32_t i = 0; i < 4; i++)
        assert_float_equal(kt_logprob(x, 4, i), (double)x[i] - log(sum), 1e-6);
}

static void speed_is_measured(void **state)
{
    (void)state;
    struct kt_bench_result r;
    struct kt_bench_request rq = {
        .n_prompt = 8, .n_gen = 3, .n_depth = 5, .n_streams = 2, .n_reps = 2
    };
    must(kt_bench(engine, &rq, &r, &err));
    assert_true(r.pp > 0 && r.tg > 0);
    assert_true(r.mixed_s == 0);
    rq.mixed = true;
    must(kt_bench(engine, &rq, &r, &err));
    assert_true(r.streams_s > 0 && r.chunk_s > 0 && r.mixed_s > 0);
    rq.n_prompt = 0;
    assert_int_equal(kt_bench(engine, &rq, &r, &err), KT_E_USAGE);
    rq.n_streams = 1000;
    rq.mixed = false;
    assert_int_equal(kt_bench(engine, &rq, &r, &err), KT_E_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_and_threads_change_nothing),
        cmocka_unit_test(a_grown_prefix_is_continued),
        cmocka_unit_test(a_seed_repeats),
        cmocka_unit_test(what_cannot_fit_is_refused_first),
        cmocka_unit_test(the_context_can_be_filled),
        cmocka_unit_test(a_stop_token_ends_the_answer),
        cmocka_unit_test(stop_strings_end_the_text_before_themselves),
        cmocka_unit_test(the_stream_adds_up),
        cmocka_unit_test(cancelling_is_a_success),
        cmocka_unit_test(quotations_are_in_their_source),
        cmocka_unit_test(scores_agree),
        cmocka_unit_test(tokens_are_judged_by_the_model),
        cmocka_unit_test(logprob_is_log_softmax),
        cmocka_unit_test(speed_is_measured),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
