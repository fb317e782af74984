#include "golden/synthetic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "base/size.h"
#include "base/span.h"
#include "support/model_writer.h"

/* The table of tools/reference/synthetic.py. */
const struct synth SYNTHS[] = {
    { "llama-tied", ARCH_LLAMA, 3,     4,    2, 64, true, 1e4, 0, 0, 0, 0, 0, 0, 0, 0,
      false,        false,      false, false },
    { "llama-rope3", ARCH_LLAMA, 3,     8,    2, 32, false, 5e5, 8.0, 0, 0, 0, 0, 0, 0, 0,
      false,         false,      false, false },
    { "qwen2", ARCH_QWEN2, 3, 4, 2, 64, true,  1e6,   0,     0,
      0,       0,          0, 0, 0, 0,  false, false, false, false },
    { "qwen3", ARCH_QWEN3, 3, 6, 2, 128, false, 1e6,   0,     0,
      0,       0,          0, 0, 0, 0,   false, false, false, false },
    { "qwen35-r1", ARCH_QWEN35, 8, 4, 2, 256, true,  1e7,   0,     0,
      2,           2,           0, 0, 0, 0,   false, false, false, false },
    { "qwen35-r2", ARCH_QWEN35, 5, 4, 1, 256, false, 1e7,   0,    4.0,
      2,           4,           0, 0, 0, 0,   false, false, true, false },
    { "qwen35-r3", ARCH_QWEN35, 5, 3, 1, 256, true,  1e7,   0,     0,
      2,           6,           0, 0, 0, 0,   false, false, false, false },
    { "qwen35-r4", ARCH_QWEN35, 5, 4, 2, 256, false, 1e7,  0,    0,
      2,           8,           0, 0, 0, 0,   false, true, true, false },
    { "moe-r2", ARCH_QWEN35MOE, 5,    4,    2,    256, false, 1e7, 0, 0, 2, 4, 8, 2, 256,
      256,      false,          true, true, false },
    { "moe-r4", ARCH_QWEN35MOE, 4,    6,     1,    256, true, 1e7, 0, 0, 2, 8, 16, 4, 96,
      160,      true,           true, false, false },
    { "bert", ARCH_BERT, 3, 8, 8, 32, true, 0, 0, 0, 0, 0, 0, 0, 0, 0, false, false, false, false },
};
const size_t N_SYNTHS = ARRAY_LEN(SYNTHS);
const struct synth SYNTH_LONG = { "long", ARCH_QWEN35, 4, 2, 1, 256, false, 1e7,   0,     0,
                                  2,      4,           0, 0, 0, 0,   false, false, false, true };

int32_t *synth_tokens(const struct synth *m, size_t n)
{
    char name[80];
    snprintf(name, sizeof(name), "tokens of %s", m->name);
    float *v = malloc(n * sizeof(*v));
    int32_t *out = malloc(n * sizeof(*out));
    if (!v || !out)
        abort();
    random_weights(v, name, n, 1.0f);
    for (size_t i = 0; i < n; i++)
        out[i] = (int32_t)(((double)v[i] + 1.0) / 2.0 * SYNTH_VOCAB);
    free(v);
    return out;
}

const struct synth *synth_named(const char *name)
{
    for (size_t i = 0; i < N_SYNTHS; i++) {
        if (strcmp(SYNTHS[i].name, name) == 0)
            return &SYNTHS[i];
    }
    abort();
}

/* ---- the list of tensors ---- */

/* What the converter to GGUF does with a tensor, and what its values are. */
enum kind {
    MATRIX,
    ROTATED, /* q and k: rows of a head interleaved for llama                     */
    EMBED,
    NORM,     /* stored as w by folders of qwen35, as 1 + w by GGUF                */
    LIN_NORM, /* always w, float32                                                 */
    BIAS,
    QKV,     /* the value rows move with the heads                                */
    V_ROWS,  /* blocks of 128 rows move                                           */
    V_HEADS, /* single rows move                                                  */
    V_COLS,  /* blocks of 128 columns move                                        */
    CONV,    /* value channels move                                               */
    DT_BIAS,
    A_LOG,
    ROUTER,      /* float32 in GGUF                                                */
    SHARED_GATE, /* one row in a folder, a vector in GGUF                          */
    EXPERTS_IN,  /* of each expert gate, then up; GGUF has them apart or together  */
    EXPERTS_OUT,
};

struct entry {
    enum kind kind;
    char name[96]; /* canonical, as in a text-only folder */
    char gguf[64];
    size_t n_rows, n_cols; /* vectors: n_rows 1 */
};

struct visitor {
    const struct synth *m;
    void (*visit)(struct visitor *v, const struct entry *e);
    struct gguf_writer *gguf;
    struct st_writer *folder;
    enum qtype mats;
};

/* Instead of a layer's number. The multi-token head is the last block of GGUF. */
enum { OUTSIDE = -1, MTP = -2, MTP_LAYER = -3 };

