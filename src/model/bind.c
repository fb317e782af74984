/* From names to meanings, and the check of every shape on the way.
 *
 * What a tensor must be follows from the hyper-parameters alone; that two tensors agree with each
 * other proves nothing about a hostile file. Each call below names a tensor in both containers'
 * spelling together with the dims it must have. GGUF names lie under blk.N., folder names under
 * PREFIXlayers.N. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "kernels/kernels.h"
#include "model/weights.h"

struct binder {
    struct weights *w;
    struct arena *arena;
    const struct model_shape *s;
    const struct model_file *f;
    bool gguf;
    const char *prefix; /* of names in a folder: "model.language_model.", "model.", "bert." or "" */
    const struct tensor **used;
    size_t n_used, cap_used;
    struct kt_error *err;
    enum kt_status st; /* the first failure; later calls do nothing */
};

enum { NAME_MAX_LEN = 128, NO_LAYER = -1 };

/* A name in both spellings, without what stands before a layer's number. */
struct name {
    int layer; /* or NO_LAYER */
    const char *gguf, *hf;
};

static void name_spell(char out[static NAME_MAX_LEN], const struct binder *b, struct name n)
{
    if (b->gguf && n.layer == NO_LAYER)
        snprintf(out, NAME_MAX_LEN, "%s", n.gguf);
    else if (b->gguf)
        snprintf(out, NAME_MAX_LEN, "blk.%d.%s", n.layer, n.gguf);
    else if (n.layer == NO_LAYER)
        snprintf(out, NAME_MAX_LEN, "%s%s", b->prefix, n.hf);
    else if (b->s->arch == ARCH_BERT)
        snprintf(out, NAME_MAX_LEN, "%sencoder.layer.%d.%s", b->prefix, n.layer, n.hf);
    else
        snprintf(out, NAME_MAX_LEN, "%slayers.%d.%s", b->prefix, n.layer, n.hf);
}

/* The tensor of that name and exactly those dims, or NULL and a failure recorded. */
static const struct tensor *find(struct binder *b, struct name n, const uint64_t *dims,
                                 size_t n_dims)
{
    if (b->st)
        return NULL;
    char name[NAME_MAX_LEN];
    name_spell(name, b, n);
    const struct tensor *t = model_file_tensor_of(b->f, name, dims, n_dims, b->err);
    if (!t) {
        b->st = KT_E_FORMAT;
        return NULL;
    }
    if (NEVER(b->n_used == b->cap_used)) {
        b->st = kt_fail(b->err, KT_E_INTERNAL, "more tensors than the file has");
        return NULL;
    }
    b->used[b->n_used++] = t;
    return t;
}

/* 'n_mats' matrices of the same form behind each other (n_dims 3), or a plain one (2); *out is the
 * first. */
static void bind_mats(struct binder *b, struct mat *out, struct name n, size_t n_rows,
                      size_t n_cols, size_t n_mats, size_t n_dims)
{
    const uint64_t dims[3] = { n_cols, n_rows, n_mats };
    const struct tensor *t = find(b, n, dims, n_dims);
    if (!t)
        return;
    struct mat m = { .type = t->type, .data = t->data, .n_rows = n_rows, .n_cols = n_cols };
    size_t bytes;
    if (!qtype_row_bytes(&m.row_bytes, t->type, n_cols) || !size_mul(&bytes, m.row_bytes, n_rows) ||
        !size_mul(&bytes, bytes, n_mats) || bytes != t->bytes) {
        char name[NAME_MAX_LEN];
        name_spell(name, b, n);
        b->st =
            kt_fail(b->err, KT_E_FORMAT, "tensor %s: %zu columns do not fill blocks of its type %d",
                    name, n_cols, (int)t->type);
        return;
    }
    *out = m;
}

static void bind_mat(struct binder *b, struct mat *out, struct name n, size_t n_rows, size_t n_cols)
{
    bind_mats(b, out, n, n_rows, n_cols, 1, 2);
}

static bool has_tensor(const struct binder *b, struct name n)
{
    char name[NAME_MAX_LEN];
    name_spell(name, b, n);
    return model_file_tensor(b->f, name) != NULL;
}

