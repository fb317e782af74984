/* What: the language of kt_grammar_parse(), of regular expressions and of labels. How: tables of grammars with texts that
 * are theirs, that begin one of theirs, and that are neither; tables of what is refused, and where; hostile sizes. The
 * comparison with another engine is test_grammar_peer.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "base/span.h"
#include "kontor/constrain.h"

static struct kt_grammar *parse(const char *text)
{
    struct kt_grammar *g;
    struct kt_error err;
    if (kt_grammar_parse(&g, text, strlen(text), &err))
        fail_msg("%s\n%s", text, err.text);
    return g;
}

static enum kt_grammar_match match(const struct kt_grammar *g, const char *text, size_t len)
{
    enum kt_grammar_match m;
    struct kt_error err;
    if (kt_grammar_match(g, text, len, &m, &err))
        fail_msg("%s: %s", text, err.text);
    return m;
}

struct row {
    const char *grammar;
    const char *whole[8], *beginning[8], *none[8];
};

static const char *const NAMES[] = { "none", "beginning", "whole" };

static void check_list(const struct kt_grammar *g, const char *grammar, const char *const *list,
                       enum kt_grammar_match want)
{
    for (size_t i = 0; i < 8 && list[i]; i++) {
        enum kt_grammar_match m = match(g, list[i], strlen(list[i]));
        if (m != want)
            fail_msg("%s\ntext %s: %s, expected %s", grammar, list[i], NAMES[m], NAMES[want]);
    }
}

static void check_row(struct kt_grammar *g, const struct row *r)
{
    check_list(g, r->grammar, r->whole, KT_GRAMMAR_WHOLE);
    check_list(g, r->grammar, r->beginning, KT_GRAMMAR_BEGINNING);
    check_list(g, r->grammar, r->none, KT_GRAMMAR_NONE);
    kt_grammar_destroy(g);
}

static const struct row GRAMMARS[] = {
    { "root ::= \"a\" | \"bc\" | \"bd\"",
      { "a", "bc", "bd" },
      { "", "b" },
      { "c", "ab", "bcd", "aa" } },
    { "root ::= \"\\x41\\u00e4\\u{1F600}\\n\\\"\\\\\"",
      { "A\xC3\xA4\xF0\x9F\x98\x80\n\"\\" },
      { "A", "A\xC3", "A\xC3\xA4\xF0\x9F" },
      { "a", "A\xC4" } },
    { "root ::= [a-c]+ [^a-c\\n]{2} .",
      { "axxx", "abc\xC3\xA4zq", "cx\xE2\x82\xAC!" },
      { "", "a", "abx", "ax\xE2\x82" },
      { "d", "axa", "ax\n", "axx\n" } },
    { "root ::= x{2,4}\nx ::= \"ab\" | \"c\"",
      { "abab", "cc", "abcab", "cccc" },
      { "ab", "c", "ca" },
      { "ccccc", "b", "abb" } },
    { "root ::= [a]{3,}", { "aaa", "aaaaaaaaaaaaaaaa" }, { "", "aa" }, { "aab" } },
    { "root ::= (\"a\" \"b\"?){10,12} \"c\"",
      { "aaaaaaaaaac", "ababababababababababac", "aaaaaaaaaaaac" },
      { "aaaaaaaaaaaa" },
      { "aaaaaaaaac", "aaaaaaaaaaaaa" } },
    { "# a list\nroot ::= \"[\" (item (\",\" item)*)? \"]\" # end\nitem ::= [0-9]+ |\n root",
      { "[]", "[1]", "[1,[2,[],33]]" },
      { "[", "[1,", "[[[", "[1" },
      { "]", "[,", "[1]]", "[1,]" } },
    { "root ::= \"(\" root \")\" | \"\"",
      { "", "()", "((()))" },
      { "(", "(((", "(()" },
      { ")", "())", "()()" } },
    { "root ::= \"(\" root \")\" root |",
      { "", "()", "()()", "(()())()" },
      { "(", "()(" },
      { ")", "())" } },
    { "sum ::= sum \"+\" [0-9] | sum \"-\" [0-9] | [0-9]\nroot ::= sum",
      { "1", "1+2", "1-2+3" },
      { "", "1+" },
      { "+", "1+2+-", "12" } },
    { "root ::= root | \"x\"", { "x" }, { "" }, { "xx" } },
    { "root ::= a b? c* d\na ::= \"\"\nb ::= \"b\"?\nc ::= (\"c\" | \"\")\nd ::= \"d\"{0,2}",
      { "", "b", "bccc", "ccdd", "d" },
      { NULL },
      { "bb", "ddd", "cb" } },
    { "root ::= (\"a\"? \"b\"?){3,5}",
      { "", "ab", "aabbab", "aaaaa", "ba" },
      { NULL },
      { "aaaaaa", "c" } },
    { "root ::= ((\"a\"*)*)* \"b\"", { "b", "aab" }, { "aa" }, { "ba" } },
    { "root ::= \"a\" never | \"b\"\nnever ::= \"c\" never", { "b" }, { "" }, { "a", "ac" } },
    { "root ::= \"q\" @quote | \"b\"", { "b" }, { "" }, { "q" } },
    { "root ::= /a.c|[^x-z]{2}\\/\\d/ \"!\"",
      { "abc!", "ab/7!" },
      { "a", "ab/" },
      { "x", "a\nc" } },
    { "root ::= \"\\\"\" /[^b]+/j \"\\\"\"",
      { "\"a\"", "\"\\\"\"", "\"\\u0001\\n\"" },
      { "\"", "\"\\u00" },
      { "\"b", "\"\n", "\"\"", "\"\\x" } },
    { "root ::= \"<\" /b+|^x|y$/f \">\"",
      { "<b>", "<abbc>", "<xqq>", "<qy>", "<y>" },
      { "<", "<a", "<x", "<ab>q" },
      { "b", ""
             "y" } },
    { "root ::= a\na-b ::= \"x\"\na ::= a-b a_c\na_c ::= \"y\"", { "xy" }, { "x" }, { "y" } },
    { "root::=\"a\"b\nb::=\"c\"|\"d\"", { "ac", "ad" }, { "a" }, { "c" } },
    { "root ::= [\\]\\-\\^a\\d]+", { "]-^a7" }, { "" }, { "b", "\\" } },
    { "root ::= e\ne ::= t (\"+\" t)*\nt ::= f (\"*\" f)*\nf ::= \"(\" e \")\" | [a-z]",
      { "a", "a+b*c", "(a+b)*(c)" },
      { "(", "a+", "(a" },
      { "a)", "+a", "()" } },
};

static void test_grammars(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(GRAMMARS); i++)
        check_row(parse(GRAMMARS[i].grammar), &GRAMMARS[i]);
}

static const struct row REGEXES[] = {
    { "abc", { "abc" }, { "", "ab" }, { "b", "abcd" } },
    { "^(?:a|b)+$", { "a", "abba" }, { "" }, { "c" } },
    { "^a|b$", { "a", "b" }, { "" }, { "ab" } },
    { "(?<year>\\d{4})-\\d\\d", { "2026-11" }, { "20", "2026-" }, { "20261" } },
    { "a*?b+?c??", { "b", "aabbc", "aab" }, { "aa" }, { "bca" } },
    { "[\\w.-]+@[\\w-]+(\\.[\\w-]+)+", { "a.b@c.de" }, { "a.b", "a@c", "a@c." }, { "@" } },
    { "\\u00e4\\x41\\u{1F600}\\ud83d\\ude00",
      { "\xC3\xA4"
        "A\xF0\x9F\x98\x80\xF0\x9F\x98\x80" },
      { "\xC3" },
      { "a" } },
    { "[]|x", { "x" }, { "" }, { "]" } },
    { "[^]", { "x", "\n", "\xC3\xA4" }, { "", "\xC3" }, { "xx" } },
    { "\\s\\S", { "\xC2\xA0x", " \xC3\xA4" }, { "", " ", "\xC2" }, { "x", "  " } },
    { "[a-z\\d_]{2,3}|", { "", "a1", "_zz" }, { "a" }, { "A", "abcd" } },
    { "x{0}y{1}", { "y" }, { "" }, { "x", "yy" } },
    { "(a{0,2}){3}", { "", "aaaaaa" }, { NULL }, { "aaaaaaa" } },
    { "\\/\\.\\*\\{\\\"\\-", { "/.*{\"-" }, { "/" }, { "\\" } },
};

static void test_regexes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(REGEXES); i++) {
        struct kt_grammar *g;
        struct kt_error err;
        const char *p = REGEXES[i].grammar;
        if (kt_grammar_from_regex(&g, p, strlen(p), &err))
            fail_msg("%s: %s", p, err.text);
        check_row(g, &REGEXES[i]);
    }
}

static void test_labels(void **state)
{
    (void)state;
    static const char *const LABELS[] = { "Mahnung", "Mahnbescheid",    "Rechnung",
                                          "Mahn",    "\xC3\x84nderung", "Rechnung" };
    struct kt_grammar *g;
    struct kt_error err;
    assert_int_equal(kt_grammar_from_labels(&g, LABELS, ARRAY_LEN(LABELS), &err), KT_OK);
    for (size_t i = 0; i < ARRAY_LEN(LABELS); i++)
        assert_int_equal(match(g, LABELS[i], strlen(LABELS[i])), KT_GRAMMAR_WHOLE);
    assert_int_equal(match(g, "Mahnb", 5), KT_GRAMMAR_BEGINNING);
    assert_int_equal(match(g, "Mahnx", 5), KT_GRAMMAR_NONE);
    assert_int_equal(match(g, "", 0), KT_GRAMMAR_BEGINNING);
    kt_grammar_destroy(g);
    assert_int_equal(kt_grammar_from_labels(&g, LABELS, 0, &err), KT_E_USAGE);
    static const char *const BAD[] = { "a", "" }, *const TORN[] = { "\xC3" };
    assert_int_equal(kt_grammar_from_labels(&g, BAD, 2, &err), KT_E_USAGE);
    assert_null(g);
    assert_int_equal(kt_grammar_from_labels(&g, TORN, 1, &err), KT_E_FORMAT);
    kt_grammar_destroy(NULL);
}

/* ---- what is refused ------------------------------------------------------------------------- */

