/* Goal: what a query says beside its words is understood, nothing typed is an error, filters let through what they should and
 * nothing else, explanations add up, and "every mention" is every one. Method: a small matter with mails and attachments; the
 * public API; for syntax a table; for exactness a plain scan over the same texts. */
#include "store_help.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/size.h"
#include "base/span.h"
#include "store/facts.h"
#include "store/store_priv.h"
#include "store/syntax.h"
#include <sqlite3.h>

struct fixture {
    char *home;
    struct kt_store *s;
    struct kt_matter *m;
};

static const struct {
    const char *path, *format, *text;
    int64_t days; /* since 1970, of the last change */
} FILES[] = {
    { "/akte/2024/anfrage.eml", "mail",
      "From: Jörg Müller <j.mueller@example.org>\nTo: Kanzlei Vogt <post@vogt.example>\n"
      "Date: Tue, 12 Mar 2024 23:50:00 +0100\nSubject: Anfrage\n\nDer Mieter kündigt nach § 573 "
      "Abs. 2 BGB.\n",
      20000 },
    { "/akte/2024/anfrage.eml/rechnung.pdf", "pdf",
      "Rechnung über 1.234,56 EUR, IBAN DE89 3704 0044 0532 0130 00.\n", 20000 },
    { "/akte/2024/antwort.eml", "mail",
      "From: Anna Weber <weber@example.org>\nTo: j.mueller@example.org\n"
      "Date: 3 Jun 2024 08:00:00 GMT\nSubject: Antwort\n\nDie Kündigung des Mieters ist unwirksam, "
      "Az. 12 O 345/23.\n",
      20000 },
    { "/akte/2023/vertrag.docx", "docx",
      "Mietvertrag mit dem Mieter über Lagerraum. Der Entwurf gilt nicht.\n",
      19540 /* 2023-07-02 */ },
    { "/akte/2023/notiz.txt", "text",
      "Betrag 1234.56 und noch einmal 1 234,56 EUR; DE89370400440532013000.\n",
      19700 /* 2023-12-09 */ },
};

static void put_file(struct kt_matter *m, size_t i)
{
    struct kt_error err = { 0 };
    size_t len = strlen(FILES[i].text);
    struct kt_place all = { .end = len, .page = 1, .para = 1 };
    struct kt_doc_put d = { .path = FILES[i].path,
                            .format = FILES[i].format,
                            .mtime_ns = FILES[i].days * 86400 * 1000000000,
                            .text = FILES[i].text,
                            .text_len = len,
                            .blocks = &all,
                            .n_blocks = 1,
                            .chunks = &all,
                            .n_chunks = 1 };
    OK(kt_matter_put(m, &d, &err));
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct kt_error err = { 0 };
    assert_non_null(f);
    f->home = home_make();
    OK(kt_store_open(&f->s, f->home, NULL, &err));
    OK(kt_matter_open(&f->m, f->s, KT_DEFAULT_MATTER, KT_WRITE, &err));
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++)
        put_file(f->m, i);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    kt_matter_close(f->m);
    kt_store_close(f->s);
    home_remove(f->home);
    free(f);
    return 0;
}

/* The files a query finds, as letters in the order of FILES: "AC". */
static void found(char out[static 8], struct kt_matter *m, const char *query,
                  const struct kt_search_filter *filter)
{
    struct kt_error err = { 0 };
    struct kt_search_request rq = { .query = query, .mode = KT_SEARCH_LEXICAL };
    struct kt_hit *hits;
    size_t n, len = 0;
    if (filter)
        rq.filter = *filter;
    OK(kt_matter_search(m, &rq, &hits, &n, &err));
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++)
        for (size_t k = 0; k < n; k++)
            if (!strcmp(hits[k].path, FILES[i].path))
                out[len++] = (char)('A' + i);
    out[len] = 0;
    kt_hits_free(hits, n);
}

/* ---- syntax ---- */

