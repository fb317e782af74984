"""PDF files with a text layer: A4, standard fonts, headings, tables that break across pages, letters after DIN 5008.

Coordinates are in points from the top left while laying out and are turned around when written (PDF counts from the
bottom). The same input gives the same bytes: no clock, no random identifier.
"""
import zlib

from markup import numeric_columns
from metrics import WIDTHS

PAGE_W, PAGE_H = 595.28, 841.89
MM = 72 / 25.4
FONTS = {"Helvetica": "F1", "Helvetica-Bold": "F2", "Times-Roman": "F3", "Times-Bold": "F4"}


def encode(text):
    return text.encode("cp1252")


def text_width(text, font, size):
    widths = WIDTHS[font]
    return sum(widths[b - 32] for b in encode(text)) * size / 1000


def wrap(text, font, size, width):
    lines, current = [], ""
    for word in text.split(" "):
        longer = f"{current} {word}" if current else word
        if current and text_width(longer, font, size) > width:
            lines.append(current)
            current = word
        else:
            current = longer
    return lines + [current]


class Page:
    def __init__(self):
        self.ops = []

    def text(self, x, y, text, font, size, grey=0.0):
        escaped = encode(text).replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")
        colour = b"%.2f g " % grey
        self.ops.append(b"BT " + colour + b"/%s %.2f Tf 1 0 0 1 %.2f %.2f Tm (" % (
            FONTS[font].encode(), size, x, PAGE_H - y) + escaped + b") Tj ET")

    def line(self, x0, y0, x1, y1, width=0.5, grey=0.6):
        self.ops.append(b"%.2f G %.2f w %.2f %.2f m %.2f %.2f l S" % (grey, width, x0, PAGE_H - y0, x1, PAGE_H - y1))

    def fill(self, x, y, width, height, grey):
        self.ops.append(b"%.2f g %.2f %.2f %.2f %.2f re f" % (grey, x, PAGE_H - y - height, width, height))


