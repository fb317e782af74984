/* hub/fetch_priv.h: one file on its way: what ask.c (the hub's promise) and fetch.c (the bytes) share. */
#ifndef HUB_FETCH_PRIV_H
#define HUB_FETCH_PRIV_H

#include "hub/pull_priv.h"

struct fetch {
    struct puller *p;
    const struct catalogue_build *build;
    const struct catalogue_file *want;
    struct state_file *s;
    size_t idx;
    char *url;  /* at the hub */
    char *path; /* under its own name */
    char *part;
    int fd;                /* of the part, -1 before it is opened */
    struct hasher *hasher; /* over the part's first 'at' bytes */
    uint64_t at;
    uint64_t most;    /* the furthest that any attempt came */
    char git_id[41];  /* git's id of the content, when the hub gives no SHA-256 */
    bool size_known;  /* s->bytes is a promise, not an estimate */
    bool plain_range; /* go on without If-Range */
    bool from_before; /* the part holds bytes of an earlier run or attempt */
    bool begun_anew;  /* after a wrong hash, once */
    struct http_reply reply;
};

/* Ask the hub (HEAD): size, SHA-256, commit into the state. What an earlier run fetched of another
 * content is dropped. */
KT_MUST_CHECK enum kt_status fetch_ask(struct fetch *f, struct kt_error *err);
bool fetch_is_redirect(const struct http_reply *r);
/* Follow f->reply.location: into 'url', [HUB_URL_MAX + 1]. */
KT_MUST_CHECK enum kt_status fetch_next_url(struct fetch *f, char *url, size_t *n_redirects,
                                            struct kt_error *err);
/* What the status in f->reply means to a person, and whether to try again. */
KT_MUST_CHECK enum kt_status fetch_fail_status(struct fetch *f, const char *url,
                                               struct kt_error *err);

/* Forget the part's bytes. */
KT_MUST_CHECK enum kt_status fetch_begin_anew(struct fetch *f, struct kt_error *err);
/* A call on the part that failed. */
KT_MUST_CHECK enum kt_status fetch_part_error(const struct fetch *f, int errnum,
                                              struct kt_error *err);

#endif
