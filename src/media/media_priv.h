/* media/media_priv.h: what the files of this folder share.
 *
 * Three nouns. A 'picture' is 8-bit RGB on its way from a file to the size a model wants. A 'refusal'
 * is why there is none: a code and two numbers, never a sentence, because the one who refuses has read
 * hostile bytes; the sentence is made by the parent (reason.c). A 'result' is either of them, or what
 * is known of a video, on its way from the worker to the parent (wire.c). */
#ifndef MEDIA_MEDIA_PRIV_H
#define MEDIA_MEDIA_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "kontor/media.h"
#include "media/limits.h"

/* ---- reason.c -------------------------------------------------------------------------------- */

/* The comment says what the numbers a and b of the refusal mean. */
enum reason {
    REASON_NONE,
    REASON_NOMEM,           /* the worker's memory is used up                  */
    REASON_READ,            /* a: errno                                        */
    REASON_FILE_TOO_LARGE,  /* a: bytes allowed                                */
    REASON_NOT_A_PICTURE,   /* a: enum file_kind                               */
    REASON_TOO_MANY_PIXELS, /* a: width, b: height                             */
    REASON_TOO_LONG,        /* a: width, b: height; more than RATIO_MAX        */
    REASON_EMPTY,           /* no width or no height                           */
    REASON_DAMAGED,         /* a: enum file_kind                               */
    REASON_CUT_OFF,         /* a: enum file_kind                               */
    REASON_VARIANT,         /* a: enum file_kind; well-formed, of a kind we do not read */
    REASON_FFMPEG_MISSING,  /* ffmpeg or ffprobe is not installed              */
    REASON_VIDEO_UNKNOWN,   /* ffprobe cannot open it, or it has no picture track */
    REASON_VIDEO_FRAMES,    /* a: frames found, b: asked for                   */
    REASON_VIDEO_SIZE,      /* a: frame whose size is another than the first's */
    REASON_VIDEO_CRASH,     /* ffmpeg died of signal a                         */
    REASON_VIDEO_CPU,       /* ffmpeg used up its processor time               */
    REASON_WALLS,           /* the sandbox could not be put up; a: step, b: errno */
    REASON_INTERNAL,        /* a: where                                        */
    REASON_COUNT
};

/* What a file is, by its first bytes. Those up to KIND_PNM are read. */
enum file_kind {
    KIND_UNKNOWN,
    KIND_JPEG,
    KIND_PNG,
    KIND_WEBP,
    KIND_TIFF,
    KIND_GIF,
    KIND_PNM,
    KIND_BMP,
    KIND_HEIF,
    KIND_JPEG2000,
    KIND_PDF,
    KIND_SVG,
    KIND_VIDEO,
    KIND_COUNT
};

struct refusal {
    enum reason reason; /* REASON_NONE: not refused */
    uint64_t a, b;
};

/* Always false. */
bool media_refuse(struct refusal *why, enum reason reason, uint64_t a, uint64_t b);
/* The sentence and the status for a refusal; 'name' is the file's. */
enum kt_status media_refusal_fail(struct kt_error *err, const char *name, const struct refusal *r,
                                  uint64_t max_source_pixels);

/* ---- picture.c ------------------------------------------------------------------------------- */

struct picture {
    uint8_t *rgb; /* [height, width, 3] */
    uint32_t width, height;
    unsigned orientation; /* as EXIF has it: 1 is upright, up to 8; how it has still to be turned */
    uint64_t max_pixels;  /* that it may have */
};

/* Memory for a picture of this size, white; refuses what is too large or too long before anything is
 * decoded. */
bool picture_begin(struct picture *p, uint64_t width, uint64_t height, struct refusal *why);
void picture_deinit(struct picture *p);
/* One pixel of RGBA over white. */
void picture_over_white(uint8_t rgb[static 3], const uint8_t rgba[static 4]);
/* Put upright. */
bool picture_turn(struct picture *p, struct refusal *why);

enum file_kind picture_kind(struct span file);
/* Decode the whole file and put the picture upright. 'p' is then to be deinited, whatever happens. */
bool picture_decode(struct picture *p, struct span file, uint64_t max_pixels, struct refusal *why);

/* The formats. They do no system calls but for memory. */
bool jpeg_decode(struct picture *p, struct span file, struct refusal *why);
bool png_decode(struct picture *p, struct span file, struct refusal *why);
bool webp_decode(struct picture *p, struct span file, struct refusal *why);
bool tiff_decode(struct picture *p, struct span file, struct refusal *why);
bool gif_decode(struct picture *p, struct span file, struct refusal *why);
bool pnm_decode(struct picture *p, struct span file, struct refusal *why);

/* exif.c: the orientation in a block of EXIF (with or without its "Exif" in front), or 1. */
unsigned exif_orientation(struct span exif);

/* ---- size.c: the numbers of the models' processors ------------------------------------------- */

/* The size a picture gets. n_frames 0: an image; else one of so many frames, which share the budget.
 * False: it is too long. */
bool size_for(uint32_t *height, uint32_t *width, uint32_t source_height, uint32_t source_width,
              uint32_t n_frames, uint64_t min_pixels, uint64_t max_pixels);
