/* Goal: a model's numbers are read from both containers alike, and whatever contradicts them is
 * refused with a message that names it. Method: the small models of golden/synthetic.h, as they
 * are; then with one entry or one tensor wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "golden/synthetic.h"
#include "kernels/kernels.h"
#include "model/model.h"
#include "model/model_file.h"
#include "support/model_writer.h"

static void must(enum kt_status st, const struct kt_error *err)
{
    if (st)
        fail_msg("%s: %s", kt_status_name(st), err->text);
}

static void shape_of(struct model_shape *s, const char *path)
{
    struct kt_error err = { 0 };
    struct model_file *f;
    must(model_file_open(&f, path, &err), &err);
    must(model_shape_from_file(s, f, &err), &err);
    model_file_close(f);
}

/* ---- right ones ---- */

static void check_common(const struct synth *m, const struct model_shape *s)
{
    assert_int_equal(s->arch, m->arch);
    assert_int_equal(s->n_layers, m->n_layers);
    assert_int_equal(s->n_layers_mtp, m->mtp);
    assert_int_equal(s->d_model, SYNTH_HIDDEN);
    assert_int_equal(s->n_ff, m->n_experts ? 0 : SYNTH_FF);
    assert_int_equal(s->n_experts, m->n_experts);
    assert_int_equal(s->n_experts_used, m->n_used);
    assert_int_equal(s->n_ff_expert, m->n_ff_expert);
    assert_int_equal(s->n_ff_shared, m->n_ff_shared);
    assert_int_equal(s->n_vocab, SYNTH_VOCAB);
    assert_int_equal(s->n_vocab_real, SYNTH_VOCAB);
    assert_int_equal(s->n_heads, m->n_heads);
    assert_int_equal(s->n_kv_heads, m->n_kv_heads);
    assert_int_equal(s->head_dim, m->head_dim);
    assert_int_equal(s->tied_head, m->tied);
    assert_int_equal(s->causal, m->arch != ARCH_BERT);
    assert_int_equal(s->qkv_bias, m->arch == ARCH_QWEN2 || m->arch == ARCH_BERT);
    assert_int_equal(s->attn_gate, arch_is_qwen35(m->arch));
    assert_int_equal(s->lin_v_heads, m->nv);
    for (uint32_t i = 0; i < s->n_layers; i++)
        assert_int_equal(s->recurrent[i], arch_is_qwen35(m->arch) && (i + 1) % 4 != 0);
}

static void test_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SYNTHS; i++) {
        const struct synth *m = &SYNTHS[i];
        char *dir = temp_dir_make(), path[512];
        snprintf(path, sizeof(path), "%s/m.gguf", dir);
        synth_write_folder(m, dir);
        synth_write_gguf(m, path, QT_BF16);
        struct model_shape folder, gguf;
        shape_of(&folder, dir);
        shape_of(&gguf, path);
        check_common(m, &folder);
        check_common(m, &gguf);
        assert_int_equal(folder.rope_dims, gguf.rope_dims);
        assert_int_equal(folder.norm_plus_one, arch_is_qwen35(m->arch));
        assert_false(gguf.norm_plus_one);
        assert_false(folder.lin_v_interleaved);
        assert_int_equal(gguf.lin_v_interleaved, arch_is_qwen35(m->arch));
        assert_int_equal(folder.rope, ROPE_HALF);
        assert_int_equal(gguf.rope, m->arch == ARCH_LLAMA ? ROPE_ADJACENT : ROPE_HALF);
        for (uint32_t j = 0; j < folder.rope_dims / 2; j++) {
            if (fabsf(folder.rope_factor[j] - gguf.rope_factor[j]) > 1e-6f * gguf.rope_factor[j])
                fail_msg("%s: rotary factor %u is %g and %g", m->name, j,
                         (double)folder.rope_factor[j], (double)gguf.rope_factor[j]);
        }
        assert_true((folder.rope_factor[0] != 0) == (m->llama3_factor > 0 || m->yarn_factor > 0));
        temp_dir_remove(dir);
    }
}

/* The numbers of the Qwen3.5 cards: factor 4 on 262144 positions keeps pairs up to 14, scales from
 * 22 on, and makes attention 1.1386 times sharper. */
