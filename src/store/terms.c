/* store/terms.c: the scanner behind terms.h.
 *
 * Three steps, each a struct below. Characters make runs (letters and digits without a break). Runs
 * joined by one of - . , / : _ @ without spaces make a cluster ("345/23", "1.234,50", "E-Mail"). A
 * cluster is emitted as its runs, or as one canonical value (amount, date), followed by what it
 * completes together with the clusters just before it (file number, written-out date, IBAN), for
 * which a short history is kept. */
#include "store/terms.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/size.h"
#include "base/utf8.h"
#include "store/fold.h"
#include "store/limits.h"
#include "store/stem.h"
#include "store/stopwords.h"

enum { MAX_RUNS = 8, HISTORY = 2, IBAN_MAX = 34 };
enum run_kind { RUN_ALPHA, RUN_DIGIT, RUN_MIXED };

struct run {
    char text[LIMIT_TERM_BYTES];
    size_t len;
    enum run_kind kind;
    char joiner; /* before this run; 0 for the first of a cluster */
    size_t start, end;
};

struct piece { /* a cluster once it is past */
    char text[LIMIT_TERM_BYTES];
    size_t len, start;
    enum run_kind kind;
    bool single;
    bool
        after_space; /* one space, and nothing else, stands between the cluster before and this one */
};

struct scanner {
    struct span s;
    size_t at;
    term_fn fn;
    void *ctx;

    struct run runs[MAX_RUNS];
    size_t n_runs;

    struct piece past[HISTORY]; /* past[0] is the nearest */
    size_t n_past;              /* how many of them stand close before what comes now */
    bool section;               /* a § stands just before what comes now */
    size_t gap;                 /* characters since the last cluster; all of them spaces? */
    bool gap_spaces;
    char iban[IBAN_MAX + 1];
    size_t iban_len, iban_start;
    size_t from, to; /* the bytes that what is handed out next was made of */
};

/* ---- characters ---- */

enum char_kind { CH_LETTER, CH_DIGIT, CH_IDEOGRAPH, CH_IGNORE, CH_SPACE, CH_SECTION, CH_OTHER };

static bool is_ideograph(int32_t cp)
{
    return (cp >= 0x3040 && cp <= 0x30FF) || (cp >= 0x3400 && cp <= 0x9FFF) ||
           (cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0x20000 && cp <= 0x3FFFF);
}

