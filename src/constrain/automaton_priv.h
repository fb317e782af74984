/* constrain/automaton_priv.h: frames and configurations by number (automaton_store.c), and what it takes to make one
 * (automaton_make.c). */
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

/* ---- making one ---- */

/* Something that is entered: a state, in a frame, REPEAT's bodies so far. */
struct item {
    uint32_t state, count, frame;
};

struct call { /* one edge of a local frame */
    struct back back;
    uint32_t next; /* of the same local frame; NONE */
};

struct local {
    uint32_t rule, calls, n_calls, number;
    bool returned; /* at the same byte: it was the empty text */
};

struct automaton {
    const struct kt_grammar *g;
    const uint64_t *productive;
    const struct quote_text *quotes;
    size_t quote_min, quote_max;
    struct store store;
    uint32_t start;
    enum kt_status status;
    size_t work; /* threads that may be looked at */

    /* while one is made */
    struct item *todo;
    size_t n_todo, cap_todo;
    struct item *seen; /* [n_slots] what was entered already, in a table */
    uint32_t *stamp;   /* [n_slots] in which round                       */
    size_t n_slots, n_seen;
    uint32_t round;
    struct call *calls;
    size_t n_calls, cap_calls;
    struct local *locals;
    size_t n_locals, cap_locals;
    uint32_t *local_of, *local_round; /* [n_rules] */
    uint32_t *by_rank;
    size_t cap_by_rank;
    struct back *backs;
    size_t cap_backs;
    struct thread *threads;
    size_t n_threads, cap_threads;
    bool accepts;
};

/* Nothing more can be done: everything is dead from now on. */
void automaton_give_up(struct automaton *a, enum kt_status st);
/* The configuration from which a text begins in 'state'. */
uint32_t automaton_first(struct automaton *a, uint32_t state);

#endif
