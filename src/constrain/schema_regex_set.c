/* constrain/schema_regex_set.c: characters, escapes and classes of patterns. */
#include "constrain/schema_regex.h"

#include <string.h>
#include <utf8proc.h>

#include "base/size.h"
#include "base/utf8.h"

struct re *regex_refuse(struct regex *r, enum kt_status st, const char *why)
{
    sc_fail(r->c, st, r->at, r->keyword, "character %zu of the pattern: %s",
            utf8_count(span_sub(r->text, 0, r->i)) + 1, why);
    return NULL;
}

struct re *re_new(struct regex *r, enum re_kind kind, struct re *a, struct re *b)
{
    struct re *e = sc_alloc(r->c, 1, sizeof(*e));
    if (e)
        *e = (struct re){ .kind = kind, .a = a, .b = b };
    return e;
}

struct re *re_set(struct regex *r, struct cset set)
{
    struct re *e = re_new(r, RE_SET, NULL, NULL);
    if (e)
        e->set = set;
    return e;
}

/* ---- sets --------------------------------------------------------------------------------------- */

struct cset regex_ranges(struct regex *r, const struct range *list, size_t n, bool negated)
{
    struct cset s = cset_of(r->c, list, n);
    return negated ? cset_not(r->c, s) : s;
}

/* \d \w \s and their opposites. */
bool regex_class_escape(struct regex *r, char which, struct cset *out)
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
        *out = regex_ranges(r, DIGIT, ARRAY_LEN(DIGIT), negated);
        return true;
    case 'w':
        *out = regex_ranges(r, WORD, ARRAY_LEN(WORD), negated);
        return true;
    case 's':
        *out = regex_ranges(r, SPACE, ARRAY_LEN(SPACE), negated);
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

/* Characters of a category; half a million are asked, so each is worked out once. */
struct category {
    const char *prefix;
    struct cset set;
};

static struct cset characters(struct regex *r, const char *prefix)
{
    struct compilation *c = r->c;
    for (size_t i = 0; i < c->categories.n; i++) {
        const struct category *known = c->categories.item[i];
        if (strcmp(known->prefix, prefix) == 0)
            return known->set;
    }
    struct list found = { 0 };
    struct range *last = NULL;
    size_t n = strlen(prefix);
    for (int32_t cp = 0; cp <= CP_MAX && !c->st; cp++) {
        if (strncmp(utf8proc_category_string(cp), prefix, n) != 0)
            continue;
        if (last && last->hi + 1 == (uint32_t)cp) {
            last->hi++;
            continue;
        }
        last = sc_alloc(c, 1, sizeof(*last));
        if (last)
            *last = (struct range){ (uint32_t)cp, (uint32_t)cp };
        list_push(c, &found, last);
    }
    struct range *all = sc_alloc(c, found.n + 1, sizeof(*all));
    for (size_t i = 0; all && i < found.n; i++)
        all[i] = *(const struct range *)found.item[i];
    sc_work(c, 1 << 19);
    struct category *own = all ? sc_alloc(c, 1, sizeof(*own)) : NULL;
    if (!own)
        return (struct cset){ 0 };
    *own = (struct category){ prefix, cset_of(c, all, found.n) };
    list_push(c, &c->categories, own);
    return own->set;
}

/* After \p or \P: {name}. */
struct cset regex_property(struct regex *r, bool negated)
{
    size_t from = r->i + 1, end = span_find(r->text, SPAN("}"), r->i);
    const char *prefix =
        end != SIZE_MAX && r->text.ptr[r->i] == '{' ? category(span_sub(r->text, from, end)) : NULL;
    if (!prefix) {
        regex_refuse(
            r, KT_E_UNSUPPORTED,
            "of \\p{...} general categories are known, such as \\p{L}; write ranges instead");
        return (struct cset){ 0 };
    }
    r->i = end + 1;
    struct cset set = characters(r, prefix);
    return negated ? cset_not(r->c, set) : set;
}

