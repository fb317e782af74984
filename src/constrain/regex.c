/* constrain/regex.c: regular expressions in ECMAScript's syntax, as trees.
 *
 *   pattern := branch ("|" branch)*        branch := (atom repetition?)*
 *
 * A language is all that is wanted of a pattern, so that groups capture nothing and lazy is greedy. ^ and $ are
 * nodes at first and then checked: at the ends of a whole match they say nothing, elsewhere they are refused. */
#include "constrain/ast.h"

#include <string.h>

#include "base/utf8.h"
#include "constrain/limits.h"

struct regex {
    struct ast *a;
    struct scan *s;
    unsigned flags;
    unsigned depth;
};

/* ---- characters, written as they are or as JSON writes them ---------------------------------- */

static bool needs_escape(uint32_t cp)
{
    return cp < 0x20 || cp == '"' || cp == '\\';
}

static struct node *json_escape(struct ast *a, uint32_t cp, size_t at)
{
    static const char SHORT[] = "\b\f\n\r\t\"\\", LETTERS[] = "bfnrt\"\\";
    const char *p = cp ? strchr(SHORT, (int)cp) : NULL;
    if (p)
        return ast_bytes(a, (struct span){ (char[]){ '\\', LETTERS[p - SHORT] }, 2 }, at);
    static const char HEX[] = "0123456789abcdef";
    char text[] = { '\\', 'u', '0', '0', HEX[cp >> 4], HEX[cp & 15] };
    return ast_bytes(a, (struct span){ text, sizeof(text) }, at);
}

/* One character of 'set', which is used up. */
static struct node *one_of(struct regex *r, struct charset *set, size_t at)
{
    if (!(r->flags & REGEX_JSON))
        return ast_class(r->a, set, at);
    struct node_list ways = { 0 };
    struct charset plain = { 0 };
    charset_settle(set);
    for (size_t i = 0; i < set->n; i++) {
        uint32_t lo = set->ranges[i].lo, hi = set->ranges[i].hi;
        for (uint32_t cp = lo; cp <= hi && cp <= '\\'; cp++) {
            if (needs_escape(cp))
                node_list_push(&ways, json_escape(r->a, cp, at));
            else
                charset_add(&plain, cp, cp);
        }
        if (hi > '\\')
            charset_add(&plain, lo > '\\' ? lo : '\\' + 1, hi);
    }
    plain.failed = plain.failed || set->failed;
    charset_deinit(set);
    if (plain.n || !ways.n)
        node_list_push(&ways, ast_class(r->a, &plain, at));
    else
        charset_deinit(&plain);
    return ast_group(r->a, NODE_ALT, &ways, at);
}

static struct node *one_char(struct regex *r, uint32_t cp, size_t at)
{
    if ((r->flags & REGEX_JSON) && needs_escape(cp))
        return json_escape(r->a, cp, at);
    char text[UTF8_MAX_BYTES];
    return ast_bytes(r->a, (struct span){ text, utf8_encode(text, (int32_t)cp) }, at);
}

static struct node *any_text(struct regex *r, size_t at)
{
    struct charset set = { 0 };
    charset_add(&set, 0, CHAR_MAX_CP);
    return ast_repeat(r->a, one_of(r, &set, at), 0, REPEAT_ENDLESS, at);
}

/* ---- the parser ------------------------------------------------------------------------------ */

static struct node *parse_branches(struct regex *r);

/* After "(". */
static struct node *parse_group(struct regex *r, size_t at)
{
    struct scan *s = r->s;
    if (scan_take(s, '?')) {
        char c = scan_peek(s), d = s->i + 1 < s->text.len ? s->text.ptr[s->i + 1] : 0;
        if (c == '=' || c == '!' || (c == '<' && (d == '=' || d == '!'))) {
            scan_fail(s, KT_E_UNSUPPORTED, at, "looking ahead or behind is not supported");
            return NULL;
        }
        if (c == '<') {
            while (scan_more(s) && scan_peek(s) != '>')
                s->i++;
            if (!scan_take(s, '>'))
                scan_fail(s, KT_E_FORMAT, at, "the group's name has no closing >");
        } else if (!scan_take(s, ':')) {
            scan_fail(s, KT_E_UNSUPPORTED, at, "a group of this kind is not supported");
        }
    }
    if (++r->depth > GRAMMAR_NESTING_MAX)
        scan_fail(s, KT_E_LIMIT, at, "groups nested deeper than %d", GRAMMAR_NESTING_MAX);
    struct node *n = s->st ? NULL : parse_branches(r);
    r->depth--;
    if (!scan_take(s, ')'))
        scan_fail(s, KT_E_FORMAT, at, "the group has no closing )");
    return n;
}

