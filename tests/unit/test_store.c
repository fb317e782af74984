/* Goal: the store keeps what kontor/store.h promises. Method: a fresh home for each test, the
 * public API only, except where a promise is about bytes on disk: then files are read raw, and the
 * decrypted image is searched as well. */
#include "store_help.h"

#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/files.h"
#include "base/half.h"
#include "base/rng.h"
#include "base/size.h"
#include "base/span.h"
#include "store/store_priv.h"

struct fixture {
    char *home;
    struct kt_store *s;
    struct kt_matter *m;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct kt_error err = { 0 };
    assert_non_null(f);
    f->home = home_make();
    OK(kt_store_open(&f->s, f->home, NULL, &err));
    OK(kt_matter_open(&f->m, f->s, KT_DEFAULT_MATTER, KT_WRITE, &err));
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

static void reopen(struct fixture *f)
{
    struct kt_error err = { 0 };
    kt_matter_close(f->m);
    f->m = NULL;
    OK(kt_matter_open(&f->m, f->s, KT_DEFAULT_MATTER, KT_WRITE, &err));
}

/* ---- documents ---- */

static const char LEASE[] = "Der Mieter zahlt 1.234,56 € Miete im Monat.\n"
                            "Eine Mietvertragsänderung bedarf der Schriftform.\n"
                            "Kündigungsfrist: drei Monate nach § 573c BGB, Az. 12 C 345/23.\n"
                            "Konto DE89 3704 0044 0532 0130 00, Frau Müller.\n"
                            "Unterschrieben am 12. März 2024.\n";

static void test_put_and_read(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    OK(put_lines(f->m, "/akten/miete.txt", LEASE, 8, &err));
    for (int again = 0; again < 2; again++, reopen(f)) {
        struct kt_doc_info d;
        OK(kt_matter_find(f->m, "/akten/miete.txt", &d, &err));
        assert_string_equal(d.path, "/akten/miete.txt");
        assert_int_equal(d.state, KT_DOC_INDEXED);
        assert_null(d.reason);
        assert_int_equal(d.n_chunks, 5);
        assert_int_equal(d.size, sizeof(LEASE) - 1);
        assert_true(d.has_vectors);
        char *text;
        OK(kt_matter_text(f->m, d.id, 4, 10, &text, &err));
        assert_string_equal(text, "Mieter");
        free(text);
        OK(kt_matter_text(f->m, d.id, 3, 3, &text, &err));
        assert_string_equal(text, "");
        free(text);
        FAILS(kt_matter_text(f->m, d.id, 0, sizeof(LEASE), &text, &err), KT_E_NOTFOUND);
        FAILS(kt_matter_text(f->m, d.id + 1, 0, 1, &text, &err), KT_E_NOTFOUND);
        struct kt_place p;
        OK(kt_matter_place(f->m, d.id, 60, &p, &err));
        assert_int_equal(p.para, 1);
        assert_int_equal(p.page, 1);
        assert_true(p.start <= 60 && 60 < p.end);
        assert_true(p.box[3] == 1.0f);
        struct kt_doc_info same;
        OK(kt_matter_find_hash(f->m, d.hash, &same, &err));
        assert_int_equal(same.id, d.id);
        kt_doc_info_deinit(&same);
        kt_doc_info_deinit(&d);
    }
    struct kt_doc_info none;
    FAILS(kt_matter_find(f->m, "/akten/other.txt", &none, &err), KT_E_NOTFOUND);
    OK(matter_check(f->m, &err));
}

/* Slices across segment borders: a text of several segments, every border, compared with the text
 * itself. */
static void test_long_text(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    size_t len = 3 * SEGMENT_BYTES + 777;
    char *text = malloc(len + 1);
    assert_non_null(text);
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + (i * 7 + i / 26) % 26);
    text[len] = 0;
    struct kt_doc_put d = { .path = "/long", .text = text, .text_len = len };
    OK(kt_matter_put(f->m, &d, &err));
    struct kt_doc_info info;
    OK(kt_matter_find(f->m, "/long", &info, &err));
    struct rng r;
    rng_init(&r, 7);
    for (int i = 0; i < 300; i++) {
        size_t a = rng_below(&r, len), b = a + rng_below(&r, len - a + 1);
        if (i < 12) { /* around the borders */
            a = (size_t)(i / 3) * SEGMENT_BYTES - (i >= 3);
            b = a + 1 + (size_t)(i % 3);
        }
        char *part;
        OK(kt_matter_text(f->m, info.id, a, b, &part, &err));
        if (memcmp(part, text + a, b - a) || strlen(part) != b - a)
            fail_msg("bytes [%zu, %zu) differ", a, b);
        free(part);
    }
    kt_doc_info_deinit(&info);
    free(text);
}

static bool collect(void *ctx, const struct kt_doc_info *d)
{
    struct buf *b = ctx;
    buf_printf(b, "%s%s(%s)", b->len ? " " : "", d->path, kt_doc_state_name(d->state));
    return true;
}

