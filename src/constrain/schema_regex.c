/* constrain/schema_regex.c: patterns in ECMAScript's syntax (its Unicode mode), as automata.
 *
 *   pattern := branch ("|" branch)*       branch := (atom repetition?)*
 *
 * A pattern is found anywhere in a string: any characters may stand before and after it, where ^ and $ do not say
 * otherwise. Groups capture nothing, lazy repetitions mean the same as others. Looking ahead is understood at the
 * beginning of a whole alternative, behind ^, where it is an intersection: ^(?=.*[0-9])(?!.*--).{8,}$. */
#include "constrain/schema_regex.h"

#include "base/size.h"
#include "base/utf8.h"

static struct re *re_cat(struct regex *r, struct re *a, struct re *b)
{
    return !a || !b              ? NULL
           : a->kind == RE_EMPTY ? b
           : b->kind == RE_EMPTY ? a
                                 : re_new(r, RE_CAT, a, b);
}

/* ---- the parser --------------------------------------------------------------------------------- */

static struct re *parse_branches(struct regex *r);

/* After "(?=" or "(?!". */
static struct re *parse_look(struct regex *r, bool is_not)
{
    if (!r->may_look)
        return regex_refuse(r, KT_E_UNSUPPORTED,
                            "looking ahead is understood only at the beginning, behind ^");
    struct look *look = sc_alloc(r->c, 1, sizeof(*look));
    r->may_look = false;
    struct re *e = parse_branches(r);
    r->may_look = true;
    if (!look || !e)
        return NULL;
    *look = (struct look){ .re = e, .is_not = is_not, .next = r->looks };
    r->looks = look;
    return re_new(r, RE_EMPTY, NULL, NULL);
}

/* After "(". */
static struct re *parse_group(struct regex *r)
{
    struct re *e = NULL;
    bool look = false;
    if (++r->depth > 64)
        return regex_refuse(r, KT_E_LIMIT, "groups nested more than 64 deep");
    if (regex_take(r, '?')) {
        char ch = regex_peek(r);
        r->i++;
        char after = regex_peek(r);
        if (ch == '=' || ch == '!') {
            look = true;
            e = parse_look(r, ch == '!');
        } else if (ch == '<' && (after == '=' || after == '!')) {
            return regex_refuse(r, KT_E_UNSUPPORTED, "looking behind cannot be held");
        } else if (ch == '<') {
            r->i = MIN(span_find(r->text, SPAN(">"), r->i), r->text.len);
            if (!regex_take(r, '>'))
                return regex_refuse(r, KT_E_FORMAT, "the group's name has no closing >");
        } else if (ch != ':') {
            return regex_refuse(r, KT_E_UNSUPPORTED, "a group of this kind is not ECMAScript's");
        }
    }
    if (!look) {
        bool may_look = r->may_look;
        r->may_look = false;
        e = parse_branches(r);
        r->may_look = may_look && e && e->kind == RE_EMPTY;
    }
    r->depth--;
    if (e && !regex_take(r, ')'))
        return regex_refuse(r, KT_E_FORMAT, "the group has no closing )");
    return e;
}

static struct re *parse_escape(struct regex *r)
{
    struct cset set;
    if (regex_class_escape(r, regex_peek(r), &set)) {
        r->i++;
        return re_set(r, set);
    }
    if (regex_peek(r) == 'b' || regex_peek(r) == 'B')
        return regex_refuse(r, KT_E_UNSUPPORTED,
                            "a word's edge cannot be held; write what stands beside it");
    if (regex_take(r, 'p') || regex_take(r, 'P'))
        return re_set(r, regex_property(r, r->text.ptr[r->i - 1] == 'P'));
    uint32_t cp = regex_escape(r);
    return re_set(r, cset_of(r->c, &(struct range){ cp, cp }, 1));
}

