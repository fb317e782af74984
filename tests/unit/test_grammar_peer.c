/* What: the texts of random regular expressions and of random recursive grammars are those that PCRE2 says they are, and
 * so are the beginnings of texts. How: a random tree is written as an ECMAScript pattern, as our grammar and as a PCRE2
 * pattern (whose (?&name) calls are recursive); texts are drawn from the tree, changed, or noise; PCRE2 matches each as a
 * whole and, with its partial matching, as a beginning. A text that one side has and the other not is printed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/rng.h"
#include "base/size.h"
#include "base/span.h"
#include "base/utf8.h"
#include "kontor/constrain.h"

/* ---- trees ----------------------------------------------------------------------------------- */

enum kind { CHARS, CLASS, CAT, ALT, REPEAT, RULE };

struct tree {
    enum kind kind;
    int atom;     /* CHARS, CLASS: which of the tables; RULE: which */
    int min, max; /* REPEAT; max < 0: endless                      */
    bool lazy;
    struct tree *kids[3];
    int n_kids;
};

enum { POOL = 400, N_RULES = 3 };
static struct tree pool[POOL];
static int n_pool;

static const char
    *const CHARS_OF[] = { /* the first is the empty text */
                          "",  "a",  "b",  "ab",  "\xC3\xA4", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
                          "1", "_ ", "\n", "bab", ".",        "\"",           "\\"
    };
/* Classes as all three write them, with characters that are theirs. */
static const struct {
    const char *text;
    const char *some[4];
} CLASSES[] = {
    { "[ab]", { "a", "b" } },
    { "[^ab]", { "1", "\xC3\xA4", "\n", "\"" } },
    { "[\xC3\xA0-\xE2\x82\xAC]", { "\xC3\xA4", "\xE2\x82\xAC", "\xE1\x80\x80" } },
    { ".", { "a", "\xF0\x9F\x98\x80", " " } },
    { "[\\d_]", { "1", "_", "7" } },
    { "[\\w ]", { "a", " ", "1" } },
    { "[^\\s]", { "a", "\xF0\x9F\x98\x81" } },
    { "[\\x{0}-\\x{10FFFF}]", { "b", "\n", "\xC3\xA4", "\xF0\x9F\x98\x80" } },
};
static const char EVERYTHING[] = "[^]"; /* the last one, as ECMAScript writes it */

/* 'own': the rule this is of; it may call any where a character came before, and else only later ones, so that none
 * waits for itself. N_RULES: no rules. */
static struct tree *grow(struct rng *rng, int depth, int own, bool at_start)
{
    struct tree *t = &pool[n_pool < POOL - 1 ? n_pool++ : n_pool];
    size_t pick = rng_below(rng, 10);
    *t = (struct tree){ .kind = pick < 2   ? CHARS
                                : pick < 4 ? CLASS
                                : pick < 6 ? CAT
                                : pick < 8 ? ALT
                                           : REPEAT };
    if (depth == 0 || n_pool > POOL - 8)
        t->kind = pick < 5 ? CHARS : CLASS;
    bool calls = own < N_RULES && (!at_start || own + 1 < N_RULES);
    if (calls && rng_below(rng, 3) == 0)
        t->kind = RULE;
    int first = t->kind == RULE && at_start ? own + 1 : 0;
    size_t n_atoms = t->kind == CHARS   ? ARRAY_LEN(CHARS_OF)
                     : t->kind == CLASS ? ARRAY_LEN(CLASSES)
                                        : (size_t)(N_RULES - first);
    t->atom = first + (int)rng_below(rng, n_atoms ? n_atoms : 1);
    t->n_kids = t->kind == CAT || t->kind == ALT ? 2 + (int)rng_below(rng, 2) : t->kind == REPEAT;
    for (int i = 0; i < t->n_kids; i++) {
        t->kids[i] = grow(rng, depth - 1, own, at_start);
        if (t->kind == CAT &&
            (t->kids[i]->kind == CLASS || (t->kids[i]->kind == CHARS && t->kids[i]->atom > 0)))
            at_start = false;
    }
    if (t->kind == REPEAT) {
        static const int BOUNDS[][2] = { { 0, 1 }, { 0, -1 }, { 1, -1 }, { 0, 2 },
                                         { 2, 3 }, { 2, -1 }, { 3, 3 },  { 1, 12 } };
        size_t b = rng_below(rng, ARRAY_LEN(BOUNDS));
        t->min = BOUNDS[b][0];
        t->max = BOUNDS[b][1];
        t->lazy = rng_below(rng, 4) == 0;
    }
    return t;
}