static void expect_docs(struct kt_matter *m, const char *below, const char *expected)
{
    struct kt_error err = { 0 };
    struct buf b = { 0 };
    OK(kt_matter_each(m, below, collect, &b, &err));
    if (strcmp(b.ptr ? b.ptr : "", expected))
        fail_msg("below %s: expected \"%s\", found \"%s\"", below ? below : "everything", expected,
                 b.ptr ? b.ptr : "");
    buf_deinit(&b);
}

static void test_each_rename_remove(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    OK(put_lines(f->m, "/a/x.txt", "Birne\n", 4, &err));
    OK(put_lines(f->m, "/a/b/y.txt", "Apfel\n", 4, &err));
    OK(put_lines(f->m, "/a.txt", "Quitte\n", 0, &err));
    OK(put_lines(f->m, "/a0", "Kirsche\n", 4, &err));
    struct kt_doc_put bad = { .path = "/a/z.pdf",
                              .state = KT_DOC_FAILED,
                              .reason = "encrypted; remove the password" };
    OK(kt_matter_put(f->m, &bad, &err));
    expect_docs(
        f->m, NULL,
        "/a.txt(indexed) /a/b/y.txt(indexed) /a/x.txt(indexed) /a/z.pdf(failed) /a0(indexed)");
    expect_docs(f->m, "/a", "/a/b/y.txt(indexed) /a/x.txt(indexed) /a/z.pdf(failed)");
    expect_docs(f->m, "/a/", "/a/b/y.txt(indexed) /a/x.txt(indexed) /a/z.pdf(failed)");
    expect_docs(f->m, "/a/x.txt", "/a/x.txt(indexed)");
    expect_docs(
        f->m, "/",
        "/a.txt(indexed) /a/b/y.txt(indexed) /a/x.txt(indexed) /a/z.pdf(failed) /a0(indexed)");
    expect_docs(f->m, "/nothing", "");

    struct kt_doc_info before, after;
    OK(kt_matter_find(f->m, "/a/x.txt", &before, &err));
    OK(kt_matter_rename(f->m, "/a/x.txt", "/c/x.txt", 11, 12, &err));
    OK(kt_matter_find(f->m, "/c/x.txt", &after, &err));
    assert_int_equal(before.id, after.id);
    assert_int_equal(after.size, 11);
    assert_int_equal(after.mtime_ns, 12);
    kt_doc_info_deinit(&before);
    kt_doc_info_deinit(&after);
    FAILS(kt_matter_rename(f->m, "/a/x.txt", "/d", 1, 1, &err), KT_E_NOTFOUND);
    /* onto another document: that one goes */
    OK(kt_matter_rename(f->m, "/c/x.txt", "/a0", 1, 1, &err));
    assert_null(first_hit(f->m, "Kirsche"));
    char *hit = first_hit(f->m, "Birnen");
    assert_string_equal(hit, "Birne");
    free(hit);

    size_t n;
    OK(kt_matter_remove(f->m, "/a", &n, &err));
    assert_int_equal(n, 2);
    OK(kt_matter_remove(f->m, "/a", &n, &err));
    assert_int_equal(n, 0);
    expect_docs(f->m, NULL, "/a.txt(indexed) /a0(indexed)");
    assert_null(first_hit(f->m, "Apfel"));
    OK(matter_check(f->m, &err));
    OK(kt_matter_remove(f->m, NULL, &n, &err));
    assert_int_equal(n, 2);
    expect_docs(f->m, NULL, "");
    OK(matter_check(f->m, &err));
}

static void test_replace(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    for (int i = 0; i < 20; i++) {
        char text[64];
        snprintf(text, sizeof(text), "Fassung nummer%d\nzweite Zeile%d\n", i, i);
        OK(put_lines(f->m, "/x", text, 4, &err));
    }
    expect_docs(f->m, NULL, "/x(indexed)");
    assert_null(first_hit(f->m, "nummer7"));
    char *hit = first_hit(f->m, "nummer19");
    assert_string_equal(hit, "Fassung nummer19");
    free(hit);
    OK(matter_check(f->m, &err));
}

