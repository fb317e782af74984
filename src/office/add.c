/* Index a folder: find out what is new, read it in a sandbox, cut it, embed it, store it.
 *
 *   file -- same size and time as stored --------------> unchanged   (one stat)
 *     | hash it
 *     |-- same content as stored here -----------------> unchanged   (new time noted)
 *     |-- same content as a stored file that is gone --> renamed     (nothing read)
 *     '-- extract -- ok -- put (shelf.c) --------------> indexed     (vectors of passages it had before are taken over)
 *            '-- refused -- put reason ------------------> skipped or failed
 *
 * Files inside a file (attachments, archives) are documents of their own, at paths below the file's: "a.eml/b.pdf". They
 * come and go with it: a file that is unchanged has unchanged parts, one that is read again loses the old ones first, and
 * they are put before it, so that a run which is killed between finds the file new again.
 *
 * Every document is one transaction of the store, so the run can be killed anywhere and started again: what
 * was put is then "unchanged". A file that failed is tried again in the next run, because its reasons (a
 * timeout, memory) may be gone; one that was skipped is not, until it changes. */
#include "kontor/office.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/size.h"
#include "extract/extract.h"
#include "office/reuse.h"
#include "office/scan.h"
#include "office/shelf.h"

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
    struct shelf shelf;
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

/* The parts of the file at 'path': those that stand below it, which lie together. */
static struct known_doc *known_parts(const struct known *k, const char *path, size_t *n)
{
    size_t len = strlen(path), lo = 0, hi = k->n;
    while (lo < hi) { /* the first that is not before "path/" */
        size_t mid = lo + (hi - lo) / 2;
        int c = strncmp(k->docs[mid].path, path, len);
        if (c < 0 || (c == 0 && (unsigned char)k->docs[mid].path[len] < '/'))
            lo = mid + 1;
        else
            hi = mid;
    }
    *n = 0;
    while (lo + *n < k->n && strncmp(k->docs[lo + *n].path, path, len) == 0 &&
           k->docs[lo + *n].path[len] == '/')
        ++*n;
    return k->docs + lo;
}

static void known_deinit(struct known *k)
{
    for (size_t i = 0; i < k->n; i++) {
        free(k->docs[i].path);
        free(k->docs[i].reason);
    }
    free(k->docs);
}

static enum kt_status hash_file(uint8_t out[32], const char *path, struct kt_error *err)
{
    char hex[65];
    enum kt_status st = file_sha256(hex, path, err);
    if (!st)
        sodium_hex2bin(out, 32, hex, 64, NULL, NULL, NULL);
    return st;
}

/* Those of an earlier content of the file. */
static enum kt_status remove_parts(struct job *j, const char *path, struct kt_error *err)
{
    size_t n;
    known_parts(&j->known, path, &n);
    return n ? kt_matter_remove_deferred(j->shelf.matter, path, &n, err) : KT_OK;
}

static enum kt_status read_and_store(struct job *j, const struct scan_file *f,
                                     const uint8_t hash[32], struct kt_error *err)
{
    struct document d = { 0 };
    struct extract_options xo = { .worker_path = j->shelf.opts->worker_path };
    enum kt_doc_state state;
    uint64_t t0 = clock_now_ns();
    const char *source = j->source ? j->source : f->path;
    enum kt_status st = extract_file(&d, source, &xo, err);
    log_event(LOG_INFO, "document.read", LOG_U64("bytes", (uint64_t)f->size),
              LOG_U64("ms", (clock_now_ns() - t0) / 1000000),
              LOG_WORD("status", st ? "refused" : "ok"), LOG_END);
    bool refused = shelf_is_refusal(st, &state);
    if (!st || refused) {
        struct kt_error why = *err;
        enum kt_status removed = remove_parts(j, f->path, err);
        if (removed) {
            document_deinit(&d);
            return removed;
        }
        *err = why;
    }
    if (refused) {
        char reason[KT_ERROR_TEXT_MAX];
        memcpy(reason, err->text, sizeof(reason));
        return shelf_refuse(&j->shelf, f, hash, state, reason, err);
    }
    if (st)
        return st;

    /* Was it written to while we read? Then what we have may be half old, half new. */
    uint8_t again[32];
    st = hash_file(again, source, err);
    if (st || memcmp(again, hash, sizeof(again)) != 0) {
        document_deinit(&d);
        return shelf_refuse(
            &j->shelf, f, hash, KT_DOC_FAILED,
            "the file changed while it was being read; add it again when it is at rest", err);
    }
    st = d.n_blocks ? shelf_put(&j->shelf, f, hash, &d, err)
                    : shelf_refuse(&j->shelf, f, hash, KT_DOC_SKIPPED, "the file has no text", err);
    document_deinit(&d);
    return st;
}

