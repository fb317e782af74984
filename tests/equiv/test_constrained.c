/* What: constrained answers of whole models. Every one that ended by itself is one of the grammar's texts; guessing
 * changes nothing but the number of steps; stop strings, thoughts, quotations and the stop token keep to what
 * kontor/engine.h says; several threads use one grammar. How: small models of random weights, sampled hot, under grammars
 * of every kind, with and without guesses, judged by kt_grammar_match(), jansson and kt_quote_matches(); then SmolLM2. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
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

enum { N_CTX = 224, N_ANSWER = 150 };

static const char LEASE[] = "Die Miete betr\xC3\xA4gt 1.250,00 \xE2\x82\xAC und ist am 3. Werktag "
                            "f\xC3\xA4llig. Der Mieter zahlt eine Kaution.";
static const struct kt_quote_source SOURCES[] = { { LEASE, sizeof(LEASE) - 1 } };

struct form {
    const char *grammar, *regex;
    bool json, quotes;
};

static const struct form FORMS[] = {
    { .grammar =
          "root ::= \"{\\\"kind\\\": \\\"\" (\"invoice\" | \"reminder\") \"\\\", \\\"name\\\": "
          "\\\"\" [^\"\\\\\\x00-\\x1F]{0,12} \"\\\", "
          "\\\"list\\\": [\" (n (\", \" n){0,3})? \"]}\"\nn ::= \"-\"? (\"0\" | [1-9] [0-9]{0,2})",
      .json = true },
    { .grammar = "root ::= value\nvalue ::= \"[\" (value (\",\" value){0,2})? \"]\" | \"\\\"\" "
                 "[a-z]{0,6} \"\\\"\" | \"true\" | \"null\"",
      .json = true },
    { .grammar = "root ::= \"{\\\"quote\\\": \\\"\" @quote \"\\\", \\\"page\\\": \" [1-9] \"}\"",
      .json = true,
      .quotes = true },
    { .regex = "(?:ab|[x-z]{2,5}|\xC3\xA4+){1,6}\\d?" },
    { .regex = "invoice|reminder|other|in" },
};

static struct kt_grammar *make(const struct form *f)
{
    struct kt_grammar *g;
    if (f->grammar)
        must(kt_grammar_parse(&g, f->grammar, strlen(f->grammar), &err));
    else
        must(kt_grammar_from_regex(&g, f->regex, strlen(f->regex), &err));
    return g;
}

static struct kt_engine *open_small(const char *name)
{
    char *dir = temp_dir_make(), path[512];
    struct kt_engine *e;
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    synth_write_gguf(synth_named(name), path, QT_Q8_0);
    must(kt_engine_open(&e, path, &(struct kt_engine_options){ .n_threads = 1 }, &err));
    temp_dir_remove(dir);
    return e;
}

static struct kt_context *context(struct kt_engine *e, enum kt_speculate kind)
{
    struct kt_context *c;
    struct kt_context_options o = { .n_ctx = N_CTX, .speculate = kind };
    must(kt_context_create(&c, e, &o, &err));
    if (c->guessing)
        speculation_be_eager(c->guessing);
    return c;
}

static void judge(const struct kt_grammar *g, const struct form *f,
                  const struct kt_generate_result *r)
{
    bool whole = r->finish == KT_FINISH_STOP;
    enum kt_grammar_match m = KT_GRAMMAR_NONE;
    if (!f->quotes) {
        must(kt_grammar_match(g, r->text, r->text_len, &m, &err));
        if (whole ? m != KT_GRAMMAR_WHOLE : m == KT_GRAMMAR_NONE)
            fail_msg("%s\nanswered %s", f->grammar ? f->grammar : f->regex, r->text);
    }
    json_t *v = f->json && whole ? json_loadb(r->text, r->text_len, JSON_DECODE_ANY, NULL) : NULL;
    if (f->json && whole && !v)
        fail_msg("not JSON: %s", r->text);
    if (f->quotes && whole) {
        const char *quote = json_string_value(json_object_get(v, "quote"));
        assert_int_equal(r->n_quotes, 1);
        assert_true(kt_quote_matches(quote, strlen(quote), LEASE + r->quotes[0].src_start,
                                     r->quotes[0].src_end - r->quotes[0].src_start));
    }
    json_decref(v);
}

static void same(const struct kt_generate_result *a, const struct kt_generate_result *b)
{
    if (a->n_tokens != b->n_tokens || a->finish != b->finish || strcmp(a->text, b->text) != 0 ||
        memcmp(a->tokens, b->tokens, a->n_tokens * sizeof(*a->tokens)) != 0)
        fail_msg("with guesses %s, without %s", b->text, a->text);
    assert_int_equal(a->n_quotes, b->n_quotes);
    /* A right guess is a step less; of those beyond the answer's end nothing is said. */
    assert_true(b->n_steps + b->lookup.right + b->mtp.right == a->n_steps);
}

