#include "golden/gold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"

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
    g->block = (int32_t *)(void *)buf_take(&b);
    const int32_t *p = g->block;
    if (p[0] != 0x444C474B)
        die(name, "not a golden file");
    g->n_tokens = p[1];
    g->n_cols = p[2];
    g->n_width = p[3];
    memcpy(&g->std, p + 4, sizeof(float));
    g->tokens = p + 5;
    g->cols = g->tokens + g->n_tokens;
    g->argmax = g->cols + g->n_cols;
    g->margin = (const float *)(const void *)(g->argmax + g->n_tokens);
    g->values = g->margin + g->n_tokens;
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

struct gold_distance gold_compare(const struct gold *g, const float *got, double tolerance)
{
    struct gold_distance d = { 0 };
    for (int32_t t = 0; t < g->n_tokens; t++) {
        const float *row = got + (size_t)t * (size_t)g->n_width;
        for (int32_t c = 0; c < g->n_cols; c++) {
            double delta = fabs((double)row[g->cols[c]] - (double)g->values[t * g->n_cols + c]);
            if (!(delta / (double)g->std <= d.max_abs)) /* also catches NaN */
                d.max_abs = delta / (double)g->std;
        }
        if ((double)g->margin[t] > 2.0 * tolerance * (double)g->std) {
            d.n_sure++;
            d.n_wrong += argmax(row, g->n_width) != g->argmax[t];
        }
    }
    return d;
}