static enum kt_status read_and_put(struct job *j, const struct scan_file *f, const uint8_t hash[32],
                                   struct kt_error *err)
{
    enum kt_status st = j->shelf.opts->embedder && known_find(&j->known, f->path)
                            ? reuse_collect(&j->shelf.reuse, j->shelf.matter, f->path, err)
                            : KT_OK;
    if (!st)
        st = read_and_store(j, f, hash, err);
    reuse_destroy(j->shelf.reuse);
    j->shelf.reuse = NULL;
    return st;
}

static enum kt_status count_unchanged(struct job *j, const struct known_doc *k,
                                      struct kt_error *err)
{
    if (k->state == KT_DOC_INDEXED)
        j->shelf.report->n_unchanged++;
    else if (!shelf_report(&j->shelf, k->state, k->path, k->reason))
        return kt_fail(err, KT_E_NOMEM, "out of memory for the report");
    return KT_OK;
}

/* With its parts: one that failed is not tried again before the file changes. */
static enum kt_status unchanged(struct job *j, const struct known_doc *k, struct kt_error *err)
{
    size_t n;
    const struct known_doc *parts = known_parts(&j->known, k->path, &n);
    enum kt_status st = count_unchanged(j, k, err);
    for (size_t i = 0; i < n && !st; i++)
        st = count_unchanged(j, &parts[i], err);
    return st;
}

/* fn for each folder that 'path' lies in, the nearest first, until it says true. Does what it says; 'otherwise' when memory
 * is short. */
typedef bool (*above_fn)(const void *ctx, const char *folder);
static bool any_above(const char *path, above_fn fn, const void *ctx, bool otherwise)
{
    char *above = strdup(path);
    bool found = !above && otherwise;
    for (char *slash; above && !found && (slash = strrchr(above, '/')) && slash != above;) {
        *slash = '\0';
        found = fn(ctx, above);
    }
    free(above);
    return found;
}

static bool is_a_file(const void *ctx, const char *path)
{
    (void)ctx;
    struct stat sb;
    return stat(path, &sb) == 0 && !S_ISDIR(sb.st_mode);
}

/* Is what was at 'path' no longer there? A part is there as long as the file is that it stands in. */
static bool is_missing(const char *path)
{
    return !file_exists(path) && !any_above(path, is_a_file, NULL, true);
}

struct moving {
    struct known parts;
    const char *from;
};

static bool remember_part(void *ctx, const struct kt_doc_info *d)
{
    struct moving *m = ctx;
    return strcmp(d->path, m->from) == 0 || remember(&m->parts, d);
}

/* What stands below 'from' now stands below f's path. The store is asked, since 'from' may lie outside of what was named. */
static enum kt_status rename_parts(struct job *j, const char *from, const struct scan_file *f,
                                   struct kt_error *err)
{
    struct moving m = { .from = from };
    enum kt_status st = kt_matter_each(j->shelf.matter, from, remember_part, &m, err);
    if (!st && m.parts.failed)
        st = kt_fail(err, KT_E_NOMEM, "out of memory for the list of known files");
    for (size_t i = 0; i < m.parts.n && !st; i++) {
        const struct known_doc *k = &m.parts.docs[i];
        struct buf to = { 0 };
        buf_printf(&to, "%s%s", f->path, k->path + strlen(from));
        st = to.failed
                 ? kt_fail(err, KT_E_NOMEM, "out of memory for a path")
                 : kt_matter_rename(j->shelf.matter, k->path, to.ptr, k->size, f->mtime_ns, err);
        buf_deinit(&to);
    }
    known_deinit(&m.parts);
    return st;
}

