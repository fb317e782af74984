#!/usr/bin/env python3
"""tests/golden/eval.json: what transformers says about the choices of tests/data/eval.

    eval.py SmolLM2-135M-Instruct.Q4_1.gguf tests/data/eval OUT.json

The weights are read from the GGUF file and turned into float32. Prompts are those of src/quality/evaluate.h, written here
once more: with the letters of the choices and no example, with two examples, and with the choices' texts. Scores are sums of
log-probabilities; of texts also the number of tokens and bytes that they are divided by."""
import csv
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def rows(folder):
    for path in sorted(p for p in folder.iterdir()):
        name = path.stem
        if path.suffix == ".jsonl":
            for line in path.read_text(encoding="utf-8").splitlines():
                o = json.loads(line)
                choices = o.get("choices") or o["options"]
                answer = o["answer"] if isinstance(o["answer"], int) else "ABCDE".index(o["answer"])
                yield o["question"], choices, answer, o.get("subject") or o["category"], o["language"]
            continue
        lines = list(csv.reader(path.open(encoding="utf-8")))
        if "Question" in lines[0]:
            head, lines = lines[0], lines[1:]
            for r in lines:
                r = dict(zip(head, r))
                yield r["Question"], [r[c] for c in "ABCD"], "ABCD".index(r["Answer"]), r["Subject"], "DE"
        else:
            for r in lines:
                yield r[0], r[1:-1], "ABCD".index(r[-1]), name.rsplit("_", 1)[0], ""


def question(q, letters):
    lines = [q[0]] + ([f"{chr(65 + i)}. {c}" for i, c in enumerate(q[1])] if letters else [])
    return "\n".join(lines) + "\nAnswer:"


def prompt(q, dev, n_shots, letters):
    same = [d for d in dev if d[3:] == q[3:]]
    language = [d for d in dev if d not in same and d[4] == q[4]]
    shots = (same + language + [d for d in dev if d not in same and d not in language])[:n_shots]
    out = f"The following are multiple choice questions (with answers) about {q[3].replace('_', ' ')}.\n\n"
    for s in shots:
        out += question(s, letters) + " " + (chr(65 + s[2]) if letters else s[1][s[2]]) + "\n\n"
    return out + question(q, letters)


def main():
    gguf, suite, out = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
    folder, name = pathlib.Path(gguf).parent, pathlib.Path(gguf).name
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    test, dev = list(rows(suite / "test")), list(rows(suite / "dev"))

    def score(prefix, tail):
        p = tokenizer(prefix, add_special_tokens=False).input_ids
        t = tokenizer(tail, add_special_tokens=False).input_ids
        with torch.no_grad():
            logp = torch.log_softmax(model(torch.tensor([p + t])).logits[0].double(), -1)
        return sum(float(logp[len(p) - 1 + i, x]) for i, x in enumerate(t)), len(t)

    result = {"letter0": [], "letter2": [], "text": [], "text_tokens": [], "answers": [q[2] for q in test]}
    for q in test:
        for key, n in (("letter0", 0), ("letter2", 2)):
            p = prompt(q, dev, n, True)
            result[key].append([round(score(p, f" {chr(65 + i)}")[0], 5) for i in range(len(q[1]))])
        p = prompt(q, dev, 0, False)
        both = [score(p, " " + c) for c in q[1]]
        result["text"].append([round(s, 5) for s, _ in both])
        result["text_tokens"].append([n for _, n in both])
    with open(out, "w", encoding="utf-8") as f:
        f.write("{\n" + ",\n".join(f'"{k}": {json.dumps(v)}' for k, v in result.items()) + "\n}\n")


if __name__ == "__main__":
    main()
