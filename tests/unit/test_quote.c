/* What: the quote-span automaton. Whatever a model wants, each quotation in its output stands in a
 * source, word for word, at the stated place; no other quotation mark comes out; an answer always
 * ends. How: tables of what must pass and what must not; then thousands of outputs by "models" that
 * are noise, that love quotation marks, that never want to stop quoting, or that want to quote
 * something false, all judged by a checker written apart from the automaton: it reads the finished
 * text and the sources. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/size.h"
#include "base/utf8.h"
#include "constrain/quote.h"
#include "engine/sample.h"

/* ---- sources and a vocabulary -------------------------------------------------------------- */

static const char LEASE[] =
    "Mietvertrag\n\nZwischen der  Vermieterin, Frau Dr. Über-Weiß, und dem Mieter (nachfolgend "
    "„Mieter“) wird "
    "Folgendes vereinbart:\n§ 1 Die Miete beträgt 1.250,00 € und ist\tam 3. Werktag fällig.\r\n"
    "§ 2 Die Kündigungsfrist beträgt drei Monate zum Monatsende; § 573c BGB bleibt unberührt.\n"
    "§ 3 Der Mieter zahlt eine Kaution von 3.750,00 €. Die Kaution ist am 1.4.2026 fällig …\n";
static const char LETTER[] = "Sehr geehrte Damen und Herren,\n\nwir haben die Miete am 2. Mai "
                             "erhalten. Die Miete für Juni steht noch "
                             "aus. Don't wait: \"pay now\", it said \xE2\x80\x94 and the "
                             "court\xE2\x80\x99s order [Az. 5 C 17/26] is "
                             "final.\xC2\xA0Mit freundlichen Grüßen";
static const char NOTE[] =
    "Die Miete. Die Miete. Die Miete. Die Miete ist hoch. \xFF\xFE kaputt \x01 aa aa aa aa aa aaa";

static const struct kt_quote_source SOURCES[] = {
    { LEASE, sizeof(LEASE) - 1 },
    { LETTER, sizeof(LETTER) - 1 },
    { NOTE, sizeof(NOTE) - 1 },
};

enum { N_TOKENS = 900, ID_STOP = 256 };

static struct {
    char bytes[N_TOKENS][16];
    size_t len[N_TOKENS];
    size_t n;
    uint64_t samplable[N_TOKENS / 64 + 1];
    struct token_trie *trie;
} vocab;

static struct span vocab_bytes(const void *ctx, int32_t id)
{
    (void)ctx;
    return (struct span){ vocab.bytes[id], vocab.len[id] };
}

static void vocab_add(const char *s, size_t len)
{
    memcpy(vocab.bytes[vocab.n], s, len);
    vocab.len[vocab.n] = len;
    mask_set(vocab.samplable, vocab.n++);
}

static const char *const PIECES[] = {
    "\"",
    " \"",
    "\" ",
    ".\"",
    "\",",
    "\" [",
    "\".",
    "\"Die",
    "\"Der Mieter",
    "\"\"",
    "„",
    "“",
    "”",
    "«",
    "»",
    " „",
    "‘",
    "’",
    "'",
    " '",
    "`",
    "``",
    "\xE2\x80",
    "\xE2",
    "\x9E",
    "\x9C",
    "\xC3",
    "\xBC",
    "Die Miete",
    " Miete",
    " beträgt",
    " 9",
    "99",
    " Euro",
    "\n",
    "\n\n",
    "\xE2\x80\x9CX",
    "a\"",
    "n't",
    "‚",
    "aa aa",
    "Miete\"",
    "e\" (",
    "]\"",
    "0\" ",
};

