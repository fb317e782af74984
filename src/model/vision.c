/* The vision tower's forward pass (docs/MODEL.md, "Vision").
 *
 * The patches of a frame pair are cut into tiles of some rows. A thread takes a tile through everything
 * that its rows need not wait for the others' for: so there are two passes a layer, one that fills the
 * keys and values of all patches, and one for the rest. Each thread has scratch memory for one tile.
 *
 * The rows of x stay in block order from the first matrix to the last. Heads are padded to a multiple
 * of 16 elements with zeros, because the attention kernels go by sixteens (72 becomes 80): zeros add
 * nothing to a score, exactly. */
#include "model/vision.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/size.h"
#include "model/act.h"
#include "model/carve.h"
#include "model/model_priv.h"
#include "model/vision_priv.h"

enum {
    TILE_MAX = 64, /* rows: the weights are read from far away once for all of them */
    TILE_MIN = 16,
    TILES_AT_ONCE = 4, /* of each thread, between two looks at whether somebody cancelled */
};

/* Scratch memory of a thread. n is the rows of a tile. */
struct tile {
    struct act in;       /* [n, d]: after a norm; and what attention gives              */
    struct act patch;    /* [n, VISION_PATCH_FLOATS]                                    */
    struct act wide;     /* [n, n_ff]                                                   */
    struct act block;    /* [n / 4, 4 d]: four patches as one row                       */
    struct act merged;   /* [n / 4, 4 d]                                                */
    float *y;            /* [n, d]                                                      */
    float *up;           /* [n, n_ff], or [n / 4, 4 d]                                  */
    float *q, *mix;      /* [n, n_heads, head_pad]                                      */
    float *tmp;          /* [2, d]                                                      */
    uint32_t *n_visible; /* [n]                                                       */
};

struct encoder {
    const struct vision *v;
    const struct vision_input *in;
    struct vision_grid grid;
    size_t n_patches; /* of a pair                                     */
    size_t n_tile;    /* rows                                          */
    size_t head_dim, head_pad;
    float *x;      /* [n_patches, d]                                   */
    float *keys;   /* [n_heads, n_patches, head_pad]                   */
    float *values; /* the same                                         */
    float *angles; /* [the longer side in patches, 2, head_dim / 4]    */
    char *tiles;   /* [n_threads] places of struct tile: see layout()  */
    size_t tile_bytes;

    uint32_t pair;                /* now           */
    const struct vision_layer *l; /* now           */
    size_t first;                 /* tile of a wave */
    float *out;                   /* [vectors of a pair, d_model] */

    vision_progress_fn progress;
    void *progress_ctx;
    size_t n_done, n_total; /* tiles of all passes */
};

/* ---- memory ---- */

static void tile_layout(struct tile *t, struct carver *c, const struct vision_shape *s, size_t n,
                        size_t head_pad)
{
    size_t d = s->d, n_blocks = n / VISION_BLOCK, heads = (size_t)s->n_heads * head_pad;
    t->in = carve_act_arranged(c, n, d);
    t->patch = carve_act_arranged(c, n, VISION_PATCH_FLOATS);
    t->wide = carve_act_arranged(c, n, s->n_ff);
    t->block = carve_act_arranged(c, n_blocks, VISION_BLOCK * d);
    t->merged = carve_act_arranged(c, n_blocks, VISION_BLOCK * d);
    t->y = carve_floats(c, n, d);
    t->up =
        carve_floats(c, n, MAX((size_t)s->n_ff, d)); /* n / 4 rows of 4 d are as many as n of d */
    t->q = carve_floats(c, n, heads);
    t->mix = carve_floats(c, n, heads);
    t->tmp = carve_floats(c, 2, d);
    t->n_visible = carve(c, n, 1, sizeof(*t->n_visible));
}

/* As many rows as leave every thread something to do. */
static size_t tile_rows(size_t n_patches, size_t n_threads)
{
    size_t n = n_patches / (TILES_AT_ONCE * n_threads) / TILE_MIN * TILE_MIN;
    return MIN(MAX(n, (size_t)TILE_MIN), (size_t)TILE_MAX);
}

