#!/usr/bin/env python3
"""tokenizer.py TESTDATA OUTDIR: reference ids for tests/golden/tokenizer, by the tokenizers library.

    python3 tools/reference/tokenizer.py build/deps/models tests/golden/tokenizer

Needs: tokenizers, gguf, jinja2. Writes

  atoms.json   what random texts are made of: words, and ranges of code points: all assigned in
               Unicode 14, and for WordPiece those that never changed since 3.2
  tiny.json    a small byte-level vocabulary trained on texts made of those atoms
  golden.json  per kind of tokenizer: how to build it, and for each random text a hash of its ids, in plain
               and in special mode; some texts with their ids in full
  chat.json    conversations in SmolLM2's layout: hashes of the text its own template gives, and of its ids

The random texts themselves are not stored: text() here and random_text() in the test make the same ones from
the same seed (xoshiro256**, base/rng.h).
"""
import json
import os
import sys
import unicodedata

import gguf
import jinja2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

N_TEXTS = 1100
SEED = 0x4B6F6E746F72

WORDS = [
    "don't", "I'M", "we'Ll", "you've", "O'Reilly", "'s", "'ſ", "'RE", "''ll", "it's", " the", " and", "The",
    "Mietvertrag", " vom", " 12.03.2024", "§ 573c Abs. 1", "1234567", "3.14", "Straße", "Grüße", "naïve", "e\u0301",
    "A\u030a\u0323", "ﬁ", "Ǆ", "İstanbul", "ΟΔΥΣΣΕΥΣ", "你好，世界", "東京", "नमस्ते", "தமிழ்", "สวัสดี", "한국어", "\u1112\u1161\u11ab",
    "👩‍👩‍👧", "🚀", "🏳️‍🌈", " ", "  ", "   ", "\n", "\n\n", " \n", "\r\n", "\t", "\u00a0", "\u3000", "\u2028", "\u0085",
    "\u200b", "\ufeff", "\ufffd", "!", "...", "--", "://", "(a)", " (", "#include", "x=y;", "_", "$", "€", "²", "Ⅳ", "½",
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>", "<|im_", "[CLS]", "[SEP]", "[UNK]", "[MASK]",
    "<|im_start|>user\n", "a", "I", "ing", "tion", "0", "9", "10", "999", "Zz", "__init__",
]

