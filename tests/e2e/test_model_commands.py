#!/usr/bin/env python3
"""The commands that run a model, as scripts call them: generate, chat, logits, embed, rerank, perplexity, bench.

Method: the shipped program and the two real models; one command's result is checked against another's.
Run by hand:  KONTOR_BIN=build/release/kontor KONTOR_TESTDATA=build/deps/models python3 tests/e2e/test_model_commands.py"""
import array
import json
import math
import os
import pathlib
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest

KONTOR = os.path.abspath(os.environ["KONTOR_BIN"])
DATA = pathlib.Path(os.environ["KONTOR_TESTDATA"]).resolve()
CHAT = DATA / "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBED = DATA / "minilm"
VOCAB = 49152
TEXT = ("The lease begins on the first of May. The rent is due at the beginning of each month, at the latest on "
        "the third working day. Whoever pays late owes interest.")


def kontor(*args, ok=(0,), env=None, **kw):
    p = subprocess.run([KONTOR, *map(str, args)], capture_output=True, timeout=600,
                       env={**os.environ, "KONTOR_HOME": HOME, **(env or {})}, **kw)
    if p.returncode not in ok:
        raise AssertionError(f"kontor {' '.join(map(str, args))}: exit {p.returncode}, expected {ok}\n"
                             f"stdout: {p.stdout.decode()[-1000:]}\nstderr: {p.stderr.decode()[-1000:]}")
    return p


def tokenize(text, *options):
    p = kontor("tokenize", "-m", CHAT, "--lines", *options, input=json.dumps(text).encode() + b"\n")
    return json.loads(p.stdout)


class WithFolder(unittest.TestCase):
    def setUp(self):
        tmp = tempfile.TemporaryDirectory(prefix="kontor-e2e-")
        self.addCleanup(tmp.cleanup)
        self.dir = pathlib.Path(tmp.name)

    def token_file(self, ids, name="tokens"):
        path = self.dir / name
        path.write_text(" ".join(map(str, ids)) + "\n")
        return path


class Generate(WithFolder):
    def test_json_text_and_tokens_agree(self):
        r = json.loads(kontor("generate", "-m", CHAT, "-p", "The rent is", "--raw", "-n", 8, "--json").stdout)
        self.assertEqual(len(r["tokens"]), 8)
        self.assertEqual(r["finish"], "length")
        shown = kontor("generate", "-m", CHAT, "-p", "The rent is", "--raw", "-n", 8).stdout.decode()
        self.assertEqual(shown, r["text"] + "\n")
        ids = self.token_file(tokenize("The rent is"))
        again = json.loads(kontor("generate", "-m", CHAT, "--tokens", ids, "-n", 8, "--json").stdout)
        self.assertEqual(again["tokens"], r["tokens"])

    def test_raw_knows_control_tokens_and_chat_layout_does_not(self):
        layout = "<|im_start|>system\nAnswer.<|im_end|>\n<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\n"
        raw = json.loads(kontor("generate", "-m", CHAT, "-p", layout, "--raw", "-n", 1, "--json").stdout)
        self.assertEqual(raw["tokens_prompt"], len(tokenize(layout, "--special")))
        short = json.loads(kontor("generate", "-m", CHAT, "-p", "Say", "-n", 1, "--json").stdout)
        longer = json.loads(kontor("generate", "-m", CHAT, "-p", "Say<|im_end|>", "-n", 1, "--json").stdout)
        # As text it is several tokens; as the control token it would be one.
        self.assertEqual(longer["tokens_prompt"] - short["tokens_prompt"], len(tokenize("<|im_end|>")))

    def test_seed_and_options(self):
        args = ("generate", "-m", CHAT, "-p", "A", "--raw", "-n", 6, "--temp", 1.5, "--top-k", 100, "--top-p", 0.95,
                "--min-p", 0.01, "--presence", 0.5, "--json")
        a, b = (json.loads(kontor(*args, "--seed", 3).stdout)["tokens"] for _ in range(2))
        c = json.loads(kontor(*args, "--seed", 4).stdout)["tokens"]
        self.assertEqual(a, b)
        self.assertNotEqual(a, c)

    def test_stop(self):
        args = ("generate", "-m", CHAT, "-p", "1, 2, 3, 4,", "--raw", "-n", 12, "--json")
        whole = json.loads(kontor(*args).stdout)["text"]
        stop = whole[5:7]
        cut = json.loads(kontor(*args, "--stop", "never here", "--stop", stop).stdout)
        self.assertEqual(cut["text"], whole[:whole.index(stop)])
        self.assertEqual(cut["finish"], "stop")

    def test_bad_usage_and_bad_files(self):
        kontor("generate", "-m", CHAT, ok=(2,))
        kontor("generate", "-m", CHAT, "-p", "x", "--temp", "-1", ok=(2,))
        kontor("generate", "-m", CHAT, "-p", "x", "--temp", "warm", ok=(2,))
        kontor("generate", "-m", CHAT, "-p", "", "--raw", ok=(2,))
        kontor("generate", "-m", EMBED, "-p", "x", ok=(3,))
        (self.dir / "x.gguf").write_bytes(b"GGUF" + bytes(20))
        p = kontor("generate", "-m", self.dir / "x.gguf", "-p", "x", ok=(3,))
        self.assertIn(b"x.gguf", p.stderr)
        self.assertEqual(p.stdout, b"")
        p = kontor("generate", "-m", CHAT, "-p", "x", "-n", 10, "--ctx", 8, ok=(1,))
        self.assertIn(b"the context holds 8", p.stderr)

    def test_secret_prompt_is_not_in_messages(self):
        p = kontor("generate", "-m", CHAT, "-p", "Geheimnis", "--raw", "-n", 10, "--ctx", 4, ok=(1,),
                   env={"KONTOR_LOG": "debug"})
        self.assertNotIn(b"Geheimnis", p.stderr + p.stdout)