struct refusal {
    const char *text;
    enum kt_status status;
    const char *says;
};

static const struct refusal BAD_GRAMMARS[] = {
    { "", KT_E_FORMAT, "there is no rule root" },
    { "a ::= \"x\"", KT_E_FORMAT, "there is no rule root" },
    { "root ::= b", KT_E_FORMAT, "line 1, column 10: there is no rule b" },
    { "root ::= \"x\"\nroot ::= \"y\"", KT_E_FORMAT,
      "line 2, column 1: rule root is defined twice" },
    { "root \"x\"", KT_E_FORMAT, "::= is expected" },
    { "root ::= \"x\" ]", KT_E_FORMAT, "column 14: the name of a rule" },
    { "root ::= \"x", KT_E_FORMAT, "no closing mark" },
    { "root ::= \"x\n\"", KT_E_FORMAT, "does not end on its line" },
    { "root ::= [a", KT_E_FORMAT, "no closing ]" },
    { "root ::= [z-a]", KT_E_FORMAT, "ends before it begins" },
    { "root ::= (\"a\"", KT_E_FORMAT, "no closing )" },
    { "root ::= \"a\"{2", KT_E_FORMAT, "no closing }" },
    { "root ::= \"a\"{3,2}", KT_E_FORMAT, "at least 3 times and at most 2" },
    { "root ::= \"a\"{x}", KT_E_FORMAT, "a number is expected" },
    { "root ::= \"a\"{99999999999}", KT_E_LIMIT, "a count above" },
    { "root ::= \"\\q\"", KT_E_UNSUPPORTED, "an escape" },
    { "root ::= \"\\xZZ\"", KT_E_FORMAT, "hexadecimal" },
    { "root ::= \"\\uD800\"", KT_E_FORMAT, "no character" },
    { "root ::= \"\\u{110000}\"", KT_E_FORMAT, "no such character" },
    { "root ::= \"\xC3\"", KT_E_FORMAT, "not UTF-8" },
    { "root ::= @word", KT_E_UNSUPPORTED, "only @quote" },
    { "root ::= /a", KT_E_FORMAT, "no closing /" },
    { "root ::= /a/x", KT_E_UNSUPPORTED, "a flag" },
    { "root ::= \"a\"*+", KT_E_FORMAT, "a repetition of a repetition" },
    { "root ::= \"x\"\n  /ab(?=a)/", KT_E_UNSUPPORTED, "line 2, column 6: looking ahead" },
    { "root ::= root \"x\"", KT_E_FORMAT, "no text can be completed" },
    { "root ::= \"x\" root", KT_E_FORMAT, "no text can be completed" },
    { "root ::= []", KT_E_FORMAT, "no text can be completed" },
    { "root ::= a\na ::= b \"x\" | \"y\"\nb ::= a | \"z\"", KT_E_UNSUPPORTED,
      "comes back to itself" },
    { "root ::= (\"a\"? root \"b\")* \"c\"", KT_E_UNSUPPORTED, "rule root comes back to itself" },
    { "root ::= \"a\"? root \"b\" | \"c\"", KT_E_UNSUPPORTED, "rule root comes back" },
};

