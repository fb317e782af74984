/* constrain/schema_string.c: which strings an atom allows: a run of characters of one set with a length, as long as that is
 * enough, since runs are counted and cost nothing however long; and an automaton for everything else. */
#include "constrain/schema_priv.h"

#include "base/size.h"

static void meet(struct compilation *c, struct strings *s, const struct dfa *d, const struct js *at)
{
    s->n_parts++;
    s->is_free = false;
    s->dfa = !s->dfa || !d ? d : dfa_and(c, s->dfa, d, at, "the string's patterns together");
}

static void meet_run(struct compilation *c, struct strings *s, struct cset set, uint32_t min,
                     uint32_t max)
{
    s->is_free = false;
    s->run.set = cset_and(c, s->run.set, set);
    s->run.n_min = MAX(s->run.n_min, min);
    s->run.n_max = MIN(s->run.n_max, max);
}

static void meet_pattern(struct compilation *c, struct strings *s, struct span pattern,
                         const struct js *at)
{
    struct run run;
    const struct dfa *d = regex_dfa(c, pattern, at, NULL, &run);
    if (run.is_run) {
        meet_run(c, s, run.set, run.n_min, run.n_max);
    } else {
        meet(c, s, d, at);
        s->pattern = pattern;
    }
}

static uint32_t length(struct compilation *c, const struct js *v, uint32_t otherwise)
{
    struct decimal d;
    uint64_t n;
    if (!v || !decimal_read(c, &d, v->text))
        return otherwise;
    return decimal_u64(&d, SCHEMA_COUNT_MAX, &n) ? (uint32_t)n : SCHEMA_COUNT_MAX;
}

static void meet_made(struct compilation *c, struct strings *s, const struct js *node)
{
    const struct js_made *m = node->made;
    if (m->no_pattern) {
        const struct dfa *d = regex_dfa(c, m->no_pattern->text, m->no_pattern, NULL, NULL);
        meet(c, s, dfa_not(c, d), node);
    }
    if (!m->not_in)
        return;
    struct span *words = sc_alloc(c, m->not_in->n_items + 1, sizeof(*words));
    size_t n = 0;
    for (size_t i = 0; words && i < m->not_in->n_items; i++) {
        if (m->not_in->item[i]->kind == JS_STRING)
            words[n++] = m->not_in->item[i]->text;
    }
    if (n)
        meet(c, s, dfa_not(c, dfa_of_words(c, words, n, node)), node);
}

struct strings atom_strings(struct compilation *c, const struct atom *a)
{
    struct strings s = { .run = { .set = cset_all(c), .n_max = UINT32_MAX }, .is_free = true };
    for (const struct occ *o = a->occs; o && !c->st; o = o->next) {
        const struct js *min = js_get(o->node, "minLength"), *max = js_get(o->node, "maxLength"),
                        *pattern = js_get(o->node, "pattern"), *format = js_get(o->node, "format");
        if (min || max)
            meet_run(c, &s, cset_all(c), length(c, min, 0), length(c, max, UINT32_MAX));
        if (pattern)
            meet_pattern(c, &s, pattern->text, pattern);
        struct span known = format ? format_pattern(c, format) : (struct span){ 0 };
        if (known.ptr && !c->st)
            meet_pattern(c, &s, known, format);
        if (o->node->made)
            meet_made(c, &s, o->node);
    }
    if (s.dfa && !c->st) {
        /* A pattern that everything matches is none. */
        const struct dfa *d = s.dfa;
        if (d->n_states == 2 && d->start == 1 && d->accepts[1] && d->n_kinds == 1 &&
            d->next[1] == 1)
            s.dfa = NULL;
    }
    bool whole =
        s.run.n_min == 0 && s.run.n_max == UINT32_MAX && cset_equal(s.run.set, cset_all(c));
    if (s.dfa && !whole) {
        s.dfa = strings_dfa(c, &s, a->occs->node);
        s.run = (struct run){ .set = cset_all(c), .n_max = UINT32_MAX };
        s.n_parts = 2;
    }
    return s;
}

const struct dfa *strings_dfa(struct compilation *c, const struct strings *s, const struct js *at)
{
    if (c->st)
        return NULL;
    if (s->run.n_max < s->run.n_min)
        return dfa_of_words(c, NULL, 0, at);
    const struct dfa *run = dfa_of_run(c, s->run.set, s->run.n_min, s->run.n_max, at);
    return s->dfa && run ? dfa_and(c, s->dfa, run, at, "pattern and length of a string together")
                         : run;
}

const struct dfa *conj_strings(struct compilation *c, const struct conj *cj, const struct js *at)
{
    const struct dfa *all = dfa_of_words(c, NULL, 0, at);
    for (const struct atom *a = conj_atoms(c, cj); a && !c->st; a = a->next) {
        if (!(a->types & T_STRING))
            continue;
        const struct dfa *d;
        if (a->values) {
            struct span *words = sc_alloc(c, a->values->n_items + 1, sizeof(*words));
            size_t n = 0;
            for (size_t i = 0; words && i < a->values->n_items; i++) {
                const struct js *v = a->values->item[i];
                if (v->kind == JS_STRING && atom_holds(c, v, a))
                    words[n++] = v->text;
            }
            d = dfa_of_words(c, words, n, at);
        } else {
            struct strings s = atom_strings(c, a);
            d = strings_dfa(c, &s, at);
        }
        all = dfa_or(c, all, d, at, "the names of properties");
    }
    return c->st ? NULL : all;
}