static enum char_kind kind_of(int32_t cp)
{
    if (cp < 0x80) {
        if ((cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z'))
            return CH_LETTER;
        if (cp >= '0' && cp <= '9')
            return CH_DIGIT;
        return cp == ' ' || (cp >= '\t' && cp <= '\r') ? CH_SPACE : CH_OTHER;
    }
    if (cp == 0xA7)
        return CH_SECTION;
    if (is_ideograph(cp))
        return CH_IDEOGRAPH;
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return CH_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return CH_DIGIT;
    case UTF8PROC_CATEGORY_CF:
        return CH_IGNORE; /* soft hyphen, joiners, direction marks */
    case UTF8PROC_CATEGORY_ZS:
        return CH_SPACE;
    default:
        return CH_OTHER;
    }
}

/* The character at 'at', its kind, its length; ill-formed bytes are "other". */
static enum char_kind peek(const struct scanner *sc, size_t at, int32_t *cp, size_t *n)
{
    *cp = utf8_decode(sc->s.ptr + at, sc->s.len - at, n);
    if (*cp < 0)
        return CH_OTHER;
    return kind_of(*cp);
}

static bool is_word_char(enum char_kind k)
{
    return k == CH_LETTER || k == CH_DIGIT;
}

/* A word broken at the end of a line: '-', line end, indentation, small letter. Returns where it
 * goes on, or 0. */
static size_t line_break(const struct scanner *sc, size_t at)
{
    size_t i = at + 1;
    if (i < sc->s.len && sc->s.ptr[i] == '\r')
        i++;
    if (i >= sc->s.len || sc->s.ptr[i] != '\n')
        return 0;
    i++;
    while (i < sc->s.len && (sc->s.ptr[i] == ' ' || sc->s.ptr[i] == '\t'))
        i++;
    if (i >= sc->s.len)
        return 0;
    int32_t cp;
    size_t n;
    if (peek(sc, i, &cp, &n) != CH_LETTER)
        return 0;
    return cp == utf8proc_tolower(cp) && cp != utf8proc_toupper(cp) ? i : 0;
}

/* ---- handing out ---- */

static void emit(struct scanner *sc, const char *ptr, size_t len, bool same_place)
{
    if (!len)
        return;
    sc->fn(sc->ctx, &(struct term){ .ptr = ptr,
                                    .len = MIN(len, (size_t)LIMIT_TERM_BYTES),
                                    .start = sc->from,
                                    .end = sc->to,
                                    .same_place = same_place });
}

static void emit_word(struct scanner *sc, const char *folded, size_t len, bool same_place)
{
    char word[LIMIT_TERM_BYTES], stem[LIMIT_TERM_BYTES];
    len = MIN(len, sizeof(word));
    memcpy(word, folded, len);
    len = fold_umlauts(word, len);
    if (!len)
        return;
    memcpy(stem, word, len);
    size_t stem_len = stem_word(stem, len);
    sc->fn(sc->ctx, &(struct term){ .ptr = stem,
                                    .len = stem_len,
                                    .word = word,
                                    .word_len = len,
                                    .start = sc->from,
                                    .end = sc->to,
                                    .same_place = same_place,
                                    .stop = is_stopword(word, len) });
}

static void emit_run(struct scanner *sc, const struct run *r)
{
    sc->from = r->start;
    sc->to = r->end;
    if (r->kind == RUN_ALPHA)
        emit_word(sc, r->text, r->len, false);
    else
        emit(sc, r->text, r->len, false);
}

/* ---- values ---- */

static unsigned number(const char *s, size_t len)
{
    unsigned v = 0;
    for (size_t i = 0; i < len && i < 8; i++)
        v = v * 10 + (unsigned)(s[i] - '0');
    return v;
}

static size_t write_date(char out[static 16], unsigned y, unsigned m, unsigned d)
{
    if (y < 1000 || y > 2999 || m < 1 || m > 12 || d < 1 || d > 31)
        return 0;
    return (size_t)snprintf(out, 16, "%04u-%02u-%02u", y, m, d);
}

static bool all_digits(const struct scanner *sc)
{
    for (size_t i = 0; i < sc->n_runs; i++)
        if (sc->runs[i].kind != RUN_DIGIT)
            return false;
    return true;
}

/* 12.03.2024, 12/03/2024 (day first: this is an office in Europe), 12.03.24, 2024-03-12 */
static size_t cluster_date(const struct scanner *sc, char out[static 16])
{
    const struct run *r = sc->runs;
    if (sc->n_runs != 3 || r[1].joiner != r[2].joiner || r[1].len > 2)
        return 0;
    unsigned a = number(r[0].text, r[0].len), b = number(r[1].text, r[1].len),
             c = number(r[2].text, r[2].len);
    if (r[0].len == 4 && r[2].len <= 2 && r[1].joiner == '-')
        return write_date(out, a, b, c);
    if (r[0].len > 2 || (r[1].joiner != '.' && r[1].joiner != '/'))
        return 0;
    if (r[2].len == 2 && r[1].joiner == '.')
        c += c < 70 ? 2000 : 1900;
    else if (r[2].len != 4)
        return 0;
    return write_date(out, c, b, a);
}

/* 1.234,50 and 1,234.50 and 1234,5: groups of three after the first, then one or two decimals
 * behind another mark. A lone group of three is a thousand. Written without grouping, with a point,
 * without decimals that are zero. */
static size_t cluster_amount(const struct scanner *sc, char out[static LIMIT_TERM_BYTES])
{
    const struct run *r = sc->runs;
    size_t n = sc->n_runs, len = 0;
    bool decimals = r[n - 1].len <= 2 && (n == 2 || r[n - 1].joiner != r[1].joiner);
    size_t n_groups = decimals ? n - 1 : n;
    if (n < 2 || (n_groups > 1 && r[0].len > 3))
        return 0;
    for (size_t i = 0; i < n; i++) {
        if (i && r[i].joiner != '.' && r[i].joiner != ',')
            return 0;
        if (i && i < n_groups && (r[i].len != 3 || r[i].joiner != r[1].joiner))
            return 0;
        if (len + r[i].len + 1 >= LIMIT_TERM_BYTES)
            return 0;
        bool zero = r[i].text[0] == '0' && (r[i].len == 1 || r[i].text[1] == '0');
        if (i == n_groups && zero)
            break;
        if (i == n_groups)
            out[len++] = '.';
        memcpy(out + len, r[i].text, r[i].len);
        len += r[i].len;
        if (i == n_groups && r[i].len == 1)
            out[len++] = '0'; /* 12,5 is 12.50 */
    }
    return len;
}

static const struct {
    const char *name;
    unsigned month;
} MONTHS[] = {
    { "januar", 1 },    { "january", 1 },  { "janner", 1 },    { "jan", 1 },       { "februar", 2 },
    { "february", 2 },  { "feb", 2 },      { "marz", 3 },      { "maerz", 3 },     { "march", 3 },
    { "mar", 3 },       { "april", 4 },    { "apr", 4 },       { "mai", 5 },       { "may", 5 },
    { "juni", 6 },      { "june", 6 },     { "jun", 6 },       { "juli", 7 },      { "july", 7 },
    { "jul", 7 },       { "august", 8 },   { "aug", 8 },       { "september", 9 }, { "sept", 9 },
    { "sep", 9 },       { "oktober", 10 }, { "october", 10 },  { "okt", 10 },      { "oct", 10 },
    { "november", 11 }, { "nov", 11 },     { "dezember", 12 }, { "december", 12 }, { "dez", 12 },
    { "dec", 12 },
};

static unsigned month_of(const struct piece *p)
{
    for (size_t i = 0; i < ARRAY_LEN(MONTHS); i++)
        if (span_eq_str((struct span){ p->text, p->len }, MONTHS[i].name))
            return MONTHS[i].month;
    return 0;
}

/* "12. März 2024", "March 12, 2024": the year has just been read. */
static void written_date(struct scanner *sc)
{
    const struct run *year = &sc->runs[0];
    if (sc->n_past < 2 || sc->n_runs != 1 || year->kind != RUN_DIGIT || year->len != 4)
        return;
    const struct piece *near = &sc->past[0], *far = &sc->past[1];
    const struct piece *day = near->kind == RUN_DIGIT ? near : far,
                       *month = day == near ? far : near;
    if (day->kind != RUN_DIGIT || day->len > 2 || !day->single || !month_of(month))
        return;
    char date[16];
    size_t n =
        write_date(date, number(year->text, 4), month_of(month), number(day->text, day->len));
    sc->from = sc->past[1].start;
    emit(sc, date, n, true);
}

static bool is_roman(const struct piece *p)
{
    return p->kind == RUN_ALPHA && p->len <= 5 && strspn(p->text, "ivxl") >= p->len;
}

/* "12 C 345/23", "VIII ZR 12/21": number or Roman numeral, the register's letters, and n/yy just
 * read. */
static void file_number(struct scanner *sc)
{
    if (sc->n_past < 2 || sc->n_runs != 2 || !all_digits(sc) || sc->runs[1].joiner != '/')
        return;
    const struct piece *reg = &sc->past[0], *chamber = &sc->past[1];
    if (reg->kind != RUN_ALPHA || reg->len > 4 || !reg->single)
        return;
    if (chamber->kind != RUN_DIGIT && !is_roman(chamber))
        return;
    char whole[3 * LIMIT_TERM_BYTES];
    int n = snprintf(whole, sizeof(whole), "%.*s%.*s%.*s/%.*s", (int)chamber->len, chamber->text,
                     (int)reg->len, reg->text, (int)sc->runs[0].len, sc->runs[0].text,
                     (int)sc->runs[1].len, sc->runs[1].text);
    sc->from = chamber->start;
    emit(sc, whole, (size_t)n, true);
}

/* ISO 7064 mod 97-10 of an IBAN in small letters: 1 when it is right. */
static unsigned iban_rest(const char *s, size_t n)
{
    unsigned rest = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s[(i + 4) % n];
        if (c >= '0' && c <= '9')
            rest = (rest * 10 + (unsigned)(c - '0')) % 97;
        else
            rest = (rest * 100 + (unsigned)(c - 'a' + 10)) % 97;
    }
    return rest;
}

