/* Opening a model and looking things up in it; what the two containers have in common. */
#include "model/model_file.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/half.h"
#include "base/size.h"
#include "base/utf8.h"
#include "model/model_file_priv.h"

/* ---- names in messages ----------------------------------------------------------------------- */

bool name_is_clean(struct span name)
{
    if (name.len == 0 || !utf8_valid(name))
        return false;
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c < 0x20 || c == 0x7F)
            return false;
    }
    return true;
}

struct shown show_name(struct span name)
{
    struct shown s;
    size_t n = MIN(name.len, (size_t)64);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        s.text[i] = c >= 0x20 && c < 0x7F ? (char)c : '?';
    }
    memcpy(s.text + n, name.len > n ? "..." : "", name.len > n ? 4 : 1);
    return s;
}

/* ---- filling --------------------------------------------------------------------------------- */

enum kt_status file_no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory while reading the file's tables");
}

/* A zeroed element at the end of *array, which doubles when it is full. */
static void *push(void **array, size_t *n, size_t *cap, size_t elem_size)
{
    if (*n == *cap) {
        size_t bytes, more = *cap ? 2 * *cap : 64;
        void *p = size_mul(&bytes, more, elem_size) ? realloc(*array, bytes) : NULL;
        if (!p)
            return NULL;
        *array = p;
        *cap = more;
    }
    void *elem = (char *)*array + (*n)++ * elem_size;
    memset(elem, 0, elem_size);
    return elem;
}

struct tensor *file_push_tensor(struct model_file *f)
{
    void *array = f->tensors;
    struct tensor *t = push(&array, &f->n_tensors, &f->cap_tensors, sizeof(*t));
    f->tensors = array;
    return t;
}

struct meta *file_push_meta(struct model_file *f)
{
    void *array = f->metas;
    struct meta *m = push(&array, &f->n_metas, &f->cap_metas, sizeof(*m));
    f->metas = array;
    return m;
}

enum kt_status file_push_part(struct model_file *f, const char *path, struct file_map *out,
                              struct kt_error *err)
{
    struct file_map map;
    enum kt_status st = file_map_open(&map, path, err);
    if (st)
        return st;
    void *array = f->parts;
    struct file_map *part = push(&array, &f->n_parts, &f->cap_parts, sizeof(*part));
    f->parts = array;
    if (!part) {
        file_map_close(&map);
        return file_no_memory(err);
    }
    *part = *out = map;
    f->bytes += map.size;
    return KT_OK;
}

enum kt_status tensor_bytes(size_t *out, const struct tensor *t, struct kt_error *err)
{
    const struct qtype_traits *q = qtype_traits(t->type);
    if (t->dims[0] % q->block_len)
        return kt_fail(err, KT_E_FORMAT,
                       "tensor %s: rows of %llu elements, expected a multiple of %u, the block of "
                       "%s; " DAMAGED,
                       show_name(t->name).text, (unsigned long long)t->dims[0], q->block_len,
                       q->name);
    size_t bytes;
    bool fits = qtype_row_bytes(&bytes, t->type, t->dims[0]);
    size_t n_elems = t->dims[0];
    for (size_t i = 1; i < TENSOR_DIMS_MAX; i++)
        fits =
            fits && size_mul(&bytes, bytes, t->dims[i]) && size_mul(&n_elems, n_elems, t->dims[i]);
    if (!fits || n_elems > INT64_MAX)
        return kt_fail(
            err, KT_E_FORMAT,
            "tensor %s: %llu x %llu x %llu x %llu elements is more than can exist; " DAMAGED,
            show_name(t->name).text, (unsigned long long)t->dims[0], (unsigned long long)t->dims[1],
            (unsigned long long)t->dims[2], (unsigned long long)t->dims[3]);
    *out = bytes;
    return KT_OK;
}

/* ---- the two indices ------------------------------------------------------------------------- */

static int span_compare(struct span a, struct span b)
{
    size_t n = MIN(a.len, b.len);
    int c = n ? memcmp(a.ptr, b.ptr, n) : 0;
    return c ? c : (a.len > b.len) - (a.len < b.len);
}

static struct span tensor_name(const void *table, size_t idx)
{
    return ((const struct tensor *)table)[idx].name;
}

static struct span meta_key(const void *table, size_t idx)
{
    return ((const struct meta *)table)[idx].key;
}

/* Both tables are looked up alike: 'key_of' says how an entry of 'table' is called. */
struct keyed {
    const void *table;
    struct span (*key_of)(const void *table, size_t idx);
};

static int index_compare(const void *a, const void *b, void *ctx)
{
    const struct keyed *k = ctx;
    return span_compare(k->key_of(k->table, *(const uint32_t *)a),
                        k->key_of(k->table, *(const uint32_t *)b));
}