static void layout(struct encoder *e, struct carver *c, const struct vision_shape *s,
                   const struct vision_grid *g, size_t n_threads)
{
    struct tile t;
    struct carver one = { 0 };
    e->n_patches = (size_t)g->rows * g->cols * VISION_BLOCK;
    e->n_tile = tile_rows(e->n_patches, n_threads);
    e->head_dim = s->d / s->n_heads;
    e->head_pad = size_align(e->head_dim, 16);
    tile_layout(&t, &one, s, e->n_tile, e->head_pad);
    e->tile_bytes = one.used;
    c->overflow |= one.overflow;

    e->x = carve_floats(c, e->n_patches, s->d);
    e->keys = carve_floats(c, e->n_patches, s->n_heads * e->head_pad);
    e->values = carve_floats(c, e->n_patches, s->n_heads * e->head_pad);
    e->angles = carve_floats(c, (size_t)MAX(g->rows, g->cols) * VISION_MERGE, e->head_dim / 2);
    e->tiles = carve(c, n_threads, e->tile_bytes, 1);
}

bool vision_scratch_size(size_t *out, const struct vision_shape *s, const struct vision_grid *g,
                         size_t n_threads)
{
    struct encoder e;
    struct carver c = { 0 };
    layout(&e, &c, s, g, n_threads);
    *out = c.used + 64; /* so that any allocation can be aligned */
    return !c.overflow;
}

static struct tile tile_of(const struct encoder *e, size_t thread_idx)
{
    struct tile t;
    struct carver c = { .base = e->tiles + thread_idx * e->tile_bytes };
    tile_layout(&t, &c, &e->v->shape, e->n_tile, e->head_pad);
    return t;
}

/* ---- words ---- */

static void act_rows(struct act *x, size_t n_rows)
{
    x->n_rows = n_rows;
}

/* y = w x + bias; makes x's integers when w wants them. */
static void linear(const struct encoder *e, float *y, const struct mat *w, const float *bias,
                   struct act *x)
{
    const struct kernels *k = e->v->k;
    if (!qtype_traits(w->type)->is_float) {
        act_will_arrange(k, x);
        act_integers(k, x, 0, x->n_rows);
    }
    k->matmul[w->type](y, w->n_rows, w, x, 0, w->n_rows);
    for (size_t i = 0; i < x->n_rows; i++)
        k->add(y + i * w->n_rows, bias, w->n_rows);
}

static void norm(const struct encoder *e, struct act *to, const float *x, const float *w,
                 const float *b, size_t n)
{
    size_t d = e->v->shape.d;
    act_rows(to, n);
    for (size_t i = 0; i < n; i++)
        e->v->k->layernorm(to->f + i * to->stride, x + i * d, w, b, d, e->v->shape.norm_eps);
}

/* Heads of one row, turned and padded, each 'head_step' floats apart. */
static void turn_heads(const struct encoder *e, float *to, size_t head_step, const float *from,
                       size_t patch)
{
    struct vision_place p = vision_place_of(patch, e->grid.cols);
    size_t step = e->head_dim / 2; /* cosines and sines of one position */
    for (size_t h = 0; h < e->v->shape.n_heads; h++)
        vision_turn(to + h * head_step, from + h * e->head_dim, e->head_dim,
                    e->angles + p.row * step, e->angles + p.col * step);
}

/* ---- what is done to a tile: rows [row0, row0 + n) ---- */

typedef void (*tile_fn)(const struct encoder *e, struct tile *t, size_t row0, size_t n);

static void embed_tile(const struct encoder *e, struct tile *t, size_t row0, size_t n)
{
    const struct vision *v = e->v;
    float *x = e->x + row0 * v->shape.d;
    act_rows(&t->patch, n);
    vision_patches(t->patch.f, t->patch.stride, e->in, e->pair, row0, n);
    linear(e, x, &v->w.patch, v->w.patch_bias, &t->patch);
    vision_add_positions(x, v, &e->grid, row0, n, t->tmp);
}

