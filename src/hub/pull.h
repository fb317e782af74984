/* hub/pull.h: fetching a model of the catalogue.
 *
 * Whatever goes wrong, HOME/models/NAME is either absent or whole: files are fetched into
 * HOME/models/.NAME.part, each to X.part beside its place, and what is there is used by the next
 * pull of the same name (docs/MODELS.md, "How a download goes on"). */
#ifndef HUB_PULL_H
#define HUB_PULL_H

#include "hub/http.h"

struct pull_progress {
    const char *file;
    size_t file_idx, n_files;
    uint64_t done, total; /* bytes of the whole model */
    bool checking;        /* hashing what is here already, not receiving */
};

struct pull_options {
    const char *home;
    const struct catalogue_build *build;
    struct http_options http; /* hub_url NULL: the catalogue's */
    unsigned pause_ms;        /* before the second attempt, then doubling; 0: 1000 */
    /* Something a person should know, one line. */
    void (*say)(void *ctx, const char *text);
    void (*progress)(void *ctx, const struct pull_progress *p);
    void *ctx;
};

/* KT_E_EXISTS when the home has it already. KT_E_CANCELLED when http.stop() said so; the part is
 * kept. KT_E_BUSY when another process pulls the same. */
KT_MUST_CHECK enum kt_status pull_model(const struct pull_options *o, struct kt_error *err);

#endif
