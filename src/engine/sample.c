/* engine/sample.c: see sample.h for the order of the steps.
 *
 * Candidates are gathered once into dense arrays; everything after works on those. Those further
 * than FAR below the largest are dropped at once: e^-40 of the largest is 4e-18, below the
 * resolution of the draw, and it spares sorting a vocabulary of 248,000 for a handful of serious
 * candidates. */
#include "engine/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"

#define FAR 40.0f

static bool in_range(float v, float lo, float hi)
{
    return v >= lo && v <= hi; /* false for NaN */
}

static enum kt_status check_opts(const struct kt_sampling *o, size_t n_vocab, struct kt_error *err)
{
    if (!in_range(o->temperature, 0.0f, 100.0f))
        return kt_fail(err, KT_E_USAGE, "sampling: temperature is %g, expected 0 to 100",
                       (double)o->temperature);
    if (!in_range(o->top_p, 0.0f, 1e9f))
        return kt_fail(err, KT_E_USAGE, "sampling: top_p is %g, expected 0 to 1", (double)o->top_p);
    if (!in_range(o->min_p, 0.0f, 1.0f))
        return kt_fail(err, KT_E_USAGE, "sampling: min_p is %g, expected 0 to 1", (double)o->min_p);
    if (!in_range(o->presence_penalty, -100.0f, 100.0f))
        return kt_fail(err, KT_E_USAGE, "sampling: presence penalty is %g, expected -100 to 100",
                       (double)o->presence_penalty);
    if (!in_range(o->frequency_penalty, -100.0f, 100.0f))
        return kt_fail(err, KT_E_USAGE, "sampling: frequency penalty is %g, expected -100 to 100",
                       (double)o->frequency_penalty);
    if (o->n_biases > KT_BIASES_MAX)
        return kt_fail(err, KT_E_USAGE, "sampling: %zu tokens have a bias, expected %d at most",
                       o->n_biases, KT_BIASES_MAX);
    for (size_t i = 0; i < o->n_biases; i++)
        if (o->biases[i].id < 0 || (size_t)o->biases[i].id >= n_vocab ||
            !in_range(o->biases[i].bias, -1000.0f, 1000.0f))
            return kt_fail(
                err, KT_E_USAGE,
                "sampling: the bias of token %d is %g, expected -1000 to 1000 of a token "
                "below %zu",
                o->biases[i].id, (double)o->biases[i].bias, n_vocab);
    return KT_OK;
}

enum kt_status sampler_init(struct sampler *s, const struct kt_sampling *opts, size_t n_vocab,
                            const struct kernels *k, struct kt_error *err)
{
    memset(s, 0, sizeof(*s));
    enum kt_status st = check_opts(opts, n_vocab, err);
    if (st)
        return st;
    s->opts = *opts;
    s->kernels = k;
    s->n_vocab = n_vocab;
    s->x = calloc(n_vocab, sizeof(*s->x));
    s->ids = calloc(n_vocab, sizeof(*s->ids));
    s->keys = calloc(n_vocab, sizeof(*s->keys));
    bool counted = opts->presence_penalty != 0.0f || opts->frequency_penalty != 0.0f;
    s->counts = counted ? calloc(n_vocab, sizeof(*s->counts)) : NULL;
    if (!s->x || !s->ids || !s->keys || (counted && !s->counts)) {
        sampler_deinit(s);
        return kt_fail(err, KT_E_NOMEM, "sampling: out of memory for %zu candidates", n_vocab);
    }
    return KT_OK;
}

void sampler_deinit(struct sampler *s)
{
    free(s->x);
    free(s->ids);
    free(s->keys);
    free(s->counts);
    memset(s, 0, sizeof(*s));
}

