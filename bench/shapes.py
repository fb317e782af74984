#!/usr/bin/env python3
"""Kontor beside its peers on models of Qwen3.5's true sizes, in the same minutes.

    bench/shapes.py --peer llama.cpp=DIR/llama-bench [--peer ik=DIR/llama-bench] [--sizes 0.8B] [--types Q4_K_M,Q8_0,Q4_0]

The weights are random (bench/synth.py), quantised by `kontor quantize`, kept in --dir. All read the same files. As in
speed.py the programs run in turn, round after round, and what counts is the median of the rounds' ratios; the order
rotates. Rows:

    pp512, tg128           a prompt, and one stream of generated tokens
    pp512@8192, tg32@8192  the same behind a long context (--depths; 0: left out), for the first type only
    tg32x5, tg32x16        streams in one step, all together, beside one stream of the same round (Kontor alone)
    mixed5                 a step of five streams and a chunk of a prompt together, beside the two alone (Kontor alone;
                           1.00: it costs what its parts cost, above: less)

A peer whose llama-bench knows no --n-depth (ik_llama.cpp) generates behind a prompt of that length instead, and what a prompt
costs there is the difference of two, with it and without.

How fast the machine reads and computes at most is measured before and after everything (`kontor bench --machine`, the
larger counts). Beside generated tokens stands the speed at which weights were read: tokens a second times the bytes of a
token's weights; beside prompts what was computed: tokens a second times twice the weights. Both also as parts of the
machine's most. Beside each file stands what its type costs: the Kullback-Leibler divergence from the F16 file it was made
of, over the logits of a few dozen random tokens (random weights: how far, not how much worse, the text would be).
--rounds and --rounds-large (of all sizes but the first), --depth-sizes and --depth-rounds keep the whole table within half an
hour on two cores: with a long context every run of every program reads that context first. --make only writes the files.
--cpu-mask takes instruction sets from Kontor (see `kontor bench --help`; 30 leaves AVX2); a peer built without them
belongs beside it. Prints a table, or with --json one object; --out FILE writes that object as well, after every model.
"""
import argparse
import array
import functools
import json
import math
import os
import random
import statistics
import subprocess
import sys

import speed
import synth

HERE = os.path.dirname(os.path.abspath(__file__))


def make(args, size, kind):
    """The path of a quantised file, made if it is not there: under another name first, so that it is whole or absent."""
    os.makedirs(args.dir, exist_ok=True)
    path = os.path.join(args.dir, f"qwen35-{size}-{kind}.gguf")
    if os.path.exists(path):
        return path
    source = os.path.join(args.dir, f"qwen35-{size}-F16.gguf")
    if not os.path.exists(source):
        print(f"  writing {source}", file=sys.stderr)
        subprocess.run([sys.executable, os.path.join(HERE, "synth.py"), size, source + ".part"], check=True)
        os.replace(source + ".part", source)
    print(f"  quantising {path}", file=sys.stderr)
    subprocess.run([args.kontor, "quantize", source, path, "--type", kind], check=True, stdout=subprocess.DEVNULL)
    return path


def weights(size):
    """Numbers that a token is multiplied with: the matrices; the embedding's counts once, as the head."""
    return sum(synth.count(shape) for _, shape, spread in synth.tensors(size) if spread is None)


def logits(args, model, ids):
    out = os.path.join(args.dir, "logits.f32")
    subprocess.run([args.kontor, "logits", "-m", model, "--tokens", ids, "-o", out], check=True, stdout=subprocess.DEVNULL)
    rows = array.array("f")
    with open(out, "rb") as f:
        rows.frombytes(f.read())
    os.remove(out)
    return rows


def divergence_of(p, q):
    """Kullback-Leibler divergence of two rows of logits."""
    top_p, top_q = max(p), max(q)
    e = [math.exp(x - top_p) for x in p]
    z_p, z_q = math.fsum(e), math.fsum(math.exp(x - top_q) for x in q)
    shift = math.log(z_q) - math.log(z_p) + top_q - top_p
    return math.fsum(w * (a - b) for w, a, b in zip(e, p, q)) / z_p + shift


