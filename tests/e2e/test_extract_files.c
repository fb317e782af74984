/* Files on disk through extract_file(): real documents of other programs, bad input of every kind,
 * hanging and lying workers, and the walls.
 *
 * The worker is the shipped program ($KONTOR_BIN) when it is there; run by hand without it, this
 * test is its own worker. The documents are in tests/data/documents (see its README). Both are
 * copied to a folder that everybody may read: some tests give up root, and a source tree below
 * /root can then not be reached. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/compiler.h"
#include "base/files.h"
#include "base/size.h"
#include "base/utf8.h"
#include "extract/extract.h"

/* The sanitizers' shadows reserve terabytes, so that a worker under them has no limit on memory. */
#if defined(KT_ASAN) || defined(__SANITIZE_THREAD__)
#define SHADOW_MEMORY 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SHADOW_MEMORY 1
#endif
#endif

static char *worker_path; /* the copy in dir */
static char dir[] = "/tmp/kontor-extract-XXXXXX";

static struct extract_options options(void)
{
    return (struct extract_options){ .worker_path = worker_path };
}

/* ---- helpers -------------------------------------------------------------------------------- */

static char *in_dir(const char *name)
{
    char *p = path_join(dir, name);
    assert_non_null(p);
    return p;
}

static char *make_file(const char *name, const void *ptr, size_t len)
{
    char *path = in_dir(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0644), 0); /* whatever the umask says */
    assert_int_equal(file_write_fd(fd, ptr, len, path, NULL), KT_OK);
    close(fd);
    return path;
}

static char *make_script(const char *name, const char *text)
{
    char *path = make_file(name, text, strlen(text));
    assert_int_equal(chmod(path, 0755), 0);
    return path;
}

static char *data_path(const char *name)
{
    struct buf b = { 0 };
    buf_printf(&b, "%s/documents/%s", dir, name);
    return buf_take(&b);
}

static struct document extract_ok(const char *path)
{
    struct document d;
    struct kt_error err = { 0 };
    struct extract_options o = options();
    enum kt_status st = extract_file(&d, path, &o, &err);
    if (st)
        fail_msg("%s: expected a document, found %s: %s", path, kt_status_name(st), err.text);
    assert_int_equal(d.blocks[d.n_blocks - 1].end, d.text_len);
    return d;
}

static struct document extract_data(const char *name)
{
    char *path = data_path(name);
    struct document d = extract_ok(path);
    free(path);
    return d;
}

/* The status, and words the message must have; it begins with the path and is one line. */
static void expect_fail_with(const char *path, const struct extract_options *o,
                             enum kt_status expected, const char *words)
{
    struct document d;
    struct kt_error err = { 0 };
    enum kt_status st = extract_file(&d, path, o, &err);
    if (st != expected || !strstr(err.text, words) || strncmp(err.text, path, strlen(path)) != 0 ||
        strchr(err.text, '\n'))
        fail_msg("%s: expected %s with '%s', found %s: %s", path, kt_status_name(expected), words,
                 kt_status_name(st), err.text);
    assert_null(d.text);
    assert_null(d.blocks);
}

static void expect_fail(const char *path, enum kt_status expected, const char *words)
{
    struct extract_options o = options();
    expect_fail_with(path, &o, expected, words);
}

static bool is_word_char(int32_t cp)
{
    if (cp < 0x80)
        return (cp >= '0' && cp <= '9') || (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z');
    return cp >= 0xC0 && cp < 0x2000 && cp != 0xD7 && cp != 0xF7;
}

/* The next word of s at *at: letters and digits only, so that bullets, bars and quotes do not
 * count. Single digits are skipped, because list numbers and note marks are text in some formats
 * and computed in others. Empty: the end. */
static struct span next_word(struct span s, size_t *at)
{
    for (;;) {
        size_t from = *at, n = 0;
        while (*at < s.len && is_word_char(utf8_decode(s.ptr + *at, s.len - *at, &n)))
            *at += n;
        struct span w = span_sub(s, from, *at);
        if (w.len > 1 || *at >= s.len)
            return w.len > 1 ? w : (struct span){ 0 };
        *at += *at < s.len && w.len == 0 ? n : 0;
    }
}

/* How many words of 'expected' stand in 'found' in the same order, by the longest run of look-ahead
 * needed; returns the words of 'found' that were passed over, or SIZE_MAX when an expected one is
 * missing (then *missing is it). */
static size_t words_in_order(struct span expected, struct span found, struct span *missing)
{
    size_t e = 0, f = 0, extra = 0;
    for (;;) {
        struct span w = next_word(expected, &e);
        if (!w.len)
            break;
        for (;;) {
            struct span v = next_word(found, &f);
            if (!v.len) {
                *missing = w;
                return SIZE_MAX;
            }
            if (span_eq(v, w))
                break;
            extra++;
        }
    }
    while (next_word(found, &f).len)
        extra++;
    return extra;
}

static void expect_words(const char *name, struct span expected, size_t max_extra)
{
    struct document d = extract_data(name);
    struct span missing = { 0 };
    size_t extra = words_in_order(expected, (struct span){ d.text, d.text_len }, &missing);
    if (extra == SIZE_MAX)
        fail_msg("%s: the word '%.*s' is missing or out of order in\n%s", name, (int)missing.len,
                 missing.ptr, d.text);
    if (extra > max_extra)
        fail_msg("%s: %zu words too many, at most %zu expected, in\n%s", name, extra, max_extra,
                 d.text);
    document_deinit(&d);
}

/* ---- documents of other programs ------------------------------------------------------------ */

/* The same words in the same order from every format, by an independent reader's account of the
 * source. Extra are the title (twice in the document) and, in Chromium's PDF, the table's head
 * repeated on the second page. The footnote stands at the foot of its page in PDFs and at the end
 * elsewhere, so it is looked for by itself. */
static void test_same_words(void **state)
{
    (void)state;
    static const char *const names[] = { "pandoc.docx",      "libreoffice.docx", "pandoc.html",
                                         "libreoffice.html", "libreoffice.pdf",  "chromium.pdf",
                                         "libreoffice.odt",  "pandoc.odt",       "libreoffice.rtf",
                                         "pandoc.rtf" };
    static const char *const texts[] = { "lease", "minutes" };
    static const char note[] = "Diese Einschr\u00E4nkung gilt nicht f\u00FCr Anspr\u00FCche wegen "
                               "M\u00E4ngeln der Mietsache";
    for (size_t t = 0; t < ARRAY_LEN(texts); t++) {
        char name[64];
        snprintf(name, sizeof(name), "%s.txt", texts[t]);
        char *path = data_path(name);
        struct buf expected = { 0 };
        assert_int_equal(file_read(&expected, path, 1 << 20, NULL), KT_OK);
        size_t end = span_find(buf_span(&expected), SPAN("[1] Diese"), 0);
        struct span body = span_sub(buf_span(&expected), 0, end);
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            snprintf(name, sizeof(name), "%s.%s", texts[t], names[i]);
            expect_words(name, body, 6 + 12);
            if (t == 0)
                expect_words(name, SPAN(note), SIZE_MAX - 1);
        }
        buf_deinit(&expected);
        free(path);
    }
}

