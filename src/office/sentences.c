/* Which sentence of the passages answers the question? */
#include "office/sentences.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/size.h"
#include "office/chunk.h"

/* bench/ask_fit.py on 76 questions: the answer is in the best sentence for 79 % of them, in one of the
 * best two for 88 % (cross-validated, with MiniLM vectors). */
static const float WEIGHT[SF_COUNT] = {
    [SF_OWN] = 3.4f,    [SF_NEAR] = 2.3f, [SF_PASSAGE] = 2.3f, [SF_HIT] = 1.0f,
    [SF_COSINE] = 1.7f, [SF_KIND] = 2.2f, [SF_SHORT] = -1.6f,
};

/* ---- cutting ------------------------------------------------------------------------------- */

static bool has_letter(struct span s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (isalpha((unsigned char)s.ptr[i]) || (unsigned char)s.ptr[i] >= 0x80)
            return true;
    }
    return false;
}

static void add(struct sentences *out, const struct kt_hit *h, size_t hit, size_t from, size_t to)
{
    struct span s = span_trim(span_sub((struct span){ h->text, h->text_len }, from, to));
    if (s.len < 8 || !has_letter(s) || out->n == SENTENCES_MAX)
        return;
    for (size_t i = 0; i < out->n; i++) { /* the same words once: a form's line, a letterhead */
        if (span_eq(out->items[i].text, s))
            return;
    }
    size_t off = (size_t)(s.ptr - h->text);
    out->items[out->n++] = (struct sentence){
        .hit = hit,
        .start = h->place.start + off,
        .end = h->place.start + off + s.len,
        .text = s,
    };
}

static void cut(struct sentences *out, const struct kt_hit *h, size_t hit)
{
    struct span t = { h->text, h->text_len };
    for (size_t at = 0; at < t.len;) {
        size_t end = sentence_end(t, at);
        if (end <= at)
            end = at + 1;
        add(out, h, hit, at, end);
        at = end;
    }
}

/* ---- what is asked for --------------------------------------------------------------------- */

enum kind { KIND_ANY, KIND_NUMBER, KIND_TIME, KIND_PERSON };

static bool holds(struct span q, const char *const *words, size_t n)
{
    struct buf low = { 0 };
    buf_append_char(&low, ' ');
    for (size_t i = 0; i < q.len; i++)
        buf_append_char(&low, (char)tolower((unsigned char)q.ptr[i]));
    bool found = false;
    for (size_t i = 0; i < n && !found && !low.failed; i++)
        found = span_find(buf_span(&low), span_of(words[i]), 0) != SIZE_MAX;
    buf_deinit(&low);
    return found;
}

static enum kind kind_of_question(struct span q)
{
    static const char *const NUMBER[] = {
        " wie hoch",      " wie viel",    " wieviel",   " wie gro",      " wie weit",
        " wie alt",       " wie lang",    " kostet",    " kosten",       "betrag",
        " menge",         " temperatur",  " prozent",   " welche frist", " how much",
        " how many",      " how long",    " how large", " how old",      " how far",
        " fee",           " amount",      " price",     " rent ",        " number",
        " nummer",        "aktenzeichen", " limit",     " höchstens",    " mindestens",
        " welcher preis", " wie schwer",  " wie oft",   " how often",    " rate",
        "kilometer",      "abstand"
    };
    static const char *const TIME[] = { " wann",        " bis wann",    " datum",     " uhr",
                                        " welchem tag", " welcher tag", " when",      " what time",
                                        " which date",  " what date",   " which day", " until ",
                                        " termin",      " deadline" };
    static const char *const PERSON[] = { " wer ", " wen ",  " wem ",   " wessen",
                                          " who ", " whom ", " whose ", " wie hei" };
    if (holds(q, NUMBER, ARRAY_LEN(NUMBER)))
        return KIND_NUMBER;
    if (holds(q, TIME, ARRAY_LEN(TIME)))
        return KIND_TIME;
    return holds(q, PERSON, ARRAY_LEN(PERSON)) ? KIND_PERSON : KIND_ANY;
}

static bool holds_number(struct span s)
{
    static const char *const WORDS[] = { "eins",   "zwei",   "drei",    "vier",   "fünf",
                                         "sechs",  "sieben", "acht ",   "neun",   "zehn",
                                         "elf ",   "zwölf",  "hundert", " one ",  " two ",
                                         " three", " four",  " five",   " six",   " seven",
                                         " eight", " nine",  " ten ",   "twelve", "hundred" };
    for (size_t i = 0; i < s.len; i++) {
        if (isdigit((unsigned char)s.ptr[i]))
            return true;
    }
    return holds(s, WORDS, ARRAY_LEN(WORDS));
}

/* Two capitalised words in a row, not at the beginning: names look like that in both languages. */
static bool holds_name(struct span s)
{
    size_t run = 0;
    for (size_t i = 1; i < s.len; i++) {
        if (s.ptr[i - 1] != ' ')
            continue;
        run = isupper((unsigned char)s.ptr[i]) ? run + 1 : 0;
        if (run == 2)
            return true;
    }
    return false;
}

