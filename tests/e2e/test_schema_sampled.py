#!/usr/bin/env python3
"""Answers of models that are held to random schemas satisfy them, as another validator (jsonschema) sees it.

Method: schemas are made at random from every keyword, alone and combined, nested and recursive; models of random weights
answer at temperature 1.5, so that whatever the grammar allows comes up, and SmolLM2 at 0.8. Each answer that ended by
itself is read with Python's json and validated. The same for calls of tools, which go through the program's own reader
first. An argument MANY runs 2,850 schemas on three models (make check-long); without, some dozens."""
import datetime
import decimal
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import unittest

DATA = pathlib.Path(os.environ["KONTOR_TESTDATA"])
sys.path.insert(0, str(DATA.parent / "clients"))
import jsonschema  # noqa: E402

SAMPLER = sys.argv.pop(1)
MANY = "MANY" in sys.argv
if MANY:
    sys.argv.remove("MANY")
SMOLLM2 = DATA / "SmolLM2-135M-Instruct.Q4_1.gguf"

PATTERNS = ["^[a-z]+$", "^[A-Z][a-z]{1,5}$", "[0-9]", "^a|b$", "^(ab)*$", "^[^ab]{0,4}$", "\\.", "^\\d{3}-\\d{2}$",
            "^(foo|bar|foobar)$", "x", "^.{2,4}$", "^[\\w.]+@[\\w.]+$", "^(?=.*[0-9])[a-z0-9]{2,}$", "^(?!ab)[a-z]*$",
            "^$", "a{2,3}", "^\"q\\\\$", "^[\\x20-\\x7e]*$", "^\\S+$", "[^\\d]"]
FORMATS = ["date", "time", "date-time", "uuid", "ipv4", "ipv6", "email", "hostname", "duration", "int32"]
NAMES = ["a", "b", "c", "foo", "bar", 'x"y', "foo-bar", "ab", "kind", "z1"]
SCALARS = [None, True, False, 0, 1, 2, -1, 1.5, 10, "a", "b", "foo", "bar", 'x"y', "", "ab", "2024-01-01", "A b"]
NUMBERS = [0, 1, -1, 2, 5, 10, -3, 100, 0.5, -2.5, 1.25, 0.1, 7, 99.99, 1000000, 12]