/* Sort the entries by name and refuse one that is there twice: which of the two would be meant? */
static enum kt_status index_make(uint32_t **out, struct keyed k, size_t n, const char *what,
                                 struct kt_error *err)
{
    uint32_t *idx = malloc((n + 1) * sizeof(*idx));
    if (!idx)
        return file_no_memory(err);
    for (size_t i = 0; i < n; i++)
        idx[i] = (uint32_t)i;
    qsort_r(idx, n, sizeof(*idx), index_compare, &k);
    *out = idx;
    for (size_t i = 0; i + 1 < n; i++) {
        struct span key = k.key_of(k.table, idx[i]);
        if (span_eq(key, k.key_of(k.table, idx[i + 1])))
            return kt_fail(err, KT_E_FORMAT, "%s %s is there twice, expected once; " DAMAGED, what,
                           show_name(key).text);
    }
    return KT_OK;
}

/* Position in 'idx' of the entry called 'name', or n. */
static size_t index_find(const uint32_t *idx, size_t n, struct keyed k, const char *name)
{
    struct span want = span_of(name);
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = span_compare(k.key_of(k.table, idx[mid]), want);
        if (c == 0)
            return mid;
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return n;
}

/* ---- opening --------------------------------------------------------------------------------- */

static enum kt_status finish(struct model_file *f, struct kt_error *err)
{
    struct keyed tensors = { f->tensors, tensor_name }, metas = { f->metas, meta_key };
    enum kt_status st = index_make(&f->tensors_by_name, tensors, f->n_tensors, "tensor", err);
    if (!st)
        st = index_make(&f->metas_by_key, metas, f->n_metas, "metadata key", err);
    if (st)
        kt_error_prefix(err, "%s", f->path);
    return st;
}

static struct model_file *create(const char *path, struct kt_error *err)
{
    struct model_file *f = calloc(1, sizeof(*f));
    if (f)
        f->path = strdup(path);
    if (!f || !f->path) {
        free(f);
        kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
        return NULL;
    }
    return f;
}

enum kt_status model_file_open(struct model_file **out, const char *path, struct kt_error *err)
{
    *out = NULL;
    struct model_file *f = create(path, err);
    if (!f)
        return KT_E_NOMEM;
    struct stat sb;
    bool is_folder = stat(path, &sb) == 0 && S_ISDIR(sb.st_mode);
    enum kt_status st = is_folder ? model_folder_open(f, path, err) : gguf_open(f, path, err);
    if (!st)
        st = finish(f, err);
    if (st) {
        model_file_close(f);
        return st;
    }
    *out = f;
    return KT_OK;
}

enum kt_status model_file_open_memory(struct model_file **out, enum model_container container,
                                      const void *data, size_t size, const char *name,
                                      struct kt_error *err)
{
    *out = NULL;
    struct model_file *f = create(name, err);
    if (!f)
        return KT_E_NOMEM;
    f->container = container;
    f->bytes = size;
    enum kt_status st;
    if (container == MODEL_GGUF) {
        struct gguf_split split;
        st = gguf_parse(f, data, size, true, &split, err);
    } else {
        st = safetensors_parse(f, data, size, NULL, err);
    }
    if (st)
        kt_error_prefix(err, "%s", name);
    else
        st = finish(f, err);
    if (st) {
        model_file_close(f);
        return st;
    }
    *out = f;
    return KT_OK;
}

void model_file_close(struct model_file *f)
{
    if (!f)
        return;
    for (size_t i = 0; i < f->n_parts; i++)
        file_map_close(&f->parts[i]);
    free(f->parts);
    free(f->tensors);
    free(f->metas);
    free(f->tensors_by_name);
    free(f->metas_by_key);
    arena_deinit(&f->memory);
    free(f->dir);
    free(f->path);
    free(f);
}

/* ---- looking up ------------------------------------------------------------------------------ */

enum model_container model_file_container(const struct model_file *f)
{
    return f->container;
}

const char *model_file_path(const struct model_file *f)
{
    return f->path;
}

const char *model_file_dir(const struct model_file *f)
{
    return f->dir;
}

uint64_t model_file_bytes(const struct model_file *f)
{
    return f->bytes;
}

size_t model_file_n_tensors(const struct model_file *f)
{
    return f->n_tensors;
}

const struct tensor *model_file_tensor_at(const struct model_file *f, size_t idx)
{
    return &f->tensors[idx];
}

const struct tensor *model_file_tensor(const struct model_file *f, const char *name)
{
    struct keyed k = { f->tensors, tensor_name };
    size_t at = index_find(f->tensors_by_name, f->n_tensors, k, name);
    return at < f->n_tensors ? &f->tensors[f->tensors_by_name[at]] : NULL;
}

enum { DIMS_TEXT = 96 };

static void dims_print(char out[static DIMS_TEXT], const uint64_t *dims, size_t n)
{
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < n && len < DIMS_TEXT - 6; i++)
        len += (size_t)snprintf(out + len, DIMS_TEXT - len, "%s%llu", i ? ", " : "",
                                (unsigned long long)dims[i]);
}

