/* Collecting what importance.h describes, and writing it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "model/gguf_write.h"
#include "model/importance.h"
#include "model/model_file_priv.h"

/* A tensor of matrices: one, or a stack of experts. */
struct sums {
    const struct tensor *t;
    size_t n_cols, n_mats;
    double *sum;     /* [n_mats, n_cols] */
    uint64_t *count; /* [n_mats] rows seen */
    float *
        products; /* [n_cols][IMPORTANCE_BLOCK] from the diagonal on, or NULL: another matrix has them */
};

struct importance_sums {
    struct sums *list; /* [n] by place in the mapping */
    size_t n;
};

static int by_place(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct sums *)a)->t->data,
              y = (uintptr_t)((const struct sums *)b)->t->data;
    return (x > y) - (x < y);
}

static bool has_products_of_its_own(const struct model_file *file, struct span name)
{
    char other[256];
    if (span_find(name, SPAN(".experts."), 0) != SIZE_MAX)
        return false; /* there are hundreds */
    return !importance_stand_in(name, other) || !model_file_tensor(file, other);
}

enum kt_status importance_sums_create(struct importance_sums **out, const struct model_file *file,
                                      struct kt_error *err)
{
    size_t n_tensors = model_file_n_tensors(file);
    struct importance_sums *s = calloc(1, sizeof(*s));
    if (s)
        s->list = calloc(n_tensors + 1, sizeof(*s->list));
    *out = s;
    bool ok = s && s->list;
    for (size_t i = 0; ok && i < n_tensors; i++) {
        const struct tensor *t = model_file_tensor_at(file, i);
        if (t->n_dims < 2)
            continue;
        struct sums *m = &s->list[s->n++];
        *m = (struct sums){ .t = t, .n_cols = t->dims[0], .n_mats = t->dims[2] * t->dims[3] };
        m->sum = calloc(m->n_cols * m->n_mats, sizeof(*m->sum));
        m->count = calloc(m->n_mats, sizeof(*m->count));
        bool apart = t->n_dims == 2 && has_products_of_its_own(file, t->name);
        if (apart)
            m->products = calloc(m->n_cols * IMPORTANCE_BLOCK, sizeof(*m->products));
        ok = m->sum && m->count && (!apart || m->products);
    }
    if (!ok) {
        importance_sums_destroy(s);
        *out = NULL;
        return kt_fail(err, KT_E_NOMEM, "importance: out of memory");
    }
    qsort(s->list, s->n, sizeof(*s->list), by_place);
    return KT_OK;
}

void importance_sums_destroy(struct importance_sums *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        free(s->list[i].sum);
        free(s->list[i].count);
        free(s->list[i].products);
    }
    free(s->list);
    free(s);
}

/* The tensor that the bytes at 'data' belong to. */
static struct sums *find(struct importance_sums *s, const void *data)
{
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if ((uintptr_t)s->list[mid].t->data <= (uintptr_t)data)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0)
        return NULL;
    struct sums *m = &s->list[lo - 1];
    return (uintptr_t)data - (uintptr_t)m->t->data < m->t->bytes ? m : NULL;
}

/* Products of column c with those from itself to the end of its block, summed over the rows. */
static void add_products(float *restrict to, const struct act *x, size_t first, size_t place,
                         size_t len)
{
    float sum[IMPORTANCE_BLOCK] = { 0 };
    for (size_t i = 0; i < x->n_rows; i++) {
        const float *restrict row = x->f + i * x->stride + first;
        float s = row[place];
        for (size_t l = place; l < len; l++)
            sum[l] += s * row[l];
    }
    for (size_t l = place; l < len; l++)
        to[l] += sum[l];
}

