/* office/route.c: see route.h. The question in small letters is searched for the words of each rule, in the order compare,
 * document, count, list; what no rule takes is looked up. */
#include "office/route.h"

#include <stdio.h>
#include <string.h>

#include "base/size.h"

/* ---- words in small letters ------------------------------------------------------------------ */

/* ASCII and Ä to Þ; as long as before, so that places in one are places in the other. */
static void small_letters(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i], before = i ? (unsigned char)s.ptr[i - 1] : 0;
        if ((c >= 'A' && c <= 'Z') || (before == 0xC3 && c >= 0x80 && c <= 0x9E))
            c = (unsigned char)(c + 32);
        buf_append_char(out, (char)c);
    }
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (unsigned char)c >= 0x80;
}

/* Where the words stand, as whole words; SIZE_MAX. "vergleich*" is any word that begins so. */
static size_t find_words(struct span s, const char *words, size_t *len)
{
    size_t n = strlen(words);
    bool open = words[n - 1] == '*';
    struct span needle = { words, n - open };
    for (size_t at = 0; (at = span_find(s, needle, at)) != SIZE_MAX; at++) {
        size_t end = at + needle.len;
        if ((at && is_letter(s.ptr[at - 1])) || (!open && end < s.len && is_letter(s.ptr[end])))
            continue;
        while (open && end < s.len && is_letter(s.ptr[end]))
            end++;
        *len = end - at;
        return at;
    }
    return SIZE_MAX;
}

/* The first of the list that stands in s. */
static size_t find_any(struct span s, const char *const *list, size_t n, size_t *len)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = find_words(s, list[i], len);
        if (at != SIZE_MAX)
            return at;
    }
    return SIZE_MAX;
}
#define FIND(s, list, len) find_any(s, list, ARRAY_LEN(list), len)

static bool has_any(struct span s, const char *const *list, size_t n)
{
    size_t len;
    return find_any(s, list, n, &len) != SIZE_MAX;
}
#define HAS(s, list) has_any(s, list, ARRAY_LEN(list))

/* ---- which language was asked in? ------------------------------------------------------------ */

bool route_is_german(struct span q)
{
    static const char *const MARKS[] = { "ä",     "ö",      "ü",      "ß",         "Ä",
                                         "Ö",     "Ü",      " der ",  " die ",     " das ",
                                         " ist ", " und ",  " wie ",  " wer ",     "Wie ",
                                         "Wer ",  "Was ",   "Wann ",  "Welche",    "Wo ",
                                         " ein",  " für ",  " von ",  " dem ",     " den ",
                                         " bis ", " wird ", " gibt ", " in welche" };
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(MARKS); i++)
        n += span_find(q, span_of(MARKS[i]), 0) != SIZE_MAX;
    return n >= 2 || (n == 1 && span_find(q, SPAN(" the "), 0) == SIZE_MAX);
}

/* ---- taking words out ------------------------------------------------------------------------ */

struct question {
    struct span typed, small; /* of one length */
    struct buf words;         /* small, what was used replaced by spaces */
    struct buf kept;          /* typed, the same */
};

static void blank(struct question *q, size_t at, size_t len)
{
    memset(q->words.ptr + at, ' ', len);
    memset(q->kept.ptr + at, ' ', len);
}

static void take_out(struct question *q, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t len, at;
        while ((at = find_words(buf_span(&q->words), list[i], &len)) != SIZE_MAX)
            blank(q, at, len);
    }
}
#define TAKE_OUT(q, list) take_out(q, list, ARRAY_LEN(list))

/* What is left, single spaces, no marks at the ends. */
static void left_over(struct buf *out, struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        bool space = s.ptr[i] == ' ' || s.ptr[i] == '?' || s.ptr[i] == '!' || s.ptr[i] == '\n';
        if (!space)
            buf_append_char(out, s.ptr[i]);
        else if (out->len && out->ptr[out->len - 1] != ' ')
            buf_append_char(out, ' ');
        while (out->len == 1 && strchr(" .,:;", out->ptr[0]))
            out->len = 0;
    }
    while (out->len && strchr(" .,:;", out->ptr[out->len - 1]))
        out->len--;
}

/* What stands between quotation marks, if anything does. */
static struct span quoted(struct span s)
{
    static const char *const OPEN[] = { "„", "“", "\"", "»" }, *const CLOSE[] = { "“", "”", "\"",
                                                                                  "«" };
    for (size_t i = 0; i < ARRAY_LEN(OPEN); i++) {
        size_t at = span_find(s, span_of(OPEN[i]), 0), from = at + strlen(OPEN[i]);
        size_t end = at == SIZE_MAX ? SIZE_MAX : span_find(s, span_of(CLOSE[i]), from);
        if (end != SIZE_MAX && end > from)
            return span_trim(span_sub(s, from, end));
    }
    return (struct span){ 0 };
}

