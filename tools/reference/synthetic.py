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


def tower_rule(name, shape):
    if name.endswith(".bias"):
        return 0.0, 0.3
    if "norm" in name:
        return 1.0, 0.5
    if "pos_embed" in name:
        return 0.0, 1.0
    gain = 2.0 if "qkv" in name else 1.0
    return 0.0, float(np.float32(gain * np.sqrt(3.0 / np.prod(shape[1:]))))


def rule(name, shape, zero_centred, slow=False):
    """base, scale, kept in float32?"""
    if ".visual." in name:
        return tower_rule(name, shape) + (False,)
    if name.endswith("A_log"):
        return 0.0, 1.5, True
    if name.endswith("dt_bias"):  # slow: states that remember for up to tens of thousands of tokens
        return (-4.0, 4.0, False) if slow else (0.0, 1.0, False)
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


def weight(name, shape, zero_centred, slow=False):
    base, scale, keep = rule(name, shape, zero_centred, slow)
    w = np.float32(base) + values(name, int(np.prod(shape))) * np.float32(scale)
    return (w if keep else to_bf16(w)).reshape(shape)


def pixels(name, n):
    return (values(name, n).astype(np.float64) * 128.0 + 128.0).astype(np.uint8)


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
    # read over tens of thousands of tokens
    "long": dict(arch="qwen35", layers=4, heads=2, kv=1, dh=256, tied=False, theta=10000000.0, nk=2, nv=4, slow=True),
    "bert": dict(arch="bert", layers=3, heads=8, kv=8, dh=32, tied=True),
}

# The same with a vision tower (table 48 x 48), and with ids above TEXT_VOCAB for what stands in an image's place.
TEXT_VOCAB, IMAGE_PAD, VIDEO_PAD, VISION_START, VISION_END = 1000, 1000, 1001, 1002, 1003
SIGHTED = {
    "sight-dense": dict(arch="qwen35", layers=4, heads=4, kv=2, dh=256, tied=True, theta=10000000.0, nk=2, nv=4,
                        mtp=True, tower=dict(layers=2, d=128, heads=2, ff=256)),
    "sight-moe": dict(arch="qwen35moe", layers=4, heads=4, kv=2, dh=256, tied=False, theta=10000000.0, nk=2, nv=4,
                      experts=8, used=2, ff_expert=96, ff_shared=160, tower=dict(layers=3, d=144, heads=2, ff=272)),
}

# What a prompt is made of, in turn: so many tokens of text, or frames x height x width of pixels. A video is
# in the old wrapper layout: before each pair of frames three tokens of time and vision_start, after it vision_end.
SCENES = {
    "images": [5, (1, 64, 96), 4, (1, 256, 256), 3, (1, 32, 320), 2, (1, 224, 160), 6],
    "video": [4, (6, 64, 128), 7, (1, 96, 64), 2, (4, 96, 32), 3],
}


def scene(name):
    """ids, kinds (0 text, 1 image, 2 video), media: list of uint8 [frames, height, width, 3]"""
    ids, kinds, media = [], [], []
    text = iter(tokens("text of " + name, 4096, TEXT_VOCAB).tolist())

    def say(n):
        ids.extend(next(text) for _ in range(n))
        kinds.extend([0] * n)

    def show(n, pad, kind):
        ids.extend([VISION_START] + [pad] * n + [VISION_END])
        kinds.extend([0] + [kind] * n + [0])

    for part in SCENES[name]:
        if isinstance(part, int):
            say(part)
            continue
        frames, h, w = part
        media.append(pixels("pixels %d of %s" % (len(media), name), frames * h * w * 3).reshape(frames, h, w, 3))
        if frames == 1:
            show(h * w // 1024, IMAGE_PAD, 1)
        for _ in range(frames // 2):
            say(3)
            show(h * w // 1024, VIDEO_PAD, 2)
    return np.array(ids), np.array(kinds), media
