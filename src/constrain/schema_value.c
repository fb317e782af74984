/* constrain/schema_value.c: what an atom allows, type by type, as an expression; and the queue of rules. */
#include "constrain/schema_priv.h"

#include <string.h>

#include "base/size.h"

enum { SHARED_INTEGER = 2, SHARED_NUMBER };

/* ---- spaces -------------------------------------------------------------------------------------- */

static const struct expr *line(struct compilation *c)
{
    const struct expr *space = ex_str(c, " ");
    return ex_cat(c, ex_str(c, "\n"), ex_repeat(c, space, 0, 16));
}

/* Inside brackets, beside them. */
const struct expr *ex_edge(struct compilation *c)
{
    return c->opts.space == KT_SCHEMA_SPACE_LINES ? ex_repeat(c, line(c), 0, 1) : ex_empty(c);
}

const struct expr *ex_colon(struct compilation *c)
{
    const struct expr *space = ex_repeat(c, ex_str(c, " "), 0, 1);
    return c->opts.space == KT_SCHEMA_SPACE_NONE ? ex_str(c, ":")
                                                 : ex_cat(c, ex_str(c, ":"), space);
}

const struct expr *ex_comma(struct compilation *c)
{
    const struct expr *space = ex_str(c, " ");
    if (c->opts.space == KT_SCHEMA_SPACE_NONE)
        return ex_str(c, ",");
    if (c->opts.space == KT_SCHEMA_SPACE_LINES)
        space = ex_or(c, space, line(c));
    return ex_cat(c, ex_str(c, ","), ex_repeat(c, space, 0, 1));
}

/* ---- values that are given ------------------------------------------------------------------------ */

/* Calls are read by what does not know the character 0. */
static bool is_unreadable(struct compilation *c, struct span text)
{
    return c->parameters && text.len && memchr(text.ptr, 0, text.len);
}

const struct expr *ex_literal(struct compilation *c, const struct js *v)
{
    static const char *const WORDS[] = { "null", "false", "true" };
    struct buf text = { 0 };
    struct decimal d;
    if (v->kind == JS_STRING && is_unreadable(c, v->text))
        return ex_never(c);
    if (v->kind == JS_ARRAY || v->kind == JS_OBJECT) {
        bool object = v->kind == JS_OBJECT;
        struct list parts = { 0 };
        list_push(c, &parts, ex_str(c, object ? "{" : "["));
        list_push(c, &parts, v->n_items ? ex_edge(c) : ex_empty(c));
        for (size_t i = 0; i < v->n_items && !c->st; i++) {
            list_push(c, &parts, i ? ex_comma(c) : ex_empty(c));
            if (object)
                list_push(c, &parts, ex_key(c, v->item[i]->key));
            list_push(c, &parts, ex_literal(c, v->item[i]));
        }
        list_push(c, &parts, v->n_items ? ex_edge(c) : ex_empty(c));
        list_push(c, &parts, ex_str(c, object ? "}" : "]"));
        return ex_all(c, &parts);
    }
    if (v->kind == JS_STRING)
        js_write_string(&text, v->text);
    else if (v->kind != JS_NUMBER)
        buf_append_str(&text, WORDS[v->kind]);
    else if (decimal_read(c, &d, v->text))
        decimal_write(&text, &d);
    return ex_bytes(c, sc_taken(c, &text));
}

const struct expr *ex_key(struct compilation *c, struct span key)
{
    struct buf text = { 0 };
    if (is_unreadable(c, key))
        return ex_never(c);
    js_write_string(&text, key);
    return ex_cat(c, ex_bytes(c, sc_taken(c, &text)), ex_colon(c));
}

/* ---- numbers -------------------------------------------------------------------------------------- */

static const struct expr *free_number(struct compilation *c, bool whole)
{
    static const char *const PATTERNS[] = {
        "^(0|-?[1-9][0-9]{0,17})$",
        "^-?(0|[1-9][0-9]{0,14})(\\.[0-9]{1,15})?([eE][+-]?[0-9]{1,2})?$",
    };
    int i = whole ? SHARED_INTEGER : SHARED_NUMBER;
    if (!c->shared[i]) {
        c->shared[i] = rule_new(c, whole ? SPAN("integer") : SPAN("number"));
        if (c->shared[i])
            c->shared[i]->body = regex_expr(c, span_of(PATTERNS[!whole]), spell_plain);
    }
    return c->shared[i] ? ex_rule(c, c->shared[i]) : NULL;
}

