/* constrain/schema_priv.h: from a JSON Schema to the text of a grammar, for the schema_*.c files.
 *
 *   text --schema_json.c--> struct js --schema_flat.c--> alternatives --schema_value.c--> struct expr --schema_expr.c--> text
 *
 * Nouns: a js is a JSON value that was read, or a schema that we made out of one (the opposite of another, say). A
 * conj is a list of schemas that must hold together for one value; each conj that values of the grammar depend on
 * is one rule. schema_flat.c takes a conj apart into atoms, of which one must hold: in an atom only keywords are left
 * that speak of the value itself and of what is in it, no more of other schemas for the same value. What an atom
 * allows is then written down type by type. Languages of strings and numbers are finite automata (schema_dfa.c), so
 * that they can be intersected and complemented; that is what makes exclusions exact.
 *
 * Everything of one compilation lives in one arena. The first failure is remembered in the compilation, and
 * functions give NULL (or an empty result) from then on. */
#ifndef CONSTRAIN_SCHEMA_PRIV_H
#define CONSTRAIN_SCHEMA_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include "constrain/schema_limits.h"
#include "kontor/schema.h"

/* ---- JSON ------------------------------------------------------------------------------------- */

enum js_kind { JS_NULL, JS_FALSE, JS_TRUE, JS_NUMBER, JS_STRING, JS_ARRAY, JS_OBJECT, JS_NOT };

/* Types of values, as bits. A number is whole or it has a fraction: JSON Schema calls 1.0 an integer. */
enum {
    T_NULL = 1,
    T_BOOLEAN = 2,
    T_INTEGER = 4,
    T_FRACTION = 8,
    T_STRING = 16,
    T_ARRAY = 32,
    T_OBJECT = 64,
    T_NUMBER = T_INTEGER | T_FRACTION,
    T_ALL = 127,
};

/* That an object has some property: whose name is none that 'of', a schema, names or describes by a pattern; or matches
 * the pattern that is the key of 'of'; or does not satisfy 'of'. */
enum js_some { SOME_NOTHING, SOME_OTHER, SOME_PATTERN, SOME_NAME };

/* What schemas of our own making say beyond JSON Schema's keywords. */
struct js_made {
    unsigned types;              /* one of these; 0: says nothing       */
    const struct js *not_in;     /* an array that the value is not in   */
    const struct js *no_pattern; /* a pattern that it does not match    */
    const struct js *no_factor;  /* a number that it is no multiple of  */
    enum js_some some;           /* that the object has such a property ... */
    const struct js *of;
    const struct js *some_value; /* ... whose value satisfies this; NULL: any */
};

struct js {
    enum js_kind kind;
    bool is_checked;      /* the keywords in it have values of the right kind */
    bool is_resource;     /* has an $id: references begin anew here           */
    struct span text;     /* of a string, without escapes; of a number, as it is written */
    struct span key;      /* of a member of an object                         */
    const struct js *up;  /* what it stands in, or was made from              */
    const struct js *arg; /* JS_NOT: of this one                              */
    const struct js_made *made;
    size_t idx;               /* place in 'up', when that is an array */
    const struct js **item;   /* [n_items] in their order             */
    const struct js **sorted; /* [n_items] of an object, by key       */
    size_t n_items;
    struct js *opposite;     /* JS_NOT of this one, once it was wanted  */
    struct list *kept;       /* [N_KEPT] schemas that were made of it    */
    const struct js *target; /* of its $ref, once it was looked up      */
    const struct dfa *dfa;   /* of its pattern, once it was wanted      */
};

/* A pointer list that grows in the arena. */
struct list {
    const void **item;
    size_t n, cap;
};

struct expr;
struct production;
struct dfa;
struct conj;

/* A name that references can use: an $id or an $anchor. */
struct anchor {
    const struct js *resource; /* the anchor's; NULL: 'name' is a whole address */
    struct span name;
    const struct js *node;
    struct anchor *next;
};

