#!/usr/bin/env python3
"""Images, videos, thoughts and tools on the command line: logits, generate, chat and eval.

Method: a small random model with a vision tower (sighted_folder) and a tokenizer of single bytes with Qwen3.5's control tokens;
what one command makes of a prompt is compared with another that gets the same prompt spelled out. The numbers themselves are the
business of tests/golden and of test_media.
Run by hand:  KONTOR_BIN=build/release/kontor KONTOR_SOURCE=. KONTOR_TESTDATA=build/deps/models \\
              python3 tests/e2e/test_look.py build/release/tests/e2e/sighted_folder"""
import array
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib

KONTOR = os.path.abspath(os.environ["KONTOR_BIN"])
DATA = pathlib.Path(os.environ["KONTOR_TESTDATA"]).resolve()
SOURCE = pathlib.Path(os.environ["KONTOR_SOURCE"]).resolve()
PICTURES = SOURCE / "tests" / "data" / "media"
SMOLLM = DATA / "SmolLM2-135M-Instruct.Q4_1.gguf"
WRITER = os.path.abspath(sys.argv.pop(1))
IMAGE, VIDEO, VOCAB = 1000, 1001, 1024
CONTROL = {"<|im_start|>": 960, "<|im_end|>": 961, "<|endoftext|>": 962, "<|vision_start|>": 963, "<|vision_end|>": 964,
           "<think>": 965, "</think>": 966, "<tool_call>": 967, "</tool_call>": 968, "<tool_response>": 969,
           "</tool_response>": 970, "<|image_pad|>": IMAGE, "<|video_pad|>": VIDEO}
WORDS = {"<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"}
IMAGE_TEXT = "<|vision_start|><|image_pad|><|vision_end|>"
VIDEO_TEXT = "<|vision_start|><|video_pad|><|vision_end|>"


