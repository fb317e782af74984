#!/usr/bin/env python3
"""What quantising costs, beside llama-quantize: size, KL divergence from the float model, agreement of the top token.

    bench/quality.py --kontor build/release/kontor --peer DIR -m SmolLM2.Q4_1.gguf [--types Q8_0,...]
        [--models smollm2,mini,mini-moe] [--json FILE]

The only real model at hand is published in four bits. Made float again, its weights stand in rows of evenly spaced values, which a
format with the same spacing finds exactly: that says nothing about real weights. So every input column of the matrices is
multiplied by a number of its own (exp of 0.15 times a normal one), and what makes that column's input is divided by it: the norm
before it, the rows of the value matrix, the rows of the up matrix. The model still computes the same function, and no grid is left.

Importance data is measured on the beginnings of some pages of docs/ and on German office texts (some 9,000 tokens), divergence on
tests/golden/smollm2.txt, which is in none of them. The peer gets our importance data, of which it uses the sums of squares. Then the same
for small models of Qwen3.5's kinds with random weights (bench/synth.py), on random tokens. Both sides' files are measured by
`kontor perplexity --kl`. Works in build/bench; needs 3 GB there."""
import argparse
import array
import json
import math
import os
import pathlib
import random
import struct
import subprocess
import sys

import synth

TYPES = "Q8_0,Q6_K,Q5_K_M,Q5_0,Q4_K_M,IQ4_NL,Q4_0"
PAGES = "ASK EXTRACT MEDIA SERVER STORE"
PAGE_BYTES = 4500
FIXED = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}


def run(*argv):
    p = subprocess.run([str(a) for a in argv], capture_output=True, text=True)
    if p.returncode:
        sys.exit(f"quality: {argv[0]} {argv[1]} ended with {p.returncode}: {p.stderr.strip()[-500:]}")
    return p.stdout


