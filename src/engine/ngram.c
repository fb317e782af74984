#include "engine/ngram.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"

/* A place for each run, give or take: at least 2^8. */
static unsigned hash_bits(size_t n_max)
{
    unsigned bits = 8;
    while ((size_t)1 << bits < n_max)
        bits++;
    return bits;
}

bool ngram_bytes(size_t *bytes, size_t n_max)
{
    *bytes = 0;
    if (n_max == 0 || n_max > INT32_MAX)
        return false;
    *bytes = 2 * n_max * sizeof(uint32_t) + (sizeof(uint32_t) << hash_bits(n_max));
    return true;
}

enum kt_status ngram_init(struct ngram *x, size_t n_max, struct kt_error *err)
{
    *x = (struct ngram){ .n_max = n_max };
    if (n_max == 0 || n_max > INT32_MAX)
        return kt_fail(err, KT_E_LIMIT, "an index of %zu tokens", n_max);
    x->bits = hash_bits(n_max);
    x->tokens = malloc(n_max * sizeof(*x->tokens));
    x->before = malloc(n_max * sizeof(*x->before));
    x->last = calloc((size_t)1 << x->bits, sizeof(*x->last));
    if (!x->tokens || !x->before || !x->last) {
        ngram_deinit(x);
        return kt_fail(err, KT_E_NOMEM, "out of memory for an index of %zu tokens", n_max);
    }
    return KT_OK;
}

void ngram_deinit(struct ngram *x)
{
    free(x->tokens);
    free(x->before);
    free(x->last);
    *x = (struct ngram){ 0 };
}

void ngram_reset(struct ngram *x)
{
    x->n = 0;
    memset(x->last, 0, sizeof(*x->last) << x->bits);
}

/* Of the run that ends with token 'at'. */
static size_t hash_run(const struct ngram *x, size_t at)
{
    uint64_t h = 0;
    for (size_t i = 0; i < NGRAM_MIN; i++)
        h = (h ^ (uint32_t)x->tokens[at - i]) * 0x9E3779B97F4A7C15u;
    return (size_t)(h >> (64 - x->bits));
}

void ngram_push(struct ngram *x, int32_t id)
{
    if (x->n == x->n_max)
        return;
    size_t at = x->n++;
    x->tokens[at] = id;
    x->before[at] = 0;
    if (at + 1 < NGRAM_MIN)
        return;
    uint32_t *last = &x->last[hash_run(x, at)];
    x->before[at] = *last;
    *last = (uint32_t)at + 1;
}

/* How many tokens up to 'place' are those up to the end. */
static size_t agreement(const struct ngram *x, size_t place)
{
    size_t n = 0, end = x->n - 1;
    while (n < NGRAM_MATCH && n <= place && x->tokens[place - n] >= 0 &&
           x->tokens[place - n] == x->tokens[end - n])
        n++;
    return n;
}

size_t ngram_guess(const struct ngram *x, int32_t *out, size_t n_max, size_t *match)
{
    *match = 0;
    if (x->n < NGRAM_MIN)
        return 0;
    size_t best = 0, place = x->before[x->n - 1];
    for (size_t i = 0; i < NGRAM_TRIES && place; i++, place = x->before[place - 1]) {
        size_t n = agreement(x, place - 1);
        if (n < NGRAM_MIN || n <= *match)
            continue;
        *match = n;
        best = place; /* what follows the agreement */
    }
    if (*match == 0)
        return 0;
    size_t period = x->n - best, n = 0;
    while (n < n_max && x->tokens[best + n % period] >= 0) {
        out[n] = x->tokens[best + n % period];
        n++;
    }
    return n;
}
