/* engine/rerank.c: how well documents answer a question.
 *
 * A reranker reads question and document together and is asked whether the one answers the other;
 * the score is the probability of "yes" against "no" as its next word. Documents of one question
 * begin with the same tokens, which are computed once. */
#include "engine/engine_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "text/prompt.h"

/* The layout of Qwen3-Reranker, for files that bring none. */
static const char LAYOUT[] =
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    "the "
    "Instruct provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n"
    "<|im_start|>user\n<Instruct>: {instruction}\n<Query>: {query}\n<Document>: "
    "{document}<|im_end|>\n"
    "<|im_start|>assistant\n<think>\n\n</think>\n\n";

#define QUERY    "{query}"
#define DOCUMENT "{document}"

/* Where the two logits come from. */
struct head {
    float *rows;     /* [2, d_model] yes, no; NULL: the model's whole head */
    int32_t yes, no; /* then these two of its rows */
};

struct ranking {
    struct kt_engine *e;
    struct span layout;
    struct head head;
    struct token_vec *prompts; /* [n] */
    size_t n, n_common;        /* n_common: tokens that every prompt begins with */
    float *hidden;             /* [engine_text_max, d_model] with rows, else NULL */
    float *logits;             /* [n_vocab] without */
};

static struct span layout_of(const struct kt_engine *e)
{
    struct span own = model_file_str(e->file, "tokenizer.chat_template.rerank");
    bool usable =
        span_find(own, SPAN(QUERY), 0) != SIZE_MAX && span_find(own, SPAN(DOCUMENT), 0) != SIZE_MAX;
    return usable ? own : SPAN(LAYOUT);
}

/* ---- the head -------------------------------------------------------------------------------- */

/* Row 0 is yes, unless the file names its rows the other way round. */
static bool rows_swapped(const struct kt_engine *e)
{
    char key[48];
    snprintf(key, sizeof(key), "%s.classifier.output_labels",
             arch_name(model_shape_of(e->model)->arch));
    const struct meta *labels = model_file_meta(e->file, key);
    return labels && labels->type == META_ARR_STR && labels->n == 2 &&
           span_eq(meta_arr_str(labels, 0), SPAN("no"));
}

static enum kt_status read_rows(struct head *h, const struct kt_engine *e, const struct tensor *t,
                                struct kt_error *err)
{
    size_t d = model_shape_of(e->model)->d_model, row_bytes;
    const struct qtype_traits *traits = qtype_traits(t->type);
    if (t->n_dims != 2 || t->dims[0] != d || t->dims[1] != 2 || !traits ||
        !qtype_row_bytes(&row_bytes, t->type, d) || t->bytes != 2 * row_bytes)
        return kt_fail(err, KT_E_FORMAT,
                       "%s: tensor cls.output.weight is [%llu, %llu], expected [%zu, 2]: a row for "
                       "yes and one for no",
                       model_file_path(e->file), (unsigned long long)t->dims[0],
                       (unsigned long long)t->dims[1], d);
    h->rows = calloc(2 * d, sizeof(*h->rows));
    if (!h->rows)
        return kt_fail(err, KT_E_NOMEM, "rerank: out of memory");
    for (size_t r = 0; r < 2; r++)
        traits->dequant(h->rows + (rows_swapped(e) ? 1 - r : r) * d,
                        (const char *)t->data + r * row_bytes, d);
    return KT_OK;
}