/* ---- as texts of the three languages ---------------------------------------------------------- */

enum language { ECMA, EBNF, PCRE };

static void write_bounds(struct buf *b, const struct tree *t, enum language to)
{
    if (t->max < 0 && t->min < 2)
        buf_append_char(b, t->min ? '+' : '*');
    else if (t->max == 1 && t->min == 0)
        buf_append_char(b, '?');
    else if (t->max < 0)
        buf_printf(b, "{%d,}", t->min);
    else if (t->max == t->min)
        buf_printf(b, "{%d}", t->min);
    else
        buf_printf(b, "{%d,%d}", t->min, t->max);
    if (t->lazy && to == ECMA)
        buf_append_char(b, '?');
}

static void write_chars(struct buf *b, const char *s, enum language to)
{
    for (; *s; s++) {
        if (*s == '\n')
            buf_append_str(b, "\\n");
        else if (*s == '\\' || (*s == '"' && to == EBNF))
            buf_printf(b, "\\%c", *s);
        else if (*s == '.' && to != EBNF)
            buf_append_str(b, "\\.");
        else
            buf_append_char(b, *s);
    }
}

static void write_tree(struct buf *b, const struct tree *t, enum language to)
{
    const char *open = to == EBNF ? "(" : "(?:";
    switch (t->kind) {
    case CHARS:
        buf_append_str(b, to == EBNF ? "\"" : open);
        write_chars(b, CHARS_OF[t->atom], to);
        buf_append_str(b, to == EBNF ? "\"" : ")");
        break;
    case CLASS:
        if (t->atom == (int)ARRAY_LEN(CLASSES) - 1 && to != PCRE)
            buf_append_str(b, EVERYTHING);
        else if (strcmp(CLASSES[t->atom].text, ".") == 0 && to == PCRE)
            buf_append_str(b, "[^\\n\\r\\x{2028}\\x{2029}]");
        else
            buf_append_str(b, CLASSES[t->atom].text);
        break;
    case RULE:
        buf_printf(b, to == EBNF ? "r%d" : "(?&r%d)", t->atom);
        break;
    default:
        buf_append_str(b, open);
        for (int i = 0; i < t->n_kids; i++) {
            if (i)
                buf_append_char(b, t->kind == ALT ? '|' : to == EBNF ? ' ' : '\t');
            if (i && t->kind == CAT && to != EBNF)
                b->len--; /* nothing stands between */
            write_tree(b, t->kids[i], to);
        }
        buf_append_char(b, ')');
        if (t->kind == REPEAT)
            write_bounds(b, t, to);
    }
}

/* A text of the tree, unless it gets too long. */
static void draw(struct buf *b, const struct tree *t, struct tree *const *rules, struct rng *rng,
                 int depth)
{
    if (b->len > 60 || depth == 0)
        return;
    size_t n = 0;
    switch (t->kind) {
    case CHARS:
        buf_append_str(b, CHARS_OF[t->atom]);
        break;
    case CLASS:
        while (n < 4 && CLASSES[t->atom].some[n])
            n++;
        buf_append_str(b, CLASSES[t->atom].some[rng_below(rng, n)]);
        break;
    case RULE:
        draw(b, rules[t->atom], rules, rng, depth - 1);
        break;
    case CAT:
        for (int i = 0; i < t->n_kids; i++)
            draw(b, t->kids[i], rules, rng, depth - 1);
        break;
    case ALT:
        draw(b, t->kids[rng_below(rng, (size_t)t->n_kids)], rules, rng, depth - 1);
        break;
    case REPEAT:
        n = (size_t)t->min + rng_below(rng, t->max < 0 ? 4 : (size_t)(t->max - t->min + 1));
        for (size_t i = 0; i < n; i++)
            draw(b, t->kids[0], rules, rng, depth - 1);
    }
}