static int setup(void **state)
{
    (void)state;
    for (int b = 0; b < 256; b++)
        vocab_add((char[]){ (char)b }, 1);
    vocab_add("", 0); /* ID_STOP: writes nothing */
    for (size_t i = 0; i < ARRAY_LEN(PIECES); i++)
        vocab_add(PIECES[i], strlen(PIECES[i]));
    struct rng rng;
    rng_init(&rng, 1);
    while (vocab.n <
           N_TOKENS - 1) { /* any bytes of the sources, characters torn as BPE tears them */
        const struct kt_quote_source *s = &SOURCES[rng_below(&rng, ARRAY_LEN(SOURCES))];
        size_t len = 2 + rng_below(&rng, 9), at = rng_below(&rng, s->text_len - len);
        vocab_add(s->text + at, len);
    }
    vocab_add("verboten", 8);
    vocab.samplable[(vocab.n - 1) / 64] &=
        ~((uint64_t)1 << ((vocab.n - 1) % 64)); /* may never be produced */
    struct kt_error err;
    return token_trie_create(&vocab.trie, vocab.n, vocab_bytes, NULL, vocab.samplable, NULL, 0, &err);
}

static int teardown(void **state)
{
    (void)state;
    token_trie_destroy(vocab.trie);
    return 0;
}

static struct quote *open_quote(const struct kt_quote_source *s, size_t n, struct quote_options o)
{
    struct quote *q;
    struct kt_error err;
    if (quote_create(&q, vocab.trie, s, n, &o, &err))
        fail_msg("quote_create: %s", err.text);
    return q;
}

/* ---- the checker, apart from the automaton
 * ------------------------------------------------------- */

static const char *const OTHER_MARKS[] = { "„", "“", "”", "«", "»", "‚", "‘",
                                           "‹", "›", "`", "´", "‟", "＂" };

static bool plain_space(const char *s, size_t *n)
{
    static const char *const SPACES[] = { " ", "\t", "\r", "\n", "\xC2\xA0" };
    for (size_t i = 0; i < ARRAY_LEN(SPACES); i++) {
        *n = strlen(SPACES[i]);
        if (strncmp(s, SPACES[i], *n) == 0)
            return true;
    }
    return false;
}

/* s with every run of white space as one space. */
static void plain_normalise(char *out, const char *s, size_t len)
{
    size_t n = 0, skip;
    for (size_t i = 0; i < len;) {
        if (plain_space(s + i, &skip)) {
            if (n == 0 || out[n - 1] != ' ')
                out[n++] = ' ';
            i += skip;
        } else {
            out[n++] = s[i++];
        }
    }
    out[n] = 0;
}

static bool word_byte(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c & 0x80);
}

static void check_quotation(const char *text, const struct kt_quote *k, struct quote_options o)
{
    size_t min = o.min_bytes ? o.min_bytes : 1, max = o.max_bytes ? o.max_bytes : 400;
    char produced[1024], wanted[1024];
    size_t len = k->out_end - k->out_start;
    const struct kt_quote_source *s = &SOURCES[k->src_idx];
    memcpy(produced, text + k->out_start, len);
    produced[len] = 0;
    assert_true(k->src_end <= s->text_len);
    plain_normalise(wanted, s->text + k->src_start, k->src_end - k->src_start);
    if (strcmp(produced, wanted) != 0)
        fail_msg("quoted '%s', source %zu [%zu, %zu) says '%s'", produced, k->src_idx, k->src_start,
                 k->src_end, wanted);
    assert_true(kt_quote_matches(produced, len, s->text + k->src_start, k->src_end - k->src_start));
    if (len < min || len > max + QUOTE_WORD_MAX)
        fail_msg("'%s' has %zu bytes, expected %zu to %zu and a word", produced, len, min, max);
    char before = k->src_start ? s->text[k->src_start - 1] : ' ';
    char after = s->text[k->src_end];
    bool torn_start = word_byte(before) && word_byte(s->text[k->src_start]) &&
                      !strstr("\xC2\xA0„“\xFE", (char[]){ before, 0 });
    bool torn_end = word_byte(after) && word_byte(s->text[k->src_end - 1]) && (uint8_t)after < 0xC0;
    if (torn_start || torn_end)
        fail_msg("'%s' is cut inside a word of the source", produced);
}

/* The finished text of an answer: its marks come in pairs, are those of the list, and nothing else
 * quotes. */
