#!/usr/bin/env python3
"""What quantising costs, beside llama-quantize: size, KL divergence from the float model, agreement of the top token.

    bench/quality.py --kontor build/release/kontor --peer DIR -m SmolLM2.Q4_1.gguf [--types Q8_0,...] [--json FILE]

The only real model at hand is published in four bits. Made float again, its weights stand in rows of evenly spaced values, which a
format with the same spacing finds exactly: that says nothing about real weights. So every input column of the matrices is
multiplied by a number of its own (exp of 0.15 times a normal one), and what makes that column's input is divided by it: the norm
before it, the rows of the value matrix, the rows of the up matrix. The model still computes the same function, and no grid is left.

Importance data is measured on the pages of docs/, divergence on tests/golden/smollm2.txt, which the pages do not contain. The peer
gets our importance data. Both sides' files are measured by `kontor perplexity --kl`. Works in build/bench; needs 3 GB there."""
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

TYPES = "Q8_0,Q6_K,Q5_K_M,Q4_K_M,Q4_0"
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


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--kontor", default="build/release/kontor")
    ap.add_argument("--peer", help="folder with llama-quantize; without it only ours are measured")
    ap.add_argument("-m", "--model", required=True)
    ap.add_argument("--types", default=TYPES)
    ap.add_argument("--json")
    args = ap.parse_args()
    root = pathlib.Path(__file__).resolve().parent.parent
    work = root / "build" / "bench" / "quality"
    work.mkdir(parents=True, exist_ok=True)
    exact, base, imp, text, out = (work / n for n in ("f32.gguf", "base", "importance.gguf", "docs.txt", "out.gguf"))
    held_out = root / "tests" / "golden" / "smollm2.txt"
    print("  making the float model, its predictions and importance data", file=sys.stderr)
    text.write_text("\n".join(p.read_text(encoding="utf-8") for p in sorted((root / "docs").glob("*.md"))), encoding="utf-8")
    run(args.kontor, "convert", args.model, exact, "--type", "f32", "--replace")
    run(args.kontor, "perplexity", "-m", exact, held_out, "--save-logits", base)
    off_grid(exact)
    same = json.loads(run(args.kontor, "perplexity", "-m", exact, "--kl", base, "--json"))
    if same["kl_99"] > 1e-6:
        sys.exit(f"quality: the model off the grid is another one: {same}")
    run(args.kontor, "importance", "-m", exact, text, "-o", imp)

    def ours(kind, more):
        run(args.kontor, "quantize", exact, out, "-t", kind, "--replace", *(["--importance", imp] if more else []))

    def theirs(kind, more):
        run(f"{args.peer}/llama-quantize", *(["--imatrix", imp] if more else []), exact, out, kind)

    rows = []
    print(f"{'type':8} {'by':10} {'importance':10} {'bytes':>11} {'KL mean':>8} {'± error':>8} {'KL 99 %':>8} {'same top':>8}")
    for kind in args.types.split(","):
        for who, make in (("kontor", ours), ("llama.cpp", theirs)):
            for more in (False, True):
                if (who == "llama.cpp" and not args.peer) or (more and kind == "Q8_0"):
                    continue
                make(kind, more)
                m = json.loads(run(args.kontor, "perplexity", "-m", out, "--kl", base, "--json"))
                row = {"type": kind, "by": who, "importance": more, "bytes": out.stat().st_size,
                       **{k: m[k] for k in ("kl", "kl_error", "kl_median", "kl_99", "kl_999", "kl_max", "same_top", "dp_rms", "ppl")}}
                rows.append(row)
                print(f"{kind:8} {who:10} {'yes' if more else 'no':10} {row['bytes']:11} {m['kl']:8.5f} {m['kl_error']:8.5f} "
                      f"{m['kl_99']:8.4f} {100 * m['same_top']:7.2f}%", flush=True)
    for p in (exact, base, imp, text, out):
        os.unlink(p)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"model": pathlib.Path(args.model).name, "results": rows}, f, indent=1)


if __name__ == "__main__":
    main()
