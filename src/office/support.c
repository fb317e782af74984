/* Do the files answer this question at all? */
#include "office/support.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

#include "base/size.h"
#include "base/utf8.h"

/* Words that carry no subject: articles, pronouns, question words, auxiliaries. Folded form, sorted
 * by language only. */
static const char *const FUNCTION_WORDS[] = {
    /* German */
    "aber",
    "alle",
    "allen",
    "aller",
    "als",
    "also",
    "am",
    "an",
    "auch",
    "auf",
    "aus",
    "bei",
    "beim",
    "bis",
    "bitte",
    "da",
    "damit",
    "dann",
    "das",
    "dass",
    "dem",
    "den",
    "denn",
    "der",
    "des",
    "die",
    "dies",
    "diese",
    "diesem",
    "diesen",
    "dieser",
    "dieses",
    "doch",
    "dort",
    "du",
    "durch",
    "ein",
    "eine",
    "einem",
    "einen",
    "einer",
    "eines",
    "er",
    "es",
    "etwa",
    "fur",
    "gibt",
    "geben",
    "gegen",
    "hat",
    "haben",
    "hatte",
    "hier",
    "ich",
    "ihr",
    "ihre",
    "ihrem",
    "ihren",
    "ihrer",
    "im",
    "in",
    "ins",
    "ist",
    "ja",
    "jede",
    "jeder",
    "jedes",
    "kann",
    "kein",
    "keine",
    "konnen",
    "lautet",
    "man",
    "mehr",
    "mit",
    "muss",
    "mussen",
    "nach",
    "nicht",
    "noch",
    "nun",
    "nur",
    "ob",
    "oder",
    "ohne",
    "sein",
    "seine",
    "seiner",
    "seinem",
    "seit",
    "sich",
    "sie",
    "sind",
    "so",
    "soll",
    "sollen",
    "sowie",
    "uber",
    "um",
    "und",
    "uns",
    "unter",
    "vom",
    "von",
    "vor",
    "war",
    "waren",
    "wann",
    "warum",
    "was",
    "welche",
    "welchem",
    "welchen",
    "welcher",
    "welches",
    "wem",
    "wen",
    "wenn",
    "wer",
    "werden",
    "weshalb",
    "wessen",
    "wie",
    "wieviel",
    "viel",
    "viele",
    "wird",
    "wir",
    "wo",
    "wofur",
    "woher",
    "wohin",
    "wurde",
    "wurden",
    "zu",
    "zum",
    "zur",
    "zwischen",
    "darf",
    "durfen",
    "hoch",
    "lange",
    /* English */
    "a",
    "about",
    "after",
    "all",
    "also",
    "and",
    "any",
    "are",
    "as",
    "at",
    "be",
    "been",
    "before",
    "by",
    "can",
    "could",
    "did",
    "do",
    "does",
    "for",
    "from",
    "had",
    "has",
    "have",
    "he",
    "her",
    "his",
    "how",
    "i",
    "if",
    "into",
    "is",
    "it",
    "its",
    "long",
    "many",
    "may",
    "me",
    "much",
    "must",
    "my",
    "no",
    "not",
    "of",
    "on",
    "or",
    "our",
    "out",
    "please",
    "shall",
    "she",
    "should",
    "tell",
    "than",
    "that",
    "the",
    "their",
    "there",
    "these",
    "they",
    "this",
    "those",
    "to",
    "under",
    "was",
    "we",
    "were",
    "what",
    "when",
    "where",
    "which",
    "who",
    "whom",
    "whose",
    "why",
    "will",
    "with",
    "would",
    "you",
    "your",
};

static bool is_function_word(const char *w)
{
    for (size_t i = 0; i < ARRAY_LEN(FUNCTION_WORDS); i++) {
        if (strcmp(w, FUNCTION_WORDS[i]) == 0)
            return true;
    }
    return false;
}

/* Lower case, marks off, ß = ss, ae/oe/ue = a/o/u: the same letters for every spelling of an
 * umlaut. */
static char *fold(struct span s)
{
    utf8proc_uint8_t *out = NULL;
    struct buf clean = { 0 };
    utf8_repair(&clean, s);
    if (!clean.ptr || clean.failed) {
        buf_deinit(&clean);
        return NULL;
    }
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)clean.ptr, (utf8proc_ssize_t)clean.len, &out,
                     UTF8PROC_STABLE | UTF8PROC_COMPAT | UTF8PROC_DECOMPOSE | UTF8PROC_CASEFOLD |
                         UTF8PROC_STRIPMARK | UTF8PROC_STRIPCC | UTF8PROC_IGNORE);
    buf_deinit(&clean);
    if (n < 0)
        return NULL;
    char *t = (char *)out, *w = t;
    for (const char *r = t; *r; r++) {
        *w++ = *r;
        if ((*r == 'a' || *r == 'o' || *r == 'u') && r[1] == 'e' && r > t &&
            isalpha((unsigned char)r[-1]) && r[-1] != 'e' && r[-1] != 'a')
            r++;
    }
    *w = '\0';
    return t;
}

