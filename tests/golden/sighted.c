#include "golden/sighted.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/size.h"
#include "support/model_writer.h"

const struct sighted SIGHTED[] = {
    { .text = { .name = "sight-dense",
                .arch = ARCH_QWEN35,
                .n_layers = 4,
                .n_heads = 4,
                .n_kv_heads = 2,
                .head_dim = 256,
                .tied = true,
                .theta = 1e7,
                .nk = 2,
                .nv = 4,
                .mtp = true,
                .nested = true },
      .n_layers = 2,
      .d = 128,
      .n_heads = 2,
      .n_ff = 256 },
    { .text = { .name = "sight-moe",
                .arch = ARCH_QWEN35MOE,
                .n_layers = 4,
                .n_heads = 4,
                .n_kv_heads = 2,
                .head_dim = 256,
                .theta = 1e7,
                .nk = 2,
                .nv = 4,
                .n_experts = 8,
                .n_used = 2,
                .n_ff_expert = 96,
                .n_ff_shared = 160,
                .nested = true },
      .n_layers = 3,
      .d = 144,
      .n_heads = 2,
      .n_ff = 272 },
};
const size_t N_SIGHTED = ARRAY_LEN(SIGHTED);

const struct scene SCENES[] = {
    { "images", 4, { { 1, 64, 96 }, { 1, 256, 256 }, { 1, 32, 320 }, { 1, 224, 160 } } },
    { "video", 3, { { 6, 64, 128 }, { 1, 96, 64 }, { 4, 96, 32 } } },
};
const size_t N_SCENES = ARRAY_LEN(SCENES);

const char *sighted_left_out, *sighted_misshapen;

/* ---- tensors ---- */

enum tower_kind { TOWER_VECTOR, TOWER_MATRIX, TOWER_TABLE, TOWER_PATCH };

struct tower_entry {
    enum tower_kind kind;
    char hf[64], gguf[64];
    size_t n_rows, n_cols; /* of a vector: 1 and its length */
};

typedef void (*entry_fn)(void *ctx, const struct tower_entry *e);

static void emit(entry_fn fn, void *ctx, enum tower_kind kind, int layer, const char *gguf,
                 const char *hf, size_t n_rows, size_t n_cols)
{
    struct tower_entry e = { .kind = kind, .n_rows = n_rows, .n_cols = n_cols };
    if (layer < 0) {
        snprintf(e.hf, sizeof(e.hf), "%s", hf);
        snprintf(e.gguf, sizeof(e.gguf), "%s", gguf);
    } else {
        snprintf(e.hf, sizeof(e.hf), "blocks.%d.%s", layer, hf);
        snprintf(e.gguf, sizeof(e.gguf), "v.blk.%d.%s", layer, gguf);
    }
    fn(ctx, &e);
}

/* A matrix (n_cols > 0) or a norm, with its bias. */
static void emit_pair(entry_fn fn, void *ctx, int layer, const char *gguf, const char *hf,
                      size_t n_rows, size_t n_cols)
{
    char g[48], h[48];
    snprintf(g, sizeof(g), "%s.weight", gguf);
    snprintf(h, sizeof(h), "%s.weight", hf);
    if (n_cols)
        emit(fn, ctx, TOWER_MATRIX, layer, g, h, n_rows, n_cols);
    else
        emit(fn, ctx, TOWER_VECTOR, layer, g, h, 1, n_rows);
    snprintf(g, sizeof(g), "%s.bias", gguf);
    snprintf(h, sizeof(h), "%s.bias", hf);
    emit(fn, ctx, TOWER_VECTOR, layer, g, h, 1, n_rows);
}

