/* Fetching one file of a model.
 *
 *   fetch_ask()  HEAD at the hub: size, SHA-256, commit. Compared with the catalogue and with what an
 *                earlier run was promised; a file that changed since is begun anew. (ask.c)
 *   receive()    GET at the hub, along the redirects to whoever sends the bytes, into X.part.
 *   finish()     whole and of the promised hash: its own name. Otherwise deleted.
 *
 * Every attempt begins at the hub, so a signed link that has expired is simply replaced. Attempts
 * end when HUB_ATTEMPTS_MAX of them in a row brought nothing new; as long as bytes arrive, they go
 * on.
 *
 * What an interrupted part is worth: bytes that were flushed to the medium (state.json says how
 * many; every 64 MB and at each orderly end), and while the same kernel runs, all of them. They are
 * hashed again from the disk, so that the final hash is of what lies there and not of what was once
 * received. Going on asks "If-Range: ETAG"; a sender that answers with the whole file has another
 * one, unless the hub's own SHA-256 says that it is the same content behind another ETag: then one
 * more request goes without the condition, and the hash judges. */
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "hub/jread.h"
#include "hub/limits.h"
#include "hub/fetch_priv.h"

enum { PAUSE_MS = 1000, PAUSE_MAX_MS = 60000 };

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

/* ---- the part ---- */

enum kt_status fetch_part_error(const struct fetch *f, int errnum, struct kt_error *err)
{
    if (errnum == ENOSPC || errnum == EDQUOT || errnum == EFBIG)
        return kt_fail(err, KT_E_NOSPACE,
                       "%s: no room for more than %llu bytes; free some and give the same command "
                       "again, it goes on from there",
                       f->want->as, (unsigned long long)f->at);
    return kt_fail_errno(err, errnum, "%s: cannot write", f->part);
}

/* The bytes that are certainly on the medium. */
static enum kt_status sync_part(struct fetch *f, struct kt_error *err)
{
    if (fdatasync(f->fd) != 0)
        return fetch_part_error(f, errno, err);
    f->s->synced = f->at;
    return puller_save(f->p, err);
}

static enum kt_status reset_hasher(struct fetch *f, struct kt_error *err)
{
    hasher_destroy(f->hasher);
    f->hasher = hasher_create(f->git_id[0] ? f->s->bytes : UINT64_MAX);
    return f->hasher ? KT_OK : no_memory(err);
}

enum kt_status fetch_begin_anew(struct fetch *f, struct kt_error *err)
{
    f->at = f->s->synced = 0;
    f->s->etag[0] = '\0';
    f->from_before = false;
    f->plain_range = false;
    if (ftruncate(f->fd, 0) != 0 || lseek(f->fd, 0, SEEK_SET) != 0)
        return fetch_part_error(f, errno, err);
    return reset_hasher(f, err);
}

static void show(const struct fetch *f, uint64_t at, bool checking)
{
    const struct puller *p = f->p;
    if (!p->o->progress)
        return;
    struct pull_progress g = { .file = f->want->as,
                               .file_idx = f->idx,
                               .n_files = f->build->n_files,
                               .done = p->done_before + at,
                               .total = puller_total(p),
                               .checking = checking };
    p->o->progress(p->o->ctx, &g);
}

static bool watch_hashing(void *ctx, uint64_t more)
{
    struct fetch *f = ctx;
    f->at += more;
    show(f, f->at, true);
    return f->p->o->http.stop && f->p->o->http.stop();
}

static uint64_t trusted_bytes(const struct fetch *f, uint64_t on_disk)
{
    char boot[BOOT_ID_MAX];
    struct buf b = { 0 };
    boot[0] = '\0';
    if (file_read(&b, "/proc/sys/kernel/random/boot_id", BOOT_ID_MAX - 1, NULL) == KT_OK)
        snprintf(boot, sizeof(boot), "%.*s", (int)strcspn(b.ptr, "\n"), b.ptr);
    buf_deinit(&b);
    bool same_boot = boot[0] && strcmp(boot, f->p->state.boot) == 0;
    uint64_t n = same_boot ? on_disk : MIN(on_disk, f->s->synced);
    memcpy(f->p->state.boot, boot, sizeof(boot));
    return n > f->s->bytes ? 0 : n;
}