static const struct {
    const char *query, *files;
} QUERIES[] = {
    /* fields, both languages, any case */
    { "from:weber", "C" },
    { "von:weber Mieter", "C" },
    { "VON:Müller", "AB" },
    { "from:mueller", "AB" },
    { "from:muller", "AB" },
    { "from:\"Jörg Müller\"", "AB" },
    { "absender:j.mueller@example.org", "AB" },
    { "to:vogt", "AB" },
    { "an:j.mueller", "C" },
    { "type:pdf", "B" },
    { "typ:mail", "AC" },
    { "type:word,pdf", "BD" },
    { "path:2023", "DE" },
    { "pfad:/akte/2024", "ABC" },
    /* dates: of the mail, as its sender's clock had it; of what is attached, the mail's; else of the file */
    { "date:2024", "ABC" },
    { "date:2024-03", "AB" },
    { "datum:12.03.2024", "AB" },
    { "date:2024-01..2024-06", "ABC" },
    { "date:2023-08..2024-03", "ABE" },
    { "seit:2024-04", "C" },
    { "bis:2023-07", "D" },
    { "date:..2023", "DE" },
    /* exclusions */
    { "Mieter -Entwurf", "AC" },
    { "Mieter -\"Lagerraum Der Entwurf\"", "AC" },
    { "Mieter -type:mail", "D" },
    { "path:2023 -typ:docx", "E" },
    /* what means nothing is words */
    { "date:soon", "AC" },
    { "type:horse Mieter", "ACD" },
    { "Mieter:", "ACD" },
    { "from: Mieter", "ACD" },
    { "Mieter - Entwurf", "ACD" },
    { "Mieter und -Entwurf", "ACD" },
    { "-Entwurf", "D" },
    { "\"from:weber\" Mieter", "" },
    { "Mieter \"", "ACD" },
    { "date:9999..x", "AC" },
    { ":::: -- -\" \"- from:\"\" (Mieter*", "ACD" },
    /* as typed and reformatted */
    { "1.234,56", "BE" },
    { "1234.56 EUR", "BE" },
    { "\"1 234,56\"", "E" },
    { "DE89370400440532013000", "BE" },
    { "\"DE89370400440532013000\"", "BE" },
    { "\"§573\"", "A" },
    { "§ 573 Abs. 2 BGB", "A" },
    { "12 O 345/23", "AC" },
    { "12O345/23", "AC" },
    { "kuendigt", "A" },
};

static void test_queries(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_LEN(QUERIES); i++) {
        char files[8];
        found(files, f->m, QUERIES[i].query, NULL);
        if (strcmp(files, QUERIES[i].files))
            fail_msg("\"%s\": expected %s, found %s", QUERIES[i].query, QUERIES[i].files, files);
    }
}

/* Any bytes between and around the marks that mean something: an answer, never an error. */
static void test_any_query(void **state)
{
    static const char *const PIECES[] = { "from:",  "-",    "\"",     "„",    "“", "date:",
                                          "..",     "2024", "Mieter", " ",    ":", "type:pdf",
                                          "-type:", "\xFF", "(",      "NEAR", "*", "\n" };
    struct fixture *f = *state;
    struct rng r;
    rng_init(&r, 5);
    for (int round = 0; round < 400; round++) {
        struct buf q = { 0 };
        for (size_t k = 1 + rng_below(&r, 10); k--;)
            buf_append_str(&q, PIECES[rng_below(&r, ARRAY_LEN(PIECES))]);
        char files[8];
        found(files, f->m, q.ptr, NULL);
        buf_deinit(&q);
    }
}

static void test_request_filter(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    static const struct {
        struct kt_search_filter filter;
        const char *files;
    } TABLE[] = {
        { { .type = "mail" }, "AC" },
        { { .type = "mail, docx", .since = "2024" }, "AC" },
        { { .sender = "weber" }, "C" },
        { { .path = "akte/2023" }, "DE" },
        { { .until = "2023-07-02" }, "D" },
        { { .since = "2024-03-12", .until = "2024-03-12" }, "AB" },
    };
    for (size_t i = 0; i < ARRAY_LEN(TABLE); i++) {
        char files[8];
        found(files, f->m, "", &TABLE[i].filter);
        if (strcmp(files, TABLE[i].files))
            fail_msg("filter %zu: expected %s, found %s", i, TABLE[i].files, files);
    }
    struct kt_hit *hits;
    size_t n;
    struct kt_search_request bad = { .query = "Mieter", .filter = { .type = "horse" } };
    FAILS(kt_matter_search(f->m, &bad, &hits, &n, &err), KT_E_USAGE);
    bad.filter = (struct kt_search_filter){ .since = "soon" };
    FAILS(kt_matter_search(f->m, &bad, &hits, &n, &err), KT_E_USAGE);
}

/* ---- marks and explanations ---- */