static void each_entry(const struct sighted *m, entry_fn fn, void *ctx)
{
    size_t d = m->d;
    emit(fn, ctx, TOWER_PATCH, -1, "v.patch_embd.weight", "patch_embed.proj.weight", d,
         VISION_PATCH_FLOATS);
    emit(fn, ctx, TOWER_VECTOR, -1, "v.patch_embd.bias", "patch_embed.proj.bias", 1, d);
    emit(fn, ctx, TOWER_TABLE, -1, "v.position_embd.weight", "pos_embed.weight", 48 * 48, d);
    for (int i = 0; i < (int)m->n_layers; i++) {
        emit_pair(fn, ctx, i, "ln1", "norm1", d, 0);
        emit_pair(fn, ctx, i, "ln2", "norm2", d, 0);
        emit_pair(fn, ctx, i, "attn_qkv", "attn.qkv", 3 * d, d);
        emit_pair(fn, ctx, i, "attn_out", "attn.proj", d, d);
        emit_pair(fn, ctx, i, "ffn_up", "mlp.linear_fc1", m->n_ff, d);
        emit_pair(fn, ctx, i, "ffn_down", "mlp.linear_fc2", d, m->n_ff);
    }
    emit_pair(fn, ctx, -1, "v.post_ln", "merger.norm", d, 0);
    emit_pair(fn, ctx, -1, "mm.0", "merger.linear_fc1", 4 * d, 4 * d);
    emit_pair(fn, ctx, -1, "mm.2", "merger.linear_fc2", SYNTH_HIDDEN, 4 * d);
}

/* tower_rule() of synthetic.py; bfloat16 numbers. Heap. */
static float *values_of(const struct tower_entry *e)
{
    char name[96];
    size_t n = e->n_rows * e->n_cols;
    float base = 0.0f, scale, *v = malloc(n * sizeof(*v));
    if (!v)
        abort();
    snprintf(name, sizeof(name), "model.visual.%s", e->hf);
    if (strstr(name, ".bias")) {
        scale = 0.3f;
    } else if (e->kind == TOWER_VECTOR) {
        base = 1.0f;
        scale = 0.5f;
    } else if (e->kind == TOWER_TABLE) {
        scale = 1.0f;
    } else {
        scale = (float)((strstr(name, "qkv") ? 2.0 : 1.0) * sqrt(3.0 / (double)e->n_cols));
    }
    random_weights(v, name, n, scale);
    for (size_t i = 0; i < n; i++)
        v[i] = bf16_to_f32(f32_to_bf16(v[i] + base));
    return v;
}

static uint16_t *to_bf16(const float *v, size_t n)
{
    uint16_t *h = malloc(n * sizeof(*h));
    if (!h)
        abort();
    for (size_t i = 0; i < n; i++)
        h[i] = f32_to_bf16(v[i]);
    return h;
}

static bool is_named(const char *what, const struct tower_entry *e)
{
    return what && strcmp(what, e->hf) == 0;
}

/* ---- a folder ---- */

static void folder_entry(void *ctx, const struct tower_entry *e)
{
    if (is_named(sighted_left_out, e))
        return;
    char name[96];
    bool bad = is_named(sighted_misshapen, e);
    float *v = values_of(e);
    uint16_t *h = to_bf16(v, e->n_rows * e->n_cols);
    snprintf(name, sizeof(name), "model.visual.%s", e->hf);
    if (bad) /* zeros */
        st_put_random(ctx, name, QT_BF16, 2, (uint64_t[]){ e->n_cols, e->n_rows + 1 }, 0.0f);
    else if (e->kind == TOWER_VECTOR)
        st_put_tensor(ctx, name, QT_BF16, 1, (uint64_t[]){ e->n_cols }, h);
    else if (e->kind == TOWER_PATCH)
        st_put_tensor(ctx, name, QT_BF16, 5, (uint64_t[]){ 16, 16, 2, 3, e->n_rows }, h);
    else
        st_put_tensor(ctx, name, QT_BF16, 2, (uint64_t[]){ e->n_cols, e->n_rows }, h);
    free(h);
    free(v);
}

