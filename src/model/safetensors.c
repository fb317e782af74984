/* One safetensors file.
 *
 * File:    u64 header length (little-endian), header, data
 * header:  one JSON object: "name": {"dtype": "BF16", "shape": [out, in], "data_offsets": [begin,
 * end]}, ... and optionally "__metadata__": {text: text}. Spaces may follow it. Offsets count from
 * the start of the data.
 *
 * After a successful parse: names are unique and clean, the ranges cover the data exactly, without
 * gap or overlap, and each is as long as its type and shape say. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "model/model_file_priv.h"

struct dtype {
    const char *name;
    uint8_t elem_bytes;
    bool is_weight; /* then 'type' is what it is to us                     */
    bool is_unread; /* weights in a form that we do not read: say so early */
    enum qtype type;
};

static const struct dtype dtypes[] = {
    { "F32", 4, true, false, QT_F32 },
    { "F16", 2, true, false, QT_F16 },
    { "BF16", 2, true, false, QT_BF16 },
    { "F64", 8, false, true, QT_F32 },
    { "F8_E4M3", 1, false, true, QT_F32 },
    { "F8_E5M2", 1, false, true, QT_F32 },
    /* position ids, masks and counters */
    { "BOOL", 1, false, false, QT_F32 },
    { "U8", 1, false, false, QT_F32 },
    { "I8", 1, false, false, QT_F32 },
    { "U16", 2, false, false, QT_F32 },
    { "I16", 2, false, false, QT_F32 },
    { "U32", 4, false, false, QT_F32 },
    { "I32", 4, false, false, QT_F32 },
    { "U64", 8, false, false, QT_F32 },
    { "I64", 8, false, false, QT_F32 },
};

/* jansson gives every fault of the text a code of its own; where an allocation fails deep inside,
 * it returns with no code at all (and does not clear the field: callers do). */
bool json_out_of_memory(const struct json_error_t *je)
{
    enum json_error_code code = json_error_code(je);
    return code == json_error_out_of_memory || code == json_error_unknown;
}

/* An entry of the header. */
struct entry {
    struct span name; /* in the file's arena */
    const struct dtype *dtype;
    uint64_t dims[TENSOR_DIMS_MAX];
    uint32_t n_dims;
    uint64_t begin, end;
};

static enum kt_status bad_entry(const struct entry *e, const char *what, struct kt_error *err)
{
    return kt_fail(err, KT_E_FORMAT, "tensor %s: %s; " DAMAGED, show_name(e->name).text, what);
}

static enum kt_status read_dtype(struct entry *e, const json_t *v, struct kt_error *err)
{
    const char *name = json_string_value(v);
    if (!name)
        return bad_entry(e, "no dtype, expected one such as \"BF16\"", err);
    for (size_t i = 0; i < ARRAY_LEN(dtypes) && !e->dtype; i++) {
        if (strcmp(dtypes[i].name, name) == 0)
            e->dtype = &dtypes[i];
    }
    if (!e->dtype || e->dtype->is_unread)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "tensor %s: dtype %s is not read, expected BF16, F16 or F32; take another "
                       "version of the model",
                       show_name(e->name).text, show_name(span_of(name)).text);
    return KT_OK;
}

/* Dims in our order: the last of the shape first. What is beyond the fourth is folded into the
 * innermost. */
static enum kt_status read_shape(struct entry *e, const json_t *v, struct kt_error *err)
{
    size_t rank = json_array_size(v);
    if (!json_is_array(v) || rank > ST_RANK_MAX)
        return bad_entry(e, "no shape, or one of more than 8 dimensions", err);
    size_t n_folded = rank > TENSOR_DIMS_MAX ? rank - TENSOR_DIMS_MAX : 0;
    for (size_t i = 0; i < TENSOR_DIMS_MAX; i++)
        e->dims[i] = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_t *d = json_array_get(v, rank - 1 - i);
        if (!json_is_integer(d) || json_integer_value(d) < 0)
            return bad_entry(e, "a dimension of its shape is no whole number", err);
        uint64_t *dim = &e->dims[i > n_folded ? i - n_folded : 0];
        if (!size_mul(dim, *dim, (uint64_t)json_integer_value(d)))
            return bad_entry(e, "its shape is larger than can exist", err);
    }
    e->n_dims = (uint32_t)MAX((size_t)1, rank - n_folded);
    return KT_OK;
}

