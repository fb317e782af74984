/* Electronic invoices, XJustiz and tables as text, each on a few lines written out here; what other people's files give is
 * tests/e2e/test_invoice.py's business. See extract_help.h for how blocks are written down. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "extract/invoice.h"
#include "extract_help.h"

/* ---- base64 --------------------------------------------------------------------------------- */

static void test_base64(void **state)
{
    (void)state;
    static const struct {
        const char *in, *out; /* NULL: refused */
    } cases[] = {
        { "", "" },
        { "Zg==", "f" },
        { "Zm8=", "fo" },
        { "Zm9v", "foo" },
        { "Zm9vYg", "foob" },
        { "Zm9\n vYmE=", "fooba" },
        { "Zm9vYmFy", "foobar" },
        { "Z", NULL },
        { "Zg===", NULL },
        { "Zm=v", NULL },
        { "Zm9*", NULL },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf out = { 0 };
        bool ok = base64_decode(&out, span_of(cases[i].in));
        if (ok != (cases[i].out != NULL) || (ok && !span_eq_str(buf_span(&out), cases[i].out)))
            fail_msg("%s: found %d '%s'", cases[i].in, ok, out.ptr ? out.ptr : "");
        buf_deinit(&out);
    }
}

/* ---- values --------------------------------------------------------------------------------- */

