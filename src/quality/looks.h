/* quality/looks.h: a question's images and video, opened, and as a part of a plain prompt.
 *
 * In a conversation the chat layout says where images stand. Before a question whose choices are judged by their
 * probability they stand in the same spelling: `<|vision_start|>`, a pad for each vector, `<|vision_end|>`; of a video
 * that for each pair of frames, with `<1.5 seconds>` before it. */
#ifndef QUALITY_LOOKS_H
#define QUALITY_LOOKS_H

#include "kontor/chat.h"
#include "kontor/engine.h"
#include "quality/suite.h"

struct looks {
    struct kt_media *open[IMAGES_MAX + 1];
    struct kt_chat_part parts[IMAGES_MAX + 2]; /* images, then the video; room for the text */
    struct kt_vision_input inputs[IMAGES_MAX + 1];
    size_t n;
};

/* 'model_path' says how they are prepared; may be NULL. To be closed in any case. */
KT_MUST_CHECK enum kt_status looks_open(struct looks *l, const struct question *q,
                                        const char *model_path, struct kt_error *err);
void looks_close(struct looks *l);
/* Their tokens behind the *n that *ids has (heap, grows). KT_E_UNSUPPORTED when the model's vocabulary has no pads. */
KT_MUST_CHECK enum kt_status looks_append(const struct looks *l, const struct kt_engine *e,
                                          int32_t **ids, size_t *n, struct kt_error *err);

#endif
