/* engine/cache_priv.h: what cache.c and cache_disk.c share.
 *
 * 'lock' guards everything here but what a checkpoint consists of, which does not change while somebody holds it
 * ('n_users'). Copying into and out of checkpoints, reading and writing files happens outside of the lock. */
#ifndef ENGINE_CACHE_PRIV_H
#define ENGINE_CACHE_PRIV_H

#include "engine/cache.h"
#include "engine/cache_file.h"

enum { CHECKPOINTS_MAX = 4096 }; /* looked through one after the other */

struct scope;

struct checkpoint {
    struct scope *scope;       /* NULL: dropped while somebody holds it */
    struct checkpoint *parent; /* the longest beginning of it that is known, or NULL */
    size_t n_users;
    uint64_t hash;
    size_t n, n_seen;
    int32_t *tokens;
    struct seen_run *seen;
    struct model_state *state; /* NULL: in its file only */
    float *logits;
    bool has_logits;  /* here or in the file */
    size_t own_bytes; /* in memory, without pages */
    size_t page_bytes;
    size_t weight; /* with the pages that its parent has not: what it costs */
    double value;
    /* its file */
    char file[FILE_ID_HEX + 1]; /* "": none */
    uint64_t file_bytes;
    uint32_t next_position;
    struct checkpoint *base; /* in whose file its first rows are; NULL: in its own */
    size_t n_dependents;     /* whose base it is */
    bool to_write, was_used;
};

struct scope {
    struct scope *next;
    char name[KT_CACHE_SCOPE_MAX + 1];
    struct state_types types;
    struct checkpoint **list;
    size_t n, cap;
    struct cache_set *set; /* NULL: in memory only */
};

struct kt_cache {
    struct kt_engine *engine;
    uint64_t bytes_max;
    pthread_mutex_t lock;
    struct scope *scopes;
    size_t n_checkpoints; /* in memory or not */
    uint64_t bytes;
    double level;
    struct kt_cache_counts sums;
    /* files */
    struct digest fingerprint;
    bool has_fingerprint;
    pthread_t writer;
    pthread_cond_t work; /* there may be something to write  */
    pthread_cond_t idle; /* somebody is done with a set      */
    size_t file_tokens;
    bool has_writer, closing;
};

/* ---- cache.c; the caller holds the lock ---- */

uint64_t cache_hash(const struct prefix *p);
/* NULL: there is none, or no memory for it. */
struct scope *cache_scope(struct kt_cache *c, const char *name, struct state_types types,
                          bool make);
void cache_drop_scope_if_empty(struct kt_cache *c, struct scope *s);
/* Into the books. False: no memory. */
bool cache_enter(struct kt_cache *c, struct scope *s, struct checkpoint *k);
/* k has got a state. */
void cache_count_in(struct kt_cache *c, struct checkpoint *k);
/* The longest that begins k, of those with a file if 'filed'. */
struct checkpoint *cache_longest_before(const struct scope *s, const struct checkpoint *k,
                                        bool filed);
void cache_make_room(struct kt_cache *c, uint64_t bytes);
/* Its file is removed; nobody may need it. */
void cache_unfile(struct checkpoint *k);
/* Out of the books, its file removed; memory goes when nobody holds it. Those that build on its file go, too, or
 * if they are in memory are written anew. */
void cache_drop(struct kt_cache *c, struct checkpoint *k);
void cache_free(struct checkpoint *k);

/* ---- cache_disk.c ---- */

/* Bring the state of k, which is held, into memory. KT_E_LIMIT: there is no room for it. */
KT_MUST_CHECK enum kt_status cache_thaw(struct kt_cache *c, struct checkpoint *k,
                                        struct kt_error *err);
/* There is something to write; the caller holds the lock, here and for cache_unset(). */
void cache_wake_writer(struct kt_cache *c);
void cache_stop_writer(struct kt_cache *c);
/* The scope has no files from now on. */
void cache_unset(struct kt_cache *c, struct scope *s);

#endif