static const struct refusal BAD_REGEXES[] = {
    { "(a", KT_E_FORMAT, "character 1: the group has no closing )" },
    { "a)", KT_E_FORMAT, "character 2: ) without its partner" },
    { "*a", KT_E_FORMAT, "a repetition of nothing" },
    { "a**", KT_E_FORMAT, "a repetition of nothing" },
    { "a{2", KT_E_FORMAT, "no closing }" },
    { "(a)\\1", KT_E_UNSUPPORTED, "character 4: references back" },
    { "\xC3\xA4(?!b)", KT_E_UNSUPPORTED, "character 2: looking ahead" },
    { "(?<=b)", KT_E_UNSUPPORTED, "looking ahead or behind" },
    { "\\bx", KT_E_UNSUPPORTED, "a word's edge" },
    { "\\p{L}", KT_E_UNSUPPORTED, "\\p{...}" },
    { "[\\p{L}]", KT_E_UNSUPPORTED, "\\p{...}" },
    { "a^b", KT_E_UNSUPPORTED, "^ is supported at the beginning" },
    { "(a$)b", KT_E_UNSUPPORTED, "$ is supported at the end" },
    { "(^a)*", KT_E_UNSUPPORTED, "^ is supported" },
    { "^*", KT_E_FORMAT, "a repetition of ^ or $" },
    { "[a-\\d]", KT_E_FORMAT, "a range from or to a class" },
    { "\\", KT_E_FORMAT, "nothing after it" },
    { "(?i:a)", KT_E_UNSUPPORTED, "a group of this kind" },
    { "\\01", KT_E_UNSUPPORTED, "octal" },
    { "[]", KT_E_FORMAT, "regular expression: no text" },
};