static void test_bad_puts(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    static const char T[] = "fünf Wörter";
    float ones[2] = { 1, 0 }, huge[2] = { 1e9f, 0 }, nan_[2] = { NAN, 0 };
    struct kt_place whole = { .end = sizeof(T) - 1 }, past = { .end = sizeof(T) },
                    inside = { .start = 2, .end = 5 }, back = { .start = 3, .end = 1 },
                    odd = { .end = 1, .box = { INFINITY } };
    struct kt_place two[2] = { { .start = 6, .end = 7 }, { .start = 0, .end = 1 } };
    const struct kt_doc_put PUTS[] = {
        { .path = "", .text = T, .text_len = 5 },
        { .path = NULL, .text = T, .text_len = 5 },
        { .path = "/p", .text = NULL },
        { .path = "/p", .text = "\xFF", .text_len = 1 },
        { .path = "/p", .state = KT_DOC_FAILED, .text = T, .text_len = 5 },
        { .path = "/p", .text = T, .text_len = sizeof(T) - 1, .chunks = &past, .n_chunks = 1 },
        { .path = "/p", .text = T, .text_len = sizeof(T) - 1, .chunks = &inside, .n_chunks = 1 },
        { .path = "/p", .text = T, .text_len = sizeof(T) - 1, .blocks = &back, .n_blocks = 1 },
        { .path = "/p", .text = T, .text_len = sizeof(T) - 1, .blocks = &odd, .n_blocks = 1 },
        { .path = "/p", .text = T, .text_len = sizeof(T) - 1, .chunks = two, .n_chunks = 2 },
        { .path = "/p",
          .text = T,
          .text_len = sizeof(T) - 1,
          .chunks = &whole,
          .n_chunks = 1,
          .vectors = huge,
          .dim = 2 },
        { .path = "/p",
          .text = T,
          .text_len = sizeof(T) - 1,
          .chunks = &whole,
          .n_chunks = 1,
          .vectors = nan_,
          .dim = 2 },
        { .path = "/p",
          .text = T,
          .text_len = sizeof(T) - 1,
          .chunks = &whole,
          .n_chunks = 1,
          .vectors = ones,
          .dim = 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(PUTS); i++) {
        enum kt_status st = kt_matter_put(f->m, &PUTS[i], &err);
        if (st != KT_E_USAGE)
            fail_msg("put %zu: expected usage, found %s", i, kt_status_name(st));
    }
    /* another dimension than the matter's: refused, and the document is not half there */
    OK(put_lines(f->m, "/four", "vier\n", 4, &err));
    FAILS(put_lines(f->m, "/five", "fünf\n", 5, &err), KT_E_USAGE);
    expect_docs(f->m, NULL, "/four(indexed)");
    OK(matter_check(f->m, &err));
}

/* ---- searching ---- */

static const struct {
    const char *query, *line; /* the line's beginning */
} QUERIES[] = {
    { "Mietvertrag", "Eine Mietvertragsänderung" },
    { "Änderung", "Eine Mietvertragsänderung" },
    { "aenderung des mietvertrags", "Eine Mietvertragsänderung" },
    { "Welche Frist gilt für die Kündigung?", "Kündigungsfrist" },
    { "§573c", "Kündigungsfrist" },
    { "§ 573c BGB", "Kündigungsfrist" },
    { "12 C 345/23", "Kündigungsfrist" },
    { "345/23", "Kündigungsfrist" },
    { "1234,56", "Der Mieter" },
    { "1.234,56 €", "Der Mieter" },
    { "DE89370400440532013000", "Konto" },
    { "mueller", "Konto" },
    { "Muller", "Konto" },
    { "12.03.2024", "Unterschrieben" },
    { "2024-03-12", "Unterschrieben" },
    { "\"zahlt 1.234,56\"", "Der Mieter" },
    { "„drei Monate nach“", "Kündigungsfrist" },
    { "\"nie geschlossen Konto", "Konto" },
    { "der die das und", "Der Mieter" }, /* nothing but stop words: then they count */
};

static void test_queries(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    OK(put_lines(f->m, "/miete.txt", LEASE, 0, &err));
    for (size_t i = 0; i < ARRAY_LEN(QUERIES); i++) {
        char *hit = first_hit(f->m, QUERIES[i].query);
        if (!hit || strncmp(hit, QUERIES[i].line, strlen(QUERIES[i].line)))
            fail_msg("%s: expected \"%s...\", found \"%s\"", QUERIES[i].query, QUERIES[i].line,
                     hit ? hit : "nothing");
        free(hit);
    }
    static const char *const NOTHING[] = { "",      "   ",      "?!.",
                                           "\"\"",  "Xylophon", "\"Monate drei\"",
                                           "\"\"\"" };
    for (size_t i = 0; i < ARRAY_LEN(NOTHING); i++) {
        char *hit = first_hit(f->m, NOTHING[i]);
        if (hit)
            fail_msg("%s: expected nothing, found \"%s\"", NOTHING[i], hit);
    }
}

/* Nothing typed is FTS5 syntax, and no query, however odd, is an error. */
static void test_hostile_queries(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    OK(put_lines(f->m, "/m.txt", LEASE, 0, &err));
    static const char *const BITS[] = { "AND",   "OR",      "NOT", "NEAR(", ")", "(", "\"",
                                        "*",     "^",       ":",   "{",     "}", "-", "+",
                                        "body:", "parts :", " ",   "Miete", "'", ";", "--",
                                        "\x1F",  "\xFF",    "„",   "“",     "\\" };
    struct rng r;
    rng_init(&r, 3);
    for (int i = 0; i < 1500; i++) {
        struct buf q = { 0 };
        for (size_t k = rng_below(&r, 30); k--;)
            buf_append_str(&q, BITS[rng_below(&r, ARRAY_LEN(BITS))]);
        struct kt_search_request rq = { .query = q.ptr ? q.ptr : "", .mode = KT_SEARCH_LEXICAL };
        struct kt_hit *hits;
        size_t n;
        enum kt_status st = kt_matter_search(f->m, &rq, &hits, &n, &err);
        if (st)
            fail_msg("query %d \"%s\": %s", i, rq.query, err.text);
        kt_hits_free(hits, n);
        buf_deinit(&q);
    }
    /* very long ones are cut, not refused */
    struct buf q = { 0 };
    for (int i = 0; i < 40000; i++)
        buf_printf(&q, "wort%d ", i);
    struct kt_search_request rq = { .query = q.ptr, .mode = KT_SEARCH_LEXICAL };
    struct kt_hit *hits;
    size_t n;
    OK(kt_matter_search(f->m, &rq, &hits, &n, &err));
    kt_hits_free(hits, n);
    buf_deinit(&q);
}

/* The scan against plain arithmetic on the same vectors: the same order, the same cosines. */
static void test_dense(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    enum { DIM = 48, DOCS = 30, LINES = 10 };
    char line[32];
    for (int d = 0; d < DOCS; d++) {
        struct buf b = { 0 };
        char path[32];
        for (int i = 0; i < LINES; i++)
            buf_printf(&b, "zeile%d\n", d * LINES + i);
        snprintf(path, sizeof(path), "/d%02d", d);
        OK(put_lines(f->m, path, b.ptr, DIM, &err));
        buf_deinit(&b);
    }
    float q[DIM], v[DIM];
    for (int round = 0; round < 10; round++) {
        line_vector(q, DIM, "query", 4 + (size_t)round % 2);
        q[round] += 0.01f;
        double best = -2;
        int best_line = 0;
        for (int i = 0; i < DOCS * LINES; i++) {
            snprintf(line, sizeof(line), "zeile%d", i);
            line_vector(v, DIM, line, strlen(line));
            double dot = 0;
            for (int k = 0; k < DIM; k++)
                dot += (double)q[k] * (double)f16_to_f32(f32_to_f16(v[k]));
            if (dot > best) {
                best = dot;
                best_line = i;
            }
        }
        struct kt_search_request rq = { .vector = q, .dim = DIM, .mode = KT_SEARCH_DENSE, .k = 20 };
        struct kt_hit *hits;
        size_t n;
        OK(kt_matter_search(f->m, &rq, &hits, &n, &err));
        assert_int_equal(n, 20);
        snprintf(line, sizeof(line), "zeile%d", best_line);
        assert_string_equal(hits[0].text, line);
        assert_true(fabs(hits[0].dense_score - best) < 1e-5);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(hits[i].dense_rank, i + 1);
            assert_int_equal(hits[i].lexical_rank, 0);
            assert_true(!i || hits[i].dense_score <= hits[i - 1].dense_score);
        }
        kt_hits_free(hits, n);
    }
    struct kt_search_request other = { .vector = q, .dim = DIM - 1, .mode = KT_SEARCH_DENSE };
    struct kt_hit *hits;
    size_t n;
    FAILS(kt_matter_search(f->m, &other, &hits, &n, &err), KT_E_USAGE);
    struct kt_search_request none = { .query = "zeile1", .mode = KT_SEARCH_DENSE };
    FAILS(kt_matter_search(f->m, &none, &hits, &n, &err), KT_E_USAGE);
}

