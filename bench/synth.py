#!/usr/bin/env python3
"""A model of Qwen3.5's true sizes with random weights, to measure speed with.

    bench/synth.py SIZE OUT.gguf [TOKENIZER.json]        SIZE: 0.8B, 2B, 4B; mini, mini-moe: no true sizes, for quick comparisons

Half-precision matrices of about N(0, 0.02), the small vectors in 32 bits, no tokenizer unless one is given (servers take texts), GGUF's names and keys
(docs/FORMATS.md). Written in pieces of one megabyte of ready-made numbers, so that it needs no memory and no numpy.
The same SIZE gives the same bytes. Such a model says nothing sensible; its speed is that of a real one.
"""
import json
import random
import struct
import sys

VOCAB, HEAD, KEY, TAPS = {"mini": 4096, "mini-moe": 4096}, 256, 128, 4
SIZES = {  # d_model, layers, heads, kv heads, feed-forward, linear key heads, linear value heads
    "0.8B": (1024, 24, 8, 2, 3584, 16, 16),
    "2B": (2048, 24, 8, 2, 6144, 16, 16),
    "4B": (2560, 32, 16, 4, 9216, 16, 32),
    "mini": (512, 8, 4, 2, 1536, 2, 4),
    "mini-moe": (512, 8, 4, 2, 0, 2, 4),
}
EXPERTS, USED, FF_EXPERT = 16, 2, 256  # of mini-moe; the shared one is as large
MINI = ("mini", "mini-moe")  # with a head of their own, so that they do not simply repeat the last token
U32, F32, BOOL, STR, ARRAY, I32 = 4, 6, 7, 8, 9, 5
TYPE_F32, TYPE_F16 = 0, 1
HALVES = 1 << 19  # numbers in a piece


def vocabulary(size):
    return VOCAB.get(size, 248320)


def text(s):
    data = s.encode()
    return struct.pack("<Q", len(data)) + data


def entry(key, kind, value):
    head = text(key) + struct.pack("<I", kind)
    if kind == STR:
        return head + text(value)
    if kind == ARRAY and isinstance(value[0], str):
        return head + struct.pack("<IQ", STR, len(value)) + b"".join(map(text, value))
    if kind == ARRAY:
        return head + struct.pack("<IQ", I32, len(value)) + struct.pack(f"<{len(value)}i", *value)
    return head + struct.pack({U32: "<I", F32: "<f"}[kind], value)


def tokenizer_metadata(path, n_vocab):
    """The vocabulary of a tokenizer.json, filled up to the model's; its end of a turn is the end of an answer."""
    with open(path, encoding="utf-8") as f:
        t = json.load(f)
    tokens, types = [f"[PAD{i}]" for i in range(n_vocab)], [5] * n_vocab  # unused
    for token, i in t["model"]["vocab"].items():
        tokens[i], types[i] = token, 1
    for added in t["added_tokens"]:
        tokens[added["id"]], types[added["id"]] = added["content"], 3 if added["special"] else 4  # control; a user's
    return [entry("tokenizer.ggml.model", STR, "gpt2"), entry("tokenizer.ggml.pre", STR, "qwen35"),
            entry("tokenizer.ggml.tokens", ARRAY, tokens), entry("tokenizer.ggml.token_type", ARRAY, types),
            entry("tokenizer.ggml.merges", ARRAY, [m if isinstance(m, str) else " ".join(m) for m in t["model"]["merges"]]),
            entry("tokenizer.ggml.eos_token_id", U32, tokens.index("<|im_end|>"))]