/* The allowed ids and their logits; *top is the index of the largest, the smallest id of equals. */
static enum kt_status gather(struct sampler *s, const float *logits, const uint64_t *allowed,
                             size_t *top, struct kt_error *err)
{
    size_t n = 0, best = 0;
    for (size_t w = 0; w < mask_words(s->n_vocab); w++) {
        for (uint64_t bits = allowed[w]; bits; bits &= bits - 1) {
            size_t id = w * 64 + (size_t)__builtin_ctzll(bits);
            float v = id < s->n_vocab ? logits[id] : -INFINITY;
            if (v != v || v == INFINITY)
                return kt_fail(err, KT_E_INTERNAL,
                               "sampling: the logit of token %zu is %s; the model's file or its "
                               "computation is damaged, try `kontor inspect` on it",
                               id, v == v ? "infinite" : "not a number");
            if (v == -INFINITY)
                continue;
            s->x[n] = v;
            s->ids[n] = (int32_t)id;
            if (v > s->x[best])
                best = n;
            n++;
        }
    }
    if (n == 0)
        return kt_fail(err, KT_E_NOTFOUND, "sampling: no token is allowed here");
    s->n_cand = n;
    *top = best;
    return KT_OK;
}

/* log of the sum over candidates of e^(x - top), in double so that the order does not matter to
 * anyone. */
static double log_sum(struct sampler *s, float top)
{
    float *p = (float *)s->keys; /* scratch: keys are made later */
    size_t n = 0;
    for (size_t i = 0; i < s->n_cand; i++)
        if (s->x[i] - top > -FAR)
            p[n++] = s->x[i];
    /* softmax gives e^(x - top) / sum, and the largest of them is 1 / sum. */
    s->kernels->softmax(p, n);
    float largest = 0.0f;
    for (size_t i = 0; i < n; i++)
        if (p[i] > largest)
            largest = p[i];
    return -log((double)largest);
}

/* Larger logits sort first, equal ones by id: the bits of a float, made monotone, above the id's.
 */
