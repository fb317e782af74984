"""Text, Markdown and HTML."""
import textwrap
from html import escape

from markup import numeric_columns


def table_text(rows):
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    right = numeric_columns(rows)
    lines = ["  ".join(c.rjust(widths[i]) if right[i] else c.ljust(widths[i]) for i, c in enumerate(row)).rstrip()
             for row in rows]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths)] + lines[1:])


def text(doc):
    """An e-mail keeps its header lines; anything else starts with its title, underlined."""
    out = []
    if doc.get("layout") == "mail":
        words = ("Von", "An", "Cc", "Datum", "Betreff") if doc.lang == "de" else ("From", "To", "Cc", "Date", "Subject")
        for word, key in zip(words, ("from", "to", "cc", "date", "title")):
            if doc.get(key):
                out.append(f"{word}: {doc.get(key)}")
        out.append("")
    else:
        out += [doc.title, "=" * len(doc.title), ""]
        out += doc.lines("cover") + ([""] if doc.lines("cover") else [])
    previous = ""
    for block in doc.blocks:
        kind = block[0]
        if kind not in ("line", "li") and previous in ("line", "li"):
            out.append("")
        if kind == "table":
            out += [table_text(block[1]), ""]
        elif kind == "li":
            out.append(textwrap.fill(block[1], 76, initial_indent="- ", subsequent_indent="  "))
        elif kind == "line":
            out.append(block[1])
        elif kind in ("h1", "h2", "h3"):
            out += ["", block[1], ("=" if kind == "h1" else "-") * len(block[1]), ""]
        elif kind == "right":
            out.append(block[1].rjust(76))
        elif kind == "p":
            out += [textwrap.fill(block[1], 76), ""]
        previous = kind
    return ("\n".join(out).rstrip() + "\n").encode("utf-8")


def markdown(doc):
    out = [f"# {doc.title}", ""]
    if doc.lines("cover"):
        out += ["  \n".join(doc.lines("cover")), ""]
    previous = ""
    for block in doc.blocks:
        kind = block[0]
        if kind not in ("line", "li") and previous in ("line", "li"):
            out.append("")
        if kind == "table":
            head, *rows = block[1]
            rule = ["--:" if right else "---" for right in numeric_columns(block[1])]
            out += ["| " + " | ".join(row) + " |" for row in (head, rule, *rows)] + [""]
        elif kind == "li":
            out.append("- " + block[1])
        elif kind == "line":
            out.append(block[1] + "  ")
        elif kind in ("h1", "h2", "h3"):
            out += ["#" * (int(kind[1]) + 1) + " " + block[1], ""]
        elif kind in ("p", "right"):
            out += [block[1], ""]
        previous = kind
    return ("\n".join(out).rstrip() + "\n").encode("utf-8")


CSS = ("body{font:16px/1.5 sans-serif;max-width:46em;margin:2em auto;color:#222}table{border-collapse:collapse}"
       "td,th{border:1px solid #bbb;padding:.3em .6em;text-align:left}.n{text-align:right}footer{color:#666;font-size:.8em}")


def html(doc):
    out = ["<!DOCTYPE html>", f'<html lang="{doc.lang}">', "<head>", '<meta charset="utf-8">',
           f"<title>{escape(doc.title)}</title>", f"<style>{CSS}</style>", "</head>", "<body>",
           f"<header><p>{escape(doc.get('org'))}</p></header>", "<main>", f"<h1>{escape(doc.title)}</h1>"]
    out += [f"<p>{'<br>'.join(map(escape, doc.lines('cover')))}</p>"] if doc.lines("cover") else []
    previous = ""
    for block in doc.blocks:
        kind = block[0]
        if previous == "li" and kind != "li":
            out.append("</ul>")
        if kind == "li":
            out += ["<ul>"] if previous != "li" else []
            out.append(f"<li>{escape(block[1])}</li>")
        elif kind == "table":
            right = numeric_columns(block[1])
            out.append("<table>")
            for i, row in enumerate(block[1]):
                tag = "td" if i else "th"
                out.append("<tr>" + "".join(
                    f'<{tag}{" class=n" if right[j] else ""}>{escape(c)}</{tag}>' for j, c in enumerate(row)) + "</tr>")
            out.append("</table>")
        elif kind in ("h1", "h2", "h3"):
            level = int(kind[1]) + 1
            out.append(f"<h{level}>{escape(block[1])}</h{level}>")
        elif kind in ("p", "line", "right"):
            out.append(f"<p>{escape(block[1])}</p>")
        previous = kind
    out += ["</ul>"] if previous == "li" else []
    out += ["</main>", f"<footer><p>{escape(doc.get('foot'))}</p></footer>", "</body>", "</html>", ""]
    return "\n".join(out).encode("utf-8")
