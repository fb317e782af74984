/* engine/engine_priv.h: what the files of this folder share. */
#ifndef ENGINE_ENGINE_PRIV_H
#define ENGINE_ENGINE_PRIV_H

#include <pthread.h>

#include "base/pool.h"
#include "base/status.h"
#include "constrain/constraint.h"
#include "engine/sight.h"
#include "engine/turns.h"
#include "kernels/kernels.h"
#include "kontor/cache.h"
#include "kontor/engine.h"
#include "model/model.h"
#include "model/model_file.h"
#include "text/chat.h"
#include "text/tokenizer.h"

struct kt_engine {
    struct model_file *file;
    struct pool *pool;
    struct kernels kernels;
    struct model *model;
    struct tokenizer *tokenizer;     /* NULL: the file has none, or of a kind we do not read */
    struct kt_error tokenizer_error; /* why it is NULL                                       */
    enum chat_layout layout;
    size_t n_vocab;      /* rows of logits                                       */
    uint64_t *samplable; /* bits: ids that may ever be produced                  */
    struct sight sight;

    struct turns *turns;       /* one step at a time: the pool serves one caller */
    pthread_mutex_t lazy_lock; /* guards what follows: made when first needed    */
    struct token_trie *trie;
    struct model_run *embed_run;
    struct model_state *embed_state; /* decoders only: the text that is read          */
    struct model_state *rank_state;  /* what the documents of one question begin with */
};

struct feed;

/* Vectors in a context's state: which tokens they stand for, and of which pixels they are. */
struct seen_run {
    size_t start;
    size_t vector0;
    struct digest key;
};

struct kt_context {
    struct kt_engine *engine;
    struct model_state *state;
    struct turn_seat seat;
    bool reserved; /* scratch memory for its steps */
    size_t n_ctx, n_batch;
    int32_t *history; /* [n_ctx] the tokens in 'state'; as many as it has  */
    float *logits;    /* [n_rows_max, n_vocab] of the last step's rows     */
    size_t row;       /* which of them came after the last token           */
    bool has_logits;
    /* Vectors among the tokens in 'state': the same tokens with other pixels are another beginning. */
    struct seen_run *seen;
    size_t n_seen, cap_seen;
    const float **embeds;     /* [n_batch] of a step */
    uint32_t (*positions)[3]; /* [n_batch] */
    size_t n_steps;               /* after prompts, for whoever counts     */
    size_t n_rows_max;            /* 1 without speculation                 */
    struct speculation *guessing; /* NULL: never                           */
    /* Of the last step, as long as it is not decided how many of its tokens stay (0: it is): the first,
     * which is certain, and guesses. Those up to 'row' have come true. */
    size_t n_tried;
    int32_t *tried; /* [n_rows_max] */
    struct kt_cache *cache; /* NULL: none */
    char scope[KT_CACHE_SCOPE_MAX + 1];
};

/* Fails with the reason why the model has no tokenizer. */
KT_MUST_CHECK enum kt_status engine_need_tokenizer(const struct kt_engine *e, struct kt_error *err);
/* One model_step() with scratch memory of one's own, between those of contexts; *seconds, if not NULL, is what it
 * took without waiting for that. */
KT_MUST_CHECK enum kt_status engine_step(struct kt_engine *e, struct model_run *run,
                                         const struct model_span *spans, size_t n_spans,
                                         struct kt_error *err);
KT_MUST_CHECK enum kt_status engine_step_timed(struct kt_engine *e, struct model_run *run,
                                               const struct model_span *spans, size_t n_spans,
                                               double *seconds, struct kt_error *err);
/* The vocabulary's trie, made at the first call; borrowed. */
KT_MUST_CHECK enum kt_status engine_trie(struct kt_engine *e, struct token_trie **out,
                                         struct kt_error *err);

/* ---- logprobs.c ---- */
struct token_top {
    int32_t ids[KT_TOP_MAX];
    float logprobs[KT_TOP_MAX];
};
/* The log-probability of t->id in a row of logits, and the t->n_top most likely of 'allowed' (bits), written to *top, to which
 * 't' then points. */
void token_judge(struct kt_token *t, struct token_top *top, const float *logits, size_t n_vocab,
                 const uint64_t *allowed);

struct state_types engine_state_types(enum kt_kv_type kv, enum kt_state_type state);

/* ---- whole texts, for embedding and ranking; the caller holds the lazy lock ---- */

/* What Qwen's embedding and ranking models are told to look for when nobody says anything else. */
#define ENGINE_DEFAULT_TASK                                                                        \
    "Given a web search query, retrieve relevant passages that answer the query"
/* The most tokens of one text. */
size_t engine_text_max(const struct kt_engine *e);
/* ... and of one step of a decoder that reads it. */
size_t engine_text_rows(const struct kt_engine *e);
/* Make what reading a text of n_tokens (at most the above) needs. */
KT_MUST_CHECK enum kt_status engine_text_prepare(struct kt_engine *e, size_t n_tokens,
                                                 struct kt_error *err);
/* A state for n_tokens, made new when *state is NULL or too small: then it is empty. */
KT_MUST_CHECK enum kt_status engine_text_state(struct kt_engine *e, struct model_state **state,
                                               size_t n_tokens, struct kt_error *err);
/* Decoders: n more tokens into 'state'. hidden: [n, d_model]; logits: of the last token. Either may
 * be NULL. */
KT_MUST_CHECK enum kt_status engine_text_read(struct kt_engine *e, struct model_state *state,
                                              const int32_t *ids, size_t n, float *hidden,
                                              float *logits, struct kt_error *err);

/* Return false to cancel. */
typedef bool (*progress_fn)(void *ctx, size_t n_done, size_t n_total);

/* Bring the timeline to exactly 'tokens' (n >= 1, at most n_ctx) with the logits after the last
 * one, 'feed' saying what its pads stand for. What was computed before is kept if it is the
 * beginning of 'tokens' with the same pixels; a recurrent state cannot be cut, so anything else starts over. KT_E_CANCELLED when progress said so; what was
 * computed stays and counts next time. */
KT_MUST_CHECK enum kt_status context_advance(struct kt_context *c, const int32_t *tokens,
                                             size_t n_tokens, struct feed *feed, size_t *n_cached,
                                             progress_fn progress, void *ctx, struct kt_error *err);
/* The logits after the last token. */
const float *context_logits(const struct kt_context *c);
/* One more token; context_logits() are then those after it. n_left: how many may be asked for after it,
 * which bounds the guesses that are computed with it. */
KT_MUST_CHECK enum kt_status context_go_on(struct kt_context *c, int32_t token, size_t n_left,
                                           struct kt_error *err);
/* What was guessed and not taken never was. Before anything but context_go_on(). */
void context_settle(struct kt_context *c);
/* Tokens whose logits are wanted, after what is there already; handed to fn row by row. 'feed' is of a prompt that
 * begins with what is there; NULL: text. */
KT_MUST_CHECK enum kt_status context_append_all(struct kt_context *c, const int32_t *tokens,
                                                size_t n_tokens, struct feed *feed, kt_logits_fn fn,
                                                void *ctx, struct kt_error *err);
void context_reset(struct kt_context *c);
/* Every id in [0, n_vocab)? */
KT_MUST_CHECK enum kt_status context_check_tokens(const struct kt_context *c, const int32_t *tokens,
                                                  size_t n_tokens, struct kt_error *err);

#endif