static void keys_tile(const struct encoder *e, struct tile *t, size_t row0, size_t n)
{
    const struct vision_layer *l = e->l;
    size_t d = e->v->shape.d, head_step = e->n_patches * e->head_pad;
    norm(e, &t->in, e->x + row0 * d, l->norm1_w, l->norm1_b, n);
    linear(e, t->y, &l->k, l->k_bias, &t->in);
    for (size_t i = 0; i < n; i++)
        turn_heads(e, e->keys + (row0 + i) * e->head_pad, head_step, t->y + i * d, row0 + i);
    linear(e, t->y, &l->v, l->v_bias, &t->in);
    for (size_t i = 0; i < n; i++) {
        float *to = e->values + (row0 + i) * e->head_pad;
        for (size_t h = 0; h < e->v->shape.n_heads; h++)
            memcpy(to + h * head_step, t->y + i * d + h * e->head_dim, e->head_dim * sizeof(float));
    }
}

/* in = what the patches see, heads side by side without their padding. */
static void attend(const struct encoder *e, struct tile *t, size_t n)
{
    size_t width = e->v->shape.n_heads * e->head_pad;
    for (size_t h = 0; h < e->v->shape.n_heads; h++) {
        struct attn_args a = {
            .type = KV_F32,
            .dh = e->head_pad,
            .n_q = n,
            .q = t->q + h * e->head_pad,
            .q_stride = width,
            .k = e->keys + h * e->n_patches * e->head_pad,
            .v = e->values + h * e->n_patches * e->head_pad,
            .n_visible = t->n_visible,
            .scale = (float)(1.0 / sqrt((double)e->head_dim)),
            .out = t->mix + h * e->head_pad,
            .out_stride = width,
        };
        e->v->k->attention(&a);
        for (size_t i = 0; i < n; i++)
            memcpy(t->in.f + i * t->in.stride + h * e->head_dim, a.out + i * width,
                   e->head_dim * sizeof(float));
    }
}

static void layer_tile(const struct encoder *e, struct tile *t, size_t row0, size_t n)
{
    const struct kernels *k = e->v->k;
    const struct vision_layer *l = e->l;
    size_t d = e->v->shape.d, ff = e->v->shape.n_ff, width = e->v->shape.n_heads * e->head_pad;
    float *x = e->x + row0 * d;

    norm(e, &t->in, x, l->norm1_w, l->norm1_b, n);
    linear(e, t->y, &l->q, l->q_bias, &t->in);
    for (size_t i = 0; i < n; i++) {
        turn_heads(e, t->q + i * width, e->head_pad, t->y + i * d, row0 + i);
        t->n_visible[i] = (uint32_t)e->n_patches;
    }
    attend(e, t, n);
    linear(e, t->y, &l->out, l->out_bias, &t->in);
    k->add(x, t->y, n * d);

    norm(e, &t->in, x, l->norm2_w, l->norm2_b, n);
    linear(e, t->up, &l->up, l->up_bias, &t->in);
    act_rows(&t->wide, n);
    for (size_t i = 0; i < n; i++)
        k->gelu_tanh(t->wide.f + i * t->wide.stride, t->up + i * ff, ff);
    linear(e, t->y, &l->down, l->down_bias, &t->wide);
    k->add(x, t->y, n * d);
}

