/* What an error in one column is made up for with, in the columns behind it.
 *
 * A row w of weights becomes w', and its output changes by (w - w') x. With H = E[x x^T] the mean square of
 * that is (w - w') H (w - w')^T. Columns are rounded one after the other; when column i is off by e, the
 * others can still move, and what they should move by is a row of the inverse of H. Factored as H = R R^T with R
 * upper triangular and U = R^-1, the best change of column j > i is -e U[i][j] / U[i][i], and the error that remains
 * whatever the columns behind do is e^2 R[i][i]^2. (This is the error feedback of optimal brain surgery, in the
 * order of columns, as GPTQ and LDLQ have it.)
 *
 * H is measured on one text, and others will be read. So what it says about pairs of columns is believed to four
 * fifths, and a hundredth of the mean is added to the diagonal, so that no direction counts for nothing. */
#include <math.h>

#include "quant/quantize.h"

#define BELIEF  0.8
#define DAMPING 0.01

/* R in place of the upper triangle of a[n][n]. Its diagonal is at least that of the damping. */
static void factor(double *a, size_t n, double least, double *col)
{
    for (size_t j = n; j-- > 0;) {
        double d = a[j * n + j], r = sqrt(d > least ? d : least);
        a[j * n + j] = r;
        for (size_t i = 0; i < j; i++)
            col[i] = a[i * n + j] /= r;
        for (size_t i = 0; i < j; i++) {
            double *row = a + i * n, s = col[i];
            for (size_t k = i; k < j; k++)
                row[k] -= s * col[k];
        }
    }
}

bool quant_carry(float *restrict carry, float *restrict weight, const float *cov, size_t n,
                 size_t stride, double *scratch)
{
    double *a = scratch, *u = scratch + n * n, sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)cov[i * stride + i];
    double add = DAMPING * sum / (double)n;
    if (!(add > 1e-30))
        return false;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i; j < n; j++)
            a[i * n + j] =
                i == j ? (double)cov[i * stride + j] + add : BELIEF * (double)cov[i * stride + j];
    }
    factor(a, n, add, u);
    for (size_t i = n; i-- > 0;) { /* row i of U from those below it */
        double *to = u + i * n, r = a[i * n + i];
        for (size_t j = i; j < n; j++)
            to[j] = 0;
        for (size_t k = i + 1; k < n; k++) {
            double s = a[i * n + k], *from = u + k * n;
            for (size_t j = k; j < n; j++)
                to[j] += s * from[j];
        }
        for (size_t j = i + 1; j < n; j++) {
            carry[i * stride + j] = (float)to[j];
            to[j] = -to[j] / r;
        }
        to[i] = 1 / r;
        weight[i] = (float)(r * r);
    }
    return true;
}
