#!/usr/bin/env python3
"""Kontor beside llama.cpp, on this machine, in the same minutes.

    bench/speed.py --kontor build/release/kontor --llama-bench DIR/llama-bench -m MODEL.gguf [-t 2] [-p 256,512] [-n 64]

A machine's speed drifts: other work, heat, memory. So the two run in turn, round after round, and what counts
is the median of the rounds' ratios. Each round is one process of each, one repetition inside after its own
warm-up. The order inside a round alternates. Prints a table, or with --json one object; with --floor-tg and
--floor-pp it exits 1 when a ratio is below (issue 3: decode 0.7, prefill 0.4).
"""
import argparse
import json
import os
import statistics
import subprocess
import sys


def run(argv):
    p = subprocess.run(argv, capture_output=True, text=True)
    if p.returncode:
        sys.exit(f"speed: {argv[0]} ended with {p.returncode}: {p.stderr.strip()[-500:]}")
    return json.loads(p.stdout)


def kontor(args, kind, n):
    pp, tg = (n, 0) if kind == "pp" else (0, n)
    return run([args.kontor, "bench", "-m", args.model, "-t", str(args.threads), "-p", str(pp), "-n", str(tg),
                "-d", str(args.depth), "-r", "1", "--json"])[kind]


def llama(args, kind, n):
    pp, tg = (n, 0) if kind == "pp" else (0, n)
    rows = run([args.llama_bench, "-m", args.model, "-t", str(args.threads), "-p", str(pp), "-n", str(tg),
                "-d", str(args.depth), "-r", "1", "-ngl", "0", "-o", "json"])
    return rows[0]["avg_ts"]


def measure(args, kind, n):
    ours, theirs = [], []
    for r in range(args.rounds):
        both = [(kontor, ours), (llama, theirs)]
        for tool, speeds in both if r % 2 == 0 else reversed(both):
            speeds.append(tool(args, kind, n))
        print(f"  {kind}{n} round {r + 1}: kontor {ours[-1]:.2f}, llama.cpp {theirs[-1]:.2f} tokens/s", file=sys.stderr)
    ratios = [a / b for a, b in zip(ours, theirs)]
    return {"test": f"{kind}{n}", "kontor": statistics.median(ours), "llama": statistics.median(theirs),
            "ratio": statistics.median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios)}


def sizes(text):
    return [int(x) for x in text.split(",") if int(x) > 0]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--kontor", default="build/release/kontor")
    ap.add_argument("--llama-bench", required=True)
    ap.add_argument("-m", "--model", required=True)
    ap.add_argument("-t", "--threads", type=int, default=len(os.sched_getaffinity(0)))
    ap.add_argument("-p", "--prompt", type=sizes, default=[256, 512], help="prompt lengths, comma-separated")
    ap.add_argument("-n", "--gen", type=sizes, default=[64], help="generated lengths")
    ap.add_argument("-d", "--depth", type=int, default=0)
    ap.add_argument("-r", "--rounds", type=int, default=5)
    ap.add_argument("--floor-pp", type=float, default=0)
    ap.add_argument("--floor-tg", type=float, default=0)
    ap.add_argument("--json", action="store_true")
    args = ap.parse_args()

    results = [measure(args, "pp", n) for n in args.prompt] + [measure(args, "tg", n) for n in args.gen]
    if args.json:
        print(json.dumps({"model": os.path.basename(args.model), "threads": args.threads, "depth": args.depth,
                          "rounds": args.rounds, "results": results}))
    else:
        print(f"{os.path.basename(args.model)}, {args.threads} threads, depth {args.depth}, {args.rounds} rounds, medians")
        print(f"{'test':8} {'kontor t/s':>12} {'llama.cpp t/s':>14} {'ratio':>7}   spread")
        for r in results:
            print(f"{r['test']:8} {r['kontor']:12.2f} {r['llama']:14.2f} {r['ratio']:7.2f}   "
                  f"{r['ratio_min']:.2f} to {r['ratio_max']:.2f}")
    floors = {"pp": args.floor_pp, "tg": args.floor_tg}
    low = [r for r in results if r["ratio"] < floors[r["test"][:2]]]
    for r in low:
        print(f"speed: {r['test']} is {r['ratio']:.2f} of llama.cpp, expected at least {floors[r['test'][:2]]}", file=sys.stderr)
    return 1 if low else 0


if __name__ == "__main__":
    sys.exit(main())
