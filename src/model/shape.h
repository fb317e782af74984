/* model/shape.h: what a model is, as numbers. One struct covers every architecture we run; one function
 * per size serves allocation, `inspect --context`, and planning alike. Derived from metadata only and
 * checked against a table of what we accept: no later code asks the file again. */
#ifndef MODEL_SHAPE_H
#define MODEL_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "kernels/kernels.h"

struct model_file;

enum arch { ARCH_LLAMA, ARCH_QWEN2, ARCH_QWEN3, ARCH_QWEN35, ARCH_QWEN35MOE, ARCH_BERT };
/* POOL_RANK: no vector, a score (yes or no) at the last token. */
enum pooling { POOL_NONE, POOL_MEAN, POOL_CLS, POOL_LAST, POOL_RANK };
enum rope_pairing { ROPE_HALF, /* (i, i + n/2): NeoX, HF */ ROPE_ADJACENT /* (2i, 2i+1): llama GGUF */ };

enum { LAYERS_MAX = 256, EXPERTS_MAX = 4096, EXPERTS_USED_MAX = 64 };

struct model_shape {
    enum arch arch;
    uint32_t n_layers;      /* trunk, without the multi-token head */
    uint32_t n_layers_mtp;  /* 0 or 1: a layer more, which predicts the token after the next */
    uint32_t n_vocab;       /* rows of the embedding */
    uint32_t n_vocab_real;  /* ids that a tokenizer can produce; the rest is never sampled */
    uint32_t n_ctx_train;
    uint32_t d_model;
    uint32_t n_ff;          /* of the dense feed-forward part; 0 with experts */
    float norm_eps;
    bool tied_head;

    uint32_t n_heads, n_kv_heads, head_dim;
    bool qkv_bias;          /* qwen2, bert */
    bool qk_norm;           /* qwen3, qwen35 */
    bool attn_gate;         /* qwen35: q_proj gives [q | gate] per head */
    bool norm_plus_one;     /* safetensors qwen35: weights are stored as w, used as 1 + w */
    bool causal;

    enum rope_pairing rope;
    uint32_t rope_dims;     /* 0: none (bert has learned positions) */
    float rope_theta;
    uint32_t mrope_sections[3]; /* all 0: plain; T, H, W pair counts, interleaved */
    float rope_factor[128];     /* divide inverse frequency i by this; [0] == 0: no factors (llama 3, yarn) */
    float rope_attn_scale;      /* multiplies cos and sin; 1 normally */

    bool recurrent[LAYERS_MAX]; /* true: Gated DeltaNet layer */
    uint32_t lin_k_heads, lin_v_heads, lin_k_dim, lin_v_dim, conv_kernel;
    bool lin_v_interleaved;     /* GGUF: V head g uses K head g mod nk; HF: floor(g / r) */

    uint32_t n_experts;         /* of every layer; 0: dense */
    uint32_t n_experts_used;    /* by each token */
    uint32_t n_ff_expert, n_ff_shared;

    uint32_t n_token_types;     /* bert */
    enum pooling pooling;
    bool normalize;             /* L2-normalise embeddings */
    uint32_t n_embed_max_tokens;/* truncation for embeddings; 0: n_ctx_train */
};

KT_MUST_CHECK enum kt_status model_shape_from_file(struct model_shape *s, const struct model_file *f,
                                                   struct kt_error *err);
const char *arch_name(enum arch a);
/* The two whose layers are partly Gated DeltaNet. */
static inline bool arch_is_qwen35(enum arch a)
{
    return a == ARCH_QWEN35 || a == ARCH_QWEN35MOE;
}

/* Whether there is a multi-token head that we run. */
static inline bool shape_has_mtp(const struct model_shape *s)
{
    return s->n_layers_mtp == 1 && arch_is_qwen35(s->arch);
}

/* How a sequence's memory is kept; all zero is 32-bit floats throughout. */
struct state_types {
    enum kv_type kv;
    enum state_type recurrent;
};

/* Whether a model's memory may be kept so. KT_E_UNSUPPORTED: a mixture of experts with a recurrent
 * state in bfloat16, whose small errors change which experts are asked (docs/PERFORMANCE.md). */
KT_MUST_CHECK enum kt_status state_types_check(const struct model_shape *s, struct state_types types,
                                               struct kt_error *err);

/* Bytes, for one sequence of n_ctx tokens: the most it takes. Keys and values come in pages, which are made
 * when they are first written and may be shared between sequences. */
struct state_sizes {
    size_t kv;        /* keys and values of all attention layers: n_pages * page */
    size_t recurrent; /* DeltaNet states                                    */
    size_t conv;      /* raw convolution columns                            */
    size_t parts;     /* what the splits of a long attention leave for joining */
    size_t table;     /* where the pages are                                */
    size_t page, n_pages; /* of ATTN_PAGE positions each (kernels.h); 0: no attention layer */
    size_t block;     /* all but the pages: allocated at once               */
    size_t total;     /* kv + block                                         */
};
KT_MUST_CHECK bool state_sizes(struct state_sizes *out, const struct model_shape *s, size_t n_ctx,
                               struct state_types types);
/* The same for the state of the multi-token head: one attention layer. */
KT_MUST_CHECK bool mtp_state_sizes(struct state_sizes *out, const struct model_shape *s, size_t n_ctx,
                                   struct state_types types);
/* Bytes beside a state so that the tokens of a step can be taken back, n_rows at most; false when
 * that is more than TENTATIVE_MAX (model.h). */
KT_MUST_CHECK bool tentative_size(size_t *bytes, const struct model_shape *s, size_t n_rows);
enum { TENTATIVE_ROWS = 13 }; /* what a conversation makes room for: a token and twelve guesses */
/* Bytes of scratch memory for steps of up to n_batch rows and n_threads threads. */
KT_MUST_CHECK bool scratch_size(size_t *out, const struct model_shape *s, size_t n_batch, size_t n_threads);

/* What some sequences take beside the weights, added up from the three above. */
struct memory_request {
    size_t n_ctx, n_streams; /* tokens of each, and how many */
    size_t n_batch, n_threads;
    size_t n_tentative; /* rows of a step that may be taken back; 0: none */
    struct state_types types;
};
struct memory_plan {
    struct state_sizes state, mtp; /* of one sequence; mtp: 0 when there is no multi-token head */
    size_t scratch;                /* once, for all of them */
    size_t tentative;              /* of one: tentative_size() and the logits of those rows */
    size_t total;                  /* n_streams * (state + mtp + tentative) + scratch */
};
/* False when that is more than a size_t holds. */
KT_MUST_CHECK bool memory_plan(struct memory_plan *out, const struct model_shape *s,
                               const struct memory_request *rq);

#endif
