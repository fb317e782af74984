/* constrain/automaton_priv.h: frames and configurations by number (automaton_store.c), and how one is made
 * (automaton.c). */
#ifndef CONSTRAIN_AUTOMATON_PRIV_H
#define CONSTRAIN_AUTOMATON_PRIV_H

#include "constrain/automaton.h"

/* To where a frame's rule returns: 'state' in frame 'parent', which has a smaller number. 'count': how often the body of
 * that REPEAT has come then, else 0. */
struct back {
    uint32_t state, count, parent;
};

struct frame {
    size_t first; /* of 'backs' */
    uint32_t n, depth;
};

struct config {
    size_t first; /* of 'threads' */
    uint32_t n;
    bool accepts;
};

enum { FRAME_ROOT = 0, UNKNOWN = UINT32_MAX };

struct store {
    struct frame *frames; /* frame 0 is the root, which returns to the end */
    size_t n_frames, cap_frames;
    struct back *backs;
    size_t n_backs, cap_backs;
    struct config *configs; /* 0 is dead */
    size_t n_configs, cap_configs;
    struct thread *threads;
    size_t n_threads, cap_threads;
    uint32_t *next; /* [n_configs, n_classes] UNKNOWN: not worked out yet */
    size_t cap_next, n_classes;
    uint32_t *frame_slots, *config_slots; /* tables of numbers; UNKNOWN: free */
    size_t n_frame_slots, n_config_slots;
};

/* [n_configs, n_classes] what a byte of a class does; UNKNOWN: ask automaton_step(), which moves it. */
const uint32_t *automaton_table(const struct automaton *a, size_t *n_classes);

bool store_init(struct store *s, size_t n_classes);
void store_deinit(struct store *s);
size_t store_bytes(const struct store *s);
/* The number of what is equal; made if there is none. UNKNOWN: out of memory. The elements are sorted and apart. */
uint32_t store_frame(struct store *s, const struct back *backs, size_t n);
uint32_t store_config(struct store *s, const struct thread *threads, size_t n, bool accepts);
/* A store with only 'config' and what it stands on; its number there. UNKNOWN: out of memory, *to is empty. */
uint32_t store_copy(struct store *to, const struct store *from, uint32_t config);

#endif
