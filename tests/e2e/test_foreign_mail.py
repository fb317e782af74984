#!/usr/bin/env python3
"""Mail, calendars, addresses and archives that other programs wrote, read by us and by other readers: what both find is the
same. Outlook's messages by msgreader (Node.js), winmail.dat by tnefparse, calendars by icalendar and vobject, addresses by
vobject; archives are written here by Python and libarchive. Messages inside messages, which we write out as files, are read
by msgreader again.

test_foreign_mail.py EXTRACT_PRINT [TEST...]
"""
import base64
import bz2
import ctypes
import ctypes.util
import glob
import gzip
import io
import json
import logging
import lzma
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import unittest

DATA = os.environ["KONTOR_TESTDATA"]
DEPS = os.path.dirname(DATA)
SOURCE = os.environ["KONTOR_SOURCE"]
sys.path.insert(0, os.path.join(DEPS, "readers"))
logging.disable(logging.CRITICAL)


def extract(paths, folder="-"):
    out = subprocess.run([PRINT, folder, *paths], check=True, capture_output=True, timeout=300).stdout
    return [json.loads(line) for line in out.decode().splitlines()]


def words(text):
    """What a text says, whatever stands between its words; characters nobody sees are none."""
    return re.findall(r"\w+", text.replace("\u00ad", "").replace("\u200b", "").replace("\ufeff", ""))


def files(pattern):
    found = sorted(glob.glob(os.path.join(DATA, "foreign", pattern)))
    assert found, f"nothing in {DATA}/foreign/{pattern}; tools/fetch.sh check brings it"
    return found


class Outlook(unittest.TestCase):
    def node(self, paths):
        env = dict(os.environ, NODE_PATH=os.path.join(DEPS, "node", "node_modules"))
        script = os.path.join(SOURCE, "tests", "e2e", "msg_reader.js")
        out = subprocess.run(["node", script, *paths], check=True, capture_output=True, env=env, timeout=120)
        return [json.loads(line) for line in out.stdout.decode().splitlines()]

    def compare(self, ours, other, folder, inside):
        self.assertIsNone(other["error"])
        self.assertEqual(ours["status"], "ok", ours["message"])
        head = dict(line.split(": ", 1) for line in ours["text"].split("\n\n")[0].split("\n"))
        self.assertEqual(words(head.get("Subject", "")), words(other["subject"]))
        self.assertIn(other["sender"], head.get("From", ""))
        for field, people in (("To", other["to"]), ("Cc", other["cc"])):
            listed = head[field].split(", ") if field in head else []
            self.assertEqual(len(listed), len(people))
            for one, address in zip(listed, people):
                self.assertIn(address, one)
        if other["date"]:
            self.assertEqual(head["Date"].replace("+0000", "GMT"), other["date"])
        body = ours["text"].split("\n\n", 1)[1]
        shown = [b for b in body.split("\n\n") if not b.startswith("Attachment: ")]
        self.assertEqual(words(" ".join(shown)), words(other["body"]))
        self.assertEqual(len(inside), len([a for a in other["attachments"] if a["message"] or a["bytes"]]))
        for part, a in zip(inside, other["attachments"]):
            if a["message"]:
                self.assertTrue(part["path"].endswith(".msg"))
                self.assertIn(a["name"], part["path"])
            else:
                self.assertTrue(part["path"].endswith("/" + a["name"]), part["path"])
                with open(os.path.join(folder, str(part["number"])), "rb") as f:
                    self.assertEqual(f.read(), base64.b64decode(a["bytes"]))

    def test_messages(self):
        """Head, body and attachments; the messages inside them again, as we write them out."""
        with tempfile.TemporaryDirectory() as folder:
            docs = extract(files("msg/*.msg"), folder)
            messages = [d for d in docs if d["format"] == "msg"]
            paths = [os.path.join(folder, str(d["number"])) if d["number"] else d["path"] for d in messages]
            others = self.node(paths)
            self.assertEqual(len(messages), 5)  # two of them inside others
            for ours, other in zip(messages, others):
                depth = ours["path"].count("/") + 1
                inside = [d for d in docs if d["path"].startswith(ours["path"] + "/") and d["path"].count("/") == depth]
                with self.subTest(ours["path"]):
                    self.compare(ours, other, folder, inside)