static enum kt_status read_range(struct entry *e, const json_t *v, struct kt_error *err)
{
    const json_t *begin = json_array_get(v, 0), *end = json_array_get(v, 1);
    if (json_array_size(v) != 2 || !json_is_integer(begin) || !json_is_integer(end) ||
        json_integer_value(begin) < 0 || json_integer_value(end) < json_integer_value(begin))
        return bad_entry(e, "data_offsets are not [begin, end] with begin <= end", err);
    e->begin = (uint64_t)json_integer_value(begin);
    e->end = (uint64_t)json_integer_value(end);
    return KT_OK;
}

static enum kt_status check_length(const struct entry *e, struct kt_error *err)
{
    size_t bytes = e->dtype->elem_bytes;
    for (size_t i = 0; i < TENSOR_DIMS_MAX; i++) {
        if (!size_mul(&bytes, bytes, e->dims[i]))
            return bad_entry(e, "its shape is larger than can exist", err);
    }
    if (bytes != e->end - e->begin)
        return kt_fail(err, KT_E_FORMAT,
                       "tensor %s: data of %llu bytes, expected %zu from its shape; " DAMAGED,
                       show_name(e->name).text, (unsigned long long)(e->end - e->begin), bytes);
    return KT_OK;
}

static enum kt_status read_entry(struct model_file *f, struct entry *e, const char *name,
                                 const json_t *v, struct kt_error *err)
{
    struct span key = span_of(name);
    *e = (struct entry){ .name = key };
    if (!name_is_clean(key) || key.len > FILE_NAME_MAX)
        return bad_entry(e, "its name is empty, too long or not text", err);
    e->name.ptr = arena_strdup(&f->memory, key);
    if (!e->name.ptr)
        return file_no_memory(err);
    if (!json_is_object(v) || json_object_size(v) != 3)
        return bad_entry(e, "expected exactly dtype, shape and data_offsets", err);
    enum kt_status st = read_dtype(e, json_object_get(v, "dtype"), err);
    if (!st)
        st = read_shape(e, json_object_get(v, "shape"), err);
    if (!st)
        st = read_range(e, json_object_get(v, "data_offsets"), err);
    return st ? st : check_length(e, err);
}

static enum kt_status check_metadata(json_t *v, struct kt_error *err)
{
    const char *key;
    json_t *text;
    bool ok = json_is_object(v);
    json_object_foreach(v, key, text) ok = ok && json_is_string(text);
    return ok ? KT_OK
              : kt_fail(err, KT_E_FORMAT, "__metadata__ is not an object of strings; " DAMAGED);
}

static int entry_by_place(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return (x->end > y->end) - (x->end < y->end); /* empty ones first */
}

static enum kt_status check_cover(struct entry *entries, size_t n, size_t data_size,
                                  struct kt_error *err)
{
    if (n)
        qsort(entries, n, sizeof(*entries), entry_by_place);
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (entries[i].begin != at)
            return kt_fail(err, KT_E_FORMAT,
                           "tensor %s: data begins at %llu, expected %llu, where the one before "
                           "ends; " DAMAGED,
                           show_name(entries[i].name).text, (unsigned long long)entries[i].begin,
                           (unsigned long long)at);
        at = entries[i].end;
    }
    if (at != data_size)
        return kt_fail(err, KT_E_FORMAT,
                       "the tensors' data is %llu bytes, found %zu after the header; the file is "
                       "not complete, or has "
                       "more than it says: fetch or copy it again",
                       (unsigned long long)at, data_size);
    return KT_OK;
}