static bool has_block(const struct document *d, enum block_kind kind, const char *text)
{
    for (size_t i = 0; i < d->n_blocks; i++)
        if (d->blocks[i].kind == kind &&
            span_eq_str((struct span){ d->text + d->blocks[i].start,
                                       d->blocks[i].end - d->blocks[i].start },
                        text))
            return true;
    return false;
}

static void expect_block(const struct document *d, const char *name, enum block_kind kind,
                         const char *text)
{
    if (!has_block(d, kind, text))
        fail_msg("%s: no block of kind %d '%s' in\n%s", name, (int)kind, text, d->text);
}

/* A letter with page header and footer, tracked changes, a comment and a table: the same blocks from all that write such. */
static void test_letter_everywhere(void **state)
{
    (void)state;
    static const char *const names[] = { "letter.libreoffice.docx", "letter.libreoffice.odt",
                                         "letter.libreoffice.rtf" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct document d = extract_data(names[i]);
        assert_string_equal(d.title, "K\u00FCndigung Wartungsvertrag");
        expect_block(&d, names[i], BLOCK_HEADER, "Kanzlei Sommerfeld & Partner mbB");
        expect_block(&d, names[i], BLOCK_HEADER, "Bankverbindung auf Anfrage");
        expect_block(&d, names[i], BLOCK_HEADING, "K\u00FCndigung des Wartungsvertrages");
        expect_block(&d, names[i], BLOCK_PARAGRAPH,
                     "Sehr geehrte Damen und Herren, hiermit k\u00FCndigen wir den Vertrag "
                     "fristgerecht zum Jahresende.");
        expect_block(&d, names[i], BLOCK_TABLE_ROW, "Personenaufzug Nord\nHaus 4 | 1998");
        document_deinit(&d);
    }
}

static void expect_on_page(const struct document *d, const char *name, uint32_t page,
                           enum block_kind kind, const char *text)
{
    expect_block(d, name, kind, text);
    for (size_t i = 0; i < d->n_blocks; i++)
        if (d->blocks[i].kind == kind &&
            span_eq_str(span_sub((struct span){ d->text, d->text_len }, d->blocks[i].start,
                                 d->blocks[i].end),
                        text) &&
            d->blocks[i].page == page)
            return;
    fail_msg("%s: '%s' is not on page %u", name, text, page);
}

static void test_sheets(void **state)
{
    (void)state;
    static const char *const names[] = { "invoices.openpyxl.xlsx", "invoices.libreoffice.xlsx",
                                         "invoices.libreoffice.ods" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct document d = extract_data(names[i]);
        assert_int_equal(d.format, i < 2 ? DOC_XLSX : DOC_ODS);
        assert_int_equal(d.n_pages, 3);
        expect_on_page(&d, names[i], 1, BLOCK_HEADING, "Rechnungen 2026");
        expect_on_page(&d, names[i], 1, BLOCK_TABLE_ROW,
                       "Nr. | Datum | Mandant | Betrag netto | USt | Bezahlt | Notiz");
        expect_on_page(&d, names[i], 1, BLOCK_TABLE_ROW,
                       i < 2 ? "R-2026-002 | 2026-02-28 | Stiftung Nordlicht | 99999.99 \u20AC | "
                               "19 % | FALSE | Mahnung am 15.03. verschickt"
                             : "R-2026-002 | 28.02.2026 | Stiftung Nordlicht | 99,999.99 \u20AC | "
                               "19% | FALSE | Mahnung am 15.03. verschickt");
        expect_on_page(&d, names[i], 1, BLOCK_PARAGRAPH, "Zahlungsziel 30 Tage vereinbart");
        if (i > 0) /* who never computed the formula wrote no result */
            expect_on_page(&d, names[i], 1, BLOCK_TABLE_ROW, "Summe | | | 101314.49");
        if (i < 2)
            expect_on_page(&d, names[i], 2, BLOCK_TABLE_ROW, "2026-05-04 | 08:30 | 17:15 | 08:45");
        expect_on_page(&d, names[i], 3, BLOCK_TABLE_ROW, "| Aktenzeichen 12 O 345/25");
        document_deinit(&d);
    }
}

