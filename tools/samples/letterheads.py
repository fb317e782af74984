"""The two offices as they appear on their paper. All of it is invented; the telephone numbers are from the block that is
kept free for such uses, the mail domains cannot exist, the accounts' check digits are right and their banks are not."""

LETTERHEADS = {
    "kanzlei": {
        "name": "Brandt Olowski Aydin",
        "claim": "Rechtsanwälte Partnerschaftsgesellschaft mbB",
        "sender": "Brandt Olowski Aydin \u00b7 Lindenkai 14 \u00b7 20999 Hamburg",
        "phone": "040 66969-120",
        "mail": "post@kanzlei-boa.example",
        "foot": [
            ["Lindenkai 14, 20999 Hamburg", "Tel. 040 66969-120, Fax -129", "post@kanzlei-boa.example"],
            ["Partnerschaftsregister Hamburg PR 99412", "USt-IdNr. DE999412077"],
            ["Hanseatische Musterbank", "IBAN DE54 2999 0099 0004 4711 20"],
        ],
    },
    "praxis": {
        "name": "Hausarztpraxis am Ulmenweg",
        "claim": "Dr. med. Katrin Weiß und Dr. med. Samuel Adeyemi, Fachärzte für Allgemeinmedizin",
        "sender": "Hausarztpraxis am Ulmenweg \u00b7 Ulmenweg 8 \u00b7 22998 Hamburg",
        "phone": "040 66969-440",
        "mail": "praxis@ulmenweg.example",
        "foot": [
            ["Ulmenweg 8, 22998 Hamburg", "Tel. 040 66969-440", "praxis@ulmenweg.example"],
            ["Sprechzeiten: Mo-Fr 8-12 Uhr", "Mo, Di, Do 15-18 Uhr"],
            ["Genossenschaftsbank Nordmuster", "IBAN DE72 2999 0177 0000 8203 56"],
        ],
    },
    "netzhafen": {
        "name": "Netzhafen IT-Service GmbH",
        "claim": "Systeme für kleine Büros",
        "sender": "Netzhafen IT-Service GmbH \u00b7 Kranweg 3 \u00b7 20997 Hamburg",
        "phone": "040 66969-700",
        "mail": "buero@netzhafen.example",
        "foot": [
            ["Kranweg 3, 20997 Hamburg", "Tel. 040 66969-700"],
            ["Amtsgericht Hamburg HRB 999731", "Geschäftsführer: Ove Petersen"],
            ["Hanseatische Musterbank", "IBAN DE23 2999 0099 0005 5120 03"],
        ],
    },
    "medilog": {
        "name": "Medilog Praxisbedarf KG",
        "claim": "Labor, Verband, Hygiene",
        "sender": "Medilog Praxisbedarf KG \u00b7 Am Speicherhof 20 \u00b7 21998 Hamburg",
        "phone": "040 66969-810",
        "mail": "rechnung@medilog.example",
        "foot": [
            ["Am Speicherhof 20, 21998 Hamburg", "Tel. 040 66969-810"],
            ["Amtsgericht Hamburg HRA 999208", "USt-IdNr. DE999208514"],
            ["Genossenschaftsbank Nordmuster", "IBAN DE29 2999 0177 0009 0344 11"],
        ],
    },
}
