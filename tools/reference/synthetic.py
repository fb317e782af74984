"""Small models of every shape with weights that are a function of their names.

tests/golden/synthetic.c writes the same models; the rules here and there must agree:

  value(name, i) = uniform in [-1, 1), 24 bits, from splitmix64's finaliser over FNV-1a of the name
  weight         = base + value * scale, in float32, rounded to bfloat16 unless the file keeps float32

'base' and 'scale' depend on what a tensor is (see rule()). The name is that of a text-only model
("model.layers.0. ..."), whatever prefix a file puts before it.
"""
import numpy as np

FNV_BASIS, FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3
U64 = (1 << 64) - 1


def values(name, n):
    h = FNV_BASIS
    for b in name.encode():
        h = ((h ^ b) * FNV_PRIME) & U64
    with np.errstate(over="ignore"):
        z = np.uint64(h) + (np.arange(n, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1.0)


def to_bf16(x):
    u = np.ascontiguousarray(x, dtype=np.float32).view(np.uint32)
    u = (u + np.uint32(0x7FFF) + ((u >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return u.view(np.float32)


def rule(name, shape, zero_centred):
    """base, scale, kept in float32?"""
    if name.endswith("A_log"):
        return 0.0, 1.5, True
    if name.endswith("dt_bias"):
        return 0.0, 1.0, False
    if name.endswith("linear_attn.norm.weight"):
        return 1.0, 0.5, True
    if "pre_fc_norm" in name or name.endswith("norm.weight") or name.endswith("layernorm.weight") or name.endswith("LayerNorm.weight"):
        return (0.0 if zero_centred else 1.0), 0.5, False
    if name.endswith("conv1d.weight"):
        return 0.0, 0.8, False
    if name.endswith(".bias"):
        return 0.0, 0.3, False
    if "embed" in name:
        return 0.0, 1.0, False
    gain = 2.0 if ("q_proj" in name or "k_proj" in name or ".query." in name or ".key." in name) else 1.0
    return 0.0, float(np.float32(gain * np.sqrt(3.0 / shape[-1]))), False


def weight(name, shape, zero_centred):
    base, scale, keep = rule(name, shape, zero_centred)
    w = np.float32(base) + values(name, int(np.prod(shape))) * np.float32(scale)
    return (w if keep else to_bf16(w)).reshape(shape)


def tokens(name, n, n_vocab):
    v = values(name, n).astype(np.float64)
    return ((v + 1.0) / 2.0 * n_vocab).astype(np.int64)


# Everything else is common: vocabulary 1024, hidden 256, n_ff 512, eps 1e-5 (bert 1e-12).
MODELS = {
    "llama-tied": dict(arch="llama", layers=3, heads=4, kv=2, dh=64, tied=True, theta=10000.0),
    "llama-rope3": dict(arch="llama", layers=3, heads=8, kv=2, dh=32, tied=False, theta=500000.0,
                        rope3=dict(factor=8.0, low=1.0, high=4.0, old=64)),
    "qwen2": dict(arch="qwen2", layers=3, heads=4, kv=2, dh=64, tied=True, theta=1000000.0),
    "qwen3": dict(arch="qwen3", layers=3, heads=6, kv=2, dh=128, tied=False, theta=1000000.0),
    "qwen35-r1": dict(arch="qwen35", layers=8, heads=4, kv=2, dh=256, tied=True, theta=10000000.0, nk=2, nv=2),
    "qwen35-r2": dict(arch="qwen35", layers=5, heads=4, kv=1, dh=256, tied=False, theta=10000000.0, nk=2, nv=4,
                      yarn=dict(factor=4.0, old=32)),
    "qwen35-r3": dict(arch="qwen35", layers=5, heads=3, kv=1, dh=256, tied=True, theta=10000000.0, nk=2, nv=6),
    "qwen35-r4": dict(arch="qwen35", layers=5, heads=4, kv=2, dh=256, tied=False, theta=10000000.0, nk=2, nv=8,
                      mtp=True),
    "moe-r2": dict(arch="qwen35moe", layers=5, heads=4, kv=2, dh=256, tied=False, theta=10000000.0, nk=2, nv=4,
                   experts=8, used=2, ff_expert=256, ff_shared=256, mtp=True),
    "moe-r4": dict(arch="qwen35moe", layers=4, heads=6, kv=1, dh=256, tied=True, theta=10000000.0, nk=2, nv=8,
                   experts=16, used=4, ff_expert=96, ff_shared=160, mtp=True),
    "bert": dict(arch="bert", layers=3, heads=8, kv=8, dh=32, tied=True),
}
