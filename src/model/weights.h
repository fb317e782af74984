/* Weights with a meaning: what the forward pass holds instead of names.
 *
 * Matrices stay where they are, inside the mapping. Small vectors (norms, biases, gates,
 * convolution taps) are turned into floats once, in the arena of the model, because they are read
 * by every token. */
#ifndef MODEL_WEIGHTS_H
#define MODEL_WEIGHTS_H

#include "base/arena.h"
#include "model/model_file.h"
#include "model/shape.h"

/* One layer. Which pointers are set follows from the shape: attention or linear attention by
 * shape->recurrent[i], the bert part for bert. Unused ones are NULL. */
struct layer {
    const float *mix_norm; /* [d_model] before attention or linear attention; not bert */
    const float *ffn_norm; /* [d_model] before the feed-forward part; not bert         */

    /* attention */
    struct mat attn_q; /* [n_heads * head_dim (* 2 with the gate), d_model] */
    struct mat attn_k; /* [n_kv_heads * head_dim, d_model]                  */
    struct mat attn_v;
    struct mat attn_out;                   /* [d_model, n_heads * head_dim] */
    const float *q_bias, *k_bias, *v_bias; /* shape->qkv_bias               */
    const float *q_norm, *k_norm;          /* [head_dim], shape->qk_norm    */

    /* linear attention; K = lin_k_heads * lin_k_dim, V = lin_v_heads * lin_v_dim */
    struct mat lin_qkv;      /* [2K + V, d_model]: q, k, v */
    struct mat lin_z;        /* [V, d_model]               */
    struct mat lin_b, lin_a; /* [lin_v_heads, d_model] */
    struct mat lin_out;      /* [d_model, V]               */
    const float *conv;       /* [2K + V, 4], the last tap is the current token */
    const float *decay_rate; /* [lin_v_heads]: -exp(A_log), negative         */
    const float *dt_bias;    /* [lin_v_heads] */
    const float *lin_norm;   /* [lin_v_dim], plain weights also where others are 1 + w */

    /* feed-forward: gate is unused by bert; beside experts this is the one all tokens share, and
     * n_ff is n_ff_shared */
    struct mat ffn_gate, ffn_up; /* [n_ff, d_model] */
    struct mat ffn_down;         /* [d_model, n_ff] */

    /* experts: one matrix each, all of a list of the same type */
    struct mat router;             /* [n_experts, d_model]                 */
    const struct mat *expert_gate; /* [n_experts] of [n_ff_expert, d_model] */
    const struct mat *expert_up;   /* [n_experts] of [n_ff_expert, d_model] */
    const struct mat *expert_down; /* [n_experts] of [d_model, n_ff_expert] */
    const float *shared_gate;      /* [d_model]: how much of the shared one */

    /* bert: norms come after, everything has a bias */
    const float *out_bias, *up_bias, *down_bias;
    const float *attn_norm_w, *attn_norm_b; /* after attention    */
    const float *ffn_norm_w, *ffn_norm_b;   /* after feed-forward */
};

/* The multi-token head: two norms and a matrix that make one row of two, and a layer with attention. */
struct mtp {
    const float *embd_norm, *hidden_norm; /* [d_model] */
    struct mat fc;                        /* [d_model, 2 d_model]: embedding, then hidden state */
    struct layer layer;
    const float *out_norm; /* [d_model]                     */
    struct mat embd, head; /* the trunk's, unless it has its own */
};

struct weights {
    struct mat embd;       /* [n_vocab, d_model] */
    struct mat head;       /* the same when tied */
    const float *out_norm; /* [d_model] */
    struct layer *layers;  /* [n_layers] */
    struct mtp mtp;        /* shape_has_mtp() */

    /* bert */
    struct mat pos_embd;  /* [n_ctx_train, d_model]   */
    struct mat type_embd; /* [n_token_types, d_model] */
    const float *embd_norm_w, *embd_norm_b;
};

/* Finds and checks every tensor that 's' calls for; a tensor that it does not call for is refused
 * too, because computing without it would give other numbers than the model's makers meant. Memory
 * comes from 'arena', the caller's to free also after a failure. */
KT_MUST_CHECK enum kt_status weights_bind(struct weights *w, struct arena *arena,
                                          const struct model_shape *s, const struct model_file *f,
                                          struct kt_error *err);

#endif
