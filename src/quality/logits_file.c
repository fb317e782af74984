/* The file of logits_file.h.
 *
 *     0   "KTLOGPRB"       8 bytes
 *     8   version          u32: 1
 *    12   n_vocab          u32
 *    16   n_window         u32
 *    20   zero             u32
 *    24   n_tokens         u64
 *    32   ids              n_tokens i32
 *         rows             each: top f32, step f32, n_vocab u16, and two zero bytes when n_vocab is odd
 *
 * log p[i] = top - step * q[i], from which the logarithm of their sum is taken off. Nothing stands
 * behind the last row. */
#include "quality/logits_file.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers are written as they lie in memory"
#endif

enum { HEADER_BYTES = 32, ROW_HEAD_BYTES = 8, VERSION = 1, STEPS = 65535, VOCAB_MAX = 1 << 24 };

static const char MAGIC[8] = { 'K', 'T', 'L', 'O', 'G', 'P', 'R', 'B' };

size_t logits_n_rows(size_t n_tokens, size_t n_window)
{
    size_t rest = n_tokens % n_window;
    return n_tokens / n_window * (n_window - 1) + (rest ? rest - 1 : 0);
}

static size_t row_bytes(size_t n_vocab)
{
    return ROW_HEAD_BYTES + 2 * size_align(n_vocab, 2); /* n_vocab is at most VOCAB_MAX */
}

static float log_sum(const float *x, size_t n, float top)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)expf(x[i] - top);
    return (float)log(sum);
}

/* ---- writing --------------------------------------------------------------------------------- */

struct logits_writer {
    int fd;
    char *path, *part;
    uint8_t *row; /* [row_bytes] */
    size_t n_vocab, n_rows, n_put;
};

static enum kt_status write_head(struct logits_writer *w, size_t n_window, const int32_t *ids,
                                 size_t n_ids, struct kt_error *err)
{
    uint8_t head[HEADER_BYTES] = { 0 };
    uint32_t fields[3] = { VERSION, (uint32_t)w->n_vocab, (uint32_t)n_window };
    uint64_t n = n_ids;
    memcpy(head, MAGIC, sizeof(MAGIC));
    memcpy(head + 8, fields, sizeof(fields));
    memcpy(head + 24, &n, sizeof(n));
    enum kt_status st = file_write_fd(w->fd, head, sizeof(head), w->part, err);
    if (!st)
        st = file_write_fd(w->fd, ids, n_ids * sizeof(*ids), w->part, err);
    return st;
}