class Layout:
    """A cursor that runs down the pages."""

    def __init__(self, text, letterhead):
        serif = text.get("font") == "times"
        self.text = text
        self.regular, self.bold = ("Times-Roman", "Times-Bold") if serif else ("Helvetica", "Helvetica-Bold")
        self.size = float(text.get("size", "11" if serif else "10"))
        self.leading = self.size * 1.42
        self.left, self.right = 25 * MM, PAGE_W - 20 * MM
        self.top, self.bottom = 27 * MM, PAGE_H - 25 * MM
        self.letterhead = letterhead
        self.pages, self.outline = [], []
        self.new_page()

    @property
    def width(self):
        return self.right - self.left

    def new_page(self):
        self.page = Page()
        self.pages.append(self.page)
        self.y = self.top

    def room(self, height):
        if self.y + height > self.bottom:
            self.new_page()

    def put(self, text, font=None, size=None, x=None, width=None, align="left", keep=0):
        """One paragraph. 'keep' lines stay together at its start."""
        font, size = font or self.regular, size or self.size
        x = self.left if x is None else x
        width = width or self.right - x
        leading = size * 1.42
        lines = wrap(text, font, size, width)
        self.room(leading * (min(len(lines), 2) + keep))
        for i, line in enumerate(lines):
            # The last line never stands alone on a page.
            self.room(leading * (2 if i == len(lines) - 2 and len(lines) > 3 else 1))
            at = x if align == "left" else x + width - text_width(line, font, size)
            self.page.text(at, self.y + size, line, font, size)
            self.y += leading

    def heading(self, level, text):
        letter = self.text.get("layout") in ("letter", "invoice")
        size = self.size * {1: 1.15 if letter else 1.6, 2: 1.1 if letter else 1.25, 3: 1.05}[level]
        if self.y > self.top:
            self.y += size * {1: 1.2, 2: 1.0, 3: 0.7}[level]
        self.room(size * 1.42 + self.leading * 3)
        self.outline.append((level, text, len(self.pages) - 1, self.y))
        self.put(text, self.bold, size)
        self.y += size * 0.35

    def item(self, text):
        self.room(self.leading)
        self.page.text(self.left + 6, self.y + self.size, "\u2022", self.regular, self.size)
        self.put(text, x=self.left + 18)
        self.y += self.leading * 0.15

    def table(self, rows):
        size = self.size * 0.9
        leading, pad = size * 1.3, 4
        flush_right = numeric_columns(rows)
        columns = column_widths(rows, self.width, self.regular, self.bold, size, pad)

        def cells(row, font):
            return [wrap(cell, font, size, columns[i] - 2 * pad) for i, cell in enumerate(row)]

        def draw(row, font, shade):
            wrapped = cells(row, font)
            height = max(len(c) for c in wrapped) * leading + 2 * pad
            if shade:
                self.page.fill(self.left, self.y, self.width, height, 0.91)
            x = self.left
            for i, lines in enumerate(wrapped):
                for j, line in enumerate(lines):
                    shift = columns[i] - 2 * pad - text_width(line, font, size) if flush_right[i] else 0
                    self.page.text(x + pad + shift, self.y + pad + size + j * leading, line, font, size)
                x += columns[i]
            self.y += height
            self.page.line(self.left, self.y, self.right, self.y)

        def height_of(row, font):
            return max(len(c) for c in cells(row, font)) * leading + 2 * pad

        self.room(height_of(rows[0], self.bold) + height_of(rows[min(1, len(rows) - 1)], self.regular))
        self.page.line(self.left, self.y, self.right, self.y)
        draw(rows[0], self.bold, True)
        for row in rows[1:]:
            if self.y + height_of(row, self.regular) > self.bottom:
                self.new_page()
                self.page.line(self.left, self.y, self.right, self.y)
                draw(rows[0], self.bold, True)
            # A sum at the foot of an invoice is set bold.
            total = row[0].split(" ")[0] in ("Gesamtbetrag", "Rechnungsbetrag", "Summe", "Total", "Zahlbetrag")
            draw(row, self.bold if total else self.regular, False)
        self.y += self.leading * 0.7

    def body(self):
        for block in self.text.blocks:
            kind = block[0]
            if kind in ("h1", "h2", "h3"):
                self.heading(int(kind[1]), block[1])
            elif kind == "p":
                self.put(block[1])
                self.y += self.leading * 0.5
            elif kind == "li":
                self.item(block[1])
            elif kind == "line":
                self.put(block[1] or " ")
            elif kind == "right":
                self.put(block[1], align="right")
            elif kind == "table":
                self.table(block[1])
            elif kind == "page" and self.y > self.top:
                self.new_page()

    # ---- first pages ------------------------------------------------------------------------

    def letter_front(self):
        """DIN 5008 form B: address field 45 mm from the top, information block beside it, subject below."""
        head, page = self.letterhead, self.page
        page.text(self.left, 20 * MM, head["name"], self.bold, 15)
        page.text(self.left, 26 * MM, head["claim"], self.regular, 9, 0.35)
        page.line(self.left, 31 * MM, self.right, 31 * MM, 0.8, 0.3)
        page.text(self.left, 49 * MM, head["sender"], self.regular, 7, 0.35)
        y = 57 * MM
        for line in self.text.lines("to"):
            page.text(self.left, y, line, self.regular, self.size)
            y += self.leading
        y = 50 * MM
        for label, value in self.information():
            page.text(125 * MM, y, label, self.regular, 8, 0.35)
            page.text(150 * MM, y, value, self.regular, 9)
            y += 13.5
        for mark in (105, 210):
            page.line(5 * MM, mark * MM, 9 * MM, mark * MM, 0.4)
        self.y = 103 * MM
        self.put(self.text.get("subject") or self.text.title, self.bold, self.size + 0.5)
        self.y += self.leading

    def information(self):
        german = self.text.lang == "de"
        head = self.letterhead
        rows = [("Unser Zeichen" if german else "Our reference", self.text.get("ref")),
                ("Ihr Zeichen" if german else "Your reference", self.text.get("yourref")),
                ("Bearbeitung" if german else "Contact", self.text.get("author")),
                ("Telefon" if german else "Telephone", head["phone"]), ("E-Mail" if german else "E-mail", head["mail"]),
                ("Datum" if german else "Date", self.text.get("date"))]
        return [row for row in rows if row[1]]

    def cover(self):
        self.y = 75 * MM
        self.put(self.text.get("org"), self.regular, 13)
        self.y += 10
        self.put(self.text.title, self.bold, 26)
        self.y += 6
        self.page.line(self.left, self.y, self.right, self.y, 1.2, 0.3)
        self.y += 16
        for line in self.text.lines("cover"):
            self.put(line, self.regular, 11)
        self.new_page()

    def title_block(self):
        if self.text.get("org"):
            self.put(self.text.get("org"), self.regular, 9)
        self.put(self.text.title, self.bold, self.size * 1.8)
        for line in self.text.lines("cover"):
            self.put(line)
        self.y += self.leading * 0.6

    def furniture(self):
        """Running head and foot, once the number of pages is known."""
        word, of = ("Seite", "von") if self.text.lang == "de" else ("Page", "of")
        for i, page in enumerate(self.pages, 1):
            number = f"{word} {i} {of} {len(self.pages)}"
            letter = self.text.get("layout") in ("letter", "invoice")
            if self.text.get("layout") == "cover" and i == 1:
                continue
            if i > 1 or not letter:
                page.text(self.left, 15 * MM, self.text.get("running") or self.text.title, self.regular, 8, 0.4)
                page.line(self.left, 17.5 * MM, self.right, 17.5 * MM)
            page.line(self.left, PAGE_H - 21 * MM, self.right, PAGE_H - 21 * MM)
            if letter:
                for j, column in enumerate(self.letterhead["foot"]):
                    for k, line in enumerate(column):
                        page.text(self.left + j * 56 * MM, PAGE_H - (17 - 3.3 * k) * MM, line, self.regular, 7, 0.35)
                page.text(self.right - text_width(number, self.regular, 7), PAGE_H - 22.5 * MM, number,
                          self.regular, 7, 0.35)
            else:
                page.text(self.right - text_width(number, self.regular, 8), PAGE_H - 16 * MM, number,
                          self.regular, 8, 0.4)
                page.text(self.left, PAGE_H - 16 * MM, self.text.get("foot"), self.regular, 8, 0.4)


