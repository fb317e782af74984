#!/usr/bin/env python3
"""Word, Excel and PowerPoint files from before 2007, through LibreOffice inside its walls.

Method: LibreOffice, outside, makes old files of documents that are read without it; read back through the program they must have the same
words in the same order. Broken ones must cost a sentence, and whatever happens, nothing may be left in the folders for what is
temporary. Needs the packages libreoffice-writer-nogui, -calc-nogui and -impress-nogui."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

SHOW = os.path.abspath(sys.argv.pop(1))
DOCUMENTS = pathlib.Path(os.environ["KONTOR_SOURCE"]) / "tests" / "data" / "documents"
PAIRS = [("lease.libreoffice.odt", "doc"), ("minutes.libreoffice.docx", "doc"), ("invoices.libreoffice.ods", "xls"),
         ("report.libreoffice.odp", "ppt")]


def words(document):
    text = " ".join(b["text"] for b in document["blocks"])
    return re.findall(r"\w\w+", text)


def leftovers():
    return {p for f in ("/dev/shm", "/tmp") for p in pathlib.Path(f).glob("kontor-office-*")}


class Old(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        tmp = tempfile.TemporaryDirectory(prefix="kontor-e2e-")
        cls.addClassCleanup(tmp.cleanup)
        cls.dir = pathlib.Path(tmp.name)
        os.chmod(cls.dir, 0o755)
        cls.old = {}
        for name, kind in PAIRS:
            out = cls.dir / name
            out.mkdir()
            for _ in range(2):  # the first start only makes a profile
                subprocess.run(["soffice", f"-env:UserInstallation=file://{cls.dir}/profile", "--headless", "--convert-to", kind,
                                "--outdir", out, DOCUMENTS / name], check=True, capture_output=True, timeout=120)
            cls.old[name] = next(out.glob("*." + kind))

    def setUp(self):
        self.before = leftovers()

    def tearDown(self):
        self.assertEqual(leftovers() - self.before, set())

    def show(self, *files):
        p = subprocess.run([SHOW, str(self.dir), *map(str, files)], capture_output=True, timeout=600)
        self.assertEqual(p.returncode, 0, p.stderr)
        return [json.loads(line) for line in p.stdout.splitlines()]

    def test_the_same_words(self):
        for name, kind in PAIRS:
            new, old = self.show(DOCUMENTS / name, self.old[name])
            self.assertEqual(old.get("format"), kind, old.get("error"))
            self.assertGreater(len(words(old)), 20)
            if kind == "doc":  # where in the file a header or footnote stands differs
                self.assertEqual(sorted(words(old)), sorted(words(new)), name)
            else:
                # LibreOffice writes yes and no into .xls as numbers
                self.assertEqual(words(old), [w for w in words(new) if w not in ("TRUE", "FALSE")], name)

    def test_the_name_does_not_matter(self):
        path = self.dir / "brief.txt"
        shutil.copy(self.old["lease.libreoffice.odt"], path)
        self.assertEqual(self.show(path)[0].get("format"), "doc")

    def test_what_a_killed_run_left_goes(self):
        stale = pathlib.Path(tempfile.mkdtemp(prefix="kontor-office-", dir="/tmp"))
        (stale / "in.doc").write_text("Geheimnis")
        os.utime(stale, (0, 0))
        shm = pathlib.Path(tempfile.mkdtemp(prefix="kontor-office-", dir="/dev/shm"))
        os.utime(shm, (0, 0))
        fresh = pathlib.Path(tempfile.mkdtemp(prefix="kontor-office-", dir="/dev/shm"))
        self.show(self.old["lease.libreoffice.odt"])
        self.assertFalse(shm.exists())
        self.assertTrue(fresh.exists())
        fresh.rmdir()
        shutil.rmtree(stale, ignore_errors=True)  # swept only when /dev/shm has no room

    def test_broken_files_cost_a_sentence(self):
        whole = self.old["lease.libreoffice.odt"].read_bytes()
        for i, damaged in enumerate([whole[:2048] + bytes(len(whole) - 2048), whole[:512] + whole[1024:]]):
            path = self.dir / f"damaged{i}.doc"
            path.write_bytes(damaged)
            document = self.show(path)[0]
            self.assertTrue("error" in document or document["blocks"])
            if "error" in document:
                self.assertTrue(document["error"].startswith(str(path)))


if __name__ == "__main__":
    unittest.main()
