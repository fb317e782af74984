/* serve/crew.h: the models that serve at one time, as one thing that can be exchanged while requests run.
 *
 * One noun. A crew owns its engines and the desks in front of them. Whoever works with it holds it; the last to
 * let go closes it. So an administrator can put another crew to work at any time: what was begun is finished by the
 * models it was begun with, what comes after goes to the new ones, and the old ones are gone with their last answer.
 *
 * Several models may write, each with a desk of its own; the first is the one meant when nothing is said. The models
 * that find and rank stand at the first desk. */
#ifndef SERVE_CREW_H
#define SERVE_CREW_H

#include <stdatomic.h>

#include "serve/serve.h"

enum { CREW_CHATS_MAX = 8 };

struct crew_chat {
    char *name; /* as clients name it */
    char *path; /* of the model; NULL: not known */
    struct kt_engine *engine;
    struct desk *desk;
};

/* Filled by whoever opens the models, and not changed after crew_create(); strings are heap. */
struct crew {
    struct crew_chat chats[CREW_CHATS_MAX];
    size_t n_chats;
    struct kt_engine *embed, *rank; /* NULL: none */
    char *embed_name, *rank_name;   /* NULL: none */
    char embedder_id[65];           /* hex id of the embedding weights; "" */
    uint64_t memory_limit;          /* of all of it, in bytes (budget.h) */
    struct desk *desk;              /* the first; there is one also when no model writes */
    atomic_size_t n_holders;
};

/* Open a desk for each of the models in 'parts' and take them over, also on failure, which closes them. 'limits' counts
 * for all desks together: its engines are filled in here. The caller holds the crew. */
KT_MUST_CHECK enum kt_status crew_create(struct crew **out, const struct crew *parts,
                                         const struct desk_options *limits, struct kt_error *err);
/* Close what was opened of a crew that is not to be. */
void crew_parts_close(struct crew *parts);

void crew_hold(struct crew *c);
void crew_let_go(struct crew *c); /* NULL is fine */

/* The model of that name that writes; NULL. */
const struct crew_chat *crew_chat_named(const struct crew *c, const char *name);
/* A matter is gone. */
void crew_forget(struct crew *c, const char *scope);
/* Of all desks together. */
void crew_counts(struct crew *c, struct desk_counts *out);

#endif