/* Changed: a character out, in, or everything after a place gone. */
static void change(struct buf *b, struct rng *rng)
{
    static const char *const SOME[] = { "a", "b", "1", "\xC3\xA4", " ", "\n", "\xE2\x82\xAC" };
    size_t starts[80], n = 0;
    for (size_t i = 0; i < b->len && n < 79; i++)
        if (((uint8_t)b->ptr[i] & 0xC0) != 0x80)
            starts[n++] = i;
    starts[n] = b->len;
    size_t k = rng_below(rng, n + 1), at = starts[k], what = rng_below(rng, 3);
    struct buf out = { 0 };
    buf_append(&out, b->ptr ? b->ptr : "", at);
    if (what == 0)
        buf_append_str(&out, SOME[rng_below(rng, ARRAY_LEN(SOME))]);
    if (what != 1 && k < n) {
        size_t from = what == 0 ? at : starts[k + 1];
        buf_append(&out, b->ptr + from, b->len - from);
    }
    buf_append_str(&out, "");
    buf_deinit(b);
    *b = out;
}

/* ---- the judge ------------------------------------------------------------------------------- */

static pcre2_match_context *limits;

/* The pattern, tied to the end of the text by \z: partial matching allows no other way. */
static pcre2_code *compile(const struct buf *b)
{
    int code;
    size_t at;
    struct buf tied = { 0 };
    buf_printf(&tied, "(?:%s)\\z", b->ptr);
    pcre2_code *p = pcre2_compile((PCRE2_SPTR)tied.ptr, tied.len,
                                  PCRE2_UTF | PCRE2_NO_START_OPTIMIZE | PCRE2_NO_AUTO_POSSESS,
                                  &code, &at, NULL);
    if (!p)
        fail_msg("pcre2: %d at %zu: %s", code, at, tied.ptr);
    buf_deinit(&tied);
    return p;
}

/* As kt_grammar_match(); false: PCRE2 gave up. */
static bool peer(const pcre2_code *p, struct span text, bool *whole, bool *beginning)
{
    pcre2_match_data *m = pcre2_match_data_create(4, NULL);
    PCRE2_SPTR s = (PCRE2_SPTR)(text.ptr ? text.ptr : "");
    int r = pcre2_match(p, s, text.len, 0, PCRE2_ANCHORED, m, limits);
    int q = pcre2_match(p, s, text.len, 0, PCRE2_ANCHORED | PCRE2_PARTIAL_HARD, m, limits);
    pcre2_match_data_free(m);
    *whole = r >= 0;
    /* Of the empty text PCRE2 finds no part; every pattern here has some text, which begins so. */
    *beginning = r >= 0 || q == PCRE2_ERROR_PARTIAL || text.len == 0;
    return (r >= 0 || r == PCRE2_ERROR_NOMATCH) &&
           (q >= 0 || q == PCRE2_ERROR_NOMATCH || q == PCRE2_ERROR_PARTIAL);
}

static struct {
    size_t whole, beginning, none, given_up;
} tally;

static void compare(const struct kt_grammar *g, const pcre2_code *p, const char *pattern,
                    struct span text)
{
    bool whole, beginning;
    enum kt_grammar_match m;
    struct kt_error err;
    if (!peer(p, text, &whole, &beginning)) {
        tally.given_up++;
        return;
    }
    assert_int_equal(kt_grammar_match(g, text.ptr, text.len, &m, &err), KT_OK);
    enum kt_grammar_match want = whole       ? KT_GRAMMAR_WHOLE
                                 : beginning ? KT_GRAMMAR_BEGINNING
                                             : KT_GRAMMAR_NONE;
    if (m != want)
        fail_msg("%s\ntext [%.*s]: %d, pcre2 says %d", pattern, (int)text.len,
                 text.ptr ? text.ptr : "", (int)m, (int)want);
    ++*(whole ? &tally.whole : beginning ? &tally.beginning : &tally.none);
}