static void test_yarn(void **state)
{
    (void)state;
    char *dir = temp_dir_make();
    synth_write_folder(synth_named("qwen35-r1"), dir);
    const char *config =
        "{\"model_type\": \"qwen3_5_text\", \"hidden_size\": 256, \"intermediate_size\": 512, "
        "\"num_hidden_layers\": 8,"
        "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 256, "
        "\"linear_num_key_heads\": 2,"
        "\"linear_num_value_heads\": 2, \"vocab_size\": 1024, \"max_position_embeddings\": 1010000,"
        "\"rms_norm_eps\": 1e-6, \"tie_word_embeddings\": true, \"rope_parameters\": "
        "{\"rope_theta\": 10000000,"
        "\"partial_rotary_factor\": 0.25, \"rope_type\": \"yarn\", \"factor\": 4.0,"
        "\"original_max_position_embeddings\": 262144, \"mrope_section\": [11, 11, 10]}}";
    save_file(dir, "config.json", config, strlen(config));
    struct model_shape s;
    shape_of(&s, dir);
    assert_true(s.rope_factor[14] == 1.0f);
    assert_true(s.rope_factor[15] > 1.0f && s.rope_factor[21] < 4.0f);
    assert_true(s.rope_factor[22] == 4.0f);
    assert_true(fabsf(s.rope_attn_scale - 1.1386f) < 1e-4f);
    assert_int_equal(s.mrope_sections[2], 10);
    temp_dir_remove(dir);
}

/* Spec: KV bytes per token and state bytes of the released sizes. */
static void test_sizes(void **state)
{
    (void)state;
    struct model_shape s = { .arch = ARCH_QWEN35,
                             .n_layers = 32,
                             .n_heads = 16,
                             .n_kv_heads = 4,
                             .head_dim = 256,
                             .lin_k_heads = 16,
                             .lin_v_heads = 32,
                             .lin_k_dim = 128,
                             .lin_v_dim = 128 };
    for (uint32_t i = 0; i < 32; i++)
        s.recurrent[i] = (i + 1) % 4 != 0;
    struct state_sizes z;
    assert_true(state_sizes(&z, &s, 8192, (struct state_types){ .kv = KV_F16 }));
    assert_int_equal(z.kv, (size_t)256 << 20);
    assert_int_equal(z.recurrent, 50331648);
    assert_int_equal(z.conv, 2359296);
    assert_false(state_sizes(&z, &s, SIZE_MAX / 8, (struct state_types){ .kv = KV_F16 }));
}

/* ---- wrong ones ---- */

/* A small llama whose entries a case may spoil: written here and not by synth_write_gguf(), so that
 * one number can be off. */
struct spoil {
    const char *what; /* also part of the message that is expected */
    enum kt_status want;
    const char *arch;
    uint32_t n_layers, d_model, n_heads, n_kv_heads, rope_dims, n_mtp;
    float eps;
    uint64_t q_rows, vocab_rows;
    const char *extra, *missing;
    enum qtype q_type, norm_type;
};

static const struct spoil GOOD = { "", KT_OK, "llama", 1,  64,   2,  1,      32,
                                   0,  1e-5f, 64,      96, NULL, "", QT_F32, QT_F32 };

static void put_mat(struct gguf_writer *w, const struct spoil *c, const char *name, enum qtype type,
                    uint64_t n_cols, uint64_t n_rows)
{
    if (strcmp(name, c->missing) != 0)
        gguf_put_random(w, name, type, 2, (uint64_t[]){ n_cols, n_rows }, 0.1f);
}

static void put_vec(struct gguf_writer *w, const struct spoil *c, const char *name, uint64_t n)
{
    if (strcmp(name, c->missing) != 0)
        gguf_put_random(w, name, c->norm_type, 1, (uint64_t[]){ n }, 0.1f);
}

