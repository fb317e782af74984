/* What the hub promises about a file, and what its refusals mean. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hub/fetch_priv.h"
#include "hub/limits.h"

/* Statuses of the hub itself that end the matter. */
enum kt_status fetch_fail_status(struct fetch *f, const char *url, struct kt_error *err)
{
    struct http_reply *r = &f->reply;
    const char *repo = f->build->repository;
    char where[320];
    http_origin(f->p->http, where, sizeof(where), url);
    bool hub = http_is_hub(f->p->http, url);
    r->transient = false;
    if (r->status == 429 || r->status == 408 || r->status >= 500) {
        r->transient = r->retry_after_s <= HUB_PAUSE_MAX_S;
        if (!r->transient)
            return kt_fail(err, KT_E_IO,
                           "%s: asks to wait %u minutes; give the same command again "
                           "then",
                           where, r->retry_after_s / 60 + 1);
        return kt_fail(err, KT_E_IO, "%s: answered %ld%s", where, r->status,
                       r->status == 429 ? ", too many requests" : "");
    }
    if (!hub) { /* 403 or 410, as a rule: the link was signed for a while */
        r->transient = r->status != 416;
        return kt_fail(err, KT_E_IO, "%s: answered %ld; the link may have expired", where,
                       r->status);
    }
    if (r->status == 401 || r->status == 403) {
        bool gated = strcmp(r->error_code, "GatedRepo") == 0;
        return kt_fail(err, KT_E_IO, "%s: %s is not given to everybody%s (answer %ld). %s", where,
                       repo, gated ? ": its terms have to be accepted on its page there" : "",
                       r->status,
                       f->p->o->http.token ? "The access token that was sent does not open it."
                                           : "Give an access token in hub_token or "
                                             "$KONTOR_HUB_TOKEN.");
    }
    if (r->status == 404)
        return kt_fail(err, KT_E_IO,
                       "%s: has no %s in %s at %s; has it moved? A file `catalogue` in the "
                       "settings can say where it is now",
                       where, f->want->path, repo,
                       f->p->state.revision[0] ? f->p->state.revision : f->build->revision);
    return kt_fail(err, KT_E_IO, "%s: answered %ld, which was not expected", where, r->status);
}

bool fetch_is_redirect(const struct http_reply *r)
{
    return r->status == 301 || r->status == 302 || r->status == 303 || r->status == 307 ||
           r->status == 308;
}

enum kt_status fetch_next_url(struct fetch *f, char *url, size_t *n_redirects, struct kt_error *err)
{
    char where[320];
    if (!f->reply.location[0] || ++*n_redirects > HUB_REDIRECTS_MAX) {
        http_origin(f->p->http, where, sizeof(where), url);
        f->reply.transient = false;
        return kt_fail(err, KT_E_IO, "%s: %s", where,
                       f->reply.location[0] ? "redirects in circles"
                                            : "redirects to nowhere that can be used");
    }
    memcpy(url, f->reply.location, strlen(f->reply.location) + 1);
    return KT_OK;
}

/* What the hub promises, in f->reply. Redirects inside the hub (a repository that was renamed) are
 * followed; the one that leaves it carries the promise. */
static enum kt_status head_at_hub(struct fetch *f, struct kt_error *err)
{
    char url[HUB_URL_MAX + 1];
    size_t n_redirects = 0;
    enum kt_status st = KT_OK;
    snprintf(url, sizeof(url), "%s", f->url);
    while (!st) {
        st = http_head(f->p->http, url, &f->reply, err);
        if (st || f->reply.status == 200)
            return st;
        if (!fetch_is_redirect(&f->reply))
            return fetch_fail_status(f, url, err);
        if (f->reply.sha256[0] || f->reply.linked_size >= 0)
            return KT_OK;
        if (!http_is_hub(f->p->http, f->reply.location)) {
            f->reply.length = -1; /* of the redirect itself */
            f->reply.etag[0] = f->reply.git_id[0] = '\0';
            return KT_OK;
        }
        st = fetch_next_url(f, url, &n_redirects, err);
    }
    return st;
}