static void test_shown(void **state)
{
    (void)state;
    static const struct {
        enum field_kind kind;
        const char *value, *unit, *shown;
    } cases[] = {
        { FIELD_AMOUNT, "1234.5", "EUR", "1234.5 EUR = 1.234,50 EUR" },
        { FIELD_AMOUNT, "-0.07", "EUR", "-0.07 EUR = -0,07 EUR" },
        { FIELD_AMOUNT, "1234567.1250", "", "1234567.1250 = 1.234.567,125" },
        { FIELD_AMOUNT, "0012", "EUR", "0012 EUR = 12,00 EUR" },
        { FIELD_AMOUNT, "1,5", "EUR",
          "1,5 EUR = 1,5 EUR" }, /* not as the standard says: as it is */
        { FIELD_AMOUNT, "99999999999999999999999", "EUR",
          "99999999999999999999999 EUR = 99.999.999.999.999.999.999.999,00 EUR" },
        { FIELD_QUANTITY, "2.5000", "HUR", "2.5000 HUR = 2,5 Stunden" },
        { FIELD_QUANTITY, "3", "", "3 = 3" },
        { FIELD_PERCENT, "19", "", "19 %" },
        { FIELD_PERCENT, "5.50", "", "5.50 % = 5,5 %" },
        { FIELD_DATE, "2026-11-30", "", "2026-11-30 = 30.11.2026" },
        { FIELD_DATE, "20261130", "", "20261130 = 30.11.2026" },
        { FIELD_DATE, "November", "", "November" },
        { FIELD_ACCOUNT, "DE79000000001234567890", "",
          "DE79000000001234567890 = DE79 0000 0000 1234 5678 90" },
        { FIELD_ACCOUNT, "12", "", "12" },
        { FIELD_TYPE, "384", "", "384 = Rechnungskorrektur" },
        { FIELD_TYPE, "999", "", "999" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buf out = { 0 };
        shown_value(&out, cases[i].kind, span_of(cases[i].value), span_of(cases[i].unit));
        assert_string_equal(out.ptr, cases[i].shown);
        buf_deinit(&out);
    }
}

static void test_money(void **state)
{
    (void)state;
    int64_t v;
    assert_true(money_parse(SPAN("1234.56"), &v) && v == 1234560000);
    assert_true(money_parse(SPAN("-0.000001"), &v) && v == -1);
    assert_true(money_parse(SPAN("1.5000000000"), &v) && v == 1500000);
    assert_true(money_parse(SPAN("9223372036854"), &v));
    assert_false(money_parse(SPAN("9223372036855"), &v)); /* not in millionths */
    assert_false(money_parse(SPAN("0.0000001"), &v));
    assert_false(money_parse(SPAN("1,5"), &v));
    assert_false(money_parse(SPAN("1.2.3"), &v));
    assert_false(money_parse(SPAN("-"), &v));
    assert_false(money_parse(SPAN(""), &v));
}

/* ---- invoices ------------------------------------------------------------------------------- */

#define UBL(root, inside)                                                                          \
    "<" root " xmlns=\"urn:oasis:names:specification:ubl:schema:xsd:" root "-2\">" inside          \
    "</" root ">"
#define CII(inside)                                                                                \
    "<r:CrossIndustryInvoice xmlns:r=\"urn:un:unece:uncefact:data:standard:"                       \
    "CrossIndustryInvoice:100\">" inside "</r:CrossIndustryInvoice>"

static void test_ubl(void **state)
{
    (void)state;
    expect_blocks(
        DOC_INVOICE,
        SPAN(UBL(
            "Invoice",
            "<ID>R-1</ID>\n<InvoiceTypeCode>380</InvoiceTypeCode>"
            "<Note>a\n\n\nb</Note><DocumentCurrencyCode>EUR</DocumentCurrencyCode>"
            "<AccountingSupplierParty><Party><PartyIdentification><ID schemeID=\"SEPA\">DE98</ID>"
            "</PartyIdentification><PartyTaxScheme><CompanyID>DE1</CompanyID><TaxScheme><ID>VAT</"
            "ID>"
            "</TaxScheme></PartyTaxScheme><PartyTaxScheme><CompanyID>9/1</CompanyID><TaxScheme>"
            "<ID>FC</ID></TaxScheme></PartyTaxScheme></Party></AccountingSupplierParty>\n"
            "<InvoiceLine><InvoicedQuantity unitCode=\"KGM\">2</InvoicedQuantity>"
            "<Other><Thing>x</Thing></Other></InvoiceLine>")),
        "h Rechnung R-1\n"
        "p Art (BT-3, Zeile 2): 380 = Rechnung/Rechnungsnummer (BT-1, Zeile 1): R-1/"
        "Währung (BT-5, Zeile 5): EUR/Anmerkung (BT-22, Zeile 2): a/b\n"
        "h Verkäufer (BG-4)\n"
        "p Umsatzsteuer-ID (BT-31, Zeile 5): DE1/Steuernummer (BT-32, Zeile 5): 9/1/"
        "Gläubiger-ID (BT-90, Zeile 5): DE98 [SEPA]\n"
        "h Positionen (BG-25)\n"
        "p Menge (BT-129, Zeile 6): 2 KGM = 2 kg\n"
        "h Weitere Angaben / other entries\n"
        "l InvoiceLine/Other/Thing (Zeile 6): x");
}

/* ZUGFeRD 1.0 and CII have other names for the same places. */
static void test_cii(void **state)
{
    (void)state;
    expect_blocks(
        DOC_INVOICE,
        SPAN(CII("<ExchangedDocument><ID>7</ID><TypeCode>381</TypeCode><IssueDateTime>"
                 "<DateTimeString format=\"102\">20261130</DateTimeString></IssueDateTime>"
                 "</ExchangedDocument>")),
        "h Gutschrift 7\n"
        "p Art (BT-3, Zeile 1): 381 = Gutschrift (Storno, Korrektur zu Ihren Gunsten)/"
        "Rechnungsnummer (BT-1, Zeile 1): 7/Rechnungsdatum (BT-2, Zeile 1): 20261130 = 30.11.2026");
    expect_blocks(
        DOC_INVOICE,
        SPAN("<CrossIndustryDocument xmlns=\"urn:ferd:CrossIndustryDocument:invoice:1p0\">"
             "<HeaderExchangedDocument><ID>8</ID></HeaderExchangedDocument>"
             "<SpecifiedSupplyChainTradeTransaction><ApplicableSupplyChainTradeAgreement>"
             "<SellerTradeParty><Name>A</Name></SellerTradeParty></"
             "ApplicableSupplyChainTradeAgreement>"
             "</SpecifiedSupplyChainTradeTransaction></CrossIndustryDocument>"),
        "h Rechnung 8, A\n"
        "p Rechnungsnummer (BT-1, Zeile 1): 8\n"
        "h Verkäufer (BG-4)\n"
        "p Name (BT-27, Zeile 1): A");
}

#define LINE(net) "<InvoiceLine><LineExtensionAmount>" net "</LineExtensionAmount></InvoiceLine>"
#define TOTALS(lines, net, gross, due)                                                             \
    "<LegalMonetaryTotal><LineExtensionAmount>" lines                                              \
    "</LineExtensionAmount><TaxExclusiveAmount>" net                                               \
    "</TaxExclusiveAmount><TaxInclusiveAmount>" gross "</TaxInclusiveAmount><PayableAmount>" due   \
    "</PayableAmount></LegalMonetaryTotal>"
#define TAX(total, part)                                                                           \
    "<TaxTotal><TaxAmount>" total "</TaxAmount><TaxSubtotal><TaxAmount>" part                      \
    "</TaxAmount></TaxSubtotal></TaxTotal>"

static size_t sums_broken(const char *xml, const char *rule)
{
    struct builder b;
    builder_init(&b, ROOM);
    parse_memory(&b, DOC_INVOICE, span_of(xml));
    assert_true(builder_ok(&b));
    builder_end(&b);
    struct span text = buf_span(&b.text);
    size_t n = 0;
    for (size_t at = 0; (at = span_find(text, SPAN("BR-CO-"), at)) != SIZE_MAX; at++)
        n++;
    if (rule && span_find(text, span_of(rule), 0) == SIZE_MAX)
        fail_msg("no %s in\n%s", rule, b.text.ptr);
    builder_deinit(&b);
    return n;
}

static void test_sums(void **state)
{
    (void)state;
    assert_int_equal(sums_broken(UBL("Invoice", LINE("0.10") LINE("0.20") TAX("0.06", "0.06")
                                                    TOTALS("0.30", "0.3", "0.36", "0.36")),
                                 NULL),
                     0);
    assert_int_equal(
        sums_broken(UBL("Invoice", LINE("0.10") LINE("0.21") TAX("0.06", "0.06")
                                       TOTALS("0.30", "0.3", "0.36", "0.36")),
                    "BR-CO-10: Die Summe der Positionen (BT-106) muss die der "
                    "Nettobeträge (BT-131) sein. Angegeben sind 0,30, berechnet 0,31."),
        1);
    assert_int_equal(
        sums_broken(UBL("Invoice", LINE("1") TAX("0.19", "0.18") TOTALS("1", "2", "1.19", "1")),
                    "BR-CO-13"),
        4);
    /* what does not fit is said, not computed */
    assert_int_equal(sums_broken(UBL("Invoice", LINE("99999999999999999999") TAX("0", "0")
                                                    TOTALS("1", "1", "1", "1")),
                                 "Nicht geprüft"),
                     1);
    assert_int_equal(sums_broken(UBL("Invoice", LINE("9223372036854") LINE("9223372036854")
                                                    TOTALS("1", "1", "1", "1")),
                                 "Nicht geprüft"),
                     1);
    assert_int_equal(sums_broken(UBL("Invoice", "<ID>1</ID>"), NULL), 0);
    /* Factur-X's profile MINIMUM leaves out what was paid before */
    assert_int_equal(
        sums_broken(UBL("Invoice", "<LegalMonetaryTotal><TaxExclusiveAmount>5</TaxExclusiveAmount>"
                                   "<TaxInclusiveAmount>5</TaxInclusiveAmount>"
                                   "<PayableAmount>3</PayableAmount></LegalMonetaryTotal>"),
                    NULL),
        0);
}

static void test_file_inside(void **state)
{
    (void)state;
    struct builder b;
    builder_init(&b, ROOM);
    parse_memory(
        &b, DOC_INVOICE,
        SPAN(UBL("CreditNote", "<AdditionalDocumentReference><ID>A</ID><Attachment>"
                               "<EmbeddedDocumentBinaryObject filename=\"../x.txt\">SGFsbG8=\n"
                               "</EmbeddedDocumentBinaryObject></Attachment>"
                               "</AdditionalDocumentReference>"
                               "<AdditionalDocumentReference><Attachment>"
                               "<EmbeddedDocumentBinaryObject>*</EmbeddedDocumentBinaryObject>"
                               "</Attachment></AdditionalDocumentReference>")));
    assert_int_equal(b.n_parts, 1);
    assert_string_equal(b.parts[0].name, "x.txt");
    assert_memory_equal(b.parts[0].ptr, "Hallo", 5);
    expect(&b, "files",
           "h Gutschrift\nh Unterlagen (BG-24)\n"
           "p Kennung (BT-122, Zeile 1): A/Datei (BT-125, Zeile 1): ../x.txt\n"
           "p Datei (BT-125, Zeile 2): [nicht lesbar / unreadable]");
    builder_deinit(&b);
}

static void expect_reason(struct span in, enum reason reason)
{
    struct builder b;
    builder_init(&b, ROOM);
    parse_memory(&b, DOC_INVOICE, in);
    assert_int_equal(b.refusal.reason, reason);
    builder_deinit(&b);
}

static void test_invoice_bad(void **state)
{
    (void)state;
    struct buf deep = { 0 };
    for (int i = 0; i < 1000; i++)
        buf_append_str(&deep, "<Invoice>");
    expect_reason(SPAN("<Invoice"), REASON_XML_SYNTAX);
    expect_reason(SPAN("<!DOCTYPE a [<!ENTITY b \"cc\">]><Invoice><ID>&b;</ID></Invoice>"),
                  REASON_XML_DOCTYPE);
    expect_reason(buf_span(&deep), REASON_TOO_DEEP);
    buf_deinit(&deep);
}

static void test_detect(void **state)
{
    (void)state;
    static const struct {
        const char *head, *name;
        enum doc_format format;
    } cases[] = {
        { UBL("Invoice", ""), "a.xml", DOC_INVOICE },
        { "\xEF\xBB\xBF<?xml version=\"1.0\"?>\n<!-- > --> " CII(""), "a.txt", DOC_INVOICE },
        { "<x:stylesheet xmlns:u=\"urn:oasis:names:specification:ubl:schema:xsd:Invoice-2\"/>",
          "a.xsl", DOC_TEXT },
        { "<Invoice/>", "a.xml", DOC_TEXT },
        { "<!DOCTYPE Invoice>" UBL("Invoice", ""), "a.xml", DOC_TEXT },
        { "<nachricht.gds.uebermittlungSchriftgutobjekte.0005005 xmlns=\"http://www.xjustiz.de\">",
          "xjustiz_nachricht.xml", DOC_XJUSTIZ },
        { "0\x82", "vhn.xml.p7s", DOC_UNKNOWN },
        { "a;b\n", "a.csv", DOC_CSV },
        { "<html>", "a.csv", DOC_HTML },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *why;
        enum doc_format f = detect_format(span_of(cases[i].head), cases[i].name, &why);
        if (f != cases[i].format)
            fail_msg("%s: expected %s, found %s", cases[i].head, doc_format_name(cases[i].format),
                     doc_format_name(f));
    }
}

/* ---- XJustiz -------------------------------------------------------------------------------- */

#define XJUSTIZ(inside)                                                                            \
    "<nachricht.gds.uebermittlungSchriftgutobjekte.0005005 "                                       \
    "xmlns=\"http://www.xjustiz.de\">" inside                                                      \
    "</nachricht.gds.uebermittlungSchriftgutobjekte.0005005>"

static void test_xjustiz(void **state)
{
    (void)state;
    expect_blocks(
        DOC_XJUSTIZ,
        SPAN(XJUSTIZ(
            "<nachrichtenkopf><aktenzeichen.absender>77/26</aktenzeichen.absender>"
            "<erstellungszeitpunkt>2026-11-25T08:00:00</erstellungszeitpunkt>"
            "<auswahl_absender><absender.sonstige>RAin Ott</absender.sonstige></auswahl_absender>"
            "<auswahl_empfaenger><empfaenger.gericht><code>D2408</code><name>AG Köln</name>"
            "</empfaenger.gericht></auswahl_empfaenger></nachrichtenkopf>\n"
            "<grunddaten><verfahrensdaten><instanzdaten><kurzrubrum>Ott ./. Ull</kurzrubrum>"
            "<aktenzeichen><auswahl_aktenzeichen><aktenzeichen.strukturiert><abteilung>12</"
            "abteilung>"
            "<register><code>C</code></register><laufendeNummer>34</laufendeNummer><jahr>26</jahr>"
            "</aktenzeichen.strukturiert></auswahl_aktenzeichen></aktenzeichen></instanzdaten>\n"
            "<beteiligung><rolle><rollenbezeichnung><code>101</code></rollenbezeichnung></rolle>"
            "<beteiligter><auswahl_beteiligter><natuerlichePerson><vollerName><vorname>Eva</"
            "vorname>"
            "<titel>Dr.</titel><nachname>Ull</nachname></vollerName></natuerlichePerson>"
            "</auswahl_beteiligter></beteiligter></beteiligung></verfahrensdaten></grunddaten>\n"
            "<schriftgutobjekte><akte><xjustiz.fachspezifischeDaten><anzeigename>Hauptakte</"
            "anzeigename>"
            "<inhalt><dokument><xjustiz.fachspezifischeDaten><anzeigename>Klage</"
            "anzeigename><datei>"
            "<dateiname>a.pdf</dateiname><versionsnummer>1</versionsnummer></datei>"
            "</xjustiz.fachspezifischeDaten></dokument></inhalt></xjustiz.fachspezifischeDaten></"
            "akte>"
            "</schriftgutobjekte>")),
        "h XJustiz: Ott ./. Ull\n"
        "p Aktenzeichen des Absenders (Zeile 1): 77/26/"
        "Erstellt (Zeile 1): 2026-11-25T08:00:00 = 25.11.2026/Absender (Zeile 1): RAin Ott/"
        "Empfänger (Zeile 1): D2408/Empfänger (Zeile 1): AG Köln\n"
        "h Verfahren\n"
        "p Aktenzeichen (Zeile 2): 12 C 34/26/Kurzrubrum (Zeile 2): Ott ./. Ull\n"
        "h Beteiligte\n"
        "p Name (Zeile 3): Dr. Eva Ull/Rolle (Zeile 3): 101\n"
        "h Akten\n"
        "p Name der Akte (Zeile 4): Hauptakte\n"
        "h Dokumente\n"
        "p Dokument (Zeile 4): Klage/Datei (Zeile 4): a.pdf\n"
        "h Weitere Angaben / other entries\n"
        "l schriftgutobjekte/akte/xjustiz.fachspezifischeDaten/inhalt/dokument/"
        "xjustiz.fachspezifischeDaten/datei/versionsnummer (Zeile 4): 1");
    /* since 3.6 the head is laid out by who speaks */
    expect_blocks(
        DOC_XJUSTIZ,
        SPAN(XJUSTIZ(
            "<nachrichtenkopf><absender><informationen><sonstige>A</sonstige></informationen>"
            "<aktenzeichen>1</aktenzeichen><eigeneNachrichtenID>n</eigeneNachrichtenID></absender>"
            "<empfaenger><auswahl_aktenzeichen><aktenzeichen.freitext>2</aktenzeichen.freitext>"
            "</auswahl_aktenzeichen></empfaenger></nachrichtenkopf>")),
        "h XJustiz: nachricht.gds.uebermittlungSchriftgutobjekte.0005005\n"
        "p Aktenzeichen des Absenders (Zeile 1): 1/Aktenzeichen des Empfängers (Zeile 1): 2/"
        "Nachricht (Zeile 1): n/Absender (Zeile 1): A");
}

/* The list of a lawyers' mailbox's export says what each file is. */
static void test_export(void **state)
{
    (void)state;
    const struct part parts[] = {
        PART("n/xjustiz_nachricht.xml",
             XJUSTIZ("<schriftgutobjekte><dokument><xjustiz.fachspezifischeDaten><anzeigename>Klage"
                     "</anzeigename><datei><dateiname>1.txt</dateiname></datei>"
                     "</xjustiz.fachspezifischeDaten></dokument></schriftgutobjekte>")),
        PART("n/1.txt", "x"),
        PART("n/1.txt.p7s", "0"),
    };
    struct buf z = zip_of(parts, 3);
    struct builder b;
    builder_init(&b, ROOM);
    parse_memory(&b, DOC_PACKAGE, buf_span(&z));
    assert_int_equal(b.n_parts, 3);
    expect(&b, "export",
           "l n/xjustiz_nachricht.xml\nl n/1.txt (Klage)\nl n/1.txt.p7s (Signatur / signature)");
    builder_deinit(&b);
    buf_deinit(&z);
    const struct part broken[] = { PART("xjustiz_nachricht.xml", "<a"), PART("1.txt", "x") };
    z = zip_of(broken, 2);
    builder_init(&b, ROOM);
    parse_memory(&b, DOC_PACKAGE, buf_span(&z));
    expect(&b, "broken", "l xjustiz_nachricht.xml\nl 1.txt");
    builder_deinit(&b);
    buf_deinit(&z);
}

/* ---- tables as text ------------------------------------------------------------------------- */

static void test_csv(void **state)
{
    (void)state;
    static const struct {
        const char *in, *blocks;
    } cases[] = {
        { "a,b\n1,2\n", "r a | b\nr 1 | 2" },
        { "Datum;Betrag\n1.5.2026;1.234,56\n2.5.2026;7,00",
          "r Datum | Betrag\nr 1.5.2026 | 1.234,56\nr 2.5.2026 | 7,00" },
        { "a;b\r\n1,5;2,5\r\n", "r a | b\nr 1,5 | 2,5" },
        { "1,5;2,5\n3,5;4,5\n", "r 1,5 | 2,5\nr 3,5 | 4,5" },
        { "a\tb, c\n1\t2\n", "r a | b, c\nr 1 | 2" },
        { "a|b\n1|2\n", "r a | b\nr 1 | 2" },
        { "sep=,\na,b;c\n", "r a | b;c" },
        { "\"a;\"\"x\"\"\";\"b\nc\"\n1;2\n", "r a;\"x\" | b/c\nr 1 | 2" },
        { "a;;c\n;2;\n\n;;\nx;y;z\n", "r a | | c\nr | 2\nr x | y | z" },
        { "a;\"b\n1;2\n3;4\n", "r a | \"b\nr 1 | 2\nr 3 | 4" }, /* a quote that is never closed */
        { "Kontoauszug\n\nNr;Text;Betrag\n1;a;2\n2;b;3\n",
          "r Kontoauszug\nr Nr | Text | Betrag\nr 1 | a | 2\nr 2 | b | 3" },
        { "Nur ein Satz.\n\nUnd noch einer.\n", "p Nur ein Satz.\np Und noch einer." },
        { "Stra\xDF"
          "e;M\xFCnchen\n1;2\n",
          "r Straße | München\nr 1 | 2" },
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_blocks(DOC_CSV, span_of(cases[i].in), cases[i].blocks);
}

int main(void)
{
    charset_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64),      cmocka_unit_test(test_shown),
        cmocka_unit_test(test_money),       cmocka_unit_test(test_ubl),
        cmocka_unit_test(test_cii),         cmocka_unit_test(test_sums),
        cmocka_unit_test(test_file_inside), cmocka_unit_test(test_invoice_bad),
        cmocka_unit_test(test_detect),      cmocka_unit_test(test_xjustiz),
        cmocka_unit_test(test_export),      cmocka_unit_test(test_csv),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