static enum kt_status find_head(struct head *h, const struct kt_engine *e, struct kt_error *err)
{
    const struct tensor *t = model_file_tensor(e->file, "cls.output.weight");
    if (t)
        return read_rows(h, e, t, err);
    h->yes = tokenizer_find(e->tokenizer, SPAN("yes"));
    h->no = tokenizer_find(e->tokenizer, SPAN("no"));
    size_t n = e->n_vocab;
    if (h->yes < 0 || h->no < 0 || (size_t)h->yes >= n || (size_t)h->no >= n)
        return kt_fail(err, KT_E_FORMAT, "%s: the vocabulary has no tokens \"yes\" and \"no\"",
                       model_file_path(e->file));
    return KT_OK;
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

/* ---- prompts --------------------------------------------------------------------------------- */

static enum kt_status encode(const struct ranking *r, struct token_vec *out, struct span layout,
                             const char *query, const char *document, struct kt_error *err)
{
    const struct prompt_field fields[] = {
        { SPAN("{instruction}"), SPAN(ENGINE_DEFAULT_TASK) },
        { SPAN(QUERY), span_of(query) },
        { SPAN(DOCUMENT), span_of(document) },
    };
    return prompt_encode(r->e->tokenizer, out, layout, fields, ARRAY_LEN(fields), err);
}

/* Cut the document of a prompt that is too long; what comes after it stays. */
static enum kt_status cut(const struct ranking *r, struct token_vec *v, const char *query,
                          struct kt_error *err)
{
    size_t n_max = engine_text_max(r->e), at, end = 0;
    if (v->n <= n_max)
        return KT_OK;
    while ((at = span_find(r->layout, SPAN(DOCUMENT), end)) != SIZE_MAX)
        end = at + sizeof(DOCUMENT) - 1;
    struct token_vec tail = { 0 }, empty = { 0 };
    enum kt_status st = encode(r, &tail, span_sub(r->layout, end, r->layout.len), query, "", err);
    if (!st)
        st = encode(r, &empty, r->layout, query, "", err);
    if (!st && empty.n >= n_max)
        st = kt_fail(err, KT_E_LIMIT,
                     "rerank: the query takes %zu tokens of %zu; nothing is left for documents",
                     empty.n, n_max);
    if (!st) {
        memmove(v->ids + n_max - tail.n, v->ids + v->n - tail.n, tail.n * sizeof(*v->ids));
        v->n = n_max;
    }
    token_vec_deinit(&tail);
    token_vec_deinit(&empty);
    return st;
}

/* At least the last token is left for every document's own. */
static size_t common_prefix(const struct token_vec *v, size_t n)
{
    size_t len = v[0].n - 1;
    for (size_t i = 1; i < n; i++) {
        size_t same = 0, most = MIN(len, v[i].n - 1);
        while (same < most && v[i].ids[same] == v[0].ids[same])
            same++;
        len = same;
    }
    return n > 1 ? len : 0;
}

static enum kt_status make_prompts(struct ranking *r, const char *query,
                                   const char *const *documents, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < r->n && !st; i++) {
        st = encode(r, &r->prompts[i], r->layout, query, documents[i], err);
        if (!st)
            st = cut(r, &r->prompts[i], query, err);
        if (!st && r->prompts[i].n == 0)
            st = kt_fail(err, KT_E_FORMAT, "%s: an empty prompt", model_file_path(r->e->file));
    }
    if (!st)
        r->n_common = common_prefix(r->prompts, r->n);
    return st;
}

/* ---- scores ---------------------------------------------------------------------------------- */

static enum kt_status read_common(struct ranking *r, struct kt_error *err)
{
    if (r->n_common == 0)
        return KT_OK;
    enum kt_status st = engine_text_state(r->e, &r->e->rank_state, r->n_common, err);
    if (!st)
        st = engine_text_prepare(r->e, r->n_common, err);
    if (st)
        return st;
    model_state_reset(r->e->rank_state);
    return engine_text_read(r->e, r->e->rank_state, r->prompts[0].ids, r->n_common, NULL, NULL,
                            err);
}

