/* The tower's tensors: each found under its name, compared with the shape that follows from the
 * numbers, and every one that has no place refused. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "model/vision_priv.h"

enum { NAME_LEN = 128, OUTSIDE = -1 };

struct tower_binder {
    struct arena *arena;
    const struct vision_shape *s;
    const struct model_file *f;
    const char *prefix; /* of a folder's names; NULL: GGUF */
    size_t n_used;
    struct kt_error *err;
    enum kt_status st; /* the first failure; later calls do nothing */
};

/* A tensor's name in both spellings, without what stands before it. */
struct tower_name {
    int layer; /* or OUTSIDE */
    const char *gguf, *hf;
};

#define AT(layer, gguf, hf) ((struct tower_name){ (layer), (gguf), (hf) })

static void spell(char out[static NAME_LEN], const struct tower_binder *b, struct tower_name n)
{
    if (!b->prefix && n.layer == OUTSIDE)
        snprintf(out, NAME_LEN, "%s", n.gguf);
    else if (!b->prefix)
        snprintf(out, NAME_LEN, "v.blk.%d.%s", n.layer, n.gguf);
    else if (n.layer == OUTSIDE)
        snprintf(out, NAME_LEN, "%s%s", b->prefix, n.hf);
    else
        snprintf(out, NAME_LEN, "%sblocks.%d.%s", b->prefix, n.layer, n.hf);
}

/* The tensor of that name and exactly those dims, or NULL and a failure recorded. */
static const struct tensor *find(struct tower_binder *b, struct tower_name n, const uint64_t *dims,
                                 size_t n_dims)
{
    if (b->st)
        return NULL;
    char name[NAME_LEN];
    spell(name, b, n);
    const struct tensor *t = model_file_tensor_of(b->f, name, dims, n_dims, b->err);
    if (!t) {
        b->st = KT_E_FORMAT;
        return NULL;
    }
    b->n_used++;
    return t;
}

static void bind_mat(struct tower_binder *b, struct mat *out, struct tower_name n, size_t n_rows,
                     size_t n_cols)
{
    const uint64_t dims[2] = { n_cols, n_rows };
    const struct tensor *t = find(b, n, dims, 2);
    if (!t)
        return;
    struct mat m = { .type = t->type, .data = t->data, .n_rows = n_rows, .n_cols = n_cols };
    size_t bytes;
    if (!qtype_row_bytes(&m.row_bytes, t->type, n_cols) || !size_mul(&bytes, m.row_bytes, n_rows) ||
        bytes != t->bytes) {
        char name[NAME_LEN];
        spell(name, b, n);
        b->st = kt_fail(b->err, KT_E_FORMAT,
                        "tensor %s: %zu columns do not fill blocks of its type", name, n_cols);
        return;
    }
    *out = m;
}

static bool is_float(struct tower_binder *b, const struct tensor *t)
{
    const struct qtype_traits *traits = qtype_traits(t->type);
    if (traits && traits->is_float)
        return true;
    b->st = kt_fail(b->err, KT_E_UNSUPPORTED,
                    "tensor %.*s is quantised as %s, expected F32, F16 or BF16",
                    (int)MIN(t->name.len, (size_t)80), t->name.ptr, traits ? traits->name : "?");
    return false;
}

static float *floats(struct tower_binder *b, size_t n)
{
    float *v = arena_array(b->arena, n, sizeof(*v));
    if (!v)
        b->st = kt_fail(b->err, KT_E_NOMEM, "vision: out of memory");
    return v;
}

static const float *bind_vec(struct tower_binder *b, struct tower_name n, size_t len)
{
    const uint64_t dims[1] = { len };
    const struct tensor *t = find(b, n, dims, 1);
    float *v = t && is_float(b, t) ? floats(b, len) : NULL;
    if (v)
        qtype_traits(t->type)->dequant(v, t->data, len);
    return v;
}

/* ---- the first kernel: [d, 3, 2, 16, 16] in a folder, one tensor for each of the two frames in GGUF ---- */