static void write_spoiled(const struct spoil *c, const char *path)
{
    struct gguf_writer w = { 0 };
    gguf_put_str(&w, "general.architecture", c->arch);
    gguf_put_u32(&w, "llama.block_count", c->n_layers);
    gguf_put_u32(&w, "llama.context_length", 128);
    gguf_put_u32(&w, "llama.embedding_length", c->d_model);
    gguf_put_u32(&w, "llama.feed_forward_length", 96);
    gguf_put_u32(&w, "llama.attention.head_count", c->n_heads);
    gguf_put_u32(&w, "llama.attention.head_count_kv", c->n_kv_heads);
    gguf_put_f32(&w, "llama.attention.layer_norm_rms_epsilon", c->eps);
    gguf_put_u32(&w, "llama.rope.dimension_count", c->rope_dims);
    gguf_put_u32(&w, "llama.vocab_size", 96);
    if (c->n_mtp)
        gguf_put_u32(&w, "llama.nextn_predict_layers", c->n_mtp);
    put_mat(&w, c, "token_embd.weight", QT_F32, 64, c->vocab_rows);
    put_vec(&w, c, "output_norm.weight", 64);
    put_vec(&w, c, "blk.0.attn_norm.weight", 64);
    put_vec(&w, c, "blk.0.ffn_norm.weight", 64);
    put_mat(&w, c, "blk.0.attn_q.weight", c->q_type, 64, c->q_rows);
    put_mat(&w, c, "blk.0.attn_k.weight", QT_F32, 64, 32);
    put_mat(&w, c, "blk.0.attn_v.weight", QT_F32, 64, 32);
    put_mat(&w, c, "blk.0.attn_output.weight", QT_F32, 64, 64);
    put_mat(&w, c, "blk.0.ffn_gate.weight", QT_F32, 64, 96);
    put_mat(&w, c, "blk.0.ffn_up.weight", QT_F32, 64, 96);
    put_mat(&w, c, "blk.0.ffn_down.weight", QT_F32, 96, 64);
    if (c->extra)
        gguf_put_random(&w, c->extra, QT_F32, 1, (uint64_t[]){ 64 }, 0.1f);
    gguf_writer_save(&w, path);
    gguf_writer_deinit(&w);
}

static void try_model(const struct spoil *c)
{
    char *dir = temp_dir_make(), path[512];
    snprintf(path, sizeof(path), "%s/m.gguf", dir);
    write_spoiled(c, path);
    struct kt_error err = { 0 };
    struct model_file *f;
    struct model *m;
    struct kernels k;
    kernels_init(&k, 0);
    must(model_file_open(&f, path, &err), &err);
    enum kt_status st = model_create(&m, f, &k, NULL, &err);
    if (st != c->want || (st && !strstr(err.text, c->what)))
        fail_msg("'%s': %s \"%s\", expected %s", c->what, kt_status_name(st), err.text,
                 kt_status_name(c->want));
    if (st && !strstr(err.text, "m.gguf"))
        fail_msg("the message does not name the file: %s", err.text);
    assert_true((m == NULL) == (st != KT_OK));
    model_destroy(m);
    model_file_close(f);
    temp_dir_remove(dir);
}

#define SPOIL(text, status, field, value)                                                          \
    do {                                                                                           \
        struct spoil c = GOOD;                                                                     \
        c.what = text;                                                                             \
        c.want = status;                                                                           \
        c.field = value;                                                                           \
        try_model(&c);                                                                             \
    } while (0)

/* block_count counts the layer for multi-token prediction too; it is there and not run. */
static void test_extra_layer(void **state)
{
    (void)state;
    struct spoil c = GOOD;
    c.n_layers = 2;
    c.n_mtp = 1;
    c.extra = "blk.1.nextn.enorm.weight";
    try_model(&c);
    c.extra = "blk.2.nextn.enorm.weight";
    c.want = KT_E_UNSUPPORTED;
    c.what = "blk.2.nextn.enorm.weight has no place";
    try_model(&c);
    c.extra = NULL;
    c.n_layers = 1;
    c.want = KT_E_FORMAT;
    c.what = "block_count is 1 with 1 of them";
    try_model(&c);
}

