/* Tiny model files for tests. See model_writer.h; docs/FORMATS.md has the formats. */
#include "support/model_writer.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "base/half.h"
#include "base/size.h"
#include "quant/blocks.h"

static _Noreturn void die(const char *what, const char *why)
{
    fprintf(stderr, "test support: %s: %s\n", what, why);
    abort();
}

/* ---- values ---------------------------------------------------------------------------------- */

static uint64_t name_hash(const char *name)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * 0x100000001B3u;
    return h;
}

static uint64_t random_at(uint64_t hash, size_t i)
{
    uint64_t z = hash + ((uint64_t)i + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

static float weight_at(uint64_t hash, size_t i, float scale)
{
    return ((float)(random_at(hash, i) >> 40) * 0x1p-23f - 1.0f) * scale;
}

void random_weights(float *out, const char *name, size_t n, float scale)
{
    uint64_t h = name_hash(name);
    for (size_t i = 0; i < n; i++)
        out[i] = weight_at(h, i, scale);
}

/* Where the half-precision numbers of a block are; SIZE_MAX: none. 'top' is about the largest level
 * times the largest sub-scale, so that d = scale / top keeps weights within about 'scale'. */
struct block_shape {
    size_t d, min;
    float top;
};

static struct block_shape block_shape(enum qtype type)
{
    const size_t none = SIZE_MAX;
    switch (type) {
    case QT_Q4_0:
        return (struct block_shape){ offsetof(struct block_q4_0, d), none, 8 };
    case QT_Q4_1:
        return (struct block_shape){ offsetof(struct block_q4_1, d), offsetof(struct block_q4_1, m),
                                     8 };
    case QT_Q5_0:
        return (struct block_shape){ offsetof(struct block_q5_0, d), none, 16 };
    case QT_Q5_1:
        return (struct block_shape){ offsetof(struct block_q5_1, d), offsetof(struct block_q5_1, m),
                                     16 };
    case QT_Q8_0:
        return (struct block_shape){ offsetof(struct block_q8_0, d), none, 128 };
    case QT_IQ4_NL:
        return (struct block_shape){ offsetof(struct block_iq4_nl, d), none, 127 };
    case QT_Q2_K:
        return (struct block_shape){ offsetof(struct block_q2_k, d),
                                     offsetof(struct block_q2_k, dmin), 45 };
    case QT_Q3_K:
        return (struct block_shape){ offsetof(struct block_q3_k, d), none, 128 };
    case QT_Q4_K:
        return (struct block_shape){ offsetof(struct block_q4_k, d),
                                     offsetof(struct block_q4_k, dmin), 945 };
    case QT_Q5_K:
        return (struct block_shape){ offsetof(struct block_q5_k, d),
                                     offsetof(struct block_q5_k, dmin), 1953 };
    case QT_Q6_K:
        return (struct block_shape){ offsetof(struct block_q6_k, d), none, 4096 };
    case QT_IQ4_XS:
        return (struct block_shape){ offsetof(struct block_iq4_xs, d), none, 4064 };
    default:
        return (struct block_shape){ none, none, 1 };
    }
}

static void set_half(uint8_t *p, float v)
{
    uint16_t h = f32_to_f16(v);
    memcpy(p, &h, sizeof(h));
}

/* The scales of one block, from what its bytes are now; they vary a little from block to block. */
static void tame_scales(uint8_t *block, enum qtype type, size_t block_idx, float scale)
{
    struct block_shape s = block_shape(type);
    float vary = 1.0f + (float)(block_idx % 7) / 16.0f;
    if (s.d != SIZE_MAX)
        set_half(block + s.d, scale / s.top * vary);
    if (s.min != SIZE_MAX) /* Q4_1, Q5_1 add it; the K formats subtract 0..63 (or 0..15) times it */
        set_half(block + s.min, type == QT_Q4_1 || type == QT_Q5_1 ? -scale * vary
                                : type == QT_Q2_K                  ? scale / 15 * vary
                                                                   : scale / 63 * vary);
    if (type == QT_MXFP4) /* 2^(e - 128) * 12 <= scale */
        block[0] = (uint8_t)((f32_bits(scale) >> 23) - 3);
    /* (1 + m / 8) * 2^(exp - 8) * 12 <= scale */
    int exp = (int)(f32_bits(scale) >> 23) - 127 + 4;
    for (size_t g = 0; type == QT_NVFP4 && g < 4; g++)
        block[g] = (uint8_t)((block[g] & 7) | MAX(0, MIN(exp, 14)) << 3);
}

static void random_halves(struct buf *out, uint64_t h, enum qtype type, size_t n, float scale)
{
    for (size_t i = 0; i < n; i++) {
        float v = weight_at(h, i, scale);
        uint16_t half = type == QT_F16 ? f32_to_f16(v) : f32_to_bf16(v);
        buf_append(out, &half, sizeof(half));
    }
}

void random_blocks(struct buf *out, const char *name, enum qtype type, size_t n, float scale)
{
    uint64_t h = name_hash(name);
    size_t bytes;
    if (!qtype_row_bytes(&bytes, type, n) || !buf_reserve(out, bytes))
        die(name, "not whole blocks, or out of memory");
    if (type == QT_F16 || type == QT_BF16) {
        random_halves(out, h, type, n, scale);
        return;
    }
    for (size_t i = 0; type == QT_F32 && i < n; i++) {
        float v = weight_at(h, i, scale);
        buf_append(out, &v, sizeof(v));
    }
    if (type == QT_F32)
        return;
    uint8_t *blocks = (uint8_t *)out->ptr + out->len;
    size_t block_bytes = qtype_traits(type)->block_bytes;
    for (size_t i = 0; i < bytes; i++)
        buf_append_char(out, (char)random_at(h, i));
    for (size_t b = 0; b < bytes / block_bytes; b++)
        tame_scales(blocks + b * block_bytes, type, b, scale);
}

/* ---- GGUF ------------------------------------------------------------------------------------ */

/* GGUF's numbers for the types of values used here. */
enum { U32 = 4, I32 = 5, F32 = 6, BOOL = 7, STR = 8, ARR = 9, U64 = 10 };

void gguf_raw_u32(struct buf *b, uint32_t v)
{
    buf_append(b, &v, sizeof(v));
}

void gguf_raw_u64(struct buf *b, uint64_t v)
{
    buf_append(b, &v, sizeof(v));
}

void gguf_raw_str(struct buf *b, struct span s)
{
    gguf_raw_u64(b, s.len);
    buf_append_span(b, s);
}

void gguf_put_key(struct gguf_writer *w, const char *key, uint32_t type)
{
    gguf_raw_str(&w->metas, span_of(key));
    gguf_raw_u32(&w->metas, type);
    w->n_metas++;
}

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v)
{
    gguf_put_key(w, key, U32);
    gguf_raw_u32(&w->metas, v);
}

void gguf_put_u64(struct gguf_writer *w, const char *key, uint64_t v)
{
    gguf_put_key(w, key, U64);
    gguf_raw_u64(&w->metas, v);
}

void gguf_put_i32(struct gguf_writer *w, const char *key, int32_t v)
{
    gguf_put_key(w, key, I32);
    gguf_raw_u32(&w->metas, (uint32_t)v);
}

void gguf_put_f32(struct gguf_writer *w, const char *key, float v)
{
    gguf_put_key(w, key, F32);
    buf_append(&w->metas, &v, sizeof(v));
}

void gguf_put_bool(struct gguf_writer *w, const char *key, bool v)
{
    gguf_put_key(w, key, BOOL);
    buf_append_char(&w->metas, v);
}

void gguf_put_str(struct gguf_writer *w, const char *key, const char *v)
{
    gguf_put_key(w, key, STR);
    gguf_raw_str(&w->metas, span_of(v));
}

static void put_array(struct gguf_writer *w, const char *key, uint32_t type, size_t n)
{
    gguf_put_key(w, key, ARR);
    gguf_raw_u32(&w->metas, type);
    gguf_raw_u64(&w->metas, n);
}

void gguf_put_arr_i32(struct gguf_writer *w, const char *key, const int32_t *v, size_t n)
{
    put_array(w, key, I32, n);
    buf_append(&w->metas, v, n * sizeof(*v));
}

void gguf_put_arr_f32(struct gguf_writer *w, const char *key, const float *v, size_t n)
{
    put_array(w, key, F32, n);
    buf_append(&w->metas, v, n * sizeof(*v));
}

void gguf_put_arr_bool(struct gguf_writer *w, const char *key, const bool *v, size_t n)
{
    put_array(w, key, BOOL, n);
    for (size_t i = 0; i < n; i++)
        buf_append_char(&w->metas, v[i]);
}

void gguf_put_arr_str(struct gguf_writer *w, const char *key, const char *const *v, size_t n)
{
    put_array(w, key, STR, n);
    for (size_t i = 0; i < n; i++)
        gguf_raw_str(&w->metas, span_of(v[i]));
}

static size_t count(uint32_t n_dims, const uint64_t *dims)
{
    size_t n = 1;
    for (uint32_t i = 0; i < n_dims; i++)
        n *= dims[i];
    return n;
}

static void pad(struct buf *b, size_t alignment)
{
    while (b->len % alignment)
        buf_append_char(b, 0);
}

static void put_info(struct gguf_writer *w, const char *name, enum qtype type, uint32_t n_dims,
                     const uint64_t *dims)
{
    pad(&w->data, w->alignment ? w->alignment : 32);
    gguf_raw_str(&w->infos, span_of(name));
    gguf_raw_u32(&w->infos, n_dims);
    buf_append(&w->infos, dims, n_dims * sizeof(*dims));
    gguf_raw_u32(&w->infos, (uint32_t)type);
    gguf_raw_u64(&w->infos, w->data.len);
    w->n_tensors++;
}

static void append_or_zeros(struct buf *out, const void *data, size_t bytes)
{
    if (data)
        buf_append(out, data, bytes);
    for (size_t i = 0; !data && i < bytes; i++)
        buf_append_char(out, 0);
}

void gguf_put_tensor(struct gguf_writer *w, const char *name, enum qtype type, uint32_t n_dims,
                     const uint64_t *dims, const void *data)
{
    size_t bytes;
    if (!qtype_row_bytes(&bytes, type, count(n_dims, dims)))
        die(name, "not whole blocks");
    put_info(w, name, type, n_dims, dims);
    append_or_zeros(&w->data, data, bytes);
}

void gguf_put_random(struct gguf_writer *w, const char *name, enum qtype type, uint32_t n_dims,
                     const uint64_t *dims, float scale)
{
    put_info(w, name, type, n_dims, dims);
    random_blocks(&w->data, name, type, count(n_dims, dims), scale);
}

void gguf_writer_finish(const struct gguf_writer *w, struct buf *out)
{
    buf_append_str(out, "GGUF");
    gguf_raw_u32(out, w->version ? w->version : 3);
    gguf_raw_u64(out, w->n_tensors);
    gguf_raw_u64(out, w->n_metas);
    buf_append_span(out, buf_span(&w->metas));
    buf_append_span(out, buf_span(&w->infos));
    pad(out, w->alignment ? w->alignment : 32);
    buf_append_span(out, buf_span(&w->data));
    if (out->failed || w->metas.failed || w->infos.failed || w->data.failed)
        die("gguf", "out of memory");
}

static void save(const char *path, struct buf *file)
{
    struct kt_error err;
    if (file_replace(path, file->ptr, file->len, 0600, &err))
        die(path, err.text);
    buf_deinit(file);
}

void gguf_writer_save(const struct gguf_writer *w, const char *path)
{
    struct buf file = { 0 };
    gguf_writer_finish(w, &file);
    save(path, &file);
}

void gguf_writer_deinit(struct gguf_writer *w)
{
    buf_deinit(&w->metas);
    buf_deinit(&w->infos);
    buf_deinit(&w->data);
}

/* ---- safetensors ----------------------------------------------------------------------------- */

void st_put_raw(struct st_writer *w, const char *json, const void *data, size_t size)
{
    buf_append_str(&w->header, w->header.len ? "," : "{");
    buf_append_str(&w->header, json);
    append_or_zeros(&w->data, data, size);
}

static void put_entry(struct st_writer *w, const char *name, enum qtype type, uint32_t n_dims,
                      const uint64_t *dims, size_t bytes)
{
    buf_printf(&w->header, "%c\"%s\":{\"dtype\":\"%s\",\"shape\":[", w->header.len ? ',' : '{',
               name, qtype_traits(type)->name);
    for (uint32_t i = n_dims; i-- > 0;)
        buf_printf(&w->header, "%llu%s", (unsigned long long)dims[i], i ? "," : "");
    buf_printf(&w->header, "],\"data_offsets\":[%zu,%zu]}", w->data.len, w->data.len + bytes);
}

void st_put_tensor(struct st_writer *w, const char *name, enum qtype type, uint32_t n_dims,
                   const uint64_t *dims, const void *data)
{
    size_t bytes;
    if (!qtype_traits(type)->is_float || !qtype_row_bytes(&bytes, type, count(n_dims, dims)))
        die(name, "safetensors has no such type");
    put_entry(w, name, type, n_dims, dims, bytes);
    append_or_zeros(&w->data, data, bytes);
}

void st_put_random(struct st_writer *w, const char *name, enum qtype type, uint32_t n_dims,
                   const uint64_t *dims, float scale)
{
    struct buf values = { 0 };
    random_blocks(&values, name, type, count(n_dims, dims), scale);
    st_put_tensor(w, name, type, n_dims, dims, values.ptr);
    buf_deinit(&values);
}

void st_writer_finish(const struct st_writer *w, struct buf *out)
{
    struct buf header = { 0 };
    buf_append_str(&header, w->header.len ? "" : "{");
    buf_append_span(&header, buf_span(&w->header));
    buf_append_char(&header, '}');
    while (header.len % 8)
        buf_append_char(&header, ' ');
    gguf_raw_u64(out, header.len);
    buf_append_span(out, buf_span(&header));
    buf_append_span(out, buf_span(&w->data));
    if (header.failed || w->header.failed || w->data.failed || out->failed)
        die("safetensors", "out of memory");
    buf_deinit(&header);
}

void st_writer_save(const struct st_writer *w, const char *path)
{
    struct buf file = { 0 };
    st_writer_finish(w, &file);
    save(path, &file);
}

void st_writer_deinit(struct st_writer *w)
{
    buf_deinit(&w->header);
    buf_deinit(&w->data);
}

/* ---- folders --------------------------------------------------------------------------------- */

char *temp_dir_make(void)
{
    const char *tmp = getenv("TMPDIR");
    char *dir = path_join(tmp && *tmp ? tmp : "/tmp", "kontor-test-XXXXXX");
    if (!dir || !mkdtemp(dir))
        die("temporary folder", "cannot be made");
    return dir;
}

static int remove_one(const char *path, const struct stat *sb, int kind, struct FTW *ftw)
{
    (void)sb;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void temp_dir_remove(char *dir)
{
    if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        die(dir, "cannot be removed");
    free(dir);
}

void save_file(const char *dir, const char *name, const void *ptr, size_t len)
{
    char *path = path_join(dir, name);
    struct kt_error err;
    if (!path || file_replace(path, ptr, len, 0600, &err))
        die(name, "cannot be written");
    free(path);
}
