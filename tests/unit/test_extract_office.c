/* Sheets, slides, OpenDocument and Rich Text, each on parts written out here; see extract_help.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/size.h"
#include "extract/cells.h"
#include "extract/ocr.h"
#include "extract/xlsx.h"
#include "extract_help.h"

#define REL(id, type, target)                                                                      \
    "<Relationship Id=\"" id "\" Type=\"http://x/" type "\" Target=\"" target "\"/>"
#define RELS(list) "<Relationships>" list "</Relationships>"

/* What the parts as one package become; the caller's. */
static struct builder parse_package(const struct part *parts, size_t n)
{
    struct buf z = zip_of(parts, n);
    struct builder b;
    builder_init(&b, ROOM);
    office_parse(&b, buf_span(&z));
    buf_deinit(&z);
    return b;
}

static void expect_package(const struct part *parts, size_t n, enum doc_format format,
                           const char *expected)
{
    struct builder b = parse_package(parts, n);
    expect(&b, parts[n - 1].ptr, expected);
    if (builder_ok(&b))
        assert_int_equal(b.format, format);
    builder_deinit(&b);
}

static void expect_refused(const struct part *parts, size_t n, enum reason reason)
{
    struct builder b = parse_package(parts, n);
    assert_int_equal(b.refusal.reason, reason);
    builder_deinit(&b);
}

/* ---- rows ----------------------------------------------------------------------------------- */

static void test_cells(void **state)
{
    (void)state;
    struct builder b;
    struct cells c = { 0 };
    builder_init(&b, ROOM);
    cells_begin(&c);
    cells_text(&c, SPAN("a"));
    cells_begin(&c); /* empty: its place stays */
    cells_begin(&c);
    cells_text(&c, SPAN("c"));
    cells_line(&c);
    cells_text(&c, SPAN("d"));
    cells_begin(&c);
    cells_end(&c, &b, 0);
    cells_skip(&c, 1000);
    cells_begin(&c);
    cells_text(&c, SPAN("far"));
    cells_end(&c, &b, 0);
    cells_begin(&c);
    cells_text(&c, SPAN(" "));
    cells_end(&c, &b, 0);
    expect(&b, "cells", "r a | | c/d\nr | | | | | | | | | | | | | | | | far");
    cells_deinit(&c);
    builder_deinit(&b);
}

/* ---- numbers -------------------------------------------------------------------------------- */

static void test_cell_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *code, *value, *shown;
    } cases[] = {
        { "General", "1234.5", "1234.5" },
        { "General", "0.30000000000000004", "0.3" },
        { "General", "1E+20", "1e+20" },
        { "General", "123456789012", "123456789012" },
        { "General", "-0.5", "-0.5" },
        { "General", "abc", "abc" },
        { "General", "", "" },
        { "#,##0.00", "1234567.891", "1234567.89" },
        { "#,##0.00\\ \"\u20AC\"", "1234.5", "1234.50 \u20AC" },
        { "#,##0.00 [$\u20AC-407];[Red]-#,##0.00 [$\u20AC-407]", "-12", "-12.00 \u20AC" },
        { "[$CHF-807] 0.00", "7", "7.00 CHF" },
        { "\"$\"#,##0", "99.6", "100 $" },
        { "0%", "0.19", "19 %" },
        { "0.0%", "0.075", "7.5 %" },
        { "0.00E+00", "1234.5", "1234.5" },
        { "@", "12", "12" },
        { "DD.MM.YYYY", "46037", "2026-01-15" },
        { "d. mmmm yyyy", "60", "1900-02-28" }, /* Excel shows a day that never was */
        { "yyyy-mm-dd", "1", "1900-01-01" },
        { "yyyy-mm-dd", "59", "1900-02-28" },
        { "yyyy-mm-dd", "61", "1900-03-01" },
        { "yyyy-mm-dd", "36585", "2000-02-29" },
        { "yyyy-mm-dd", "-5", "-5" },
        { "yyyy-mm-dd", "99999999", "99999999" },
        { "DD.MM.YYYY hh:mm", "46037.354166666664", "2026-01-15 08:30" },
        { "hh:mm", "0.71875", "17:15" },
        { "hh:mm:ss", "0.99999", "23:59:59" },
        { "hh:mm:ss", "0.999999", "24:00" },
        { "[h]:mm", "1.5", "36:00" },
        { "mm:ss", "0.001", "00:01:26" },
        { "mmm", "46037", "2026-01-15" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cell_format f = cell_format_parse(span_of(cases[i].code));
        struct buf out = { 0 };
        cell_number(&out, span_of(cases[i].value), &f, false);
        if (!span_eq_str(buf_span(&out), cases[i].shown))
            fail_msg("%s as %s: expected '%s', found '%.*s'", cases[i].value, cases[i].code,
                     cases[i].shown, (int)out.len, out.ptr);
        buf_deinit(&out);
    }
    struct buf out = { 0 };
    struct cell_format date = cell_format_builtin(14);
    cell_number(&out, SPAN("0"), &date, true);
    assert_true(span_eq_str(buf_span(&out), "1904-01-01"));
    buf_deinit(&out);
}

