/* A folder's tensors under their GGUF names, and what readers of GGUF expect to be different:
 *
 *   zero-centred norms (qwen35)    1 + w instead of w
 *   A_log                          -exp(A_log)
 *   conv1d [C, 1, 4]               [C, 4]
 *   llama's q and k rows           per head, the two halves of rotary pairs side by side
 *   experts                        gate and up apart; all experts of a layer in one tensor
 *   qwen35's value heads           those of one key head apart: head j nk + k instead of k r + j
 *
 * The model was bound before (model_create), so every tensor that is named here exists with the
 * shape that its model calls for, and what is not named is one of the parts that we leave out:
 * vision, poolers, a head that repeats the embedding. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "model/convert_priv.h"
#include "model/model_file_priv.h"

/* What happens to a tensor on its way. */
enum change {
    KEEP,
    NORM,   /* 1 + w, where the folder has w                      */
    ROPE_Q, /* rows of llama's rotary heads                       */
    ROPE_K,
    V_QKV,    /* the value rows behind those of queries and keys    */
    V_ROWS,   /* rows of value heads, lin_v_dim each                */
    V_HEADS,  /* one row a value head                               */
    V_LOG,    /* one number a value head, and -exp()                */
    V_VECTOR, /* one number a value head                            */
    V_COLS,   /* columns of value heads                             */
    EXPERTS,  /* all experts' matrices, or the first of one each    */
    FUSED,    /* of each expert gate rows, then up rows: two tensors */
    FLAT,     /* a matrix of one row becomes a vector               */
    V_CONV    /* as V_QKV, and the middle dimension goes            */
};

struct rename {
    const char *hf, *gguf;
    enum change change;
};

static const struct rename decoder_layer[] = {
    { "input_layernorm.weight", "attn_norm.weight", NORM },
    { "self_attn.q_proj.weight", "attn_q.weight", ROPE_Q },
    { "self_attn.k_proj.weight", "attn_k.weight", ROPE_K },
    { "self_attn.v_proj.weight", "attn_v.weight", KEEP },
    { "self_attn.o_proj.weight", "attn_output.weight", KEEP },
    { "self_attn.q_proj.bias", "attn_q.bias", KEEP },
    { "self_attn.k_proj.bias", "attn_k.bias", KEEP },
    { "self_attn.v_proj.bias", "attn_v.bias", KEEP },
    { "self_attn.q_norm.weight", "attn_q_norm.weight", NORM },
    { "self_attn.k_norm.weight", "attn_k_norm.weight", NORM },
    { "linear_attn.in_proj_qkv.weight", "attn_qkv.weight", V_QKV },
    { "linear_attn.in_proj_z.weight", "attn_gate.weight", V_ROWS },
    { "linear_attn.in_proj_b.weight", "ssm_beta.weight", V_HEADS },
    { "linear_attn.in_proj_a.weight", "ssm_alpha.weight", V_HEADS },
    { "linear_attn.out_proj.weight", "ssm_out.weight", V_COLS },
    { "linear_attn.conv1d.weight", "ssm_conv1d.weight", V_CONV },
    { "linear_attn.A_log", "ssm_a", V_LOG },
    { "linear_attn.dt_bias", "ssm_dt.bias", V_VECTOR },
    { "linear_attn.norm.weight", "ssm_norm.weight", KEEP },
    { "post_attention_layernorm.weight", "ffn_norm.weight", NORM },
    { "mlp.gate_proj.weight", "ffn_gate.weight", KEEP },
    { "mlp.up_proj.weight", "ffn_up.weight", KEEP },
    { "mlp.down_proj.weight", "ffn_down.weight", KEEP },
    { "mlp.gate.weight", "ffn_gate_inp.weight", KEEP },
    { "mlp.shared_expert_gate.weight", "ffn_gate_inp_shexp.weight", FLAT },
    { "mlp.shared_expert.gate_proj.weight", "ffn_gate_shexp.weight", KEEP },
    { "mlp.shared_expert.up_proj.weight", "ffn_up_shexp.weight", KEEP },
    { "mlp.shared_expert.down_proj.weight", "ffn_down_shexp.weight", KEEP },
    { "mlp.experts.gate_up_proj", "ffn_gate_exps.weight", FUSED },
    { "mlp.experts.down_proj", "ffn_down_exps.weight", KEEP },
    { "mlp.experts.0.gate_proj.weight", "ffn_gate_exps.weight", EXPERTS },
    { "mlp.experts.0.up_proj.weight", "ffn_up_exps.weight", EXPERTS },
    { "mlp.experts.0.down_proj.weight", "ffn_down_exps.weight", EXPERTS },
};

