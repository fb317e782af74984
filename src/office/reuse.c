/* Vectors taken over into a new version; see reuse.h. A list sorted by hash: a document has thousands of passages at most. */
#include "office/reuse.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

struct kept_vector {
    uint8_t hash[32];
    size_t dim;
    float *v;
};

struct reuse {
    struct kept_vector *items;
    size_t n, cap;
    bool failed;
};

char *reuse_text(const char *title, struct span text)
{
    struct buf b = { 0 };
    if (title && title[0]) {
        buf_append_str(&b, title);
        buf_append_char(&b, '\n');
    }
    buf_append(&b, text.ptr, text.len);
    return buf_take(&b);
}

static void hash_text(uint8_t out[32], const char *text)
{
    crypto_generichash(out, 32, (const unsigned char *)text, strlen(text), NULL, 0);
}

static int by_hash(const void *a, const void *b)
{
    return memcmp(((const struct kept_vector *)a)->hash, ((const struct kept_vector *)b)->hash, 32);
}

static bool keep(struct reuse *r, const char *text, const float *v, size_t dim)
{
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 64, bytes;
        struct kept_vector *p = size_mul(&bytes, cap, sizeof(*p)) ? realloc(r->items, bytes) : NULL;
        if (!p)
            return false;
        r->items = p;
        r->cap = cap;
    }
    struct kept_vector *k = &r->items[r->n];
    size_t bytes;
    *k = (struct kept_vector){ .dim = dim,
                               .v = size_mul(&bytes, dim, sizeof(*v)) ? malloc(bytes) : NULL };
    if (!k->v)
        return false;
    hash_text(k->hash, text);
    memcpy(k->v, v, bytes);
    r->n++;
    return true;
}

static bool on_vector(void *ctx, const char *title, const char *text, size_t text_len,
                      const float *v, size_t dim)
{
    struct reuse *r = ctx;
    char *read = reuse_text(title, (struct span){ text, text_len });
    r->failed = !read || !keep(r, read, v, dim);
    free(read);
    return !r->failed;
}

enum kt_status reuse_collect(struct reuse **out, struct kt_matter *m, const char *path,
                             struct kt_error *err)
{
    *out = NULL;
    struct reuse *r = calloc(1, sizeof(*r));
    if (!r)
        return kt_fail(err, KT_E_NOMEM, "out of memory for the vectors of a document");
    enum kt_status st = kt_matter_vectors(m, path, on_vector, r, err);
    if (!st && r->failed)
        st = kt_fail(err, KT_E_NOMEM, "out of memory for the vectors of a document");
    if (st || r->n == 0) {
        reuse_destroy(r);
        return st;
    }
    qsort(r->items, r->n, sizeof(*r->items), by_hash);
    *out = r;
    return KT_OK;
}

void reuse_destroy(struct reuse *r)
{
    for (size_t i = 0; r && i < r->n; i++)
        free(r->items[i].v);
    if (r)
        free(r->items);
    free(r);
}

bool reuse_find(const struct reuse *r, const char *text, float *v, size_t dim)
{
    struct kept_vector key;
    if (!r)
        return false;
    hash_text(key.hash, text);
    const struct kept_vector *k = bsearch(&key, r->items, r->n, sizeof(key), by_hash);
    if (!k || k->dim != dim)
        return false;
    memcpy(v, k->v, dim * sizeof(*v));
    return true;
}
