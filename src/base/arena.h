/* base/arena.h: memory that dies all at once.
 *
 * A request takes what it needs with arena_alloc() and gives everything back with one
 * arena_reset(). Blocks are kept between resets. Under AddressSanitizer, memory not handed out is
 * poisoned. Not thread-safe: one arena, one thread. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/span.h"

struct arena_block;

struct arena {
    struct arena_block *first; /* every block, in the order of allocation */
    struct arena_block *now;   /* the one being filled */
};

/* n zeroed bytes aligned for anything (64 bytes), or NULL. Borrowed until arena_reset(). */
void *arena_alloc(struct arena *a, size_t n);
/* n * size, checked. */
void *arena_array(struct arena *a, size_t n, size_t size);
/* A terminated copy of s. */
char *arena_strdup(struct arena *a, struct span s);
void arena_reset(struct arena *a);
void arena_deinit(struct arena *a);

#endif
