/* bench/search_speed: a matter of many chunks: how long putting, searching and removing take.
 *
 *     search_speed [CHUNKS [DIM]]      default 10,000 chunks of about 100 words, 384 numbers
 *
 * Texts are random words of a Zipf-like vocabulary of 60,000, made of syllables so that stems and
 * compounds occur; vectors are random. Seeded: the same every time. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/size.h"
#include "base/span.h"
#include "kontor/store.h"

enum { VOCABULARY = 60000, CHUNKS_PER_DOC = 50, WORDS_PER_CHUNK = 100, N_QUERIES = 200 };

static struct kt_error err;

static void check(enum kt_status st)
{
    if (!st)
        return;
    fprintf(stderr, "search_speed: %s\n", err.text);
    exit(1);
}

/* Word number n: always the same letters. */
static void append_word(struct buf *out, size_t n)
{
    static const char *const SYLLABLES[] = { "ver",  "trag", "miet", "kün", "di",  "gung", "frist",
                                             "haus", "geld", "kon",  "to",  "ra",  "be",   "lin",
                                             "mus",  "ter",  "fal",  "wo",  "che", "gar" };
    struct rng r;
    rng_init(&r, n + 1);
    for (size_t k = 2 + rng_below(&r, 3); k--;)
        buf_append_str(out, SYLLABLES[rng_below(&r, ARRAY_LEN(SYLLABLES))]);
    buf_printf(out, "%c", (int)('a' + n % 26));
}

/* Rank r is drawn about as often as 1 / r. */
static size_t draw_word(struct rng *r)
{
    return (size_t)exp((double)rng_f32(r) * log(VOCABULARY)) - 1;
}

static void random_vector(float *v, size_t dim, struct rng *r)
{
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        v[i] = rng_f32(r) - 0.5f;
        sum += (double)v[i] * (double)v[i];
    }
    for (size_t i = 0; i < dim; i++)
        v[i] = (float)((double)v[i] / sqrt(sum));
}

static void put_document(struct kt_matter *m, size_t number, size_t dim, struct rng *r)
{
    struct buf text = { 0 };
    struct kt_place chunks[CHUNKS_PER_DOC];
    float *vectors = malloc(CHUNKS_PER_DOC * dim * sizeof(float));
    char path[32];
    for (size_t i = 0; i < CHUNKS_PER_DOC; i++) {
        chunks[i] = (struct kt_place){ .start = text.len };
        for (int w = 0; w < WORDS_PER_CHUNK; w++) {
            append_word(&text, draw_word(r));
            buf_append_char(&text, ' ');
        }
        chunks[i].end = text.len;
        random_vector(vectors + i * dim, dim, r);
    }
    snprintf(path, sizeof(path), "/%zu", number);
    struct kt_doc_put d = { .path = path,
                            .text = text.ptr,
                            .text_len = text.len,
                            .blocks = chunks,
                            .n_blocks = CHUNKS_PER_DOC,
                            .chunks = chunks,
                            .n_chunks = CHUNKS_PER_DOC,
                            .vectors = vectors,
                            .dim = dim };
    check(kt_matter_put(m, &d, &err));
    free(vectors);
    buf_deinit(&text);
}

static double ms_since(uint64_t start)
{
    return (double)(clock_now_ns() - start) * 1e-6;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Questions of six words, drawn like the text's own. */
static void measure(struct kt_matter *m, const char *name, enum kt_search_mode mode, size_t dim)
{
    double ms[N_QUERIES];
    float *v = malloc(dim * sizeof(float));
    struct rng r;
    rng_init(&r, 99);
    clock_t cpu = clock();
    for (int i = 0; i < N_QUERIES; i++) {
        struct buf q = { 0 };
        for (int w = 0; w < 6; w++) {
            append_word(&q, draw_word(&r));
            buf_append_char(&q, ' ');
        }
        random_vector(v, dim, &r);
        struct kt_search_request rq = { .query = q.ptr, .vector = v, .dim = dim, .mode = mode };
        struct kt_hit *hits;
        size_t n;
        uint64_t start = clock_now_ns();
        check(kt_matter_search(m, &rq, &hits, &n, &err));
        ms[i] = ms_since(start);
        if (i == 0)
            printf("%-8s first %.1f ms", name, ms[0]);
        kt_hits_free(hits, n);
        buf_deinit(&q);
    }
    qsort(ms, N_QUERIES, sizeof(*ms), by_value);
    printf(", then median %.2f, p95 %.2f, worst %.2f ms; processor %.2f ms each\n",
           ms[N_QUERIES / 2], ms[N_QUERIES * 95 / 100], ms[N_QUERIES - 1],
           1e3 * (double)(clock() - cpu) / CLOCKS_PER_SEC / N_QUERIES);
    free(v);
}

int main(int argc, char **argv)
{
    size_t n_chunks = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000,
           dim = argc > 2 ? strtoul(argv[2], NULL, 10) : 384;
    char home[] = "/tmp/kontor-speed-XXXXXX";
    struct kt_store *s;
    struct kt_matter *m;
    struct rng r;
    rng_init(&r, 1);
    if (!mkdtemp(home))
        return 1;
    check(kt_store_open(&s, home, NULL, &err));
    check(kt_matter_open(&m, s, KT_DEFAULT_MATTER, KT_WRITE, &err));
    uint64_t start = clock_now_ns();
    for (size_t i = 0; i < n_chunks / CHUNKS_PER_DOC; i++)
        put_document(m, i, dim, &r);
    double ms = ms_since(start);
    printf("put      %zu chunks in %.1f s: %.0f chunks a second; processor time of everything so "
           "far %.1f s\n",
           n_chunks, ms * 1e-3, (double)n_chunks / ms * 1e3, (double)clock() / CLOCKS_PER_SEC);
    kt_matter_close(m);
    start = clock_now_ns();
    check(kt_matter_open(&m, s, KT_DEFAULT_MATTER, KT_WRITE, &err));
    printf("open     %.1f ms\n", ms_since(start));
    measure(m, "lexical", KT_SEARCH_LEXICAL, dim);
    measure(m, "dense", KT_SEARCH_DENSE, dim);
    measure(m, "hybrid", KT_SEARCH_HYBRID, dim);
    start = clock_now_ns();
    put_document(m, 1, dim, &r);
    printf("replace  %.1f ms for one document, in a matter just opened\n", ms_since(start));
    size_t n;
    start = clock_now_ns();
    check(kt_matter_remove(m, "/0", &n, &err));
    printf("remove   %.1f ms for one document, with all traces\n", ms_since(start));
    kt_matter_close(m);
    struct kt_matter_info *list;
    check(kt_matter_list(s, &list, &n, &err));
    printf("size     %.1f MB\n", (double)list[0].bytes * 1e-6);
    kt_matter_list_free(list, n);
    check(kt_matter_destroy(s, KT_DEFAULT_MATTER, &err));
    kt_store_close(s);
    return 0;
}
