/* Converting a model: open, plan, describe, stream.
 *
 * The plan is a list of output tensors, each with its source and what happens to its rows. The
 * header goes out first; then the tensors, in pieces of some rows: the threads turn a row each into
 * floats, change what is to be changed, check every number and write the row's new form into the
 * piece, which is written while the file's order is kept. So the bytes do not depend on threads. */
#include "model/convert.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/size.h"
#include "model/convert_priv.h"
#include "model/model.h"
#include "model/model_file_priv.h"
#include "model/vision.h"
#include "quant/quantize.h"

/* Floats in a piece: 16 MB. A row of more is a piece of its own. */
enum { PIECE_ELEMS = 4 << 20 };

struct run {
    const struct convert_options *opts;
    struct convert_result *result;
    struct kt_error *err;
    struct model_file *file;
    struct gguf_write *out;
    struct plan plan;

    float *floats;  /* [n_threads, 2, longest row] */
    uint8_t *piece; /* the piece's bytes in the new type */
    size_t row_max; /* elements */
    uint64_t done, total;
};

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static enum kt_status check_paths(const char *in, const char *out, bool replace,
                                  struct kt_error *err)
{
    if (same_file(in, out))
        return kt_fail(err, KT_E_EXISTS, "%s: is the input; give the output another name", out);
    if (!replace && file_exists(out))
        return kt_fail(err, KT_E_EXISTS, "%s: exists already; remove it or allow replacing it",
                       out);
    return KT_OK;
}

/* ---- the plan -------------------------------------------------------------------------------- */

static enum kt_status plan_gguf(struct run *r)
{
    for (size_t i = 0; i < model_file_n_tensors(r->file); i++) {
        const struct tensor *t = model_file_tensor_at(r->file, i);
        struct item *it = plan_push(&r->plan);
        if (!it)
            return file_no_memory(r->err);
        it->name = t->name;
        it->src = t;
        it->n_dims = t->n_dims;
        memcpy(it->dims, t->dims, sizeof(it->dims));
    }
    return KT_OK;
}

/* Keys that are about the file as it was, not about the model. */
static bool is_about_file(struct span key)
{
    return span_starts(key, SPAN("split.")) || span_starts(key, SPAN("quantize.")) ||
           span_eq_str(key, "general.file_type") || span_eq_str(key, "general.alignment") ||
           span_eq_str(key, "general.quantization_version");
}

static void copy_meta(struct run *r)
{
    for (size_t i = 0; i < model_file_n_meta(r->file); i++) {
        const struct meta *m = model_file_meta_at(r->file, i);
        if (!is_about_file(m->key))
            gguf_write_meta(r->out, m);
    }
}

/* Binding checks that every tensor is there with the right shape, and no other. */
static enum kt_status check_model(struct run *r, struct model_shape *s)
{
    struct kernels k;
    struct model *m = NULL;
    kernels_init(&k, cpu_detect());
    enum kt_status st = model_create(&m, r->file, &k, NULL, r->err);
    if (!st)
        *s = *model_shape_of(m);
    model_destroy(m);
    return st;
}

static enum kt_status plan_tower(struct run *r)
{
    struct kernels k;
    struct vision *v = NULL;
    if (model_file_container(r->file) == MODEL_GGUF)
        return kt_fail(r->err, KT_E_UNSUPPORTED,
                       "%s: the vision part of a GGUF model is a file of its own already",
                       model_file_path(r->file));
    kernels_init(&k, cpu_detect());
    enum kt_status st = vision_create(&v, r->file, &k, NULL, 0, r->err);
    if (!st) {
        put_vision_meta(r->out, vision_shape_of(v));
        st = plan_vision(&r->plan, r->file, r->err);
    }
    vision_destroy(v);
    return st;
}