static enum kt_status writer_init(struct logits_writer *w, const char *path, size_t n_vocab,
                                  struct kt_error *err)
{
    w->fd = -1;
    w->n_vocab = n_vocab;
    w->path = strdup(path);
    w->part = malloc(strlen(path) + sizeof(".part"));
    w->row = calloc(1, row_bytes(n_vocab));
    if (!w->path || !w->part || !w->row)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    strcat(strcpy(w->part, path), ".part");
    w->fd = open(w->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    return w->fd >= 0 ? KT_OK : kt_fail_errno(err, errno, "%s: cannot be written", w->part);
}

enum kt_status logits_writer_open(struct logits_writer **out, const char *path, size_t n_vocab,
                                  size_t n_window, const int32_t *ids, size_t n_ids,
                                  struct kt_error *err)
{
    *out = NULL;
    if (n_vocab == 0 || n_vocab > VOCAB_MAX || n_window < 2 || n_window > UINT32_MAX)
        return kt_fail(err, KT_E_LIMIT, "%s: %zu entries of a vocabulary, windows of %zu", path,
                       n_vocab, n_window);
    struct logits_writer *w = calloc(1, sizeof(*w));
    if (!w)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    w->n_rows = logits_n_rows(n_ids, n_window);
    enum kt_status st = writer_init(w, path, n_vocab, err);
    if (!st)
        st = write_head(w, n_window, ids, n_ids, err);
    if (st) {
        logits_writer_close(w);
        return st;
    }
    *out = w;
    return KT_OK;
}

enum kt_status logits_writer_put(struct logits_writer *w, const float *logits, struct kt_error *err)
{
    float low = INFINITY;
    size_t top_idx = 0;
    for (size_t i = 0; i < w->n_vocab; i++) {
        if (!isfinite(logits[i]))
            return kt_fail(err, KT_E_INTERNAL,
                           "%s: row %zu: logit %zu is not a number; try `kontor inspect`", w->path,
                           w->n_put, i);
        top_idx = logits[i] > logits[top_idx] ? i : top_idx;
        low = fminf(low, logits[i]);
    }
    float top = logits[top_idx];
    float head[2] = { -log_sum(logits, w->n_vocab, top), (top - low) / (float)STEPS };
    float inv = head[1] > 0 ? 1.0f / head[1] : 0.0f;
    memcpy(w->row, head, sizeof(head));
    for (size_t i = 0; i < w->n_vocab; i++) {
        /* Nothing else is as likely as the most likely one, or it would be forgotten which it was. */
        float steps = fmaxf((top - logits[i]) * inv, i == top_idx ? 0.0f : 1.0f);
        uint16_t q = (uint16_t)lrintf(fminf(steps, (float)STEPS));
        memcpy(w->row + ROW_HEAD_BYTES + 2 * i, &q, sizeof(q));
    }
    w->n_put++;
    return file_write_fd(w->fd, w->row, row_bytes(w->n_vocab), w->part, err);
}

enum kt_status logits_writer_finish(struct logits_writer *w, struct kt_error *err)
{
    if (w->n_put != w->n_rows)
        return kt_fail(err, KT_E_INTERNAL, "%s: %zu rows of %zu", w->path, w->n_put, w->n_rows);
    int fd = w->fd;
    w->fd = -1;
    enum kt_status st = KT_OK;
    if (fsync(fd) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot be written", w->part);
    if (close(fd) != 0 && !st)
        st = kt_fail_errno(err, errno, "%s: cannot be written", w->part);
    if (!st && rename(w->part, w->path) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot be replaced", w->path);
    if (st)
        unlink(w->part);
    return st;
}

void logits_writer_close(struct logits_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->part);
    }
    free(w->path);
    free(w->part);
    free(w->row);
    free(w);
}

/* ---- reading --------------------------------------------------------------------------------- */

struct logits_file {
    struct file_map map; /* empty for one in memory */
    struct span bytes;
    char *name;
    size_t n_vocab, n_window, n_tokens, n_rows, rows_at;
};

static uint32_t get_u32(const struct logits_file *f, size_t at)
{
    uint32_t v;
    memcpy(&v, f->bytes.ptr + at, sizeof(v));
    return v;
}

static enum kt_status check_size(struct logits_file *f, struct kt_error *err)
{
    size_t ids, rows, all;
    bool ok = size_mul(&ids, f->n_tokens, sizeof(int32_t)) &&
              size_mul(&rows, f->n_rows, row_bytes(f->n_vocab)) &&
              size_add(&f->rows_at, HEADER_BYTES, ids) && size_add(&all, f->rows_at, rows);
    if (!ok || all != f->bytes.len)
        return kt_fail(err, KT_E_FORMAT,
                       "%s: %zu bytes, which is not what %zu tokens in windows of %zu with %zu "
                       "entries each take; is the file whole?",
                       f->name, f->bytes.len, f->n_tokens, f->n_window, f->n_vocab);
    for (size_t i = 0; i < f->n_tokens; i++) {
        int32_t id = logits_file_token(f, i);
        if (id < 0 || (size_t)id >= f->n_vocab)
            return kt_fail(err, KT_E_FORMAT, "%s: token %zu is %d, expected 0 to %zu", f->name, i,
                           id, f->n_vocab - 1);
    }
    return KT_OK;
}

static enum kt_status read_head(struct logits_file *f, struct kt_error *err)
{
    if (f->bytes.len < HEADER_BYTES || memcmp(f->bytes.ptr, MAGIC, sizeof(MAGIC)) != 0)
        return kt_fail(err, KT_E_FORMAT,
                       "%s: not a file of log-probabilities; `kontor perplexity --save-logits` "
                       "makes one",
                       f->name);
    if (get_u32(f, 8) != VERSION)
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: version %u, expected %d", f->name, get_u32(f, 8),
                       VERSION);
    uint64_t n;
    memcpy(&n, f->bytes.ptr + 24, sizeof(n));
    f->n_vocab = get_u32(f, 12);
    f->n_window = get_u32(f, 16);
    if (f->n_vocab == 0 || f->n_vocab > VOCAB_MAX || f->n_window < 2 || get_u32(f, 20) != 0 ||
        n > f->bytes.len)
        return kt_fail(err, KT_E_FORMAT,
                       "%s: %zu entries of a vocabulary, windows of %zu, %llu tokens: no such text",
                       f->name, f->n_vocab, f->n_window, (unsigned long long)n);
    f->n_tokens = (size_t)n;
    f->n_rows = logits_n_rows(f->n_tokens, f->n_window);
    return check_size(f, err);
}