static const struct rename decoder_top[] = {
    { "embed_tokens.weight", "token_embd.weight", KEEP },
    { "norm.weight", "output_norm.weight", NORM },
    { "lm_head.weight", "output.weight", KEEP },
};

/* The multi-token head becomes a layer behind the others. */
static const struct rename mtp_top[] = {
    { "mtp.fc.weight", "nextn.eh_proj.weight", KEEP },
    { "mtp.pre_fc_norm_embedding.weight", "nextn.enorm.weight", NORM },
    { "mtp.pre_fc_norm_hidden.weight", "nextn.hnorm.weight", NORM },
    { "mtp.norm.weight", "nextn.shared_head_norm.weight", NORM },
};

static const struct rename bert_layer[] = {
    { "attention.self.query.weight", "attn_q.weight", KEEP },
    { "attention.self.query.bias", "attn_q.bias", KEEP },
    { "attention.self.key.weight", "attn_k.weight", KEEP },
    { "attention.self.key.bias", "attn_k.bias", KEEP },
    { "attention.self.value.weight", "attn_v.weight", KEEP },
    { "attention.self.value.bias", "attn_v.bias", KEEP },
    { "attention.output.dense.weight", "attn_output.weight", KEEP },
    { "attention.output.dense.bias", "attn_output.bias", KEEP },
    { "attention.output.LayerNorm.weight", "attn_output_norm.weight", KEEP },
    { "attention.output.LayerNorm.bias", "attn_output_norm.bias", KEEP },
    { "intermediate.dense.weight", "ffn_up.weight", KEEP },
    { "intermediate.dense.bias", "ffn_up.bias", KEEP },
    { "output.dense.weight", "ffn_down.weight", KEEP },
    { "output.dense.bias", "ffn_down.bias", KEEP },
    { "output.LayerNorm.weight", "layer_output_norm.weight", KEEP },
    { "output.LayerNorm.bias", "layer_output_norm.bias", KEEP },
};

static const struct rename bert_top[] = {
    { "embeddings.word_embeddings.weight", "token_embd.weight", KEEP },
    { "embeddings.position_embeddings.weight", "position_embd.weight", KEEP },
    { "embeddings.token_type_embeddings.weight", "token_types.weight", KEEP },
    { "embeddings.LayerNorm.weight", "token_embd_norm.weight", KEEP },
    { "embeddings.LayerNorm.bias", "token_embd_norm.bias", KEEP },
};

struct item *plan_push(struct plan *p)
{
    if (p->n_items == p->cap_items) {
        size_t cap = p->cap_items ? 2 * p->cap_items : 256;
        struct item *items = realloc(p->items, cap * sizeof(*items));
        if (!items)
            return NULL;
        p->items = items;
        p->cap_items = cap;
    }
    struct item *it = &p->items[p->n_items++];
    *it = (struct item){ .n_dims = 1, .dims = { 1, 1, 1, 1 } };
    return it;
}

static const struct rename *look_up(const struct rename *list, size_t n, struct span hf)
{
    for (size_t i = 0; i < n; i++) {
        if (span_eq_str(hf, list[i].hf))
            return &list[i];
    }
    return NULL;
}

static bool cut_front(struct span *s, struct span front)
{
    if (!span_starts(*s, front))
        return false;
    *s = span_sub(*s, front.len, s->len);
    return true;
}

/* "layers.12.rest" -> 12 and "rest". */
static bool cut_layer(struct span *s, struct span front, uint32_t *layer)
{
    struct span rest = *s;
    if (!cut_front(&rest, front))
        return false;
    uint32_t n = 0;
    size_t i = 0;
    for (; i < rest.len && rest.ptr[i] >= '0' && rest.ptr[i] <= '9' && n < LAYERS_MAX; i++)
        n = 10 * n + (uint32_t)(rest.ptr[i] - '0');
    if (i == 0 || i == rest.len || rest.ptr[i] != '.')
        return false;
    *layer = n;
    *s = span_sub(rest, i + 1, rest.len);
    return true;
}

