/* api/responses.h: what the files of /v1/responses share.
 *
 * One noun: a response, which is a list of items: what was thought, a message, calls of functions. As events, items are opened
 * and closed one after the other; each event has a number, and the last one repeats the whole. With "store", which is the
 * dialect's default, it is kept for its user (kept/kept.h) with the items of its request, so that the next request names it
 * instead of repeating the conversation. */
#ifndef API_RESPONSES_H
#define API_RESPONSES_H

#include "api/api_priv.h"
#include "api/talk.h"

enum item { ITEM_NONE, ITEM_REASONING, ITEM_MESSAGE };

struct response {
    struct generation g;
    struct api_talk talk;
    struct api_reply reply;
    bool stream, store;
    char id[KEPT_ID_MAX];
    int64_t created;
    json_t *own;    /* the items of this request, each with an id */
    json_t *input;  /* those of earlier responses, and these: what the model reads */
    json_t *output; /* items that are complete */
    /* while it is streamed */
    enum item open;
    struct buf text;  /* of the item that is open */
    json_t *logprobs; /* ... NULL: not wanted */
    size_t n_events;
};

/* ---- responses_items.c ---- */
json_t *response_item_id(const struct response *r, const char *prefix);
/* Takes 'logprobs', which may be NULL. */
json_t *response_part(enum item kind, const char *text, size_t len, json_t *logprobs);
/* Takes 'content', an array. */
json_t *response_item(const struct response *r, enum item kind, json_t *content,
                      const char *status);
json_t *response_call(const struct response *r, const char *name, const char *arguments,
                      const char *status);
/* 'error': what went wrong, for status "failed"; else NULL. */
json_t *response_json(const struct response *r, const char *status, const char *error);
const char *response_status(const struct response *r);
/* The whole reply as items in r->output. */
void response_collect(struct response *r, const struct kt_reply *reply);
/* r->own and r->input from the body. False after an answer. */
bool response_read_input(struct response *r);

/* ---- responses_events.c ---- */
extern const struct reply_sink response_sink;
bool response_on_begin(struct generation *g);
bool response_on_text(struct generation *g, const char *text, size_t len);
/* What is open is closed. False: nobody listens. */
bool response_close(struct response *r);
bool response_send(struct response *r, const char *type, json_t *more);

/* ---- responses_kept.c ---- */
/* The items of the response 'id' and of those before it, appended to 'items'. False after an answer. */
bool response_recall(struct call *c, const char *id, json_t *items);
KT_MUST_CHECK enum kt_status response_keep(const struct response *r, const json_t *whole,
                                           struct kt_error *err);

#endif
