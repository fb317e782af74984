"""Word documents: the few parts of the format that a letter, a contract or minutes need.

One ZIP with fixed dates: content types, relations, core properties, styles, numbering for lists, a header, a footer
with a page field, and the document itself.
"""
import io
import zipfile
from xml.sax.saxutils import escape

from markup import numeric_columns

W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
R = 'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"'
DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
PART = "application/vnd.openxmlformats-officedocument.wordprocessingml"

CONTENT_TYPES = DECLARATION + f'''<Types xmlns="{PACKAGE}/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/>
<Override PartName="/word/document.xml" ContentType="{PART}.document.main+xml"/>
<Override PartName="/word/styles.xml" ContentType="{PART}.styles+xml"/>
<Override PartName="/word/numbering.xml" ContentType="{PART}.numbering+xml"/>
<Override PartName="/word/header1.xml" ContentType="{PART}.header+xml"/>
<Override PartName="/word/footer1.xml" ContentType="{PART}.footer+xml"/>
<Override PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/>
</Types>'''

ROOT_RELS = DECLARATION + f'''<Relationships xmlns="{PACKAGE}/relationships">
<Relationship Id="rId1" Type="{OFFICE}/officeDocument" Target="word/document.xml"/>
<Relationship Id="rId2" Type="{PACKAGE}/relationships/metadata/core-properties" Target="docProps/core.xml"/>
</Relationships>'''

DOCUMENT_RELS = DECLARATION + f'''<Relationships xmlns="{PACKAGE}/relationships">
<Relationship Id="rId1" Type="{OFFICE}/styles" Target="styles.xml"/>
<Relationship Id="rId2" Type="{OFFICE}/numbering" Target="numbering.xml"/>
<Relationship Id="rId3" Type="{OFFICE}/header" Target="header1.xml"/>
<Relationship Id="rId4" Type="{OFFICE}/footer" Target="footer1.xml"/>
</Relationships>'''

NUMBERING = DECLARATION + f'''<w:numbering {W}>
<w:abstractNum w:abstractNumId="0"><w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="bullet"/>
<w:lvlText w:val="\u2022"/><w:lvlJc w:val="left"/><w:pPr><w:ind w:left="425" w:hanging="283"/></w:pPr></w:lvl></w:abstractNum>
<w:num w:numId="1"><w:abstractNumId w:val="0"/></w:num></w:numbering>'''


def style(name, shown, size, bold=False, before=0, after=120, outline=None, based="Normal", keep=False):
    level = f'<w:outlineLvl w:val="{outline}"/>' if outline is not None else ""
    parent = f'<w:basedOn w:val="{based}"/>' if based else ""
    default = ' w:default="1"' if not based else ""
    next_keep = "<w:keepNext/>" if keep else ""
    return (f'<w:style w:type="paragraph" w:styleId="{name}"{default}><w:name w:val="{shown}"/>{parent}<w:qFormat/>'
            f'<w:pPr>{next_keep}<w:spacing w:before="{before}" w:after="{after}" w:line="276" w:lineRule="auto"/>{level}</w:pPr>'
            f'<w:rPr>{"<w:b/>" if bold else ""}<w:sz w:val="{size * 2}"/></w:rPr></w:style>')


def styles(lang):
    spelled = "de-DE" if lang == "de" else "en-GB"
    return (DECLARATION + f'<w:styles {W}><w:docDefaults><w:rPrDefault><w:rPr><w:rFonts w:ascii="Liberation Sans" '
            f'w:hAnsi="Liberation Sans" w:cs="Liberation Sans"/><w:lang w:val="{spelled}"/></w:rPr></w:rPrDefault></w:docDefaults>'
            + style("Normal", "Normal", 11, based=None)
            + style("Title", "Title", 20, True, 0, 160)
            + style("Heading1", "heading 1", 14, True, 280, 100, 0, keep=True)
            + style("Heading2", "heading 2", 12, True, 220, 80, 1, keep=True)
            + style("Heading3", "heading 3", 11, True, 160, 60, 2, keep=True)
            + style("ListParagraph", "List Paragraph", 11, after=60)
            + style("Line", "Line", 11, after=0)
            + style("Header", "header", 8) + style("Footer", "footer", 8)
            + "</w:styles>")


def run(text, bold=False):
    return f'<w:r>{"<w:rPr><w:b/></w:rPr>" if bold else ""}<w:t xml:space="preserve">{escape(text)}</w:t></w:r>'