/* The path of a stored document with this content whose file is gone; heap, *from NULL: there is none. */
static enum kt_status find_moved(struct job *j, const char *path, const uint8_t hash[32],
                                 char **from, struct kt_error *err)
{
    struct kt_doc_info d = { 0 };
    *from = NULL;
    enum kt_status st = kt_matter_find_hash(j->shelf.matter, hash, &d, err);
    if (st)
        return st == KT_E_NOTFOUND ? KT_OK : st;
    const char *found = strcmp(d.path, path) != 0 && is_missing(d.path) ? d.path : NULL;
    for (size_t i = 0; i < j->known.n && !found;
         i++) { /* the same content may stand in several places */
        const struct known_doc *k = &j->known.docs[i];
        if (k->state == KT_DOC_INDEXED && memcmp(k->hash, hash, 32) == 0 &&
            strcmp(k->path, path) != 0 && is_missing(k->path))
            found = k->path;
    }
    if (found && !(*from = strdup(found)))
        st = kt_fail(err, KT_E_NOMEM, "out of memory for a path");
    kt_doc_info_deinit(&d);
    return st;
}

static enum kt_status rename_if_moved(struct job *j, const struct scan_file *f,
                                      const uint8_t hash[32], bool *moved, struct kt_error *err)
{
    char *from;
    *moved = false;
    enum kt_status st = find_moved(j, f->path, hash, &from, err);
    if (!st && from) {
        st = rename_parts(j, from, f, err);
        if (!st)
            st = kt_matter_rename(j->shelf.matter, from, f->path, f->size, f->mtime_ns, err);
        if (st == KT_E_NOTFOUND) /* it was known when the run began, and has moved since */
            st = KT_OK;
        else
            *moved = !st;
        j->shelf.report->n_renamed += *moved;
    }
    free(from);
    return st;
}

static bool lacks_some_vectors(const struct job *j, const struct known_doc *k)
{
    size_t n;
    const struct known_doc *parts = known_parts(&j->known, k->path, &n);
    bool lacks = k->state == KT_DOC_INDEXED && !k->has_vectors;
    for (size_t i = 0; i < n && !lacks; i++)
        lacks = parts[i].state == KT_DOC_INDEXED && !parts[i].has_vectors;
    return lacks;
}

/* Being written just now? A time in the future is a clock that goes wrong, not a file at work. */
static bool is_settling(const struct job *j, const struct scan_file *f)
{
    int64_t age_ms = ((int64_t)clock_unix_ms() - f->mtime_ns / 1000000);
    return j->shelf.opts->settle_ms && age_ms >= 0 && age_ms < (int64_t)j->shelf.opts->settle_ms;
}