static void test_slides(void **state)
{
    (void)state;
    static const char *const names[] = { "report.python-pptx.pptx", "report.libreoffice.odp" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct document d = extract_data(names[i]);
        assert_int_equal(d.format, i < 1 ? DOC_PPTX : DOC_ODP);
        assert_int_equal(d.n_pages, 3);
        assert_string_equal(d.title, "Jahresbericht 2025");
        expect_on_page(&d, names[i], 2, BLOCK_HEADING, "Ergebnisse");
        expect_on_page(&d, names[i], 2, i < 1 ? BLOCK_PARAGRAPH : BLOCK_LIST_ITEM,
                       "davon Beratung 40 %");
        expect_on_page(&d, names[i], 2, BLOCK_PARAGRAPH, "Hier die Zahlen der Vorjahre nennen.");
        expect_on_page(&d, names[i], 3, BLOCK_TABLE_ROW, "2026-03-01 | Gesellschafterversammlung");
        document_deinit(&d);
    }
}

static const struct doc_part *find_part(const struct document *d, const char *name)
{
    for (size_t i = 0; i < d->n_parts; i++)
        if (strcmp(d->parts[i].name, name) == 0)
            return &d->parts[i];
    fail_msg("no part '%s' among %zu", name, d->n_parts);
    return NULL;
}

/* A mail behind the walls, and what is attached to it, each read as if it were a file. */
static void test_mail(void **state)
{
    (void)state;
    static const char name[] = "mail.python.eml";
    struct document d = extract_data(name), in;
    struct extract_options o = options();
    struct kt_error err;
    assert_int_equal(d.format, DOC_MAIL);
    assert_string_equal(d.title, "K\u00FCndigung Wartungsvertrag: Entw\u00FCrfe & Anlagen");
    expect_block(
        &d, name, BLOCK_HEADER,
        "From: K\u00E4the Sommerfeld <sommerfeld@kanzlei.example>\n"
        "To: J\u00FCrgen \u00D6zt\u00FCrk <oeztuerk@mandant.example>, info@mandant.example\n"
        "Date: Mon, 02 Mar 2026 14:05:11 +0100\n"
        "Subject: K\u00FCndigung Wartungsvertrag: Entw\u00FCrfe & Anlagen");
    expect_block(&d, name, BLOCK_PARAGRAPH, "anbei der Entwurf. Die Kosten betragen 1.200 \u20AC.");
    assert_null(strstr(d.text, "nur in HTML")); /* the alternative says the same */
    assert_int_equal(d.n_parts, 3);             /* not the logo */
    const struct doc_part *p = find_part(&d, "Anlage 1_letter.libreoffice.docx");
    assert_int_equal(extract_memory(&in, p->name, p->ptr, p->len, &o, &err), KT_OK);
    expect_block(&in, p->name, BLOCK_TABLE_ROW, "Personenaufzug Nord\nHaus 4 | 1998");
    document_deinit(&in);
    p = find_part(&d, "R\u00FCckfrage zum Entwurf.eml");
    assert_int_equal(extract_memory(&in, p->name, p->ptr, p->len, &o, &err), KT_OK);
    expect_block(&in, p->name, BLOCK_PARAGRAPH, "Bitte die Frist in \u00A7 4 pr\u00FCfen.");
    document_deinit(&in);
    document_deinit(&d);

    d = extract_data("mailbox.python.mbox");
    assert_int_equal(d.n_parts, 2);
    p = find_part(&d, "0002.eml");
    assert_int_equal(extract_memory(&in, p->name, p->ptr, p->len, &o, &err), KT_OK);
    assert_string_equal(in.title, "Nur HTML");
    expect_block(&in, p->name, BLOCK_PARAGRAPH, "Preis: 5 \u20AC");
    document_deinit(&in);
    document_deinit(&d);

    char *path = make_file("broken.eml", "no header at all", 16);
    expect_fail(path, KT_E_FORMAT, "no message");
    free(path);
}

static void test_archive(void **state)
{
    (void)state;
    struct document d = extract_data("archive.python.zip"), in;
    struct extract_options o = options();
    struct kt_error err;
    assert_int_equal(d.format, DOC_ZIP);
    assert_int_equal(d.n_parts, 3); /* neither the empty file nor what macOS adds */
    const struct doc_part *p = find_part(&d, "Vertr\u00E4ge/Miete.txt");
    assert_int_equal(extract_memory(&in, p->name, p->ptr, p->len, &o, &err), KT_OK);
    assert_string_equal(in.text, "Die Miete betr\u00E4gt 900 Euro.");
    document_deinit(&in);
    assert_int_equal(extract_memory(&in, "x.bin", "\1\2\3", 3, &o, &err), KT_E_UNSUPPORTED);
    document_deinit(&d);
}

/* A scan whose second page is empty and whose third lies on its head, and a photo: recognised behind the walls, with boxes. */
static void test_scans(void **state)
{
    (void)state;
    struct document d = extract_data("letter.scan.pdf");
    assert_int_equal(d.format, DOC_PDF);
    assert_int_equal(d.n_pages, 3);
    size_t n_found[4] = { 0 };
    for (size_t i = 0; i < d.n_blocks; i++) {
        const struct block *b = &d.blocks[i];
        struct span s = span_sub((struct span){ d.text, d.text_len }, b->start, b->end);
        if (span_find(s, SPAN("K\u00FCndigung des Wartungsvertrages"), 0) == SIZE_MAX)
            continue;
        n_found[b->page]++;
        if (b->page == 1) /* points of A4 */
            assert_true(b->box[0] > 50 && b->box[0] < 65 && b->box[2] > 340 && b->box[2] < 370);
        if (b->page == 3) /* the same line, turned: all of it */
            assert_true(b->box[0] > 225 && b->box[0] < 255 && b->box[2] > 530 && b->box[2] < 545);
    }
    assert_true(n_found[1] == 1 && n_found[2] == 0 && n_found[3] == 1);
    document_deinit(&d);
    d = extract_data("letter.photo.png");
    assert_int_equal(d.format, DOC_PICTURE);
    assert_non_null(strstr(d.text, "K\u00FCndigung des Wartungsvertrages"));
    assert_non_null(strstr(d.text, "Industrieweg 8"));
    document_deinit(&d);
    char *path = make_file("cut.png", "\x89PNG\r\n\x1A\n\0\0\0\rIHDR", 16);
    expect_fail(path, KT_E_FORMAT, "could not be read");
    free(path);
}

