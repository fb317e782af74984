/* kernels/words.h: a 4 x 4 transposition inside each 128-bit lane, in the vocabulary of x86/v512.h
 * and its sisters, which must be included before. */
#ifndef KERNELS_WORDS_H
#define KERNELS_WORDS_H

struct words {
    vi w[4];
};

/* w[i] = the i-th of the four 32-bit words at p, of every row: rows lie 'stride' bytes apart */
static inline struct words words_at(const uint8_t *p, size_t stride)
{
    vi r0 = v_rows(p, stride, 0), r1 = v_rows(p, stride, 1);
    vi r2 = v_rows(p, stride, 2), r3 = v_rows(p, stride, 3);
    vi lo01 = v_zip_lo32(r0, r1), lo23 = v_zip_lo32(r2, r3);
    vi hi01 = v_zip_hi32(r0, r1), hi23 = v_zip_hi32(r2, r3);
    return (struct words){ { v_zip_lo64(lo01, lo23), v_zip_hi64(lo01, lo23), v_zip_lo64(hi01, hi23),
                             v_zip_hi64(hi01, hi23) } };
}

#endif