/* ---- compare, document ----------------------------------------------------------------------- */

static const char *const COMPARE[] = { "vergleich*",
                                       "unterschied zwischen",
                                       "unterschiede zwischen",
                                       "unterscheiden sich",
                                       "unterscheidet sich",
                                       "compare*",
                                       "comparison",
                                       "difference between",
                                       "differences between",
                                       "differ",
                                       "differs",
                                       "versus",
                                       "vs",
                                       "gegenüberstell*",
                                       "stelle gegenüber" };
static const char *const JOINS[] = { " und ", " mit ", " and ",  " with ",  " versus ", " vs ",
                                     " vs. ", " von ", " from ", " gegen ", " to " };

/* What is to be compared: behind a colon, or "regarding". The documents are named before it. */
static size_t topic_begins(struct route *r, const struct question *q)
{
    static const char *const ABOUT[] = { "hinsichtlich",    "bezüglich",     "in bezug auf",
                                         "im hinblick auf", "regarding",     "concerning",
                                         "with respect to", "with regard to" };
    size_t len = 1, at = span_find(q->small, SPAN(": "), 0), end;
    if (at == SIZE_MAX || at < q->small.len / 3)
        at = FIND(q->small, ABOUT, &len);
    if (at == SIZE_MAX)
        return q->small.len;
    end = at + len;
    left_over(&r->what, span_sub(q->typed, end, q->typed.len));
    return at;
}

static bool route_compare(struct route *r, struct question *q)
{
    size_t len;
    if (FIND(q->small, COMPARE, &len) == SIZE_MAX)
        return false;
    size_t end = topic_begins(r, q);
    for (size_t i = 0; i < ARRAY_LEN(JOINS); i++) {
        size_t at = span_find(span_sub(q->small, 0, end), span_of(JOINS[i]), 0);
        if (at == SIZE_MAX)
            continue;
        left_over(&r->left, span_sub(q->typed, 0, at));
        left_over(&r->right, span_sub(q->typed, at + strlen(JOINS[i]), end));
        r->kind = KT_ROUTE_COMPARE;
        r->reason = "compare: two documents side by side";
        return r->left.len && r->right.len;
    }
    return false;
}

static bool route_document(struct route *r, struct question *q)
{
    static const char *const WHOLE[] = { "fasse zusammen",
                                         "fass zusammen",
                                         "zusammenfass*",
                                         "zusammenfassung",
                                         "zusammenzufassen",
                                         "worum geht es",
                                         "worum es geht",
                                         "überblick über",
                                         "gib einen überblick",
                                         "summari*",
                                         "summary of",
                                         "overview of",
                                         "what is it about",
                                         "the whole document",
                                         "the entire document",
                                         "das ganze dokument",
                                         "das gesamte dokument",
                                         "inhalt des",
                                         "inhalt der",
                                         "inhalt von",
                                         "inhaltsangabe",
                                         "gist of",
                                         "main points of",
                                         "key points of",
                                         "die wichtigsten punkte",
                                         "outline of" };
    static const char *const OPENS[] = { "fasse", "fass" };
    size_t len, close;
    bool split =
        FIND(q->small, OPENS, &len) == 0 && find_words(q->small, "zusammen", &close) != SIZE_MAX;
    bool about = find_words(q->small, "what is", &len) == 0 &&
                 find_words(q->small, "about", &close) != SIZE_MAX &&
                 span_trim(q->small).len <= find_words(q->small, "about", &close) + 7;
    if (!split && !about && !HAS(q->small, WHOLE))
        return false;
    static const char *const ASKED[] = { "zusammen",   "gib mir einen", "gib einen", "gib mir",
                                         "gib",        "kannst du",     "bitte",     "write a",
                                         "give me an", "give me" };
    TAKE_OUT(q, WHOLE);
    TAKE_OUT(q, OPENS);
    TAKE_OUT(q, ASKED);
    left_over(&r->left, buf_span(&q->kept));
    r->kind = KT_ROUTE_DOCUMENT;
    r->reason = "whole document: from beginning to end";
    return r->left.len > 0;
}

/* ---- filters in words ------------------------------------------------------------------------ */