struct compilation {
    struct kt_schema_options opts;
    const char *subject; /* for messages: "schema" or "tools" */
    struct arena arena;
    char *room; /* of the arena, not given out */
    size_t n_room, n_bytes;
    enum kt_status st;
    struct kt_error *err;
    const struct js *root;
    const struct js *parameters; /* of the tool whose calls are written; NULL: JSON is */
    struct anchor *anchors;
    size_t n_steps;       /* work done, against hostile schemas */
    unsigned depth;       /* of functions that call themselves   */
    unsigned n_opposites; /* values are asked for what they must not satisfy */
    unsigned n_probes;    /* it is being asked whether a value is possible at all ... */
    bool is_rough;        /* ... and something was taken for more than it allows      */
    struct conj **conjs;  /* [n_conj_slots] a hash table         */
    size_t n_conjs, n_conj_slots;
    struct conj *queue_first, *queue_last; /* whose rules are to be written */
    struct production *rules, *last_rule;
    size_t n_rules;
    struct list categories;       /* of characters: struct category, as they were wanted */
    struct production *shared[8]; /* "string", "integer", ... once they were wanted */
};

/* Zeroed memory; NULL after the first failure, which may be this one. */
void *sc_alloc(struct compilation *c, size_t n, size_t size);
struct span sc_copy(struct compilation *c, struct span s);
/* What b holds, copied; b is empty afterwards. */
struct span sc_taken(struct compilation *c, struct buf *b);
/* Counts n steps of work; false when there were too many. */
bool sc_work(struct compilation *c, size_t n);
/* Records the first failure. 'at' (may be NULL) gives the pointer, 'keyword' (may be NULL) its last part. */
void sc_fail(struct compilation *c, enum kt_status st, const struct js *at, const char *keyword,
             const char *fmt, ...) KT_PRINTF(5, 6);

void list_push(struct compilation *c, struct list *l, const void *p);

int sc_compare_spans(struct span a, struct span b); /* as memcmp(), the shorter first */

/* Strictly: no doubled keys, no ill-formed UTF-8, nothing after the value. NULL after a failure. */
struct js *js_parse(struct compilation *c, struct span text);
const struct js *js_get(const struct js *obj, const char *key);
const struct js *js_get_span(const struct js *obj, struct span key);
bool js_is_true(const struct js *v);
bool js_equal(struct compilation *c, const struct js *a, const struct js *b);
/* Bits of what types a value is of: exactly one. */
unsigned js_type(struct compilation *c, const struct js *v);
/* Append s as a JSON string with its marks. */
void js_write_string(struct buf *out, struct span s);

/* Making schemas. 'from' is where they come from, for messages. */
struct js *js_new(struct compilation *c, enum js_kind kind, const struct js *from);
struct js *js_new_bool(struct compilation *c, bool v, const struct js *from);
struct js *js_new_number(struct compilation *c, uint64_t v, const struct js *from);
struct js *js_new_string(struct compilation *c, const char *s, const struct js *from);
/* v is copied (one level), so that the same value can stand in several. */
void js_put(struct compilation *c, struct js *obj, struct span key, const struct js *v);
void js_put_str(struct compilation *c, struct js *obj, const char *key, const struct js *v);
void js_push(struct compilation *c, struct js *array, const struct js *v);

/* ---- decimal numbers -------------------------------------------------------------------------- */

/* (-1)^negative x 0.digits x 10^point; without zeros at either end; zero has no digits. */
struct decimal {
    bool negative;
    const char *digit; /* [n_digits] '0'..'9' */
    size_t n_digits;
    long point;
};
/* The number that 'text', JSON, is. False: an exponent beyond what we count with. */
bool decimal_read(struct compilation *c, struct decimal *out, struct span text);
int decimal_compare(const struct decimal *a, const struct decimal *b);
bool decimal_is_whole(const struct decimal *d);
void decimal_write(struct buf *out, const struct decimal *d);
/* d as an unsigned whole number, at most max; false: it is none. */
bool decimal_u64(const struct decimal *d, uint64_t max, uint64_t *out);

/* ---- schemas ---------------------------------------------------------------------------------- */

/* Are the values of the known keywords of the right kind, here and in every schema below? Collects $id and $anchor. */
void sc_check(struct compilation *c, struct js *schema);
/* What the $ref of 'node' stands for; NULL after a failure. */
const struct js *sc_target(struct compilation *c, const struct js *node);
bool sc_says_nothing(const struct js *schema); /* it has no keyword that restricts a value */
unsigned sc_types(struct compilation *c, const struct js *node); /* what "type" allows */

struct conj {
    const struct js **node; /* [n_nodes] */
    size_t n_nodes;
    uint64_t hash;
    struct production *rule; /* NULL: not wanted yet */
    struct conj *next_queued;
    struct atom *atoms; /* once they were wanted */
    bool is_flat, is_busy;
    signed char empty_at[SCHEMA_EMPTY_DEPTH + 1]; /* 0: not known */
};
/* The one with these schemas, without doubles and 'true'. */
const struct conj *conj_of(struct compilation *c, const struct list *nodes);
const struct conj *conj_of_one(struct compilation *c, const struct js *node);