/* Scans between pages with text and at the end, where the names of attachments stand, are recognised in their places; pages
 * keep their numbers, an empty one adds nothing. */
static void test_mixed_pages(void **state)
{
    (void)state;
    char *text = data_path("letter.libreoffice.pdf"), *scan = data_path("letter.scan.pdf");
    char *path = make_file("mixed.pdf", "", 0);
    struct buf cmd = { 0 };
    buf_printf(&cmd,
               "cd '%s' && rm mixed.pdf && pdfseparate -f 2 -l 3 '%s' scan-%%d.pdf && "
               "pdfunite '%s' scan-2.pdf scan-3.pdf '%s' scan-3.pdf united.pdf && "
               "pdfattach united.pdf '%s' mixed.pdf -replace && rm scan-?.pdf united.pdf",
               dir, scan, text, text, text);
    assert_int_equal(system(cmd.ptr), 0);
    struct document one = extract_data("letter.libreoffice.pdf"), d = extract_ok(path);
    uint32_t n = one.n_pages, last = 0;
    assert_int_equal(d.n_pages, 2 * n + 3);
    size_t n_blocks[16] = { 0 };
    assert_true(d.n_pages < 16);
    for (size_t i = 0; i < d.n_blocks; i++) {
        uint32_t page = d.blocks[i].page;
        assert_true(page >= last && page <= d.n_pages);
        assert_true(i == 0 || d.blocks[i].start == d.blocks[i - 1].end + 2);
        last = page;
        n_blocks[page]++;
    }
    assert_true(n_blocks[n + 1] == 0 && n_blocks[n + 2] > 3);
    assert_true(n_blocks[d.n_pages] == n_blocks[n + 2] + 1); /* and the attachment's name */
    assert_int_equal(d.n_parts, 1);
    assert_true(strncmp(d.text, one.text, one.text_len) == 0);
    assert_non_null(strstr(d.text + one.text_len, one.text));
    document_deinit(&d);
    document_deinit(&one);
    buf_deinit(&cmd);
    free(path);
    free(text);
    free(scan);
}

static void test_structure(void **state)
{
    (void)state;
    static const char *const names[] = { "lease.pandoc.docx",     "lease.libreoffice.docx",
                                         "lease.pandoc.html",     "lease.libreoffice.html",
                                         "lease.libreoffice.pdf", "lease.libreoffice.odt" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct document d = extract_data(names[i]);
        assert_string_equal(d.title, "Mietvertrag \u00FCber B\u00FCror\u00E4ume");
        expect_block(&d, names[i], BLOCK_HEADING, "\u00A7 2 Mietzins und Nebenkosten");
        expect_block(&d, names[i], BLOCK_LIST_ITEM, "ein Kellerraum von ungef\u00E4hr 12 m\u00B2,");
        expect_block(&d, names[i], BLOCK_TABLE_ROW, "Position | Betrag | F\u00E4lligkeit");
        expect_block(&d, names[i], BLOCK_TABLE_ROW,
                     "Summe | 4.037,50 \u20AC | im Voraus, monatlich");
        document_deinit(&d);
    }
    struct document d = extract_data("lease.chromium.pdf");
    expect_block(&d, "lease.chromium.pdf", BLOCK_TABLE_ROW,
                 "Grundmiete | 3.217,50 \u20AC | dritter Werktag");
    expect_block(&d, "lease.chromium.pdf", BLOCK_TABLE_ROW,
                 "Summe | 4.037,50 \u20AC | im Voraus, monatlich");
    document_deinit(&d);
    d = extract_data("minutes.libreoffice.pdf");
    expect_block(&d, "minutes", BLOCK_LIST_ITEM,
                 "2. Mr Adeyemi obtains two quotations for the filing system.");
    expect_block(&d, "minutes", BLOCK_TABLE_ROW, "Conveyancing | 126,780 | 120,040 | 6,740");
    document_deinit(&d);
}

static void test_columns(void **state)
{
    (void)state;
    struct document d = extract_data("columns.chromium.pdf");
    struct span text = { d.text, d.text_len };
    static const char *const parts[] = {
        "\u00FCber die wir Sie unterrichten m\u00F6chten.",
        "Die Aufbewahrungsfristen f\u00FCr Buchungsbelege werden",
        "ob Ihre Verfahrensdokumentation diesen Vorgaben entspricht.",
        "F\u00FCr Vor- und Nachteile einer fr\u00FChzeitigen Umstellung",
        "Die Mietanpassungsklauseln in Gewerbemietvertr\u00E4gen sollten",
        "erreichen Sie den Bereitschaftsdienst unter der bekannten Nummer.",
    };
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        size_t found = span_find(text, span_of(parts[i]), at);
        if (found == SIZE_MAX)
            fail_msg("'%s' is missing or out of order in\n%s", parts[i], d.text);
        at = found;
    }
    for (size_t i = 0; i < d.n_blocks; i++) /* every block has its place on the page */
        assert_true(d.blocks[i].page == 1 && d.blocks[i].box[2] > d.blocks[i].box[0] &&
                    d.blocks[i].box[3] > d.blocks[i].box[1]);
    document_deinit(&d);
}

