/* What comes by mail besides mail: Outlook's messages, winmail.dat, saved pages, calendars, addresses, packed files, each from a
 * few bytes written out here. What other people's files give is tests/e2e/test_foreign_mail.py's business. See extract_help.h for
 * how blocks are written down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "extract/cfb.h"
#include "extract_help.h"

static void put(struct buf *b, size_t n, uint64_t v)
{
    for (size_t i = 0; i < n; i++)
        buf_append_char(b, (char)(v >> 8 * i));
}

static void put_utf16(struct buf *b, const char *s)
{
    for (; *s; s++)
        put(b, 2, (uint8_t)*s);
}

/* ---- Outlook -------------------------------------------------------------------------------- */

/* A property of fixed length in "__properties_version1.0". */
static void put_fixed(struct buf *b, uint32_t tag, uint64_t v)
{
    put(b, 4, tag);
    put(b, 4, 6);
    put(b, 8, v);
}

static void add_stream(struct cfb_writer *w, uint32_t in, const char *name, struct buf *b)
{
    assert_true(cfb_writer_stream(w, in, name, buf_span(b)) != CFB_NONE);
    buf_deinit(b);
}

static void add_text(struct cfb_writer *w, uint32_t in, const char *name, const char *text)
{
    struct buf b = { 0 };
    put_utf16(&b, text);
    add_stream(w, in, name, &b);
}

/* A message with a text, one recipient, a file and a message inside. */
static struct buf msg_make(void)
{
    struct buf b = { 0 }, out = { 0 };
    struct cfb_writer *w = cfb_writer_create();
    put(&b, 8, 0); /* 32 bytes of header */
    put(&b, 8, 0);
    put(&b, 8, 0);
    put(&b, 8, 0);
    put_fixed(&b, 0x00390040, 134247096000000000u); /* 2026-05-31 14:00 */
    add_stream(w, CFB_ROOT, "__properties_version1.0", &b);
    add_text(w, CFB_ROOT, "__substg1.0_0037001F", "Akte 12/26");
    add_text(w, CFB_ROOT, "__substg1.0_0C1A001F", "Erika Muster");
    add_text(w, CFB_ROOT, "__substg1.0_1000001F", "Guten Tag,\r\n\r\nanbei der Vertrag.");
    uint32_t to = cfb_writer_storage(w, CFB_ROOT, "__recip_version1.0_#00000000");
    put(&b, 8, 0);
    put_fixed(&b, 0x0C150003, 1);
    add_stream(w, to, "__properties_version1.0", &b);
    add_text(w, to, "__substg1.0_3001001F", "Hans Huber");
    uint32_t file = cfb_writer_storage(w, CFB_ROOT, "__attach_version1.0_#00000000");
    put(&b, 8, 0);
    put_fixed(&b, 0x37050003, 1);
    add_stream(w, file, "__properties_version1.0", &b);
    add_text(w, file, "__substg1.0_3707001F", "vertrag.txt");
    buf_append_str(&b, "Der Vertrag.");
    add_stream(w, file, "__substg1.0_37010102", &b);
    uint32_t inner = cfb_writer_storage(w, CFB_ROOT, "__attach_version1.0_#00000001");
    put(&b, 8, 0);
    put_fixed(&b, 0x37050003, 5);
    add_stream(w, inner, "__properties_version1.0", &b);
    uint32_t msg = cfb_writer_storage(w, inner, "__substg1.0_3701000D");
    put(&b, 8, 0);
    put(&b, 8, 0);
    put(&b, 8, 0);
    add_stream(w, msg, "__properties_version1.0", &b);
    add_text(w, msg, "__substg1.0_0037001F", "Innen");
    add_text(w, msg, "__substg1.0_1000001F", "Die innere Nachricht.");
    assert_true(cfb_writer_finish(w, &out));
    cfb_writer_destroy(w);
    return out;
}

static void test_outlook(void **state)
{
    (void)state;
    struct buf file = msg_make();
    struct builder b;
    builder_init(&b, ROOM);
    parse_memory(&b, DOC_OUTLOOK, buf_span(&file));
    assert_int_equal(b.n_parts, 2);
    assert_string_equal(b.parts[0].name, "vertrag.txt");
    assert_int_equal(b.parts[0].len, 12);
    struct span inner = { b.parts[1].ptr, b.parts[1].len };
    expect_blocks(DOC_OUTLOOK, inner,
                  "m Subject: Innen\n"
                  "p Die innere Nachricht.");
    expect(&b, "outlook",
           "m From: Erika Muster/To: Hans Huber/Date: Sun, 31 May 2026 14:00:00 +0000/Subject: "
           "Akte 12/26\n"
           "p Guten Tag,\n"
           "p anbei der Vertrag.\n"
           "l Attachment: vertrag.txt\n"
           "l Attachment: message.msg");
    builder_deinit(&b);
    buf_deinit(&file);
}