static void emit(struct visitor *v, enum kind kind, int layer, const char *gguf, const char *hf,
                 size_t n_rows, size_t n_cols)
{
    bool bert = v->m->arch == ARCH_BERT;
    struct entry e = { .kind = kind, .n_rows = n_rows, .n_cols = n_cols };
    if (layer == OUTSIDE) {
        snprintf(e.name, sizeof(e.name), "%s", hf);
        snprintf(e.gguf, sizeof(e.gguf), "%s", gguf);
    } else if (layer == MTP || layer == MTP_LAYER) {
        snprintf(e.name, sizeof(e.name), "mtp.%s%s", layer == MTP ? "" : "layers.0.", hf);
        snprintf(e.gguf, sizeof(e.gguf), "blk.%u.%s", v->m->n_layers, gguf);
    } else {
        snprintf(e.name, sizeof(e.name), "%s.%d.%s", bert ? "encoder.layer" : "model.layers", layer,
                 hf);
        snprintf(e.gguf, sizeof(e.gguf), "blk.%d.%s", layer, gguf);
    }
    v->visit(v, &e);
}

static void attention_entries(struct visitor *v, int i)
{
    const struct synth *m = v->m;
    size_t d = SYNTH_HIDDEN, q = (size_t)m->n_heads * m->head_dim,
           kv = (size_t)m->n_kv_heads * m->head_dim;
    emit(v, ROTATED, i, "attn_q.weight", "self_attn.q_proj.weight",
         arch_is_qwen35(m->arch) ? 2 * q : q, d);
    emit(v, ROTATED, i, "attn_k.weight", "self_attn.k_proj.weight", kv, d);
    emit(v, MATRIX, i, "attn_v.weight", "self_attn.v_proj.weight", kv, d);
    emit(v, MATRIX, i, "attn_output.weight", "self_attn.o_proj.weight", d, q);
    if (m->arch == ARCH_QWEN2) {
        emit(v, BIAS, i, "attn_q.bias", "self_attn.q_proj.bias", 1, q);
        emit(v, BIAS, i, "attn_k.bias", "self_attn.k_proj.bias", 1, kv);
        emit(v, BIAS, i, "attn_v.bias", "self_attn.v_proj.bias", 1, kv);
    }
    if (m->arch == ARCH_QWEN3 || arch_is_qwen35(m->arch)) {
        emit(v, NORM, i, "attn_q_norm.weight", "self_attn.q_norm.weight", 1, m->head_dim);
        emit(v, NORM, i, "attn_k_norm.weight", "self_attn.k_norm.weight", 1, m->head_dim);
    }
}

static void linear_entries(struct visitor *v, int i)
{
    size_t d = SYNTH_HIDDEN, nv = v->m->nv, k = (size_t)v->m->nk * 128, val = nv * 128;
    emit(v, QKV, i, "attn_qkv.weight", "linear_attn.in_proj_qkv.weight", 2 * k + val, d);
    emit(v, V_ROWS, i, "attn_gate.weight", "linear_attn.in_proj_z.weight", val, d);
    emit(v, V_HEADS, i, "ssm_beta.weight", "linear_attn.in_proj_b.weight", nv, d);
    emit(v, V_HEADS, i, "ssm_alpha.weight", "linear_attn.in_proj_a.weight", nv, d);
    emit(v, V_COLS, i, "ssm_out.weight", "linear_attn.out_proj.weight", d, val);
    emit(v, CONV, i, "ssm_conv1d.weight", "linear_attn.conv1d.weight", 2 * k + val, 4);
    emit(v, A_LOG, i, "ssm_a", "linear_attn.A_log", nv, 1);
    emit(v, DT_BIAS, i, "ssm_dt.bias", "linear_attn.dt_bias", nv, 1);
    emit(v, LIN_NORM, i, "ssm_norm.weight", "linear_attn.norm.weight", 1, 128);
}

/* All experts in one tensor: their matrices stand on top of each other. */
static void emit_stack(struct visitor *v, enum kind kind, int layer, const char *gguf,
                       const char *hf, size_t n_rows, size_t n_cols)
{
    emit(v, kind, layer, gguf, hf, v->m->n_experts * n_rows, n_cols);
}

static void mixture_entries(struct visitor *v, int i)
{
    const struct synth *m = v->m;
    size_t d = SYNTH_HIDDEN, ff = m->n_ff_expert, sh = m->n_ff_shared;
    emit(v, ROUTER, i, "ffn_gate_inp.weight", "mlp.gate.weight", m->n_experts, d);
    emit_stack(v, EXPERTS_IN, i, "ffn_gate_up_exps.weight", "mlp.experts.gate_up_proj", 2 * ff, d);
    emit_stack(v, EXPERTS_OUT, i, "ffn_down_exps.weight", "mlp.experts.down_proj", d, ff);
    emit(v, SHARED_GATE, i, "ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight", 1, d);
    emit(v, MATRIX, i, "ffn_gate_shexp.weight", "mlp.shared_expert.gate_proj.weight", sh, d);
    emit(v, MATRIX, i, "ffn_up_shexp.weight", "mlp.shared_expert.up_proj.weight", sh, d);
    emit(v, MATRIX, i, "ffn_down_shexp.weight", "mlp.shared_expert.down_proj.weight", d, sh);
}

