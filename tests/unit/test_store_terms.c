/* Goal: everything an office types is found however it is written. Method: tables of texts and the
 * terms they become; equal texts must share a term, different ones must not. */
#include "store_help.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/size.h"
#include "base/span.h"
#include "store/compound.h"
#include "store/fold.h"
#include "store/stem.h"
#include "store/terms.h"
#include "store/wordset.h"

/* The terms of a text, written "a b +c": + stands for "at the same place". */
static void write_term(void *ctx, const struct term *t)
{
    struct buf *b = ctx;
    buf_append_str(b, b->len ? " " : "");
    buf_append_str(b, t->same_place ? "+" : "");
    buf_append(b, t->ptr, t->len);
}

static char *terms_of(const char *text)
{
    struct buf b = { 0 };
    terms_each(span_of(text), write_term, &b);
    char *s = b.len ? buf_take(&b) : strdup("");
    assert_non_null(s);
    return s;
}

static const struct {
    const char *text, *terms;
} TEXTS[] = {
    { "", "" },
    { " \n\t.,-!", "" },
    { "Straße STRASSE", "strass strass" },
    { "Müller Mueller Muller", "mull mull mull" },
    { "Ärzte Aerzte", "arzt arzt" },
    { "Öl Oel", "ol ol" },
    { "neue Steuer Quelle Value", "neu steu quell valu" },
    { "Vertrag Vertrags Vertrages Verträge Verträgen", "vertrag vertrag vertrag vertrag vertrag" },
    { "Kündigung Kündigungen", "kundigung kundigung" },
    { "policy policies party parties", "polici polici parti parti" },
    { "Mieter Mieters Unternehmen Unternehmens", "miet miet unternehm unternehm" },
    { "lender lenders system systems", "lend lend syst syst" },
    { "contract contracts house houses", "contract contract hous hous" },
    { "§ 433 Abs. 2 S. 1 BGB", "433 +\xC2\xA7"
                               "433 abs 2 s 1 bgb" },
    { "§433", "433 +\xC2\xA7"
              "433" },
    { "§ 573c BGB", "573c +\xC2\xA7"
                    "573c bgb" },
    { "12 C 345/23", "12 c 345 23 +345/23 +12c345/23" },
    { "VIII ZR 12/21", "viii zr 12 21 +12/21 +viiizr12/21" },
    { "1.234,56 €", "1234.56" },
    { "1,234.56", "1234.56" },
    { "1234,56", "1234.56" },
    { "1.234,00", "1234" },
    { "1.234", "1234" },
    { "12,5", "12.50" },
    { "1.234.567,80", "1234567.80" },
    { "1 234,56 EUR", "1 234.56 +1234.56 eur" },
    { "1\xC2\xA0" "234\xC2\xA0" "567,80", "1 234 567.80 +1234567.80" },
    { "1\xE2\x80\xAF" "234,00", "1 234 +1234" },
    { "12 C 345,67", "12 c 345.67" },
    { "Seite 1, 234,56", "seit 1 234.56" },
    { "2024 234,56", "2024 234.56" },
    { "EUR 234,56", "eur 234.56" },
    { "12.03.2024", "2024-03-12 +2024" },
    { "12.3.2024", "2024-03-12 +2024" },
    { "2024-03-12", "2024-03-12 +2024" },
    { "12.03.24", "2024-03-12 +2024" },
    { "12. März 2024", "12 marz 2024 +2024-03-12" },
    { "March 12, 2024", "march 12 2024 +2024-03-12" },
    { "12. Maerz 2024", "12 marz 2024 +2024-03-12" },
    { "DE89 3704 0044 0532 0130 00", "de89 3704 0044 0532 0130 00 +de89370400440532013000" },
    { "DE89370400440532013000", "de89370400440532013000" },
    { "GB82 WEST 1234 5698 7654 32", "gb82 west 1234 5698 7654 32 +gb82west12345698765432" },
    { "E-Mail Email", "e mail +email email" },
    { "max.muster@example.de", "max must exampl de +max.muster@example.de" },
    { "Kündi-\n  gung", "kundigung" },
    { "Miet- und Pachtrecht", "miet und pachtrecht" },
    { "Ver\xC2\xADtrag", "vertrag" },
    { "KD-2023/77", "kd 2023 77 +kd2023/77" },
    { "3.2.1", "3 2 1 +3.2.1" },
    { "北京", "北 京" },
    { "ﬁle", "fil" },
    { "Łódź Ærø", "lodz aro" },
    { "\xFF\xFE abc \xC3", "abc" },
};

static void test_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
        char *found = terms_of(TEXTS[i].text);
        if (strcmp(found, TEXTS[i].terms))
            fail_msg("\"%s\": expected \"%s\", found \"%s\"", TEXTS[i].text, TEXTS[i].terms, found);
        free(found);
    }
}

