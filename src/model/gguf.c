/* GGUF, versions 2 and 3.
 *
 * File:      "GGUF"  u32 version  u64 n_tensors  u64 n_meta  meta...  tensor info...  padding  data
 * meta:      string key, u32 type, value.         string: u64 length, bytes
 * array:     u32 element type, u64 count, elements. Arrays of arrays are not read.
 * tensor:    string name, u32 n_dims, u64 dims[n_dims], u32 type, u64 offset into the data section
 * Data starts at the next multiple of general.alignment (32 when absent); every number is
 * little-endian.
 *
 * A split model is several such files, NAME-00001-of-0000N.gguf; the first has the metadata, each
 * has split.no, split.count and split.tensors.count.
 *
 * Nothing read from the file is used before it was compared with what is left of the file. After a
 * successful parse these hold, and the fuzz target checks them:
 *  1. every key and name is unique, well-formed UTF-8 without control characters;
 *  2. every string and array lies inside the file;
 *  3. every tensor has a known type, 1..4 dims > 0, rows of whole blocks, bytes = blocks * block
 * size, and lies inside the data section at a multiple of the alignment;
 *  4. no two tensors overlap. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/size.h"
#include "model/model_file_priv.h"

/* Weights are used where they lie, so the machine must have the file's byte order. */
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "model files are little-endian");

enum { GGUF_VERSION_MIN = 2, GGUF_VERSION_MAX = 3, GGUF_ALIGNMENT = 32 };

/* What is left to read. */
struct cursor {
    const uint8_t *ptr;
    size_t left;
};

static bool take(struct cursor *c, void *out, size_t size)
{
    if (c->left < size)
        return false;
    memcpy(out, c->ptr, size);
    c->ptr += size;
    c->left -= size;
    return true;
}

static bool take_u32(struct cursor *c, uint32_t *out)
{
    return take(c, out, sizeof(*out));
}

static bool take_u64(struct cursor *c, uint64_t *out)
{
    return take(c, out, sizeof(*out));
}

static bool skip(struct cursor *c, size_t size)
{
    if (c->left < size)
        return false;
    c->ptr += size;
    c->left -= size;
    return true;
}

static enum kt_status cut_off(struct kt_error *err, const char *where)
{
    return kt_fail(err, KT_E_FORMAT,
                   "the file ends inside %s; it is not complete: fetch or copy it again", where);
}

/* A length-prefixed string of at most 'max' bytes, borrowed from the file. */
static enum kt_status take_string(struct cursor *c, struct span *out, size_t max, const char *what,
                                  struct kt_error *err)
{
    uint64_t len;
    if (!take_u64(c, &len))
        return cut_off(err, what);
    if (len > max)
        return kt_fail(err, KT_E_FORMAT, "%s has %llu bytes, expected at most %zu; " DAMAGED, what,
                       (unsigned long long)len, max);
    if (len > c->left)
        return cut_off(err, what);
    *out = (struct span){ (const char *)c->ptr, len };
    (void)skip(c, len); /* compared just above */
    return KT_OK;
}

/* ---- metadata -------------------------------------------------------------------------------- */