/* Schemas that are made of one, each kind once. */
enum kept_kind {
    KEPT_ANY_OF,
    KEPT_ONE_OF,
    KEPT_IF,
    KEPT_DEPENDENT,
    KEPT_NEGATED,
    KEPT_CONST,
    N_KEPT
};
typedef void (*make_fn)(struct compilation *c, const struct js *node, struct list *out);
const struct list *sc_kept(struct compilation *c, const struct js *node, enum kept_kind kind,
                           make_fn make);
struct list *sc_kept_list(struct compilation *c, const struct js *node, enum kept_kind kind);
void make_any_of(struct compilation *c, const struct js *node, struct list *out);
void make_one_of(struct compilation *c, const struct js *node, struct list *out);
void make_if(struct compilation *c, const struct js *node, struct list *out);
/* Pairs: without the key, with it and with what it wants. */
void make_dependent(struct compilation *c, const struct js *node, struct list *out);
/* What does not satisfy 'arg'; and that as a list of schemas, of which one holds. */
const struct js *js_not(struct compilation *c, const struct js *arg);
const struct list *sc_negated(struct compilation *c, const struct js *node);

/* Schemas of the first items, NULL: none have their own; and of all behind them. Before 2020-12 these were items, as an
 * array, and additionalItems. */
const struct js *sc_prefix(const struct js *node);
const struct js *sc_items(const struct js *node);

/* One occurrence of a schema in an atom. */
struct occ {
    const struct js *node;
    const struct occ *up;       /* the schema through which it came in */
    bool is_mute;               /* came through a negation: says nothing about what was evaluated */
    const struct occ *original; /* which 'up' of others names */
    const struct occ *next;
};
struct atom {
    const struct occ *occs; /* in the order of the schema */
    unsigned types;
    const struct js *values; /* an array: one of these; NULL: whatever */
    struct atom *next;
};
/* The alternatives; NULL: none, or a failure. */
struct atom *conj_atoms(struct compilation *c, const struct conj *cj);
/* True: no value satisfies it. False: one may. */
bool conj_is_empty(struct compilation *c, const struct conj *cj, unsigned depth);
/* Does 'v' satisfy the schema; does it what the schema's own keywords say, without those that combine schemas? */
bool sc_holds(struct compilation *c, const struct js *v, const struct js *schema);
bool sc_holds_plain(struct compilation *c, const struct js *v, const struct js *schema);
/* Is the name one of those that m->some speaks of? */
bool sc_some_name(struct compilation *c, struct span key, const struct js_made *m);
bool atom_holds(struct compilation *c, const struct js *v, const struct atom *a);

/* ---- sets of characters, automata -------------------------------------------------------------- */

struct range {
    uint32_t lo, hi; /* both in it */
};
struct cset { /* sorted, apart, not adjacent; no surrogates */
    struct range *range;
    size_t n_ranges;
};
enum { CP_MAX = 0x10FFFF };
/* Sorts and joins what is in 'ranges' (n of them). */
struct cset cset_of(struct compilation *c, const struct range *ranges, size_t n);
struct cset cset_all(struct compilation *c);
struct cset cset_not(struct compilation *c, struct cset a);
struct cset cset_and(struct compilation *c, struct cset a, struct cset b);
struct cset cset_or(struct compilation *c, struct cset a, struct cset b);
bool cset_has(struct cset a, uint32_t cp);
bool cset_equal(struct cset a, struct cset b);

/* A complete deterministic automaton over characters. State 0 is where nothing is accepted any more. */
struct dfa {
    uint32_t *cut;     /* [n_cuts] where intervals of characters begin; the first is 0 */
    uint16_t *kind_of; /* [n_cuts] of the characters of an interval; NO_KIND: surrogates */
    size_t n_cuts, n_kinds;
    uint32_t *next; /* [n_states, n_kinds] */
    bool *accepts;  /* [n_states]          */
    size_t n_states;
    uint32_t start;
};
enum { NO_KIND = UINT16_MAX };

