/* Documents onto the shelf: cut, embed, store, and the same for what is inside them; see shelf.h. */
#include "office/shelf.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/size.h"
#include "office/chunk.h"
#include "office/reuse.h"

enum {
    EMBED_BATCH = 16,
    PART_DEPTH_MAX = 4,     /* a mail in a mail in an archive ... */
    PARTS_TOTAL_MAX = 5000, /* below one file */
};

static bool report_item(struct kt_add_item **items, size_t *n, const char *path, const char *reason)
{
    struct kt_add_item *p = realloc(*items, (*n + 1) * sizeof(*p));
    if (!p)
        return false;
    *items = p;
    p[*n] = (struct kt_add_item){ strdup(path), strdup(reason ? reason : "") };
    (*n)++;
    return p[*n - 1].path && p[*n - 1].reason;
}

bool shelf_left_out(struct shelf *s, const char *path, const char *reason)
{
    return report_item(&s->report->left_out, &s->report->n_left_out, path, reason);
}

bool shelf_report(struct shelf *s, enum kt_doc_state state, const char *path, const char *reason)
{
    struct kt_add_report *r = s->report;
    return state == KT_DOC_SKIPPED ? report_item(&r->skipped, &r->n_skipped, path, reason)
                                   : report_item(&r->failed, &r->n_failed, path, reason);
}

/* What the embedding model reads for a chunk: the document's title before it, so that a passage in
 * the middle of a contract still says which contract. */
static char *embed_text(const struct document *d, const struct kt_place *c)
{
    return reuse_text(d->title, (struct span){ d->text + c->start, c->end - c->start });
}

/* The vectors of 'batch' chunks whose places in 'vectors' are rows[]; takes the texts. */
static enum kt_status embed_batch(struct shelf *s, char **texts, const size_t *rows, size_t batch,
                                  float *vectors, size_t dim, struct kt_error *err)
{
    size_t bytes;
    float *out = size_mul(&bytes, batch, dim * sizeof(float)) ? malloc(bytes) : NULL;
    enum kt_status st =
        out ? kt_embed(s->opts->embedder, (const char *const *)texts, batch, out, err)
            : kt_fail(err, KT_E_NOMEM, "out of memory while embedding");
    for (size_t b = 0; b < batch; b++) {
        if (!st)
            memcpy(vectors + rows[b] * dim, out + b * dim, dim * sizeof(float));
        free(texts[b]);
    }
    free(out);
    if (!st)
        s->report->n_chunks_embedded += batch;
    return st;
}

static enum kt_status embed_chunks(struct shelf *s, const struct document *d,
                                   const struct kt_place *chunks, size_t n, float *vectors,
                                   size_t dim, struct kt_error *err)
{
    char *texts[EMBED_BATCH];
    size_t rows[EMBED_BATCH], batch = 0;
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < n && !st; i++) {
        char *text = embed_text(d, &chunks[i]);
        if (!text) {
            st = kt_fail(err, KT_E_NOMEM, "out of memory while embedding");
        } else if (reuse_find(s->reuse, text, vectors + i * dim, dim)) {
            s->report->n_chunks_kept++;
            free(text);
        } else {
            texts[batch] = text;
            rows[batch++] = i;
        }
        if (!st && batch == EMBED_BATCH) {
            st = embed_batch(s, texts, rows, batch, vectors, dim, err);
            batch = 0;
        }
    }
    if (!st && batch)
        return embed_batch(s, texts, rows, batch, vectors, dim, err);
    for (size_t b = 0; b < batch; b++)
        free(texts[b]);
    return st;
}

/* A document that the store does not take (a path or a text beyond its bounds) is that document's failure, not the run's. */
static bool is_beyond_bounds(enum kt_status st)
{
    return st == KT_E_USAGE || st == KT_E_LIMIT;
}

enum kt_status shelf_refuse(struct shelf *s, const struct scan_file *f, const uint8_t hash[32],
                            enum kt_doc_state state, const char *reason, struct kt_error *err)
{
    struct kt_doc_put put = {
        .path = f->path,
        .state = state,
        .reason = reason,
        .size = f->size,
        .mtime_ns = f->mtime_ns,
    };
    memcpy(put.hash, hash, sizeof(put.hash));
    enum kt_status st = kt_matter_put(s->matter, &put, err);
    if (is_beyond_bounds(st)) /* then there is the line in the report alone */
        st = KT_OK;
    if (!st && !shelf_report(s, state, f->path, reason))
        st = kt_fail(err, KT_E_NOMEM, "out of memory for the report");
    return st;
}

