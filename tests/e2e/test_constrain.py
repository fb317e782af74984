#!/usr/bin/env python3
"""kontor generate and chat with --grammar, --regex, --labels, --schema and --source: what comes out is what was asked for, and what
cannot be is said with its place and the right exit code.

Method: SmolLM2, few tokens; mistakes are found before a model is opened."""
import json
import os
import pathlib
import re
import subprocess
import tempfile
import unittest

PROGRAM = os.environ["KONTOR_BIN"]
MODEL = pathlib.Path(os.environ["KONTOR_TESTDATA"]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


def kontor(*args, stdin=None):
    return subprocess.run([PROGRAM, *map(str, args)], input=stdin, capture_output=True, text=True, timeout=300)


class Constrain(unittest.TestCase):
    def setUp(self):
        self.assertTrue(MODEL.exists(), f"{MODEL} is missing; tools/fetch.sh gets it")
        folder = tempfile.TemporaryDirectory(prefix="kontor-constrain-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def test_labels_in_a_chat(self):
        done = kontor("chat", "-m", MODEL, "--labels", "yes,no,maybe", "--speculate", "off", stdin="Is an apple a fruit?\nIs a stone a fruit?\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        answers = done.stdout.split()
        self.assertEqual(len(answers), 2)
        self.assertLessEqual(set(answers), {"yes", "no", "maybe"})

    def test_grammar_with_a_quotation(self):
        grammar = self.file("form.ebnf", 'root ::= "{\\"quote\\": \\"" @quote "\\", \\"day\\": " [1-9] "}"')
        source = self.file("letter.txt", "The rent is due on the third day of each month.")
        done = kontor("generate", "-m", MODEL, "-p", "Quote the letter.", "--grammar", grammar, "--source", source, "-n", 40, "--json",
                      "--temp", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        result = json.loads(done.stdout)
        self.assertEqual(result["finish"], "stop")
        self.assertIn(json.loads(result["content"])["quote"], source.read_text(encoding="utf-8"))

    def test_regex(self):
        done = kontor("generate", "-m", MODEL, "-p", "A date, please", "--regex", r"\d{4}-\d\d-\d\d", "--raw")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, re.compile(r"\A\d{4}-\d\d-\d\d\n\Z"))

    def test_schema(self):
        schema = self.file("record.json", json.dumps({
            "type": "object",
            "properties": {"kind": {"enum": ["invoice", "reminder"]}, "pages": {"type": "integer", "minimum": 1, "maximum": 30}},
            "required": ["kind", "pages"]}))
        done = kontor("generate", "-m", MODEL, "-p", "Describe this letter as JSON.", "--schema", schema, "--strict", "-n", 40, "--temp", 1)
        self.assertEqual(done.returncode, 0, done.stderr)
        record = json.loads(done.stdout)
        self.assertEqual(list(record), ["kind", "pages"])
        self.assertIn(record["kind"], ["invoice", "reminder"])
        self.assertIn(record["pages"], range(1, 31))
        shown = kontor("generate", "--schema", schema, "--strict", "--space", "none", "--show-grammar")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertTrue(shown.stdout.startswith('root ::= "{\\"kind\\":" kind ",\\"pages\\":" pages "}"\n'), shown.stdout)
        again = kontor("generate", "-m", MODEL, "-p", "x", "--grammar", self.file("shown.ebnf", shown.stdout), "-n", 40)
        self.assertEqual(list(json.loads(again.stdout)), ["kind", "pages"])

    def test_mistakes(self):
        unique = self.file("unique.json", '{"type": "array", "uniqueItems": true}')
        bad = self.file("bad.ebnf", 'root ::= "a" |\n  missing')
        for args, code, words in (
            (("--grammar", bad), 3, ["bad.ebnf", "line 2, column 3", "there is no rule missing"]),
            (("--grammar", self.folder / "none"), 3, ["none"]),
            (("--regex", "(a"), 3, ["character 1"]),
            (("--regex", r"(a)\1"), None, ["references back"]),
            (("--labels", "a", "--regex", "b"), 2, ["one of them"]),
            (("--labels", "a", "--source", self.folder / "none"), 3, ["none"]),
            (("--schema", unique), None, ["unique.json", "/uniqueItems", "give them one"]),
            (("--schema", bad), 3, ["bad.ebnf", "line 1, column 1", "not JSON"]),
            (("--strict", "--labels", "a"), 2, ["belong to --schema"]),
            (("--schema", unique, "--space", "two"), 2, ["--space is"]),
            (("--show-grammar",), 2, ["belongs to --schema"]),
        ):
            done = kontor("generate", "-m", MODEL, "-p", "x", *args)
            with self.subTest(args=args):
                self.assertNotEqual(done.returncode, 0)
                if code:
                    self.assertEqual(done.returncode, code, done.stderr)
                for word in words:
                    self.assertIn(word, done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
