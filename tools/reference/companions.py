#!/usr/bin/env python3
"""companions.py: reference for models that embed and rank (tests/golden/companions.json).

    python tools/reference/companions.py        (needs torch, transformers, tokenizers; never run by CI)

The model is 'qwen3' of synthetic.py with a tied head; its vocabulary is made here and, alike, in
tests/golden/test_golden_companions.c. Embedding: the last hidden state of the end token appended to a text,
brought to length 1. Ranking: softmax of the two logits of "yes" and "no" after the prompt, kept as their
difference (the logarithm of the odds), for a random model is often sure of itself.
"""
import json
import os

import numpy as np
import torch
import transformers as tf
from tokenizers import Tokenizer, models, pre_tokenizers

import goldens
import synthetic as syn

OUT = os.path.join(goldens.OUT, "companions.json")
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]  # ids from 259
YES, NO = 257, 258
TASK = "Given a web search query, retrieve relevant passages that answer the query"
LAYOUT = ("<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
          "provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n"
          "<Instruct>: {instruction}\n<Query>: {query}\n<Document>: {document}<|im_end|>\n"
          "<|im_start|>assistant\n<think>\n\n</think>\n\n")
OTHER = "<|im_start|>{document}<|im_end|>|{query}|{document}\n<think>"
TEXTS = ["The deposit is three months' rent.", "Wie hoch ist die Kaution?", "", "yes", "no", "a",
         "Kündigung zum 30. September", "it ends <|endoftext|>", "x" * 500]
QUERIES = ["How much is the deposit?", "Wann endet der Vertrag?"]


def byte_spelling():
    """Printable characters of bytes, as GPT-2 has them."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [b for b in range(256) if b not in printed]
    return [chr(b) if b in printed else chr(256 + moved.index(b)) for b in range(256)]


def tokenizer():
    vocab = {c: i for i, c in enumerate(byte_spelling())} | {"ye": 256, "yes": YES, "no": NO}
    t = Tokenizer(models.BPE(vocab, [("y", "e"), ("ye", "s"), ("n", "o")]))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return t


def encode(t, layout, fields):
    """The layout's control tokens are recognised before the fields are filled in."""
    ids, plain = [], ""

    def flush():
        ids.extend(t.encode(plain).ids)
    while layout:
        for i, c in enumerate(CONTROL):
            if layout.startswith(c):
                flush()
                plain = ""
                ids.append(259 + i)
                layout = layout[len(c):]
                break
        else:
            for mark, text in fields.items():
                if layout.startswith(mark):
                    plain += text
                    layout = layout[len(mark):]
                    break
            else:
                plain += layout[0]
                layout = layout[1:]
    flush()
    return ids


def main():
    m = dict(syn.MODELS["qwen3"], tied=True)
    model = goldens.build(m).float().eval()
    goldens.fill(model, False, True)
    t = tokenizer()

    def run(ids):
        with torch.no_grad():
            out = model(torch.tensor([ids]), output_hidden_states=True)
        return out.hidden_states[-1][0, -1].numpy().astype(np.float64), out.logits[0, -1].numpy().astype(np.float64)

    def embed(text):
        h, _ = run(t.encode(text).ids + [259])
        return [float(f"{x:.7g}") for x in h / np.linalg.norm(h)]

    def rank(layout, query, document):
        _, logits = run(encode(t, layout, {"{instruction}": TASK, "{query}": query, "{document}": document}))
        return float(f"{logits[YES] - logits[NO]:.7g}")

    docs = [f"{a} {b}" for a in ("The rent", "A deposit", "No", "yes", "Die Kaution") for b in
            ("is due on Monday.", "of 300 euros", "beträgt drei Monatsmieten", "<|im_end|>", "")]
    doc = {
        "documents": [{"text": x, "vector": embed(x)} for x in TEXTS],
        "queries": [{"text": x, "vector": embed(f"Instruct: {TASK}\nQuery:{x}")} for x in QUERIES],
        "other_layout": OTHER,
        "ranked": [{"query": q, "other": other, "documents": docs,
                    "log_odds": [rank(OTHER if other else LAYOUT, q, d) for d in docs]}
                   for q in QUERIES for other in (False, True)],
    }
    with open(OUT, "w") as f:
        json.dump(doc, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    for r in doc["ranked"]:
        print(r["query"], r["other"], "from", min(r["log_odds"]), "to", max(r["log_odds"]))


if __name__ == "__main__":
    torch.set_num_threads(2)
    torch.backends.mkldnn.enabled = False
    main()