/* Nodes of an automaton that may be in several states at once. */
struct nfa {
    struct nfa_node *node;
    size_t n_nodes, cap_nodes;
    size_t max; /* at most */
};
enum nfa_kind { NFA_SPLIT, NFA_SET, NFA_BEGIN, NFA_END, NFA_ACCEPT };
struct nfa_node {
    enum nfa_kind kind;
    uint32_t out[2]; /* SPLIT: both; SET, BEGIN, END: the first. UINT32_MAX: none */
    struct cset set;
};
uint32_t nfa_add(struct compilation *c, struct nfa *n, enum nfa_kind kind, uint32_t out0,
                 uint32_t out1);
/* Fails when n states are too many. */
bool dfa_too_many(struct compilation *c, size_t n, const struct js *at, const char *what);
/* NULL after a failure. 'what' is named when it would become too large. */
const struct dfa *dfa_of_nfa(struct compilation *c, const struct nfa *n, uint32_t start,
                             const struct js *at, const char *what);
const struct dfa *dfa_and(struct compilation *c, const struct dfa *a, const struct dfa *b,
                          const struct js *at, const char *what);
const struct dfa *dfa_not(struct compilation *c, const struct dfa *a);
const struct dfa *dfa_or(struct compilation *c, const struct dfa *a, const struct dfa *b,
                         const struct js *at, const char *what);
/* The smallest automaton with the same language. */
const struct dfa *dfa_small(struct compilation *c, const struct dfa *a);
bool dfa_is_empty(const struct dfa *a); /* of dfa_small()'s results */
bool dfa_accepts(const struct dfa *a, struct span text);
/* Exactly these strings. */
const struct dfa *dfa_of_words(struct compilation *c, const struct span *words, size_t n,
                               const struct js *at);
/* Every string of n_min to n_max characters of the set (UINT32_MAX: no end). */
const struct dfa *dfa_of_run(struct compilation *c, struct cset set, uint32_t n_min, uint32_t n_max,
                             const struct js *at);
/* The characters that lead from one state to another. */
struct cset dfa_between(struct compilation *c, const struct dfa *a, uint32_t from, uint32_t to);

/* A pattern of ECMAScript, found anywhere in the string. If it is nothing but a run of characters of one set from
 * end to end, *run is true and set, n_min and n_max say so, and NULL is given. */
struct run {
    bool is_run;
    struct cset set;
    uint32_t n_min, n_max; /* UINT32_MAX: no end */
};
const struct dfa *regex_dfa(struct compilation *c, struct span pattern, const struct js *at,
                            const char *keyword, struct run *run);
/* Such a pattern, if it is tied to both ends, as an expression; NULL: it is not, or there was a failure. */
typedef const struct expr *(*spell_fn)(struct compilation *c, struct cset set);
const struct expr *regex_expr(struct compilation *c, struct span pattern, spell_fn spell);
/* The pattern of a format's strings. Empty: a format that nobody knows, which says nothing; or a failure. */
struct span format_pattern(struct compilation *c, const struct js *format);
/* int32 and the like, which are limits of numbers. False: none. */
bool format_limits(struct span format, const char **min, const char **max);

/* ---- numbers ---------------------------------------------------------------------------------- */

/* What an atom says about numbers, as text: whole numbers without fraction, none with an exponent. NULL: nothing but
 * the type; *is_free is then true. */
const struct dfa *number_dfa(struct compilation *c, const struct atom *a, bool *is_free);
bool number_is_multiple(struct compilation *c, struct span number, const struct js *factor);

/* ---- strings ---------------------------------------------------------------------------------- */

struct
    strings { /* a language: runs of a set, of a length; and, if there is one, in the automaton's */
    struct run run;
    const struct dfa *dfa;
    bool is_free;        /* every string */
    unsigned n_parts;    /* of which dfa was made */
    struct span pattern; /* the last one; when it is the only part, it can be written as it is */
};
struct strings atom_strings(struct compilation *c, const struct atom *a);
/* The strings that satisfy all of them, as one automaton: for the names of properties. */
const struct dfa *conj_strings(struct compilation *c, const struct conj *cj, const struct js *at);
const struct dfa *strings_dfa(struct compilation *c, const struct strings *s, const struct js *at);

/* ---- grammar ---------------------------------------------------------------------------------- */

enum expr_kind { EX_NEVER, EX_EMPTY, EX_BYTES, EX_SET, EX_CAT, EX_ALT, EX_REPEAT, EX_RULE };
enum { EX_ENDLESS = UINT32_MAX };
struct expr {
    enum expr_kind kind;
    struct span bytes;
    struct cset set;
    const struct expr **child;
    size_t n_children;
    uint32_t min, max;
    struct production *rule;
};
struct production {
    struct span name; /* a wish; a number is put behind it when it is taken */
    const struct expr *body;
    struct production *next;
    bool is_productive, is_reachable;
    struct list users; /* rules that use it, while productive ones are found */
    unsigned name_count, n_same;
};

