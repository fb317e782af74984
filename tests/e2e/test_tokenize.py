#!/usr/bin/env python3
"""kontor tokenize on the shipped program: one line in, one line out, in step; both ways; and bad input.

Run by hand:  KONTOR_BIN=build/release/kontor KONTOR_TESTDATA=build/deps/models python3 tests/e2e/test_tokenize.py
"""
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

KONTOR = os.path.abspath(os.environ["KONTOR_BIN"])
DATA = pathlib.Path(os.environ["KONTOR_TESTDATA"]).resolve()
QWEN, SMOL, MINILM = DATA / "qwen35", DATA / "SmolLM2-135M-Instruct.Q4_1.gguf", DATA / "minilm"


def run(model, lines, *options, code=0):
    p = subprocess.run([KONTOR, "tokenize", "-m", model, "--lines", *options], input="".join(l + "\n" for l in lines).encode(),
                       capture_output=True, timeout=120)
    if p.returncode != code:
        raise AssertionError(f"tokenize {options} {lines}: exit {p.returncode}, expected {code}\n{p.stderr.decode()}")
    return p.stdout.decode(), p.stderr.decode()


def values(model, items, *options):
    out, _ = run(model, [json.dumps(i) for i in items], *options)
    return [json.loads(line) for line in out.split("\n") if line]


class Tokenize(unittest.TestCase):
    def test_published_ids(self):
        texts = ["Hello, world!", "", "\n\n", "café résumé naïve", "a\0b"]
        self.assertEqual(values(QWEN, texts), [[9419, 11, 1814, 0], [], [271], [895, 56868, 238976, 91603, 571], [64, 188, 65]])

    def test_control_tokens_only_when_asked(self):
        text = "<|im_start|>user\nHello<|im_end|>\n"
        self.assertEqual(values(QWEN, [text], "--special"), [[248045, 846, 198, 9419, 248046, 198]])
        plain = values(QWEN, [text])[0]
        self.assertFalse([i for i in plain if i >= 248044], plain)
        self.assertEqual(values(QWEN, [plain], "--decode"), [text])

    def test_there_and_back(self):
        texts = ["Grüße aus 東京 🚀", "\t\"quoted\" \\ \u2028", "x" * 5000, " "]
        self.assertEqual(values(SMOL, values(SMOL, texts), "--decode"), texts)
        ids = values(SMOL, ["<|im_start|>Hello"], "--special")
        self.assertEqual(ids[0][0], 1)
        self.assertEqual(values(SMOL, ids, "--decode"), ["Hello"])
        self.assertEqual(values(SMOL, ids, "--decode", "--special"), ["<|im_start|>Hello"])

    def test_a_folder_with_only_tokenizer_json(self):
        with tempfile.TemporaryDirectory() as dir:
            shutil.copy(MINILM / "tokenizer.json", dir)
            self.assertEqual(values(dir, ["Hi Mate"], "--frame"), [[101, 7632, 6775, 102]])
            self.assertEqual(values(dir, ["Hi Mate"]), [[7632, 6775]])

    def test_each_line_is_answered_before_the_next_is_read(self):
        p = subprocess.Popen([KONTOR, "tokenize", "-m", SMOL, "--lines"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for text in ("one", "two", "three"):
            p.stdin.write(json.dumps(text).encode() + b"\n")
            p.stdin.flush()
            self.assertTrue(json.loads(p.stdout.readline()))
        p.stdin.close()
        self.assertEqual(p.wait(60), 0)
        p.stdout.close()

    def test_bad_input(self):
        for lines, options, part in (
            (['"open'], (), "line 1"), (['"fine"', "7"], (), "line 2: expected a JSON string"), (['"\\ud800"'], (), "JSON"),
            (["[1,-1]"], ("--decode",), "element 1"), (["[1000000]"], ("--decode",), "element 0"), (['"a"'], ("--decode",), "array"),
            (["[1.5]"], ("--decode",), "element 0"),
        ):
            out, err = run(SMOL, lines, *options, code=3)
            self.assertIn(part, err)
            self.assertEqual(out.count("\n"), len(lines) - 1)
        self.assertEqual(subprocess.run([KONTOR, "tokenize", "--lines"], capture_output=True).returncode, 2)
        self.assertEqual(subprocess.run([KONTOR, "tokenize", "-m", SMOL], capture_output=True).returncode, 2)
        with tempfile.TemporaryDirectory() as dir:
            (pathlib.Path(dir) / "tokenizer.json").write_text('{"model":{"type":"Unigram"}}')
            _, err = run(dir, ['"x"'], code=3)
            self.assertIn("Unigram", err)


if __name__ == "__main__":
    unittest.main()
