/* bench/search_quality/search_scale: how long searches take in a large matter, and what they need.
 *
 *     search_scale HOME CHUNKS [DIM]       makes the matter in HOME up to that size first; what is there is kept
 *
 * Prints for each mode the time a question takes (wall and processor), whether the chunk it was made from was found, and the
 * memory of the process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "kontor/store.h"
#include "matter_gen.h"

enum { N_QUERIES = 200 };

static struct kt_error err;

static void check(enum kt_status st)
{
    if (!st)
        return;
    fprintf(stderr, "search_scale: %s\n", err.text);
    exit(1);
}

static double ms_since(uint64_t start)
{
    return (double)(clock_now_ns() - start) * 1e-6;
}

static double cpu_ms(void)
{
    return 1e3 * (double)clock() / CLOCKS_PER_SEC;
}

static long resident_mb(void)
{
    long pages = 0, resident = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (f)
        fclose(f);
    return resident * 4096 / 1000000;
}

static uint64_t n_documents(struct kt_store *s, uint64_t *bytes)
{
    struct kt_matter_info *list;
    size_t n;
    check(kt_matter_list(s, &list, &n, &err));
    uint64_t found = n ? list[0].n_documents : 0;
    *bytes = n ? list[0].bytes : 0;
    kt_matter_list_free(list, n);
    return found;
}

static void fill(struct kt_store *s, size_t n_docs, size_t dim)
{
    struct kt_matter *m;
    uint64_t bytes, start = clock_now_ns();
    double cpu = cpu_ms();
    check(kt_matter_open(&m, s, KT_DEFAULT_MATTER, KT_WRITE, &err));
    uint64_t from = n_documents(s, &bytes);
    for (uint64_t i = from; i < n_docs; i++) {
        struct gen_doc d;
        gen_document(&d, (size_t)i, dim);
        struct kt_doc_put put = { .path = d.path,
                                  .title = d.title,
                                  .format = d.format,
                                  .mtime_ns = (int64_t)(1577836800 + i * 3600) * 1000000000,
                                  .text = d.text.ptr,
                                  .text_len = d.text.len,
                                  .blocks = d.chunks,
                                  .n_blocks = GEN_CHUNKS,
                                  .chunks = d.chunks,
                                  .n_chunks = GEN_CHUNKS,
                                  .vectors = d.vectors,
                                  .dim = dim };
        check(kt_matter_put(m, &put, &err));
        gen_free(&d);
        if (i % 1000 == 999)
            fprintf(stderr, "%llu chunks, %.0f s, processor %.0f s\n",
                    (unsigned long long)(i + 1) * GEN_CHUNKS, ms_since(start) * 1e-3,
                    (cpu_ms() - cpu) * 1e-3);
    }
    kt_matter_close(m);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double at(double *v, size_t percent)
{
    qsort(v, N_QUERIES, sizeof(*v), by_value);
    return v[N_QUERIES * percent / 100];
}

static void measure(struct kt_matter *m, const char *name, enum kt_search_mode mode, size_t n_docs,
                    size_t dim)
{
    static double ms[N_QUERIES], cpu[N_QUERIES];
    float *v = malloc(dim * sizeof(float));
    size_t found = 0;
    struct rng r;
    rng_init(&r, 99);
    double first = 0;
    for (int i = 0; i < N_QUERIES; i++) {
        struct buf q = { 0 };
        size_t chunk, number = (size_t)rng_below(&r, n_docs), n;
        gen_question(&q, v, &chunk, number, dim, &r);
        char path[32];
        snprintf(path, sizeof(path), "/%zu.", number);
        struct kt_search_request rq = { .query = q.ptr, .vector = v, .dim = dim, .mode = mode };
        struct kt_hit *hits;
        double c = cpu_ms();
        uint64_t start = clock_now_ns();
        check(kt_matter_search(m, &rq, &hits, &n, &err));
        ms[i] = ms_since(start);
        cpu[i] = cpu_ms() - c;
        first = i ? first : ms[0];
        for (size_t k = 0; k < n; k++)
            if (strstr(hits[k].path, path) && hits[k].place.para == chunk + 1) {
                found++;
                break;
            }
        kt_hits_free(hits, n);
        buf_deinit(&q);
    }
    printf("%-8s first %7.1f ms | wall median %6.2f p95 %6.2f | processor median %6.2f p95 %6.2f "
           "worst %6.2f ms | found %.3f | %ld MB resident\n",
           name, first, at(ms, 50), at(ms, 95), at(cpu, 50), at(cpu, 95), cpu[N_QUERIES - 1],
           (double)found / N_QUERIES, resident_mb());
    free(v);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: search_scale HOME CHUNKS [DIM]\n");
        return 2;
    }
    size_t n_docs = strtoul(argv[2], NULL, 10) / GEN_CHUNKS,
           dim = argc > 3 ? strtoul(argv[3], NULL, 10) : 384;
    struct kt_store *s;
    struct kt_matter *m;
    uint64_t bytes;
    check(kt_store_open(&s, argv[1], NULL, &err));
    fill(s, n_docs, dim);
    n_documents(s, &bytes);
    printf("%zu chunks, %.0f MB on disk\n", n_docs * GEN_CHUNKS, (double)bytes * 1e-6);
    check(kt_matter_open(&m, s, KT_DEFAULT_MATTER, KT_READ, &err));
    measure(m, "words", KT_SEARCH_LEXICAL, n_docs, dim);
    measure(m, "vectors", KT_SEARCH_DENSE, n_docs, dim);
    measure(m, "hybrid", KT_SEARCH_HYBRID, n_docs, dim);
    kt_matter_close(m);
    kt_store_close(s);
    return 0;
}
