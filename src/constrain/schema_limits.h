/* constrain/schema_limits.h: how much a schema, which may be hostile, can take. */
#ifndef CONSTRAIN_SCHEMA_LIMITS_H
#define CONSTRAIN_SCHEMA_LIMITS_H

enum {
    SCHEMA_TEXT_MAX =
        4 << 20, /* bytes of JSON: the largest schemas of programs' settings have 3 MiB */
    SCHEMA_DEPTH_MAX = 128, /* values in values */
    SCHEMA_MEMORY_MAX = 64 << 20,
    SCHEMA_WORK_MAX = 60 << 20, /* steps: some seconds at most */
    SCHEMA_CONJS_MAX = 20000,   /* different combinations of schemas */
    SCHEMA_RULES_MAX = 60000,
    SCHEMA_ATOMS_MAX = 512,    /* alternatives of one value, after everything is multiplied out */
    SCHEMA_BRANCHES_MAX = 256, /* choices in choices */
    SCHEMA_EMPTY_DEPTH = 3,    /* how deep is looked for a reason why a value is impossible */
    SCHEMA_NFA_MAX = 50000,
    SCHEMA_DFA_MAX = 4096,        /* states of the automaton of one string */
    SCHEMA_KINDS_MAX = 2048,      /* kinds of characters that one tells apart */
    SCHEMA_FACTOR_MAX = 4096,     /* multipleOf: states of the remainder */
    SCHEMA_GRAMMAR_MAX = 1 << 20, /* bytes of grammar */
    SCHEMA_STATES_MAX = 20000,    /* combinations of place and count in an object or array */
    SCHEMA_COUNT_MAX =
        1 << 30, /* minLength and the like; above is the same as no limit, or impossible */
    SCHEMA_UNIQUE_ANY_ORDER = 6, /* uniqueItems: up to so many values in any order, 2^n rules */
    SCHEMA_NUMBER_DIGITS = 17,   /* after the point, and before it, that are written */
};

#endif
