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

enum { MEDIA_MAX = 16, TOOLS_BYTES_MAX = 1 << 20 };

enum tool_choice { TOOLS_AUTO, TOOLS_NONE, TOOLS_REQUIRED };

struct api_talk {
    struct call *call;
    const char *param; /* that the messages stand in, for refusals */
    struct arena arena;
    struct kt_chat_message *msgs; /* [n_msgs] */
    size_t n_msgs, n_msgs_max;
    struct kt_media *media[MEDIA_MAX];
    size_t n_media;
    char *tools;   /* JSON, as kontor/chat.h wants it; NULL: none */
    char *allowed; /* those of them that may be called; NULL: all */
    enum tool_choice choice;
    const char *forced_name; /* TOOLS_REQUIRED: this tool; NULL: any */
    bool strict;             /* arguments satisfy their schema       */
    struct kt_chat_options opts;
    int64_t n_think_max; /* tokens of a thought; 0: as many as the model wants */
    bool one_call;       /* the answer ends with the first call of a tool      */
    struct kt_chat_prompt prompt;
};

/* The messages, tools and options of c->body to a prompt; false after an answer. */
bool api_talk_read_openai(struct api_talk *t, struct call *c);
bool api_talk_read_anthropic(struct api_talk *t, struct call *c);
/* 'input': all items, those of earlier responses first. */
bool api_talk_read_responses(struct api_talk *t, struct call *c, const json_t *input);
void api_talk_deinit(struct api_talk *t);

/* ---- for the dialects' files ---- */
bool api_talk_begin(struct api_talk *t, struct call *c, const char *param, size_t n_messages);
struct kt_chat_message *api_talk_message(struct api_talk *t, const char *role);
/* A content of OpenAI's dialect: a string or parts. */
bool api_talk_content(struct api_talk *t, const json_t *content, struct kt_chat_message *m);
/* talk_media.c: an image or a video becomes a part of a message; false after an answer. Addresses are data: ones. A video comes
 * as a file or as its frames, an array, 'fps' a second. */
bool api_talk_image(struct api_talk *t, const char *base64, size_t len, struct kt_chat_part *out);
bool api_talk_image_url(struct api_talk *t, const json_t *url, struct kt_chat_part *out);
bool api_talk_video_url(struct api_talk *t, const json_t *url, struct kt_chat_part *out);
bool api_talk_video_frames(struct api_talk *t, const json_t *frames, double fps,
                           struct kt_chat_part *out);
/* How much is thought, in OpenAI's words: none to max. NULL: as the model does. False after an answer that names 'param'. */
bool api_talk_effort(struct api_talk *t, const char *param, const char *effort);
/* 'tools' of a request in the form of kontor/chat.h, and its 'tool_choice'. Takes 'list'. */
bool api_talk_tools(struct api_talk *t, json_t *list);
bool api_talk_build(struct api_talk *t);
bool api_talk_refuse(struct api_talk *t, const char *param, const char *why);
bool api_talk_nomem(struct api_talk *t);

/* ---- replies ---- */

/* What a dialect does with a piece. False: nobody listens. */
struct reply_sink {
    bool (*on_reasoning)(void *ctx, const char *text, size_t len);
    bool (*on_text)(void *ctx, const char *text, size_t len);
    bool (*on_call)(void *ctx, size_t index, const char *name, const char *arguments);
    void *ctx;
};

struct api_reply {
    struct kt_reply_parser *parser;
    struct reply_sink sink;
    bool listened_to;
    size_t n_calls;
};
/* 'sink' NULL: only collected. */
KT_MUST_CHECK enum kt_status api_reply_begin(struct api_reply *r, const struct api_talk *t,
                                             const struct reply_sink *sink, struct kt_error *err);
bool api_reply_push(struct api_reply *r, const char *text, size_t len);
/* *out is borrowed until api_reply_end(). */
KT_MUST_CHECK enum kt_status api_reply_finish(struct api_reply *r, const struct kt_reply **out,
                                              struct kt_error *err);
void api_reply_end(struct api_reply *r);

#endif
