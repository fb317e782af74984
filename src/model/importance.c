/* Reading what importance.h describes. */
#include "model/importance.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "model/model_file_priv.h"

#define LEAST 1e-5f /* of the mean: a column that was never used may be needed by another text */

struct importance {
    struct model_file *file;
    size_t n;
};

struct pair {
    const float *sum, *count; /* [n_mats, n_cols], [n_mats] */
    size_t n_cols, n_mats;
};

static const struct tensor *part_of(const struct importance *p, struct span name, const char *part)
{
    char full[FILE_NAME_MAX + 16];
    if (name.len > FILE_NAME_MAX)
        return NULL;
    snprintf(full, sizeof(full), "%.*s.%s", (int)name.len, name.ptr, part);
    return model_file_tensor(p->file, full);
}

static bool find_pair(const struct importance *p, struct span name, struct pair *out)
{
    const struct tensor *sum = part_of(p, name, "in_sum2"), *count = part_of(p, name, "counts");
    if (!sum || !count)
        return false;
    *out = (struct pair){
        .sum = sum->data, .count = count->data, .n_cols = sum->dims[0], .n_mats = sum->dims[1]
    };
    return true;
}

/* Mapped data may lie anywhere. */
static float number_at(const float *x, size_t i)
{
    float v;
    memcpy(&v, (const char *)x + i * sizeof(v), sizeof(v));
    return v;
}

static bool all_good(const struct tensor *t)
{
    for (size_t i = 0; i < t->bytes / sizeof(float); i++) {
        float v = number_at(t->data, i);
        if (!(v >= 0 && v < INFINITY))
            return false;
    }
    return true;
}

static enum kt_status check_sum(const struct importance *p, const struct tensor *t,
                                struct kt_error *err)
{
    struct span name = span_sub(t->name, 0, t->name.len - strlen(".in_sum2"));
    const struct tensor *count = part_of(p, name, "counts");
    if (t->type != QT_F32 || t->dims[2] * t->dims[3] != 1 || !count || count->type != QT_F32 ||
        count->dims[0] != 1 || count->dims[1] != t->dims[1] || count->dims[2] * count->dims[3] != 1)
        return kt_fail(err, KT_E_FORMAT,
                       "%s: tensor %s: expected float sums {columns, matrices} and counts {1, "
                       "matrices} beside them",
                       model_file_path(p->file), show_name(t->name).text);
    if (!all_good(t) || !all_good(count))
        return kt_fail(err, KT_E_FORMAT,
                       "%s: tensor %s: a sum of squares that is negative or no "
                       "number",
                       model_file_path(p->file), show_name(t->name).text);
    return KT_OK;
}

static enum kt_status check_products(const struct importance *p, const struct tensor *t,
                                     struct kt_error *err)
{
    if (t->type != QT_F32 || t->n_dims != 2 || t->dims[0] != IMPORTANCE_BLOCK)
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: tensor %s: expected float sums {%d, columns}; `kontor importance` writes "
            "them",
            model_file_path(p->file), show_name(t->name).text, IMPORTANCE_BLOCK);
    for (size_t i = 0; i < t->bytes / sizeof(float); i++) {
        if (!isfinite(number_at(t->data, i)))
            return kt_fail(err, KT_E_FORMAT, "%s: tensor %s: a sum that is no number",
                           model_file_path(p->file), show_name(t->name).text);
    }
    return KT_OK;
}

static enum kt_status check_all(struct importance *p, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < model_file_n_tensors(p->file) && !st; i++) {
        const struct tensor *t = model_file_tensor_at(p->file, i);
        if (span_ends(t->name, SPAN(".in_products")))
            st = check_products(p, t, err);
        if (st || !span_ends(t->name, SPAN(".in_sum2")))
            continue;
        p->n++;
        st = check_sum(p, t, err);
    }
    if (!st && p->n == 0)
        st = kt_fail(err, KT_E_FORMAT,
                     "%s: no importance data in it; `kontor importance` collects some",
                     model_file_path(p->file));
    return st;
}