/* Any byte of it may lie: no more is promised than an answer. */
static void test_outlook_lies(void **state)
{
    (void)state;
    static const uint8_t values[] = { 0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF };
    struct buf file = msg_make();
    for (size_t i = 8; i < file.len; i += i < 1536 ? 1 : 7) {
        char was = file.ptr[i];
        file.ptr[i] = (char)values[i % sizeof(values)];
        struct builder b;
        builder_init(&b, ROOM);
        parse_memory(&b, DOC_OUTLOOK, buf_span(&file));
        assert_true(b.n_parts < 10 && b.text.len < ROOM);
        builder_deinit(&b);
        file.ptr[i] = was;
    }
    for (size_t n = 0; n < file.len; n += 61) {
        struct builder b;
        builder_init(&b, ROOM);
        parse_memory(&b, DOC_OUTLOOK, (struct span){ file.ptr, n });
        builder_deinit(&b);
    }
    buf_deinit(&file);
}

/* ---- winmail.dat ---------------------------------------------------------------------------- */

static void put_attribute(struct buf *b, unsigned level, unsigned number, const char *s, size_t n)
{
    put(b, 1, level);
    put(b, 2, number);
    put(b, 2, 1);
    put(b, 4, n);
    buf_append(b, s, n);
    put(b, 2, 0); /* checksums are not looked at */
}

static struct buf winmail_make(void)
{
    struct buf b = { 0 };
    put(&b, 4, 0x223E9F78);
    put(&b, 2, 1);
    put_attribute(&b, 1, 0x8004, "Akte 12/26", 11);
    put_attribute(&b, 1, 0x800C, "Guten Tag.", 11);
    put_attribute(&b, 2, 0x9002, "\0\0\0\0\0\0\0\0\0\0\0\0\0", 14);
    put_attribute(&b, 2, 0x8010, "vertrag.txt", 12);
    put_attribute(&b, 2, 0x800F, "Der Vertrag.", 12);
    return b;
}

static void test_winmail(void **state)
{
    (void)state;
    struct buf file = winmail_make();
    struct builder b;
    builder_init(&b, ROOM);
    parse_memory(&b, DOC_TNEF, buf_span(&file));
    assert_int_equal(b.n_parts, 1);
    assert_string_equal(b.parts[0].name, "vertrag.txt");
    expect(&b, "winmail",
           "m Subject: Akte 12/26\n"
           "p Guten Tag.\n"
           "l Attachment: vertrag.txt");
    builder_deinit(&b);
    buf_deinit(&file);
}

/* ---- inside a mail -------------------------------------------------------------------------- */

#define HEAD                                                                                       \
    "From: erika@example.org\r\nSubject: Akte\r\nMIME-Version: 1.0\r\n"                            \
    "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: "                       \
    "text/plain\r\n\r\nHallo.\r\n"

static void test_winmail_in_a_mail(void **state)
{
    (void)state;
    static const char digits[] = "0123456789ABCDEF";
    struct buf file = winmail_make(), mail = { 0 };
    buf_append_str(&mail, HEAD "--b\r\nContent-Type: application/ms-tnef; name=winmail.dat\r\n"
                               "Content-Transfer-Encoding: quoted-printable\r\n\r\n");
    for (size_t i = 0; i < file.len; i++) {
        uint8_t c = (uint8_t)file.ptr[i];
        const char code[] = { '=', digits[c >> 4], digits[c & 15] };
        buf_append(&mail, code, 3);
        if (i % 20 == 19)
            buf_append_str(&mail, "=\r\n");
    }
    buf_append_str(&mail, "\r\n--b--\r\n");
    mail_prepare();
    struct builder b;
    builder_init(&b, ROOM);
    parse_memory(&b, DOC_MAIL, buf_span(&mail));
    assert_int_equal(b.n_parts, 1);
    assert_string_equal(b.parts[0].name, "vertrag.txt");
    expect(&b, "mail",
           "m From: erika@example.org/Subject: Akte\n"
           "p Hallo.\n"
           "l Attachment: vertrag.txt");
    builder_deinit(&b);
    buf_deinit(&mail);
    buf_deinit(&file);
}