static void feed_forward_entries(struct visitor *v, int i)
{
    size_t d = SYNTH_HIDDEN, ff = SYNTH_FF;
    if (v->m->n_experts) {
        mixture_entries(v, i);
        return;
    }
    emit(v, MATRIX, i, "ffn_gate.weight", "mlp.gate_proj.weight", ff, d);
    emit(v, MATRIX, i, "ffn_up.weight", "mlp.up_proj.weight", ff, d);
    emit(v, MATRIX, i, "ffn_down.weight", "mlp.down_proj.weight", d, ff);
}

static void mtp_entries(struct visitor *v)
{
    size_t d = SYNTH_HIDDEN;
    emit(v, NORM, MTP, "nextn.enorm.weight", "pre_fc_norm_embedding.weight", 1, d);
    emit(v, NORM, MTP, "nextn.hnorm.weight", "pre_fc_norm_hidden.weight", 1, d);
    emit(v, MATRIX, MTP, "nextn.eh_proj.weight", "fc.weight", d, 2 * d);
    emit(v, NORM, MTP_LAYER, "attn_norm.weight", "input_layernorm.weight", 1, d);
    attention_entries(v, MTP_LAYER);
    emit(v, NORM, MTP_LAYER, "post_attention_norm.weight", "post_attention_layernorm.weight", 1, d);
    feed_forward_entries(v, MTP_LAYER);
    emit(v, NORM, MTP, "nextn.shared_head_norm.weight", "norm.weight", 1, d);
}

static void decoder_entries(struct visitor *v)
{
    bool q35 = arch_is_qwen35(v->m->arch);
    size_t d = SYNTH_HIDDEN;
    emit(v, EMBED, OUTSIDE, "token_embd.weight", "model.embed_tokens.weight", SYNTH_VOCAB, d);
    for (int i = 0; i < (int)v->m->n_layers; i++) {
        emit(v, NORM, i, "attn_norm.weight", "input_layernorm.weight", 1, d);
        if (q35 && (i + 1) % 4 != 0)
            linear_entries(v, i);
        else
            attention_entries(v, i);
        emit(v, NORM, i, q35 ? "post_attention_norm.weight" : "ffn_norm.weight",
             "post_attention_layernorm.weight", 1, d);
        feed_forward_entries(v, i);
    }
    emit(v, NORM, OUTSIDE, "output_norm.weight", "model.norm.weight", 1, d);
    if (!v->m->tied)
        emit(v, MATRIX, OUTSIDE, "output.weight", "lm_head.weight", SYNTH_VOCAB, d);
    if (v->m->mtp)
        mtp_entries(v);
}

/* A dense layer with its bias. */
static void dense_entries(struct visitor *v, int i, const char *gguf, const char *hf, size_t n_rows,
                          size_t n_cols)
{
    char g[64], h[64];
    snprintf(g, sizeof(g), "%s.weight", gguf);
    snprintf(h, sizeof(h), "%s.weight", hf);
    emit(v, MATRIX, i, g, h, n_rows, n_cols);
    snprintf(g, sizeof(g), "%s.bias", gguf);
    snprintf(h, sizeof(h), "%s.bias", hf);
    emit(v, BIAS, i, g, h, 1, n_rows);
}

static void layer_norm_entries(struct visitor *v, int i, const char *gguf, const char *hf)
{
    char g[64], h[64];
    snprintf(g, sizeof(g), "%s.weight", gguf);
    snprintf(h, sizeof(h), "%s.weight", hf);
    emit(v, NORM, i, g, h, 1, SYNTH_HIDDEN);
    snprintf(g, sizeof(g), "%s.bias", gguf);
    snprintf(h, sizeof(h), "%s.bias", hf);
    emit(v, BIAS, i, g, h, 1, SYNTH_HIDDEN);
}