/* Thirteen pages, word for word what pdftotext itself gives; and pages that grow. */
static void test_long_pdf(void **state)
{
    (void)state;
    char *path = data_path("handbook.libreoffice.pdf");
    struct buf cmd = { 0 }, plain = { 0 };
    buf_printf(&cmd, "pdftotext -enc UTF-8 '%s' -", path);
    FILE *f = popen(cmd.ptr, "r");
    assert_non_null(f);
    assert_int_equal(file_read_fd(&plain, fileno(f), "pdftotext", 1 << 24, NULL), KT_OK);
    assert_int_equal(pclose(f), 0);
    assert_true(plain.len > 20000);
    expect_words("handbook.libreoffice.pdf", buf_span(&plain), 0);

    struct document d = extract_ok(path);
    assert_int_equal(d.n_pages, 13);
    assert_int_equal(d.blocks[0].page, 1);
    assert_int_equal(d.blocks[d.n_blocks - 1].page, 13);
    size_t n_headings = 0;
    for (size_t i = 0; i < d.n_blocks; i++)
        n_headings += d.blocks[i].kind == BLOCK_HEADING;
    assert_int_equal(n_headings, 13); /* the title and twelve chapters */
    document_deinit(&d);
    buf_deinit(&cmd);
    buf_deinit(&plain);
    free(path);
}

static void test_letter(void **state)
{
    (void)state;
    struct document d = extract_data("letter.libreoffice.docx");
    assert_string_equal(
        d.text,
        "Kanzlei Sommerfeld & Partner mbB\n\n"
        "Aufzugsbau Niederrhein GmbH\nIndustrieweg 8\n47051 Duisburg\n\n"
        "K\u00FCndigung des Wartungsvertrages\n\n"
        "Sehr geehrte Damen und Herren, hiermit k\u00FCndigen wir den Vertrag fristgerecht zum "
        "Jahresende.\n\n"
        "Anlage | Baujahr\n\nPersonenaufzug Nord\nHaus 4 | 1998\n\n"
        "Mit freundlichen Gr\u00FC\u00DFen\n\nDr. K\u00E4the Sommerfeld\n\n"
        "Bankverbindung auf Anfrage");
    assert_string_equal(d.title, "K\u00FCndigung Wartungsvertrag");
    assert_int_equal(d.blocks[0].kind, BLOCK_HEADER);
    document_deinit(&d);
    d = extract_data("letter.libreoffice.pdf");
    assert_non_null(strstr(d.text, "Aufzugsbau Niederrhein GmbH\nIndustrieweg 8\n47051 Duisburg"));
    document_deinit(&d);
}

static void test_not_readable_pdfs(void **state)
{
    (void)state;
    char *locked = data_path("locked.libreoffice.pdf"), *scan = data_path("scan.chromium.pdf");
    expect_fail(locked, KT_E_UNSUPPORTED, "protected by a password");
    expect_fail(scan, KT_E_UNSUPPORTED, "no text was recognised");
    free(locked);
    free(scan);
}

/* ---- bad input ------------------------------------------------------------------------------ */

static void test_not_files(void **state)
{
    (void)state;
    char *path = in_dir("nowhere.txt");
    expect_fail(path, KT_E_NOTFOUND, "cannot be found");
    free(path);
    path = in_dir("fifo.txt");
    assert_int_equal(mkfifo(path, 0644), 0);
    expect_fail(path, KT_E_UNSUPPORTED, "a named pipe");
    free(path);
    expect_fail(dir, KT_E_UNSUPPORTED, "a folder");
    expect_fail("/dev/zero", KT_E_UNSUPPORTED, "a device");
    path = make_file("empty.txt", "", 0);
    expect_fail(path, KT_E_UNSUPPORTED, "is empty");
    free(path);
    path = make_file("blank.txt", " \n \n", 4);
    expect_fail(path, KT_E_UNSUPPORTED, "no text in it");
    free(path);
    path = make_file("dangling.txt", "x", 1);
    char *link = in_dir("link.txt");
    assert_int_equal(symlink(path, link), 0);
    struct document d = extract_ok(link);
    document_deinit(&d);
    unlink(path); /* vanished */
    expect_fail(link, KT_E_NOTFOUND, "cannot be found");
    free(path);
    free(link);
}

static void test_garbage(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252u;
    char *noise = malloc(100000);
    assert_non_null(noise);
    for (size_t i = 0; i < 100000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        noise[i] = (char)x;
    }
    char *path = make_file("noise.txt", noise, 100000);
    expect_fail(path, KT_E_FORMAT, "is not text");
    free(path);
    path = make_file("noise.bin", noise, 100000);
    expect_fail(path, KT_E_UNSUPPORTED, "not known");
    free(path);
    path = make_file("noise.pdf", noise, 100000);
    expect_fail(path, KT_E_FORMAT, "not a readable PDF");
    free(path);
    memcpy(noise, "PK\3\4", 4);
    path = make_file("noise.docx", noise, 100000);
    expect_fail(path, KT_E_FORMAT, "damaged or cut off");
    free(path);
    path = make_file("image.txt", "GIF89a......", 12);
    expect_fail(path, KT_E_UNSUPPORTED, "a picture");
    free(path);
    free(noise);
}

static void test_cut_off(void **state)
{
    (void)state;
    static const struct {
        const char *name, *as, *words;
    } cases[] = { { "lease.pandoc.docx", "cut.docx", "damaged or cut off" },
                  { "handbook.libreoffice.pdf", "cut.pdf", "not a readable PDF" } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf b = { 0 };
        char *path = data_path(cases[i].name);
        assert_int_equal(file_read(&b, path, 1 << 20, NULL), KT_OK);
        free(path);
        path = make_file(cases[i].as, b.ptr, i ? 600 : b.len * 2 / 3);
        expect_fail(path, KT_E_FORMAT, cases[i].words);
        free(path);
        buf_deinit(&b);
    }
}

