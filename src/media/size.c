/* The numbers of the models' image and video processors: docs/MEDIA.md has them in words. Divisions,
 * roots and roundings are those of the reference, in its order: the results are equal, not close. */
#include <math.h>

#include "base/size.h"
#include "media/media_priv.h"

/* n / UNIT to the nearest whole number, half to the even one; times UNIT. */
static uint64_t round_to_unit(uint64_t n)
{
    uint64_t q = n / UNIT, r = n % UNIT;
    if (r > UNIT / 2 || (r == UNIT / 2 && q % 2))
        q++;
    return q * UNIT;
}

static uint32_t shrunk(double side, double beta)
{
    double n = floor(side / beta / UNIT) * UNIT;
    return n < UNIT ? UNIT : (uint32_t)n;
}

static uint32_t grown(double side, double beta)
{
    return (uint32_t)(ceil(side * beta / UNIT) * UNIT);
}

/* A frame smaller than one unit is thought larger first. */
static void lift(uint64_t *h, uint64_t *w)
{
    if (*h >= UNIT && *w >= UNIT)
        return;
    double scale = MAX((double)UNIT / (double)*h, (double)UNIT / (double)*w);
    *h = (uint64_t)((double)*h * scale);
    *w = (uint64_t)((double)*w * scale);
}

bool size_for(uint32_t *height, uint32_t *width, uint32_t source_height, uint32_t source_width,
              uint32_t n_frames, uint64_t min_pixels, uint64_t max_pixels)
{
    uint64_t h = source_height, w = source_width, n = n_frames ? n_frames : 1;
    if (!h || !w)
        return false;
    if (n_frames)
        lift(&h, &w);
    if ((double)MAX(h, w) / (double)MIN(h, w) > RATIO_MAX)
        return false;
    uint64_t to_h = round_to_unit(h), to_w = round_to_unit(w);
    /* Frames count in pairs: half of an odd number, rounded half to even, twice. */
    uint64_t t = n_frames ? 2 * (n / 2 + (n % 2 && (n / 2) % 2)) : 1;
    double all = (double)(n * h * w);
    if (t * to_h * to_w > max_pixels) {
        double beta = sqrt(all / (double)max_pixels);
        to_h = shrunk((double)h, beta);
        to_w = shrunk((double)w, beta);
    } else if (t * to_h * to_w < min_pixels) {
        double beta = sqrt((double)min_pixels / all);
        to_h = grown((double)h, beta);
        to_w = grown((double)w, beta);
    }
    /* A budget below a handful of units leaves sides of zero: one unit is the least there is. */
    *height = (uint32_t)MAX(to_h, (uint64_t)UNIT);
    *width = (uint32_t)MAX(to_w, (uint64_t)UNIT);
    return true;
}

/* Sides that are rounded up, or are one unit at least, go beyond the budget by one unit of the other
 * side, which is at most RATIO_MAX times as long. Of an odd number of frames one may not be counted. */
uint64_t size_most_pixels(uint64_t max_pixels, uint32_t n_frames)
{
    double budget = (double)max_pixels * (n_frames ? 2 : 1) / (n_frames ? n_frames : 1);
    return (uint64_t)(budget + 2 * UNIT * sqrt(RATIO_MAX * budget)) + 4 * UNIT * UNIT;
}

uint32_t frames_wanted(uint64_t total, double source_fps, double fps, uint32_t frames_min,
                       uint32_t frames_max)
{
    double n = trunc((double)total / source_fps * fps);
    n = MIN(MAX(n, (double)frames_min), (double)frames_max);
    return (uint32_t)MIN(n, (double)total);
}

void frames_choose(uint64_t *idx, uint32_t n, uint64_t total)
{
    double last = (double)(total - 1), step = n > 1 ? last / (n - 1) : 0;
    for (uint32_t i = 0; i < n; i++)
        idx[i] = (uint64_t)nearbyint(i && i + 1 == n ? last : i * step);
}

void frames_seconds(double *seconds, const uint64_t *idx, uint32_t n, double source_fps)
{
    for (uint32_t i = 0; i < n; i += 2) {
        double a = (double)idx[i] / source_fps, b = (double)idx[i + 1 < n ? i + 1 : i] / source_fps;
        seconds[i / 2] = (a + b) / 2;
    }
}
