/* kontor/media.h: images and videos, from files to the pixels a model looks at.
 *
 * One noun: a kt_media is one image or one video, decoded, turned the right way up, and resized as the
 * models were trained: sides are multiples of 32 pixels, each block of 32 x 32 pixels (of a video: of a
 * pair of frames) becomes one token. Nothing here needs a model or an engine.
 *
 * Files are hostile. Each is decoded by a process of its own (this program started again with the
 * hidden command `media-worker`) that is locked in before it reads a byte: no files, no network, limits
 * on time, memory and output. A program that is not kontor names the kontor binary in worker_path.
 *
 * Read: JPEG (EXIF orientation, grey, CMYK), PNG, WebP, TIFF (first page), GIF, PPM and PGM; of animations the first
 * picture. Transparency becomes white. The kind is found from the content, never from the name. Videos:
 * a folder of pictures, or any file that ffmpeg reads, when ffmpeg is installed.
 *
 * The maths: sizes and pixels are those of the Qwen2-VL image processor and the Qwen3-VL video processor
 * of Hugging Face transformers, within one level of 255 (docs/MEDIA.md). */
#ifndef KONTOR_MEDIA_H
#define KONTOR_MEDIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kontor/status.h"

struct kt_media;

enum kt_media_kind { KT_MEDIA_IMAGE, KT_MEDIA_VIDEO };

/* What an engine is given: one of these for each image or video, in the order of its pads. */
struct kt_vision_input {
    const uint8_t *rgb;     /* [n_frames, height, width, 3] */
    uint32_t n_frames;      /* 1: an image; even: a video, in pairs */
    uint32_t height, width; /* multiples of 32 */
};

struct kt_media_options {
    /* A model's folder: preprocessor_config.json and video_preprocessor_config.json there give the
     * budgets of pixels below. NULL, a GGUF file, or none there: those of the published models. */
    const char *model_path;
    /* Pixels after resizing, of a video of all frames together; 0: the model's (65,536 to 16,777,216 and
     * 4,096 to 25,165,824). Where one end is given, the other moves along if it must. */
    uint64_t image_min_pixels, image_max_pixels, video_min_pixels, video_max_pixels;
    /* No more than this of an image, and four times that of a video (whose frames go in pairs), unless the most is given
     * above; 0: no bound. See kt_vision_pixels(). */
    uint64_t cap_pixels;
    uint64_t max_source_pixels; /* of a picture as it comes; 0: 67,108,864 (8192 x 8192) */
    /* Of a video: which frames. */
    double fps;                      /* to look at a second; 0: the model's (2)      */
    uint32_t frames_min, frames_max; /* 0: the model's (4, 768)                      */
    double
        source_fps; /* of a folder of pictures; 0: its file "fps", else 24. A video file knows its own */
    bool all_frames; /* take every frame of a folder (still at most frames_max)    */
    /* The process that decodes. */
    const char *worker_path;      /* NULL: /proc/self/exe               */
    uint32_t timeout_ms;          /* 0: 60,000; of a video 600,000      */
    size_t memory_bytes;          /* its address space; 0: 1.5 GiB      */
    bool (*cancelled)(void *ctx); /* asked while waiting; may be NULL */
    void *ctx;
};

struct kt_media_info {
    enum kt_media_kind kind;
    struct kt_vision_input input;         /* borrowed from the kt_media */
    uint32_t source_height, source_width; /* as decoded, the right way up */
    bool capped;     /* it is smaller because of cap_pixels */
    size_t n_tokens; /* pads: one for every 32 x 32 pixels of an image or a pair */
    const double
        *seconds; /* [n_frames / 2] of a video: the middle of each pair, from its beginning */
};

/* *out is the caller's to close. 'opts' may be NULL.
 *
 * KT_E_NOTFOUND     no such file                  KT_E_UNSUPPORTED  not a picture we read (err says what
 * KT_E_FORMAT       damaged, cut off or hostile                     it is, or what is missing)
 * KT_E_LIMIT        too large, or more than 200 times as long as wide     KT_E_TIMEOUT  took too long
 * Thread-safe. A 12-megapixel photograph takes about a third of a second. */
KT_API KT_MUST_CHECK enum kt_status kt_media_open_image(struct kt_media **out, const char *path,
                                                        const struct kt_media_options *opts,
                                                        struct kt_error *err);
/* The same for a file in memory; 'name' is for messages. */
KT_API KT_MUST_CHECK enum kt_status
kt_media_open_image_bytes(struct kt_media **out, const void *bytes, size_t n_bytes,
                          const char *name, const struct kt_media_options *opts,
                          struct kt_error *err);
/* 'path' is a folder of pictures of one size, taken in the natural order of their names (frame2 before
 * frame10; other files are an error, names that begin with a dot and the file "fps" excepted), or a
 * video file. A video has at least two frames. KT_E_UNSUPPORTED names ffmpeg when it is missing. */
KT_API KT_MUST_CHECK enum kt_status kt_media_open_video(struct kt_media **out, const char *path,
                                                        const struct kt_media_options *opts,
                                                        struct kt_error *err);
KT_API void kt_media_close(struct kt_media *m);
/* Everything in *out is good until kt_media_close(). */
KT_API void kt_media_info(const struct kt_media *m, struct kt_media_info *out);

#endif
