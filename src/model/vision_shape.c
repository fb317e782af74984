/* What a vision tower is, as numbers, from either container, and what an input is. Every number has
 * a bound, and what would change the results and is not computed here is refused by name. */
#include <string.h>

#include "base/size.h"
#include "model/shape_priv.h"
#include "model/vision_priv.h"

enum {
    TOWER_LAYERS_MAX = 256,
    TOWER_D_MAX = 1 << 14,
    TOWER_SIDE_MAX = 1024,
};

static bool is_projector_file(const struct model_file *f)
{
    return model_file_container(f) == MODEL_GGUF &&
           span_eq_str(model_file_str(f, "general.architecture"), "clip");
}

const char *vision_prefix(const struct model_file *f)
{
    static const char *const PREFIXES[] = { "model.visual.", "visual." };
    for (size_t i = 0; model_file_container(f) == MODEL_SAFETENSORS && i < ARRAY_LEN(PREFIXES);
         i++) {
        for (size_t t = 0; t < model_file_n_tensors(f); t++) {
            if (span_starts(model_file_tensor_at(f, t)->name, span_of(PREFIXES[i])))
                return PREFIXES[i];
        }
    }
    return NULL;
}

bool vision_in_file(const struct model_file *f)
{
    return is_projector_file(f) || vision_prefix(f);
}

/* A number that is a constant of the code. */
static void need_fixed(struct shape_reader *r, const char *key, uint32_t want)
{
    uint32_t v = opt_u32(r, key, want, 0, UINT32_MAX);
    if (v != want)
        shape_fail(r, KT_E_UNSUPPORTED, "%s%s is %u, we run %u", r->prefix, key, v, want);
}

static void refuse_deepstack(struct shape_reader *r)
{
    const struct meta *m = shape_meta(r, "deepstack_visual_indexes");
    if (m && (m->type != META_ARR_INT || m->n != 0))
        shape_fail(r, KT_E_UNSUPPORTED,
                   "%sdeepstack_visual_indexes is not empty; vectors from inside "
                   "the tower are not supported",
                   r->prefix);
    const struct meta *layers = shape_meta(r, "is_deepstack_layers");
    for (size_t i = 0; layers && layers->type == META_ARR_BOOL && i < layers->n; i++) {
        if (meta_arr_int(layers, i))
            shape_fail(r, KT_E_UNSUPPORTED,
                       "%sis_deepstack_layers[%zu] is true; vectors from inside the tower are not "
                       "supported",
                       r->prefix, i);
    }
}

static void need_half(struct shape_reader *r, const char *key)
{
    const struct meta *m = shape_meta(r, key);
    for (size_t i = 0; m && m->type == META_ARR_FLOAT && i < m->n; i++) {
        if (meta_arr_float(m, i) != 0.5)
            shape_fail(r, KT_E_UNSUPPORTED, "%s%s[%zu] is %g, we run 0.5", r->prefix, key, i,
                       meta_arr_float(m, i));
    }
}

/* The side of a square of n, or 0 when it is none. */
static uint32_t root_of(uint64_t n)
{
    uint32_t side = 1;
    while (side < TOWER_SIDE_MAX && (uint64_t)side * side < n)
        side++;
    return (uint64_t)side * side == n ? side : 0;
}

/* Other readers take the table as it is, so image_size, for which it was made, need not be its size. */
static uint32_t table_side(struct shape_reader *r)
{
    const struct tensor *t = model_file_tensor(r->f, "v.position_embd.weight");
    uint32_t side = t && t->n_dims == 2 ? root_of(t->dims[1]) : 0;
    uint32_t size = need_u32(r, "image_size", VISION_PATCH, TOWER_SIDE_MAX * VISION_PATCH);
    return side ? side : size / VISION_PATCH;
}

static void read_gguf(struct vision_shape *s, struct shape_reader *r)
{
    struct span type = model_file_str(r->f, "clip.projector_type");
    if (!type.len)
        type = model_file_str(r->f, "clip.vision.projector_type");
    if (!span_eq_str(type, "qwen3vl_merger"))
        shape_fail(r, KT_E_UNSUPPORTED,
                   "clip.projector_type is '%.*s'; of vision files we run qwen3vl_merger",
                   (int)MIN(type.len, (size_t)40), type.len ? type.ptr : "");
    if (model_file_bool(r->f, "clip.use_silu", false) ||
        !model_file_bool(r->f, "clip.use_gelu", true))
        shape_fail(r, KT_E_UNSUPPORTED, "clip.use_gelu is false; we run a tower with GELU");
    r->prefix = "clip.vision.";
    s->n_layers = need_u32(r, "block_count", 1, TOWER_LAYERS_MAX);
    s->d = need_u32(r, "embedding_length", 1, TOWER_D_MAX);
    s->n_heads = need_u32(r, "attention.head_count", 1, N_HEADS_MAX);
    s->n_ff = need_u32(r, "feed_forward_length", 1, N_FF_MAX);
    s->d_model = need_u32(r, "projection_dim", 1, D_MODEL_MAX);
    s->norm_eps = opt_float(r, "attention.layer_norm_epsilon", 1e-6, 1e-14, 0.1);
    s->side = table_side(r);
    need_fixed(r, "patch_size", VISION_PATCH);
    need_fixed(r, "spatial_merge_size", VISION_MERGE);
    need_half(r, "image_mean");
    need_half(r, "image_std");
    refuse_deepstack(r);
}

