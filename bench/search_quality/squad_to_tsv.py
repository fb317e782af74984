#!/usr/bin/env python3
"""squad_to_tsv.py PASSAGES.json QUESTIONS.json OUT [MODEL]: SQuAD-shaped files (such as XQuAD's, which are parallel:
the n-th paragraph of each language is the same text) -> OUT.p.tsv and OUT.q.tsv for search_quality; with a folder
of a sentence-transformers model also their vectors."""
import json, sys

def paragraphs(path):
    return [p for article in json.load(open(path, encoding="utf-8"))["data"] for p in article["paragraphs"]]

def one_line(s):
    return " ".join(s.split())

passages, questions, out = sys.argv[1:4]
texts = [one_line(p["context"]) for p in paragraphs(passages)]
asked = [(i, one_line(q["question"])) for i, p in enumerate(paragraphs(questions)) for q in p["qas"]]
with open(out + ".p.tsv", "w", encoding="utf-8") as f:
    f.writelines(t + "\n" for t in texts)
with open(out + ".q.tsv", "w", encoding="utf-8") as f:
    f.writelines(f"{i}\t{q}\n" for i, q in asked)

if len(sys.argv) > 4:
    import numpy, torch
    from transformers import AutoModel, AutoTokenizer
    tokenizer, model = AutoTokenizer.from_pretrained(sys.argv[4]), AutoModel.from_pretrained(sys.argv[4]).eval()

    def embed(lines):
        rows = []
        for at in range(0, len(lines), 32):
            batch = tokenizer(lines[at:at + 32], padding=True, truncation=True, max_length=256, return_tensors="pt")
            with torch.no_grad():
                states = model(**batch).last_hidden_state
            mask = batch["attention_mask"][:, :, None]
            v = (states * mask).sum(1) / mask.sum(1)
            rows.append(torch.nn.functional.normalize(v, dim=1).numpy())
        return numpy.concatenate(rows).astype("<f4")
    embed(texts).tofile(out + ".p.f32")
    embed([q for _, q in asked]).tofile(out + ".q.f32")