static enum kt_status score_one(struct ranking *r, const struct token_vec *v, float *score,
                                struct kt_error *err)
{
    size_t d = model_shape_of(r->e->model)->d_model, n = v->n - r->n_common;
    enum kt_status st = engine_text_prepare(r->e, v->n, err);
    if (st)
        return st;
    if (r->n_common)
        model_state_copy(r->e->embed_state, r->e->rank_state);
    else
        model_state_reset(r->e->embed_state);
    st = engine_text_read(r->e, r->e->embed_state, v->ids + r->n_common, n, r->hidden, r->logits,
                          err);
    if (st)
        return st;
    const float *last = r->hidden ? r->hidden + (n - 1) * d : NULL;
    double yes = last ? dot(last, r->head.rows, d) : (double)r->logits[r->head.yes];
    double no = last ? dot(last, r->head.rows + d, d) : (double)r->logits[r->head.no];
    *score = (float)(1 / (1 + exp(no - yes)));
    return isfinite(yes - no)
               ? KT_OK
               : kt_fail(
                     err, KT_E_INTERNAL,
                     "rerank: the score is not a number; the model's file or its computation is "
                     "damaged, try `kontor inspect` on it");
}

static enum kt_status begin(struct ranking *r, struct kt_engine *e, size_t n, struct kt_error *err)
{
    *r = (struct ranking){ .e = e, .layout = layout_of(e), .n = n };
    enum kt_status st = find_head(&r->head, e, err);
    if (st)
        return st;
    r->prompts = calloc(n, sizeof(*r->prompts));
    if (r->head.rows)
        r->hidden = calloc(engine_text_max(e), model_shape_of(e->model)->d_model * sizeof(float));
    else
        r->logits = calloc(e->n_vocab, sizeof(float));
    if (!r->prompts || (!r->hidden && !r->logits))
        return kt_fail(err, KT_E_NOMEM, "rerank: out of memory for %zu documents", n);
    return KT_OK;
}

static void end(struct ranking *r)
{
    for (size_t i = 0; r->prompts && i < r->n; i++)
        token_vec_deinit(&r->prompts[i]);
    free(r->prompts);
    free(r->hidden);
    free(r->logits);
    free(r->head.rows);
}

static enum kt_status rank(struct kt_engine *e, const char *query, const char *const *documents,
                           size_t n, float *scores, struct kt_error *err)
{
    struct ranking r;
    enum kt_status st = begin(&r, e, n, err);
    if (!st)
        st = make_prompts(&r, query, documents, err);
    pthread_mutex_lock(&e->lazy_lock);
    if (!st)
        st = read_common(&r, err);
    for (size_t i = 0; i < n && !st; i++)
        st = score_one(&r, &r.prompts[i], &scores[i], err);
    pthread_mutex_unlock(&e->lazy_lock);
    end(&r);
    return st;
}

/* ---- by vectors ------------------------------------------------------------------------------ */

static enum kt_status rank_by_cosine(struct kt_engine *e, const char *query,
                                     const char *const *documents, size_t n, float *scores,
                                     struct kt_error *err)
{
    size_t d = model_shape_of(e->model)->d_model;
    float *q = calloc(2 * d, sizeof(*q));
    if (!q)
        return kt_fail(err, KT_E_NOMEM, "rerank: out of memory");
    enum kt_status st = kt_embed_queries(e, NULL, &query, 1, q, err);
    for (size_t i = 0; i < n && !st; i++) {
        float *v = q + d;
        st = kt_embed(e, &documents[i], 1, v, err);
        double length = sqrt(dot(q, q, d) * dot(v, v, d));
        scores[i] = length > 0 ? (float)(dot(q, v, d) / length) : 0;
    }
    free(q);
    return st;
}

enum kt_status kt_rerank(struct kt_engine *e, const char *query, const char *const *documents,
                         size_t n_documents, float *scores, struct kt_error *err)
{
    const struct model_shape *s = model_shape_of(e->model);
    bool embeds = s->pooling != POOL_NONE && s->pooling != POOL_RANK;
    /* Early files of the reranker say nothing about pooling. */
    if (!embeds && s->pooling != POOL_RANK && s->arch != ARCH_QWEN3)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: neither a reranker nor an embedding model; use one such as "
                       "Qwen3-Reranker-0.6B",
                       model_file_path(e->file));
    enum kt_status st = engine_need_tokenizer(e, err);
    if (st || n_documents == 0)
        return st;
    return embeds ? rank_by_cosine(e, query, documents, n_documents, scores, err)
                  : rank(e, query, documents, n_documents, scores, err);
}