/* Bytes of a plain value; 0 for strings, arrays and numbers that are no type. */
static size_t value_size(uint32_t type)
{
    static const uint8_t sizes[] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2,
        [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1,
        [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
    };
    return type < ARRAY_LEN(sizes) ? sizes[type] : 0;
}

static enum meta_type array_type(uint32_t type)
{
    if (type == GGUF_STRING)
        return META_ARR_STR;
    if (type == GGUF_BOOL)
        return META_ARR_BOOL;
    return type == GGUF_F32 || type == GGUF_F64 ? META_ARR_FLOAT : META_ARR_INT;
}

/* A scalar is an array of one element to meta_arr_int() and its like, so both are read by the same
 * code. */
static enum meta_type scalar_type(uint32_t type)
{
    switch (array_type(type)) {
    case META_ARR_BOOL:
        return META_BOOL;
    case META_ARR_FLOAT:
        return META_FLOAT;
    default:
        return META_INT;
    }
}

/* Values that our types cannot hold, or that are no value of the file's own type. */
static enum kt_status check_elements(const struct meta *m, struct kt_error *err)
{
    const uint8_t *p = m->raw;
    for (size_t i = 0; m->raw_type == GGUF_BOOL && i < m->n; i++) {
        if (p[i] > 1)
            return kt_fail(err, KT_E_FORMAT,
                           "metadata %s: a truth value is %u, expected 0 or 1; " DAMAGED,
                           show_name(m->key).text, p[i]);
    }
    for (size_t i = 0; m->raw_type == GGUF_U64 && i < m->n; i++) {
        if (p[8 * i + 7] & 0x80)
            return kt_fail(
                err, KT_E_LIMIT,
                "metadata %s: a number is 2^63 or more, which nothing here needs; " DAMAGED,
                show_name(m->key).text);
    }
    return KT_OK;
}

static enum kt_status read_scalar(struct cursor *c, struct meta *m, uint32_t type,
                                  struct kt_error *err)
{
    size_t size = value_size(type);
    if (size == 0)
        return kt_fail(err, KT_E_FORMAT, "metadata %s: value type %u, expected 0 to 12; " DAMAGED,
                       show_name(m->key).text, type);
    *m = (struct meta){
        .key = m->key, .type = scalar_type(type), .n = 1, .raw = c->ptr, .raw_type = type
    };
    if (!skip(c, size))
        return cut_off(err, "a metadata value");
    enum kt_status st = check_elements(m, err);
    if (st)
        return st;
    if (m->type == META_FLOAT)
        m->f = meta_arr_float(m, 0);
    else
        m->i = meta_arr_int(m, 0);
    m->n = 0;
    m->raw = NULL;
    return KT_OK;
}

/* Strings have no fixed size: one walk makes the table that later look-ups use. */
static enum kt_status read_string_array(struct model_file *f, struct cursor *c, struct meta *m,
                                        struct kt_error *err)
{
    if (m->n > FILE_STRINGS_MAX - f->n_strings)
        return kt_fail(
            err, KT_E_LIMIT,
            "metadata %s: %zu strings, together with earlier ones more than %d; " DAMAGED,
            show_name(m->key).text, m->n, FILE_STRINGS_MAX);
    f->n_strings += m->n;
    struct span *table = arena_array(&f->memory, m->n, sizeof(*table));
    if (!table)
        return file_no_memory(err);
    m->raw = table;
    for (size_t i = 0; i < m->n; i++) {
        enum kt_status st = take_string(c, &table[i], FILE_STRING_MAX, "a string in an array", err);
        if (st)
            return st;
    }
    return KT_OK;
}

static enum kt_status read_array(struct model_file *f, struct cursor *c, struct meta *m,
                                 struct kt_error *err)
{
    uint32_t type;
    uint64_t n;
    if (!take_u32(c, &type) || !take_u64(c, &n))
        return cut_off(err, "an array");
    size_t size = type == GGUF_STRING ? sizeof(uint64_t)
                                      : value_size(type); /* a string's least: its length */
    if (size == 0)
        return kt_fail(err, type == GGUF_ARRAY ? KT_E_UNSUPPORTED : KT_E_FORMAT,
                       "metadata %s: array of type %u, expected plain values or strings; " DAMAGED,
                       show_name(m->key).text, type);
    if (n > c->left / size)
        return cut_off(err, "an array");
    *m = (struct meta){
        .key = m->key, .type = array_type(type), .n = n, .raw = c->ptr, .raw_type = type
    };
    if (type == GGUF_STRING)
        return read_string_array(f, c, m, err);
    (void)skip(c, n * size); /* compared just above */
    return check_elements(m, err);
}

static enum kt_status read_meta(struct model_file *f, struct cursor *c, struct meta *m,
                                struct kt_error *err)
{
    *m = (struct meta){ 0 };
    enum kt_status st = take_string(c, &m->key, FILE_KEY_MAX, "a metadata key", err);
    if (st)
        return st;
    if (!name_is_clean(m->key))
        return kt_fail(err, KT_E_FORMAT, "metadata key '%s' is empty or not text; " DAMAGED,
                       show_name(m->key).text);
    uint32_t type;
    if (!take_u32(c, &type))
        return cut_off(err, "a metadata value");
    if (type == GGUF_ARRAY)
        return read_array(f, c, m, err);
    if (type != GGUF_STRING)
        return read_scalar(c, m, type, err);
    m->type = META_STR;
    m->raw_type = type;
    return take_string(c, &m->s, FILE_STRING_MAX, "a metadata string", err);
}

/* The keys that the container itself needs. */
struct own_keys {
    int64_t alignment;
    struct gguf_split split;
};

static void note_own_key(struct own_keys *own, const struct meta *m)
{
    if (m->type != META_INT)
        return;
    if (span_eq_str(m->key, "general.alignment"))
        own->alignment = m->i;
    else if (span_eq_str(m->key, "split.no"))
        own->split.no = m->i;
    else if (span_eq_str(m->key, "split.count"))
        own->split.count = m->i;
    else if (span_eq_str(m->key, "split.tensors.count"))
        own->split.n_tensors = m->i;
}

static enum kt_status read_metas(struct model_file *f, struct cursor *c, size_t n, bool keep,
                                 struct own_keys *own, struct kt_error *err)
{
    *own = (struct own_keys){ .alignment = GGUF_ALIGNMENT,
                              .split = { .no = 0, .count = 1, .n_tensors = -1 } };
    for (size_t i = 0; i < n; i++) {
        struct meta m;
        enum kt_status st = read_meta(f, c, &m, err);
        if (st)
            return st;
        note_own_key(own, &m);
        struct meta *kept = keep ? file_push_meta(f) : &m;
        if (!kept)
            return file_no_memory(err);
        *kept = m;
    }
    int64_t a = own->alignment;
    if (a < 1 || a > FILE_ALIGNMENT_MAX || (a & (a - 1)))
        return kt_fail(err, KT_E_FORMAT,
                       "general.alignment is %lld, expected a power of two up to %d; " DAMAGED,
                       (long long)a, FILE_ALIGNMENT_MAX);
    return KT_OK;
}

/* ---- tensors --------------------------------------------------------------------------------- */

/* Types that exist but are not weights of ours: named in the message, or (whole numbers) passed
 * over. */
struct other_type {
    uint32_t id;
    uint32_t int_bytes; /* not 0: whole numbers of this size */
    const char *name;
};
static const struct other_type other_types[] = {
    { 9, 0, "Q8_1" },     { 15, 0, "Q8_K" },  { 16, 0, "IQ2_XXS" }, { 17, 0, "IQ2_XS" },
    { 18, 0, "IQ3_XXS" }, { 19, 0, "IQ1_S" }, { 21, 0, "IQ3_S" },   { 22, 0, "IQ2_S" },
    { 24, 1, "I8" },      { 25, 2, "I16" },   { 26, 4, "I32" },     { 27, 8, "I64" },
    { 28, 0, "F64" },     { 29, 0, "IQ1_M" }, { 34, 0, "TQ1_0" },   { 35, 0, "TQ2_0" },
    { 41, 0, "Q1_0" },
};

static const struct other_type *other_type_find(uint32_t id)
{
    for (size_t i = 0; i < ARRAY_LEN(other_types); i++) {
        if (other_types[i].id == id)
            return &other_types[i];
    }
    return NULL;
}

/* A tensor as the file describes it, before its place is known to exist. */
struct tensor_info {
    struct tensor t;
    uint64_t offset;
    bool is_weight;
};

static enum kt_status info_type(struct tensor_info *info, uint32_t id, struct kt_error *err)
{
    info->is_weight = id < QT_COUNT && qtype_traits((enum qtype)id) != NULL;
    info->t.type = (enum qtype)id;
    if (info->is_weight)
        return tensor_bytes(&info->t.bytes, &info->t, err);

    struct shown name = show_name(info->t.name);
    const struct other_type *other = other_type_find(id);
    if (!other)
        return kt_fail(
            err, KT_E_FORMAT,
            "tensor %s: type %u is not known; the file is damaged, or newer than this program",
            name.text, id);
    if (!other->int_bytes)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "tensor %s is of type %s, which is not read; take a Q4_K_M, Q6_K or Q8_0 "
                       "version of the model",
                       name.text, other->name);
    /* As many bytes as that many one-element blocks. */
    info->t.type = QT_F32;
    enum kt_status st = tensor_bytes(&info->t.bytes, &info->t, err);
    if (!st && !size_mul(&info->t.bytes, info->t.bytes / 4, other->int_bytes))
        st = kt_fail(err, KT_E_FORMAT, "tensor %s is larger than can exist; " DAMAGED, name.text);
    return st;
}