/* After a backslash, outside classes. */
static struct node *parse_escape(struct regex *r, size_t at)
{
    struct scan *s = r->s;
    char c = scan_peek(s);
    struct charset set = { 0 };
    if (scan_more(s) && charset_add_escape(&set, c)) {
        s->i++;
        return one_of(r, &set, at);
    }
    if ((c >= '1' && c <= '9') || c == 'k')
        scan_fail(s, KT_E_UNSUPPORTED, at, "references back to a group are not supported");
    if (c == 'b' || c == 'B')
        scan_fail(s, KT_E_UNSUPPORTED, at, "\\%c, a word's edge, is not supported", c);
    if (c == 'p' || c == 'P')
        scan_fail(s, KT_E_UNSUPPORTED, at,
                  "\\%c{...} is not supported; write the characters' ranges in a class", c);
    return one_char(r, scan_escape(s), at);
}

static struct node *parse_atom(struct regex *r)
{
    struct scan *s = r->s;
    size_t at = s->i;
    struct charset set = { 0 };
    switch (scan_peek(s)) {
    case '(':
        s->i++;
        return parse_group(r, at);
    case '[':
        s->i++;
        scan_class(s, &set);
        return one_of(r, &set, at);
    case '.':
        s->i++;
        charset_add(&set, '\n', '\n');
        charset_add(&set, '\r', '\r');
        charset_add(&set, 0x2028, 0x2029);
        charset_settle(&set);
        charset_negate(&set);
        return one_of(r, &set, at);
    case '^':
        s->i++;
        return ast_node(r->a, NODE_BEGIN, at);
    case '$':
        s->i++;
        return ast_node(r->a, NODE_END, at);
    case '\\':
        s->i++;
        return parse_escape(r, at);
    case '*':
    case '+':
    case '?':
    case '{':
        scan_fail(s, KT_E_FORMAT, at, "a repetition of nothing; write \\%c for the character",
                  scan_peek(s));
        return NULL;
    case ']':
    case '}':
        scan_fail(s, KT_E_FORMAT, at, "%c without its partner; write \\%c for the character",
                  scan_peek(s), scan_peek(s));
        return NULL;
    default:
        return one_char(r, scan_char(s), at);
    }
}

/* A literal that goes on the one before it: "abc" is one node. */
static bool join(struct ast *a, struct node_list *l, struct node *n)
{
    struct node *last = l->last;
    if (!last || last->kind != NODE_BYTES || n->kind != NODE_BYTES ||
        last->bytes.len + n->bytes.len > 64)
        return false;
    char both[64];
    memcpy(both, last->bytes.ptr, last->bytes.len);
    memcpy(both + last->bytes.len, n->bytes.ptr, n->bytes.len);
    struct node *joined =
        ast_bytes(a, (struct span){ both, last->bytes.len + n->bytes.len }, last->at);
    if (joined)
        last->bytes = joined->bytes;
    return true;
}

static struct node *parse_branch(struct regex *r)
{
    struct scan *s = r->s;
    size_t at = s->i;
    struct node_list list = { 0 };
    bool may_join = false; /* is the last one a literal that is not repeated? */
    while (scan_more(s) && scan_peek(s) != '|' && scan_peek(s) != ')') {
        size_t from = s->i;
        struct node *n = parse_atom(r);
        uint32_t min, max;
        bool repeated = scan_repeat(s, &min, &max);
        if (s->st || !n)
            return NULL;
        if (repeated && (n->kind == NODE_BEGIN || n->kind == NODE_END))
            scan_fail(s, KT_E_FORMAT, from, "a repetition of ^ or $");
        if (repeated) {
            scan_take(s, '?'); /* lazy: the same texts */
            n = ast_repeat(r->a, n, min, max, from);
        }
        if (repeated || !may_join || !join(r->a, &list, n))
            node_list_push(&list, n);
        may_join = !repeated;
    }
    return ast_group(r->a, NODE_CAT, &list, at);
}

static struct node *parse_branches(struct regex *r)
{
    size_t at = r->s->i;
    struct node_list list = { 0 };
    do
        node_list_push(&list, parse_branch(r));
    while (!r->s->st && scan_take(r->s, '|'));
    return r->s->st ? NULL : ast_group(r->a, NODE_ALT, &list, at);
}

