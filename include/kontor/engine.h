/* kontor/engine.h: a language or embedding model, running on this machine.
 *
 * Two nouns: a kt_engine is an opened model (weights mapped, threads, kernels): immutable, shared.
 * A kt_context is one timeline of tokens with its memory. Callers always hand over the whole
 * prefix; what can be reused of earlier work is the context's business. Nothing here opens a
 * network connection.
 *
 * Threads: an engine may be used from several threads. A context belongs to one thread at a time. Contexts of
 * one engine that work at the same time, each on its own thread, are computed together: one step reads the
 * weights once for the rows of all. What comes out does not depend on the company. */
#ifndef KONTOR_ENGINE_H
#define KONTOR_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kontor/constrain.h"
#include "kontor/media.h"
#include "kontor/status.h"

struct kt_engine;
struct kt_context;

struct kt_engine_options {
    uint32_t n_threads; /* 0: the processors this process may use */
    uint32_t cpu_mask;  /* instruction sets to do without, as CPU_* bits (tests, doctor) */
    /* The vision part of a GGUF model, a GGUF file of its own. NULL: the one file mmproj*.gguf beside the model, if
     * there is one and it fits. A folder has its own. */
    const char *mmproj_path;
    /* Seconds that looking at one picture may take: see kt_vision_pixels(). 0: 30; below 0: any. */
    double look_seconds;
};

/* Open the model at 'path': a GGUF file (the first part of a split one) or a folder with
 * config.json and safetensors. Weights stay memory-mapped until kt_engine_close(). 'opts' may be
 * NULL. On failure *out is NULL and err names the file, the check that failed and what would fix
 * it. */
KT_API KT_MUST_CHECK enum kt_status kt_engine_open(struct kt_engine **out, const char *path,
                                                   const struct kt_engine_options *opts,
                                                   struct kt_error *err);
KT_API void kt_engine_close(struct kt_engine *e);

struct kt_engine_info {
    const char *arch;        /* "llama", "qwen35", "bert", ...        */
    const char *tokenizer;   /* "bpe/smollm", NULL when it has none   */
    const char *chat_layout; /* "chatml", "qwen35", NULL              */
    const char *cpu_level;   /* "avx512vnni", ...                     */
    uint64_t weight_bytes;
    uint32_t n_vocab, n_ctx_train, d_model, n_layers;
    uint32_t n_threads;
    bool is_encoder;              /* embeds, does not generate             */
    bool sees;                    /* images and videos may stand in a prompt */
    int32_t image_pad, video_pad; /* ids of the tokens in whose place they stand, -1: none */
};
KT_API void kt_engine_info(const struct kt_engine *e, struct kt_engine_info *out);

/* ---- tokens ---------------------------------------------------------------------------------- */

enum {
    KT_TOKENS_PLAIN = 0,
    KT_TOKENS_SPECIAL = 1
}; /* SPECIAL: recognise control tokens; for text of the program's own */

/* *ids is the caller's to free(). */
KT_API KT_MUST_CHECK enum kt_status kt_tokenize(const struct kt_engine *e, const char *text,
                                                size_t text_len, unsigned mode, int32_t **ids,
                                                size_t *n_ids, struct kt_error *err);

/* The other way, control tokens spelled out; the bytes may be a part of a character at either end. *text is
 * the caller's to free(), terminated. */
KT_API KT_MUST_CHECK enum kt_status kt_detokenize(const struct kt_engine *e, const int32_t *ids,
                                                  size_t n_ids, char **text, size_t *text_len,
                                                  struct kt_error *err);

struct kt_message {
    const char *role; /* "system", "user", "assistant" */
    const char *text;
    size_t text_len;
};
/* The conversation in the model's own layout, ready to generate the assistant's next turn, without
 * thinking. kontor/chat.h has more: thoughts, tools, images. */
