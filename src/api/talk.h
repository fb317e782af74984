/* api/talk.h: a conversation of either dialect, as the engine takes it; and what the model answers, taken apart.
 *
 * Two nouns: a talk is what the request says: messages with texts, images, thoughts, calls of tools and their answers;
 * everything it points to lives in it. A reply is what comes back while it is written. */
#ifndef API_TALK_H
#define API_TALK_H

#include <jansson.h>

#include "base/arena.h"
#include "kontor/chat.h"

struct call;

enum { IMAGES_MAX = 16, TOOLS_BYTES_MAX = 1 << 20 };

struct talk {
    struct call *call;
    struct arena arena;
    struct kt_chat_message *msgs; /* [n_msgs] */
    size_t n_msgs, n_msgs_max;
    struct kt_media *media[IMAGES_MAX];
    size_t n_media;
    char *tools; /* JSON, as kontor/chat.h wants it; NULL: none */
    struct kt_chat_options opts;
    struct kt_chat_prompt prompt;
};

/* The messages, tools and options of c->body to a prompt; false after an answer. */
bool talk_read_openai(struct talk *t, struct call *c);
bool talk_read_anthropic(struct talk *t, struct call *c);
void talk_deinit(struct talk *t);

/* ---- for the dialects' files ---- */
bool talk_begin(struct talk *t, struct call *c, size_t n_messages);
struct kt_chat_message *talk_message(struct talk *t, const char *role);
/* An image from base64; NULL after an answer. */
struct kt_media *talk_image(struct talk *t, const char *base64, size_t len);
bool talk_build(struct talk *t);
bool talk_refuse(struct talk *t, const char *param, const char *why);
bool talk_nomem(struct talk *t);

/* ---- replies ---- */

/* What a dialect does with a piece. False: nobody listens. */
struct reply_sink {
    bool (*on_reasoning)(void *ctx, const char *text, size_t len);
    bool (*on_text)(void *ctx, const char *text, size_t len);
    bool (*on_call)(void *ctx, size_t index, const char *name, const char *arguments);
    void *ctx;
};

struct reply {
    struct kt_reply_parser *parser;
    struct reply_sink sink;
    bool listened_to;
    size_t n_calls;
};
/* 'sink' NULL: only collected. */
KT_MUST_CHECK enum kt_status reply_begin(struct reply *r, const struct talk *t,
                                         const struct reply_sink *sink, struct kt_error *err);
bool reply_push(struct reply *r, const char *text, size_t len);
/* *out is borrowed until reply_end(). */
KT_MUST_CHECK enum kt_status reply_finish(struct reply *r, const struct kt_reply **out,
                                          struct kt_error *err);
void reply_end(struct reply *r);

#endif