static void compare_texts(const struct kt_grammar *g, const pcre2_code *p, const char *pattern,
                          const struct tree *root, struct tree *const *rules, struct rng *rng)
{
    for (int i = 0; i < 24; i++) {
        struct buf text = { 0 };
        draw(&text, root, rules, rng, 30);
        for (size_t k = (size_t)i % 3; k > 0; k--)
            change(&text, rng);
        compare(g, p, pattern, buf_span(&text));
        buf_deinit(&text);
    }
}

static void regexes(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 2026);
    for (int i = 0; i < 1000; i++) {
        n_pool = 0;
        struct tree *t = grow(&rng, 4, N_RULES, true);
        struct buf ours = { 0 }, theirs = { 0 };
        write_tree(&ours, t, ECMA);
        write_tree(&theirs, t, PCRE);
        struct kt_grammar *g;
        struct kt_error err;
        if (kt_grammar_from_regex(&g, ours.ptr, ours.len, &err))
            fail_msg("%s: %s", ours.ptr, err.text);
        pcre2_code *p = compile(&theirs);
        compare_texts(g, p, ours.ptr, t, NULL, &rng);
        pcre2_code_free(p);
        kt_grammar_destroy(g);
        buf_deinit(&ours);
        buf_deinit(&theirs);
    }
    printf("regular expressions: %zu whole, %zu beginnings, %zu neither, %zu that pcre2 gave up\n",
           tally.whole, tally.beginning, tally.none, tally.given_up);
    assert_true(tally.whole > 8000 && tally.beginning > 500 && tally.none > 4000);
}

static void grammars(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 77);
    memset(&tally, 0, sizeof(tally));
    for (int i = 0; i < 1000; i++) {
        n_pool = 0;
        struct tree *rules[N_RULES];
        struct buf ours = { 0 }, theirs = { 0 };
        buf_append_str(&ours, "root ::= r0\n");
        buf_append_str(&theirs, "(?(DEFINE)");
        for (int r = 0; r < N_RULES; r++) {
            rules[r] = grow(&rng, 3, r, true);
            buf_printf(&ours, "r%d ::= %s | ", r,
                       r == 1 ? "\"\"" : "\"b\""); /* so that each has an end */
            write_tree(&ours, rules[r], EBNF);
            buf_append_char(&ours, '\n');
            buf_printf(&theirs, "(?<r%d>%s|", r, r == 1 ? "" : "b");
            write_tree(&theirs, rules[r], PCRE);
            buf_append_char(&theirs, ')');
        }
        buf_append_str(&theirs, ")(?&r0)");
        struct kt_grammar *g;
        struct kt_error err;
        if (kt_grammar_parse(&g, ours.ptr, ours.len, &err))
            fail_msg("%s: %s", ours.ptr, err.text);
        pcre2_code *p = compile(&theirs);
        compare_texts(g, p, ours.ptr, rules[0], rules, &rng);
        pcre2_code_free(p);
        kt_grammar_destroy(g);
        buf_deinit(&ours);
        buf_deinit(&theirs);
    }
    printf("grammars: %zu whole, %zu beginnings, %zu neither, %zu that pcre2 gave up\n",
           tally.whole, tally.beginning, tally.none, tally.given_up);
    assert_true(tally.whole > 4000 && tally.beginning > 500 && tally.none > 2000);
}

/* ---- the flags of /.../ in grammars ---- */

/* The text as it stands in a JSON string. */
static void escape(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\n')
            buf_append_str(out, "\\n");
        else if (s.ptr[i] == '"' || s.ptr[i] == '\\')
            buf_printf(out, "\\%c", s.ptr[i]);
        else
            buf_append_char(out, s.ptr[i]);
    }
}