/* ---- xlsx ----------------------------------------------------------------------------------- */

#define S_NS                                                                                       \
    "xmlns=\"http://schemas.openxmlformats.org/spreadsheetml/2006/main\" "                         \
    "xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\""
#define SHEET(rows) "<worksheet " S_NS "><sheetData>" rows "</sheetData></worksheet>"

static const char root_xlsx[] = RELS(REL("a", "officeDocument", "xl/workbook.xml"));
static const char book[] =
    "<workbook " S_NS "><sheets><sheet name=\"Eins\" sheetId=\"7\" r:id=\"s1\"/>"
    "<sheet name=\"Zwei\" sheetId=\"1\" state=\"hidden\" r:id=\"s2\"/></sheets></workbook>";
static const char book_rels[] =
    RELS(REL("s2", "worksheet", "worksheets/b.xml") REL("s1", "worksheet", "worksheets/a.xml")
             REL("x", "sharedStrings", "strings.xml") REL("y", "styles", "styles.xml"));
static const char strings[] =
    "<sst " S_NS "><si><t>Name</t></si><si><r><t>Dr. </t></r><r><t>L\u00FCders</t></r>"
    "<rPh sb=\"0\" eb=\"1\"><t>phonetisch</t></rPh></si></sst>";
static const char styles[] =
    "<styleSheet " S_NS "><numFmts><numFmt numFmtId=\"164\" formatCode=\"0.00\"/></numFmts>"
    "<cellStyleXfs><xf numFmtId=\"14\"/></cellStyleXfs>"
    "<cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"14\"/><xf "
    "numFmtId=\"164\"/></cellXfs></styleSheet>";

static void expect_sheet(const char *sheet, const char *expected)
{
    const struct part parts[] = { PART("_rels/.rels", root_xlsx),
                                  PART("xl/workbook.xml", book),
                                  PART("xl/_rels/workbook.xml.rels", book_rels),
                                  PART("xl/strings.xml", strings),
                                  PART("xl/styles.xml", styles),
                                  PART("xl/worksheets/a.xml", sheet) };
    expect_package(parts, ARRAY_LEN(parts), DOC_XLSX, expected);
}