static void compare(const char *name, size_t n_requests)
{
    struct kt_engine *e = open_small(name);
    struct kt_context *plain = context(e, KT_SPECULATE_OFF),
                      *guessing = context(e, KT_SPECULATE_AUTO);
    struct rng rng;
    rng_init(&rng, 9);
    size_t n_whole = 0, n_right = 0, n_tried = 0;
    for (size_t i = 0; i < n_requests; i++) {
        const struct form *f = &FORMS[i % ARRAY_LEN(FORMS)];
        struct kt_grammar *g = make(f);
        int32_t prompt[24];
        for (size_t k = 0; k < ARRAY_LEN(prompt); k++)
            prompt[k] = (int32_t)rng_below(&rng, 256);
        struct kt_generate_request rq = { .prompt = prompt,
                                          .n_prompt = ARRAY_LEN(prompt),
                                          .n_max = N_ANSWER,
                                          .sampling = { .temperature = i % 4 ? 1.3f : 0,
                                                        .seed = i },
                                          .grammar = g,
                                          .quotes = f->quotes ? SOURCES : NULL,
                                          .n_quotes = f->quotes };
        struct kt_generate_result a, b;
        must(kt_generate(plain, &rq, &a, &err));
        must(kt_generate(guessing, &rq, &b, &err));
        judge(g, f, &a);
        same(&a, &b);
        n_whole += a.finish == KT_FINISH_STOP;
        n_tried += b.lookup.tried;
        n_right += b.lookup.right;
        kt_generate_result_deinit(&a);
        kt_generate_result_deinit(&b);
        kt_grammar_destroy(g);
    }
    printf("%s: %zu of %zu answers whole; %zu of %zu guesses right\n", name, n_whole, n_requests,
           n_right, n_tried);
    assert_true(n_whole > n_requests / 2 && n_right > 10 * n_requests);
    kt_context_destroy(plain);
    kt_context_destroy(guessing);
    kt_engine_close(e);
}

static void small_models_keep_to_the_grammar(void **state)
{
    (void)state;
    compare("qwen35-r4", 10);
    compare("llama-tied", 25);
}

static int32_t PROMPT[] = { 'A', 'n', 's', 'w', 'e', 'r', ':' };

static struct kt_generate_result ask(struct kt_context *c, const char *regex,
                                     struct kt_generate_request rq)
{
    struct kt_generate_result r;
    struct kt_grammar *g;
    must(kt_grammar_from_regex(&g, regex, strlen(regex), &err));
    rq.prompt = PROMPT;
    rq.n_prompt = ARRAY_LEN(PROMPT);
    rq.grammar = g;
    must(kt_generate(c, &rq, &r, &err));
    kt_grammar_destroy(g);
    return r;
}

/* Ends: where nothing can follow; at n_max, with a part of a character left out; before a stop string. */
static void answers_end_as_they_should(void **state)
{
    (void)state;
    struct kt_engine *e = open_small("llama-tied");
    struct kt_context *c = context(e, KT_SPECULATE_OFF);
    struct kt_generate_result r = ask(c, "x{5}", (struct kt_generate_request){ .n_max = 5 });
    assert_string_equal(r.text, "xxxxx"); /* whole at its last token: not "length" */
    assert_int_equal(r.finish, KT_FINISH_STOP);
    assert_int_equal(r.n_steps, 4);
    kt_generate_result_deinit(&r);
    r = ask(c, "x{5}", (struct kt_generate_request){ .n_max = 9, .ignore_stop_tokens = true });
    assert_string_equal(r.text, "xxxxx");
    kt_generate_result_deinit(&r);
    r = ask(c, "x\xE2\x82\xAC{5}", (struct kt_generate_request){ .n_max = 6 });
    assert_string_equal(r.text, "x\xE2\x82\xAC");
    assert_int_equal(r.finish, KT_FINISH_LENGTH);
    kt_generate_result_deinit(&r);
    r = ask(c, "xyz{2}END",
            (struct kt_generate_request){
                .n_max = 50, .stop = (const char *const[]){ "zE" }, .n_stop = 1 });
    assert_string_equal(r.text, "xyz");
    assert_int_equal(r.finish, KT_FINISH_STOP_STRING);
    kt_generate_result_deinit(&r);
    /* Inside a thought everything goes but the end. */
    r = ask(c, "x{5}",
            (struct kt_generate_request){
                .n_max = 40, .thinking = true, .sampling = { .temperature = 2, .seed = 1 } });
    assert_int_equal(r.finish, KT_FINISH_LENGTH);
    assert_int_equal(r.n_tokens, 40);
    kt_generate_result_deinit(&r);
    kt_context_destroy(c);
    kt_engine_close(e);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    struct kt_engine *e = open_small("llama-tied");
    struct kt_context *c = context(e, KT_SPECULATE_OFF);
    struct kt_grammar *g = make(&FORMS[2]);
    struct kt_generate_result r;
    struct kt_generate_request rq = {
        .prompt = PROMPT, .n_prompt = ARRAY_LEN(PROMPT), .n_max = 10, .grammar = g
    };
    assert_int_equal(kt_generate(c, &rq, &r, &err), KT_E_USAGE);
    assert_non_null(strstr(err.text, "nothing that can be quoted"));
    kt_grammar_destroy(g);
    kt_context_destroy(c);
    kt_engine_close(e);
}