/* Vectors and other small float tensors: 'dims' multiply to the length; always float afterwards. */
static float *bind_small(struct binder *b, struct name n, const uint64_t *dims, size_t n_dims)
{
    const struct tensor *t = find(b, n, dims, n_dims);
    if (!t)
        return NULL;
    const struct qtype_traits *traits = qtype_traits(t->type);
    if (!traits || !traits->is_float) {
        char name[NAME_MAX_LEN];
        name_spell(name, b, n);
        b->st = kt_fail(b->err, KT_E_UNSUPPORTED,
                        "tensor %s is quantised as %s, expected F32, F16 or BF16", name,
                        traits ? traits->name : "?");
        return NULL;
    }
    size_t len = 1; /* equal to dims of the file, whose product was checked there */
    for (size_t i = 0; i < n_dims; i++)
        len *= dims[i];
    float *v = arena_array(b->arena, len, sizeof(*v));
    if (!v) {
        b->st = kt_fail(b->err, KT_E_NOMEM, "weights: out of memory");
        return NULL;
    }
    traits->dequant(v, t->data, len);
    return v;
}

static const float *bind_vec(struct binder *b, struct name n, size_t len)
{
    const uint64_t dims[1] = { len };
    return bind_small(b, n, dims, 1);
}

/* A norm's weights as they are used: 1 + w where the file keeps w. */
static const float *bind_norm(struct binder *b, struct name n, size_t len)
{
    const uint64_t dims[1] = { len };
    float *w = bind_small(b, n, dims, 1);
    for (size_t i = 0; w && b->s->norm_plus_one && i < len; i++)
        w[i] += 1.0f;
    return w;
}

/* ---- one layer ---- */

#define AT(layer, gguf, hf) ((struct name){ (layer), (gguf), (hf) })

static void bind_attention(struct binder *b, struct layer *l, int i)
{
    const struct model_shape *s = b->s;
    size_t d = s->d_model, q_rows = (size_t)s->n_heads * s->head_dim;
    size_t kv_rows = (size_t)s->n_kv_heads * s->head_dim;
    size_t gate = s->attn_gate ? 2 : 1;

    bind_mat(b, &l->attn_q, AT(i, "attn_q.weight", "self_attn.q_proj.weight"), q_rows * gate, d);
    bind_mat(b, &l->attn_k, AT(i, "attn_k.weight", "self_attn.k_proj.weight"), kv_rows, d);
    bind_mat(b, &l->attn_v, AT(i, "attn_v.weight", "self_attn.v_proj.weight"), kv_rows, d);
    bind_mat(b, &l->attn_out, AT(i, "attn_output.weight", "self_attn.o_proj.weight"), d, q_rows);
    if (s->qkv_bias) {
        l->q_bias = bind_vec(b, AT(i, "attn_q.bias", "self_attn.q_proj.bias"), q_rows);
        l->k_bias = bind_vec(b, AT(i, "attn_k.bias", "self_attn.k_proj.bias"), kv_rows);
        l->v_bias = bind_vec(b, AT(i, "attn_v.bias", "self_attn.v_proj.bias"), kv_rows);
    }
    if (s->qk_norm) {
        l->q_norm =
            bind_norm(b, AT(i, "attn_q_norm.weight", "self_attn.q_norm.weight"), s->head_dim);
        l->k_norm =
            bind_norm(b, AT(i, "attn_k_norm.weight", "self_attn.k_norm.weight"), s->head_dim);
    }
}

static const float *bind_conv(struct binder *b, int layer, size_t n_channels)
{
    struct name n = AT(layer, "ssm_conv1d.weight", "linear_attn.conv1d.weight");
    const uint64_t gguf[2] = { 4, n_channels }, hf[3] = { 4, 1, n_channels };
    return b->gguf ? bind_small(b, n, gguf, 2) : bind_small(b, n, hf, 3);
}

/* GGUF keeps -exp(A_log), a folder A_log itself. */
static const float *bind_decay_rate(struct binder *b, int layer, size_t n_heads)
{
    const uint64_t dims[1] = { n_heads };
    float *a = bind_small(b, AT(layer, "ssm_a", "linear_attn.A_log"), dims, 1);
    for (size_t i = 0; a && !b->gguf && i < n_heads; i++)
        a[i] = (float)-exp((double)a[i]);
    return a;
}

