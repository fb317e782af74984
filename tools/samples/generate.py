#!/usr/bin/env python3
"""Make the sample documents: a small law office and a medical practice, German and English.

    python3 tools/samples/generate.py OUTDIR

Every person, firm, file number and account in them is invented. The texts lie in texts/, one file a document, in the
markup that markup.py describes; the kind of file is decided by the path in the text's head. The same sources give the
same bytes. questions.json beside this file holds questions with their answers, and questions that nothing here answers.
"""
import os
import sys

sys.dont_write_bytecode = True

import docx  # noqa: E402
import pdf  # noqa: E402
import plain  # noqa: E402
from letterheads import LETTERHEADS  # noqa: E402
from markup import Text  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
RENDER = {
    ".pdf": lambda text: pdf.render(text, LETTERHEADS),
    ".docx": lambda text: docx.render(text, LETTERHEADS),
    ".txt": plain.text,
    ".md": plain.markdown,
    ".html": plain.html,
}


def texts():
    folder = os.path.join(HERE, "texts")
    for name in sorted(os.listdir(folder)):
        if name.endswith(".text"):
            with open(os.path.join(folder, name), encoding="utf-8") as source:
                yield Text(source.read(), name)


def main(argv):
    if len(argv) != 2:
        sys.exit("usage: generate.py OUTDIR")
    out, n = argv[1], 0
    for text in texts():
        path = os.path.join(out, text.path)
        content = RENDER[os.path.splitext(path)[1]](text)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        part = path + ".part"
        with open(part, "wb") as file:
            file.write(content)
        os.rename(part, path)  # a killed run leaves no half document
        n += 1
    print(f"{n} sample documents in {out}")


if __name__ == "__main__":
    main(sys.argv)
