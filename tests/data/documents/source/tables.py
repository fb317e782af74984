"""A workbook and a presentation for the tests, as other programs write them; see ../README.md."""
import datetime, openpyxl
from openpyxl.comments import Comment
wb=openpyxl.Workbook(); ws=wb.active; ws.title="Rechnungen 2026"
ws.append(["Nr.","Datum","Mandant","Betrag netto","USt","Bezahlt","Notiz"])
rows=[("R-2026-001",datetime.date(2026,1,15),"Müller & Söhne GmbH",1234.5,0.19,True,None),
("R-2026-002",datetime.date(2026,2,28),"Stiftung Nordlicht",99999.99,0.19,False,"Mahnung am 15.03. verschickt"),
("R-2026-003",datetime.date(2026,3,1),"Bäckerei Öztürk",80,0.07,True,None)]
for r in rows: ws.append(r)
for i in range(2,5):
    ws.cell(i,4).number_format='#,##0.00\\ "€"'; ws.cell(i,5).number_format='0%'; ws.cell(i,2).number_format='DD.MM.YYYY'
ws["D5"]="=SUM(D2:D4)"; ws["A5"]="Summe"; ws["C2"].comment=Comment("Zahlungsziel 30 Tage vereinbart","JB")
ws2=wb.create_sheet("Zeiten"); ws2.append(["Tag","von","bis","Dauer"]); ws2.append([datetime.datetime(2026,5,4,0,0),datetime.time(8,30),datetime.time(17,15),datetime.timedelta(hours=8,minutes=45)])
ws2["A9"]="weit unten"; ws2["Z9"]="weit rechts"
h=wb.create_sheet("Verborgen"); h.sheet_state="hidden"; h["B2"]="Aktenzeichen 12 O 345/25"
wb.save("invoices.openpyxl.xlsx")
from pptx import Presentation
from pptx.util import Inches
p=Presentation()
s=p.slides.add_slide(p.slide_layouts[0]); s.shapes.title.text="Jahresbericht 2025"; s.placeholders[1].text="Kanzlei Beispiel & Partner"
s=p.slides.add_slide(p.slide_layouts[1]); s.shapes.title.text="Ergebnisse"; tf=s.placeholders[1].text_frame; tf.text="Umsatz plus 12 %"; q=tf.add_paragraph(); q.text="davon Beratung 40 %"; q.level=1
s.notes_slide.notes_text_frame.text="Hier die Zahlen der Vorjahre nennen."
s=p.slides.add_slide(p.slide_layouts[5]); s.shapes.title.text="Termine"; t=s.shapes.add_table(2,2,Inches(1),Inches(2),Inches(4),Inches(1)).table
t.cell(0,0).text="Datum"; t.cell(0,1).text="Anlass"; t.cell(1,0).text="2026-03-01"; t.cell(1,1).text="Gesellschafterversammlung"
p.save("report.python-pptx.pptx")