/* ---- one grammar, several answers at once ---- */

struct worker {
    pthread_t thread;
    struct kt_engine *e;
    const struct kt_grammar *g;
    size_t n_whole;
};

static void *work(void *ctx)
{
    struct worker *w = ctx;
    struct kt_error e;
    struct kt_context *c;
    struct kt_context_options o = { .n_ctx = N_CTX, .speculate = KT_SPECULATE_OFF };
    if (kt_context_create(&c, w->e, &o, &e))
        return NULL;
    for (uint64_t i = 0; i < 4; i++) {
        struct kt_generate_result r;
        struct kt_generate_request rq = { .prompt = PROMPT,
                                          .n_prompt = ARRAY_LEN(PROMPT),
                                          .n_max = N_ANSWER,
                                          .grammar = w->g,
                                          .sampling = { .temperature = 1, .seed = i } };
        if (kt_generate(c, &rq, &r, &e))
            break;
        enum kt_grammar_match m = KT_GRAMMAR_NONE;
        if (!kt_grammar_match(w->g, r.text, r.text_len, &m, &e))
            w->n_whole += r.finish == KT_FINISH_STOP ? m == KT_GRAMMAR_WHOLE : m != KT_GRAMMAR_NONE;
        kt_generate_result_deinit(&r);
    }
    kt_context_destroy(c);
    return NULL;
}

static void threads_share_a_grammar(void **state)
{
    (void)state;
    struct kt_engine *e = open_small("llama-tied");
    struct kt_grammar *g = make(&FORMS[0]);
    struct worker w[4] = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(w); i++) {
        w[i].e = e;
        w[i].g = g;
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(w); i++) {
        pthread_join(w[i].thread, NULL);
        assert_int_equal(w[i].n_whole, 4);
    }
    kt_grammar_destroy(g);
    kt_engine_close(e);
}

/* ---- a real model ---- */

static void smollm_keeps_to_the_grammar(void **state)
{
    (void)state;
    const char *dir = getenv("KONTOR_TESTDATA");
    if (!dir)
        fail_msg("KONTOR_TESTDATA is not set; run through ctest");
    char *path = path_join(dir, "SmolLM2-135M-Instruct.Q4_1.gguf");
    struct kt_engine *e;
    must(kt_engine_open(&e, path, NULL, &err));
    free(path);
    struct kt_context *plain = context(e, KT_SPECULATE_OFF),
                      *guessing = context(e, KT_SPECULATE_LOOKUP);
    struct kt_message msg = { "user", "Make a record of this letter.", 29 };
    int32_t *ids;
    size_t n;
    must(kt_chat_tokens(e, &msg, 1, &ids, &n, &err));
    for (size_t i = 0; i < 3; i++) {
        struct kt_grammar *g = make(&FORMS[i]);
        struct kt_generate_request rq = { .prompt = ids,
                                          .n_prompt = n,
                                          .n_max = 30,
                                          .grammar = g,
                                          .sampling = { .temperature = 0.8f, .seed = i },
                                          .quotes = FORMS[i].quotes ? SOURCES : NULL,
                                          .n_quotes = FORMS[i].quotes };
        struct kt_generate_result a, b;
        must(kt_generate(plain, &rq, &a, &err));
        must(kt_generate(guessing, &rq, &b, &err));
        judge(g, &FORMS[i], &a);
        same(&a, &b);
        kt_generate_result_deinit(&a);
        kt_generate_result_deinit(&b);
        kt_grammar_destroy(g);
    }
    free(ids);
    kt_context_destroy(plain);
    kt_context_destroy(guessing);
    kt_engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_models_keep_to_the_grammar),
        cmocka_unit_test(answers_end_as_they_should),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(threads_share_a_grammar),
        cmocka_unit_test(smollm_keeps_to_the_grammar),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
