/* Rotary positions: pairs of a head's elements, turned by an angle that grows with the position.
 *
 * The reference computes frequencies, angles, cosines and sines in single precision. Frequencies
 * and angles are rounded here as there, or positions in the ten thousands would drift apart; the
 * cosine of such an angle is then computed in double and rounded once, which every C library does
 * alike. */
#ifndef MODEL_ROPE_H
#define MODEL_ROPE_H

#include <stddef.h>
#include <stdint.h>

#include "model/shape.h"

/* out: [rope_dims / 2], with the shape's factors applied. */
void rope_frequencies(float *out, const struct model_shape *s);
/* out: [rope_dims]: cosines for every pair, then sines, of one position: time, row, column. Pairs take
 * them in turn (T H W T H W ...) for as many as the shape's sections say, the rest take the first. */
void rope_angles(float *out, const struct model_shape *s, const float *inv_freq,
                 const uint32_t at[static 3]);
/* Turn the first rope_dims elements of one head, in place. */
void rope_apply(float *head, const struct model_shape *s, const float *angles);

#endif