static enum kt_status read_info(struct cursor *c, struct tensor_info *info, struct kt_error *err)
{
    *info = (struct tensor_info){ .t.dims = { 1, 1, 1, 1 } };
    struct tensor *t = &info->t;
    enum kt_status st = take_string(c, &t->name, FILE_NAME_MAX, "a tensor's name", err);
    if (st)
        return st;
    if (!name_is_clean(t->name))
        return kt_fail(err, KT_E_FORMAT, "tensor name '%s' is empty or not text; " DAMAGED,
                       show_name(t->name).text);
    if (!take_u32(c, &t->n_dims))
        return cut_off(err, "the list of tensors");
    if (t->n_dims < 1 || t->n_dims > TENSOR_DIMS_MAX)
        return kt_fail(err, KT_E_FORMAT, "tensor %s has %u dimensions, expected 1 to %d; " DAMAGED,
                       show_name(t->name).text, t->n_dims, TENSOR_DIMS_MAX);
    uint32_t type;
    if (!take(c, t->dims, t->n_dims * sizeof(t->dims[0])) || !take_u32(c, &type) ||
        !take_u64(c, &info->offset))
        return cut_off(err, "the list of tensors");
    for (size_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] == 0)
            return kt_fail(err, KT_E_FORMAT,
                           "tensor %s: dimension %zu is 0, expected at least 1; " DAMAGED,
                           show_name(t->name).text, i);
    }
    return info_type(info, type, err);
}

