/* Index a folder: find out what is new, read it in a sandbox, cut it, embed it, store it.
 *
 *   file -- same size and time as stored --------------> unchanged   (one stat)
 *     | hash it
 *     |-- same content as stored here -----------------> unchanged   (new time noted)
 *     |-- same content as a stored file that is gone --> renamed     (nothing read)
 *     '-- extract -- ok -- chunk -- embed -- put ------> indexed
 *            '-- refused ----------------- put reason -> skipped or failed
 *
 * Every document is one transaction of the store, so the run can be killed anywhere and started again: what
 * was put is then "unchanged". A file that failed is tried again in the next run, because its reasons (a
 * timeout, memory) may be gone; one that was skipped is not, until it changes. */
#include "kontor/office.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/size.h"
#include "extract/extract.h"
#include "office/chunk.h"
#include "office/scan.h"

enum { EMBED_BATCH = 16 };

/* What the store knows of the files below the named paths, sorted by path. */
struct known {
    struct known_doc {
        char *path;
        int64_t size, mtime_ns;
        enum kt_doc_state state;
        bool has_vectors;
        uint8_t hash[32];
        char *reason;
    } * docs;
    size_t n, cap;
    bool failed;
};

struct job {
    struct kt_matter *matter;
    const struct kt_add_options *opts;
    struct kt_add_report *report;
    struct known known;
    struct scan scan;
    const char *source; /* where the bytes are, when that is not the document's path */
};

static bool remember(void *ctx, const struct kt_doc_info *d)
{
    struct known *k = ctx;
    if (k->n == k->cap) {
        size_t cap = k->cap ? k->cap * 2 : 64, bytes;
        struct known_doc *p = size_mul(&bytes, cap, sizeof(*p)) ? realloc(k->docs, bytes) : NULL;
        if (!p) {
            k->failed = true;
            return false;
        }
        k->docs = p;
        k->cap = cap;
    }
    struct known_doc *doc = &k->docs[k->n];
    *doc = (struct known_doc){
        .path = strdup(d->path),
        .size = d->size,
        .mtime_ns = d->mtime_ns,
        .state = d->state,
        .has_vectors = d->has_vectors || d->n_chunks == 0,
        .reason = d->reason ? strdup(d->reason) : NULL,
    };
    memcpy(doc->hash, d->hash, sizeof(doc->hash));
    k->failed |= !doc->path || (d->reason && !doc->reason);
    k->n++;
    return !k->failed;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct known_doc *)a)->path, ((const struct known_doc *)b)->path);
}

static struct known_doc *known_find(const struct known *k, const char *path)
{
    struct known_doc key = { .path = (char *)(uintptr_t)path };
    return k->n ? bsearch(&key, k->docs, k->n, sizeof(*k->docs), by_path) : NULL;
}

static void known_deinit(struct known *k)
{
    for (size_t i = 0; i < k->n; i++) {
        free(k->docs[i].path);
        free(k->docs[i].reason);
    }
    free(k->docs);
}

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

static bool report_refused(struct kt_add_report *r, enum kt_doc_state state, const char *path,
                           const char *reason)
{
    return state == KT_DOC_SKIPPED ? report_item(&r->skipped, &r->n_skipped, path, reason)
                                   : report_item(&r->failed, &r->n_failed, path, reason);
}

static enum kt_status hash_file(uint8_t out[32], const char *path, struct kt_error *err)
{
    char hex[65];
    enum kt_status st = file_sha256(hex, path, err);
    if (!st)
        sodium_hex2bin(out, 32, hex, 64, NULL, NULL, NULL);
    return st;
}

/* What the embedding model reads for a chunk: the document's title before it, so that a passage in
 * the middle of a contract still says which contract. */
static char *embed_text(const struct document *d, const struct kt_place *c)
{
    struct buf b = { 0 };
    if (d->title && d->title[0]) {
        buf_append_str(&b, d->title);
        buf_append_char(&b, '\n');
    }
    buf_append(&b, d->text + c->start, c->end - c->start);
    return buf_take(&b);
}

