/* The insides of the three objects of model.h, for the files of this folder. */
#ifndef MODEL_MODEL_PRIV_H
#define MODEL_MODEL_PRIV_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/size.h"
#include "kernels/kernels.h"
#include "model/importance.h"
#include "model/model.h"
#include "model/weights.h"

struct model {
    const struct model_file *file;
    const struct kernels *k;
    struct pool *pool;
    struct model_shape shape;
    struct weights w;
    struct arena arena;  /* layers and the small vectors */
    float inv_freq[128]; /* [rope_dims / 2], factors applied */
    uint16_t
        slot[LAYERS_MAX + 1]; /* layer i is the slot[i]-th of its kind: where its state lies; the
                                     multi-token head's is the first of its own state */
};

/* Rows that may be taken back, see tentative.c. Arrays are NULL where no layer is recurrent. */
struct tentative {
    size_t n_max;     /* rows a tentative span may have; 0: nobody asked for it              */
    size_t n_rows;    /* of the last step, undecided; 0: none                                */
    size_t n_pending; /* accepted rows that 'recurrent' has not learnt yet                   */
    size_t half;      /* of 'inputs': where those are; the next tentative step takes the other */
    float *raw;       /* [linear layers, 3 + n_max, 2K + V]: the convolution's columns before
                         the rows and of them; what free() takes                             */
    float *inputs[2]; /* [linear layers, n_max, K + V + 2 lin_v_heads]: k, v, decay, beta     */
    float *sink;      /* [lin_v_dim]                                                          */
};

/* Keys and values of ATTN_PAGE positions of all attention layers: [layers, 2 (keys, values), n_kv_heads,
 * ATTN_PAGE] rows. Whoever is its only user may write to it; what several share does not change. */
struct kv_page {
    atomic_size_t n_users;
    size_t n_kept; /* see model_state_keep(); whoever keeps states guards it */
    size_t bytes;
    char *rows;
};

struct model_state {
    const struct model *m;
    bool mtp; /* of the multi-token head: one attention layer, which counts as layer n_layers */
    struct state_types types;
    size_t n_ctx, n_past;
    int64_t
        shift; /* the next text's position is n_past + shift: an image takes fewer than its vectors */
    struct state_sizes sizes;
    void *block;            /* what free() takes; the rest points into it */
    struct kv_page **pages; /* [sizes.n_pages]; NULL: not written yet                     */
    char **page_rows;       /* [sizes.n_pages] their rows, for the kernels                */
    char *recurrent;        /* [linear layers, lin_v_heads, lin_k_dim, lin_v_dim]                */
    float *conv;            /* [linear layers, 3, 2K + V]: oldest first, before the activation   */
    float *parts; /* [n_heads, splits of n_ctx, head_dim + 2]: scratch of one layer; NULL: frozen */
    struct tentative tentative;
};

/* Where in a page the rows of one head of one layer begin: ATTN_PAGE of kv_row_bytes(). */
size_t state_keys_at(const struct model_state *s, uint32_t layer, size_t kv_head);
size_t state_values_at(const struct model_state *s, uint32_t layer, size_t kv_head);
/* Pages for n more positions, of which s is the only user. KT_E_NOMEM: what is in s stays. */
KT_MUST_CHECK enum kt_status state_reserve(struct model_state *s, size_t n, struct kt_error *err);
/* Give back all pages and refer to those of src that hold the first n_tokens. */
void state_share(struct model_state *dst, const struct model_state *src, size_t n_tokens);
/* Give back the pages from the first-th on. */
void state_release(struct model_state *s, size_t first);
/* How many hold positions. */
size_t state_pages_used(const struct model_state *s);
/* A state that is not filled yet and takes no part in steps; n_ctx >= 1. */
KT_MUST_CHECK enum kt_status state_create_frozen(struct model_state **out, const struct model *m,
                                                 size_t n_ctx, struct state_types types, bool mtp,
                                                 struct kt_error *err);
void *state_recurrent(const struct model_state *s, uint32_t layer, size_t v_head);
float *state_conv(const struct model_state *s, uint32_t layer);
/* Room for the parts of one query head, attn_part_floats() apart; n_ctx > ATTN_SPLIT. */
float *state_parts(const struct model_state *s, size_t head);

/* For the linear layers of a tentative step of n_rows rows (tentative.c). Channels [c0, c0 + n) of the
 * columns before the rows and of the rows, u [n_rows, 2K + V]; then each head's part of a row. */
void tentative_keep_columns(const struct model_state *s, uint32_t layer, const float *u,
                            size_t n_rows, size_t c0, size_t n);
void tentative_keep_k(const struct model_state *s, uint32_t layer, size_t row, size_t k_head,
                      const float *k);
void tentative_keep_v(const struct model_state *s, uint32_t layer, size_t row, size_t v_head,
                      const float *v, float decay, float beta);
/* Let columns [col0, col1) of a head's state learn the pending rows of s. sink: [lin_v_dim]. */
void tentative_replay(const struct model_state *s, uint32_t layer, size_t v_head, void *recurrent,
                      size_t col0, size_t col1, float *sink);
/* The same of all heads of dst, which has src's recurrent state. */
void tentative_replay_into(struct model_state *dst, const struct model_state *src);
/* A step is complete that read s: it has replayed, and its own rows are tentative (0: none). */
void tentative_after_step(struct model_state *s, size_t n_tentative);
/* Forget what it has kept. */
void tentative_clear(struct model_state *s);