/* An IBAN typed in groups of four. A German one is known by its length even if its check digits are
 * wrong. */
static void grouped_iban(struct scanner *sc)
{
    const struct run *r = &sc->runs[0];
    if (sc->n_runs != 1)
        return (void)(sc->iban_len = 0);
    bool ascii = true;
    for (size_t i = 0; i < r->len; i++)
        ascii = ascii && (unsigned char)r->text[i] < 0x80;
    bool head = ascii && r->len == 4 && r->kind == RUN_MIXED && r->text[0] >= 'a' &&
                r->text[1] >= 'a' && r->text[2] <= '9' && r->text[3] <= '9';
    if (head) {
        sc->iban_len = 0;
        sc->iban_start = r->start;
    } else if (!sc->iban_len || !ascii || r->len > 4 || sc->iban_len + r->len > IBAN_MAX ||
               sc->iban_len % 4)
        return (void)(sc->iban_len = 0);
    memcpy(sc->iban + sc->iban_len, r->text, r->len);
    sc->iban_len += r->len;
    bool german = sc->iban_len == 22 && sc->iban[0] == 'd' && sc->iban[1] == 'e';
    if (german || (sc->iban_len >= 15 && iban_rest(sc->iban, sc->iban_len) == 1)) {
        sc->from = sc->iban_start;
        emit(sc, sc->iban, sc->iban_len, true);
    }
}

