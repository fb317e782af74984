/* constrain/schema_write.c: rules as the text of a grammar. Those from which no text can be written are taken out first
 * (a required property that has to contain itself), and what is short or used once is written where it is used. */
#include "constrain/schema_priv.h"

#include <string.h>

#include "base/size.h"
#include "base/utf8.h"

/* ---- rules that lead to something --------------------------------------------------------------- */

static bool productive(const struct expr *e)
{
    bool any = false;
    switch (e->kind) {
    case EX_NEVER:
        return false;
    case EX_CAT:
        for (size_t i = 0; i < e->n_children; i++) {
            if (!productive(e->child[i]))
                return false;
        }
        return true;
    case EX_ALT:
        for (size_t i = 0; i < e->n_children && !any; i++)
            any = productive(e->child[i]);
        return any;
    case EX_REPEAT:
        return e->min == 0 || productive(e->child[0]);
    case EX_RULE:
        return e->rule->is_productive;
    default:
        return true;
    }
}

static void note_users(struct compilation *c, const struct expr *e, struct production *user)
{
    if (e->kind == EX_RULE)
        list_push(c, &e->rule->users, user);
    for (size_t i = 0; i < e->n_children; i++)
        note_users(c, e->child[i], user);
}

/* A rule is looked at again when one that it uses turned out to be productive. */
static void find_productive(struct compilation *c)
{
    struct list todo = { 0 };
    for (struct production *r = c->rules; r && !c->st; r = r->next) {
        if (r->body)
            note_users(c, r->body, r);
        list_push(c, &todo, r);
    }
    while (todo.n && sc_work(c, 4)) {
        struct production *r = (struct production *)(uintptr_t)todo.item[--todo.n];
        if (r->is_productive || !r->body || !productive(r->body))
            continue;
        r->is_productive = true;
        for (size_t i = 0; i < r->users.n; i++)
            list_push(c, &todo, r->users.item[i]);
    }
}

static bool is_short(const struct expr *e)
{
    return e->kind == EX_BYTES || e->kind == EX_EMPTY || (e->kind == EX_SET && e->set.n_ranges < 4);
}

/* The use of a rule: of the one that it is another name for; or what it says, when that is short. */
static const struct expr *use(struct compilation *c, const struct expr *e)
{
    enum { NAMES_MAX = 32 };
    for (int i = 0; i < NAMES_MAX && e->rule->body->kind == EX_RULE; i++)
        e = e->rule->body;
    if (!e->rule->is_productive)
        return ex_never(c);
    return is_short(e->rule->body) ? e->rule->body : e;
}

/* The same without what leads to nothing. */
static const struct expr *pruned(struct compilation *c, const struct expr *e)
{
    struct list parts = { 0 };
    if (c->st)
        return NULL;
    switch (e->kind) {
    case EX_RULE:
        return use(c, e);
    case EX_CAT:
    case EX_ALT:
        for (size_t i = 0; i < e->n_children; i++)
            list_push(c, &parts, pruned(c, e->child[i]));
        return e->kind == EX_CAT ? ex_all(c, &parts) : ex_any(c, &parts);
    case EX_REPEAT:
        return ex_repeat(c, pruned(c, e->child[0]), e->min, e->max);
    default:
        return e;
    }
}

/* ---- which are written --------------------------------------------------------------------------- */

static void count_uses(struct compilation *c, const struct expr *e, struct list *todo)
{
    if (e->kind == EX_RULE) {
        if (!e->rule->is_reachable)
            list_push(c, todo, e->rule);
        e->rule->is_reachable = true;
    }
    for (size_t i = 0; i < e->n_children; i++)
        count_uses(c, e->child[i], todo);
}

/* ---- text --------------------------------------------------------------------------------------- */

