/* kontor/cache.h: beginnings of timelines, kept so that they need not be computed again.
 *
 * Two nouns: a kt_cache belongs to an engine and keeps checkpoints: what a context is after some tokens. A scope
 * is a name for whoever may use them (a user, a matter); a context looks and keeps in one scope only, so nothing
 * crosses from one to another, not even the knowledge that something is there.
 *
 * A context that uses a cache begins each prompt at the longest checkpoint that begins it, same tokens and same
 * pixels, and leaves checkpoints where other prompts are likely to go on: before and after messages, before a
 * thought, behind images, at ends of paragraphs near the end, where two prompts parted before, now and then in
 * long texts, and at the end of an answer. What comes out is the same, bit by bit, as without a cache; only what
 * is certain is kept, never a guess (see enum kt_speculate).
 *
 * Memory: keys and values are shared with the contexts and among checkpoints page by page; the recurrent state is
 * a copy of its own. All that checkpoints hold is counted and stays within the budget: those go first whose
 * absence costs the fewest tokens for the memory they take, and that were not used for long.
 *
 * Threads: a cache may be used by any number of contexts at the same time. */
#ifndef KONTOR_CACHE_H
#define KONTOR_CACHE_H

#include "kontor/engine.h"

struct kt_cache;

enum { KT_CACHE_SCOPE_MAX = 95 }; /* bytes of a scope's name */

struct kt_cache_options {
    uint64_t memory_bytes; /* for all checkpoints; 0: none is kept */
};

/* The engine is borrowed and must outlive the cache, and the cache the contexts that use it. */
KT_API KT_MUST_CHECK enum kt_status kt_cache_create(struct kt_cache **out, struct kt_engine *e,
                                                    const struct kt_cache_options *opts,
                                                    struct kt_error *err);
KT_API void kt_cache_destroy(struct kt_cache *c);

/* From now on the context looks and keeps there; NULL: nowhere. A context that had another scope, or none, is
 * emptied, and its memory cleared. KT_E_USAGE: another engine's cache, or a name that is too long. Not during an
 * answer. */
KT_API KT_MUST_CHECK enum kt_status kt_context_use_cache(struct kt_context *c,
                                                         struct kt_cache *cache, const char *scope,
                                                         struct kt_error *err);
/* Drop all checkpoints of the scope. */
KT_API void kt_cache_forget(struct kt_cache *c, const char *scope);

struct kt_cache_counts {
    size_t n_checkpoints, n_scopes;
    uint64_t bytes, bytes_max;
    uint64_t lookups, hits; /* prompts; those that began at a checkpoint */
    uint64_t tokens_saved;  /* by them */
    uint64_t kept, evicted; /* checkpoints */
};
KT_API void kt_cache_count(struct kt_cache *c, struct kt_cache_counts *out);

#endif
