/* constrain/schema_regex.c: patterns in ECMAScript's syntax (its Unicode mode), as automata.
 *
 *   pattern := branch ("|" branch)*       branch := (atom repetition?)*
 *
 * A pattern is found anywhere in a string: any characters may stand before and after it, where ^ and $ do not say
 * otherwise. Groups capture nothing, lazy repetitions mean the same as others. Looking ahead is understood at the
 * beginning of a whole alternative, behind ^, where it is an intersection: ^(?=.*[0-9])(?!.*--).{8,}$. */
#include "constrain/schema_priv.h"

#include <string.h>
#include <utf8proc.h>

#include "base/size.h"
#include "base/utf8.h"

enum re_kind { RE_EMPTY, RE_SET, RE_CAT, RE_ALT, RE_REPEAT, RE_BEGIN, RE_END };
struct re {
    enum re_kind kind;
    struct cset set;
    struct re *a, *b; /* CAT, ALT: both; REPEAT: a */
    uint32_t min, max;
};

struct look { /* ahead, from the beginning */
    struct re *re;
    bool is_not;
    struct look *next;
};

struct regex {
    struct compilation *c;
    const struct js *at;
    const char *keyword;
    struct span text;
    size_t i;
    unsigned depth;
    struct look *looks;
    bool may_look; /* nothing but ^ stands before */
};

static struct re *refuse(struct regex *r, enum kt_status st, const char *why)
{
    sc_fail(r->c, st, r->at, r->keyword, "character %zu of the pattern: %s",
            utf8_count(span_sub(r->text, 0, r->i)) + 1, why);
    return NULL;
}

static struct re *re_new(struct regex *r, enum re_kind kind, struct re *a, struct re *b)
{
    struct re *e = sc_alloc(r->c, 1, sizeof(*e));
    if (e)
        *e = (struct re){ .kind = kind, .a = a, .b = b };
    return e;
}

static struct re *re_set(struct regex *r, struct cset set)
{
    struct re *e = re_new(r, RE_SET, NULL, NULL);
    if (e)
        e->set = set;
    return e;
}

static struct re *re_cat(struct regex *r, struct re *a, struct re *b)
{
    return !a || !b              ? NULL
           : a->kind == RE_EMPTY ? b
           : b->kind == RE_EMPTY ? a
                                 : re_new(r, RE_CAT, a, b);
}

/* ---- sets --------------------------------------------------------------------------------------- */

static struct cset ranges(struct regex *r, const struct range *list, size_t n, bool negated)
{
    struct cset s = cset_of(r->c, list, n);
    return negated ? cset_not(r->c, s) : s;
}

/* \d \w \s and their opposites. */
static bool class_escape(struct regex *r, char which, struct cset *out)
{
    static const struct range DIGIT[] = { { '0', '9' } },
                              WORD[] = { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } },
                              SPACE[] = { { '\t', '\r' },     { ' ', ' ' },
                                          { 0xA0, 0xA0 },     { 0x1680, 0x1680 },
                                          { 0x2000, 0x200A }, { 0x2028, 0x2029 },
                                          { 0x202F, 0x202F }, { 0x205F, 0x205F },
                                          { 0x3000, 0x3000 }, { 0xFEFF, 0xFEFF } };
    bool negated = which < 'a';
    switch (which | 0x20) {
    case 'd':
        *out = ranges(r, DIGIT, ARRAY_LEN(DIGIT), negated);
        return true;
    case 'w':
        *out = ranges(r, WORD, ARRAY_LEN(WORD), negated);
        return true;
    case 's':
        *out = ranges(r, SPACE, ARRAY_LEN(SPACE), negated);
        return true;
    default:
        return false;
    }
}

