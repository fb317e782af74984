/* engine/embed.c: a text as one vector: hidden states, pooled and normalised as the model was
 * trained. */
#include "engine/engine_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

/* A decoder reads at most this many tokens of a text, whatever it was trained for, and so many in
 * one step: its scratch memory is made for a step, its state for the longest text so far. */
enum { N_DECODER_MAX = 8192, N_DECODER_STEP = 512 };

size_t engine_text_max(const struct kt_engine *e)
{
    const struct model_shape *s = model_shape_of(e->model);
    size_t n = s->n_embed_max_tokens ? s->n_embed_max_tokens : s->n_ctx_train;
    return s->arch == ARCH_BERT ? n : MIN(n, (size_t)N_DECODER_MAX);
}

size_t engine_text_rows(const struct kt_engine *e)
{
    return MIN(engine_text_max(e), (size_t)N_DECODER_STEP);
}

enum kt_status engine_text_state(struct kt_engine *e, struct model_state **state, size_t n_tokens,
                                 struct kt_error *err)
{
    if (*state && model_state_n_ctx(*state) >= n_tokens)
        return KT_OK;
    size_t n_ctx = N_DECODER_STEP;
    while (n_ctx < n_tokens)
        n_ctx *= 2;
    model_state_destroy(*state);
    *state = NULL;
    return model_state_create(state, e->model, MIN(n_ctx, engine_text_max(e)),
                              (struct state_types){ .kv = KV_F16 }, err);
}

enum kt_status engine_text_prepare(struct kt_engine *e, size_t n_tokens, struct kt_error *err)
{
    bool bert = model_shape_of(e->model)->arch == ARCH_BERT;
    size_t n_max = engine_text_max(e);
    enum kt_status st = KT_OK;
    if (!e->embed_run)
        st = model_run_create(&e->embed_run, e->model, bert ? n_max : engine_text_rows(e), err);
    return st || bert ? st : engine_text_state(e, &e->embed_state, n_tokens, err);
}

enum kt_status engine_text_read(struct kt_engine *e, struct model_state *state, const int32_t *ids,
                                size_t n, float *hidden, float *logits, struct kt_error *err)
{
    size_t d = model_shape_of(e->model)->d_model, n_step = model_run_n_batch(e->embed_run);
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < n && !st; i += n_step) {
        size_t rows = MIN(n - i, n_step);
        bool last = i + rows == n && logits;
        struct model_span span = { .state = state,
                                   .tokens = ids + i,
                                   .n_tokens = rows,
                                   .logits_of = last ? OUT_LAST : OUT_NONE,
                                   .logits = last ? logits : NULL,
                                   .hidden = hidden ? hidden + i * d : NULL };
        st = engine_step(e, e->embed_run, &span, 1, err);
    }
    return st;
}

/* Cut to the model's limit, keeping the frame: the last token ([SEP], or the end a decoder is
 * pooled at) stays. */
static void cut(struct token_vec *v, size_t n_max)
{
    if (v->n <= n_max)
        return;
    v->ids[n_max - 1] = v->ids[v->n - 1];
    v->n = n_max;
}

static enum kt_status hidden_states(struct kt_engine *e, const struct token_vec *v, float *hidden,
                                    struct kt_error *err)
{
    enum kt_status st = engine_text_prepare(e, v->n, err);
    if (st)
        return st;
    if (model_shape_of(e->model)->arch != ARCH_BERT) {
        model_state_reset(e->embed_state);
        return engine_text_read(e, e->embed_state, v->ids, v->n, hidden, NULL, err);
    }
    turns_enter(e->turns, NULL);
    st = model_encode(e->embed_run, v->ids, v->n, hidden, err);
    turns_exit(e->turns);
    return st;
}

/* hidden: [n, d] -> vector: [d] */
static void pool(float *vector, const float *hidden, size_t n, size_t d, enum pooling how)
{
    if (how == POOL_CLS || how == POOL_LAST) {
        memcpy(vector, hidden + (how == POOL_CLS ? 0 : n - 1) * d, d * sizeof(*vector));
        return;
    }
    for (size_t c = 0; c < d; c++) {
        double sum = 0;
        for (size_t r = 0; r < n; r++)
            sum += (double)hidden[r * d + c];
        vector[c] = (float)(sum / (double)n);
    }
}

static enum kt_status normalize(float *v, size_t d, struct kt_error *err)
{
    double sum = 0;
    for (size_t c = 0; c < d; c++)
        sum += (double)v[c] * (double)v[c];
    if (!(sum > 0) || !isfinite(sum))
        return kt_fail(
            err, KT_E_INTERNAL,
            "embed: the vector has no length; the model's file or its computation is damaged, "
            "try `kontor inspect` on it");
    double inv = 1 / sqrt(sum);
    for (size_t c = 0; c < d; c++)
        v[c] = (float)((double)v[c] * inv);
    return KT_OK;
}

