/* quant/blocks.h: the block formats to the byte, as structs of bytes: no padding, any alignment.
 *
 * Numbers of more than one byte are little-endian; 'half' fields are IEEE binary16. "Low nibbles
 * first" means: byte i holds element i in its low and element i + n/2 in its high four bits.
 * docs/FORMATS.md has the formulas; unpack_* in this folder is their executable form. */
#ifndef QUANT_BLOCKS_H
#define QUANT_BLOCKS_H

#include <assert.h>
#include <stdint.h>

struct block_q4_0 {
    uint8_t d[2];  /* half                       */
    uint8_t q[16]; /* 32 nibbles, low ones first */
};
struct block_q4_1 {
    uint8_t d[2];
    uint8_t m[2];
    uint8_t q[16];
};
struct block_q5_0 {
    uint8_t d[2];
    uint8_t high[4]; /* bit e of this 32-bit number is the fifth bit of element e */
    uint8_t q[16];
};
struct block_q5_1 {
    uint8_t d[2];
    uint8_t m[2];
    uint8_t high[4];
    uint8_t q[16];
};
struct block_q8_0 {
    uint8_t d[2];
    int8_t q[32];
};
struct block_iq4_nl {
    uint8_t d[2];
    uint8_t q[16]; /* indices into quant_iq4_levels */
};
struct block_mxfp4 {
    uint8_t e;     /* exponent alone: 2^(e - 128)      */
    uint8_t q[16]; /* indices into quant_fp4_levels    */
};
struct block_nvfp4 { /* 4 groups of 16 */
    uint8_t e[4];    /* unsigned 4-bit exponent, 3-bit mantissa; one a group */
    uint8_t q[4][8]; /* each group's nibbles, low ones first                 */
};

/* K formats: 256 elements with two levels of scales. */
struct block_q2_k {
    uint8_t scales[16]; /* per 16 elements: scale in the low, min in the high nibble */
    uint8_t q[2][32];   /* four 2-bit planes of 32 elements per byte row             */
    uint8_t d[2];
    uint8_t dmin[2];
};
struct block_q3_k {
    uint8_t high[32]; /* bit j of byte l: third bit of element 32 j + l */
    uint8_t q[2][32];
    uint8_t scales[12]; /* sixteen 6-bit numbers */
    uint8_t d[2];
};
struct block_q4_k {
    uint8_t d[2];
    uint8_t dmin[2];
    uint8_t scales[12]; /* eight 6-bit scales and eight 6-bit mins */
    uint8_t q[4][32];   /* low nibbles: 32 elements, high nibbles: the next 32 */
};
struct block_q5_k {
    uint8_t d[2];
    uint8_t dmin[2];
    uint8_t scales[12];
    uint8_t high[32]; /* bit j of byte l: fifth bit of element 32 j + l */
    uint8_t q[4][32];
};
struct block_q6_k {
    uint8_t low[2][64];
    uint8_t high[2][32];
    int8_t scales[16];
    uint8_t d[2];
};
struct block_iq4_xs {
    uint8_t d[2];
    uint8_t scales_high[2]; /* two bits for each of 8 sub-blocks  */
    uint8_t scales_low[4];  /* four bits for each of 8 sub-blocks */
    uint8_t q[8][16];
};

static_assert(sizeof(struct block_q4_0) == 18, "layout is part of the file format");
static_assert(sizeof(struct block_q4_1) == 20, "layout is part of the file format");
static_assert(sizeof(struct block_q5_0) == 22, "layout is part of the file format");
static_assert(sizeof(struct block_q5_1) == 24, "layout is part of the file format");
static_assert(sizeof(struct block_q8_0) == 34, "layout is part of the file format");
static_assert(sizeof(struct block_iq4_nl) == 18, "layout is part of the file format");
static_assert(sizeof(struct block_mxfp4) == 17, "layout is part of the file format");
static_assert(sizeof(struct block_nvfp4) == 36, "layout is part of the file format");
static_assert(sizeof(struct block_q2_k) == 84, "layout is part of the file format");
static_assert(sizeof(struct block_q3_k) == 110, "layout is part of the file format");
static_assert(sizeof(struct block_q4_k) == 144, "layout is part of the file format");
static_assert(sizeof(struct block_q5_k) == 176, "layout is part of the file format");
static_assert(sizeof(struct block_q6_k) == 210, "layout is part of the file format");
static_assert(sizeof(struct block_iq4_xs) == 136, "layout is part of the file format");

/* What the sixteen 4-bit indices of IQ4_NL and IQ4_XS mean. */
extern const int8_t quant_iq4_levels[16];
/* Twice the values of a 4-bit float with 2 exponent bits and 1 mantissa bit: MXFP4, NVFP4. */
extern const int8_t quant_fp4_levels[16];

#endif
