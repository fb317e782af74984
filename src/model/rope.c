#include "model/rope.h"

#include <math.h>

void rope_frequencies(float *out, const struct model_shape *s)
{
    for (uint32_t i = 0; i < s->rope_dims / 2; i++) {
        float exponent = (float)(2 * i) / (float)s->rope_dims;
        out[i] = (float)(1.0 / (double)(float)pow((double)s->rope_theta, (double)exponent));
        if (s->rope_factor[0] != 0.0f)
            out[i] /= s->rope_factor[i];
    }
}

/* Which of the three coordinates turns pair i. */
static size_t axis_of(const struct model_shape *s, size_t i)
{
    size_t axis = i % 3;
    return axis && i < 3 * (size_t)s->mrope_sections[axis] ? axis : 0;
}

void rope_angles(float *out, const struct model_shape *s, const float *inv_freq,
                 const uint32_t at[static 3])
{
    size_t half = s->rope_dims / 2;
    for (size_t i = 0; i < half; i++) {
        float angle = (float)at[axis_of(s, i)] * inv_freq[i];
        out[i] = (float)cos((double)angle) * s->rope_attn_scale;
        out[half + i] = (float)sin((double)angle) * s->rope_attn_scale;
    }
}

static void turn_halves(float *restrict a, float *restrict b, const float *restrict c,
                        const float *restrict s, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float x = a[i], y = b[i];
        a[i] = x * c[i] - y * s[i];
        b[i] = y * c[i] + x * s[i];
    }
}

static void turn_neighbours(float *restrict x, const float *restrict c, const float *restrict s,
                            size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * c[i] - b * s[i];
        x[2 * i + 1] = b * c[i] + a * s[i];
    }
}

void rope_apply(float *head, const struct model_shape *s, const float *angles)
{
    size_t half = s->rope_dims / 2;
    if (s->rope == ROPE_HALF)
        turn_halves(head, head + half, angles, angles + half, half);
    else
        turn_neighbours(head, angles, angles + half, half);
}