enum { PLANE = VISION_PATCH * VISION_PATCH };

/* The two slices side by side as a folder has them, in their own type, or as floats when it is not the same. */
static void join_slices(struct tower_binder *b, struct mat *out,
                        const struct tensor *const slice[VISION_PAIR])
{
    bool same = slice[0]->type == slice[1]->type;
    size_t elem = same ? slice[0]->bytes / (b->s->d * (size_t)3 * PLANE) : sizeof(float);
    char *data = arena_array(b->arena, b->s->d * (size_t)VISION_PATCH_FLOATS, elem);
    if (!data) {
        b->st = kt_fail(b->err, KT_E_NOMEM, "vision: out of memory");
        return;
    }
    *out = (struct mat){ .type = same ? slice[0]->type : QT_F32,
                         .data = data,
                         .n_rows = b->s->d,
                         .n_cols = VISION_PATCH_FLOATS,
                         .row_bytes = VISION_PATCH_FLOATS * elem };
    for (size_t plane = 0; plane < b->s->d * (size_t)3; plane++) {
        for (size_t t = 0; t < VISION_PAIR; t++, data += PLANE * elem) {
            size_t size = slice[t]->bytes / (b->s->d * (size_t)3); /* of one plane in the file */
            const char *from = (const char *)slice[t]->data + plane * size;
            if (same)
                memcpy(data, from, size);
            else
                qtype_traits(slice[t]->type)->dequant((float *)(void *)data, from, PLANE);
        }
    }
}

static void bind_patch(struct tower_binder *b, struct vision_weights *w)
{
    /* a folder's five dimensions come as four, the innermost two as one */
    const uint64_t hf[4] = { PLANE, VISION_PAIR, 3, b->s->d },
                   gguf[4] = { VISION_PATCH, VISION_PATCH, 3, b->s->d };
    const struct tensor *slice[VISION_PAIR];
    w->patch_bias = bind_vec(b, AT(OUTSIDE, "v.patch_embd.bias", "patch_embed.proj.bias"), b->s->d);
    slice[0] = find(b, AT(OUTSIDE, "v.patch_embd.weight", "patch_embed.proj.weight"),
                    b->prefix ? hf : gguf, 4);
    if (!slice[0] || !is_float(b, slice[0]))
        return;
    if (b->prefix) {
        w->patch = (struct mat){ .type = slice[0]->type,
                                 .data = slice[0]->data,
                                 .n_rows = b->s->d,
                                 .n_cols = VISION_PATCH_FLOATS,
                                 .row_bytes = slice[0]->bytes / b->s->d };
        return;
    }
    slice[1] = find(b, AT(OUTSIDE, "v.patch_embd.weight.1", ""), gguf, 4);
    if (slice[1] && is_float(b, slice[1]))
        join_slices(b, &w->patch, slice);
}

/* ---- the rest ---- */

static void take_rows(struct mat *out, const struct mat *from, size_t row0, size_t n)
{
    *out = *from;
    out->data = (const char *)from->data + row0 * from->row_bytes;
    out->n_rows = n;
}