KT_API KT_MUST_CHECK enum kt_status
kt_chat_tokens(const struct kt_engine *e, const struct kt_message *msgs, size_t n_msgs,
               int32_t **ids, size_t *n_ids, struct kt_error *err);

/* ---- images and videos ----------------------------------------------------------------------- */

/* How many pads an image or a video takes in a prompt: one for every 32 x 32 pixels of an image, or of a pair of
 * frames. 0: it is not of the form that struct kt_vision_input promises.
 *
 * Requests below carry a list of them in the order of their pads: an image is one run of info.image_pad, a video
 * one run of info.video_pad for each pair of frames, with text between (its time). Pixels are the caller's and
 * are read during the call only. The same pixels are looked at once: what they became is kept for a while. */
KT_API size_t kt_vision_tokens(const struct kt_vision_input *in);

/* What a model sees: vectors [kt_vision_tokens(in), d_model], the caller's memory: row by row, pair after pair.
 * on_progress may be NULL; false cancels (KT_E_CANCELLED). KT_E_UNSUPPORTED says why this model cannot see. Seconds for
 * a photograph, more for a video. */
KT_API KT_MUST_CHECK enum kt_status
kt_vision_embed(struct kt_engine *e, const struct kt_vision_input *in, float *vectors,
                bool (*on_progress)(void *ctx, size_t n_done, size_t n_total), void *callback_ctx,
                struct kt_error *err);

/* How large a picture may be for this machine to look at it in about the engine's look_seconds: pixels, a power of two
 * from 2^18 to 2^24, so that small changes of speed do not show. The tower's speed is measured at the first call (some
 * hundredths of a second). 0: no bound, or nothing to look with. Thread-safe. */
KT_API uint64_t kt_vision_pixels(struct kt_engine *e);

/* ---- generation ------------------------------------------------------------------------------ */

/* Keys and values, which grow with the context: 2 bytes a number, 4, or 1 and a 16-bit scale for
 * each 32. And the recurrent state of Gated DeltaNet layers, which does not grow: 4 bytes or 2. What
 * each costs in accuracy stands in docs/PERFORMANCE.md. */
enum kt_kv_type { KT_KV_F16, KT_KV_F32, KT_KV_Q8 };
enum kt_state_type { KT_STATE_F32, KT_STATE_BF16 };

/* Speculation: tokens are guessed, the guesses verified together in one step, and those kept that the model
 * itself would have produced. It changes the speed and nothing else: the same tokens come out, bit by bit, also
 * when sampling, because each position draws with its own number of the seed and a guess counts only if it is
 * the token that was drawn. Guesses come from what the prompt, the answer and the quote sources say after the
 * same words, and from the model's multi-token head, if it has one. How many, if any, follows from what was
 * measured in this context: the time of steps, and how often guesses came true. */
enum kt_speculate {
    KT_SPECULATE_AUTO, /* all that is there and pays                              */
    KT_SPECULATE_OFF,
    KT_SPECULATE_MTP,    /* the multi-token head only; KT_E_UNSUPPORTED without one */
    KT_SPECULATE_LOOKUP, /* what stood in the text only                             */
};

struct kt_context_options {
    size_t n_ctx; /* tokens; 0: the smaller of 4096 and what the model was trained for */
    enum kt_kv_type kv;
    enum kt_state_type state;
    size_t n_batch;              /* prefill chunk; 0: 512 */
    enum kt_speculate speculate; /* what memory is set aside for; OFF sets none aside */
};
KT_API KT_MUST_CHECK enum kt_status kt_context_create(struct kt_context **out, struct kt_engine *e,
                                                      const struct kt_context_options *opts,
                                                      struct kt_error *err);
KT_API void kt_context_destroy(struct kt_context *c);
/* What such a context takes at most when it is the engine's only one; and of that the part (scratch memory for
 * steps) that all contexts of an engine use together. Nothing is allocated. */
