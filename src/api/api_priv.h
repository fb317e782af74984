/* api/api_priv.h: what the files of this folder share.
 *
 *   routes.c      the table, and the one place where who-may-what is decided before a body is read
 *   json.c        bodies in: bounded, strict; parameters by table
 *   reply.c       answers and errors, in the style of the client's API; server-sent events
 *   talk*.c       conversations in, replies out, with tools, thoughts and images
 *   shape.c       what the answer must look like
 *   generate.c    what is asked of a generation, in all dialects
 *   run.c         one answer, its thoughts bounded
 *   notes.c       what is remembered of each token: thoughts counted, log-probabilities
 *   openai_*.c    chat, completions, embeddings, models, rerank, tokens
 *   responses*.c  responses: made, streamed, kept
 *   anthropic.c   messages
 *   office.c      matters, search, ask
 *   documents.c   documents of a matter
 *   uploads.c     files that are sent, and kept
 *   spool.c       bytes of a request as files in memory
 *   passage.c     the text around a place
 *   page.c        the page for people (web/)
 *   session.c     log in and out
 *   ops.c         health, metrics, the OpenAPI file */
#ifndef API_API_PRIV_H
#define API_API_PRIV_H

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "api/api.h"
#include "api/notes.h"
#include "base/size.h"
#include "base/status.h"

enum {
    BODY_CHAT = 32 << 20,  /* a long conversation is 1 MiB; images will come */
    BODY_SMALL = 64 << 10, /* a question, a name */
    BODY_TEXTS = 8 << 20,  /* texts to embed or to rank */
    BODY_TOKENS = 1 << 20, /* each byte may become a token, and each token a JSON value */
    BODY_FILE = 64 << 20,  /* a scanned contract has 10 MiB */
    JSON_DEPTH = 64,      /* of arrays and objects in one another; schemas are the deepest in use */
    JSON_VALUES = 200000, /* a value takes some 100 bytes of memory, whatever its text */
    MESSAGES_MAX = 4096,
    STOPS_MAX = 16,
    CHOICES_MAX = 8,
    TEXTS_MAX = 2048,
    EMBED_BATCH = 16, /* texts between two looks at the client */
};

enum style {
    STYLE_OPENAI,
    STYLE_ANTHROPIC,
    STYLE_FILE /* the body is a file, the rest as OpenAI's */
};
enum need { NEED_NOTHING, NEED_USER, NEED_ADMIN };

struct call;
struct route {
    const char *method, *path;
    size_t body_max;
    enum style style;
    enum need need;
    enum access_right right; /* to the matter named by {matter} in the path or ?matter= */
    void (*handle)(struct call *c);
};
extern const struct route routes[];
extern const size_t n_routes;

enum { MATTER_HANDLES = 8 }; /* open for reading between requests */

struct api {
    struct api_options opts;
    struct http_server *http;
    struct http_route *http_routes;
    bool loopback_only;
    int64_t started_unix;
    pthread_mutex_t crew_lock;
    struct crew *crew;      /* that new requests go to; the pointer is guarded by crew_lock */
    pthread_mutex_t writer; /* one request at a time writes to matters: others wait for it here */
    struct matter_pool {
        pthread_mutex_t lock;
        struct kt_matter *idle[MATTER_HANDLES];
        size_t n_idle;
        uint64_t turn; /* larger: handles were closed since */
    } matters;
    struct {
        _Atomic uint64_t requests[6]; /* by the status' first digit; 0: nobody was left to answer */
        _Atomic uint64_t seconds_us, n_seconds;
        _Atomic uint64_t logins_failed, denied;
    } counts;
};

/* One request, from before() to done(). */
struct call {
    struct api *api;
    struct http_request *rq;
    const struct route *route;
    struct identity who;
    struct crew *crew;     /* held while the handler runs */
    struct desk *desk;     /* of the model that is meant: the first, until the body names another */
    const char *chat_name; /* ... and its name; NULL: none writes */
    const char *chat_path; /* ... and where it lies, which says how it looks at images */
    char matter[KT_MATTER_ID_LEN + 1]; /* checked: the caller has route->right to it */
    json_t *body;
    enum serve_class class; /* of what is asked of a model, unless the body says that it may wait */
    uint64_t pool_turn;     /* of the handle that was taken */
};

/* ---- reply.c ---- */
void reply_json(struct call *c, int status, json_t *value); /* takes the reference */
/* 'param' may be NULL. The text may name parameters and numbers, never content. */
void reply_error(struct call *c, int status, const char *type, const char *code, const char *param,
                 const char *fmt, ...) KT_PRINTF(6, 7);
void reply_kt_error(struct call *c, const struct kt_error *err);
int status_of(enum kt_status st);
/* An event; 'name' may be NULL. Takes the reference. False when nobody listens. */
bool event_send(struct call *c, const char *name, json_t *value);
json_t *error_json(enum style style, int status, const char *type, const char *code,
                   const char *param, const char *message, const char *request_id);
/* A string from bytes that may be ill-formed. */
json_t *text_json(const char *text, size_t len);
const char *type_of_status(enum style style, int status);

