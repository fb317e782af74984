#!/usr/bin/env python3
"""`kontor eval`: what it says a model chooses is what transformers says (tests/golden/eval.json, tools/reference/eval.py).

Method: the small suite of tests/data/eval with SmolLM2. Its weights have four bits and activations eight, so scores may be off by
some tenths where float32 gave the golden ones; the choice must be the same wherever the golden scores are not nearly equal.
Examples, resuming and the reuse of what prompts have in common are compared with runs that do without."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

KONTOR = os.path.abspath(os.environ["KONTOR_BIN"])
SOURCE = pathlib.Path(os.environ["KONTOR_SOURCE"])
CHAT = pathlib.Path(os.environ["KONTOR_TESTDATA"]).resolve() / "SmolLM2-135M-Instruct.Q4_1.gguf"
SUITE = SOURCE / "tests" / "data" / "eval"
GOLDEN = json.loads((SOURCE / "tests" / "golden" / "eval.json").read_text())


class Eval(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory(prefix="kontor-e2e-")
        self.addCleanup(tmp.cleanup)
        self.dir = pathlib.Path(tmp.name)
        self.env = {**os.environ, "KONTOR_HOME": str(self.dir / "home")}

    def eval(self, *args, ok=(0,), suite=SUITE):
        p = subprocess.run([KONTOR, "eval", str(suite), "-m", str(CHAT), *map(str, args)], capture_output=True, timeout=600,
                           env=self.env)
        self.assertIn(p.returncode, ok, p.stderr.decode()[-1000:])
        return p

    def rows(self, name, *args):
        path = self.dir / name
        summary = json.loads(self.eval("--results", path, "--json", *args).stdout)
        rows = [json.loads(line) for line in path.read_text().splitlines()][1:]
        self.assertEqual([r["i"] for r in rows], list(range(len(GOLDEN["answers"]))))
        self.assertEqual(summary["all"][0]["right"], sum(r["chosen"] == a for r, a in zip(rows, GOLDEN["answers"])))
        return rows, summary

    def agree(self, rows, golden, tolerance, margin):
        for r, want in zip(rows, golden):
            for a, b in zip(r["scores"], want):
                self.assertAlmostEqual(a, b, delta=tolerance)
            best, second = sorted(want, reverse=True)[:2]
            if best - second > margin:
                self.assertEqual(r["chosen"], want.index(best))

    def test_letters_with_examples(self):
        rows, summary = self.rows("r", "--shots", 2)
        self.agree(rows, GOLDEN["letter2"], 0.3, 0.3)
        self.assertGreater(rows[1]["tokens_cached"], 32)  # the examples are read once
        self.assertEqual([s["name"] for s in summary["subjects"]], ["everyday_science", "office_work", "words"])
        self.assertEqual([s["name"] for s in summary["languages"]], ["", "DE", "EN"])
        a = summary["all"][0]
        self.assertTrue(0 < a["low"] < a["accuracy"] < a["high"] < 1, a)

        # The same without anything to go on from: a run for each question.
        alone = self.dir / "alone"
        alone.mkdir()
        lines = (SUITE / "test" / "everyday_science_test.csv").read_text().splitlines()
        (alone / "everyday_science_test.csv").write_text(lines[1] + "\n")
        self.eval("--shots", 2, "--dev", SUITE / "dev", "--results", self.dir / "one", suite=alone)
        one = json.loads((self.dir / "one").read_text().splitlines()[1])
        self.assertEqual((one["scores"], one["tokens_cached"]), (rows[1]["scores"], 0))

    def test_texts(self):
        rows, _ = self.rows("r", "--by", "text")
        self.agree(rows, GOLDEN["text"], 2, 1.5)
        by_tokens, _ = self.rows("t", "--by", "text", "--norm", "tokens")
        for r, t, n in zip(rows, by_tokens, GOLDEN["text_tokens"]):
            for a, b, k in zip(r["scores"], t["scores"], n):
                self.assertAlmostEqual(a / k, b, places=5)

    def test_a_killed_run_goes_on(self):
        path = self.dir / "r"
        args = [KONTOR, "eval", str(SUITE), "-m", str(CHAT), "--by", "generate", "--max", "4", "--results", str(path), "--json"]
        p = subprocess.Popen(args, env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and p.poll() is None and (not path.exists() or path.read_bytes().count(b"\n") < 3):
            time.sleep(0.005)
        p.send_signal(signal.SIGKILL)
        p.wait()
        done = path.read_bytes().count(b"\n") - 1
        self.assertGreaterEqual(done, 2)
        with path.open("ab") as f:
            f.write(b'{"i":7,"id":"torn')
        summary = json.loads(self.eval("--by", "generate", "--max", 4, "--results", path, "--json").stdout)
        self.assertEqual(summary["reused"], done)
        rows = [json.loads(line) for line in path.read_text().splitlines()][1:]
        self.assertEqual(sorted(r["i"] for r in rows), list(range(12)))
        self.assertTrue(all(r["tokens_reply"] <= 4 for r in rows))
        again = json.loads(self.eval("--by", "generate", "--max", 4, "--results", path, "--json").stdout)
        self.assertEqual((again["reused"], again["all"]), (12, summary["all"]))
        p = self.eval("--results", path, ok=(2,))
        self.assertIn(b"other questions, model or settings", p.stderr)

    def test_usage(self):
        for args in (("--by", "luck"), ("--norm", "tokens"), ("--think", "on"), ("--shots", 999)):
            self.eval(*args, ok=(2,))
        self.eval(ok=(3,), suite=self.dir / "none.csv")
        self.eval("--shots", 1, ok=(2,), suite=SUITE / "test")  # no examples there
        (self.dir / "bad.csv").write_text("Q,1,2\n")
        self.assertIn(b"bad.csv: record 1", self.eval(ok=(3,), suite=self.dir / "bad.csv").stderr)
        (self.dir / "i.jsonl").write_text('{"question":"What is this?","choices":["x","y"],"answer":0,"images":["x.png"]}\n')
        for way in ("letter", "generate"):  # the picture is missing
            self.assertIn(b"x.png", self.eval("--by", way, ok=(1, 3), suite=self.dir / "i.jsonl").stderr)
        out = self.eval("--limit", 3).stdout.decode()
        self.assertIn("3 of 12 questions", out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
