/* apps/kontor/look.h: what commands that take images and videos share: their options, opening the
 * files, and putting them in the order of a prompt's pads. */
#ifndef KONTOR_LOOK_H
#define KONTOR_LOOK_H

#include "cli.h"
#include "kontor/chat.h"
#include "kontor/engine.h"
#include "kontor/media.h"

struct look_args {
    struct str_list images, videos;
    const char *mmproj;  /* the vision part of a GGUF model */
    uint64_t max_pixels; /* that a picture, or a whole video, becomes; 0: the model's */
    uint64_t cap_pixels; /* see look_limit(); 0: none */
    double fps;          /* at which a folder's frames were taken; 0: its file "fps", else 24 */
};
#define LOOK_OPTS(a)                                                                               \
    { "--image", NULL, OPT_STR_LIST, &(a).images },                                                \
        { "--video", NULL, OPT_STR_LIST, &(a).videos },                                            \
        { "--mmproj", NULL, OPT_STR, &(a).mmproj },                                                \
        { "--max-pixels", NULL, OPT_U64, &(a).max_pixels },                                        \
    {                                                                                              \
        "--fps", NULL, OPT_F64, &(a).fps                                                           \
    }
#define LOOK_HELP                                                                                  \
    "  --image FILE      a picture (JPEG, PNG, WebP, TIFF, GIF, PPM); may be given several "       \
    "times\n"                                                                                      \
    "  --video PATH      a folder of frames, or a video file (needs ffmpeg); several times, too\n" \
    "  --fps X           how many of a folder's frames were taken a second (default: its file\n"   \
    "                    \"fps\", else 24)\n"                                                      \
    "  --max-pixels N    pictures, and whole videos, become no larger: 1,024 pixels are a token\n" \
    "                    (default: what takes this machine about 30 s, see look_seconds in\n"       \
    "                    settings.ini; at most 16,777,216 and 25,165,824)\n"                       \
    "  --mmproj FILE     the vision part of a GGUF model (default: mmproj*.gguf beside it)\n"

/* Opened: the images in their order, then the videos in theirs. */
struct look {
    struct kt_media **items; /* [n] */
    size_t n, n_images;
};

/* For conversations: pictures become no larger than this machine looks at in the engine's time, unless --max-pixels
 * says how large; what became smaller for that is said on stderr. */
void look_limit(struct look_args *a, struct kt_engine *e);
/* 'model' is where the model is: its folder says how large pictures become. 'all_frames': of a folder's
 * frames every one. 'out' is to be closed, whatever happens. */
KT_MUST_CHECK enum kt_status look_open(struct look *out, const struct look_args *a,
                                       const char *model, bool all_frames, struct kt_error *err);
/* One more, of the kind. */
KT_MUST_CHECK enum kt_status look_add(struct look *l, const struct look_args *a, bool video,
                                      const char *path, const char *model, bool all_frames,
                                      struct kt_error *err);
void look_close(struct look *l);
struct kt_chat_part look_part(const struct kt_media *m);

/* For token ids in which the pads stand already: inputs [l->n], the caller's, in the order of the pads:
 * the next image at an image's pads, the next video at a video's. What has no pads comes last. */
void look_order(struct kt_vision_input *inputs, const struct look *l, const int32_t *ids,
                size_t n_ids, const struct kt_engine_info *info);
/* Pads of videos that the ids have, and that the videos take. */
size_t look_video_pads(const int32_t *ids, size_t n_ids, const struct kt_engine_info *info);
size_t look_video_tokens(const struct look *l);
/* A whole prompt as text with one pad an image or a video: with as many as they take, and a video's
 * times, as kt_chat_build() writes them. Heap, the caller's; NULL: out of memory. */
char *look_expand(const char *text, const struct look *l);

#endif