static float kind_match(enum kind k, struct span s)
{
    static const char *const MONTHS[] = {
        "januar",   "februar",   "märz",       "april",    "mai",      "juni",     "juli",
        "august",   "september", "oktober",    "november", "dezember", "january",  "february",
        "march",    "may",       "june",       "july",     "october",  "december", "montag",
        "dienstag", "mittwoch",  "donnerstag", "freitag",  "samstag",  "sonntag",  "monday",
        "tuesday",  "wednesday", "thursday",   "friday",   "saturday", "sunday"
    };
    switch (k) {
    case KIND_NUMBER:
        return holds_number(s) ? 1.0f : 0.0f;
    case KIND_TIME:
        return holds(s, MONTHS, ARRAY_LEN(MONTHS)) || holds_number(s) ? 1.0f : 0.0f;
    case KIND_PERSON:
        return holds_name(s) ? 1.0f : 0.0f;
    case KIND_ANY:
        break;
    }
    return 0.5f;
}

/* ---- measuring ----------------------------------------------------------------------------- */

static struct span surroundings(const struct sentences *s, size_t i, const struct kt_hit *h)
{
    size_t from = s->items[i].start, to = s->items[i].end;
    if (i > 0 && s->items[i - 1].hit == s->items[i].hit)
        from = s->items[i - 1].start;
    if (i + 1 < s->n && s->items[i + 1].hit == s->items[i].hit)
        to = s->items[i + 1].end;
    return span_sub((struct span){ h->text, h->text_len }, from - h->place.start,
                    to - h->place.start);
}

static void measure(struct sentences *s, struct span question, const struct question_terms *terms,
                    const struct kt_hit *hits)
{
    enum kind kind = kind_of_question(question);
    double best = hits[0].score > 0 ? hits[0].score : 1;
    for (size_t i = 0; i < s->n; i++) {
        struct sentence *x = &s->items[i];
        const struct kt_hit *h = &hits[x->hit];
        struct buf whole = { 0 }; /* the title belongs to the passage */
        if (h->title)
            buf_append_str(&whole, h->title);
        buf_append_char(&whole, '\n');
        buf_append(&whole, h->text, h->text_len);
        x->feature[SF_OWN] = terms_coverage(terms, x->text);
        x->feature[SF_NEAR] = terms_coverage(terms, surroundings(s, i, h));
        x->feature[SF_PASSAGE] = terms_coverage(terms, buf_span(&whole));
        x->feature[SF_HIT] = (float)(h->score / best);
        x->feature[SF_KIND] = kind_match(kind, x->text);
        x->feature[SF_SHORT] =
            x->text.len < 32 || !strchr(".!?:;)\"", x->text.ptr[x->text.len - 1]);
        buf_deinit(&whole);
    }
}

static float dot(const float *a, const float *b, size_t n)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static enum kt_status measure_nearness(struct sentences *s, struct span question,
                                       struct kt_engine *embedder, struct kt_error *err)
{
    struct kt_engine_info info;
    kt_engine_info(embedder, &info);
    size_t dim = info.d_model, n = s->n + 1;
    float *v = calloc(n * dim, sizeof(*v));
    const char **texts = calloc(n, sizeof(*texts));
    struct arena arena = { 0 };
    enum kt_status st =
        v && texts ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory for %zu vectors", n);
    for (size_t i = 0; !st && i < n; i++) {
        texts[i] = arena_strdup(&arena, i ? s->items[i - 1].text : question);
        if (!texts[i])
            st = kt_fail(err, KT_E_NOMEM, "out of memory for %zu sentences", n);
    }
    if (!st)
        st = kt_embed(embedder, texts, n, v, err);
    for (size_t i = 1; !st && i < n; i++)
        s->items[i - 1].feature[SF_COSINE] = dot(v, v + i * dim, dim);
    arena_deinit(&arena);
    free(texts);
    free(v);
    return st;
}

static int best_first(const void *x, const void *y)
{
    const struct sentence *a = x, *b = y;
    if (a->score != b->score)
        return a->score < b->score ? 1 : -1;
    return a->hit != b->hit ? (a->hit < b->hit ? -1 : 1) : a->start < b->start ? -1 : 1;
}

enum kt_status sentences_rank(struct sentences *out, struct span question,
                              const struct question_terms *terms, const struct kt_hit *hits,
                              size_t n_hits, struct kt_engine *embedder, struct kt_error *err)
{
    out->n = 0;
    for (size_t h = 0; h < n_hits; h++)
        cut(out, &hits[h], h);
    if (out->n == 0)
        return KT_OK;
    measure(out, question, terms, hits);
    enum kt_status st = embedder ? measure_nearness(out, question, embedder, err) : KT_OK;
    for (size_t i = 0; i < out->n; i++) {
        for (size_t f = 0; f < SF_COUNT; f++)
            out->items[i].score += WEIGHT[f] * out->items[i].feature[f];
    }
    qsort(out->items, out->n, sizeof(out->items[0]), best_first);
    return st;
}
