/* constrain/ebnf.c: the language of kt_grammar_parse(), as a tree.
 *
 *   grammar := (name "::=" branches)*      branches := branch ("|" branch)*      branch := (term repetition?)*
 *
 * A name that "::=" follows ends the rule before it. */
#include "constrain/ast.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "constrain/limits.h"

struct ebnf {
    struct ast *a;
    struct scan *s;
    uint32_t *slots; /* [n_slots] a table of names: index of a rule + 1; 0: free */
    size_t n_slots;
    unsigned depth;
};

/* ---- rules by name --------------------------------------------------------------------------- */

static uint64_t hash_name(struct span s)
{
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (uint8_t)s.ptr[i]) * 0x100000001B3u;
    return h ^ h >> 29;
}

static void put_slot(struct ebnf *e, uint32_t rule)
{
    size_t i = hash_name(e->a->rules[rule].name) & (e->n_slots - 1);
    while (e->slots[i])
        i = (i + 1) & (e->n_slots - 1);
    e->slots[i] = rule + 1;
}

static bool grow(struct ebnf *e)
{
    struct ast *a = e->a;
    if (a->n_rules == a->cap_rules) {
        size_t cap = a->cap_rules ? a->cap_rules * 2 : 16;
        struct rule *rules = realloc(a->rules, cap * sizeof(*rules));
        if (!rules)
            return false;
        a->rules = rules;
        a->cap_rules = cap;
    }
    if (a->n_rules * 2 < e->n_slots)
        return true;
    size_t n = e->n_slots ? e->n_slots * 2 : 64;
    uint32_t *slots = calloc(n, sizeof(*slots));
    if (!slots)
        return false;
    free(e->slots);
    e->slots = slots;
    e->n_slots = n;
    for (size_t i = 0; i < a->n_rules; i++)
        put_slot(e, (uint32_t)i);
    return true;
}

/* The rule's index; it is made when it is named first. */
static uint32_t rule_of(struct ebnf *e, struct span name, size_t at)
{
    for (size_t i = hash_name(name) & (e->n_slots - 1); e->n_slots && e->slots[i];
         i = (i + 1) & (e->n_slots - 1))
        if (span_eq(e->a->rules[e->slots[i] - 1].name, name))
            return e->slots[i] - 1;
    if (!grow(e)) {
        e->a->failed = true;
        return 0;
    }
    uint32_t rule = (uint32_t)e->a->n_rules++;
    e->a->rules[rule] = (struct rule){ .name = name, .at = (uint32_t)at };
    put_slot(e, rule);
    return rule;
}

/* ---- words ----------------------------------------------------------------------------------- */

static void skip_space(struct scan *s)
{
    for (;;) {
        char c = scan_peek(s);
        if (c == '#') {
            while (scan_more(s) && s->text.ptr[s->i] != '\n')
                s->i++;
        } else if (c == ' ' || (c >= '\t' && c <= '\r')) {
            s->i++;
        } else {
            return;
        }
    }
}

