/* Grammars and answers under them while memory runs out: the n-th allocation fails, n = 1, 2, ... until one run gets
 * through. Each ends with "out of memory" or, where memory only buys speed, as if nothing had been, and leaves nothing
 * behind: the sanitizer build counts what was not freed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "constrain/constraint.h"
#include "constrain/slice.h"
#include "failing_alloc.h"

static const char GRAMMAR[] =
    "root ::= \"{\\\"a\\\": \\\"\" @quote \"\\\", \\\"b\\\": \" list \", \\\"c\\\": \\\"\" "
    "/[^x]{0,30}|y+/jf \"\\\"}\"\n"
    "list ::= \"[\" (item (\",\" item){0,9})? \"]\"\nitem ::= list | sum | \"true\" | \"twelve\"\n"
    "sum ::= sum [-+] n | n\nn ::= [0-9\xC3\xA4-\xE2\x82\xAC]+";
static const char ANSWER[] =
    "{\"a\": \"Die Miete\", \"b\": [[1,22+3],true,twelve,[[]]], \"c\": \"a\\\"yy b\"}";
static const struct kt_quote_source SOURCE = { "Hier: Die Miete ist hoch.", 25 };
static const char *const LABELS[] = { "true", "twelve", "[" };

static char bytes_of[256];

static struct span token_bytes(const void *ctx, int32_t id)
{
    (void)ctx;
    return (struct span){ &bytes_of[id], 1 };
}

/* A whole answer, byte by byte. */
static enum kt_status write_answer(struct token_trie *v, const struct kt_grammar *g,
                                   struct kt_error *err)
{
    struct constraint *c;
    struct constraint_options o = { .grammar = g, .quotes = &SOURCE, .n_quotes = 1 };
    uint64_t mask[4];
    char ahead[32];
    bool any, certain, close;
    size_t keep, n;
    enum kt_status st = constraint_create(&c, v, &o, err);
    if (st) {
        assert_null(c);
        return st;
    }
    for (size_t i = 0; i < sizeof(ANSWER) - 1 && !st; i++) {
        int32_t id = (uint8_t)ANSWER[i];
        constraint_allows(c, &id, 1);
        constraint_ahead(c, ahead, sizeof(ahead), &certain);
        constraint_forced(c, NULL, 0);
        st = constraint_mask(c, mask, &any, err);
        if (!st && !mask_has(mask, (size_t)id))
            fail_msg("byte %zu (%c) is not allowed", i, ANSWER[i]);
        if (!st)
            st = constraint_accept(c, id, err);
    }
    if (!st) {
        assert_true(constraint_ended(c));
        constraint_end(c, SPAN(ANSWER), &keep, &close);
        const struct kt_quote *q = constraint_quotes(c, &n);
        if (constraint_failed(c))
            st = kt_fail(err, KT_E_NOMEM, "out of memory");
        else
            assert_true(n == 1 && q[0].src_start == 6 && q[0].src_end == 15);
    }
    constraint_destroy(c);
    return st;
}

static enum kt_status run(struct kt_error *err)
{
    struct token_trie *v = NULL;
    struct kt_grammar *g = NULL, *labels = NULL, *regex = NULL;
    uint64_t all[4] = { ~(uint64_t)0, ~(uint64_t)0, ~(uint64_t)0, ~(uint64_t)0 };
    struct charset set = { 0 };
    enum kt_grammar_match m;
    enum kt_status st = token_trie_create(&v, 256, token_bytes, NULL, all, NULL, 0, err);
    if (!st)
        st = kt_grammar_parse(&g, GRAMMAR, sizeof(GRAMMAR) - 1, err);
    if (!st)
        st = kt_grammar_from_labels(&labels, LABELS, 3, err);
    if (!st)
        st = kt_grammar_from_regex(&regex, "(a|\\d{9,})+[^b]", 15, err);
    if (!st)
        st = kt_grammar_match(regex, "a1234567890c", 12, &m, err);
    if (!st) { /* a slice that pays */
        charset_add(&set, 'a', 'z');
        slice_missed(v, &set, SLICE_PAYS);
        slice_release(v, slice_acquire(v, &set));
        charset_deinit(&set);
        st = write_answer(v, g, err);
    }
    kt_grammar_destroy(g);
    kt_grammar_destroy(labels);
    kt_grammar_destroy(regex);
    token_trie_destroy(v);
    return st;
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    size_t n = 0, n_said = 0, left;
    do {
        struct kt_error err = { 0 };
        countdown = ++n;
        enum kt_status st = run(&err);
        left = countdown;
        countdown = 0;
        if (st && (st != KT_E_NOMEM || !strstr(err.text, "out of memory")))
            fail_msg("allocation %zu: %d: %s", n, (int)st, err.text);
        n_said += st == KT_E_NOMEM;
    } while (left == 0);
    printf("%zu allocations, %zu of them needed\n", n - 1, n_said);
    assert_true(n_said > 100);
}

int main(void)
{
    for (int i = 0; i < 256; i++)
        bytes_of[i] = (char)i;
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_allocation_fails_once) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