KT_API KT_MUST_CHECK enum kt_status kt_context_bytes(const struct kt_engine *e,
                                                     const struct kt_context_options *opts,
                                                     uint64_t *bytes, struct kt_error *err);
KT_API KT_MUST_CHECK enum kt_status kt_context_shared_bytes(const struct kt_engine *e,
                                                            const struct kt_context_options *opts,
                                                            uint64_t *bytes, struct kt_error *err);

/* What an engine takes beside its contexts, at most: its files, when all of their pages are in memory; looking at an
 * image that fits a prompt of n_ctx tokens, and what is kept of images; reading texts for vectors and ranks. */
struct kt_engine_memory {
    uint64_t weights, seeing, texts;
};
KT_API void kt_engine_memory(const struct kt_engine *e, size_t n_ctx, struct kt_engine_memory *out);

/* For whom the context works next, when others work, too, or may come at any time: its prompts are then read in
 * slices of at most a third of a second, less while somebody's answer is being written. Slices go to the better
 * class first, in a class to the user who has had least. Without this call a context that is alone reads its
 * prompts in steps of n_batch, and counts as interactive. Not during an answer. */
enum kt_class { KT_CLASS_INTERACTIVE, KT_CLASS_TOOL, KT_CLASS_BACKGROUND };
KT_API void kt_context_share(struct kt_context *c, enum kt_class class, int64_t user);

/* Read the tokens, which are the whole of the timeline, and nothing else: what follows a common beginning
 * is then quick. */
KT_API KT_MUST_CHECK enum kt_status kt_context_read(struct kt_context *c, const int32_t *tokens,
                                                    size_t n_tokens, struct kt_error *err);
/* dst becomes what src is, to go on from the same tokens more than once. Both of one engine and made with
 * the same kv and state; src has no images in it (KT_E_UNSUPPORTED). After a failure dst is empty. */
KT_API KT_MUST_CHECK enum kt_status kt_context_copy(struct kt_context *dst, struct kt_context *src,
                                                    struct kt_error *err);

/* Added to the logit of one token, wherever an answer may have it. */
struct kt_logit_bias {
    int32_t id;
    float bias;
};
enum { KT_BIASES_MAX = 1024 };

struct kt_sampling {
    float temperature;       /* 0: greedy: the largest logit, after penalties and biases */
    uint32_t top_k;          /* 0: off */
    float top_p;             /* 0 or >= 1: off */
    float min_p;             /* 0: off; keep tokens with p >= min_p * the largest p */
    float presence_penalty;  /* subtracted from the logits of tokens generated already */
    float frequency_penalty; /* the same, for every time that they were */
    const struct kt_logit_bias *biases; /* [n_biases], at most KT_BIASES_MAX; borrowed */
    size_t n_biases;
    uint64_t seed;
};

/* One token of an answer, as it is made. */
struct kt_token {
    int32_t id;
    size_t text_end; /* the answer's bytes with it; a character may still lack its end */
    /* With n_top or logprobs only. What the model itself thinks, log softmax of its logits, before masks, temperature
     * and penalties: of this token, and of the most likely ones, those first (ties: the smaller id). Borrowed for the call. */
    float logprob;
    const int32_t *top_ids; /* [n_top] */
    const float *top_logprobs;
    size_t n_top;
};
enum { KT_TOP_MAX = 20 };

enum kt_finish { KT_FINISH_STOP, KT_FINISH_LENGTH, KT_FINISH_CANCELLED, KT_FINISH_STOP_STRING };

