/* engine/engine.c: a model opened with everything that is immutable about it: weights, threads,
 * kernels, tokenizer, and which ids may be produced. */
#include "engine/engine_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/size.h"
#include "engine/sample.h"

struct state_types engine_state_types(enum kt_kv_type kv, enum kt_state_type state)
{
    return (struct state_types){
        .kv = kv == KT_KV_F32  ? KV_F32
              : kv == KT_KV_Q8 ? KV_Q8
                               : KV_F16,
        .recurrent = state == KT_STATE_BF16 ? STATE_BF16 : STATE_F32,
    };
}

/* A model without a tokenizer, or with one of a kind we do not read, still computes logits; what
 * needs text then says why it cannot. A damaged tokenizer is an error like any other damage. */
static enum kt_status open_tokenizer(struct kt_engine *e, struct kt_error *err)
{
    struct kt_error why = { 0 };
    enum kt_status st = tokenizer_open(&e->tokenizer, e->file, &why);
    if (!st) {
        e->layout = chat_layout_of(e->file, e->tokenizer);
        return KT_OK;
    }
    e->tokenizer = NULL;
    if (st == KT_E_NOTFOUND || st == KT_E_UNSUPPORTED) {
        e->tokenizer_error = why;
        return KT_OK;
    }
    return kt_fail(err, st, "%s", why.text);
}

static enum kt_status find_samplable(struct kt_engine *e, struct kt_error *err)
{
    const struct model_shape *s = model_shape_of(e->model);
    e->n_vocab = s->n_vocab;
    e->samplable = calloc(mask_words(e->n_vocab) + 1, sizeof(*e->samplable));
    if (!e->samplable)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory for a vocabulary of %zu",
                       model_file_path(e->file), e->n_vocab);
    size_t n = s->n_vocab_real && s->n_vocab_real < e->n_vocab ? s->n_vocab_real : e->n_vocab;
    if (e->tokenizer)
        n = MIN(n, tokenizer_n_vocab(e->tokenizer));
    for (size_t id = 0; id < n; id++)
        if (!e->tokenizer || tokenizer_is_samplable(e->tokenizer, (int32_t)id))
            mask_set(e->samplable, id);
    return KT_OK;
}

enum kt_status kt_engine_open(struct kt_engine **out, const char *path,
                              const struct kt_engine_options *opts, struct kt_error *err)
{
    *out = NULL;
    struct kt_engine *e = calloc(1, sizeof(*e));
    if (!e)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    pthread_mutex_init(&e->lazy_lock, NULL);
    pthread_mutex_init(&e->sight.lock, NULL);
    kernels_init(&e->kernels, cpu_detect() & ~(opts ? opts->cpu_mask : 0));

    enum kt_status st = model_file_open(&e->file, path, err);
    if (!st)
        st = pool_create(&e->pool, opts ? opts->n_threads : 0, err);
    if (!st)
        st = model_create(&e->model, e->file, &e->kernels, e->pool, err);
    if (!st)
        st = turns_open(&e->turns, e->model, err);
    if (!st)
        st = open_tokenizer(e, err);
    if (!st)
        st = find_samplable(e, err);
    if (!st)
        st = sight_open(e, path, opts ? opts->mmproj_path : NULL, opts ? opts->look_seconds : 0,
                        err);
    if (st) {
        kt_engine_close(e);
        return st;
    }
    *out = e;
    return KT_OK;
}

void kt_engine_close(struct kt_engine *e)
{
    if (!e)
        return;
    model_state_destroy(e->embed_state);
    model_state_destroy(e->rank_state);
    model_run_destroy(e->embed_run);
    turns_close(e->turns);
    token_trie_destroy(e->trie);
    free(e->samplable);
    sight_close(e);
    tokenizer_close(e->tokenizer);
    model_destroy(e->model);
    pool_destroy(e->pool);
    model_file_close(e->file);
    pthread_mutex_destroy(&e->lazy_lock);
    pthread_mutex_destroy(&e->sight.lock);
    free(e);
}