/* The entry for a tensor of the folder; *layer is set for those of layers. NULL: left out. */
static const struct rename *rename_of(struct span name, const struct model_shape *s, int *layer)
{
    uint32_t n = 0;
    *layer = -1;
    if (s->arch == ARCH_BERT) {
        (void)cut_front(&name, SPAN("bert."));
        if (!cut_layer(&name, SPAN("encoder.layer."), &n))
            return look_up(bert_top, ARRAY_LEN(bert_top), name);
        *layer = (int)n;
        return look_up(bert_layer, ARRAY_LEN(bert_layer), name);
    }
    if (s->tied_head && span_eq(name, SPAN("lm_head.weight")))
        return NULL;
    if (s->n_layers_mtp && span_starts(name, SPAN("mtp."))) {
        *layer = (int)s->n_layers;
        if (cut_layer(&name, SPAN("mtp.layers."), &n))
            return look_up(decoder_layer, ARRAY_LEN(decoder_layer), name);
        return look_up(mtp_top, ARRAY_LEN(mtp_top), name);
    }
    if (!cut_front(&name, SPAN("model.language_model.")))
        (void)cut_front(&name, SPAN("model."));
    if (!cut_layer(&name, SPAN("layers."), &n))
        return look_up(decoder_top, ARRAY_LEN(decoder_top), name);
    *layer = (int)n;
    return look_up(decoder_layer, ARRAY_LEN(decoder_layer), name);
}

static void apply_change(struct item *it, enum change change, const struct model_shape *s)
{
    size_t nk = s->lin_k_heads, r = nk ? s->lin_v_heads / nk : 0;
    struct perm v_dims = { 0, s->lin_v_dim, nk, r }, v_heads = { 0, 1, nk, r };
    struct perm v_behind = v_dims, rope = { 0, 1, 2, s->head_dim / 2 };
    v_behind.start = (size_t)2 * nk * s->lin_k_dim;

    it->add_one = change == NORM && s->norm_plus_one;
    if ((change == ROPE_Q || change == ROPE_K) && s->arch == ARCH_LLAMA)
        it->rows = rope;
    if (change == V_QKV || change == V_CONV)
        it->rows = v_behind;
    if (change == V_ROWS)
        it->rows = v_dims;
    if (change == V_HEADS)
        it->rows = v_heads;
    if (change == V_LOG || change == V_VECTOR)
        it->cols = v_heads;
    if (change == V_COLS)
        it->cols = v_dims;
    it->neg_exp = change == V_LOG;
    if (change == FLAT)
        it->n_dims = 1;
    if (change == V_CONV) { /* {4, 1, C} -> {4, C} */
        it->n_dims = 2;
        it->dims[1] = it->dims[2];
        it->dims[2] = 1;
    }
}

static enum kt_status set_name(struct plan *p, struct item *it, const char *gguf, int layer,
                               struct kt_error *err)
{
    char name[80];
    if (layer >= 0)
        snprintf(name, sizeof(name), "blk.%d.%s", layer, gguf);
    else
        snprintf(name, sizeof(name), "%s", gguf);
    it->name.len = strlen(name);
    it->name.ptr = arena_strdup(&p->memory, span_of(name));
    return it->name.ptr ? KT_OK : file_no_memory(err);
}

/* Is it one of the tensors of experts 1 and up, which go with those of expert 0? */
static bool is_later_expert(const struct model_shape *s, struct span name)
{
    size_t at = s->n_experts ? span_find(name, SPAN(".mlp.experts."), 0) : SIZE_MAX;
    return at != SIZE_MAX && at + 13 < name.len && name.ptr[at + 13] >= '0' &&
           name.ptr[at + 13] <= '9';
}

