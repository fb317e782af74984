/* Refusals as sentences, for a person who has a picture that is not taken. */
#include <inttypes.h>

#include "base/size.h"
#include "base/status.h"
#include "media/media_priv.h"

static const char *kind_name(uint64_t kind)
{
    static const char *const names[KIND_COUNT] = {
        [KIND_JPEG] = "JPEG picture", [KIND_PNG] = "PNG picture", [KIND_WEBP] = "WebP picture",
        [KIND_TIFF] = "TIFF picture", [KIND_GIF] = "GIF picture", [KIND_PNM] = "PPM picture",
    };
    return kind < KIND_COUNT && names[kind] ? names[kind] : "picture";
}

/* What it is instead, and what to do. */
static const char *not_a_picture(uint64_t kind)
{
    static const char *const texts[KIND_COUNT] = {
        [KIND_BMP] = "a BMP picture, which is not read; save it as PNG",
        [KIND_HEIF] = "a HEIC or AVIF picture, which is not read; save it as JPEG",
        [KIND_JPEG2000] = "a JPEG 2000 picture, which is not read; save it as JPEG",
        [KIND_PDF] = "a PDF; save the page as a picture (pdftoppm -png)",
        [KIND_SVG] = "an SVG drawing; save it as PNG",
        [KIND_VIDEO] = "a video or sound file; videos are given as videos (--video)",
    };
    return kind < KIND_COUNT && texts[kind]
               ? texts[kind]
               : "no picture that is read (JPEG, PNG, WebP, TIFF, GIF, PPM)";
}

static enum kt_status size_fail(struct kt_error *err, const char *name, const struct refusal *r,
                                uint64_t max_source_pixels)
{
    if (r->reason == REASON_TOO_LONG)
        return kt_fail(err, KT_E_LIMIT,
                       "%s: %" PRIu64 " x %" PRIu64
                       " pixels: more than %d times as long as wide, which no model takes; cut it "
                       "into pieces",
                       name, r->a, r->b, RATIO_MAX);
    return kt_fail(err, KT_E_LIMIT,
                   "%s: %" PRIu64 " x %" PRIu64 " pixels, at most %" PRIu64
                   " are decoded; make it smaller first",
                   name, r->a, r->b, max_source_pixels);
}

static enum kt_status video_fail(struct kt_error *err, const char *name, const struct refusal *r)
{
    switch (r->reason) {
    case REASON_FFMPEG_MISSING:
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: reading a video needs the programs ffmpeg and ffprobe, which are not "
                       "installed here (apt install ffmpeg); a folder of frames is read without",
                       name);
    case REASON_VIDEO_UNKNOWN:
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: ffmpeg finds no video in it; is it damaged, or another kind of file?",
                       name);
    case REASON_VIDEO_FRAMES:
        return kt_fail(err, KT_E_FORMAT,
                       "%s: only %" PRIu64 " of %" PRIu64
                       " frames could be decoded; the video is cut off or damaged",
                       name, r->a, r->b);
    case REASON_VIDEO_SIZE:
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: frame %" PRIu64 " has another size than the first; videos of one size "
                       "are read",
                       name, r->a + 1);
    case REASON_VIDEO_CPU:
        return kt_fail(err, KT_E_TIMEOUT,
                       "%s: decoding used up its processor time; take a shorter piece of the video",
                       name);
    default:
        return kt_fail(err, KT_E_FORMAT,
                       "%s: ffmpeg crashed on it (signal %" PRIu64
                       ") and was contained; the video is damaged or hostile",
                       name, r->a);
    }
}

enum kt_status media_refusal_fail(struct kt_error *err, const char *name, const struct refusal *r,
                                  uint64_t max_source_pixels)
{
    switch (r->reason) {
    case REASON_NOMEM:
        return kt_fail(err, KT_E_LIMIT,
                       "%s: decoding needs more memory than it is given; make the picture smaller",
                       name);
    case REASON_READ:
        return kt_fail_errno(err, (int)r->a, "%s: cannot be read", name);
    case REASON_FILE_TOO_LARGE:
        return kt_fail(err, KT_E_LIMIT, "%s: the file is larger than %" PRIu64 " bytes", name,
                       r->a);
    case REASON_NOT_A_PICTURE:
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: this is %s", name, not_a_picture(r->a));
    case REASON_TOO_MANY_PIXELS:
    case REASON_TOO_LONG:
        return size_fail(err, name, r, max_source_pixels);
    case REASON_EMPTY:
        return kt_fail(err, KT_E_FORMAT, "%s: the picture has no pixels", name);
    case REASON_DAMAGED:
        return kt_fail(err, KT_E_FORMAT, "%s: the %s is damaged; get or export it anew", name,
                       kind_name(r->a));
    case REASON_CUT_OFF:
        return kt_fail(err, KT_E_FORMAT, "%s: the %s is cut off: its end is missing; get it anew",
                       name, kind_name(r->a));
    case REASON_VARIANT:
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: a kind of %s that is not read; save it with 8 bits a channel", name,
                       kind_name(r->a));
    case REASON_FFMPEG_MISSING:
    case REASON_VIDEO_UNKNOWN:
    case REASON_VIDEO_FRAMES:
    case REASON_VIDEO_SIZE:
    case REASON_VIDEO_CPU:
    case REASON_VIDEO_CRASH:
        return video_fail(err, name, r);
    case REASON_WALLS:
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "%s: the sandbox could not be put up (step %" PRIu64 ", error %" PRIu64
                       "), and nothing is read without it; see `kontor doctor`",
                       name, r->a, r->b);
    default:
        return kt_fail(err, KT_E_INTERNAL, "%s: decoding failed inside (%d, %" PRIu64 ")", name,
                       (int)r->reason, r->a);
    }
}
