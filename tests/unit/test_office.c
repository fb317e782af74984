/* The pure parts of office/: sentences, chunks, question terms, the list of files.
 * Method: tables of cases; chunks are also checked against their laws (in order, disjoint, nothing
 * lost). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/rng.h"
#include "base/size.h"
#include "base/utf8.h"
#include "office/chunk.h"
#include "office/fit.h"
#include "office/scan.h"
#include "office/support.h"

/* ---- sentences ------------------------------------------------------------------------------- */

static void sentences_end_where_a_reader_would_stop(void **state)
{
    (void)state;
    static const struct {
        const char *text, *first;
    } CASES[] = {
        { "Der Vertrag endet. Danach gilt nichts.", "Der Vertrag endet." },
        { "Die Frist endet am 12. März 2026. Danach", "Die Frist endet am 12. März 2026." },
        { "Nach § 573 Abs. 2 BGB gilt das. Weiter", "Nach § 573 Abs. 2 BGB gilt das." },
        { "Frau Dr. Weber kam. Sie ging.", "Frau Dr. Weber kam." },
        { "Es sind 1.234,56 EUR zu zahlen. Sofort.", "Es sind 1.234,56 EUR zu zahlen." },
        { "Wer haftet? Niemand.", "Wer haftet?" },
        { "He said \"no.\" Then left.", "He said \"no.\"" },
        { "Kein Punkt am Ende", "Kein Punkt am Ende" },
        { "Titel\n\nDer Text.", "Titel" },
        { "So war es 2024. Und 2025.", "So war es 2024." },
        { "z. B. drei Zimmer. Ende.", "z. B. drei Zimmer." },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct span t = span_of(CASES[i].text);
        size_t end = sentence_end(t, 0);
        if (!span_eq_str(span_sub(t, 0, end), CASES[i].first))
            fail_msg("'%s': found '%.*s', expected '%s'", CASES[i].text, (int)end, t.ptr,
                     CASES[i].first);
    }
}

/* ---- chunks ---------------------------------------------------------------------------------- */

struct made {
    struct document d;
    struct buf text;
    struct block blocks[400];
};

static void add_block(struct made *m, enum block_kind kind, uint32_t page, const char *text)
{
    if (m->text.len)
        buf_append_str(&m->text, "\n\n");
    struct block *b = &m->blocks[m->d.n_blocks];
    *b = (struct block){
        .kind = kind, .page = page, .para = (uint32_t)m->d.n_blocks + 1, .start = m->text.len
    };
    buf_append_str(&m->text, text);
    b->end = m->text.len;
    m->d.n_blocks++;
    m->d.text = m->text.ptr;
    m->d.text_len = m->text.len;
    m->d.blocks = m->blocks;
}

static struct kt_place *cut(struct made *m, size_t *n)
{
    struct kt_place *c;
    struct kt_error err;
    assert_int_equal(chunk_document(&c, n, &m->d, &err), KT_OK);
    return c;
}

/* In order, disjoint, not empty, not too long, and every letter of every block is in one of them.
 */
static void check_laws(const struct made *m, const struct kt_place *c, size_t n, uint64_t seed)
{
    char *covered = calloc(m->d.text_len + 1, 1);
    size_t last = 0;
    for (size_t i = 0; i < n; i++) {
        if (c[i].start < last || c[i].end <= c[i].start || c[i].end > m->d.text_len ||
            c[i].end - c[i].start > CHUNK_MAX + CHUNK_TARGET)
            fail_msg("seed %llu: chunk %zu is [%zu, %zu) after %zu", (unsigned long long)seed, i,
                     c[i].start, c[i].end, last);
        last = c[i].end;
        memset(covered + c[i].start, 1, c[i].end - c[i].start);
    }
    for (size_t i = 0; i < m->d.text_len; i++) {
        if (m->d.text[i] > ' ' && !covered[i])
            fail_msg("seed %llu: byte %zu ('%c') is in no chunk", (unsigned long long)seed, i,
                     m->d.text[i]);
    }
    free(covered);
}

static void a_heading_stays_with_what_follows(void **state)
{
    (void)state;
    struct made m = { 0 };
    size_t n;
    add_block(&m, BLOCK_HEADING, 0, "§ 1 Mietgegenstand");
    add_block(&m, BLOCK_PARAGRAPH, 0,
              "Vermietet wird die Wohnung im zweiten Obergeschoss mit drei Zimmern, Küche und Bad, "
              "Keller Nr. 7.");
    add_block(&m, BLOCK_HEADING, 0, "§ 2 Miete");
    add_block(&m, BLOCK_PARAGRAPH, 0, "Die Miete beträgt 900 EUR im Monat.");
    struct kt_place *c = cut(&m, &n);
    assert_int_equal(n, 2);
    assert_int_equal(c[1].start, m.blocks[2].start);
    assert_int_equal(c[1].end, m.blocks[3].end);
    check_laws(&m, c, n, 0);
    free(c);
    buf_deinit(&m.text);
}