static void bert_entries(struct visitor *v)
{
    size_t d = SYNTH_HIDDEN, ff = SYNTH_FF;
    emit(v, EMBED, OUTSIDE, "token_embd.weight", "embeddings.word_embeddings.weight", SYNTH_VOCAB,
         d);
    emit(v, EMBED, OUTSIDE, "position_embd.weight", "embeddings.position_embeddings.weight",
         SYNTH_BERT_CTX, d);
    emit(v, EMBED, OUTSIDE, "token_types.weight", "embeddings.token_type_embeddings.weight", 2, d);
    layer_norm_entries(v, OUTSIDE, "token_embd_norm", "embeddings.LayerNorm");
    for (int i = 0; i < (int)v->m->n_layers; i++) {
        dense_entries(v, i, "attn_q", "attention.self.query", d, d);
        dense_entries(v, i, "attn_k", "attention.self.key", d, d);
        dense_entries(v, i, "attn_v", "attention.self.value", d, d);
        dense_entries(v, i, "attn_output", "attention.output.dense", d, d);
        layer_norm_entries(v, i, "attn_output_norm", "attention.output.LayerNorm");
        dense_entries(v, i, "ffn_up", "intermediate.dense", ff, d);
        dense_entries(v, i, "ffn_down", "output.dense", d, ff);
        layer_norm_entries(v, i, "layer_output_norm", "output.LayerNorm");
    }
}

static void each_entry(struct visitor *v)
{
    if (v->m->arch == ARCH_BERT)
        bert_entries(v);
    else
        decoder_entries(v);
}

/* ---- values ---- */

static bool is_vector(const struct entry *e)
{
    return e->kind == NORM || e->kind == LIN_NORM || e->kind == BIAS || e->kind == DT_BIAS ||
           e->kind == A_LOG;
}

static bool keeps_f32(enum kind kind)
{
    return kind == A_LOG || kind == LIN_NORM;
}

static float matrix_scale(const struct entry *e)
{
    double gain =
        e->kind == ROTATED || strstr(e->name, ".query.") || strstr(e->name, ".key.") ? 2.0 : 1.0;
    return (float)(gain * sqrt(3.0 / (double)e->n_cols));
}

/* rule() of synthetic.py. */
static void rule(float *base, float *scale, const struct synth *m, const struct entry *e)
{
    *base = 0.0f;
    switch (e->kind) {
    case DT_BIAS:
        *base = m->slow ? -4.0f : 0.0f;
        *scale = m->slow ? 4.0f : 1.0f;
        break;
    case EMBED:
        *scale = 1.0f;
        break;
    case NORM:
        *base = arch_is_qwen35(m->arch) ? 0.0f : 1.0f;
        *scale = 0.5f;
        break;
    case LIN_NORM:
        *base = 1.0f;
        *scale = 0.5f;
        break;
    case BIAS:
        *scale = 0.3f;
        break;
    case CONV:
        *scale = 0.8f;
        break;
    case A_LOG:
        *scale = 1.5f;
        break;
    default:
        *scale = matrix_scale(e);
        break;
    }
}

/* Heap; the caller's to free. */
static float *values_of(const struct synth *m, const struct entry *e)
{
    size_t n = e->n_rows * e->n_cols;
    float base, scale, *v = malloc(n * sizeof(*v));
    if (!v)
        abort();
    rule(&base, &scale, m, e);
    random_weights(v, e->name, n, scale);
    for (size_t i = 0; i < n; i++) {
        v[i] += base;
        if (!keeps_f32(e->kind))
            v[i] = bf16_to_f32(f32_to_bf16(v[i]));
    }
    return v;
}

static uint16_t *to_bf16(const float *v, size_t n)
{
    uint16_t *h = malloc(n * sizeof(*h));
    if (!h)
        abort();
    for (size_t i = 0; i < n; i++)
        h[i] = f32_to_bf16(v[i]);
    return h;
}

static bool is_experts(const struct entry *e)
{
    return e->kind == EXPERTS_IN || e->kind == EXPERTS_OUT;
}

/* ---- a folder ---- */

/* Rows [row0, row0 + n_rows) of every expert's rows, where all of them together are 'half'. Heap. */
static uint16_t *rows_of_each(const struct synth *m, const struct entry *e, const uint16_t *half,
                              size_t row0, size_t n_rows)
{
    size_t all = e->n_rows / m->n_experts, n = n_rows * e->n_cols;
    uint16_t *out = malloc(m->n_experts * n * sizeof(*out));
    if (!out)
        abort();
    for (size_t x = 0; x < m->n_experts; x++)
        memcpy(out + x * n, half + (x * all + row0) * e->n_cols, n * sizeof(*out));
    return out;
}

/* "...mlp.experts.WHAT" in one tensor, or "...mlp.experts.N.WHAT.weight" in n_experts. */
static void put_expert_rows(struct visitor *v, const char *name, const struct entry *e,
                            const char *what, const uint16_t *half, size_t row0, size_t n_rows)
{
    uint16_t *rows = rows_of_each(v->m, e, half, row0, n_rows);
    int prefix = (int)(strrchr(name, '.') - name);
    for (uint32_t x = 0; x < v->m->n_experts; x++) {
        char one[192];
        snprintf(one, sizeof(one), "%.*s.%u.%s.weight", prefix, name, x, what);
        st_put_tensor(v->folder, one, QT_BF16, 2, (uint64_t[]){ e->n_cols, n_rows },
                      rows + x * n_rows * e->n_cols);
    }
    free(rows);
}