static enum kt_status embed_chunks(struct job *j, const struct document *d,
                                   const struct kt_place *chunks, size_t n, float *vectors,
                                   size_t dim, struct kt_error *err)
{
    for (size_t i = 0; i < n; i += EMBED_BATCH) {
        size_t batch = MIN((size_t)EMBED_BATCH, n - i);
        char *texts[EMBED_BATCH] = { 0 };
        enum kt_status st = KT_OK;
        for (size_t b = 0; b < batch && !st; b++) {
            texts[b] = embed_text(d, &chunks[i + b]);
            if (!texts[b])
                st = kt_fail(err, KT_E_NOMEM, "out of memory while embedding");
        }
        if (!st)
            st = kt_embed(j->opts->embedder, (const char *const *)texts, batch, vectors + i * dim,
                          err);
        for (size_t b = 0; b < batch; b++)
            free(texts[b]);
        if (st)
            return st;
    }
    j->report->n_chunks_embedded += n;
    return KT_OK;
}

static enum kt_status put_refused(struct job *j, const struct scan_file *f, const uint8_t hash[32],
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
    enum kt_status st = kt_matter_put(j->matter, &put, err);
    if (!st && !report_refused(j->report, state, f->path, reason))
        st = kt_fail(err, KT_E_NOMEM, "out of memory for the report");
    return st;
}

static enum kt_status put_document(struct job *j, const struct scan_file *f, const uint8_t hash[32],
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
    if (!st && j->opts->embedder && n_chunks) {
        kt_engine_info(j->opts->embedder, &info);
        vectors = size_mul(&bytes, n_chunks, info.d_model * sizeof(float)) ? malloc(bytes) : NULL;
        st = vectors ? embed_chunks(j, d, chunks, n_chunks, vectors, info.d_model, err)
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
        st = kt_matter_put(j->matter, &put, err);
    }
    if (!st)
        j->report->n_indexed++;
    free(vectors);
    free(blocks);
    free(chunks);
    return st;
}

/* A refusal by the reader is the document's, everything else is the run's. */
static bool is_refusal(enum kt_status st, enum kt_doc_state *state)
{
    *state = st == KT_E_UNSUPPORTED ? KT_DOC_SKIPPED : KT_DOC_FAILED;
    return st == KT_E_UNSUPPORTED || st == KT_E_FORMAT || st == KT_E_LIMIT || st == KT_E_TIMEOUT ||
           st == KT_E_NOTFOUND || st == KT_E_KEY || st == KT_E_IO;
}

static enum kt_status read_and_put(struct job *j, const struct scan_file *f, const uint8_t hash[32],
                                   struct kt_error *err)
{
    struct document d = { 0 };
    struct extract_options xo = { .worker_path = j->opts->worker_path };
    enum kt_doc_state state;
    uint64_t t0 = clock_now_ns();
    const char *source = j->source ? j->source : f->path;
    enum kt_status st = extract_file(&d, source, &xo, err);
    log_event(LOG_INFO, "document.read", LOG_U64("bytes", (uint64_t)f->size),
              LOG_U64("ms", (clock_now_ns() - t0) / 1000000),
              LOG_WORD("status", st ? "refused" : "ok"), LOG_END);
    if (is_refusal(st, &state)) {
        char reason[KT_ERROR_TEXT_MAX];
        memcpy(reason, err->text, sizeof(reason));
        return put_refused(j, f, hash, state, reason, err);
    }
    if (st)
        return st;

    /* Was it written to while we read? Then what we have may be half old, half new. */
    uint8_t again[32];
    st = hash_file(again, source, err);
    if (st || memcmp(again, hash, sizeof(again)) != 0) {
        document_deinit(&d);
        return put_refused(
            j, f, hash, KT_DOC_FAILED,
            "the file changed while it was being read; add it again when it is at rest", err);
    }
    st = d.n_blocks ? put_document(j, f, hash, &d, err)
                    : put_refused(j, f, hash, KT_DOC_SKIPPED, "the file has no text", err);
    document_deinit(&d);
    return st;
}

