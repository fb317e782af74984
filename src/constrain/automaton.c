/* constrain/automaton.c: an automaton as others see it; automaton_make.c does the work. */
#include "constrain/automaton_priv.h"

#include <stdlib.h>

#include "base/size.h"
#include "constrain/limits.h"
#include "constrain/quote_text.h"

enum kt_status automaton_create(struct automaton **out, const struct kt_grammar *g,
                                const struct automaton_options *o, struct kt_error *err)
{
    *out = NULL;
    bool quotable = o->quotes && quote_text_has_places(o->quotes);
    const uint64_t *productive = g->productive[quotable];
    if (!bit_has(productive, g->start))
        return kt_fail(err, KT_E_USAGE,
                       "grammar: it has no text without something to quote, and the request has "
                       "nothing that can be quoted");
    struct automaton *a = calloc(1, sizeof(*a));
    if (!a)
        return kt_fail(err, KT_E_NOMEM, "grammar: out of memory");
    a->g = g;
    a->productive = productive;
    a->quotes = quotable ? o->quotes : NULL;
    a->quote_min = o->quote_min;
    a->quote_max = o->quote_max;
    a->work = AUTOMATON_WORK_MAX;
    a->local_of = calloc(g->n_rules, sizeof(*a->local_of));
    a->local_round = calloc(g->n_rules, sizeof(*a->local_round));
    if (!a->local_of || !a->local_round || !store_init(&a->store, g->n_byte_classes)) {
        automaton_give_up(a, KT_E_NOMEM);
    } else {
        a->start = automaton_first(a, o->thinking    ? g->start_thinking
                                      : o->may_think ? g->start_either
                                                     : g->start);
    }
    enum kt_status st = automaton_status(a, err);
    if (st) {
        automaton_destroy(a);
        return st;
    }
    *out = a;
    return KT_OK;
}

void automaton_destroy(struct automaton *a)
{
    if (!a)
        return;
    store_deinit(&a->store);
    free(a->todo);
    free(a->seen);
    free(a->stamp);
    free(a->calls);
    free(a->locals);
    free(a->local_of);
    free(a->local_round);
    free(a->by_rank);
    free(a->backs);
    free(a->threads);
    free(a);
}

uint32_t automaton_start(const struct automaton *a)
{
    return a->start;
}

bool automaton_accepts(const struct automaton *a, uint32_t config)
{
    return a->store.configs[config].accepts;
}

bool automaton_ended(const struct automaton *a, uint32_t config)
{
    return a->store.configs[config].accepts && a->store.configs[config].n == 0;
}

/* The only byte that a thread can take, or -1. */
static int only_byte_of(const struct automaton *a, const struct thread *t)
{
    const struct pstate *s = &a->g->states[t->state];
    if (s->kind == ST_BRANCH) {
        const struct pedge *e = &a->g->edges[s->first];
        return s->n == 1 && e->lo == e->hi ? e->lo : -1;
    }
    struct quote_place p = { t->lo, t->hi, t->depth };
    return quote_place_only_byte(a->quotes, &p);
}

int automaton_only_byte(const struct automaton *a, uint32_t config)
{
    size_t n;
    const struct thread *t = automaton_threads(a, config, &n);
    if (n == 0 || automaton_accepts(a, config))
        return -1;
    int only = only_byte_of(a, &t[0]);
    for (size_t i = 1; i < n && only >= 0; i++)
        if (only_byte_of(a, &t[i]) != only)
            return -1;
    return only;
}

uint32_t automaton_tidy(struct automaton *a, uint32_t config, bool *tidied)
{
    struct store fresh;
    *tidied = false;
    if (a->status || store_bytes(&a->store) < AUTOMATON_KEEP_BYTES)
        return config;
    uint32_t c = store_copy(&fresh, &a->store, config);
    if (c == UNKNOWN) {
        automaton_give_up(a, KT_E_NOMEM);
        return CONFIG_DEAD;
    }
    store_deinit(&a->store);
    a->store = fresh;
    *tidied = true;
    return c;
}

enum kt_status automaton_status(const struct automaton *a, struct kt_error *err)
{
    switch (a->status) {
    case KT_OK:
        return KT_OK;
    case KT_E_LIMIT:
        return kt_fail(err, KT_E_LIMIT,
                       "grammar: too many ways to read the text, or nested deeper than %d; write "
                       "it less ambiguously",
                       AUTOMATON_DEPTH_MAX);
    default:
        return kt_fail(err, a->status, "grammar: out of memory");
    }
}

void automaton_allow_work(struct automaton *a)
{
    a->work = MIN(a->work + AUTOMATON_WORK_TOKEN, (size_t)AUTOMATON_WORK_MAX);
}

const struct thread *automaton_threads(const struct automaton *a, uint32_t config, size_t *n)
{
    *n = a->store.configs[config].n;
    return a->store.threads + a->store.configs[config].first;
}

const uint32_t *automaton_table(const struct automaton *a, size_t *n_classes)
{
    *n_classes = a->store.n_classes;
    return a->store.next;
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* Is 'state' among those with which the rule may begin? Looks at a few only. */
static bool begins_with(const struct kt_grammar *g, uint32_t rule, uint32_t state)
{
    enum { FEW = 32 };
    uint32_t todo[FEW];
    size_t n = 0, n_seen = 0;
    todo[n++] = g->rules[rule].start;
    while (n > 0 && n_seen++ < FEW) {
        uint32_t at = todo[--n];
        const struct pstate *s = &g->states[at];
        if (at == state)
            return true;
        if (s->kind == ST_JUMP && n < FEW)
            todo[n++] = g->rules[s->rule].start;
        for (uint32_t i = 0; s->kind == ST_SPLIT && i < s->n && n < FEW; i++)
            todo[n++] = g->targets[s->first + i];
    }
    return false;
}

uint64_t automaton_run(const struct automaton *a, const struct thread *t, uint32_t *klass)
{
    const struct pstate *s = &a->g->states[t->state];
    uint64_t longest = 0;
    *klass = s->klass;
    if (s->kind != ST_BRANCH || s->klass == NO_CLASS)
        return 0;
    if (s->loops)
        return UINT64_MAX;
    const struct frame *f = &a->store.frames[t->frame];
    for (size_t i = 0; s->returns && i < f->n; i++) {
        const struct back *b = &a->store.backs[f->first + i];
        const struct pstate *r = &a->g->states[b->state];
        if (r->kind != ST_REPEAT || !begins_with(a->g, r->rule, t->state))
            continue;
        uint64_t left = r->max == REPEAT_ENDLESS ? UINT64_MAX : r->max - b->count + 1u;
        longest = MAX(longest, left);
    }
    return longest;
}
