#!/usr/bin/env python3
"""The folder is the truth: what a run says about it, what an edit costs, and `kontor watch`.

Method: real folders on a real file system, the real program, a real embedding model where vectors matter; sums are compared with
what os.walk() finds. Run by hand:
  KONTOR_BIN=build/release/kontor KONTOR_TESTDATA=build/deps/models python3 tests/e2e/test_folder.py"""
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

KONTOR = os.path.abspath(os.environ["KONTOR_BIN"])
EMBED = pathlib.Path(os.environ["KONTOR_TESTDATA"]).resolve() / "minilm"
WORDS = ("Vertrag Kündigung Miete Frist Zahlung Gericht Anlage Schreiben Mandant Klage Urteil Beweis Zeuge Termin Kosten "
         "Gebühr Vollmacht Vergleich Berufung Antrag Haftung Schaden Gutachten Angebot Rechnung").split()


def paragraph(r, n=18):
    return " ".join(r.choice(WORDS) for _ in range(n)).capitalize() + "."


class Base(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kontor-folder-"))
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.docs = self.dir / "docs"
        self.docs.mkdir()
        self.env = {**os.environ, "KONTOR_HOME": str(self.dir / "home"), "KONTOR_EMBED_MODEL": ""}

    def json(self, *args, ok=(0,)):
        p = subprocess.run([KONTOR, *map(str, args), "--json"], env=self.env, capture_output=True, timeout=300)
        self.assertIn(p.returncode, ok, p.stderr.decode(errors="replace")[-2000:])
        return json.loads(p.stdout or b"{}")

    def check_sums(self, r):
        f = dict(r["files"])
        total = f.pop("on_disk")
        self.assertEqual(sum(f.values()), total, r["files"])
        self.assertEqual(len(r["left_out"]), f["left_out"])


class Coverage(Base):
    def plant(self, seed):
        """A tree of everything that a folder can hold; says how many entries it has, counted without the program."""
        r = random.Random(seed)
        folders = [os.fsencode(self.docs)]
        for i in range(r.randint(1, 5)):
            folders.append(os.path.join(r.choice(folders), b"Ordner %d" % i))
            os.mkdir(folders[-1])
        n = 0
        for i in range(40):
            at = r.choice(folders)
            kind = r.choice(["text", "text", "text", "empty", "binary", "hidden", "lock", "link", "dangling", "fifo", "socket",
                             "long", "latin", "newline", "hidden folder", "copy"])
            name = os.path.join(at, b"%02d" % i)
            body = paragraph(r).encode()
            if kind in ("link", "dangling"):
                os.symlink(at if kind == "link" else b"/nowhere/at/all", name)
            elif kind == "fifo":
                os.mkfifo(name)
            elif kind == "socket":
                s = socket.socket(socket.AF_UNIX)
                here = os.getcwd()
                os.chdir(at)
                s.bind(b"%02d" % i)
                os.chdir(here)
                s.close()
            elif kind == "hidden folder":
                os.mkdir(os.path.join(at, b".h%02d" % i))
                pathlib.Path(os.fsdecode(os.path.join(at, b".h%02d" % i, b"inside.txt"))).write_bytes(body)
            else:
                name = os.path.join(at, {"hidden": b".%02d.txt", "lock": b"~$%02d.docx", "long": b"%02d-" + b"l" * 248 + b".txt",
                                         "latin": b"%02d-M\xfcller.txt", "newline": b"%02d-a\nb.txt"}.get(kind, b"%02d.txt") % i)
                with open(name, "wb") as f:
                    f.write({"empty": b"", "binary": bytes(range(256)), "copy": b"Ein Text, zweimal.\n"}.get(kind, body))
            n += 1
        return n

    def test_every_entry_of_odd_trees_is_counted_once(self):
        for seed in range(2):
            with self.subTest(seed=seed):
                shutil.rmtree(self.docs)
                self.docs.mkdir()
                n = self.plant(seed)
                for again in (False, True):
                    r = self.json("add", self.docs, "--matter", f"m{seed}") if again else \
                        (self.json("matter", "create", f"m{seed}"), self.json("add", self.docs, "--matter", f"m{seed}"))[1]
                    self.check_sums(r)
                    self.assertEqual(r["files"]["on_disk"], n)
                    self.assertEqual(r["files"]["vanished"] + r["files"]["waiting"], 0, r)
                    self.assertTrue(all("not text" in x["reason"] for x in r["failed"]), r["failed"])
                    self.assertTrue(all(x["reason"] for x in r["left_out"] + r["skipped"]))
                self.assertEqual(r["files"]["indexed"] + r["files"]["renamed"], 0, r["files"])
                self.assertEqual(self.json("add", self.docs, self.docs, "--matter", f"m{seed}")["files"]["on_disk"], n)

    def test_what_the_store_cannot_take_is_a_line(self):
        here = os.getcwd()
        self.addCleanup(os.chdir, here)
        os.chdir(self.docs)  # a path longer than 4096 bytes is made step by step
        for _ in range(18):
            os.mkdir("t" * 240)
            os.chdir("t" * 240)
        pathlib.Path("x.txt").write_text("Zu tief.")
        os.chdir(here)
        (self.docs / "gut.txt").write_text("Ein Text.")
        r = self.json("add", self.docs)
        self.assertEqual(r["indexed"], 1)
        self.check_sums(r)
        os.chdir(self.docs)
        subprocess.run(["rm", "-rf", "t" * 240], check=True)

    def test_a_share_that_is_not_connected_is_said(self):
        (self.docs / "a.txt").write_text("Ein Text.")
        self.json("add", self.docs)
        (self.docs / "a.txt").unlink()
        r = self.json("add", self.docs)
        self.assertEqual((r["removed"], len(r["failed"])), (0, 1))
        self.assertIn("connect the share", r["failed"][0]["reason"])
        self.docs.rmdir()
        p = subprocess.run([KONTOR, "add", str(self.docs)], env=self.env, capture_output=True)
        self.assertEqual(p.returncode, 3)
        self.assertIn(b"connected", p.stderr)
        self.assertEqual(self.json("status")["indexed"], 1)


class Edits(Base):
    def setUp(self):
        super().setUp()
        self.env["KONTOR_EMBED_MODEL"] = str(EMBED)

    def test_an_edit_embeds_only_what_changed(self):
        r = random.Random(7)
        paragraphs = [paragraph(r, r.randint(8, 30)) for _ in range(120)]
        path = self.docs / "lang.txt"
        path.write_text("\n\n".join(paragraphs))
        n = self.json("add", self.docs)["embedded_chunks"]
        self.assertGreater(n, 25)
        for edit in ("word", "insert", "delete"):
            if edit == "word":
                paragraphs[60] = paragraphs[60].replace(" ", " geändert ", 1)
            elif edit == "insert":
                paragraphs.insert(20, paragraph(r))
            else:
                del paragraphs[90]
            path.write_text("\n\n".join(paragraphs))
            report = self.json("add", self.docs)
            with self.subTest(edit=edit):
                self.assertEqual(report["indexed"], 1)
                self.assertGreaterEqual(report["embedded_chunks"], 1)
                self.assertLessEqual(report["embedded_chunks"], 6)
                self.assertGreaterEqual(report["kept_chunks"], n - 9)
        # the vectors are the same as those of a fresh index
        query = " ".join(WORDS[:6])
        hits = self.json("search", query, "--mode", "dense")["hits"]
        self.env["KONTOR_HOME"] = str(self.dir / "fresh")
        self.json("add", self.docs)
        fresh = self.json("search", query, "--mode", "dense")["hits"]
        self.assertEqual([h["text"] for h in hits], [h["text"] for h in fresh])
        for a, b in zip(hits, fresh):
            self.assertAlmostEqual(a["score"], b["score"], places=3)


class Watching(Base):
    def watch(self, *args):
        p = subprocess.Popen([KONTOR, "watch", str(self.docs), "--json", *args], env=self.env, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
        self.addCleanup(lambda: (p.kill(), p.wait(), p.stdout.close(), p.stderr.close()))
        return p

    def until(self, what, seconds=60):
        """Until status says so: the paths that are indexed, below the folder."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            have = sorted(os.path.relpath(d["path"], self.docs) for d in self.json("status")["documents"]
                          if d["state"] == "indexed")
            if have == sorted(what):
                return
            time.sleep(0.2)
        self.fail(f"after {seconds} s indexed: {have}, expected {sorted(what)}")

    def test_what_happens_in_the_folder_happens_in_the_index(self):
        (self.docs / "a.txt").write_text("Der erste Text.")
        self.json("add", self.docs)
        p = self.watch()
        first = json.loads(p.stdout.readline())
        self.assertEqual((first["unchanged"], first["indexed"]), (1, 0))
        (self.docs / "neu" / "tief").mkdir(parents=True)
        (self.docs / "neu" / "tief" / "b.txt").write_text("Der zweite Text.")
        self.until(["a.txt", "neu/tief/b.txt"])
        (self.docs / "neu").rename(self.docs / "alt")
        (self.docs / "~$lock.docx").write_text("x")
        self.until(["a.txt", "alt/tief/b.txt"])
        (self.docs / "a.txt").unlink()
        self.until(["alt/tief/b.txt"])
        # another writer is not kept out between runs
        other = self.dir / "other"
        other.mkdir()
        (other / "c.txt").write_text("Von anderswo.")
        self.assertEqual(self.json("add", other)["indexed"], 1)
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(60), 0, p.stderr.read())
        runs = [json.loads(line) for line in p.stdout]
        self.assertEqual(sum(r["indexed"] for r in runs), 1, "a renamed folder is not read again")
        self.assertEqual(sum(r["renamed"] for r in runs), 1)

    def test_a_file_that_is_being_written_waits(self):
        p = self.watch()
        p.stdout.readline()
        with open(self.docs / "langsam.txt", "w") as f:
            for i in range(10):
                f.write(f"Zeile {i} des Textes.\n")
                f.flush()
                time.sleep(0.4)
        self.until(["langsam.txt"])
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(60), 0)
        self.assertEqual([r["indexed"] for r in map(json.loads, p.stdout)], [1], "read once, when it was whole")


class Kill(Watching):
    test_what_happens_in_the_folder_happens_in_the_index = test_a_file_that_is_being_written_waits = None

    def test_killed_again_and_again_it_ends_with_everything_once(self):
        r = random.Random(11)
        for i in range(60):
            (self.docs / f"{i:02d}.txt").write_text(f"Dokument {i}. " + paragraph(r, 60))
        done = -1
        for _ in range(40):
            p = self.watch()
            time.sleep(r.uniform(0.1, 1.5))
            p.kill()
            p.wait()
            indexed = self.json("status")["indexed"]
            self.assertGreaterEqual(indexed, done)  # nothing is lost
            done = indexed
            if done == 60:
                break
        p = self.watch()
        last = json.loads(p.stdout.readline())
        p.send_signal(signal.SIGTERM)
        self.assertEqual(p.wait(60), 0)
        self.assertEqual(last["indexed"] + last["unchanged"], 60)
        self.assertEqual(last["unchanged"], done)  # and nothing was read twice
        self.assertEqual(self.json("status")["indexed"], 60)


if __name__ == "__main__":
    unittest.main()
