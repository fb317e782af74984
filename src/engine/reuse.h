/* engine/reuse.h: between a context and the cache: where a prompt begins, and what stays of it. */
#ifndef ENGINE_REUSE_H
#define ENGINE_REUSE_H

#include "engine/marks.h"

struct feed;

/* Bring the context to the longest beginning of the prompt that is known: what it has itself, if that begins the
 * prompt ('continues'), or a checkpoint; else it is empty. 'm' is where the rest of the prompt is to be kept: see
 * reuse_keep(); nowhere without a cache. */
KT_MUST_CHECK enum kt_status reuse_begin(struct kt_context *c, struct marks *m,
                                         const int32_t *tokens, size_t n, const struct feed *feed,
                                         bool continues, struct kt_error *err);
/* Keep what the context is now, all of which is certain. Never fails: what cannot be kept is not. */
void reuse_keep(struct kt_context *c);

#endif
