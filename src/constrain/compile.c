/* constrain/compile.c: a grammar's tree as states, made from the end to the beginning: what follows is known when a
 * part is made. */
#include "constrain/program.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "constrain/limits.h"

enum {
    WRITTEN_OUT_MAX = 8, /* repetitions of a class up to here are states, beyond they are counted */
    SMALL_CLASS = 1000,  /* characters: slices of smaller ones are no use (slice.h) */
    CLASSES_MAX = 64,
};

/* ---- growing --------------------------------------------------------------------------------- */

/* Room for one more element at *ptr, or NULL. */
static void *grow(struct kt_grammar *g, void *ptr, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return ptr;
    size_t more = *cap ? *cap * 2 : 64;
    void *p = n < GRAMMAR_STATES_MAX * (size_t)8 ? realloc(ptr, more * size) : NULL;
    if (!p) {
        g->failed = true;
        return NULL;
    }
    *cap = more;
    return p;
}

uint32_t program_state(struct kt_grammar *g, struct pstate s)
{
    void *p = grow(g, g->states, g->n_states, &g->cap_states, sizeof(*g->states));
    if (!p)
        return 0;
    g->states = p;
    g->states[g->n_states] = s;
    return (uint32_t)g->n_states++;
}

void program_edge(struct kt_grammar *g, uint8_t lo, uint8_t hi, uint32_t next)
{
    void *p = grow(g, g->edges, g->n_edges, &g->cap_edges, sizeof(*g->edges));
    if (!p)
        return;
    g->edges = p;
    g->edges[g->n_edges++] = (struct pedge){ lo, hi, next };
}

void program_target(struct kt_grammar *g, uint32_t state)
{
    void *p = grow(g, g->targets, g->n_targets, &g->cap_targets, sizeof(*g->targets));
    if (!p)
        return;
    g->targets = p;
    g->targets[g->n_targets++] = state;
}

static uint32_t add_rule(struct kt_grammar *g)
{
    void *p = grow(g, g->rules, g->n_rules, &g->cap_rules, sizeof(*g->rules));
    if (!p)
        return 0;
    g->rules = p;
    g->rules[g->n_rules] = (struct prule){ 0 };
    return (uint32_t)g->n_rules++;
}

/* ---- words ----------------------------------------------------------------------------------- */

static int by_bytes(const void *pa, const void *pb)
{
    const struct span *a = pa, *b = pb;
    size_t n = MIN(a->len, b->len);
    int c = n ? memcmp(a->ptr, b->ptr, n) : 0;
    return c ? c : (a->len > b->len) - (a->len < b->len);
}

struct level { /* of the tree of words, from its root to where it is being made */
    size_t edges_from;
    bool ends;
};

/* The states of a level whose branches are all made: edges [from, n) of 'pending'. */
static uint32_t close_level(struct kt_grammar *g, const struct level *l,
                            const struct pedge *pending, size_t n, uint32_t next)
{
    if (n == l->edges_from)
        return next;
    struct pstate s = { .kind = ST_BRANCH,
                        .klass = NO_CLASS,
                        .first = (uint32_t)g->n_edges,
                        .n = (uint32_t)(n - l->edges_from) };
    for (size_t i = l->edges_from; i < n; i++)
        program_edge(g, pending[i].lo, pending[i].hi, pending[i].next);
    uint32_t branch = program_state(g, s);
    if (!l->ends)
        return branch;
    s = (struct pstate){
        .kind = ST_SPLIT, .klass = NO_CLASS, .first = (uint32_t)g->n_targets, .n = 2
    };
    program_target(g, next);
    program_target(g, branch);
    return program_state(g, s);
}