/* Names of general categories, and the beginning of the short name of what belongs to them. */
static const char *category(struct span name)
{
    static const char *const LONG[][2] = {
        { "Letter", "L" },
        { "Uppercase_Letter", "Lu" },
        { "Lowercase_Letter", "Ll" },
        { "Titlecase_Letter", "Lt" },
        { "Modifier_Letter", "Lm" },
        { "Other_Letter", "Lo" },
        { "Mark", "M" },
        { "Nonspacing_Mark", "Mn" },
        { "Spacing_Mark", "Mc" },
        { "Enclosing_Mark", "Me" },
        { "Number", "N" },
        { "Decimal_Number", "Nd" },
        { "digit", "Nd" },
        { "Letter_Number", "Nl" },
        { "Other_Number", "No" },
        { "Punctuation", "P" },
        { "punct", "P" },
        { "Symbol", "S" },
        { "Separator", "Z" },
        { "Space_Separator", "Zs" },
        { "Control", "Cc" },
        { "L", "L" },
        { "Lu", "Lu" },
        { "Ll", "Ll" },
        { "Lt", "Lt" },
        { "Lm", "Lm" },
        { "Lo", "Lo" },
        { "M", "M" },
        { "Mn", "Mn" },
        { "Mc", "Mc" },
        { "Me", "Me" },
        { "N", "N" },
        { "Nd", "Nd" },
        { "Nl", "Nl" },
        { "No", "No" },
        { "P", "P" },
        { "Pc", "Pc" },
        { "Pd", "Pd" },
        { "Ps", "Ps" },
        { "Pe", "Pe" },
        { "Pi", "Pi" },
        { "Pf", "Pf" },
        { "Po", "Po" },
        { "S", "S" },
        { "Sm", "Sm" },
        { "Sc", "Sc" },
        { "Sk", "Sk" },
        { "So", "So" },
        { "Z", "Z" },
        { "Zs", "Zs" },
        { "Zl", "Zl" },
        { "Zp", "Zp" },
        { "Cc", "Cc" },
        { "Cf", "Cf" },
    };
    static const char *const PREFIXES[] = { "General_Category=", "gc=" };
    for (size_t i = 0; i < ARRAY_LEN(PREFIXES); i++) {
        if (span_starts(name, span_of(PREFIXES[i])))
            name = span_sub(name, strlen(PREFIXES[i]), name.len);
    }
    for (size_t i = 0; i < ARRAY_LEN(LONG); i++) {
        if (span_eq_str(name, LONG[i][0]))
            return LONG[i][1];
    }
    return NULL;
}

/* After \p or \P: {name}. */
static struct cset property(struct regex *r, bool negated)
{
    size_t from = r->i + 1, end = span_find(r->text, SPAN("}"), r->i);
    const char *prefix =
        end != SIZE_MAX && r->text.ptr[r->i] == '{' ? category(span_sub(r->text, from, end)) : NULL;
    if (!prefix) {
        refuse(r, KT_E_UNSUPPORTED,
               "of \\p{...} general categories are known, such as \\p{L}; write ranges instead");
        return (struct cset){ 0 };
    }
    r->i = end + 1;
    struct list found = { 0 };
    struct range *last = NULL;
    size_t n = strlen(prefix);
    for (int32_t cp = 0; cp <= CP_MAX && !r->c->st; cp++) {
        if (strncmp(utf8proc_category_string(cp), prefix, n) != 0)
            continue;
        if (last && last->hi + 1 == (uint32_t)cp) {
            last->hi++;
            continue;
        }
        last = sc_alloc(r->c, 1, sizeof(*last));
        if (last)
            *last = (struct range){ (uint32_t)cp, (uint32_t)cp };
        list_push(r->c, &found, last);
    }
    struct range *all = sc_alloc(r->c, found.n + 1, sizeof(*all));
    for (size_t i = 0; all && i < found.n; i++)
        all[i] = *(const struct range *)found.item[i];
    sc_work(r->c, 1 << 14);
    return all ? ranges(r, all, found.n, negated) : (struct cset){ 0 };
}

static char peek(const struct regex *r)
{
    return r->i < r->text.len ? r->text.ptr[r->i] : '\0';
}

static bool take(struct regex *r, char ch)
{
    if (r->i >= r->text.len || r->text.ptr[r->i] != ch)
        return false;
    r->i++;
    return true;
}

static bool hex(struct regex *r, size_t n, uint32_t *out)
{
    *out = 0;
    for (size_t k = 0; k < n; k++, r->i++) {
        char ch = peek(r);
        int d = ch >= '0' && ch <= '9'                     ? ch - '0'
                : (ch | 0x20) >= 'a' && (ch | 0x20) <= 'f' ? (ch | 0x20) - 'a' + 10
                                                           : -1;
        if (d < 0)
            return false;
        *out = *out << 4 | (uint32_t)d;
    }
    return true;
}

/* After \u: four digits, twice four for what UTF-16 writes as two, or {...}. */
static bool unicode(struct regex *r, uint32_t *cp)
{
    if (take(r, '{')) {
        size_t end = span_find(r->text, SPAN("}"), r->i);
        if (end == SIZE_MAX || end - r->i > 6 || !hex(r, end - r->i, cp))
            return false;
        r->i++;
        return *cp <= CP_MAX;
    }
    if (!hex(r, 4, cp))
        return false;
    uint32_t low;
    if (*cp >= 0xD800 && *cp <= 0xDBFF &&
        span_starts(span_sub(r->text, r->i, r->text.len), SPAN("\\u"))) {
        r->i += 2;
        if (!hex(r, 4, &low) || low < 0xDC00 || low > 0xDFFF)
            return false;
        *cp = 0x10000 + ((*cp - 0xD800) << 10 | (low - 0xDC00));
    }
    return *cp < 0xD800 || *cp > 0xDFFF;
}