static enum kt_status put_one(struct shelf *s, const struct scan_file *f, const uint8_t hash[32],
                              const struct document *d, struct kt_error *err)
{
    struct kt_place *chunks = NULL, *blocks = NULL;
    size_t n_chunks = 0, bytes;
    float *vectors = NULL;
    struct kt_engine_info info = { 0 };

    enum kt_status st = chunk_document(&chunks, &n_chunks, d, err);
    if (!st) {
        blocks = calloc(d->n_blocks ? d->n_blocks : 1, sizeof(*blocks));
        if (!blocks)
            st = kt_fail(err, KT_E_NOMEM, "out of memory for %zu blocks", d->n_blocks);
    }
    for (size_t i = 0; !st && i < d->n_blocks; i++) {
        const struct block *b = &d->blocks[i];
        blocks[i] =
            (struct kt_place){ .start = b->start, .end = b->end, .page = b->page, .para = b->para };
        memcpy(blocks[i].box, b->box, sizeof(blocks[i].box));
    }
    if (!st && s->opts->embedder && n_chunks) {
        kt_engine_info(s->opts->embedder, &info);
        vectors = size_mul(&bytes, n_chunks, info.d_model * sizeof(float)) ? malloc(bytes) : NULL;
        st = vectors ? embed_chunks(s, d, chunks, n_chunks, vectors, info.d_model, err)
                     : kt_fail(err, KT_E_NOMEM, "out of memory for %zu vectors", n_chunks);
    }
    if (!st) {
        struct kt_doc_put put = {
            .path = f->path,
            .state = KT_DOC_INDEXED,
            .title = d->title,
            .format = doc_format_name(d->format),
            .size = f->size,
            .mtime_ns = f->mtime_ns,
            .n_pages = d->n_pages,
            .text = d->text,
            .text_len = d->text_len,
            .blocks = blocks,
            .n_blocks = d->n_blocks,
            .chunks = chunks,
            .n_chunks = n_chunks,
            .vectors = vectors,
            .dim = info.d_model,
        };
        memcpy(put.hash, hash, sizeof(put.hash));
        st = kt_matter_put(s->matter, &put, err);
    }
    if (is_beyond_bounds(st)) {
        char reason[KT_ERROR_TEXT_MAX];
        memcpy(reason, err->text, sizeof(reason));
        st = shelf_refuse(s, f, hash, KT_DOC_FAILED, reason, err);
    } else if (!st) {
        s->report->n_indexed++;
    }
    free(vectors);
    free(blocks);
    free(chunks);
    return st;
}

/* A refusal by the reader is the document's, everything else is the run's. */
bool shelf_is_refusal(enum kt_status st, enum kt_doc_state *state)
{
    *state = st == KT_E_UNSUPPORTED ? KT_DOC_SKIPPED : KT_DOC_FAILED;
    return st == KT_E_UNSUPPORTED || st == KT_E_FORMAT || st == KT_E_LIMIT || st == KT_E_TIMEOUT ||
           st == KT_E_NOTFOUND || st == KT_E_KEY || st == KT_E_IO;
}

/* ---- what is inside a document -------------------------------------------------------------- */

static enum kt_status put_parts(struct shelf *s, const struct scan_file *f,
                                const struct document *d, size_t depth, size_t *n_total,
                                struct kt_error *err);

static enum kt_status put_part(struct shelf *s, const struct scan_file *f,
                               const struct doc_part *part, size_t depth, size_t *n_total,
                               struct kt_error *err)
{
    struct document d = { 0 };
    struct extract_options xo = { .worker_path = s->opts->worker_path };
    enum kt_doc_state state;
    uint8_t hash[32];
    crypto_hash_sha256(hash, (const unsigned char *)part->ptr, part->len);
    if (depth > PART_DEPTH_MAX || ++*n_total > PARTS_TOTAL_MAX)
        return shelf_refuse(s, f, hash, KT_DOC_FAILED,
                            "too many files inside files; unpack them into a folder and add that",
                            err);
    if (part->len == 0)
        return shelf_refuse(s, f, hash, KT_DOC_SKIPPED, "the file is empty; nothing to index", err);
    uint64_t t0 = clock_now_ns();
    enum kt_status st = extract_memory(&d, f->path, part->ptr, part->len, &xo, err);
    log_event(LOG_INFO, "document.read", LOG_U64("bytes", part->len),
              LOG_U64("ms", (clock_now_ns() - t0) / 1000000),
              LOG_WORD("status", st ? "refused" : "ok"), LOG_END);
    if (shelf_is_refusal(st, &state)) {
        char reason[KT_ERROR_TEXT_MAX];
        memcpy(reason, err->text, sizeof(reason));
        return shelf_refuse(s, f, hash, state, reason, err);
    }
    if (!st)
        st = put_parts(s, f, &d, depth + 1, n_total, err);
    if (!st)
        st = put_one(s, f, hash, &d, err);
    document_deinit(&d);
    return st;
}

static enum kt_status put_parts(struct shelf *s, const struct scan_file *f,
                                const struct document *d, size_t depth, size_t *n_total,
                                struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < d->n_parts && !st; i++) {
        struct buf path = { 0 };
        buf_printf(&path, "%s/%s", f->path, d->parts[i].name);
        if (path.failed)
            st = kt_fail(err, KT_E_NOMEM, "out of memory for a path");
        struct scan_file inside = { .path = path.ptr,
                                    .size = (int64_t)d->parts[i].len,
                                    .mtime_ns = f->mtime_ns };
        if (!st)
            st = put_part(s, &inside, &d->parts[i], depth, n_total, err);
        buf_deinit(&path);
    }
    return st;
}

enum kt_status shelf_put(struct shelf *s, const struct scan_file *f, const uint8_t hash[32],
                         const struct document *d, struct kt_error *err)
{
    size_t n_total = 0;
    enum kt_status st = put_parts(s, f, d, 1, &n_total, err);
    return st ? st : put_one(s, f, hash, d, err);
}