/* The most pixels that size_for() can come to, of one frame. */
uint64_t size_most_pixels(uint64_t max_pixels, uint32_t n_frames);
/* How many of 'total' frames, taken 'source_fps' a second, are looked at. */
uint32_t frames_wanted(uint64_t total, double source_fps, double fps, uint32_t frames_min,
                       uint32_t frames_max);
/* Which: idx [n], evenly from the first to the last. */
void frames_choose(uint64_t *idx, uint32_t n, uint64_t total);
/* seconds [(n + 1) / 2]: the middle of each pair; an odd one out is its own second. */
void frames_seconds(double *seconds, const uint64_t *idx, uint32_t n, double source_fps);

/* ---- resize.c -------------------------------------------------------------------------------- */

/* Antialiased bicubic, in place. */
bool picture_resize(struct picture *p, uint32_t height, uint32_t width, struct refusal *why);

/* ---- video.c: ffmpeg, behind its own walls (in the worker) ----------------------------------- */

struct walls;
struct ffmpeg {
    long pid;
    int out_fd, err_fd;
};
struct video_facts {
    uint64_t n_frames;
    uint32_t fps_num, fps_den; /* 0: unknown */
};
/* Starts the program on the worker's input; call before this process reads a byte. 'frames': the
 * numbers of the frames to give out, in order, separated by commas; NULL: ffprobe, for the facts.
 * 'count' makes ffprobe decode everything, to be sure of the number. */
bool ffmpeg_start(struct ffmpeg *f, const struct walls *parser, const char *frames, bool count,
                  struct refusal *why);
/* The program's whole output, and how it ended. */
bool ffmpeg_facts(struct ffmpeg *f, struct video_facts *out, struct refusal *why);
/* Called with each frame as it came; false (and *why) stops. */
typedef bool (*ffmpeg_frame_fn)(void *ctx, struct picture *p, struct refusal *why);
bool ffmpeg_frames(struct ffmpeg *f, uint64_t max_pixels, ffmpeg_frame_fn fn, void *ctx,
                   struct refusal *why);
/* The facts in ffprobe's words; exposed for its test. */
bool video_facts_parse(struct video_facts *out, struct span text);

/* ---- wire.c: the result over the pipe -------------------------------------------------------- */

struct frames {
    uint32_t n, height, width, source_height, source_width;
    const uint8_t *rgb; /* [n, height, width, 3]; borrowed from the message */
};

enum { WIRE_HEAD_BYTES = 32, WIRE_TAIL_BYTES = 4 };
/* The most bytes a message can have whose frames have so many pixels together. */
size_t media_wire_max_bytes(uint64_t n_pixels);
bool media_wire_is_whole(struct span in);
/* A message of frames is written in pieces: the head, the pixels, the tail. */
void media_wire_frames_head(uint8_t head[static WIRE_HEAD_BYTES], const struct frames *f);
extern const char media_wire_tail[WIRE_TAIL_BYTES];
bool media_wire_put_refusal(struct buf *out, const struct refusal *r);
bool media_wire_put_facts(struct buf *out, const struct video_facts *f);
/* Take a message apart, trusting nothing in it. False: it is none of these. A refusal gives true and
 * *why. */
bool media_wire_get_frames(struct span in, struct frames *out, struct refusal *why);
bool media_wire_get_facts(struct span in, struct video_facts *out, struct refusal *why);

/* ---- config.c: what a model's folder says ---------------------------------------------------- */

struct media_config {
    uint64_t image_min_pixels, image_max_pixels, video_min_pixels, video_max_pixels;
    double fps;
    uint32_t frames_min, frames_max;
};
/* 'folder' may be NULL, a file, or without the processor's files: then the published numbers. */
KT_MUST_CHECK enum kt_status media_config_read(struct media_config *out, const char *folder,
                                               struct kt_error *err);

/* ---- media.c, frames.c, film.c: the parent ----------------------------------------------------------- */

struct settings { /* options with their defaults filled in */
    struct media_config config;
    uint64_t image_uncapped, video_uncapped; /* the most without cap_pixels */
    uint64_t max_source_pixels;
    double source_fps; /* 0: not said */
    bool all_frames;
    const char *worker_path;
    uint32_t timeout_ms; /* 0: not said */
    size_t memory_bytes;
    bool (*cancelled)(void *ctx);
    void *ctx;
};

struct kt_media {
    enum kt_media_kind kind;
    char *block;          /* what holds the pixels */
    struct frames frames; /* its rgb points into the block */
    double *seconds;      /* [n / 2] of a video */
    bool capped;          /* by cap_pixels */
};

/* One picture, from an open file: one of 'n_frames' of a video, or 0. 'out' holds the message,
 * 'frames' points into it. */
KT_MUST_CHECK enum kt_status picture_from_fd(struct buf *out, struct frames *frames, int fd,
                                             const char *name, uint32_t n_frames,
                                             const struct settings *s, struct kt_error *err);
/* Run the worker; 'argv' ends with NULL. */
KT_MUST_CHECK enum kt_status media_worker_run(struct buf *out, char *const argv[], int fd,
                                              const char *name, uint64_t n_pixels, bool is_video,
                                              const struct settings *s, struct kt_error *err);
KT_MUST_CHECK enum kt_status folder_open(struct kt_media *m, const char *path,
                                         const struct settings *s, struct kt_error *err);
KT_MUST_CHECK enum kt_status video_open(struct kt_media *m, const char *path,
                                        const struct settings *s, struct kt_error *err);

#endif