static void test_encodings(void **state)
{
    (void)state;
    static const char *const names[] = { "utf8.txt", "cp1252.txt", "utf16.txt", "utf16be.txt" };
    const struct span texts[] = {
        SPAN("M\xC3\xBCller gegen Wei\xC3\x9F"),
        SPAN("M\xFCller gegen Wei\xDF"),
        SPAN("\xFF\xFEM\0\xFC\0l\0l\0e\0r\0 \0g\0e\0g\0e\0n\0 \0W\0e\0i\0\xDF\0"),
        SPAN("\xFE\xFF\0M\0\xFC\0l\0l\0e\0r\0 \0g\0e\0g\0e\0n\0 \0W\0e\0i\0\xDF"),
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char *path = make_file(names[i], texts[i].ptr, texts[i].len);
        struct document d = extract_ok(path);
        assert_string_equal(d.text, "M\u00FCller gegen Wei\u00DF");
        assert_int_equal(d.format, DOC_TEXT);
        document_deinit(&d);
        free(path);
    }
}

static void test_huge(void **state)
{
    (void)state;
    char *path = make_file("sparse.txt", "x", 1);
    assert_int_equal(truncate(path, (off_t)1 << 30), 0);
    uint64_t t0 = clock_now_ns();
    expect_fail(path, KT_E_LIMIT, "larger than");
    assert_in_range((clock_now_ns() - t0) / 1000000, 0, 1000); /* refused before it is read */
    free(path);

    struct buf html = { 0 };
    for (int i = 0; i < 200000; i++)
        buf_append_str(&html, "<div>");
    path = make_file("deep.html", html.ptr, html.len);
    expect_fail(path, KT_E_LIMIT, "levels deep");
    free(path);
    buf_deinit(&html);

    path = make_file("words.txt", "viele Worte", 11);
    struct extract_options o = options();
    o.output_bytes = 5;
    expect_fail_with(path, &o, KT_E_LIMIT, "of text");
    free(path);
}

#ifndef SHADOW_MEMORY
/* A document that needs more memory than it may have costs itself only. */
static void test_memory(void **state)
{
    (void)state;
    size_t n = 40 << 20;
    char *text = malloc(n);
    assert_non_null(text);
    memset(text, 'x', n);
    char *path = make_file("big.txt", text, n);
    struct extract_options o = options();
    o.memory_bytes = 64 << 20;
    expect_fail_with(path, &o, KT_E_LIMIT, "more memory");
    free(path);
    free(text);
}
#endif

/* A form that draws the next one ten times, twelve deep: 10^12 drawings in a kilobyte. */
static void test_pdf_that_hangs(void **state)
{
    (void)state;
    enum { DEPTH = 12 };
    struct buf pdf = { 0 };
    size_t offsets[DEPTH + 6];
    buf_append_str(&pdf, "%PDF-1.4\n");
    size_t n = 1;
    offsets[n++] = pdf.len;
    buf_append_str(&pdf, "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n");
    offsets[n++] = pdf.len;
    buf_append_str(&pdf, "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n");
    offsets[n++] = pdf.len;
    buf_append_str(&pdf, "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R"
                         "/Resources<</XObject<</X 5 0 R>>>>>>endobj\n");
    offsets[n++] = pdf.len;
    buf_append_str(&pdf, "4 0 obj<</Length 5>>stream\n/X Do\nendstream endobj\n");
    for (int i = 0; i < DEPTH; i++) {
        offsets[n] = pdf.len;
        buf_printf(&pdf, "%zu 0 obj<</Type/XObject/Subtype/Form/BBox[0 0 9 9]/Length 60", n);
        if (i + 1 < DEPTH)
            buf_printf(&pdf, "/Resources<</XObject<</X %zu 0 R>>>>", n + 1);
        buf_append_str(&pdf, ">>stream\n/X Do /X Do /X Do /X Do /X Do /X Do /X Do /X Do /X Do /X "
                             "Do \nendstream endobj\n");
        n++;
    }
    size_t xref = pdf.len;
    buf_printf(&pdf, "xref\n0 %zu\n0000000000 65535 f \n", n);
    for (size_t i = 1; i < n; i++)
        buf_printf(&pdf, "%010zu 00000 n \n", offsets[i]);
    buf_printf(&pdf, "trailer<</Size %zu/Root 1 0 R>>\nstartxref\n%zu\n%%%%EOF\n", n, xref);
    char *path = make_file("hang.pdf", pdf.ptr, pdf.len);
    struct extract_options o = options();
    o.timeout_ms = 1000;
    uint64_t t0 = clock_now_ns();
    expect_fail_with(path, &o, KT_E_TIMEOUT, "was stopped");
    assert_in_range((clock_now_ns() - t0) / 1000000, 900, 20000); /* it would take years */
    free(path);
    buf_deinit(&pdf);
}

static void in_child(void (*fn)(void));

static void read_secret(void)
{
    char *path = in_dir("secret.txt");
    expect_fail(path, KT_E_IO, "cannot be opened");
    free(path);
}

static void test_permission(void **state)
{
    (void)state;
    char *path = make_file("secret.txt", "geheim", 6);
    assert_int_equal(chmod(path, 0), 0);
    in_child(read_secret);
    free(path);
}

/* ---- workers that hang, crash, lie ---------------------------------------------------------- */

static char *doc; /* an ordinary document for them */

static void expect_worker(const char *script, uint32_t timeout_ms, enum kt_status expected,
                          const char *words)
{
    char *path = make_script("worker.sh", script);
    struct extract_options o = { .worker_path = path, .timeout_ms = timeout_ms };
    expect_fail_with(doc, &o, expected, words);
    unlink(path);
    free(path);
}