static const struct {
    const char *word, *type;
} KINDS[] = {
    { "e-mails", "mail" },
    { "e-mail", "mail" },
    { "mails", "mail" },
    { "mail", "mail" },
    { "emails", "mail" },
    { "email", "mail" },
    { "nachrichten", "mail" },
    { "messages", "mail" },
    { "pdfs", "pdf" },
    { "pdf", "pdf" },
    { "pdf-dateien", "pdf" },
    { "pdf files", "pdf" },
    { "word-dateien", "word" },
    { "word files", "word" },
    { "word documents", "word" },
    { "excel-dateien", "excel" },
    { "excel files", "excel" },
    { "tabellen", "excel" },
    { "spreadsheets", "excel" },
    { "scans", "picture" },
    { "bilder", "picture" },
    { "pictures", "picture" },
};
static const char *const DOCUMENTS[] = { "dokumente",      "dokumenten", "dateien",
                                         "unterlagen",     "dokument",   "documents",
                                         "document",       "files",      "file",
                                         "datei",          "schreiben",  "schriftstücke",
                                         "schriftstücken", "akten",      "papers" };

static bool find_kind(const struct question *q, struct route *r)
{
    for (size_t i = 0; i < ARRAY_LEN(KINDS); i++) {
        size_t len;
        if (find_words(q->small, KINDS[i].word, &len) == SIZE_MAX)
            continue;
        snprintf(r->type, sizeof(r->type), "%s", KINDS[i].type);
        return true;
    }
    return HAS(q->small, DOCUMENTS);
}

/* A year by itself, with a month's name before it or not. */
static void find_period(struct question *q, struct route *r)
{
    static const char *const MONTHS[][2] = {
        { "januar", "january" },  { "februar", "february" },  { "märz", "march" },
        { "april", "april" },     { "mai", "may" },           { "juni", "june" },
        { "juli", "july" },       { "august", "august" },     { "september", "september" },
        { "oktober", "october" }, { "november", "november" }, { "dezember", "december" }
    };
    static const char *const SINCE[] = { "seit", "ab", "since", "after", "nach" };
    static const char *const UNTIL[] = { "bis", "until", "before", "vor" };
    struct span s = buf_span(&q->words);
    for (size_t at = 0; at + 4 <= s.len; at++) {
        if ((at && is_letter(s.ptr[at - 1])) ||
            strncmp(s.ptr + at, at + 4 <= s.len && s.ptr[at] == '1' ? "19" : "20", 2) ||
            s.ptr[at + 2] < '0' || s.ptr[at + 2] > '9' || s.ptr[at + 3] < '0' ||
            s.ptr[at + 3] > '9' || (at + 4 < s.len && is_letter(s.ptr[at + 4])))
            continue;
        char period[11];
        int month = 0;
        size_t len;
        for (int i = 0; i < 12; i++)
            for (int k = 0; k < 2; k++)
                if (find_words(s, MONTHS[i][k], &len) != SIZE_MAX)
                    month = i + 1;
        snprintf(period, sizeof(period), month ? "%.4s-%02d" : "%.4s", s.ptr + at, month);
        if (!HAS(s, UNTIL))
            memcpy(r->since, period, sizeof(period));
        if (!HAS(s, SINCE))
            memcpy(r->until, period, sizeof(period));
        return;
    }
}

/* The words after "von", "from" up to what is no name. */
static void find_sender(struct question *q, struct route *r)
{
    static const char *const BEFORE[] = { "von herrn", "von frau", "von dr", "von",
                                          "from mr",   "from ms",  "from",   "sent by" };
    static const char *const AFTER[] = { " hat ",    " haben ", " aus ",   " im ",     " in ",
                                         " since ",  " seit ",  " vom ",   " on ",     " between ",
                                         " are ",    " gibt ",  " have ",  " liegen ", " sind ",
                                         " ab ",     " bis ",   " an ",    " to ",     " after ",
                                         " before ", " um ",    " about ", " zu ",     "?",
                                         "." };
    size_t len, at = FIND(q->small, BEFORE, &len);
    if (at == SIZE_MAX)
        return;
    size_t from = at + len, end = q->small.len;
    while (from < end && (q->small.ptr[from] == ' ' || q->small.ptr[from] == '.'))
        from++;
    for (size_t i = 0; i < ARRAY_LEN(AFTER); i++) {
        size_t stop = span_find(q->small, span_of(AFTER[i]), from);
        end = MIN(end, stop);
    }
    struct span name = span_trim(span_sub(q->typed, from, end));
    bool digit = name.len && name.ptr[0] >= '0' && name.ptr[0] <= '9';
    if (!digit)
        buf_append_span(&r->sender, name);
}