static uint64_t sort_key(float x, int32_t id)
{
    uint32_t u = f32_bits(x);
    u = u & 0x80000000u ? ~u : u | 0x80000000u;
    return (uint64_t)~u << 32 | (uint32_t)id;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Move the k smallest keys to the front (Hoare's selection, middle pivot). */
static void select_smallest(uint64_t *keys, size_t n, size_t k)
{
    size_t lo = 0, hi = n - 1;
    while (lo < hi) {
        uint64_t pivot = keys[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;
        for (;;) {
            while (keys[i] < pivot)
                i++;
            while (keys[j] > pivot)
                j--;
            if (i >= j)
                break;
            uint64_t t = keys[i];
            keys[i++] = keys[j];
            keys[j--] = t;
        }
        /* All keys differ (ids do), so that [lo, j] <= pivot <= [j + 1, hi]. */
        if (k <= j)
            hi = j;
        else
            lo = j + 1;
    }
}

/* Sort the candidates, the most likely first, keeping at most k (0: all). */
static void sort_candidates(struct sampler *s, size_t k)
{
    size_t n = s->n_cand;
    for (size_t i = 0; i < n; i++)
        s->keys[i] = sort_key(s->x[i], s->ids[i]);
    if (k && k < n) {
        select_smallest(s->keys, n, k);
        n = k;
    }
    qsort(s->keys, n, sizeof(*s->keys), by_key);
    for (size_t i = 0; i < n; i++) {
        uint32_t u = ~(uint32_t)(s->keys[i] >> 32);
        u = u & 0x80000000u ? u & 0x7FFFFFFFu : ~u;
        s->x[i] = f32_from_bits(u);
        s->ids[i] = (int32_t)(uint32_t)s->keys[i];
    }
    s->n_cand = n;
}

/* The candidate of this id, or n_cand: gather() leaves them in the order of their ids. */
static size_t find_candidate(const struct sampler *s, int32_t id)
{
    size_t lo = 0, hi = s->n_cand;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s->ids[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->n_cand && s->ids[lo] == id ? lo : s->n_cand;
}

/* Biases and penalties; the index of what is then the largest, the smallest id of equals. */
static size_t bend(struct sampler *s)
{
    const struct kt_sampling *o = &s->opts;
    for (size_t i = 0; i < o->n_biases; i++) {
        size_t at = find_candidate(s, o->biases[i].id);
        if (at < s->n_cand)
            s->x[at] += o->biases[i].bias;
    }
    size_t best = 0;
    for (size_t i = 0; i < s->n_cand; i++) {
        uint32_t n = s->counts ? s->counts[s->ids[i]] : 0;
        if (n)
            s->x[i] -= o->presence_penalty + (float)n * o->frequency_penalty;
        if (s->x[i] > s->x[best])
            best = i;
    }
    return best;
}

/* Temperature; x becomes (x - largest) / T, and what is FAR below is dropped. */
static void soften(struct sampler *s, float largest)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_cand; i++) {
        float x = (s->x[i] - largest) / s->opts.temperature;
        if (!(x > -FAR))
            continue;
        s->x[n] = x;
        s->ids[n++] = s->ids[i];
    }
    s->n_cand = n;
}

/* How many of the sorted candidates reach probability p together. s->x are probabilities. */
static size_t nucleus(const struct sampler *s, double p)
{
    double sum = 0;
    for (size_t i = 0; i < s->n_cand; i++) {
        sum += (double)s->x[i];
        if (sum >= p)
            return i + 1;
    }
    return s->n_cand;
}

static void filter(struct sampler *s)
{
    const struct kt_sampling *o = &s->opts;
    bool top_p = o->top_p > 0.0f && o->top_p < 1.0f;
    bool top_k = o->top_k && o->top_k < s->n_cand;
    if (top_k || top_p)
        sort_candidates(s, o->top_k);
    s->kernels->softmax(s->x, s->n_cand);
    if (top_p)
        s->n_cand = nucleus(s, (double)o->top_p);
    if (o->min_p <= 0.0f)
        return;
    float largest = 0.0f;
    for (size_t i = 0; i < s->n_cand; i++)
        largest = s->x[i] > largest ? s->x[i] : largest;
    size_t n = 0;
    for (size_t i = 0; i < s->n_cand; i++) {
        if (s->x[i] < o->min_p * largest)
            continue;
        s->x[n] = s->x[i];
        s->ids[n++] = s->ids[i];
    }
    s->n_cand = n;
}

/* The n-th number of the seed in [0, 1): splitmix64's finaliser of a counter, 53 bits. */
static double uniform(uint64_t seed, uint64_t n)
{
    uint64_t z = seed + 0x9E3779B97F4A7C15u;
    for (int i = 0; i < 2; i++) { /* first the seed, so that neighbouring seeds share no numbers */
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        z ^= z >> 31;
        z += i == 0 ? (n + 1) * 0x9E3779B97F4A7C15u : 0;
    }
    return (double)(z >> 11) * 0x1p-53;
}

static int32_t draw(struct sampler *s)
{
    double total = 0;
    for (size_t i = 0; i < s->n_cand; i++)
        total += (double)s->x[i];
    double u = uniform(s->opts.seed, s->n_picks) * total;
    for (size_t i = 0; i + 1 < s->n_cand; i++) {
        u -= (double)s->x[i];
        if (u < 0)
            return s->ids[i];
    }
    return s->ids[s->n_cand - 1];
}

enum kt_status sampler_pick(struct sampler *s, const float *logits, const uint64_t *allowed,
                            int32_t *id, float *logprob, struct kt_error *err)
{
    size_t top = 0;
    enum kt_status st = gather(s, logits, allowed, &top, err);
    if (st)
        return st;
    float largest = s->x[top];
    double norm = log_sum(s, largest);
    if (s->counts || s->opts.n_biases)
        top = bend(s);
    int32_t chosen = s->ids[top];
    if (s->opts.temperature > 0.0f) {
        soften(s, s->x[top]);
        filter(s);
        chosen = draw(s);
    }
    *id = chosen;
    *logprob = (float)((double)logits[chosen] - (double)largest - norm);
    if (s->counts)
        s->counts[chosen]++;
    s->n_picks++;
    return KT_OK;
}