/* One of the words, then next. Their common beginnings are one. Sorts them. */
static uint32_t compile_words(struct kt_grammar *g, struct span *words, size_t n, uint32_t next)
{
    size_t longest = 0, total = 0, depth = 0, n_pending = 0;
    for (size_t i = 0; i < n; i++) {
        longest = MAX(longest, words[i].len);
        total += words[i].len;
    }
    qsort(words, n, sizeof(*words), by_bytes);
    struct level *levels = calloc(longest + 1, sizeof(*levels));
    struct pedge *pending = calloc(total + 1, sizeof(*pending));
    struct span prev = { 0 };
    if (!levels || !pending) {
        g->failed = true;
        n = 0;
    }
    for (size_t i = 0; i <= n && levels && pending; i++) {
        struct span w = i < n ? words[i] : (struct span){ 0 };
        size_t shared = 0;
        while (shared < w.len && shared < prev.len && w.ptr[shared] == prev.ptr[shared])
            shared++;
        while (depth > shared) {
            uint32_t s = close_level(g, &levels[depth], pending, n_pending, next);
            n_pending = levels[depth--].edges_from;
            uint8_t byte = (uint8_t)prev.ptr[depth];
            pending[n_pending++] = (struct pedge){ byte, byte, s };
        }
        while (depth < w.len)
            levels[++depth] = (struct level){ n_pending, false };
        if (i < n)
            levels[depth].ends = true;
        prev = w;
    }
    uint32_t start = n ? close_level(g, &levels[0], pending, n_pending, next) : 0;
    free(levels);
    free(pending);
    return start;
}

/* ---- the tree -------------------------------------------------------------------------------- */

static uint32_t compile(struct kt_grammar *g, const struct node *n, uint32_t next);

static uint32_t compile_alt(struct kt_grammar *g, const struct node *n, uint32_t next)
{
    size_t n_ways = 0, n_words = 0, n_starts = 0;
    for (const struct node *c = n->child; c; c = c->next)
        n_ways++;
    struct span *words = calloc(n_ways, sizeof(*words));
    uint32_t *starts = calloc(n_ways, sizeof(*starts));
    if (!words || !starts) {
        g->failed = true;
        n_ways = 0;
    }
    for (const struct node *c = n->child; c && n_ways; c = c->next) {
        if (c->kind == NODE_BYTES)
            words[n_words++] = c->bytes;
        else
            starts[n_starts++] = compile(g, c, next);
    }
    if (n_words)
        starts[n_starts++] = compile_words(g, words, n_words, next);
    uint32_t start = n_starts ? starts[0] : 0;
    if (n_starts > 1) {
        struct pstate s = { .kind = ST_SPLIT,
                            .klass = NO_CLASS,
                            .first = (uint32_t)g->n_targets,
                            .n = (uint32_t)n_starts };
        for (size_t i = 0; i < n_starts; i++)
            program_target(g, starts[i]);
        start = program_state(g, s);
    }
    free(words);
    free(starts);
    return start;
}

/* Children from the last to the first. */
static uint32_t compile_cat(struct kt_grammar *g, const struct node *n, uint32_t next)
{
    size_t n_parts = 0;
    for (const struct node *c = n->child; c; c = c->next)
        n_parts++;
    const struct node **parts = calloc(n_parts, sizeof(*parts));
    if (!parts) {
        g->failed = true;
        return 0;
    }
    size_t i = 0;
    for (const struct node *c = n->child; c; c = c->next)
        parts[i++] = c;
    while (i-- > 0)
        next = compile(g, parts[i], next);
    free(parts);
    return next;
}

static uint32_t split(struct kt_grammar *g, uint32_t a, uint32_t b)
{
    struct pstate s = {
        .kind = ST_SPLIT, .klass = NO_CLASS, .first = (uint32_t)g->n_targets, .n = 2
    };
    program_target(g, a);
    program_target(g, b);
    return program_state(g, s);
}

static bool same_set(const struct charset *a, const struct charset *b)
{
    return a->n == b->n &&
           (a->n == 0 || memcmp(a->ranges, b->ranges, a->n * sizeof(*a->ranges)) == 0);
}

