/* constrain/automaton_store.c: equal things have one number. Hash tables with linear probing; nothing is taken out of
 * them: what is not needed any more is left behind by store_copy(). */
#include "constrain/automaton_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

enum { SLOTS_MIN = 64 };

bool store_init(struct store *s, size_t n_classes)
{
    *s = (struct store){ .n_classes = n_classes };
    return store_frame(s, NULL, 0) == FRAME_ROOT && store_config(s, NULL, 0, false) == CONFIG_DEAD;
}

void store_deinit(struct store *s)
{
    free(s->frames);
    free(s->backs);
    free(s->configs);
    free(s->threads);
    free(s->next);
    free(s->frame_slots);
    free(s->config_slots);
    *s = (struct store){ 0 };
}

size_t store_bytes(const struct store *s)
{
    return s->n_frames * sizeof(*s->frames) + s->n_backs * sizeof(*s->backs) +
           s->n_configs * (sizeof(*s->configs) + s->n_classes * sizeof(*s->next)) +
           s->n_threads * sizeof(*s->threads) +
           (s->n_frame_slots + s->n_config_slots) * sizeof(uint32_t);
}

/* Room for 'more' elements behind n. */
static bool reserve(void **ptr, size_t n, size_t more, size_t *cap, size_t size)
{
    if (n + more <= *cap)
        return true;
    size_t want = MAX(*cap * 2, n + more + 16), bytes;
    void *p = size_mul(&bytes, want, size) ? realloc(*ptr, bytes) : NULL;
    if (!p)
        return false;
    *ptr = p;
    *cap = want;
    return true;
}
#define RESERVE(s, what, more)                                                                     \
    reserve((void **)&(s)->what, (s)->n_##what, more, &(s)->cap_##what, sizeof(*(s)->what))

/* Words of any number, mixed. */
static uint64_t hash_words(const void *ptr, size_t n, uint64_t h)
{
    const uint32_t *w = ptr;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ w[i]) * 0x9E3779B97F4A7C15u;
        h ^= h >> 32;
    }
    return h ^ h >> 29;
}

static uint64_t hash_frame(const struct back *b, size_t n)
{
    return hash_words(b, n * (sizeof(*b) / sizeof(uint32_t)), n);
}

static uint64_t hash_config(const struct thread *t, size_t n, bool accepts)
{
    return hash_words(t, n * (sizeof(*t) / sizeof(uint32_t)), n * 2 + accepts);
}

/* A table of twice as many slots, with the same numbers in it. */
static bool widen(uint32_t **slots, size_t *n_slots, size_t n,
                  uint64_t (*hash)(const void *, size_t), const void *ctx)
{
    if (n * 2 < *n_slots)
        return true;
    size_t want = *n_slots ? *n_slots * 2 : SLOTS_MIN;
    uint32_t *p = malloc(want * sizeof(*p));
    if (!p)
        return false;
    memset(p, 0xFF, want * sizeof(*p));
    for (size_t k = 0; k < n; k++) {
        size_t i = hash(ctx, k) & (want - 1);
        while (p[i] != UNKNOWN)
            i = (i + 1) & (want - 1);
        p[i] = (uint32_t)k;
    }
    free(*slots);
    *slots = p;
    *n_slots = want;
    return true;
}

static uint64_t frame_at(const void *ctx, size_t i)
{
    const struct store *s = ctx;
    return hash_frame(s->backs + s->frames[i].first, s->frames[i].n);
}

static uint64_t config_at(const void *ctx, size_t i)
{
    const struct store *s = ctx;
    return hash_config(s->threads + s->configs[i].first, s->configs[i].n, s->configs[i].accepts);
}