static enum kt_status unchanged(struct job *j, const struct known_doc *k, struct kt_error *err)
{
    if (k->state == KT_DOC_SKIPPED && !report_refused(j->report, k->state, k->path, k->reason))
        return kt_fail(err, KT_E_NOMEM, "out of memory for the report");
    if (k->state == KT_DOC_INDEXED)
        j->report->n_unchanged++;
    return KT_OK;
}

static enum kt_status rename_if_moved(struct job *j, const struct scan_file *f,
                                      const uint8_t hash[32], bool *moved, struct kt_error *err)
{
    struct kt_doc_info d = { 0 };
    *moved = false;
    enum kt_status st = kt_matter_find_hash(j->matter, hash, &d, err);
    if (st == KT_E_NOTFOUND)
        return KT_OK;
    if (!st && d.path && strcmp(d.path, f->path) != 0 && !file_exists(d.path)) {
        st = kt_matter_rename(j->matter, d.path, f->path, f->size, f->mtime_ns, err);
        *moved = !st;
        j->report->n_renamed += !st;
    }
    kt_doc_info_deinit(&d);
    return st;
}

static enum kt_status add_one(struct job *j, const struct scan_file *f, struct kt_error *err)
{
    struct known_doc *k = known_find(&j->known, f->path);
    bool lacks_vectors = k && k->state == KT_DOC_INDEXED && j->opts->embedder && !k->has_vectors;
    if (k && (k->state == KT_DOC_FAILED || lacks_vectors))
        k = NULL; /* as if it were new */
    if (k && k->size == f->size && k->mtime_ns == f->mtime_ns)
        return unchanged(j, k, err);

    uint8_t hash[32];
    enum kt_status st = hash_file(hash, f->path, err);
    if (st) {
        char reason[KT_ERROR_TEXT_MAX];
        memcpy(reason, err->text, sizeof(reason));
        memset(hash, 0, sizeof(hash));
        return put_refused(j, f, hash, KT_DOC_FAILED, reason, err);
    }
    if (k && memcmp(k->hash, hash, sizeof(hash)) == 0) {
        st = kt_matter_rename(j->matter, f->path, f->path, f->size, f->mtime_ns, err);
        return st ? st : unchanged(j, k, err);
    }
    bool moved = false;
    if (!k)
        st = rename_if_moved(j, f, hash, &moved, err);
    return st || moved ? st : read_and_put(j, f, hash, err);
}

/* A document whose file is gone from a folder we could read completely. A folder that is suddenly
 * empty is more likely a share that is not mounted: then nothing is removed. */
static bool is_gone(const struct job *j, const char *path)
{
    if (scan_find(&j->scan, path))
        return false;
    for (size_t i = 0; i < j->scan.n_roots; i++) {
        const struct scan_root *r = &j->scan.roots[i];
        size_t len = strlen(r->path);
        bool inside = strncmp(path, r->path, len) == 0 && (path[len] == '/' || len == 1);
        if (r->is_folder && inside)
            return r->complete && r->n_files > 0 && !file_exists(path);
    }
    return false;
}

static enum kt_status remove_gone(struct job *j, struct kt_error *err)
{
    for (size_t i = 0; i < j->known.n; i++) {
        const char *path = j->known.docs[i].path;
        struct kt_doc_info d = { 0 };
        if (!is_gone(j, path))
            continue;
        enum kt_status st =
            kt_matter_find(j->matter, path, &d, err); /* it may have been renamed meanwhile */
        if (st == KT_E_NOTFOUND)
            continue;
        kt_doc_info_deinit(&d);
        size_t n = 0;
        if (!st)
            st = kt_matter_remove_deferred(j->matter, path, &n, err);
        if (st)
            return st;
        j->report->n_removed += n;
    }
    return KT_OK;
}