static void test_xlsx(void **state)
{
    (void)state;
    expect_sheet(
        SHEET("<row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c><c r=\"C1\" t=\"s\"><v>1</v></c>"
              "</row><row><c s=\"1\"><v>46037</v></c><c s=\"2\"><f>A1+1</f><v>2.5</v></c>"
              "<c t=\"b\"><v>1</v></c><c t=\"str\"><v>text</v></c>"
              "<c t=\"inlineStr\"><is><t>in</t><t>line</t></is></c>"
              "<c t=\"e\"><v>#DIV/0!</v></c><c/></row><row/>"),
        "h1 Eins\nr1 Name | | Dr. L\u00FCders\n"
        "r1 2026-01-15 | 2.50 | TRUE | text | inline | #DIV/0!\nh2 Zwei");
    /* numbers of strings and formats that are not there, references that are none */
    expect_sheet(SHEET("<row><c r=\"A1\" t=\"s\"><v>2</v></c><c r=\"ZZZZ9\" t=\"s\"><v>-1</v></c>"
                       "<c r=\"B\" s=\"99\"><v>5</v></c><c t=\"s\"><v>99999999999999999999</v></c>"
                       "<c t=\"s\"><v/></c></row>"),
                 "h1 Eins\nr1 | | 5\nh2 Zwei");
    const struct part doctype[] = { PART("_rels/.rels", root_xlsx), PART("xl/workbook.xml", book),
                                    PART("xl/_rels/workbook.xml.rels", book_rels),
                                    PART("xl/worksheets/a.xml", "<!DOCTYPE x>" SHEET("")) };
    expect_refused(doctype, ARRAY_LEN(doctype), REASON_XML_DOCTYPE);
}

/* ---- pptx ----------------------------------------------------------------------------------- */

#define P_NS                                                                                       \
    "xmlns:p=\"http://schemas.openxmlformats.org/presentationml/2006/main\" "                      \
    "xmlns:a=\"http://schemas.openxmlformats.org/drawingml/2006/main\" "                           \
    "xmlns:mc=\"http://schemas.openxmlformats.org/markup-compatibility/2006\" "                    \
    "xmlns:r=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships\""
#define SLIDE(shapes) "<p:sld " P_NS "><p:cSld><p:spTree>" shapes "</p:spTree></p:cSld></p:sld>"
#define SHAPE(type, text)                                                                          \
    "<p:sp><p:nvSpPr><p:nvPr><p:ph type=\"" type "\"/></p:nvPr></p:nvSpPr><p:txBody>" text         \
    "</p:txBody></p:sp>"
#define A_P(text) "<a:p><a:r><a:t>" text "</a:t></a:r></a:p>"

static void test_pptx(void **state)
{
    (void)state;
    static const char root[] = RELS(REL("a", "officeDocument", "ppt/p.xml"));
    static const char show[] =
        "<p:presentation " P_NS "><p:sldIdLst><p:sldId id=\"256\" r:id=\"z\"/>"
        "<p:sldId id=\"257\" r:id=\"y\"/><p:sldId id=\"258\" r:id=\"none\"/>"
        "</p:sldIdLst></p:presentation>";
    static const char show_rels[] =
        RELS(REL("y", "slide", "slides/1.xml") REL("z", "slide", "slides/2.xml"));
    static const char first[] =
        SLIDE(SHAPE("title", A_P("Kopf")) SHAPE(
            "body",
            A_P("Text") "<a:p><a:pPr><a:buChar char=\"-\"/></a:pPr><a:r><a:t>Punkt</a:t></a:r>"
                        "<a:br/><a:r><a:t>weiter</a:t></a:r></a:p>")
                  SHAPE("sldNum", "<a:p><a:fld type=\"slidenum\"><a:t>7</a:t></a:fld></a:p>"));
    static const char second[] = SLIDE("<mc:AlternateContent><mc:Choice>" SHAPE(
        "body",
        A_P("neu")) "</mc:Choice><mc:Fallback>" SHAPE("body",
                                                      A_P("neu")) "</mc:Fallback></"
                                                                  "mc:AlternateContent>"
                                                                  "<a:tbl><a:tr><a:tc>" A_P("A")
                                                                      A_P("a") "</"
                                                                               "a:tc><a:"
                                                                               "tc>" A_P(
                                                                                   "") "</"
                                                                                       "a:tc><a:"
                                                                                       "tc>" A_P(
                                                                                           "C") "</"
                                                                                                "a:"
                                                                                                "tc"
                                                                                                "><"
                                                                                                "/a"
                                                                                                ":t"
                                                                                                "r>"
                                                                                                "</"
                                                                                                "a:"
                                                                                                "tb"
                                                                                                "l"
                                                                                                ">");
    static const char second_rels[] = RELS(REL("n", "notesSlide", "../notes/1.xml"));
    const struct part parts[] = { PART("_rels/.rels", root),
                                  PART("ppt/p.xml", show),
                                  PART("ppt/_rels/p.xml.rels", show_rels),
                                  PART("ppt/slides/2.xml", second),
                                  PART("ppt/slides/_rels/2.xml.rels", second_rels),
                                  PART("ppt/notes/1.xml", SLIDE(SHAPE("body", A_P("Notiz")))),
                                  PART("ppt/slides/1.xml", first) };
    expect_package(parts, ARRAY_LEN(parts), DOC_PPTX,
                   "p1 neu\nr1 A/a | | C\np1 Notiz\nh2 Kopf\np2 Text\nl2 Punkt/weiter");
}