static void test_hybrid(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    OK(put_lines(f->m, "/h", "Apfel am Baum\nBirne im Korb\nKirsche im Garten\n", 16, &err));
    float v[16];
    line_vector(v, 16, "Kirsche im Garten", strlen("Kirsche im Garten"));
    struct kt_search_request rq = { .query = "Birne", .vector = v, .dim = 16 };
    struct kt_hit *hits;
    size_t n;
    OK(kt_matter_search(f->m, &rq, &hits, &n, &err));
    assert_int_equal(n, 3);
    for (size_t i = 0; i < n; i++) {
        bool pear = !strncmp(hits[i].text, "Birne", 5),
             cherry = !strncmp(hits[i].text, "Kirsche", 7);
        assert_int_equal(hits[i].lexical_rank, pear);
        assert_true(!cherry || hits[i].dense_rank == 1);
        assert_true(!cherry || hits[i].dense_score > 0.999);
        assert_true(hits[i].score >= 0 && hits[i].score <= 1);
        assert_string_equal(hits[i].path, "/h");
        assert_int_equal(hits[i].text_len, strlen(hits[i].text));
    }
    kt_hits_free(hits, n);
    /* without a vector hybrid is lexical */
    rq.vector = NULL;
    OK(kt_matter_search(f->m, &rq, &hits, &n, &err));
    assert_int_equal(n, 1);
    kt_hits_free(hits, n);

    /* another embedder: vectors go, words stay */
    char id[65];
    OK(kt_matter_embedder(f->m, id, &err));
    assert_string_equal(id, "");
    OK(kt_matter_set_embedder(f->m, "abc123", &err));
    OK(kt_matter_embedder(f->m, id, &err));
    assert_string_equal(id, "abc123");
    FAILS(kt_matter_set_embedder(f->m, "not hex", &err), KT_E_USAGE);
    rq.vector = v;
    OK(kt_matter_search(f->m, &rq, &hits, &n, &err));
    assert_int_equal(n, 1);
    kt_hits_free(hits, n);
    OK(put_lines(f->m, "/five", "fünf\n", 5, &err));
    OK(matter_check(f->m, &err));
}

/* ---- nothing readable on the disk ---- */

