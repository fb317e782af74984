#include "golden/gold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"

enum { MAGIC_TOKENS = 0x444C474B, MAGIC_ROWS = 0x324C474B };

static _Noreturn void die(const char *name, const char *why)
{
    fprintf(stderr, "golden file %s: %s\n", name, why);
    abort();
}

void gold_open(struct gold *g, const char *name)
{
    const char *source = getenv("KONTOR_SOURCE");
    char path[1024];
    snprintf(path, sizeof(path), "%s/tests/golden/%s", source ? source : ".", name);
    struct buf b = { 0 };
    struct kt_error err;
    if (file_read(&b, path, 1 << 24, &err))
        die(name, err.text);
    g->block = (int32_t *)(void *)b.ptr;
    const int32_t *p = g->block;
    if (p[0] != MAGIC_TOKENS && p[0] != MAGIC_ROWS)
        die(name, "not a golden file");
    g->n_tokens = p[1];
    g->n_cols = p[2];
    g->n_width = p[3];
    memcpy(&g->std, p + 4, sizeof(float));
    g->tokens = g->cols = g->pos = NULL;
    g->top = g->lse = NULL;
    if (p[0] == MAGIC_TOKENS) {
        g->tokens = p + 5;
        g->cols = g->tokens + g->n_tokens;
        g->argmax = g->cols + g->n_cols;
    } else {
        g->pos = p + 5;
        g->argmax = g->pos + g->n_tokens;
    }
    g->margin = (const float *)(const void *)(g->argmax + g->n_tokens);
    g->values = g->margin + g->n_tokens;
    if (p[0] == MAGIC_ROWS) {
        g->top = g->values;
        g->lse = g->top + g->n_tokens;
        g->values = g->lse + g->n_tokens;
    }
    if (b.len != (size_t)((const char *)(g->values + g->n_tokens * g->n_cols) - (const char *)p))
        die(name, "of another length than its header says");
}

void gold_close(struct gold *g)
{
    free(g->block);
}

static int32_t argmax(const float *x, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++) {
        if (x[i] > x[best])
            best = i;
    }
    return best;
}

static int32_t column(const struct gold *g, int32_t row, int32_t j)
{
    return g->cols ? g->cols[j] : (j * (g->n_width / g->n_cols) + g->pos[row]) % g->n_width;
}

static double log_sum_exp(const float *x, int32_t n, float top)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++)
        sum += exp((double)x[i] - (double)top);
    return (double)top + log(sum);
}

/* Also catches NaN. */
static void see(struct gold_distance *d, const struct gold *g, double got, double want)
{
    double delta = fabs(got - want) / (double)g->std;
    if (!(delta <= d->max_abs))
        d->max_abs = delta;
}

struct gold_distance gold_compare_rows(const struct gold *g, size_t n_rows, const float *got,
                                       double tolerance)
{
    struct gold_distance d = { 0 };
    for (int32_t t = 0; t < (int32_t)n_rows && t < g->n_tokens; t++) {
        const float *row = got + (size_t)t * (size_t)g->n_width;
        int32_t best = argmax(row, g->n_width);
        for (int32_t c = 0; c < g->n_cols; c++)
            see(&d, g, (double)row[column(g, t, c)], (double)g->values[t * g->n_cols + c]);
        if (g->top) {
            see(&d, g, (double)row[best], (double)g->top[t]);
            see(&d, g, log_sum_exp(row, g->n_width, row[best]), (double)g->lse[t]);
        }
        if ((double)g->margin[t] > 2.0 * tolerance * (double)g->std) {
            d.n_sure++;
            d.n_wrong += best != g->argmax[t];
        }
    }
    return d;
}

struct gold_distance gold_compare(const struct gold *g, const float *got, double tolerance)
{
    return gold_compare_rows(g, (size_t)g->n_tokens, got, tolerance);
}