FIXED = [
    "", " ", "  ", "a", " a", "a ", "\n", "\n\n", " \n", "\n ", " \n a", "\r\n\r\n", "\t\tx", "x  y", "x   1", "1  2", "12 345",
    "12345678", "a1b22c333", "don't", "DON'T", "'s's", "' s", "x's\u0301", "e\u0301", "\u0301", " \u0301a", "!\u0301", "(\u0301)", "\u0301\u0302",
    "!!!\n\n\na", " !\r\n", "a\u00a0b", "a\u2003\u2003b", "\u3000\u3000", "a\u200bb", "\u180ea", "Café — κόσμος 🚀", "你好，世界！", "नमस्ते தமிழ்",
    "<|im_start|>user\nHi<|im_end|>\n", "<|im_start|><|im_end|>", "x<think>y</think>z", "<|im_start|", "<|im_start|>>",
    "a" * 40, "ab" * 33, " " * 50, "1" * 40, "é" * 40, "\n" * 40, "-" * 70, "ſ'ſ", "Ⅷ½²", "\u0000", "a\u0000b", "\u0001\u007f",
    "[CLS] [unk] [UNK]", "ÀÉÎõü", "İI", "ΑΣ", "x" * 100, "x" * 101, "\ufffd\u00ad\u200d", "e\u0327\u0301", "\u1e9b\u0323", "\uac00\u11a8",
    # longer than what is merged the simple way
    "".join(chr(97 + (i * i + i // 7) % 26) for i in range(300)), "Donaudampfschifffahrtsgesellschaftskapitän" * 6,
    "".join(chr(0x4E00 + i * 37 % 20000) for i in range(60)), "=-" * 40 + "#" * 45, "theandthe" * 11,
]


# ---- the same random texts as in C ---------------------------------------------------------------

M64 = (1 << 64) - 1


class Rng:
    def __init__(self, seed):
        self.s = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & M64
            z = seed
            z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & M64
            z = ((z ^ z >> 27) * 0x94D049BB133111EB) & M64
            self.s.append(z ^ z >> 31)

    def u64(self):
        s = self.s
        x = s[1] * 5 & M64
        out = ((x << 7 | x >> 57) & M64) * 9 & M64
        t = s[1] << 17 & M64
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = (s[3] << 45 | s[3] >> 19) & M64
        return out

    def below(self, n):
        return (self.u64() >> 32) * n >> 32


def text(atoms, seed, ranges):
    """A text of 1..24 atoms: half of them words, a quarter ASCII, the rest from the named ranges."""
    r = Rng(seed)
    out = []
    for _ in range(1 + r.below(24)):
        kind = r.below(4)
        if kind < 2:
            out.append(atoms["words"][r.below(len(atoms["words"]))])
            continue
        lo, hi = (0x20, 0x7E) if kind == 2 else atoms[ranges][r.below(len(atoms[ranges]))]
        for _ in range(1 + r.below(4)):
            out.append(chr(lo + r.below(hi - lo + 1)))
    return "".join(out)


def ranges_where(wanted):
    ranges = []
    for cp in range(0x110000):
        if unicodedata.category(chr(cp)) in ("Cn", "Cs", "Co") or not wanted(chr(cp)):
            continue
        if ranges and ranges[-1][1] == cp - 1:
            ranges[-1][1] = cp
        else:
            ranges.append([cp, cp])
    return ranges


def is_known_mark(c):
    """Does the library's NFC know how this character combines? Its tables end before Unicode 13, and what it
    does not know it leaves in place; we follow Unicode."""
    return unicodedata.combining(c) <= 1 or normalizers.NFC().normalize_str(c + "\u0334") != c + "\u0334"


def is_old(c):
    """In Unicode 3.2 with the same category: the library's WordPiece uses tables of Unicode 8."""
    return unicodedata.ucd_3_2_0.category(c) == unicodedata.category(c)


# ---- tokenizers ----------------------------------------------------------------------------------

SUFFIXES = "'s|'t|'re|'ve|'m|'ll|'d"
LINES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = rf"(?i:{SUFFIXES})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{LINES}"
QWEN35 = rf"(?i:{SUFFIXES})|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{LINES}"
LLAMA3 = rf"(?i:{SUFFIXES})|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{LINES}"


def byte_level(use_regex):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


def split(regex):
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}, byte_level(False)]}


