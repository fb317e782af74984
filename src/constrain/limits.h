/* constrain/limits.h: how much a grammar, which may be hostile, can take. */
#ifndef CONSTRAIN_LIMITS_H
#define CONSTRAIN_LIMITS_H

enum {
    /* What is parsed: a schema of thousands of fields, written out, is a tenth of this. */
    GRAMMAR_TEXT_MAX = 1 << 20,
    /* Groups in groups; the parsers and the compiler call themselves once a level. */
    GRAMMAR_NESTING_MAX = 250,
    /* Repetitions are counted and not written out, so that states are about as many as the text has bytes; a class
     * takes up to some dozens. */
    GRAMMAR_STATES_MAX = 1 << 20,
    GRAMMAR_COUNT_MAX = 1 << 30, /* {m,n} */
    GRAMMAR_NAME_MAX = 128,      /* bytes of a rule's name */

    /* Ways in which what was written so far can be read, and frames in which one is. */
    AUTOMATON_THREADS_MAX = 1 << 13,
    AUTOMATON_DEPTH_MAX = 1 << 17,
    /* Bytes of what was worked out and is kept: above the first, what is not needed now is forgotten between
     * tokens; above the second, the grammar is refused. */
    AUTOMATON_KEEP_BYTES = 8 << 20,
    AUTOMATON_MAX_BYTES = 64 << 20,
    /* Threads looked at, each some 20 ns: at most this many more for a token, and that many saved up. JSON takes some
     * thousands. And different ones for one byte, which take memory. */
    AUTOMATON_WORK_TOKEN = 500000,
    AUTOMATON_WORK_MAX = 8000000,
    AUTOMATON_SEEN_MAX = 1 << 17,
};

#endif