def metadata(size, tokenizer=None):
    d, layers, heads, kv_heads, ff, k_heads, v_heads = SIZES[size]
    moe = size == "mini-moe"
    p = "qwen35moe." if moe else "qwen35."
    experts = [entry(p + "expert_count", U32, EXPERTS), entry(p + "expert_used_count", U32, USED),
               entry(p + "expert_feed_forward_length", U32, FF_EXPERT),
               entry(p + "expert_shared_feed_forward_length", U32, FF_EXPERT)]
    return (experts if moe else [entry(p + "feed_forward_length", U32, ff)]) + [
        entry("general.architecture", STR, p[:-1]),
        entry("general.name", STR, f"random weights in the shape of Qwen3.5-{size}"),
        entry("general.file_type", U32, 1),
        entry(p + "block_count", U32, layers), entry(p + "context_length", U32, 262144),
        entry(p + "embedding_length", U32, d),
        entry(p + "attention.head_count", U32, heads), entry(p + "attention.head_count_kv", U32, kv_heads),
        entry(p + "attention.key_length", U32, HEAD), entry(p + "attention.value_length", U32, HEAD),
        entry(p + "attention.layer_norm_rms_epsilon", F32, 1e-6), entry(p + "rope.freq_base", F32, 1e7),
        entry(p + "rope.dimension_count", U32, HEAD // 4),
        entry(p + "rope.dimension_sections", ARRAY, [11, 11, 10, 0]),
        entry(p + "ssm.conv_kernel", U32, TAPS), entry(p + "ssm.state_size", U32, KEY),
        entry(p + "ssm.group_count", U32, k_heads), entry(p + "ssm.time_step_rank", U32, v_heads),
        entry(p + "ssm.inner_size", U32, v_heads * KEY), entry(p + "full_attention_interval", U32, 4),
        entry(p + "vocab_size", U32, vocabulary(size)),
    ] + (tokenizer_metadata(tokenizer, vocabulary(size)) if tokenizer else [entry("tokenizer.ggml.model", STR, "no_vocab")])


def tensors(size):
    """(name, columns and rows, mean and spread, or None for a matrix)"""
    d, layers, heads, kv_heads, ff, k_heads, v_heads = SIZES[size]
    keys, values = k_heads * KEY, v_heads * KEY
    norm = (1.0, 0.1)
    vocab = vocabulary(size)
    yield "token_embd.weight", (d, vocab), None
    if size in MINI:
        yield "output.weight", (d, vocab), (0.0, 0.1)
    yield "output_norm.weight", (d,), norm
    for i in range(layers):
        b = f"blk.{i}."
        yield b + "attn_norm.weight", (d,), norm
        yield b + "post_attention_norm.weight", (d,), norm
        if i % 4 == 3:
            yield b + "attn_q.weight", (d, 2 * heads * HEAD), None
            yield b + "attn_k.weight", (d, kv_heads * HEAD), None
            yield b + "attn_v.weight", (d, kv_heads * HEAD), None
            yield b + "attn_output.weight", (heads * HEAD, d), None
            yield b + "attn_q_norm.weight", (HEAD,), norm
            yield b + "attn_k_norm.weight", (HEAD,), norm
        else:
            yield b + "attn_qkv.weight", (d, 2 * keys + values), None
            yield b + "attn_gate.weight", (d, values), None
            yield b + "ssm_conv1d.weight", (TAPS, 2 * keys + values), (0.0, 0.3)
            yield b + "ssm_dt.bias", (v_heads,), (0.0, 1.0)
            yield b + "ssm_a", (v_heads,), (-1.0, 0.2)
            yield b + "ssm_beta.weight", (d, v_heads), None
            yield b + "ssm_alpha.weight", (d, v_heads), None
            yield b + "ssm_norm.weight", (KEY,), norm
            yield b + "ssm_out.weight", (values, d), None
        if size == "mini-moe":
            yield b + "ffn_gate_inp.weight", (d, EXPERTS), (0.0, 0.1)
            yield b + "ffn_gate_inp_shexp.weight", (d,), (0.0, 0.1)
            for kind, stack in (("exps", (EXPERTS,)), ("shexp", ())):
                yield b + f"ffn_gate_{kind}.weight", (d, FF_EXPERT, *stack), None
                yield b + f"ffn_up_{kind}.weight", (d, FF_EXPERT, *stack), None
                yield b + f"ffn_down_{kind}.weight", (FF_EXPERT, d, *stack), None
            continue
        yield b + "ffn_gate.weight", (d, ff), None
        yield b + "ffn_up.weight", (d, ff), None
        yield b + "ffn_down.weight", (ff, d), None


def count(shape):
    n = 1
    for x in shape:
        n *= x
    return n


def pad(f):
    f.write(b"\0" * (-f.tell() % 32))


def write_matrix(f, n, piece, rng):
    """n halves, each megabyte from another place of a piece, so that rows differ"""
    while n:
        at = rng.randrange(HALVES // 2)
        some = min(n, HALVES - at)
        f.write(piece[2 * at:2 * (at + some)])
        n -= some


def write(size, path, tokenizer=None):
    rng = random.Random(35)
    piece = struct.pack(f"<{HALVES}e", *(rng.gauss(0.0, 0.02) for _ in range(HALVES)))
    infos, at, n_tensors = b"", 0, 0
    for name, shape, spread in tensors(size):
        kind = TYPE_F32 if spread else TYPE_F16
        infos += text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape) + struct.pack("<IQ", kind, at)
        at += (count(shape) * (4 if spread else 2) + 31) // 32 * 32
        n_tensors += 1
    entries = metadata(size, tokenizer)
    with open(path, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, n_tensors, len(entries)) + b"".join(entries) + infos)
        pad(f)
        for name, shape, spread in tensors(size):
            n = count(shape)
            if spread:
                f.write(struct.pack(f"<{n}f", *(rng.gauss(*spread) for _ in range(n))))
            else:
                write_matrix(f, n, piece, rng)
            pad(f)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4) or sys.argv[1] not in SIZES:
        sys.exit(__doc__)
    write(*sys.argv[1:])
