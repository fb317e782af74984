/* engine/cache.h: the store of checkpoints behind kontor/cache.h, for reuse.c, which stands between it and a
 * context. */
#ifndef ENGINE_CACHE_H
#define ENGINE_CACHE_H

#include "engine/engine_priv.h"
#include "kontor/cache.h"

/* The beginning of a prompt or of a timeline: tokens, and which pixels stand among them. */
struct prefix {
    const int32_t *tokens; /* [n] */
    size_t n;
    const struct seen_run *seen; /* [n_seen] by start, each below n */
    size_t n_seen;
};

struct checkpoint;

const struct kt_engine *cache_engine(const struct kt_cache *c);

/* What was found, held until cache_release(). */
struct cache_hit {
    struct checkpoint *at; /* NULL: nothing */
    size_t n; /* tokens that are good; less than the checkpoint has, where a model can be cut */
    size_t common; /* the longest common beginning with anything in the scope */
};

/* Of a checkpoint that is held; none of it changes. */
struct checkpoint_view {
    struct prefix prefix;
    const struct model_state *state;
    const float *logits; /* after the last token, or NULL */
};

/* The longest checkpoint of 'scope' that begins p, of states of such types. One that is all of p must have its
 * logits. KT_E_NOMEM. */
KT_MUST_CHECK enum kt_status cache_find(struct kt_cache *c, struct cache_hit *out,
                                        const char *scope, struct state_types types,
                                        const struct prefix *p, struct kt_error *err);
struct checkpoint_view checkpoint_view(const struct checkpoint *at);
void cache_release(struct kt_cache *c, struct checkpoint *at); /* NULL is fine */

/* Keep a copy of 'state', which has the tokens of p; logits: [n_vocab] or NULL. It is not kept, which is no failure,
 * when it does not fit the budget or there is no memory for it. */
void cache_keep(struct kt_cache *c, const char *scope, const struct prefix *p,
                const struct model_state *state, struct state_types types, const float *logits);

/* What is kept in the scope is also in files: see kt_context_keep_files(). Nothing to do if it is already. */
KT_MUST_CHECK enum kt_status
cache_use_files(struct kt_cache *c, const char *scope, struct state_types types, const char *dir,
                const uint8_t *key, uint64_t bytes_max, struct kt_error *err);

#endif
