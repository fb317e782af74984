/* engine/importance.c: the public face of model/importance.h. */
#include <stdlib.h>

#include "engine/engine_priv.h"
#include "model/importance.h"

struct kt_importance {
    struct importance_sums *sums;
};

enum kt_status kt_importance_create(struct kt_importance **out, const struct kt_engine *e,
                                    struct kt_error *err)
{
    *out = NULL;
    struct kt_importance *p = calloc(1, sizeof(*p));
    if (!p)
        return kt_fail(err, KT_E_NOMEM, "importance: out of memory");
    enum kt_status st = importance_sums_create(&p->sums, e->file, err);
    if (st) {
        free(p);
        return st;
    }
    *out = p;
    return KT_OK;
}

void kt_importance_destroy(struct kt_importance *p)
{
    if (!p)
        return;
    importance_sums_destroy(p->sums);
    free(p);
}

void kt_importance_watch(struct kt_importance *p, struct kt_context *c)
{
    c->seat.observer = p->sums;
}

enum kt_status kt_importance_write(const struct kt_importance *p, const char *path,
                                   const char *text_name, size_t n_windows, size_t n_window,
                                   struct kt_error *err)
{
    return importance_sums_write(p->sums, path, text_name, n_windows, n_window, err);
}