/* ---- OpenDocument --------------------------------------------------------------------------- */

#define O_NS                                                                                       \
    "xmlns:office=\"urn:oasis:names:tc:opendocument:xmlns:office:1.0\" "                           \
    "xmlns:text=\"urn:oasis:names:tc:opendocument:xmlns:text:1.0\" "                               \
    "xmlns:table=\"urn:oasis:names:tc:opendocument:xmlns:table:1.0\" "                             \
    "xmlns:draw=\"urn:oasis:names:tc:opendocument:xmlns:drawing:1.0\" "                            \
    "xmlns:style=\"urn:oasis:names:tc:opendocument:xmlns:style:1.0\" "                             \
    "xmlns:presentation=\"urn:oasis:names:tc:opendocument:xmlns:presentation:1.0\""
#define CONTENT(body)                                                                              \
    "<office:document-content " O_NS "><office:body>" body                                         \
    "</office:body></office:document-content>"
#define T_P(text) "<text:p>" text "</text:p>"

static void expect_odf(const char *type, enum doc_format format, const char *more,
                       const char *content, const char *expected)
{
    const struct part parts[] = { PART("mimetype", type), PART("styles.xml", more),
                                  PART("content.xml", content) };
    expect_package(parts, ARRAY_LEN(parts), format, expected);
}

#define ODF "application/vnd.oasis.opendocument."

static void test_odt(void **state)
{
    (void)state;
    static const char styles_xml[] =
        "<office:document-styles " O_NS
        "><style:master-page><style:header>" T_P("Kopfzeile") "</style:header><style:footer>" T_P(
            "Seite <text:page-number>3</text:page-number>") "</style:footer></style:master-page></"
                                                            "office:document-styles>";
    expect_odf(
        ODF "text", DOC_ODT, styles_xml,
        CONTENT(
            "<text:tracked-changes><text:deletion>" T_P(
                "weg") "</text:deletion>"
                       "</text:tracked-changes><text:h>Titel</text:h>" T_P(
                           "a<text:s text:c=\"3\"/>b<text:tab/>c<text:line-break/>d"
                           "<text:note><text:note-citation>1</"
                           "text:note-citation><text:note-body>" T_P(
                               "Fu\u00DFnote") "</text:note-body></text:note>")
                           T_P("<office:annotation>" T_P("Kommentar") "</office:annotation>ohne") "<text:list><text:list-item>" T_P(
                               "Punkt") "</text:list-item></text:list>"
                                        "<table:table><table:table-row><table:table-cell>" T_P("A")
                                            T_P("a") "</table:table-cell><table:covered-table-cell/"
                                                     "><table:table-cell>" T_P(
                                                         "C") "</"
                                                              "table:table-"
                                                              "cell></"
                                                              "table:table-"
                                                              "row><table:"
                                                              "table-row><"
                                                              "table:table-"
                                                              "cell>" T_P(
                                                                  "al"
                                                                  "le"
                                                                  "i"
                                                                  "n") "</table:table-cell></"
                                                                       "table:table-row></"
                                                                       "table:table>" T_P(
                                                                           "<draw:"
                                                                           "frame><"
                                                                           "draw:text-"
                                                                           "box>" T_P("Kaste"
                                                                                      "n") "<"
                                                                                           "/"
                                                                                           "d"
                                                                                           "r"
                                                                                           "a"
                                                                                           "w"
                                                                                           ":"
                                                                                           "t"
                                                                                           "e"
                                                                                           "x"
                                                                                           "t"
                                                                                           "-"
                                                                                           "b"
                                                                                           "o"
                                                                                           "x"
                                                                                           ">"
                                                                                           "<"
                                                                                           "/"
                                                                                           "d"
                                                                                           "r"
                                                                                           "a"
                                                                                           "w"
                                                                                           ":"
                                                                                           "f"
                                                                                           "r"
                                                                                           "a"
                                                                                           "m"
                                                                                           "e"
                                                                                           ">"
                                                                                           "n"
                                                                                           "a"
                                                                                           "c"
                                                                                           "h")),
        "m Kopfzeile\nh Titel\np a b c/d\np ohne\nl Punkt\nr A/a | | C\np allein\n"
        "p Kasten\np nach\np Fu\u00DFnote\nm Seite");
    expect_odf(ODF "text-template", DOC_ODT, "<x/>", CONTENT(T_P("Vorlage")), "p Vorlage");
    const struct part graphics[] = { PART("mimetype", ODF "graphics"),
                                     PART("content.xml", CONTENT(T_P("x"))) };
    expect_refused(graphics, ARRAY_LEN(graphics), REASON_OOXML_OTHER);
}