/* The four rows of a block stand behind each other already: they only become one. */
static void merge_tile(const struct encoder *e, struct tile *t, size_t row0, size_t n)
{
    const struct vision *v = e->v;
    size_t d = v->shape.d, n_blocks = n / VISION_BLOCK, wide = VISION_BLOCK * d;
    act_rows(&t->block, n_blocks);
    for (size_t i = 0; i < n; i++)
        v->k->layernorm(t->block.f + i / VISION_BLOCK * t->block.stride + i % VISION_BLOCK * d,
                        e->x + (row0 + i) * d, v->w.norm_w, v->w.norm_b, d, v->shape.norm_eps);
    linear(e, t->up, &v->w.merge1, v->w.merge1_bias, &t->block);
    act_rows(&t->merged, n_blocks);
    for (size_t i = 0; i < n_blocks; i++) /* the exact one here, unlike in the blocks */
        v->k->gelu_erf(t->merged.f + i * t->merged.stride, t->up + i * wide, wide);
    linear(e, e->out + row0 / VISION_BLOCK * v->shape.d_model, &v->w.merge2, v->w.merge2_bias,
           &t->merged);
}

/* ---- passes ---- */

struct pass {
    struct encoder *e;
    tile_fn fn;
};

static void pass_range(void *ctx, size_t tile0, size_t tile1, size_t thread_idx)
{
    const struct pass *p = ctx;
    const struct encoder *e = p->e;
    struct tile t = tile_of(e, thread_idx);
    for (size_t i = tile0; i < tile1; i++) {
        size_t row0 = (e->first + i) * e->n_tile;
        p->fn(e, &t, row0, MIN(e->n_tile, e->n_patches - row0));
    }
}

static size_t n_tiles(const struct encoder *e)
{
    return (e->n_patches + e->n_tile - 1) / e->n_tile;
}

static enum kt_status pass(struct encoder *e, tile_fn fn, struct kt_error *err)
{
    struct pass p = { e, fn };
    size_t n = n_tiles(e), wave = TILES_AT_ONCE * pool_threads(e->v->pool);
    for (e->first = 0; e->first < n; e->first += wave) {
        if (e->progress && !e->progress(e->progress_ctx, e->n_done, e->n_total))
            return kt_fail(err, KT_E_CANCELLED, "cancelled");
        size_t now = MIN(wave, n - e->first);
        pool_for(e->v->pool, now, 1, pass_range, &p);
        e->n_done += now;
    }
    return KT_OK;
}

static enum kt_status encode_pair(struct encoder *e, struct kt_error *err)
{
    enum kt_status st = pass(e, embed_tile, err); /* x [n_patches, d] */
    for (uint32_t i = 0; !st && i < e->v->shape.n_layers; i++) {
        e->l = &e->v->w.layers[i];
        st = pass(e, keys_tile, err); /* keys and values of all patches      */
        if (!st)
            st = pass(e, layer_tile, err); /* x += attention, x += feed-forward */
    }
    return st ? st : pass(e, merge_tile, err); /* out [n_patches / 4, d_model] */
}

enum kt_status vision_encode(const struct vision *v, const struct vision_input *in, float *out,
                             vision_progress_fn progress, void *ctx, struct kt_error *err)
{
    struct encoder e = { .v = v, .in = in, .progress = progress, .progress_ctx = ctx };
    size_t bytes, n_threads = pool_threads(v->pool);
    enum kt_status st = vision_grid_of(&e.grid, in, err);
    if (st)
        return st;
    if (!vision_scratch_size(&bytes, &v->shape, &e.grid, n_threads))
        return kt_fail(err, KT_E_LIMIT, "an image of %u x %u pixels needs more than any memory",
                       in->height, in->width);
    st = memory_check(bytes, "looking at an image of this size", err);
    if (st)
        return st;
    void *block = calloc(1, bytes); /* zero: what pads heads and rows is never written */
    if (!block)
        return kt_fail(err, KT_E_NOMEM, "an image of %u x %u pixels: %zu MiB are not available",
                       in->height, in->width, bytes >> 20);
    struct carver c = { .base = (char *)size_align((size_t)block, 64) };
    layout(&e, &c, &v->shape, &e.grid, n_threads);
    vision_angles(e.angles, &v->shape, (size_t)MAX(e.grid.rows, e.grid.cols) * VISION_MERGE);
    e.n_total = n_tiles(&e) * (2 + 2 * (size_t)v->shape.n_layers) * e.grid.n_pairs;
    for (e.pair = 0; !st && e.pair < e.grid.n_pairs; e.pair++) {
        e.out = out + e.pair * (e.n_patches / VISION_BLOCK) * v->shape.d_model;
        st = encode_pair(&e, err);
    }
    free(block);
    return st;
}