/* ---- ^ and $ --------------------------------------------------------------------------------- */

static bool is_solid(const struct node *n)
{
    return n->kind != NODE_BEGIN && n->kind != NODE_END &&
           !(n->kind == NODE_BYTES && n->bytes.len == 0);
}

/* Anchors at the ends say nothing: they become the empty text. */
static void settle_anchors(struct regex *r, struct node *n, bool at_start, bool at_end)
{
    if (n->kind == NODE_BEGIN || n->kind == NODE_END) {
        bool begin = n->kind == NODE_BEGIN;
        if (begin ? !at_start : !at_end)
            scan_fail(r->s, KT_E_UNSUPPORTED, n->at,
                      "%c is supported at the %s of the pattern only", begin ? '^' : '$',
                      begin ? "beginning" : "end");
        n->kind = NODE_BYTES;
        return;
    }
    if (n->kind == NODE_REPEAT)
        at_start = at_end = false;
    struct node *last = NULL;
    for (struct node *c = n->child; c && n->kind == NODE_CAT; c = c->next)
        last = is_solid(c) ? c : last;
    bool behind_last = !last; /* from here on nothing solid follows */
    for (struct node *c = n->child; c; c = c->next) {
        behind_last = behind_last || c == last;
        bool cat = n->kind == NODE_CAT;
        bool solid = is_solid(c);
        settle_anchors(r, c, at_start, at_end && (!cat || behind_last));
        at_start = at_start && !(cat && solid);
    }
}

enum tied { TIED_NONE, TIED_SOME, TIED_ALL };

/* Do the texts of n begin with ^ (or end with $)? */
static enum tied tied(const struct node *n, enum node_kind anchor)
{
    if (n->kind == anchor)
        return TIED_ALL;
    if (n->kind == NODE_ALT) {
        size_t n_all = 0, n_ways = 0;
        for (const struct node *c = n->child; c; c = c->next, n_ways++) {
            enum tied t = tied(c, anchor);
            if (t == TIED_SOME)
                return TIED_SOME;
            n_all += t == TIED_ALL;
        }
        return n_all == 0 ? TIED_NONE : n_all == n_ways ? TIED_ALL : TIED_SOME;
    }
    if (n->kind != NODE_CAT)
        return TIED_NONE;
    enum tied t = TIED_NONE;
    for (const struct node *c = n->child; c; c = c->next) {
        if (anchor == NODE_BEGIN) {
            t = tied(c, anchor);
            if (t != TIED_NONE || is_solid(c))
                return t;
        } else if (is_solid(c)) {
            t = tied(c, anchor);
        } else if (c->kind == anchor) {
            t = TIED_ALL;
        }
    }
    return t;
}

/* n, with any text before and after it where it is not tied. */
static struct node *anywhere(struct regex *r, struct node *n)
{
    enum tied begin = tied(n, NODE_BEGIN), end = tied(n, NODE_END);
    if (begin == TIED_SOME || end == TIED_SOME) {
        scan_fail(r->s, KT_E_UNSUPPORTED, n->at,
                  "^ or $ in some alternatives of a group is not supported; write the alternatives "
                  "out, or a group around all");
        return n;
    }
    struct node_list list = { 0 };
    if (begin == TIED_NONE)
        node_list_push(&list, any_text(r, n->at));
    node_list_push(&list, n);
    if (end == TIED_NONE)
        node_list_push(&list, any_text(r, n->at));
    return ast_group(r->a, NODE_CAT, &list, n->at);
}

static struct node *find(struct regex *r, struct node *n)
{
    if (n->kind != NODE_ALT)
        return anywhere(r, n);
    struct node_list list = { 0 };
    for (struct node *c = n->child, *next; c; c = next) {
        next = c->next;
        node_list_push(&list, anywhere(r, c));
    }
    return ast_group(r->a, NODE_ALT, &list, n->at);
}

struct node *regex_parse(struct ast *a, struct scan *s, unsigned flags)
{
    struct regex r = { .a = a, .s = s, .flags = flags };
    struct node *n = parse_branches(&r);
    if (scan_more(s))
        scan_fail(s, KT_E_FORMAT, s->i, ") without its partner; write \\) for the character");
    if (!s->st && !a->failed && (flags & REGEX_FIND))
        n = find(&r, n);
    if (!s->st && !a->failed && n)
        settle_anchors(&r, n, true, true);
    return s->st || a->failed ? NULL : n;
}
