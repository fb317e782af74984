#!/usr/bin/env python3
"""Kontor beside its peers on models of Qwen3.5's true sizes, in the same minutes.

    bench/shapes.py --peer llama.cpp=DIR/llama-bench [--peer ik=DIR/llama-bench] [--sizes 0.8B] [--types Q4_K_M,Q8_0,Q4_0]

The weights are random (bench/synth.py), quantised by `kontor quantize`, kept in --dir. All read the same files. As in
speed.py the programs run in turn, round after round, and what counts is the median of the rounds' ratios; the order
rotates. Rows:

    pp512, tg128       a prompt, and one stream of generated tokens
    tg32@8192          generated behind a long context (--depth 0: left out), for the first type only
    tg32x5, tg32x16    streams in one step, all together, beside one stream of the same round (Kontor alone)

Beside generated tokens stands the speed at which weights were read: tokens a second times the bytes of a token's
weights, which the machine's memory bounds. --cpu-mask takes instruction sets from Kontor (see `kontor bench --help`; 30
leaves AVX2); a peer built without them belongs beside it. Prints a table, or with --json one object.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

import speed

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


def kontor(args, model, kind, n, depth, streams=1):
    pp, tg = (n, 0) if kind == "pp" else (0, n)
    return speed.run([args.kontor, "bench", "-m", model, "-t", str(args.threads), "-p", str(pp), "-n", str(tg), "-d",
                      str(depth), "--streams", str(streams), "--cpu-mask", str(args.cpu_mask), "-r", "1", "--json"])


def peer_speed(args, program, model, kind, n, depth):
    pp, tg = (n, 0) if kind == "pp" else (0, n)
    argv = [program, "-m", model, "-t", str(args.threads), "-p", str(pp), "-n", str(tg), "-r", "1", "-ngl", "0", "-o", "json"]
    return speed.run(argv + (["-d", str(depth)] if depth else []))[0]["avg_ts"]


def middle(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def in_turn(args, what, runs):
    """runs: name -> function. All of them, args.rounds times, beginning with another one each time."""
    speeds = {name: [] for name in runs}
    names = list(runs)
    for r in range(args.rounds):
        for name in names[r % len(names):] + names[:r % len(names)]:
            speeds[name].append(runs[name]())
        print(f"  {what} round {r + 1}: " + ", ".join(f"{n} {s[-1]:.2f}" for n, s in speeds.items()), file=sys.stderr)
    return speeds


def beside_peers(args, model, kind, n, depth):
    seen = {}

    def ours():
        seen.update(kontor(args, model, kind, n, depth))
        return seen[kind]

    runs = {"kontor": ours}
    for name, program in args.peers:
        runs[name] = lambda program=program: peer_speed(args, program, model, kind, n, depth)
    test = f"{kind}{n}" + (f"@{depth}" if depth else "")
    speeds = in_turn(args, test, runs)
    row = {"test": test, "cpu": seen["cpu"], "tokens_s": {k: middle(v) for k, v in speeds.items()},
           "ratio": {k: middle([a / b for a, b in zip(speeds["kontor"], v)]) for k, v in speeds.items() if k != "kontor"}}
    if kind == "tg":
        row["weights_gb_s"] = statistics.median(speeds["kontor"]) * seen["weight_bytes"] / 1e9
    return row


def streams(args, model, n_streams):
    runs = {"one": lambda: kontor(args, model, "tg", 32, 0)["tg"],
            "all": lambda: kontor(args, model, "tg", 32, 0, n_streams)["tg"]}
    speeds = in_turn(args, f"tg32x{n_streams}", runs)
    return {"test": f"tg32x{n_streams}", "tokens_s": {"kontor": middle(speeds["all"])},
            "ratio": {"one stream": middle([a / b for a, b in zip(speeds["all"], speeds["one"])])}}


def measure(args, size, kind, first):
    model = make(args, size, kind)
    print(f"{size} {kind}", file=sys.stderr)
    rows = [beside_peers(args, model, "pp", 512, 0), beside_peers(args, model, "tg", 128, 0)]
    if args.depth and first:
        rows.append(beside_peers(args, model, "tg", 32, args.depth))
    return {"size": size, "type": kind, "bytes": os.path.getsize(model),
            "rows": rows + [streams(args, model, n) for n in args.streams]}


def peer(value):
    name, _, path = value.partition("=")
    if not name or not os.access(path, os.X_OK):
        raise argparse.ArgumentTypeError(f"{value}: expected NAME=PATH of a llama-bench that can be run")
    return name, path


def words(value):
    return [x for x in value.split(",") if x]


def numbers(value):
    return [int(x) for x in words(value)]


def show(results):
    print(f"{'model':18} {'test':10} {'tokens/s':>10} {'GB/s':>6}   beside")
    for r in results:
        for row in r["rows"]:
            ratios = ", ".join(f"{k} {v['median']:.2f} ({v['min']:.2f} to {v['max']:.2f})" for k, v in row["ratio"].items())
            gb_s = f"{row['weights_gb_s']:6.1f}" if "weights_gb_s" in row else " " * 6
            print(f"{r['size'] + ' ' + r['type']:18} {row['test']:10} {row['tokens_s']['kontor']['median']:10.2f} {gb_s}   {ratios}")


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--kontor", default="build/release/kontor")
    ap.add_argument("--peer", dest="peers", type=peer, action="append", default=[], metavar="NAME=PATH")
    ap.add_argument("--sizes", type=words, default=["0.8B"], help="0.8B,2B,4B")
    ap.add_argument("--types", type=words, default=["Q4_K_M", "Q8_0", "Q4_0"])
    ap.add_argument("--streams", type=numbers, default=[5, 16])
    ap.add_argument("--depth", type=int, default=8192)
    ap.add_argument("--dir", default="build/bench/models")
    ap.add_argument("-t", "--threads", type=int, default=len(os.sched_getaffinity(0)))
    ap.add_argument("-r", "--rounds", type=int, default=5)
    ap.add_argument("--cpu-mask", type=int, default=0)
    ap.add_argument("--json", action="store_true")
    ap.add_argument("--show", metavar="FILE", help="print the table of such an object and measure nothing")
    args = ap.parse_args()
    if args.show:
        with open(args.show, encoding="utf-8") as f:
            show(json.load(f)["results"])
        return 0

    results = [measure(args, size, kind, i == 0) for size in args.sizes for i, kind in enumerate(args.types)]
    if args.json:
        print(json.dumps({"threads": args.threads, "rounds": args.rounds, "cpu_mask": args.cpu_mask, "results": results}))
    else:
        show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