/* "1 234,56": groups of three with one space between them, before a group with decimals. Without decimals it may be two
 * numbers. */
static void spaced_amount(struct scanner *sc)
{
    const struct run *r = sc->runs;
    if (sc->n_runs != 2 || !all_digits(sc) || r[0].len != 3 || r[1].len != 2 || !sc->n_past ||
        (r[1].joiner != ',' && r[1].joiner != '.') || sc->gap != 1 || !sc->gap_spaces)
        return;
    size_t n =
        0; /* groups before this one, the nearest first; the last may be shorter than three digits */
    while (n < sc->n_past && sc->past[n].kind == RUN_DIGIT && sc->past[n].len <= 3) {
        n++;
        if (sc->past[n - 1].len < 3 || !sc->past[n - 1].after_space)
            break;
    }
    if (!n)
        return;
    char whole[16]; /* 3 + 3 + 3 digits, a point, 2 more */
    size_t len = 0;
    sc->from = sc->past[n - 1].start;
    while (n--) {
        memcpy(whole + len, sc->past[n].text, sc->past[n].len);
        len += sc->past[n].len;
    }
    memcpy(whole + len, r[0].text, 3);
    len += 3;
    if (memcmp(r[1].text, "00", 2) != 0) {
        whole[len++] = '.';
        memcpy(whole + len, r[1].text, 2);
        len += 2;
    }
    emit(sc, whole, len, true);
}

/* ---- clusters ---- */

static size_t join_runs(const struct scanner *sc, char *out, bool keep_joiners, enum run_kind *kind)
{
    size_t len = 0;
    *kind = sc->runs[0].kind;
    for (size_t i = 0; i < sc->n_runs; i++) {
        const struct run *r = &sc->runs[i];
        if (r->kind != *kind)
            *kind = RUN_MIXED;
        if (len + r->len + 1 > LIMIT_TERM_BYTES)
            return len;
        if (r->joiner && r->joiner != '-' && keep_joiners) {
            *kind = RUN_MIXED;
            out[len++] = r->joiner;
        }
        memcpy(out + len, r->text, r->len);
        len += r->len;
    }
    return len;
}

static void remember(struct scanner *sc, const char *text, size_t len, enum run_kind kind)
{
    memmove(&sc->past[1], &sc->past[0], sizeof(sc->past[0]) * (HISTORY - 1));
    struct piece *p = &sc->past[0];
    memcpy(p->text, text, len);
    p->text[MIN(len, sizeof(p->text) - 1)] = 0;
    p->len = len;
    p->kind = kind;
    p->start = sc->runs[0].start;
    p->single = sc->n_runs == 1;
    p->after_space = sc->gap == 1 && sc->gap_spaces;
    sc->n_past = MIN(sc->n_past + 1, (size_t)HISTORY);
}

/* What comes next is made of the whole cluster. */
static void of_cluster(struct scanner *sc)
{
    sc->from = sc->runs[0].start;
    sc->to = sc->runs[sc->n_runs - 1].end;
}

static void emit_value_or_runs(struct scanner *sc, const char *joined, size_t joined_len,
                               enum run_kind kind)
{
    char value[LIMIT_TERM_BYTES];
    size_t n = 0;
    of_cluster(sc);
    if (sc->n_runs > 1 && all_digits(sc)) {
        n = cluster_date(sc, value);
        if (n) {
            emit(sc, value, n, false);
            emit(sc, value, 4, true); /* the year is asked for alone */
            return;
        }
        n = cluster_amount(sc, value);
        if (n) {
            emit(sc, value, n, false);
            return;
        }
    }
    for (size_t i = 0; i < sc->n_runs; i++)
        emit_run(sc, &sc->runs[i]);
    of_cluster(sc);
    if (sc->n_runs > 1 && kind == RUN_ALPHA)
        emit_word(sc, joined, joined_len, true);
    else if (sc->n_runs > 1)
        emit(sc, joined, joined_len, true);
}