static void test_nothing_readable(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    OK(kt_matter_create(f->s, "Mandant Zyxwvut", &err));
    OK(put_lines(f->m, "/akten/Qwertzuiop.txt", "Ypsilonwort im Text\n", 8, &err));
    static const char *const PLANTED[] = { "Zyxwvut", "Qwertzuiop", "Ypsilonwort", "ypsilonwort",
                                           "CREATE TABLE" };
    for (int closed = 0; closed < 2; closed++) {
        for (size_t i = 0; i < ARRAY_LEN(PLANTED); i++)
            if (count_in_files(f->home, PLANTED[i], strlen(PLANTED[i])))
                fail_msg("\"%s\" is readable below the home", PLANTED[i]);
        kt_matter_close(f->m);
        f->m = NULL;
    }
    struct stat sb;
    char *key = path_join(f->home, "master.key");
    assert_int_equal(stat(key, &sb), 0);
    assert_int_equal(sb.st_mode & 0777, 0600);
    free(key);
}

/* The promise of 'remove', also against somebody who has the key: the decrypted image of the
 * database holds neither the words nor any piece of seven letters of them, neither the vectors nor
 * the path. Words and vectors of documents that stay must be there, or the test would see nothing
 * at all. */
enum { SCRUB_DIM = 32, SCRUB_DOCS = 240 };

static void planted_word(char out[static 32], int doc, int i)
{
    /* letters that no other text of this test has, so that pieces of a word can be looked for too
     */
    static const char LETTERS[] = "qxjyvzwpk";
    struct rng r;
    rng_init(&r, (uint64_t)(doc * 100 + i + 1));
    size_t n = 9 + rng_below(&r, 6);
    for (size_t k = 0; k < n; k++)
        out[k] = LETTERS[rng_below(&r, sizeof(LETTERS) - 1)];
    out[n] = 0;
}

static void put_planted(struct kt_matter *m, int doc)
{
    struct kt_error err = { 0 };
    struct buf b = { 0 };
    char path[64], word[32];
    for (int i = 0; i < 40; i++) {
        planted_word(word, doc, i);
        buf_printf(&b, "Der Mieter nennt %s und zahlt im Monat%s", word, i % 4 == 3 ? ".\n" : " ");
    }
    planted_word(word, doc, 99);
    snprintf(path, sizeof(path), "/akten/%s.txt", word);
    OK(put_lines(m, path, b.ptr, SCRUB_DIM, &err));
    buf_deinit(&b);
}

/* The words of all documents but one: a piece that is in there too says nothing. */
static void other_words(struct buf *out, int doc)
{
    char word[32];
    for (int d = 0; d < SCRUB_DOCS; d++)
        for (int i = 0; i < 100 && d != doc; i = i == 39 ? 99 : i + 1) {
            planted_word(word, d, i);
            buf_printf(out, "%s ", word);
        }
}

/* How many traces of the document are in the image: pieces of seven letters of its words and path,
 * and the beginnings that FTS5 keeps as keys to its pages ("0" and a few letters). A piece that
 * begins like one of another document's is left out: it may be that one's end and the number behind
 * it. */
static size_t traces(const uint8_t *image, size_t len, int doc, char found[static 64])
{
    size_t n = 0;
    char word[32], key[8];
    struct buf others = { 0 };
    other_words(&others, doc);
    for (int i = 0; i < 100; i = i == 39 ? 99 : i + 1) {
        planted_word(word, doc, i);
        for (size_t k = 0; k + 7 <= strlen(word); k++) {
            if (span_find(buf_span(&others), (struct span){ word + k, 6 }, 0) != SIZE_MAX)
                continue;
            size_t here = count_in_bytes(image, len, word + k, 7);
            if (here && !n)
                snprintf(found, 64, "%.7s of %s", word + k, word);
            n += here;
        }
        snprintf(key, sizeof(key), "0%.5s", word);
        if (span_find(buf_span(&others), (struct span){ word, 5 }, 0) == SIZE_MAX &&
            count_in_bytes(image, len, key, 6)) {
            snprintf(found, 64, "key %s of %s", key, word);
            n++;
        }
    }
    buf_deinit(&others);
    return n;
}

/* The vectors of a document's first line as stored: f16 and int8. */
static size_t vector_traces(const uint8_t *image, size_t len, int doc)
{
    struct buf b = { 0 };
    char word[32];
    for (int i = 0; i < 4; i++) {
        planted_word(word, doc, i);
        buf_printf(&b, "Der Mieter nennt %s und zahlt im Monat%s", word, i % 4 == 3 ? "." : " ");
    }
    float v[SCRUB_DIM], scale;
    uint16_t half[SCRUB_DIM];
    int8_t q[SCRUB_DIM];
    line_vector(v, SCRUB_DIM, b.ptr, b.len);
    for (int i = 0; i < SCRUB_DIM; i++)
        half[i] = f32_to_f16(v[i]);
    vec_quantize(q, &scale, v, SCRUB_DIM);
    buf_deinit(&b);
    return count_in_bytes(image, len, half, sizeof(half)) +
           count_in_bytes(image, len, q, sizeof(q));
}