/* Another embedding model than last time: its vectors do not mix with the old ones, so the store
 * drops those, and each document is embedded afresh as it is added again. Must come before the list
 * of known documents is made: that says which have vectors. */
static enum kt_status check_embedder(struct job *j, struct kt_error *err)
{
    char stored[65];
    if (!j->opts->embedder)
        return KT_OK;
    enum kt_status st = kt_matter_embedder(j->matter, stored, err);
    if (st || strcmp(stored, j->opts->embedder_id) == 0)
        return st;
    return kt_matter_set_embedder(j->matter, j->opts->embedder_id, err);
}

static enum kt_status run(struct job *j, struct kt_error *err)
{
    enum kt_status st = check_embedder(j, err);
    for (size_t i = 0; i < j->scan.n_roots && !st; i++) {
        st = kt_matter_each(j->matter, j->scan.roots[i].path, remember, &j->known, err);
        if (!st && j->known.failed)
            st = kt_fail(err, KT_E_NOMEM, "out of memory for the list of known files");
    }
    if (j->known.n)
        qsort(j->known.docs, j->known.n, sizeof(*j->known.docs), by_path);

    const struct kt_add_options *o = j->opts;
    for (size_t i = 0; !st && i < j->scan.n_files; i++) {
        if (o->on_progress && !o->on_progress(o->ctx, i, j->scan.n_files, j->scan.files[i].path))
            return kt_fail(err, KT_E_CANCELLED,
                           "stopped after %zu of %zu files; add again to go on", i,
                           j->scan.n_files);
        st = add_one(j, &j->scan.files[i], err);
    }
    for (size_t i = 0; !st && i < j->scan.n_unreadable; i++) {
        if (!report_item(&j->report->failed, &j->report->n_failed, j->scan.unreadable[i],
                         "the folder cannot be read; check its permissions"))
            st = kt_fail(err, KT_E_NOMEM, "out of memory for the report");
    }
    if (!st)
        st = remove_gone(j, err);
    if (!st && o->on_progress)
        o->on_progress(o->ctx, j->scan.n_files, j->scan.n_files, "");
    return st;
}

enum kt_status kt_office_add(struct kt_matter *m, const char *const *paths, size_t n_paths,
                             const struct kt_add_options *opts, struct kt_add_report *out,
                             struct kt_error *err)
{
    *out = (struct kt_add_report){ 0 };
    struct job j = { .matter = m, .opts = opts, .report = out };
    enum kt_status st = scan_paths(&j.scan, paths, n_paths, err);
    if (!st)
        st = run(&j, err);
    known_deinit(&j.known);
    scan_deinit(&j.scan);
    if (st && st != KT_E_CANCELLED)
        kt_add_report_deinit(out);
    return st;
}

enum kt_status kt_office_put(struct kt_matter *m, const char *path, const char *source,
                             const struct kt_add_options *opts, struct kt_add_report *out,
                             struct kt_error *err)
{
    *out = (struct kt_add_report){ 0 };
    struct job j = { .matter = m, .opts = opts, .report = out, .source = source };
    struct stat sb;
    uint8_t hash[32];
    enum kt_status st = check_embedder(&j, err);
    if (!st && stat(source, &sb))
        st = kt_fail_errno(err, errno, "%s: cannot be read", source);
    if (!st)
        st = hash_file(hash, source, err);
    if (!st) {
        struct timespec t = sb.st_mtim;
        struct scan_file f = { .path = (char *)(uintptr_t)path,
                               .size = sb.st_size,
                               .mtime_ns = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec };
        st = read_and_put(&j, &f, hash, err);
    }
    if (st)
        kt_add_report_deinit(out);
    return st;
}

static void items_free(struct kt_add_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free((char *)(uintptr_t)items[i].path);
        free((char *)(uintptr_t)items[i].reason);
    }
    free(items);
}

void kt_add_report_deinit(struct kt_add_report *r)
{
    items_free(r->skipped, r->n_skipped);
    items_free(r->failed, r->n_failed);
    *r = (struct kt_add_report){ 0 };
}