static int info_by_offset(const void *a, const void *b)
{
    uint64_t x = ((const struct tensor_info *)a)->offset,
             y = ((const struct tensor_info *)b)->offset;
    return (x > y) - (x < y);
}

static enum kt_status check_place(const struct tensor_info *info, size_t data_size,
                                  size_t alignment, struct kt_error *err)
{
    struct shown name = show_name(info->t.name);
    if (info->offset % alignment)
        return kt_fail(err, KT_E_FORMAT,
                       "tensor %s: offset %llu, expected a multiple of %zu; " DAMAGED, name.text,
                       (unsigned long long)info->offset, alignment);
    if (info->offset > data_size || info->t.bytes > data_size - info->offset)
        return kt_fail(err, KT_E_FORMAT,
                       "tensor %s: expected %zu bytes at offset %llu, found only %zu bytes of "
                       "data; the file is "
                       "not complete: fetch or copy it again",
                       name.text, info->t.bytes, (unsigned long long)info->offset, data_size);
    return KT_OK;
}

/* Sorted by place, each tensor must end before the next begins. */
static enum kt_status check_overlap(const struct tensor_info *infos, size_t n, struct kt_error *err)
{
    struct tensor_info *sorted = malloc((n + 1) * sizeof(*sorted));
    if (!sorted)
        return file_no_memory(err);
    memcpy(sorted, infos, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), info_by_offset);
    enum kt_status st = KT_OK;
    for (size_t i = 0; i + 1 < n && !st; i++) {
        if (sorted[i].offset + sorted[i].t.bytes > sorted[i + 1].offset)
            st = kt_fail(err, KT_E_FORMAT, "tensors %s and %s overlap; " DAMAGED,
                         show_name(sorted[i].t.name).text, show_name(sorted[i + 1].t.name).text);
    }
    free(sorted);
    return st;
}

static enum kt_status place_tensors(struct model_file *f, const struct tensor_info *infos, size_t n,
                                    const uint8_t *data, size_t data_size, size_t alignment,
                                    struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < n && !st; i++)
        st = check_place(&infos[i], data_size, alignment, err);
    if (!st)
        st = check_overlap(infos, n, err);
    for (size_t i = 0; i < n && !st; i++) {
        if (!infos[i].is_weight)
            continue;
        struct tensor *t = file_push_tensor(f);
        if (!t)
            return file_no_memory(err);
        *t = infos[i].t;
        t->data = data + infos[i].offset;
    }
    return st;
}

/* ---- one file -------------------------------------------------------------------------------- */

struct header {
    uint32_t version;
    uint64_t n_tensors, n_metas;
};

static enum kt_status read_header(struct cursor *c, struct header *h, struct kt_error *err)
{
    char magic[4];
    if (!take(c, magic, sizeof(magic)) || memcmp(magic, "GGUF", 4) != 0)
        return kt_fail(err, KT_E_FORMAT,
                       "not a GGUF file: it does not begin with \"GGUF\"; name a GGUF file, or the "
                       "folder that holds config.json and the safetensors");
    if (!take_u32(c, &h->version) || !take_u64(c, &h->n_tensors) || !take_u64(c, &h->n_metas))
        return cut_off(err, "its header");
    uint32_t swapped = __builtin_bswap32(h->version);
    if (swapped >= 1 && swapped <= GGUF_VERSION_MAX)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "a big-endian GGUF file; take the little-endian version of the model");
    if (h->version < GGUF_VERSION_MIN || h->version > GGUF_VERSION_MAX)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "GGUF version %u, expected %d or %d; convert the model again", h->version,
                       GGUF_VERSION_MIN, GGUF_VERSION_MAX);
    if (h->n_tensors > FILE_TENSORS_MAX || h->n_metas > FILE_META_MAX)
        return kt_fail(
            err, KT_E_FORMAT,
            "%llu tensors and %llu metadata entries, expected at most %d and %d; " DAMAGED,
            (unsigned long long)h->n_tensors, (unsigned long long)h->n_metas, FILE_TENSORS_MAX,
            FILE_META_MAX);
    return KT_OK;
}