def divergence(args, size, kind):
    """The mean over a few positions, measured once and kept beside the file."""
    kept = os.path.join(args.dir, f"qwen35-{size}-{kind}.kl")
    if os.path.exists(kept):
        with open(kept, encoding="ascii") as f:
            return float(f.read())
    n, vocab, ids = 24, synth.vocabulary(size), os.path.join(args.dir, "ids.txt")
    rng = random.Random(7)
    with open(ids, "w", encoding="ascii") as f:
        print(*(rng.randrange(vocab * 3 // 5) for _ in range(n)), file=f)
    model = make(args, size, kind)
    exact = logits(args, os.path.join(args.dir, f"qwen35-{size}-F16.gguf"), ids)
    mine = logits(args, model, ids)
    mean = statistics.fmean(divergence_of(exact[i:i + vocab], mine[i:i + vocab]) for i in range(0, n * vocab, vocab))
    with open(kept, "w", encoding="ascii") as f:
        print(mean, file=f)
    return mean


def machine(args):
    return speed.run([args.kontor, "bench", "--machine", "-t", str(args.threads), "--cpu-mask", str(args.cpu_mask), "--json"])


def kontor(args, model, kind, n, depth, streams=1):
    pp, tg = (n, 0) if kind == "pp" else (0, n)
    return speed.run([args.kontor, "bench", "-m", model, "-t", str(args.threads), "-p", str(pp), "-n", str(tg), "-d",
                      str(depth), "--streams", str(streams), "--cpu-mask", str(args.cpu_mask), "-r", "1", "--json"])


@functools.cache
def takes_depth(program):
    return "--n-depth" in subprocess.run([program, "--help"], capture_output=True, text=True, check=False).stdout


def peer_speed(args, program, model, kind, n, depth):
    def ask(*what):
        return speed.run([program, "-m", model, "-t", str(args.threads), *what, "-r", "1", "-ngl", "0", "-o", "json"])

    plain = ["-p", str(n), "-n", "0"] if kind == "pp" else ["-p", "0", "-n", str(n)]
    if not depth:
        return ask(*plain)[0]["avg_ts"]
    if takes_depth(program):
        return ask(*plain, "-d", str(depth))[0]["avg_ts"]
    if kind == "tg":
        return ask("-p", "0", "-n", "0", "-gp", f"{depth},{n}")[0]["avg_ts"]
    seconds = {x["n_prompt"]: x["avg_ns"] / 1e9 for x in ask("-p", f"{depth},{depth + n}", "-n", "0")}
    return n / max(seconds[depth + n] - seconds[depth], 1e-9)


def middle(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def in_turn(what, runs, rounds):
    """runs: name -> function. All of them, so many rounds, beginning with another one each time."""
    speeds = {name: [] for name in runs}
    names = list(runs)
    for r in range(rounds):
        for name in names[r % len(names):] + names[:r % len(names)]:
            speeds[name].append(runs[name]())
        print(f"  {what} round {r + 1}: " + ", ".join(f"{n} {s[-1]:.2f}" for n, s in speeds.items()), file=sys.stderr)
    return speeds


def beside_peers(args, model, kind, n, depth, n_weights, rounds):
    seen = {}

    def ours():
        seen.update(kontor(args, model, kind, n, depth))
        return seen[kind]

    runs = {"kontor": ours}
    for name, program in args.peers:
        runs[name] = lambda program=program: peer_speed(args, program, model, kind, n, depth)
    test = f"{kind}{n}" + (f"@{depth}" if depth else "")
    speeds = in_turn(test, runs, rounds)
    row = {"test": test, "cpu": seen["cpu"], "tokens_s": {k: middle(v) for k, v in speeds.items()},
           "ratio": {k: middle([a / b for a, b in zip(speeds["kontor"], v)]) for k, v in speeds.items() if k != "kontor"}}
    return row | work(statistics.median(speeds["kontor"]), 1 if kind == "tg" else n, seen, n_weights)


def work(tokens_s, n_rows, seen, n_weights):
    """What a step of n_rows tokens reads and computes."""
    return {"rows": n_rows, "weights_gb_s": tokens_s / n_rows * seen["weight_bytes"] / 1e9,
            "gop_s": tokens_s * 2 * n_weights / 1e9, "op_byte": 2 * n_weights * n_rows / seen["weight_bytes"]}


def mixed(args, model, rounds):
    seen = speed.run([args.kontor, "bench", "-m", model, "-t", str(args.threads), "-p", "256", "-n", "1", "--streams", "5",
                      "--mixed", "--cpu-mask", str(args.cpu_mask), "-r", str(rounds), "--json"])
    parts = seen["streams_s"] + seen["chunk_s"]
    return {"test": "mixed5", "cpu": seen["cpu"], "tokens_s": {"kontor": middle([261 / seen["mixed_s"]])},
            "ratio": {"its parts": middle([parts / seen["mixed_s"]])}}


def streams(args, model, n_streams, n_weights, rounds):
    seen = {}

    def all_of_them():
        seen.update(kontor(args, model, "tg", 32, 0, n_streams))
        return seen["tg"]

    runs = {"one": lambda: kontor(args, model, "tg", 32, 0)["tg"], "all": all_of_them}
    speeds = in_turn(f"tg32x{n_streams}", runs, rounds)
    row = {"test": f"tg32x{n_streams}", "cpu": seen["cpu"], "tokens_s": {"kontor": middle(speeds["all"])},
           "ratio": {"one stream": middle([a / b for a, b in zip(speeds["all"], speeds["one"])])}}
    return row | work(statistics.median(speeds["all"]), n_streams, seen, n_weights)


def measure(args, size, kind, first):
    model, n = make(args, size, kind), weights(size)
    rounds = args.rounds if size == args.sizes[0] else args.rounds_large
    print(f"{size} {kind}", file=sys.stderr)
    rows = [beside_peers(args, model, "pp", 512, 0, n, rounds), beside_peers(args, model, "tg", 128, 0, n, rounds)]
    for depth in args.depths if first and size in args.depth_sizes else []:
        rows.append(beside_peers(args, model, "pp", 512, depth, n, args.depth_rounds))
        rows.append(beside_peers(args, model, "tg", 32, depth, n, args.depth_rounds))
    rows += [streams(args, model, n_streams, n, rounds) for n_streams in args.streams] + [mixed(args, model, rounds)]
    return {"size": size, "type": kind, "bytes": os.path.getsize(model), "kl": divergence(args, size, kind), "rows": rows}


def peer(value):
    name, _, path = value.partition("=")
    if not name or not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(f"{value}: expected NAME=PATH of a llama-bench that can be run")
    return name, path


def words(value):
    return [x for x in value.split(",") if x]


def numbers(value):
    return [int(x) for x in words(value)]


def show(data):
    most = data["machine"]
    print(f"{data['threads']} threads, {most['cpu']}: reads {most['read_bytes_s'] / 1e9:.1f} GB/s, computes "
          f"{most['int8_ops_s'] / 1e9:.0f} Gop/s in 8-bit integers, at most")
    print(f"{'model':14} {'KL':>8} {'test':11} {'tokens/s':>9} {'GB/s':>6} {'of most':>7} {'Gop/s':>6} {'of most':>7}   beside")
    for r in data["results"]:
        for row in r["rows"]:
            ratios = ", ".join(f"{k} {v['median']:.2f} ({v['min']:.2f} to {v['max']:.2f})" for k, v in row["ratio"].items())
            did = " " * 29
            if "gop_s" in row:
                did = (f"{row['weights_gb_s']:6.1f} {row['weights_gb_s'] * 1e9 / most['read_bytes_s']:7.0%} "
                       f"{row['gop_s']:6.0f} {row['gop_s'] * 1e9 / most['int8_ops_s']:7.0%}")
            print(f"{r['size'] + ' ' + r['type']:14} {r['kl']:8.5f} {row['test']:11} {row['tokens_s']['kontor']['median']:9.2f} "
                  f"{did}   {ratios}")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--kontor", default="build/release/kontor")
    ap.add_argument("--peer", dest="peers", type=peer, action="append", default=[], metavar="NAME=PATH")
    ap.add_argument("--sizes", type=words, default=["0.8B"], help="0.8B,2B,4B")
    ap.add_argument("--types", type=words, default=["Q4_K_M", "Q8_0", "Q4_0"])
    ap.add_argument("--streams", type=numbers, default=[5, 16])
    ap.add_argument("--depths", type=numbers, default=[8192], help="8192,32768; 0: none")
    ap.add_argument("--dir", default="build/bench/models")
    ap.add_argument("-t", "--threads", type=int, default=len(os.sched_getaffinity(0)))
    ap.add_argument("-r", "--rounds", type=int, default=5)
    ap.add_argument("--rounds-large", type=int, help="of all sizes but the first; default: --rounds")
    ap.add_argument("--depth-sizes", type=words, help="sizes measured behind long contexts; default: all")
    ap.add_argument("--depth-rounds", type=int, help="rounds there; default: --rounds-large")
    ap.add_argument("--make", action="store_true", help="write the files (and what their types cost) and measure nothing")
    ap.add_argument("--out", metavar="FILE")
    ap.add_argument("--cpu-mask", type=int, default=0)
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--show", metavar="FILE", help="print the table of such an object and measure nothing")
    args = ap.parse_args()
    if args.show:
        with open(args.show, encoding="utf-8") as f:
            show(json.load(f))
        return 0

    args.depths = [d for d in args.depths if d]
    args.rounds_large = args.rounds_large or args.rounds
    args.depth_sizes = args.sizes if args.depth_sizes is None else args.depth_sizes
    args.depth_rounds = args.depth_rounds or args.rounds_large
    pairs = [(size, kind, i == 0) for size in args.sizes for i, kind in enumerate(args.types)]
    if args.make:
        for size, kind, _ in pairs:
            print(f"{size} {kind}: KL {divergence(args, size, kind):.5f}")
        return 0
    before, data = machine(args), {"threads": args.threads, "rounds": args.rounds, "cpu_mask": args.cpu_mask, "results": []}
    for size, kind, first in pairs:
        data["results"].append(measure(args, size, kind, first))
        after = machine(args)
        data["machine"] = {k: max(v, after[k]) if isinstance(v, float) else v for k, v in before.items()}
        if args.out:
            with open(args.out, "w", encoding="utf-8") as f:
                json.dump(data, f)
    if args.json:
        print(json.dumps(data))
    else:
        show(data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
