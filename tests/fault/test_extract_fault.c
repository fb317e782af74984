/* Every allocation of every parser fails once, and then all of them from the n-th on; n = 1, 2, ...
 * until none fails any more.
 *
 * The allocator is interposed for the whole process, so those inside expat, libxml2, libzip and
 * utf8proc fail too. Each time the parser must either refuse for want of memory or give exactly the
 * text it gives with memory to spare: half a document that looks whole would be indexed as if it
 * were all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/size.h"
#include "extract/extract_priv.h"

/* ---- the allocator that fails ---- */

/* Visible, or the libraries would go on using the C library's. */
#define INTERPOSED __attribute__((visibility("default")))

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static long fail_at;  /* 0: never */
static bool fail_on;  /* and every one after it */
static long n_allocs; /* since the last parse began */
static bool failed;

static bool must_fail(void)
{
    if (!fail_at)
        return false;
    n_allocs++;
    bool now = fail_on ? n_allocs >= fail_at : n_allocs == fail_at;
    failed |= now;
    return now;
}

INTERPOSED void *malloc(size_t n)
{
    if (must_fail()) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_malloc(n);
}

INTERPOSED void *calloc(size_t n, size_t size)
{
    if (must_fail()) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_calloc(n, size);
}

INTERPOSED void *realloc(void *p, size_t n)
{
    if (must_fail()) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(p, n);
}

/* ---- parsing under it ---- */

typedef void (*parse_fn)(struct builder *b, struct span in);

static void parse_pdf(struct builder *b, struct span in)
{
    struct bbox *x = bbox_create(b);
    if (!x) {
        builder_refuse(b, REASON_NOMEM, 0, 0);
        return;
    }
    if (bbox_feed(x, in, true))
        bbox_finish(x);
    bbox_destroy(x);
}

static void parse_text(struct builder *b, struct span in)
{
    parse_memory(b, DOC_TEXT, in);
}

static void parse_markdown(struct builder *b, struct span in)
{
    parse_memory(b, DOC_MARKDOWN, in);
}

static void parse_html(struct builder *b, struct span in)
{
    parse_memory(b, DOC_HTML, in);
}

static struct refusal last;

static char *run(parse_fn parse, struct span in, long at, bool on, enum reason *reason)
{
    struct builder b;
    struct document d = { 0 };
    builder_init(&b, (size_t)1 << 20);
    n_allocs = 0;
    failed = false;
    fail_on = on;
    fail_at = at;
    parse(&b, in);
    bool ok = builder_finish(&b, &d, DOC_TEXT);
    fail_at = 0;
    *reason = b.refusal.reason;
    last = b.refusal;
    char *text = ok ? strdup(d.text ? d.text : "(lost)") : NULL;
    document_deinit(&d);
    builder_deinit(&b);
    return text;
}

static void every_allocation(const char *name, parse_fn parse, struct span in)
{
    enum reason reason;
    char *whole = run(parse, in, 0, false, &reason);
    assert_non_null(whole);
    long n = 0, n_refused = 0;
    for (int on = 0; on < 2; on++) {
        for (n = 1; n < 200000; n++) {
            char *text = run(parse, in, n, on, &reason);
            bool any = failed;
            n_refused += !text;
            if (!text && reason != REASON_NOMEM)
                fail_msg("%s: allocation %ld failed: refused for reason %d (%llu, %llu), expected "
                         "want of memory",
                         name, n, (int)reason, (unsigned long long)last.a,
                         (unsigned long long)last.b);
            if (text && strcmp(text, whole) != 0)
                fail_msg(
                    "%s: allocation %ld failed, and a different text was taken for the whole:\n%s",
                    name, n, text);
            free(text);
            if (!any)
                break;
        }
        assert_in_range(n, 3, 199999);
    }
    print_message("%s: %ld allocations, %ld refusals\n", name, n - 1, n_refused);
    assert_true(n_refused > 2);
    free(whole);
}

static struct buf data(const char *name)
{
    const char *root = getenv("KONTOR_SOURCE");
    struct buf path = { 0 }, out = { 0 };
    buf_printf(&path, "%s/%s", root ? root : ".", name);
    struct kt_error err;
    if (file_read(&out, path.ptr, 1 << 20, &err) != KT_OK)
        fail_msg("%s", err.text);
    buf_deinit(&path);
    return out;
}

static void each_file(const char *name, parse_fn parse)
{
    struct buf in = data(name);
    every_allocation(name, parse, buf_span(&in));
    buf_deinit(&in);
}

static void test_text(void **state)
{
    (void)state;
    every_allocation("text", parse_text,
                     SPAN("Erster Absatz a\xCC\x88\n\nzweiter \xFC\n\n- dritter\n"));
}

static void test_markdown(void **state)
{
    (void)state;
    each_file("tests/fuzz/corpus/fuzz_markdown/all", parse_markdown);
}

static void test_html(void **state)
{
    (void)state;
    each_file("tests/fuzz/corpus/fuzz_html/tables", parse_html);
    every_allocation(
        "page", parse_html,
        SPAN("<html><head><title>T</title></head><body><h1>Kopf</h1><p class=\"x\">Ein "
             "<b>Wort</b> &uuml;ber<br>zwei</p><p>Ende</p></body></html>"));
}

static void test_docx(void **state)
{
    (void)state;
    each_file("tests/data/documents/letter.libreoffice.docx", office_parse);
}

static void test_office(void **state)
{
    (void)state;
    each_file("tests/data/documents/letter.libreoffice.odt", office_parse);
    each_file("tests/data/documents/invoices.openpyxl.xlsx", office_parse);
    each_file("tests/data/documents/report.python-pptx.pptx", office_parse);
    each_file("tests/data/documents/letter.libreoffice.rtf", rtf_parse);
}

static void test_pdf(void **state)
{
    (void)state;
    each_file("tests/fuzz/corpus/fuzz_bbox/minutes", parse_pdf);
}

int main(void)
{
    charset_prepare();
    html_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text), cmocka_unit_test(test_markdown), cmocka_unit_test(test_html),
        cmocka_unit_test(test_docx),
        cmocka_unit_test(test_office), cmocka_unit_test(test_pdf),
    };
    return cmocka_run_group_tests_name("extract fault", tests, NULL, NULL);
}