static void check_answer(const char *text, size_t len, struct quote *q, struct quote_options o)
{
    assert_int_equal(strlen(text), len);
    if (!utf8_valid((struct span){ text, len }))
        fail_msg("the text is not UTF-8: '%s'", text);
    for (size_t i = 0; i < ARRAY_LEN(OTHER_MARKS); i++)
        if (strstr(text, OTHER_MARKS[i]))
            fail_msg("the mark %s came out: '%s'", OTHER_MARKS[i], text);
    size_t n, at = 0;
    const struct kt_quote *list = quote_list(q, &n);
    for (size_t i = 0; i < n; i++) {
        const char *open = i == 0 && o.start_inside ? text : strchr(text + at, '"');
        assert_non_null(open);
        size_t start = i == 0 && o.start_inside ? 0 : (size_t)(open - text) + 1;
        if (list[i].out_start != start)
            fail_msg("quotation %zu starts at %zu, the list says %zu", i, start, list[i].out_start);
        const char *close = strchr(text + start, '"');
        if (!close || (size_t)(close - text) != list[i].out_end)
            fail_msg("quotation %zu of '%s' ends elsewhere than at %zu", i, text, list[i].out_end);
        at = list[i].out_end + 1;
        check_quotation(text, &list[i], o);
    }
    if (strchr(text + at, '"'))
        fail_msg("a mark too many after %zu quotations: '%s'", n, text);
}

/* ---- "models"
 * ------------------------------------------------------------------------------------ */

enum taste { NOISE, MARKS, NEVER_CLOSE, LIAR, N_TASTES };
static const char LIES[] = "Der Vertrag sagt: \"Die Miete beträgt 999 Euro.\" und „Der Mieter "
                           "zahlt nichts“, \"Don't pay\". ";

/* The wish for each token: noise, and on top what this taste wants. */
static void wish(float *logits, enum taste t, const char *text, size_t len, struct rng *rng)
{
    for (size_t id = 0; id < vocab.n; id++) {
        logits[id] = 4 * rng_f32(rng);
        bool quotes =
            memchr(vocab.bytes[id], '"', vocab.len[id]) || strchr("\xE2\xC2`'", vocab.bytes[id][0]);
        if (t == MARKS && quotes && vocab.len[id])
            logits[id] += 3;
        if (t == NEVER_CLOSE && quotes)
            logits[id] -= 100;
        if (t == NEVER_CLOSE && strcmp(vocab.bytes[id], " \"") == 0)
            logits[id] += 104;
        if (t == LIAR && vocab.len[id]) {
            size_t at = len % (sizeof(LIES) - 1);
            if (strncmp(LIES + at, vocab.bytes[id], vocab.len[id]) == 0)
                logits[id] += 20 + (float)vocab.len[id];
        }
    }
    (void)text;
}

/* One answer of at most n_max tokens; returns the number of its quotations. */
static size_t answer(enum taste taste, uint64_t seed, struct quote_options o, size_t n_max)
{
    struct kernels k;
    kernels_init(&k, 0);
    struct rng rng;
    rng_init(&rng, seed);
    struct sampler s;
    struct kt_error err;
    struct kt_sampling so = { .temperature = 1, .seed = seed };
    assert_int_equal(sampler_init(&s, &so, vocab.n, &k, &err), KT_OK);
    struct quote *q = open_quote(SOURCES, ARRAY_LEN(SOURCES), o);
    struct buf text = { 0 };
    static float logits[N_TOKENS];
    uint64_t mask[N_TOKENS / 64 + 1];
    for (size_t i = 0; i < n_max; i++) {
        wish(logits, taste, text.ptr, text.len, &rng);
        if (!quote_mask(q, mask))
            fail_msg("seed %zu, token %zu: nothing is allowed after '%s'", (size_t)seed, i,
                     text.ptr);
        int32_t id;
        float lp;
        if (sampler_pick(&s, logits, mask, &id, &lp, &err))
            fail_msg("pick: %s", err.text);
        if (!quote_accept(q, id))
            fail_msg("seed %zu: token %d was in the mask and is refused", (size_t)seed, id);
        if (id == (int32_t)vocab.n - 1)
            fail_msg("a token that may never be produced was");
        if (id == ID_STOP)
            break;
        buf_append(&text, vocab.bytes[id], vocab.len[id]);
    }
    buf_append(&text, "", 0);
    text.len -= utf8_torn_tail(buf_span(&text));
    size_t keep, n;
    bool close;
    quote_end(q, buf_span(&text), &keep, &close);
    text.len = keep;
    if (text.ptr)
        text.ptr[keep] = 0;
    if (close)
        buf_append_char(&text, '"');
    check_answer(text.ptr ? text.ptr : "", text.len, q, o);
    quote_list(q, &n);
    quote_destroy(q);
    buf_deinit(&text);
    sampler_deinit(&s);
    return n;
}

