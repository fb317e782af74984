/* GGUF as a stream: see gguf.c for the layout.
 *
 * The header needs the number of entries and tensors, so it is put together in memory and goes out
 * before the first byte of data. Space for the whole file is asked for then: a disk that is too
 * small is found in the first second, not after an hour. */
#include "model/gguf_write.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "model/model_file_priv.h"

enum { ALIGNMENT = 32, TENSOR_NAME_MAX = 63 };

struct gguf_write {
    char *path, *temp;
    int fd; /* -1: none */
    bool is_begun, is_done;
    struct buf metas, infos;
    uint64_t n_metas, n_tensors;
    uint64_t *sizes;           /* [n_tensors] bytes of each, without padding */
    uint64_t data_bytes;       /* offset of the next tensor to be described  */
    uint64_t now, now_written; /* the tensor being written                   */
};

enum kt_status gguf_write_open(struct gguf_write **out, const char *path, struct kt_error *err)
{
    *out = NULL;
    struct gguf_write *w = calloc(1, sizeof(*w));
    if (!w)
        return file_no_memory(err);
    struct buf temp = { 0 };
    buf_printf(&temp, "%s.%ld.tmp", path, (long)getpid());
    w->fd = -1;
    w->path = strdup(path);
    w->temp = buf_take(&temp);
    enum kt_status st = KT_OK;
    if (!w->path || !w->temp)
        st = file_no_memory(err);
    if (!st) {
        w->fd = open(w->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (w->fd < 0)
            st = kt_fail_errno(err, errno, "%s: cannot create", w->temp);
    }
    if (st) {
        gguf_write_close(w);
        return st;
    }
    *out = w;
    return KT_OK;
}

void gguf_write_close(struct gguf_write *w)
{
    if (!w)
        return;
    if (w->fd >= 0) {
        close(w->fd);
        if (!w->is_done)
            unlink(w->temp);
    }
    buf_deinit(&w->metas);
    buf_deinit(&w->infos);
    free(w->sizes);
    free(w->path);
    free(w->temp);
    free(w);
}

/* ---- metadata -------------------------------------------------------------------------------- */

static void put_u32(struct buf *b, uint32_t v)
{
    buf_append(b, &v, sizeof(v));
}

static void put_u64(struct buf *b, uint64_t v)
{
    buf_append(b, &v, sizeof(v));
}

static void put_string(struct buf *b, struct span s)
{
    put_u64(b, s.len);
    buf_append_span(b, s);
}

static void put_key(struct gguf_write *w, struct span key, uint32_t type)
{
    w->n_metas++;
    put_string(&w->metas, key);
    put_u32(&w->metas, type);
}

static void put_array(struct gguf_write *w, struct span key, uint32_t type, size_t n)
{
    put_key(w, key, GGUF_ARRAY);
    put_u32(&w->metas, type);
    put_u64(&w->metas, n);
}

void gguf_write_u32(struct gguf_write *w, const char *key, uint32_t v)
{
    put_key(w, span_of(key), GGUF_U32);
    put_u32(&w->metas, v);
}

void gguf_write_f32(struct gguf_write *w, const char *key, float v)
{
    put_key(w, span_of(key), GGUF_F32);
    buf_append(&w->metas, &v, sizeof(v));
}

void gguf_write_bool(struct gguf_write *w, const char *key, bool v)
{
    put_key(w, span_of(key), GGUF_BOOL);
    buf_append_char(&w->metas, v ? 1 : 0);
}

void gguf_write_str(struct gguf_write *w, const char *key, struct span v)
{
    put_key(w, span_of(key), GGUF_STRING);
    put_string(&w->metas, v);
}

void gguf_write_arr_i32(struct gguf_write *w, const char *key, const int32_t *v, size_t n)
{
    put_array(w, span_of(key), GGUF_I32, n);
    buf_append(&w->metas, v, n * sizeof(*v));
}

void gguf_write_arr_f32(struct gguf_write *w, const char *key, const float *v, size_t n)
{
    put_array(w, span_of(key), GGUF_F32, n);
    buf_append(&w->metas, v, n * sizeof(*v));
}

void gguf_write_arr_bool(struct gguf_write *w, const char *key, const bool *v, size_t n)
{
    put_array(w, span_of(key), GGUF_BOOL, n);
    for (size_t i = 0; i < n; i++)
        buf_append_char(&w->metas, v[i] ? 1 : 0);
}

void gguf_write_arr_str(struct gguf_write *w, const char *key, size_t n)
{
    put_array(w, span_of(key), GGUF_STRING, n);
}

void gguf_write_arr_str_item(struct gguf_write *w, struct span v)
{
    put_string(&w->metas, v);
}

/* A whole number in the width it had. */
static void put_int(struct buf *b, uint32_t type, int64_t v)
{
    static const uint8_t SIZES[] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,  [GGUF_U16] = 2, [GGUF_I16] = 2,
        [GGUF_U32] = 4, [GGUF_I32] = 4, [GGUF_F32] = 4, [GGUF_BOOL] = 1,
        [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8
    };
    size_t size = type < ARRAY_LEN(SIZES) ? SIZES[type] : 0;
    buf_append(b, &v, size); /* little-endian, see gguf.c: the low bytes come first */
}

static void put_float(struct buf *b, uint32_t type, double v)
{
    float f = (float)v;
    if (type == GGUF_F32)
        buf_append(b, &f, sizeof(f));
    else
        buf_append(b, &v, sizeof(v));
}

void gguf_write_meta(struct gguf_write *w, const struct meta *m)
{
    bool is_array = m->type >= META_ARR_INT;
    if (is_array)
        put_array(w, m->key, m->raw_type, m->n);
    else
        put_key(w, m->key, m->raw_type);
    if (m->type == META_STR)
        put_string(&w->metas, m->s);
    else if (m->type == META_FLOAT)
        put_float(&w->metas, m->raw_type, m->f);
    else if (!is_array)
        put_int(&w->metas, m->raw_type, m->i);
    for (size_t i = 0; is_array && i < m->n; i++) {
        if (m->type == META_ARR_STR)
            put_string(&w->metas, meta_arr_str(m, i));
        else if (m->type == META_ARR_FLOAT)
            put_float(&w->metas, m->raw_type, meta_arr_float(m, i));
        else
            put_int(&w->metas, m->raw_type, meta_arr_int(m, i));
    }
}

/* ---- tensors --------------------------------------------------------------------------------- */

enum kt_status gguf_write_tensor(struct gguf_write *w, struct span name, enum qtype type,
                                 uint32_t n_dims, const uint64_t *dims, struct kt_error *err)
{
    assert(!w->is_begun && n_dims >= 1 && n_dims <= TENSOR_DIMS_MAX);
    size_t bytes;
    if (name.len > TENSOR_NAME_MAX)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "tensor %s has a name of %zu bytes; a GGUF file takes at most %d",
                       show_name(name).text, name.len, TENSOR_NAME_MAX);
    bool fits = qtype_row_bytes(&bytes, type, dims[0]);
    for (uint32_t i = 1; fits && i < n_dims; i++)
        fits = size_mul(&bytes, bytes, dims[i]);
    if (!fits)
        return kt_fail(err, KT_E_INTERNAL, "tensor %s: rows of %llu do not fit its new type",
                       show_name(name).text, (unsigned long long)dims[0]);
    uint64_t *sizes = realloc(w->sizes, (w->n_tensors + 1) * sizeof(*sizes));
    if (!sizes)
        return file_no_memory(err);
    w->sizes = sizes;
    sizes[w->n_tensors++] = bytes;
    put_string(&w->infos, name);
    put_u32(&w->infos, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        put_u64(&w->infos, dims[i]);
    put_u32(&w->infos, (uint32_t)type);
    put_u64(&w->infos, w->data_bytes);
    w->data_bytes += size_align(bytes, ALIGNMENT);
    return KT_OK;
}

static uint64_t header_bytes(const struct gguf_write *w)
{
    return size_align(24 + w->metas.len + w->infos.len, ALIGNMENT);
}

uint64_t gguf_write_bytes(const struct gguf_write *w)
{
    return header_bytes(w) + w->data_bytes;
}

static enum kt_status put_padding(struct gguf_write *w, uint64_t len, struct kt_error *err)
{
    static const uint8_t ZEROS[ALIGNMENT];
    size_t n = (size_t)(size_align(len, ALIGNMENT) - len);
    return n ? file_write_fd(w->fd, ZEROS, n, w->temp, err) : KT_OK;
}

/* Ask for the whole file's space. A file system that cannot promise it (EOPNOTSUPP) will tell when
 * it is full. */
static enum kt_status reserve(struct gguf_write *w, struct kt_error *err)
{
    uint64_t bytes = gguf_write_bytes(w);
    if (fallocate(w->fd, 0, 0, (off_t)bytes) == 0 || (errno != ENOSPC && errno != EFBIG))
        return KT_OK;
    return kt_fail_errno(err, errno, "%s: the file needs %.1f GB", w->path, (double)bytes / 1e9);
}

static enum kt_status begin(struct gguf_write *w, struct kt_error *err)
{
    struct buf head = { 0 };
    buf_append_str(&head, "GGUF");
    put_u32(&head, 3);
    put_u64(&head, w->n_tensors);
    put_u64(&head, w->n_metas);
    w->is_begun = true;
    enum kt_status st = KT_OK;
    if (head.failed || w->metas.failed || w->infos.failed)
        st = file_no_memory(err);
    if (!st)
        st = reserve(w, err);
    if (!st)
        st = file_write_fd(w->fd, head.ptr, head.len, w->temp, err);
    if (!st && w->metas.len)
        st = file_write_fd(w->fd, w->metas.ptr, w->metas.len, w->temp, err);
    if (!st && w->infos.len)
        st = file_write_fd(w->fd, w->infos.ptr, w->infos.len, w->temp, err);
    if (!st)
        st = put_padding(w, head.len + w->metas.len + w->infos.len, err);
    buf_deinit(&head);
    return st;
}

enum kt_status gguf_write_data(struct gguf_write *w, const void *ptr, size_t len,
                               struct kt_error *err)
{
    enum kt_status st = w->is_begun ? KT_OK : begin(w, err);
    if (st)
        return st;
    if (NEVER(w->now == w->n_tensors || len > w->sizes[w->now] - w->now_written))
        return kt_fail(err, KT_E_INTERNAL, "%s: more data than the tensors were said to have",
                       w->path);
    st = file_write_fd(w->fd, ptr, len, w->temp, err);
    w->now_written += len;
    if (!st && w->now_written == w->sizes[w->now]) {
        st = put_padding(w, w->now_written, err);
        w->now++;
        w->now_written = 0;
    }
    return st;
}

/* The rename is lasting only when the folder is on the disk, too. */
static enum kt_status sync_folder(const char *path, struct kt_error *err)
{
    char *copy = strdup(path);
    if (!copy)
        return file_no_memory(err);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0)
        return KT_OK; /* a folder that may be written and not read: nothing to sync by */
    enum kt_status st = KT_OK;
    if (fsync(fd) != 0 && errno != EINVAL)
        st = kt_fail_errno(err, errno, "%s: cannot sync the folder", path);
    close(fd);
    return st;
}

enum kt_status gguf_write_finish(struct gguf_write *w, struct kt_error *err)
{
    enum kt_status st = w->is_begun ? KT_OK : begin(w, err);
    if (st)
        return st;
    if (NEVER(w->now != w->n_tensors))
        return kt_fail(err, KT_E_INTERNAL, "%s: less data than the tensors were said to have",
                       w->path);
    if (fsync(w->fd) != 0)
        return kt_fail_errno(err, errno, "%s: cannot sync", w->temp);
    /* What was just written lies in memory in small pages; whoever maps it will want large ones. */
    (void)posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED);
    if (rename(w->temp, w->path) != 0)
        return kt_fail_errno(err, errno, "%s: cannot rename into place", w->path);
    w->is_done = true;
    return sync_folder(w->path, err);
}
