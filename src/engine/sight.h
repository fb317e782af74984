/* engine/sight.h: an engine's eyes: its vision tower, and what it saw last.
 *
 * Looking is expensive (minutes for a video), and the same picture is looked at again with every question about it.
 * So vectors are kept by the fingerprint of their pixels, the least recently used ones are dropped first. Who uses
 * some holds them meanwhile.
 *
 * 'lock' guards the list of what was seen; everything else does not change after opening. */
#ifndef ENGINE_SIGHT_H
#define ENGINE_SIGHT_H

#include <pthread.h>

#include "base/digest.h"
#include "kontor/engine.h"
#include "model/vision.h"

/* What is kept without anybody holding it: bytes of vectors (the largest image in the widest model is 320 MiB), and
 * pictures. */
#define SIGHT_BYTES_MAX ((size_t)512 << 20)
enum { SIGHT_SEEN_MAX = 256 };
#define LOOK_SECONDS 30.0

struct seen {
    struct digest key;
    size_t bytes;
    unsigned n_users;
    uint64_t used_at;
    float *vectors; /* [vectors, d_model] */
};

struct sight {
    struct model_file *file;      /* an mmproj file; NULL: the tower is in the model's own */
    struct vision *tower;         /* NULL: it cannot see */
    struct kt_error why;          /* ... and why, when there is more to say than that */
    int32_t image_pad, video_pad; /* ids, -1: the vocabulary has none */
    pthread_mutex_t lock;
    struct seen *list[SIGHT_SEEN_MAX];
    size_t n_seen, bytes;
    uint64_t clock;
    double look_seconds; /* for one picture; below 0: any */
    double
        ops_a_second; /* of the tower; 0: not measured yet; between turns_enter() and turns_exit() */
};

/* The tower of the engine's model, when there is one; the engine has its file, model and tokenizer. 'path' is the
 * model's. Fails for a tower that is damaged or, when 'mmproj_path' names it, not this model's; one that merely lies
 * beside the model is then not used, and 'why' says so. */
KT_MUST_CHECK enum kt_status sight_open(struct kt_engine *e, const char *path,
                                        const char *mmproj_path, double look_seconds,
                                        struct kt_error *err);
void sight_close(struct kt_engine *e);

/* Fails with the reason why it cannot see. */
KT_MUST_CHECK enum kt_status sight_need(const struct kt_engine *e, struct kt_error *err);
struct digest sight_key(const struct kt_vision_input *in);
/* Its vectors, computed unless they are there; held until sight_release(). Other users of the engine get their turn
 * between two pieces of work. KT_E_CANCELLED when 'progress' said so; it may be NULL. */
KT_MUST_CHECK enum kt_status
sight_see(struct kt_engine *e, const struct kt_vision_input *in, const struct digest *key,
          struct seen **out, vision_progress_fn progress, void *ctx, struct kt_error *err);
void sight_release(struct kt_engine *e, struct seen *s); /* NULL is fine */

#endif