static void bind_layer(struct tower_binder *b, struct vision_layer *l, int i)
{
    size_t d = b->s->d, ff = b->s->n_ff;
    struct mat qkv = { 0 };
    l->norm1_w = bind_vec(b, AT(i, "ln1.weight", "norm1.weight"), d);
    l->norm1_b = bind_vec(b, AT(i, "ln1.bias", "norm1.bias"), d);
    bind_mat(b, &qkv, AT(i, "attn_qkv.weight", "attn.qkv.weight"), 3 * d, d);
    const float *bias = bind_vec(b, AT(i, "attn_qkv.bias", "attn.qkv.bias"), 3 * d);
    bind_mat(b, &l->out, AT(i, "attn_out.weight", "attn.proj.weight"), d, d);
    l->out_bias = bind_vec(b, AT(i, "attn_out.bias", "attn.proj.bias"), d);
    l->norm2_w = bind_vec(b, AT(i, "ln2.weight", "norm2.weight"), d);
    l->norm2_b = bind_vec(b, AT(i, "ln2.bias", "norm2.bias"), d);
    bind_mat(b, &l->up, AT(i, "ffn_up.weight", "mlp.linear_fc1.weight"), ff, d);
    l->up_bias = bind_vec(b, AT(i, "ffn_up.bias", "mlp.linear_fc1.bias"), ff);
    bind_mat(b, &l->down, AT(i, "ffn_down.weight", "mlp.linear_fc2.weight"), d, ff);
    l->down_bias = bind_vec(b, AT(i, "ffn_down.bias", "mlp.linear_fc2.bias"), d);
    if (b->st)
        return;
    take_rows(&l->q, &qkv, 0, d);
    take_rows(&l->k, &qkv, d, d);
    take_rows(&l->v, &qkv, 2 * d, d);
    l->q_bias = bias;
    l->k_bias = bias + d;
    l->v_bias = bias + 2 * d;
}

static void bind_merger(struct tower_binder *b, struct vision_weights *w)
{
    size_t d = b->s->d, wide = VISION_BLOCK * d, out = b->s->d_model;
    w->norm_w = bind_vec(b, AT(OUTSIDE, "v.post_ln.weight", "merger.norm.weight"), d);
    w->norm_b = bind_vec(b, AT(OUTSIDE, "v.post_ln.bias", "merger.norm.bias"), d);
    bind_mat(b, &w->merge1, AT(OUTSIDE, "mm.0.weight", "merger.linear_fc1.weight"), wide, wide);
    w->merge1_bias = bind_vec(b, AT(OUTSIDE, "mm.0.bias", "merger.linear_fc1.bias"), wide);
    bind_mat(b, &w->merge2, AT(OUTSIDE, "mm.2.weight", "merger.linear_fc2.weight"), out, wide);
    w->merge2_bias = bind_vec(b, AT(OUTSIDE, "mm.2.bias", "merger.linear_fc2.bias"), out);
}

static bool name_starts(const struct tensor *t, const char *front)
{
    return span_starts(t->name, span_of(front));
}

/* A tensor of the tower that was not asked for would change its numbers. Those that were are named above;
 * names are unique in a file, so counting finds out whether there are more. */
static void refuse_strangers(struct tower_binder *b)
{
    size_t n = 0;
    for (size_t i = 0; i < model_file_n_tensors(b->f); i++) {
        const struct tensor *t = model_file_tensor_at(b->f, i);
        n += b->prefix ? name_starts(t, b->prefix) : name_starts(t, "v.") || name_starts(t, "mm.");
    }
    if (!b->st && n != b->n_used)
        b->st =
            kt_fail(b->err, KT_E_UNSUPPORTED,
                    "%zu vision tensors, expected %zu for a tower of %u layers; is it a variant?",
                    n, b->n_used, b->s->n_layers);
}

enum kt_status vision_bind(struct vision_weights *w, struct arena *arena,
                           const struct vision_shape *s, const struct model_file *f,
                           struct kt_error *err)
{
    struct tower_binder b = {
        .arena = arena, .s = s, .f = f, .prefix = vision_prefix(f), .err = err
    };
    w->layers = arena_array(arena, s->n_layers, sizeof(*w->layers));
    if (!w->layers)
        b.st = kt_fail(err, KT_E_NOMEM, "vision: out of memory");
    bind_patch(&b, w);
    bind_mat(&b, &w->positions, AT(OUTSIDE, "v.position_embd.weight", "pos_embed.weight"),
             (size_t)s->side * s->side, s->d);
    for (uint32_t i = 0; !b.st && i < s->n_layers; i++)
        bind_layer(&b, &w->layers[i], (int)i);
    bind_merger(&b, w);
    refuse_strangers(&b);
    if (b.st)
        kt_error_prefix(err, "%s", model_file_path(f));
    return b.st;
}
