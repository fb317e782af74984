"""Writes handbook.md, some ten pages of prose in two languages; every paragraph has words of its own."""
roles = ["Empfang", "Buchhaltung", "Archiv", "Personalabteilung", "Geschäftsführung", "Poststelle", "Fuhrpark", "Kantine", "Werkstatt", "Einkauf", "Vertrieb", "Rechtsabteilung"]
print("---\ntitle: Betriebshandbuch der Möbelwerke Grünwald\n---\n")
for i, r in enumerate(roles, 1):
    print(f"# Kapitel {i}: {r}\n")
    for k in range(1, 5):
        n = i * 17 + k * 3
        print(f"Für den Bereich {r} gilt Vorschrift {n}: Die Frist beträgt {n % 28 + 2} Tage, gerechnet ab Eingang der Unterlagen im Raum {n}. Über Ausnahmen entscheidet die Leitung gemeinsam mit zwei Beschäftigten, deren Namen im Aushang stehen. Verspätete Anträge werden größtenteils zurückgewiesen, es sei denn, dass höhere Gewalt vorlag; die Gründe sind in Formular {n + 400} darzulegen.\n")
        print(f"In English, for colleagues from abroad: rule {n} requires that files of department {i} be kept for {n % 7 + 3} years in cabinet {k}, and that the key number {n * 11} never leave the building without a signature.\n")