static enum kt_status plan_and_meta(struct run *r)
{
    struct model_shape s;
    enum kt_status st;
    if (r->opts->vision) {
        st = plan_tower(r);
    } else if (model_file_container(r->file) == MODEL_GGUF) {
        copy_meta(r);
        st = plan_gguf(r);
    } else {
        st = check_model(r, &s);
        if (!st)
            st = put_folder_meta(r->out, r->file, &s, r->err);
        if (!st)
            st = plan_folder(&r->plan, r->file, &s, r->err);
        if (!st && r->opts->put_tokenizer)
            st = r->opts->put_tokenizer(r->opts->ctx, r->out, r->file, s.n_vocab, r->err);
    }
    if (st)
        return st;
    if (r->plan.n_items == 0)
        return kt_fail(r->err, KT_E_FORMAT, "%s: has no weights", model_file_path(r->file));
    gguf_write_u32(r->out, "general.file_type", convert_file_type(r->opts->type));
    gguf_write_u32(r->out, "general.quantization_version", 2);
    plan_types(&r->plan, r->opts->type, &r->result->n_fallback);
    if (r->opts->importance)
        st = plan_importance(&r->plan, r->opts->importance, model_file_path(r->file),
                             &r->result->n_unimportant, r->err);
    return st;
}

static size_t n_rows_of(const struct item *it)
{
    return (size_t)(it->dims[1] * it->dims[2] * it->dims[3]); /* the file's reader checked them */
}

static enum kt_status describe(struct run *r)
{
    for (size_t i = 0; i < r->plan.n_items; i++) {
        const struct item *it = &r->plan.items[i];
        enum kt_status st =
            gguf_write_tensor(r->out, it->name, it->type, it->n_dims, it->dims, r->err);
        if (st)
            return st;
        bool was_block = it->src && !qtype_traits(it->src->type)->is_float;
        r->result->n_requantised +=
            was_block && it->type != it->src->type && !qtype_traits(it->type)->is_float;
        r->result->n_params += it->dims[0] * n_rows_of(it);
        r->row_max = MAX(r->row_max, (size_t)it->dims[0]);
    }
    r->result->n_tensors = r->plan.n_items;
    r->total = gguf_write_bytes(r->out);
    return KT_OK;
}

/* ---- one tensor ------------------------------------------------------------------------------ */

struct piece {
    struct run *r;
    const struct item *it;
    size_t row0;      /* of the tensor */
    size_t row_bytes; /* in the new type */
    size_t src_row_bytes;
    quantize_fn quantize;
    struct carry carry;
    _Atomic uint64_t bad; /* index of the first element of the tensor that is no number */
};

static void change_values(const struct item *it, float *v)
{
    size_t n = it->dims[0];
    for (size_t i = 0; it->neg_exp && i < n; i++)
        v[i] = (float)-exp((double)v[i]);
    for (size_t i = 0; it->add_one && i < n; i++)
        v[i] += 1.0f;
}

static void note_bad(struct piece *p, uint64_t at)
{
    uint64_t now = atomic_load(&p->bad);
    while (at < now && !atomic_compare_exchange_weak(&p->bad, &now, at)) {
    }
}

/* Where row 'at' of the output is in the input. */
static const uint8_t *source_row(const struct item *it, size_t at, size_t row_bytes)
{
    const uint8_t *data = it->src->data;
    if (!it->stack_rows)
        return data + perm_source(&it->rows, at) * row_bytes;
    size_t e = at / it->dims[1], row = at % it->dims[1] + it->stack_row0;
    if (it->stack)
        return (const uint8_t *)it->stack[e]->data + row * row_bytes;
    return data + (e * it->stack_rows + row) * row_bytes;
}

/* What is known about the columns of the matrix that row 'at' belongs to. */
static const struct quant_columns *columns_of(const struct piece *p, size_t at,
                                              struct quant_columns *c)
{
    const struct item *it = p->it;
    if (!it->importance)
        return NULL;
    const float *v = it->importance + at / it->dims[1] * it->dims[0];
    if (!(v[0] > 0))
        return NULL;
    *c = (struct quant_columns){ .weight = v };
    if (p->carry.carry)
        *c = (struct quant_columns){ p->carry.weight, p->carry.carry, p->carry.block };
    return c;
}