static void nothing_false_is_ever_quoted(void **state)
{
    (void)state;
    static const struct quote_options OPTIONS[] = {
        { 0 },
        { .min_bytes = 12 },
        { .max_bytes = 20 },
        { .min_bytes = 5, .max_bytes = 5 },
        { .start_inside = true, .min_bytes = 8, .max_bytes = 60 },
    };
    size_t n_quotes[N_TASTES] = { 0 }, n_answers = 0;
    for (uint64_t seed = 0; seed < 160; seed++)
        for (size_t o = 0; o < ARRAY_LEN(OPTIONS); o++)
            for (int t = 0; t < N_TASTES; t++, n_answers++)
                n_quotes[t] += answer((enum taste)t, seed * 100 + o, OPTIONS[o], 8 + seed % 60);
    for (int t = 0; t < N_TASTES; t++)
        if (n_quotes[t] < 100)
            fail_msg("taste %d made %zu quotations in %zu answers: the test tests nothing", t,
                     n_quotes[t], n_answers);
    print_message("%zu answers; quotations: noise %zu, marks %zu, never close %zu, liar %zu\n",
                  n_answers, n_quotes[NOISE], n_quotes[MARKS], n_quotes[NEVER_CLOSE],
                  n_quotes[LIAR]);
}

/* ---- tables
 * --------------------------------------------------------------------------------------- */

/* How many bytes of 'text' pass, one by one. */
static size_t passes(const struct kt_quote_source *s, size_t n, struct quote_options o,
                     const char *text)
{
    struct quote *q = open_quote(s, n, o);
    size_t i = 0;
    while (text[i] && quote_accept_bytes(q, (struct span){ text + i, 1 }))
        i++;
    quote_destroy(q);
    return i;
}

static void what_passes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *refused; /* the rest that begins with the refused byte; "" if all passes */
    } CASES[] = {
        { "Die Miete \"beträgt 1.250,00 €\" im Monat.", "" },
        { "\"Die Miete beträgt 1.250,00 € und ist am 3. Werktag fällig\".", "" },
        { "\"Die Miete beträgt 999", "999" },
        { "\"Die Miete beträgt 1.250\"", "\"" }, /* never half a number */
        { "\"250,00 €\"", "50,00 €\"" },         /* the 2 is that of "2. Mai" */
        { "\"nachfolgend", "" },                 /* behind its bracket */
        { "\"(nachfolgend\"", "" },
        { "\"dem Mieter (nachfolgend Mieter", " Mieter" }, /* the mark in the source is a wall */
        { "\"Mieter\"", "" },
        { "\"Weiß\"", "iß\"" }, /* no word start in Über-Weiß; We is of Werktag */
        { "\"Über-Weiß\"", "" },
        { "\"Über\"", "\"" },
        { "\"vereinbart: § 1 Die\"", "" }, /* across the line */
        { "\"vereinbart:\n", "\n" },       /* written as a space only */
        { "\"vereinbart:  ", " " },
        { "\" Die", " Die" },
        { "\"\"", "\"" },
        { "\"final. Mit freundlichen\"", "" }, /* the no-break space */
        { "\"Don't wait: pay", " pay" },
        { "\"Don't wait:\"", "" },
        { "\"court\xE2\x80\x99s order [Az. 5 C 17/26]\"", "" },
        { "\"Az. 5 C 17/26\"", "" },
        { "\"fällig …\"", "" },
        { "\"kaputt\"", "" },
        { "\"hoch. \"", " \"" },                /* nothing ends on a space */
        { "\"Mit freundlichen Grüßen\" ", "" }, /* the end of a source */
        { "\"Mit freundlichen Grüßen ", " " },
        { "Es geht nicht, sagt er.", "" },
        { "it isn't the tenants' duty", "" },
        { "'quoted'", "'quoted'" },
        { "er sagt: 'nein'", "'nein'" },
        { "code `x`", "`x`" },
        { "er sagt \xE2\x80\x9Enein", "\x9Enein" },
        { "er sagt \xC2\xABnein", "\xABnein" },
        { "5\" lang", "\" lang" }, /* not right after a word */
        { "\"Miete\"\"Miete\"", "\"Miete\"" },
        { "\"Miete\" \"Miete\"", "" },
        { "\xFF", "\xFF" },
        { "\xC3\x28", "\x28" },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        size_t n = passes(SOURCES, ARRAY_LEN(SOURCES), (struct quote_options){ 0 }, CASES[i].text);
        size_t expected = strlen(CASES[i].text) - strlen(CASES[i].refused);
        if (n != expected)
            fail_msg("'%s': %zu bytes pass, expected %zu", CASES[i].text, n, expected);
    }
}