static void a_chunk_stays_on_its_page(void **state)
{
    (void)state;
    struct made m = { 0 };
    size_t n;
    add_block(&m, BLOCK_PARAGRAPH, 1, "Auf Seite eins.");
    add_block(&m, BLOCK_PARAGRAPH, 2, "Auf Seite zwei.");
    struct kt_place *c = cut(&m, &n);
    assert_int_equal(n, 2);
    assert_int_equal(c[0].page, 1);
    assert_int_equal(c[1].page, 2);
    free(c);
    buf_deinit(&m.text);
}

static void chunks_keep_their_laws_on_random_documents(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct rng r;
        struct made m = { 0 };
        size_t n;
        rng_init(&r, seed);
        size_t n_blocks = 1 + rng_below(&r, 120);
        for (size_t i = 0; i < n_blocks; i++) {
            struct buf b = { 0 };
            size_t words = 1 + rng_below(&r, rng_below(&r, 10) == 0 ? 600 : 40);
            bool spaces = rng_below(&r, 20) != 0; /* a line without any space now and then */
            for (size_t w = 0; w < words; w++) {
                static const char *const WORDS[] = { "Vertrag", "Straße", "ä", "der",
                                                     "12.",     "Ende.",  "x" };
                buf_append_str(&b, WORDS[rng_below(&r, ARRAY_LEN(WORDS))]);
                if (spaces && w + 1 < words)
                    buf_append_char(&b, ' ');
            }
            add_block(&m, rng_below(&r, 6) ? BLOCK_PARAGRAPH : BLOCK_HEADING, (uint32_t)(1 + i / 9),
                      b.ptr);
            buf_deinit(&b);
        }
        struct kt_place *c = cut(&m, &n);
        check_laws(&m, c, n, seed);
        for (size_t i = 0; i < n; i++) { /* cuts never fall inside a character */
            assert_true(((unsigned char)m.d.text[c[i].start] & 0xC0) != 0x80);
            assert_true(c[i].end == m.d.text_len ||
                        ((unsigned char)m.d.text[c[i].end] & 0xC0) != 0x80);
        }
        free(c);
        buf_deinit(&m.text);
    }
}

static void running_heads_stand_once(void **state)
{
    (void)state;
    struct made m = { 0 };
    size_t n, heads = 0;
    for (uint32_t page = 1; page <= 5; page++) {
        char text[64];
        snprintf(text, sizeof(text), "Handbuch, Seite %u", page);
        add_block(&m, BLOCK_PARAGRAPH, page, text);
        snprintf(text, sizeof(text), "Inhalt der Seite: %c.", 'A' + (int)page);
        add_block(&m, BLOCK_PARAGRAPH, page, text);
    }
    m.d.n_pages = 5;
    struct kt_place *c = cut(&m, &n);
    for (size_t i = 0; i < n; i++) {
        struct span s = { m.d.text + c[i].start, c[i].end - c[i].start };
        heads += span_find(s, SPAN("Handbuch"), 0) != SIZE_MAX;
        assert_true(span_find(s, SPAN("Inhalt"), 0) != SIZE_MAX);
    }
    assert_int_equal(n, 5);
    assert_int_equal(heads, 1);
    free(c);
    buf_deinit(&m.text);
}

static void an_empty_document_has_no_chunks(void **state)
{
    (void)state;
    struct made m = { 0 };
    size_t n;
    m.d.text = (char[]){ "" };
    struct kt_place *c = cut(&m, &n);
    assert_int_equal(n, 0);
    free(c);
}

/* ---- question terms -------------------------------------------------------------------------- */

static void coverage_sees_inflection_umlauts_and_compounds(void **state)
{
    (void)state;
    static const struct {
        const char *question, *text;
        float min, max;
    } CASES[] = {
        { "Was ist die Miete?", "Die Mieten betragen 900 EUR.", 1, 1 },
        { "Wann endet der Mietvertrag?", "Dieser Mietvertrag endet am 1. Mai.", 1, 1 },
        { "Wer ist Herr Müller?", "Zeuge ist Karl Mueller, und der Herr", 0.99f, 1 },
        { "Was sagt § 573 BGB?", "Kündigung nach § 573 BGB", 0.5f, 1 },
        { "Aktenzeichen 12 C 345/23", "Az. 12 C 345/24", 0, 0.6f },
        { "Which notice period applies?", "The notice period is three months and applies.", 1, 1 },
        { "Wer gewann die Weltmeisterschaft?", "Die Miete beträgt 900 EUR.", 0, 0 },
        { "Wie ist das?", "Alles und nichts", 0, 0 }, /* nothing but function words */
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct question_terms t;
        terms_of_question(&t, span_of(CASES[i].question));
        float c = terms_coverage(&t, span_of(CASES[i].text));
        if (c < CASES[i].min || c > CASES[i].max)
            fail_msg("'%s' in '%s': coverage %g, expected %g to %g", CASES[i].question,
                     CASES[i].text, (double)c, (double)CASES[i].min, (double)CASES[i].max);
    }
}