/* ---- json.c ---- */
/* c->body, an object; false after an answer. */
bool body_parse(struct call *c);
enum param_kind { PARAM_USED, PARAM_IGNORED, PARAM_ONLY };
struct param {
    const char *name;
    enum param_kind kind;
    const char
        *only; /* PARAM_ONLY: the value, as JSON, that changes nothing here; null always is one */
    const char *why; /* ... for others */
};
bool params_check(struct call *c, const struct param *table, size_t n);
/* The same where several routes have a table in common. */
bool params_check_both(struct call *c, const struct param *common, size_t n_common,
                       const struct param *own, size_t n_own);
/* 'out' keeps its value when the parameter is absent or null; false after an answer. */
bool param_number(struct call *c, const char *name, double min, double max, double *out);
bool param_int(struct call *c, const char *name, int64_t min, int64_t max, int64_t *out);
bool param_bool(struct call *c, const char *name, bool *out);
bool param_string(struct call *c, const char *name, const char **out);
bool param_required(struct call *c, const char *name);
/* NULL when it is absent or null; not yet known to be an object. */
json_t *param_object(struct call *c, const char *name);

/* ---- generate.c ---- */
struct api_talk;
struct generation {
    struct call *call;
    const struct api_talk *talk; /* NULL: a plain text is continued */
    const int32_t *prompt;       /* borrowed, like what follows */
    size_t n_prompt;
    const struct kt_vision_input *media;
    size_t n_media;
    int64_t n_max; /* 0: what fits */
    double temperature, top_p, min_p, presence, frequency;
    struct kt_logit_bias *biases; /* [n_biases] heap */
    size_t n_biases;
    int64_t top_k, seed; /* seed -1: a random one */
    const char *stop[STOPS_MAX];
    size_t n_stop;
    bool logprobs; /* wanted */
    int64_t n_top;
    int64_t n_think_max; /* tokens of a thought, after which it is ended; 0: as it comes */
    struct kt_grammar
        *grammar; /* what the answer must be; NULL: anything; destroyed with the generation */
    /* of the one that runs; NULL when the answer is sent whole */
    bool (*on_begin)(struct generation *g); /* the turn has come */
    bool (*on_text)(struct generation *g, const char *text, size_t len);
    void *ctx;
    bool begun;
    bool thought_cut;   /* it was stopped because it had thought enough */
    bool call_made;     /* ... because it had called the one tool that it may call */
    size_t n_written;   /* bytes given to on_text */
    struct notes notes; /* of the tokens */
    size_t notes_base;  /* bytes that were written before the part that runs */
    struct kt_generate_result result;
    const char *stopped_by; /* the stop string; NULL */
};
bool generation_params(struct generation *g);
bool generation_stop(struct generation *g, const char *name);
/* The conversation is what is gone on from. */
void generation_from_talk(struct generation *g, const struct api_talk *t);
/* Run it for the index-th choice. The result stays in g until the next. */
enum kt_status generation_run(struct generation *g, size_t index, struct kt_error *err);
void generation_deinit(struct generation *g);
/* Is 'model' of the body one that writes (that embeds)? The first chooses c->desk. False after an answer. */
bool model_is_chat(struct call *c);
bool model_is_embed(struct call *c);
bool caller_gone(void *call);
struct visitor visitor_of(struct call *c);

/* ---- handlers ---- */
void handle_models(struct call *c);
void handle_model(struct call *c);
void handle_chat(struct call *c);
void handle_responses(struct call *c);
void handle_responses_count(struct call *c);
void handle_response(struct call *c);
void handle_response_remove(struct call *c);
void handle_response_input(struct call *c);
void handle_completions(struct call *c);
void handle_embeddings(struct call *c);
void handle_rerank(struct call *c);
void handle_tokenize(struct call *c);
void handle_detokenize(struct call *c);
void handle_messages(struct call *c);
void handle_count_tokens(struct call *c);
void handle_page(struct call *c);
void handle_page_file(struct call *c);
void handle_passage(struct call *c);
void handle_health(struct call *c);
void handle_ready(struct call *c);
void handle_metrics(struct call *c);
void handle_openapi(struct call *c);
void handle_login(struct call *c);
void handle_logout(struct call *c);
void handle_session(struct call *c);
void handle_matters(struct call *c);
void handle_matter_create(struct call *c);
void handle_matter_destroy(struct call *c);
void handle_matter_rights(struct call *c);
void handle_documents(struct call *c);
void handle_document_add(struct call *c);
void handle_document_upload(struct call *c);
void handle_document_remove(struct call *c);
void handle_document_file(struct call *c);
void handle_document_reindex(struct call *c);
void handle_search(struct call *c);
void handle_ask(struct call *c);

/* ---- documents.c ---- */
/* The {document} of the path; false after an answer. */
bool document_named(struct call *c, int64_t *id);
/* Heap. KT_E_NOTFOUND. */
KT_MUST_CHECK enum kt_status document_path(char **out, struct kt_matter *m, int64_t id,
                                           struct kt_error *err);

/* ---- office.c: matters that stay open between requests ---- */
KT_MUST_CHECK enum kt_status matter_take(struct kt_matter **out, struct call *c,
                                         struct kt_error *err);
void matter_give(struct call *c, struct kt_matter *m);
void matters_close(struct api *a, const char *id); /* NULL: all */
/* c->matter for writing, when nobody else writes; false after an answer. To be given back by write_end(). */
bool write_begin(struct call *c, struct kt_matter **out);
void write_end(struct call *c, struct kt_matter *m);

#endif
