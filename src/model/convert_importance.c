/* Importance data for the tensors of a conversion.
 *
 * Looked up under the name that a tensor will have, as data measured on a GGUF file has it; else under
 * the name it has now, as data measured on the folder has it, and then its columns move as the weights'
 * do. */
#include <stdlib.h>

#include "base/size.h"
#include "model/convert_priv.h"
#include "model/model_file_priv.h"

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