static void test_bad_workers(void **state)
{
    (void)state;
    expect_worker("#!/bin/sh\nexec sleep 100\n", 300, KT_E_TIMEOUT, "was stopped");
    expect_worker("#!/bin/sh\nexit 0\n", 0, KT_E_FORMAT, "without a whole result");
    expect_worker("#!/bin/sh\nkill -SEGV $$\n", 0, KT_E_FORMAT, "crashed");
    expect_worker("#!/bin/sh\nkill -SYS $$\n", 0, KT_E_FORMAT, "hostile");
    expect_worker("#!/bin/sh\nkill -XCPU $$\n", 0, KT_E_TIMEOUT, "processor time");
    expect_worker("#!/bin/sh\nkill -KILL $$\n", 0, KT_E_LIMIT, "memory");
    expect_worker("#!/bin/sh\nprintf 'rubbish' >&4\n", 0, KT_E_FORMAT, "without a whole result");
    expect_worker("#!/bin/sh\nprintf 'KTX1\\001\\0\\0\\0KTXE' >&4\n", 0, KT_E_FORMAT,
                  "wrong format");
    expect_worker("#!/bin/sh\nprintf 'KTX1\\003\\0\\0\\0KTXE' >&4\n", 0, KT_E_FORMAT, "wrong kind");
    expect_worker("#!/bin/sh\nprintf 'KTX1\\002\\0\\0\\0KTXE' >&4\n", 0, KT_E_FORMAT,
                  "wrong length");
    struct extract_options o = { .worker_path = "/nonexistent/worker" };
    expect_fail_with(doc, &o, KT_E_IO, "could not be started");
}

/* More than any document may be: cut off, not collected. */
static void test_flooding_worker(void **state)
{
    (void)state;
    char *path = make_script("worker.sh", "#!/bin/sh\nexec cat /dev/zero >&4\n");
    struct extract_options o = { .worker_path = path, .output_bytes = 1000 };
    expect_fail_with(doc, &o, KT_E_FORMAT, "wrote more than");
    free(path);
}

/* What a worker has started ends with it, also when it closes its pipe and lingers. */
static void test_group_ends(void **state)
{
    (void)state;
    char *pids = in_dir("pids");
    struct buf script = { 0 };
    buf_printf(&script, "#!/bin/sh\nsleep 100 4>&- &\necho $! > %s\nexec 4>&-\nexec sleep 100\n",
               pids);
    char *path = make_script("worker.sh", script.ptr);
    struct extract_options o = { .worker_path = path, .timeout_ms = 5000 };
    expect_fail_with(doc, &o, KT_E_FORMAT, "hostile");
    struct buf b = { 0 };
    assert_int_equal(file_read(&b, pids, 100, NULL), KT_OK);
    pid_t grandchild = (pid_t)atoi(b.ptr);
    assert_true(grandchild > 1);
    bool gone = false;
    for (int i = 0; i < 2000 && !gone;
         i++) { /* whoever adopted it reaps it; a zombie is gone enough */
        char stat_path[64];
        snprintf(stat_path, sizeof(stat_path), "/proc/%d/stat", (int)grandchild);
        struct buf st = { 0 };
        gone = file_read(&st, stat_path, 4096, NULL) != KT_OK || strstr(st.ptr, ") Z") != NULL;
        buf_deinit(&st);
        usleep(10000);
    }
    assert_true(gone);
    buf_deinit(&b);
    buf_deinit(&script);
    free(path);
    free(pids);
}

static bool cancel_now(void *ctx)
{
    return ++*(int *)ctx > 3;
}

static void test_cancel(void **state)
{
    (void)state;
    char *path = make_script("worker.sh", "#!/bin/sh\nexec sleep 100\n");
    int asked = 0;
    struct extract_options o = { .worker_path = path, .cancelled = cancel_now, .ctx = &asked };
    uint64_t t0 = clock_now_ns();
    expect_fail_with(doc, &o, KT_E_CANCELLED, "cancelled");
    assert_in_range((clock_now_ns() - t0) / 1000000, 0, 20000); /* not the 100 s of the sleep */
    free(path);
}

/* ---- surroundings --------------------------------------------------------------------------- */

static void extract_three(void)
{
    static const char *const names[] = { "lease.pandoc.html", "letter.libreoffice.docx",
                                         "minutes.libreoffice.pdf" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct document d = extract_data(names[i]);
        assert_true(d.n_blocks > 3);
        document_deinit(&d);
    }
}

/* Runs fn in a child that is not root (when we are). A failing assertion there prints what it found
 * and aborts the child: cmocka's way back would lead into a second run of the remaining tests. */
static void in_child(void (*fn)(void))
{
    fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        static const struct rlimit no_core;
        setrlimit(RLIMIT_CORE, &no_core);
        setenv("CMOCKA_TEST_ABORT", "1", 1);
        if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(1234) != 0 || setuid(1234) != 0))
            _exit(99);
        fn();
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg(
            "in a child without rights: expected exit status 0, found wait status %#x; what it "
            "found stands above",
            (unsigned)status);
}

static void test_ordinary_user(void **state)
{
    (void)state;
    in_child(extract_three);
}

static void deny_calls(const int *calls, size_t n)
{
    scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ALLOW);
    for (size_t i = 0; i < n; i++)
        if (seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS), calls[i], 0) != 0)
            _exit(98);
    if (seccomp_load(ctx) != 0)
        _exit(97);
    seccomp_release(ctx);
}

static void extract_on_old_kernel(void)
{
    static const int calls[] = { 444 /* landlock_create_ruleset */, SCMP_SYS(unshare) };
    deny_calls(calls, ARRAY_LEN(calls));
    extract_three();
    struct extract_options o = options();
    struct extract_sandbox_report r;
    struct kt_error err = { 0 };
    if (extract_sandbox_report(&r, &o, &err) != KT_OK)
        fail_msg("%s", err.text);
    assert_int_equal(r.landlock_abi, 0);
    assert_false(r.own_network);
    assert_true(r.seccomp);
    for (size_t i = 0; i < r.n_probes; i++) /* the parser's walls hold by the filter alone */
        if (strncmp(r.probes[i].name, "parser", 6) == 0 && !r.probes[i].denied)
            fail_msg("without Landlock: %s was not denied", r.probes[i].name);
}

/* A kernel without Landlock in a container that forbids namespaces: documents are read all the
 * same. */