static void test_remove_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    /* what is written is what counts here, not when it is safe */
    OK(db_exec(f->m, "PRAGMA synchronous=OFF", "test", &err));
    for (int d = 0; d < SCRUB_DOCS; d++)
        put_planted(f->m, d);
    for (int round = 0; round < 3; round++) {
        /* one in the middle; every third of the rest; all that is left but the last */
        for (int d = 0; d < SCRUB_DOCS; d++) {
            bool goes = round == 0 ? d == 17 : round == 1 ? d % 3 == 0 : d != SCRUB_DOCS - 1;
            char word[32], path[64];
            planted_word(word, d, 99);
            snprintf(path, sizeof(path), "/akten/%s.txt", word);
            size_t n;
            bool look = !round || d % 7 == 0; /* looking is slow, and so is cleaning */
            if (!goes)
                continue;
            if (round &&
                d % 4 == 0) { /* replaced by nothing much: the old text must go just the same */
                OK(put_lines(f->m, path, "leer\n", SCRUB_DIM, &err));
                OK(kt_matter_rename(f->m, path, "/leer", 1, 1, &err));
            } else if (look && d % 2) { /* alone, from an index of one segment */
                OK(matter_scrub(f->m, &err));
                OK(kt_matter_remove(f->m, path, &n, &err));
            } else {
                OK(kt_matter_remove_deferred(f->m, path, &n, &err));
            }
            if (!look)
                continue;
            OK(kt_matter_remove(f->m, "/nothing", &n, &err));
            uint8_t *image;
            size_t len;
            OK(matter_plain_image(f->m, &image, &len, &err));
            char found[64] = "";
            size_t n_traces = traces(image, len, d, found),
                   n_vectors = vector_traces(image, len, d);
            if (n_traces || n_vectors)
                fail_msg("round %d, document %d: %zu traces (first: %s), %zu vectors in %zu bytes",
                         round, d, n_traces, found, n_vectors, len);
            n_traces = traces(image, len, SCRUB_DOCS - 1, found);
            n_vectors = vector_traces(image, len, SCRUB_DOCS - 1);
            if (n_traces < 40 || n_vectors < 2)
                fail_msg("the document that stays is not seen: this test sees nothing");
            free(image);
        }
        OK(matter_check(f->m, &err));
    }
    /* and the log is empty */
    char *wal = path_join(f->m->dir, "matter.db-wal");
    struct stat sb;
    assert_true(stat(wal, &sb) || sb.st_size == 0);
    free(wal);
}

/* Removed one by one without cleaning each time: closing does it, and so does opening after a
 * crash. */
static void test_deferred(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    size_t n;
    char found[64] = "";
    for (int killed = 0; killed < 2; killed++) {
        for (int d = 0; d < 3; d++)
            put_planted(f->m, d);
        OK(kt_matter_remove_deferred(f->m, "/akten", &n, &err));
        assert_int_equal(n, 3);
        expect_docs(f->m, NULL, "");
        if (killed) /* as if the process had ended here: only the note in the file is left */
            f->m->scrub_pending = false;
        reopen(f);
        assert_false(f->m->scrub_pending);
        uint8_t *image;
        size_t len;
        OK(matter_plain_image(f->m, &image, &len, &err));
        for (int d = 0; d < 3; d++)
            if (traces(image, len, d, found))
                fail_msg("document %d left a trace: %s", d, found);
        free(image);
    }
}

/* ---- keys ---- */

static void test_passphrase(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    char *home = home_make();
    struct kt_store *s;
    struct kt_matter *m;
    OK(kt_store_open(&s, home, "richtig", &err));
    OK(kt_matter_open(&m, s, "default", KT_WRITE, &err));
    OK(put_lines(m, "/x", "Inhalt\n", 0, &err));
    kt_matter_close(m);
    kt_store_close(s);
    FAILS(kt_store_open(&s, home, "falsch", &err), KT_E_KEY);
    assert_null(s);
    FAILS(kt_store_open(&s, home, NULL, &err), KT_E_KEY);
    OK(kt_store_open(&s, home, "richtig", &err));
    OK(kt_matter_open(&m, s, "default", KT_READ, &err));
    char *hit = first_hit(m, "Inhalt");
    assert_string_equal(hit, "Inhalt");
    free(hit);
    kt_matter_close(m);
    kt_store_close(s);
    home_remove(home);
}

/* Flip one bit of a file; every flip must be noticed with the right status. */
static void flip(const char *path, size_t at)
{
    int fd = open(path, O_RDWR);
    uint8_t b = 0;
    assert_true(fd >= 0 && pread(fd, &b, 1, (off_t)at) == 1);
    b ^= 0x10;
    assert_int_equal(pwrite(fd, &b, 1, (off_t)at), 1);
    close(fd);
}