static void bind_linear(struct binder *b, struct layer *l, int i)
{
    const struct model_shape *s = b->s;
    size_t d = s->d_model, nv = s->lin_v_heads;
    size_t k_dim = (size_t)s->lin_k_heads * s->lin_k_dim, v_dim = nv * s->lin_v_dim;

    bind_mat(b, &l->lin_qkv, AT(i, "attn_qkv.weight", "linear_attn.in_proj_qkv.weight"),
             2 * k_dim + v_dim, d);
    bind_mat(b, &l->lin_z, AT(i, "attn_gate.weight", "linear_attn.in_proj_z.weight"), v_dim, d);
    bind_mat(b, &l->lin_b, AT(i, "ssm_beta.weight", "linear_attn.in_proj_b.weight"), nv, d);
    bind_mat(b, &l->lin_a, AT(i, "ssm_alpha.weight", "linear_attn.in_proj_a.weight"), nv, d);
    bind_mat(b, &l->lin_out, AT(i, "ssm_out.weight", "linear_attn.out_proj.weight"), d, v_dim);
    l->conv = bind_conv(b, i, 2 * k_dim + v_dim);
    l->decay_rate = bind_decay_rate(b, i, nv);
    l->dt_bias = bind_vec(b, AT(i, "ssm_dt.bias", "linear_attn.dt_bias"), nv);
    l->lin_norm = bind_vec(b, AT(i, "ssm_norm.weight", "linear_attn.norm.weight"), s->lin_v_dim);
}

static void bind_dense(struct binder *b, struct layer *l, int i)
{
    size_t d = b->s->d_model, ff = b->s->n_ff;
    bind_mat(b, &l->ffn_gate, AT(i, "ffn_gate.weight", "mlp.gate_proj.weight"), ff, d);
    bind_mat(b, &l->ffn_up, AT(i, "ffn_up.weight", "mlp.up_proj.weight"), ff, d);
    bind_mat(b, &l->ffn_down, AT(i, "ffn_down.weight", "mlp.down_proj.weight"), d, ff);
}

/* Rows [row0, row0 + n_rows) of every matrix of a stack that begins with 'first'. */
static void take_rows(struct mat *out, const struct mat *first, size_t n_mats, size_t row0,
                      size_t n_rows)
{
    for (size_t e = 0; e < n_mats; e++) {
        out[e] = *first;
        out[e].data = (const char *)first->data + (e * first->n_rows + row0) * first->row_bytes;
        out[e].n_rows = n_rows;
    }
}

static void bind_stack(struct binder *b, struct mat *out, struct name n, size_t n_rows,
                       size_t n_cols)
{
    struct mat first;
    bind_mats(b, &first, n, n_rows, n_cols, b->s->n_experts, 3);
    if (!b->st)
        take_rows(out, &first, b->s->n_experts, 0, n_rows);
}

/* One tensor for each expert. Readers ask the first one's type for all. */
static void bind_apart(struct binder *b, struct mat *out, int layer, const char *what,
                       size_t n_rows, size_t n_cols)
{
    for (uint32_t e = 0; e < b->s->n_experts && !b->st; e++) {
        char hf[64];
        snprintf(hf, sizeof(hf), "mlp.experts.%u.%s.weight", e, what);
        bind_mat(b, &out[e], AT(layer, "", hf), n_rows, n_cols);
        if (!b->st && out[e].type != out[0].type)
            b->st = kt_fail(b->err, KT_E_UNSUPPORTED,
                            "layer %d: %s of expert %u is of another type than expert 0's", layer,
                            what, e);
    }
}

/* Gate and up come in one tensor, the gate's rows first, or in two, or (folders) in one for each
 * expert. */
static void bind_experts(struct binder *b, struct layer *l, int i)
{
    const struct model_shape *s = b->s;
    size_t n = s->n_experts, m = s->n_ff_expert, d = s->d_model;
    struct mat *gate = arena_array(b->arena, n, sizeof(*gate)),
               *up = arena_array(b->arena, n, sizeof(*up)),
               *down = arena_array(b->arena, n, sizeof(*down)), both;
    if (!gate || !up || !down) {
        b->st = kt_fail(b->err, KT_E_NOMEM, "weights: out of memory");
        return;
    }
    l->expert_gate = gate;
    l->expert_up = up;
    l->expert_down = down;
    struct name fused = AT(i, "ffn_gate_up_exps.weight", "mlp.experts.gate_up_proj"),
                one = AT(i, "", "mlp.experts.0.gate_proj.weight");
    if (!b->gguf && has_tensor(b, one)) {
        bind_apart(b, gate, i, "gate_proj", m, d);
        bind_apart(b, up, i, "up_proj", m, d);
        bind_apart(b, down, i, "down_proj", d, m);
        return;
    }
    bind_stack(b, down, AT(i, "ffn_down_exps.weight", "mlp.experts.down_proj"), d, m);
    if (b->gguf && !has_tensor(b, fused)) {
        bind_stack(b, gate, AT(i, "ffn_gate_exps.weight", ""), m, d);
        bind_stack(b, up, AT(i, "ffn_up_exps.weight", ""), m, d);
        return;
    }
    bind_mats(b, &both, fused, 2 * m, d, n, 3);
    if (b->st)
        return;
    take_rows(gate, &both, n, 0, m);
    take_rows(up, &both, n, m, m);
}

