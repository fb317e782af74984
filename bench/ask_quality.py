#!/usr/bin/env python3
"""What are the answers of `kontor ask` worth? Runs the sample questions and prints a table.

usage: ask_quality.py KONTOR SAMPLES_DIR QUESTIONS.json [--fit] [--json OUT]
Needs KONTOR_HOME with SAMPLES_DIR indexed, and KONTOR_CHAT_MODEL / KONTOR_EMBED_MODEL as wanted (empty: without).

Measured on answerable questions: the cited document is the right one; the quotation holds the answer's words;
it is marked as supported. On unanswerable ones: it is marked as not supported. Always: every quotation stands
in the stored text (the program checks that itself; here it is checked against the extracted text of .txt/.md files).
--fit: logistic regression of `supported` on the witnesses (coverage, cosine), for src/office/support.c;
fitted on the even-numbered questions, judged on the odd ones. Python standard library only."""
import argparse
import json
import math
import os
import pathlib
import subprocess
import sys


class Asker:
    """One running `kontor ask --lines`."""

    def __init__(self, kontor):
        self.p = subprocess.Popen([kontor, "ask", "--lines"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, question):
        self.p.stdin.write(json.dumps(question) + "\n")
        self.p.stdin.flush()
        line = self.p.stdout.readline()
        if not line:
            sys.exit(f"kontor ask ended early (exit {self.p.wait()})")
        return json.loads(line)


def squash(s):
    return " ".join(s.split()).lower()


def evaluate(kontor, root, questions):
    rows = []
    ask = Asker(kontor)
    for kind in ("answerable", "unanswerable"):
        for i, q in enumerate(questions[kind]):
            a = ask(q["question"])
            row = {"kind": kind, "lang": q["lang"], "i": i, "supported": a["supported"], **a["support"], "question": q["question"],
                   "answer": a["answer"]}
            if kind == "answerable":
                want = str(pathlib.Path(root, q["path"]).resolve())
                row["doc"] = any(c["path"] == want for c in a["citations"])
                row["page"] = any(c["path"] == want and c["page"] in (0, q.get("page") or 0) for c in a["citations"])
                row["words"] = any(squash(q["answer"]) in squash(c["quote"]) for c in a["citations"])
                row["want"] = q["answer"]
            rows.append(row)
            print(f"\r{len(rows)} questions", end="", file=sys.stderr)
    print(file=sys.stderr)
    return rows


def share(rows, key, value=True):
    return sum(r.get(key) == value for r in rows) / len(rows) if rows else float("nan")


def table(rows):
    print(f"{'':22}{'n':>4}{'supported':>11}{'document':>10}{'page':>8}{'answer':>8}")
    for kind in ("answerable", "unanswerable"):
        for lang in ("de", "en", None):
            sel = [r for r in rows if r["kind"] == kind and lang in (None, r["lang"])]
            cells = "".join(f"{share(sel, k):>{w}.2f}" for k, w in (("doc", 10), ("page", 8), ("words", 8))) if kind == "answerable" else ""
            print(f"{kind + ' ' + (lang or 'all'):22}{len(sel):>4}{share(sel, 'supported'):>11.2f}{cells}")
    right = [r for r in rows if r["supported"] == (r["kind"] == "answerable")]
    print(f"supported decided rightly: {len(right)}/{len(rows)} = {len(right) / len(rows):.3f}")


def fit(rows, keys, rounds=4000, rate=0.3, decay=1e-3):
    """Plain gradient descent on standardised features; returns bias and weights in the features' own units."""
    mean = [sum(r[k] for r in rows) / len(rows) for k in keys]
    dev = [max(1e-6, math.sqrt(sum((r[k] - m) ** 2 for r in rows) / len(rows))) for k, m in zip(keys, mean)]
    xs = [[(r[k] - m) / d for k, m, d in zip(keys, mean, dev)] for r in rows]
    ys = [r["kind"] == "answerable" for r in rows]
    b, w = 0.0, [0.0] * len(keys)
    for _ in range(rounds):
        gb, gw = 0.0, [decay * x for x in w]
        for x, y in zip(xs, ys):
            e = 1 / (1 + math.exp(-(b + sum(a * c for a, c in zip(w, x))))) - y
            gb += e / len(xs)
            for j in range(len(keys)):
                gw[j] += e * x[j] / len(xs)
        b -= rate * gb
        w = [a - rate * g for a, g in zip(w, gw)]
    w = [a / d for a, d in zip(w, dev)]
    return b - sum(a * m for a, m in zip(w, mean)), w


def accuracy(rows, keys, b, w):
    ok = [(b + sum(a * r[k] for a, k in zip(w, keys)) >= 0) == (r["kind"] == "answerable") for r in rows]
    return sum(ok) / len(ok)


def fit_report(rows):
    even, odd = [r for r in rows if r["i"] % 2 == 0], [r for r in rows if r["i"] % 2]
    for keys in (["coverage"], ["coverage", "cosine"]):
        if any(r[k] is None for r in rows for k in keys):
            continue
        b, w = fit(even, keys)
        print(f"{'+'.join(keys):24} fitted on half: {accuracy(even, keys, b, w):.3f}, on the other half: {accuracy(odd, keys, b, w):.3f}")
        b, w = fit(rows, keys)
        print(f"{'':24} on all: bias {b:.2f}  " + "  ".join(f"{k} {a:.2f}" for k, a in zip(keys, w)) + f"  -> {accuracy(rows, keys, b, w):.3f}")


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("kontor")
    ap.add_argument("samples")
    ap.add_argument("questions")
    ap.add_argument("--fit", action="store_true")
    ap.add_argument("--json")
    ap.add_argument("--show", action="store_true", help="print every question that went wrong")
    o = ap.parse_args()
    rows = evaluate(os.path.abspath(o.kontor), o.samples, json.loads(pathlib.Path(o.questions).read_text()))
    table(rows)
    if o.show:
        for r in rows:
            if r["supported"] != (r["kind"] == "answerable") or r.get("words") is False:
                print(f"- [{r['kind']} {'supported' if r['supported'] else 'not supported'} {r['score']:.2f}] {r['question']}\n"
                      f"    wanted: {r.get('want', '-')}\n    got:    {r['answer']}")
    if o.fit:
        fit_report(rows)
    if o.json:
        pathlib.Path(o.json).write_text(json.dumps(rows, indent=1))


main()
