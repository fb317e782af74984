/* A folder's shape as GGUF metadata: what shape_gguf.c, and other readers, read back. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "model/convert_priv.h"
#include "model/model_file_priv.h"
#include "model/shape_priv.h"

/* Entries under the architecture's name. */
struct keys {
    struct gguf_write *w;
    const char *arch;
    char key[96];
};

static const char *key_of(struct keys *k, const char *name)
{
    snprintf(k->key, sizeof(k->key), "%s.%s", k->arch, name);
    return k->key;
}

static void put_u32(struct keys *k, const char *name, uint32_t v)
{
    gguf_write_u32(k->w, key_of(k, name), v);
}

static void put_f32(struct keys *k, const char *name, float v)
{
    gguf_write_f32(k->w, key_of(k, name), v);
}

static bool has_factors(const struct model_shape *s)
{
    return s->rope_dims && s->rope_factor[0] > 0.0f;
}

static bool all_equal(const struct model_shape *s)
{
    for (uint32_t i = 1; i < s->rope_dims / 2; i++) {
        if (s->rope_factor[i] != s->rope_factor[0])
            return false;
    }
    return true;
}

bool rope_as_tensor(const struct model_shape *s)
{
    return has_factors(s) && s->rope_attn_scale == 1.0f && !all_equal(s);
}

/* A number of the rotary settings, wherever this folder keeps them. */
static double rope_setting(const struct model_file *f, const char *name)
{
    static const char *const PLACES[] = { "text_config.rope_parameters.", "rope_parameters.",
                                          "text_config.rope_scaling.", "rope_scaling." };
    for (size_t i = 0; i < ARRAY_LEN(PLACES); i++) {
        char key[96];
        snprintf(key, sizeof(key), "%s%s", PLACES[i], name);
        if (model_file_meta(f, key))
            return model_file_float(f, key, 0.0);
    }
    return 0.0;
}

/* The metadata have room for factor and context alone; the rest must be what readers assume. */
static enum kt_status put_yarn(struct keys *k, const struct model_file *f,
                               const struct model_shape *s, struct kt_error *err)
{
    double factor = rope_setting(f, "factor"),
           old = rope_setting(f, "original_max_position_embeddings");
    old = old > 0.0 ? old : s->n_ctx_train;
    struct model_shape read_back = *s;
    rope_factors_yarn(&read_back, (double)(float)factor, old, 32.0, 1.0, 0.0);
    if (memcmp(read_back.rope_factor, s->rope_factor, s->rope_dims / 2 * sizeof(float)) != 0 ||
        read_back.rope_attn_scale != s->rope_attn_scale)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "the rotary scaling (yarn) has settings of its own that a GGUF file has no "
                       "place for; run the folder itself");
    gguf_write_str(k->w, key_of(k, "rope.scaling.type"), SPAN("yarn"));
    put_f32(k, "rope.scaling.factor", (float)factor);
    put_u32(k, "rope.scaling.original_context_length", (uint32_t)old);
    return KT_OK;
}

static enum kt_status put_rope(struct keys *k, const struct model_file *f,
                               const struct model_shape *s, struct kt_error *err)
{
    put_f32(k, "rope.freq_base", s->rope_theta);
    put_u32(k, "rope.dimension_count", s->rope_dims);
    const uint32_t *m = s->mrope_sections;
    bool has_sections = m[0] + m[1] + m[2] > 0;
    if (has_sections || arch_is_qwen35(s->arch)) {
        /* Readers of qwen35 ask for them. A text's positions are the same on all three axes, so that
         * where a folder names none, all may be on the first. */
        int32_t all = (int32_t)(s->rope_dims / 2), first = has_sections ? (int32_t)m[0] : all;
        const int32_t sections[4] = { first, (int32_t)m[1], (int32_t)m[2], 0 };
        gguf_write_arr_i32(k->w, key_of(k, "rope.dimension_sections"), sections, 4);
    }
    if (!has_factors(s) || rope_as_tensor(s))
        return KT_OK;
    if (s->rope_attn_scale != 1.0f)
        return put_yarn(k, f, s, err);
    gguf_write_str(k->w, key_of(k, "rope.scaling.type"), SPAN("linear"));
    put_f32(k, "rope.scaling.factor", s->rope_factor[0]);
    return KT_OK;
}