/* After a backslash: one character. */
static uint32_t char_escape(struct regex *r)
{
    static const char LETTERS[] = "nrtfv0", CHARS[] = "\n\r\t\f\v";
    char ch = peek(r);
    const char *p = ch ? strchr(LETTERS, ch) : NULL;
    uint32_t cp = 0;
    bool ok = r->i < r->text.len;
    r->i++;
    if (p && ch == '0')
        ok = !(peek(r) >= '0' && peek(r) <= '9');
    else if (p)
        cp = (uint32_t)CHARS[p - LETTERS];
    else if (ch == 'x')
        ok = hex(r, 2, &cp);
    else if (ch == 'u')
        ok = unicode(r, &cp);
    else if (ch == 'c' && (peek(r) | 0x20) >= 'a' && (peek(r) | 0x20) <= 'z')
        cp = (uint32_t)r->text.ptr[r->i++] & 0x1F;
    else if (ok && ch > ' ' && ch < 0x7F && !((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z') &&
             !(ch >= '0' && ch <= '9'))
        cp = (uint32_t)ch;
    else if (ok && ((ch >= '1' && ch <= '9') || ch == 'k'))
        refuse(r, KT_E_UNSUPPORTED, "references back to a group cannot be held; write it out");
    else
        ok = false;
    if (!ok)
        refuse(r, KT_E_FORMAT, "an escape that ECMAScript does not have");
    return cp;
}

static uint32_t one_char(struct regex *r)
{
    size_t n = 1;
    int32_t cp = r->i < r->text.len ? utf8_decode(r->text.ptr + r->i, r->text.len - r->i, &n) : -1;
    r->i += n;
    if (cp < 0)
        refuse(r, KT_E_FORMAT, "it ends where a character must follow");
    return (uint32_t)MAX(cp, 0);
}

/* One member of a class: a set, or a character in *cp (false). */
static bool class_member(struct regex *r, struct cset *set, uint32_t *cp)
{
    if (!take(r, '\\')) {
        *cp = one_char(r);
        return false;
    }
    if (class_escape(r, peek(r), set)) {
        r->i++;
        return true;
    }
    if (take(r, 'p') || take(r, 'P')) {
        *set = property(r, r->text.ptr[r->i - 1] == 'P');
        return true;
    }
    *cp = take(r, 'b') ? '\b' : char_escape(r);
    return false;
}

/* After "[". */
static struct re *parse_class(struct regex *r)
{
    bool negated = take(r, '^');
    struct cset all = { 0 };
    while (!r->c->st && r->i < r->text.len && peek(r) != ']') {
        struct cset set;
        uint32_t lo = 0, hi = 0;
        bool whole = class_member(r, &set, &lo);
        bool range = peek(r) == '-' && r->i + 1 < r->text.len && r->text.ptr[r->i + 1] != ']';
        hi = lo;
        if (range && whole)
            range = false; /* [\w-.]: the hyphen is one of the characters */
        if (range) {
            r->i++;
            if (class_member(r, &set, &hi))
                return refuse(r, KT_E_FORMAT, "a range to a class; write \\- for the character");
        }
        if (hi < lo)
            return refuse(r, KT_E_FORMAT, "a range that ends before it begins");
        if (!whole)
            set = cset_of(r->c, &(struct range){ lo, hi }, 1);
        all = cset_or(r->c, all, set);
        sc_work(r->c, all.n_ranges / 8);
    }
    if (!take(r, ']'))
        return refuse(r, KT_E_FORMAT, "the class has no closing ]");
    return re_set(r, negated ? cset_not(r->c, all) : all);
}

/* ---- the parser --------------------------------------------------------------------------------- */

static struct re *parse_branches(struct regex *r);

/* After "(?=" or "(?!". */
static struct re *parse_look(struct regex *r, bool is_not)
{
    if (!r->may_look)
        return refuse(r, KT_E_UNSUPPORTED,
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
        return refuse(r, KT_E_LIMIT, "groups nested more than 64 deep");
    if (take(r, '?')) {
        char ch = peek(r);
        r->i++;
        char after = peek(r);
        if (ch == '=' || ch == '!') {
            look = true;
            e = parse_look(r, ch == '!');
        } else if (ch == '<' && (after == '=' || after == '!')) {
            return refuse(r, KT_E_UNSUPPORTED, "looking behind cannot be held");
        } else if (ch == '<') {
            r->i = MIN(span_find(r->text, SPAN(">"), r->i), r->text.len);
            if (!take(r, '>'))
                return refuse(r, KT_E_FORMAT, "the group's name has no closing >");
        } else if (ch != ':') {
            return refuse(r, KT_E_UNSUPPORTED, "a group of this kind is not ECMAScript's");
        }
    }
    if (!look) {
        bool may_look = r->may_look;
        r->may_look = false;
        e = parse_branches(r);
        r->may_look = may_look && e && e->kind == RE_EMPTY;
    }
    r->depth--;
    if (e && !take(r, ')'))
        return refuse(r, KT_E_FORMAT, "the group has no closing )");
    return e;
}

static struct re *parse_escape(struct regex *r)
{
    struct cset set;
    if (class_escape(r, peek(r), &set)) {
        r->i++;
        return re_set(r, set);
    }
    if (peek(r) == 'b' || peek(r) == 'B')
        return refuse(r, KT_E_UNSUPPORTED,
                      "a word's edge cannot be held; write what stands beside it");
    if (take(r, 'p') || take(r, 'P'))
        return re_set(r, property(r, r->text.ptr[r->i - 1] == 'P'));
    uint32_t cp = char_escape(r);
    return re_set(r, cset_of(r->c, &(struct range){ cp, cp }, 1));
}

static struct re *parse_atom(struct regex *r)
{
    static const struct range LINE_ENDS[] = { { '\n', '\n' }, { '\r', '\r' }, { 0x2028, 0x2029 } };
    if (take(r, '('))
        return parse_group(r);
    if (take(r, '['))
        return parse_class(r);
    if (take(r, '.'))
        return re_set(r, ranges(r, LINE_ENDS, ARRAY_LEN(LINE_ENDS), true));
    if (take(r, '^'))
        return re_new(r, RE_BEGIN, NULL, NULL);
    if (take(r, '$'))
        return re_new(r, RE_END, NULL, NULL);
    if (take(r, '\\'))
        return parse_escape(r);
    if (peek(r) == '*' || peek(r) == '+' || peek(r) == '?')
        return refuse(r, KT_E_FORMAT, "a repetition of nothing");
    uint32_t cp = one_char(r);
    return re_set(r, cset_of(r->c, &(struct range){ cp, cp }, 1));
}

static bool count(struct regex *r, uint32_t *out)
{
    size_t from = r->i;
    uint64_t v = 0;
    for (; peek(r) >= '0' && peek(r) <= '9'; r->i++)
        v = MIN(v * 10 + (uint64_t)(peek(r) - '0'), (uint64_t)SCHEMA_COUNT_MAX);
    *out = (uint32_t)v;
    return r->i > from;
}

/* A repetition, if one stands here. A brace that begins none is a character. */
static bool parse_repeat(struct regex *r, uint32_t *min, uint32_t *max)
{
    size_t from = r->i;
    if (take(r, '*') || take(r, '+') || take(r, '?')) {
        char ch = r->text.ptr[from];
        *min = ch == '+';
        *max = ch == '?' ? 1 : UINT32_MAX;
        take(r, '?');
        return true;
    }
    if (!take(r, '{'))
        return false;
    bool ok = count(r, min);
    *max = *min;
    if (ok && take(r, ',') && !count(r, max))
        *max = UINT32_MAX;
    if (!ok || !take(r, '}')) {
        r->i = from;
        return false;
    }
    if (*max < *min)
        refuse(r, KT_E_FORMAT, "a repetition whose end is before its beginning");
    take(r, '?');
    return true;
}

static struct re *parse_branch(struct regex *r)
{
    struct re *all = re_new(r, RE_EMPTY, NULL, NULL);
    while (all && r->i < r->text.len && peek(r) != '|' && peek(r) != ')') {
        struct re *e = parse_atom(r);
        uint32_t min, max;
        while (e && parse_repeat(r, &min, &max) && !r->c->st) {
            if (e->kind == RE_BEGIN || e->kind == RE_END)
                return refuse(r, KT_E_FORMAT, "a repetition of ^ or $");
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
    while (all && take(r, '|')) {
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
static const struct dfa *alternative(struct regex *r, struct re **out)
{
    r->looks = NULL;
    r->may_look = true;
    struct re *e = parse_branch(r);
    *out = e;
    if (!e)
        return NULL;

    const struct re *first = e;
    while (first->kind == RE_CAT)
        first = first->a;
    if (r->looks && first->kind != RE_BEGIN) {
        refuse(r, KT_E_UNSUPPORTED, "looking ahead is understood only behind ^");
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
    const struct dfa *d = alternative(&r, &e);
    while (d && take(&r, '|')) {
        const struct dfa *other = alternative(&r, &e);
        d = dfa_or(c, d, other, at, "the pattern");
    }
    if (d && r.i < pattern.len) {
        refuse(&r, KT_E_FORMAT, ") without its partner; write \\) for the character");
        return NULL;
    }
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