static struct re *parse_atom(struct regex *r)
{
    static const struct range LINE_ENDS[] = { { '\n', '\n' }, { '\r', '\r' }, { 0x2028, 0x2029 } };
    if (regex_take(r, '('))
        return parse_group(r);
    if (regex_take(r, '['))
        return regex_class(r);
    if (regex_take(r, '.'))
        return re_set(r, regex_ranges(r, LINE_ENDS, ARRAY_LEN(LINE_ENDS), true));
    if (regex_take(r, '^'))
        return re_new(r, RE_BEGIN, NULL, NULL);
    if (regex_take(r, '$'))
        return re_new(r, RE_END, NULL, NULL);
    if (regex_take(r, '\\'))
        return parse_escape(r);
    if (regex_peek(r) == '*' || regex_peek(r) == '+' || regex_peek(r) == '?')
        return regex_refuse(r, KT_E_FORMAT, "a repetition of nothing");
    uint32_t cp = regex_char(r);
    return re_set(r, cset_of(r->c, &(struct range){ cp, cp }, 1));
}

static bool count(struct regex *r, uint32_t *out)
{
    size_t from = r->i;
    uint64_t v = 0;
    for (; regex_peek(r) >= '0' && regex_peek(r) <= '9'; r->i++)
        v = MIN(v * 10 + (uint64_t)(regex_peek(r) - '0'), (uint64_t)SCHEMA_COUNT_MAX);
    *out = (uint32_t)v;
    return r->i > from;
}

/* A repetition, if one stands here. A brace that begins none is a character. */
static bool parse_repeat(struct regex *r, uint32_t *min, uint32_t *max)
{
    size_t from = r->i;
    if (regex_take(r, '*') || regex_take(r, '+') || regex_take(r, '?')) {
        char ch = r->text.ptr[from];
        *min = ch == '+';
        *max = ch == '?' ? 1 : UINT32_MAX;
        regex_take(r, '?');
        return true;
    }
    if (!regex_take(r, '{'))
        return false;
    bool ok = count(r, min);
    *max = *min;
    if (ok && regex_take(r, ',') && !count(r, max))
        *max = UINT32_MAX;
    if (!ok || !regex_take(r, '}')) {
        r->i = from;
        return false;
    }
    if (*max < *min)
        regex_refuse(r, KT_E_FORMAT, "a repetition whose end is before its beginning");
    regex_take(r, '?');
    return true;
}

static struct re *parse_branch(struct regex *r)
{
    struct re *all = re_new(r, RE_EMPTY, NULL, NULL);
    while (all && r->i < r->text.len && regex_peek(r) != '|' && regex_peek(r) != ')') {
        struct re *e = parse_atom(r);
        uint32_t min, max;
        while (e && parse_repeat(r, &min, &max) && !r->c->st) {
            if (e->kind == RE_BEGIN || e->kind == RE_END)
                return regex_refuse(r, KT_E_FORMAT, "a repetition of ^ or $");
            if (e->kind == RE_EMPTY)
                continue;
            e = max == 0 ? re_new(r, RE_EMPTY, NULL, NULL) : re_new(r, RE_REPEAT, e, NULL);
            if (e) {
                e->min = min;
                e->max = max;
            }
        }
        if (r->c->st || !e)
            return NULL;
        r->may_look = r->may_look && (e->kind == RE_BEGIN || e->kind == RE_EMPTY);
        all = re_cat(r, all, e);
    }
    return all;
}

static struct re *parse_branches(struct regex *r)
{
    struct re *all = parse_branch(r);
    while (all && regex_take(r, '|')) {
        struct re *other = parse_branch(r);
        all = other ? re_new(r, RE_ALT, all, other) : NULL;
    }
    return all;
}

/* ---- automata ----------------------------------------------------------------------------------- */

