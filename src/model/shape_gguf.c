/* A shape from GGUF metadata: keys under the architecture's name (docs/MODEL.md lists them). */
#include <string.h>

#include "base/size.h"
#include "model/shape_priv.h"

static bool arch_of(enum arch *out, struct span name)
{
    for (int a = ARCH_LLAMA; a <= ARCH_BERT; a++) {
        if (span_eq_str(name, arch_name((enum arch)a))) {
            *out = (enum arch)a;
            return true;
        }
    }
    return false;
}

/* Rows of the embedding, and how many of them are tokens. A file for token-level work may lack a
 * tokenizer; then its own count, or the embedding itself, says how large the vocabulary is. */
static void read_vocab(struct model_shape *s, struct shape_reader *r)
{
    const struct meta *tokens = model_file_meta(r->f, "tokenizer.ggml.tokens");
    const struct tensor *embd = model_file_tensor(r->f, "token_embd.weight");
    if (tokens && tokens->type == META_ARR_STR) {
        if (tokens->n == 0 || tokens->n > N_VOCAB_MAX)
            shape_fail(r, KT_E_FORMAT, "tokenizer.ggml.tokens has %zu entries, expected 1 to %d",
                       tokens->n, N_VOCAB_MAX);
        s->n_vocab = (uint32_t)tokens->n;
    } else {
        uint64_t rows = embd ? MIN(embd->dims[1], (uint64_t)N_VOCAB_MAX) : 0;
        s->n_vocab = opt_u32(r, "vocab_size", (uint32_t)rows, 1, N_VOCAB_MAX);
    }
    if (s->n_vocab == 0)
        shape_fail(r, KT_E_FORMAT,
                   "there is no vocabulary and no embedding; is the file complete?");

    /* Padding rows at the end are typed "unused" (5). */
    const struct meta *types = model_file_meta(r->f, "tokenizer.ggml.token_type");
    s->n_vocab_real = s->n_vocab;
    if (types && types->type == META_ARR_INT && types->n == s->n_vocab) {
        while (s->n_vocab_real > 1 && meta_arr_int(types, s->n_vocab_real - 1) == 5)
            s->n_vocab_real--;
    }
}

static void read_attention(struct model_shape *s, struct shape_reader *r)
{
    s->n_heads = need_u32(r, "attention.head_count", 1, N_HEADS_MAX);
    s->n_kv_heads = opt_u32(r, "attention.head_count_kv", s->n_heads, 1, N_HEADS_MAX);
    s->head_dim = opt_u32(r, "attention.key_length", s->d_model / s->n_heads, 2, HEAD_DIM_MAX);
    uint32_t v_dim = opt_u32(r, "attention.value_length", s->head_dim, 1, HEAD_DIM_MAX);
    if (s->head_dim != v_dim)
        shape_fail(r, KT_E_UNSUPPORTED, "keys of %u and values of %u dimensions; we run equal ones",
                   s->head_dim, v_dim);
    if (!shape_meta(r, "attention.key_length") &&
        (s->d_model % s->n_heads != 0 || s->head_dim < 2 || s->head_dim > HEAD_DIM_MAX))
        shape_fail(r, KT_E_FORMAT, "embedding length %u does not divide into %u heads", s->d_model,
                   s->n_heads);
}

/* Llama 3 gives one factor per pair as a tensor. */
static void read_rope_tensor(struct model_shape *s, struct shape_reader *r)
{
    const struct tensor *t = model_file_tensor(r->f, "rope_freqs.weight");
    if (!t)
        return;
    if (t->type != QT_F32 || t->n_dims != 1 || t->dims[0] != s->rope_dims / 2 ||
        t->dims[0] > ARRAY_LEN(s->rope_factor)) {
        shape_fail(r, KT_E_FORMAT, "tensor rope_freqs.weight is [%llu], expected %u floats",
                   (unsigned long long)t->dims[0], s->rope_dims / 2);
        return;
    }
    memcpy(s->rope_factor, t->data, t->dims[0] * sizeof(float));
}

