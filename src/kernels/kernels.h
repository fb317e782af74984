/* kernels/kernels.h: the one table through which all numbers are computed.
 *
 * kernels_init() fills every slot with the portable C of ref/, then lets each instruction set the
 * processor has override what it does better. Callers never name an instruction set. Kernels do not
 * allocate, lock, or start threads: parallelism sits above them, in row ranges.
 *
 * EVERY LEVEL GIVES THE SAME BITS. Each slot below fixes its order of operations, so that ref,
 * AVX2, AVX-512, and NEON agree to the last bit, and so that a row's result does not depend on how
 * many other rows are computed beside it. That is what makes answers repeatable across machines,
 * batch sizes and thread counts. Two orders are used (fma = one rounding):
 *
 *  - lanes16 dot: acc[l] = 0; for i: acc[i % 16] = fma(a[i], b[i], acc[i % 16]); then
 *        t[l] = acc[l] + acc[l + 8] (l < 8)
 *        t[l] += t[l + 4] (l < 4)
 *        t[l] += t[l + 2] (l < 2)
 *        t[0] + t[1]
 *    Plain sums (sum16) the same with +. A tail shorter than 16 fills lanes 0.. and leaves the
 *    others alone.
 *  - block order: integer sums are exact; floats go sub-block by sub-block in turn, see matmul.
 *
 * exp, softplus, sigmoid, erf and tanh are our own polynomials (ref/vmath.h, usable by others), the
 * same operations in the same order at every level; exp within 2 ulp of the true value (0 where
 * that is below the smallest normal float), erf and tanh within 4e-7 absolute. Compiled with
 * -ffp-contract=off everywhere, fma written explicitly. Which NaN a NaN is, is not promised. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quant/quant.h"

/* What the processor and the operating system support; bits may be taken away with --cpu-mask. */
enum cpu_flag {
    CPU_AVX2 = 1 << 0,    /* with FMA and F16C                                    */
    CPU_AVXVNNI = 1 << 1, /* 256-bit VNNI                                         */
    CPU_AVX512 = 1 << 2,  /* F, BW, DQ, VL                                        */
    CPU_AVX512VNNI = 1 << 3,
    CPU_AMX_INT8 = 1 << 4, /* tiles usable by this process                         */
    CPU_NEON = 1 << 8,     /* always on aarch64                                    */
    CPU_DOTPROD = 1 << 9,
    CPU_I8MM = 1 << 10,
};

uint32_t cpu_detect(void);
/* "avx512vnni", "avx2", "ref", ... : the best level in 'flags', for inspect, bench and doctor. */
const char *cpu_level_name(uint32_t flags);

/* Rows of activations, prepared once for all the matrices that read them.
 * f is always set; q, d, isum only after act_quantize. n_cols is padded up to a multiple of 32 by
 * the one who allocates (act_bytes): columns past the end are zero. Per 32 columns, amax = max |f|:
 *     q[i]    = clamp(round-half-even(f[i] * (127 / amax)))
 *     d[b]    = amax / 127
 *     isum[h] = sum of q over 16 columns
 * q and d are 0 where amax < ACT_TINY, below which 127 / amax would overflow. */
#define ACT_TINY 0x1p-100f

struct act {
    size_t n_rows;
    size_t n_cols;     /* as the model says                                */
    size_t stride;     /* n_cols rounded up to 32: distance between rows   */
    float *f;          /* [n_rows, stride]                                 */
    int8_t *q;         /* [n_rows, stride]                                 */
    float *d;          /* [n_rows, stride / 32]                            */
    int16_t *isum;     /* [n_rows, stride / 16]                            */
    void *tiles;       /* NULL, or act_tile_bytes() of room, see act_arrange */
    size_t n_arranged; /* rows that lie there, too; read where it is n_rows */
};

/* Rows of activations from which it pays to arrange them. */
enum { ACT_ARRANGE_FROM = 8, ACT_TILE_BYTES = 704 };

/* A weight matrix [n_rows, n_cols], rows contiguous in 'type''s blocks, at any alignment. */
struct mat {
    enum qtype type;
    const void *data;
    size_t n_rows, n_cols;
    size_t row_bytes;
};

/* y[m * ldy + r] = sum over c of w[r][c] * x[m][c], for r in [row0, row1) and every row m of x.
 *
 * Float types (F32, F16, BF16): lanes16 dot of the widened weights with x->f.
 * Integer types, per row r and row m, x quantised: acc = 0; for each sub-block b (32 columns):
 *     I   = sum of (u - offset) * q over the 32 columns
 *     acc = fma(scale * d[b], (float)I, acc)
 *     acc = fma(min, d[b] * (float)isum over the same columns, acc)    when has_min
 *   With split_scale, all of it for the first half of 16 columns, then all for the second.
 * x->n_cols == w->n_cols. Reads nothing outside the rows it was asked for; writes only its y.
 * Ranges that are multiples of 16 rows waste nothing. */
