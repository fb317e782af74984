/* tests/unit/store_help.c: see store_help.h. */
#include "store_help.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/rng.h"
#include "base/span.h"

char *home_make(void)
{
    const char *tmp = getenv("TMPDIR");
    char *path = path_join(tmp && *tmp ? tmp : "/tmp", "kontor-store-XXXXXX");
    assert_non_null(path);
    assert_non_null(mkdtemp(path));
    return path;
}

static int remove_one(const char *path, const struct stat *sb, int kind, struct FTW *w)
{
    (void)sb, (void)kind, (void)w;
    return remove(path);
}

void home_remove(char *home)
{
    nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(home);
}

void expect_status(enum kt_status st, enum kt_status expected, const struct kt_error *err,
                   const char *what)
{
    if (st != expected)
        fail_msg("%s: expected %s, found %s: %s", what, kt_status_name(expected),
                 kt_status_name(st), st ? err->text : "");
    if (st && (err->status != st || !err->text[0]))
        fail_msg("%s: failed without words", what);
}

void line_vector(float *v, size_t dim, const char *line, size_t len)
{
    uint64_t seed = 14695981039346656037u;
    for (size_t i = 0; i < len; i++)
        seed = (seed ^ (unsigned char)line[i]) * 1099511628211u;
    struct rng r;
    rng_init(&r, seed);
    double sum = 0;
    for (size_t i = 0; i < dim; i++) {
        v[i] = rng_f32(&r) - 0.5f;
        sum += (double)v[i] * (double)v[i];
    }
    for (size_t i = 0; i < dim; i++)
        v[i] = (float)((double)v[i] / sqrt(sum));
}

enum kt_status put_lines(struct kt_matter *m, const char *path, const char *text, size_t dim,
                         struct kt_error *err)
{
    size_t n = 0, len = strlen(text);
    for (size_t i = 0; i < len; i++)
        n += text[i] == '\n';
    struct kt_place *places = calloc(n + 1, sizeof(*places));
    float *vectors = calloc(n * dim + 1, sizeof(*vectors));
    assert_true(places && vectors);
    const char *line = text;
    for (size_t i = 0; i < n; i++) {
        const char *end = strchr(line, '\n');
        places[i] = (struct kt_place){ .start = (size_t)(line - text),
                                       .end = (size_t)(end - text),
                                       .page = (uint32_t)(i / 3 + 1),
                                       .para = (uint32_t)i,
                                       .box = { 1, 2, 3, (float)i } };
        if (dim)
            line_vector(vectors + i * dim, dim, line, (size_t)(end - line));
        line = end + 1;
    }
    struct kt_doc_put d = { .path = path,
                            .format = "txt",
                            .size = (int64_t)len,
                            .mtime_ns = 1700000000000000000,
                            .n_pages = (uint32_t)(n / 3 + 1),
                            .text = text,
                            .text_len = len,
                            .blocks = places,
                            .n_blocks = n,
                            .chunks = places,
                            .n_chunks = n,
                            .vectors = dim ? vectors : NULL,
                            .dim = dim };
    for (size_t i = 0; i < sizeof(d.hash); i++)
        d.hash[i] = (uint8_t)(len * 31 + i + (unsigned char)path[strlen(path) - 1]);
    enum kt_status st = kt_matter_put(m, &d, err);
    free(places);
    free(vectors);
    return st;
}

char *first_hit(struct kt_matter *m, const char *query)
{
    struct kt_error err = { 0 };
    struct kt_hit *hits;
    size_t n;
    struct kt_search_request rq = { .query = query, .mode = KT_SEARCH_LEXICAL, .k = 1 };
    OK(kt_matter_search(m, &rq, &hits, &n, &err));
    char *text = n ? strdup(hits[0].text) : NULL;
    kt_hits_free(hits, n);
    return text;
}

size_t count_in_bytes(const uint8_t *hay, size_t hay_len, const void *needle, size_t len)
{
    size_t n = 0;
    const uint8_t *at = hay;
    while ((at = memmem(at, hay_len - (size_t)(at - hay), needle, len))) {
        n++;
        at++;
    }
    return n;
}

static struct {
    const void *needle;
    size_t len, found, n_files;
} walk;

static int look_in(const char *path, const struct stat *sb, int kind, struct FTW *w)
{
    (void)w;
    if (kind != FTW_F || !sb->st_size)
        return 0;
    struct buf b = { 0 };
    struct kt_error err = { 0 };
    OK(file_read(&b, path, 1u << 30, &err));
    walk.found += count_in_bytes((const uint8_t *)b.ptr, b.len, walk.needle, walk.len);
    walk.n_files++;
    buf_deinit(&b);
    return 0;
}

size_t count_in_files(const char *dir, const void *needle, size_t len)
{
    walk.needle = needle;
    walk.len = len;
    walk.found = walk.n_files = 0;
    assert_int_equal(nftw(dir, look_in, 8, FTW_PHYS), 0);
    assert_true(walk.n_files > 0);
    return walk.found;
}