static void read_rope_scaling(struct model_shape *s, struct shape_reader *r)
{
    struct span type = opt_str(r, "rope.scaling.type");
    double factor = (double)opt_float(r, "rope.scaling.factor", 1.0, 1.0, 1024.0);
    double old = opt_u32(r, "rope.scaling.original_context_length", s->n_ctx_train, 1, N_CTX_MAX);
    if (type.len == 0 || span_eq_str(type, "none") || factor == 1.0)
        return;
    if (span_eq_str(type, "linear"))
        rope_factors_linear(s, factor);
    else if (span_eq_str(type, "yarn"))
        rope_factors_yarn(s, factor, old, 32.0, 1.0, 0.0);
    else
        shape_fail(r, KT_E_UNSUPPORTED, "rotary scaling '%.*s'; we run none, linear and yarn",
                   (int)MIN(type.len, (size_t)40), type.ptr);
}

static void read_rope(struct model_shape *s, struct shape_reader *r)
{
    s->rope = s->arch == ARCH_LLAMA ? ROPE_ADJACENT : ROPE_HALF;
    s->rope_dims =
        opt_u32(r, "rope.dimension_count", arch_is_qwen35(s->arch) ? 64 : s->head_dim, 2, 256);
    s->rope_theta = opt_float(r, "rope.freq_base", 10000.0, 1.0, 1e12);

    const struct meta *sections = shape_meta(r, "rope.dimension_sections");
    if (sections && (sections->type != META_ARR_INT || sections->n < 3 || sections->n > 4)) {
        shape_fail(r, KT_E_FORMAT, "rope.dimension_sections must be 3 or 4 integers");
        return;
    }
    for (size_t i = 0; sections && i < 3; i++) {
        int64_t n = meta_arr_int(sections, i);
        if (n < 0 || n > 128)
            shape_fail(r, KT_E_FORMAT, "rope.dimension_sections[%zu] is %lld, expected 0 to 128", i,
                       (long long)n);
        else
            s->mrope_sections[i] = (uint32_t)n;
    }
    if (!r->st)
        read_rope_scaling(s, r);
    if (!r->st)
        read_rope_tensor(s, r);
}

/* Which layers are recurrent: an explicit list, or all but every n-th. */
static void read_layer_kinds(struct model_shape *s, struct shape_reader *r, uint32_t n_blocks)
{
    uint32_t interval = opt_u32(r, "full_attention_interval", 4, 1, LAYERS_MAX);
    for (uint32_t i = 0; i < s->n_layers; i++)
        s->recurrent[i] = (i + 1) % interval != 0;

    const struct meta *list = shape_meta(r, "attention.recurrent_layers");
    if (!list)
        return;
    if ((list->type != META_ARR_BOOL && list->type != META_ARR_INT) || list->n != n_blocks) {
        shape_fail(r, KT_E_FORMAT, "attention.recurrent_layers must be %u truth values", n_blocks);
        return;
    }
    for (uint32_t i = 0; i < s->n_layers; i++)
        s->recurrent[i] = meta_arr_int(list, i) != 0;
}

static void read_linear(struct model_shape *s, struct shape_reader *r)
{
    s->conv_kernel = opt_u32(r, "ssm.conv_kernel", 4, 1, 16);
    s->lin_k_dim = s->lin_v_dim = need_u32(r, "ssm.state_size", 1, LIN_DIM_MAX);
    s->lin_k_heads = need_u32(r, "ssm.group_count", 1, LIN_HEADS_MAX);
    s->lin_v_heads = need_u32(r, "ssm.time_step_rank", 1, LIN_HEADS_MAX);
    s->lin_v_interleaved = true;
    uint32_t inner = opt_u32(r, "ssm.inner_size", s->lin_v_heads * s->lin_v_dim, 1, 1 << 20);
    if (inner != s->lin_v_heads * s->lin_v_dim)
        shape_fail(r, KT_E_FORMAT, "ssm.inner_size is %u, expected %u heads of %u", inner,
                   s->lin_v_heads, s->lin_v_dim);
}