static void check_refusal(const struct refusal *r, enum kt_status st, const struct kt_grammar *g,
                          const struct kt_error *err)
{
    if (st != r->status || !strstr(err->text, r->says))
        fail_msg("%s\n%d: %s; expected %d: %s", r->text, (int)st, err->text, (int)r->status,
                 r->says);
    assert_null(g);
}

static void test_refusals(void **state)
{
    (void)state;
    struct kt_grammar *g;
    struct kt_error err = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(BAD_GRAMMARS); i++) {
        const char *t = BAD_GRAMMARS[i].text;
        enum kt_status st = kt_grammar_parse(&g, t, strlen(t), &err);
        check_refusal(&BAD_GRAMMARS[i], st, g, &err);
    }
    for (size_t i = 0; i < ARRAY_LEN(BAD_REGEXES); i++) {
        const char *t = BAD_REGEXES[i].text;
        enum kt_status st = kt_grammar_from_regex(&g, t, strlen(t), &err);
        check_refusal(&BAD_REGEXES[i], st, g, &err);
    }
}

/* ---- hostile ones ---------------------------------------------------------------------------- */

static void repeat(struct buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_append_str(b, s);
}

/* 'head', 'piece' n times, 'tail'; then the text 'letter' n_text times. Compiled and read, or refused as too large. */
struct hostile {
    const char *head, *piece, *tail;
    size_t n;
    const char *letter;
    size_t n_text;
    enum kt_status parse, match;
};

