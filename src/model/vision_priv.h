/* Shared by the files of the vision tower.
 *
 *   vision_shape.c   what a tower is, as numbers: from config.json or an mmproj file
 *   vision_bind.c    its tensors, found and checked
 *   vision_patch.c   from pixels to rows: patches, learned positions, angles
 *   vision.c         the forward pass
 */
#ifndef MODEL_VISION_PRIV_H
#define MODEL_VISION_PRIV_H

#include "base/arena.h"
#include "model/vision.h"

struct vision_layer {
    const float *norm1_w, *norm1_b, *norm2_w, *norm2_b; /* [d]                           */
    struct mat q, k, v, out;                            /* [d, d]: the first three are one tensor */
    const float *q_bias, *k_bias, *v_bias, *out_bias;   /* [d]                           */
    struct mat up, down;                                /* [n_ff, d], [d, n_ff]          */
    const float *up_bias, *down_bias;                   /* [n_ff], [d]                   */
};

struct vision_weights {
    struct mat patch;        /* [d, VISION_PATCH_FLOATS]           */
    const float *patch_bias; /* [d]                                */
    struct mat positions;    /* [side * side, d]                   */
    struct vision_layer *layers;
    const float *norm_w, *norm_b; /* [d], before four patches become one row */
    struct mat merge1, merge2;    /* [4 d, 4 d], [d_model, 4 d]              */
    const float *merge1_bias, *merge2_bias;
};

struct vision {
    const struct model_file *file;
    const struct kernels *k;
    struct pool *pool;
    struct vision_shape shape;
    struct vision_weights w;
    struct arena arena;
};

enum { VISION_BLOCK = VISION_MERGE * VISION_MERGE }; /* patches of a vector */

/* What stands before the names of a folder's vision tensors: "model.visual." or "visual.". NULL: it has none. */
const char *vision_prefix(const struct model_file *f);

KT_MUST_CHECK enum kt_status vision_bind(struct vision_weights *w, struct arena *arena,
                                         const struct vision_shape *s, const struct model_file *f,
                                         struct kt_error *err);

/* Row and column, in patches, of the at-th patch in block order. cols: vectors in a row of the grid. */
struct vision_place {
    uint32_t row, col;
};
static inline struct vision_place vision_place_of(size_t at, uint32_t cols)
{
    size_t block = at / VISION_BLOCK, in = at % VISION_BLOCK;
    return (struct vision_place){
        .row = (uint32_t)(block / cols * VISION_MERGE + in / VISION_MERGE),
        .col = (uint32_t)(block % cols * VISION_MERGE + in % VISION_MERGE),
    };
}

/* x[i] += the learned position of patch row0 + i, mixed of the four nearest in the table. tmp: [2, d]. */
void vision_add_positions(float *x, const struct vision *v, const struct vision_grid *g,
                          size_t row0, size_t n, float *tmp);
/* cosines, then sines, of n_pos positions: [n_pos, 2, head_dim / 4]. */
void vision_angles(float *out, const struct vision_shape *s, size_t n_pos);
/* Turn a head by the angles of its row and of its column. 'to' may be 'from'. */
void vision_turn(float *to, const float *from, size_t head_dim, const float *row, const float *col);

#endif
