"""Makes tests/golden/*.gold: what the transformers library computes, in float32.

    python tools/reference/goldens.py [name ...]        (needs torch, transformers; never run by CI)

A .gold file is little-endian: int32 magic 0x324C474B, n_rows, n_cols, n_width; float32 std of all
values; int32 pos[n_rows], argmax[n_rows]; float32 margin[n_rows] (largest minus second largest value of the
row), top[n_rows] (the largest), lse[n_rows] (log of the sum of exponentials), values[n_rows][n_cols].
The values are logits, or the encoder's hidden states, of the tokens at positions pos; std is over these
rows, the rest over all n_width of a row. Column j of a row is number (j * (n_width / n_cols) + pos)
mod n_width, so that every column is looked at. The tokens are syn.tokens("tokens of NAME").

The older form, which other scripts write with save(): magic 0x444C474B, n_tokens, n_cols, n_width; std;
int32 tokens[n_tokens], cols[n_cols], argmax[n_tokens]; float32 margin[n_tokens], values[n_tokens][n_cols].
"""
import os
import sys

import numpy as np
import torch
import transformers as tf

import synthetic as syn

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "tests", "golden")
N_TOKENS, N_LONG, N_VOCAB, HIDDEN, N_FF = 512, 32768, 1024, 256, 512
N_COLS = 32


def common(m):
    c = dict(vocab_size=N_VOCAB, hidden_size=HIDDEN, intermediate_size=N_FF, num_hidden_layers=m["layers"],
             num_attention_heads=m["heads"], num_key_value_heads=m["kv"], head_dim=m["dh"],
             max_position_embeddings=4096, rms_norm_eps=1e-5, tie_word_embeddings=m["tied"])
    rope = dict(rope_type="default", rope_theta=m["theta"])
    if "rope3" in m:
        r = m["rope3"]
        rope = dict(rope_type="llama3", rope_theta=m["theta"], factor=r["factor"], low_freq_factor=r["low"],
                    high_freq_factor=r["high"], original_max_position_embeddings=r["old"])
    if "yarn" in m:
        rope = dict(rope_type="yarn", rope_theta=m["theta"], factor=m["yarn"]["factor"],
                    original_max_position_embeddings=m["yarn"]["old"])
    c["rope_parameters"] = rope
    return c


def build(m):
    if m["arch"] == "bert":
        c = tf.BertConfig(vocab_size=N_VOCAB, hidden_size=HIDDEN, num_hidden_layers=m["layers"],
                          num_attention_heads=m["heads"], intermediate_size=N_FF, max_position_embeddings=512,
                          type_vocab_size=2, layer_norm_eps=1e-12, hidden_act="gelu")
        return tf.BertModel(c, add_pooling_layer=False)
    c = common(m)
    if m["arch"] == "llama":
        return tf.LlamaForCausalLM(tf.LlamaConfig(**c))
    if m["arch"] == "qwen2":
        c.pop("head_dim")
        return tf.Qwen2ForCausalLM(tf.Qwen2Config(**c))
    if m["arch"] == "qwen3":
        return tf.Qwen3ForCausalLM(tf.Qwen3Config(**c))
    c["rope_parameters"] |= dict(partial_rotary_factor=0.25, mrope_section=[11, 11, 10], mrope_interleaved=True)
    c |= dict(linear_num_key_heads=m["nk"], linear_num_value_heads=m["nv"], linear_key_head_dim=128,
              linear_value_head_dim=128, linear_conv_kernel_dim=4)
    if m["arch"] == "qwen35":
        return tf.Qwen3_5ForCausalLM(tf.Qwen3_5TextConfig(**c))
    c.pop("intermediate_size")
    return tf.Qwen3_5MoeForCausalLM(tf.Qwen3_5MoeTextConfig(
        **c, num_experts=m["experts"], num_experts_per_tok=m["used"], moe_intermediate_size=m["ff_expert"],
        shared_expert_intermediate_size=m["ff_shared"]))