static void folder_experts(struct visitor *v, const char *name, const struct entry *e,
                           const uint16_t *half)
{
    size_t all = e->n_rows / v->m->n_experts;
    if (!v->m->apart) {
        st_put_tensor(v->folder, name, QT_BF16, 3, (uint64_t[]){ e->n_cols, all, v->m->n_experts },
                      half);
    } else if (e->kind == EXPERTS_IN) {
        put_expert_rows(v, name, e, "gate_proj", half, 0, all / 2);
        put_expert_rows(v, name, e, "up_proj", half, all / 2, all / 2);
    } else {
        put_expert_rows(v, name, e, "down_proj", half, 0, all);
    }
}

static void folder_entry(struct visitor *v, const struct entry *e)
{
    char name[128];
    bool move = v->m->nested && strncmp(e->name, "model.", 6) == 0;
    snprintf(name, sizeof(name), "%s%s", move ? "model.language_model." : "",
             e->name + (move ? 6 : 0));

    uint64_t dims[3] = { e->n_cols, e->n_rows, 1 };
    uint32_t n_dims = 2;
    if (is_vector(e)) {
        dims[0] = e->n_rows * e->n_cols;
        n_dims = 1;
    } else if (e->kind == CONV) {
        dims[1] = 1;
        dims[2] = e->n_rows;
        n_dims = 3;
    }
    float *values = values_of(v->m, e);
    uint16_t *half = to_bf16(values, e->n_rows * e->n_cols);
    if (is_experts(e))
        folder_experts(v, name, e, half);
    else if (keeps_f32(e->kind))
        st_put_tensor(v->folder, name, QT_F32, n_dims, dims, values);
    else
        st_put_tensor(v->folder, name, QT_BF16, n_dims, dims, half);
    free(half);
    free(values);
}

static void print_rope(struct buf *b, const struct synth *m)
{
    buf_printf(b, "\"rope_parameters\": {\"rope_theta\": %.1f", m->theta);
    if (arch_is_qwen35(m->arch))
        buf_append_str(b, ", \"partial_rotary_factor\": 0.25, \"mrope_section\": [11, 11, 10], "
                          "\"mrope_interleaved\": true");
    if (m->llama3_factor > 0)
        buf_printf(b,
                   ", \"rope_type\": \"llama3\", \"factor\": %.1f, \"low_freq_factor\": 1.0, "
                   "\"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 64",
                   m->llama3_factor);
    else if (m->yarn_factor > 0)
        buf_printf(
            b,
            ", \"rope_type\": \"yarn\", \"factor\": %.1f, \"original_max_position_embeddings\": 32",
            m->yarn_factor);
    else
        buf_append_str(b, ", \"rope_type\": \"default\"");
    buf_append_str(b, "}");
}

static void print_decoder(struct buf *b, const struct synth *m)
{
    static const char *const TYPES[] = { "llama", "qwen2", "qwen3", "qwen3_5_text",
                                         "qwen3_5_moe_text" };
    buf_printf(
        b,
        "{\"model_type\": \"%s\", \"hidden_size\": %d, "
        "\"num_hidden_layers\": %u, \"num_attention_heads\": %u, \"num_key_value_heads\": %u, ",
        TYPES[m->arch], SYNTH_HIDDEN, m->n_layers, m->n_heads, m->n_kv_heads);
    if (m->n_experts)
        buf_printf(b,
                   "\"num_experts\": %u, \"num_experts_per_tok\": %u, "
                   "\"moe_intermediate_size\": %u, \"shared_expert_intermediate_size\": %u, ",
                   m->n_experts, m->n_used, m->n_ff_expert, m->n_ff_shared);
    else
        buf_printf(b, "\"intermediate_size\": %d, ", SYNTH_FF);
    if (m->arch != ARCH_QWEN2)
        buf_printf(b, "\"head_dim\": %u, ", m->head_dim);
    if (arch_is_qwen35(m->arch))
        buf_printf(b,
                   "\"linear_num_key_heads\": %u, \"linear_num_value_heads\": %u, "
                   "\"linear_key_head_dim\": 128, \"linear_value_head_dim\": 128, "
                   "\"linear_conv_kernel_dim\": 4, ",
                   m->nk, m->nv);
    buf_printf(b,
               "\"vocab_size\": %d, \"max_position_embeddings\": 4096, \"rms_norm_eps\": 1e-05, "
               "\"hidden_act\": \"silu\", \"tie_word_embeddings\": %s, ",
               SYNTH_VOCAB, m->tied ? "true" : "false");
    print_rope(b, m);
    buf_append_str(b, "}");
}

