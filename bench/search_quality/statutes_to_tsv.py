#!/usr/bin/env python3
"""statutes_to_tsv.py BGB.md OUT: a statute in the Markdown of bundestag/gesetze -> OUT.p.tsv and OUT.q.tsv for search_quality.

A passage is a section's text without its heading, a question its heading without the number: how often does the heading find its
section? Sections that were repealed have no text and are left out."""
import re
import sys

sections, heading, text = [], None, []


def close():
    if heading and "weggefallen" not in heading and " ".join(text).strip():
        sections.append((heading, " ".join(" ".join(text).split())))


for line in open(sys.argv[1], encoding="utf-8"):
    m = re.match(r"#+ (.*)", line)
    if m:
        close()
        section = re.match(r"§+ \d+\w*(?: bis \d+\w*)? (.+)", m.group(1))
        heading, text = section.group(1) if section else None, []
    elif heading:
        text.append(line)
close()
with open(sys.argv[2] + ".p.tsv", "w", encoding="utf-8") as f:
    f.writelines(t + "\n" for _, t in sections)
with open(sys.argv[2] + ".q.tsv", "w", encoding="utf-8") as f:
    f.writelines(f"{i}\t{h}\n" for i, (h, _) in enumerate(sections))
