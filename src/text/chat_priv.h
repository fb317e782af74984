/* text/chat_priv.h: what the files of the chat layouts share.
 *
 * A 'writer' takes a layout's pieces and either spells everything out or makes tokens. In the second
 * case the text between two control tokens is collected and encoded in one go, for a layout's "user\n"
 * and the message after it are one text to the model's own tokenizer (a message that begins with a
 * newline makes another token of the two). It is encoded as plain text, so a message cannot end its own
 * turn.
 *
 * A 'content' is what a message says, as one text, in which images and videos stand as the wrapper that
 * the template writes; the layouts' rules (trimming, cutting out thoughts) then work on it as on any
 * text. Where the wrappers are is remembered: the same letters in somebody's text are letters. */
#ifndef TEXT_CHAT_PRIV_H
#define TEXT_CHAT_PRIV_H

#include "text/chat.h"

#define IM_START "<|im_start|>"
#define IM_END   "<|im_end|>"
#define THINK    "<think>"
#define NO_THINK "</think>"

#define TOOL_CALL         "<tool_call>"
#define TOOL_CALL_END     "</tool_call>"
#define TOOL_RESPONSE     "<tool_response>"
#define TOOL_RESPONSE_END "</tool_response>"

#define VISION_START "<|vision_start|>"
#define VISION_END   "<|vision_end|>"
#define IMAGE_PAD    "<|image_pad|>"
#define VIDEO_PAD    "<|video_pad|>"

/* ---- chat_write.c ---------------------------------------------------------------------------- */

struct writer {
    const struct tokenizer *t;
    struct token_vec *ids; /* NULL: spell everything into 'text' */
    struct buf *text;      /* the output, or the plain text that waits for the next control token */
    struct chat_seen *seen; /* which media were written; may be NULL */
    enum kt_status st;      /* the first failure; later calls do nothing */
    struct kt_error *err;
};

void write_text(struct writer *w, struct span s);
void write_str(struct writer *w, const char *s);
void write_control(struct writer *w, const char *name);
/* A text of the layout's own in which a call is shown. */
void write_marked(struct writer *w, struct span s);
/* What waits is encoded. */
void write_pending(struct writer *w);
/* The wrapper of an image or a video with as many pads as it takes. */
void write_media(struct writer *w, const struct chat_part *part);

/* ---- chat_content.c -------------------------------------------------------------------------- */

struct content_media {
    size_t start, end; /* of the text */
    const struct chat_part *part;
};
struct content {
    struct span text;
    struct buf joined; /* what 'text' points into, when it had to be put together */
    struct content_media *media;
    size_t n_media;
};
struct media_count { /* through the conversation */
    size_t n_images, n_videos;
};

/* 'numbered': "Picture 3: " before each. 'c' is to be deinited, whatever happens. */
KT_MUST_CHECK enum kt_status content_init(struct content *c, const struct chat_message *m,
                                          bool numbered, struct media_count *count,
                                          struct kt_error *err);
void content_deinit(struct content *c);
/* A piece of its text, with the media in it. */
void write_content(struct writer *w, const struct content *c, struct span piece);

/* What the templates' trim takes away: Python's white space. */
struct span chat_trim(struct span s);
/* Cut an assistant's message into what it thought and what it said. Thinking ends at the first
 * closing mark and starts after the last opening one before it; the answer follows the last closing
 * mark. */
void split_thinking(struct span text, struct span *thought, struct span *said);

#endif