static void lengths_are_kept(void **state)
{
    (void)state;
    struct kt_quote_source s = { "Der Mieter zahlt die Kaution sofort. Kurz", 41 };
    /* At least 12: not after "Der Mieter" (10), but after "Der Mieter zahlt" (16). */
    assert_int_equal(passes(&s, 1, (struct quote_options){ .min_bytes = 12 }, "\"Der Mieter\""),
                     11);
    assert_int_equal(
        passes(&s, 1, (struct quote_options){ .min_bytes = 12 }, "\"Der Mieter zahlt\""), 18);
    /* "Kurz" can never reach 12 bytes before the end: it may not even begin. */
    assert_int_equal(passes(&s, 1, (struct quote_options){ .min_bytes = 12 }, "\"Kurz"),
                     2); /* K of Kaution */
    assert_int_equal(passes(&s, 1, (struct quote_options){ 0 }, "\"Kurz\""), 6);
    /* From 12 on the first word end closes. */
    assert_int_equal(
        passes(&s, 1, (struct quote_options){ .max_bytes = 12 }, "\"Der Mieter zahlt die"), 17);
    assert_int_equal(
        passes(&s, 1, (struct quote_options){ .max_bytes = 12 }, "\"Der Mieter zahlt\""), 18);
    struct quote *q;
    struct kt_error err;
    struct quote_options bad = { .min_bytes = 9, .max_bytes = 8 };
    assert_int_equal(quote_create(&q, vocab.trie, &s, 1, &bad, &err), KT_E_USAGE);
    assert_null(q);
    /* Starting inside with nothing long enough: no token, an empty answer. */
    q = open_quote(&s, 1, (struct quote_options){ .min_bytes = 100, .start_inside = true });
    uint64_t mask[N_TOKENS / 64 + 1];
    assert_false(quote_mask(q, mask));
    size_t keep = 9;
    bool close = true;
    quote_end(q, (struct span){ "", 0 }, &keep, &close);
    assert_int_equal(keep, 0);
    assert_false(close);
    quote_destroy(q);
}

/* A place of the list must be one where the word ends, though another live place goes on. */
static void the_right_place_is_named(void **state)
{
    (void)state;
    struct kt_quote_source s[] = { { "das Haustier", 12 }, { "ein Haus  am See, Haus", 22 } };
    struct quote *q = open_quote(s, 2, (struct quote_options){ 0 });
    assert_true(quote_accept_bytes(q, SPAN("x \"Haus am\" \"Haus\" \"Haustier\"")));
    size_t n;
    const struct kt_quote *list = quote_list(q, &n);
    assert_int_equal(n, 3);
    static const struct kt_quote EXPECTED[] = { { 3, 10, 1, 4, 12 },
                                                { 13, 17, 1, 4, 8 },
                                                { 20, 28, 0, 4, 12 } };
    for (size_t i = 0; i < 3; i++)
        if (memcmp(&list[i], &EXPECTED[i], sizeof(list[i])) != 0)
            fail_msg("quotation %zu: out [%zu, %zu) source %zu [%zu, %zu)", i, list[i].out_start,
                     list[i].out_end, list[i].src_idx, list[i].src_start, list[i].src_end);
    quote_destroy(q);
}

