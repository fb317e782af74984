/* Do the files answer this question at all? */
#include "office/support.h"

#include <math.h>
#include <string.h>

#include "base/size.h"
#include "store/terms.h"

enum {
    BEFORE_TERM = '\n', /* stands before and behind each term of a folded text; in none */
    PART_OF_COMPOUND_MIN =
        6, /* from so many bytes on, a term counts wherever it stands in a word */
    WEIGHT_LEN_MAX = 16,
};

static bool has_digit(const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (s[i] >= '0' && s[i] <= '9')
            return true;
    }
    return false;
}

/* A place of the question may yield several terms, the parts of a file number for example; the first is what was
 * typed. */
static void collect(void *ctx, const struct term *t)
{
    struct question_terms *terms = ctx;
    bool digit = !t->word && has_digit(t->ptr, t->len);
    if (t->stop || t->same_place || t->len >= TERM_BYTES || terms->n == TERMS_MAX)
        return;
    if (t->len < 2 && !digit)
        return;
    struct question_term *q = &terms->items[terms->n++];
    memcpy(q->text, t->ptr, t->len);
    q->text[t->len] = '\0';
    q->exact = digit;
    size_t len = MIN(t->word ? t->word_len : t->len, (size_t)WEIGHT_LEN_MAX);
    q->weight = digit ? 3.0f : sqrtf((float)len);
}

void terms_of_question(struct question_terms *out, struct span question)
{
    out->n = 0;
    terms_each(question, collect, out);
}

static void write_term(void *ctx, const struct term *t)
{
    buf_append(ctx, t->ptr, t->len);
    buf_append_char(ctx, BEFORE_TERM);
}

/* The text's terms, each between two BEFORE_TERM; false when memory is short. */
static bool folded_text(struct buf *out, struct span text)
{
    buf_append_char(out, BEFORE_TERM);
    terms_each(text, write_term, out);
    buf_append(out, "", 0);
    return !out->failed;
}

/* At the beginning of a word, or anywhere when long enough to be a part of a compound. */
static bool stands_in(const struct question_term *t, const char *text)
{
    size_t len = strlen(t->text);
    for (const char *hit = strstr(text, t->text); hit; hit = strstr(hit + 1, t->text)) {
        bool begins = hit[-1] == BEFORE_TERM, ends = hit[len] == BEFORE_TERM;
        if (t->exact ? begins && ends : begins || len >= PART_OF_COMPOUND_MIN)
            return true;
    }
    return false;
}

void terms_weigh(struct question_terms *t, const struct span *texts, size_t n)
{
    size_t found[TERMS_MAX] = { 0 };
    for (size_t i = 0; i < n; i++) {
        struct buf folded = { 0 };
        bool ok = folded_text(&folded, texts[i]);
        for (size_t j = 0; ok && j < t->n; j++)
            found[j] += stands_in(&t->items[j], folded.ptr);
        buf_deinit(&folded);
    }
    /* A word that stands nowhere weighs like one that stands once: it may be the asker's own ("begin" for "from"). */
    for (size_t j = 0; j < t->n; j++) {
        float holders = fmaxf(1.0f, (float)found[j]);
        t->items[j].weight *= logf(1.5f + ((float)n - holders + 0.5f) / (holders + 0.5f));
    }
}

float terms_coverage(const struct question_terms *t, struct span text)
{
    struct buf folded = { 0 };
    bool ok = t->n && folded_text(&folded, text);
    float found = 0, all = 0;
    for (size_t i = 0; ok && i < t->n; i++) {
        all += t->items[i].weight;
        if (stands_in(&t->items[i], folded.ptr))
            found += t->items[i].weight;
    }
    buf_deinit(&folded);
    return all > 0 ? found / all : 0;
}
/* Fitted by bench/ask_quality.py --fit on the sample questions; docs/ASK.md says how well. */
static const struct weights {
    float bias, coverage, cosine;
} WORDS_ONLY = { -3.3f, 6.8f, 0 }, WITH_VECTORS = { -7.1f, 6.0f, 9.1f };

void support_decide(struct support *s)
{
    bool dense = !isnan(s->cosine);
    const struct weights *w = dense ? &WITH_VECTORS : &WORDS_ONLY;
    float z = w->bias + w->coverage * s->coverage + (dense ? w->cosine * s->cosine : 0);
    s->score = 1.0f / (1.0f + expf(-z));
    s->supported = s->score >= 0.5f;
}