static void test_ods(void **state)
{
    (void)state;
    expect_odf(
        ODF "spreadsheet", DOC_ODS, "<x/>",
        CONTENT(
            "<table:table table:name=\"Eins\"><table:table-row "
            "table:number-rows-repeated=\"2\"><table:table-cell>" T_P(
                "x") "</table:table-cell><table:table-cell table:number-columns-repeated=\"3\"/>"
                     "<table:table-cell table:number-columns-repeated=\"2\">" T_P(
                         "y") "</table:table-cell></table:table-row><table:table-row "
                              "table:number-rows-repeated=\"1048570\"><table:table-cell "
                              "table:number-columns-repeated=\"16384\"/></table:table-row></"
                              "table:table>"
                              "<table:table table:name=\"Zwei\"><table:table-row><table:table-cell>"
                              "<office:annotation>" T_P("Hinweis") "</office:annotation>" T_P(
                                  "z") "</table:table-cell></table:table-row></table:table>"),
        "h1 Eins\nr1 x | | | | y | y\nr1 x | | | | y | y\nh2 Zwei\nr2 z\np2 Hinweis");
}

static void test_odp(void **state)
{
    (void)state;
    expect_odf(
        ODF "presentation", DOC_ODP, "<x/>",
        CONTENT("<draw:page><draw:frame presentation:class=\"title\"><draw:text-box>" T_P("Kopf") "</draw:text-box></draw:frame>" T_P(
            "Text") "<presentation:notes>" T_P("Notiz") "</presentation:notes></"
                                                        "draw:page><draw:page>" T_P("zwei") "</"
                                                                                            "draw:"
                                                                                            "page"
                                                                                            ">"),
        "h1 Kopf\np1 Text\np1 Notiz\np2 zwei");
}

static void test_odf_locked(void **state)
{
    (void)state;
    static const char manifest[] =
        "<m:manifest xmlns:m=\"urn:oasis:names:tc:opendocument:xmlns:manifest:1.0\"><m:file-entry>"
        "<m:encryption-data/></m:file-entry></m:manifest>";
    const struct part parts[] = { PART("mimetype", ODF "text"), PART("content.xml", "\1\2\3"),
                                  PART("META-INF/manifest.xml", manifest) };
    expect_refused(parts, ARRAY_LEN(parts), REASON_ZIP_ENCRYPTED);
}

/* ---- rtf ------------------------------------------------------------------------------------ */