static const struct hostile HOSTILE[] = {
    { "root ::= ", "(", "\"a\"", 251, "a", 1, KT_E_LIMIT, KT_OK },
    { "root ::= ", "[^x]", "", 20000, "a", 20000, KT_OK, KT_OK },
    { "root ::= ", "\"a\"? ", "", 1000, "a", 1000, KT_OK, KT_OK },
    { "root ::= ", "\"a\"? ", "", 30000, "a", 1, KT_OK, KT_E_LIMIT },
    { "root ::= \"a\" root root | \"a\" | \"\"", "", "", 0, "a", 200, KT_OK, KT_OK },
    { "root ::= (\"a\" | \"aa\" | \"aaa\"){0,1000000000}", "", "", 0, "a", 2000, KT_OK, KT_OK },
    { "root ::= /(a|b|ab)*(a|b){200}(ab|ba|a|b)*(a|b){300}/", "", "", 0, "a", 1500, KT_OK, KT_OK },
    { "root ::= ((((\"a\"{0,99}){0,99}){0,99}){0,99}){0,99}", "", "", 0, "a", 300, KT_OK,
      KT_E_LIMIT },
    { "root ::= x\nx ::= \"a\" x \"b\" | \"c\"", "", "", 0, "a", 140000, KT_OK, KT_E_LIMIT },
    { "root ::= \"x\"", "| \"ab\"", "", 100000, "ab", 1, KT_OK, KT_OK },
    { "root ::= ", "a ", "", 100000, "", 0, KT_E_FORMAT, KT_OK },
    { "root ::= a ", "\na ::= \"x\"", "", 2, "", 0, KT_E_FORMAT, KT_OK },
    { "#", " ", "", 2000000, "", 0, KT_E_LIMIT, KT_OK },
};

static void hostile_grammars_are_bounded(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(HOSTILE); i++) {
        const struct hostile *h = &HOSTILE[i];
        struct buf grammar = { 0 }, text = { 0 };
        struct kt_grammar *g;
        struct kt_error err;
        enum kt_grammar_match m;
        buf_append_str(&grammar, h->head);
        repeat(&grammar, h->piece, h->n);
        buf_append_str(&grammar, h->tail);
        repeat(&text, h->letter, h->n_text);
        enum kt_status st = kt_grammar_parse(&g, grammar.ptr, grammar.len, &err);
        if (st != h->parse)
            fail_msg("%zu: %s: %d, expected %d", i, h->head, (int)st, (int)h->parse);
        if (!st)
            st = kt_grammar_match(g, text.ptr, text.len, &m, &err);
        if (st != h->match && !h->parse)
            fail_msg("%zu: %s: reading: %d, expected %d", i, h->head, (int)st, (int)h->match);
        if (!h->parse && !h->match)
            assert_int_not_equal(m, KT_GRAMMAR_NONE);
        kt_grammar_destroy(g);
        buf_deinit(&grammar);
        buf_deinit(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammars),
        cmocka_unit_test(test_regexes),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(hostile_grammars_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