enum kt_status importance_open(struct importance **out, const char *path, struct kt_error *err)
{
    *out = NULL;
    struct importance *p = calloc(1, sizeof(*p));
    if (!p)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    enum kt_status st = model_file_open(&p->file, path, err);
    if (!st)
        st = check_all(p, err);
    if (st) {
        importance_close(p);
        return st;
    }
    *out = p;
    return KT_OK;
}

void importance_close(struct importance *p)
{
    if (!p)
        return;
    model_file_close(p->file);
    free(p);
}

struct span importance_name(struct span tensor)
{
    static const char *const FRONTS[] = { "model.language_model.", "model." };
    for (size_t i = 0; i < ARRAY_LEN(FRONTS); i++) {
        if (span_starts(tensor, span_of(FRONTS[i])))
            return span_sub(tensor, strlen(FRONTS[i]), tensor.len);
    }
    return tensor;
}

size_t importance_n(const struct importance *p)
{
    return p->n;
}

bool importance_find(const struct importance *p, struct span name, size_t *n_cols, size_t *n_mats)
{
    struct pair pair;
    if (!find_pair(p, name, &pair))
        return false;
    *n_cols = pair.n_cols;
    *n_mats = pair.n_mats;
    return true;
}

bool importance_get(const struct importance *p, struct span name, size_t mat_idx, float *out)
{
    struct pair pair;
    if (!find_pair(p, name, &pair) || !(number_at(pair.count, mat_idx) > 0))
        return false;
    size_t n = pair.n_cols;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)number_at(pair.sum, mat_idx * n + i);
    if (!(sum > 0))
        return false;
    for (size_t i = 0; i < n; i++) {
        double v = (double)number_at(pair.sum, mat_idx * n + i) * (double)n / sum;
        out[i] = fmaxf((float)v, LEAST);
    }
    return true;
}

/* ---- products -------------------------------------------------------------------------------- */

bool importance_stand_in(struct span name, char out[static 256])
{
    static const struct {
        const char *part, *other;
    } SAME_INPUT[] = {
        { ".attn_k.", ".attn_q." },
        { ".attn_v.", ".attn_q." },
        { ".attn_gate.", ".attn_qkv." },
        { ".ssm_alpha.", ".attn_qkv." },
        { ".ssm_beta.", ".attn_qkv." },
        { ".ffn_up.", ".ffn_gate." },
        { ".ffn_up_shexp.", ".ffn_gate_shexp." },
        { ".k_proj.", ".q_proj." },
        { ".v_proj.", ".q_proj." },
        { ".in_proj_z.", ".in_proj_qkv." },
        { ".in_proj_a.", ".in_proj_qkv." },
        { ".in_proj_b.", ".in_proj_qkv." },
        { ".up_proj.", ".gate_proj." },
    };
    for (size_t i = 0; i < ARRAY_LEN(SAME_INPUT); i++) {
        size_t at = span_find(name, span_of(SAME_INPUT[i].part), 0);
        if (at == SIZE_MAX)
            continue;
        struct span rest = span_sub(name, at + strlen(SAME_INPUT[i].part), name.len);
        int n = snprintf(out, 256, "%.*s%s%.*s", (int)at, name.ptr, SAME_INPUT[i].other,
                         (int)rest.len, rest.ptr);
        return n > 0 && n < 256;
    }
    return false;
}

static const struct tensor *products_of(const struct importance *p, struct span name)
{
    char other[256];
    const struct tensor *t = part_of(p, name, "in_products");
    if (!t && importance_stand_in(name, other))
        t = part_of(p, span_of(other), "in_products");
    return t;
}

bool importance_has_products(const struct importance *p, struct span name, size_t n_cols)
{
    const struct tensor *t = products_of(p, name);
    return t && t->dims[1] == n_cols;
}

bool importance_products(const struct importance *p, struct span name, float *out)
{
    const struct tensor *t = products_of(p, name);
    if (!t)
        return false;
    memcpy(out, t->data, t->bytes);
    return true;
}
