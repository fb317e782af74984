/* engine/embed.c: a text as one vector: hidden states, pooled and normalised as the model was
 * trained. */
#include "engine/engine_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

/* A decoder that embeds is run on at most this many tokens of a text, whatever it was trained for:
 * its state is allocated once for the longest. */
enum { N_DECODER_MAX = 8192 };

static size_t longest(const struct model_shape *s)
{
    size_t n = s->n_embed_max_tokens ? s->n_embed_max_tokens : s->n_ctx_train;
    return s->arch == ARCH_BERT ? n : MIN(n, (size_t)N_DECODER_MAX);
}

/* The lazy lock is held. */
static enum kt_status prepare(struct kt_engine *e, struct kt_error *err)
{
    const struct model_shape *s = model_shape_of(e->model);
    enum kt_status st = KT_OK;
    if (!e->embed_run)
        st = model_run_create(&e->embed_run, e->model, longest(s), err);
    if (!st && s->arch != ARCH_BERT && !e->embed_state)
        st = model_state_create(&e->embed_state, e->model, longest(s), KV_F16, err);
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
    if (model_shape_of(e->model)->arch != ARCH_BERT) {
        model_state_reset(e->embed_state);
        struct model_span span = { .state = e->embed_state,
                                   .tokens = v->ids,
                                   .n_tokens = v->n,
                                   .logits_of = OUT_NONE,
                                   .hidden = hidden };
        return engine_step(e, e->embed_run, &span, 1, err);
    }
    pthread_mutex_lock(&e->step_lock);
    enum kt_status st = model_encode(e->embed_run, v->ids, v->n, hidden, err);
    pthread_mutex_unlock(&e->step_lock);
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

static enum kt_status embed_one(struct kt_engine *e, const char *text, float *hidden, float *vector,
                                struct kt_error *err)
{
    const struct model_shape *s = model_shape_of(e->model);
    struct token_vec v = { 0 };
    enum kt_status st = tokenizer_encode(e->tokenizer, &v, span_of(text), TOK_FRAME, err);
    if (!st && v.n == 0)
        st = kt_fail(err, KT_E_USAGE, "embed: the text has no tokens");
    if (!st) {
        cut(&v, longest(s));
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

enum kt_status kt_embed(struct kt_engine *e, const char *const *texts, size_t n_texts,
                        float *vectors, struct kt_error *err)
{
    const struct model_shape *s = model_shape_of(e->model);
    if (s->pooling == POOL_NONE)
        return kt_fail(
            err, KT_E_UNSUPPORTED,
            "%s: not an embedding model (no pooling is given); use one such as all-MiniLM-L6-v2",
            model_file_path(e->file));
    enum kt_status st = engine_need_tokenizer(e, err);
    if (st)
        return st;
    float *hidden = calloc(longest(s), s->d_model * sizeof(*hidden));
    if (!hidden)
        return kt_fail(err, KT_E_NOMEM, "embed: out of memory");
    pthread_mutex_lock(&e->lazy_lock);
    st = prepare(e, err);
    for (size_t i = 0; i < n_texts && !st; i++)
        st = embed_one(e, texts[i], hidden, vectors + i * s->d_model, err);
    pthread_mutex_unlock(&e->lazy_lock);
    free(hidden);
    return st;
}
