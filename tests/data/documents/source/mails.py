"""Mails for the tests, as Python's email package writes them; see ../README.md."""
import email.message
import email.policy
import pathlib

HERE = pathlib.Path(__file__).parent.parent


def note(subject, text, charset="iso-8859-15"):
    m = email.message.EmailMessage(policy=email.policy.SMTP)
    m["From"] = "Käthe Sommerfeld <sommerfeld@kanzlei.example>"
    m["To"] = "Jürgen Öztürk <oeztuerk@mandant.example>, info@mandant.example"
    m["Date"] = "Mon, 02 Mar 2026 14:05:11 +0100"
    m["Subject"] = subject
    m["Message-ID"] = "<1@kanzlei.example>"
    m.set_content(text, charset=charset, cte="quoted-printable")
    return m


inner = note("Rückfrage zum Entwurf", "Bitte die Frist in § 4 prüfen.\n", "utf-8")
mail = note("Kündigung Wartungsvertrag: Entwürfe & Anlagen",
            "Sehr geehrter Herr Öztürk,\n\nanbei der Entwurf. Die Kosten betragen 1.200 €.\n\nMit freundlichen Grüßen\nK. Sommerfeld\n")
mail.add_alternative("<html><body><p>Sehr geehrter Herr Öztürk, <img src='cid:logo'></p><p>nur in HTML</p></body></html>", subtype="html")
mail.get_payload()[1].add_related(b"\x89PNG\r\n\x1a\n0000", "image", "png", cid="<logo>")
for name, kind in (("letter.libreoffice.docx", "vnd.openxmlformats-officedocument.wordprocessingml.document"), ("invoices.openpyxl.xlsx", "octet-stream")):
    mail.add_attachment((HERE / name).read_bytes(), "application", kind, filename="Anlage 1/" + name if "letter" in name else "Übersicht.xlsx")
mail.add_attachment(inner)
(HERE / "mail.python.eml").write_bytes(mail.as_bytes())

html = email.message.EmailMessage(policy=email.policy.SMTP)
html["From"], html["Subject"] = "news@firma.example", "Nur HTML"
html.set_content("<h1>Angebot</h1><p>Preis: 5&nbsp;&euro;</p>", subtype="html", charset="us-ascii")
box = b""
for m in (inner, html):
    box += b"From sommerfeld@kanzlei.example Mon Mar  2 14:05:11 2026\n" + m.as_bytes().replace(b"\r\n", b"\n") + b"\n>From the beginning.\n\n"
(HERE / "mailbox.python.mbox").write_bytes(box)