static void test_marks(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    struct kt_search_request rq = { .query = "Mieters Lagerraum",
                                    .mode = KT_SEARCH_LEXICAL,
                                    .k = 1 };
    struct kt_hit *hits;
    size_t n;
    OK(kt_matter_search(f->m, &rq, &hits, &n, &err));
    assert_int_equal(n, 1);
    static const char *const WORDS[] = { "Mieter", "Lagerraum" };
    assert_int_equal(hits[0].n_marks, 2);
    for (size_t i = 0; i < 2; i++) {
        struct kt_mark k = hits[0].marks[i];
        assert_int_equal(k.end - k.start, strlen(WORDS[i]));
        assert_memory_equal(hits[0].text + k.start, WORDS[i], k.end - k.start);
    }
    kt_hits_free(hits, n);
}

static void test_explain(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    struct kt_explanation x;
    struct kt_search_request rq = { .query = "Mieter Lagerraum typ:docx -Rechnung",
                                    .mode = KT_SEARCH_LEXICAL,
                                    .explain = &x };
    struct kt_hit *hits;
    size_t n;
    OK(kt_matter_search(f->m, &rq, &hits, &n, &err));
    assert_int_equal(n, 1);
    assert_true(x.n_terms >= 2 && x.exact);
    assert_int_equal(x.terms[0].n_chunks, 3);
    assert_string_equal(x.terms[0].kind, "word");
    assert_string_equal(x.filters, "type: docx; not: Rechnung");
    assert_int_equal(x.n_let_through, 1);
    double sum = 0;
    for (size_t i = 0; i < x.n_terms; i++)
        sum += hits[0].term_scores[i];
    assert_true(fabs(sum - hits[0].lexical_score) < 1e-9);
    kt_hits_free(hits, n);
    kt_explanation_deinit(&x);
}

/* ---- every mention ---- */

static uint64_t mentions(struct kt_matter *m, const char *phrase)
{
    struct kt_error err = { 0 };
    struct kt_mention *list;
    size_t n;
    uint64_t n_all;
    OK(kt_matter_mentions(m, phrase, NULL, 1000, &list, &n, &n_all, &err));
    assert_int_equal(n, n_all);
    free(list);
    return n_all;
}

static void test_mentions(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(mentions(f->m, "Mieter"), 3); /* "Mieter" twice, "Mieters"; not Mietvertrag */
    assert_int_equal(mentions(f->m, "1.234,56 EUR"), 2);
    assert_int_equal(mentions(f->m, "1.234,56"), 3);
    assert_int_equal(mentions(f->m, "DE89370400440532013000"), 2);
    assert_int_equal(mentions(f->m, "DE89 3704 0044 0532 0130 00"), 2);
    assert_int_equal(mentions(f->m, "12 O 345/23"), 1);
    assert_int_equal(mentions(f->m, "§ 573"), 1);
    assert_int_equal(mentions(f->m, "der Mieter"), 1);
    assert_int_equal(mentions(f->m, "Elefant"), 0);
    assert_int_equal(mentions(f->m, ""), 0);
}

/* Random texts cut into chunks anywhere; what a scan over the words counts is what is counted, also across chunks. */
static void test_mentions_scan(void **state)
{
    static const char *const WORDS[] = { "alpha", "beta", "gamma", "delta" };
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    struct rng r;
    rng_init(&r, 9);
    size_t singles = 0, pairs = 0;
    for (int doc = 0; doc < 12; doc++) {
        struct buf text = { 0 };
        struct kt_place chunks[10];
        size_t last = 9;
        for (size_t c = 0; c < ARRAY_LEN(chunks); c++) {
            chunks[c] = (struct kt_place){ .start = text.len, .para = (uint32_t)c + 1 };
            for (size_t w = 1 + rng_below(&r, 5); w--;) {
                size_t word = rng_below(&r, ARRAY_LEN(WORDS));
                buf_printf(&text, "%s ", WORDS[word]);
                singles += word == 0;
                pairs += last == 0 && word == 1;
                last = word;
            }
            chunks[c].end = text.len;
        }
        char path[32];
        snprintf(path, sizeof(path), "/r/%d", doc);
        struct kt_doc_put d = { .path = path,
                                .text = text.ptr,
                                .text_len = text.len,
                                .blocks = chunks,
                                .n_blocks = ARRAY_LEN(chunks),
                                .chunks = chunks,
                                .n_chunks = ARRAY_LEN(chunks) };
        OK(kt_matter_put(f->m, &d, &err));
        buf_deinit(&text);
    }
    assert_int_equal(mentions(f->m, "Alpha"), singles);
    assert_int_equal(mentions(f->m, "alpha beta"), pairs);
}

