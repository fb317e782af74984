#!/usr/bin/env python3
"""The sample documents are what the questions about them assume.

Method: generate them twice, read them back with programs that are not ours (poppler for PDF, a ZIP and XML reader for
.docx), and look every answer up on the page it is said to be on. Guards the set that the support threshold of `ask` is
measured on: a question whose answer is not there would silently shift it."""
import html
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
import zipfile

SAMPLES = pathlib.Path(os.environ["KONTOR_SOURCE"]) / "tools" / "samples"
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"


def generate(out):
    subprocess.run([sys.executable, SAMPLES / "generate.py", out], check=True, stdout=subprocess.DEVNULL)


def squeeze(text):
    return " ".join(text.split())


def pages(path):
    """The text of a document, page by page; one page where the format has none."""
    if path.suffix == ".pdf":
        # Without -nodiag and friends: exactly what poppler makes of it.
        text = subprocess.run(["pdftotext", "-enc", "UTF-8", path, "-"], check=True, capture_output=True, text=True)
        if text.stderr:
            raise AssertionError(f"{path.name}: poppler complains: {text.stderr}")
        return [squeeze(p) for p in text.stdout.split("\f")[:-1]]
    if path.suffix == ".docx":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                xml.etree.ElementTree.fromstring(archive.read(name))  # every part is well-formed
            root = xml.etree.ElementTree.fromstring(archive.read("word/document.xml"))
        return [squeeze(" ".join("".join(t.text or "" for t in p.iter(W + "t")) for p in root.iter(W + "p")))]
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".html":
        text = html.unescape(re.sub(r"<[^>]*>", " ", text))
    return [squeeze(text)]


class Samples(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dir = pathlib.Path(tempfile.mkdtemp(prefix="kontor-samples-"))
        cls.addClassCleanup(shutil.rmtree, cls.dir, True)
        generate(cls.dir / "a")
        cls.paths = sorted(p for p in (cls.dir / "a").rglob("*") if p.is_file())
        cls.text = {str(p.relative_to(cls.dir / "a")): pages(p) for p in cls.paths}
        cls.questions = json.loads((SAMPLES / "questions.json").read_text(encoding="utf-8"))

    def test_enough_of_each_kind(self):
        count = {}
        for p in self.paths:
            count[p.suffix] = count.get(p.suffix, 0) + 1
        self.assertGreaterEqual(len(self.paths), 40)
        self.assertEqual(set(count), {".txt", ".md", ".html", ".docx", ".pdf"}, count)
        long = [name for name, p in self.text.items() if len(p) >= 20]
        self.assertGreaterEqual(len(long), 2, "manuals of 20 pages and more")

    def test_same_bytes_every_time(self):
        generate(self.dir / "b")
        for p in self.paths:
            again = self.dir / "b" / p.relative_to(self.dir / "a")
            self.assertEqual(p.read_bytes(), again.read_bytes(), f"{p.name} differs between two runs")

    def test_answers_are_where_they_are_said_to_be(self):
        self.assertGreaterEqual(len(self.questions["answerable"]), 40)
        for q in self.questions["answerable"]:
            with self.subTest(question=q["question"]):
                self.assertIn(q["path"], self.text)
                found = [i for i, page in enumerate(self.text[q["path"]], 1) if q["answer"] in page]
                expected = [q["page"] or 1]
                self.assertEqual(found, expected, f"pages of {q['path']} with {q['answer']!r}")

    def test_one_right_document(self):
        for q in self.questions["answerable"]:
            others = [n for n, p in self.text.items() if n != q["path"] and any(q["answer"] in page for page in p)]
            self.assertEqual(others, [], f"{q['answer']!r} also answers from other documents")

    def test_questions_differ(self):
        for kind in ("answerable", "unanswerable"):
            texts = [q["question"] for q in self.questions[kind]]
            self.assertEqual(len(texts), len(set(texts)))
            self.assertGreaterEqual(len(texts), 40)
            self.assertEqual({q["lang"] for q in self.questions[kind]}, {"de", "en"})

    def test_account_numbers_are_valid(self):
        """The privacy module finds accounts by their check digits; invented ones have to be right too."""
        found = 0
        for name, text in self.text.items():
            for iban in re.findall(r"\bDE\d\d(?: \d{4}){4} \d\d\b", " ".join(text)):
                found += 1
                digits = iban.replace(" ", "")
                self.assertEqual(int(digits[4:] + "1314" + digits[2:4]) % 97, 1, f"{iban} in {name}")
        self.assertGreater(found, 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