NFC = {"type": "NFC"}
# What is put into tiny.json to make it a tokenizer of each kind.
KINDS = {
    "gpt2": {"pre_tokenizer": byte_level(True), "normalizer": None},
    "smollm": {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": True}, byte_level(True)]}, "normalizer": None},
    "qwen2": {"pre_tokenizer": split(QWEN2), "normalizer": NFC},
    "qwen35": {"pre_tokenizer": split(QWEN35), "normalizer": NFC},
    "llama-bpe": {"pre_tokenizer": split(LLAMA3), "normalizer": None, "ignore_merges": True},
}


def train_tiny(atoms):
    """A vocabulary of 1,200 entries with the bytes, merges, and words that no merge leads to."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    t.train_from_iterator(
        (text(atoms, SEED ^ (1 << 40) + i, "ranges") for i in range(6000)),
        trainers.BpeTrainer(vocab_size=1200, min_frequency=2, show_progress=False,
                            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    doc = json.loads(t.to_str())
    vocab = doc["model"]["vocab"]
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for word in ("Mietvertrag", " Straße", "999", "__init__", " and\n"):
        spelled = "".join(p for p, _ in spell.pre_tokenize_str(word))
        vocab.setdefault(spelled, len(vocab))
    added = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
    doc["added_tokens"] = [
        {"id": len(vocab) + i, "content": a, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": a.startswith("<|")} for i, a in enumerate(added)]
    doc["decoder"] = byte_level(False)
    return doc


def make(doc, kind, with_added):
    d = json.loads(json.dumps(doc))
    d["pre_tokenizer"] = KINDS[kind]["pre_tokenizer"]
    d["normalizer"] = KINDS[kind]["normalizer"]
    d["model"]["ignore_merges"] = KINDS[kind].get("ignore_merges", False)
    if not with_added:
        d["added_tokens"] = []
    return Tokenizer.from_str(json.dumps(d))


def from_json(path, with_added):
    with open(path, encoding="utf-8") as f:
        d = json.load(f)
    d["truncation"] = d["padding"] = None
    if not with_added:
        d["added_tokens"] = []
        d["post_processor"] = None
    return Tokenizer.from_str(json.dumps(d))


def from_gguf(path, with_added):
    fields = gguf.GGUFReader(path).fields
    tokens, merges, types = (fields["tokenizer.ggml." + k].contents() for k in ("tokens", "merges", "token_type"))
    t = Tokenizer(models.BPE(vocab={s: i for i, s in enumerate(tokens)},
                             merges=[tuple(m.split(" ")) for m in merges]))
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                               pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    t.decoder = decoders.ByteLevel()
    if with_added:
        t.add_special_tokens([AddedToken(s, normalized=False, special=True) for s, k in zip(tokens, types) if k == 3])
    return t


# ---- results -------------------------------------------------------------------------------------

def fnv(data):
    h = 0x811C9DC5
    for b in data:
        h = (h ^ b) * 0x01000193 & 0xFFFFFFFF
    return h


def hash_ids(ids):
    return fnv(b"".join(i.to_bytes(4, "little") for i in ids))


def results(plain, special, atoms, ranges="ranges"):
    texts = [text(atoms, SEED + i, ranges) for i in range(N_TEXTS)]
    enc = lambda t, s: t.encode(s, add_special_tokens=False).ids
    hashes = lambda t: "".join(f"{hash_ids(enc(t, s)):08x}" for s in texts)
    return {
        "plain": hashes(plain), "special": hashes(special),
        "ranges": ranges, "n_ids": sum(len(enc(plain, s)) for s in texts),
        # the ids in special mode only where they differ
        "full": [[s, enc(plain, s)] + [e for e in [enc(special, s)] if e != enc(plain, s)]
                 for s in FIXED + texts[:4]],
    }


CONVERSATIONS = [
    [["user", "Hello"]],
    [["user", "  What is this? \n"], ["assistant", "A test.\n"], ["user", "\nAnd that?"]],
    [["system", "You answer in German."], ["user", "Wie spät ist es?"]],
    [["system", ""], ["user", ""]],
    [["user", "one"], ["user", "two"]],
    [["assistant", "I begin."], ["system", "late"], ["user", "Grüße aus 東京 🚀"]],
    [],
]


def chats(path):
    fields = gguf.GGUFReader(path).fields
    template = jinja2.Environment().from_string(fields["tokenizer.chat_template"].contents())
    tokenizer = from_gguf(path, True)
    out = []
    for conversation in CONVERSATIONS:
        messages = [{"role": r, "content": c} for r, c in conversation]
        for generate in (False, True):
            s = template.render(messages=messages, add_generation_prompt=generate)
            ids = tokenizer.encode(s, add_special_tokens=False).ids
            out.append({"messages": conversation, "generate": generate, "bytes": len(s.encode()),
                        "text": f"{fnv(s.encode()):08x}", "n_ids": len(ids), "ids": f"{hash_ids(ids):08x}"})
    return out


def save(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=True, separators=(",", ":"))
        f.write("\n")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: tokenizer.py TESTDATA OUTDIR")
    data, out = sys.argv[1:]
    atoms = {"words": WORDS, "ranges": ranges_where(is_known_mark), "old": ranges_where(is_old)}
    tiny = train_tiny(atoms)
    golden = {"n_texts": N_TEXTS, "seed": SEED, "kinds": {}}
    for kind, parts in KINDS.items():
        golden["kinds"]["tiny/" + kind] = {
            "parts": parts, **results(make(tiny, kind, False), make(tiny, kind, True), atoms)}
    real = {
        "qwen35": (from_json, "qwen35/tokenizer.json"),
        "smollm2": (from_gguf, "SmolLM2-135M-Instruct.Q4_1.gguf"),
        "minilm": (from_json, "minilm/tokenizer.json"),
    }
    for name, (load, file) in real.items():
        path = os.path.join(data, file)
        golden["kinds"][name] = results(load(path, False), load(path, True), atoms,
                                        "old" if name == "minilm" else "ranges")
    save(os.path.join(out, "atoms.json"), atoms)
    save(os.path.join(out, "tiny.json"), tiny)
    save(os.path.join(out, "golden.json"), golden)
    save(os.path.join(out, "chat.json"), chats(os.path.join(data, "SmolLM2-135M-Instruct.Q4_1.gguf")))


if __name__ == "__main__":
    main()
