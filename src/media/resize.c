/* Antialiased bicubic on 8-bit pixels: along the rows, then along the columns, each pass rounded.
 *
 * Where the scale is s = in / out and s+ = max(s, 1), pixel i of a line comes from those around
 * c = s (i + 1/2) that are nearer than 2 s+, weighted by the Keys kernel (a = -1/2) of their distance
 * divided by s+. Weights are whole numbers of 16 bits, with as many bits behind the point as the largest
 * one of the axis leaves: those of the reference's default processor, and the sums are exact, so that
 * the pixels are equal to its. */
#include <math.h>
#include <stdlib.h>

#include "base/size.h"
#include "media/media_priv.h"

enum { POINT_MAX = 22, WEIGHT_END = 1 << 15 };

struct taps { /* of one line of n_out pixels */
    uint32_t n_out, n_max;
    int point;           /* bits of a weight behind the point */
    uint32_t *first, *n; /* [n_out] */
    int32_t *weight;     /* [n_out, n_max] */
};

static double keys(double u)
{
    const double a = -0.5;
    u = fabs(u);
    if (u < 1)
        return ((a + 2) * u - (a + 3)) * u * u + 1;
    if (u < 2)
        return ((a * u - 5 * a) * u + 8 * a) * u - 4 * a;
    return 0;
}

static void taps_deinit(struct taps *t)
{
    free(t->first);
    free(t->n);
    free(t->weight);
}

/* The taps of pixel i: w [n] of them from *from on; their sum is 1. */
static uint32_t taps_of(double *w, int64_t *from, uint32_t i, uint32_t n_in, double s)
{
    double s_plus = s < 1 ? 1 : s, reach = 2 * s_plus, c = (i + 0.5) * s, sum = 0;
    *from = MAX((int64_t)(c - reach + 0.5), (int64_t)0);
    uint32_t n = (uint32_t)(MIN((int64_t)(c + reach + 0.5), (int64_t)n_in) - *from);
    double first = (double)*from - c + 0.5;
    for (uint32_t k = 0; k < n; k++)
        sum += w[k] = keys((k + first) * (1 / s_plus));
    for (uint32_t k = 0; k < n; k++)
        w[k] /= sum;
    return n;
}

static int point_for(double largest)
{
    int point = 0;
    while (point < POINT_MAX && (int)(0.5 + largest * (double)(2 << point)) < WEIGHT_END)
        point++;
    return point;
}

static bool taps_init(struct taps *t, uint32_t n_in, uint32_t n_out)
{
    double s = (double)n_in / n_out;
    *t = (struct taps){ .n_out = n_out, .n_max = (uint32_t)ceil(2 * MAX(s, 1)) * 2 + 1 };
    double *w = malloc((size_t)n_out * t->n_max * sizeof(*w)), largest = 0;
    t->first = calloc(n_out, sizeof(*t->first));
    t->n = calloc(n_out, sizeof(*t->n));
    t->weight = calloc((size_t)n_out * t->n_max, sizeof(*t->weight));
    bool ok = w && t->first && t->n && t->weight;
    for (uint32_t i = 0; ok && i < n_out; i++) {
        double *of_i = w + (size_t)i * t->n_max;
        int64_t from;
        t->n[i] = taps_of(of_i, &from, i, n_in, s);
        t->first[i] = (uint32_t)from;
        for (uint32_t k = 0; k < t->n[i]; k++)
            largest = MAX(largest, of_i[k]);
    }
    t->point = point_for(largest);
    for (uint32_t i = 0; ok && i < n_out; i++)
        for (uint32_t k = 0; k < t->n[i]; k++)
            t->weight[(size_t)i * t->n_max + k] =
                (int32_t)lround(w[(size_t)i * t->n_max + k] * (double)(1 << t->point));
    free(w);
    return ok;
}

static uint8_t to_level(int32_t sum, int point)
{
    int32_t v = sum >> point;
    return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
}

/* dst: [rows, t->n_out, 3], src: [rows, n_in, 3] */
static void along_rows(uint8_t *dst, const uint8_t *src, uint32_t rows, uint32_t n_in,
                       const struct taps *t)
{
    for (uint32_t y = 0; y < rows; y++, src += (size_t)n_in * 3) {
        for (uint32_t i = 0; i < t->n_out; i++, dst += 3) {
            const int32_t *w = t->weight + (size_t)i * t->n_max;
            const uint8_t *px = src + (size_t)t->first[i] * 3;
            int32_t r = t->point ? 1 << (t->point - 1) : 0, g = r, b = r;
            for (uint32_t k = 0; k < t->n[i]; k++, px += 3) {
                r += w[k] * px[0];
                g += w[k] * px[1];
                b += w[k] * px[2];
            }
            dst[0] = to_level(r, t->point);
            dst[1] = to_level(g, t->point);
            dst[2] = to_level(b, t->point);
        }
    }
}

/* dst: [t->n_out, row], src: [n_in, row]; row: bytes */
static void along_columns(uint8_t *dst, const uint8_t *src, size_t row, const struct taps *t,
                          int32_t *sum)
{
    for (uint32_t i = 0; i < t->n_out; i++, dst += row) {
        const int32_t *w = t->weight + (size_t)i * t->n_max;
        for (size_t x = 0; x < row; x++)
            sum[x] = t->point ? 1 << (t->point - 1) : 0;
        for (uint32_t k = 0; k < t->n[i]; k++) {
            const uint8_t *line = src + (t->first[i] + (size_t)k) * row;
            for (size_t x = 0; x < row; x++)
                sum[x] += w[k] * line[x];
        }
        for (size_t x = 0; x < row; x++)
            dst[x] = to_level(sum[x], t->point);
    }
}

static bool resize_width(struct picture *p, uint32_t width)
{
    struct taps t;
    uint8_t *dst = malloc((size_t)p->height * width * 3);
    bool ok = taps_init(&t, p->width, width) && dst;
    if (ok) {
        along_rows(dst, p->rgb, p->height, p->width, &t);
        free(p->rgb);
        p->rgb = dst;
        p->width = width;
    } else {
        free(dst);
    }
    taps_deinit(&t);
    return ok;
}

static bool resize_height(struct picture *p, uint32_t height)
{
    struct taps t;
    size_t row = (size_t)p->width * 3;
    uint8_t *dst = malloc(height * row);
    int32_t *sum = malloc(row * sizeof(*sum));
    bool ok = taps_init(&t, p->height, height) && dst && sum;
    if (ok) {
        along_columns(dst, p->rgb, row, &t, sum);
        free(p->rgb);
        p->rgb = dst;
        p->height = height;
    } else {
        free(dst);
    }
    free(sum);
    taps_deinit(&t);
    return ok;
}

bool picture_resize(struct picture *p, uint32_t height, uint32_t width, struct refusal *why)
{
    if (width != p->width && !resize_width(p, width))
        return media_refuse(why, REASON_NOMEM, 0, 0);
    if (height != p->height && !resize_height(p, height))
        return media_refuse(why, REASON_NOMEM, 0, 0);
    return true;
}
