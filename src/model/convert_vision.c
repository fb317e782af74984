/* A folder's vision tower as a GGUF file of its own (mmproj): names, the two slices of the first kernel, metadata.
 * docs/FORMATS.md, section 9. The tower was bound before, so every tensor is there with its shape. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "model/convert_priv.h"
#include "model/model_file_priv.h"
#include "model/vision_priv.h"

struct tower_rename {
    const char *hf, *gguf; /* of a layer, or of the whole tower; the end (.weight, .bias) stays */
};

static const struct tower_rename layer_names[] = {
    { "norm1", "ln1" },
    { "norm2", "ln2" },
    { "attn.qkv", "attn_qkv" },
    { "attn.proj", "attn_out" },
    { "mlp.linear_fc1", "ffn_up" },
    { "mlp.linear_fc2", "ffn_down" },
};

static const struct tower_rename top_names[] = {
    { "patch_embed.proj", "v.patch_embd" }, { "pos_embed", "v.position_embd" },
    { "merger.norm", "v.post_ln" },         { "merger.linear_fc1", "mm.0" },
    { "merger.linear_fc2", "mm.2" },
};

/* "norm1.weight" -> "ln1.weight"; false: no such name. */
static bool rename_end(char out[static 80], const char *front, struct span name,
                       const struct tower_rename *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct span hf = span_of(list[i].hf);
        if (span_starts(name, hf) && name.len > hf.len && name.ptr[hf.len] == '.') {
            snprintf(out, 80, "%s%s%.*s", front, list[i].gguf, (int)(name.len - hf.len),
                     name.ptr + hf.len);
            return true;
        }
    }
    return false;
}

static bool rename_tensor(char out[static 80], struct span name, struct span prefix)
{
    char front[32];
    struct span rest = span_sub(name, prefix.len, name.len), blocks = SPAN("blocks.");
    if (!span_starts(rest, blocks))
        return rename_end(out, "", rest, top_names, ARRAY_LEN(top_names));
    size_t dot = span_find(rest, SPAN("."), blocks.len);
    if (dot == SIZE_MAX || dot - blocks.len > 4)
        return false;
    snprintf(front, sizeof(front), "v.blk.%.*s.", (int)(dot - blocks.len), rest.ptr + blocks.len);
    return rename_end(out, front, span_sub(rest, dot + 1, rest.len), layer_names,
                      ARRAY_LEN(layer_names));
}

static enum kt_status push(struct plan *p, const struct tensor *t, const char *name,
                           struct item **out, struct kt_error *err)
{
    struct item *it = plan_push(p);
    char *copy = it ? arena_strdup(&p->memory, span_of(name)) : NULL;
    if (!copy)
        return file_no_memory(err);
    it->name = span_of(copy);
    it->src = t;
    it->n_dims = t->n_dims;
    memcpy(it->dims, t->dims, sizeof(it->dims));
    *out = it;
    return KT_OK;
}

/* One frame's half of a kernel [d, 3, 2, 16, 16]: of every channel's 32 rows of 16 the first or last 16. */
static enum kt_status push_slice(struct plan *p, const struct tensor *t, const char *name,
                                 size_t frame, struct kt_error *err)
{
    struct item *it;
    enum kt_status st = push(p, t, name, &it, err);
    if (st)
        return st;
    it->n_dims = 4;
    it->dims[3] = t->dims[3];
    it->dims[2] = 3;
    it->dims[1] = it->dims[0] = VISION_PATCH;
    it->stack_rows = VISION_PAIR * VISION_PATCH;
    it->stack_row0 = frame * VISION_PATCH;
    return KT_OK;
}

enum kt_status plan_vision(struct plan *p, const struct model_file *f, struct kt_error *err)
{
    struct span prefix = span_of(vision_prefix(f));
    enum kt_status st = KT_OK;
    for (size_t i = 0; !st && i < model_file_n_tensors(f); i++) {
        const struct tensor *t = model_file_tensor_at(f, i);
        char name[80];
        struct item *it;
        if (!span_starts(t->name, prefix))
            continue;
        if (NEVER(!rename_tensor(name, t->name, prefix)))
            return kt_fail(err, KT_E_INTERNAL, "tensor %s: no name for it",
                           show_name(t->name).text);
        if (strcmp(name, "v.patch_embd.weight") != 0) {
            st = push(p, t, name, &it, err);
            continue;
        }
        st = push_slice(p, t, name, 0, err);
        if (!st)
            st = push_slice(p, t, "v.patch_embd.weight.1", 1, err);
    }
    return st;
}

void put_vision_meta(struct gguf_write *w, const struct vision_shape *s)
{
    const float half[3] = { 0.5f, 0.5f, 0.5f };
    const bool none[256] = { false }; /* as many layers as a tower may have */
    gguf_write_str(w, "general.architecture", SPAN("clip"));
    gguf_write_str(w, "general.type", SPAN("mmproj"));
    gguf_write_bool(w, "clip.has_vision_encoder", true);
    gguf_write_str(w, "clip.projector_type", SPAN("qwen3vl_merger"));
    gguf_write_bool(w, "clip.use_gelu", true);
    gguf_write_u32(w, "clip.vision.image_size", s->side * VISION_PATCH);
    gguf_write_u32(w, "clip.vision.patch_size", VISION_PATCH);
    gguf_write_u32(w, "clip.vision.embedding_length", s->d);
    gguf_write_u32(w, "clip.vision.feed_forward_length", s->n_ff);
    gguf_write_u32(w, "clip.vision.block_count", s->n_layers);
    gguf_write_u32(w, "clip.vision.projection_dim", s->d_model);
    gguf_write_u32(w, "clip.vision.attention.head_count", s->n_heads);
    gguf_write_f32(w, "clip.vision.attention.layer_norm_epsilon", s->norm_eps);
    gguf_write_u32(w, "clip.vision.spatial_merge_size", VISION_MERGE);
    gguf_write_arr_f32(w, "clip.vision.image_mean", half, 3);
    gguf_write_arr_f32(w, "clip.vision.image_std", half, 3);
    gguf_write_arr_bool(w, "clip.vision.is_deepstack_layers", none, MIN(s->n_layers, 256u));
}