void synth_print_config(struct buf *b, const struct synth *m, const char *more)
{
    if (m->arch == ARCH_BERT) {
        buf_printf(
            b,
            "{\"model_type\": \"bert\", \"hidden_size\": %d, \"intermediate_size\": %d, "
            "\"num_hidden_layers\": %u, \"num_attention_heads\": %u, \"vocab_size\": %d, "
            "\"max_position_embeddings\": %d, \"type_vocab_size\": 2, \"layer_norm_eps\": 1e-12, "
            "\"hidden_act\": \"gelu\"}",
            SYNTH_HIDDEN, SYNTH_FF, m->n_layers, m->n_heads, SYNTH_VOCAB, SYNTH_BERT_CTX);
        return;
    }
    if (m->nested)
        buf_printf(b, "{\"model_type\": \"%s\", \"tie_word_embeddings\": %s, %s\"text_config\": ",
                   m->n_experts ? "qwen3_5_moe" : "qwen3_5", m->tied ? "true" : "false", more);
    print_decoder(b, m);
    if (m->nested)
        buf_append_str(b, "}");
}

void synth_put_folder(struct st_writer *w, const struct synth *m)
{
    struct visitor v = { .m = m, .visit = folder_entry, .folder = w };
    each_entry(&v);
}

void synth_write_folder(const struct synth *m, const char *dir)
{
    struct st_writer w = { 0 };
    synth_put_folder(&w, m);
    char path[512];
    snprintf(path, sizeof(path), "%s/model.safetensors", dir);
    st_writer_save(&w, path);
    st_writer_deinit(&w);

    struct buf config = { 0 };
    synth_print_config(&config, m, "");
    save_file(dir, "config.json", config.ptr, config.len);
    buf_deinit(&config);
}

/* ---- GGUF ---- */

/* Where value head h of a folder stands in GGUF: all first heads of every key head, then all
 * second. */
static size_t moved_head(const struct synth *m, size_t h)
{
    size_t ratio = m->nv / m->nk;
    return h % ratio * m->nk + h / ratio;
}

/* Blocks of 'n' floats, from block 'first' on one for each value head, change places. */
static void move_heads(float *v, const struct synth *m, size_t first, size_t n)
{
    size_t bytes = m->nv * n * sizeof(float);
    float *old = malloc(bytes);
    if (!old)
        abort();
    memcpy(old, v + first, bytes);
    for (size_t h = 0; h < m->nv; h++)
        memcpy(v + first + moved_head(m, h) * n, old + h * n, n * sizeof(float));
    free(old);
}

/* Rows (2, d/2) of each head become (d/2, 2). */
static void interleave_heads(float *v, const struct synth *m, const struct entry *e)
{
    size_t half = m->head_dim / 2, row = e->n_cols;
    float *old = malloc(2 * half * row * sizeof(float));
    if (!old)
        abort();
    for (size_t head = 0; head < e->n_rows / m->head_dim; head++, v += 2 * half * row) {
        memcpy(old, v, 2 * half * row * sizeof(float));
        for (size_t r = 0; r < 2 * half; r++)
            memcpy(v + (r % half * 2 + r / half) * row, old + r * row, row * sizeof(float));
    }
    free(old);
}

static void convert(float *v, const struct synth *m, const struct entry *e)
{
    size_t n = e->n_rows * e->n_cols, k_rows = 2 * (size_t)m->nk * 128;
    if (e->kind == NORM && arch_is_qwen35(m->arch)) {
        for (size_t i = 0; i < n; i++)
            v[i] += 1.0f;
    }
    if (e->kind == A_LOG) {
        for (size_t i = 0; i < n; i++)
            v[i] = (float)-exp((double)v[i]);
    }
    if (e->kind == ROTATED && m->arch == ARCH_LLAMA)
        interleave_heads(v, m, e);
    if (e->kind == QKV || e->kind == CONV)
        move_heads(v, m, k_rows * e->n_cols, 128 * e->n_cols);
    if (e->kind == V_ROWS)
        move_heads(v, m, 0, 128 * e->n_cols);
    if (e->kind == V_HEADS || e->kind == A_LOG || e->kind == DT_BIAS)
        move_heads(v, m, 0, e->n_cols);
    for (size_t r = 0; e->kind == V_COLS && r < e->n_rows; r++)
        move_heads(v + r * e->n_cols, m, 0, 128);
}

/* 'half' in the type of matrices, or random blocks in its place. */
static void put_stack(struct visitor *v, const char *name, const struct entry *e,
                      const uint16_t *half, size_t n_rows)
{
    uint64_t dims[3] = { e->n_cols, n_rows, v->m->n_experts };
    if (v->mats == QT_BF16)
        gguf_put_tensor(v->gguf, name, QT_BF16, 3, dims, half);
    else
        gguf_put_random(v->gguf, name, v->mats, 3, dims, matrix_scale(e));
}