static void test_documents(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    struct kt_document_line *list;
    size_t n;
    OK(kt_matter_documents(f->m, "typ:mail", NULL, &list, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(list[0].path, FILES[0].path);
    assert_string_equal(list[0].date, "2024-03-12");
    assert_non_null(strstr(list[1].sender, "Anna Weber"));
    kt_document_lines_free(list, n);
}

/* ---- matters of an earlier version, and removal ---- */

/* The table is made and filled from the stored texts; until then a reader is told what to do. */
static void test_upgrade(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    assert_int_equal(sqlite3_exec(f->m->db, "DROP TABLE mails", NULL, NULL, NULL), SQLITE_OK);
    kt_matter_close(f->m);
    FAILS(kt_matter_open(&f->m, f->s, KT_DEFAULT_MATTER, KT_READ, &err), KT_E_UNSUPPORTED);
    OK(kt_matter_open(&f->m, f->s, KT_DEFAULT_MATTER, KT_WRITE, &err));
    char files[8];
    found(files, f->m, "from:weber", NULL);
    assert_string_equal(files, "C");
    kt_matter_close(f->m);
    OK(kt_matter_open(&f->m, f->s, KT_DEFAULT_MATTER, KT_READ, &err));
    found(files, f->m, "from:mueller type:pdf", NULL);
    assert_string_equal(files, "B");
}

/* One handle searches while another writes: what was added is found without reading the rest again, what was removed is not. */
static void test_vectors_follow(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    struct kt_matter *reader;
    OK(kt_matter_open(&reader, f->s, KT_DEFAULT_MATTER, KT_READ, &err));
    for (int i = 0; i < 30; i++) {
        char path[32], line[32];
        float v[16];
        snprintf(path, sizeof(path), "/v/%d", i);
        snprintf(line, sizeof(line), "line %d", i);
        char text[40];
        snprintf(text, sizeof(text), "%s\n", line);
        OK(put_lines(f->m, path, text, 16, &err));
        if (i % 10 == 9) {
            size_t n_removed;
            char gone[32];
            snprintf(gone, sizeof(gone), "/v/%d", i - 3);
            OK(kt_matter_remove_deferred(f->m, gone, &n_removed, &err));
            assert_int_equal(n_removed, 1);
        }
        line_vector(v, 16, line, strlen(line));
        struct kt_matter *const both[] = { reader, f->m };
        for (size_t k = 0; k < 2; k++) {
            struct kt_search_request rq = {
                .vector = v, .dim = 16, .mode = KT_SEARCH_DENSE, .k = 100
            };
            struct kt_hit *hits;
            size_t n;
            OK(kt_matter_search(both[k], &rq, &hits, &n, &err));
            assert_int_equal(n, i + 1 - (i + 1) / 10);
            assert_string_equal(hits[0].path, path);
            kt_hits_free(hits, n);
        }
    }
    kt_matter_close(reader);
}

static void test_removed(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    size_t n;
    uint8_t *image;
    OK(kt_matter_remove(f->m, FILES[2].path, &n, &err));
    OK(matter_plain_image(f->m, &image, &n, &err));
    assert_int_equal(count_in_bytes(image, n, "Anna Weber", 10), 0);
    free(image);
    assert_int_equal(mentions(f->m, "Kündigung"), 0);
}

static void test_heads(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sender, *date;
    } TABLE[] = {
        { "From: a@b\nDate: Mon, 1 Jan 2024 00:00:00 +0000\n\nDate: x", "a@b", "2024-01-01" },
        { "Date: 2024-02-03T10:00:00Z\n", "", "2024-02-03" },
        { "Date: 31 Foo 2024\nFrom:\nFrom: second\n", "second", "" },
        { "Date: 5 Feb 99 10:00\n", "", "1999-02-05" },
        { "Hello\n\nFrom: body\n", "", "" },
        { "Date: 99 Dec 2024", "", "" },
        { "", "", "" },
        { "From: \xFF\xFE", "\xFF\xFE", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(TABLE); i++) {
        struct mail_facts facts;
        mail_facts_read(&facts, span_of(TABLE[i].text));
        assert_true(span_eq_str(facts.sender, TABLE[i].sender));
        assert_string_equal(facts.date, TABLE[i].date);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_queries, setup, teardown),
        cmocka_unit_test_setup_teardown(test_any_query, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request_filter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_marks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_explain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mentions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mentions_scan, setup, teardown),
        cmocka_unit_test_setup_teardown(test_documents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_upgrade, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vectors_follow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_removed, setup, teardown),
        cmocka_unit_test(test_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