/* Qwen's embedding models, whatever they were made from. */
static bool is_qwen_embedding(const struct model_shape *s)
{
    return s->pooling == POOL_LAST && (s->arch == ARCH_QWEN3 || arch_is_qwen35(s->arch));
}

/* They are pooled at an end token, which older files do not ask for. A text of people's cannot end
 * with a control token, so one that is there came from the file's frame. */
static enum kt_status add_end(const struct kt_engine *e, struct token_vec *v, struct kt_error *err)
{
    if (!is_qwen_embedding(model_shape_of(e->model)) ||
        (v->n && tokenizer_is_control(e->tokenizer, v->ids[v->n - 1])))
        return KT_OK;
    int32_t end = tokenizer_find(e->tokenizer, SPAN("<|endoftext|>"));
    if (end < 0)
        return kt_fail(err, KT_E_FORMAT,
                       "%s: the vocabulary has no <|endoftext|>, where this model is pooled",
                       model_file_path(e->file));
    return token_vec_push(v, end) ? KT_OK : kt_fail(err, KT_E_NOMEM, "embed: out of memory");
}

static enum kt_status embed_one(struct kt_engine *e, struct span text, float *hidden, float *vector,
                                struct kt_error *err)
{
    const struct model_shape *s = model_shape_of(e->model);
    struct token_vec v = { 0 };
    enum kt_status st = tokenizer_encode(e->tokenizer, &v, text, TOK_FRAME, err);
    if (!st)
        st = add_end(e, &v, err);
    if (!st && v.n == 0)
        st = kt_fail(err, KT_E_USAGE, "embed: the text has no tokens");
    if (!st) {
        cut(&v, engine_text_max(e));
        st = hidden_states(e, &v, hidden, err);
    }
    if (!st) {
        pool(vector, hidden, v.n, s->d_model, s->pooling);
        if (s->normalize)
            st = normalize(vector, s->d_model, err);
    }
    token_vec_deinit(&v);
    return st;
}

/* 'before' is put before each text; NULL: nothing. */
static enum kt_status embed_all(struct kt_engine *e, const char *before, const char *const *texts,
                                size_t n_texts, float *vectors, struct kt_error *err)
{
    const struct model_shape *s = model_shape_of(e->model);
    if (s->pooling == POOL_NONE || s->pooling == POOL_RANK)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: not an embedding model (%s); use one such as all-MiniLM-L6-v2",
                       model_file_path(e->file),
                       s->pooling == POOL_RANK ? "it ranks documents, see `kontor rerank`"
                                               : "no pooling is given");
    enum kt_status st = engine_need_tokenizer(e, err);
    if (st)
        return st;
    float *hidden = calloc(engine_text_max(e), s->d_model * sizeof(*hidden));
    if (!hidden)
        return kt_fail(err, KT_E_NOMEM, "embed: out of memory");
    struct buf text = { 0 };
    pthread_mutex_lock(&e->lazy_lock);
    for (size_t i = 0; i < n_texts && !st; i++) {
        buf_clear(&text);
        buf_append_str(&text, before ? before : "");
        buf_append_str(&text, texts[i]);
        st = text.failed ? kt_fail(err, KT_E_NOMEM, "embed: out of memory")
                         : embed_one(e, buf_span(&text), hidden, vectors + i * s->d_model, err);
    }
    pthread_mutex_unlock(&e->lazy_lock);
    buf_deinit(&text);
    free(hidden);
    return st;
}

enum kt_status kt_embed(struct kt_engine *e, const char *const *texts, size_t n_texts,
                        float *vectors, struct kt_error *err)
{
    return embed_all(e, NULL, texts, n_texts, vectors, err);
}

enum kt_status kt_embed_queries(struct kt_engine *e, const char *task, const char *const *queries,
                                size_t n_queries, float *vectors, struct kt_error *err)
{
    if (!is_qwen_embedding(model_shape_of(e->model)))
        return embed_all(e, NULL, queries, n_queries, vectors, err);
    struct buf before = { 0 };
    buf_printf(&before, "Instruct: %s\nQuery:", task ? task : ENGINE_DEFAULT_TASK);
    enum kt_status st = before.failed ? kt_fail(err, KT_E_NOMEM, "embed: out of memory")
                                      : embed_all(e, before.ptr, queries, n_queries, vectors, err);
    buf_deinit(&before);
    return st;
}
