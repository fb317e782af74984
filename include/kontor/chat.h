/* kontor/chat.h: conversations with thoughts, tools, images and videos, in a model's own layout.
 *
 * Two nouns: a kt_chat_prompt is a conversation as tokens, with the images and videos that stand in it;
 * a kt_reply_parser takes apart what the model writes: what it thought, what it said, which tools it
 * calls. kt_chat_tokens() of kontor/engine.h is the short form for plain text.
 *
 * Layouts are our own code, compared with the models' templates (docs/MODEL.md); templates in files are
 * never executed. Nothing a message, a tool's definition or a tool's answer says can become a control
 * token. Qwen3.5's layout has a place for everything here, ChatML models' for text and, with Qwen3,
 * thoughts.
 *
 * Threads: as for an engine; a parser belongs to one thread at a time. */
#ifndef KONTOR_CHAT_H
#define KONTOR_CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kontor/engine.h"
#include "kontor/media.h"
#include "kontor/status.h"

/* A piece of what a message says. */
enum kt_chat_part_kind { KT_CHAT_TEXT, KT_CHAT_IMAGE, KT_CHAT_VIDEO };
struct kt_chat_part {
    enum kt_chat_part_kind kind;
    const char *text; /* KT_CHAT_TEXT */
    size_t text_len;
    struct kt_vision_input input; /* of an image or a video: from kt_media_info() */
    const double *seconds;        /* [n_frames / 2] of a video                     */
};

struct kt_chat_call { /* of a tool */
    const char *name;
    const char *arguments; /* a JSON object; NULL: none */
};

struct kt_chat_message {
    const char *role; /* "system", "user", "assistant", "tool" (what a tool answered) */
    const char *text; /* what it says; or, where 'parts' is given, NULL */
    size_t text_len;
    const struct kt_chat_part *parts; /* [n_parts] text, images and videos in their order */
    size_t n_parts;
    /* Of the assistant. */
    const char *reasoning; /* what it thought; NULL: it may stand in the text, before "</think>" */
    size_t reasoning_len;
    const struct kt_chat_call *calls; /* [n_calls] */
    size_t n_calls;
};

/* Qwen3.5 of 0.8B and 2B does not think unless told to, larger ones do; Qwen3 does. Files disagree, so
 * this is decided by the model's size and not by what its template says. */
enum kt_thinking { KT_THINK_DEFAULT, KT_THINK_ON, KT_THINK_OFF };

struct kt_chat_options {
    enum kt_thinking thinking;
    /* A JSON array of {"type":"function","function":{"name":...,"description":...,"parameters":{JSON
     * schema}}}; NULL or empty: none. */
    const char *tools;
    size_t tools_len;
    bool number_media;  /* "Picture 1: " before each image, "Video 1: " before each video */
    bool no_generation; /* without the opening of the assistant's next turn              */
};

struct kt_chat_prompt {
    int32_t *ids; /* [n_ids] */
    size_t n_ids;
    /* [n_media] what the pads among the ids stand for, in their order: for kt_generate_request. The
     * pixels are still the caller's. An image that the layout leaves out is not among them. */
    struct kt_vision_input *media;
    size_t n_media;
    bool thinking;  /* the prompt ends inside a thought: for kt_reply_parser_create(), kt_generate_request */
    bool may_think; /* it does not, and the model may open one by itself: for kt_generate_request         */
};

/* The conversation as tokens. 'opts' may be NULL. The result is the caller's to deinit after success;
 * after failure it is empty. Each image becomes as many pads as it has blocks of 32 x 32 pixels; a video
 * becomes, for each pair of frames, its time ("<1.5 seconds>") and its pads.
 *
 * KT_E_USAGE        an order of messages the layout has no place for, an image in the system message
 * KT_E_FORMAT       tools or arguments that are not what is said above
 * KT_E_UNSUPPORTED  the model has no layout we know, or none for tools or images, or cannot see */
KT_API KT_MUST_CHECK enum kt_status
kt_chat_build(const struct kt_engine *e, const struct kt_chat_message *msgs, size_t n_msgs,
              const struct kt_chat_options *opts, struct kt_chat_prompt *out, struct kt_error *err);
KT_API void kt_chat_prompt_deinit(struct kt_chat_prompt *p);

/* ---- replies --------------------------------------------------------------------------------- */

struct kt_reply_parser;

/* Each may be NULL; then it is only collected. Text is UTF-8 as far as what was pushed is. */
struct kt_reply_events {
    void (*on_reasoning)(void *ctx, const char *text, size_t len);
    void (*on_text)(void *ctx, const char *text, size_t len);
    void (*on_call)(void *ctx, const char *name, const char *arguments);
    void *ctx;
};

struct kt_reply_call {
    char *name, *arguments; /* a JSON object on one line; values have the types the tool declares */
};
struct kt_reply {
    char *reasoning; /* terminated; "" when there is none */
    size_t reasoning_len;
    char *text;
    size_t text_len;
    struct kt_reply_call *calls; /* [n_calls] */
    size_t n_calls;
};

/* 'opts': what the prompt was built with (its tools give the arguments their types); may be NULL.
 * 'thinking' is the prompt's. 'events' may be NULL. */
KT_API KT_MUST_CHECK enum kt_status
kt_reply_parser_create(struct kt_reply_parser **out, const struct kt_chat_options *opts,
                       bool thinking, const struct kt_reply_events *events, struct kt_error *err);
KT_API void kt_reply_parser_destroy(struct kt_reply_parser *p);
/* What the model wrote, in pieces of any size, as kt_generate() gives it to on_text. */
KT_API KT_MUST_CHECK enum kt_status
kt_reply_parser_push(struct kt_reply_parser *p, const char *text, size_t len, struct kt_error *err);
/* The reply is over: what was held back is given out. The whole reply, borrowed until destroy. */
KT_API KT_MUST_CHECK enum kt_status kt_reply_parser_finish(struct kt_reply_parser *p,
                                                           const struct kt_reply **out,
                                                           struct kt_error *err);

#endif