static void an_open_quotation_is_cut_back(void **state)
{
    (void)state;
    static const struct {
        const char *written;
        size_t n_kept_before; /* bytes of it that a stop string leaves */
        bool inside;
        const char *expected;
    } CASES[] = {
        { "Es gilt \"Die Miete betr", 23, false, "Es gilt \"Die Miete\"" },
        { "Es gilt \"Di", 11, false, "Es gilt " },
        { "Es gilt \"", 9, false, "Es gilt " },
        { "Die Miete be", 12, true, "Die Miete\"" },
        { "D", 1, true, "" },
        { "Es gilt \"Die Miete\" immer", 15, false,
          "Es gilt \"Die\"" }, /* cut inside a closed one */
        { "Es gilt \"Die Miete\" immer", 18, false,
          "Es gilt \"Die Miete\"" }, /* its mark cut off */
        { "Es gilt \"Die Miete\" immer", 20, false, "Es gilt \"Die Miete\" " },
        { "ohne", 4, false, "ohne" },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct quote_options o = { .start_inside = CASES[i].inside };
        struct quote *q = open_quote(SOURCES, ARRAY_LEN(SOURCES), o);
        assert_true(quote_accept_bytes(q, span_of(CASES[i].written)));
        char text[64];
        size_t keep;
        bool close;
        memcpy(text, CASES[i].written, sizeof("") + strlen(CASES[i].written));
        quote_end(q, (struct span){ text, CASES[i].n_kept_before }, &keep, &close);
        text[keep] = 0;
        if (close)
            strcat(text, "\"");
        if (strcmp(text, CASES[i].expected) != 0)
            fail_msg("'%s' cut at %zu became '%s', expected '%s'", CASES[i].written,
                     CASES[i].n_kept_before, text, CASES[i].expected);
        check_answer(text, strlen(text), q, o);
        quote_destroy(q);
    }
}

/* ---- laws
 * ------------------------------------------------------------------------------------------ */

/* A mask holds exactly the tokens that pass, from many states; the trie's walk against one token at
 * a time. */
static void mask_is_exact(void **state)
{
    (void)state;
    static const char *const BEFORE[] = {
        "",
        "Es",
        "Es ",
        "\"",
        "\"D",
        "\"Die Miete",
        "\"Die Miete betr\xC3",
        "\"aa aa",
        "x \xE2",
        "x \xE2\x80",
        "\"Miete\"",
        "\"Mit freundlichen Grüßen",
        "can",
        "\"1.250,00",
        "\"Kaution von 3.750,00 €",
    };
    struct quote_options o = { .max_bytes = 30 };
    for (size_t b = 0; b < ARRAY_LEN(BEFORE); b++) {
        struct quote *q = open_quote(SOURCES, ARRAY_LEN(SOURCES), o);
        assert_true(quote_accept_bytes(q, span_of(BEFORE[b])));
        for (int again = 0; again < 2; again++) { /* the second time from the cache */
            uint64_t mask[N_TOKENS / 64 + 1] = { 0 };
            quote_mask(q, mask);
            for (size_t id = 0; id < vocab.n; id++) {
                struct quote *one = open_quote(SOURCES, ARRAY_LEN(SOURCES), o);
                assert_true(quote_accept_bytes(one, span_of(BEFORE[b])));
                bool ok = mask_has(vocab.samplable, id) && quote_accept(one, (int32_t)id);
                if (ok != mask_has(mask, id))
                    fail_msg("after '%s': token %zu '%.*s' passes: %d, in the mask: %d", BEFORE[b],
                             id, (int)vocab.len[id], vocab.bytes[id], ok, mask_has(mask, id));
                quote_destroy(one);
            }
        }
        quote_destroy(q);
    }
}

/* Guesses, at every place of every quotation of a source: what is said to be ahead is ahead, what is said to be
 * allowed is what the mask holds, and where one token is forced the mask holds no other. */
