"""Goldens of the two real models that tests use.

    python tools/reference/goldens_real.py smollm2 SmolLM2-135M-Instruct.Q4_1.gguf
    python tools/reference/goldens_real.py minilm FOLDER

smollm2: transformers dequantises the GGUF and computes in float32, in windows of 512 tokens, each read
         afresh, as perplexity is usually taken. smollm2.gold holds logits of every position of smollm2.txt
         at every 1536th token id (format: goldens.py); smollm2.nll is float32 for each position: the
         negative log likelihood of the next token, or -1 where the window ends.
minilm:  minilm.vec is int32 n_texts, then for each text int32 n_tokens, tokens, and 384 float32: the mean
         of the last hidden states at length 1. The texts are below.
"""
import os
import sys

import numpy as np
import torch
import transformers as tf

from goldens import OUT, save

WINDOW = 512
TEXTS = [
    "The lease ends on 30 September.", "Der Mietvertrag endet am 30. September.",
    "Invoice 2024-117 is overdue since the first of May.", "Please send the signed contract by Friday.",
    "The patient was seen for a routine examination.", "Meeting minutes: the budget was approved unanimously.",
    "Bitte überweisen Sie den Betrag innerhalb von 14 Tagen.", "Notice of termination without notice period",
    "How much is the deposit?", "Wie hoch ist die Kaution?", "a", "", "12345 67890",
    "The court dismissed the appeal because it was filed after the deadline had expired.",
    "Our office is closed between Christmas and New Year.",
    "Attached you will find the expert opinion on the water damage in the basement of the building, "
    "together with photographs, the cost estimate of two contractors and the statement of the tenant.",
    "Kündigung", "E-mail: kanzlei@example.org, phone +49 30 123456", "What is the capital of France?",
    "This sentence repeats itself. " * 40,
]


def smollm2(path):
    folder, name = os.path.split(os.path.abspath(path))
    tok = tf.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = tf.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
    text = open(os.path.join(OUT, "smollm2.txt"), encoding="utf-8").read()
    ids = np.array(tok(text, add_special_tokens=False).input_ids)
    logits, nll = [], np.full(len(ids), -1.0, np.float32)
    for at in range(0, len(ids), WINDOW):
        part = torch.from_numpy(ids[at:at + WINDOW])
        with torch.no_grad():
            logits.append(model(part[None]).logits[0])
        logp = torch.log_softmax(logits[-1].double(), dim=-1)
        n = len(part) - 1
        nll[at:at + n] = -logp[torch.arange(n), part[1:]].numpy()
    logits = torch.cat(logits)
    save(os.path.join(OUT, "smollm2.gold"), ids, logits.numpy(), np.arange(0, logits.shape[1], 1536))
    nll.tofile(os.path.join(OUT, "smollm2.nll"))
    print(len(ids), "tokens, perplexity", np.exp(nll[nll >= 0].astype(np.float64).mean()))


def minilm(folder):
    tok = tf.AutoTokenizer.from_pretrained(folder)
    model = tf.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    with open(os.path.join(OUT, "minilm.vec"), "wb") as f, torch.no_grad():
        np.array([len(TEXTS)], np.int32).tofile(f)
        for text in TEXTS:
            ids = tok(text, truncation=True, max_length=256, return_tensors="pt")
            v = model(**ids).last_hidden_state[0].mean(dim=0).numpy()
            ids = ids.input_ids[0].numpy().astype(np.int32)
            np.array([len(ids)], np.int32).tofile(f)
            ids.tofile(f)
            (v / np.linalg.norm(v)).astype(np.float32).tofile(f)
    print(len(TEXTS), "texts")


if __name__ == "__main__":
    torch.backends.mkldnn.enabled = False
    {"smollm2": smollm2, "minilm": minilm}[sys.argv[1]](sys.argv[2])