static void gguf_experts(struct visitor *v, const struct entry *e)
{
    size_t all = e->n_rows / v->m->n_experts;
    float *values = values_of(v->m, e);
    uint16_t *half = to_bf16(values, e->n_rows * e->n_cols);
    if (e->kind == EXPERTS_OUT || v->m->apart) {
        put_stack(v, e->gguf, e, half, all);
    } else {
        char name[64];
        uint16_t *gate = rows_of_each(v->m, e, half, 0, all / 2),
                 *up = rows_of_each(v->m, e, half, all / 2, all / 2);
        int prefix = (int)(strrchr(e->gguf, '.') - e->gguf - (int)strlen("gate_up_exps"));
        snprintf(name, sizeof(name), "%.*sgate_exps.weight", prefix, e->gguf);
        put_stack(v, name, e, gate, all / 2);
        snprintf(name, sizeof(name), "%.*sup_exps.weight", prefix, e->gguf);
        put_stack(v, name, e, up, all / 2);
        free(gate);
        free(up);
    }
    free(half);
    free(values);
}

static void gguf_entry(struct visitor *v, const struct entry *e)
{
    if (is_experts(e)) {
        gguf_experts(v, e);
        return;
    }
    size_t n = e->n_rows * e->n_cols;
    uint64_t vec[1] = { n }, dims[2] = { e->n_cols, e->n_rows };
    float *values = values_of(v->m, e);
    convert(values, v->m, e);
    if (is_vector(e) || e->kind == SHARED_GATE) {
        gguf_put_tensor(v->gguf, e->gguf, QT_F32, 1, vec, values);
    } else if (e->kind == CONV || e->kind == ROUTER || v->mats == QT_F32) {
        gguf_put_tensor(v->gguf, e->gguf, QT_F32, 2, dims, values);
    } else if (v->mats == QT_BF16) {
        uint16_t *half = to_bf16(values, n);
        gguf_put_tensor(v->gguf, e->gguf, QT_BF16, 2, dims, half);
        free(half);
    } else {
        gguf_put_random(v->gguf, e->gguf, v->mats, 2, dims, matrix_scale(e));
    }
    free(values);
}

static void put_u32(struct gguf_writer *w, const struct synth *m, const char *key, uint32_t value)
{
    char full[80];
    snprintf(full, sizeof(full), "%s.%s", arch_name(m->arch), key);
    gguf_put_u32(w, full, value);
}

static void put_f32(struct gguf_writer *w, const struct synth *m, const char *key, float value)
{
    char full[80];
    snprintf(full, sizeof(full), "%s.%s", arch_name(m->arch), key);
    gguf_put_f32(w, full, value);
}

/* One factor for each pair, as the converter computes them from the same four numbers. */
static void put_rope_factors(struct gguf_writer *w, const struct synth *m)
{
    float f[128];
    for (uint32_t i = 0; i < m->head_dim / 2; i++) {
        double wavelength = 2.0 * M_PI * pow(m->theta, 2.0 * i / m->head_dim), old = 64.0;
        double smooth = (old / wavelength - 1.0) / (4.0 - 1.0);
        f[i] = wavelength < old / 4.0 ? 1.0f
               : wavelength > old / 1.0
                   ? (float)m->llama3_factor
                   : (float)(1.0 / ((1.0 - smooth) / m->llama3_factor + smooth));
    }
    gguf_put_tensor(w, "rope_freqs.weight", QT_F32, 1, (uint64_t[]){ m->head_dim / 2 }, f);
}

static void put_decoder_meta(struct gguf_writer *w, const struct synth *m)
{
    put_u32(w, m, "attention.head_count_kv", m->n_kv_heads);
    put_f32(w, m, "attention.layer_norm_rms_epsilon", 1e-5f);
    put_f32(w, m, "rope.freq_base", (float)m->theta);
    put_u32(w, m, "rope.dimension_count", arch_is_qwen35(m->arch) ? 64 : m->head_dim);
    put_u32(w, m, "attention.key_length", m->head_dim);
    put_u32(w, m, "attention.value_length", m->head_dim);
    if (m->llama3_factor > 0)
        put_rope_factors(w, m);
    if (m->yarn_factor > 0) {
        char key[80];
        snprintf(key, sizeof(key), "%s.rope.scaling.type", arch_name(m->arch));
        gguf_put_str(w, key, "yarn");
        put_f32(w, m, "rope.scaling.factor", (float)m->yarn_factor);
        put_u32(w, m, "rope.scaling.original_context_length", 32);
    }
}

/* Byte-level tokens and one merge: enough for other programs to load the file. Bytes that GPT-2
 * does not print stand as U+0100 and up. */
