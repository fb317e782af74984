/* A shape from a folder's config.json, as the transformers library writes it: flat, or with the
 * text model's numbers under text_config. Facts moved over the years; both places are read. */
#include <string.h>

#include "base/size.h"
#include "model/shape_priv.h"

static const struct {
    const char *model_type;
    enum arch arch;
} MODEL_TYPES[] = {
    { "llama", ARCH_LLAMA },           { "qwen2", ARCH_QWEN2 },
    { "qwen3", ARCH_QWEN3 },           { "qwen3_5", ARCH_QWEN35 },
    { "qwen3_5_text", ARCH_QWEN35 },   { "bert", ARCH_BERT },
    { "qwen3_5_moe", ARCH_QWEN35MOE }, { "qwen3_5_moe_text", ARCH_QWEN35MOE },
};

static bool arch_of(enum arch *out, struct span model_type)
{
    for (size_t i = 0; i < ARRAY_LEN(MODEL_TYPES); i++) {
        if (span_eq_str(model_type, MODEL_TYPES[i].model_type)) {
            *out = MODEL_TYPES[i].arch;
            return true;
        }
    }
    return false;
}

/* Things that would change the numbers and that we do not compute. */
static void refuse_variants(const struct model_shape *s, struct shape_reader *r)
{
    struct span act = opt_str(r, "hidden_act");
    const char *want = s->arch == ARCH_BERT ? "gelu" : "silu";
    if (act.len && !span_eq_str(act, want))
        shape_fail(r, KT_E_UNSUPPORTED, "%shidden_act is '%.*s', we run %s", r->prefix,
                   (int)MIN(act.len, (size_t)40), act.ptr, want);
    if (opt_bool(r, "attention_bias", false) || opt_bool(r, "mlp_bias", false))
        shape_fail(r, KT_E_UNSUPPORTED, "biases in attention or feed-forward of a %s model",
                   arch_name(s->arch));
    if (opt_bool(r, "use_sliding_window", false))
        shape_fail(r, KT_E_UNSUPPORTED, "sliding-window attention");
    if (model_file_meta(r->f, "quantization_config.quant_method"))
        shape_fail(r, KT_E_UNSUPPORTED,
                   "weights quantised by another tool (quantization_config); use the bf16 folder "
                   "or a GGUF");
    struct span pos = opt_str(r, "position_embedding_type");
    if (pos.len && !span_eq_str(pos, "absolute"))
        shape_fail(r, KT_E_UNSUPPORTED, "position_embedding_type '%.*s', we run absolute",
                   (int)MIN(pos.len, (size_t)40), pos.ptr);
}

static void read_attention(struct model_shape *s, struct shape_reader *r)
{
    s->n_heads = need_u32(r, "num_attention_heads", 1, N_HEADS_MAX);
    s->n_kv_heads = opt_u32(r, "num_key_value_heads", s->n_heads, 1, N_HEADS_MAX);
    s->head_dim = arch_is_qwen35(s->arch) ? 256
                  : s->arch == ARCH_QWEN3 ? 128
                                          : s->d_model / s->n_heads;
    bool derived = !shape_meta(r, "head_dim") && !arch_is_qwen35(s->arch) && s->arch != ARCH_QWEN3;
    s->head_dim = opt_u32(r, "head_dim", s->head_dim, 2, HEAD_DIM_MAX);
    if (derived && (s->d_model % s->n_heads != 0 || s->head_dim < 2 || s->head_dim > HEAD_DIM_MAX))
        shape_fail(r, KT_E_FORMAT, "hidden_size %u does not divide into %u heads", s->d_model,
                   s->n_heads);
}

/* A rotary number lives in rope_parameters (new), rope_scaling (old) or at the top (theta,
 * partial). */
static float rope_float(struct shape_reader *r, const char *key, double otherwise, double min,
                        double max)
{
    static const char *const PLACES[] = { "rope_parameters.", "rope_scaling.", "" };
    for (size_t i = 0; i < ARRAY_LEN(PLACES); i++) {
        char full[80] = "";
        strcat(full, PLACES[i]);
        strncat(full, key, sizeof(full) - strlen(full) - 1);
        if (shape_meta(r, full))
            return opt_float(r, full, otherwise, min, max);
    }
    return (float)otherwise;
}

static struct span rope_type(const struct shape_reader *r)
{
    static const char *const KEYS[] = { "rope_parameters.rope_type", "rope_parameters.type",
                                        "rope_scaling.rope_type", "rope_scaling.type" };
    for (size_t i = 0; i < ARRAY_LEN(KEYS); i++) {
        struct span type = opt_str(r, KEYS[i]);
        if (type.len)
            return type;
    }
    return SPAN("default");
}

