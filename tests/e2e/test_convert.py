#!/usr/bin/env python3
"""`kontor convert` and `kontor quantize`, as people and scripts call them.

Method: the shipped program and two real models. What a folder answers, the file made of it must answer; fewer bits must
mean a smaller file that is a little further away; and whatever goes wrong leaves the folder as it was.
Run by hand:  KONTOR_BIN=build/release/kontor KONTOR_TESTDATA=build/deps/models python3 tests/e2e/test_convert.py"""
import json
import math
import os
import pathlib
import resource
import signal
import subprocess
import tempfile
import time
import unittest

KONTOR = os.path.abspath(os.environ["KONTOR_BIN"])
DATA = pathlib.Path(os.environ["KONTOR_TESTDATA"]).resolve()
CHAT = DATA / "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBED = DATA / "minilm"
TEXTS = ["The lease begins on the first of May.", "Die Kündigung ist schriftlich zu erklären.", "42"]


class Convert(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory(prefix="kontor-e2e-")
        self.addCleanup(tmp.cleanup)
        self.dir = pathlib.Path(tmp.name)
        self.env = {**os.environ, "KONTOR_HOME": str(self.dir / "home")}

    def kontor(self, *args, ok=(0,), **kw):
        p = subprocess.run([KONTOR, *map(str, args)], capture_output=True, timeout=600, env=self.env, **kw)
        self.assertIn(p.returncode, ok, f"kontor {args}\n{p.stdout.decode()[-1000:]}\n{p.stderr.decode()[-1000:]}")
        return p

    def embed(self, model):
        lines = "".join(json.dumps(t) + "\n" for t in TEXTS)
        out = self.kontor("embed", "-m", model, "--lines", input=lines.encode()).stdout
        return [json.loads(line) for line in out.splitlines()]

    def files(self):
        return sorted(p.name for p in self.dir.iterdir() if p.name != "home")

    def test_a_folder_and_its_file_embed_alike(self):
        exact, small = self.dir / "f32.gguf", self.dir / "q8.gguf"
        r = json.loads(self.kontor("convert", EMBED, exact, "--type", "f32", "--json").stdout)
        self.assertEqual(r["bytes_out"], exact.stat().st_size)
        self.assertEqual(self.embed(EMBED), self.embed(exact))
        self.kontor("quantize", EMBED, small, "-t", "Q8_0")
        self.assertLess(small.stat().st_size, 0.3 * exact.stat().st_size)
        for a, b in zip(self.embed(EMBED), self.embed(small)):
            cosine = math.fsum(x * y for x, y in zip(a, b))
            self.assertGreater(cosine, 0.999)
            self.assertNotEqual(a, b)

    def test_fewer_bits(self):
        text = self.dir / "text"
        text.write_text(" ".join(TEXTS * 4))
        sizes, nlls = [], []
        for name in "Q8_0", "Q4_K_M":
            out = self.dir / f"{name}.gguf"
            r = json.loads(self.kontor("quantize", CHAT, out, "--type", name.lower(), "--json").stdout)
            self.assertEqual(r["type"], name)
            self.assertGreater(r["requantised"], 100)
            info = json.loads(self.kontor("inspect", out, "--json").stdout)
            self.assertTrue(info["runs"], info)
            self.assertEqual(info["template"], "chatml")
            sizes.append(out.stat().st_size)
            nlls.append(json.loads(self.kontor("perplexity", "-m", out, text, "--json").stdout)["nll"])
        source = json.loads(self.kontor("perplexity", "-m", CHAT, text, "--json").stdout)["nll"]
        self.assertGreater(sizes[0], sizes[1])
        self.assertLess(abs(nlls[0] - source), 0.05, "Q8_0 of the same weights")
        self.assertLess(abs(nlls[1] - source), 0.5, "Q4_K_M of the same weights")

    def test_usage(self):
        out = self.dir / "out.gguf"
        for args in ((), (CHAT,), (CHAT, out), (CHAT, out, "--type", "Q3"), (CHAT, out, out, "--type", "Q8_0")):
            self.kontor("quantize", *args, ok=(2,))
        self.kontor("convert", CHAT, out, "--type", "Q8_0", ok=(2,))
        self.assertIn(b"Q4_K_M", self.kontor("quantize", "--help").stdout)
        self.assertIn(b"no vision tower", self.kontor("convert", EMBED, out, "--vision", ok=(3,)).stderr)
        self.assertFalse(out.exists())
        self.kontor("quantize", self.dir / "none.gguf", out, "-t", "Q8_0", ok=(3,))
        out.write_bytes(b"mine")
        p = self.kontor("quantize", CHAT, out, "-t", "Q8_0", ok=(1, 2, 3))
        self.assertIn(b"exists already", p.stderr)
        self.assertEqual(out.read_bytes(), b"mine")

    def test_ctrl_c_and_a_full_disk_leave_nothing(self):
        out = self.dir / "out.gguf"
        p = subprocess.Popen([KONTOR, "convert", str(CHAT), str(out), "--type", "f32", "--threads", "1"],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=self.env)
        deadline = time.monotonic() + 60
        while not self.files() and p.poll() is None and time.monotonic() < deadline:
            time.sleep(0.001)
        p.send_signal(signal.SIGINT)
        err = p.communicate(timeout=60)[1]
        self.assertEqual(p.returncode, 1, err)
        self.assertIn(b"stopped", err)
        self.assertEqual(self.files(), [])

        def small_disk():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (10_000_000, 10_000_000))

        p = self.kontor("convert", CHAT, out, "--type", "f32", ok=(1,), preexec_fn=small_disk)
        self.assertIn(b"GB", p.stderr)
        self.assertEqual(self.files(), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