static void write_char(struct buf *out, uint32_t cp, const char *special)
{
    char utf8[UTF8_MAX_BYTES];
    if (cp == '\n' || cp == '\t' || cp == '\r')
        buf_append_str(out, cp == '\n' ? "\\n" : cp == '\t' ? "\\t" : "\\r");
    else if (cp < 0x20 || cp == 0x7F)
        buf_printf(out, "\\x%02X", cp);
    else if (cp < 0x7F && strchr(special, (int)cp))
        buf_append(out, (char[]){ '\\', (char)cp }, 2);
    else if (cp < 0x7F)
        buf_append_char(out, (char)cp);
    else if (cp < 0xA0 || (cp >= 0x300 && cp < 0x370) || (cp >= 0x2000 && cp < 0x2070) ||
             cp >= 0xD000)
        buf_printf(out, "\\u{%X}", cp); /* what would not be seen, or join its neighbour */
    else
        buf_append(out, utf8, utf8_encode(utf8, (int32_t)cp));
}

static void write_bytes(struct buf *out, struct span s)
{
    buf_append_char(out, '"');
    for (size_t i = 0, n; i < s.len; i += n) {
        int32_t cp = utf8_decode(s.ptr + i, s.len - i, &n);
        write_char(out, (uint32_t)MAX(cp, 0), "\"\\");
    }
    buf_append_char(out, '"');
}

static void write_set(struct compilation *c, struct buf *out, struct cset set)
{
    struct cset other = cset_not(c, set);
    bool negated = set.n_ranges && set.range[set.n_ranges - 1].hi == CP_MAX;
    struct cset s = negated ? other : set;
    buf_append_str(out, negated ? "[^" : "[");
    for (size_t i = 0; i < s.n_ranges; i++) {
        write_char(out, s.range[i].lo, "\\]^-[");
        if (s.range[i].hi > s.range[i].lo + 1)
            buf_append_char(out, '-');
        if (s.range[i].hi > s.range[i].lo)
            write_char(out, s.range[i].hi, "\\]^-[");
    }
    buf_append_char(out, ']');
}

static void write_name(struct buf *out, const struct production *r)
{
    buf_append_span(out, r->name);
    if (r->name_count)
        buf_printf(out, "-%u", r->name_count);
}

/* How tightly an expression binds: an alternative inside a sequence needs parentheses. */
enum { BIND_ALT, BIND_CAT, BIND_ATOM };

static void write_expr(struct compilation *c, struct buf *out, const struct expr *e, int bind)
{
    int own = e->kind == EX_ALT                           ? BIND_ALT
              : e->kind == EX_CAT || e->kind == EX_REPEAT ? BIND_CAT
                                                          : BIND_ATOM;
    bool paren = own < bind;
    if (out->len > SCHEMA_GRAMMAR_MAX)
        return;
    if (paren)
        buf_append_char(out, '(');
    switch (e->kind) {
    case EX_NEVER: /* pruned away */
    case EX_EMPTY:
        buf_append_str(out, "\"\"");
        break;
    case EX_BYTES:
        write_bytes(out, e->bytes);
        break;
    case EX_SET:
        write_set(c, out, e->set);
        break;
    case EX_RULE:
        write_name(out, e->rule);
        break;
    case EX_CAT:
    case EX_ALT:
        for (size_t i = 0; i < e->n_children; i++) {
            if (i)
                buf_append_str(out, e->kind == EX_CAT ? " " : " | ");
            write_expr(c, out, e->child[i], e->kind == EX_CAT ? BIND_CAT : BIND_ALT);
        }
        break;
    case EX_REPEAT:
        write_expr(c, out, e->child[0], BIND_ATOM);
        if (e->min == 0 && e->max == 1)
            buf_append_char(out, '?');
        else if (e->min <= 1 && e->max == EX_ENDLESS)
            buf_append_char(out, e->min ? '+' : '*');
        else if (e->max == EX_ENDLESS)
            buf_printf(out, "{%u,}", e->min);
        else if (e->min == e->max)
            buf_printf(out, "{%u}", e->min);
        else
            buf_printf(out, "{%u,%u}", e->min, e->max);
        break;
    }
    if (paren)
        buf_append_char(out, ')');
}