/* Tensor "...mlp.experts.0.WHAT" and the same of all other experts, as one. */
static enum kt_status gather_experts(struct plan *p, struct item *it, const struct model_file *f,
                                     const struct model_shape *s, struct kt_error *err)
{
    struct span first = it->src->name, mark = SPAN(".mlp.experts.");
    size_t at = span_find(first, mark, 0) + mark.len;
    it->stack = arena_array(&p->memory, s->n_experts, sizeof(const struct tensor *));
    if (!it->stack)
        return file_no_memory(err);
    for (uint32_t e = 0; e < s->n_experts; e++) {
        char name[FILE_NAME_MAX + 32];
        snprintf(name, sizeof(name), "%.*s%u%.*s", (int)at, first.ptr, e, (int)(first.len - at - 1),
                 first.ptr + at + 1);
        const struct tensor *t = model_file_tensor(f, name);
        if (!t || t->type != it->src->type || t->n_dims != 2 || t->dims[0] != it->dims[0] ||
            t->dims[1] != it->dims[1])
            return kt_fail(err, KT_E_FORMAT,
                           "tensor %s is missing, or of another type or shape than expert 0's",
                           show_name(span_of(name)).text);
        it->stack[e] = t;
    }
    it->n_dims = 3;
    it->dims[2] = s->n_experts;
    it->stack_rows = it->dims[1];
    return KT_OK;
}

/* 'it' becomes the gate rows of every expert; its twin the up rows. */
static enum kt_status split_fused(struct plan *p, size_t at, int layer, struct kt_error *err)
{
    struct item *up = plan_push(p), *gate = &p->items[at];
    if (!up)
        return file_no_memory(err);
    if (gate->n_dims != 3 || gate->dims[1] % 2)
        return kt_fail(err, KT_E_FORMAT, "tensor %s is no stack of gates and ups",
                       show_name(gate->src->name).text);
    gate->stack_rows = gate->dims[1];
    gate->dims[1] /= 2;
    *up = *gate;
    up->stack_row0 = gate->dims[1];
    return set_name(p, up, "ffn_up_exps.weight", layer, err);
}

static enum kt_status add_tensor(struct plan *p, const struct tensor *t, const struct model_file *f,
                                 const struct model_shape *s, struct kt_error *err)
{
    int layer;
    const struct rename *r = rename_of(t->name, s, &layer);
    if (!r && is_later_expert(s, t->name))
        return KT_OK;
    if (!r && s->n_layers_mtp && span_starts(t->name, SPAN("mtp.")))
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "tensor %s has no place in a multi-token head as we know it",
                       show_name(t->name).text);
    if (!r)
        return KT_OK;
    struct item *it = plan_push(p);
    if (!it)
        return file_no_memory(err);
    it->src = t;
    it->n_dims = t->n_dims;
    memcpy(it->dims, t->dims, sizeof(it->dims));
    apply_change(it, r->change, s);
    const char *gguf = r->gguf;
    if (arch_is_qwen35(s->arch) && strcmp(gguf, "ffn_norm.weight") == 0)
        gguf = "post_attention_norm.weight"; /* the name that this family's files have for it */
    size_t at = p->n_items - 1;
    enum kt_status st = set_name(p, it, gguf, layer, err);
    if (!st && r->change == EXPERTS)
        st = gather_experts(p, it, f, s, err);
    if (!st && r->change == FUSED)
        st = split_fused(p, at, layer, err); /* may move the items */
    return st;
}

static enum kt_status add_rope_tensor(struct plan *p, const struct model_shape *s,
                                      struct kt_error *err)
{
    size_t n = s->rope_dims / 2;
    struct item *it = plan_push(p);
    float *v = arena_array(&p->memory, n, sizeof(*v));
    if (!it || !v)
        return file_no_memory(err);
    memcpy(v, s->rope_factor, n * sizeof(*v));
    it->values = v;
    it->dims[0] = n;
    return set_name(p, it, "rope_freqs.weight", -1, err);
}

enum kt_status plan_folder(struct plan *p, const struct model_file *f, const struct model_shape *s,
                           struct kt_error *err)
{
    enum kt_status st = rope_as_tensor(s) ? add_rope_tensor(p, s, err) : KT_OK;
    for (size_t i = 0; !st && i < model_file_n_tensors(f); i++)
        st = add_tensor(p, model_file_tensor_at(f, i), f, s, err);
    return st;
}
