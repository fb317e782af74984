/* Memory that dies all at once: a list of blocks, each filled from the front. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/size.h"

enum { ALIGN = 64, BLOCK_BYTES = 64 * 1024 };

struct arena_block {
    struct arena_block *next;
    size_t cap;  /* bytes of payload */
    size_t used; /* bytes handed out  */
};

/* The header takes one ALIGN unit so that the payload stays aligned. */
static char *payload(struct arena_block *b)
{
    return (char *)b + ALIGN;
}

static struct arena_block *block_create(size_t cap)
{
    size_t bytes;
    if (!size_add(&bytes, cap, ALIGN))
        return NULL;
    struct arena_block *b = aligned_alloc(ALIGN, bytes);
    if (!b)
        return NULL;
    *b = (struct arena_block){ .cap = cap };
    ASAN_POISON(payload(b), cap);
    return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        return NULL;
    n = size_align(n ? n : 1, ALIGN);

    struct arena_block **link = a->now ? &a->now : &a->first;
    while (*link && (*link)->cap - (*link)->used < n)
        link = &(*link)->next;
    if (!*link) {
        struct arena_block *fresh = block_create(MAX(n, (size_t)BLOCK_BYTES));
        if (!fresh)
            return NULL;
        *link = fresh;
    }
    struct arena_block *b = *link;
    a->now = b;
    char *p = payload(b) + b->used;
    b->used += n;
    ASAN_UNPOISON(p, n);
    memset(p, 0, n);
    return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
    size_t bytes;
    return size_mul(&bytes, n, size) ? arena_alloc(a, bytes) : NULL;
}

char *arena_strdup(struct arena *a, struct span s)
{
    char *p = arena_alloc(a, s.len + 1);
    if (p && s.len)
        memcpy(p, s.ptr, s.len);
    return p;
}

void arena_reset(struct arena *a)
{
    for (struct arena_block *b = a->first; b; b = b->next) {
        b->used = 0;
        ASAN_POISON(payload(b), b->cap);
    }
    a->now = a->first;
}

void arena_deinit(struct arena *a)
{
    struct arena_block *b = a->first;
    while (b) {
        struct arena_block *next = b->next;
        ASAN_UNPOISON(payload(b), b->cap);
        free(b);
        b = next;
    }
    *a = (struct arena){ 0 };
}
