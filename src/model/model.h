/* model/model.h: weights bound to a shape, the state of a sequence, and one step of computation.
 *
 *   struct model         immutable: mapped weights with checked shapes, kernels, pool. Shared by all.
 *   struct model_state   one sequence's keys, values, recurrent and convolution state; n_past tokens.
 *   struct model_run     scratch memory for steps of up to n_batch rows. One per worker thread.
 *
 * A step takes spans: each is some new tokens of one state. Decode rows of several sequences and a
 * prefill chunk may ride together; a sequence's numbers do not depend on its company, on the chunking or
 * on the thread count (see kernels.h), whatever the types its state is kept in. There is no truncate:
 * recurrent state cannot be cut. It can be copied (model_state_copy, model_state_freeze) and later put
 * back; and of the tokens of the last step alone, if its span was tentative, any number may be taken back
 * (model_state_accept), for tokens that were only guessed.
 *
 * Some models have a head more that predicts the token after the next one, from the trunk's hidden
 * state of a position and the token that follows it (docs/MODEL.md). It has a state of its own kind,
 * which holds keys and values only and therefore can be cut.
 *
 * Not thread-safe per state and per run; a model may be used by any number of runs with the same pool
 * as long as only one step runs at a time. */
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/pool.h"
#include "base/status.h"
#include "model/model_file.h"
#include "model/shape.h"

struct model;
struct model_state;
struct model_run;

/* Opens nothing: 'file' is borrowed and must outlive the model, as must pool and kernels.
 * Fails with KT_E_FORMAT naming the tensor whose shape is not what the metadata promise, KT_E_UNSUPPORTED
 * for another architecture, KT_E_LIMIT when it cannot fit this machine. */
KT_MUST_CHECK enum kt_status model_create(struct model **out, const struct model_file *file,
                                          const struct kernels *k, struct pool *pool, struct kt_error *err);
void model_destroy(struct model *m);
const struct model_shape *model_shape_of(const struct model *m);

KT_MUST_CHECK enum kt_status model_state_create(struct model_state **out, const struct model *m,
                                                size_t n_ctx, struct state_types types,
                                                struct kt_error *err);
void model_state_destroy(struct model_state *s);
void model_state_reset(struct model_state *s); /* n_past = 0, recurrent state zeroed */
/* The same, and nothing of what was in it stays in memory. */
void model_state_clear(struct model_state *s);
size_t model_state_n_past(const struct model_state *s);
size_t model_state_n_ctx(const struct model_state *s);
struct state_types model_state_types(const struct model_state *s);
/* The position of the next token, if it is text: n_past, or less once there were images (below). */
uint32_t model_state_next_position(const struct model_state *s);
/* dst becomes equal to src; both of the same model and types, dst's n_ctx >= src's n_past. Keys and values
 * are shared, page by page, until one of the two writes to a page: what is copied is the recurrent state. */
void model_state_copy(struct model_state *dst, const struct model_state *src);
/* A checkpoint: a copy of src, which has tokens, that takes no part in steps and no more memory than it
 * needs. It never changes, so that any number of threads may copy from it. */
KT_MUST_CHECK enum kt_status model_state_freeze(struct model_state **out, const struct model_state *src,
                                                struct kt_error *err);
/* What a checkpoint takes: memory of its own; pages of so many bytes, so many tokens in each; and the bytes
 * of those of its pages that no other kept state refers to. 'keep' counts the state in or out; the calls for
 * all states of one model are serialised by the caller. */
size_t model_state_own_bytes(const struct model_state *s);
size_t model_state_page_bytes(const struct model_state *s);
size_t model_page_tokens(void);
size_t model_state_keep(const struct model_state *s, bool keep);

/* A checkpoint as bytes: fn is called for every part of it, in one order, to read or to fill it; a status other
 * than KT_OK ends the walk and is returned. Rows: keys and values of positions [from, to); the rest is what
 * does not grow. */
typedef enum kt_status (*model_bytes_fn)(void *ctx, void *bytes, size_t n, struct kt_error *err);
KT_MUST_CHECK enum kt_status model_state_each_row(const struct model_state *s, size_t from, size_t to,
                                                  model_bytes_fn fn, void *ctx, struct kt_error *err);
KT_MUST_CHECK enum kt_status model_state_each_rest(const struct model_state *s, model_bytes_fn fn,
                                                   void *ctx, struct kt_error *err);
size_t model_state_saved_bytes(const struct model_state *s, size_t from);
/* A checkpoint to be filled: n_tokens >= 1, of which the rows of the first n_base are those of 'base', if that is
 * not NULL; everything else is 0. */
KT_MUST_CHECK enum kt_status model_state_blank(struct model_state **out, const struct model *m,
                                               struct state_types types, size_t n_tokens,
                                               uint32_t next_position, const struct model_state *base,
                                               size_t n_base, struct kt_error *err);

