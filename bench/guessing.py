#!/usr/bin/env python3
"""What speculation gains, and that it never loses: kontor beside itself, with and without.

    bench/guessing.py --kontor build/release/kontor -m MODEL.gguf [-t 2] [-r 5] [--ask] [--json]

Three tasks with a real model. copy: passages of the sample documents, to be repeated word for word. free: texts of
the model's own, where little can be guessed. ask, with --ask: questions about the sample documents, which are answered
by quotations; needs KONTOR_HOME with them indexed, and KONTOR_EMBED_MODEL.
The two ways run in turn, and so do their orders, because a machine's speed drifts; what counts is the median over
rounds of the ratio of tokens a second in the same round. Every answer is compared: the tokens must be the same.
Python standard library only."""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "tests" / "data" / "documents"
FREE = ["Write a short story about a lighthouse keeper who finds a letter.",
        "Explain how bread is made, step by step.",
        "What should I think about before I rent a flat?",
        "Describe a walk through a forest in autumn."]


def passages():
    """Some hundred words each, out of the plain-text samples."""
    out = []
    for name in ("lease.txt", "minutes.txt"):
        words = (SAMPLES / name).read_text(encoding="utf-8").split()
        out += [" ".join(words[i:i + 80]) for i in range(0, min(len(words) - 80, 320), 80)]
    return out


def generate(args, prompt, n, kind):
    p = subprocess.run([args.kontor, "generate", "-m", args.model, "-t", str(args.threads), "-n", str(n), "--json",
                        "--speculate", kind, "-p", prompt], capture_output=True, text=True)
    if p.returncode:
        sys.exit(f"guessing: kontor ended with {p.returncode}: {p.stderr.strip()[-500:]}")
    return json.loads(p.stdout)


def run_all(args, prompts, n, kind):
    """Seconds and tokens of all prompts, the guesses, and the tokens themselves."""
    seconds, tokens, tried, right, answers = 0.0, 0, 0, 0, []
    for prompt in prompts:
        r = generate(args, prompt, n, kind)
        g = r["speculation"]
        seconds += r["decode_s"]
        tokens += len(r["tokens"])
        tried += g["lookup_tried"] + g["mtp_tried"]
        right += g["lookup_right"] + g["mtp_right"]
        answers.append(r["tokens"])
    return {"rate": tokens / seconds, "tried": tried, "right": right, "tokens": tokens, "answers": answers}


def task(args, name, prompts, n):
    pairs = []
    for r in range(args.rounds):
        order = ("off", "auto") if r % 2 == 0 else ("auto", "off")
        both = {kind: run_all(args, prompts, n, kind) for kind in order}
        if both["off"]["answers"] != both["auto"]["answers"]:
            sys.exit(f"guessing: {name}: the answers differ")
        pairs.append(both)
        print(f"  {name} round {r + 1}: {both['off']['rate']:.1f} plain, {both['auto']['rate']:.1f} with guesses",
              file=sys.stderr)
    return summary(name, pairs)


def summary(name, pairs):
    ratios = [p["auto"]["rate"] / p["off"]["rate"] for p in pairs]
    last = pairs[-1]["auto"]
    return {"task": name, "plain": statistics.median(p["off"]["rate"] for p in pairs),
            "guessing": statistics.median(p["auto"]["rate"] for p in pairs), "ratio": statistics.median(ratios),
            "ratio_min": min(ratios), "ratio_max": max(ratios), "tried": last["tried"], "right": last["right"],
            "tokens": last["tokens"]}


def ask_all(args, questions, kind):
    """Questions a second of one `kontor ask --lines`."""
    p = subprocess.Popen([args.kontor, "ask", "--lines", "-m", args.model, "-t", str(args.threads), "--speculate", kind],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    answers, start = [], None
    for i, q in enumerate(questions):
        p.stdin.write(json.dumps(q) + "\n")
        p.stdin.flush()
        line = p.stdout.readline()
        if not line:
            sys.exit(f"guessing: kontor ask ended early (exit {p.wait()})")
        if i == 0:
            start = time.monotonic()  # the first pays for opening the models
        answers.append(json.loads(line)["answer"])
    seconds = time.monotonic() - start
    p.stdin.close()
    p.wait()
    return {"rate": (len(questions) - 1) / seconds, "tried": 0, "right": 0, "tokens": len(questions), "answers": answers}


def ask_task(args):
    data = json.loads((ROOT / "tools" / "samples" / "questions.json").read_text(encoding="utf-8"))
    questions = [q["question"] for q in data["answerable"]][:args.questions]
    pairs = []
    for r in range(args.rounds):
        order = ("off", "auto") if r % 2 == 0 else ("auto", "off")
        both = {kind: ask_all(args, questions, kind) for kind in order}
        if both["off"]["answers"] != both["auto"]["answers"]:
            sys.exit("guessing: ask: the answers differ")
        pairs.append(both)
        print(f"  ask round {r + 1}: {both['off']['rate']:.2f} questions/s plain, {both['auto']['rate']:.2f} with guesses",
              file=sys.stderr)
    return summary("ask", pairs)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--kontor", default="build/release/kontor")
    ap.add_argument("-m", "--model", required=True)
    ap.add_argument("-t", "--threads", type=int, default=len(os.sched_getaffinity(0)))
    ap.add_argument("-n", "--gen", type=int, default=128, help="tokens of an answer at most")
    ap.add_argument("-r", "--rounds", type=int, default=5)
    ap.add_argument("--prompts", type=int, default=4, help="of each task")
    ap.add_argument("--questions", type=int, default=12)
    ap.add_argument("--ask", action="store_true")
    ap.add_argument("--floor", type=float, default=0, help="exit 1 when copying gains less than this")
    ap.add_argument("--json", action="store_true")
    args = ap.parse_args()

    copies = [f"Repeat the following text word for word.\n\n{p}" for p in passages()][:args.prompts]
    results = [task(args, "copy", copies, args.gen), task(args, "free", FREE[:args.prompts], args.gen)]
    if args.ask:
        results.append(ask_task(args))
    if args.json:
        print(json.dumps({"model": os.path.basename(args.model), "threads": args.threads, "rounds": args.rounds,
                          "results": results}))
    else:
        print(f"{os.path.basename(args.model)}, {args.threads} threads, {args.rounds} rounds, medians; ask: questions/s")
        print(f"{'task':6} {'plain t/s':>10} {'guessing':>10} {'ratio':>7}   spread         right/tried of tokens")
        for r in results:
            print(f"{r['task']:6} {r['plain']:10.2f} {r['guessing']:10.2f} {r['ratio']:7.2f}   {r['ratio_min']:.2f} to "
                  f"{r['ratio_max']:.2f}   {r['right']}/{r['tried']} of {r['tokens']}")
    sys.exit(1 if results[0]["ratio"] < args.floor else 0)


if __name__ == "__main__":
    main()