static void bind_mixture(struct binder *b, struct layer *l, int i)
{
    const struct model_shape *s = b->s;
    size_t d = s->d_model, ff = s->n_ff_shared;
    const uint64_t one_row[2] = { d, 1 };
    bind_mat(b, &l->router, AT(i, "ffn_gate_inp.weight", "mlp.gate.weight"), s->n_experts, d);
    if (!b->st)
        bind_experts(b, l, i);
    l->shared_gate =
        bind_small(b, AT(i, "ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight"), one_row,
                   b->gguf ? 1 : 2);
    bind_mat(b, &l->ffn_gate, AT(i, "ffn_gate_shexp.weight", "mlp.shared_expert.gate_proj.weight"),
             ff, d);
    bind_mat(b, &l->ffn_up, AT(i, "ffn_up_shexp.weight", "mlp.shared_expert.up_proj.weight"), ff,
             d);
    bind_mat(b, &l->ffn_down, AT(i, "ffn_down_shexp.weight", "mlp.shared_expert.down_proj.weight"),
             d, ff);
}

/* The second half of a decoder layer. */
static void bind_feed_forward(struct binder *b, struct layer *l, int i)
{
    const char *norm =
        arch_is_qwen35(b->s->arch) ? "post_attention_norm.weight" : "ffn_norm.weight";
    l->ffn_norm = bind_norm(b, AT(i, norm, "post_attention_layernorm.weight"), b->s->d_model);
    if (b->s->n_experts)
        bind_mixture(b, l, i);
    else
        bind_dense(b, l, i);
}

static void bind_decoder_layer(struct binder *b, struct layer *l, int i)
{
    l->mix_norm = bind_norm(b, AT(i, "attn_norm.weight", "input_layernorm.weight"), b->s->d_model);
    if (b->s->recurrent[i])
        bind_linear(b, l, i);
    else
        bind_attention(b, l, i);
    bind_feed_forward(b, l, i);
}

static void bind_bert_layer(struct binder *b, struct layer *l, int i)
{
    size_t d = b->s->d_model, ff = b->s->n_ff, inner = (size_t)b->s->n_heads * b->s->head_dim;

    bind_mat(b, &l->attn_q, AT(i, "attn_q.weight", "attention.self.query.weight"), inner, d);
    bind_mat(b, &l->attn_k, AT(i, "attn_k.weight", "attention.self.key.weight"), inner, d);
    bind_mat(b, &l->attn_v, AT(i, "attn_v.weight", "attention.self.value.weight"), inner, d);
    bind_mat(b, &l->attn_out, AT(i, "attn_output.weight", "attention.output.dense.weight"), d,
             inner);
    l->q_bias = bind_vec(b, AT(i, "attn_q.bias", "attention.self.query.bias"), inner);
    l->k_bias = bind_vec(b, AT(i, "attn_k.bias", "attention.self.key.bias"), inner);
    l->v_bias = bind_vec(b, AT(i, "attn_v.bias", "attention.self.value.bias"), inner);
    l->out_bias = bind_vec(b, AT(i, "attn_output.bias", "attention.output.dense.bias"), d);
    l->attn_norm_w =
        bind_vec(b, AT(i, "attn_output_norm.weight", "attention.output.LayerNorm.weight"), d);
    l->attn_norm_b =
        bind_vec(b, AT(i, "attn_output_norm.bias", "attention.output.LayerNorm.bias"), d);
    bind_mat(b, &l->ffn_up, AT(i, "ffn_up.weight", "intermediate.dense.weight"), ff, d);
    bind_mat(b, &l->ffn_down, AT(i, "ffn_down.weight", "output.dense.weight"), d, ff);
    l->up_bias = bind_vec(b, AT(i, "ffn_up.bias", "intermediate.dense.bias"), ff);
    l->down_bias = bind_vec(b, AT(i, "ffn_down.bias", "output.dense.bias"), d);
    l->ffn_norm_w = bind_vec(b, AT(i, "layer_output_norm.weight", "output.LayerNorm.weight"), d);
    l->ffn_norm_b = bind_vec(b, AT(i, "layer_output_norm.bias", "output.LayerNorm.bias"), d);
}