static void read_rope_scaling(struct model_shape *s, struct shape_reader *r)
{
    struct span type = rope_type(r);
    if (span_eq_str(type, "default") || span_eq_str(type, "mrope"))
        return;
    double factor = (double)rope_float(r, "factor", 1.0, 1.0, 1024.0);
    double old =
        (double)rope_float(r, "original_max_position_embeddings", s->n_ctx_train, 1.0, N_CTX_MAX);
    if (span_eq_str(type, "linear")) {
        rope_factors_linear(s, factor);
    } else if (span_eq_str(type, "llama3")) {
        double low = (double)rope_float(r, "low_freq_factor", 1.0, 0.01, 1000.0);
        double high = (double)rope_float(r, "high_freq_factor", 4.0, 0.01, 1000.0);
        if (high <= low)
            shape_fail(r, KT_E_FORMAT, "high_freq_factor %g must be above low_freq_factor %g", high,
                       low);
        rope_factors_llama3(s, factor, low, high, old);
    } else if (span_eq_str(type, "yarn")) {
        rope_factors_yarn(s, factor, old, (double)rope_float(r, "beta_fast", 32.0, 0.01, 1e4),
                          (double)rope_float(r, "beta_slow", 1.0, 0.01, 1e4),
                          (double)rope_float(r, "attention_factor", 0.0, 0.0, 100.0));
    } else {
        shape_fail(r, KT_E_UNSUPPORTED,
                   "rotary scaling '%.*s'; we run default, linear, llama3 and yarn",
                   (int)MIN(type.len, (size_t)40), type.ptr);
    }
}

static void read_rope_sections(struct model_shape *s, struct shape_reader *r)
{
    const struct meta *m = shape_meta(r, "rope_parameters.mrope_section");
    if (!m)
        m = shape_meta(r, "rope_scaling.mrope_section");
    if (!m)
        return;
    if (m->type != META_ARR_INT || m->n < 3 || m->n > 4) {
        shape_fail(r, KT_E_FORMAT, "mrope_section must be 3 integers");
        return;
    }
    for (size_t i = 0; i < 3; i++) {
        int64_t n = meta_arr_int(m, i);
        if (n < 0 || n > 128)
            shape_fail(r, KT_E_FORMAT, "mrope_section[%zu] is %lld, expected 0 to 128", i,
                       (long long)n);
        else
            s->mrope_sections[i] = (uint32_t)n;
    }
}

static void read_rope(struct model_shape *s, struct shape_reader *r)
{
    s->rope = ROPE_HALF; /* every family, llama too: only its GGUF files are permuted */
    double partial = arch_is_qwen35(s->arch) ? 0.25 : 1.0;
    partial = (double)rope_float(r, "partial_rotary_factor", partial, 0.01, 1.0);
    s->rope_dims = (uint32_t)(s->head_dim * partial);
    s->rope_theta = rope_float(r, "rope_theta", 10000.0, 1.0, 1e12);
    if (s->rope_dims < 2 || s->rope_dims > 256)
        shape_fail(r, KT_E_FORMAT, "%u rotary dimensions, expected 2 to 256", s->rope_dims);
    if (!r->st)
        read_rope_sections(s, r);
    if (!r->st)
        read_rope_scaling(s, r);
}

static void read_layer_kinds(struct model_shape *s, struct shape_reader *r)
{
    uint32_t interval = opt_u32(r, "full_attention_interval", 4, 1, LAYERS_MAX);
    for (uint32_t i = 0; i < s->n_layers; i++)
        s->recurrent[i] = (i + 1) % interval != 0;

    const struct meta *list = shape_meta(r, "layer_types");
    if (!list)
        return;
    if (list->type != META_ARR_STR || list->n != s->n_layers) {
        shape_fail(r, KT_E_FORMAT, "layer_types must be %u strings", s->n_layers);
        return;
    }
    for (uint32_t i = 0; i < s->n_layers; i++) {
        struct span kind = meta_arr_str(list, i);
        s->recurrent[i] = span_eq_str(kind, "linear_attention");
        if (!s->recurrent[i] && !span_eq_str(kind, "full_attention"))
            shape_fail(r, KT_E_UNSUPPORTED, "layer_types[%u] is '%.*s'", i,
                       (int)MIN(kind.len, (size_t)40), kind.ptr);
    }
}

static void refuse_sliding_layers(const struct model_shape *s, struct shape_reader *r)
{
    const struct meta *list = shape_meta(r, "layer_types");
    for (size_t i = 0; list && list->type == META_ARR_STR && i < MIN(list->n, (size_t)s->n_layers);
         i++) {
        if (!span_eq_str(meta_arr_str(list, i), "full_attention"))
            shape_fail(r, KT_E_UNSUPPORTED, "layer_types[%zu] is not full_attention", i);
    }
}