const struct expr *ex_never(struct compilation *c);
const struct expr *ex_empty(struct compilation *c);
const struct expr *ex_bytes(struct compilation *c, struct span s); /* copied */
const struct expr *ex_str(struct compilation *c, const char *s);
const struct expr *ex_set(struct compilation *c, struct cset set);
const struct expr *ex_cat(struct compilation *c, const struct expr *a, const struct expr *b);
const struct expr *ex_cat3(struct compilation *c, const struct expr *a, const struct expr *b,
                           const struct expr *d);
const struct expr *ex_or(struct compilation *c, const struct expr *a, const struct expr *b);
/* Of many: the list holds struct expr. */
const struct expr *ex_all(struct compilation *c, const struct list *l);
const struct expr *ex_any(struct compilation *c, const struct list *l);
const struct expr *ex_repeat(struct compilation *c, const struct expr *e, uint32_t min,
                             uint32_t max);
const struct expr *ex_rule(struct compilation *c, struct production *r);
struct production *rule_new(struct compilation *c, struct span name);
/* The language of an automaton, with each character spelled as 'spell' does. */
const struct expr *ex_dfa(struct compilation *c, const struct dfa *d, spell_fn spell);
const struct expr *spell_plain(struct compilation *c, struct cset set);
const struct expr *spell_json(struct compilation *c, struct cset set);
/* Strings between their marks; the language of 's'. */
const struct expr *ex_strings(struct compilation *c, const struct strings *s);
const struct expr *ex_any_string(struct compilation *c);
/* The text of the grammar; rules from which nothing can be written are gone. */
void grammar_write(struct compilation *c, struct buf *out, struct production *root);

/* ---- values ----------------------------------------------------------------------------------- */

/* What a conj allows, as JSON: the use of a rule, which is written later. */
const struct expr *conj_expr(struct compilation *c, const struct conj *cj);
/* Write the rules that are wanted, until there are no more. */
void sc_write_rules(struct compilation *c);
/* ":" and "," with the spaces that may follow. */
const struct expr *ex_colon(struct compilation *c);
const struct expr *ex_comma(struct compilation *c);

/* Beside what stands in brackets; a key with its colon; a value that is given. */
const struct expr *ex_edge(struct compilation *c);
const struct expr *ex_key(struct compilation *c, struct span key);
const struct expr *ex_literal(struct compilation *c, const struct js *v);

/* Parts in their order, those that are not required may be left out, then any number of others; lo to hi in all
 * (UINT64_MAX: no end), 'between' them. */
struct part {
    const struct expr *expr;
    bool is_required;
};
const struct expr *ex_row(struct compilation *c, const struct part *part, size_t n, uint64_t lo,
                          uint64_t hi, const struct expr *between, const struct expr *other);

/* How members of an object are written: as JSON, in braces and with commas; or one after the other and only those that
 * are named. */
struct member_style {
    const struct expr *(*member)(struct compilation *c, struct span key, const struct conj *value);
    bool is_json;
};
extern const struct member_style JSON_MEMBERS;
const struct expr *object_expr(struct compilation *c, const struct atom *a,
                               const struct member_style *style);
const struct expr *array_expr(struct compilation *c, const struct atom *a);
const struct expr *atom_expr(struct compilation *c, const struct atom *a);
/* The narrowest of all minX and maxX. */
void atom_counts(struct compilation *c, const struct atom *a, const char *min, const char *max,
                 uint64_t *lo, uint64_t *hi);
/* Raises *lo where the value must not be the empty array or object; refuses other values that it must not equal. */
void atom_unequal(struct compilation *c, const struct atom *a, enum js_kind kind, uint64_t *lo);
/* Values an atom cannot do without: is there one that it can never have? */
bool object_is_empty(struct compilation *c, const struct atom *a, unsigned depth);
bool array_is_empty(struct compilation *c, const struct atom *a, unsigned depth);

/* Everything from options to text; 'build' makes the root rule. */
typedef struct production *(*build_fn)(struct compilation *c, void *ctx);
enum kt_status sc_compile(char **text, size_t *len, struct span json, const char *subject,
                          const struct kt_schema_options *opts, build_fn build, void *ctx,
                          struct kt_error *err);

#endif
