/* Shared by the files that convert.
 *
 *   convert.c         the run: open, plan, describe, stream
 *   convert_folder.c  a folder's tensors under their GGUF names, with what changes in each
 *   convert_meta.c    a folder's shape as metadata
 *   convert_vision.c  a folder's vision part
 *   convert_types.c   which tensor gets which type
 *   convert_importance.c  what is known about the columns of each */
#ifndef MODEL_CONVERT_PRIV_H
#define MODEL_CONVERT_PRIV_H

#include "base/arena.h"
#include "model/convert.h"
#include "model/importance.h"
#include "model/shape.h"

/* Units of 'unit' elements in another order: in each run of minor * major units, unit
 * j * minor + k of the output is unit k * major + j of the input. Elements before 'start' stay.
 * major <= 1: nothing moves. */
struct perm {
    size_t start, unit, minor, major;
};

static inline size_t perm_source(const struct perm *p, size_t i)
{
    if (p->major <= 1 || i < p->start)
        return i;
    size_t run = p->unit * p->minor * p->major, at = (i - p->start) % run;
    size_t g = at / p->unit, base = i - at;
    return base + (g % p->minor * p->major + g / p->minor) * p->unit + at % p->unit;
}

/* A tensor of the output. */
struct item {
    struct span name;
    const struct tensor *src; /* NULL: 'values' */
    const float *values;
    uint32_t n_dims;
    uint64_t dims[TENSOR_DIMS_MAX];
    enum qtype type;
    struct perm rows, cols;
    /* A stack of experts: matrix e of the output is rows [stack_row0, + dims[1]) of matrix e of the
     * source, each of stack_rows rows (0: no stack), or of a tensor of its own, stack[e]. */
    size_t stack_rows, stack_row0;
    const struct tensor **stack; /* [dims[2]] or NULL */
    /* How much columns matter, [columns] of each matrix in the output's order; NULL: unknown. A matrix
     * of which nothing is known has zeros. */
    float *importance;
    bool add_one, neg_exp;
};

struct plan {
    struct arena memory; /* names, values */
    struct item *items;  /* [n_items], malloc */
    size_t n_items, cap_items;
    uint32_t n_layers; /* one more than the largest N of a name blk.N. */
};

/* A zeroed new item, or NULL: out of memory. */
struct item *plan_push(struct plan *p);

KT_MUST_CHECK enum kt_status plan_folder(struct plan *p, const struct model_file *f,
                                         const struct model_shape *s, struct kt_error *err);

struct vision_shape;
KT_MUST_CHECK enum kt_status plan_vision(struct plan *p, const struct model_file *f,
                                         struct kt_error *err);
void put_vision_meta(struct gguf_write *w, const struct vision_shape *s);

/* Which type every item gets; *n_fallback counts those whose rows do not fit. */
void plan_types(struct plan *p, const char *type, size_t *n_fallback);
/* Fills importance of every item that is quantised; *n_without counts those it could not. KT_E_USAGE when
 * the data is of another model. */
KT_MUST_CHECK enum kt_status plan_importance(struct plan *p, const struct importance *data,
                                             const char *path, size_t *n_without,
                                             struct kt_error *err);
/* How errors in the columns of one matrix are made up for by others (quantize.h). */
struct carry {
    float *carry, *weight; /* [columns][block], [columns]; malloc. NULL: nothing is known */
    size_t block;
};
KT_MUST_CHECK enum kt_status carry_create(struct carry *out, const struct importance *data,
                                          const struct item *it, struct pool *pool,
                                          struct kt_error *err);
void carry_deinit(struct carry *c);
uint32_t convert_file_type(const char *type); /* general.file_type */

/* "blk.12.attn_q.weight" -> 12; -1 when the name is not of a layer. */
int layer_of(struct span name);

KT_MUST_CHECK enum kt_status put_folder_meta(struct gguf_write *w, const struct model_file *f,
                                             const struct model_shape *s, struct kt_error *err);
/* Are the rotary factors written as the tensor rope_freqs.weight? (Llama 3's way; linear and yarn
 * are metadata.) */
bool rope_as_tensor(const struct model_shape *s);

#endif
