/* engine/feed.h: what the pads of a prompt stand for.
 *
 * A prompt's tokens say where images are: for each image, or each pair of frames of a video, one run of pads, as many
 * as it has vectors. A feed pairs those runs with the images, in order, and then hands out vectors and positions for
 * any part of the prompt. An image is looked at when its first pad is asked for, and let go after its last. */
#ifndef ENGINE_FEED_H
#define ENGINE_FEED_H

#include "engine/sight.h"
#include "model/positions.h"

struct seen_run;
struct feed_run {
    size_t start; /* token */
    struct prompt_run grid;
    uint32_t p;     /* its first position */
    size_t media;   /* of which image or video */
    size_t vector0; /* its first vector there  */
};

struct feed_media {
    struct digest key;
    struct seen *held;
    size_t end; /* the token after its last */
};

struct feed {
    struct kt_engine *e;
    const struct kt_vision_input *media; /* [n_media], the caller's */
    size_t n_media;
    struct feed_media *list; /* [n_media] */
    struct feed_run *runs;   /* in the order of the prompt */
    size_t n_runs, cap_runs;
};

/* KT_E_USAGE when pads and images do not fit each other, naming which; KT_E_UNSUPPORTED when there are images and the
 * model cannot see. A model without eyes may have any tokens. On failure there is nothing to close. */
KT_MUST_CHECK enum kt_status feed_open(struct feed *f, struct kt_engine *e, const int32_t *tokens,
                                       size_t n_tokens, const struct kt_vision_input *media,
                                       size_t n_media, struct kt_error *err);
void feed_close(struct feed *f);

/* Run r as a context remembers it. */
struct seen_run feed_seen_run(const struct feed *f, size_t r);
/* Whether there is a vector among the tokens [start, start + n). */
bool feed_covers(const struct feed *f, size_t start, size_t n);
/* Vectors (NULL for text) and positions of these; the vectors are good until the next call. */
KT_MUST_CHECK enum kt_status feed_take(struct feed *f, size_t start, size_t n, const float **embeds,
                                       uint32_t (*positions)[3], vision_progress_fn progress,
                                       void *ctx, struct kt_error *err);

#endif