/* It was there when the folder was listed; the next run takes it out if it was known. */
static bool has_vanished(const struct scan_file *f)
{
    struct stat sb;
    return lstat(f->path, &sb) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

static enum kt_status add_unknown(struct job *j, const struct scan_file *f,
                                  const struct known_doc *k, size_t *outcome, struct kt_error *err)
{
    struct kt_add_report *r = j->shelf.report;
    size_t skipped = r->n_skipped, failed = r->n_failed;
    uint8_t hash[32];
    bool moved = false;
    enum kt_status st = hash_file(hash, f->path, err);
    if (st && has_vanished(f)) {
        r->files.vanished++;
        return KT_OK;
    }
    if (st) {
        char reason[KT_ERROR_TEXT_MAX];
        memcpy(reason, err->text, sizeof(reason));
        memset(hash, 0, sizeof(hash));
        r->files.failed++;
        return shelf_refuse(&j->shelf, f, hash, KT_DOC_FAILED, reason, err);
    }
    if (k && memcmp(k->hash, hash, sizeof(hash)) == 0) {
        st = kt_matter_rename(j->shelf.matter, f->path, f->path, f->size, f->mtime_ns, err);
        ++*outcome;
        return st ? st : unchanged(j, k, err);
    }
    if (!k)
        st = rename_if_moved(j, f, hash, &moved, err);
    if (st || moved) {
        r->files.renamed += moved;
        return st;
    }
    st = read_and_put(j, f, hash, err);
    /* the file's own line comes after those of what is inside it */
    if (r->n_failed > failed && strcmp(r->failed[r->n_failed - 1].path, f->path) == 0)
        r->files.failed++;
    else if (r->n_skipped > skipped && strcmp(r->skipped[r->n_skipped - 1].path, f->path) == 0)
        r->files.skipped++;
    else
        r->files.indexed++;
    return st;
}

static enum kt_status add_one(struct job *j, const struct scan_file *f, struct kt_error *err)
{
    struct kt_add_files *n = &j->shelf.report->files;
    struct known_doc *k = known_find(&j->known, f->path);
    bool lacks_vectors = k && j->shelf.opts->embedder && lacks_some_vectors(j, k);
    bool again =
        k && ((k->state == KT_DOC_FAILED && !j->shelf.opts->leave_failed) || lacks_vectors);
    size_t as_stored = 0;
    enum kt_status st;
    if (k && !again && k->size == f->size && k->mtime_ns == f->mtime_ns) {
        as_stored = 1;
        st = unchanged(j, k, err);
    } else if (is_settling(j, f)) {
        n->waiting++;
        return KT_OK;
    } else {
        st = add_unknown(j, f, again ? NULL : k, &as_stored, err);
    }
    if (k && as_stored) {
        n->unchanged += k->state == KT_DOC_INDEXED;
        n->skipped += k->state == KT_DOC_SKIPPED;
        n->failed += k->state == KT_DOC_FAILED;
    }
    return st;
}

static bool was_found(const void *ctx, const char *path)
{
    const struct job *j = ctx;
    return scan_find(&j->scan, path) != NULL;
}

/* A document whose file is gone from a folder we could read completely. A folder that is suddenly
 * empty is more likely a share that is not mounted: then nothing is removed. */
static bool is_gone(const struct job *j, const char *path)
{
    /* a part comes and goes with its file; short of memory, nothing is removed */
    if (scan_find(&j->scan, path) || any_above(path, was_found, j, true))
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

/* How many documents the index has of a root. */
static size_t known_below(const struct job *j, const char *root)
{
    size_t n = 0, len = strlen(root);
    for (size_t i = 0; i < j->known.n; i++)
        n += strncmp(j->known.docs[i].path, root, len) == 0;
    return n;
}

/* A folder that was full and has nothing now is said, since nothing is taken out. */
static enum kt_status report_empty_roots(struct job *j, struct kt_error *err)
{
    for (size_t i = 0; i < j->scan.n_roots; i++) {
        const struct scan_root *r = &j->scan.roots[i];
        size_t n = r->is_folder && r->complete && r->n_files == 0 ? known_below(j, r->path) : 0;
        char why[KT_ERROR_TEXT_MAX];
        if (n == 0)
            continue;
        snprintf(why, sizeof(why),
                 "the folder is empty, but the index has %zu documents of it, which were kept; "
                 "connect the share, or take them out with `kontor remove`",
                 n);
        if (!shelf_report(&j->shelf, KT_DOC_FAILED, r->path, why))
            return kt_fail(err, KT_E_NOMEM, "out of memory for the report");
    }
    return KT_OK;
}

static enum kt_status report_scan(struct job *j, struct kt_error *err)
{
    const struct scan *s = &j->scan;
    bool ok = true;
    for (size_t i = 0; ok && i < s->n_left_out; i++)
        ok = shelf_left_out(&j->shelf, s->left_out[i].path, s->left_out[i].reason);
    for (size_t i = 0; ok && i < s->n_unreadable; i++)
        ok = shelf_report(&j->shelf, KT_DOC_FAILED, s->unreadable[i],
                          "the folder cannot be read; check its permissions");
    j->shelf.report->files.left_out = s->n_left_out;
    j->shelf.report->files.failed += s->n_unreadable;
    return ok ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory for the report");
}

static enum kt_status remove_gone(struct job *j, struct kt_error *err)
{
    for (size_t i = 0; i < j->known.n; i++) {
        const char *path = j->known.docs[i].path;
        struct kt_doc_info d = { 0 };
        if (!is_gone(j, path))
            continue;
        enum kt_status st =
            kt_matter_find(j->shelf.matter, path, &d, err); /* it may have been renamed meanwhile */
        if (st == KT_E_NOTFOUND)
            continue;
        kt_doc_info_deinit(&d);
        size_t n = 0;
        if (!st)
            st = kt_matter_remove_deferred(j->shelf.matter, path, &n, err);
        if (st)
            return st;
        j->shelf.report->n_removed += n;
    }
    return KT_OK;
}

/* Another embedding model than last time: its vectors do not mix with the old ones, so the store
 * drops those, and each document is embedded afresh as it is added again. Must come before the list
 * of known documents is made: that says which have vectors. */
static enum kt_status check_embedder(struct job *j, struct kt_error *err)
{
    char stored[65];
    if (!j->shelf.opts->embedder)
        return KT_OK;
    enum kt_status st = kt_matter_embedder(j->shelf.matter, stored, err);
    if (st || strcmp(stored, j->shelf.opts->embedder_id) == 0)
        return st;
    return kt_matter_set_embedder(j->shelf.matter, j->shelf.opts->embedder_id, err);
}

/* What is stored at and below 'path' is known from now on. */
static enum kt_status know(struct job *j, const char *path, struct kt_error *err)
{
    enum kt_status st = kt_matter_each(j->shelf.matter, path, remember, &j->known, err);
    if (!st && j->known.failed)
        st = kt_fail(err, KT_E_NOMEM, "out of memory for the list of known files");
    if (j->known.n)
        qsort(j->known.docs, j->known.n, sizeof(*j->known.docs), by_path);
    return st;
}

static enum kt_status run(struct job *j, struct kt_error *err)
{
    enum kt_status st = check_embedder(j, err);
    for (size_t i = 0; i < j->scan.n_roots && !st; i++)
        st = know(j, j->scan.roots[i].path, err);

    j->shelf.report->files.on_disk = j->scan.n_files + j->scan.n_left_out + j->scan.n_unreadable;
    const struct kt_add_options *o = j->shelf.opts;
    for (size_t i = 0; !st && i < j->scan.n_files; i++) {
        if (o->on_progress && !o->on_progress(o->ctx, i, j->scan.n_files, j->scan.files[i].path))
            return kt_fail(err, KT_E_CANCELLED,
                           "stopped after %zu of %zu files; add again to go on", i,
                           j->scan.n_files);
        st = add_one(j, &j->scan.files[i], err);
    }
    if (!st)
        st = report_scan(j, err);
    if (!st)
        st = report_empty_roots(j, err);
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
    struct job j = { .shelf = { m, opts, out, NULL } };
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
    struct job j = { .shelf = { m, opts, out, NULL }, .source = source };
    struct stat sb;
    uint8_t hash[32];
    enum kt_status st = check_embedder(&j, err);
    if (!st)
        st = know(&j, path, err); /* the parts it had */
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
    known_deinit(&j.known);
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
    items_free(r->left_out, r->n_left_out);
    *r = (struct kt_add_report){ 0 };
}
