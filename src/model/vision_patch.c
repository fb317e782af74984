/* From pixels to rows of a matrix, and where each of them is.
 *
 * Patches come in block order: the four of a 2 x 2 block follow each other, so that what becomes one
 * vector in the end is together from the beginning. A patch's values go by channel, frame, y and x, as
 * the tower's first kernel lies in its file. */
#include <math.h>
#include <string.h>

#include "base/size.h"
#include "model/vision_priv.h"

/* Of one frame and channel: VISION_PATCH rows. */
static void patch_plane(float *out, const uint8_t *pixel, size_t row_bytes)
{
    for (size_t y = 0; y < VISION_PATCH; y++, pixel += row_bytes) {
        for (size_t x = 0; x < VISION_PATCH; x++) /* this is the reference's order of roundings */
            out[y * VISION_PATCH + x] = ((float)pixel[3 * x] - 127.5f) / 127.5f;
    }
}

void vision_patches(float *out, size_t stride, const struct vision_input *in, uint32_t pair,
                    size_t row0, size_t n)
{
    enum { PLANE = VISION_PATCH * VISION_PATCH };
    size_t row_bytes = (size_t)in->width * 3, frame_bytes = row_bytes * in->height;
    for (size_t i = 0; i < n; i++, out += stride) {
        struct vision_place p = vision_place_of(row0 + i, in->width / VISION_UNIT);
        size_t corner = p.row * VISION_PATCH * row_bytes + (size_t)p.col * VISION_PATCH * 3;
        for (size_t t = 0; t < VISION_PAIR; t++) {
            size_t frame = in->n_frames == 1 ? 0 : (size_t)pair * VISION_PAIR + t;
            for (size_t c = 0; c < 3; c++)
                patch_plane(out + (c * VISION_PAIR + t) * PLANE,
                            in->rgb + frame * frame_bytes + corner + c, row_bytes);
        }
    }
}

/* Where position 'at' of 'size' falls in a table of 'side': the two neighbours and their parts. Rounded as
 * in the reference. */
struct neighbours {
    size_t at[2];
    float part[2];
};

static struct neighbours neighbours_of(uint32_t at, uint32_t size, uint32_t side)
{
    float src = (float)at * (float)(side - 1) / (float)MAX(size - 1, 1u), low = floorf(src);
    size_t first = MIN((size_t)low, (size_t)side - 1);
    return (struct neighbours){
        .at = { first, MIN(first + 1, (size_t)side - 1) },
        .part = { fmaxf(1.0f - fabsf(src - low), 0.0f),
                  fmaxf(1.0f - fabsf(src - low - 1.0f), 0.0f) },
    };
}

void vision_add_positions(float *x, const struct vision *v, const struct vision_grid *g,
                          size_t row0, size_t n, float *tmp)
{
    const struct vision_shape *s = &v->shape;
    const struct mat *table = &v->w.positions;
    void (*dequant)(float *restrict, const void *restrict, size_t) =
        qtype_traits(table->type)->dequant;
    float *sum = tmp, *one = tmp + s->d;
    for (size_t i = 0; i < n; i++, x += s->d) {
        struct vision_place p = vision_place_of(row0 + i, g->cols);
        struct neighbours r = neighbours_of(p.row, g->rows * VISION_MERGE, s->side),
                          c = neighbours_of(p.col, g->cols * VISION_MERGE, s->side);
        memset(sum, 0, s->d * sizeof(*sum));
        for (size_t k = 0; k < 4; k++) {
            size_t at = r.at[k / 2] * s->side + c.at[k % 2];
            float part = r.part[k / 2] * c.part[k % 2];
            dequant(one, (const char *)table->data + at * table->row_bytes, s->d);
            for (size_t e = 0; e < s->d; e++)
                sum[e] += one[e] * part;
        }
        v->k->add(x, sum, s->d);
    }
}

void vision_angles(float *out, const struct vision_shape *s, size_t n_pos)
{
    size_t head_dim = s->d / s->n_heads, quarter = head_dim / 4;
    for (size_t i = 0; i < quarter; i++) {
        float exponent = (float)(2 * i) / (float)(head_dim / 2);
        float freq = (float)(1.0 / (double)(float)pow(10000.0, (double)exponent));
        for (size_t pos = 0; pos < n_pos; pos++) {
            float angle = (float)pos * freq;
            out[pos * 2 * quarter + i] = (float)cos((double)angle);
            out[pos * 2 * quarter + quarter + i] = (float)sin((double)angle);
        }
    }
}

/* The first quarter of the angles is the row's, the second the column's; each turns the pair (i, i + half). */
static void turn_quarter(float *to, const float *from, size_t quarter, size_t half,
                         const float *angles)
{
    const float *cosine = angles, *sine = angles + quarter;
    for (size_t i = 0; i < quarter; i++) {
        float a = from[i], b = from[half + i];
        to[i] = a * cosine[i] - b * sine[i];
        to[half + i] = b * cosine[i] + a * sine[i];
    }
}

void vision_turn(float *to, const float *from, size_t head_dim, const float *row, const float *col)
{
    size_t half = head_dim / 2, quarter = head_dim / 4;
    turn_quarter(to, from, quarter, half, row);
    turn_quarter(to + quarter, from + quarter, quarter, half, col);
}