static void write_folder(const struct sighted *m, const char *dir, bool text)
{
    struct st_writer w = { 0 };
    if (text)
        synth_put_folder(&w, &m->text);
    each_entry(m, folder_entry, &w);
    char path[512];
    snprintf(path, sizeof(path), "%s/model.safetensors", dir);
    st_writer_save(&w, path);
    st_writer_deinit(&w);

    struct buf config = { 0 }, more = { 0 };
    buf_printf(
        &more,
        "\"image_token_id\": %d, \"video_token_id\": %d, \"vision_config\": {\"model_type\": "
        "\"qwen3_5_vision\", \"depth\": %u, \"hidden_size\": %u, \"num_heads\": %u, "
        "\"intermediate_size\": %u, \"out_hidden_size\": %d, \"num_position_embeddings\": 2304, "
        "\"patch_size\": 16, \"temporal_patch_size\": 2, \"spatial_merge_size\": 2, "
        "\"in_channels\": 3, \"hidden_act\": \"gelu_pytorch_tanh\", "
        "\"deepstack_visual_indexes\": []}, ",
        SIGHTED_IMAGE_PAD, SIGHTED_VIDEO_PAD, m->n_layers, m->d, m->n_heads, m->n_ff, SYNTH_HIDDEN);
    synth_print_config(&config, &m->text, more.ptr);
    save_file(dir, "config.json", config.ptr, config.len);
    buf_deinit(&config);
    buf_deinit(&more);
}

void sighted_write_folder(const struct sighted *m, const char *dir)
{
    write_folder(m, dir, true);
}

void sighted_write_tower_folder(const struct sighted *m, const char *dir)
{
    write_folder(m, dir, false);
}

/* ---- mmproj ---- */

struct mmproj {
    struct gguf_writer w;
    enum qtype mats;
};

static void put_typed(struct mmproj *p, const char *name, uint32_t n_dims, const uint64_t *dims,
                      const float *v, size_t n, enum qtype type)
{
    if (type == QT_F32) {
        gguf_put_tensor(&p->w, name, QT_F32, n_dims, dims, v);
        return;
    }
    uint16_t *h = to_bf16(v, n);
    gguf_put_tensor(&p->w, name, QT_BF16, n_dims, dims, h);
    free(h);
}

/* The two frames' kernels, apart. */
static void put_slices(struct mmproj *p, const struct tower_entry *e, const float *v)
{
    enum { PLANE = VISION_PATCH * VISION_PATCH };
    static const char *const NAMES[] = { "v.patch_embd.weight", "v.patch_embd.weight.1" };
    size_t n = e->n_rows * 3 * PLANE;
    float *slice = malloc(n * sizeof(*slice));
    if (!slice)
        abort();
    for (size_t t = 0; t < 2; t++) {
        for (size_t plane = 0; plane < e->n_rows * 3; plane++)
            memcpy(slice + plane * PLANE, v + (2 * plane + t) * PLANE, PLANE * sizeof(*v));
        put_typed(p, NAMES[t], 4, (uint64_t[]){ VISION_PATCH, VISION_PATCH, 3, e->n_rows }, slice,
                  n, p->mats == QT_F32 ? QT_F32 : QT_BF16);
    }
    free(slice);
}

static void mmproj_entry(void *ctx, const struct tower_entry *e)
{
    struct mmproj *p = ctx;
    if (is_named(sighted_left_out, e))
        return;
    size_t n = e->n_rows * e->n_cols;
    const uint64_t dims[2] = { e->n_cols, e->n_rows }, bad[2] = { e->n_cols, e->n_rows + 1 };
    float *v = values_of(e);
    if (is_named(sighted_misshapen, e))
        gguf_put_tensor(&p->w, e->gguf, QT_F32, 2, bad, NULL);
    else if (e->kind == TOWER_VECTOR)
        put_typed(p, e->gguf, 1, dims, v, n, QT_F32);
    else if (e->kind == TOWER_PATCH)
        put_slices(p, e, v);
    else if (e->kind == TOWER_TABLE || p->mats == QT_F32)
        put_typed(p, e->gguf, 2, dims, v, n, QT_F32);
    else if (p->mats == QT_BF16 || e->n_cols % 32)
        put_typed(p, e->gguf, 2, dims, v, n, QT_BF16);
    else
        gguf_put_random(&p->w, e->gguf, p->mats, 2, dims, 0.05f);
    free(v);
}