/* What the answer may be. Both kinds of constraint may be used; they are explained in kontor/constrain.h.
 *
 * Quotations in free text (quotes without grammar): between quotation marks (") the output is restricted to
 * continuations of these texts, cut at word boundaries: a quotation that is in none of them cannot be produced. White
 * space inside a quotation comes out as single spaces. Quotations do not cross quotation marks of the source. Other
 * quotation marks are not produced at all. on_text gets each quotation whole, when it is closed. One that is still open
 * when the answer ends (n_max, a stop string, cancelled) is cut back to the last word it could end with and closed, or
 * dropped with its mark if there is none. If the answer starts in a quotation and nothing can be quoted, it is empty.
 *
 * A grammar: the answer is one of its texts, or the beginning of one if it ended for another reason than KT_FINISH_STOP.
 * It ends at once when nothing can follow. Where the grammar says @quote, a quotation of 'quotes' stands, if there are
 * any. With 'thinking' the answer begins inside a thought (kt_chat_prompt.thinking): that is free, and the grammar
 * begins behind "</think>" and two line ends. With 'may_think' (kt_chat_prompt.may_think) the model decides: an answer
 * that begins with "<think>" goes on so, any other is the grammar's. kt_reply_parser parts thought and answer.
 * KT_E_LIMIT: the grammar is too ambiguous. */
struct kt_generate_request {
    const int32_t *prompt; /* the whole prefix */
    size_t n_prompt;
    /* [n_media] what its pads stand for. KT_E_USAGE names the pad or the image that has no partner. */
    const struct kt_vision_input *media;
    size_t n_media;
    size_t n_max; /* tokens to generate at most; 0: until the context is full */
    struct kt_sampling sampling;
    enum kt_speculate speculate; /* AUTO: as the context allows; OFF; or one kind that it allows */
    const char *const *stop;     /* [n_stop] the answer ends before the first of these */
    size_t n_stop;
    bool ignore_stop_tokens;              /* for measuring */
    const struct kt_grammar *grammar;     /* NULL: free text                */
    bool thinking, may_think;             /* with a grammar; see above      */
    const struct kt_quote_source *quotes; /* [n_quotes]; NULL: unrestricted */
    size_t n_quotes;
    bool start_in_quote;    /* the prompt already ends with an opening mark; without a grammar */
    size_t quote_min_bytes; /* a quotation is not closed before this many bytes; 0: 1 */
    size_t quote_max_bytes; /* ... and must be closed at the first word boundary after this many; 0:
                               400 */
    /* Each token of the answer, in order, before on_text gets its text. May be NULL. A pass over the vocabulary each with
     * logprobs or n_top. */
    void (*on_token)(void *ctx, const struct kt_token *token);
    bool logprobs;
    uint32_t n_top; /* at most KT_TOP_MAX */
    /* New text, whole characters only. Return false to cancel. May be NULL. */
    bool (*on_text)(void *ctx, const char *text, size_t len);
    /* Called between steps during prefill and decode; return false to cancel. May be NULL. */
    bool (*on_progress)(void *ctx, size_t n_prompt_done, size_t n_prompt);
    void *callback_ctx;
};

/* Of one kind of guesses: how many were verified, and how many of them were right. */
struct kt_guesses {
    size_t tried, right;
};

struct kt_generate_result {
    char *text; /* UTF-8, terminated */
    size_t text_len;
    int32_t *tokens; /* without the stop token */
    size_t n_tokens;
    struct kt_quote *quotes;
    size_t n_quotes;
    enum kt_finish finish;
    size_t tokens_prompt, tokens_cached;
    double prompt_s, decode_s; /* wall time */
    float mean_logprob;        /* of the generated tokens under the restricted distribution */
    size_t
        n_steps; /* of the model after the prompt; less than n_tokens - 1 where guesses were right */
    struct kt_guesses lookup, mtp; /* speculation: from the text and its sources; by the head */
};

/* KT_E_LIMIT when prompt and answer cannot fit n_ctx. The result is the caller's to deinit after
 * success; after failure it is empty. A cancelled generation is a success with finish
 * KT_FINISH_CANCELLED. */
KT_API KT_MUST_CHECK enum kt_status
kt_generate(struct kt_context *c, const struct kt_generate_request *rq,
            struct kt_generate_result *out, struct kt_error *err);