/* Words that stemming must not make the same. */
static void test_apart(void **state)
{
    (void)state;
    static const char *const PAIRS[][2] = {
        { "Änderung", "andere" },      { "Haftung", "Haft" },         { "Vertrag", "vertreten" },
        { "Gesellschaft", "Geselle" }, { "Zahlung", "Zahl" },         { "§ 433", "433,10" },
        { "1.234,56", "1.234,57" },    { "12.03.2024", "13.03.2024" }
    };
    for (size_t i = 0; i < ARRAY_LEN(PAIRS); i++) {
        char *a = terms_of(PAIRS[i][0]), *b = terms_of(PAIRS[i][1]);
        if (!strcmp(a, b))
            fail_msg("\"%s\" and \"%s\" both became \"%s\"", PAIRS[i][0], PAIRS[i][1], a);
        free(a);
        free(b);
    }
}

static bool known(void *ctx, const char *stem, size_t len)
{
    return wordset_has(ctx, stem, len);
}

static void test_compounds(void **state)
{
    (void)state;
    static const char *const WORDS[] = { "garten", "zaun",   "bundes", "kanzler",
                                         "amt",    "besuch", "import", "rose" };
    static const struct {
        const char *word, *parts;
    } TABLE[] = {
        { "mietvertragsanderung", "miet|vertrag|anderung" },
        { "kundigungsfrist", "kundigung|frist" },
        { "gartenzaun", "gart|zaun" },
        { "rosengarten", "ros|gart" },
        { "besuchszeit", "besuch|zeit" },
        { "garten", "" },
        { "xylophongarten", "" },
        { "important", "" },
    };
    struct wordset set = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(WORDS); i++) {
        char w[32];
        strcpy(w, WORDS[i]);
        assert_true(wordset_add(&set, w, stem_word(w, strlen(w))));
    }
    for (size_t i = 0; i < ARRAY_LEN(TABLE); i++) {
        struct compound_part p[COMPOUND_MAX_PARTS];
        size_t n = compound_split(p, TABLE[i].word, strlen(TABLE[i].word), known, &set);
        struct buf b = { 0 };
        for (size_t k = 0; k < n; k++) {
            char stem[COMPOUND_MAX_BYTES];
            memcpy(stem, TABLE[i].word + p[k].start, p[k].len);
            buf_printf(&b, "%s%.*s", k ? "|" : "", (int)stem_word(stem, p[k].len), stem);
        }
        if (strcmp(b.ptr ? b.ptr : "", TABLE[i].parts))
            fail_msg("%s: expected \"%s\", found \"%s\"", TABLE[i].word, TABLE[i].parts,
                     b.ptr ? b.ptr : "");
        buf_deinit(&b);
    }
    wordset_deinit(&set);
}

static void test_wordset(void **state)
{
    (void)state;
    struct wordset set = { 0 };
    char w[16];
    for (int i = 0; i < 20000; i++)
        assert_true(wordset_add(&set, w, (size_t)snprintf(w, sizeof(w), "w%d", i)));
    assert_int_equal(set.n, 20000);
    for (int i = 0; i < 40000; i++)
        assert_int_equal(wordset_has(&set, w, (size_t)snprintf(w, sizeof(w), "w%d", i)), i < 20000);
    wordset_deinit(&set);
}

/* Any bytes at all: every term is short, without spaces, and the first is never "at the same
 * place". */
struct law {
    size_t n;
    uint64_t seed;
};

static void check_term(void *ctx, const struct term *t)
{
    struct law *l = ctx;
    bool ok = t->len > 0 && t->len <= 96 && !memchr(t->ptr, ' ', t->len) &&
              !memchr(t->ptr, '"', t->len) && t->ptr[0] != 0x1F && (l->n || !t->same_place);
    if (!ok)
        fail_msg("seed %llu: term %zu \"%.*s\" breaks a law", (unsigned long long)l->seed, l->n,
                 (int)t->len, t->ptr);
    l->n++;
}

static void test_any_bytes(void **state)
{
    (void)state;
    static const char *const BITS[] = {
        "§",    "DE89",     "3704",         ".",    ",",    "/",  "-",     "-\n",  " ", "März",
        "2024", "12",       "\xFF",         "\xC3", "ü",    "AE", "\"",    "\x1F", "ß", "½",
        "①",    "\xCC\x81", "\xE2\x80\x8B", "ﷺ",    "VIII", "a",  "1.234", "\0"
    };
    for (uint64_t seed = 1; seed <= 3000; seed++) {
        struct rng r;
        rng_init(&r, seed);
        struct buf b = { 0 };
        for (size_t i = 0, n = rng_below(&r, 60); i < n; i++) {
            const char *bit = BITS[rng_below(&r, ARRAY_LEN(BITS))];
            for (size_t k = rng_below(&r, 10) ? 1 : 40; k--;)
                buf_append(&b, bit, *bit ? strlen(bit) : 1);
        }
        struct law l = { .seed = seed };
        terms_each(buf_span(&b), check_term, &l);
        buf_deinit(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),     cmocka_unit_test(test_apart),
        cmocka_unit_test(test_compounds), cmocka_unit_test(test_wordset),
        cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