static void turn_rows(void *ctx, size_t row0, size_t row1, size_t thread_idx)
{
    struct piece *p = ctx;
    const struct item *it = p->it;
    size_t n = it->dims[0];
    float *row = p->r->floats + 2 * thread_idx * p->r->row_max, *moved = row + p->r->row_max;
    for (size_t i = row0; i < row1; i++) {
        float *v = row;
        size_t at = p->row0 + i;
        struct quant_columns columns;
        if (it->src) {
            const uint8_t *src = source_row(it, at, p->src_row_bytes);
            qtype_traits(it->src->type)->dequant(row, src, n);
        } else {
            memcpy(row, it->values + at * n, n * sizeof(*row));
        }
        if (it->cols.major > 1) {
            for (size_t e = 0; e < n; e++)
                moved[e] = row[perm_source(&it->cols, e)];
            v = moved;
        }
        change_values(it, v);
        size_t bad = quantize_check(it->type, v, n);
        if (bad < n)
            note_bad(p, at * n + bad);
        else
            p->quantize(p->r->piece + i * p->row_bytes, v, columns_of(p, at, &columns), n);
    }
}

static enum kt_status bad_number(const struct piece *p)
{
    const struct item *it = p->it;
    uint64_t at = atomic_load(&p->bad);
    struct span name = it->src ? it->src->name : it->name;
    return kt_fail(p->r->err, KT_E_FORMAT,
                   "tensor %s, to be row %llu column %llu: not a number, or beyond the %g that %s "
                   "holds; the weights are damaged, or need --type bf16",
                   show_name(name).text, (unsigned long long)(at / it->dims[0]),
                   (unsigned long long)(at % it->dims[0]), (double)quantize_max(it->type),
                   qtype_traits(it->type)->name);
}

static bool go_on(struct run *r, struct span name)
{
    return !r->opts->on_progress || r->opts->on_progress(r->opts->ctx, r->done, r->total, name);
}

static enum kt_status put(struct run *r, const struct item *it, const void *ptr, size_t len)
{
    enum kt_status st = gguf_write_data(r->out, ptr, len, r->err);
    r->done += len;
    if (!st && !go_on(r, it->name))
        st = kt_fail(r->err, KT_E_CANCELLED, "stopped; nothing was left behind");
    return st;
}

/* Pages of the input that were read need not stay: a model larger than the machine would push
 * everything else out. They are clean and would be read again. */
static void let_go(const void *data, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t from = size_align((uintptr_t)data, page);
    uintptr_t to = ((uintptr_t)data + bytes) & ~(uintptr_t)(page - 1);
    if (to > from)
        (void)madvise((uint8_t *)data + (from - (uintptr_t)data), to - from, MADV_DONTNEED);
}

/* The rows of a piece, where they lie one after the other; others go when the tensor is done. */
static void let_go_piece(const struct piece *p, size_t n_rows)
{
    const struct item *it = p->it;
    if (it->src && !it->stack_rows && it->rows.major <= 1)
        let_go((const uint8_t *)it->src->data + p->row0 * p->src_row_bytes,
               n_rows * p->src_row_bytes);
}

/* The same blocks: their bytes. Floats are read as numbers all the same, to be checked. */
static enum kt_status copy_blocks(struct run *r, const struct item *it)
{
    const uint8_t *src = it->src->data;
    enum kt_status st = KT_OK;
    for (size_t at = 0; !st && at < it->src->bytes;) {
        size_t n = MIN(it->src->bytes - at, (size_t)PIECE_ELEMS);
        st = put(r, it, src + at, n);
        let_go(src + at, n);
        at += n;
    }
    return st;
}