/* ---- count, list ----------------------------------------------------------------------------- */

static const char *const OFTEN[] = { "wie oft",       "wie häufig",     "wie viele male",
                                     "wieviele male", "how many times", "how often" };
static const char *const EVERY[] = {
    "alle stellen",      "jede stelle",        "alle erwähnungen",   "jede erwähnung",
    "alle vorkommen",    "jedes vorkommen",    "an welchen stellen", "an welcher stelle",
    "wie viele stellen", "every mention",      "all mentions",       "each mention",
    "every occurrence",  "all occurrences",    "every place",        "all places",
    "everywhere",        "number of mentions", "how many mentions",  "how many occurrences",
    "alle nennungen",    "jede nennung",       "alle fundstellen",   "überall, wo",
    "wo überall"
};
static const char *const WHICH[] = { "in welchen", "in welchem",    "in welcher", "in which",
                                     "in what",    "in wie vielen", "in how many" };
static const char *const VERBS[] = {
    "erwähnt*", "genannt",   "nennen",    "nennt",      "vorkommt",   "vorkommen", "kommt",
    "kommen",   "vor",       "auftaucht", "auftauchen", "taucht",     "steht",     "stehen",
    "fällt",    "enthalten", "enthält",   "mentioned",  "mention",    "mentions",  "appear*",
    "occur*",   "named",     "names",     "contain*",   "come up",    "comes up",  "found",
    "gefunden", "auf",       "zitiert",   "cited",      "referred to"
};
static const char *const FILLERS[] = { "wird",
                                       "werden",
                                       "wurde",
                                       "wurden",
                                       "ist",
                                       "sind",
                                       "is",
                                       "are",
                                       "was",
                                       "were",
                                       "does",
                                       "do",
                                       "did",
                                       "das wort",
                                       "der begriff",
                                       "die formulierung",
                                       "der name",
                                       "des wortes",
                                       "des begriffs",
                                       "den begriff",
                                       "the word",
                                       "the term",
                                       "the name",
                                       "the phrase",
                                       "zeige mir",
                                       "zeig mir",
                                       "zeige",
                                       "zeig",
                                       "nenne mir",
                                       "nenne",
                                       "liste",
                                       "finde",
                                       "such",
                                       "suche",
                                       "gib mir",
                                       "show me",
                                       "show",
                                       "list",
                                       "find",
                                       "give me",
                                       "alle",
                                       "all",
                                       "in den",
                                       "in der",
                                       "in dem",
                                       "in the",
                                       "in allen",
                                       "in all",
                                       "in dieser akte",
                                       "in this matter",
                                       "akte",
                                       "matter",
                                       "insgesamt",
                                       "in total",
                                       "überhaupt",
                                       "auf, an denen",
                                       "an denen",
                                       "in denen",
                                       "wo",
                                       "where",
                                       "that",
                                       "die",
                                       "der",
                                       "das",
                                       "den",
                                       "dem",
                                       "des",
                                       "the",
                                       "of",
                                       "zu",
                                       "von",
                                       "for",
                                       "für",
                                       "herr",
                                       "herrn",
                                       "frau",
                                       "mr",
                                       "mrs",
                                       "ms",
                                       "dr",
                                       "es",
                                       "there",
                                       "be",
                                       "in",
                                       "im",
                                       "it",
                                       "man",
                                       "auch",
                                       "and",
                                       "und",
                                       "a",
                                       "an" };