static void test_damage(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    OK(put_lines(f->m, "/miete.txt", LEASE, 8, &err));
    char *dir = strdup(f->m->dir);
    kt_matter_close(f->m);
    f->m = NULL;
    char *master = path_join(f->home, "master.key"), *key = path_join(dir, "matter.key"),
         *db = path_join(dir, "matter.db");
    struct kt_store *s;
    struct kt_matter *m;
    for (size_t at = 0; at < 152; at += 9) {
        flip(master, at);
        FAILS(kt_store_open(&s, f->home, NULL, &err), KT_E_KEY);
        flip(master, at);
    }
    for (size_t at = 0; at < 412; at += 23) {
        flip(key, at);
        FAILS(kt_matter_open(&m, f->s, "default", KT_READ, &err), KT_E_KEY);
        flip(key, at);
    }
    /* the database: every page is authenticated, so a flip anywhere is an error or in a page nobody
     * reads */
    struct stat sb;
    assert_int_equal(stat(db, &sb), 0);
    size_t noticed = 0, tried = 0;
    for (size_t at = 0; at < (size_t)sb.st_size; at += 1531, tried++) {
        flip(db, at);
        enum kt_status st = kt_matter_open(&m, f->s, "default", KT_READ, &err);
        if (!st) {
            st = matter_check(m, &err);
            kt_matter_close(m);
        }
        if (st && st != KT_E_FORMAT && st != KT_E_KEY)
            fail_msg("byte %zu: expected a word about the file, found %s: %s", at,
                     kt_status_name(st), err.text);
        noticed += st != KT_OK;
        flip(db, at);
    }
    if (noticed < tried * 9 / 10)
        fail_msg("only %zu of %zu flips were noticed", noticed, tried);
    /* the key of another home */
    char *other = home_make(), *other_key = path_join(other, "master.key");
    struct kt_store *o;
    OK(kt_store_open(&o, other, NULL, &err));
    struct buf b = { 0 };
    OK(file_read(&b, other_key, 4096, &err));
    kt_store_close(o);
    OK(file_replace(master, b.ptr, b.len, 0600, &err));
    buf_deinit(&b);
    OK(kt_store_open(&s, f->home, NULL, &err));
    FAILS(kt_matter_open(&m, s, "default", KT_READ, &err), KT_E_KEY);
    kt_store_close(s);
    /* no key at all: no new one is made over matters that need the old one */
    assert_int_equal(unlink(master), 0);
    FAILS(kt_store_open(&s, f->home, NULL, &err), KT_E_KEY);
    /* a database that is gone, one that is something else */
    assert_int_equal(unlink(db), 0);
    FAILS(kt_matter_open(&m, f->s, "default", KT_WRITE, &err), KT_E_NOTFOUND);
    OK(file_replace(db, LEASE, sizeof(LEASE), 0600, &err));
    FAILS(kt_matter_open(&m, f->s, "default", KT_WRITE, &err), KT_E_FORMAT);
    home_remove(other);
    free(other_key);
    free(master);
    free(key);
    free(db);
    free(dir);
}

/* ---- matters ---- */

static void test_matters(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    OK(kt_matter_create(f->s, "Müller ./. Schmidt", &err));
    FAILS(kt_matter_create(f->s, "Müller ./. Schmidt", &err), KT_E_EXISTS);
    FAILS(kt_matter_create(f->s, "", &err), KT_E_USAGE);
    FAILS(kt_matter_create(f->s, "zwei\nZeilen", &err), KT_E_USAGE);
    char longest[LIMIT_NAME_BYTES + 2];
    memset(longest, 'n', sizeof(longest));
    longest[LIMIT_NAME_BYTES + 1] = 0;
    FAILS(kt_matter_create(f->s, longest, &err), KT_E_USAGE);
    longest[LIMIT_NAME_BYTES] = 0;
    OK(kt_matter_create(f->s, longest, &err));
    struct kt_matter *m;
    FAILS(kt_matter_open(&m, f->s, "keine", KT_READ, &err), KT_E_NOTFOUND);

    /* walls: what is in one is not found from another */
    OK(kt_matter_open(&m, f->s, "Müller ./. Schmidt", KT_WRITE, &err));
    OK(put_lines(m, "/geheim", "Kronzeuge\n", 4, &err));
    assert_null(first_hit(f->m, "Kronzeuge"));
    expect_docs(f->m, NULL, "");
    FAILS(kt_matter_destroy(f->s, "Müller ./. Schmidt", &err), KT_E_BUSY);
    kt_matter_close(m);

    struct kt_matter_info *list;
    size_t n;
    OK(kt_matter_list(f->s, &list, &n, &err));
    assert_int_equal(n, 3);
    assert_string_equal(list[0].name, "Müller ./. Schmidt");
    assert_int_equal(list[0].n_documents, 1);
    assert_int_equal(list[0].n_chunks, 1);
    assert_true(list[0].bytes > 4096);
    assert_string_equal(list[1].name, "default");
    kt_matter_list_free(list, n);

    OK(kt_matter_destroy(f->s, "Müller ./. Schmidt", &err));
    FAILS(kt_matter_destroy(f->s, "Müller ./. Schmidt", &err), KT_E_NOTFOUND);
    FAILS(kt_matter_open(&m, f->s, "Müller ./. Schmidt", KT_READ, &err), KT_E_NOTFOUND);
    OK(kt_matter_list(f->s, &list, &n, &err));
    assert_int_equal(n, 2);
    kt_matter_list_free(list, n);
}

