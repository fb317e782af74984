/* hub/pull_priv.h: what pull.c (a model) and fetch.c (one of its files) share. */
#ifndef HUB_PULL_PRIV_H
#define HUB_PULL_PRIV_H

#include "hub/hash.h"
#include "hub/pull.h"

struct puller {
    const struct pull_options *o;
    struct http *http;
    const char *hub_url;     /* without a slash at its end */
    char *dir;               /* staging */
    struct pull_state state; /* a file an entry, in the build's order */
    uint64_t done_before;    /* bytes of the files before the present one */
};

/* Fetch file 'idx' of the build into the staging folder and mark it done. */
KT_MUST_CHECK enum kt_status fetch_file(struct puller *p, size_t idx, struct kt_error *err);
KT_MUST_CHECK enum kt_status puller_save(const struct puller *p, struct kt_error *err);
void puller_say(const struct puller *p, const char *fmt, ...) KT_PRINTF(2, 3);
uint64_t puller_total(const struct puller *p);

#endif