/* ---- the whole model ---- */

static void bind_decoder(struct binder *b)
{
    const struct model_shape *s = b->s;
    struct weights *w = b->w;
    bind_mat(b, &w->embd, AT(NO_LAYER, "token_embd.weight", "embed_tokens.weight"), s->n_vocab,
             s->d_model);
    for (uint32_t i = 0; i < s->n_layers; i++)
        bind_decoder_layer(b, &w->layers[i], (int)i);
    w->out_norm = bind_norm(b, AT(NO_LAYER, "output_norm.weight", "norm.weight"), s->d_model);
    w->head = w->embd;
    if (!s->tied_head) {
        const char *prefix = b->prefix;
        b->prefix = ""; /* the head stands outside of the model proper */
        bind_mat(b, &w->head, AT(NO_LAYER, "output.weight", "lm_head.weight"), s->n_vocab,
                 s->d_model);
        b->prefix = prefix;
    }
}

/* GGUF counts the extra layer after the trunk's; a folder has a place of its own for it. */
static void bind_mtp(struct binder *b)
{
    const struct model_shape *s = b->s;
    struct mtp *h = &b->w->mtp;
    size_t d = s->d_model;
    int i = b->gguf ? (int)s->n_layers : 0, outside = b->gguf ? i : NO_LAYER;
    const char *prefix = b->prefix;
    b->prefix = b->gguf ? "" : "mtp.";
    h->embd_norm =
        bind_norm(b, AT(outside, "nextn.enorm.weight", "pre_fc_norm_embedding.weight"), d);
    h->hidden_norm =
        bind_norm(b, AT(outside, "nextn.hnorm.weight", "pre_fc_norm_hidden.weight"), d);
    bind_mat(b, &h->fc, AT(outside, "nextn.eh_proj.weight", "fc.weight"), d, 2 * d);
    h->layer.mix_norm = bind_norm(b, AT(i, "attn_norm.weight", "input_layernorm.weight"), d);
    bind_attention(b, &h->layer, i);
    bind_feed_forward(b, &h->layer, i);

    struct name norm = AT(outside, "nextn.shared_head_norm.weight", "norm.weight"),
                embd = AT(outside, "nextn.embed_tokens.weight", "embed_tokens.weight"),
                head = AT(outside, "nextn.shared_head_head.weight", "lm_head.weight");
    h->out_norm = b->gguf && !has_tensor(b, norm) ? b->w->out_norm : bind_norm(b, norm, d);
    h->embd = b->w->embd;
    h->head = b->w->head;
    if (has_tensor(b, embd))
        bind_mat(b, &h->embd, embd, s->n_vocab, d);
    if (has_tensor(b, head))
        bind_mat(b, &h->head, head, s->n_vocab, d);
    b->prefix = prefix;
}

static void bind_bert(struct binder *b)
{
    const struct model_shape *s = b->s;
    struct weights *w = b->w;
    size_t d = s->d_model;
    bind_mat(b, &w->embd, AT(NO_LAYER, "token_embd.weight", "embeddings.word_embeddings.weight"),
             s->n_vocab, d);
    bind_mat(b, &w->pos_embd,
             AT(NO_LAYER, "position_embd.weight", "embeddings.position_embeddings.weight"),
             s->n_ctx_train, d);
    bind_mat(b, &w->type_embd,
             AT(NO_LAYER, "token_types.weight", "embeddings.token_type_embeddings.weight"),
             s->n_token_types, d);
    w->embd_norm_w =
        bind_vec(b, AT(NO_LAYER, "token_embd_norm.weight", "embeddings.LayerNorm.weight"), d);
    w->embd_norm_b =
        bind_vec(b, AT(NO_LAYER, "token_embd_norm.bias", "embeddings.LayerNorm.bias"), d);
    for (uint32_t i = 0; i < s->n_layers; i++)
        bind_bert_layer(b, &w->layers[i], (int)i);
}