typedef void (*matmul_fn)(float *restrict y, size_t ldy, const struct mat *w, const struct act *x,
                          size_t row0, size_t row1);

/* How keys and values are kept: rows of dh numbers, one a position, each row kv_row_bytes() long.
 * KV_Q8: dh integers from -127 to 127, then one half-precision scale for each KV_Q8_BLOCK of them
 * (the last may serve fewer); a number is (float)integer * scale, which is exact. Per block
 *     scale = half(min(max |x| / 127, 65504)),  integer = round-half-even(x * (1 / scale)), clamped;
 * all 0 where the scale rounds to 0. */
enum kv_type { KV_F32, KV_F16, KV_Q8 };
enum { KV_Q8_BLOCK = 32 };
size_t kv_row_bytes(enum kv_type type, size_t dh);

/* Softmax attention of n_q query rows of one KV head over its cache (online softmax, no matrix of
 * scores).
 *     q:    [n_q, dh] at stride q_stride floats, already normed and rotated
 *     k, v: [n_ctx] rows of 'type'; widening is exact for every type
 *     out:  [n_q, dh] at stride out_stride floats
 * Row i sees positions [0, n_visible[i]). The order has two levels. Within a split of ATTN_SPLIT
 * positions, counted from position 0: m = -inf, l = 0, o = 0; for each tile of 64 positions
 *     s  = scale * lanes16dot(q, k)
 *     m' = max(m, max s),  c = exp(m - m'),  p = exp(s - m')
 *     l  = l * c + sum16(p)                   (two roundings)
 *     o  = o * c, then for each position of the tile in turn o = fma(p, v, o)
 * Then the splits are joined: M = -inf, L = 0, O = 0; for each split in turn
 *     M' = max(M, m),  c = exp(M - M'),  d = exp(m - M')
 *     L  = L * c + l * d                      (three roundings)
 *     O  = O * c + o * d                      (three roundings)
 * and at the end O / L. A tile sees only visible positions, so the result does not depend on what
 * lies behind them, nor on how the prompt was cut into chunks; and splits may be computed by
 * different threads. */
enum { ATTN_SPLIT = 1024 };

/* A cache may lie in pages of so many positions, each with both keys and values (and those of other
 * heads): a multiple of a tile, so that a tile is always in one page, and a part of a split. Where
 * rows lie changes no number. */
enum { ATTN_PAGE = 128 };
static_assert(ATTN_PAGE % 64 == 0 && ATTN_SPLIT % ATTN_PAGE == 0, "tiles do not cross pages");

struct attn_args {
    enum kv_type type;
    size_t dh, n_q;
    const float *q;
    size_t q_stride;
    const void *k, *v;
    const uint32_t *n_visible; /* [n_q], each >= 1 */
    float scale;
    float *out;
    size_t out_stride;
    /* Not NULL: instead of k and v, position p's rows are the (p % ATTN_PAGE)-th behind
     * pages[p / ATTN_PAGE] + k_at and + v_at (bytes). */
    char *const *pages;
    size_t k_at, v_at;
};

/* Where the rows of position 'pos' and the others of its tile lie. */
static inline const char *attn_rows(const struct attn_args *a, bool values, size_t pos)
{
    size_t bytes = kv_row_bytes(a->type, a->dh);
    if (a->pages)
        return a->pages[pos / ATTN_PAGE] + (values ? a->v_at : a->k_at) + pos % ATTN_PAGE * bytes;
    return (const char *)(values ? a->v : a->k) + pos * bytes;
}

typedef void (*attention_fn)(const struct attn_args *a);
/* One split alone, which every row sees some of. out: [n_q] parts at stride out_stride, each o [dh],
 * then m, then l. */
typedef void (*attention_part_fn)(const struct attn_args *a, size_t split);
/* out[dh] = the n parts of one row, 'stride' floats apart, joined and divided. */
typedef void (*attention_join_fn)(float *out, const float *parts, size_t stride, size_t n,
                                  size_t dh);

static inline size_t attn_part_floats(size_t dh)
{
    return dh + 2;
}

/* How the gated delta rule keeps its state. STATE_BF16 adds, before it cuts a float to its upper 16
 * bits, an offset below one unit that depends on where the number stands and on the position of the
 * token and is spread evenly over both:
 *     bits(x) + ((uint32_t)(pos * STATE_DITHER_POS + i * STATE_DITHER_ROW + c * STATE_DITHER_COL) >> 16)
 * Rounding to nearest would stop a slowly decaying state from decaying at all. */
enum state_type { STATE_F32, STATE_BF16 };
#define STATE_DITHER_POS 0x9E3779B9u
#define STATE_DITHER_ROW 0x85EBCA6Bu
#define STATE_DITHER_COL 0xC2B2AE35u

