#!/usr/bin/env python3
"""Fit the sentence weights of src/office/sentences.c from what bench/ask_sentences prints.

usage: ask_fit.py ASK_SENTENCES HOME EMBED_MODEL|- QUESTIONS.json
Softmax over the sentences of a question, likelihood of those that hold the answer's words; gradient ascent with a small
penalty; two-fold cross-validation by question number, so that the printed accuracy is on questions not fitted on."""
import json
import math
import pathlib
import subprocess
import sys

NAMES = ["OWN", "NEAR", "PASSAGE", "HIT", "COSINE", "KIND", "SHORT"]


def squash(s):
    return " ".join(s.split()).lower()


def load(tool, home, model, questions):
    out = subprocess.run([tool, home, model], input="".join(q["question"] + "\n" for q in questions), capture_output=True, text=True, check=True)
    sets = [[] for _ in questions]
    for line in out.stdout.splitlines():
        number, feats, text = line.split("\t")
        q = questions[int(number)]
        sets[int(number)].append(([float(x) for x in feats.split()], squash(q["answer"]) in squash(text)))
    return sets


def fit(sets, rounds=600, rate=0.5, decay=0.01):
    w = [1.0] * len(NAMES)
    sets = [s for s in sets if any(g for _, g in s)]
    for _ in range(rounds):
        grad = [-decay * x for x in w]
        for s in sets:
            z = [sum(a * b for a, b in zip(w, f)) for f, _ in s]
            m = max(z)
            p = [math.exp(x - m) for x in z]
            total, good = sum(p), sum(x for x, (_, g) in zip(p, s) if g)
            for x, (f, g) in zip(p, s):
                c = (x / good if g else 0) - x / total
                for j, v in enumerate(f):
                    grad[j] += c * v / len(sets)
        w = [a + rate * g for a, g in zip(w, grad)]
    return w


def top(sets, w, k):
    hit = 0
    for s in sets:
        order = sorted(s, key=lambda t: -sum(a * b for a, b in zip(w, t[0])))
        hit += any(g for _, g in order[:k])
    return hit


def main():
    tool, home, model, path = sys.argv[1:]
    questions = json.loads(pathlib.Path(path).read_text())["answerable"]
    sets = load(tool, home, model, questions)
    n = len(sets)
    print(f"{sum(any(g for _, g in s) for s in sets)} of {n} questions have a sentence with the answer")
    halves = [[s for i, s in enumerate(sets) if i % 2 == p] for p in (0, 1)]
    for k in (1, 2, 3):
        cross = sum(top(halves[1 - p], fit(halves[p]), k) for p in (0, 1))
        print(f"answer among the best {k}: {cross / n:.3f} (cross-validated)")
    w = fit(sets)
    print("weights on all: " + "  ".join(f"{a} {b:.2f}" for a, b in zip(NAMES, w)) + f"   best 1: {top(sets, w, 1) / n:.3f}")


main()