KT_API void kt_generate_result_deinit(struct kt_generate_result *r);
KT_API const char *
kt_finish_name(enum kt_finish f); /* "stop", "length", ... as in the OpenAI API */

/* Logits of every position, handed out in order: fn gets row i, [n_vocab], borrowed for the call; a
 * status other than KT_OK ends the pass and is returned. */
typedef enum kt_status (*kt_logits_fn)(void *ctx, size_t pos, const float *logits, size_t n_vocab,
                                       struct kt_error *err);
KT_API KT_MUST_CHECK enum kt_status kt_logits(struct kt_context *c, const int32_t *tokens,
                                              size_t n_tokens, kt_logits_fn fn, void *ctx,
                                              struct kt_error *err);
/* The same with images. */
KT_API KT_MUST_CHECK enum kt_status
kt_logits_media(struct kt_context *c, const int32_t *tokens, size_t n_tokens,
                const struct kt_vision_input *media, size_t n_media, kt_logits_fn fn, void *ctx,
                struct kt_error *err);
/* The same of the multi-token head: row i, made of token i's hidden state and token i + 1, is about
 * token i + 2; n_tokens - 1 rows of n_tokens >= 2. Its keys and values are kept in 32 bits.
 * KT_E_UNSUPPORTED when the model has no such head. */
KT_API KT_MUST_CHECK enum kt_status kt_logits_mtp(struct kt_context *c, const int32_t *tokens,
                                                  size_t n_tokens, kt_logits_fn fn, void *ctx,
                                                  struct kt_error *err);
KT_API KT_MUST_CHECK enum kt_status
kt_logits_mtp_media(struct kt_context *c, const int32_t *tokens, size_t n_tokens,
                    const struct kt_vision_input *media, size_t n_media, kt_logits_fn fn, void *ctx,
                    struct kt_error *err);

/* log softmax(logits)[id], summed in double. */
KT_API double kt_logprob(const float *logits, size_t n_vocab, int32_t id);

/* Total log-probability of 'tail' after 'prefix', and its token count is n_tail: for scoring. */
KT_API KT_MUST_CHECK enum kt_status kt_score(struct kt_context *c, const int32_t *prefix,
                                             size_t n_prefix, const int32_t *tail, size_t n_tail,
                                             double *logprob, struct kt_error *err);
/* The same with images in 'prefix'. */
KT_API KT_MUST_CHECK enum kt_status
kt_score_media(struct kt_context *c, const int32_t *prefix, size_t n_prefix,
               const struct kt_vision_input *media, size_t n_media, const int32_t *tail,
               size_t n_tail, double *logprob, struct kt_error *err);

/* ---- importance ------------------------------------------------------------------------------ */

/* Which columns of a model's matrices matter for a text: what quantising can make use of. One belongs
 * to an engine and must go before it. While a context is watched, whatever it reads is counted; that
 * changes no result. */
struct kt_importance;
KT_API KT_MUST_CHECK enum kt_status
kt_importance_create(struct kt_importance **out, const struct kt_engine *e, struct kt_error *err);
KT_API void kt_importance_destroy(struct kt_importance *p);
KT_API void kt_importance_watch(struct kt_importance *p, struct kt_context *c);
/* To a file (docs/FORMATS.md). 'text_name' is written into it; n_windows of n_window tokens were read. */
KT_API KT_MUST_CHECK enum kt_status
kt_importance_write(const struct kt_importance *p, const char *path, const char *text_name,
                    size_t n_windows, size_t n_window, struct kt_error *err);

/* ---- measuring ------------------------------------------------------------------------------- */