static void guesses_agree_with_the_mask(void **state)
{
    (void)state;
    struct quote_options o = { .max_bytes = 60, .start_inside = true };
    size_t n_forced = 0, n_ahead = 0;
    for (size_t src = 0; src < ARRAY_LEN(SOURCES); src++) {
        struct quote *q = open_quote(&SOURCES[src], 1, o);
        struct rng rng;
        char whole[1024];
        plain_normalise(whole, SOURCES[src].text, SOURCES[src].text_len);
        rng_init(&rng, 5 + src);
        for (size_t step = 0; step < 400; step++) {
            uint64_t mask[N_TOKENS / 64 + 1] = { 0 };
            int32_t allowed[N_TOKENS], ids[2];
            size_t n = 0;
            if (!quote_mask(q, mask))
                break;
            for (size_t id = 0; id < vocab.n; id++) {
                ids[0] = (int32_t)id;
                bool silent = vocab.len[id] == 0, ok = quote_allows(q, ids, 1) == 1;
                if (!silent && mask_has(vocab.samplable, id) && ok != mask_has(mask, id))
                    fail_msg("step %zu: token %zu is allowed: %d, in the mask: %d", step, id, ok,
                             mask_has(mask, id));
                if (mask_has(mask, id))
                    allowed[n++] = (int32_t)id;
            }
            bool inside = quote_open_at(q) != SIZE_MAX;
            int32_t only = quote_forced(q, NULL, 0);
            assert_int_equal(only, inside && n == 1 ? allowed[0] : -1);
            n_forced += only >= 0;
            char text[40];
            size_t len = quote_ahead(q, text, sizeof(text) - 1);
            text[len] = '\0';
            assert_non_null(strstr(whole, text));
            assert_true(len == 0 || inside);
            for (size_t i = 0; i < len; i++) { /* the first 256 ids are the bytes */
                int32_t bytes[40];
                for (size_t k = 0; k <= i; k++)
                    bytes[k] = (uint8_t)text[k];
                size_t ok = quote_allows(q, bytes, i + 1);
                if (ok < i + 1) /* the longest quotation was reached */
                    break;
                n_ahead++;
            }
            int32_t id = allowed[rng_below(&rng, n)];
            if (only >= 0) { /* and the one after it is asked for from here */
                ids[0] = only;
                int32_t second = quote_forced(q, ids, 1);
                assert_true(quote_accept(q, only));
                assert_int_equal(second, quote_forced(q, NULL, 0));
            } else {
                assert_true(quote_accept(q, id));
            }
        }
        quote_destroy(q);
    }
    assert_true(n_forced > 5 && n_ahead > 100);
}

/* Nothing true is refused: any run of words of a source that crosses no wall can be quoted. */
static void every_true_quotation_passes(void **state)
{
    (void)state;
    char source[4096] = "";
    struct rng rng;
    rng_init(&rng, 5);
    size_t words[400], n_words = 0, len = 0;
    static const char *const WORDS[] = { "der",  "die",    "Miete", "Über", "in",
                                         "Haus", "Häuser", "zahlt", "a",    "drei" };
    for (size_t i = 0; i < 399; i++) {
        words[n_words++] = len;
        const char *w = WORDS[rng_below(&rng, ARRAY_LEN(WORDS))];
        len += (size_t)sprintf(source + len, "%s%s", w, rng_below(&rng, 5) ? " " : "\n  ");
    }
    struct kt_quote_source s = { source, len };
    for (int round = 0; round < 2000; round++) {
        size_t a = rng_below(&rng, n_words), n = 1 + rng_below(&rng, 20);
        size_t end = words[MIN(a + n, n_words - 1)];
        if (end <= words[a])
            continue;
        char text[512] = "sagt \"", body[512];
        plain_normalise(body, source + words[a], end - words[a]);
        body[strlen(body) - 1] = 0; /* the space behind the last word */
        strcat(text, body);
        strcat(text, "\".");
        size_t ok = passes(&s, 1, (struct quote_options){ 0 }, text);
        if (ok != strlen(text))
            fail_msg("round %d: '%s' is refused at byte %zu", round, text, ok);
    }
}