const struct tensor *model_file_tensor_of(const struct model_file *f, const char *name,
                                          const uint64_t *dims, size_t n_dims, struct kt_error *err)
{
    char want[DIMS_TEXT], found[DIMS_TEXT];
    dims_print(want, dims, n_dims);
    const struct tensor *t = model_file_tensor(f, name);
    if (!t) {
        (void)kt_fail(err, KT_E_FORMAT, "tensor %s [%s] is missing; is the download complete?",
                      name, want);
        return NULL;
    }
    if (t->n_dims != n_dims || memcmp(t->dims, dims, n_dims * sizeof(*dims)) != 0) {
        dims_print(found, t->dims, t->n_dims);
        (void)kt_fail(err, KT_E_FORMAT,
                      "tensor %s is [%s], expected [%s]; is this a different model size?", name,
                      found, want);
        return NULL;
    }
    return t;
}

size_t model_file_n_meta(const struct model_file *f)
{
    return f->n_metas;
}

const struct meta *model_file_meta_at(const struct model_file *f, size_t idx)
{
    return &f->metas[idx];
}

const struct meta *model_file_meta(const struct model_file *f, const char *key)
{
    struct keyed k = { f->metas, meta_key };
    size_t at = index_find(f->metas_by_key, f->n_metas, k, key);
    return at < f->n_metas ? &f->metas[f->metas_by_key[at]] : NULL;
}

/* ---- values ---------------------------------------------------------------------------------- */

#define EXACT_INT_MAX 0x1p53 /* whole numbers up to here are exact in a double */

static bool float_is_int(double v)
{
    return fabs(v) <= EXACT_INT_MAX && v == trunc(v);
}

static bool int_is_float(int64_t i)
{
    return i >= -(INT64_C(1) << 53) && i <= INT64_C(1) << 53;
}

int64_t model_file_int(const struct model_file *f, const char *key, int64_t otherwise)
{
    const struct meta *m = model_file_meta(f, key);
    if (m && (m->type == META_INT || m->type == META_BOOL))
        return m->i;
    if (m && m->type == META_FLOAT && float_is_int(m->f))
        return (int64_t)m->f;
    return otherwise;
}

double model_file_float(const struct model_file *f, const char *key, double otherwise)
{
    const struct meta *m = model_file_meta(f, key);
    if (m && m->type == META_FLOAT)
        return m->f;
    if (m && m->type == META_INT && int_is_float(m->i))
        return (double)m->i;
    return otherwise;
}

bool model_file_bool(const struct model_file *f, const char *key, bool otherwise)
{
    const struct meta *m = model_file_meta(f, key);
    if (m && (m->type == META_BOOL || m->type == META_INT) && (m->i == 0 || m->i == 1))
        return m->i == 1;
    return otherwise;
}

struct span model_file_str(const struct model_file *f, const char *key)
{
    const struct meta *m = model_file_meta(f, key);
    return m && m->type == META_STR ? m->s : (struct span){ 0 };
}

/* Element idx of an array of plain values, as the file has it: little-endian, at any alignment. */
static uint64_t elem_bits(const struct meta *m, size_t idx, size_t size)
{
    assert(idx < m->n);
    uint64_t bits = 0;
    memcpy(&bits, (const uint8_t *)m->raw + idx * size, size);
    return bits;
}

static double elem_float(const struct meta *m, size_t idx)
{
    if (m->raw_type == GGUF_F32)
        return (double)f32_from_bits((uint32_t)elem_bits(m, idx, 4));
    uint64_t bits = elem_bits(m, idx, 8);
    double d;
    memcpy(&d, &bits, sizeof(d));
    return d;
}

int64_t meta_arr_int(const struct meta *m, size_t idx)
{
    switch (m->raw_type) {
    case GGUF_U8:
    case GGUF_BOOL:
        return (uint8_t)elem_bits(m, idx, 1);
    case GGUF_I8:
        return (int8_t)elem_bits(m, idx, 1);
    case GGUF_U16:
        return (uint16_t)elem_bits(m, idx, 2);
    case GGUF_I16:
        return (int16_t)elem_bits(m, idx, 2);
    case GGUF_U32:
        return (uint32_t)elem_bits(m, idx, 4);
    case GGUF_I32:
        return (int32_t)elem_bits(m, idx, 4);
    case GGUF_U64: /* values above INT64_MAX were refused at opening */
    case GGUF_I64:
        return (int64_t)elem_bits(m, idx, 8);
    case GGUF_F32:
    case GGUF_F64:
        return float_is_int(elem_float(m, idx)) ? (int64_t)elem_float(m, idx) : 0;
    default:
        return 0;
    }
}

double meta_arr_float(const struct meta *m, size_t idx)
{
    if (m->raw_type == GGUF_F32 || m->raw_type == GGUF_F64)
        return elem_float(m, idx);
    return (double)meta_arr_int(m, idx);
}

struct span meta_arr_str(const struct meta *m, size_t idx)
{
    if (m->type != META_ARR_STR)
        return (struct span){ 0 };
    assert(idx < m->n);
    return ((const struct span *)m->raw)[idx];
}
