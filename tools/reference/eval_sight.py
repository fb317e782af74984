#!/usr/bin/env python3
"""tests/golden/eval_sight.json: what transformers chooses, and how likely it finds each choice, in questions with images.

    python tools/reference/eval_sight.py            (needs torch, transformers; never run by CI)

The model is sight-dense of synthetic.py with a head of its own: the rows of the letters A to D are the embeddings of tokens
870, 760, 773 and 311, all others zero, so that one of the letters is what it says. Tokens are bytes, and the control tokens of
tests/e2e/test_look.py. Prompts are those of src/quality/evaluate.h, written here once more; pictures are made of a formula that
tests/e2e/test_look.py has, too, of sizes that need no resizing. The first token of a greedy answer is the choice of
'generate'."""
import json
import os

import numpy as np
import torch

import goldens
import synthetic as syn
import vision

IM_START, IM_END, SEE, SEEN, THINK, THOUGHT = 960, 961, 963, 964, 965, 966
QUESTIONS = [  # subject, question, choices, answer, pictures [width, height, number]
    ("shapes", "What is in the picture?", ["A circle", "A line"], 0, [[64, 32, 1]]),
    ("shapes", "What is in the picture?", ["A circle", "A line"], 0, [[64, 32, 2]]),
    ("", "Which one is darker?", ["The first", "The second", "Neither"], 1, [[32, 96, 3], [64, 64, 4]]),
    ("", "Which one is darker?", ["The first", "The second", "Neither"], 0, [[64, 64, 4], [32, 96, 3]]),
    ("", "Wie viele Punkte?", ["Einer", "Zwei", "Drei", "Vier"], 3, [[128, 32, 5]]),
    ("", "Without a picture?", ["Yes", "No", "Both", "D"], 2, []),
]


def picture(w, h, k):
    y, x, c = np.meshgrid(np.arange(h), np.arange(w), np.arange(3), indexing="ij")
    return ((x * (k + 3) + y * (2 * k + 5) + 40 * c + x * y) & 255).astype(np.uint8)


def build():
    m = dict(syn.SIGHTED["sight-dense"], tied=False)
    model = vision.config(m).float().eval()
    vision.fill(model, False)
    with torch.no_grad():
        embd = model.model.language_model.embed_tokens.weight
        model.lm_head.weight.zero_()
        for letter, token in zip(b"ABCD", (870, 760, 773, 311)):
            model.lm_head.weight[letter] = embd[token]
    return model


def see_ids(pictures):
    return [i for w, h, _ in pictures for i in (SEE, *[syn.IMAGE_PAD] * (w * h // 1024), SEEN)]


def logp(model, ids, pictures):
    kinds = [int(i == syn.IMAGE_PAD) for i in ids]
    x, _ = vision.see(model, [picture(*p)[None] for p in pictures]) if pictures else ({}, None)
    out = model(torch.tensor([ids]), mm_token_type_ids=torch.tensor([kinds]), **x).logits[0]
    return torch.log_softmax(out.double(), -1)


def score(model, prompt, pictures, text):
    tail = list((" " + text).encode())
    rows = logp(model, prompt + tail, pictures)
    return round(sum(float(rows[len(prompt) - 1 + i, t]) for i, t in enumerate(tail)), 6)


def lines(q, letters):
    return q[1] + "\n" + "".join(f"{chr(65 + i)}. {c}\n" for i, c in enumerate(q[2]) if letters)


def main():
    model = build()
    result = {"questions": [dict(zip(("subject", "question", "choices", "answer", "pictures"), q)) for q in QUESTIONS],
              "letter": [], "text": [], "generate": []}
    with torch.no_grad():
        for q in QUESTIONS:
            lead = f"The following are multiple choice questions (with answers) about {q[0]}.\n\n" if q[0] else ""
            for way in ("letter", "text"):
                ids = list(lead.encode()) + see_ids(q[4]) + list((lines(q, way == "letter") + "Answer:").encode())
                result[way].append([score(model, ids, q[4], chr(65 + i) if way == "letter" else c) for i, c in enumerate(q[2])])
            task = lines(q, True) + f"Answer with the letter of the right choice only (A to {chr(64 + len(q[2]))})."
            ids = [IM_START, *b"user\n", *see_ids(q[4]), *task.encode(), IM_END, *b"\n", IM_START, *b"assistant\n",
                   THINK, *b"\n\n", THOUGHT, *b"\n\n"]
            last = logp(model, ids, q[4])[-1]
            result["generate"].append([chr(int(last.argmax())), round(float(last.max()), 6)])
    with open(os.path.join(goldens.OUT, "eval_sight.json"), "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in result.items()) + "\n}\n")
    print(json.dumps({k: result[k] for k in ("letter", "text", "generate")}, indent=1))


if __name__ == "__main__":
    main()