static enum kt_status turn_tensor(struct run *r, const struct item *it)
{
    size_t n_rows = n_rows_of(it), n = it->dims[0];
    struct piece p = { .r = r, .it = it, .quantize = quantize_of(it->type) };
    atomic_init(&p.bad, UINT64_MAX);
    if (NEVER(!p.quantize || !qtype_row_bytes(&p.row_bytes, it->type, n) ||
              (it->src && !qtype_row_bytes(&p.src_row_bytes, it->src->type, n))))
        return kt_fail(r->err, KT_E_INTERNAL, "tensor %s: no way to write it",
                       show_name(it->name).text);
    size_t n_piece = MAX((size_t)PIECE_ELEMS / n, (size_t)1),
           grain = MAX((size_t)16384 / n, (size_t)1);
    enum kt_status st = KT_OK;
    if (r->opts->importance)
        st = carry_create(&p.carry, r->opts->importance, it, r->opts->pool, r->err);
    for (; !st && p.row0 < n_rows; p.row0 += n_piece) {
        size_t count = MIN(n_piece, n_rows - p.row0);
        pool_for(r->opts->pool, count, grain, turn_rows, &p);
        st = atomic_load(&p.bad) != UINT64_MAX ? bad_number(&p)
                                               : put(r, it, r->piece, count * p.row_bytes);
        let_go_piece(&p, count);
    }
    carry_deinit(&p.carry);
    return st;
}

static bool is_copied(const struct item *it)
{
    return it->src && it->src->type == it->type && !qtype_traits(it->type)->is_float &&
           it->rows.major <= 1 && it->cols.major <= 1 && !it->stack_rows;
}

static enum kt_status stream(struct run *r)
{
    size_t n_threads = pool_threads(r->opts->pool), n_floats, n_piece;
    bool ok = size_mul(&n_floats, 2 * n_threads, r->row_max) &&
              size_mul(&n_floats, n_floats, sizeof(float)) &&
              size_mul(&n_piece, MAX(r->row_max, (size_t)PIECE_ELEMS), sizeof(float));
    if (ok) {
        r->floats = malloc(n_floats);
        r->piece = malloc(n_piece);
    }
    if (!r->floats || !r->piece)
        return file_no_memory(r->err);
    enum kt_status st = KT_OK;
    for (size_t i = 0; !st && i < r->plan.n_items; i++) {
        const struct item *it = &r->plan.items[i];
        st = is_copied(it) ? copy_blocks(r, it) : turn_tensor(r, it);
        for (size_t e = 0; it->stack && e < it->dims[2]; e++)
            let_go(it->stack[e]->data, it->stack[e]->bytes);
        if (it->src)
            let_go(it->src->data, it->src->bytes);
    }
    return st;
}

/* ---- the run --------------------------------------------------------------------------------- */

static enum kt_status run_all(struct run *r, const char *in, const char *out)
{
    enum kt_status st = model_file_open(&r->file, in, r->err);
    if (!st)
        st = gguf_write_open(&r->out, out, r->err);
    if (st)
        return st;
    st = plan_and_meta(r);
    if (!st)
        st = describe(r);
    if (!st)
        st = stream(r);
    if (!st)
        st = gguf_write_finish(r->out, r->err);
    r->result->bytes_in = model_file_bytes(r->file);
    r->result->bytes_out = r->total;
    return st;
}

enum kt_status model_convert(const char *in, const char *out, const struct convert_options *opts,
                             struct convert_result *result, struct kt_error *err)
{
    assert(convert_type_known(opts->type));
    *result = (struct convert_result){ 0 };
    struct run r = { .opts = opts, .result = result, .err = err };
    enum kt_status st = check_paths(in, out, opts->replace, err);
    if (!st)
        st = run_all(&r, in, out);
    gguf_write_close(r.out);
    model_file_close(r.file);
    arena_deinit(&r.plan.memory);
    free(r.plan.items);
    free(r.floats);
    free(r.piece);
    return st;
}