static void odd_sources_are_harmless(void **state)
{
    (void)state;
    char blob[2000];
    memset(blob, 'x', sizeof(blob));
    memcpy(blob + 1000, " kurz ", 6);
    struct kt_quote_source s[] = { { "", 0 },        { "   \n", 4 },    { "\"", 1 },
                                   { "\"\"„“", 8 },  { "\xE2\x80", 2 }, { blob, sizeof(blob) },
                                   { "\0\0a\0", 4 }, { NULL, 0 } };
    assert_int_equal(passes(s, 8, (struct quote_options){ 0 }, "\"kurz\""), 6);
    assert_int_equal(passes(s, 8, (struct quote_options){ 0 }, "\"kurz x"),
                     5); /* the blob is a wall */
    assert_int_equal(passes(s, 8, (struct quote_options){ 0 }, "\"xx"), 1);
    assert_int_equal(passes(s, 8, (struct quote_options){ 0 }, "\"a\""), 3);
    assert_int_equal(passes(s, 3, (struct quote_options){ 0 }, "x \"kurz\""),
                     2); /* nothing to quote: no mark */
    assert_int_equal(passes(s, 0, (struct quote_options){ 0 }, "x \""), 2);

    /* Random bytes as a source, and random bytes as output: only that it stays in bounds
     * (sanitizers). */
    struct rng rng;
    rng_init(&rng, 9);
    for (int round = 0; round < 300; round++) {
        char noise[200], out[64];
        static const char SOME[] = " \"ab.(\xC3\xA4\xE2\x80\x9E\xA6\n\xFFx9";
        for (size_t i = 0; i < sizeof(noise); i++)
            noise[i] = SOME[rng_below(&rng, sizeof(SOME))];
        struct kt_quote_source n = { noise, rng_below(&rng, sizeof(noise)) };
        struct quote *q = open_quote(&n, 1, (struct quote_options){ .max_bytes = 10 });
        for (size_t i = 0; i < sizeof(out); i++) {
            out[i] = SOME[rng_below(&rng, sizeof(SOME))];
            bool ok = quote_accept_bytes(q, (struct span){ out + i, 1 });
            (void)ok;
        }
        quote_destroy(q);
    }
}

static void a_vocabulary_without_the_byte_ends(void **state)
{
    (void)state;
    static uint64_t few[N_TOKENS / 64 + 1];
    mask_set(few, 'a');
    mask_set(few, '"');
    struct token_trie *v;
    struct kt_error err;
    assert_int_equal(token_trie_create(&v, vocab.n, vocab_bytes, NULL, few, NULL, 0, &err), KT_OK);
    struct kt_quote_source s = { "ab", 2 };
    struct quote *q;
    assert_int_equal(quote_create(&q, v, &s, 1, &(struct quote_options){ 0 }, &err), KT_OK);
    uint64_t mask[N_TOKENS / 64 + 1];
    assert_true(quote_accept_bytes(q, SPAN("\"a")));
    assert_false(quote_mask(q, mask)); /* only b could follow */
    quote_destroy(q);
    token_trie_destroy(v);
}

static void matching_counts_spaces_as_equal(void **state)
{
    (void)state;
    static const struct {
        const char *a, *b;
        bool equal;
    } CASES[] = {
        { "a b", "a\n\t b", true }, { "a b", "a\xC2\xA0 b", true },
        { "a b", "ab", false },     { "", "", true },
        { "a", "", false },         { "ab", "abc", false },
        { "ä", "a", false },        { "a\xFF", "a\xFF", true },
        { "a ", "a", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++)
        if (kt_quote_matches(CASES[i].a, strlen(CASES[i].a), CASES[i].b, strlen(CASES[i].b)) !=
            CASES[i].equal)
            fail_msg("case %zu: expected %d", i, CASES[i].equal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_passes),
        cmocka_unit_test(lengths_are_kept),
        cmocka_unit_test(the_right_place_is_named),
        cmocka_unit_test(an_open_quotation_is_cut_back),
        cmocka_unit_test(mask_is_exact),
        cmocka_unit_test(guesses_agree_with_the_mask),
        cmocka_unit_test(every_true_quotation_passes),
        cmocka_unit_test(odd_sources_are_harmless),
        cmocka_unit_test(a_vocabulary_without_the_byte_ends),
        cmocka_unit_test(matching_counts_spaces_as_equal),
        cmocka_unit_test(nothing_false_is_ever_quoted),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
