/* Importance data for the tensors of a conversion.
 *
 * Looked up under the name that a tensor will have, as data measured on a GGUF file has it; else under
 * the name it has now, as data measured on the folder has it, and then its columns move as the weights'
 * do. */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/size.h"
#include "model/convert_priv.h"
#include "model/model_file_priv.h"
#include "quant/quantize.h"

static bool find(const struct importance *data, const struct item *it, struct span *name,
                 size_t *n_cols, size_t *n_mats)
{
    *name = it->name;
    if (importance_find(data, *name, n_cols, n_mats))
        return true;
    if (!it->src || it->stack)
        return false;
    *name = importance_name(it->src->name);
    return importance_find(data, *name, n_cols, n_mats);
}

static void move_columns(const struct item *it, float *v, float *scratch)
{
    size_t n = it->dims[0];
    for (size_t c = 0; c < n; c++)
        scratch[c] = v[perm_source(&it->cols, c)];
    for (size_t c = 0; c < n; c++)
        v[c] = scratch[c];
}

static bool is_searched(const struct item *it)
{
    return !qtype_traits(it->type)->is_float && it->type != QT_Q8_0 && it->n_dims >= 2;
}

static enum kt_status fill(struct plan *p, struct item *it, const struct importance *data,
                           const char *path, bool *found, struct kt_error *err)
{
    struct span name;
    size_t n_cols, n_mats, n = it->dims[0], n_item_mats = it->dims[2] * it->dims[3], n_floats;
    *found = find(data, it, &name, &n_cols, &n_mats);
    if (!*found)
        return KT_OK;
    if (n_cols != n || n_mats != n_item_mats)
        return kt_fail(err, KT_E_USAGE,
                       "tensor %s: the importance data is about %zu matrices of %zu columns, here "
                       "are %zu of %zu; was it measured on another model than %s?",
                       show_name(name).text, n_mats, n_cols, n_item_mats, n, path);
    if (!size_mul(&n_floats, n_mats + 1, n))
        return file_no_memory(err);
    it->importance = arena_array(&p->memory, n_floats, sizeof(float));
    if (!it->importance)
        return file_no_memory(err);
    bool moves = it->cols.major > 1 && !span_eq(name, it->name);
    for (size_t m = 0; m < n_mats; m++) {
        float *v = it->importance + m * n;
        bool known = importance_get(data, name, m, v);
        for (size_t c = 0; c < n && !known; c++)
            v[c] = 0;
        if (moves)
            move_columns(it, v, it->importance + n_mats * n);
    }
    return KT_OK;
}

enum kt_status plan_importance(struct plan *p, const struct importance *data, const char *path,
                               size_t *n_without, struct kt_error *err)
{
    size_t n_with = 0;
    for (size_t i = 0; i < p->n_items; i++) {
        bool found = false;
        if (!is_searched(&p->items[i]))
            continue;
        enum kt_status st = fill(p, &p->items[i], data, path, &found, err);
        if (st)
            return st;
        n_with += found;
        *n_without += !found;
    }
    if (n_with == 0 && *n_without > 0)
        return kt_fail(err, KT_E_USAGE,
                       "%s: the importance data knows none of its tensors; it must be measured on "
                       "this model, or on its float GGUF file",
                       path);
    return KT_OK;
}

/* ---- what errors are made up for with -------------------------------------------------------- */

enum { BLOCK = IMPORTANCE_BLOCK, HEAD = 128 };

struct carry_job {
    const struct item *it;
    bool moves; /* the data has the source's order of columns */
    /* Pairs of columns further apart are taken as unrelated: a block, but a value head where a folder has the heads
     * in another order than a file, so that data about either means the same. */
    size_t n_cols, reach;
    const float *products; /* [n_cols][BLOCK] */
    struct carry *out;
    double *scratch; /* [n_threads][3 BLOCK BLOCK], the last third for cov */
    _Atomic bool failed;
};

/* The sum of products of two columns of the output. */
static float product(const struct carry_job *j, size_t a, size_t b)
{
    if (a / j->reach != b / j->reach)
        return 0.0f;
    if (j->moves) {
        a = perm_source(&j->it->cols, a);
        b = perm_source(&j->it->cols, b);
    }
    return a / BLOCK != b / BLOCK ? 0.0f : j->products[MIN(a, b) * BLOCK + MAX(a, b) % BLOCK];
}

static void carry_blocks(void *ctx, size_t block0, size_t block1, size_t thread_idx)
{
    struct carry_job *j = ctx;
    double *scratch = j->scratch + thread_idx * 3 * BLOCK * BLOCK;
    float *cov = (float *)(scratch + 2 * BLOCK * BLOCK);
    for (size_t b = block0; b < block1; b++) {
        size_t first = b * BLOCK, n = MIN((size_t)BLOCK, j->n_cols - first);
        for (size_t r = 0; r < n; r++) {
            for (size_t c = r; c < n; c++)
                cov[r * BLOCK + c] = product(j, first + r, first + c);
        }
        if (!quant_carry(j->out->carry + first * BLOCK, j->out->weight + first, cov, n, BLOCK,
                         scratch))
            atomic_store(&j->failed, true);
    }
}

enum kt_status carry_create(struct carry *out, const struct importance *data, const struct item *it,
                            struct pool *pool, struct kt_error *err)
{
    *out = (struct carry){ .block = BLOCK };
    size_t n_cols = it->dims[0], n, n_scratch = pool_threads(pool) * 3 * BLOCK * BLOCK;
    struct span name = it->name;
    if (!it->importance || it->dims[2] * it->dims[3] != 1)
        return KT_OK;
    bool heads = span_find(name, SPAN(".ssm_out."), 0) != SIZE_MAX;
    struct carry_job j = { .it = it, .n_cols = n_cols, .reach = heads ? HEAD : BLOCK, .out = out };
    if (!importance_has_products(data, name, n_cols) && it->src) {
        name = importance_name(it->src->name);
        j.moves = it->cols.major > 1;
    }
    if (!importance_has_products(data, name, n_cols) || !size_mul(&n, n_cols, BLOCK))
        return KT_OK;
    float *products = malloc(n * sizeof(float));
    out->carry = calloc(n, sizeof(float));
    out->weight = calloc(n_cols, sizeof(float));
    j.scratch = malloc(n_scratch * sizeof(double));
    bool ok = products && out->carry && out->weight && j.scratch;
    if (ok) {
        (void)importance_products(data, name, products);
        j.products = products;
        pool_for(pool, (n_cols + BLOCK - 1) / BLOCK, 1, carry_blocks, &j);
    }
    free(products);
    free(j.scratch);
    if (!ok || atomic_load(&j.failed))
        carry_deinit(out);
    return ok ? KT_OK : file_no_memory(err);
}

void carry_deinit(struct carry *c)
{
    free(c->carry);
    free(c->weight);
    *c = (struct carry){ 0 };
}