/* "How often must it be serviced" is looked up: only with a verb of mentioning, or with quotation marks, is something counted. */
static bool route_count(struct route *r, struct question *q)
{
    bool often = HAS(q->small, OFTEN), every = HAS(q->small, EVERY);
    struct span exact = quoted(q->typed);
    bool names = find_kind(q, r);
    bool which = HAS(q->small, WHICH) && names;
    bool holders = names &&
                   (find_words(q->small, "welche*", &(size_t){ 0 }) == 0 ||
                    find_words(q->small, "which", &(size_t){ 0 }) == 0) &&
                   (exact.len || find_words(q->small, "mention*", &(size_t){ 0 }) != SIZE_MAX ||
                    find_words(q->small, "erwähn*", &(size_t){ 0 }) != SIZE_MAX ||
                    find_words(q->small, "contain*", &(size_t){ 0 }) != SIZE_MAX ||
                    find_words(q->small, "enthalten", &(size_t){ 0 }) != SIZE_MAX ||
                    find_words(q->small, "nennen", &(size_t){ 0 }) != SIZE_MAX);
    bool verb = HAS(q->small, VERBS) || exact.len;
    if (!every && !((often || which) && verb) && !holders) {
        r->type[0] = '\0';
        return false;
    }
    r->documents_only = which || holders;
    TAKE_OUT(q, OFTEN);
    TAKE_OUT(q, EVERY);
    TAKE_OUT(q, WHICH);
    for (size_t i = 0; i < ARRAY_LEN(KINDS); i++)
        take_out(q, &KINDS[i].word, 1);
    TAKE_OUT(q, DOCUMENTS);
    static const char *const ASKED[] = { "welche", "welchen", "welcher", "which" };
    TAKE_OUT(q, ASKED);
    if (exact.len) {
        buf_append_span(&r->what, exact);
    } else {
        TAKE_OUT(q, VERBS);
        TAKE_OUT(q, FILLERS);
        left_over(&r->what, buf_span(&q->kept));
    }
    r->kind = KT_ROUTE_COUNT;
    r->reason = r->documents_only ? "count: every document that holds the words"
                                  : "count: every place where the words stand";
    return r->what.len > 0;
}

static bool route_list(struct route *r, struct question *q)
{
    static const char *const ASK[] = { "welche", "which", "wie viele", "wieviele", "how many",
                                       "liste",  "list",  "zeige",     "zeig",     "show",
                                       "alle",   "all",   "nenne" };
    static const char *const FACTS[] = {
        "gibt es",        "are there", "sind",     "habe*",    "liegen",    "geschickt",
        "geschrieben",    "gesendet",  "kamen",    "kommen",   "sent",      "wrote",
        "came",           "have",      "do we",    "von",      "from",      "aus",
        "since",          "seit",      "received", "erhalten", "vorhanden", "in the matter",
        "in dieser akte", "dated",     "alle",     "all",      "auf"
    };
    size_t len, at = FIND(q->small, ASK, &len);
    struct route found = { 0 };
    if (at == SIZE_MAX || at > 20 || !find_kind(q, &found) || !HAS(q->small, FACTS))
        return false;
    /* the kind of file is what is asked for: it stands at the beginning */
    bool near = false;
    struct span head = span_sub(q->small, at + len, at + len + 30);
    for (size_t i = 0; i < ARRAY_LEN(KINDS) && !near; i++)
        near = find_words(head, KINDS[i].word, &len) != SIZE_MAX;
    if (!near && !HAS(head, DOCUMENTS))
        return false;
    memcpy(r->type, found.type, sizeof(r->type));
    find_period(q, r);
    find_sender(q, r);
    r->kind = KT_ROUTE_LIST;
    r->reason = "list: documents by kind, sender and date";
    return true;
}

/* ---- all rules ------------------------------------------------------------------------------- */

static bool decide(struct route *r, struct question *q)
{
    static bool (*const RULES[])(struct route *, struct question *) = { route_compare,
                                                                        route_document, route_count,
                                                                        route_list };
    bool german = r->german;
    for (size_t i = 0; i < ARRAY_LEN(RULES); i++) {
        buf_clear(&q->words);
        buf_clear(&q->kept);
        buf_append_span(&q->words, q->small);
        buf_append_span(&q->kept, q->typed);
        if (q->words.failed || q->kept.failed)
            return false;
        if (RULES[i](r, q))
            return true;
        route_deinit(r);
        *r = (struct route){ .german = german };
    }
    r->kind = KT_ROUTE_LOOKUP;
    r->reason = "lookup: the answer stands in a passage";
    return true;
}

bool route_question(struct route *out, struct span question)
{
    struct buf small = { 0 };
    struct question q = { .typed = question };
    *out = (struct route){ .german = route_is_german(question) };
    small_letters(&small, question);
    q.small = buf_span(&small);
    bool ok = !small.failed && decide(out, &q);
    ok = ok && !out->what.failed && !out->left.failed && !out->right.failed && !out->sender.failed;
    buf_deinit(&small);
    buf_deinit(&q.words);
    buf_deinit(&q.kept);
    if (!ok)
        route_deinit(out);
    return ok;
}

void route_deinit(struct route *r)
{
    buf_deinit(&r->what);
    buf_deinit(&r->left);
    buf_deinit(&r->right);
    buf_deinit(&r->sender);
}

const char *kt_route_name(enum kt_route r)
{
    static const char *const NAMES[] = { "lookup", "document", "count", "list", "compare" };
    return (size_t)r < ARRAY_LEN(NAMES) ? NAMES[r] : NAMES[0];
}
