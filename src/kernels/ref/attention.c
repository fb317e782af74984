/* kernels/ref/attention.c: the rows of a cache, softmax attention over it, and the gated delta rule.
 *
 * Attention goes through the cache in splits, and inside a split in tiles of 64 positions with a
 * running maximum m and a running sum l, so that no row of scores is ever stored. Both are counted
 * from position 0 whatever the chunk of the prompt, which is why a prompt read at once and one read
 * in pieces give the same bits. */
#include <assert.h>
#include <string.h>

#include "base/half.h"
#include "kernels/ref/ref.h"
#include "kernels/ref/vmath.h"

enum { TILE = 64, DH_MAX = 1024 };

/* ---- rows of the cache ---- */

static uint16_t q8_block(int8_t *q, const float *x, size_t n)
{
    float amax = 0.0f;
    for (size_t i = 0; i < n; i++)
        amax = fabsf(x[i]) > amax ? fabsf(x[i]) : amax;
    float wanted = amax / 127.0f;
    uint16_t scale = f32_to_f16(wanted < 65504.0f ? wanted : 65504.0f);
    float up = scale ? 1.0f / f16_to_f32(scale) : 0.0f;
    for (size_t i = 0; i < n; i++) {
        float y = x[i] * up;
        y = y > -127.0f ? y : -127.0f;
        y = y < 127.0f ? y : 127.0f;
        q[i] = (int8_t)(int32_t)(vm_bits(y + VM_ROUND) - vm_bits(VM_ROUND));
    }
    return scale;
}

/* The scales stand behind the integers, at any address. */
static void q8_store(int8_t *row, const float *x, size_t dh)
{
    for (size_t i = 0; i < dh; i += KV_Q8_BLOCK) {
        size_t n = dh - i < KV_Q8_BLOCK ? dh - i : KV_Q8_BLOCK;
        uint16_t scale = q8_block(row + i, x + i, n);
        memcpy(row + dh + i / KV_Q8_BLOCK * 2, &scale, sizeof(scale));
    }
}

void ref_kv_store(enum kv_type type, void *row, const float *x, size_t dh)
{
    if (type == KV_Q8)
        q8_store(row, x, dh);
    else if (type == KV_F16)
        ref_f32_to_f16(row, x, dh);
    else
        memcpy(row, x, dh * sizeof(float));
}

static float kv_load(const struct attn_args *a, bool values, size_t pos, size_t i)
{
    const char *row = attn_rows(a, values, pos);
    if (a->type == KV_F32)
        return ((const float *)(const void *)row)[i];
    if (a->type == KV_F16)
        return f16_to_f32(((const uint16_t *)(const void *)row)[i]);
    uint16_t scale;
    memcpy(&scale, row + a->dh + i / KV_Q8_BLOCK * 2, sizeof(scale));
    return (float)((const int8_t *)row)[i] * f16_to_f32(scale);
}

/* ---- attention ---- */

static float key_dot(const struct attn_args *a, const float *q, size_t pos)
{
    struct lanes16 acc = { { 0 } };
    for (size_t c = 0; c < a->dh; c++)
        acc.v[c % 16] = fmaf(q[c], kv_load(a, false, pos, c), acc.v[c % 16]);
    return ref_lanes16_fold(&acc);
}

/* One row over positions [pos0, pos1) of a split. */
static void part_of_row(const struct attn_args *a, const float *q, size_t pos0, size_t pos1,
                        float *o)
{
    float m = -INFINITY, l = 0.0f, p[TILE];
    for (size_t c = 0; c < a->dh; c++)
        o[c] = 0.0f;

    for (; pos0 < pos1; pos0 += TILE) {
        size_t n = pos1 - pos0 < TILE ? pos1 - pos0 : TILE;
        float m_new = m;
        for (size_t j = 0; j < n; j++) {
            p[j] = a->scale * key_dot(a, q, pos0 + j);
            m_new = p[j] > m_new ? p[j] : m_new;
        }
        float shrink = vm_exp(m - m_new);
        m = m_new;
        for (size_t j = 0; j < n; j++)
            p[j] = vm_exp(p[j] - m);
        l = l * shrink + ref_sum(p, n);
        for (size_t c = 0; c < a->dh; c++) {
            o[c] *= shrink;
            for (size_t j = 0; j < n; j++)
                o[c] = fmaf(p[j], kv_load(a, true, pos0 + j, c), o[c]);
        }
    }
    o[a->dh] = m;
    o[a->dh + 1] = l;
}