void kt_engine_info(const struct kt_engine *e, struct kt_engine_info *out)
{
    const struct model_shape *s = model_shape_of(e->model);
    *out = (struct kt_engine_info){
        .arch = arch_name(s->arch),
        .tokenizer = e->tokenizer ? tokenizer_kind(e->tokenizer) : NULL,
        .chat_layout = e->layout != CHAT_NONE ? chat_layout_name(e->layout) : NULL,
        .cpu_level = cpu_level_name(e->kernels.cpu),
        .weight_bytes =
            model_file_bytes(e->file) + (e->sight.file ? model_file_bytes(e->sight.file) : 0),
        .n_vocab = s->n_vocab,
        .n_ctx_train = s->n_ctx_train,
        .d_model = s->d_model,
        .n_layers = s->n_layers,
        .n_threads = (uint32_t)pool_threads(e->pool),
        .is_encoder = s->arch == ARCH_BERT,
        .sees = e->sight.tower != NULL,
        .image_pad = e->sight.tower ? e->sight.image_pad : -1,
        .video_pad = e->sight.tower ? e->sight.video_pad : -1,
    };
}

enum kt_status engine_step_timed(struct kt_engine *e, struct model_run *run,
                                 const struct model_span *spans, size_t n_spans, double *seconds,
                                 struct kt_error *err)
{
    turns_enter(e->turns, NULL);
    uint64_t start = clock_now_ns();
    enum kt_status st = model_step(run, spans, n_spans, err);
    if (seconds)
        *seconds = (double)(clock_now_ns() - start) * 1e-9;
    turns_exit(e->turns);
    return st;
}

enum kt_status engine_step(struct kt_engine *e, struct model_run *run,
                           const struct model_span *spans, size_t n_spans, struct kt_error *err)
{
    return engine_step_timed(e, run, spans, n_spans, NULL, err);
}

/* ---- tokens -------------------------------------------------------------------------------- */

enum kt_status engine_need_tokenizer(const struct kt_engine *e, struct kt_error *err)
{
    if (e->tokenizer)
        return KT_OK;
    return kt_fail(err, e->tokenizer_error.status, "%s", e->tokenizer_error.text);
}

/* Hand the ids to the caller, never as NULL. */
static enum kt_status give(struct token_vec *v, enum kt_status st, int32_t **ids, size_t *n_ids,
                           struct kt_error *err)
{
    if (!st && !v->ids && !(v->ids = malloc(sizeof(*v->ids))))
        st = kt_fail(err, KT_E_NOMEM, "tokens: out of memory");
    if (st) {
        token_vec_deinit(v);
        return st;
    }
    *ids = v->ids;
    *n_ids = v->n;
    return KT_OK;
}

enum kt_status kt_tokenize(const struct kt_engine *e, const char *text, size_t text_len,
                           unsigned mode, int32_t **ids, size_t *n_ids, struct kt_error *err)
{
    *ids = NULL;
    *n_ids = 0;
    enum kt_status st = engine_need_tokenizer(e, err);
    if (st)
        return st;
    struct token_vec v = { 0 };
    st = tokenizer_encode(e->tokenizer, &v, (struct span){ text, text_len },
                          mode & KT_TOKENS_SPECIAL ? TOK_SPECIAL : TOK_PLAIN, err);
    return give(&v, st, ids, n_ids, err);
}

static struct span token_text(const void *ctx, int32_t id)
{
    return tokenizer_bytes(ctx, id, false);
}

enum kt_status engine_trie(struct kt_engine *e, struct token_trie **out, struct kt_error *err)
{
    enum kt_status st = engine_need_tokenizer(e, err);
    if (st)
        return st;
    pthread_mutex_lock(&e->lazy_lock);
    if (!e->trie) {
        size_t n_stops;
        const int32_t *stops = tokenizer_stops(e->tokenizer, &n_stops);
        st = token_trie_create(&e->trie, e->n_vocab, token_text, e->tokenizer, e->samplable, stops,
                               n_stops, err);
    }
    *out = e->trie;
    pthread_mutex_unlock(&e->lazy_lock);
    return st;
}