/* Gated DeltaNet, one V head, n tokens in turn (spec 2.4.7), columns [col0, col1) of the state
 * only. Columns are independent, so ranges may run on different threads.
 *     s:    [dk, dv] of 'type', row-major by key index, updated in place
 *     q, k: rows of dk at q_stride, k_stride (q already divided by sqrt(dk))
 *     v:    rows of dv at v_stride;  out: rows of dv at o_stride
 *     decay = e^g and beta: [n] at gate_stride;  pos: of the first token
 * Per token and column c, i ascending over dk: m = fma(decay * s[i][c], k[i], m);  then
 *     delta = beta * (v[c] - m);  x = fma(k[i], delta, decay * s[i][c]);  o = fma(x, q[i], o)
 * and s[i][c] becomes x, rounded if the type asks for it: at every token, so that a chunk of tokens
 * leaves what single tokens would. */
struct deltanet_args {
    void *s;
    size_t dk, dv, n, col0, col1;
    const float *q, *k, *v, *decay, *beta;
    size_t q_stride, k_stride, v_stride, gate_stride;
    float *out;
    size_t o_stride;
    enum state_type type;
    uint32_t pos;
};
typedef void (*deltanet_fn)(const struct deltanet_args *a);

struct kernels {
    uint32_t cpu; /* the flags that were used */

    matmul_fn matmul[QT_COUNT]; /* NULL only for ids that are no type */
    /* q, d, isum from f, rows [row0, row1) */
    void (*act_quantize)(struct act *x, size_t row0, size_t row1);
    /* NULL, or: q, d and isum of rows [row0, row1) once more, to x->tiles, as this level's products
     * like to read them. They give the same bits without. */
    void (*act_arrange)(struct act *x, size_t row0, size_t row1);

    /* In the three norms inv = 1 / sqrt(...) comes first, then (x * inv) * w or fma(x * inv, w, b).
     * y = x / sqrt(mean(x^2) + eps) * w;  mean(x^2) = dot(x, x) / n;  w NULL: none. y may be x. */
    void (*rmsnorm)(float *y, const float *x, const float *w, size_t n, float eps);
    /* y = (x - mean) / sqrt(var + eps) * w + b, biased variance of centred values. y may be x. */
    void (*layernorm)(float *y, const float *x, const float *w, const float *b, size_t n,
                      float eps);
    /* y = x * (sum16(x * x) + eps)^(-1/2) */
    void (*l2norm)(float *y, const float *x, size_t n, float eps);
    void (*add)(float *y, const float *x, size_t n);  /* y += x             */
    void (*scale)(float *y, float a, size_t n);       /* y *= a             */
    void (*silu)(float *y, const float *x, size_t n); /* x * sigmoid(x)     */
    void (*silu_mul)(float *y, const float *gate, const float *up, size_t n); /* silu(gate) * up */
    /* x * sigmoid(gate) */
    void (*sigmoid_mul)(float *y, const float *gate, const float *x, size_t n);
    void (*gelu_erf)(float *y, const float *x, size_t n);
    void (*gelu_tanh)(float *y, const float *x, size_t n);
    /* In place, for sampling and routing: e = exp(x - max), then e * (1 / sum16(e)). */
    void (*softmax)(float *x, size_t n);
    /* Depthwise causal convolution over time, kernel 4, then SiLU (spec 2.4.2), channels [c0, c1).
     * x: [n, n_ch] at x_stride, state: [3, n_ch] (oldest first, raw values) updated in place,
     * w: [n_ch, 4], y: [n, n_ch] at y_stride. Order: fma over taps 0..3 from acc = 0. */
    void (*conv4_silu)(float *y, size_t y_stride, const float *x, size_t x_stride, float *state,
                       const float *w, size_t n_ch, size_t n, size_t c0, size_t c1);
    /* One row of a cache, from dh floats. */
    void (*kv_store)(enum kv_type type, void *row, const float *x, size_t dh);
    attention_fn attention;
    attention_part_fn attention_part;
    attention_join_fn attention_join;
    deltanet_fn deltanet;

    void (*f32_to_f16)(uint16_t *y, const float *x, size_t n);
    void (*f16_to_f32)(float *y, const uint16_t *x, size_t n);
    float (*dot_f32)(const float *a, const float *b, size_t n); /* lanes16 dot */
    /* out[i] = exact integer dot of v[i] and q: vectors [n_vecs, dim] at stride dim; for the
     * store's scan */
    void (*scan_i8)(int32_t *out, const int8_t *v, const int8_t *q, size_t dim, size_t n_vecs);
};

/* Fill the table for a processor with exactly these flags (cpu_detect(), minus what was masked). */
void kernels_init(struct kernels *k, uint32_t cpu);

/* Sizes in bytes of the arrays of an act; the caller allocates, 64-byte aligned. */
size_t act_stride(size_t n_cols);
size_t act_tile_bytes(size_t n_rows, size_t n_cols);
void act_bytes(size_t *f, size_t *q, size_t *d, size_t *isum, size_t n_rows, size_t n_cols);

#endif