static void test_rtf(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "{\\rtf1 Eins\\par zwei\\line drei\\par}", "p Eins\np zwei/drei" },
        { "{\\rtf1\\ansi\\ansicpg1252 M\\'fcller \\'80 5\\~000}", "p M\u00FCller \u20AC 5 000" },
        { "{\\rtf1\\ansicpg1251 \\'cf\\'f0\\'e8}", "p \u041F\u0440\u0438" },
        { "{\\rtf1{\\fonttbl{\\f0\\fcharset0 A;}{\\f1\\fcharset204 B;}}\\f1 \\'cf{\\f0 "
          "\\'fc}\\'f0}",
          "p \u041F\u00FC\u0440" },
        { "{\\rtf1 \\u252?\\u8364\\'80\\uc0\\u223 ss\\uc2\\u246oe}",
          "p \u00FC\u20AC\u00DFss\u00F6" },
        { "{\\rtf1 \\u-10179?\\u-8704?!\\u-10179?x}", "p \U0001F600!\uFFFDx" },
        { "{\\rtf1{\\stylesheet{\\s1\\outlinelevel0 heading 1;}{\\s2 \\'dcberschrift 2;}{\\s3 "
          "Text;}}"
          "\\pard\\s1 A\\par\\pard\\s2 B\\par\\pard\\s3 C\\par\\pard\\outlinelevel2 D\\par\\pard "
          "{\\listtext\\pard 1.\\tab}\\ls1 E\\par}",
          "h A\nh B\np C\nh D\nl 1. E" },
        { "{\\rtf1\\trowd\\cellx1\\intbl A\\par a\\cell\\cell C\\cell\\row\\pard nach}",
          "r A/a | | C\np nach" },
        { "{\\rtf1{\\info{\\title Der Titel}{\\author weg}}{\\header Kopf\\par}{\\footer Fu\\'df}"
          "{\\colortbl;\\red0;}{\\*\\unknown weg}{\\pict 0102}Text{\\footnote Note}{\\v weg}!}",
          "m Kopf\np Text!\np Note\nm Fu\u00DF" },
        { "{\\rtf1{\\field{\\*\\fldinst HYPERLINK \"http://x\"}{\\fldrslt Verweis}} danach}",
          "p Verweis danach" },
        { "{\\rtf1 a\\bin5 }}\\{{b\\par}", "p ab" },
        { "{\\rtf1 \\{geschweift\\} \\\\ \\emdash \\bullet}", "p {geschweift} \\ \u2014\u2022" },
        { "{\\rtf1 abgeschnitten\\'d", "p abgeschnitten" },
        { "{\\rtf1 {\\*\\shppict{\\pict 00}}}}}}zu viele", "p zu viele" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_blocks(DOC_RTF, span_of(cases[i].in), cases[i].out);
    struct buf deep = { 0 };
    buf_append_str(&deep, "{\\rtf1");
    for (int i = 0; i < 100000; i++)
        buf_append_char(&deep, '{');
    struct builder b;
    builder_init(&b, ROOM);
    rtf_parse(&b, buf_span(&deep));
    assert_int_equal(b.refusal.reason, REASON_TOO_DEEP);
    builder_deinit(&b);
    buf_deinit(&deep);
}

/* ---- files inside files --------------------------------------------------------------------- */

static void test_archive(void **state)
{
    (void)state;
    const struct part parts[] = { PART("Akte/a.txt", "eins"), PART(".DS_Store", "x"),
                                  PART("__MACOSX/b", "x"), PART("Thumbs.db", "x"),
                                  PART("M\x81ller.txt", "zwei") }; /* as Windows writes it */
    expect_package(parts, ARRAY_LEN(parts), DOC_ZIP, "l Akte/a.txt\nl M\u00FCller.txt");
    struct builder b = parse_package(parts, ARRAY_LEN(parts));
    assert_int_equal(b.n_parts, 2);
    assert_string_equal(b.parts[1].name, "M\u00FCller.txt");
    assert_int_equal(b.parts[1].len, 4);
    builder_deinit(&b);
}

