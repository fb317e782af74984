/* Messages between courts, authorities, notaries and lawyers: XJustiz (xjustiz_nachricht.xml), versions 2 to 3.6, which differ in
 * where the head's fields stand.
 *
 * Who writes to whom about which case, who takes part, and which files belong to it under which names; then everything else with
 * its path. Codes are given as they are: what they mean stands in lists that change every year. */
#include "extract/fields.h"

#define END                                                                                        \
    {                                                                                              \
        NULL, NULL, FIELD_TEXT, NULL, NULL                                                         \
    }
#define FIELD(label, path)                                                                         \
    {                                                                                              \
        "", label, FIELD_TEXT, path, NULL                                                          \
    }
#define OWN "xjustiz.fachspezifischeDaten"

static const struct field head[] = {
    FIELD("Betreff", "nachrichtenkopf/betreff"),
    FIELD("Aktenzeichen des Absenders", "nachrichtenkopf/absender/aktenzeichen"),
    { "", "Aktenzeichen des Absenders", FIELD_REFERENCE,
      "nachrichtenkopf/aktenzeichen.absender/**/aktenzeichen.strukturiert", NULL },
    FIELD("Aktenzeichen des Absenders", "nachrichtenkopf/aktenzeichen.absender/**"),
    { "", "Aktenzeichen des Empfängers", FIELD_REFERENCE,
      "nachrichtenkopf/aktenzeichen.empfaenger/**/aktenzeichen.strukturiert", NULL },
    FIELD("Aktenzeichen des Empfängers", "nachrichtenkopf/aktenzeichen.empfaenger/**"),
    FIELD("Aktenzeichen des Empfängers",
          "nachrichtenkopf/empfaenger/auswahl_aktenzeichen/aktenzeichen.freitext"),
    FIELD("Nachricht", "nachrichtenkopf/eigeneNachrichtenID"),
    FIELD("Nachricht", "nachrichtenkopf/absender/eigeneNachrichtenID"),
    FIELD("Antwort auf", "nachrichtenkopf/fremdeNachrichtenID"),
    FIELD("Antwort auf", "nachrichtenkopf/empfaenger/fremdeNachrichtenID"),
    { "", "Erstellt", FIELD_DATE, "nachrichtenkopf/erstellungszeitpunkt", NULL },
    FIELD("Absender", "nachrichtenkopf/auswahl_absender|absender/**"),
    FIELD("Empfänger", "nachrichtenkopf/auswahl_empfaenger|empfaenger/**"),
    FIELD("Ereignis", "nachrichtenkopf/ereignis/**"),
    FIELD("Dringlichkeit", "nachrichtenkopf/sendungsprioritaet/**"),
    END,
};

static const struct field instance[] = {
    { "", "Aktenzeichen", FIELD_REFERENCE, "aktenzeichen/**/aktenzeichen.strukturiert", NULL },
    FIELD("Aktenzeichen", "aktenzeichen/**/aktenzeichen.freitext"),
    FIELD("Kurzrubrum", "kurzrubrum"),
    FIELD("Gegenstand", "verfahrensgegenstand/gegenstand"),
    FIELD("Gericht", "auswahl_instanzbehoerde|instanzbehoerde/**"),
    FIELD("Sachgebiet", "sachgebiet/**"),
    END,
};

static const struct field party[] = {
    { "", "Name", FIELD_NAME, "**/vollerName", NULL },
    FIELD("Name", "**/bezeichnung.aktuell"),
    FIELD("Rolle", "rolle/rollenbezeichnung/**"),
    FIELD("Geschäftszeichen", "rolle/geschaeftszeichen"),
    FIELD("Straße", "**/anschrift/strasse"),
    FIELD("Hausnummer", "**/anschrift/hausnummer"),
    FIELD("Postfach", "**/anschrift/postfachnummer"),
    FIELD("Postleitzahl", "**/anschrift/postleitzahl"),
    FIELD("Ort", "**/anschrift/ort"),
    FIELD("Verbindung", "**/telekommunikation/verbindung"),
    { "", "IBAN", FIELD_ACCOUNT, "**/bankverbindung/iban", NULL },
    END,
};

static const struct field file[] = {
    FIELD("Name der Akte", OWN "/anzeigename"),
    { "", "Aktenzeichen", FIELD_REFERENCE, OWN "/aktenzeichen/**/aktenzeichen.strukturiert", NULL },
    FIELD("Aktenzeichen", OWN "/aktenzeichen/**/aktenzeichen.freitext"),
    FIELD("Art", OWN "/aktentyp|teilaktentyp/**"),
    END,
};

static const struct field document[] = {
    FIELD("Dokument", OWN "/anzeigename"),
    FIELD("Datei", OWN "/datei/dateiname"),
    FIELD("Art", OWN "/dokumentklasse/**"),
    FIELD("Typ", OWN "/dokumententyp|dokumenttyp/**"),
    { "", "Datum des Schreibens", FIELD_DATE, "datumDesSchreibens", NULL },
    { "", "Eingang", FIELD_DATE, "posteingang|posteingangsdatum/**", NULL },
    { "", "Veraktet", FIELD_DATE, OWN "/veraktungsdatum", NULL },
    FIELD("Absender", OWN "/absenderAnzeigename"),
    FIELD("Adressat", OWN "/adressatAnzeigename"),
    FIELD("Fremdes Geschäftszeichen", "fremdesGeschaeftszeichen"),
    FIELD("Nummer", "identifikation/nummerImUebergeordnetenContainer"),
    END,
};

static const struct field_group groups[] = {
    { "", NULL, ".", NULL, head, false },
    { "", "Verfahren", "grunddaten/verfahrensdaten/instanzdaten", NULL, instance, true },
    { "", "Beteiligte", "grunddaten/verfahrensdaten/beteiligung", NULL, party, true },
    { "", "Akten", "schriftgutobjekte/**/akte|teilakte", NULL, file, true },
    { "", "Dokumente", "schriftgutobjekte/**/dokument", NULL, document, true },
    { "", NULL, NULL, NULL, NULL, false },
};

/* The case is what one looks for; else what kind of message it is: "nachricht.gds.basisnachricht.0005006". */
static void title_put(struct form *f)
{
    struct buf s = { 0 };
    struct span subject = tree_value(&f->t, 0, "nachrichtenkopf/betreff");
    if (!subject.len)
        subject = tree_value(&f->t, 0, "grunddaten/verfahrensdaten/instanzdaten/kurzrubrum");
    buf_append_str(&s, "XJustiz: ");
    buf_append_span(&s, subject.len ? subject : span_of(tree_name(&f->t, 0)));
    form_title(f, &s);
}

void xjustiz_parse(struct builder *b, struct span in)
{
    struct form f = { .b = b };
    if (tree_read(&f.t, b, in)) {
        title_put(&f);
        form_groups(&f, groups);
        form_rest(&f);
    }
    tree_deinit(&f.t);
}