class Mtp(torch.nn.Module):
    """The multi-token head, which the library does not run, put together from its layer and its norm."""

    def __init__(self, model):
        super().__init__()
        c, trunk = model.config, model.model
        layer, norm = type(trunk.layers[3]), type(trunk.norm)
        self.fc = torch.nn.Linear(2 * c.hidden_size, c.hidden_size, bias=False)
        self.pre_fc_norm_embedding = norm(c.hidden_size, eps=c.rms_norm_eps)
        self.pre_fc_norm_hidden = norm(c.hidden_size, eps=c.rms_norm_eps)
        self.layers = torch.nn.ModuleList([layer(c, 3)])  # layer 3 is one with softmax attention
        self.norm = norm(c.hidden_size, eps=c.rms_norm_eps)

    def forward(self, model, ids):
        """logits [n - 1, vocab]: row t, of token t's state and token t + 1, is about token t + 2"""
        hidden = model.model(ids).last_hidden_state[:, :-1]
        e = self.pre_fc_norm_embedding(model.model.embed_tokens(ids[:, 1:]))
        x = self.fc(torch.cat([e, self.pre_fc_norm_hidden(hidden)], dim=-1))
        n = x.shape[1]
        angles = model.model.rotary_emb(x, torch.arange(n).view(1, 1, n).expand(3, 1, n))
        mask = torch.full((n, n), float("-inf")).triu(1)[None, None]
        x = self.layers[0](x, position_embeddings=angles, attention_mask=mask)
        return model.lm_head(self.norm(x))[0]


def fill(model, zero_centred, tied, prefix="", slow=False):
    seen = []
    with torch.no_grad():
        for name, p in model.named_parameters():
            w = syn.weight(prefix + name, tuple(p.shape), zero_centred, slow)
            p.copy_(torch.from_numpy(w))
            seen.append((name, tuple(p.shape)))
    if tied and hasattr(model, "tie_weights"):
        model.tie_weights()
    return seen


def save(path, ids, values, cols):
    top = np.sort(values, axis=1)[:, -2:]
    with open(path, "wb") as f:
        np.array([0x444C474B, len(ids), len(cols), values.shape[1]], np.int32).tofile(f)
        np.array([values.astype(np.float64).std()], np.float32).tofile(f)
        ids.astype(np.int32).tofile(f)
        cols.astype(np.int32).tofile(f)
        values.argmax(axis=1).astype(np.int32).tofile(f)
        (top[:, 1] - top[:, 0]).astype(np.float32).tofile(f)
        np.ascontiguousarray(values[:, cols], np.float32).tofile(f)


def save_rows(path, pos, values):
    """values: [rows, width], float32"""
    pos = np.asarray(pos, np.int32)
    width = values.shape[1]
    wide = values.astype(np.float64)
    top = np.sort(values, axis=1)[:, -2:]
    largest = wide.max(axis=1)
    lse = largest + np.log(np.exp(wide - largest[:, None]).sum(axis=1))
    cols = (np.arange(N_COLS)[None] * (width // N_COLS) + pos[:, None]) % width
    with open(path, "wb") as f:
        np.array([0x324C474B, len(pos), N_COLS, width], np.int32).tofile(f)
        np.array([wide.std()], np.float32).tofile(f)
        pos.tofile(f)
        values.argmax(axis=1).astype(np.int32).tofile(f)
        (top[:, 1] - top[:, 0]).astype(np.float32).tofile(f)
        largest.astype(np.float32).tofile(f)
        lse.astype(np.float32).tofile(f)
        np.ascontiguousarray(np.take_along_axis(values, cols, axis=1), np.float32).tofile(f)


def long_rows():
    """all along the text, and its end"""
    return sorted(set(range(95, N_LONG, 96)) | set(range(N_LONG - 32, N_LONG)))


def make(name, m):
    torch.manual_seed(0)
    slow = m.get("slow", False)
    model = build(m).float().eval()
    seen = fill(model, m["arch"].startswith("qwen35"), m["tied"], slow=slow)
    if os.environ.get("VERBOSE"):
        for s in seen:
            print(s)
    ids = syn.tokens("tokens of " + name, N_LONG if slow else N_TOKENS, N_VOCAB)
    pos = long_rows() if slow else np.arange(len(ids))
    with torch.no_grad():
        if m["arch"] == "bert":
            out = model(torch.from_numpy(ids)[None]).last_hidden_state[0].numpy()
        else:
            hidden = model.model(torch.from_numpy(ids)[None]).last_hidden_state[0]
            out = model.lm_head(hidden[torch.as_tensor(np.asarray(pos))]).numpy()
    save_rows(os.path.join(OUT, name + ".gold"), pos, out)
    if m.get("mtp"):
        head = Mtp(model).float().eval()
        fill(head, True, False, "mtp.")
        with torch.no_grad():
            logits = head(model, torch.from_numpy(ids)[None]).numpy()
        save_rows(os.path.join(OUT, name + ".mtp.gold"), np.arange(len(ids) - 1), logits)
        print(name, "mtp std", logits.std(), "first", logits[0, :3])
    print(name, "std", out.std(), "first", out[0, :3], "last", out[-1, :3])


if __name__ == "__main__":
    torch.set_num_threads(2)
    torch.backends.mkldnn.enabled = False
    for name in sys.argv[1:] or syn.MODELS:
        make(name, syn.MODELS[name])