static void test_mailbox(void **state)
{
    (void)state;
    static const char box[] = "From a@b Mon Mar  2 14:05:11 2026\nSubject: Eins\n\nText\n"
                              "From here on it is text\n>From quoted\n\n"
                              "From c@d Tue Mar  3 08:00:00 2026\nSubject: =?utf-8?q?x?=\n\nzwei\n";
    struct builder b;
    builder_init(&b, ROOM);
    mailbox_parse(&b, span_of(box));
    expect(&b, box, "l 0001.eml Eins\nl 0002.eml");
    assert_int_equal(b.n_parts, 2);
    struct span first = { b.parts[0].ptr, b.parts[0].len };
    assert_true(span_find(first, SPAN("From here on it is text\nFrom quoted\n"), 0) != SIZE_MAX);
    builder_deinit(&b);
    builder_init(&b, ROOM);
    mailbox_parse(&b, SPAN("no mailbox"));
    assert_int_equal(b.refusal.reason, REASON_MAIL_DAMAGED);
    builder_deinit(&b);
}

/* ---- recognised text ------------------------------------------------------------------------ */

#define ROW(level, box, sure, word) level "\t1\t1\t1\t1\t1\t" box "\t" sure "\t" word "\n"

static void test_ocr_table(void **state)
{
    (void)state;
    static const char table[] =
        "level\tpage_num\tblock_num\tpar_num\tline_num\tword_"
        "num\tleft\ttop\twidth\theight\tconf\ttext\n" ROW("1", "0\t0\t2480\t3508", "-1", "")
            ROW("2", "100\t100\t900\t300", "-1", "") ROW("3", "100\t100\t900\t200", "-1", "")
                ROW("4", "100\t100\t900\t50", "-1", "")
                    ROW("5", "100\t100\t200\t50", "96.5", "M\u00FCller")
                        ROW("5", "320\t100\t100\t50", "95", "&")
                            ROW("5", "440\t100\t200\t50", "91", "<S\u00F6hne>")
                                ROW("5", "660\t100\t200\t50", "12", "~|'")
                                    ROW("4", "100\t160\t900\t50", "-1", "")
                                        ROW("5", "100\t160\t300\t50", "90",
                                            "Vertrag") "5\tbroken\n"
                                                       "9\t1\t1\t1\t1\t1\t0\t0\t1\t1\t90\tx\n" ROW(
                                                           "1", "0\t0\t2480\t3508", "-1", "");
    for (size_t step = 1; step < sizeof(table); step = step * 3 + 1) {
        struct builder b;
        builder_init(&b, ROOM);
        struct ocr_table *t = ocr_table_create(&b, 300);
        for (size_t at = 0; at < sizeof(table) - 1; at += step)
            assert_true(ocr_table_feed(t, span_sub(span_of(table), at, at + step)));
        ocr_table_finish(t);
        assert_true(builder_ok(&b));
        assert_int_equal(b.n_pages, 2);
        assert_int_equal(b.n_blocks, 1);
        assert_true(span_eq_str(buf_span(&b.text), "M\u00FCller & <S\u00F6hne> Vertrag"));
        assert_true(b.blocks[0].box[0] > 23.9f &&
                    b.blocks[0].box[0] < 24.1f); /* 100 pixels of 300 an inch */
        ocr_table_destroy(t);
        builder_deinit(&b);
    }
}

int main(void)
{
    charset_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cells),   cmocka_unit_test(test_cell_numbers),
        cmocka_unit_test(test_xlsx),    cmocka_unit_test(test_pptx),
        cmocka_unit_test(test_odt),     cmocka_unit_test(test_ods),
        cmocka_unit_test(test_odp),     cmocka_unit_test(test_odf_locked),
        cmocka_unit_test(test_rtf),     cmocka_unit_test(test_archive),
        cmocka_unit_test(test_mailbox), cmocka_unit_test(test_ocr_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