static uint32_t square_side(struct shape_reader *r, uint32_t n)
{
    uint32_t side = root_of(n);
    if (!side)
        shape_fail(r, KT_E_FORMAT, "%snum_position_embeddings is %u, expected a square", r->prefix,
                   n);
    return side;
}

static void read_config(struct vision_shape *s, struct shape_reader *r)
{
    r->prefix = "vision_config.";
    s->n_layers = need_u32(r, "depth", 1, TOWER_LAYERS_MAX);
    s->d = need_u32(r, "hidden_size", 1, TOWER_D_MAX);
    s->n_heads = need_u32(r, "num_heads", 1, N_HEADS_MAX);
    s->n_ff = need_u32(r, "intermediate_size", 1, N_FF_MAX);
    s->d_model = need_u32(r, "out_hidden_size", 1, D_MODEL_MAX);
    s->side = square_side(
        r, opt_u32(r, "num_position_embeddings", 2304, 1, TOWER_SIDE_MAX * TOWER_SIDE_MAX));
    s->norm_eps = 1e-6f; /* written into the reference, not in the file */
    need_fixed(r, "patch_size", VISION_PATCH);
    need_fixed(r, "temporal_patch_size", VISION_PAIR);
    need_fixed(r, "spatial_merge_size", VISION_MERGE);
    need_fixed(r, "in_channels", 3);
    struct span act = opt_str(r, "hidden_act");
    if (act.len && !span_eq_str(act, "gelu_pytorch_tanh"))
        shape_fail(r, KT_E_UNSUPPORTED, "%shidden_act is '%.*s', we run gelu_pytorch_tanh",
                   r->prefix, (int)MIN(act.len, (size_t)40), act.ptr);
    refuse_deepstack(r);
}

enum kt_status vision_shape_from_file(struct vision_shape *s, const struct model_file *f,
                                      struct kt_error *err)
{
    *s = (struct vision_shape){ 0 };
    struct shape_reader r = { .f = f, .err = err, .prefix = "" };
    if (!vision_in_file(f))
        shape_fail(&r, KT_E_NOTFOUND, "there is no vision tower in this file");
    else if (is_projector_file(f))
        read_gguf(s, &r);
    else
        read_config(s, &r);
    /* pairs of halves of a head, each half for one axis */
    if (!r.st &&
        (s->d % s->n_heads != 0 || s->d / s->n_heads % 4 != 0 || s->d / s->n_heads > HEAD_DIM_MAX))
        shape_fail(
            &r, KT_E_FORMAT,
            "a tower of width %u does not divide into %u heads of a multiple of 4, at most %d",
            s->d, s->n_heads, HEAD_DIM_MAX);
    if (r.st)
        kt_error_prefix(err, "%s", model_file_path(f));
    return r.st;
}

enum kt_status vision_grid_of(struct vision_grid *out, const struct vision_input *in,
                              struct kt_error *err)
{
    *out = (struct vision_grid){ 0 };
    if (in->height == 0 || in->width == 0 || in->height % VISION_UNIT || in->width % VISION_UNIT)
        return kt_fail(
            err, KT_E_USAGE,
            "an image of %u x %u pixels (height, width), expected multiples of %d; resize it first",
            in->height, in->width, VISION_UNIT);
    if (in->n_frames == 0 || (in->n_frames != 1 && in->n_frames % VISION_PAIR))
        return kt_fail(err, KT_E_USAGE,
                       "%u frames, expected 1 (an image) or an even number: repeat the last one",
                       in->n_frames);
    uint64_t patches = (uint64_t)(in->height / VISION_PATCH) * (in->width / VISION_PATCH);
    if (in->height > VISION_SIDE_MAX || in->width > VISION_SIDE_MAX ||
        in->n_frames > VISION_FRAMES_MAX || patches > VISION_PATCHES_MAX)
        return kt_fail(err, KT_E_LIMIT,
                       "%u frames of %u x %u pixels, at most %d of %d pixels each (and %d a side); "
                       "make them smaller",
                       in->n_frames, in->height, in->width, VISION_FRAMES_MAX,
                       VISION_PATCHES_MAX * VISION_PATCH * VISION_PATCH, VISION_SIDE_MAX);
    *out = (struct vision_grid){ .n_pairs = in->n_frames == 1 ? 1 : in->n_frames / VISION_PAIR,
                                 .rows = in->height / VISION_UNIT,
                                 .cols = in->width / VISION_UNIT };
    return KT_OK;
}
