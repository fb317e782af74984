/* The parsers of src/extract, each on text written out here: what goes in, which blocks come out (extract_help.h says how
 * they are written). Sheets, slides, OpenDocument and Rich Text: test_extract_office.c. Documents that other programs
 * made: e2e/test_extract_files.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "base/size.h"
#include "base/utf8.h"
#include "extract_help.h"

/* ---- normalise ------------------------------------------------------------------------------ */

static void test_normalise(void **state)
{
    (void)state;
    const struct {
        struct span in;
        const char *out;
        bool layout;
    } cases[] = {
        { SPAN("  a \t b  \r\n c  "), "a b\nc", false },
        { SPAN("a\n\n\n\nb"), "a\nb", false }, /* no empty line inside a block */
        { SPAN("x\u00A0y\u2003z\u3000w"), "x y z w", false },
        { SPAN("Ver\u00ADtrag \u200Bnull\uFEFF\u2060"), "Vertrag null", false },
        { SPAN("\uFB01nden \uFB02ie\u00DFen e\uFB03zient"), "finden flie\u00DFen effizient",
          false },
        { SPAN("a\u0308o\u0308u\u0308 A\u030A"), "\u00E4\u00F6\u00FC \u00C5", false }, /* NFC */
        { SPAN("\u1100\u1161\u11A8"), "\uAC01", false },
        { SPAN("a\x01\x02"
               "b\x7F\xC2\x85"
               "c"),
          "ab\nc", false },
        { SPAN("ok\u202Egnp.exe\u202C"), "okgnp.exe", false }, /* direction override */
        { SPAN("a\U000E0041\U000E0042"
               "b"),
          "ab", false }, /* tags nobody sees */
        { SPAN("\uF0B7 Punkt \uE123"), "\u2022 Punkt", false },
        { SPAN("bad \xC3 \xFF utf"), "bad \uFFFD \uFFFD utf", false },
        { SPAN("if (x)\n    y();\n\tz"), "if (x)\n    y();\n\tz", true },
        { SPAN(" \n\t "), "", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = { 0 };
        assert_true(normalise(&out, cases[i].in, cases[i].layout));
        if (!span_eq_str(buf_span(&out), cases[i].out))
            fail_msg("case %zu: '%s'\nexpected '%s'\nfound    '%s'", i, cases[i].in.ptr,
                     cases[i].out, out.ptr ? out.ptr : "");
        buf_deinit(&out);
    }
}

/* A letter under a million marks: sorting them all would be quadratic, and no language has more
 * than a few. */
static void test_normalise_marks(void **state)
{
    (void)state;
    struct buf in = { 0 }, out = { 0 };
    buf_append_str(&in, "a");
    for (int i = 0; i < 1000000; i++)
        buf_append_str(&in, i & 1 ? "\u0323" : "\u0301");
    assert_true(normalise(&out, buf_span(&in), false));
    assert_in_range(out.len, 1, 4 * NONSTARTERS_MAX);
    assert_true(utf8_valid(buf_span(&out)));
    buf_deinit(&in);
    buf_deinit(&out);
}

static void test_builder(void **state)
{
    (void)state;
    struct builder b;
    builder_init(&b, 20);
    builder_text(&b, SPAN("eins"));
    builder_begin(&b, BLOCK_HEADING);
    builder_text(&b, SPAN(" \u200B "));
    builder_begin(&b, BLOCK_HEADING);
    builder_text(&b, SPAN("zwei\n\ndrei"));
    builder_end(&b);
    assert_int_equal(b.n_blocks, 2); /* the one without text left no trace */
    assert_string_equal(b.text.ptr, "eins\n\nzwei\ndrei");
    assert_int_equal(b.blocks[1].start, 6);
    assert_int_equal(b.blocks[1].para, 2);
    builder_undo(&b);
    assert_string_equal(b.text.ptr, "eins");
    builder_text(&b, SPAN("mehr als zwanzig Bytes"));
    assert_false(builder_end(&b));
    assert_int_equal(b.refusal.reason, REASON_TEXT_TOO_LONG);
    builder_refuse(&b, REASON_NOMEM, 0, 0);
    assert_int_equal(b.refusal.reason, REASON_TEXT_TOO_LONG); /* the first one stays */
    builder_deinit(&b);

    struct buf long_title = { 0 };
    for (int i = 0; i < 600; i++)
        buf_append_str(&long_title, "\u00E4");
    builder_init(&b, ROOM);
    builder_title(&b, SPAN("  "));
    builder_title(&b, buf_span(&long_title));
    builder_title(&b, SPAN("zu sp\u00E4t"));
    assert_int_equal(b.title.len, TITLE_MAX_BYTES);
    assert_true(utf8_valid(buf_span(&b.title)));
    builder_deinit(&b);
    buf_deinit(&long_title);
}

/* ---- charset -------------------------------------------------------------------------------- */

static void test_charset(void **state)
{
    (void)state;
    charset_prepare();
    const struct {
        struct span in;
        const char *label, *out;
    } cases[] = {
        { SPAN("\xEF\xBB\xBFM\xC3\xBCller"), "", "M\u00FCller" },
        { SPAN("M\0\xFC\0l\0l\0e\0r\0"), "", "M\u00FCller" },       /* UTF-16 without a mark */
        { SPAN("\xFF\xFEM\0\xFC\0\xAC\x20"), "", "M\u00FC\u20AC" }, /* UTF-16 LE */
        { SPAN("\xFE\xFF\0M\0\xFC\xD8\x3D\xDE\x00"), "", "M\u00FC\U0001F600" }, /* BE, a pair */
        { SPAN("\xFF\xFE\0\0M\0\0\0\xFC\0\0\0"), "", "M\u00FC" },               /* UTF-32 LE */
        { SPAN("M\xFCller zahlt 5 \x80, \x84gern\x93 \x96 \xA7 5"), "",
          "M\u00FCller zahlt 5 \u20AC, \u201Egern\u201C \u2013 \u00A7 5" }, /* Windows-1252 */
        { SPAN("5 \xA4 f\xFCr Wei\xDF"), "iso-8859-15", "5 \u20AC f\u00FCr Wei\u00DF" },
        { SPAN("\x84Gut\x93"), "ISO-8859-1",
          "\u201EGut\u201C" }, /* named Latin 1, meant Windows-1252 */
        { SPAN("\xCF\xF0\xE8\xE2\xE5\xF2"), "windows-1251",
          "\u041F\u0440\u0438\u0432\u0435\u0442" },
        /* two files glued together */
        { SPAN("Gr\xC3\xBC\xC3\x9F"
               "e\nGr\xFC\xDF"
               "e\n"),
          "", "Gr\u00FC\u00DFe\nGr\u00FC\u00DFe\n" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = { 0 };
        struct refusal why = { 0 };
        if (!charset_decode(&out, cases[i].in, span_of(cases[i].label), &why))
            fail_msg("case %zu refused with %d", i, (int)why.reason);
        if (!span_eq_str(buf_span(&out), cases[i].out))
            fail_msg("case %zu: expected '%s', found '%s'", i, cases[i].out, out.ptr);
        buf_deinit(&out);
    }
}

/* Nobody names the charset and the letters are not those of the west: uchardet must know. */
static void test_charset_guess(void **state)
{
    (void)state;
    struct buf out = { 0 };
    struct refusal why;
    /* "Договор аренды нежилого помещения заключён между сторонами" in Windows-1251 */
    struct span in =
        SPAN("\xC4\xEE\xE3\xEE\xE2\xEE\xF0 \xE0\xF0\xE5\xED\xE4\xFB \xED\xE5\xE6\xE8\xEB\xEE"
             "\xE3\xEE \xEF\xEE\xEC\xE5\xF9\xE5\xED\xE8\xFF \xE7\xE0\xEA\xEB\xFE\xF7\xB8\xED"
             " \xEC\xE5\xE6\xE4\xF3 \xF1\xF2\xEE\xF0\xEE\xED\xE0\xEC\xE8");
    assert_true(charset_decode(&out, in, (struct span){ 0 }, &why));
    assert_true(span_starts(buf_span(&out), SPAN("\u0414\u043E\u0433\u043E\u0432\u043E\u0440")));
    buf_deinit(&out);
}

static void test_not_text(void **state)
{
    (void)state;
    const struct span cases[] = {
        SPAN("text\0with a zero"),
        SPAN("\x89\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f\x10 binary"),
        SPAN("\x7F"
             "ELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0>\0\x01\0\0\0"),
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = { 0 };
        struct refusal why = { 0 };
        assert_false(charset_decode(&out, cases[i], (struct span){ 0 }, &why));
        assert_int_equal(why.reason, REASON_NOT_TEXT);
        buf_deinit(&out);
    }
}

/* ---- text and Markdown ---------------------------------------------------------------------- */

static void test_text(void **state)
{
    (void)state;
    expect_blocks(DOC_TEXT, SPAN("Erste Zeile\nzweite Zeile\n\n\n  Neuer Absatz  \n"),
                  "p Erste Zeile/zweite Zeile\np Neuer Absatz");
    expect_blocks(DOC_TEXT,
                  SPAN("Von: a@b.de\nAn: c@d.de\nBetreff: Miete\n\nHallo,\r\n\r\nGru\xC3\x9F"),
                  "m Von: a@b.de/An: c@d.de/Betreff: Miete\np Hallo,\np Gru\u00DF");
    expect_blocks(DOC_TEXT,
                  SPAN("Bitte bringen:\n- Ausweis\n- Vertrag\n  mit Anlagen\n1. erstens\n"),
                  "p Bitte bringen:\nl - Ausweis\nl - Vertrag/mit Anlagen\nl 1. erstens");
    expect_blocks(DOC_TEXT, SPAN("\n \n\t\n"), "");
}

static void test_text_title(void **state)
{
    (void)state;
    struct builder b;
    struct document d;
    builder_init(&b, ROOM);
    text_parse(&b, SPAN("Subject: Rent increase\nFrom: x\n\nBody"));
    assert_true(builder_finish(&b, &d, DOC_TEXT));
    assert_string_equal(d.title, "Rent increase");
    document_deinit(&d);
    builder_deinit(&b);
}

static void test_markdown(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "# Titel #\n\nText mit *Betonung*, **fett** und `code_x`.\nweiter",
          "h Titel\np Text mit Betonung, fett und code_x. weiter" },
        { "Titel\n=====\nUnter\n---\nText", "h Titel\nh Unter\np Text" },
        { "- eins\n- zwei\n  weiter\n3. drei\n", "l eins\nl zwei weiter\nl 3. drei" },
        { "| A | B |\n|---|:-:|\n| 1 | 2 \\| 3 |\n\nText", "r A | B\nr 1 | 2 | 3\np Text" },
        { "```c\nint x;\n\n  y();\n```\nnach", "p int x;/  y();\np nach" },
        { "[Kanzlei](https://x.de/a_(b)) und ![Bild](x.png) und [Ref][1]\n\n[1]: https://y.de",
          "p Kanzlei und Bild und Ref" },
        { "> Zitat\n> weiter\n\n<!-- weg\nweg -->\nda", "p Zitat weiter\np da" },
        { "---\ntitle: \"Vertrag\"\n---\nText", "p Text" },
        { "snake_case bleibt, 2 * 3 auch, \\*nicht\\* betont",
          "p snake_case bleibt, 2 * 3 auch, *nicht* betont" },
        { "a\n\n***\n\nb", "p a\np b" },
        { "Zeile eins  \nZeile zwei", "p Zeile eins/Zeile zwei" },
        { "&sect; 5 &amp; <b>fett</b> <https://a.de>", "p \u00A7 5 & fett https://a.de" },
        { "[offen und [[tief und (kein) `Strich", "p [offen und [[tief und (kein) `Strich" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_blocks(DOC_MARKDOWN, span_of(cases[i].in), cases[i].out);
}

/* Look-ahead is bounded: these took quadratic time in parsers that search for the closing mark to
 * the line's end. */
static void test_markdown_linear(void **state)
{
    (void)state;
    static const char *const units[] = { "[", "![", "`a", "<a", "*_", "[a](", "| ", "> ", "&a" };
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        struct buf in = { 0 };
        for (int k = 0; k < 100000; k++)
            buf_append_str(&in, units[i]);
        struct builder b;
        builder_init(&b, ROOM);
        markdown_parse(&b, buf_span(&in));
        builder_deinit(&b);
        buf_deinit(&in);
    }
}

/* ---- HTML ----------------------------------------------------------------------------------- */

static void test_html(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        { "<title>T</title><h1>Kopf</h1><p>Ein\n Absatz&nbsp;mit <b>fett</b>.</p>Rest",
          "h Kopf\np Ein Absatz mit fett.\np Rest" },
        { "<ul><li>eins<li><p>zwei</p></ul><ol><li>drei</ol>", "l eins\nl zwei\nl drei" },
        { "<table><tr><th>A<th>B</tr><tr><td><p>1</p><p>2</p><td>3</table>", "r A | B\nr 1/2 | 3" },
        { "<table><tr><td><h1>Brief</h1><p>Text</p><table><tr><td>a<td>b</table><td>rechts</table>",
          "h Brief\np Text\nr a | b\np rechts" },
        { "<script>alert('x')</script><style>p{}</style><p hidden>da</p><template>nein</template>",
          "p da" },
        { "a<br>b<hr>c<pre>x\n  y</pre>", "p a/b\np c\np x/  y" },
        { "<p>&auml;&#8364;&euro;&#x41;&bogus;", "p \u00E4\u20AC\u20ACA&bogus;" },
        { "<div>un<span>ge</span>schlossen <p>zwei", "p ungeschlossen\np zwei" },
        { "<table><tr><td> <td></table>leer", "p leer" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        expect_blocks(DOC_HTML, span_of(cases[i].in), cases[i].out);
    expect_blocks(DOC_HTML, SPAN("<meta charset=iso-8859-1><p>M\xFCller \x80"),
                  "p M\u00FCller \u20AC");
    expect_blocks(DOC_HTML, SPAN("<meta charset=iso-8859-1><p>M\xC3\xBCller"), "p M\u00FCller");
}

/* Entities that a page defines for itself stay what they are: no bomb can grow. */
static void test_html_entities(void **state)
{
    (void)state;
    struct builder b;
    builder_init(&b, ROOM);
    html_parse(&b, SPAN("<!DOCTYPE x [<!ENTITY a 'boom'><!ENTITY b '&a;&a;'>]><p>&b;&b; Ende</p>"));
    assert_true(builder_ok(&b));
    assert_int_equal(span_find(buf_span(&b.text), SPAN("boomboom"), 0), SIZE_MAX);
    assert_int_not_equal(span_find(buf_span(&b.text), SPAN("&b;&b; Ende"), 0), SIZE_MAX);
    builder_deinit(&b);
}

static void test_html_depth(void **state)
{
    (void)state;
    struct buf in = { 0 };
    for (int i = 0; i < 200000; i++)
        buf_append_str(&in, "<div>");
    struct builder b;
    builder_init(&b, ROOM);
    html_parse(&b, buf_span(&in));
    assert_int_equal(b.refusal.reason, REASON_TOO_DEEP);
    builder_deinit(&b);
    buf_deinit(&in);
}

/* ---- docx ----------------------------------------------------------------------------------- */

#define W_NS                                                                                       \
    "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\" "                    \
    "xmlns:mc=\"http://schemas.openxmlformats.org/markup-compatibility/2006\""
#define DOC(body)                                                                                  \
    "<?xml version=\"1.0\"?><w:document " W_NS "><w:body>" body "</w:body></w:document>"
#define P(text) "<w:p><w:r><w:t>" text "</w:t></w:r></w:p>"

static const char rels_root[] =
    "<Relationships "
    "xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\"><Relationship "
    "Id=\"r1\" "
    "Type=\"http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument\" "
    "Target=\"word/document.xml\"/></Relationships>";
static const char rels_doc[] =
    "<Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">"
    "<Relationship Id=\"r1\" Type=\"http://x/styles\" Target=\"styles.xml\"/>"
    "<Relationship Id=\"r2\" Type=\"http://x/header\" Target=\"header1.xml\"/>"
    "<Relationship Id=\"r3\" Type=\"http://x/header\" Target=\"/word/header1.xml\"/>"
    "<Relationship Id=\"r4\" Type=\"http://x/footnotes\" Target=\"../word/footnotes.xml\"/>"
    "<Relationship Id=\"r5\" Type=\"http://x/footer\" TargetMode=\"External\" "
    "Target=\"http://evil/\"/>"
    "</Relationships>";

static void docx_expect(const char *document, const char *styles, const char *expected)
{
    const struct part parts[] = { PART("_rels/.rels", rels_root),
                                  PART("word/document.xml", document),
                                  PART("word/styles.xml", styles) };
    const struct part rels[] = { PART("word/_rels/document.xml.rels", rels_doc) };
    struct part all[] = { parts[0], parts[1], rels[0], parts[2] };
    struct buf z = zip_of(all, styles[0] ? 4 : 2);
    struct builder b;
    builder_init(&b, ROOM);
    office_parse(&b, buf_span(&z));
    expect(&b, document, expected);
    builder_deinit(&b);
    buf_deinit(&z);
}

static void test_docx(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {
        { DOC(P("Eins") P("  ") P("zwei &amp; drei")), "p Eins\np zwei & drei" },
        { DOC("<w:p><w:r><w:t>a</w:t><w:tab/><w:t>b</w:t><w:br/><w:t>c</w:t><w:noBreakHyphen/"
              "><w:t>d</w:t>"
              "<w:softHyphen/><w:t>e</w:t></w:r></w:p>"),
          "p a b/c-de" },
        { DOC("<w:p><w:ins><w:r><w:t>neu "
              "</w:t></w:r></w:ins><w:del><w:r><w:delText>alt</w:delText><w:t>x</w:t>"
              "</w:r></w:del><w:moveFrom><w:r><w:t>weg</w:t></w:r></w:moveFrom><w:r><w:t>bleibt</"
              "w:t></w:r></w:p>"),
          "p neu bleibt" },
        { DOC("<w:tbl><w:tr><w:tc>" P("A") "</w:tc><w:tc>" P("B")
                  P("b") "</w:tc></w:tr><w:tr><w:tc>" P("1") "</w:tc><w:tc><w:tbl><w:tr><w:tc>" P(
                      "in") "</w:tc><w:tc>" P("nen") "</w:tc></w:tr></w:tbl></w:tc>"
                                                     "</w:tr><w:tr><w:tc>" P(
                                                         "") "</w:tc></w:tr></w:tbl>"),
          "r A | B/b\nr 1 | in/nen" },
        { DOC("<w:p><w:pPr><w:numPr><w:numId "
              "w:val=\"3\"/></w:numPr></w:pPr><w:r><w:t>Punkt</w:t></w:r></w:p>"
              "<w:p><w:pPr><w:outlineLvl w:val=\"0\"/></w:pPr><w:r><w:t>Kopf</w:t></w:r></w:p>"),
          "l Punkt\nh Kopf" },
        { DOC("<w:p><w:r><w:t>vor </w:t></w:r><mc:AlternateContent><mc:Choice><w:txbxContent>" P(
              "Kasten") "</w:txbxContent></mc:Choice><mc:Fallback>" P("Kasten") "</mc:Fallback></"
                                                                                "mc:"
                                                                                "AlternateContent>"
                                                                                "<w:r><w:t>nach</"
                                                                                "w:t></w:r></w:p>"),
          "p Kasten\np vor nach" },
        { DOC("<w:p><w:r><w:instrText>PAGE</w:instrText><w:t>7</w:t></w:r></w:p>"), "p 7" },
        { DOC("<w:p><w:pPr><w:tabs><w:tab w:val=\"left\" "
              "w:pos=\"720\"/></w:tabs></w:pPr><w:r><w:t>x</w:t></w:r></w:p>"),
          "p x" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        docx_expect(cases[i].in, "", cases[i].out);
}

static void test_docx_styles(void **state)
{
    (void)state;
    static const char styles[] =
        "<w:styles " W_NS
        "><w:style w:type=\"paragraph\" w:styleId=\"H\"><w:name w:val=\"heading 1\"/></w:style>"
        "<w:style w:type=\"paragraph\" w:styleId=\"K\"><w:basedOn w:val=\"H\"/></w:style>"
        "<w:style w:type=\"paragraph\" w:styleId=\"A\"><w:basedOn w:val=\"B\"/></w:style>" /* a ring
                                                                                            */
        "<w:style w:type=\"paragraph\" w:styleId=\"B\"><w:basedOn "
        "w:val=\"A\"/></w:style></w:styles>";
    docx_expect(DOC("<w:p><w:pPr><w:pStyle w:val=\"K\"/></w:pPr><w:r><w:t>Kopf</w:t></w:r></w:p>"
                    "<w:p><w:pPr><w:pStyle w:val=\"A\"/></w:pPr><w:r><w:t>Text</w:t></w:r></w:p>"),
                styles, "h Kopf\np Text");
}

/* Headers first and once, notes after the body. */
static void test_docx_parts(void **state)
{
    (void)state;
    struct part parts[] = {
        PART("_rels/.rels", rels_root),
        PART("word/document.xml", DOC(P("Text"))),
        PART("word/_rels/document.xml.rels", rels_doc),
        PART("word/header1.xml", "<w:hdr " W_NS ">" P("Kanzlei") "</w:hdr>"),
        PART("word/footnotes.xml",
             "<w:footnotes " W_NS "><w:footnote>" P("Anmerkung") "</w:footnote></w:footnotes>"),
    };
    struct buf z = zip_of(parts, ARRAY_LEN(parts));
    struct builder b;
    builder_init(&b, ROOM);
    office_parse(&b, buf_span(&z));
    expect(&b, "parts", "m Kanzlei\np Text\np Anmerkung");
    builder_deinit(&b);
    buf_deinit(&z);
}

static struct refusal docx_refusal(const struct part *parts, size_t n)
{
    struct buf z = zip_of(parts, n);
    struct builder b;
    builder_init(&b, 64 * ROOM);
    office_parse(&b, buf_span(&z));
    struct refusal r = b.refusal;
    builder_deinit(&b);
    buf_deinit(&z);
    return r;
}

static void test_docx_hostile(void **state)
{
    (void)state;
    struct part root = PART("_rels/.rels", rels_root);
    struct part doctype[] = { root, PART("word/document.xml",
                                         "<!DOCTYPE x [<!ENTITY a \"aaaa\">]>" DOC(P("&a;"))) };
    assert_int_equal(docx_refusal(doctype, 2).reason, REASON_XML_DOCTYPE);
    struct part torn[] = { root, PART("word/document.xml", "<w:document " W_NS "><w:p>") };
    assert_int_equal(docx_refusal(torn, 2).reason, REASON_XML_SYNTAX);
    struct part twice[] = { root, PART("word/document.xml", DOC(P("a"))),
                            PART("word/Document.xml", DOC(P("b"))) };
    assert_int_equal(docx_refusal(twice, 3).reason, REASON_ZIP_DUPLICATE);
    struct part climbs[] = { root, PART("word/document.xml", DOC(P("a"))),
                             PART("../../etc/passwd", "x") };
    assert_int_equal(docx_refusal(climbs, 3).reason, REASON_ZIP_NAME);
    struct part other[] = { PART("[Content_Types].xml", "<x/>") };
    assert_int_equal(docx_refusal(other, 1).reason, REASON_OOXML_OTHER);
    static const char sheet[] =
        "<Relationships><Relationship Id=\"i\" Type=\"http://x/officeDocument\" "
        "Target=\"xl/workbook.xml\"/></Relationships>";
    struct part none[] = { PART("_rels/.rels", sheet), PART("a.xml", "<x/>") };
    assert_int_equal(docx_refusal(none, 2).a, OTHER_ZIP);
    struct part odg[] = { PART("mimetype", "application/vnd.oasis.opendocument.graphics"),
                          PART("content.xml", "<x/>") };
    assert_int_equal(docx_refusal(odg, 2).a, OTHER_OPENDOCUMENT);
    struct part html[] = { root, PART("word/document.xml", "<html/>") };
    assert_int_equal(docx_refusal(html, 2).reason, REASON_OOXML_OTHER);

    struct buf deep = { 0 };
    buf_append_str(&deep, "<w:document " W_NS ">");
    for (int i = 0; i < 100000; i++)
        buf_append_str(&deep, "<w:p>");
    struct part nested[] = { root, { "word/document.xml", deep.ptr, deep.len } };
    assert_int_equal(docx_refusal(nested, 2).reason, REASON_TOO_DEEP);
    buf_deinit(&deep);
}

/* 64 MiB of blanks in 64 KiB, and a document that declares less than it holds. */
static void test_docx_bomb(void **state)
{
    (void)state;
    size_t size = 64 << 20;
    char *blank = malloc(size);
    assert_non_null(blank);
    memset(blank, ' ', size);
    struct part bomb[] = { PART("_rels/.rels", rels_root), { "word/document.xml", blank, size } };
    struct refusal r = docx_refusal(bomb, 2);
    assert_int_equal(r.reason, REASON_ZIP_BOMB);
    assert_in_range(r.b, 1, size / ZIP_RATIO_MAX);
    free(blank);

    struct part honest[] = { PART("_rels/.rels", rels_root),
                             PART("word/document.xml", DOC(P("abc"))) };
    struct buf z = zip_of(honest, 2);
    uint32_t real = (uint32_t)strlen(DOC(P("abc"))), lie = 20, n_patched = 0;
    for (size_t i = 0; i + 4 <= z.len; i++)
        if (memcmp(z.ptr + i, &real, 4) == 0) {
            memcpy(z.ptr + i, &lie, 4);
            n_patched++;
        }
    assert_true(n_patched >= 2); /* local header and central directory */
    struct builder b;
    builder_init(&b, ROOM);
    office_parse(&b, buf_span(&z));
    assert_false(builder_ok(&b));
    builder_deinit(&b);
    buf_deinit(&z);
}

/* Every cut and every flipped byte of a small document: some refusal or some text, never a crash
 * (run with sanitizers). */
static void test_docx_damaged(void **state)
{
    (void)state;
    struct part parts[] = { PART("_rels/.rels", rels_root),
                            PART("word/document.xml", DOC(P("abc"))) };
    struct buf z = zip_of(parts, 2);
    size_t n_read = 0;
    for (size_t i = 0; i < z.len; i++) {
        struct builder b;
        builder_init(&b, ROOM);
        office_parse(&b, span_sub(buf_span(&z), 0, i));
        assert_false(builder_ok(&b)); /* a cut one is never whole */
        builder_deinit(&b);
        z.ptr[i] ^= 0x41;
        builder_init(&b, ROOM);
        office_parse(&b, buf_span(&z));
        n_read += builder_ok(&b);
        builder_deinit(&b);
        z.ptr[i] ^= 0x41;
    }
    assert_in_range(n_read, 1, z.len / 2); /* times and flags may differ without harm */
    buf_deinit(&z);
}

/* ---- pdftotext's output --------------------------------------------------------------------- */

struct pdf_line {
    float x, y, size;
    const char *words;
};

/* One block of lines as poppler writes it: words 5 points a letter. */
static void pdf_block(struct buf *out, const struct pdf_line *lines, size_t n)
{
    float x1 = 0;
    for (size_t i = 0; i < n; i++)
        x1 = x1 > lines[i].x + 5 * (float)strlen(lines[i].words)
                 ? x1
                 : lines[i].x + 5 * (float)strlen(lines[i].words);
    buf_printf(out, "<block xMin=\"%f\" yMin=\"%f\" xMax=\"%f\" yMax=\"%f\">", lines[0].x,
               lines[0].y, x1, lines[n - 1].y + lines[n - 1].size);
    for (size_t i = 0; i < n; i++) {
        float x = lines[i].x, y = lines[i].y, h = lines[i].size;
        buf_printf(out, "<line xMin=\"%f\" yMin=\"%f\" xMax=\"%f\" yMax=\"%f\">", x, y,
                   x + 5 * (float)strlen(lines[i].words), y + h);
        for (const char *w = lines[i].words; *w;) {
            size_t len = strcspn(w, " ");
            buf_printf(out, "<word xMin=\"%f\" yMin=\"%f\" xMax=\"%f\" yMax=\"%f\">%.*s</word>", x,
                       y, x + 5 * (float)len, y + h, (int)len, w);
            x += 5 * (float)(len + 1);
            w += len + (w[len] == ' ');
        }
        buf_append_str(out, "</line>");
    }
    buf_append_str(out, "</block>");
}

static const char pdf_head[] =
    "<html><head><title>T</title></head><body><doc><page width=\"595\" height=\"842\"><flow>";
static const char pdf_tail[] = "</flow></page></doc></body></html>";

static void bbox_run(struct builder *b, struct span in, size_t piece)
{
    struct bbox *x = bbox_create(b);
    assert_non_null(x);
    bool ok = true;
    for (size_t i = 0; ok && i < in.len; i += piece)
        ok = bbox_feed(x, span_sub(in, i, i + piece), false);
    if (ok && bbox_feed(x, (struct span){ 0 }, true))
        bbox_finish(x);
    bbox_destroy(x);
}

/* Whole, and byte by byte: the same. */
static void bbox_expect(const struct buf *body, const char *expected)
{
    struct buf all = { 0 };
    buf_append_str(&all, pdf_head);
    buf_append_span(&all, buf_span(body));
    buf_append_str(&all, pdf_tail);
    static const size_t pieces[] = { SIZE_MAX / 2, 1, 7 };
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        struct builder b;
        builder_init(&b, ROOM);
        bbox_run(&b, buf_span(&all), pieces[i]);
        expect(&b, body->ptr, expected);
        builder_deinit(&b);
    }
    buf_deinit(&all);
}

#define BLOCK(out, ...)                                                                            \
    pdf_block(out, (const struct pdf_line[]){ __VA_ARGS__ },                                       \
              ARRAY_LEN(((const struct pdf_line[]){ __VA_ARGS__ })))

static void test_pdf_hyphens(void **state)
{
    (void)state;
    struct buf body = { 0 };
    BLOCK(&body, { 50, 50, 12, "Der Vermieter und der Miet-" },
          { 50, 64, 12, "vertrag sowie alle anderen" },
          { 50, 78, 12, "Vertragspartner der E-Mail-" }, { 50, 92, 12, "Adresse mit dem Vor- und" },
          { 50, 106, 12, "Nachnamen und der Haupt-" },
          { 50, 120, 12, "oder Nebenwohnung sowie der" }, { 50, 134, 12, "DIN-" },
          { 50, 148, 12, "5008 ohne weitere Angaben." });
    bbox_expect(
        &body,
        "p Der Vermieter und der Mietvertrag sowie alle anderen Vertragspartner der E-Mail-Adresse "
        "mit "
        "dem Vor- und Nachnamen und der Haupt- oder Nebenwohnung sowie der DIN-5008 ohne weitere "
        "Angaben.");
    buf_deinit(&body);
}

static void test_pdf_paragraphs(void **state)
{
    (void)state;
    struct buf body = { 0 };
    BLOCK(&body, { 50, 20, 24, "1. Brief" });
    BLOCK(&body, { 50, 50, 12, "Frau Anna Weber" }, { 50, 64, 12, "Weg 3" }, { 50, 78, 12, "Ulm" });
    BLOCK(&body, { 50, 110, 12, "Der erste Absatz geht ueber zwei volle Zeilen hin und" },
          { 50, 124, 12, "endet hier mit einem Punkt und weiteren Worten dazu." },
          { 50, 150, 12, "Der zweite beginnt nach einer Luecke und geht weiter." });
    bbox_expect(&body,
                "h 1. Brief\np Frau Anna Weber/Weg 3/Ulm\np Der erste Absatz geht ueber zwei "
                "volle Zeilen hin und "
                "endet hier mit einem Punkt und weiteren Worten dazu.\np Der zweite beginnt "
                "nach einer Luecke "
                "und geht weiter.");
    buf_deinit(&body);
}

static void test_pdf_lists(void **state)
{
    (void)state;
    struct buf body = { 0 };
    BLOCK(&body, { 50, 50, 12, "\u2022" }, { 50, 64, 12, "\u2022" });
    BLOCK(&body, { 70, 50, 12, "ein Punkt mit vielen Worten und mehr davon noch" },
          { 70, 64, 12, "noch ein Punkt mit vielen Worten und mehr davon" });
    BLOCK(&body, { 50, 100, 12, "1." }, { 50, 114, 12, "2." });
    BLOCK(&body, { 70, 100, 12, "erstens das eine und alles was dazu gehoert hier" },
          { 70, 114, 12, "zweitens das andere und alles was sonst noch da ist" });
    BLOCK(&body, { 50, 150, 12, "a) gleich mit dem Text dahinter und noch mehr Worten" });
    bbox_expect(
        &body,
        "l ein Punkt mit vielen Worten und mehr davon noch\nl noch ein Punkt mit vielen Worten und "
        "mehr "
        "davon\nl 1. erstens das eine und alles was dazu gehoert hier\nl 2. zweitens das andere "
        "und "
        "alles was sonst noch da ist\nl a) gleich mit dem Text dahinter und noch mehr Worten");
    buf_deinit(&body);
}

static void test_pdf_table(void **state)
{
    (void)state;
    struct buf body = { 0 };
    BLOCK(&body, { 50, 50, 12, "Miete" }, { 50, 66, 12, "Strom" }, { 50, 82, 12, "Summe" });
    BLOCK(&body, { 200, 50, 12, "900,00" }, { 200, 66, 12, "50,00" }, { 200, 82, 12, "950,00" });
    BLOCK(&body, { 300, 50, 12, "am Ersten" }, { 300, 66, 12, "im Voraus," },
          { 300, 77, 12, "monatlich" });
    bbox_expect(
        &body,
        "r Miete | 900,00 | am Ersten\nr Strom | 50,00 | im Voraus,\nr Summe | 950,00 | monatlich");
    buf_clear(&body);
    BLOCK(&body, { 50, 50, 12, "Miete" }, { 50, 66, 12, "Strom" });
    BLOCK(&body, { 200, 50, 12, "900,00" }, { 200, 66, 12, "50,00" });
    BLOCK(&body, { 300, 50, 12, "am Ersten" }, { 300, 66, 12, "im Voraus," },
          { 300, 78, 12, "monatlich" });
    bbox_expect(&body, "r Miete | 900,00 | am Ersten\nr Strom | 50,00 | im Voraus, monatlich");
    buf_deinit(&body);
}

/* One line of poppler's for a row whose cells are near; a letter's reference numbers beside the
 * address. */
static void test_pdf_near_cells(void **state)
{
    (void)state;
    struct buf body = { 0 };
    buf_append_str(
        &body,
        "<block xMin=\"50\" yMin=\"50\" xMax=\"230\" yMax=\"62\"><line xMin=\"50\" yMin=\"50\" "
        "xMax=\"230\" yMax=\"62\">"
        "<word xMin=\"50\" yMin=\"50\" xMax=\"80\" yMax=\"62\">Miete</word>"
        "<word xMin=\"83\" yMin=\"50\" xMax=\"110\" yMax=\"62\">Nord</word>"
        "<word xMin=\"200\" yMin=\"50\" xMax=\"230\" yMax=\"62\">900,00</word></line></block>");
    BLOCK(&body, { 50, 66, 12, "Strom" });
    BLOCK(&body, { 200, 66, 12, "50,00" });
    bbox_expect(&body, "r Miete Nord | 900,00\nr Strom | 50,00");
    buf_clear(&body);
    BLOCK(&body, { 50, 50, 12, "Frau" }, { 50, 64, 12, "Anna Weber" }, { 50, 78, 12, "Weg 3" });
    BLOCK(&body, { 300, 57, 12, "Telefon" }, { 300, 71, 12, "Datum" });
    BLOCK(&body, { 400, 57, 12, "040 123" }, { 400, 71, 12, "8. April 2026" });
    bbox_expect(&body, "p Frau/Anna Weber/Weg 3\nr Telefon | 040 123\nr Datum | 8. April 2026");
    buf_deinit(&body);
}

/* Lines set wide apart are one paragraph all the same; a date at a line's beginning is no list
 * item. */
static void test_pdf_loose_lines(void **state)
{
    (void)state;
    struct buf body = { 0 };
    BLOCK(&body, { 50, 50, 11, "Das Recht endet, wenn die Mieterin bis zum letzten" },
          { 50, 67, 11, "30. November 2028 gekuendigt hat und bis spaetestens" },
          { 50, 84, 11, "12. desselben Monats zahlt, was sie noch schuldet." });
    bbox_expect(&body, "p Das Recht endet, wenn die Mieterin bis zum letzten 30. November 2028 "
                       "gekuendigt hat und bis "
                       "spaetestens 12. desselben Monats zahlt, was sie noch schuldet.");
    buf_deinit(&body);
}

/* Two columns of prose stand beside each other line by line and are no table. */
static void test_pdf_columns(void **state)
{
    (void)state;
    struct buf body = { 0 };
    BLOCK(&body, { 50, 50, 12, "Die linke Spalte hat einen Text" },
          { 50, 64, 12, "der ueber mehrere volle Zeilen" },
          { 50, 78, 12, "laeuft und dann zu Ende ist." });
    BLOCK(&body, { 300, 50, 12, "Die rechte Spalte hat ebenfalls" },
          { 300, 64, 12, "einen Text der ueber mehrere" },
          { 300, 78, 12, "Zeilen laeuft und auch endet." });
    bbox_expect(
        &body,
        "p Die linke Spalte hat einen Text der ueber mehrere volle Zeilen laeuft und dann zu Ende "
        "ist.\np Die rechte Spalte hat ebenfalls einen Text der ueber mehrere Zeilen laeuft und "
        "auch "
        "endet.");
    buf_deinit(&body);
}

static void test_pdf_broken_output(void **state)
{
    (void)state;
    struct buf body = { 0 };
    BLOCK(&body, { 50, 50, 12, "Zei\x01le \xFF mit \xC3\xA4" });
    bbox_expect(&body, "p Zei le mit \u00E4");
    buf_deinit(&body);

    struct builder b;
    builder_init(&b, ROOM);
    bbox_run(&b, SPAN("<html><body><doc><page width=\"1\" height=\"1\"></page>"), 1000);
    assert_int_equal(b.refusal.reason, REASON_PDF_OUTPUT); /* breaks off */
    builder_deinit(&b);
    builder_init(&b, ROOM);
    bbox_run(&b, SPAN("<doc><page width=\"595\" height=\"842\"></page><page/></doc>"), 1000);
    assert_int_equal(b.refusal.reason, REASON_PDF_SCAN);
    assert_int_equal(b.refusal.a, 2);
    builder_deinit(&b);
    builder_init(&b, ROOM); /* numbers out of all bounds stay inside them */
    bbox_run(&b,
             SPAN("<doc><page width=\"nan\"><block xMin=\"1e99\" yMin=\"-99999999999999999999\" "
                  "xMax=\"-5\">"
                  "<line><word xMin=\"inf\">w</word></line></block></page></doc>"),
             1000);
    assert_true(builder_ok(&b));
    assert_true(b.blocks[0].box[0] <= b.blocks[0].box[2] &&
                b.blocks[0].box[1] <= b.blocks[0].box[3]);
    builder_deinit(&b);
}

static void test_pdf_complaints(void **state)
{
    (void)state;
    assert_int_equal(pdf_complaint(SPAN("Command Line Error: Incorrect password")),
                     REASON_PDF_PASSWORD);
    assert_int_equal(
        pdf_complaint(SPAN("Error: Copying of text from this document is not allowed.")),
        REASON_PDF_COPYING);
    assert_int_equal(pdf_complaint(SPAN("Syntax Error: Couldn't find trailer dictionary")),
                     REASON_PDF_DAMAGED);
    assert_int_equal(pdf_complaint(SPAN("what(): std::bad_alloc")), REASON_NOMEM);
}

/* ---- detect --------------------------------------------------------------------------------- */

static void test_detect(void **state)
{
    (void)state;
    const struct {
        struct span head;
        const char *path;
        enum doc_format format;
    } cases[] = {
        { SPAN("%PDF-1.7"), "brief.txt", DOC_PDF },
        { SPAN("\n\nrubbish %PDF-1.4"), "x", DOC_PDF },
        { SPAN("PK\3\4...."), "x.docx", DOC_PACKAGE },
        { SPAN("\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1"), "x.doc", DOC_UNKNOWN },
        { SPAN("{\\rtf1"), "x.doc", DOC_RTF },
        { SPAN("PK\3\4...."), "x.xlsx", DOC_PACKAGE },
        { SPAN("\xFF\xD8\xFF\xE0"), "foto.txt", DOC_PICTURE },
        { SPAN("GIF89a"), "foto.gif", DOC_UNKNOWN },
        { SPAN("# Titel"), "x.MD", DOC_MARKDOWN },
        { SPAN("# Titel"), "x.txt", DOC_TEXT },
        { SPAN("  <!DOCTYPE HTML><p>"), "x", DOC_HTML },
        { SPAN("<html>"), "x.txt", DOC_HTML },
        { SPAN("hallo"), "README", DOC_TEXT },
        { SPAN("a;b;c"), "x.csv", DOC_CSV },
        { SPAN("From: a"), "x.eml", DOC_MAIL },
        { SPAN("From a"), "x.mbox", DOC_MAILBOX },
        { SPAN("\1\2\3"), "x.bin", DOC_UNKNOWN },
        { SPAN("M\xFCller"), "x.txt", DOC_TEXT },
        { SPAN("M\xFCller"), "x.dat", DOC_UNKNOWN },
        { SPAN("kein PDF"), "x.pdf", DOC_PDF },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *why;
        enum doc_format f = detect_format(cases[i].head, cases[i].path, &why);
        if (f != cases[i].format || (f == DOC_UNKNOWN) != (why != NULL))
            fail_msg("case %zu (%s): expected %s, found %s", i, cases[i].path,
                     doc_format_name(cases[i].format), doc_format_name(f));
    }
}

/* ---- wire ----------------------------------------------------------------------------------- */

static struct document sample_document(void)
{
    struct builder b;
    struct document d;
    builder_init(&b, ROOM);
    b.n_pages = 2;
    static const char *const texts[] = { "Erster Block", "zweiter\nmit Zeile", "dritter \u00E4" };
    for (size_t i = 0; i < 3; i++) {
        builder_begin(&b, (enum block_kind)i);
        b.now.page = i == 2 ? 2 : 1;
        b.now.box[2] = 10;
        b.now.box[3] = 20.5f;
        builder_text(&b, span_of(texts[i]));
    }
    builder_title(&b, SPAN("Titel"));
    assert_true(builder_finish(&b, &d, DOC_PDF));
    builder_deinit(&b);
    return d;
}

/* Two parts that hold their own names. */
static void add_parts(struct document *d, const char *one, const char *other)
{
    const char *names[] = { one, other };
    d->parts = calloc(2, sizeof(*d->parts));
    d->n_parts = 2;
    for (size_t i = 0; i < 2; i++)
        d->parts[i] = (struct doc_part){ strdup(names[i]), strdup(names[i]), strlen(names[i]) };
}

static void test_part_names(void **state)
{
    (void)state;
    static const char *const safe[] = { "a",   "a/b.pdf", "\u00DCbersicht.xlsx",
                                        "..a", "a..b/c.", ".x" };
    static const char *const unsafe[] = { "",         "/a",    "a/",   "a//b", "..",
                                          "a/../b",   ".",     "a\\b", "a\nb", "\xFF",
                                          "\xC2\x85", "a/./b", "x\x7F" };
    static const struct {
        const char *given, *made;
    } cases[] = {
        { "Anlage.pdf", "Anlage.pdf" },
        { "Anlage.pdf", "Anlage (2).pdf" },
        { "Anlage.pdf", "Anlage (3).pdf" },
        { "../../etc/passwd", "etc/passwd" },
        { "/abs//x", "abs/x" },
        { "C:\\Temp\\x.doc", "C__Temp_x.doc" },
        { "a\x01\x1b[31m\u202Eb", "a[31mb" },
        { "", "part 8" },
        { "ordner.1/datei", "ordner.1/datei" },
        { "ordner.1/datei", "ordner.1/datei (2)" },
    };
    for (size_t i = 0; i < ARRAY_LEN(safe); i++)
        assert_true(part_name_is_safe(span_of(safe[i])));
    for (size_t i = 0; i < ARRAY_LEN(unsafe); i++)
        assert_false(part_name_is_safe(span_of(unsafe[i])));
    struct builder b;
    builder_init(&b, ROOM);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_true(builder_part(&b, span_of(cases[i].given), SPAN("x")));
        assert_string_equal(b.parts[i].name, cases[i].made);
        assert_true(part_name_is_safe(span_of(b.parts[i].name)));
    }
    struct buf longest = { 0 };
    for (int i = 0; i < 400; i++)
        buf_append_str(&longest, "\u00E4");
    buf_append_str(&longest, ".docx");
    assert_true(builder_part(&b, buf_span(&longest), SPAN("x")));
    const char *name = b.parts[b.n_parts - 1].name;
    assert_true(part_name_is_safe(span_of(name)) && span_ends(span_of(name), SPAN(".docx")));
    while (builder_part(&b, SPAN("y"), SPAN("x")))
        ;
    assert_int_equal(b.refusal.reason, REASON_PARTS);
    assert_int_equal(b.n_parts, DOC_PARTS_MAX);
    buf_deinit(&longest);
    builder_deinit(&b);
}

static void test_wire_round(void **state)
{
    (void)state;
    struct document d = sample_document(), back;
    struct buf out = { 0 };
    const char *what;
    add_parts(&d, "a/b.pdf", "c");
    assert_true(wire_put_document(&out, &d));
    assert_true(wire_get_document(buf_span(&out), ROOM, &back, &what));
    assert_int_equal(back.n_parts, 2);
    assert_string_equal(back.parts[0].name, "a/b.pdf");
    assert_int_equal(back.parts[0].len, 7);
    assert_memory_equal(back.parts[1].ptr, "c", 1);
    assert_string_equal(back.text, d.text);
    assert_string_equal(back.title, "Titel");
    assert_int_equal(back.n_blocks, 3);
    assert_memory_equal(back.blocks, d.blocks, 3 * sizeof(*d.blocks));
    document_deinit(&back);
    assert_false(wire_get_document(buf_span(&out), 5, &back, &what)); /* more text than asked for */
    assert_string_equal(what, "text length");

    for (size_t i = 0; i < out.len; i++) { /* cut anywhere: refused */
        assert_false(wire_get_document(span_sub(buf_span(&out), 0, i), ROOM, &back, &what));
        assert_null(back.text);
    }
    buf_deinit(&out);
    document_deinit(&d);
}

/* A worker that was taken over sends what it likes: each promise of extract.h is broken once. */
static void test_wire_lies(void **state)
{
    (void)state;
    static const struct {
        const char *name, *what;
    } lies[] = {
        { "overlap", "block range" },
        { "outside", "block range" },
        { "gap", "block range" },
        { "kind", "block kind" },
        { "para", "paragraph number" },
        { "page", "page number" },
        { "page backwards", "page number" },
        { "box", "block box" },
        { "nan", "block box" },
        { "control", "text" },
        { "utf8", "text" },
        { "separator", "block separator" },
        { "format", "format" },
        { "title", "title" },
        { "part above", "part name" },
        { "part twice", "part name" },
    };
    for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
        struct document d = sample_document(), back;
        struct buf out = { 0 };
        const char *what = "nothing";
        switch (i) {
        case 0:
            d.blocks[1].start--;
            break;
        case 1:
            d.blocks[2].end = d.text_len + 1;
            break;
        case 2:
            d.blocks[0].end--;
            break;
        case 3:
            d.blocks[0].kind = (enum block_kind)77;
            break;
        case 4:
            d.blocks[1].para = 1;
            break;
        case 5:
            d.blocks[2].page = 3;
            break;
        case 6:
            d.blocks[0].page = 2;
            break;
        case 7:
            d.blocks[0].box[0] = 11;
            break;
        case 8:
            memset(&d.blocks[0].box[1], 0xFF, 4);
            break;
        case 9:
            d.text[3] = '\x1B';
            break;
        case 10:
            d.text[3] = '\xFF';
            break;
        case 11:
            d.text[d.blocks[0].end] = ' ';
            break;
        case 12:
            d.format = (enum doc_format)99;
            break;
        case 13:
            d.title[1] = '\n';
            break;
        case 14:
            add_parts(&d, "a", "../b");
            break;
        case 15:
            add_parts(&d, "a", "a");
            break;
        }
        assert_true(wire_put_document(&out, &d));
        if (wire_get_document(buf_span(&out), ROOM, &back, &what) ||
            strcmp(what, lies[i].what) != 0)
            fail_msg("lie '%s': expected a wrong %s, found %s", lies[i].name, lies[i].what, what);
        buf_deinit(&out);
        document_deinit(&d);
    }
}

static void test_wire_refusal(void **state)
{
    (void)state;
    for (int r = REASON_NOMEM; r < REASON_COUNT; r++) {
        struct refusal in = { (enum reason)r, 7, 12345678901u }, back;
        struct buf out = { 0 };
        const char *what;
        assert_true(wire_put_refusal(&out, &in));
        assert_true(wire_get_refusal(buf_span(&out), &back, &what));
        assert_true(back.reason == in.reason && back.a == in.a && back.b == in.b);
        struct kt_error err;
        enum kt_status st = refusal_fail(&err, "/akten/a.pdf", &back);
        assert_int_not_equal(st, KT_OK);
        assert_ptr_equal(strstr(err.text, "/akten/a.pdf: "), err.text); /* where, first */
        assert_in_range(strlen(err.text), 30, KT_ERROR_TEXT_MAX - 1);
        buf_deinit(&out);
    }
    struct refusal back, beyond = { REASON_COUNT, 0, 0 };
    struct buf out = { 0 };
    const char *what;
    assert_true(wire_put_refusal(&out, &beyond));
    assert_false(wire_get_refusal(buf_span(&out), &back, &what));
    buf_deinit(&out);
}

int main(void)
{
    charset_prepare();
    html_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normalise),
        cmocka_unit_test(test_normalise_marks),
        cmocka_unit_test(test_builder),
        cmocka_unit_test(test_charset),
        cmocka_unit_test(test_charset_guess),
        cmocka_unit_test(test_not_text),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_text_title),
        cmocka_unit_test(test_markdown),
        cmocka_unit_test(test_markdown_linear),
        cmocka_unit_test(test_html),
        cmocka_unit_test(test_html_depth),
        cmocka_unit_test(test_html_entities),
        cmocka_unit_test(test_docx),
        cmocka_unit_test(test_docx_styles),
        cmocka_unit_test(test_docx_parts),
        cmocka_unit_test(test_docx_hostile),
        cmocka_unit_test(test_docx_bomb),
        cmocka_unit_test(test_docx_damaged),
        cmocka_unit_test(test_pdf_hyphens),
        cmocka_unit_test(test_pdf_paragraphs),
        cmocka_unit_test(test_pdf_lists),
        cmocka_unit_test(test_pdf_table),
        cmocka_unit_test(test_pdf_columns),
        cmocka_unit_test(test_pdf_near_cells),
        cmocka_unit_test(test_pdf_loose_lines),
        cmocka_unit_test(test_pdf_broken_output),
        cmocka_unit_test(test_pdf_complaints),
        cmocka_unit_test(test_detect),
        cmocka_unit_test(test_part_names),
        cmocka_unit_test(test_wire_round),
        cmocka_unit_test(test_wire_lies),
        cmocka_unit_test(test_wire_refusal),
    };
    return cmocka_run_group_tests_name("extract", tests, NULL, NULL);
}