/* The number of a class, if it is not a small one. */
static uint32_t class_of(struct kt_grammar *g, const struct charset *set)
{
    for (size_t i = 0; i < g->n_classes; i++)
        if (same_set(&g->classes[i], set))
            return (uint32_t)i;
    if (g->n_classes == CLASSES_MAX || charset_size(set) <= SMALL_CLASS)
        return NO_CLASS;
    void *p = grow(g, g->classes, g->n_classes, &g->cap_classes, sizeof(*g->classes));
    if (!p)
        return NO_CLASS;
    g->classes = p;
    struct charset copy = { 0 };
    charset_add_set(&copy, set);
    g->failed = g->failed || copy.failed;
    g->classes[g->n_classes] = copy;
    return (uint32_t)g->n_classes++;
}

static uint32_t compile_class(struct kt_grammar *g, const struct charset *set, uint32_t next)
{
    uint32_t s = program_class(g, set, next);
    if (!g->failed) {
        g->states[s].klass = class_of(g, set);
        g->states[s].returns = next == STATE_RETURN;
    }
    return s;
}

/* Any number of characters of a set, in place. */
static uint32_t compile_class_star(struct kt_grammar *g, const struct charset *set, uint32_t next)
{
    uint32_t loop = split(g, 0, next);
    uint32_t s = compile_class(g, set, loop);
    if (!g->failed) {
        g->targets[g->states[loop].first] = s;
        g->states[s].loops = true;
    }
    return loop;
}

/* The body is a rule of its own, whose calls are counted. */
static uint32_t compile_counted(struct kt_grammar *g, const struct node *n, uint32_t next)
{
    uint32_t rule = add_rule(g);
    uint32_t start = compile(g, n->child, STATE_RETURN);
    if (g->failed)
        return 0;
    g->rules[rule].start = start;
    return program_state(g, (struct pstate){ .kind = ST_REPEAT,
                                             .klass = NO_CLASS,
                                             .rule = rule,
                                             .min = n->min,
                                             .max = n->max,
                                             .next = next });
}

static uint32_t compile_repeat(struct kt_grammar *g, const struct node *n, uint32_t next)
{
    const struct node *c = n->child;
    if (n->max == 0)
        return next;
    if (n->max == 1) {
        uint32_t s = compile(g, c, next);
        return n->min ? s : split(g, s, next);
    }
    uint32_t many = n->max == REPEAT_ENDLESS ? n->min : n->max;
    if (c->kind != NODE_CLASS || many > WRITTEN_OUT_MAX)
        return compile_counted(g, n, next);
    uint32_t s = n->max == REPEAT_ENDLESS ? compile_class_star(g, &c->set, next) : next;
    for (uint32_t i = many; i-- > 0;) {
        s = compile_class(g, &c->set, s);
        if (i >= n->min)
            s = split(g, s, next);
    }
    return s;
}

static uint32_t compile(struct kt_grammar *g, const struct node *n, uint32_t next)
{
    if (g->failed || g->n_states > GRAMMAR_STATES_MAX)
        return 0;
    switch (n->kind) {
    case NODE_BYTES:
        return compile_words(g, &(struct span){ n->bytes.ptr, n->bytes.len }, 1, next);
    case NODE_CLASS:
        return compile_class(g, &n->set, next);
    case NODE_CAT:
        return compile_cat(g, n, next);
    case NODE_ALT:
        return compile_alt(g, n, next);
    case NODE_REPEAT:
        return compile_repeat(g, n, next);
    case NODE_RULE:
        return program_state(g, (struct pstate){ .kind = next == STATE_RETURN ? ST_JUMP : ST_CALL,
                                                 .klass = NO_CLASS,
                                                 .rule = n->rule,
                                                 .next = next });
    case NODE_QUOTE:
        g->has_quote = true;
        return program_state(g,
                             (struct pstate){ .kind = ST_QUOTE, .klass = NO_CLASS, .next = next });
    case NODE_BEGIN:
    case NODE_END:
        break;
    }
    g->failed = true; /* the parser left none of those */
    return 0;
}