static bool word_char(unsigned char c)
{
    return isalnum(c) || c >= 0x80;
}

/* The next word of folded text at *p, or 0 at the end. Numbers keep their inner points and
 * slashes: 12.345,67, 45/23. */
static size_t next_word(const char **p)
{
    const char *s = *p;
    while (*s && !word_char((unsigned char)*s))
        s++;
    *p = s;
    size_t n = 0;
    while (s[n] && (word_char((unsigned char)s[n]) ||
                    (strchr(".,/:-", s[n]) && n && isdigit((unsigned char)s[n - 1]) &&
                     isdigit((unsigned char)s[n + 1]))))
        n++;
    return n;
}

/* Inflection at the end is not worth a miss: "Verträge" must find "Vertrag". */
static size_t stem_len(size_t len)
{
    return len <= 4 ? len : len <= 6 ? len - 1 : len - 2;
}

void terms_of_question(struct terms *out, struct span question)
{
    out->n = 0;
    char *folded = fold(question);
    if (!folded)
        return;
    const char *p = folded;
    for (size_t n; (n = next_word(&p)) != 0 && out->n < TERMS_MAX; p += n) {
        char word[TERM_BYTES];
        if (n >= sizeof(word))
            continue;
        memcpy(word, p, n);
        word[n] = '\0';
        bool digit = strpbrk(word, "0123456789") != NULL;
        if ((n < 2 && !digit) || is_function_word(word))
            continue;
        struct term *t = &out->items[out->n++];
        t->exact = digit;
        size_t keep = digit ? n : stem_len(n);
        memcpy(t->stem, word, keep);
        t->stem[keep] = '\0';
        t->weight = digit ? 3.0f : sqrtf((float)MIN(n, (size_t)16));
    }
    free(folded);
}

/* At the beginning of a word, or anywhere when long enough to be a part of a compound. */
static bool stands_in(const struct term *t, const char *text)
{
    size_t len = strlen(t->stem);
    for (const char *hit = strstr(text, t->stem); hit; hit = strstr(hit + 1, t->stem)) {
        bool begins = hit == text || !word_char((unsigned char)hit[-1]);
        bool ends = !word_char((unsigned char)hit[len]);
        if (t->exact ? begins && ends : begins || len >= 6)
            return true;
    }
    return false;
}

void terms_weigh(struct terms *t, const struct span *texts, size_t n)
{
    size_t found[TERMS_MAX] = { 0 };
    for (size_t i = 0; i < n; i++) {
        char *folded = fold(texts[i]);
        for (size_t j = 0; folded && j < t->n; j++)
            found[j] += stands_in(&t->items[j], folded);
        free(folded);
    }
    /* A word that stands nowhere weighs like one that stands once: it may be the asker's own ("begin" for "from"). */
    for (size_t j = 0; j < t->n; j++) {
        float holders = fmaxf(1.0f, (float)found[j]);
        t->items[j].weight *= logf(1.5f + ((float)n - holders + 0.5f) / (holders + 0.5f));
    }
}

float terms_coverage(const struct terms *t, struct span text)
{
    char *folded = t->n ? fold(text) : NULL;
    if (!folded)
        return 0;
    float found = 0, all = 0;
    for (size_t i = 0; i < t->n; i++) {
        all += t->items[i].weight;
        if (stands_in(&t->items[i], folded))
            found += t->items[i].weight;
    }
    free(folded);
    return all > 0 ? found / all : 0;
}

/* Fitted by bench/ask_quality.py --fit on the sample questions; docs/ASK.md says how well. */
static const struct weights {
    float bias, coverage, cosine;
} WORDS_ONLY = { -3.4f, 6.4f, 0 }, WITH_VECTORS = { -7.5f, 6.0f, 9.1f };

void support_decide(struct support *s)
{
    bool dense = !isnan(s->cosine);
    const struct weights *w = dense ? &WITH_VECTORS : &WORDS_ONLY;
    float z = w->bias + w->coverage * s->coverage + (dense ? w->cosine * s->cosine : 0);
    s->score = 1.0f / (1.0f + expf(-z));
    s->supported = s->score >= 0.5f;
}