static void end_cluster(struct scanner *sc)
{
    if (!sc->n_runs)
        return;
    char joined[LIMIT_TERM_BYTES + 4] = "\xC2\xA7"; /* room for a § in front */
    enum run_kind kind;
    size_t len = join_runs(sc, joined + 2, true, &kind);
    emit_value_or_runs(sc, joined + 2, len, kind);
    if (sc->section && sc->runs[0].text[0] >= '0' && sc->runs[0].text[0] <= '9') {
        char section[LIMIT_TERM_BYTES + 4] = "\xC2\xA7";
        memcpy(section + 2, sc->runs[0].text, sc->runs[0].len);
        emit(sc, section, sc->runs[0].len + 2, true);
    }
    written_date(sc);
    of_cluster(sc);
    file_number(sc);
    of_cluster(sc);
    grouped_iban(sc);
    of_cluster(sc);
    spaced_amount(sc);
    remember(sc, joined + 2, len, kind);
    sc->section = false;
    sc->n_runs = 0;
    sc->gap = 0;
    sc->gap_spaces = true;
}

/* What stands between two clusters: spaces and a point or comma keep them neighbours, anything else
 * does not. */
static void between(struct scanner *sc, enum char_kind k, int32_t cp)
{
    sc->gap++;
    sc->gap_spaces = sc->gap_spaces && k == CH_SPACE;
    if (k == CH_SPACE || k == CH_IGNORE)
        return;
    sc->iban_len = 0;
    if (k == CH_SECTION)
        sc->section = true;
    else
        sc->section = false;
    if (cp != '.' && cp != ',')
        sc->n_past = 0;
}

static void read_run(struct scanner *sc, char joiner)
{
    struct run *r = &sc->runs[sc->n_runs++];
    *r = (struct run){ .joiner = joiner, .start = sc->at };
    bool letters = false, digits = false;
    while (sc->at < sc->s.len) {
        int32_t cp;
        size_t n;
        enum char_kind k = peek(sc, sc->at, &cp, &n);
        size_t next = sc->at + n;
        if (cp == '-' && letters && !digits && line_break(sc, sc->at))
            next = line_break(sc, sc->at);
        else if (k != CH_IGNORE && !is_word_char(k))
            break;
        else if (k != CH_IGNORE) {
            char folded[FOLD_MAX_BYTES];
            size_t len = fold_char(folded, cp);
            if (r->len + len <= sizeof(r->text)) {
                memcpy(r->text + r->len, folded, len);
                r->len += len;
            }
            letters = letters || k == CH_LETTER;
            digits = digits || k == CH_DIGIT;
        }
        sc->at = r->end = next;
    }
    /* "½" and "²" are numbers to Unicode but not to arithmetic */
    bool plain = digits && !letters;
    for (size_t i = 0; i < r->len && plain; i++)
        plain = r->text[i] >= '0' && r->text[i] <= '9';
    r->kind = !digits ? RUN_ALPHA : plain ? RUN_DIGIT : RUN_MIXED;
    if (!r->len) /* only marks */
        sc->n_runs--;
}

/* After a run: does a joiner follow, and a word character after it? */
static bool joined_on(const struct scanner *sc)
{
    if (!sc->n_runs || sc->n_runs == MAX_RUNS || sc->at + 1 >= sc->s.len || !sc->s.ptr[sc->at] ||
        !strchr("-./,:_@", sc->s.ptr[sc->at]))
        return false;
    int32_t cp;
    size_t n;
    return is_word_char(peek(sc, sc->at + 1, &cp, &n));
}

static void ideograph(struct scanner *sc, int32_t cp, size_t n)
{
    sc->from = sc->at;
    sc->to = sc->at + n;
    char folded[FOLD_MAX_BYTES];
    emit(sc, folded, fold_char(folded, cp), false);
    sc->n_past = 0;
}

void terms_each(struct span text, term_fn fn, void *ctx)
{
    struct scanner sc = { .s = text, .fn = fn, .ctx = ctx };
    while (sc.at < text.len) {
        int32_t cp;
        size_t n;
        enum char_kind k = peek(&sc, sc.at, &cp, &n);
        if (is_word_char(k)) {
            read_run(&sc, 0);
            while (joined_on(&sc)) {
                char joiner = text.ptr[sc.at++];
                read_run(&sc, joiner);
            }
            end_cluster(&sc);
            continue;
        }
        if (k == CH_IDEOGRAPH)
            ideograph(&sc, cp, n);
        else
            between(&sc, k, cp);
        sc.at += n;
    }
}
