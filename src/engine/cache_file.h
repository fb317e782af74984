/* engine/cache_file.h: one checkpoint in one file, sealed.
 *
 * A set is the files of one scope of one model: they lie in a folder that is somebody else's (a matter's), under
 * names that tell nothing, sealed with a key that is not the program's to keep. docs/FORMATS.md has the layout. */
#ifndef ENGINE_CACHE_FILE_H
#define ENGINE_CACHE_FILE_H

#include "engine/cache.h"

enum { FILE_ID_HEX = 16, SET_ID_HEX = 32, FILE_NAME_MAX = 64 };

struct cache_set {
    size_t n_users; /* guarded by the cache's lock */
    char *dir;
    uint8_t *key; /* locked memory */
    char id[SET_ID_HEX + 1];
    uint64_t bytes, bytes_max; /* guarded by the cache's lock */
};

struct cache_file_head {
    struct state_types types;
    size_t n, n_base;           /* tokens; those whose rows are in the file of 'base' and before */
    char base[FILE_ID_HEX + 1]; /* "": none */
    size_t n_seen;
    bool has_logits;
    uint32_t next_position;
};

/* 'fingerprint': of the model, in whose numbers the files are written; 'scope' and it give the set its id. */
KT_MUST_CHECK enum kt_status cache_set_create(struct cache_set **out, const char *dir,
                                              const uint8_t *key, const struct digest *fingerprint,
                                              const char *scope, uint64_t bytes_max,
                                              struct kt_error *err);
void cache_set_destroy(struct cache_set *s);
/* Call fn with the id of each file of the set; unfinished ones, and those of other sets that were not touched for
 * long, are removed. */
void cache_set_each(const struct cache_set *s, void (*fn)(void *ctx, const char *id), void *ctx);
void cache_file_remove(const struct cache_set *s, const char *id);

/* Write a checkpoint under a fresh id, whole or not at all. */
KT_MUST_CHECK enum kt_status
cache_file_write(const struct cache_set *s, char id[static FILE_ID_HEX + 1],
                 const struct cache_file_head *h, const struct checkpoint_view *v, size_t n_vocab,
                 uint64_t *bytes, struct kt_error *err);

/* Reading: the head with its tokens and images (heap), then rows, then the rest. KT_E_FORMAT: damaged, or sealed
 * by somebody else; KT_E_NOTFOUND: it is gone. */
struct cache_reader;
KT_MUST_CHECK enum kt_status cache_file_open(struct cache_reader **out, const struct cache_set *s,
                                             const char *id, struct cache_file_head *h,
                                             int32_t **tokens, struct seen_run **seen,
                                             uint64_t *bytes, struct kt_error *err);
/* A model_bytes_fn whose context is a reader: the next n bytes of the file: rows of positions [n_base, n), then the
 * rest of the state, then the logits. */
KT_MUST_CHECK enum kt_status cache_file_bytes(void *reader, void *bytes, size_t n,
                                              struct kt_error *err);
void cache_file_close(struct cache_reader *r);

#endif
