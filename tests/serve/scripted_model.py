"""A model of Qwen3.5's shape that says what it was told to: for testing what a server makes of an answer.

Each token of the script has an embedding of its own direction; the one layer adds nothing (its output projections are
zero); the head maps each direction to the next token of the script. After a new line, with which every prompt of the layout
ends, the script begins. It is a real model for the program: real files, a real forward pass, a real tokenizer."""
import json
import pathlib
import struct

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
           "<|video_pad|>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"]
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
           r"|\s*[\r\n]+|\s+(?!\S)|\s+")
D, HEAD = 64, 256


def byte_letters():
    """The letter that stands for each byte in a byte-level vocabulary."""
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    letters, n = {b: chr(b) for b in plain}, 0
    for b in range(256):
        if b not in letters:
            letters[b] = chr(256 + n)
            n += 1
    return letters


def bf16(x):
    return struct.pack("<f", x)[2:]


def write(folder, script):
    """script: texts, each one token; the model says them and stops."""
    assert len(set(script)) == len(script) and len(script) < D
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    letters = byte_letters()
    vocab = {letters[b]: b for b in range(256)}
    for text in script:
        vocab["".join(letters[b] for b in text.encode())] = len(vocab)
    first = len(vocab)
    added = [{"id": first + i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": s.startswith("<|")} for i, s in enumerate(SPECIAL)]
    split = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False},
        {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}]}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": {"type": "NFC"},
        "pre_tokenizer": split, "post_processor": level, "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, "vocab": vocab, "merges": []}}))
    n_vocab = first + len(SPECIAL)
    end = first + SPECIAL.index("<|im_end|>")
    (folder / "config.json").write_text(json.dumps({
        "model_type": "qwen3_5_text", "architectures": ["Qwen3_5ForCausalLM"], "hidden_size": D, "intermediate_size": 64,
        "num_hidden_layers": 1, "layer_types": ["full_attention"], "full_attention_interval": 1, "num_attention_heads": 1,
        "num_key_value_heads": 1, "head_dim": HEAD, "vocab_size": n_vocab, "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6, "hidden_act": "silu", "tie_word_embeddings": False, "linear_num_value_heads": 1,
        "linear_num_key_heads": 1, "eos_token_id": end, "rope_parameters": {
            "rope_type": "default", "rope_theta": 10000000, "partial_rotary_factor": 0.25, "mrope_section": [11, 11, 10],
            "mrope_interleaved": True}}))
    chain = [ord("\n")] + list(range(256, first)) + [end]
    embed, head = bytearray(2 * n_vocab * D), bytearray(2 * n_vocab * D)
    for i, (token, following) in enumerate(zip(chain, chain[1:])):
        at = 2 * (token * D + i)
        embed[at:at + 2] = bf16(1)
        at = 2 * (following * D + i)
        head[at:at + 2] = bf16(8)
    layer = "model.layers.0."
    tensors = {"model.embed_tokens.weight": ([n_vocab, D], bytes(embed)), "lm_head.weight": ([n_vocab, D], bytes(head))}
    for name, shape in (("model.norm", [D]), (layer + "input_layernorm", [D]), (layer + "post_attention_layernorm", [D]),
                        (layer + "self_attn.q_proj", [2 * HEAD, D]), (layer + "self_attn.k_proj", [HEAD, D]),
                        (layer + "self_attn.v_proj", [HEAD, D]), (layer + "self_attn.o_proj", [D, HEAD]),
                        (layer + "self_attn.q_norm", [HEAD]), (layer + "self_attn.k_norm", [HEAD]),
                        (layer + "mlp.gate_proj", [64, D]), (layer + "mlp.up_proj", [64, D]), (layer + "mlp.down_proj", [D, 64])):
        n = 2
        for d in shape:
            n *= d
        tensors[name + ".weight"] = (shape, bytes(n))
    header, data = {}, b""
    for name, (shape, content) in tensors.items():
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder
