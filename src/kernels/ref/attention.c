/* kernels/ref/attention.c: softmax attention over a cache of keys and values, and the gated delta
 * rule.
 *
 * Attention goes through the cache in tiles of 64 positions with a running maximum m and a running
 * sum l, so that no row of scores is ever stored. Tiles are counted from position 0 whatever the
 * chunk of the prompt, which is why a prompt read at once and one read in pieces give the same
 * bits. */
#include "base/half.h"
#include "kernels/ref/ref.h"
#include "kernels/ref/vmath.h"

enum { TILE = 64 };

static float kv_load(enum kv_type type, const void *p, size_t i)
{
    return type == KV_F16 ? f16_to_f32(((const uint16_t *)p)[i]) : ((const float *)p)[i];
}

static float key_dot(const struct attn_args *a, const float *q, size_t pos)
{
    struct lanes16 acc = { { 0 } };
    for (size_t c = 0; c < a->dh; c++)
        acc.v[c % 16] = fmaf(q[c], kv_load(a->type, a->k, pos * a->dh + c), acc.v[c % 16]);
    return ref_lanes16_fold(&acc);
}

static void attend_one(const struct attn_args *a, const float *q, size_t n_visible, float *o)
{
    float m = -INFINITY, l = 0.0f, p[TILE];
    for (size_t c = 0; c < a->dh; c++)
        o[c] = 0.0f;

    for (size_t pos0 = 0; pos0 < n_visible; pos0 += TILE) {
        size_t n = n_visible - pos0 < TILE ? n_visible - pos0 : TILE;
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
                o[c] = fmaf(p[j], kv_load(a->type, a->v, (pos0 + j) * a->dh + c), o[c]);
        }
    }
    for (size_t c = 0; c < a->dh; c++)
        o[c] /= l;
}

void ref_attention(const struct attn_args *a)
{
    for (size_t i = 0; i < a->n_q; i++)
        attend_one(a, a->q + i * a->q_stride, a->n_visible[i], a->out + i * a->out_stride);
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
                m = fmaf(decay * a->s[i * a->dv + c], k[i], m);

            float delta = beta * (a->v[t * a->v_stride + c] - m);
            for (size_t i = 0; i < a->dk; i++) {
                float *s = &a->s[i * a->dv + c];
                *s = fmaf(k[i], delta, decay * *s);
                o = fmaf(*s, q[i], o);
            }
            a->out[t * a->o_stride + c] = o;
        }
    }
}