static void read_linear(struct model_shape *s, struct shape_reader *r)
{
    s->conv_kernel = opt_u32(r, "linear_conv_kernel_dim", 4, 1, 16);
    s->lin_k_heads = opt_u32(r, "linear_num_key_heads", 16, 1, LIN_HEADS_MAX);
    s->lin_v_heads = need_u32(r, "linear_num_value_heads", 1, LIN_HEADS_MAX);
    s->lin_k_dim = opt_u32(r, "linear_key_head_dim", 128, 1, LIN_DIM_MAX);
    s->lin_v_dim = opt_u32(r, "linear_value_head_dim", 128, 1, LIN_DIM_MAX);
}

static void read_experts(struct model_shape *s, struct shape_reader *r)
{
    s->n_experts = need_u32(r, "num_experts", 1, EXPERTS_MAX);
    s->n_experts_used = need_u32(r, "num_experts_per_tok", 1, EXPERTS_USED_MAX);
    s->n_ff_expert = need_u32(r, "moe_intermediate_size", 1, N_FF_MAX);
    s->n_ff_shared = need_u32(r, "shared_expert_intermediate_size", 1, N_FF_MAX);
}

/* The outer config's word counts, as in the library; without one, the weights tell. */
static bool read_tied(const struct model_file *f)
{
    const struct meta *m = model_file_meta(f, "tie_word_embeddings");
    if (!m || m->type != META_BOOL)
        m = model_file_meta(f, "text_config.tie_word_embeddings");
    if (m && m->type == META_BOOL)
        return m->i != 0;
    return model_file_tensor(f, "lm_head.weight") == NULL;
}

static void read_bert(struct model_shape *s, struct shape_reader *r)
{
    s->norm_eps = opt_float(r, "layer_norm_eps", 1e-12, 1e-14, 0.1);
    s->causal = false;
    s->qkv_bias = true;
    s->tied_head = true;
    s->n_token_types = opt_u32(r, "type_vocab_size", 2, 1, 1024);
    if (opt_bool(r, "is_decoder", false))
        shape_fail(r, KT_E_UNSUPPORTED, "bert as a decoder; we run the encoder");
}

static void read_decoder(struct model_shape *s, struct shape_reader *r)
{
    s->norm_eps = need_float(r, "rms_norm_eps", 1e-14, 0.1);
    s->qkv_bias = s->arch == ARCH_QWEN2;
    s->qk_norm = s->arch == ARCH_QWEN3 || arch_is_qwen35(s->arch);
    s->attn_gate = arch_is_qwen35(s->arch);
    s->norm_plus_one = arch_is_qwen35(s->arch);
    s->tied_head = read_tied(r->f);
    s->n_layers_mtp = model_file_tensor(r->f, "mtp.fc.weight") != NULL;
    read_rope(s, r);
    if (!arch_is_qwen35(s->arch))
        refuse_sliding_layers(s, r);
}

/* 248320 rows are padding from 248077 on: no tokenizer produces those ids. */
static uint32_t real_vocab(const struct model_shape *s)
{
    return arch_is_qwen35(s->arch) && s->n_vocab == 248320 ? 248077 : s->n_vocab;
}

void shape_from_config(struct model_shape *s, struct shape_reader *r)
{
    struct span type = model_file_str(r->f, "model_type");
    if (!arch_of(&s->arch, type)) {
        shape_fail(r, KT_E_UNSUPPORTED,
                   "model_type '%.*s' is not one we run: llama, qwen2, qwen3, qwen3_5, "
                   "qwen3_5_moe, bert",
                   (int)MIN(type.len, (size_t)40), type.len ? type.ptr : "");
        return;
    }
    if (model_file_meta(r->f, "text_config.hidden_size"))
        r->prefix = "text_config.";
    s->n_layers = need_u32(r, "num_hidden_layers", 1, LAYERS_MAX);
    s->n_vocab = need_u32(r, "vocab_size", 1, N_VOCAB_MAX);
    s->n_vocab_real = real_vocab(s);
    s->n_ctx_train = need_u32(r, "max_position_embeddings", 1, N_CTX_MAX);
    s->d_model = need_u32(r, "hidden_size", 1, D_MODEL_MAX);
    if (s->arch == ARCH_QWEN35MOE)
        read_experts(s, r);
    else
        s->n_ff = need_u32(r, "intermediate_size", 1, N_FF_MAX);
    read_attention(s, r);
    if (!r->st)
        refuse_variants(s, r);
    if (!r->st && s->arch == ARCH_BERT)
        read_bert(s, r);
    else if (!r->st)
        read_decoder(s, r);
    if (!r->st && arch_is_qwen35(s->arch)) {
        read_layer_kinds(s, r);
        read_linear(s, r);
    }
    if (!r->st)
        shape_sentence_files(s, r);
    r->prefix = "";
}