def letters():
    """The letter that stands for each byte in such vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return {b: chr(b) if b in plain else chr(256 + n) for b, n in
            {**{b: 0 for b in plain}, **{b: n for n, b in enumerate(b for b in range(256) if b not in plain)}}.items()}


def write_tokenizer(folder):
    real = json.loads((DATA / "qwen35" / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = {letter: byte for byte, letter in letters().items()}
    vocab |= {f"\u0120{i}": i for i in range(256, 960)} | {f"\u0120{i}": i for i in range(971, 1000)}
    real["model"] = {"type": "BPE", "vocab": vocab, "merges": []}
    real["added_tokens"] = [{"id": i, "content": s, "special": s not in WORDS, "single_word": False, "lstrip": False,
                             "rstrip": False, "normalized": False} for s, i in sorted(CONTROL.items(), key=lambda x: x[1])]
    (folder / "tokenizer.json").write_text(json.dumps(real), encoding="utf-8")
    # The words about tools come from the model's own template; single bytes of the published ones would take a thousand tokens.
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ '<|im_start|>' }}{{ '</think>' }}{{ '\\n</tools>"
        "\\nCall:\\n<tool_call>\\n<function=f>\\n<parameter=p>\\nv\\n</parameter>\\n</function>\\n</tool_call>' }}"}))
    # Small pictures: one or two tokens each.
    (folder / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 1024, "longest_edge": 4096}}')
    (folder / "video_preprocessor_config.json").write_text('{"size": {"shortest_edge": 1024, "longest_edge": 16384}}')


def write_script(folder, texts, after):
    """A model that says one thing: behind the token a comes after[a]. 'texts': what unused tokens spell.

    The hidden state of such a model is nearly the last token's own embedding, so a head whose row for after[a] is a's embedding
    is sure of it."""
    shutil.copytree(MODEL, folder)
    spelled = letters()
    t = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = {v: k for k, v in t["model"]["vocab"].items()} | {i: "".join(spelled[b] for b in s.encode()) for i, s in texts.items()}
    t["model"]["vocab"] = {v: k for k, v in vocab.items()}
    (folder / "tokenizer.json").write_text(json.dumps(t), encoding="utf-8")
    config = json.loads((folder / "config.json").read_text())
    config["tie_word_embeddings"] = config["text_config"]["tie_word_embeddings"] = False
    (folder / "config.json").write_text(json.dumps(config))
    weights = (folder / "model.safetensors").read_bytes()
    n = struct.unpack("<Q", weights[:8])[0]
    head, data = json.loads(weights[8:8 + n]), weights[8 + n:]
    table = head["model.language_model.embed_tokens.weight"]
    row = 2 * table["shape"][1]
    start = table["data_offsets"][0]
    rows = bytearray(row * VOCAB)
    for a, b in after.items():
        rows[b * row:(b + 1) * row] = data[start + a * row:start + (a + 1) * row]
    head["lm_head.weight"] = {"dtype": "BF16", "shape": table["shape"], "data_offsets": [len(data), len(data) + len(rows)]}
    text = json.dumps(head).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data + rows)


def kontor(*args, ok=(0,), env=(), **kw):
    p = subprocess.run([KONTOR, *map(str, args)], capture_output=True, timeout=600,
                       env={**os.environ, "KONTOR_HOME": HOME, **dict(env)}, **kw)
    if p.returncode not in ok:
        raise AssertionError(f"kontor {' '.join(map(str, args))}: exit {p.returncode}, expected {ok}\n"
                             f"stdout: {p.stdout.decode()[-1000:]}\nstderr: {p.stderr.decode()[-1000:]}")
    return p


# The tied head of random weights is sure of the last token; hot, every logit counts: two prompts that differ
# give other probabilities, the same prompt gives the same to the last digit.
HOT = ("-n", 8, "--temp", 60, "--seed", 1)


def generate(*args):
    return json.loads(kontor("generate", "-m", MODEL, "--json", *HOT, *args).stdout)


def print_of(r):
    return r["tokens_prompt"], r["tokens"], r["mean_logprob"]


class Base(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory(prefix="kontor-look-")
        self.addCleanup(tmp.cleanup)
        self.dir = pathlib.Path(tmp.name)

    def tokens(self, ids):
        path = self.dir / "ids"
        path.write_text(" ".join(map(str, ids)))
        return path

    def logits(self, ids, *args, model=None, ok=(0,), rows=None):
        out = self.dir / "out"
        p = kontor("logits", "-m", model or MODEL, "--tokens", self.tokens(ids), "-o", out, *args, ok=ok)
        if p.returncode:
            return p.stderr.decode()
        values = array.array("f", out.read_bytes())
        self.assertEqual(len(values), (rows or len(ids)) * VOCAB)
        return values

    def frames(self, n):
        folder = self.dir / "frames"
        folder.mkdir(exist_ok=True)
        names = ["colour.png", "alpha.png", "palette.png", "grey16.png", "bits.png"]
        for i in range(n):
            shutil.copy(PICTURES / names[i % len(names)], folder / f"f{i}.png")
        return folder


class Logits(Base):
    def test_pads_in_order(self):
        a, b = PICTURES / "colour.png", PICTURES / "palette.png"  # two tokens each
        ids = [5, 963, IMAGE, IMAGE, 964, 6, 963, IMAGE, IMAGE, 964, 7]
        one = self.logits(ids, "--image", a, "--image", b)
        self.assertEqual(one, self.logits(ids, "--image", a, b), "one --image with several files is the same")
        other = self.logits(ids, "--image", b, "--image", a)
        self.assertEqual(one[:2 * VOCAB], other[:2 * VOCAB], "before the first image nothing differs")
        self.assertNotEqual(one[-VOCAB:], other[-VOCAB:])

    def test_the_other_head(self):
        a, b = PICTURES / "colour.png", PICTURES / "palette.png"
        ids = [5, 6, 963, IMAGE, IMAGE, 964, 7, 8]
        one, other = (self.logits(ids, "--image", p, "--head", "mtp", rows=len(ids) - 1) for p in (a, b))
        # Row t is made of token t's state and token t + 1: the one before the first pad is the first to see it.
        self.assertEqual(one[:2 * VOCAB], other[:2 * VOCAB])
        for t in range(2, len(ids) - 1):
            self.assertNotEqual(one[t * VOCAB:(t + 1) * VOCAB], other[t * VOCAB:(t + 1) * VOCAB])

    def test_videos_and_images_by_their_pads(self):
        folder, a = self.frames(4), PICTURES / "colour.png"
        pair = [963, VIDEO, VIDEO, 964]
        ids = [*pair, 8, *pair, 9, 963, IMAGE, IMAGE, 964, 10]
        one = self.logits(ids, "--image", a, "--video", folder)
        self.assertEqual(len(one), len(ids) * VOCAB)
        # The last row and the first generated token agree.
        last = one[-VOCAB:]
        r = generate("--tokens", self.tokens(ids), "--image", a, "--video", folder, "--ignore-stop", "--kv", "f32", "--temp", 0)
        best = max(range(VOCAB), key=lambda i: last[i] if i < 960 else float("-inf"))
        if max(range(VOCAB), key=lambda i: last[i]) == best:
            self.assertEqual(r["tokens"][0], best)

    def test_a_folders_frames_all_or_chosen(self):
        folder = self.frames(7)
        (folder / "fps").write_text("2")  # at two a second all seven are looked at, and the last is doubled
        few = {"all": [963, VIDEO, 964] * 4, "chosen": [963, VIDEO, 964] * 2}
        # With seven frames each has a budget of one token, with four of two.
        (pathlib.Path(MODEL) / "video_preprocessor_config.json").write_text(
            '{"size": {"shortest_edge": 1024, "longest_edge": 8192}}')
        self.addCleanup(write_tokenizer, pathlib.Path(MODEL))
        self.logits([5, *few["all"], 6], "--video", folder)
        (folder / "fps").write_text("24")
        self.logits([5, *[963, VIDEO, VIDEO, 964] * 2, 6], "--video", folder)
        self.logits([5, *few["all"], 6], "--video", folder)

    def test_gguf_and_its_vision_file(self):
        folder, text, sight = self.dir / "folder", self.dir / "m.gguf", self.dir / "sight.gguf"
        shutil.copytree(MODEL, folder)
        for name in ("preprocessor_config.json", "video_preprocessor_config.json"):
            (folder / name).unlink()  # as a GGUF file has none: published sizes
        kontor("convert", folder, text, "--type", "f32")
        kontor("convert", folder, sight, "--vision", "--type", "f32")
        ids = [5, 963, *[IMAGE] * 66, 964, 6]
        a = ("--image", PICTURES / "colour.png")
        one, other = self.logits(ids, *a, model=folder), self.logits(ids, *a, "--mmproj", sight, model=text)
        spread = max(one) - min(one)
        self.assertLess(max(abs(x - y) for x, y in zip(one, other)), 1e-4 * spread)
        self.assertIn("mmproj", self.logits(ids, *a, model=text, ok=(1, 2, 3)))
        sight.rename(self.dir / "mmproj.gguf")
        self.assertEqual(other, self.logits(ids, *a, model=text), "found beside the model")

    def test_fewer_pixels(self):
        folder = self.dir / "folder"
        shutil.copytree(MODEL, folder)
        (folder / "preprocessor_config.json").unlink()
        self.logits([5, *[IMAGE] * 66, 6], "--image", PICTURES / "colour.png", model=folder)
        self.logits([5, *[IMAGE] * 2, 6], "--image", PICTURES / "colour.png", "--max-pixels", 3000, model=folder)

    def test_what_does_not_fit(self):
        a = PICTURES / "colour.png"
        self.assertIn("stands for an image", self.logits([5, IMAGE, IMAGE, IMAGE, IMAGE], "--image", a, ok=(1, 2, 3)))
        self.assertIn("2 vectors", self.logits([5, IMAGE, 6], "--image", a, ok=(1, 2, 3)))
        self.assertIn("places for", self.logits([5, 6], "--image", a, ok=(1, 2, 3)))
        self.assertIn("cannot be found", self.logits([5, 6], "--image", self.dir / "none.png", ok=(3,)))
        self.assertIn("no picture that is read", self.logits([5, 6], "--image", self.tokens([1]), ok=(3,)))
        self.logits([5, 6], "--image", a, "--ctx", 1, ok=(2,))
        self.logits([5, 6], a, ok=(2,))


class Generate(Base):
    def test_chat_is_the_layout_spelled_out(self):
        a, folder = PICTURES / "colour.png", self.frames(3)
        raw = (f"<|im_start|>user\n{IMAGE_TEXT}{IMAGE_TEXT}{VIDEO_TEXT}What?<|im_end|>\n<|im_start|>assistant\n<think>\n")
        media = ("--image", a, "--image", PICTURES / "exif6.jpg", "--video", folder)
        spelled = generate("--raw", "-p", raw, *media)
        chat = generate("-p", "What?", "--think", *media)
        self.assertEqual(print_of(chat), print_of(spelled))
        other = generate("-p", "What?", "--think", *media[:2], *media[:2], *media[4:])
        self.assertNotEqual(print_of(other), print_of(chat), "the second picture is looked at")
        text = raw.replace("<|image_pad|>", "<|image_pad|>" * 2).replace(VIDEO_TEXT, "".join(
            f"<{s} seconds><|vision_start|>{'<|video_pad|>' * 2}<|vision_end|>" for s in ("0.0", "0.1")))
        ids = json.loads(kontor("tokenize", "-m", MODEL, "--lines", "--special", input=json.dumps(text).encode() + b"\n").stdout)
        self.assertEqual(print_of(generate("--tokens", self.tokens(ids), *media)), print_of(chat))
        self.assertEqual(len(ids), chat["tokens_prompt"])

    def test_a_machine_that_looks_slowly(self):
        model, picture = self.dir / "model", self.dir / "wide.png"
        shutil.copytree(MODEL, model)
        (model / "preprocessor_config.json").unlink()
        png(picture, 768, 512, 9)  # 384 tokens; at most 262,144 pixels are 608 x 416 and 247

        def look(seconds, *args):
            p = kontor("generate", "-m", model, "--json", "-n", 1, "-p", "What?", "--image", picture, *args, env={"KONTOR_LOOK_SECONDS": seconds})
            return json.loads(p.stdout)["tokens_prompt"], p.stderr.decode()

        whole, said = look("0")
        self.assertEqual(said, "")
        self.assertEqual(look("1000"), (whole, ""), "this tower is tiny")
        few, said = look("1e-9")
        self.assertEqual(whole - few, 24 * 16 - 19 * 13)
        self.assertIn("wide.png: looked at in 608 x 416 pixels, not 768 x 512", said)
        self.assertEqual(look("1e-9", "--max-pixels", 400000), (whole, ""))
        for bad in ("soon", "-1", "nan"):
            p = kontor("generate", "-m", model, "-p", "x", env={"KONTOR_LOOK_SECONDS": bad}, ok=(2,))
            self.assertIn(b"look_seconds", p.stderr)

    def test_thinking(self):
        n = {how: generate("-p", "Hi", *how)["tokens_prompt"] for how in ((), ("--think",), ("--no-think",))}
        self.assertEqual(n[()], n[("--no-think",)], "a model of few layers does not think unless told to")
        self.assertEqual(n[("--no-think",)] - n[("--think",)], 4)  # of "\n</think>\n\n" the mark and three line ends
        thoughts = {q: generate("-p", q, "--think") for q in ("Hi", "What?", "Kaution")}
        said = [q for q, r in thoughts.items() if r["reasoning"]]
        self.assertTrue(said, "some random tokens are letters")
        for q, r in thoughts.items():
            self.assertEqual((r["content"], r["tool_calls"]), ("", []), "random tokens end no thought")
            self.assertEqual(r["reasoning"].strip(), r["text"].strip())
        shown = kontor("generate", "-m", MODEL, *HOT, "-p", said[0], "--think")
        self.assertEqual(shown.stdout, b"\n", "thoughts are not the answer")
        self.assertIn(thoughts[said[0]]["reasoning"].strip(), shown.stderr.decode(errors="replace"))
        kontor("generate", "-m", MODEL, "-p", "Hi", "--think", "--no-think", ok=(2,))
        kontor("generate", "-m", MODEL, "-p", "Hi", "--raw", "--think", ok=(2,))

    def test_tools(self):
        tools = self.dir / "tools.json"
        tools.write_text('[{"type":"function","function":{"name":"weather","parameters":{"type":"object"}}}]')
        plain, with_tools = generate("-p", "Hi"), generate("-p", "Hi", "--tools", tools)
        self.assertGreater(with_tools["tokens_prompt"], plain["tokens_prompt"] + 200)
        self.assertLess(with_tools["tokens_prompt"], plain["tokens_prompt"] + 600, "in the template's own words")
        tools.write_text('{"name": "weather"}')
        kontor("generate", "-m", MODEL, "-p", "Hi", "--tools", tools, ok=(3,))

    def test_a_model_that_cannot_see(self):
        p = kontor("generate", "-m", SMOLLM, "-p", "Hi", "--image", PICTURES / "colour.png", ok=(1, 3))
        self.assertIn(b"cannot see", p.stderr)
        self.assertNotIn(b"Hi", p.stderr)


def png(path, w, h, k):
    """The picture of tools/reference/eval_sight.py."""
    rows = b"".join(b"\0" + bytes((x * (k + 3) + y * (2 * k + 5) + 40 * c + x * y) & 255 for x in range(w) for c in range(3))
                    for y in range(h))
    parts = (b"IHDR", struct.pack(">IIBBBBB", w, h, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts))


class Eval(Base):
    """A suite with pictures, beside what transformers says about it: tests/golden/eval_sight.json."""
    def setUp(self):
        super().setUp()
        self.golden = json.loads((SOURCE / "tests" / "golden" / "eval_sight.json").read_text())
        self.model = self.dir / "letters"
        write_script(self.model, {}, {870: ord("A"), 760: ord("B"), 773: ord("C"), 311: ord("D")})
        self.suite = self.dir / "suite.jsonl"
        with self.suite.open("w") as f:
            for q in self.golden["questions"]:
                names = [f"{w}x{h}-{k}.png" for w, h, k in q["pictures"]]
                for name, (w, h, k) in zip(names, q["pictures"]):
                    png(self.dir / name, w, h, k)
                f.write(json.dumps({**{key: q[key] for key in ("question", "choices", "answer", "subject")},
                                    **({"images": names} if names else {})}) + "\n")

    def rows(self, way, *args):
        path = self.dir / way
        kontor("eval", self.suite, "-m", self.model, "--by", way, "--results", path, *args)
        return [json.loads(line) for line in path.read_text().splitlines()][1:]

    def test_how_likely_each_choice_is(self):
        for way in ("letter", "text"):
            rows = self.rows(way)
            self.assertEqual(len(rows), len(self.golden[way]))
            for r, want in zip(rows, self.golden[way]):
                for a, b in zip(r["scores"], want):
                    self.assertAlmostEqual(a, b, delta=2e-3)
                self.assertEqual(r["chosen"], want.index(max(want)))
            first, second = self.golden[way][:2]
            self.assertTrue(all(abs(a - b) > 0.03 for a, b in zip(first, second)), "the picture is looked at")

    def test_what_is_answered(self):
        rows = self.rows("generate", "--max", 1)
        letters = ["ABCD"[r["chosen"]] for r in rows]
        self.assertEqual(letters, [letter for letter, _ in self.golden["generate"]])
        self.assertGreater(len(set(letters)), 2)
        self.assertNotEqual(letters[0], letters[1], "the same question, another picture")

    def test_a_model_that_cannot_see(self):
        for way in ("letter", "text", "generate"):
            p = kontor("eval", self.suite, "-m", SMOLLM, "--by", way, ok=(1, 3))
            self.assertIn(b"sees none" if way != "generate" else b"see", p.stderr)


class Chat(Base):
    def test_pictures_with_messages(self):
        a = PICTURES / "colour.png"
        p = kontor("chat", "-m", MODEL, *HOT[2:], "--ctx", 120, "--image", a, input=b"What?\n/exit\n")
        later = kontor("chat", "-m", MODEL, *HOT[2:], "--ctx", 120, input=f"/image {a}\nWhat?\n".encode())
        self.assertEqual(later.stdout, p.stdout)
        without = kontor("chat", "-m", MODEL, *HOT[2:], "--ctx", 120, input=b"What?\n")
        self.assertNotEqual(without.stdout, p.stdout)
        bad = kontor("chat", "-m", MODEL, input=b"/image /none.png\n", ok=(3,))
        self.assertIn(b"/none.png", bad.stderr)

    def test_a_model_that_calls_a_tool(self):
        model = self.dir / "script"
        write_script(model, {300: "hm", 301: "\n\nI look.\n\n",
                             302: "\n<function=rain>\n<parameter=days>\n3\n</parameter>\n</function>\n"},
                     {10: 300, 300: 966, 966: 301, 301: 967, 967: 302, 302: 968, 968: CONTROL["<|im_end|>"]})
        tools = self.dir / "tools.json"
        tools.write_text('[{"type":"function","function":{"name":"rain","parameters":{"type":"object",'
                         '"properties":{"days":{"type":"integer"}}}}}]')
        call = {"name": "rain", "arguments": {"days": 3}}
        r = json.loads(kontor("generate", "-m", model, "-p", "Rain?", "--think", "--tools", tools, "--json").stdout)
        self.assertEqual((r["reasoning"], r["content"], r["tool_calls"], r["finish"]), ("hm", "I look.", [call], "stop"))
        line = json.dumps(call, separators=(",", ":"))
        # Each line after a call is the tool's answer; this model asks again, until nobody answers.
        p = kontor("chat", "-m", model, "--think", "--tools", tools, "--temp", 0, "--ctx", 2000, input=b"Rain?\nno\n")
        self.assertEqual(p.stdout.decode(), f"I look.\n{line}\n\n" * 2)
        self.assertEqual(p.stderr.decode().split(), ["hm", "hm"], "thoughts are not the answer")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="kontor-look-home-") as HOME, tempfile.TemporaryDirectory(prefix="kontor-sight-") as MODEL:
        subprocess.run([WRITER, MODEL], check=True)
        write_tokenizer(pathlib.Path(MODEL))
        unittest.main(verbosity=2)
