"""The small markup the sample texts are written in, and the blocks it becomes.

A text starts with "key: value" lines up to a line "---". Then:

    # ## ###     headings            - item     list item            | a | b |   table row; the first row is its head
    > text       right-aligned       ~ text     a line that stays a line (addresses, signatures)
    +++          a new page          anything else: paragraphs, separated by empty lines

Every block is a tuple whose first word is its kind: ("h1", text), ("p", text), ("li", text), ("table", rows),
("right", text), ("line", text), ("page",).
"""


class Text:
    def __init__(self, source, name):
        head, separator, body = source.partition("\n---\n")
        if not separator:
            raise ValueError(f"{name}: no line '---' between the head and the text")
        self.name = name
        self.head = dict(split_head(line, name) for line in head.splitlines() if line.strip())
        self.blocks = list(parse(body))
        self.path = self.head["path"]
        self.title = self.head["title"]
        self.lang = self.head.get("lang", "de")

    def get(self, key, default=""):
        return self.head.get(key, default)

    def lines(self, key):
        """A head value of several lines is written with " / " between them."""
        return [part.strip() for part in self.get(key).split(" / ")] if self.get(key) else []


def split_head(line, name):
    key, separator, value = line.partition(":")
    if not separator:
        raise ValueError(f"{name}: head line without a colon: {line}")
    return key.strip(), value.strip()


HEADINGS = (("### ", "h3"), ("## ", "h2"), ("# ", "h1"))


def parse(body):
    paragraph, rows = [], []

    def flush():
        if paragraph:
            yield "p", " ".join(paragraph)
            paragraph.clear()
        if rows:
            yield "table", [list(r) for r in rows]
            rows.clear()

    for line in body.splitlines():
        line = line.rstrip()
        if line.startswith("|"):
            if paragraph:
                yield from flush()
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if rows or not line:
            yield from flush()
        if not line:
            continue
        special = next(((kind, line[len(mark):]) for mark, kind in HEADINGS if line.startswith(mark)), None)
        if special is None:
            special = {"- ": ("li", line[2:]), "~ ": ("line", line[2:]), "> ": ("right", line[2:])}.get(line[:2])
        if line == "~":
            special = ("line", "")
        if line == "+++":
            special = ("page",)
        if special:
            yield from flush()
            yield special
        else:
            paragraph.append(line)
    yield from flush()


def numeric_columns(rows):
    """Columns whose cells below the head all look like numbers or amounts; they are set flush right."""
    def numeric(cell):
        kept = cell.replace("EUR", "").replace("GBP", "").replace("%", "").strip()
        return not kept or (any(c.isdigit() for c in kept) and all(c in "0123456789.,- +" for c in kept))
    width = max(len(row) for row in rows)
    return [len(rows) > 1 and all(numeric(row[i]) if i < len(row) else True for row in rows[1:])
            and any(i < len(row) and row[i] for row in rows[1:]) for i in range(width)]