/* ---- how fast ---- */

double vision_ops(const struct vision_shape *s, double n_patches)
{
    double d = s->d, wide = VISION_BLOCK * d;
    double layer = 8 * d * d + 4 * d * s->n_ff + 4 * d * n_patches;
    double ends = 2 * d * VISION_PATCH_FLOATS + 2 * wide * (wide + s->d_model) / VISION_BLOCK;
    return n_patches * (s->n_layers * layer + ends);
}

/* One layer over whatever the patches are now. */
static double layer_seconds(struct encoder *e)
{
    struct kt_error err;
    uint64_t start = clock_now_ns();
    enum kt_status st = pass(e, keys_tile, &err);
    if (!st)
        st = pass(e, layer_tile, &err);
    return st ? 0 : (double)(clock_now_ns() - start) / 1e9; /* it has nobody who could cancel it */
}

double vision_measure(const struct vision *v)
{
    enum { PATCHES = 64 }; /* for each thread */
    size_t bytes, n_threads = pool_threads(v->pool);
    struct encoder e = { .v = v, .l = v->w.layers };
    e.grid = (struct vision_grid){ 1, (uint32_t)n_threads, PATCHES / VISION_BLOCK };
    if (v->shape.n_layers == 0 || !vision_scratch_size(&bytes, &v->shape, &e.grid, n_threads))
        return 0;
    void *block = calloc(1, bytes);
    if (!block)
        return 0;
    struct carver c = { .base = (char *)size_align((size_t)block, 64) };
    layout(&e, &c, &v->shape, &e.grid, n_threads);
    vision_angles(e.angles, &v->shape, (size_t)MAX(e.grid.rows, e.grid.cols) * VISION_MERGE);
    for (size_t i = 0; i < e.n_patches * v->shape.d; i++)
        e.x[i] = (float)((int)(i % 7) - 3); /* some numbers: zeros could be quicker */
    double best = layer_seconds(&e);        /* weights come from the disk, the first time */
    for (int i = 0; i < 2; i++) {
        double s = layer_seconds(&e);
        best = s < best ? s : best;
    }
    struct vision_shape one = v->shape;
    one.n_layers = 1;
    struct vision_shape ends = one; /* what is not in a layer was not done */
    ends.n_layers = 0;
    double n = (double)e.n_patches, ops = vision_ops(&one, n) - vision_ops(&ends, n);
    free(block);
    return best > 0 ? ops / best : 0;
}

/* ---- the tower ---- */

enum kt_status vision_create(struct vision **out, const struct model_file *file,
                             const struct kernels *k, struct pool *pool, uint32_t d_model,
                             struct kt_error *err)
{
    *out = NULL;
    struct vision *v = calloc(1, sizeof(*v));
    if (!v)
        return kt_fail(err, KT_E_NOMEM, "vision: out of memory");
    v->file = file;
    v->k = k;
    v->pool = pool;
    enum kt_status st = vision_shape_from_file(&v->shape, file, err);
    if (!st && d_model && v->shape.d_model != d_model)
        st = kt_fail(
            err, KT_E_FORMAT,
            "%s: the vision tower makes vectors of %u numbers and the text model has %u; they "
            "belong to different models",
            model_file_path(file), v->shape.d_model, d_model);
    if (!st)
        st = vision_bind(&v->w, &v->arena, &v->shape, file, err);
    if (st) {
        vision_destroy(v);
        return st;
    }
    *out = v;
    return KT_OK;
}

void vision_destroy(struct vision *v)
{
    if (!v)
        return;
    arena_deinit(&v->arena);
    free(v);
}

const struct vision_shape *vision_shape_of(const struct vision *v)
{
    return &v->shape;
}