class Chat(WithFolder):
    def test_pipe(self):
        p = kontor("chat", "-m", CHAT, "--temp", 0, "--ctx", 160, input=b"Say hi.\n\n/exit\nnever asked\n")
        first = json.loads(kontor("generate", "-m", CHAT, "-p", "Say hi.", "-n", 100, "--json").stdout)
        self.assertEqual(p.stdout.decode(), first["text"] + "\n")

    def test_old_messages_are_forgotten_when_it_gets_long(self):
        talk = "".join(f"{i}. {TEXT}\n" for i in range(3)).encode()
        p = kontor("chat", "-m", CHAT, "--temp", 0, "--ctx", 128, input=talk)
        self.assertIn(b"forgotten", p.stderr)

    def test_ctrl_c_stops_the_answer_not_the_conversation(self):
        master, slave = pty.openpty()
        p = subprocess.Popen([KONTOR, "chat", "-m", str(CHAT), "--temp", "0"], stdin=slave, stdout=slave,
                             stderr=subprocess.STDOUT, start_new_session=True,
                             env={**os.environ, "KONTOR_HOME": HOME})
        os.close(slave)
        self.addCleanup(os.close, master)
        self.addCleanup(p.kill)
        seen = b""

        def until(what, seconds=240):
            nonlocal seen
            end = time.monotonic() + seconds
            while not what(seen):
                if not select.select([master], [], [], max(0, end - time.monotonic()))[0]:
                    self.fail(f"waited in vain; seen so far: {seen[-500:]!r}")
                try:
                    seen += os.read(master, 4096)
                except OSError:  # the other end is closed
                    break
            return seen

        until(lambda s: s.endswith(b"> "))
        question = b"Write a very long story about a river."
        os.write(master, question + b"\n")
        begun = len(seen) + len(question) + 2
        until(lambda s: len(s) > begun + 20)
        p.send_signal(signal.SIGINT)
        until(lambda s: b"[stopped]" in s and s.endswith(b"> "))
        p.send_signal(signal.SIGINT)  # at the prompt: a hint, nothing else
        until(lambda s: b"/exit or Ctrl-D ends" in s[s.rindex(b"[stopped]"):] and s.endswith(b"> "))
        os.write(master, b"/exit\n")
        self.assertEqual(p.wait(60), 0)


