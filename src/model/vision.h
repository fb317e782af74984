/* model/vision.h: from pixels to vectors that stand in a prompt like embeddings of tokens.
 *
 *   struct vision        immutable: the weights of a vision tower, bound and checked. Shared by all.
 *   struct vision_input  one image, or one video as pairs of frames: 8-bit pixels, already resized.
 *   struct vision_grid   how its vectors lie: frame pairs, rows, columns.
 *
 * Two frames at a time become patches of 16 x 16 pixels, go through the blocks of the tower, in which
 * each patch sees all patches of its pair and nothing else, and come out as one vector for every block
 * of 2 x 2 patches, which is 32 x 32 pixels. docs/MODEL.md has the mathematics.
 *
 * Memory. Of one frame pair at a time, with P patches and width d: 3 P d floats (the patches and the
 * keys and values of a block), and for each thread the rows of a tile in all widths of a block.
 * Never a matrix of P x P, never the pixels as floats. vision_scratch_size() is the one place that
 * knows; the function that allocates asks it, too.
 *
 * Bits do not depend on the number of threads. */
#ifndef MODEL_VISION_H
#define MODEL_VISION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "model/model_file.h"

enum {
    VISION_PATCH = 16, /* pixels of a patch's side                                     */
    VISION_PAIR = 2,   /* frames in a patch; a still image is its own second frame     */
    VISION_MERGE = 2,  /* patches of a side that one vector stands for                 */
    VISION_UNIT = VISION_PATCH * VISION_MERGE, /* pixels of a vector's side             */
    VISION_SIDE_MAX = 1 << 16,                 /* pixels                                          */
    VISION_PATCHES_MAX = 1 << 18,              /* of one frame pair: four times the largest image
                                         that the processor of the models makes */
    VISION_FRAMES_MAX = 1 << 16,
};

struct vision;

struct vision_shape {
    uint32_t n_layers;
    uint32_t d;       /* width of a patch's row inside */
    uint32_t n_heads; /* of head_dim = d / n_heads     */
    uint32_t n_ff;
    uint32_t side;    /* learned positions: side x side */
    uint32_t d_model; /* width of the vectors given out */
    float norm_eps;
};

struct vision_input {
    const uint8_t *rgb; /* [n_frames, height, width, 3] */
    uint32_t
        n_frames; /* 1: an image. Even: a video, pairs of frames; an odd one out is repeated by the caller */
    uint32_t height, width; /* multiples of VISION_UNIT */
};

struct vision_grid {
    uint32_t n_pairs, rows, cols; /* vectors are [n_pairs, rows, cols] */
};

/* Is there a vision tower in this file: a folder's tensors under model.visual., or a GGUF of the kind
 * called mmproj? */
bool vision_in_file(const struct model_file *f);

/* Opens nothing: 'file' is borrowed and must outlive the tower, as must kernels and pool. It is the
 * folder of the whole model or an mmproj file. 'd_model' is the width of the text model the vectors are
 * for; 0: not compared. KT_E_FORMAT names file, tensor, what was expected and what is there;
 * KT_E_UNSUPPORTED another kind of tower. */
KT_MUST_CHECK enum kt_status vision_create(struct vision **out, const struct model_file *file,
                                           const struct kernels *k, struct pool *pool,
                                           uint32_t d_model, struct kt_error *err);
void vision_destroy(struct vision *v);
const struct vision_shape *vision_shape_of(const struct vision *v);
/* The shape alone, as the metadata give it: needs no weights in memory. */
KT_MUST_CHECK enum kt_status
vision_shape_from_file(struct vision_shape *s, const struct model_file *f, struct kt_error *err);

/* The grid of an input, or KT_E_USAGE / KT_E_LIMIT when its numbers are not what is promised above. Does
 * not look at the pixels. */
KT_MUST_CHECK enum kt_status vision_grid_of(struct vision_grid *out, const struct vision_input *in,
                                            struct kt_error *err);
static inline size_t vision_n_vectors(const struct vision_grid *g)
{
    return (size_t)g->n_pairs * g->rows * g->cols;
}

/* Bytes that vision_encode() allocates for an input of this grid and frees before it returns. */
KT_MUST_CHECK bool vision_scratch_size(size_t *out, const struct vision_shape *s,
                                       const struct vision_grid *g, size_t n_threads);

/* Called on the calling thread between pieces of work; return false to cancel. */
typedef bool (*vision_progress_fn)(void *ctx, size_t n_done, size_t n_total);

/* out: [n_vectors, d_model], the caller's memory: pair after pair, each row by row. 'progress' may be NULL.
 * KT_E_CANCELLED when it said so, KT_E_NOMEM or KT_E_LIMIT when the scratch memory is not to be had; 'out'
 * is then undefined. One call at a time per pool, as for pool_for(). */
KT_MUST_CHECK enum kt_status vision_encode(const struct vision *v, const struct vision_input *in,
                                           float *out, vision_progress_fn progress, void *ctx,
                                           struct kt_error *err);

/* Multiplications and additions for one pair of n_patches patches. Attention grows with their square. */
double vision_ops(const struct vision_shape *s, double n_patches);
/* How many of these the tower does a second on this machine, with the threads of its pool: one layer over some 64
 * patches a thread, twice, and the better time. Takes some hundredths of a second, a tenth of what one small picture
 * takes. One call at a time per pool. 0: out of memory. */
double vision_measure(const struct vision *v);

/* The same patches as the tower's first matrix reads them, for tests: rows [row0, row0 + n) of pair 'pair',
 * each VISION_PATCH_FLOATS values (channel, frame, y, x) at 'stride' floats, in block order: the four patches
 * of a vector follow each other. */
enum { VISION_PATCH_FLOATS = 3 * VISION_PAIR * VISION_PATCH * VISION_PATCH };
void vision_patches(float *out, size_t stride, const struct vision_input *in, uint32_t pair,
                    size_t row0, size_t n);

#endif