/* The promise against the catalogue. */
static enum kt_status check_promise(const struct fetch *f, int64_t bytes, struct kt_error *err)
{
    const struct catalogue_file *w = f->want;
    if (w->sha256[0] && f->reply.sha256[0] && strcmp(w->sha256, f->reply.sha256) != 0)
        return kt_fail(err, KT_E_FORMAT,
                       "%s: the hub offers content with SHA-256 %.16s..., the catalogue pins "
                       "%.16s...; it was changed after the catalogue was written, or is not the "
                       "same thing. Nothing was fetched",
                       w->path, f->reply.sha256, w->sha256);
    if (bytes >= 0 && !w->approximate && (uint64_t)bytes != w->bytes)
        return kt_fail(err, KT_E_FORMAT,
                       "%s: the hub says %lld bytes, the catalogue %llu; is this the same file? "
                       "Nothing was fetched",
                       w->path, (long long)bytes, (unsigned long long)w->bytes);
    if (bytes > (int64_t)HUB_FILE_BYTES_MAX || bytes == 0)
        return kt_fail(err, KT_E_FORMAT, "%s: the hub says %lld bytes", w->path, (long long)bytes);
    return KT_OK;
}

/* What is there is of another content: forget it. */
static enum kt_status drop_part(struct fetch *f, struct kt_error *err)
{
    puller_say(f->p, "%s: has changed at the hub since the last attempt; starting over",
               f->want->as);
    if (f->fd >= 0)
        return fetch_begin_anew(f, err);
    if (unlink(f->part) != 0 && errno != ENOENT)
        return fetch_part_error(f, errno, err);
    f->s->etag[0] = '\0';
    f->s->synced = 0;
    return KT_OK;
}

/* Take the promise over into the state. */
static enum kt_status take_promise(struct fetch *f, int64_t bytes, struct kt_error *err)
{
    struct state_file *s = f->s;
    const char *sha = f->want->sha256[0] ? f->want->sha256 : f->reply.sha256;
    bool begun = s->etag[0] || s->synced; /* s->bytes is an earlier promise */
    bool changed = (s->sha256[0] && sha[0] && strcmp(s->sha256, sha) != 0) ||
                   (begun && bytes >= 0 && s->bytes != (uint64_t)bytes);
    if (!s->sha256[0] && !f->want->sha256[0] && sha[0])
        puller_say(f->p, "%s: the hub gives SHA-256 %s; pinned from now on", f->want->as, sha);
    f->size_known = bytes >= 0 || begun || !f->want->approximate;
    s->bytes = bytes >= 0 ? (uint64_t)bytes : s->bytes;
    memmove(s->sha256, sha, strlen(sha) + 1);
    s->pin = f->want->sha256[0] ? PIN_CATALOGUE : sha[0] || f->git_id[0] ? PIN_HUB : PIN_SEEN;
    return changed ? drop_part(f, err) : KT_OK;
}

enum kt_status fetch_ask(struct fetch *f, struct kt_error *err)
{
    enum kt_status st = head_at_hub(f, err);
    if (st)
        return st;
    struct http_reply *r = &f->reply;
    int64_t bytes = r->linked_size >= 0 ? r->linked_size : r->length;
    bool has_id = r->status == 200 && r->length >= 0; /* git's id is over the length, too */
    memcpy(f->git_id, has_id ? r->git_id : "", has_id ? sizeof(f->git_id) : 1);
    if (r->commit[0] && !f->p->state.revision[0])
        snprintf(f->p->state.revision, sizeof(f->p->state.revision), "%s", r->commit);
    r->transient = false;
    st = check_promise(f, bytes, err);
    return st ? st : take_promise(f, bytes, err);
}
