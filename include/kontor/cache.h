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
    /* Files: what saves at least so many tokens is written, and what has been of use; 0: 2048. */
    size_t file_tokens;
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
/* From now on what is kept in the context's scope is also in files in the folder 'dir', which is there, and what
 * such files hold is found again: also by a later run of the program, with the same model and the same key. They are
 * named cache-*.kc and sealed with 'key' (libsodium); of one scope they take at most bytes_max, 0: 4 GiB. They are written
 * in the background, and the last ones while the cache is destroyed. A file that is damaged, or that the key does
 * not open, is removed. Takes milliseconds the first time, nothing afterwards. */
enum { KT_CACHE_KEY_BYTES = 32 };
#define KT_CACHE_PURPOSE "kontor prompt cache 1" /* for kt_matter_side() */
KT_API KT_MUST_CHECK enum kt_status
kt_context_keep_files(struct kt_context *c, const char *dir,
                      const uint8_t key[static KT_CACHE_KEY_BYTES], uint64_t bytes_max,
                      struct kt_error *err);
/* Drop all checkpoints of the scope, and of all scopes whose names begin with its name and '/', with their files
 * if they have any. */
KT_API void kt_cache_forget(struct kt_cache *c, const char *scope);

struct kt_cache_counts {
    size_t n_checkpoints, n_scopes; /* in memory */
    uint64_t bytes, bytes_max;
    uint64_t lookups, hits; /* prompts; those that began at a checkpoint */
    uint64_t tokens_saved;  /* by them */
    uint64_t kept, evicted; /* checkpoints */
    size_t n_files;
    uint64_t file_bytes, written, read; /* files */
};
KT_API void kt_cache_count(struct kt_cache *c, struct kt_cache_counts *out);

#endif