/* What leads through e to 'out'. */
static uint32_t build(struct regex *r, struct nfa *n, const struct re *e, uint32_t out)
{
    if (r->c->st || !sc_work(r->c, 1))
        return 0;
    if (n->n_nodes > SCHEMA_NFA_MAX) {
        sc_fail(
            r->c, KT_E_LIMIT, r->at, r->keyword,
            "the pattern is too large when its repetitions are written out; make counts smaller");
        return 0;
    }
    uint32_t id;
    switch (e->kind) {
    case RE_EMPTY:
        return out;
    case RE_SET:
        id = nfa_add(r->c, n, NFA_SET, out, UINT32_MAX);
        if (!r->c->st)
            n->node[id].set = e->set;
        return id;
    case RE_BEGIN:
        return nfa_add(r->c, n, NFA_BEGIN, out, UINT32_MAX);
    case RE_END:
        return nfa_add(r->c, n, NFA_END, out, UINT32_MAX);
    case RE_CAT: /* trees lean to the left, as long as the pattern: no call for each level */
        for (; e->kind == RE_CAT; e = e->a)
            out = build(r, n, e->b, out);
        return build(r, n, e, out);
    case RE_ALT:
        id = UINT32_MAX;
        for (; e->kind == RE_ALT; e = e->a)
            id = nfa_add(r->c, n, NFA_SPLIT, build(r, n, e->b, out), id);
        return nfa_add(r->c, n, NFA_SPLIT, build(r, n, e, out), id);
    case RE_REPEAT:
        break;
    }
    if (e->max == UINT32_MAX) {
        id = nfa_add(r->c, n, NFA_SPLIT, UINT32_MAX, out);
        uint32_t body = build(r, n, e->a, id);
        if (!r->c->st)
            n->node[id].out[0] = body;
        out = id;
    } else {
        for (uint32_t i = e->min, rest = out; i < e->max && !r->c->st; i++)
            out = nfa_add(r->c, n, NFA_SPLIT, build(r, n, e->a, out), rest);
    }
    for (uint32_t i = 0; i < e->min && !r->c->st; i++)
        out = build(r, n, e->a, out);
    return out;
}

/* Strings in which e is found; with 'tied', at their beginning. */
static const struct dfa *find(struct regex *r, const struct re *e, bool tied)
{
    struct nfa n = { 0 };
    struct cset all = cset_all(r->c);
    uint32_t accept = nfa_add(r->c, &n, NFA_ACCEPT, UINT32_MAX, UINT32_MAX);
    uint32_t behind = nfa_add(r->c, &n, NFA_SPLIT, accept, UINT32_MAX);
    uint32_t any = nfa_add(r->c, &n, NFA_SET, behind, UINT32_MAX);
    if (r->c->st)
        return NULL;
    n.node[any].set = all;
    n.node[behind].out[1] = any;
    uint32_t start = build(r, &n, e, behind);
    if (!tied) {
        uint32_t before = nfa_add(r->c, &n, NFA_SPLIT, start, UINT32_MAX);
        uint32_t loop = nfa_add(r->c, &n, NFA_SET, before, UINT32_MAX);
        if (r->c->st)
            return NULL;
        n.node[loop].set = all;
        n.node[before].out[1] = loop;
        start = before;
    }
    return r->c->st ? NULL : dfa_of_nfa(r->c, &n, start, r->at, "the pattern");
}

/* An alternative of the whole pattern, with what was looked at ahead. */
static const struct dfa *alternative(struct regex *r)
{
    r->looks = NULL;
    r->may_look = true;
    struct re *e = parse_branch(r);
    if (!e)
        return NULL;

    const struct re *first = e;
    while (first->kind == RE_CAT)
        first = first->a;
    if (r->looks && first->kind != RE_BEGIN) {
        regex_refuse(r, KT_E_UNSUPPORTED, "looking ahead is understood only behind ^");
        return NULL;
    }
    const struct dfa *d = find(r, e, false);
    for (const struct look *l = r->looks; l && d; l = l->next) {
        const struct dfa *ahead = find(r, l->re, true);
        d = dfa_and(r->c, d, l->is_not ? dfa_not(r->c, ahead) : ahead, r->at, "the pattern");
    }
    return d;
}