/* The interval when one says it all, which every reader knows; else the list. */
static void put_layer_kinds(struct keys *k, const struct model_shape *s)
{
    uint32_t interval = 1;
    while (interval <= s->n_layers && s->recurrent[interval - 1])
        interval++;
    bool regular = interval <= s->n_layers;
    for (uint32_t i = 0; i < s->n_layers; i++)
        regular = regular && s->recurrent[i] == ((i + 1) % interval != 0);
    if (regular)
        put_u32(k, "full_attention_interval", interval);
    else
        gguf_write_arr_bool(k->w, key_of(k, "attention.recurrent_layers"), s->recurrent,
                            s->n_layers + s->n_layers_mtp); /* the last one is false */
}

static void put_linear(struct keys *k, const struct model_shape *s)
{
    put_layer_kinds(k, s);
    put_u32(k, "ssm.conv_kernel", s->conv_kernel);
    put_u32(k, "ssm.state_size", s->lin_v_dim);
    put_u32(k, "ssm.group_count", s->lin_k_heads);
    put_u32(k, "ssm.time_step_rank", s->lin_v_heads);
    put_u32(k, "ssm.inner_size", s->lin_v_heads * s->lin_v_dim);
}

static void put_experts(struct keys *k, const struct model_shape *s)
{
    put_u32(k, "expert_count", s->n_experts);
    put_u32(k, "expert_used_count", s->n_experts_used);
    put_u32(k, "expert_feed_forward_length", s->n_ff_expert);
    put_u32(k, "expert_shared_feed_forward_length", s->n_ff_shared);
}

static void put_pooling(struct keys *k, const struct model_shape *s)
{
    static const uint32_t NUMBERS[] = {
        [POOL_NONE] = 0, [POOL_MEAN] = 1, [POOL_CLS] = 2, [POOL_LAST] = 3, [POOL_RANK] = 4
    };
    if (s->pooling != POOL_NONE || s->arch == ARCH_BERT)
        put_u32(k, "pooling_type", NUMBERS[s->pooling]);
}

static enum kt_status put_decoder(struct keys *k, const struct model_file *f,
                                  const struct model_shape *s, struct kt_error *err)
{
    put_u32(k, "attention.head_count_kv", s->n_kv_heads);
    put_u32(k, "attention.key_length", s->head_dim);
    put_u32(k, "attention.value_length", s->head_dim);
    put_f32(k, "attention.layer_norm_rms_epsilon", s->norm_eps);
    if (s->n_layers_mtp)
        put_u32(k, "nextn_predict_layers", s->n_layers_mtp);
    if (arch_is_qwen35(s->arch))
        put_linear(k, s);
    return put_rope(k, f, s, err);
}

static void put_bert(struct keys *k, const struct model_shape *s)
{
    put_f32(k, "attention.layer_norm_epsilon", s->norm_eps);
    gguf_write_bool(k->w, key_of(k, "attention.causal"), false);
    gguf_write_u32(k->w, "tokenizer.ggml.token_type_count", s->n_token_types);
}

/* The last part of the folder's real path; its own name for itself is often a path, too. */
static void put_name(struct gguf_write *w, const struct model_file *f)
{
    char real[PATH_MAX];
    const char *dir = model_file_dir(f);
    if (dir && realpath(dir, real))
        gguf_write_str(w, "general.name", span_of(path_base(real)));
}

enum kt_status put_folder_meta(struct gguf_write *w, const struct model_file *f,
                               const struct model_shape *s, struct kt_error *err)
{
    struct keys k = { .w = w, .arch = arch_name(s->arch) };
    gguf_write_str(w, "general.architecture", span_of(k.arch));
    gguf_write_str(w, "general.type", SPAN("model"));
    put_name(w, f);
    put_u32(&k, "block_count", s->n_layers + s->n_layers_mtp);
    put_u32(&k, "context_length", s->n_ctx_train);
    put_u32(&k, "embedding_length", s->d_model);
    if (s->n_experts)
        put_experts(&k, s);
    else
        put_u32(&k, "feed_forward_length", s->n_ff);
    put_u32(&k, "vocab_size", s->n_vocab);
    put_u32(&k, "attention.head_count", s->n_heads);
    put_pooling(&k, s);
    if (s->arch != ARCH_BERT)
        return put_decoder(&k, f, s, err);
    put_bert(&k, s);
    return KT_OK;
}