static void part(const struct attn_args *a, size_t row, size_t split, float *o)
{
    size_t pos0 = split * ATTN_SPLIT, n_visible = a->n_visible[row];
    size_t pos1 = n_visible < pos0 + ATTN_SPLIT ? n_visible : pos0 + ATTN_SPLIT;
    part_of_row(a, a->q + row * a->q_stride, pos0, pos1, o);
}

void ref_attention_part(const struct attn_args *a, size_t split)
{
    for (size_t i = 0; i < a->n_q; i++)
        part(a, i, split, a->out + i * a->out_stride);
}

struct joined {
    float m, l;
};

static void join(struct joined *j, float *out, const float *o, size_t dh)
{
    float m = o[dh] > j->m ? o[dh] : j->m;
    float c = vm_exp(j->m - m), d = vm_exp(o[dh] - m);
    j->m = m;
    j->l = j->l * c + o[dh + 1] * d;
    for (size_t i = 0; i < dh; i++)
        out[i] = out[i] * c + o[i] * d;
}

static struct joined join_none(float *out, size_t dh)
{
    for (size_t i = 0; i < dh; i++)
        out[i] = 0.0f;
    return (struct joined){ -INFINITY, 0.0f };
}

static void divide(float *out, float l, size_t dh)
{
    for (size_t i = 0; i < dh; i++)
        out[i] /= l;
}

void ref_attention_join(float *out, const float *parts, size_t stride, size_t n, size_t dh)
{
    struct joined j = join_none(out, dh);
    for (size_t i = 0; i < n; i++)
        join(&j, out, parts + i * stride, dh);
    divide(out, j.l, dh);
}

void ref_attention(const struct attn_args *a)
{
    float o[DH_MAX + 2];
    assert(a->dh <= DH_MAX);
    for (size_t i = 0; i < a->n_q; i++) {
        float *out = a->out + i * a->out_stride;
        struct joined j = join_none(out, a->dh);
        for (size_t split = 0; split * ATTN_SPLIT < a->n_visible[i]; split++) {
            part(a, i, split, o);
            join(&j, out, o, a->dh);
        }
        divide(out, j.l, a->dh);
    }
}

/* ---- the gated delta rule ---- */

static float state_load(const struct deltanet_args *a, size_t i, size_t c)
{
    size_t at = i * a->dv + c;
    return a->type == STATE_BF16 ? bf16_to_f32(((const uint16_t *)a->s)[at])
                                 : ((const float *)a->s)[at];
}

static void state_store(const struct deltanet_args *a, uint32_t pos, size_t i, size_t c, float x)
{
    size_t at = i * a->dv + c;
    if (a->type == STATE_F32) {
        ((float *)a->s)[at] = x;
        return;
    }
    uint32_t dither = (pos * STATE_DITHER_POS + (uint32_t)i * STATE_DITHER_ROW +
                       (uint32_t)c * STATE_DITHER_COL) >>
                      16;
    ((uint16_t *)a->s)[at] = (uint16_t)((vm_bits(x) + dither) >> 16);
}

/* Columns of the state never meet, so each is followed through one token by itself. */
void ref_deltanet(const struct deltanet_args *a)
{
    for (size_t t = 0; t < a->n; t++) {
        const float *q = a->q + t * a->q_stride, *k = a->k + t * a->k_stride;
        float decay = a->decay[t * a->gate_stride], beta = a->beta[t * a->gate_stride];

        for (size_t c = a->col0; c < a->col1; c++) {
            float m = 0.0f, o = 0.0f;
            for (size_t i = 0; i < a->dk; i++)
                m = fmaf(decay * state_load(a, i, c), k[i], m);

            float delta = beta * (a->v[t * a->v_stride + c] - m);
            for (size_t i = 0; i < a->dk; i++) {
                float x = fmaf(k[i], delta, decay * state_load(a, i, c));
                state_store(a, a->pos + (uint32_t)t, i, c, x);
                o = fmaf(x, q[i], o);
            }
            a->out[t * a->o_stride + c] = o;
        }
    }
}
