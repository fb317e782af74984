/* Invariants of an opened model file; their numbers are those in src/model/gguf.c. */
#include "fuzz/check_model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x)) {                                                                                \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #x);                      \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static bool inside(const void *ptr, size_t len, const uint8_t *data, size_t size)
{
    const uint8_t *p = ptr;
    return p >= data && p <= data + size && len <= (size_t)(data + size - p);
}

static void touch(const void *ptr, size_t len)
{
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + ((const uint8_t *)ptr)[i]);
}

/* 1: clean, and found by its own name. */
static void check_name(struct span name, char *z, size_t cap)
{
    CHECK(name.len > 0 && name.len < cap);
    CHECK(utf8_valid(name));
    memcpy(z, name.ptr, name.len);
    z[name.len] = '\0';
    CHECK(strlen(z) == name.len);
}

/* 3 */
static void check_tensor(const struct model_file *f, size_t idx, const uint8_t *data, size_t size)
{
    static char z[70000];
    const struct tensor *t = model_file_tensor_at(f, idx);
    check_name(t->name, z, sizeof(z));
    CHECK(model_file_tensor(f, z) == t);
    CHECK(qtype_traits(t->type));
    CHECK(t->n_dims >= 1 && t->n_dims <= TENSOR_DIMS_MAX);
    size_t bytes;
    CHECK(qtype_row_bytes(&bytes, t->type, t->dims[0]));
    for (size_t i = 0; i < TENSOR_DIMS_MAX; i++) {
        CHECK(t->dims[i] > 0 && (i < t->n_dims || t->dims[i] == 1));
        CHECK(i == 0 || size_mul(&bytes, bytes, t->dims[i]));
    }
    CHECK(bytes == t->bytes);
    CHECK(inside(t->data, t->bytes, data, size));
    touch(t->data, t->bytes);
}

static int by_place(const void *a, const void *b)
{
    const struct tensor *x = *(const struct tensor *const *)a,
                        *y = *(const struct tensor *const *)b;
    return x->data < y->data ? -1 : x->data > y->data;
}

/* 4 */
static void check_overlap(const struct model_file *f)
{
    size_t n = model_file_n_tensors(f);
    const struct tensor **sorted = malloc((n + 1) * sizeof(const struct tensor *));
    CHECK(sorted);
    for (size_t i = 0; i < n; i++)
        sorted[i] = model_file_tensor_at(f, i);
    qsort(sorted, n, sizeof(*sorted), by_place);
    for (size_t i = 0; i + 1 < n; i++)
        CHECK((const char *)sorted[i]->data + sorted[i]->bytes <=
              (const char *)sorted[i + 1]->data);
    free(sorted);
}

/* 2: reading every element finds it where it may be. */
static void check_meta(const struct model_file *f, size_t idx, const uint8_t *data, size_t size)
{
    static char z[70000];
    const struct meta *m = model_file_meta_at(f, idx);
    check_name(m->key, z, sizeof(z));
    CHECK(model_file_meta(f, z) == m);
    if (m->type == META_STR)
        CHECK(inside(m->s.ptr, m->s.len, data, size));
    for (size_t i = 0; i < m->n; i++) {
        if (m->type == META_ARR_STR) {
            struct span s = meta_arr_str(m, i);
            CHECK(inside(s.ptr, s.len, data, size));
            touch(s.ptr, s.len);
        } else if (m->type == META_ARR_BOOL) {
            CHECK(meta_arr_int(m, i) == 0 || meta_arr_int(m, i) == 1);
        } else {
            (void)meta_arr_int(m, i);
            (void)meta_arr_float(m, i);
        }
    }
}

void check_model_file(const struct model_file *f, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < model_file_n_meta(f); i++)
        check_meta(f, i, data, size);
    for (size_t i = 0; i < model_file_n_tensors(f); i++)
        check_tensor(f, i, data, size);
    check_overlap(f);
}