static void test_calendar_in_a_mail(void **state)
{
    (void)state;
    mail_prepare();
    expect_blocks(DOC_MAIL,
                  SPAN(HEAD "--b\r\nContent-Type: text/calendar; method=REQUEST\r\n\r\n"
                            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Termin\r\n"
                            "DTSTART:20260531T093000Z\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n--b--\r\n"),
                  "m From: erika@example.org/Subject: Akte\n"
                  "p Hallo.\n"
                  "p Event: Termin/Start: 2026-05-31 09:30 UTC");
}

static void test_saved_page(void **state)
{
    (void)state;
    mail_prepare();
    html_prepare();
    expect_blocks(
        DOC_MHTML,
        SPAN("MIME-Version: 1.0\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\n"
             "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: "
             "quoted-printable\r\n\r\n"
             "<html><title>T</title><h1>Gr=C3=BC=C3=9Fe</h1><p>Ein=\r\n Satz.</p></html>\r\n--b\r\n"
             "Content-Type: image/png\r\n\r\nx\r\n--b--\r\n"),
        "h Grüße\n"
        "p Ein Satz.");
}

/* ---- by itself ------------------------------------------------------------------------------ */

static void test_cards(void **state)
{
    (void)state;
    expect_blocks(
        DOC_CONTACTS,
        SPAN("BEGIN:VCARD\r\nVERSION:3.0\r\nN:Muster;Erika;;Dr.;\r\nFN:Dr. Erika Muster\r\n"
             "ORG:Kanzlei Muster;Mietrecht\r\nTEL;TYPE=WORK:+49 221 1234\r\n"
             "ADR:;;Weg 1;Köln;;50667;\r\nNOTE:lang\\nund\r\n  gefaltet\r\nEND:VCARD\r\n"),
        "p Contact: Dr. Erika Muster/Name: Dr. Erika Muster/Organisation: Kanzlei Muster, "
        "Mietrecht/Telephone (work): "
        "+49 221 1234/Address: Weg 1, 50667 Köln/Note: lang/und gefaltet");
    expect_blocks(DOC_CALENDAR,
                  SPAN("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nSUMMARY:Termin\\, Landgericht\r\n"
                       "DTSTART;TZID=Europe/Berlin:20260531T093000\r\nDURATION:PT1H30M\r\n"
                       "RRULE:FREQ=WEEKLY;COUNT=3\r\nATTENDEE;CN=\"A; B\":mailto:a@example.org\r\n"
                       "END:VEVENT\r\nEND:VCALENDAR\r\n"),
                  "p Event: Termin, Landgericht/Start: 2026-05-31 09:30 (Europe/Berlin)/Duration: "
                  "1 hour 30 minutes/"
                  "Repeats: every week, 3 times/Attendees: A; B <a@example.org>");
}

/* The HTML that Outlook hides in RTF: what is marked as RTF's own is left out. */
static void test_hidden_html(void **state)
{
    (void)state;
    struct buf html = { 0 };
    struct builder b;
    builder_init(&b, ROOM);
    assert_true(rtf_html(&b,
                         SPAN("{\\rtf1\\ansi\\ansicpg1252\\fromhtml1 {\\fonttbl{\\f0 Arial;}}"
                              "{\\*\\htmltag64 <p>}\\htmlrtf {\\htmlrtf0 Gr\\'fc\\'dfe \\u8364?"
                              "{\\*\\htmltag72 </p>}\\htmlrtf }\\htmlrtf0 }"),
                         &html));
    assert_string_equal(html.ptr, "<p>Grüße €</p>");
    buf_clear(&html);
    assert_false(rtf_html(&b, SPAN("{\\rtf1 no page}"), &html));
    buf_deinit(&html);
    builder_deinit(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outlook),
        cmocka_unit_test(test_outlook_lies),
        cmocka_unit_test(test_winmail),
        cmocka_unit_test(test_winmail_in_a_mail),
        cmocka_unit_test(test_calendar_in_a_mail),
        cmocka_unit_test(test_saved_page),
        cmocka_unit_test(test_cards),
        cmocka_unit_test(test_hidden_html),
    };
    charset_prepare();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