void sighted_write_mmproj(const struct sighted *m, const char *path, enum qtype mats)
{
    struct mmproj p = { .mats = mats };
    const float half[3] = { 0.5f, 0.5f, 0.5f };
    gguf_put_str(&p.w, "general.architecture", "clip");
    gguf_put_str(&p.w, "general.type", "mmproj");
    gguf_put_bool(&p.w, "clip.has_vision_encoder", true);
    gguf_put_str(&p.w, "clip.projector_type", "qwen3vl_merger");
    gguf_put_bool(&p.w, "clip.use_gelu", true);
    gguf_put_u32(&p.w, "clip.vision.image_size", 768);
    gguf_put_u32(&p.w, "clip.vision.patch_size", 16);
    gguf_put_u32(&p.w, "clip.vision.embedding_length", m->d);
    gguf_put_u32(&p.w, "clip.vision.feed_forward_length", m->n_ff);
    gguf_put_u32(&p.w, "clip.vision.block_count", m->n_layers);
    gguf_put_u32(&p.w, "clip.vision.projection_dim", SYNTH_HIDDEN);
    gguf_put_u32(&p.w, "clip.vision.attention.head_count", m->n_heads);
    gguf_put_f32(&p.w, "clip.vision.attention.layer_norm_epsilon", 1e-6f);
    gguf_put_u32(&p.w, "clip.vision.spatial_merge_size", 2);
    gguf_put_arr_f32(&p.w, "clip.vision.image_mean", half, 3);
    gguf_put_arr_f32(&p.w, "clip.vision.image_std", half, 3);
    each_entry(m, mmproj_entry, &p);
    gguf_writer_save(&p.w, path);
    gguf_writer_deinit(&p.w);
}

struct names_visit {
    void (*fn)(void *ctx, const char *hf, const char *gguf);
    void *ctx;
};

static void visit_names(void *ctx, const struct tower_entry *e)
{
    struct names_visit *v = ctx;
    v->fn(v->ctx, e->hf, e->gguf);
}

void sighted_each(const struct sighted *m, void (*fn)(void *ctx, const char *hf, const char *gguf),
                  void *ctx)
{
    struct names_visit v = { fn, ctx };
    each_entry(m, visit_names, &v);
}

/* ---- scenes ---- */

void scene_open(struct vision_input inputs[static SCENE_MEDIA_MAX], const struct scene *s)
{
    for (size_t i = 0; i < SCENE_MEDIA_MAX; i++)
        inputs[i] = (struct vision_input){ 0 };
    for (size_t i = 0; i < s->n_media; i++) {
        char name[64];
        size_t n = (size_t)s->sizes[i].n_frames * s->sizes[i].height * s->sizes[i].width * 3;
        float *v = malloc(n * sizeof(*v));
        uint8_t *rgb = malloc(n);
        if (!v || !rgb)
            abort();
        snprintf(name, sizeof(name), "pixels %zu of %s", i, s->name);
        random_weights(v, name, n, 1.0f);
        for (size_t p = 0; p < n; p++)
            rgb[p] = (uint8_t)(v[p] * 128.0f + 128.0f);
        free(v);
        inputs[i] = (struct vision_input){ rgb, s->sizes[i].n_frames, s->sizes[i].height,
                                           s->sizes[i].width };
    }
}

void scene_close(struct vision_input inputs[static SCENE_MEDIA_MAX])
{
    for (size_t i = 0; i < SCENE_MEDIA_MAX; i++)
        free((void *)(uintptr_t)inputs[i].rgb);
}