static void read_pooling(struct model_shape *s, struct shape_reader *r)
{
    uint32_t none = s->arch == ARCH_BERT ? 1 : 0; /* files without the key: mean */
    switch (opt_u32(r, "pooling_type", none, 0, 4)) {
    case 1:
        s->pooling = POOL_MEAN;
        break;
    case 2:
        s->pooling = POOL_CLS;
        break;
    case 3:
        s->pooling = POOL_LAST;
        break;
    case 4: /* a bert that ranks has a head we do not run */
        s->pooling = s->arch == ARCH_BERT ? POOL_NONE : POOL_RANK;
        break;
    default:
        s->pooling = POOL_NONE;
        break;
    }
    s->normalize = s->pooling != POOL_NONE && s->pooling != POOL_RANK;
}

static void read_bert(struct model_shape *s, struct shape_reader *r)
{
    s->norm_eps = need_float(r, "attention.layer_norm_epsilon", 1e-14, 0.1);
    s->causal = opt_bool(r, "attention.causal", false);
    s->qkv_bias = true;
    s->tied_head = true;
    s->n_token_types = (uint32_t)MIN(
        MAX(model_file_int(r->f, "tokenizer.ggml.token_type_count", 2), (int64_t)1), (int64_t)1024);
    if (s->causal)
        shape_fail(r, KT_E_UNSUPPORTED, "a causal bert; we run the encoder");
}

static void read_decoder(struct model_shape *s, struct shape_reader *r)
{
    s->norm_eps = need_float(r, "attention.layer_norm_rms_epsilon", 1e-14, 0.1);
    s->qkv_bias = s->arch == ARCH_QWEN2;
    s->qk_norm = s->arch == ARCH_QWEN3 || arch_is_qwen35(s->arch);
    s->attn_gate = arch_is_qwen35(s->arch);
    s->tied_head = model_file_tensor(r->f, "output.weight") == NULL;
    read_rope(s, r);
}

static void read_experts(struct model_shape *s, struct shape_reader *r)
{
    s->n_experts = need_u32(r, "expert_count", 1, EXPERTS_MAX);
    s->n_experts_used = need_u32(r, "expert_used_count", 1, EXPERTS_USED_MAX);
    s->n_ff_expert = need_u32(r, "expert_feed_forward_length", 1, N_FF_MAX);
    s->n_ff_shared = need_u32(r, "expert_shared_feed_forward_length", 1, N_FF_MAX);
}

void shape_from_gguf(struct model_shape *s, struct shape_reader *r)
{
    struct span arch = model_file_str(r->f, "general.architecture");
    if (!arch_of(&s->arch, arch)) {
        shape_fail(
            r, KT_E_UNSUPPORTED,
            "architecture '%.*s' is not one we run: llama, qwen2, qwen3, qwen35, qwen35moe, bert",
            (int)MIN(arch.len, (size_t)40), arch.len ? arch.ptr : "");
        return;
    }
    char prefix[16];
    strcpy(prefix, arch_name(s->arch));
    strcat(prefix, ".");
    r->prefix = prefix;

    uint32_t n_blocks = need_u32(r, "block_count", 1, LAYERS_MAX);
    s->n_layers_mtp = opt_u32(r, "nextn_predict_layers", 0, 0, 1);
    if (s->n_layers_mtp >= n_blocks)
        shape_fail(r, KT_E_FORMAT, "block_count is %u with %u of them for multi-token prediction",
                   n_blocks, s->n_layers_mtp);
    s->n_layers = n_blocks - s->n_layers_mtp;
    s->n_ctx_train = need_u32(r, "context_length", 1, N_CTX_MAX);
    s->d_model = need_u32(r, "embedding_length", 1, D_MODEL_MAX);
    if (s->arch == ARCH_QWEN35MOE)
        read_experts(s, r);
    else
        s->n_ff = need_u32(r, "feed_forward_length", 1, N_FF_MAX);
    if (s->arch != ARCH_QWEN35MOE && opt_u32(r, "expert_count", 0, 0, 1 << 16) != 0)
        shape_fail(r, KT_E_UNSUPPORTED, "a mixture of experts; of those we run qwen35moe");
    read_vocab(s, r);
    read_attention(s, r);
    read_pooling(s, r);
    if (!r->st && s->arch == ARCH_BERT)
        read_bert(s, r);
    else if (!r->st)
        read_decoder(s, r);
    if (!r->st && arch_is_qwen35(s->arch)) {
        read_layer_kinds(s, r, n_blocks);
        read_linear(s, r);
    }
    r->prefix = "";
}