char regex_peek(const struct regex *r)
{
    return r->i < r->text.len ? r->text.ptr[r->i] : '\0';
}

bool regex_take(struct regex *r, char ch)
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
        char ch = regex_peek(r);
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
    if (regex_take(r, '{')) {
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
uint32_t regex_escape(struct regex *r)
{
    static const char LETTERS[] = "nrtfv0", CHARS[] = "\n\r\t\f\v";
    char ch = regex_peek(r);
    const char *p = ch ? strchr(LETTERS, ch) : NULL;
    uint32_t cp = 0;
    bool ok = r->i < r->text.len;
    r->i++;
    if (p && ch == '0')
        ok = !(regex_peek(r) >= '0' && regex_peek(r) <= '9');
    else if (p)
        cp = (uint32_t)CHARS[p - LETTERS];
    else if (ch == 'x')
        ok = hex(r, 2, &cp);
    else if (ch == 'u')
        ok = unicode(r, &cp);
    else if (ch == 'c' && (regex_peek(r) | 0x20) >= 'a' && (regex_peek(r) | 0x20) <= 'z')
        cp = (uint32_t)r->text.ptr[r->i++] & 0x1F;
    else if (ok && ch > ' ' && ch < 0x7F && !((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z') &&
             !(ch >= '0' && ch <= '9'))
        cp = (uint32_t)ch;
    else if (ok && ((ch >= '1' && ch <= '9') || ch == 'k'))
        regex_refuse(r, KT_E_UNSUPPORTED,
                     "references back to a group cannot be held; write it out");
    else
        ok = false;
    if (!ok)
        regex_refuse(r, KT_E_FORMAT, "an escape that ECMAScript does not have");
    return cp;
}

uint32_t regex_char(struct regex *r)
{
    size_t n = 1;
    int32_t cp = r->i < r->text.len ? utf8_decode(r->text.ptr + r->i, r->text.len - r->i, &n) : -1;
    r->i += n;
    if (cp < 0)
        regex_refuse(r, KT_E_FORMAT, "it ends where a character must follow");
    return (uint32_t)MAX(cp, 0);
}

/* One member of a class: a set, or a character in *cp (false). */
static bool class_member(struct regex *r, struct cset *set, uint32_t *cp)
{
    if (!regex_take(r, '\\')) {
        *cp = regex_char(r);
        return false;
    }
    if (regex_class_escape(r, regex_peek(r), set)) {
        r->i++;
        return true;
    }
    if (regex_take(r, 'p') || regex_take(r, 'P')) {
        *set = regex_property(r, r->text.ptr[r->i - 1] == 'P');
        return true;
    }
    *cp = regex_take(r, 'b') ? '\b' : regex_escape(r);
    return false;
}

/* After "[". */
struct re *regex_class(struct regex *r)
{
    bool negated = regex_take(r, '^');
    struct cset all = { 0 };
    while (!r->c->st && r->i < r->text.len && regex_peek(r) != ']') {
        struct cset set;
        uint32_t lo = 0, hi = 0;
        bool whole = class_member(r, &set, &lo);
        bool range = regex_peek(r) == '-' && r->i + 1 < r->text.len && r->text.ptr[r->i + 1] != ']';
        hi = lo;
        if (range && whole)
            range = false; /* [\w-.]: the hyphen is one of the characters */
        if (range) {
            r->i++;
            if (class_member(r, &set, &hi))
                return regex_refuse(r, KT_E_FORMAT,
                                    "a range to a class; write \\- for the character");
        }
        if (hi < lo)
            return regex_refuse(r, KT_E_FORMAT, "a range that ends before it begins");
        if (!whole)
            set = cset_of(r->c, &(struct range){ lo, hi }, 1);
        all = cset_or(r->c, all, set);
        sc_work(r->c, all.n_ranges / 8);
    }
    if (!regex_take(r, ']'))
        return regex_refuse(r, KT_E_FORMAT, "the class has no closing ]");
    return re_set(r, negated ? cset_not(r->c, all) : all);
}