static void test_wrong(void **state)
{
    (void)state;
    try_model(&GOOD);
    SPOIL("'gemma9' is not one we run: llama, qwen2", KT_E_UNSUPPORTED, arch, "gemma9");
    SPOIL("block_count is 0, expected 1 to 256", KT_E_FORMAT, n_layers, 0);
    SPOIL("block_count is 4000000000", KT_E_FORMAT, n_layers, 4000000000u);
    SPOIL("blk.1.attn_norm.weight [64] is missing", KT_E_FORMAT, n_layers, 2);
    SPOIL("embedding_length is 1000000", KT_E_FORMAT, d_model, 1000000);
    SPOIL("token_embd.weight is [64, 96], expected [128, 96]", KT_E_FORMAT, d_model, 128);
    SPOIL("does not divide", KT_E_FORMAT, n_heads, 3);
    SPOIL("head_count is 0", KT_E_FORMAT, n_heads, 0);
    SPOIL("2 query heads do not divide among 3", KT_E_FORMAT, n_kv_heads, 3);
    SPOIL("blk.0.attn_k.weight is [64, 32], expected [64, 64]", KT_E_FORMAT, n_kv_heads, 2);
    SPOIL("31 rotary dimensions", KT_E_FORMAT, rope_dims, 31);
    SPOIL("64 rotary dimensions", KT_E_FORMAT, rope_dims, 64);
    SPOIL("epsilon is", KT_E_FORMAT, eps, NAN);
    SPOIL("epsilon is", KT_E_FORMAT, eps, -1.0f);
    SPOIL("blk.0.attn_q.weight is [64, 63], expected [64, 64]", KT_E_FORMAT, q_rows, 63);
    SPOIL("token_embd.weight is [64, 95], expected [64, 96]", KT_E_FORMAT, vocab_rows, 95);
    SPOIL("blk.0.attn_q.bias has no place", KT_E_UNSUPPORTED, extra, "blk.0.attn_q.bias");
    SPOIL("blk.1.attn_norm.weight has no place", KT_E_UNSUPPORTED, extra, "blk.1.attn_norm.weight");
    SPOIL("blk.0.ffn_up.weight [64, 96] is missing", KT_E_FORMAT, missing, "blk.0.ffn_up.weight");
    SPOIL("output_norm.weight [64] is missing", KT_E_FORMAT, missing, "output_norm.weight");
    SPOIL("blk.0.attn_norm.weight is quantised as Q8_0", KT_E_UNSUPPORTED, norm_type, QT_Q8_0);
    SPOIL("", KT_OK, q_type, QT_Q4_0); /* quantised beside float: fine */
    SPOIL("", KT_OK, norm_type, QT_F16);
}

/* Folders: what would change the numbers is refused by name. */
static void test_wrong_config(void **state)
{
    (void)state;
    static const struct {
        const char *entry, *message;
        enum kt_status want;
    } CASES[] = {
        { "\"hidden_act\": \"relu\"", "hidden_act is 'relu'", KT_E_UNSUPPORTED },
        { "\"attention_bias\": true", "biases", KT_E_UNSUPPORTED },
        { "\"use_sliding_window\": true", "sliding", KT_E_UNSUPPORTED },
        { "\"quantization_config\": {\"quant_method\": \"fp8\"}", "quantization_config",
          KT_E_UNSUPPORTED },
        { "\"rope_scaling\": {\"rope_type\": \"longrope\"}", "'longrope'", KT_E_UNSUPPORTED },
        { "\"layer_types\": [\"sliding_attention\"]", "layer_types", KT_E_UNSUPPORTED },
        { "\"num_key_value_heads\": 3", "do not divide", KT_E_FORMAT },
        { "\"vocab_size\": 1e300", "vocab_size", KT_E_UNSUPPORTED },
        { "\"hidden_size\": \"64\"", "hidden_size", KT_E_UNSUPPORTED },
    };
    char *dir = temp_dir_make();
    struct st_writer w = { 0 };
    st_put_random(&w, "model.embed_tokens.weight", QT_F32, 2, (uint64_t[]){ 64, 96 }, 0.1f);
    char path[512];
    snprintf(path, sizeof(path), "%s/model.safetensors", dir);
    st_writer_save(&w, path);
    st_writer_deinit(&w);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        const char *e = CASES[i].entry;
        char config[1024];
        snprintf(config, sizeof(config),
                 "{\"model_type\": \"qwen3\", \"num_hidden_layers\": 1, \"num_attention_heads\": "
                 "2, \"head_dim\": 32, "
                 "\"max_position_embeddings\": 64, \"intermediate_size\": 96, \"rms_norm_eps\": "
                 "1e-6, %s%s%s}",
                 strstr(e, "hidden_size") ? "" : "\"hidden_size\": 64, ",
                 strstr(e, "vocab_size") ? "" : "\"vocab_size\": 96, ", e);
        save_file(dir, "config.json", config, strlen(config));
        struct kt_error err = { 0 };
        struct model_file *f;
        struct model_shape s;
        must(model_file_open(&f, dir, &err), &err);
        enum kt_status st = model_shape_from_file(&s, f, &err);
        model_file_close(f);
        if (st != CASES[i].want || !strstr(err.text, CASES[i].message))
            fail_msg("%s: %s \"%s\", expected %s and '%s'", e, kt_status_name(st), err.text,
                     kt_status_name(CASES[i].want), CASES[i].message);
    }
    temp_dir_remove(dir);
}