/* Make room for tentative spans of up to n_rows tokens, at most TENTATIVE_MAX; what is in the state
 * stays. Costs tentative_size() bytes; without recurrent layers none. */
enum { TENTATIVE_MAX = 64 };
KT_MUST_CHECK enum kt_status model_state_allow_tentative(struct model_state *s, size_t n_rows,
                                                         struct kt_error *err);
/* Of the last step's tentative tokens the first n_tokens stay and the others never were: the state
 * then has the bits of one that was only ever given those that stay. Until this is called the state
 * takes part in no step and no copy; a reset takes all back. */
void model_state_accept(struct model_state *s, size_t n_tokens);

/* The state of the multi-token head; KT_E_UNSUPPORTED when the model has none. What is written above
 * holds for it too. model_state_cut() forgets all but the first n_tokens, of a state of this kind, or of a
 * model without recurrent layers (model_can_cut); what comes next is then text after the same images, so it
 * may not cut into or before one. */
bool model_has_mtp(const struct model *m);
KT_MUST_CHECK enum kt_status model_mtp_state_create(struct model_state **out, const struct model *m,
                                                    size_t n_ctx, struct state_types types,
                                                    struct kt_error *err);
bool model_can_cut(const struct model *m);
void model_state_cut(struct model_state *s, size_t n_tokens);

KT_MUST_CHECK enum kt_status model_run_create(struct model_run **out, const struct model *m,
                                              size_t n_batch, struct kt_error *err);
void model_run_destroy(struct model_run *r);
size_t model_run_n_batch(const struct model_run *r);
/* From now on every row that goes into a matrix is added to 'sums' (importance.h), borrowed; NULL: no
 * more. The numbers that come out are the same. */
struct importance_sums;
void model_run_observe(struct model_run *r, struct importance_sums *sums);

enum { MODEL_POSITION_MAX = 1 << 30 };

enum span_output { OUT_NONE, OUT_LAST, OUT_ALL };

struct model_span {
    struct model_state *state;
    const int32_t *tokens; /* [n_tokens], each in [0, n_vocab) */
    size_t n_tokens;       /* >= 1; n_past + n_tokens <= n_ctx */
    enum span_output logits_of;
    float *logits;         /* [1 or n_tokens, n_vocab]; NULL with OUT_NONE */
    /* Whoever only guesses may be content with the logits of some ids; the head is a third of a small model.
     * n_ids not 0: of the first n_ids, then of more_ids [n_more_ids], each in [0, n_vocab); rows of logits are
     * so long. All spans of a step ask for the same. */
    size_t n_ids, n_more_ids;
    const int32_t *more_ids;
    float *hidden;         /* [n_tokens, d_model] after the final norm, or NULL */
    const float *hidden_in; /* [n_tokens, d_model], for model_mtp_step() only      */
    bool tentative; /* wait for model_state_accept(); not for model_mtp_step(), whose states can be cut,
                       and only text: without positions */
    /* Vectors of images: instead of token t's own embedding [d_model] the one at embeds[t], unless that
     * is NULL; borrowed until the step is done. NULL: none. The token itself must be valid all the same. */
    const float *const *embeds; /* [n_tokens] or NULL */
    /* Time, row and column of each token, for models with such positions (see positions.h; others take
     * the first); each below MODEL_POSITION_MAX. NULL: text, each token one further than the last. After a
     * span with positions text goes on behind the largest that the sequence has had. */
    const uint32_t (*positions)[3]; /* [n_tokens] or NULL */
};

/* The sum of n_tokens over spans is at most n_batch. On success every state has advanced. On failure
 * (bad token id, context full, no memory) nothing has changed. */
KT_MUST_CHECK enum kt_status model_step(struct model_run *r, const struct model_span *spans, size_t n_spans,
                                        struct kt_error *err);

/* The same step of the multi-token head. The t-th entry of a sequence is the pair of hidden_in, what
 * 'hidden' was for its token t, and the token t + 1; its logits are about token t + 2. 'hidden'
 * becomes what the head itself ends with: beside a drafted token it is the next hidden_in. 'positions'
 * are those of the tokens t, 'embeds' belong to the tokens t + 1. */
KT_MUST_CHECK enum kt_status model_mtp_step(struct model_run *r, const struct model_span *spans,
                                            size_t n_spans, struct kt_error *err);

/* Encoders (bert): hidden states [n_tokens, d_model] of one text; n_tokens <= n_batch and n_ctx_train. */
KT_MUST_CHECK enum kt_status model_encode(struct model_run *r, const int32_t *tokens, size_t n_tokens,
                                          float *hidden, struct kt_error *err);

#endif
