/* constrain/automaton.h: a text read with a grammar, byte by byte, in all the ways in which it can be read at once.
 *
 * A thread is one way: a state of the program, and the frame in which it stands, which says where its rule returns to.
 * Frames are shared: one stands for every way in which its rule was called at one byte, so that threads number about as
 * many as the grammar is ambiguous, and never grow with the text. A configuration is a set of threads. Frames and
 * configurations are numbered, and equal ones have one number: so what a byte does to a configuration is worked out
 * once and then looked up, as in any automaton with finitely many states. What was looked up lately stays; when it is
 * too much, all that the present configuration does not need is forgotten, between tokens.
 *
 * One owner; the program is shared. */
#ifndef CONSTRAIN_AUTOMATON_H
#define CONSTRAIN_AUTOMATON_H

#include "constrain/program.h"

struct quote_text;

struct automaton;

/* 'quotes' may be NULL: nothing can be quoted. Both are borrowed. KT_E_USAGE: then the grammar has no text. */
struct automaton_options {
    const struct quote_text *quotes;
    size_t quote_min, quote_max;
    bool thinking;  /* a thought is open, which may be anything */
    bool may_think; /* or: one may be opened first              */
};
KT_MUST_CHECK enum kt_status automaton_create(struct automaton **out, const struct kt_grammar *g,
                                              const struct automaton_options *o,
                                              struct kt_error *err);
void automaton_destroy(struct automaton *a);

enum {
    CONFIG_DEAD = 0, /* no text of the grammar begins so */
};
uint32_t automaton_start(const struct automaton *a);
/* The configuration after one more byte. Numbers are good until automaton_tidy(). After a failure (memory, too
 * ambiguous), which automaton_status() tells, everything is dead. */
uint32_t automaton_step(struct automaton *a, uint32_t config, uint8_t byte);
bool automaton_accepts(const struct automaton *a, uint32_t config); /* the text may end here   */
bool automaton_ended(const struct automaton *a, uint32_t config);   /* ... and nothing follows */
/* The only byte that can follow, or -1: there is more than one way. */
int automaton_only_byte(const struct automaton *a, uint32_t config);

/* Forget what 'config' does not need, if there is much. Returns its new number; 'tidied' says whether numbers changed. */
uint32_t automaton_tidy(struct automaton *a, uint32_t config, bool *tidied);
enum kt_status automaton_status(const struct automaton *a, struct kt_error *err);
/* The text is a token longer: some more work may be done (limits.h). */
void automaton_allow_work(struct automaton *a);

/* ---- inside, for masks and quotations ---- */

struct thread {
    uint32_t state, frame;
    /* in a quotation: live places and its length; else 0 */
    uint32_t lo, hi, depth;
};
const struct thread *automaton_threads(const struct automaton *a, uint32_t config, size_t *n);
/* How many characters of which class can certainly follow, at least; 0: of none. */
uint64_t automaton_run(const struct automaton *a, const struct thread *t, uint32_t *klass);

#endif