/* One new token on its way through the layers. */
struct row {
    struct model_state *state;
    uint32_t pos;   /* its index in the sequence, from 0 */
    uint32_t at[3]; /* its rotary position: time, row, column; all the same for text */
    int32_t token;
    const float *embed;     /* [d_model] instead of the token's, or NULL */
    const float *hidden_in; /* [d_model], for the multi-token head */
};

/* Consecutive rows of one state. */
struct row_span {
    struct model_state *state;
    size_t row0, n;
    uint32_t pos0;
    bool tentative;
};

/* A row whose final state somebody wants. */
struct out_row {
    size_t row;
    float *logits; /* [n_vocab], or NULL */
    float *hidden; /* [d_model], or NULL */
};

enum {
    ROW_TILE = 64,  /* weight rows a thread computes before it does something with the results */
    ATTN_TILE = 32, /* query rows a thread takes at a time while a prompt is read */
};

/* An expert that a row chose. */
struct choice {
    uint32_t expert;
    float part;     /* the parts of a row's choices add up to 1 */
    uint32_t place; /* where the row stands among the rows of all experts */
};

/* The rows of one expert: places [first, first + n). */
struct crowd {
    uint32_t expert, first, n;
};

/* Activations of a step. n is n_batch, the most rows of a step; 'stride' that of the act. */
struct run_buffers {
    struct row *rows;       /* [n] */
    struct row_span *spans; /* [n] */
    struct out_row *outs;   /* [n] */
    float *x;               /* [n, d_model]: the residual stream                            */
    float *y;               /* [n, d_model]: what a layer's part adds to it                  */
    float *rope;            /* [n, rope_dims]: cosines of a row's position, then sines       */
    struct act in;          /* [n, d_model]: x after a norm                                  */
    struct act mix; /* [n, n_heads * head_dim or V]: what attention gives to its output matrix */
    struct act ff;  /* [n, ff_width]                                                  */
    struct act expert_ff; /* [n * n_experts_used, n_ff_expert]: rows by place, as all expert_*  */

    /* These four groups are never alive together and share their memory. */
    struct act pair; /* [n, 2 d_model]: what the multi-token head begins with         */

    float *q, *k, *v;       /* [n, q_width], [n, kv_width] twice                             */
    float *keys, *values;   /* bert: [n_heads, n, head_dim]                                  */
    float *u, *conv, *z;    /* [n, 2K + V] twice, [n, V]                                     */
    float *a, *b;           /* [n, lin_v_heads]: become decay and beta                       */
    float *up;              /* bert: [n, n_ff]                                               */
    float *probs;           /* [n, n_experts]                                                */
    float *shared_part;     /* [n]: how much of the shared expert                            */
    struct choice *choices; /* [n, n_experts_used], the most probable first                  */
    struct crowd *crowds;   /* those that are not empty, by expert                           */
    uint32_t *next_place;   /* [n_experts]                                                   */
    struct act expert_in;   /* [n * n_experts_used, d_model]                                 */
    float *expert_gate, *expert_up; /* [n * n_experts_used, n_ff_expert]                     */
    float *expert_out;              /* [n * n_experts_used, d_model]                         */

    float *tile; /* [n_threads, 2, n, ROW_TILE]: results that a thread uses up itself          */
    float *head_states; /* [n_threads, lin_k_dim + 1, lin_v_dim]: a head's state that will be
                           forgotten, and answers that nobody reads                      */
};

struct model_run {
    const struct model *m;
    struct importance_sums *observer; /* or NULL */
    size_t n_batch;
    void *block;
    struct run_buffers b;
    size_t n_rows, n_spans, n_outs; /* of the current step */
    size_t n_crowds;                /* of the current layer */
    size_t n_logits;         /* outs[0 .. n_logits) want logits, the others only hidden states */
    size_t n_ids;            /* the first n_ids of each, then these                            */
    const int32_t *more_ids; /* [n_more_ids] */
    size_t n_more_ids;
};

/* Widths that follow from a shape. */
static inline size_t q_width(const struct model_shape *s)
{
    return (size_t)s->n_heads * s->head_dim * (s->attn_gate ? 2 : 1);
}

static inline size_t kv_width(const struct model_shape *s)
{
    return (size_t)s->n_kv_heads * s->head_dim;
}

/* The feed-forward part that every row goes through. */
static inline size_t ff_width(const struct model_shape *s)
{
    return s->n_experts ? s->n_ff_shared : s->n_ff;
}

static inline size_t lin_k_width(const struct model_shape *s)
{
    return (size_t)s->lin_k_heads * s->lin_k_dim;
}

static inline size_t lin_v_width(const struct model_shape *s)
{
    return (size_t)s->lin_v_heads * s->lin_v_dim;
}

static inline size_t conv_width(const struct model_shape *s)
{
    return 2 * lin_k_width(s) + lin_v_width(s);
}

/* Which key head a value head reads: folders repeat each key head, GGUF files go round. */
static inline size_t lin_key_head(const struct model_shape *s, size_t v_head)
{
    size_t ratio = s->lin_v_heads / s->lin_k_heads;
    return s->lin_v_interleaved ? v_head % s->lin_k_heads : v_head / ratio;
}

/* KT_E_LIMIT when 'bytes' is more than this machine has in all. 'what' says what they are for. */
KT_MUST_CHECK enum kt_status memory_check(size_t bytes, const char *what, struct kt_error *err);

#endif