class Winmail(unittest.TestCase):
    def test_files(self):
        """Subject, text and attachments of nineteen files, byte for byte."""
        import tnefparse
        n_texts = n_files = 0
        with tempfile.TemporaryDirectory() as folder:
            docs = extract(files("tnef/*.tnef"), folder)
            for path in files("tnef/*.tnef"):
                with open(path, "rb") as f:
                    other = tnefparse.TNEF(f.read(), do_checksum=False)
                ours = next(d for d in docs if d["path"] == path)
                inside = [d for d in docs if d["path"].startswith(path + "/")]
                with self.subTest(path):
                    if ours["status"] != "ok":
                        self.assertIn("no text in it", ours["message"])
                        self.assertFalse(other.body or other.attachments)
                        continue
                    body = other.body
                    if isinstance(body, bytes):
                        body = body.decode(other.codepage or "cp1252", "replace")
                    if body and words(body):
                        shown = [b for b in ours["text"].split("\n\n") if not b.startswith("Attachment: ")]
                        # one of them has its text twice, and this time not to its end
                        self.assertIn(" ".join(words(body)), " ".join(words(" ".join(shown))))
                        n_texts += 1
                    kept = [a for a in other.attachments if a.data and not is_inside_html(a)]
                    if "MAPI_OBJECT" in path:  # an OLE object, which is what it is for both
                        continue
                    self.assertEqual(len(inside), len(kept))
                    for part, a in zip(inside, kept):
                        with open(os.path.join(folder, str(part["number"])), "rb") as f:
                            self.assertEqual(f.read().rstrip(b"\0"), bytes(a.data).rstrip(b"\0"))  # it drops zeros
                        n_files += 1
        self.assertGreater(n_texts, 2)
        self.assertGreater(n_files, 20)


def is_inside_html(attachment):
    """A picture that only stands in the text; told by what tnefparse says of it."""
    values = {p.name: p.data for p in attachment.mapi_attrs}
    return 0x3712 in values and 0x370E in values and "image" in str(values[0x370E]) and (
        values.get(0x7FFE) or (values.get(0x3714) or 0) & 4)


class Calendars(unittest.TestCase):
    def icalendars(self):
        folder = os.path.join(DEPS, "readers", "icalendar", "tests", "calendars")
        found = sorted(glob.glob(os.path.join(folder, "*.ics")))
        self.assertGreater(len(found), 100)
        return found

    def test_entries(self):
        """As many entries as the other reader has, each with its summary, place and description."""
        import icalendar
        n_files = n_entries = 0
        docs = {d["path"]: d for d in extract(self.icalendars()) if d["number"] == 0}
        for path in self.icalendars():
            with open(path, "rb") as f:
                data = f.read()
            try:
                calendars = icalendar.Calendar.from_ical(data, multiple=True)
            except Exception:  # broken on purpose
                continue
            if not calendars:  # cut off: we show what there is
                continue
            kinds = ("VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY")
            entries = [c for cal in calendars for c in cal.walk() if c.name in kinds]
            ours = docs[path]
            blocks = ours["text"].split("\n\n")
            blocks = [b for b in blocks if re.match("(Event|Task|Note|Free and busy times)(:|\n|$)", b)]
            with self.subTest(path):
                self.assertEqual(len(blocks), len(entries))
                for block, entry in zip(blocks, entries):
                    found = " ".join(words(block))
                    for name in ("SUMMARY", "LOCATION", "DESCRIPTION"):
                        values = entry.get(name, [])
                        for value in values if isinstance(values, list) else [values]:
                            self.assertIn(" ".join(words(str(value))), found)
                n_files += 1
                n_entries += len(entries)
        self.assertGreater(n_files, 80)
        self.assertGreater(n_entries, 100)

    def test_vobject(self):
        """The calendars and addresses that vobject comes with."""
        import vobject
        n = {"VEVENT": 0, "VCARD": 0}
        for ours in extract(files("vobject/*.ics")):
            with open(ours["path"], "rb") as f:
                text = f.read().decode("utf-8", "replace")
            try:
                things = list(vobject.readComponents(text, allowQP=True, ignoreUnreadable=True))
            except Exception:  # broken on purpose
                continue
            found = " ".join(words(ours["text"]))
            for thing in things:
                cards = [thing] if thing.name == "VCARD" else thing.contents.get("vevent", [])
                if os.path.basename(ours["path"]) == "vcard_with_groups.ics":
                    continue  # addresses under the name of a calendar, behind a group's name
                for card in cards:
                    n[card.name] += 1
                    for name in ("summary", "location", "fn", "tel", "email"):
                        for line in card.contents.get(name, []):
                            with self.subTest(ours["path"], field=name):
                                self.assertIn(" ".join(words(str(line.value))), found)
        self.assertGreater(n["VEVENT"], 15)
        self.assertGreater(n["VCARD"], 10)


