/* engine/size.c: what a context takes, before it is made; and tokens back to text. */
#include "engine/engine_priv.h"

#include "base/size.h"
#include "engine/speculate.h"

/* The same defaults as kt_context_create(). */
enum { N_CTX_DEFAULT = 4096, N_BATCH_DEFAULT = 512 };

/* The scratch memory of the tower for an image of n_vectors, and the vectors kept. */
static uint64_t seeing_bytes(const struct kt_engine *e, size_t n_vectors)
{
    size_t side = 1, scratch = 0;
    n_vectors = MIN(n_vectors, (size_t)VISION_PATCHES_MAX / (VISION_MERGE * VISION_MERGE));
    while ((side + 1) * (side + 1) <= n_vectors)
        side++;
    struct vision_grid g = { .n_pairs = 1, .rows = (uint32_t)side, .cols = (uint32_t)side };
    if (!e->sight.tower ||
        !vision_scratch_size(&scratch, vision_shape_of(e->sight.tower), &g, pool_threads(e->pool)))
        return 0;
    return scratch + SIGHT_BYTES_MAX;
}

/* One state for what is read, and for a reranker one of what all documents begin with. */
static uint64_t texts_bytes(const struct kt_engine *e)
{
    const struct model_shape *s = model_shape_of(e->model);
    size_t n = engine_text_max(e), scratch = 0;
    struct state_sizes state = { 0 };
    bool bert = s->arch == ARCH_BERT, reads = bert || s->pooling != POOL_NONE;
    if (!reads || !scratch_size(&scratch, s, bert ? n : engine_text_rows(e), pool_threads(e->pool)))
        return 0;
    if (!bert && !state_sizes(&state, s, n, engine_state_types(KT_KV_F16, KT_STATE_F32)))
        return 0;
    return scratch + state.total * (s->pooling == POOL_RANK ? 2 : 1);
}

void kt_engine_memory(const struct kt_engine *e, size_t n_ctx, struct kt_engine_memory *out)
{
    *out = (struct kt_engine_memory){
        .weights =
            model_file_bytes(e->file) + (e->sight.file ? model_file_bytes(e->sight.file) : 0),
        .seeing = seeing_bytes(e, n_ctx),
        .texts = texts_bytes(e),
    };
}

enum kt_status kt_context_shared_bytes(const struct kt_engine *e,
                                       const struct kt_context_options *opts, uint64_t *bytes,
                                       struct kt_error *err)
{
    struct kt_context_options o = opts ? *opts : (struct kt_context_options){ 0 };
    const struct model_shape *s = model_shape_of(e->model);
    size_t n_ctx = o.n_ctx ? o.n_ctx : MIN((size_t)s->n_ctx_train, (size_t)N_CTX_DEFAULT);
    size_t n_batch = MIN(o.n_batch ? o.n_batch : (size_t)N_BATCH_DEFAULT, n_ctx);
    size_t n_rows = o.speculate == KT_SPECULATE_OFF ? 1 : SPECULATION_ROWS, scratch = 0;
    bool ok = scratch_size(&scratch, s, MAX(n_batch, n_rows), pool_threads(e->pool));
    *bytes = scratch;
    return ok ? KT_OK
              : kt_fail(err, KT_E_LIMIT, "steps of %zu rows are more than any machine holds",
                        n_batch);
}

enum kt_status kt_context_bytes(const struct kt_engine *e, const struct kt_context_options *opts,
                                uint64_t *bytes, struct kt_error *err)
{
    struct kt_context_options o = opts ? *opts : (struct kt_context_options){ 0 };
    const struct model_shape *s = model_shape_of(e->model);
    size_t n_ctx = o.n_ctx ? o.n_ctx : MIN((size_t)s->n_ctx_train, (size_t)N_CTX_DEFAULT);
    size_t n_batch = MIN(o.n_batch ? o.n_batch : (size_t)N_BATCH_DEFAULT, n_ctx);
    struct state_sizes state;
    size_t scratch, history, logits, guessing = 0, sum = 0, n_rows = 1;
    if (o.speculate != KT_SPECULATE_OFF)
        n_rows = SPECULATION_ROWS;
    bool ok = state_sizes(&state, s, n_ctx, engine_state_types(o.kv, o.state)) &&
              scratch_size(&scratch, s, MAX(n_batch, n_rows), pool_threads(e->pool)) &&
              size_mul(&history, n_ctx, sizeof(int32_t)) &&
              size_mul(&logits, e->n_vocab, n_rows * sizeof(float)) &&
              size_add(&sum, state.total, scratch) && size_add(&sum, sum, history) &&
              size_add(&sum, sum, logits);
    if (o.speculate != KT_SPECULATE_OFF)
        ok = ok &&
             speculation_bytes(&guessing, e, o.speculate, n_ctx, n_batch,
                               engine_state_types(o.kv, o.state)) &&
             size_add(&sum, sum, guessing);
    *bytes = sum;
    return ok ? KT_OK
              : kt_fail(err, KT_E_LIMIT, "context: %zu tokens are more than any machine holds",
                        n_ctx);
}

enum kt_status kt_detokenize(const struct kt_engine *e, const int32_t *ids, size_t n_ids,
                             char **text, size_t *text_len, struct kt_error *err)
{
    *text = NULL;
    *text_len = 0;
    enum kt_status st = engine_need_tokenizer(e, err);
    struct buf b = { 0 };
    for (size_t i = 0; i < n_ids && !st; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= e->n_vocab)
            st = kt_fail(err, KT_E_USAGE, "token %zu has id %d, expected 0 to %zu", i, ids[i],
                         e->n_vocab - 1);
    if (st)
        return st;
    tokenizer_decode(e->tokenizer, &b, ids, n_ids, true);
    buf_append(&b, "", 0);
    *text_len = b.len;
    *text = buf_take(&b);
    return *text ? KT_OK : kt_fail(err, KT_E_NOMEM, "detokenize: out of memory");
}