/* A mixture of experts whose numbers and tensors disagree. */
static void test_wrong_experts(void **state)
{
    (void)state;
    static const struct {
        const char *counts, *message;
    } CASES[] = {
        { "8, 2, 256, 256", "" },
        { "0, 2, 256, 256", "num_experts is 0, expected 1 to 4096" },
        { "8, 0, 256, 256", "num_experts_per_tok is 0" },
        { "8, 9, 256, 256", "9 experts for each token of 8" },
        { "9, 2, 256, 256", "layers.0.mlp.gate.weight is [256, 8], expected [256, 9]" },
        { "8, 2, 128, 256", "experts.down_proj is [256, 256, 8], expected [128, 256, 8]" },
        { "8, 2, 256, 128", "shared_expert.gate_proj.weight is [256, 256], expected [256, 128]" },
    };
    char *dir = temp_dir_make();
    synth_write_folder(synth_named("moe-r2"), dir);
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        int n[4];
        char config[1024];
        assert_int_equal(sscanf(CASES[i].counts, "%d, %d, %d, %d", &n[0], &n[1], &n[2], &n[3]), 4);
        snprintf(config, sizeof(config),
                 "{\"model_type\": \"qwen3_5_moe\", \"tie_word_embeddings\": false, "
                 "\"text_config\": {\"hidden_size\": 256, \"num_hidden_layers\": 5, "
                 "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"vocab_size\": 1024, "
                 "\"linear_num_key_heads\": 2, \"linear_num_value_heads\": 4, "
                 "\"max_position_embeddings\": 64, \"rms_norm_eps\": 1e-6, "
                 "\"num_experts\": %d, \"num_experts_per_tok\": %d, "
                 "\"moe_intermediate_size\": %d, \"shared_expert_intermediate_size\": %d}}",
                 n[0], n[1], n[2], n[3]);
        save_file(dir, "config.json", config, strlen(config));
        struct kt_error err = { 0 };
        struct model_file *f;
        struct model *m;
        struct kernels k;
        kernels_init(&k, 0);
        must(model_file_open(&f, dir, &err), &err);
        enum kt_status st = model_create(&m, f, &k, NULL, &err);
        if ((st == KT_OK) != (CASES[i].message[0] == '\0') ||
            (st && !strstr(err.text, CASES[i].message)))
            fail_msg("%s: %s \"%s\", expected '%s'", CASES[i].counts, kt_status_name(st), err.text,
                     CASES[i].message);
        model_destroy(m);
        model_file_close(f);
    }
    temp_dir_remove(dir);
}

/* An encoder's buffers are made for as many keys as queries. */
static void test_bert_heads(void **state)
{
    (void)state;
    char *dir = temp_dir_make();
    synth_write_folder(synth_named("bert"), dir);
    const char *config =
        "{\"model_type\": \"bert\", \"hidden_size\": 256, \"intermediate_size\": 512, "
        "\"num_hidden_layers\": 3, \"num_attention_heads\": 8, \"num_key_value_heads\": 2, "
        "\"vocab_size\": 1024, \"max_position_embeddings\": 128}";
    save_file(dir, "config.json", config, strlen(config));
    struct kt_error err = { 0 };
    struct model_file *f;
    struct model_shape s;
    must(model_file_open(&f, dir, &err), &err);
    assert_int_equal(model_shape_from_file(&s, f, &err), KT_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "2 key/value heads for 8"));
    model_file_close(f);
    temp_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),       cmocka_unit_test(test_yarn),
        cmocka_unit_test(test_sizes),        cmocka_unit_test(test_wrong),
        cmocka_unit_test(test_wrong_config), cmocka_unit_test(test_extra_layer),
        cmocka_unit_test(test_bert_heads),   cmocka_unit_test(test_wrong_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
