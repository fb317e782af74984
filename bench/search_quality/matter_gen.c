/* See matter_gen.h. */
#include "matter_gen.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

enum { VOCABULARY = 150000, WORD_BYTES = 40, TOPICS = 400, TOPIC_WORDS = 300 };

static const char *const STOPS[] = { "der", "die",  "und",    "in",  "den",  "von", "zu",
                                     "das", "mit",  "sich",   "des", "auf",  "für", "ist",
                                     "im",  "dem",  "nicht",  "ein", "eine", "als", "auch",
                                     "es",  "an",   "werden", "aus", "er",   "hat", "dass",
                                     "sie", "nach", "wird",   "bei" };
static const char *const NAMES[] = { "Weber",  "Krüger",   "Müller",  "Schneider",
                                     "Yılmaz", "Hoffmann", "Baumann", "Lindner",
                                     "Öztürk", "Schröder", "Vogt",    "Franke" };
static const char *const FORMATS[] = { "mail", "pdf", "docx" };

/* Word number n is always the same letters, and no two are the same. */
static const char *word(size_t n)
{
    static char(*words)[WORD_BYTES];
    static const char *const SYLLABLES[] = { "ver",   "trag", "miet", "kün", "di",   "gung",
                                             "frist", "haus", "geld", "kon", "to",   "ra",
                                             "be",    "lin",  "mus",  "ter", "fal",  "wo",
                                             "che",   "gar",  "sal",  "pro", "zess", "nung" };
    if (!words) {
        words = calloc(VOCABULARY, sizeof(*words));
        if (!words)
            exit(1);
        for (size_t i = 0; i < VOCABULARY; i++) {
            size_t at = 0;
            for (size_t rest = i + 24; rest; rest /= 24)
                at += (size_t)snprintf(words[i] + at, WORD_BYTES - at, "%s", SYLLABLES[rest % 24]);
        }
    }
    return words[n];
}

/* Rank r is drawn about as often as 1 / r. */
static size_t draw(struct rng *r, size_t n)
{
    return MIN((size_t)exp((double)rng_f32(r) * log((double)n)) - 1, n - 1);
}

static size_t topic_word(size_t topic, size_t i)
{
    return 50 + (topic * 7919 + i * i * 31 + i * 613) % (VOCABULARY - 50);
}

static void append_text(struct buf *t, size_t topic, size_t number, struct rng *r)
{
    for (size_t w = 0; w < GEN_WORDS; w++) {
        float kind = rng_f32(r);
        if (kind < 0.40f)
            buf_append_str(t, STOPS[draw(r, ARRAY_LEN(STOPS))]);
        else if (kind < 0.72f)
            buf_append_str(t, word(draw(r, VOCABULARY)));
        else if (kind < 0.97f)
            buf_append_str(t, word(topic_word(topic, draw(r, TOPIC_WORDS))));
        else if (kind < 0.98f)
            buf_append_str(t, NAMES[number % ARRAY_LEN(NAMES)]);
        else if (kind < 0.985f)
            buf_printf(t, "%02d.%02d.20%02d", (int)rng_below(r, 28) + 1, (int)rng_below(r, 12) + 1,
                       (int)rng_below(r, 26));
        else if (kind < 0.99f)
            buf_printf(t, "%d.%03d,%02d EUR", (int)rng_below(r, 90) + 1, (int)rng_below(r, 1000),
                       (int)rng_below(r, 100));
        else if (kind < 0.995f)
            buf_printf(t, "§ %d BGB", (int)rng_below(r, 900) + 1);
        else
            buf_printf(t, "%d O %zu/%02d", (int)rng_below(r, 30) + 1, number % 900, 24);
        buf_append_char(t, w % 12 == 11 ? '.' : ' ');
        if (w % 12 == 11)
            buf_append_char(t, ' ');
    }
}

/* base + noise, of length 1. */
static void near(float *v, const float *base, float share, size_t dim, struct rng *r)
{
    double sum = 0, noise = (1.0 - (double)share) * sqrt(12.0 / (double)dim);
    for (size_t i = 0; i < dim; i++) {
        v[i] = (base ? share * base[i] : 0) + (float)(noise * ((double)rng_f32(r) - 0.5));
        sum += (double)v[i] * (double)v[i];
    }
    for (size_t i = 0; i < dim; i++)
        v[i] = (float)((double)v[i] / sqrt(sum));
}

static const float *topic_vector(size_t topic, size_t dim)
{
    static float *all;
    if (!all) {
        struct rng r;
        rng_init(&r, 77);
        all = malloc(TOPICS * dim * sizeof(*all));
        if (!all)
            exit(1);
        for (size_t i = 0; i < TOPICS; i++)
            near(all + i * dim, NULL, 0, dim, &r);
    }
    return all + topic * dim;
}

void gen_document(struct gen_doc *d, size_t number, size_t dim)
{
    struct rng r;
    rng_init(&r, number + 1);
    size_t topic = draw(&r, TOPICS), kind = number % ARRAY_LEN(FORMATS);
    memset(d, 0, sizeof(*d));
    d->format = FORMATS[kind];
    d->vectors = malloc(GEN_CHUNKS * dim * sizeof(*d->vectors));
    if (!d->vectors)
        exit(1);
    snprintf(d->path, sizeof(d->path), "/akten/%zu/%zu.%s", number % 100, number,
             kind ? d->format : "eml");
    snprintf(d->title, sizeof(d->title), "Schreiben %zu", number);
    for (size_t i = 0; i < GEN_CHUNKS; i++) {
        d->chunks[i] = (struct kt_place){ .start = d->text.len, .para = (uint32_t)i + 1 };
        if (i == 0 && kind == 0)
            buf_printf(
                &d->text,
                "From: %s <%zu@example.org>\nTo: kanzlei@example.org\nDate: Mon, %d Mar 20%02d "
                "10:00:00 +0100\nSubject: %s\n\n",
                NAMES[number % ARRAY_LEN(NAMES)], number % 500, (int)(number % 28) + 1,
                (int)(number % 26), d->title);
        append_text(&d->text, topic, number, &r);
        d->chunks[i].end = d->text.len;
        near(d->vectors + i * dim, topic_vector(topic, dim), 0.5f, dim, &r);
    }
}

void gen_free(struct gen_doc *d)
{
    buf_deinit(&d->text);
    free(d->vectors);
}

void gen_question(struct buf *out, float *vector, size_t *chunk, size_t number, size_t dim,
                  struct rng *r)
{
    struct gen_doc d;
    gen_document(&d, number, dim);
    *chunk = (size_t)rng_below(r, GEN_CHUNKS);
    struct span text = span_sub(buf_span(&d.text), d.chunks[*chunk].start, d.chunks[*chunk].end);
    size_t wanted = 2 + (size_t)rng_below(r, 4);
    buf_append_str(out, "was ist mit ");
    for (size_t tries = 0; wanted && tries < 100; tries++) {
        size_t at = (size_t)rng_below(r, text.len), end;
        while (at < text.len && text.ptr[at] != ' ')
            at++;
        for (end = ++at; end < text.len && text.ptr[end] != ' ' && text.ptr[end] != '.';)
            end++;
        if (end >= text.len || end - at < 5)
            continue;
        buf_append(out, text.ptr + at, end - at);
        buf_append_char(out, ' ');
        wanted--;
    }
    near(vector, d.vectors + *chunk * dim, 0.7f, dim, r);
    gen_free(&d);
}
