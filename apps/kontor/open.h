/* apps/kontor/open.h: opening what the office commands work on. */
#ifndef KONTOR_OPEN_H
#define KONTOR_OPEN_H

#include "kontor/engine.h"
#include "kontor/store.h"

/* The home of --home, and one matter of it (NULL: the default one). Passphrase from
 * $KONTOR_PASSPHRASE. */
struct opened {
    struct kt_store *store;
    struct kt_matter *matter;
};
KT_MUST_CHECK enum kt_status open_matter(struct opened *o, const char *matter,
                                         enum kt_access access, struct kt_error *err);
KT_MUST_CHECK enum kt_status open_store(struct opened *o, struct kt_error *err);
void opened_close(struct opened *o);

/* The embedding model that is configured, with the id of its weights; *out NULL when none is. */
KT_MUST_CHECK enum kt_status open_embedder(struct kt_engine **out, char id[static 65],
                                           const char *option, struct kt_error *err);

#endif