static void test_old_kernel(void **state)
{
    (void)state;
    in_child(extract_on_old_kernel);
}

static void *extract_many(void *arg)
{
    for (int i = 0; i < 5; i++) {
        struct document d;
        struct extract_options o = options();
        struct kt_error err;
        if (extract_file(&d, arg, &o, &err) != KT_OK || strcmp(d.text, "Ein Brief") != 0)
            return arg;
        document_deinit(&d);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    pthread_t threads[4];
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, extract_many, doc), 0);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
}

static size_t open_fds(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Descriptors 3 and 4 taken or free in the parent, and many open ones: the child gets its two and
 * no others; nothing is left open here. */
static void test_descriptors(void **state)
{
    (void)state;
    int fds[40];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        fds[i] = open("/dev/null", O_RDONLY); /* without close-on-exec, on purpose */
    size_t before = open_fds();
    char *path = make_script("worker.sh", "#!/bin/sh\nls /proc/self/fd | wc -l >&4\n");
    struct extract_options o = { .worker_path = path };
    expect_fail_with(doc, &o, KT_E_FORMAT, "without a whole result");
    struct document d = extract_ok(doc);
    document_deinit(&d);
    assert_int_equal(open_fds(), before);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
    d = extract_ok(doc);
    document_deinit(&d);
    free(path);
}

static void test_walls(void **state)
{
    (void)state;
    struct extract_options o = options();
    struct extract_sandbox_report r;
    struct kt_error err = { 0 };
    if (extract_sandbox_report(&r, &o, &err) != KT_OK)
        fail_msg("%s", err.text);
    print_message("Landlock %d, seccomp %d, own network %d\n", r.landlock_abi, r.seccomp,
                  r.own_network);
    assert_true(r.seccomp);
    assert_true(r.pdf_reader);
    assert_true(r.ocr);
    assert_int_equal(r.n_probes, SANDBOX_PROBES);
    for (size_t i = 0; i < r.n_probes; i++) {
        bool needs_landlock = strncmp(r.probes[i].name, "pdftotext: open a file", 22) == 0 ||
                              strncmp(r.probes[i].name, "pdftotext: execute", 18) == 0;
        if (!r.probes[i].denied && (r.landlock_abi || !needs_landlock))
            fail_msg("%s: not denied", r.probes[i].name);
    }
    assert_false(file_exists("/tmp/kontor-probe"));
}

static int copy_file(const char *from, const char *to, mode_t mode)
{
    struct buf b = { 0 };
    struct kt_error err = { 0 };
    enum kt_status st = file_read(&b, from, 256 << 20, &err);
    if (!st)
        st = file_replace(to, b.ptr, b.len, mode, &err);
    buf_deinit(&b);
    if (st || chmod(to, mode) != 0) {
        print_error("copying %s to %s: %s\n", from, to, st ? err.text : strerror(errno));
        return -1;
    }
    return 0;
}

/* The documents, to where an ordinary user may read them. */
static int copy_documents(void)
{
    const char *root = getenv("KONTOR_SOURCE");
    struct buf from = { 0 };
    buf_printf(&from, "%s/tests/data/documents", root ? root : ".");
    char *to = path_join(dir, "documents");
    DIR *d = opendir(from.ptr);
    int rc = d && mkdir(to, 0755) == 0 && chmod(to, 0755) == 0 ? 0 : -1;
    if (rc)
        print_error("%s, %s: %s\n", from.ptr, to, strerror(errno));
    size_t n = 0;
    for (struct dirent *e; !rc && (e = readdir(d));) {
        char *a = path_join(from.ptr, e->d_name), *b = path_join(to, e->d_name);
        struct stat st;
        if (stat(a, &st) == 0 && S_ISREG(st.st_mode)) {
            rc = copy_file(a, b, 0644);
            n++;
        }
        free(a);
        free(b);
    }
    if (d)
        closedir(d);
    buf_deinit(&from);
    free(to);
    return n ? rc : -1;
}

static int set_up(void **state)
{
    (void)state;
    const char *bin = getenv("KONTOR_BIN");
    if (!bin || access(bin, X_OK) != 0)
        bin = "/proc/self/exe";
    print_message("worker: %s\n", bin);
    if (!mkdtemp(dir) || chmod(dir, 0755) != 0 || copy_documents())
        return -1;
    worker_path = path_join(dir, "worker");
    if (copy_file(bin, worker_path, 0755))
        return -1;
    doc = make_file("brief.txt", "Ein Brief", 9);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(doc);
    free(worker_path);
    struct buf cmd = { 0 };
    buf_printf(&cmd, "rm -rf '%s'", dir);
    int rc = system(cmd.ptr);
    buf_deinit(&cmd);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "extract-worker") == 0)
        return extract_worker_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_words),
        cmocka_unit_test(test_structure),
        cmocka_unit_test(test_letter_everywhere),
        cmocka_unit_test(test_sheets),
        cmocka_unit_test(test_slides),
        cmocka_unit_test(test_mail),
        cmocka_unit_test(test_archive),
        cmocka_unit_test(test_scans),
        cmocka_unit_test(test_mixed_pages),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_long_pdf),
        cmocka_unit_test(test_letter),
        cmocka_unit_test(test_not_readable_pdfs),
        cmocka_unit_test(test_not_files),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_pdf_that_hangs),
#ifndef SHADOW_MEMORY
        cmocka_unit_test(test_memory),
#endif
        cmocka_unit_test(test_permission),
        cmocka_unit_test(test_bad_workers),
        cmocka_unit_test(test_flooding_worker),
        cmocka_unit_test(test_group_ends),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_ordinary_user),
        cmocka_unit_test(test_old_kernel),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_descriptors),
        cmocka_unit_test(test_walls),
    };
    return cmocka_run_group_tests_name("extract files", tests, set_up, tear_down);
}