static enum kt_status read_tensors(struct model_file *f, struct cursor *c, size_t n,
                                   const uint8_t *file, size_t alignment, struct kt_error *err)
{
    if (n > FILE_TENSORS_MAX - f->n_tensors)
        return kt_fail(err, KT_E_LIMIT, "more than %d tensors in all parts; " DAMAGED,
                       FILE_TENSORS_MAX);
    struct tensor_info *infos = malloc((n + 1) * sizeof(*infos));
    if (!infos)
        return file_no_memory(err);
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < n && !st; i++)
        st = read_info(c, &infos[i], err);
    if (!st) {
        size_t used = (size_t)(c->ptr - file);
        size_t pad = size_align(used, alignment) - used;
        if (n && !skip(c, pad))
            st = cut_off(err, "the padding before its data");
    }
    if (!st)
        st = place_tensors(f, infos, n, c->ptr, c->left, alignment, err);
    free(infos);
    return st;
}

enum kt_status gguf_parse(struct model_file *f, const uint8_t *data, size_t size, bool keep_meta,
                          struct gguf_split *split, struct kt_error *err)
{
    struct cursor c = { data, size };
    struct header h = { 0 };
    struct own_keys own = { 0 };
    enum kt_status st = read_header(&c, &h, err);
    if (st)
        return st;
    st = read_metas(f, &c, h.n_metas, keep_meta, &own, err);
    if (!st)
        st = read_tensors(f, &c, h.n_tensors, data, (size_t)own.alignment, err);
    *split = own.split;
    split->n_found = h.n_tensors;
    return st;
}

/* ---- the parts of a split model -------------------------------------------------------------- */

static enum kt_status part_open(struct model_file *f, const char *path, bool is_first,
                                struct gguf_split *split, struct kt_error *err)
{
    struct file_map map;
    enum kt_status st = file_push_part(f, path, &map, err);
    if (st)
        return st;
    st = gguf_parse(f, map.data, map.size, is_first, split, err);
    if (st)
        kt_error_prefix(err, "%s", path);
    return st;
}

static enum kt_status parts_open(struct model_file *f, const char *path,
                                 const struct gguf_split *first, struct kt_error *err)
{
    int64_t count = first->count;
    uint64_t n_found = first->n_found;
    char suffix[48];
    snprintf(suffix, sizeof(suffix), "-00001-of-%05lld.gguf", (long long)count);
    if (!span_ends(span_of(path), span_of(suffix)))
        return kt_fail(err, KT_E_FORMAT,
                       "%s: part 1 of %lld, expected a name ending in %s; rename the parts", path,
                       (long long)count, suffix);
    enum kt_status st = KT_OK;
    int stem_len = (int)(strlen(path) - strlen(suffix));
    for (int64_t i = 1; i < count && !st; i++) {
        struct buf part = { 0 };
        struct gguf_split split;
        buf_printf(&part, "%.*s-%05lld-of-%05lld.gguf", stem_len, path, (long long)i + 1,
                   (long long)count);
        st = part.failed ? file_no_memory(err) : part_open(f, part.ptr, false, &split, err);
        if (!st)
            n_found += split.n_found;
        if (!st && (split.no != i || split.count != count))
            st = kt_fail(err, KT_E_FORMAT,
                         "%s: says it is part %lld of %lld, expected part %lld of %lld; fetch the "
                         "parts again",
                         part.ptr, (long long)split.no + 1, (long long)split.count,
                         (long long)i + 1, (long long)count);
        buf_deinit(&part);
    }
    if (!st && first->n_tensors >= 0 && (uint64_t)first->n_tensors != n_found)
        st = kt_fail(err, KT_E_FORMAT,
                     "%s: %llu tensors in all %lld parts, expected %lld; fetch the parts again",
                     path, (unsigned long long)n_found, (long long)count,
                     (long long)first->n_tensors);
    return st;
}

enum kt_status gguf_open(struct model_file *f, const char *path, struct kt_error *err)
{
    f->container = MODEL_GGUF;
    struct gguf_split split;
    enum kt_status st = part_open(f, path, true, &split, err);
    if (st)
        return st;
    if (split.no != 0)
        return kt_fail(
            err, KT_E_USAGE,
            "%s: part %lld of a split model; name the first part, ...-00001-of-%05lld.gguf", path,
            (long long)split.no + 1, (long long)split.count);
    if (split.count == 0 || split.count == 1)
        return KT_OK;
    if (split.count < 0 || split.count > FILE_PARTS_MAX)
        return kt_fail(err, KT_E_FORMAT, "%s: split.count is %lld, expected 1 to %d; " DAMAGED,
                       path, (long long)split.count, FILE_PARTS_MAX);
    return parts_open(f, path, &split, err);
}