class Archives(unittest.TestCase):
    FILES = {
        "Akte/Miete für März.txt": "Die Miete beträgt 900 Euro.".encode(),
        "Akte/" + "Anlage" * 20 + "/Frist.txt": "Die Frist endet am 2. März.".encode(),
        "Akte/leer.txt": b"",
    }
    CONTENT = {name: data for name, data in FILES.items() if data}

    def tar(self, form):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as t:
            for name, data in self.FILES.items():
                info = tarfile.TarInfo("./" + name)
                info.size = len(data)
                t.addfile(info, io.BytesIO(data))
            for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
                info = tarfile.TarInfo("Akte/kein Papier")
                info.type, info.linkname = kind, "/etc/passwd"
                t.addfile(info)
        return out.getvalue()

    def libarchive(self, set_format, set_filter):
        """An archive as libarchive writes it."""
        lib = ctypes.CDLL("libarchive.so.13")
        for name in ("archive_write_new", "archive_entry_new"):
            getattr(lib, name).restype = ctypes.c_void_p
        lib.archive_write_data.restype = ctypes.c_ssize_t
        a = ctypes.c_void_p(lib.archive_write_new())
        self.assertGreaterEqual(getattr(lib, set_format)(a), -20)
        self.assertGreaterEqual(getattr(lib, set_filter)(a), -20)
        buffer, used = ctypes.create_string_buffer(1 << 20), ctypes.c_size_t()
        lib.archive_write_open_memory(a, buffer, ctypes.c_size_t(len(buffer)), ctypes.byref(used))
        for name, data in self.FILES.items():
            e = ctypes.c_void_p(lib.archive_entry_new())
            lib.archive_entry_update_pathname_utf8(e, name.encode())
            lib.archive_entry_set_size(e, ctypes.c_int64(len(data)))
            lib.archive_entry_set_filetype(e, 0o100000)
            lib.archive_entry_set_perm(e, 0o644)
            self.assertEqual(lib.archive_write_header(a, e), 0)
            lib.archive_write_data(a, data, ctypes.c_size_t(len(data)))
            lib.archive_entry_free(e)
        self.assertEqual(lib.archive_write_close(a), 0)
        return buffer.raw[:used.value]

    def check(self, folder, name, data):
        path, inside = os.path.join(folder, name), os.path.join(folder, "inside")
        os.makedirs(inside, exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        docs = extract([path], inside)
        self.assertEqual((docs[0]["status"], docs[0]["format"]), ("ok", "archive"), docs[0]["message"])
        found = {}
        for d in docs[1:]:
            with open(os.path.join(inside, str(d["number"])), "rb") as f:
                found[d["path"][len(path) + 1:]] = f.read()
        return found

    def test_tar(self):
        """Every kind of tar in every packing gives the files that were put in: no links, no devices, no empty ones."""
        pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress,
                ".lzma": lambda d: lzma.compress(d, format=lzma.FORMAT_ALONE)}
        with tempfile.TemporaryDirectory() as folder:
            for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
                for ending, pack_it in pack.items():
                    if ending == ".lzma":  # nothing in its bytes says what it is
                        continue
                    with self.subTest(form=form, ending=ending):
                        self.assertEqual(self.check(folder, "a.tar" + ending, pack_it(self.tar(form))), self.CONTENT)

    def test_libarchive(self):
        with tempfile.TemporaryDirectory() as folder:
            for form, filt in (("archive_write_set_format_7zip", "archive_write_add_filter_none"),
                               ("archive_write_set_format_gnutar", "archive_write_add_filter_zstd"),
                               ("archive_write_set_format_ustar", "archive_write_add_filter_xz")):
                if form.endswith("ustar"):
                    continue  # too short for one of the names
                with self.subTest(form):
                    data = self.libarchive_utf8(form, filt)
                    self.assertEqual(self.check(folder, form, data), self.CONTENT)

    def libarchive_utf8(self, form, filt):
        import locale
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
        return self.libarchive(form, filt)

    def test_alone(self):
        """A file packed alone is called what gzip kept, else like the archive without its ending."""
        with tempfile.TemporaryDirectory() as folder:
            named = io.BytesIO()
            with gzip.GzipFile(filename="Brief.txt", mode="wb", fileobj=named) as f:
                f.write(b"Guten Tag")
            self.assertEqual(self.check(folder, "x.gz", named.getvalue()), {"Brief.txt": b"Guten Tag"})
            self.assertEqual(self.check(folder, "Brief.txt.xz", lzma.compress(b"Guten Tag")), {"Brief.txt": b"Guten Tag"})

    def test_bad(self):
        """Bombs, cut files and rubbish are refused with a reason, and quickly."""
        bomb = lzma.compress(b"Kontor! " * (40 << 20), preset=0)
        whole = self.libarchive_utf8("archive_write_set_format_7zip", "archive_write_add_filter_none")
        packed = gzip.compress(self.tar(tarfile.GNU_FORMAT))
        cases = (("bomb.xz", bomb, "192 MiB"), ("cut.tar.gz", packed[:200], "damaged"),
                 ("cut.7z", whole[:-20], "damaged"))
        with tempfile.TemporaryDirectory() as folder:
            for name, data, reason in cases:
                path = os.path.join(folder, name)
                with open(path, "wb") as f:
                    f.write(data)
                with self.subTest(name):
                    doc = extract([path])[0]
                    self.assertNotEqual(doc["status"], "ok")
                    self.assertIn(reason, doc["message"])


if __name__ == "__main__":
    PRINT = sys.argv.pop(1)
    unittest.main(verbosity=2)