/* A destruction that was killed halfway, at each of its steps: the other matters are there, the name is free again, and the next
 * creation sweeps up. (Once the key was overwritten in its place: a kill before its removal made a damaged key of it, and
 * no matter of the home could be listed any more.) */
static void test_a_destruction_that_was_killed(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    for (int step = 0; step < 3; step++) {
        char id[KT_MATTER_ID_LEN + 1], key[PATH_MAX], gone[PATH_MAX + 8], dir[PATH_MAX];
        OK(kt_matter_create(f->s, "halb", &err));
        OK(kt_matter_find_id(f->s, "halb", id, &err));
        snprintf(dir, sizeof(dir), "%s/matters/%s", f->home, id);
        snprintf(key, sizeof(key), "%.2000s/matter.key", dir);
        snprintf(gone, sizeof(gone), "%s.gone", key);
        assert_int_equal(rename(key, gone), 0);
        if (step == 1)
            OK(file_replace(gone, "noise", 5, 0600, &err));
        if (step == 2)
            assert_int_equal(unlink(gone), 0);
        struct kt_matter_info *list;
        struct kt_matter *m;
        size_t n;
        OK(kt_matter_list(f->s, &list, &n, &err));
        assert_int_equal(n, 1);
        kt_matter_list_free(list, n);
        FAILS(kt_matter_open(&m, f->s, "halb", KT_READ, &err), KT_E_NOTFOUND);
        OK(kt_matter_create(f->s, "andere", &err));
        assert_false(file_exists(dir));
        OK(kt_matter_destroy(f->s, "andere", &err));
    }
}

static void test_one_writer(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    struct kt_matter *m;
    char pid[32];
    snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
    FAILS(kt_matter_open(&m, f->s, "default", KT_WRITE, &err), KT_E_BUSY);
    if (!strstr(err.text, pid))
        fail_msg("expected \"%s\" in: %s", pid, err.text);
    OK(put_lines(f->m, "/x", "eins\n", 4, &err));
    struct kt_matter *reader;
    OK(kt_matter_open(&reader, f->s, "default", KT_READ, &err));
    char *hit = first_hit(reader, "eins");
    assert_string_equal(hit, "eins");
    free(hit);
    /* the reader sees what is written later, and writes nothing itself */
    OK(put_lines(f->m, "/y", "zwei\n", 4, &err));
    float v[4];
    line_vector(v, 4, "zwei", 4);
    struct kt_search_request rq = { .vector = v, .dim = 4, .mode = KT_SEARCH_DENSE, .k = 5 };
    struct kt_hit *hits;
    size_t n;
    OK(kt_matter_search(reader, &rq, &hits, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(hits[0].text, "zwei");
    kt_hits_free(hits, n);
    FAILS(put_lines(reader, "/z", "drei\n", 4, &err), KT_E_USAGE);
    /* another process names the holder too, and its lock goes with it */
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct kt_store *s = NULL;
        struct kt_matter *c = NULL;
        enum kt_status st = kt_store_open(&s, f->home, NULL, &err);
        st = st ? st : kt_matter_open(&c, s, "default", KT_WRITE, &err);
        _exit(st == KT_E_BUSY && strstr(err.text, pid) ? 0 : 1);
    }
    int code = -1;
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    kt_matter_close(reader);
}

/* An index made by another version's analysis is made again from the stored texts when opened for
 * writing. */
static void test_reindex(void **state)
{
    struct fixture *f = *state;
    struct kt_error err = { 0 };
    OK(put_lines(f->m, "/miete.txt", LEASE, 8, &err));
    OK(meta_set(f->m, "analysis", "0", &err));
    kt_matter_close(f->m);
    f->m = NULL;
    struct kt_matter *reader;
    FAILS(kt_matter_open(&reader, f->s, "default", KT_READ, &err), KT_E_UNSUPPORTED);
    OK(kt_matter_open(&f->m, f->s, "default", KT_WRITE, &err));
    OK(matter_check(f->m, &err));
    char *hit = first_hit(f->m, "Mietvertrag");
    assert_non_null(hit);
    free(hit);
    size_t n;
    OK(kt_matter_remove(f->m, NULL, &n, &err));
    OK(matter_check(f->m, &err));
}

int main(void)
{
#define WITH_HOME(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_HOME(test_put_and_read),
        WITH_HOME(test_long_text),
        WITH_HOME(test_each_rename_remove),
        WITH_HOME(test_replace),
        WITH_HOME(test_bad_puts),
        WITH_HOME(test_queries),
        WITH_HOME(test_hostile_queries),
        WITH_HOME(test_dense),
        WITH_HOME(test_hybrid),
        WITH_HOME(test_nothing_readable),
        WITH_HOME(test_remove_leaves_nothing),
        WITH_HOME(test_deferred),
        cmocka_unit_test(test_passphrase),
        WITH_HOME(test_damage),
        WITH_HOME(test_matters),
        WITH_HOME(test_a_destruction_that_was_killed),
        WITH_HOME(test_one_writer),
        WITH_HOME(test_reindex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
