/* constrain/program.h: a compiled grammar: states between the bytes of a text.
 *
 * A state says what may come next. Rules are called and return, as procedures do, so that a rule may use itself; what
 * is called last in a rule is jumped to instead, so that a list written by recursion takes no stack. Repetitions are
 * counted on that stack, so that {0,1000} takes as many states as *.
 *
 *   BRANCH  one of some bytes, each with its next state
 *   SPLIT   several states at once, without a byte
 *   JUMP    to where a rule begins
 *   CALL    the same, and then 'next'
 *   REPEAT  the rule 'rule' min to max times, and then 'next'
 *   QUOTE   a quotation of the sources, and then 'next'
 *   RETURN  to whoever called; always state 0
 */
#ifndef CONSTRAIN_PROGRAM_H
#define CONSTRAIN_PROGRAM_H

#include "base/status.h"
#include "constrain/ast.h"
#include "kontor/constrain.h"

enum state_kind { ST_RETURN, ST_BRANCH, ST_SPLIT, ST_JUMP, ST_CALL, ST_REPEAT, ST_QUOTE };

enum { STATE_RETURN = 0, NO_CLASS = UINT32_MAX };

struct pstate {
    uint8_t kind;
    bool loops, returns; /* BRANCH of a class: behind it comes one of it again; a RETURN */
    uint32_t klass;      /* BRANCH: a character of classes[klass] begins here; NO_CLASS  */
    uint32_t first, n;   /* BRANCH: edges; SPLIT: targets                               */
    uint32_t next, rule;
    uint32_t min, max; /* REPEAT                                                      */
};

struct pedge {
    uint8_t lo, hi; /* bytes, both in it */
    uint32_t next;
};

struct prule {
    uint32_t start; /* state */
    /* Of two rules begun at the same byte, the caller has the larger one. */
    uint32_t rank;
    bool nullable;
};

struct kt_grammar {
    struct pstate *states;
    size_t n_states, cap_states;
    struct pedge *edges;
    size_t n_edges, cap_edges;
    uint32_t *targets;
    size_t n_targets, cap_targets;
    struct prule *rules; /* of the grammar, and one for each repetition's body; rule 0 begins */
    size_t n_rules, cap_rules;
    struct charset *classes; /* not the smallest */
    size_t n_classes, cap_classes;
    /* Bits: the state can lead to an end; without and with something to quote. */
    uint64_t *productive[2];
    bool has_quote;
    uint32_t start;          /* state                                                           */
    uint32_t start_thinking; /* state: any text up to </think>, two line ends, and then 'start' */
    uint32_t start_either;   /* state: 'start', or <think> and then 'start_thinking'            */
    uint8_t byte_class[256]; /* bytes that no state tells apart                              */
    size_t n_byte_classes;
    bool failed; /* out of memory, while it is made */
};

/* The rules of 'a' as states. s is for messages. */
KT_MUST_CHECK enum kt_status program_compile(struct kt_grammar *g, const struct ast *a,
                                             struct kt_error *err);
/* What can be completed, what is nullable, in which order rules call. *bad_rule is the rule (of the ast) that cannot
 * be completed, or that calls itself at its beginning. */
KT_MUST_CHECK enum kt_status program_check(struct kt_grammar *g, size_t *bad_rule,
                                           struct kt_error *err);

/* ---- making ---- */
uint32_t program_state(struct kt_grammar *g, struct pstate s); /* its index; 0 when out of memory */
void program_edge(struct kt_grammar *g, uint8_t lo, uint8_t hi, uint32_t next);
void program_target(struct kt_grammar *g, uint32_t state);
/* A character of 'set', then 'next'. */
uint32_t program_class(struct kt_grammar *g, const struct charset *set, uint32_t next);

static inline bool bit_has(const uint64_t *bits, size_t i)
{
    return bits[i / 64] >> (i % 64) & 1;
}
static inline void bit_set(uint64_t *bits, size_t i)
{
    bits[i / 64] |= (uint64_t)1 << (i % 64);
}

#endif
