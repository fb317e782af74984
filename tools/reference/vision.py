"""Makes tests/golden/sight-*.gold: models with a vision tower, as the transformers library computes them.

    python tools/reference/vision.py            (needs torch, transformers; never run by CI)

For each model of SIGHTED and each prompt of SCENES (synthetic.py), in float32:

    MODEL.SCENE.vectors.gold   what the tower gives for all images and videos in order, as one list
    MODEL.SCENE.gold           logits of all tokens
    MODEL.SCENE.mtp.gold       logits of the multi-token head, where the model has one

in the format of goldens.py (a vector's token is 0), and pixels.txt: for each scene the FNV-1a hash of the
patches' bytes, which must agree to the bit. The library's own processors need torchvision; what they do to
8-bit pixels is written out in patches(): (v - 127.5) / 127.5 and an exchange of axes.
"""
import os
import types

import numpy as np
import torch
import transformers as tf

import goldens
import synthetic as syn


def config(m):
    text = goldens.common(m)
    text["rope_parameters"] |= dict(partial_rotary_factor=0.25, mrope_section=[11, 11, 10], mrope_interleaved=True)
    text |= dict(linear_num_key_heads=m["nk"], linear_num_value_heads=m["nv"], linear_key_head_dim=128,
                 linear_value_head_dim=128, linear_conv_kernel_dim=4)
    t = m["tower"]
    vision = dict(depth=t["layers"], hidden_size=t["d"], num_heads=t["heads"], intermediate_size=t["ff"],
                  out_hidden_size=goldens.HIDDEN, num_position_embeddings=2304, deepstack_visual_indexes=[])
    ids = dict(image_token_id=syn.IMAGE_PAD, video_token_id=syn.VIDEO_PAD, vision_start_token_id=syn.VISION_START,
               vision_end_token_id=syn.VISION_END, tie_word_embeddings=m["tied"])
    if m["arch"] == "qwen35":
        return tf.Qwen3_5ForConditionalGeneration(tf.Qwen3_5Config(text_config=text, vision_config=vision, **ids))
    text.pop("intermediate_size")
    text |= dict(num_experts=m["experts"], num_experts_per_tok=m["used"], moe_intermediate_size=m["ff_expert"],
                 shared_expert_intermediate_size=m["ff_shared"])
    return tf.Qwen3_5MoeForConditionalGeneration(
        tf.Qwen3_5MoeConfig(text_config=text, vision_config=vision, **ids))


def fill(model, tied):
    with torch.no_grad():
        for name, p in model.named_parameters():
            name = name.replace("model.language_model.", "model.")
            p.copy_(torch.from_numpy(syn.weight(name, tuple(p.shape), True)))
    if tied:
        model.tie_weights()


def patches(frames):
    """[frames, height, width, 3] -> [patches, 3 * 2 * 16 * 16], [t, h, w] in patches"""
    if len(frames) == 1:
        frames = np.concatenate([frames, frames])
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float().sub(127.5).div(127.5)
    t, c, h, w = x.shape
    x = x.view(t // 2, 2, c, h // 32, 2, 16, w // 32, 2, 16).permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return x.reshape(t // 2 * (h // 16) * (w // 16), c * 2 * 16 * 16).contiguous(), [t // 2, h // 16, w // 16]


def fnv(data):
    h = syn.FNV_BASIS
    for b in data:
        h = ((h ^ b) * syn.FNV_PRIME) & syn.U64
    return h


class Mtp(goldens.Mtp):
    """The head over vectors and their positions: its pair t stands where token t does."""

    def see(self, model, embeds, hidden, positions):
        text = model.model.language_model
        e = self.pre_fc_norm_embedding(embeds[:, 1:])
        x = self.fc(torch.cat([e, self.pre_fc_norm_hidden(hidden[:, :-1])], dim=-1))
        n = x.shape[1]
        mask = torch.full((n, n), float("-inf")).triu(1)[None, None]
        x = self.layers[0](x, position_embeddings=text.rotary_emb(x, positions[:, :, :-1]), attention_mask=mask)
        return model.lm_head(self.norm(x))[0]


def trunk(model):
    """What goldens.Mtp wants to see of a model."""
    return types.SimpleNamespace(config=model.config.text_config, model=model.model.language_model)


def see(model, media):
    """What the library is given for images and for videos, and all vectors in the order of 'media'."""
    given, vectors = {}, []
    for one in media:
        x, grid = patches(one)
        kind = "image" if len(one) == 1 else "video"
        given.setdefault(kind, []).append((x, grid))
        vectors.append(model.model.visual(x, grid_thw=torch.tensor([grid])).pooler_output)
    out = {}
    if "image" in given:
        out["pixel_values"] = torch.cat([x for x, _ in given["image"]])
        out["image_grid_thw"] = torch.tensor([g for _, g in given["image"]])
    if "video" in given:
        out["pixel_values_videos"] = torch.cat([x for x, _ in given["video"]])
        out["video_grid_thw"] = torch.tensor([g for _, g in given["video"]])
    return out, torch.cat(vectors)


def save(name, ids, values, step):
    goldens.save(os.path.join(goldens.OUT, name + ".gold"), ids, values, np.arange(0, values.shape[1], step))
    print(name, "std", values.std())


def make(name, m):
    model = config(m).float().eval()
    fill(model, m["tied"])
    head = None
    if m.get("mtp"):
        head = Mtp(trunk(model)).float().eval()
        goldens.fill(head, True, False, "mtp.")
    for scene in syn.SCENES:
        ids, kinds, media = syn.scene(scene)
        x, vectors = see(model, media)
        save(f"{name}.{scene}.vectors", np.zeros(len(vectors)), vectors.numpy(), 8)
        tokens, kind = torch.from_numpy(ids)[None], torch.from_numpy(kinds)[None]
        out = model(tokens, mm_token_type_ids=kind, **x)
        save(f"{name}.{scene}", ids, out.logits[0].numpy(), 16)
        if head:
            text = model.model.language_model
            embeds = text.embed_tokens(tokens)
            embeds[0, kinds > 0] = vectors
            positions, _ = model.model.get_rope_index(
                tokens, kind, x.get("image_grid_thw"), x.get("video_grid_thw"))
            hidden = text(inputs_embeds=embeds, position_ids=positions).last_hidden_state
            assert (model.lm_head(hidden)[0] - out.logits[0]).abs().max() < 1e-3  # the same road
            save(f"{name}.{scene}.mtp", ids[1:], head.see(model, embeds, hidden, positions).numpy(), 16)


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.backends.mkldnn.enabled = False
    with torch.no_grad():
        for name, m in syn.SIGHTED.items():
            make(name, m)
    with open(os.path.join(goldens.OUT, "pixels.txt"), "w") as f:
        for scene in syn.SCENES:
            data = b"".join(patches(one)[0].numpy().tobytes() for one in syn.scene(scene)[2])
            f.write(f"{scene} {fnv(data):016x}\n")