static bool is_letter(char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

static bool is_name_char(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* A name, and behind it white space; empty if there is none. */
static struct span take_name(struct scan *s)
{
    size_t from = s->i;
    if (!is_letter(scan_peek(s)))
        return (struct span){ NULL, 0 };
    while (is_name_char(scan_peek(s)))
        s->i++;
    struct span name = span_sub(s->text, from, s->i);
    if (name.len > GRAMMAR_NAME_MAX)
        scan_fail(s, KT_E_LIMIT, from, "a name of more than %d bytes", GRAMMAR_NAME_MAX);
    skip_space(s);
    return name;
}

static bool at_define(const struct scan *s)
{
    return span_starts(span_sub(s->text, s->i, s->text.len), SPAN("::="));
}

/* ---- terms ----------------------------------------------------------------------------------- */

static struct node *parse_branches(struct ebnf *e);

/* After the opening mark. */
static struct node *parse_literal(struct ebnf *e, size_t at)
{
    struct scan *s = e->s;
    struct buf text = { 0 };
    while (scan_more(s) && scan_peek(s) != '"') {
        char utf8[UTF8_MAX_BYTES];
        if (scan_peek(s) == '\n')
            scan_fail(s, KT_E_FORMAT, at, "the literal does not end on its line; write \\n");
        uint32_t cp = scan_take(s, '\\') ? scan_escape(s) : scan_char(s);
        buf_append(&text, utf8, utf8_encode(utf8, (int32_t)cp));
    }
    if (!scan_take(s, '"'))
        scan_fail(s, KT_E_FORMAT, at, "the literal has no closing mark");
    struct node *n = ast_bytes(e->a, buf_span(&text), at);
    e->a->failed = e->a->failed || text.failed;
    buf_deinit(&text);
    return n;
}

/* After the opening slash. */
static struct node *parse_regex(struct ebnf *e, size_t at)
{
    struct scan *s = e->s;
    size_t end = s->i;
    for (bool in_class = false; end < s->text.len; end++) {
        char c = s->text.ptr[end];
        if (c == '\n' || (c == '/' && !in_class))
            break;
        in_class = c == '[' || (in_class && c != ']');
        end += c == '\\' && end + 1 < s->text.len && s->text.ptr[end + 1] != '\n';
    }
    if (end >= s->text.len || s->text.ptr[end] != '/') {
        scan_fail(s, KT_E_FORMAT, at, "the regular expression has no closing / on its line");
        return NULL;
    }
    unsigned flags = 0;
    size_t behind = end + 1;
    for (; behind < s->text.len && is_letter(s->text.ptr[behind]); behind++) {
        char c = s->text.ptr[behind];
        if (c != 'j' && c != 'f')
            scan_fail(s, KT_E_UNSUPPORTED, behind, "a flag other than j and f");
        flags |= c == 'j' ? REGEX_JSON : REGEX_FIND;
    }
    struct span all = s->text;
    s->text.len = end;
    struct node *n = regex_parse(e->a, s, flags);
    s->text = all;
    s->i = behind;
    return n;
}

static struct node *parse_group(struct ebnf *e, size_t at)
{
    struct scan *s = e->s;
    if (++e->depth > GRAMMAR_NESTING_MAX)
        scan_fail(s, KT_E_LIMIT, at, "groups nested deeper than %d", GRAMMAR_NESTING_MAX);
    struct node *n = s->st ? NULL : parse_branches(e);
    e->depth--;
    if (!scan_take(s, ')'))
        scan_fail(s, KT_E_FORMAT, at, "the group has no closing )");
    return n;
}

static struct node *parse_class(struct ebnf *e, bool dot, size_t at)
{
    struct charset set = { 0 };
    if (dot) {
        charset_add(&set, '\n', '\n');
        charset_add(&set, '\r', '\r');
        charset_add(&set, 0x2028, 0x2029);
        charset_settle(&set);
        charset_negate(&set);
    } else {
        scan_class(e->s, &set);
    }
    return ast_class(e->a, &set, at);
}

/* A term. NULL with nothing taken where none begins. */
static struct node *parse_term(struct ebnf *e)
{
    struct scan *s = e->s;
    size_t at = s->i;
    struct node *n = NULL;
    switch (scan_peek(s)) {
    case '"':
        s->i++;
        return parse_literal(e, at);
    case '[':
        s->i++;
        return parse_class(e, false, at);
    case '.':
        s->i++;
        return parse_class(e, true, at);
    case '/':
        s->i++;
        return parse_regex(e, at);
    case '(':
        s->i++;
        return parse_group(e, at);
    case '@':
        s->i++;
        if (!span_eq(take_name(s), SPAN("quote")))
            scan_fail(s, KT_E_UNSUPPORTED, at, "only @quote is known");
        return ast_node(e->a, NODE_QUOTE, at);
    default:
        break;
    }
    struct span name = take_name(s);
    if (name.len == 0)
        return NULL;
    if (at_define(s)) { /* the next rule */
        s->i = at;
        return NULL;
    }
    n = ast_node(e->a, NODE_RULE, at);
    uint32_t rule = rule_of(e, name, at);
    if (n)
        n->rule = rule;
    return n;
}

static struct node *parse_branch(struct ebnf *e)
{
    struct scan *s = e->s;
    size_t at = s->i;
    struct node_list list = { 0 };
    skip_space(s);
    while (scan_more(s)) {
        size_t from = s->i;
        struct node *n = parse_term(e);
        if (!n)
            break;
        skip_space(s);
        uint32_t min, max;
        if (scan_repeat(s, &min, &max)) {
            n = ast_repeat(e->a, n, min, max, from);
            skip_space(s);
            if (scan_repeat(s, &min, &max))
                scan_fail(s, KT_E_FORMAT, from, "a repetition of a repetition; use a group");
        }
        node_list_push(&list, n);
    }
    return ast_group(e->a, NODE_CAT, &list, at);
}

static struct node *parse_branches(struct ebnf *e)
{
    size_t at = e->s->i;
    struct node_list list = { 0 };
    do
        node_list_push(&list, parse_branch(e));
    while (!e->s->st && scan_take(e->s, '|'));
    return e->s->st ? NULL : ast_group(e->a, NODE_ALT, &list, at);
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* What follows the rule's own name at the beginning of one of its branches; NULL: it begins otherwise. */
static struct node *behind_itself(struct ast *a, struct node *branch, uint32_t rule, bool *itself)
{
    *itself = branch->kind == NODE_RULE && branch->rule == rule;
    if (*itself || branch->kind != NODE_CAT)
        return NULL;
    struct node *head = branch->child;
    if (head->kind != NODE_RULE || head->rule != rule)
        return NULL;
    struct node_list rest = { 0 };
    for (struct node *c = head->next, *next; c; c = next) {
        next = c->next;
        node_list_push(&rest, c);
    }
    return ast_group(a, NODE_CAT, &rest, branch->at);
}

/* sum ::= sum "+" n | n   is   sum ::= n ("+" n)*. */
static struct node *without_left_recursion(struct ast *a, struct node *body, uint32_t rule)
{
    struct node_list bases = { 0 }, tails = { 0 };
    bool any = false;
    size_t at = body->at;
    struct node *first = body->kind == NODE_ALT ? body->child : body;
    if (body->kind != NODE_ALT)
        body->next = NULL;
    for (struct node *c = first, *next; c; c = next) {
        bool itself;
        next = c->next;
        struct node *tail = behind_itself(a, c, rule, &itself);
        any = any || itself || tail;
        if (!itself)
            node_list_push(tail ? &tails : &bases, tail ? tail : c);
    }
    if (!any)
        return body->kind == NODE_ALT ? ast_group(a, NODE_ALT, &bases, at) : body;
    struct charset none = { 0 };
    struct node_list all = { 0 };
    node_list_push(&all, bases.n ? ast_group(a, NODE_ALT, &bases, at) : ast_class(a, &none, at));
    if (tails.n)
        node_list_push(&all,
                       ast_repeat(a, ast_group(a, NODE_ALT, &tails, at), 0, REPEAT_ENDLESS, at));
    return ast_group(a, NODE_CAT, &all, at);
}

static void parse_rule(struct ebnf *e)
{
    struct scan *s = e->s;
    size_t at = s->i;
    struct span name = take_name(s);
    if (name.len == 0 || !at_define(s)) {
        scan_fail(s, KT_E_FORMAT, at,
                  name.len ? "::= is expected after a rule's name"
                           : "the name of a rule is expected here");
        return;
    }
    uint32_t rule = rule_of(e, name, at);
    if (e->a->failed)
        return;
    if (e->a->rules[rule].body) {
        scan_fail(s, KT_E_FORMAT, at, "rule %.*s is defined twice", (int)name.len, name.ptr);
        return;
    }
    s->i += 3;
    struct node *body = parse_branches(e);
    if (s->st || e->a->failed || !body)
        return;
    body = without_left_recursion(e->a, body, rule);
    e->a->rules[rule].body = body;
    skip_space(s);
}

void ebnf_parse(struct ast *a, struct scan *s)
{
    struct ebnf e = { .a = a, .s = s };
    rule_of(&e, SPAN("root"), 0);
    skip_space(s);
    while (scan_more(s) && !a->failed)
        parse_rule(&e);
    for (size_t i = 0; i < a->n_rules && !s->st && !a->failed; i++) {
        const struct rule *r = &a->rules[i];
        if (!r->body)
            scan_fail(s, KT_E_FORMAT, r->at, "there is no rule %.*s", (int)r->name.len,
                      r->name.ptr);
    }
    free(e.slots);
}
