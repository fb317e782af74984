#!/usr/bin/env python3
"""Does llama.cpp answer as we do with the files that `kontor convert` and `quantize` write?

    bench/peer_logits.py --kontor build/release/kontor --writer build/release/tests/e2e/sighted_folder --peer DIR \\
        --tokenizer build/deps/models/qwen35/tokenizer.json [--json FILE]

Small random models of Qwen3.5's kinds (dense; experts) as folders, with a tokenizer of single bytes, become GGUF files of several
types. llama-perplexity reads a text with each and writes the logarithms of its probabilities (--kl-divergence-base); kontor reads the
same tokens in the same windows (`perplexity --save-logits`). Compared are all entries of all positions the peer judges (the
second half of each window) but those more than 16 below the most probable, where its file stops. Both files have 16 bits for an
entry: differences below 0.0005 mean nothing.

Columns: mean KL divergence of the peer's prediction from ours, mean and largest difference of a logarithm, positions with the same
first choice."""
import argparse
import array
import json
import math
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

WINDOW, TYPES = 256, "F32 F16 Q8_0 Q4_K_M"
CONTROL = {"<|im_start|>": 960, "<|im_end|>": 961, "<|endoftext|>": 962, "<|vision_start|>": 963, "<|vision_end|>": 964,
           "<|image_pad|>": 1000, "<|video_pad|>": 1001}


def run(*argv):
    p = subprocess.run([str(a) for a in argv], capture_output=True, text=True, errors="replace")
    if p.returncode:
        sys.exit(f"peer_logits: {pathlib.Path(str(argv[0])).name} ended with {p.returncode}: {(p.stderr or p.stdout).strip()[-600:]}")
    return p.stdout


def letters():
    """The letter that stands for each byte in such vocabularies."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in plain]
    return {b: chr(b) if b in plain else chr(256 + others.index(b)) for b in range(256)}


def write_tokenizer(folder, real):
    t = json.loads(pathlib.Path(real).read_text(encoding="utf-8"))
    spelled = letters()
    vocab = {letter: byte for byte, letter in spelled.items()}
    vocab |= {spelled[97] + spelled[98]: 256}  # one merge, because readers want some
    vocab |= {f"\u0120{i}": i for i in [*range(257, 960), *range(965, 1000)]}
    t["model"] = {"type": "BPE", "vocab": vocab, "merges": [[spelled[97], spelled[98]]]}
    t["added_tokens"] = [{"id": i, "content": s, "special": True, "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False} for s, i in sorted(CONTROL.items(), key=lambda x: x[1])]
    (folder / "tokenizer.json").write_text(json.dumps(t), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text("{}")


def peer_rows(path):
    """tokens, {(window, position): [log p or None]}"""
    data = path.read_bytes()
    if data[:8] != b"_logits_":
        sys.exit(f"peer_logits: {path}: not what the peer writes")
    n_ctx, n_vocab, n_windows = struct.unpack_from("<iii", data, 8)
    n_tokens, at = n_ctx * n_windows, 20
    tokens = struct.unpack_from(f"<{n_tokens}i", data, at)
    at += 4 * n_tokens
    rows, first, size = {}, n_ctx // 2, 2 * (2 * ((n_vocab + 1) // 2) + 4)
    for w in range(n_windows):
        for pos in range(first, n_ctx - 1):
            scale, least = struct.unpack_from("<ff", data, at)
            q = array.array("H", data[at + 8:at + 8 + 2 * n_vocab])
            rows[w, pos] = [least + scale * x if x else None for x in q]
            at += size
    return tokens, rows


def our_rows(path, wanted):
    data = path.read_bytes()
    _, n_vocab, n_window, _, n_tokens = struct.unpack_from("<IIIIQ", data, 8)
    at, size, rows = 32 + 4 * n_tokens, 8 + 2 * (n_vocab + n_vocab % 2), {}
    for i in range(n_tokens):
        w, pos = divmod(i, n_window)
        if pos == n_window - 1 or i == n_tokens - 1:
            continue
        if (w, pos) in wanted:
            top, step = struct.unpack_from("<ff", data, at)
            logs = [top - step * x for x in array.array("H", data[at + 8:at + 8 + 2 * n_vocab])]
            total = math.log(sum(map(math.exp, logs)))
            rows[w, pos] = [x - total for x in logs]
        at += size
    return rows


def compare(ours, theirs):
    kl, total, largest, same, n = 0.0, 0.0, 0.0, 0, 0
    for key, b in theirs.items():
        a = ours[key]
        same += max(range(len(a)), key=a.__getitem__) == max(range(len(b)), key=lambda i: -1e9 if b[i] is None else b[i])
        for x, y in zip(a, b):
            if y is not None:
                d = abs(x - y)
                kl += math.exp(x) * (x - y)
                total, largest, n = total + d, max(largest, d), n + 1
    return {"positions": len(theirs), "kl": kl / len(theirs), "mean": total / n, "largest": largest, "same_top": same / len(theirs)}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--kontor", "--writer", "--peer", "--tokenizer"):
        ap.add_argument(name, required=True)
    ap.add_argument("--json")
    args = ap.parse_args()
    rng, results = random.Random(4), []
    print(f"{'model':8} {'type':8} {'positions':>9} {'KL':>10} {'mean |d|':>9} {'largest':>9} {'same first':>10}")
    with tempfile.TemporaryDirectory(prefix="kontor-peer-") as tmp:
        tmp = pathlib.Path(tmp)
        text, ids, gguf, theirs, ours = (tmp / n for n in ("text", "ids", "model.gguf", "theirs", "ours"))
        text.write_text("".join(chr(rng.randrange(32, 127)) for _ in range(4 * WINDOW + 8)))
        for model, argv in (("dense", ()), ("experts", ("1",))):
            folder = tmp / model
            folder.mkdir()
            run(args.writer, folder, *argv)
            write_tokenizer(folder, args.tokenizer)
            for kind in TYPES.split():
                run(args.kontor, "convert" if kind in ("F32", "F16") else "quantize", folder, gguf, "--type", kind, "--replace")
                run(f"{args.peer}/llama-perplexity", "-m", gguf, "-f", text, "-c", WINDOW, "-b", WINDOW, "-t", 2, "--no-repack", "-ctk", "f32", "-ctv", "f32",
                    "--kl-divergence-base", theirs)
                tokens, rows = peer_rows(theirs)
                ids.write_text(" ".join(map(str, tokens)))
                run(args.kontor, "perplexity", "-m", gguf, "--tokens", ids, "--ctx", WINDOW, "--save-logits", ours)
                r = {"model": model, "type": kind, **compare(our_rows(ours, rows), rows)}
                results.append(r)
                print(f"{model:8} {kind:8} {r['positions']:9} {r['kl']:10.2e} {r['mean']:9.5f} {r['largest']:9.5f} {100 * r['same_top']:9.2f}%",
                      flush=True)
    if args.json:
        pathlib.Path(args.json).write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