uint32_t store_frame(struct store *s, const struct back *backs, size_t n)
{
    if (!widen(&s->frame_slots, &s->n_frame_slots, s->n_frames, frame_at, s) ||
        !RESERVE(s, frames, 1) || !RESERVE(s, backs, n + 1)) /* never NULL, also for none */
        return UNKNOWN;
    size_t i = hash_frame(backs, n) & (s->n_frame_slots - 1);
    for (; s->frame_slots[i] != UNKNOWN; i = (i + 1) & (s->n_frame_slots - 1)) {
        const struct frame *f = &s->frames[s->frame_slots[i]];
        if (f->n == n && (n == 0 || memcmp(s->backs + f->first, backs, n * sizeof(*backs)) == 0))
            return s->frame_slots[i];
    }
    struct frame f = { .first = s->n_backs, .n = (uint32_t)n };
    for (size_t k = 0; k < n; k++) {
        s->backs[s->n_backs++] = backs[k];
        f.depth = MAX(f.depth, s->frames[backs[k].parent].depth + 1);
    }
    s->frames[s->n_frames] = f;
    s->frame_slots[i] = (uint32_t)s->n_frames;
    return (uint32_t)s->n_frames++;
}

uint32_t store_config(struct store *s, const struct thread *threads, size_t n, bool accepts)
{
    if (!widen(&s->config_slots, &s->n_config_slots, s->n_configs, config_at, s) ||
        !RESERVE(s, configs, 1) || !RESERVE(s, threads, n + 1))
        return UNKNOWN;
    size_t i = hash_config(threads, n, accepts) & (s->n_config_slots - 1);
    for (; s->config_slots[i] != UNKNOWN; i = (i + 1) & (s->n_config_slots - 1)) {
        const struct config *c = &s->configs[s->config_slots[i]];
        if (c->n == n && c->accepts == accepts &&
            (n == 0 || memcmp(s->threads + c->first, threads, n * sizeof(*threads)) == 0))
            return s->config_slots[i];
    }
    if (!reserve((void **)&s->next, s->n_configs * s->n_classes, s->n_classes, &s->cap_next,
                 sizeof(*s->next)))
        return UNKNOWN;
    memset(s->next + s->n_configs * s->n_classes, 0xFF, s->n_classes * sizeof(*s->next));
    s->configs[s->n_configs] = (struct config){ s->n_threads, (uint32_t)n, accepts };
    if (n)
        memcpy(s->threads + s->n_threads, threads, n * sizeof(*threads));
    s->n_threads += n;
    s->config_slots[i] = (uint32_t)s->n_configs;
    return (uint32_t)s->n_configs++;
}

/* A frame's parents have smaller numbers: marking goes down, numbering goes up. */
static bool copy_frames(struct store *to, const struct store *from, uint32_t *number)
{
    struct back *backs = NULL;
    size_t cap = 0;
    bool ok = true;
    for (size_t i = from->n_frames; i-- > 1;) {
        const struct frame *f = &from->frames[i];
        for (size_t k = 0; number[i] != UNKNOWN && k < f->n; k++)
            number[from->backs[f->first + k].parent] = 0;
    }
    for (size_t i = 1; i < from->n_frames && ok; i++) {
        const struct frame *f = &from->frames[i];
        if (number[i] == UNKNOWN)
            continue;
        ok = reserve((void **)&backs, 0, f->n, &cap, sizeof(*backs));
        for (size_t k = 0; k < f->n && ok; k++) {
            backs[k] = from->backs[f->first + k];
            backs[k].parent = number[backs[k].parent];
        }
        ok = ok && (number[i] = store_frame(to, backs, f->n)) != UNKNOWN;
    }
    free(backs);
    return ok;
}

uint32_t store_copy(struct store *to, const struct store *from, uint32_t config)
{
    const struct config *c = &from->configs[config];
    uint32_t *number = malloc(from->n_frames * sizeof(*number));
    struct thread *threads = calloc(c->n + 1u, sizeof(*threads));
    uint32_t out = UNKNOWN;
    if (store_init(to, from->n_classes) && number && threads) {
        memset(number, 0xFF, from->n_frames * sizeof(*number));
        number[FRAME_ROOT] = FRAME_ROOT;
        for (size_t i = 0; i < c->n; i++)
            number[from->threads[c->first + i].frame] = 0;
        if (copy_frames(to, from, number)) {
            for (size_t i = 0; i < c->n; i++) {
                threads[i] = from->threads[c->first + i];
                threads[i].frame = number[threads[i].frame];
            }
            out = store_config(to, threads, c->n, c->accepts);
        }
    }
    free(number);
    free(threads);
    if (out == UNKNOWN)
        store_deinit(to);
    return out;
}
