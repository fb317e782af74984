#include "quality/divergence.h"

#include <math.h>
#include <stdlib.h>

static size_t top_of(const float *x, size_t n)
{
    size_t top = 0;
    for (size_t i = 1; i < n; i++)
        top = x[i] > x[top] ? i : top;
    return top;
}

struct divergence_point divergence_at(const float *logp_base, const float *logits, size_t n_vocab,
                                      int32_t id)
{
    size_t top = top_of(logits, n_vocab);
    double sum = 0, kl = 0;
    for (size_t i = 0; i < n_vocab; i++)
        sum += (double)expf(logits[i] - logits[top]);
    double shift = (double)logits[top] + log(sum);
    for (size_t i = 0; i < n_vocab; i++) {
        if (logp_base[i] > -60.0f) /* others have less than 1e-26 of the mass */
            kl += (double)expf(logp_base[i]) * ((double)logp_base[i] - ((double)logits[i] - shift));
    }
    return (struct divergence_point){
        .nll = shift - (double)logits[id],
        .nll_base = -(double)logp_base[id],
        .kl = fmax(kl, 0), /* rounding can leave a little less than nothing */
        .same_top = top == top_of(logp_base, n_vocab),
    };
}

struct measured measured_mean(const double *x, size_t n)
{
    double sum = 0, sq = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        sq += (x[i] - mean) * (x[i] - mean);
    double error = n > 1 ? sqrt(sq / (double)(n - 1) / (double)n) : 0;
    return (struct measured){ mean, error };
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Between neighbours in a straight line. */
static double quantile(const double *sorted, size_t n, double part)
{
    double at = part * (double)(n - 1);
    size_t i = (size_t)at;
    double next = sorted[i + 1 < n ? i + 1 : i];
    return sorted[i] + (at - (double)i) * (next - sorted[i]);
}

static void summarise_kl(struct divergence_summary *out, const struct divergence_point *p, size_t n,
                         double *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = p[i].kl;
    out->kl = measured_mean(x, n);
    qsort(x, n, sizeof(*x), by_value);
    out->kl_median = quantile(x, n, 0.5);
    out->kl_90 = quantile(x, n, 0.9);
    out->kl_99 = quantile(x, n, 0.99);
    out->kl_999 = quantile(x, n, 0.999);
    out->kl_max = x[n - 1];
}

/* How the probability of the token that stands there changes. The error of the root follows from
 * that of the mean square: d sqrt(m) = dm / (2 sqrt(m)). */
static void summarise_dp(struct divergence_summary *out, const struct divergence_point *p, size_t n,
                         double *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = exp(-p[i].nll) - exp(-p[i].nll_base);
    out->dp = measured_mean(x, n);
    for (size_t i = 0; i < n; i++)
        x[i] *= x[i];
    struct measured square = measured_mean(x, n);
    out->dp_rms.value = sqrt(square.value);
    out->dp_rms.error = square.value > 0 ? square.error / (2 * out->dp_rms.value) : 0;
}

static void summarise_nll(struct divergence_summary *out, const struct divergence_point *p,
                          size_t n, double *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = p[i].nll;
    out->nll = measured_mean(x, n);
    for (size_t i = 0; i < n; i++)
        x[i] = p[i].nll_base;
    out->nll_base = measured_mean(x, n);
    for (size_t i = 0; i < n; i++)
        x[i] = p[i].nll - p[i].nll_base;
    out->nll_difference = measured_mean(x, n);
}

static struct measured part_with_same_top(const struct divergence_point *p, size_t n)
{
    size_t n_same = 0;
    for (size_t i = 0; i < n; i++)
        n_same += p[i].same_top;
    double same = (double)n_same / (double)n;
    return (struct measured){ same, n > 1 ? sqrt(same * (1 - same) / (double)(n - 1)) : 0 };
}

void divergence_summarise(struct divergence_summary *out, const struct divergence_point *points,
                          size_t n, double *scratch)
{
    out->n = n;
    out->same_top = part_with_same_top(points, n);
    summarise_nll(out, points, n, scratch);
    summarise_dp(out, points, n, scratch);
    summarise_kl(out, points, n, scratch);
}