static enum kt_status make(struct logits_file **out, const char *name, struct kt_error *err)
{
    *out = calloc(1, sizeof(**out));
    if (*out && ((*out)->name = strdup(name)))
        return KT_OK;
    free(*out);
    *out = NULL;
    return kt_fail(err, KT_E_NOMEM, "%s: out of memory", name);
}

static enum kt_status settle(struct logits_file **out, enum kt_status st)
{
    if (st) {
        logits_file_close(*out);
        *out = NULL;
    }
    return st;
}

enum kt_status logits_file_open_memory(struct logits_file **out, struct span bytes,
                                       const char *name, struct kt_error *err)
{
    enum kt_status st = make(out, name, err);
    if (st)
        return st;
    (*out)->bytes = bytes;
    return settle(out, read_head(*out, err));
}

enum kt_status logits_file_open(struct logits_file **out, const char *path, struct kt_error *err)
{
    enum kt_status st = make(out, path, err);
    if (st)
        return st;
    st = file_map_open(&(*out)->map, path, err);
    (*out)->bytes = (struct span){ (const char *)(*out)->map.data, (*out)->map.size };
    if (!st)
        st = read_head(*out, err);
    return settle(out, st);
}

void logits_file_close(struct logits_file *f)
{
    if (!f)
        return;
    file_map_close(&f->map);
    free(f->name);
    free(f);
}

size_t logits_file_n_vocab(const struct logits_file *f)
{
    return f->n_vocab;
}

size_t logits_file_n_window(const struct logits_file *f)
{
    return f->n_window;
}

size_t logits_file_n_tokens(const struct logits_file *f)
{
    return f->n_tokens;
}

size_t logits_file_n_rows(const struct logits_file *f)
{
    return f->n_rows;
}

int32_t logits_file_token(const struct logits_file *f, size_t idx)
{
    int32_t id;
    memcpy(&id, f->bytes.ptr + HEADER_BYTES + idx * sizeof(id), sizeof(id));
    return id;
}

enum kt_status logits_file_row(const struct logits_file *f, size_t row_idx, float *logp,
                               struct kt_error *err)
{
    const char *row = f->bytes.ptr + f->rows_at + row_idx * row_bytes(f->n_vocab);
    float head[2];
    memcpy(head, row, sizeof(head));
    /* A range of 2^20 is more than any logits have, and keeps what follows finite. */
    if (!(head[0] >= -0x1p20f && head[0] <= 0) || !(head[1] >= 0 && head[1] <= 16))
        return kt_fail(err, KT_E_FORMAT, "%s: row %zu holds no log-probabilities", f->name,
                       row_idx);
    for (size_t i = 0; i < f->n_vocab; i++) {
        uint16_t q;
        memcpy(&q, row + ROW_HEAD_BYTES + 2 * i, sizeof(q));
        logp[i] = -head[1] * (float)q;
    }
    float top = logp[0];
    for (size_t i = 1; i < f->n_vocab; i++)
        top = fmaxf(top, logp[i]);
    float sum = log_sum(logp, f->n_vocab, top) + top;
    for (size_t i = 0; i < f->n_vocab; i++)
        logp[i] -= sum;
    return KT_OK;
}