/* ---- thoughts -------------------------------------------------------------------------------- */

/* Whole characters but '<' and 'byte' lead to where nothing of the mark is written, and stay there. */
static void set_thought_class(struct kt_grammar *g, uint32_t state, uint8_t byte)
{
    struct charset set = { 0 };
    charset_add(&set, '<', '<');
    charset_add(&set, byte, byte);
    charset_settle(&set);
    charset_negate(&set);
    g->failed = g->failed || set.failed;
    g->states[state].klass = class_of(g, &set);
    g->states[state].loops = true;
    charset_deinit(&set);
}

/* Any bytes up to the first "</think>", and then "\n\n" as the layouts have it. '<' stands at the mark's beginning
 * alone, so that a mark that fails begins again there or not at all. */
static uint32_t compile_thought(struct kt_grammar *g, uint32_t next)
{
    static const char MARK[] = "</think>";
    enum { LEN = sizeof(MARK) - 1 };
    uint32_t states[LEN + 1];
    states[LEN] = compile_words(g, &(struct span){ "\n\n", 2 }, 1, next);
    for (size_t i = 0; i < LEN; i++)
        states[i] = program_state(g, (struct pstate){ .kind = ST_BRANCH, .klass = NO_CLASS });
    for (size_t i = 0; i < LEN && !g->failed; i++) {
        uint32_t first = (uint32_t)g->n_edges, from = states[0];
        unsigned lo = 0;
        for (unsigned b = 0; b <= 256; b++) { /* runs of bytes that lead to the same state */
            uint32_t to = b == (uint8_t)MARK[i] ? states[i + 1] : b == '<' ? states[1] : states[0];
            if (b == 256 || (b > 0 && to != from)) {
                program_edge(g, (uint8_t)lo, (uint8_t)(b - 1), from);
                lo = b;
            }
            from = to;
        }
        g->states[states[i]].first = first;
        g->states[states[i]].n = (uint32_t)g->n_edges - first;
        set_thought_class(g, states[i], (uint8_t)MARK[i]);
    }
    return states[0];
}

/* ---- all ------------------------------------------------------------------------------------- */

/* Bytes between which every state makes no difference are of one class. */
static void find_byte_classes(struct kt_grammar *g)
{
    bool cut[257] = { false };
    for (size_t i = 0; i < g->n_edges; i++)
        cut[g->edges[i].lo] = cut[g->edges[i].hi + 1] = true;
    unsigned class = 0;
    for (unsigned b = 0; b < 256; b++) {
        class += b > 0 && (cut[b] || g->has_quote);
        g->byte_class[b] = (uint8_t) class;
    }
    g->n_byte_classes = class + 1u;
}

enum kt_status program_compile(struct kt_grammar *g, const struct ast *a, struct kt_error *err)
{
    program_state(g, (struct pstate){ .kind = ST_RETURN, .klass = NO_CLASS });
    for (size_t i = 0; i < a->n_rules; i++)
        add_rule(g);
    for (size_t i = 0; i < a->n_rules && !g->failed; i++) {
        uint32_t start = compile(g, a->rules[i].body, STATE_RETURN);
        if (!g->failed)
            g->rules[i].start = start;
    }
    uint32_t root = program_state(g, (struct pstate){ .kind = ST_JUMP, .klass = NO_CLASS });
    g->start = root;
    g->start_thinking = compile_thought(g, root);
    g->start_either =
        split(g, root, compile_words(g, &(struct span){ "<think>", 7 }, 1, g->start_thinking));
    if (g->n_states > GRAMMAR_STATES_MAX)
        return kt_fail(err, KT_E_LIMIT, "grammar: it becomes more than %d states; make it smaller",
                       GRAMMAR_STATES_MAX);
    if (g->failed)
        return kt_fail(err, KT_E_NOMEM, "grammar: out of memory");
    find_byte_classes(g);
    return KT_OK;
}