/* Letters, digits and hyphens of the wish. */
static struct span clean_name(struct compilation *c, struct span wish)
{
    enum { NAME_MAX_BYTES = 40 };
    char name[NAME_MAX_BYTES + 1];
    size_t n = 0;
    for (size_t i = 0; i < wish.len && n < NAME_MAX_BYTES; i++) {
        char ch = wish.ptr[i];
        bool letter = (ch | 0x20) >= 'a' && (ch | 0x20) <= 'z', digit = ch >= '0' && ch <= '9';
        if (letter || digit || (n && name[n - 1] != '-'))
            name[n++] = letter || digit ? ch : '-';
    }
    while (n && name[n - 1] == '-')
        n--;
    bool letter = n && (name[0] | 0x20) >= 'a' && (name[0] | 0x20) <= 'z';
    if (!letter)
        return SPAN("rule");
    return sc_copy(c, (struct span){ name, n });
}

struct names {
    struct production **slot;
    size_t n_slots;
};

/* Names that are taken get a number; rules of one wish count together. A wish that itself looks numbered ("a-2")
 * gets a letter behind it, so that it cannot meet a numbered one. */
static void give_name(struct compilation *c, struct names *t, struct production *r, bool is_root)
{
    struct span name = is_root ? SPAN("root") : clean_name(c, r->name);
    bool ends_in_digit = name.len && name.ptr[name.len - 1] >= '0' && name.ptr[name.len - 1] <= '9';
    if (!is_root && (ends_in_digit || span_eq(name, SPAN("root")))) {
        struct buf b = { 0 };
        buf_append_span(&b, name);
        buf_append_str(&b, "-x");
        name = sc_taken(c, &b);
    }
    if (c->st)
        return;
    r->name = name;
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (uint8_t)name.ptr[i]) * 0x100000001B3u;
    size_t k = (h ^ h >> 29) & (t->n_slots - 1);
    while (t->slot[k] && !span_eq(t->slot[k]->name, name))
        k = (k + 1) & (t->n_slots - 1);
    if (t->slot[k])
        r->name_count = ++t->slot[k]->n_same + 1;
    else
        t->slot[k] = r;
}

void grammar_write(struct compilation *c, struct buf *out, struct production *root)
{
    struct list todo = { 0 };
    if (!c->st)
        find_productive(c);
    if (c->st)
        return;
    if (!root->is_productive) {
        sc_fail(c, KT_E_USAGE, c->root, NULL,
                "nothing satisfies this schema; look for what contradicts itself");
        return;
    }
    struct names names = { .n_slots = 64 };
    while (names.n_slots < 2 * c->n_rules + 2)
        names.n_slots *= 2;
    names.slot = sc_alloc(c, names.n_slots, sizeof(*names.slot));
    list_push(c, &todo, root);
    root->is_reachable = true;
    for (size_t i = 0; i < todo.n && !c->st; i++) {
        struct production *r = (struct production *)(uintptr_t)todo.item[i];
        r->body = pruned(c, r->body);
        if (r->body)
            count_uses(c, r->body, &todo);
    }
    for (size_t i = 0; i < todo.n && !c->st; i++) {
        struct production *r = (struct production *)(uintptr_t)todo.item[i];
        give_name(c, &names, r, r == root);
    }
    for (size_t i = 0; i < todo.n && !c->st; i++) {
        struct production *r = (struct production *)(uintptr_t)todo.item[i];
        write_name(out, r);
        buf_append_str(out, " ::= ");
        write_expr(c, out, r->body, BIND_ALT);
        buf_append_char(out, '\n');
        if (out->len > SCHEMA_GRAMMAR_MAX)
            sc_fail(c, KT_E_LIMIT, NULL, NULL,
                    "its grammar is longer than %d bytes; use fewer or smaller parts",
                    SCHEMA_GRAMMAR_MAX);
    }
    if (out->failed)
        sc_fail(c, KT_E_NOMEM, NULL, NULL, "out of memory");
}