/* Tensors that belong to other parts of a model, or to nothing: they may be there and are not read.
 */
static bool is_other_part(const struct binder *b, struct span name)
{
    const struct model_shape *s = b->s;
    if (b->gguf) {
        char mtp[24];
        snprintf(mtp, sizeof(mtp), "blk.%u.", s->n_layers);
        return (s->n_layers_mtp && !shape_has_mtp(s) && span_starts(name, span_of(mtp))) ||
               (s->arch == ARCH_BERT && span_starts(name, SPAN("cls."))) ||
               (s->pooling == POOL_RANK && span_eq(name, SPAN("cls.output.weight"))) ||
               span_eq(name, SPAN("rope_freqs.weight")); /* read with the shape */
    }
    if (s->arch == ARCH_BERT)
        return span_ends(name, SPAN("embeddings.position_ids")) ||
               span_starts(name, SPAN("pooler.")) || span_starts(name, SPAN("bert.pooler.")) ||
               span_starts(name, SPAN("cls."));
    return span_ends(name, SPAN("rotary_emb.inv_freq")) ||
           (s->tied_head && span_eq(name, SPAN("lm_head.weight"))) ||
           (arch_is_qwen35(s->arch) &&
            (span_starts(name, SPAN("model.visual.")) || span_starts(name, SPAN("visual."))));
}

static int by_address(const void *a, const void *b)
{
    const struct tensor *const *x = a, *const *y = b;
    return (*x > *y) - (*x < *y);
}

static void refuse_strangers(struct binder *b)
{
    qsort(b->used, b->n_used, sizeof(const struct tensor *), by_address);
    for (size_t i = 0; i < model_file_n_tensors(b->f) && !b->st; i++) {
        const struct tensor *t = model_file_tensor_at(b->f, i);
        if (!bsearch(&t, b->used, b->n_used, sizeof(const struct tensor *), by_address) &&
            !is_other_part(b, t->name))
            b->st = kt_fail(b->err, KT_E_UNSUPPORTED,
                            "tensor %.*s has no place in a %s model as we run it; is it a variant?",
                            (int)MIN(t->name.len, (size_t)80), t->name.ptr, arch_name(b->s->arch));
    }
}

static const char *prefix_of(const struct model_file *f, bool bert)
{
    static const char *const DECODER[] = { "model.language_model.", "model.", "" };
    static const char *const BERT[] = { "bert.", "" };
    size_t n = bert ? ARRAY_LEN(BERT) : ARRAY_LEN(DECODER);
    const char *const *prefixes = bert ? BERT : DECODER;
    const char *first = bert ? "embeddings.word_embeddings.weight" : "embed_tokens.weight";
    for (size_t i = 0; i < n; i++) {
        char name[NAME_MAX_LEN];
        snprintf(name, sizeof(name), "%s%s", prefixes[i], first);
        if (model_file_tensor(f, name))
            return prefixes[i];
    }
    return prefixes[1]; /* then the first tensor is reported as missing under its usual name */
}

enum kt_status weights_bind(struct weights *w, struct arena *arena, const struct model_shape *s,
                            const struct model_file *f, struct kt_error *err)
{
    struct binder b = { .w = w, .arena = arena, .s = s, .f = f, .err = err };
    b.gguf = model_file_container(f) == MODEL_GGUF;
    b.prefix = b.gguf ? "" : prefix_of(f, s->arch == ARCH_BERT);
    b.cap_used = model_file_n_tensors(f);
    b.used = calloc(b.cap_used + 1, sizeof(const struct tensor *));
    w->layers = arena_array(arena, s->n_layers, sizeof(*w->layers));
    if (!b.used || !w->layers)
        b.st = kt_fail(err, KT_E_NOMEM, "weights: out of memory");
    if (!b.st && s->arch == ARCH_BERT)
        bind_bert(&b);
    else if (!b.st)
        bind_decoder(&b);
    if (!b.st && shape_has_mtp(s))
        bind_mtp(&b);
    if (!b.st)
        refuse_strangers(&b);
    free(b.used);
    if (b.st)
        kt_error_prefix(err, "%s", model_file_path(f));
    return b.st;
}