def column_widths(rows, width, regular, bold, size, pad):
    """Narrow columns get what they need, wide ones share the rest by how much they hold."""
    n = max(len(row) for row in rows)
    natural, longest_word = [], []
    for i in range(n):
        cells = [(row[i], bold if r == 0 else regular) for r, row in enumerate(rows) if i < len(row)]
        natural.append(max(text_width(c, f, size) for c, f in cells) + 2 * pad + 1)
        longest_word.append(max(text_width(w, f, size) for c, f in cells for w in c.split(" ")) + 2 * pad + 1)
    if sum(natural) <= width:
        # What is left over goes to the columns of text; numbers stay close together at the right.
        takers = [i for i in range(n) if not numeric_columns(rows)[i]] or range(n)
        share = sum(natural[i] for i in takers)
        return [w + ((width - sum(natural)) * w / share if i in takers else 0) for i, w in enumerate(natural)]
    spare = width - sum(longest_word)
    wish = [natural[i] - longest_word[i] for i in range(n)]
    # The square root keeps one very long cell from starving the others.
    weight = [w ** 0.5 for w in wish]
    return [longest_word[i] + spare * weight[i] / sum(weight) for i in range(n)]


# ---- the file ---------------------------------------------------------------------------------

def pdf_string(text):
    """A text string outside the pages: UTF-16 with its mark, in hexadecimal."""
    return b"<FEFF" + text.encode("utf-16-be").hex().upper().encode() + b">"


def write(layout, date):
    objects = []  # object i + 1

    def add(content):
        objects.append(content)
        return len(objects)

    catalog, tree = add(b""), add(b"")
    fonts = b"".join(
        b"/%s %d 0 R " % (short.encode(), add(
            b"<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>" % name.encode()))
        for name, short in FONTS.items())
    kids = []
    for page in layout.pages:
        packed = zlib.compress(b"\n".join(page.ops), 9)
        stream = add(b"<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed) + packed + b"\nendstream")
        kids.append(add(b"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 %.2f %.2f] /Contents %d 0 R"
                        b" /Resources << /Font << %s>> >> >>" % (tree, PAGE_W, PAGE_H, stream, fonts)))
    objects[tree - 1] = b"<< /Type /Pages /Count %d /Kids [%s] >>" % (
        len(kids), b" ".join(b"%d 0 R" % k for k in kids))

    marks = [m for m in layout.outline if m[0] == 1]
    outline = b""
    if len(marks) > 2:
        root = add(b"")
        first = len(objects) + 1
        for i, (_, text, page, y) in enumerate(marks):
            links = b""
            if i:
                links += b" /Prev %d 0 R" % (first + i - 1)
            if i + 1 < len(marks):
                links += b" /Next %d 0 R" % (first + i + 1)
            add(b"<< /Title " + pdf_string(text) + b" /Parent %d 0 R%s /Dest [%d 0 R /XYZ 0 %.2f 0] >>" % (
                root, links, kids[page], PAGE_H - y))
        objects[root - 1] = b"<< /Type /Outlines /First %d 0 R /Last %d 0 R /Count %d >>" % (
            first, first + len(marks) - 1, len(marks))
        outline = b" /Outlines %d 0 R" % root
    objects[catalog - 1] = b"<< /Type /Catalog /Pages %d 0 R /Lang (%s)%s >>" % (
        tree, layout.text.lang.encode(), outline)
    info = add(b"<< /Title " + pdf_string(layout.text.title) + b" /Author " +
               pdf_string(layout.text.get("org") or layout.text.get("author") or "-") +
               b" /Creator (Kontor sample generator) /CreationDate (D:%s120000Z) >>" % date.encode())

    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for i, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n" % i + content + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % p for p in places)
    out += b"trailer\n<< /Size %d /Root %d 0 R /Info %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1, catalog, info, start)
    return bytes(out)


def render(text, letterheads):
    layout = Layout(text, letterheads.get(text.get("letterhead")))
    kind = text.get("layout", "report")
    if kind in ("letter", "invoice"):
        layout.letter_front()
    elif kind == "cover":
        layout.cover()
    else:
        layout.title_block()
    layout.body()
    layout.furniture()
    return write(layout, text.get("created", "20260105"))