void importance_sums_add(struct importance_sums *s, const struct mat *w, const struct act *x)
{
    struct sums *m = find(s, w->data);
    if (!m || m->n_cols != x->n_cols)
        return;
    size_t at = (size_t)((uintptr_t)w->data - (uintptr_t)m->t->data);
    size_t mat_idx = at / (m->t->bytes / m->n_mats);
    double *sum = m->sum + mat_idx * m->n_cols;
    for (size_t i = 0; i < x->n_rows; i++) {
        const float *row = x->f + i * x->stride;
        for (size_t c = 0; c < m->n_cols; c++)
            sum[c] += (double)row[c] * (double)row[c];
    }
    m->count[mat_idx] += x->n_rows;
    for (size_t c = 0; m->products && c < m->n_cols; c++) {
        size_t place = c % IMPORTANCE_BLOCK, first = c - place;
        add_products(m->products + c * IMPORTANCE_BLOCK, x, first, place,
                     MIN((size_t)IMPORTANCE_BLOCK, m->n_cols - first));
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

static bool was_used(const struct sums *m)
{
    for (size_t i = 0; i < m->n_mats; i++) {
        if (m->count[i])
            return true;
    }
    return false;
}

static enum kt_status describe(const struct sums *m, struct gguf_write *w, struct kt_error *err)
{
    char name[FILE_NAME_MAX + 16];
    uint64_t sums[] = { m->n_cols, m->n_mats }, counts[] = { 1, m->n_mats };
    struct span of = importance_name(m->t->name); /* at most FILE_NAME_MAX long */
    snprintf(name, sizeof(name), "%.*s.in_sum2", (int)of.len, of.ptr);
    enum kt_status st = gguf_write_tensor(w, span_of(name), QT_F32, 2, sums, err);
    if (st)
        return st;
    snprintf(name, sizeof(name), "%.*s.counts", (int)of.len, of.ptr);
    st = gguf_write_tensor(w, span_of(name), QT_F32, 2, counts, err);
    if (st || !m->products)
        return st;
    uint64_t products[] = { IMPORTANCE_BLOCK, m->n_cols };
    snprintf(name, sizeof(name), "%.*s.in_products", (int)of.len, of.ptr);
    return gguf_write_tensor(w, span_of(name), QT_F32, 2, products, err);
}

static enum kt_status put(const struct sums *m, struct gguf_write *w, struct kt_error *err)
{
    size_t n = m->n_cols * m->n_mats;
    float *v = malloc(MAX(n, m->n_mats) * sizeof(*v));
    if (!v)
        return kt_fail(err, KT_E_NOMEM, "importance: out of memory");
    for (size_t i = 0; i < n; i++)
        v[i] = (float)m->sum[i];
    enum kt_status st = gguf_write_data(w, v, n * sizeof(*v), err);
    for (size_t i = 0; i < m->n_mats; i++)
        v[i] = (float)m->count[i];
    if (!st)
        st = gguf_write_data(w, v, m->n_mats * sizeof(*v), err);
    if (!st && m->products)
        st = gguf_write_data(w, m->products, m->n_cols * IMPORTANCE_BLOCK * sizeof(float), err);
    free(v);
    return st;
}

static enum kt_status write_all(const struct importance_sums *s, struct gguf_write *w,
                                const char *text_name, size_t n_windows, size_t n_window,
                                struct kt_error *err)
{
    enum kt_status st = KT_OK;
    gguf_write_str(w, "general.type", SPAN("imatrix"));
    gguf_write_arr_str(w, "imatrix.datasets", 1);
    gguf_write_arr_str_item(w, span_of(text_name));
    gguf_write_u32(w, "imatrix.chunk_count", (uint32_t)n_windows);
    gguf_write_u32(w, "imatrix.chunk_size", (uint32_t)n_window);
    for (size_t i = 0; i < s->n && !st; i++)
        st = was_used(&s->list[i]) ? describe(&s->list[i], w, err) : KT_OK;
    for (size_t i = 0; i < s->n && !st; i++)
        st = was_used(&s->list[i]) ? put(&s->list[i], w, err) : KT_OK;
    return st ? st : gguf_write_finish(w, err);
}

enum kt_status importance_sums_write(const struct importance_sums *s, const char *path,
                                     const char *text_name, size_t n_windows, size_t n_window,
                                     struct kt_error *err)
{
    struct gguf_write *w;
    enum kt_status st = gguf_write_open(&w, path, err);
    if (st)
        return st;
    st = write_all(s, w, text_name, n_windows, n_window, err);
    gguf_write_close(w);
    return st;
}