/* Open the part and hash what can be trusted of it; cut off the rest. */
static enum kt_status open_part(struct fetch *f, struct kt_error *err)
{
    struct stat sb;
    f->fd = open(f->part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (f->fd < 0 || fstat(f->fd, &sb) != 0)
        return fetch_part_error(f, errno, err);
    uint64_t n = trusted_bytes(f, (uint64_t)sb.st_size);
    if (ftruncate(f->fd, (off_t)n) != 0)
        return fetch_part_error(f, errno, err);
    enum kt_status st = reset_hasher(f, err);
    if (!st && n > 0) {
        st = hash_fd(f->hasher, f->fd, n, f->part, watch_hashing, f, err);
        f->from_before = true;
        if (!st)
            puller_say(f->p, "%s: going on after %llu of %llu bytes", f->want->as,
                       (unsigned long long)n, (unsigned long long)f->s->bytes);
    }
    f->at = st ? 0 : n;
    f->most = f->at;
    return st ? st : puller_save(f->p, err);
}

/* ---- receiving ---- */

static enum kt_status begin_whole(struct fetch *f, const struct http_reply *r, struct kt_error *err)
{
    if (f->at > 0 && f->s->sha256[0] && f->s->etag[0] && !f->plain_range) {
        /* Another ETag in front of the same content: ask once more without the condition. */
        f->plain_range = true;
        f->reply.transient = true;
        return kt_fail(err, KT_E_TIMEOUT, "%s: the sender offers the whole file again",
                       f->want->as);
    }
    if (f->at > 0) {
        puller_say(f->p, "%s: the sender cannot go on where we were; starting over", f->want->as);
        enum kt_status st = fetch_begin_anew(f, err);
        if (st)
            return st;
    }
    if (!f->size_known && r->length > 0 && r->length <= (int64_t)HUB_FILE_BYTES_MAX) {
        f->s->bytes = (uint64_t)r->length;
        f->size_known = true;
    }
    if (r->length >= 0 && (uint64_t)r->length != f->s->bytes)
        return kt_fail(err, KT_E_FORMAT, "%s: the sender announces %lld bytes, expected %llu",
                       f->want->as, (long long)r->length, (unsigned long long)f->s->bytes);
    return KT_OK;
}

static enum kt_status begin_rest(struct fetch *f, const struct http_reply *r, struct kt_error *err)
{
    uint64_t last = f->s->bytes - 1;
    if (f->at > 0 && r->range_from == (int64_t)f->at && r->range_to == (int64_t)last &&
        r->range_total == (int64_t)f->s->bytes)
        return KT_OK;
    f->reply.transient = true;
    puller_say(f->p, "%s: the sender answers with other bytes than asked for; starting over",
               f->want->as);
    enum kt_status st = fetch_begin_anew(f, err);
    return st ? st
              : kt_fail(err, KT_E_FORMAT, "%s: the sender answers with other bytes than asked for",
                        f->want->as);
}

static enum kt_status on_begin(void *ctx, const struct http_reply *r, struct kt_error *err)
{
    struct fetch *f = ctx;
    enum kt_status st = r->status == 206 ? begin_rest(f, r, err) : begin_whole(f, r, err);
    if (st)
        return st;
    if (r->etag[0])
        memcpy(f->s->etag, r->etag, sizeof(f->s->etag));
    return puller_save(f->p, err);
}

static enum kt_status on_data(void *ctx, const void *data, size_t len, struct kt_error *err)
{
    struct fetch *f = ctx;
    const char *bytes = data;
    if (len > f->s->bytes - f->at)
        return kt_fail(err, KT_E_FORMAT, "%s: the sender sends more than the %llu bytes expected",
                       f->want->as, (unsigned long long)f->s->bytes);
    while (len) {
        ssize_t n = write(f->fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fetch_part_error(f, errno, err);
        hasher_add(f->hasher, bytes, (size_t)n);
        f->at += (uint64_t)n;
        bytes += n;
        len -= (size_t)n;
    }
    f->most = MAX(f->most, f->at);
    show(f, f->at, false);
    return f->at - f->s->synced >= HUB_SYNC_BYTES ? sync_part(f, err) : KT_OK;
}

/* A redirect that names another content than the one promised a moment ago. */
static enum kt_status check_same(struct fetch *f, struct kt_error *err)
{
    if (!f->reply.sha256[0] || !f->s->sha256[0] || strcmp(f->reply.sha256, f->s->sha256) == 0)
        return KT_OK;
    f->reply.transient = true;
    return kt_fail(err, KT_E_IO, "%s: has changed at the hub this moment", f->want->as);
}

static enum kt_status receive(struct fetch *f, struct kt_error *err)
{
    const struct http_sink sink = { on_begin, on_data, f };
    char url[HUB_URL_MAX + 1];
    size_t n_redirects = 0;
    enum kt_status st = KT_OK;
    snprintf(url, sizeof(url), "%s", f->url);
    while (!st && f->at < f->s->bytes) {
        st = http_get(f->p->http, url, f->at, f->plain_range ? "" : f->s->etag, &sink, &f->reply,
                      err);
        if (st)
            break;
        if (fetch_is_redirect(&f->reply)) {
            st = check_same(f, err);
            if (!st)
                st = fetch_next_url(f, url, &n_redirects, err);
        } else if (f->reply.status == 416) {
            f->reply.transient = true;
            st = fetch_begin_anew(f, err);
            if (!st)
                st = kt_fail(err, KT_E_IO, "%s: the sender has fewer bytes than we", f->want->as);
        } else if (f->reply.status != 200 && f->reply.status != 206) {
            st = fetch_fail_status(f, url, err);
        } else if (f->at < f->s->bytes) {
            f->reply.transient = true;
            st = kt_fail(err, KT_E_IO, "%s: the connection ended after %llu of %llu bytes",
                         f->want->as, (unsigned long long)f->at, (unsigned long long)f->s->bytes);
        }
    }
    return st;
}

/* ---- attempts ---- */

/* True when somebody wants to stop. */
static bool pause_ms(const struct fetch *f, uint64_t ms)
{
    const struct timespec step = { 0, 50 * 1000 * 1000 };
    for (uint64_t waited = 0; waited < ms; waited += 50) {
        if (f->p->o->http.stop && f->p->o->http.stop())
            return true;
        nanosleep(&step, NULL);
    }
    return false;
}

/* Doubling, and a quarter more or less by chance, so that an office's machines do not all come back
 * in the same second. */
static uint64_t pause_length(const struct fetch *f, unsigned attempt)
{
    uint64_t first = f->p->o->pause_ms ? f->p->o->pause_ms : PAUSE_MS;
    uint64_t ms = MIN(first << MIN(attempt, 10u), (uint64_t)PAUSE_MAX_MS);
    ms = ms - ms / 4 + randombytes_uniform((uint32_t)(ms / 2) + 1);
    return MAX(ms, (uint64_t)f->reply.retry_after_s * 1000);
}

static enum kt_status one_attempt(struct fetch *f, struct kt_error *err)
{
    enum kt_status st = fetch_ask(f, err);
    if (!st && f->fd < 0)
        st = open_part(f, err);
    return st ? st : receive(f, err);
}

static enum kt_status attempts(struct fetch *f, struct kt_error *err)
{
    unsigned in_vain = 0;
    for (;;) {
        uint64_t before = f->most;
        f->reply.transient = false;
        bool plain = f->plain_range;
        enum kt_status st = one_attempt(f, err);
        if (!st)
            return KT_OK;
        if (f->fd >= 0 && f->at > 0) {
            struct kt_error ignored; /* the reason for stopping is the one to tell */
            (void)!sync_part(f, &ignored);
            f->from_before = true;
        }
        if (!f->reply.transient)
            return st;
        if (f->plain_range && !plain)
            continue; /* not a failure: the same question in another way */
        in_vain = f->most > before ? 0 : in_vain + 1;
        if (in_vain >= HUB_ATTEMPTS_MAX) {
            kt_error_prefix(err, "gave up after %u attempts; what arrived is kept", in_vain);
            return st;
        }
        puller_say(f->p, "%s; trying again", err->text);
        if (pause_ms(f, pause_length(f, in_vain)))
            return kt_fail(err, KT_E_CANCELLED, "stopped");
    }
}

/* ---- the end ---- */

static enum kt_status wrong_hash(struct fetch *f, const char *found, struct kt_error *err)
{
    const char *expected = f->s->sha256[0] ? f->s->sha256 : f->git_id;
    if (unlink(f->part) != 0 && errno != ENOENT)
        return fetch_part_error(f, errno, err);
    f->s->synced = 0;
    f->s->etag[0] = '\0';
    enum kt_status st = puller_save(f->p, err);
    return st ? st
              : kt_fail(err, KT_E_FORMAT,
                        "%s: what arrived has the hash %.16s..., expected %.16s...: damaged on the "
                        "way, or not what was promised. It was deleted; try again, perhaps from "
                        "another network",
                        f->want->as, found, expected);
}

static enum kt_status keep_file(struct fetch *f, const char *sha, struct kt_error *err)
{
    if (fsync(f->fd) != 0 || fchmod(f->fd, 0444) != 0)
        return fetch_part_error(f, errno, err);
    if (rename(f->part, f->path) != 0)
        return fetch_part_error(f, errno, err);
    memcpy(f->s->sha256, sha, 65);
    f->s->synced = f->at;
    f->s->done = true;
    return puller_save(f->p, err);
}

/* *again: the hash is wrong, but only some of the bytes are of this attempt. */
static enum kt_status finish(struct fetch *f, bool *again, struct kt_error *err)
{
    char sha[65], git[41] = "";
    *again = false;
    hasher_end(f->hasher, sha, git);
    bool right = f->s->sha256[0] ? strcmp(sha, f->s->sha256) == 0
                 : f->git_id[0]  ? strcmp(git, f->git_id) == 0
                                 : true;
    if (right)
        return keep_file(f, sha, err);
    if (!f->from_before || f->begun_anew)
        return wrong_hash(f, f->s->sha256[0] ? sha : git, err);
    puller_say(f->p, "%s: the pieces do not make the promised file; starting over", f->want->as);
    *again = f->begun_anew = true;
    f->most = 0;
    return fetch_begin_anew(f, err);
}

static enum kt_status prepare(struct fetch *f, struct kt_error *err)
{
    struct buf url = { 0 }, part = { 0 };
    const char *revision = f->p->state.revision[0] ? f->p->state.revision : f->build->revision;
    buf_printf(&url, "%s/%s/resolve/%s/%s", f->p->hub_url, f->build->repository, revision,
               f->want->path);
    f->path = path_join(f->p->dir, f->want->as);
    if (f->path)
        buf_printf(&part, "%s%s", f->path, PART_SUFFIX);
    f->url = buf_take(&url);
    f->part = buf_take(&part);
    if (!f->url || !f->part)
        return no_memory(err);
    if (strlen(f->url) > HUB_URL_MAX)
        return kt_fail(err, KT_E_USAGE, "the hub's address is too long");
    char *dir = strndup(f->path, (size_t)(path_base(f->path) - f->path));
    enum kt_status st = dir ? dir_make(dir, 0700, err) : no_memory(err);
    free(dir);
    return st;
}

static void fetch_deinit(struct fetch *f)
{
    if (f->fd >= 0)
        close(f->fd);
    hasher_destroy(f->hasher);
    free(f->url);
    free(f->path);
    free(f->part);
}

enum kt_status fetch_file(struct puller *p, size_t idx, struct kt_error *err)
{
    struct fetch *f = calloc(1, sizeof(*f)); /* with its URLs too large for a stack frame */
    if (!f)
        return no_memory(err);
    f->p = p;
    f->build = p->o->build;
    f->idx = idx;
    f->want = &f->build->files[idx];
    f->s = &p->state.files[idx];
    f->fd = -1;
    enum kt_status st = prepare(f, err);
    bool again = true;
    while (!st && again) {
        st = attempts(f, err);
        if (!st)
            st = finish(f, &again, err);
    }
    fetch_deinit(f);
    free(f);
    return st;
}