def paragraph(text, name="Normal", extra="", bold=False):
    # A long paragraph is cut into runs as editing leaves them: text must be joined across runs to be found.
    cut = text.find(" ", len(text) // 2)
    runs = run(text, bold) if len(text) < 60 or cut < 0 else run(text[:cut], bold) + run(text[cut:], bold)
    return f'<w:p><w:pPr><w:pStyle w:val="{name}"/>{extra}</w:pPr>{runs}</w:p>'


def table(rows):
    right = numeric_columns(rows)
    width = 9400 // len(right)
    out = ['<w:tbl><w:tblPr><w:tblW w:w="0" w:type="auto"/><w:tblBorders>']
    for side in ("top", "left", "bottom", "right", "insideH", "insideV"):
        out.append(f'<w:{side} w:val="single" w:sz="4" w:space="0" w:color="999999"/>')
    out.append("</w:tblBorders></w:tblPr><w:tblGrid>" + f'<w:gridCol w:w="{width}"/>' * len(right) + "</w:tblGrid>")
    for i, row in enumerate(rows):
        head = "<w:trPr><w:tblHeader/></w:trPr>" if i == 0 else ""
        out.append(f"<w:tr>{head}")
        for j, cell in enumerate(row):
            side = '<w:jc w:val="right"/>' if right[j] else ""
            out.append(f'<w:tc><w:tcPr><w:tcW w:w="{width}" w:type="dxa"/></w:tcPr>'
                       f'{paragraph(cell, "Line", side, bold=i == 0)}</w:tc>')
        out.append("</w:tr>")
    out.append("</w:tbl>" + paragraph("", "Line"))
    return "".join(out)


def body(text):
    out = []
    if text.get("layout") in ("letter", "invoice"):
        out += [paragraph(line, "Line") for line in text.lines("to")]
        out.append(paragraph("", "Line"))
        for label, key in (("Unser Zeichen" if text.lang == "de" else "Our reference", "ref"),
                           ("Datum" if text.lang == "de" else "Date", "date")):
            if text.get(key):
                out.append(paragraph(f"{label}: {text.get(key)}", "Line", '<w:jc w:val="right"/>'))
        out.append(paragraph(text.get("subject") or text.title, "Normal", bold=True))
    else:
        out.append(paragraph(text.title, "Title"))
        out += [paragraph(line, "Line") for line in text.lines("cover")]
    for block in text.blocks:
        kind = block[0]
        if kind in ("h1", "h2", "h3"):
            out.append(paragraph(block[1], f"Heading{kind[1]}"))
        elif kind == "li":
            out.append(paragraph(block[1], "ListParagraph", '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>'))
        elif kind == "line":
            out.append(paragraph(block[1], "Line"))
        elif kind == "right":
            out.append(paragraph(block[1], "Line", '<w:jc w:val="right"/>'))
        elif kind == "table":
            out.append(table(block[1]))
        elif kind == "page":
            out.append('<w:p><w:r><w:br w:type="page"/></w:r></w:p>')
        else:
            out.append(paragraph(block[1]))
    return "".join(out)


def render(text, letterheads):
    head = letterheads.get(text.get("letterhead"))
    running = head["sender"] if head else text.get("running") or text.title
    word = "Seite" if text.lang == "de" else "Page"
    field = ('<w:r><w:fldChar w:fldCharType="begin"/></w:r><w:r><w:instrText xml:space="preserve"> PAGE </w:instrText></w:r>'
             '<w:r><w:fldChar w:fldCharType="separate"/></w:r><w:r><w:t>1</w:t></w:r><w:r><w:fldChar w:fldCharType="end"/></w:r>')
    created = text.get("created", "20260105")
    stamp = f"{created[:4]}-{created[4:6]}-{created[6:]}T12:00:00Z"
    parts = {
        "[Content_Types].xml": CONTENT_TYPES,
        "_rels/.rels": ROOT_RELS,
        "docProps/core.xml": DECLARATION +
        f'<cp:coreProperties xmlns:cp="{PACKAGE}/metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:dcterms="http://purl.org/dc/terms/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
        f'<dc:title>{escape(text.title)}</dc:title><dc:creator>{escape(text.get("author") or "-")}</dc:creator>'
        f'<dc:language>{text.lang}</dc:language><dcterms:created xsi:type="dcterms:W3CDTF">{stamp}</dcterms:created></cp:coreProperties>',
        "word/_rels/document.xml.rels": DOCUMENT_RELS,
        "word/styles.xml": styles(text.lang),
        "word/numbering.xml": NUMBERING,
        "word/header1.xml": DECLARATION + f'<w:hdr {W}>{paragraph(running, "Header")}</w:hdr>',
        "word/footer1.xml": DECLARATION +
        f'<w:ftr {W}><w:p><w:pPr><w:pStyle w:val="Footer"/><w:jc w:val="right"/></w:pPr>{run(word + " ")}{field}</w:p></w:ftr>',
        "word/document.xml": DECLARATION + f'<w:document {W} {R}><w:body>{body(text)}<w:sectPr>'
        '<w:headerReference w:type="default" r:id="rId3"/><w:footerReference w:type="default" r:id="rId4"/>'
        '<w:pgSz w:w="11906" w:h="16838"/><w:pgMar w:top="1417" w:right="1134" w:bottom="1134" w:left="1417" '
        'w:header="708" w:footer="708" w:gutter="0"/></w:sectPr></w:body></w:document>',
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            entry = zipfile.ZipInfo(name, (2026, 1, 5, 12, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content.encode("utf-8"))
    return packed.getvalue()
