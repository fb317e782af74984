/* kernels/ref/ref.h: the portable C kernels. They are the specification of the table: plain loops,
 * written to be read, never sped up. The vector levels call a few of them for what they do not do
 * better. */
#ifndef KERNELS_REF_REF_H
#define KERNELS_REF_REF_H

#include "kernels/kernels.h"

void kernels_init_ref(struct kernels *k);

/* The two sums every reduction here is made of: 16 running sums, folded in a fixed way. */
struct lanes16 {
    float v[16];
};
float ref_lanes16_fold(const struct lanes16 *acc);
float ref_dot(const float *a, const float *b, size_t n);
float ref_sum(const float *x, size_t n);

void ref_matmul_f32(float *restrict y, size_t ldy, const struct mat *w, const struct act *x,
                    size_t row0, size_t row1);
void ref_matmul_f16(float *restrict y, size_t ldy, const struct mat *w, const struct act *x,
                    size_t row0, size_t row1);
void ref_matmul_bf16(float *restrict y, size_t ldy, const struct mat *w, const struct act *x,
                     size_t row0, size_t row1);
void ref_matmul_int(float *restrict y, size_t ldy, const struct mat *w, const struct act *x,
                    size_t row0, size_t row1);
void ref_act_quantize(struct act *x, size_t row0, size_t row1);

void ref_rmsnorm(float *y, const float *x, const float *w, size_t n, float eps);
void ref_layernorm(float *y, const float *x, const float *w, const float *b, size_t n, float eps);
void ref_l2norm(float *y, const float *x, size_t n, float eps);
void ref_add(float *y, const float *x, size_t n);
void ref_scale(float *y, float a, size_t n);
void ref_silu(float *y, const float *x, size_t n);
void ref_silu_mul(float *y, const float *gate, const float *up, size_t n);
void ref_sigmoid_mul(float *y, const float *gate, const float *x, size_t n);
void ref_gelu_erf(float *y, const float *x, size_t n);
void ref_gelu_tanh(float *y, const float *x, size_t n);
void ref_softmax(float *x, size_t n);
void ref_conv4_silu(float *y, size_t y_stride, const float *x, size_t x_stride, float *state,
                    const float *w, size_t n_ch, size_t n, size_t c0, size_t c1);
void ref_kv_store(enum kv_type type, void *row, const float *x, size_t dh);
void ref_attention(const struct attn_args *a);
void ref_attention_part(const struct attn_args *a, size_t split);
void ref_attention_join(float *out, const float *parts, size_t stride, size_t n, size_t dh);
void ref_deltanet(const struct deltanet_args *a);
void ref_f32_to_f16(uint16_t *y, const float *x, size_t n);
void ref_f16_to_f32(float *y, const uint16_t *x, size_t n);
void ref_scan_i8(int32_t *out, const int8_t *v, const int8_t *q, size_t dim, size_t n_vecs);

#endif