struct kt_bench_request {
    size_t n_prompt;  /* tokens of one prompt; 0: not measured                   */
    size_t n_gen;     /* single tokens, one after the other; 0: not measured     */
    size_t n_depth;   /* tokens already in the context before both               */
    size_t n_streams; /* sequences decoded together in one step; 0: 1            */
    bool mixed;       /* also: a step of those streams and of one prompt chunk   */
    size_t n_reps;    /* 0: 5; the medians are given                             */
    size_t n_batch;   /* prefill chunk; 0: 512                                   */
    enum kt_kv_type kv;
    enum kt_state_type state;
    bool (*on_progress)(void *ctx, size_t n_reps_done,
                        size_t n_reps); /* false cancels; may be NULL */
    void *callback_ctx;
};

struct kt_bench_result {
    double pp, tg; /* tokens a second: prompt; generated, of all streams together */
    /* With 'mixed', seconds of one step: of the streams' tokens, of a chunk of n_prompt (at most n_batch) tokens, and of
     * both together. */
    double streams_s, chunk_s, mixed_s;
};

/* Random token ids, nothing but the model in the time. KT_E_CANCELLED when on_progress said so. */
KT_API KT_MUST_CHECK enum kt_status kt_bench(struct kt_engine *e, const struct kt_bench_request *rq,
                                             struct kt_bench_result *out, struct kt_error *err);

/* What speculation costs: medians of the seconds a step takes that verifies n_rows[i] - 1 guesses, n_rows[0]
 * being 1, and of one guess by the multi-token head (0: there is none). n_depth, n_reps, kv and state of rq
 * count. */
enum { KT_BENCH_ROWS = 6 };
struct kt_bench_guesses {
    size_t n_rows[KT_BENCH_ROWS];
    double rows_s[KT_BENCH_ROWS];
    double head_s;
};
KT_API KT_MUST_CHECK enum kt_status
kt_bench_guesses(struct kt_engine *e, const struct kt_bench_request *rq,
                 struct kt_bench_guesses *out, struct kt_error *err);

/* What this machine does at most, all threads together: bytes read from memory, and operations (a multiplication and
 * an addition are two) of 8-bit integers and of 32-bit floats with everything in registers. Takes about two seconds and
 * 512 MiB. 'opts' (may be NULL): threads and cpu_mask count. */
struct kt_machine_speed {
    uint32_t n_threads;
    const char *cpu_level; /* whose instructions computed */
    double read_bytes_s, int8_ops_s, float_ops_s;
};
KT_API KT_MUST_CHECK enum kt_status kt_bench_machine(const struct kt_engine_options *opts,
                                                     struct kt_machine_speed *out,
                                                     struct kt_error *err);

/* ---- embeddings ------------------------------------------------------------------------------ */

/* vectors: [n_texts, d_model], the caller's memory; pooled and normalised as the model wants.
 * Over-long texts are cut at the model's limit. Works with encoders and with decoder embedding
 * models. */
KT_API KT_MUST_CHECK enum kt_status kt_embed(struct kt_engine *e, const char *const *texts,
                                             size_t n_texts, float *vectors, struct kt_error *err);

/* The same for questions that will be compared with the vectors of kt_embed(). Models that were
 * trained to be told what is searched (Qwen3-Embedding) read 'task' before each, an English sentence;
 * NULL: finding passages that answer. Other models see no difference. */
KT_API KT_MUST_CHECK enum kt_status kt_embed_queries(struct kt_engine *e, const char *task,
                                                     const char *const *queries, size_t n_queries,
                                                     float *vectors, struct kt_error *err);

/* How well each document answers 'query': scores [n_documents], the caller's memory, higher is
 * better. A reranker (Qwen3-Reranker) gives the probability of its "yes", 0 to 1; an embedding model
 * gives the cosine of the two vectors. Documents that are too long are cut at the model's limit;
 * KT_E_LIMIT when the query leaves them no room. */
KT_API KT_MUST_CHECK enum kt_status kt_rerank(struct kt_engine *e, const char *query,
                                              const char *const *documents, size_t n_documents,
                                              float *scores, struct kt_error *err);

#endif