static enum kt_status add_tensors(struct model_file *f, const struct entry *entries, size_t n,
                                  const uint8_t *data, struct kt_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const struct entry *e = &entries[i];
        if (!e->dtype->is_weight || e->begin == e->end)
            continue;
        struct tensor *t = file_push_tensor(f);
        if (!t)
            return file_no_memory(err);
        *t = (struct tensor){ .name = e->name,
                              .type = e->dtype->type,
                              .n_dims = e->n_dims,
                              .data = data + e->begin,
                              .bytes = e->end - e->begin };
        memcpy(t->dims, e->dims, sizeof(t->dims));
    }
    return KT_OK;
}

static enum kt_status check_listed(struct shard_index *index, const char *name,
                                   struct kt_error *err)
{
    const char *listed = json_string_value(json_object_get(index->weight_map, name));
    if (!listed || strcmp(listed, index->shard) != 0)
        return kt_fail(err, KT_E_FORMAT,
                       "tensor %s is here, but the index lists it %s; the files do not belong "
                       "together: fetch all again",
                       show_name(span_of(name)).text, listed ? "in another file" : "nowhere");
    index->n_seen++;
    return KT_OK;
}

static enum kt_status read_entries(struct model_file *f, json_t *root, struct shard_index *index,
                                   struct entry *entries, size_t *n_out, struct kt_error *err)
{
    const char *name;
    json_t *v;
    size_t n = 0;
    json_object_foreach(root, name, v)
    {
        enum kt_status st;
        if (strcmp(name, "__metadata__") == 0) {
            st = check_metadata(v, err);
        } else {
            st = read_entry(f, &entries[n++], name, v, err);
            if (!st && index)
                st = check_listed(index, name, err);
        }
        if (st)
            return st;
    }
    *n_out = n;
    return KT_OK;
}

static enum kt_status read_header(struct model_file *f, json_t *root, struct shard_index *index,
                                  const uint8_t *data, size_t data_size, struct kt_error *err)
{
    size_t n = json_object_size(root);
    if (!json_is_object(root) || n > FILE_TENSORS_MAX || f->n_tensors > FILE_TENSORS_MAX - n)
        return kt_fail(err, KT_E_FORMAT, "the header is no object of at most %d tensors; " DAMAGED,
                       FILE_TENSORS_MAX);
    struct entry *entries = malloc((n + 1) * sizeof(*entries));
    if (!entries)
        return file_no_memory(err);
    enum kt_status st = read_entries(f, root, index, entries, &n, err);
    if (!st)
        st = check_cover(entries, n, data_size, err);
    if (!st)
        st = add_tensors(f, entries, n, data, err);
    free(entries);
    return st;
}

enum kt_status safetensors_parse(struct model_file *f, const uint8_t *data, size_t size,
                                 struct shard_index *index, struct kt_error *err)
{
    uint64_t header_len;
    if (size < sizeof(header_len))
        return kt_fail(err, KT_E_FORMAT,
                       "%zu bytes are no safetensors file; fetch or copy it again", size);
    memcpy(&header_len, data, sizeof(header_len));
    if (header_len > ST_HEADER_MAX)
        return kt_fail(
            err, KT_E_FORMAT,
            "a header of %llu bytes, expected at most %d; not a safetensors file, or damaged",
            (unsigned long long)header_len, ST_HEADER_MAX);
    if (header_len > size - sizeof(header_len))
        return kt_fail(err, KT_E_FORMAT,
                       "the file ends inside its header of %llu bytes; it is not complete: fetch "
                       "or copy it again",
                       (unsigned long long)header_len);
    const char *header = (const char *)data + sizeof(header_len);
    if (header_len == 0 || header[0] != '{')
        return kt_fail(err, KT_E_FORMAT,
                       "the header does not begin with '{'; not a safetensors file, or damaged");

    json_error_t je = { 0 };
    json_t *root = json_loadb(header, header_len, JSON_REJECT_DUPLICATES, &je);
    if (!root && json_out_of_memory(&je))
        return file_no_memory(err);
    if (!root)
        return kt_fail(err, KT_E_FORMAT, "the header is not valid JSON (at byte %d); " DAMAGED,
                       je.position);
    size_t used = sizeof(header_len) + header_len;
    enum kt_status st = read_header(f, root, index, data + used, size - used, err);
    json_decref(root);
    return st;
}