/* ^[a-z]{2,5}$ and the like. */
static void find_run(const struct re *e, struct run *run)
{
    if (e->kind != RE_CAT || e->b->kind != RE_END || e->a->kind != RE_CAT ||
        e->a->a->kind != RE_BEGIN)
        return;
    const struct re *body = e->a->b;
    bool repeat = body->kind == RE_REPEAT && body->a->kind == RE_SET;
    if (!repeat && body->kind != RE_SET)
        return;
    *run = (struct run){ .is_run = true,
                         .set = repeat ? body->a->set : body->set,
                         .n_min = repeat ? body->min : 1,
                         .n_max = repeat ? body->max : 1 };
}

const struct dfa *regex_dfa(struct compilation *c, struct span pattern, const struct js *at,
                            const char *keyword, struct run *run)
{
    struct regex r = { .c = c, .at = at, .keyword = keyword, .text = pattern };
    struct re *e = NULL;
    if (run)
        *run = (struct run){ 0 };
    /* A long run needs no automaton: it is looked for before one is made. */
    struct regex probe = r;
    probe.may_look = true;
    struct re *whole = parse_branch(&probe);
    if (c->st)
        return NULL;
    if (whole && run && probe.i == pattern.len && !probe.looks) {
        find_run(whole, run);
        if (run->is_run)
            return NULL;
    }
    if (at && at->dfa)
        return at->dfa;
    bool looks = span_find(pattern, SPAN("(?="), 0) != SIZE_MAX ||
                 span_find(pattern, SPAN("(?!"), 0) != SIZE_MAX;
    const struct dfa *d = looks ? alternative(&r) : NULL;
    while (d && regex_take(&r, '|'))
        d = dfa_or(c, d, alternative(&r), at, "the pattern");
    if (!looks && (e = parse_branches(&r)))
        d = find(&r, e, false);
    if (d && r.i < pattern.len) {
        regex_refuse(&r, KT_E_FORMAT, ") without its partner; write \\) for the character");
        return NULL;
    }
    if (at && d)
        ((struct js *)(uintptr_t)at)->dfa = d;
    return d;
}

/* ---- as an expression ---------------------------------------------------------------------------- */

static const struct expr *expr_of(struct regex *r, const struct re *e, spell_fn spell)
{
    struct list parts = { 0 };
    const struct re *p = e;
    if (r->c->st)
        return NULL;
    switch (e->kind) {
    case RE_SET:
        return spell(r->c, e->set);
    case RE_REPEAT:
        return ex_repeat(r->c, expr_of(r, e->a, spell), e->min, e->max);
    case RE_CAT:
    case RE_ALT: /* trees lean to the left: the last part comes first */
        for (; p->kind == e->kind; p = p->a)
            list_push(r->c, &parts, expr_of(r, p->b, spell));
        list_push(r->c, &parts, expr_of(r, p, spell));
        for (size_t i = 0; i < parts.n / 2; i++) {
            const void *x = parts.item[i];
            parts.item[i] = parts.item[parts.n - 1 - i];
            parts.item[parts.n - 1 - i] = x;
        }
        return e->kind == RE_CAT ? ex_all(r->c, &parts) : ex_any(r->c, &parts);
    default:
        return ex_empty(r->c);
    }
}

static bool has_anchor(const struct re *e)
{
    for (; e->kind == RE_CAT || e->kind == RE_ALT || e->kind == RE_REPEAT; e = e->a) {
        if (e->kind != RE_REPEAT && has_anchor(e->b))
            return true;
    }
    return e->kind == RE_BEGIN || e->kind == RE_END;
}

const struct expr *regex_expr(struct compilation *c, struct span pattern, spell_fn spell)
{
    struct regex r = { .c = c, .text = pattern, .may_look = true };
    struct re *e = parse_branch(&r);
    if (!e || r.i < pattern.len || r.looks || e->kind != RE_CAT || e->b->kind != RE_END)
        return NULL;
    struct re *first = e->a, *before = NULL;
    for (; first->kind == RE_CAT; first = first->a)
        before = first;
    if (first->kind != RE_BEGIN || !before)
        return NULL;
    before->a->kind = RE_EMPTY;
    return has_anchor(e->a) ? NULL : expr_of(&r, e->a, spell);
}