static void hostile_questions_are_bounded(void **state)
{
    (void)state;
    struct buf b = { 0 };
    for (int i = 0; i < 500; i++)
        buf_printf(&b, "wort%d \xFF\xC3 ", i);
    struct question_terms t;
    terms_of_question(&t, buf_span(&b));
    assert_int_equal(t.n, TERMS_MAX);
    terms_of_question(&t, (struct span){ NULL, 0 });
    assert_int_equal(t.n, 0);
    buf_deinit(&b);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void touch(const char *dir, const char *name)
{
    struct kt_error err;
    char *p = path_join(dir, name);
    assert_int_equal(file_replace(p, "x", 1, 0600, &err), KT_OK);
    free(p);
}

static void a_scan_lists_each_file_once_and_leaves_out_the_rest(void **state)
{
    (void)state;
    struct kt_error err;
    char dir[] = "/tmp/kontor-scan-XXXXXX", path[256];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/sub/deep", dir);
    assert_int_equal(dir_make(path, 0700, &err), KT_OK);
    touch(dir, "b.txt");
    touch(dir, "sub/a.txt");
    touch(dir, "sub/deep/c.txt");
    touch(dir, ".hidden");
    touch(dir, "~$lock.docx");
    snprintf(path, sizeof(path), "%s/link.txt", dir);
    assert_int_equal(symlink("b.txt", path), 0);
    snprintf(path, sizeof(path), "%s/pipe", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    snprintf(path, sizeof(path), "%s/loop", dir);
    assert_int_equal(symlink(".", path), 0);

    snprintf(path, sizeof(path), "%s/sub", dir);
    const char *paths[] = { dir, path }; /* one inside the other */
    struct scan s;
    assert_int_equal(scan_paths(&s, paths, 2, &err), KT_OK);
    assert_int_equal(s.n_files, 3);
    assert_true(s.roots[0].complete);
    for (size_t i = 1; i < s.n_files; i++)
        assert_true(strcmp(s.files[i - 1].path, s.files[i].path) < 0);
    assert_non_null(scan_find(&s, s.files[1].path));
    assert_null(scan_find(&s, "/nowhere"));
    scan_deinit(&s);

    const char *missing[] = { "/nowhere/at/all" };
    assert_int_equal(scan_paths(&s, missing, 1, &err), KT_E_NOTFOUND);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));

    snprintf(path, sizeof(path), "rm -rf %s", dir);
    assert_int_equal(system(path), 0);
}

/* ---- what is shown when not everything fits --------------------------------------------------- */

/* Less and less until there is no less: always characters, always with the best sentence, and the end is that sentence. */
static void less_and_less_is_shown_around_the_best_sentence(void **state)
{
    (void)state;
    struct buf text = { 0 };
    for (int i = 0; i < 40; i++)
        buf_printf(&text, "Satz %d über Äpfel, Öfen und Übriges. ", i);
    size_t at = span_find(buf_span(&text), SPAN("Satz 23 "), 0);
    char one[] = "one", three[] = "three";
    struct kt_hit hits[3] = { { .text = one, .text_len = 3 },
                              { .text = text.ptr, .text_len = text.len },
                              { .text = three, .text_len = 5 } };
    struct sentence best = { .hit = 1, .text = { text.ptr + at, 41 } };
    struct shown list[3] = { { 0, 0, 3 }, { 1, 0, text.len }, { 2, 0, 5 } };
    size_t n = 3, n_steps = 0, before = SIZE_MAX;
    assert_true(shown_less(list, &n, hits, &best));
    assert_int_equal(n, 2);
    assert_int_equal(list[1].hit, 1);
    assert_true(shown_less(list, &n, hits, &best)); /* the best one's passage is the last to go */
    assert_int_equal(n, 1);
    assert_int_equal(list[0].hit, 1);
    while (shown_less(list, &n, hits, &best)) {
        struct span shown = span_sub(buf_span(&text), list[0].start, list[0].end);
        assert_true(list[0].start <= at && at + best.text.len <= list[0].end);
        assert_true(utf8_valid(shown));
        assert_true(shown.len < before);
        before = shown.len;
        assert_true(++n_steps < 50);
    }
    assert_true(before < best.text.len + 8);
    buf_deinit(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentences_end_where_a_reader_would_stop),
        cmocka_unit_test(a_heading_stays_with_what_follows),
        cmocka_unit_test(a_chunk_stays_on_its_page),
        cmocka_unit_test(chunks_keep_their_laws_on_random_documents),
        cmocka_unit_test(running_heads_stand_once),
        cmocka_unit_test(an_empty_document_has_no_chunks),
        cmocka_unit_test(coverage_sees_inflection_umlauts_and_compounds),
        cmocka_unit_test(hostile_questions_are_bounded),
        cmocka_unit_test(less_and_less_is_shown_around_the_best_sentence),
        cmocka_unit_test(a_scan_lists_each_file_once_and_leaves_out_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