static const struct expr *number_expr(struct compilation *c, const struct atom *a)
{
    bool is_free;
    const struct dfa *d = number_dfa(c, a, &is_free);
    return is_free ? free_number(c, !(a->types & T_FRACTION)) : ex_dfa(c, d, spell_plain);
}

/* ---- atoms ---------------------------------------------------------------------------------------- */

const struct expr *atom_expr(struct compilation *c, const struct atom *a)
{
    struct list ways = { 0 };
    if (a->values) {
        for (size_t i = 0; i < a->values->n_items && !c->st; i++) {
            if (atom_holds(c, a->values->item[i], a))
                list_push(c, &ways, ex_literal(c, a->values->item[i]));
        }
        return ex_any(c, &ways);
    }
    if (a->types & T_STRING) {
        struct strings s = atom_strings(c, a);
        list_push(c, &ways, ex_strings(c, &s));
    }
    if (a->types & T_NUMBER)
        list_push(c, &ways, number_expr(c, a));
    if (a->types & T_BOOLEAN) {
        bool no_true = false, no_false = false;
        for (const struct occ *o = a->occs; o; o = o->next) {
            const struct js *list = o->node->made ? o->node->made->not_in : NULL;
            for (size_t i = 0; list && i < list->n_items; i++) {
                no_true = no_true || list->item[i]->kind == JS_TRUE;
                no_false = no_false || list->item[i]->kind == JS_FALSE;
            }
        }
        list_push(c, &ways, no_true ? ex_never(c) : ex_str(c, "true"));
        list_push(c, &ways, no_false ? ex_never(c) : ex_str(c, "false"));
    }
    if (a->types & T_NULL) {
        bool no_null = false;
        for (const struct occ *o = a->occs; o; o = o->next) {
            const struct js *list = o->node->made ? o->node->made->not_in : NULL;
            for (size_t i = 0; list && i < list->n_items; i++)
                no_null = no_null || list->item[i]->kind == JS_NULL;
        }
        list_push(c, &ways, no_null ? ex_never(c) : ex_str(c, "null"));
    }
    if (a->types & T_ARRAY)
        list_push(c, &ways, array_expr(c, a));
    if (a->types & T_OBJECT)
        list_push(c, &ways, object_expr(c, a, &JSON_MEMBERS));
    return ex_any(c, &ways);
}

/* A name for people who read the grammar: the last key on the way to the schema. */
static struct span wish(const struct conj *cj)
{
    const struct js *node = cj->n_nodes ? cj->node[0] : NULL;
    if (!node)
        return SPAN("value");
    for (; node; node = node->up) {
        bool keyed = node->up && node->up->kind == JS_OBJECT && node->key.len;
        if (keyed && !span_eq(node->key, SPAN("items")) && !span_eq(node->key, SPAN("anyOf")))
            return node->key;
    }
    return SPAN("item");
}

const struct expr *conj_expr(struct compilation *c, const struct conj *cj)
{
    struct conj *own = (struct conj *)(uintptr_t)cj;
    if (!cj || c->st)
        return NULL;
    if (!own->rule) {
        own->rule = rule_new(c, wish(cj));
        *(c->queue_last ? &c->queue_last->next_queued : &c->queue_first) = own;
        c->queue_last = own;
    }
    return own->rule ? ex_rule(c, own->rule) : NULL;
}

void sc_write_rules(struct compilation *c)
{
    while (c->queue_first && !c->st) {
        struct conj *cj = c->queue_first;
        struct list ways = { 0 };
        c->queue_first = cj->next_queued;
        c->queue_last = c->queue_first ? c->queue_last : NULL;
        for (const struct atom *a = conj_atoms(c, cj); a && !c->st; a = a->next)
            list_push(c, &ways, atom_expr(c, a));
        if (!c->st)
            cj->rule->body = ex_any(c, &ways);
    }
}