def log_softmax(row):
    top = max(row)
    shift = top + math.log(math.fsum(math.exp(x - top) for x in row))
    return [x - shift for x in row]


class Numbers(WithFolder):
    def logits(self, ids, *options):
        out = self.dir / "logits"
        kontor("logits", "-m", CHAT, "--tokens", self.token_file(ids), "-o", out, *options)
        a = array.array("f", out.read_bytes())
        self.assertEqual(len(a), len(ids) * VOCAB)
        self.assertEqual(sorted(p.name for p in self.dir.iterdir()), ["logits", "tokens"])
        return [a[i * VOCAB:(i + 1) * VOCAB] for i in range(len(ids))]

    def test_logits_agree_with_generate_and_perplexity(self):
        ids = tokenize("The rent is due on the first")
        rows = self.logits(ids)
        r = json.loads(kontor("generate", "-m", CHAT, "--tokens", self.dir / "tokens", "-n", 1, "--json").stdout)
        self.assertEqual(max(range(VOCAB), key=rows[-1].__getitem__), r["tokens"][0])

        nll = 0
        for row, token in zip(rows, ids[1:]):
            top = max(row)
            nll += top + math.log(math.fsum(math.exp(x - top) for x in row)) - row[token]
        m = json.loads(kontor("perplexity", "-m", CHAT, "--tokens", self.dir / "tokens", "--json").stdout)
        self.assertEqual(m["tokens"], len(ids) - 1)
        self.assertAlmostEqual(m["nll"], nll / (len(ids) - 1), places=6)
        self.assertAlmostEqual(m["ppl"], math.exp(m["nll"]), places=4)

        # Windows: two of 4 tokens, the rest in a third; each starts from nothing.
        windows = self.logits(ids, "--ctx", 4)
        self.assertEqual(windows[:4], rows[:4])
        self.assertNotEqual(windows[5], rows[5])
        m = json.loads(kontor("perplexity", "-m", CHAT, "--tokens", self.dir / "tokens", "--ctx", 4, "--json").stdout)
        self.assertEqual(m["tokens"], len(ids) - -(-len(ids) // 4))

    def test_divergence_from_saved_logits(self):
        """What is said of two models is worked out here from their logits."""
        ids = tokenize("The rent is due on the first")
        base, tokens = self.dir / "base", self.token_file(ids)
        m = json.loads(kontor("perplexity", "-m", CHAT, "--tokens", tokens, "--save-logits", base, "--json").stdout)
        same = json.loads(kontor("perplexity", "-m", CHAT, "--kl", base, "--json").stdout)
        self.assertEqual((same["nll"], same["same_top"]), (m["nll"], 1))
        self.assertLess(same["kl_max"], 1e-6)
        self.assertAlmostEqual(same["ppl_base"], m["ppl"], places=2)
        p = kontor("perplexity", "-m", CHAT, "--tokens", tokens, "--kl", base, "--ctx", 4, ok=(2,))
        self.assertIn(b"windows", p.stderr)
        other = self.dir / "other"
        other.write_text(" ".join(map(str, ids[:-1] + [ids[-1] ^ 1])))
        p = kontor("perplexity", "-m", CHAT, "--tokens", other, "--kl", base, ok=(2,))
        self.assertIn(b"another text", p.stderr)

        small = self.dir / "small.gguf"
        kontor("quantize", CHAT, small, "-t", "Q4_0")
        kontor("logits", "-m", CHAT, "--tokens", tokens, "-o", self.dir / "logits")
        b = array.array("f", (self.dir / "logits").read_bytes())
        kontor("logits", "-m", small, "--tokens", tokens, "-o", self.dir / "logits")
        a = array.array("f", (self.dir / "logits").read_bytes())
        kls, changes = [], []
        for i in range(len(ids) - 1):
            p, q = (log_softmax(r[i * VOCAB:(i + 1) * VOCAB]) for r in (b, a))
            kls.append(math.fsum(math.exp(x) * (x - y) for x, y in zip(p, q)))
            changes.append(math.exp(q[ids[i + 1]]) - math.exp(p[ids[i + 1]]))
        m = json.loads(kontor("perplexity", "-m", small, "--kl", base, "--json").stdout)
        self.assertAlmostEqual(m["kl"], sum(kls) / len(kls), delta=1e-4 * m["kl"] + 1e-6)
        self.assertAlmostEqual(m["kl_max"], max(kls), delta=1e-3 * m["kl_max"])
        self.assertAlmostEqual(m["dp_rms"], math.sqrt(sum(x * x for x in changes) / len(changes)), places=5)

    def test_perplexity_of_a_text(self):
        path = self.dir / "text.txt"
        path.write_text(TEXT)
        m = json.loads(kontor("perplexity", "-m", CHAT, path, "--json").stdout)
        self.assertEqual(m["tokens"], len(tokenize(TEXT)) - 1)
        self.assertTrue(1 < m["ppl"] < 200, m)

    def test_bad_token_files(self):
        for content in ("", "1 2 x", "-1", "4294967296", "1,2", "99999999999999999999", "1.5"):
            path = self.dir / "bad"
            path.write_text(content)
            p = kontor("logits", "-m", CHAT, "--tokens", path, "-o", self.dir / "out", ok=(3,))
            self.assertIn(b"bad", p.stderr)
            self.assertFalse((self.dir / "out").exists())
        (self.dir / "bad").write_text(f"1 {VOCAB}")
        kontor("logits", "-m", CHAT, "--tokens", self.dir / "bad", "-o", self.dir / "out", ok=(2,))
        self.assertEqual([p.name for p in self.dir.iterdir()], ["bad"])
        (self.dir / "short").write_bytes(bytes(100))
        (self.dir / "bad").write_text("1 2 3")
        kontor("perplexity", "-m", CHAT, "--tokens", self.dir / "bad", "--kl", self.dir / "short", ok=(3,))
        kontor("perplexity", "-m", CHAT, "--kl", self.dir / "none", ok=(3,))

    def test_a_full_disk_is_said(self):
        p = kontor("logits", "-m", CHAT, "--tokens", self.token_file([1, 2]), "-o", "/dev/full/x", ok=(1,))
        self.assertIn(b"/dev/full/x", p.stderr)

    def test_bench(self):
        m = json.loads(kontor("bench", "-m", CHAT, "-p", 8, "-n", 2, "-r", 1, "-t", 2, "--json").stdout)
        self.assertTrue(m["pp"] > 0 and m["tg"] > 0)
        self.assertEqual((m["n_prompt"], m["n_gen"], m["threads"], m["streams"]), (8, 2, 2, 1))
        m = json.loads(kontor("bench", "-m", CHAT, "-p", 0, "-n", 2, "-r", 1, "--streams", 2, "--depth", 4,
                              "--json").stdout)
        self.assertEqual((m["pp"], m["streams"], m["depth"]), (0, 2, 4))
        m = json.loads(kontor("bench", "-m", CHAT, "-p", 4, "-n", 1, "-r", 1, "--cpu-mask", 31, "--json").stdout)
        self.assertIn(m["cpu"], ("ref", "neon", "dotprod"))  # 31 takes all of x86's away
        kontor("bench", "-m", CHAT, "-p", 4, "--cpu-mask", 1 << 32, ok=(2,))
        m = json.loads(kontor("bench", "-m", CHAT, "-p", 4, "-n", 1, "-r", 1, "--streams", 2, "--mixed", "--json").stdout)
        self.assertTrue(all(m[k] > 0 for k in ("streams_s", "chunk_s", "mixed_s")), m)
        m = json.loads(kontor("bench", "--machine", "-t", 1, "--cpu-mask", 31, "--json").stdout)
        self.assertEqual((m["threads"], m["cpu"]), (1, "ref" if os.uname().machine == "x86_64" else m["cpu"]))
        self.assertTrue(all(m[k] > 0 for k in ("read_bytes_s", "int8_ops_s", "float_ops_s")), m)
        kontor("bench", "-m", EMBED, "-p", 8, ok=(3,))
        kontor("bench", "-m", CHAT, "-p", 0, "-n", 0, ok=(2,))


class Embed(WithFolder):
    def test_lines(self):
        texts = ["Wie hoch ist die Kaution?", "How much is the deposit?", "", "a \"quoted\" line\nwith another"]
        p = kontor("embed", "-m", EMBED, "--lines", input="\n".join(map(json.dumps, texts)).encode())
        vectors = [json.loads(line) for line in p.stdout.decode().splitlines()]
        self.assertEqual([len(v) for v in vectors], [384] * 4)
        for v in vectors:
            self.assertAlmostEqual(math.fsum(x * x for x in v), 1, places=5)
        alone = json.loads(kontor("embed", "-m", EMBED, "--lines", input=json.dumps(texts[1]).encode()).stdout)
        self.assertEqual(alone, vectors[1])

    def test_bad_lines(self):
        for line in (b"not json", b"[1]", b"\"torn", b"\"a\\u0000b\""):
            p = kontor("embed", "-m", EMBED, "--lines", input=b"\"good\"\n" + line + b"\n", ok=(3,))
            self.assertEqual(p.stdout.count(b"\n"), 1)
            self.assertIn(b"line 2", p.stderr)
        kontor("embed", "-m", CHAT, "--lines", input=b"\"x\"\n", ok=(3,))
        kontor("embed", "-m", EMBED, ok=(2,))

    def test_queries_are_texts_like_others_to_this_model(self):
        line = json.dumps("How much is the deposit?").encode()
        self.assertEqual(kontor("embed", "-m", EMBED, "--lines", "--query", input=line).stdout,
                         kontor("embed", "-m", EMBED, "--lines", input=line).stdout)


class Rerank(WithFolder):
    def test_lines(self):
        docs = ["Our office is closed between Christmas and New Year.", "The deposit is three months' rent.",
                "The court dismissed the appeal."]
        lines = [{"query": "How much is the deposit?", "documents": docs}, {"query": "x", "documents": []},
                 {"query": "When is the office closed?", "documents": docs}]
        p = kontor("rerank", "-m", EMBED, "--lines", input="\n".join(map(json.dumps, lines)).encode())
        money, none, holidays = (json.loads(line) for line in p.stdout.decode().splitlines())
        self.assertEqual([len(money), len(none), len(holidays)], [3, 0, 3])
        self.assertEqual(money.index(max(money)), 1)
        self.assertEqual(holidays.index(max(holidays)), 0)

    def test_bad_lines(self):
        good = b'{"query": "a", "documents": ["b"]}\n'
        for line in (b"not json", b"[1]", b'{"query": "a"}', b'{"documents": []}', b'{"query": 1, "documents": []}',
                     b'{"query": "a", "documents": [1]}', b'{"query": "a", "documents": ["b"'):
            p = kontor("rerank", "-m", EMBED, "--lines", input=good + line + b"\n", ok=(3,))
            self.assertEqual(p.stdout.count(b"\n"), 1)
            self.assertIn(b"line 2", p.stderr)
        p = kontor("rerank", "-m", CHAT, "--lines", input=good, ok=(3,))
        self.assertIn(b"neither a reranker nor an embedding model", p.stderr)
        kontor("rerank", "-m", EMBED, ok=(2,))


if __name__ == "__main__":
    for need in (CHAT, EMBED / "model.safetensors"):
        if not need.exists():
            sys.exit(f"{need} is missing; run: make deps")
    with tempfile.TemporaryDirectory(prefix="kontor-home-") as home:
        HOME = home
        unittest.main(verbosity=1)