class Maker:
    """Schemas; the same seed makes the same one."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.defs = []

    def chance(self, p):
        return self.r.random() < p

    def value(self, depth=0):
        if depth < 2 and self.chance(0.1):
            return [self.value(depth + 1) for _ in range(self.r.randint(0, 2))]
        if depth < 2 and self.chance(0.1):
            return {self.r.choice(NAMES): self.value(depth + 1) for _ in range(self.r.randint(0, 2))}
        return self.r.choice(SCALARS)

    def strings(self, s):
        if self.chance(0.3):
            s["minLength"] = self.r.randint(0, 4)
        if self.chance(0.6):
            s["maxLength"] = self.r.randint(0, 12)
        if self.chance(0.35):
            s["pattern"] = self.r.choice(PATTERNS)
        if self.chance(0.15):
            s["format"] = self.r.choice(FORMATS)

    def numbers(self, s):
        for key, p in (("minimum", 0.3), ("maximum", 0.3), ("exclusiveMinimum", 0.15), ("exclusiveMaximum", 0.15)):
            if self.chance(p):
                s[key] = self.r.choice(NUMBERS)
        if self.chance(0.2):
            s["multipleOf"] = self.r.choice([1, 2, 3, 5, 0.5, 0.25, 0.1, 0.01, 7, 10])

    def objects(self, s, depth):
        names = self.r.sample(NAMES, self.r.randint(0, 4))
        if names:
            s["properties"] = {n: self.schema(depth - 1) for n in names}
        if self.chance(0.6):
            required = self.r.sample(names, self.r.randint(0, len(names)))
            s["required"] = list(dict.fromkeys(required + ([self.r.choice(NAMES)] if self.chance(0.2) else [])))
        if self.chance(0.6):
            s["additionalProperties"] = self.r.choice([False, False, True, self.schema(depth - 1)])
        if self.chance(0.15):
            s["patternProperties"] = {self.r.choice(PATTERNS): self.schema(depth - 1) for _ in range(self.r.randint(1, 2))}
        if self.chance(0.1):
            s["propertyNames"] = self.r.choice([{"pattern": self.r.choice(PATTERNS)}, {"maxLength": 3}, {"enum": NAMES[:5]}])
        if self.chance(0.15):
            s["minProperties"] = self.r.randint(0, 3)
        if self.chance(0.15):
            s["maxProperties"] = self.r.randint(0, 4)
        if self.chance(0.1):
            s["dependentRequired"] = {self.r.choice(NAMES): self.r.sample(NAMES, self.r.randint(0, 2))}
        if self.chance(0.06):
            s["dependentSchemas"] = {self.r.choice(NAMES): self.schema(depth - 1)}
        if self.chance(0.1):
            s["unevaluatedProperties"] = self.r.choice([False, self.schema(depth - 1)])

    def arrays(self, s, depth):
        if self.chance(0.8):
            s["items"] = self.schema(depth - 1)
        if self.chance(0.3):
            s["prefixItems"] = [self.schema(depth - 1) for _ in range(self.r.randint(1, 3))]
        if self.chance(0.3):
            s["minItems"] = self.r.randint(0, 3)
        if self.chance(0.6):
            s["maxItems"] = self.r.randint(0, 5)
        if self.chance(0.15):
            s["uniqueItems"] = True
        if self.chance(0.15):
            s["contains"] = self.schema(depth - 1)
            if self.chance(0.4):
                s["minContains"] = self.r.randint(0, 3)
            if self.chance(0.4):
                s["maxContains"] = self.r.randint(0, 3)
        if self.chance(0.07):
            s["unevaluatedItems"] = self.r.choice([False, self.schema(depth - 1)])

    def combined(self, s, depth):
        key = self.r.choice(["anyOf", "oneOf", "allOf", "not", "if"])
        if key == "not":
            s["not"] = self.schema(depth - 1)
        elif key == "if":
            s["if"], s["then"] = self.schema(depth - 1), self.schema(depth - 1)
            if self.chance(0.5):
                s["else"] = self.schema(depth - 1)
        else:
            s[key] = [self.schema(depth - 1) for _ in range(self.r.randint(1, 3))]

    def schema(self, depth):
        if self.chance(0.05):
            return self.chance(0.7)
        flat = ["string", "integer", "number", "boolean", "enum", "const"]
        kind = self.r.choice(flat + (["null"] if depth <= 0 else
                                     ["object"] * 3 + ["array"] * 2 + ["any", "comb", "comb", "ref", "multi"]))
        if kind == "ref" and self.defs:
            return {"$ref": "#/$defs/" + self.r.choice(self.defs)}
        s = {}
        if kind == "enum":
            s["enum"] = [self.value() for _ in range(self.r.randint(1, 5))]
        elif kind == "const":
            s["const"] = self.value()
        elif kind == "multi":
            s["type"] = self.r.sample(["string", "integer", "number", "boolean", "null", "object", "array"], self.r.randint(1, 3))
        elif kind not in ("any", "comb", "ref"):
            s["type"] = kind
        loose = kind in ("multi", "any")
        if kind == "string" or loose:
            self.strings(s)
        if kind in ("integer", "number") or loose:
            self.numbers(s)
        if kind == "object" or (loose and depth > 0):
            self.objects(s, depth)
        if kind == "array" or (loose and depth > 0):
            self.arrays(s, depth)
        if kind == "comb" or (depth > 0 and self.chance(0.12)):
            self.combined(s, depth)
        return s

    def root(self):
        self.defs = ["d0", "d1"][: self.r.randint(0, 2)]
        s = self.schema(3)
        if isinstance(s, bool):
            s = {} if s else {"not": {}}
        if self.defs:
            s["$defs"] = {n: self.schema(2) for n in self.defs}
        return s

    def tools(self):
        def one(i):
            parameters = {"type": "object"}
            self.objects(parameters, 3)
            parameters.pop("patternProperties", None)
            return {"type": "function", "function": {"name": f"f{i}", "parameters": parameters}}

        self.defs = []
        return [one(i) for i in range(self.r.randint(1, 3))]


def as_ecma(pattern):
    """The same in Python's syntax: $ is the very end, . stops at every line end, classes are ASCII's."""
    sets = {"\\d": "0-9", "\\w": "A-Za-z0-9_", "\\S": None}
    out, in_class, i = "", False, 0
    while i < len(pattern):
        two, c = pattern[i : i + 2], pattern[i]
        if two in ("\\d", "\\w"):
            out += sets[two] if in_class else f"[{sets[two]}]"
        elif two == "\\S":
            out += "[^\\t-\\r \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff]"
        elif c == "\\":
            out += two
        elif c == "$" and not in_class:
            out += "\\Z"
        elif c == "." and not in_class:
            out += "[^\\n\\r\\u2028\\u2029]"
        else:
            in_class = c == "[" or (in_class and c != "]")
            out += c
        i += 2 if c == "\\" else 1
    return out


def for_python(s):
    if isinstance(s, list):
        return [for_python(x) for x in s]
    if not isinstance(s, dict):
        return s
    s = {k: v if k in ("enum", "const") else for_python(v) for k, v in s.items()}
    if isinstance(s.get("pattern"), str):
        s["pattern"] = as_ecma(s["pattern"])
    if isinstance(s.get("patternProperties"), dict):
        s["patternProperties"] = {as_ecma(k): v for k, v in s["patternProperties"].items()}
    return s


def exact(value):
    """Numbers with a fraction as decimals, in which multipleOf means what it says."""
    return json.loads(json.dumps(value), parse_float=decimal.Decimal)


FORMAT = jsonschema.FormatChecker(["date", "uuid", "ipv4", "ipv6", "email"])  # the others want more packages
FORMAT.checks("time", ValueError)(lambda s: not isinstance(s, str) or datetime.time.fromisoformat(s).tzinfo is not None)
FORMAT.checks("date-time", ValueError)(lambda s: not isinstance(s, str) or datetime.datetime.fromisoformat(s).tzinfo is not None)


def validator(schema):
    return jsonschema.Draft202012Validator(exact(for_python(schema)), format_checker=FORMAT)


class Sampler:
    def __init__(self, model):
        self.child = subprocess.Popen([SAMPLER, str(model)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **job):
        self.child.stdin.write(json.dumps({"prompt": "Answer:", **job}) + "\n")
        self.child.stdin.flush()
        line = self.child.stdout.readline()
        if not line:
            raise AssertionError(f"the sampler ended with {self.child.wait()} at {job}")
        return json.loads(line)

    def close(self):
        self.child.stdin.close()
        self.child.stdout.close()
        self.child.wait()


class Sampled(unittest.TestCase):
    def judge(self, schema, text, seed):
        try:
            value = json.loads(text, parse_float=decimal.Decimal)
        except ValueError as e:
            self.fail(f"seed {seed}: not JSON ({e}): {text}\n{json.dumps(schema)}")
        try:
            errors = [e.message for e in validator(schema).iter_errors(value)]
        except RecursionError:  # theirs, of a schema that goes round in a oneOf
            return
        if errors:
            self.fail(f"seed {seed}: {errors[0][:200]}\n{text}\n{json.dumps(schema)}")

    def sampler(self, model):
        sampler = Sampler(model)
        self.addCleanup(sampler.close)
        return sampler

    def run_schemas(self, model, seeds, n_answers, temperature, n=160):
        sampler = self.sampler(model)
        taken = whole = cut = 0
        refused = {}
        for seed in seeds:
            schema = Maker(seed).root()
            got = sampler.ask(schema=json.dumps(schema), space=seed % 3, seeds=list(range(n_answers)), n=n, temperature=temperature)
            taken += got["status"] == 0
            if got["status"]:
                why = re.sub(r"^schema: (\S+: )?", "", got["error"])[:70]
                refused[why] = refused.get(why, 0) + 1
            for answer in got["answers"]:
                whole += answer["finish"] == "stop"
                cut += answer["finish"] != "stop"
                if answer["finish"] == "stop":
                    self.judge(schema, answer["text"], seed)
        print(f"{model}: {len(seeds)} schemas, {taken} taken; {whole} answers valid, {cut} cut off at {n} tokens")
        for why, count in sorted(refused.items(), key=lambda x: -x[1]):
            print(f"    {count} refused: {why}")
        self.assertGreater(taken, len(seeds) * 0.6)
        self.assertGreater(whole, taken * n_answers * 0.5)

    def test_small_models(self):
        if MANY:
            self.run_schemas("llama-tied", range(10000, 11900), 2, 1.5)
            self.run_schemas("qwen35-r2", range(12000, 12800), 2, 1.5)
        else:
            self.run_schemas("llama-tied", range(5000, 5060), 1, 1.5)

    def test_smollm2(self):
        self.assertTrue(SMOLLM2.exists(), f"{SMOLLM2} is missing; tools/fetch.sh models brings it")
        if MANY:
            self.run_schemas(SMOLLM2, range(3000, 3150), 1, 0.8, 100)

    def test_tools(self):
        sampler = self.sampler("llama-tied")
        taken = n_calls = 0
        for seed in range(7000, 7400 if MANY else 7040):
            tools = Maker(seed).tools()
            got = sampler.ask(tools=json.dumps(tools), space=0, seeds=[0, 1], n=400, temperature=1.5)
            taken += got["status"] == 0
            for answer in got["answers"]:
                if answer["finish"] != "stop":
                    continue
                self.assertEqual(len(answer["calls"]), answer["text"].count("<function="), answer["text"])
                for call in answer["calls"]:
                    n_calls += 1
                    schema = next(t["function"]["parameters"] for t in tools if t["function"]["name"] == call["name"])
                    self.judge(schema, call["arguments"], seed)
        print(f"tools: {taken} sets taken, {n_calls} calls valid")
        self.assertGreater(n_calls, taken * 0.5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