static void put_tokenizer(struct gguf_writer *w, bool pads)
{
    static char text[SYNTH_VOCAB][16];
    const char *tokens[SYNTH_VOCAB];
    int32_t types[SYNTH_VOCAB];
    unsigned n_moved = 0;
    for (unsigned i = 0; i < SYNTH_VOCAB; i++) {
        bool printed = (i >= 33 && i <= 126) || (i >= 161 && i <= 255 && i != 173);
        unsigned c = printed ? i : 256 + n_moved++;
        if (i == 256)
            strcpy(text[i], "ab");
        else if (i > 256)
            snprintf(text[i], sizeof(text[i]), "<extra%u>", i);
        else if (c < 128)
            snprintf(text[i], sizeof(text[i]), "%c", (char)c);
        else
            snprintf(text[i], sizeof(text[i]), "%c%c", (char)(0xC0 | c >> 6),
                     (char)(0x80 | (c & 63)));
        tokens[i] = text[i];
        types[i] = 1;
    }
    if (pads) { /* SIGHTED_IMAGE_PAD and SIGHTED_VIDEO_PAD, control tokens */
        tokens[1000] = "<|image_pad|>";
        tokens[1001] = "<|video_pad|>";
        types[1000] = types[1001] = 3;
    }
    const char *merge = "a b";
    gguf_put_str(w, "tokenizer.ggml.model", "gpt2");
    gguf_put_str(w, "tokenizer.ggml.pre", "gpt-2");
    gguf_put_arr_str(w, "tokenizer.ggml.tokens", tokens, SYNTH_VOCAB);
    gguf_put_arr_i32(w, "tokenizer.ggml.token_type", types, SYNTH_VOCAB);
    gguf_put_arr_str(w, "tokenizer.ggml.merges", &merge, 1);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", SYNTH_VOCAB - 1);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", false);
}

static void put_linear_meta(struct gguf_writer *w, const struct synth *m)
{
    const int32_t sections[4] = { 11, 11, 10, 0 };
    char key[80];
    snprintf(key, sizeof(key), "%s.rope.dimension_sections", arch_name(m->arch));
    gguf_put_arr_i32(w, key, sections, 4);
    put_u32(w, m, "ssm.conv_kernel", 4);
    put_u32(w, m, "ssm.state_size", 128);
    put_u32(w, m, "ssm.group_count", m->nk);
    put_u32(w, m, "ssm.time_step_rank", m->nv);
    put_u32(w, m, "ssm.inner_size", m->nv * 128);
}

static void put_experts_meta(struct gguf_writer *w, const struct synth *m)
{
    put_u32(w, m, "expert_count", m->n_experts);
    put_u32(w, m, "expert_used_count", m->n_used);
    put_u32(w, m, "expert_feed_forward_length", m->n_ff_expert);
    put_u32(w, m, "expert_shared_feed_forward_length", m->n_ff_shared);
}

void synth_put_gguf(struct gguf_writer *w, const struct synth *m, enum qtype mats)
{
    gguf_put_str(w, "general.architecture", arch_name(m->arch));
    put_u32(w, m, "block_count", m->n_layers + m->mtp);
    if (m->mtp)
        put_u32(w, m, "nextn_predict_layers", 1);
    put_u32(w, m, "context_length", m->arch == ARCH_BERT ? SYNTH_BERT_CTX : 4096);
    put_u32(w, m, "embedding_length", SYNTH_HIDDEN);
    if (m->n_experts)
        put_experts_meta(w, m);
    else
        put_u32(w, m, "feed_forward_length", SYNTH_FF);
    put_u32(w, m, "attention.head_count", m->n_heads);
    if (m->arch == ARCH_BERT) {
        put_f32(w, m, "attention.layer_norm_epsilon", 1e-12f);
        gguf_put_bool(w, "bert.attention.causal", false);
        gguf_put_u32(w, "tokenizer.ggml.token_type_count", 2);
    } else {
        put_decoder_meta(w, m);
    }
    if (arch_is_qwen35(m->arch))
        put_linear_meta(w, m);
    struct visitor v = { .m = m, .visit = gguf_entry, .gguf = w, .mats = mats };
    each_entry(&v);
}

void synth_write_gguf_of(const struct synth *m, const char *path, enum qtype mats, size_t n_real)
{
    struct gguf_writer w = { 0 };
    int32_t types[SYNTH_VOCAB];
    for (size_t i = 0; i < SYNTH_VOCAB; i++)
        types[i] = i < n_real ? 1 : 5; /* ordinary, unused */
    synth_put_gguf(&w, m, mats);
    gguf_put_arr_i32(&w, "tokenizer.ggml.token_type", types, SYNTH_VOCAB);
    gguf_writer_save(&w, path);
    gguf_writer_deinit(&w);
}

void synth_write_gguf(const struct synth *m, const char *path, enum qtype mats)
{
    struct gguf_writer w = { 0 };
    synth_put_gguf(&w, m, mats);
    if (m->arch != ARCH_BERT)
        put_tokenizer(&w, arch_is_qwen35(m->arch));
    gguf_writer_save(&w, path);
    gguf_writer_deinit(&w);
}
