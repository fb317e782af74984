/* serve/serve.h: who gets the models when.
 *
 * Two nouns: the desk, which owns the queues, and a visitor, who waits at it. Work on a model waits in a bounded queue
 * until a stream is free, and is then done on the caller's own thread, together with that of the other streams: the
 * engine makes one step for all of them.
 *
 *   - a better class goes first (interactive before tool before background); within a class the user who has fewest
 *     streams, then who was served least recently; within a user, in order
 *   - when an interactive visitor finds all streams taken, an answer of a worse class is paused between two steps and
 *     goes on when there is room; if its memory is needed, too, it is made again from the beginning. The visitor sees
 *     the same bytes, later
 *   - the answering model and the finding model have a queue each; the finding model does one thing at a time
 *   - what was computed is kept as checkpoints within the budget (kontor/cache.h), so that the next message of a
 *     conversation, an edited one, or the next question about a document costs only its own tokens; nothing of one
 *     user or matter is used for another: a context that changes hands is cleared
 *   - a visitor who leaves is struck off the queue, or their work is cancelled between two steps */
#ifndef SERVE_SERVE_H
#define SERVE_SERVE_H

#include "kontor/engine.h"

struct desk;

enum serve_class { SERVE_INTERACTIVE, SERVE_TOOL, SERVE_BACKGROUND, SERVE_CLASSES };

struct desk_options {
    struct kt_engine *chat;  /* NULL: none */
    struct kt_engine *embed; /* NULL: none */
    struct kt_engine *rank;  /* NULL: the finding model ranks, too */
    size_t n_ctx;            /* of a conversation; 0: 8192, or what the model was trained for */
    uint64_t memory_bytes;   /* for contexts and steps; 0: half of what is free */
    size_t n_streams;        /* answers at once, at most; 0: 8, or what fits the memory */
    size_t n_waiting;        /* at most, in each queue; 0: 64 */
};

/* KT_E_LIMIT when not even one conversation fits the memory: says what would. The engines are borrowed. */
KT_MUST_CHECK enum kt_status desk_open(struct desk **out, const struct desk_options *opts,
                                       struct kt_error *err);
/* Cancels what runs, refuses what waits, and returns when nobody is inside any more. */
void desk_close(struct desk *d);

struct visitor {
    int64_t user;      /* whose turn it is, and whose warm contexts */
    const char *scope; /* "" or a matter's id: contexts of one scope are not used in another */
    enum serve_class class;
    /* Where what is kept of this scope is also kept on disk, and the key that seals it (kontor/cache.h); NULL:
     * nowhere. Borrowed during the call. */
    const char *keep_dir;
    const uint8_t *keep_key;
    bool (*gone)(void *ctx); /* asked between steps and while waiting; may be NULL */
    void *ctx;
};

/* kt_generate() with a context that is chosen here. KT_E_BUSY: the queue is full; KT_E_CANCELLED: the visitor
 * left before the turn came; KT_E_UNSUPPORTED: no such model. *waited_s (may be NULL): in the queue. */
KT_MUST_CHECK enum kt_status
desk_generate(struct desk *d, const struct visitor *v, const struct kt_generate_request *rq,
              struct kt_generate_result *out, double *waited_s, struct kt_error *err);
/* Work of more than one step with a context; 'c' is NULL without an answering model. */
typedef enum kt_status (*desk_fn)(void *arg, struct kt_context *c, struct kt_error *err);
KT_MUST_CHECK enum kt_status desk_with_context(struct desk *d, const struct visitor *v, desk_fn fn,
                                               void *arg, struct kt_error *err);
/* Work with the models that find and rank, for a server that has one; 'c' is NULL. */
KT_MUST_CHECK enum kt_status desk_with_embedder(struct desk *d, const struct visitor *v, desk_fn fn,
                                                void *arg, struct kt_error *err);

struct kt_engine *desk_chat(const struct desk *d);  /* NULL: none */
struct kt_engine *desk_embed(const struct desk *d); /* NULL: none */
struct kt_engine *desk_rank(const struct desk *d);  /* NULL: none of its own */
size_t desk_n_ctx(const struct desk *d);
/* A matter is gone: its contexts, too. Waits for answers that use one. */
void desk_forget(struct desk *d, const char *scope);

struct desk_counts {
    size_t waiting, running; /* of both queues */
    size_t warm, warm_max;   /* contexts */
    uint64_t warm_bytes;     /* that they may take together */
    uint64_t memory_limit;   /* that all of it, models too, stays below; 0: not known here */
    size_t checkpoints;      /* in memory */
    uint64_t checkpoint_bytes, checkpoint_bytes_max, checkpoint_hits;
    uint64_t tokens_prompt, tokens_cached, tokens_generated;
    uint64_t refused, cancelled, paused;
    double prompt_s, decode_s;
};
void desk_counts(struct desk *d, struct desk_counts *out);

#endif