/* One to three branches, tied to an end or not. */
static void write_branches(struct buf *b, struct tree *const *branches, const unsigned *ties, int n,
                           enum language to)
{
    for (int i = 0; i < n; i++) {
        if (i)
            buf_append_char(b, '|');
        if (ties[i] & 1)
            buf_append_char(b, '^');
        write_tree(b, branches[i], to);
        if (ties[i] & 2)
            buf_append_char(b, '$');
    }
}

static enum kt_grammar_match match_of(const struct kt_grammar *g, struct span text)
{
    enum kt_grammar_match m;
    struct kt_error err;
    assert_int_equal(kt_grammar_match(g, text.ptr, text.len, &m, &err), KT_OK);
    return m;
}

/* /p/f has the texts in which PCRE2 finds p, and any text may become one unless ^ forbids; /p/fj has those texts as JSON
 * writes them, which it cuts where it cuts them. */
static void flags(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, 5);
    size_t n_found = 0, n_not = 0;
    for (int i = 0; i < 500; i++) {
        n_pool = 0;
        int n = 1 + (int)rng_below(&rng, 3);
        struct tree *branches[3];
        unsigned ties[3];
        for (int k = 0; k < n; k++) {
            branches[k] = grow(&rng, 3, N_RULES, true);
            ties[k] = (unsigned)rng_below(&rng, 4);
        }
        struct buf found = { 0 }, quoted = { 0 }, theirs = { 0 };
        buf_append_str(&found, "root ::= /");
        write_branches(&found, branches, ties, n, ECMA);
        buf_printf(&quoted, "%s/fj", found.ptr);
        buf_append_str(&found, "/f");
        write_branches(&theirs, branches, ties, n, PCRE);
        int code;
        size_t at;
        pcre2_code *p = pcre2_compile((PCRE2_SPTR)theirs.ptr, theirs.len,
                                      PCRE2_UTF | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
        pcre2_match_data *m = pcre2_match_data_create(4, NULL);
        struct kt_grammar *f, *q;
        struct kt_error err;
        if (!p || kt_grammar_parse(&f, found.ptr, found.len, &err) ||
            kt_grammar_parse(&q, quoted.ptr, quoted.len, &err))
            fail_msg("%s: %s", found.ptr, err.text);
        for (int k = 0; k < 20; k++) {
            struct buf text = { 0 }, json = { 0 };
            draw(&text, branches[rng_below(&rng, (size_t)n)], NULL, &rng, 30);
            for (int c = k % 4; c > 0; c--)
                change(&text, &rng);
            int r =
                pcre2_match(p, (PCRE2_SPTR)(text.ptr ? text.ptr : ""), text.len, 0, 0, m, limits);
            if (r >= 0 || r == PCRE2_ERROR_NOMATCH) {
                enum kt_grammar_match ours = match_of(f, buf_span(&text));
                if ((ours == KT_GRAMMAR_WHOLE) != (r >= 0))
                    fail_msg("%s\ntext [%s]: %d, pcre2 says %d", found.ptr, text.ptr, (int)ours, r);
                escape(&json, buf_span(&text));
                if (match_of(q, buf_span(&json)) != ours)
                    fail_msg("%s\ntext [%s] is %d, as JSON it is not", quoted.ptr, text.ptr,
                             (int)ours);
                n_found += r >= 0;
                n_not += r < 0;
            }
            buf_deinit(&text);
            buf_deinit(&json);
        }
        pcre2_match_data_free(m);
        pcre2_code_free(p);
        kt_grammar_destroy(f);
        kt_grammar_destroy(q);
        buf_deinit(&found);
        buf_deinit(&quoted);
        buf_deinit(&theirs);
    }
    printf("found in %zu texts, not in %zu\n", n_found, n_not);
    assert_true(n_found > 3000 && n_not > 500);
}

static int setup(void **state)
{
    (void)state;
    limits = pcre2_match_context_create(NULL);
    pcre2_set_match_limit(limits, 20000);
    pcre2_set_depth_limit(limits, 2000);
    return limits ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    pcre2_match_context_free(limits);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regexes),
        cmocka_unit_test(grammars),
        cmocka_unit_test(flags),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