class Gguf:
    """Where the tensors of a file of our own lie: {name: (dims, offset in the file)}."""

    def __init__(self, path):
        self.f = open(path, "r+b")
        self.tensors, self.meta = {}, {}
        self.f.seek(8)
        n_tensors, n_meta = self.take("QQ")
        for _ in range(n_meta):
            key = self.string()
            self.meta[key] = self.value(self.take("I")[0])
        found = []
        for _ in range(n_tensors):
            name = self.string()
            dims = self.take("Q" * self.take("I")[0])
            kind, offset = self.take("IQ")
            found.append((name, dims, kind, offset))
        start = -(-self.f.tell() // 32) * 32
        self.tensors = {name: (dims, start + offset) for name, dims, kind, offset in found if kind == 0}

    def take(self, kinds):
        return struct.unpack("<" + kinds, self.f.read(struct.calcsize("<" + kinds)))

    def string(self):
        return self.f.read(self.take("Q")[0]).decode("utf-8", "replace")

    def value(self, kind):
        if kind == 8:
            return self.string()
        if kind == 9:
            kind, n = self.take("IQ")
            return [self.value(kind) for _ in range(n)]
        return self.take(FIXED[kind])[0]

    def scale(self, name, rows=None, cols=None):
        """Multiply each row, or each column, by its own number."""
        dims, offset = self.tensors[name]
        n, m = dims[0], dims[1] if len(dims) > 1 else 1
        self.f.seek(offset)
        data = array.array("f", self.f.read(4 * n * m))
        for r in range(m):
            row = data[r * n:(r + 1) * n]
            data[r * n:(r + 1) * n] = array.array("f", (x * s for x, s in zip(row, cols)) if cols else (x * rows[r] for x in row))
        self.f.seek(offset)
        self.f.write(data.tobytes())


def off_grid(path):
    g, rng = Gguf(path), random.Random(3)
    heads, kv_heads = g.meta["llama.attention.head_count"], g.meta["llama.attention.head_count_kv"]

    def numbers(n):
        return [math.exp(0.15 * rng.gauss(0, 1)) for _ in range(n)]

    def inverse(s):
        return [1 / x for x in s]

    for i in range(g.meta["llama.block_count"]):
        def name(part):
            return f"blk.{i}.{part}.weight"
        for norm, readers in (("attn_norm", ("attn_q", "attn_k", "attn_v")), ("ffn_norm", ("ffn_gate", "ffn_up"))):
            s = numbers(g.tensors[name(norm)][0][0])
            g.scale(name(norm), cols=inverse(s))
            for reader in readers:
                g.scale(name(reader), cols=s)
        s = numbers(g.tensors[name("ffn_down")][0][0])
        g.scale(name("ffn_up"), rows=inverse(s))
        g.scale(name("ffn_down"), cols=s)
        s = numbers(g.tensors[name("attn_v")][0][1])
        dim = len(s) // kv_heads
        g.scale(name("attn_v"), rows=inverse(s))
        g.scale(name("attn_output"), cols=[s[h // (heads // kv_heads) * dim + d] for h in range(heads) for d in range(dim)])
    g.f.close()


def calibration_text(root):
    parts = [(root / "docs" / f"{p}.md").read_bytes()[:PAGE_BYTES] for p in PAGES.split()]
    documents = root / "tests" / "data" / "documents"
    parts += [(documents / p).read_bytes() for p in ("lease.txt", "minutes.txt", "source/minutes.md", "source/columns.html")]
    parts += [p.read_bytes() for p in sorted((root / "tests" / "data" / "eval" / "test").glob("*.csv"))]
    return b"\n".join(parts).decode("utf-8", "ignore")


class Table:
    """One float model, measured in all types by both sides."""

    def __init__(self, args, work, name):
        self.args, self.name, self.rows = args, name, []
        self.exact, self.base, self.imp, self.out = (work / f"{name}-{n}" for n in ("f32.gguf", "base", "importance.gguf", "out.gguf"))

    def make(self, who, kind, more):
        if who == "kontor":
            run(self.args.kontor, "quantize", self.exact, self.out, "-t", kind, "--replace", *(["--importance", self.imp] if more else []))
        else:
            run(f"{self.args.peer}/llama-quantize", *(["--imatrix", self.imp] if more else []), self.exact, self.out, kind)

    def measure(self):
        m = json.loads(run(self.args.kontor, "perplexity", "-m", self.out, "--kl", self.base, "--json"))
        return {k: m[k] for k in ("kl", "kl_error", "kl_median", "kl_99", "kl_999", "kl_max", "same_top", "dp_rms", "ppl")}

    def run(self, kinds):
        for kind in kinds:
            for who in ("kontor", "llama.cpp") if self.args.peer else ("kontor",):
                for more in (False, True):
                    if more and kind == "Q8_0":
                        continue
                    self.make(who, kind, more)
                    row = {"model": self.name, "type": kind, "by": who, "importance": more, "bytes": self.out.stat().st_size, **self.measure()}
                    self.rows.append(row)
                    print(f"{self.name:9} {kind:8} {who:10} {'yes' if more else 'no':10} {row['bytes']:11} {row['kl']:8.5f} "
                          f"{row['kl_error']:8.5f} {row['kl_99']:8.4f} {100 * row['same_top']:7.2f}%", flush=True)
        return self.rows

    def clean(self):
        for p in (self.exact, self.base, self.imp, self.out):
            p.unlink(missing_ok=True)


def smollm(args, work, root):
    t, text = Table(args, work, "smollm2"), work / "calibration.txt"
    text.write_text(calibration_text(root), encoding="utf-8")
    run(args.kontor, "convert", args.model, t.exact, "--type", "f32", "--replace")
    run(args.kontor, "perplexity", "-m", t.exact, root / "tests" / "golden" / "smollm2.txt", "--save-logits", t.base)
    off_grid(t.exact)
    same = json.loads(run(args.kontor, "perplexity", "-m", t.exact, "--kl", t.base, "--json"))
    if same["kl_99"] > 1e-6:
        sys.exit(f"quality: the model off the grid is another one: {same}")
    run(args.kontor, "importance", "-m", t.exact, text, "-o", t.imp)
    return t


def synthetic(args, work, size):
    t, ids, half = Table(args, work, size), work / "ids", work / "half.gguf"
    rng = random.Random(size)
    synth.write(size, half)
    run(args.kontor, "convert", half, t.exact, "--type", "f32", "--replace")
    half.unlink()
    for n, argv in ((2048, ("perplexity", "--save-logits", t.base)), (6144, ("importance", "-o", t.imp))):
        ids.write_text(" ".join(str(rng.randrange(synth.VOCAB[size])) for _ in range(n)))
        run(args.kontor, argv[0], "-m", t.exact, "--tokens", ids, *argv[1:])
    return t


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--kontor", default="build/release/kontor")
    ap.add_argument("--peer", help="folder with llama-quantize; without it only ours are measured")
    ap.add_argument("-m", "--model", required=True)
    ap.add_argument("--types", default=TYPES)
    ap.add_argument("--models", default="smollm2,mini,mini-moe")
    ap.add_argument("--json")
    args = ap.parse_args()
    root = pathlib.Path(__file__).resolve().parent.parent
    work = root / "build" / "bench" / "quality"
    work.mkdir(parents=True, exist_ok=True)
    rows = []
    print(f"{'model':9} {'type':8} {'by':10} {'importance':10} {'bytes':>11} {'KL mean':>8} {'± error':>8} {'KL 99 %':>8} {'same top':>8}")
    for name in args.models.split(","):
        t = smollm(args, work, root) if name == "smollm2" else synthetic(args, work, name)
        rows += t.run(args.types.split(","))
        t.clean()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"model": pathlib.Path(args.model).name, "results": rows}, f, indent=1)


if __name__ == "__main__":
    main()
