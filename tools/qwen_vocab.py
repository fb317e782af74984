#!/usr/bin/env python3
"""qwen_vocab.py TIKTOKEN OUTDIR: Qwen3.5's vocabulary as OUTDIR/tokenizer.json.

The published form that packages carry is a tiktoken file: one token a line, its bytes in base64 and its
rank, which is its id. That file has no merges, but they follow from it: which two tokens a token is made of is
found by merging its bytes by rank until two parts are left. Some 200 tokens end in more than two parts: they
came into the vocabulary another way and no merge leads to them. What is left is exactly the published number.

Around the vocabulary stand the facts that tokenizer.json also holds: the expression that cuts words, NFC, and
the added tokens. Needs nothing but Python.
"""
import base64
import json
import os
import sys

SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
FIRST_ADDED = 248044
N_MERGES = 247587
# In order of id; the second value is the "special" flag.
ADDED = [
    ("<|endoftext|>", True), ("<|im_start|>", True), ("<|im_end|>", True),
    ("<|object_ref_start|>", True), ("<|object_ref_end|>", True),
    ("<|box_start|>", True), ("<|box_end|>", True), ("<|quad_start|>", True), ("<|quad_end|>", True),
    ("<|vision_start|>", True), ("<|vision_end|>", True), ("<|vision_pad|>", True),
    ("<|image_pad|>", True), ("<|video_pad|>", True),
    ("<tool_call>", False), ("</tool_call>", False),
    ("<|fim_prefix|>", False), ("<|fim_middle|>", False), ("<|fim_suffix|>", False), ("<|fim_pad|>", False),
    ("<|repo_name|>", False), ("<|file_sep|>", False),
    ("<tool_response>", False), ("</tool_response>", False), ("<think>", False), ("</think>", False),
    ("<|audio_start|>", True), ("<|audio_end|>", True), ("<tts_pad>", True), ("<tts_text_bos>", True),
    ("<tts_text_eod>", True), ("<tts_text_bos_single>", True), ("<|audio_pad|>", True),
]


def byte_spelling():
    """The printable character of every byte: printing ones are themselves, the others U+0100 and up."""
    spell, extra = [], 256
    for b in range(256):
        if 33 <= b <= 126 or 161 <= b <= 172 or b >= 174:
            spell.append(chr(b))
        else:
            spell.append(chr(extra))
            extra += 1
    return spell


def read_ranks(path):
    """Tokens by rank, as bytes."""
    tokens = []
    with open(path, "rb") as f:
        for number, line in enumerate(f, 1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) != 2 or int(fields[1]) != len(tokens):
                sys.exit(f"{path}: line {number}: expected a token and the rank {len(tokens)}")
            tokens.append(base64.b64decode(fields[0], validate=True))
    return tokens


def parts_of(token, rank_of):
    """The parts that merging by rank leaves of a token, at least two."""
    never = len(rank_of)
    parts = [token[i : i + 1] for i in range(len(token))]
    ranks = [rank_of.get(parts[i] + parts[i + 1], never) for i in range(len(parts) - 1)]
    while len(parts) > 2:
        best = min(ranks)
        if best == never:
            break
        i = ranks.index(best)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
        del ranks[i]
        if i < len(ranks):
            ranks[i] = rank_of.get(parts[i] + parts[i + 1], never)
        if i > 0:
            ranks[i - 1] = rank_of.get(parts[i - 1] + parts[i], never)
    return parts


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: qwen_vocab.py TIKTOKEN OUTDIR")
    path, outdir = sys.argv[1:]
    tokens = read_ranks(path)
    if len(tokens) != FIRST_ADDED:
        sys.exit(f"{path}: {len(tokens)} tokens, expected the {FIRST_ADDED} of Qwen3.5")
    rank_of = {t: r for r, t in enumerate(tokens)}
    spell = byte_spelling()
    spelled = ["".join(spell[b] for b in t) for t in tokens]

    merges = []
    for token in tokens:
        parts = parts_of(token, rank_of) if len(token) > 1 else []
        if len(parts) == 2:
            merges.append([spelled[rank_of[p]] for p in parts])
    if len(merges) != N_MERGES:
        sys.exit(f"{path}: {len(merges)} merges follow from it, expected {N_MERGES}")

    doc = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": FIRST_ADDED + i, "content": text, "single_word": False, "lstrip": False,
             "rstrip": False, "normalized": False, "special": special}
            for i, (text, special) in enumerate(ADDED)
        ],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
            ],
        },
        "post_processor": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                           "use_regex": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False,
                    "use_regex": False},
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
            "vocab": {s: i for i, s in enumerate(spelled)},
            "merges": merges,
        },
    }
    os.makedirs(outdir, exist_ok=True)
    part = os.path.join(outdir, "tokenizer.json.part")
    with open(part, "w", encoding="utf-8") as f:
        json.dump(doc, f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    os.replace(part, os.path.join(outdir, "tokenizer.json"))
    print(f"{outdir}/tokenizer.json: {len(tokens)} tokens, {len(merges)} merges, "
          f"{len(ADDED)} added tokens", file=sys.stderr)


if __name__ == "__main__":
    main()
