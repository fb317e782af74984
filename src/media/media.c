/* The parent's side of images: see kontor/media.h. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "media/media_priv.h"
#include "sandbox/child.h"

static const struct child_words IMAGE_WORDS = {
    .noun = "picture",
    .use = "look at",
    .advice = "make the picture smaller",
    .split = "make the picture smaller",
};
static const struct child_words VIDEO_WORDS = {
    .noun = "video",
    .use = "look at",
    .advice = "take a shorter piece of the video",
    .split = "take a shorter piece of the video",
};

/* ---- options --------------------------------------------------------------------------------- */

static bool is_rate(double fps)
{
    return fps == 0 || (fps >= 1e-6 && fps <= 1e6);
}

/* What no budget can be: nothing, the smaller one the larger, or more than memory. */
static enum kt_status check_settings(const struct settings *s, struct kt_error *err)
{
    const struct media_config *c = &s->config;
    if (c->image_min_pixels > c->image_max_pixels || c->video_min_pixels > c->video_max_pixels ||
        c->image_max_pixels > PIXELS_MAX || c->video_max_pixels > PIXELS_MAX)
        return kt_fail(err, KT_E_USAGE,
                       "pixels: the least must not be more than the most, and that at most %d",
                       PIXELS_MAX);
    if (s->max_source_pixels > PIXELS_MAX)
        return kt_fail(err, KT_E_USAGE, "pixels of a picture to decode: at most %d", PIXELS_MAX);
    if (c->frames_min > c->frames_max || c->frames_max < 2 || c->frames_max > FRAMES_MAX)
        return kt_fail(err, KT_E_USAGE,
                       "frames: the least must not be more than the most, and that 2 to %d",
                       FRAMES_MAX);
    if (!is_rate(c->fps) || !is_rate(s->source_fps))
        return kt_fail(err, KT_E_USAGE, "frames a second: expected a number above 0");
    return KT_OK;
}

/* One end that is given moves the model's other end along; what is made larger to reach the least is
 * rounded up, so that needs room below the most. */
static void budget_of(uint64_t *min, uint64_t *max, uint64_t want_min, uint64_t want_max)
{
    if (want_max)
        *max = want_max;
    if (want_min)
        *min = want_min;
    if (want_max && !want_min)
        *min = MIN(*min, *max / 4);
    if (want_min && !want_max)
        *max = MAX(*min, *max);
}

static void cap(uint64_t *min, uint64_t *max, uint64_t pixels)
{
    *max = MIN(*max, pixels);
    *min = MIN(*min, *max / 4);
}

static void set_caps(struct media_config *c, const struct kt_media_options *o)
{
    if (o->cap_pixels && !o->image_max_pixels)
        cap(&c->image_min_pixels, &c->image_max_pixels, o->cap_pixels);
    if (o->cap_pixels && !o->video_max_pixels)
        cap(&c->video_min_pixels, &c->video_max_pixels,
            4 * MIN(o->cap_pixels, (uint64_t)PIXELS_MAX));
}

static enum kt_status settings_of(struct settings *s, const struct kt_media_options *o,
                                  struct kt_error *err)
{
    static const struct kt_media_options defaults;
    if (!o)
        o = &defaults;
    *s = (struct settings){
        .max_source_pixels = o->max_source_pixels ? o->max_source_pixels : SOURCE_PIXELS_MAX,
        .source_fps = o->source_fps,
        .all_frames = o->all_frames,
        .worker_path = o->worker_path,
        .timeout_ms = o->timeout_ms,
        .memory_bytes = o->memory_bytes ? o->memory_bytes : MEMORY_BYTES,
        .cancelled = o->cancelled,
        .ctx = o->ctx,
    };
    struct media_config *c = &s->config;
    enum kt_status st = media_config_read(c, o->model_path, err);
    if (st)
        return st;
    budget_of(&c->image_min_pixels, &c->image_max_pixels, o->image_min_pixels, o->image_max_pixels);
    budget_of(&c->video_min_pixels, &c->video_max_pixels, o->video_min_pixels, o->video_max_pixels);
    s->image_uncapped = c->image_max_pixels;
    s->video_uncapped = c->video_max_pixels;
    set_caps(c, o);
    if (o->fps != 0)
        c->fps = o->fps;
    if (o->frames_min)
        c->frames_min = o->frames_min;
    if (o->frames_max)
        c->frames_max = o->frames_max;
    return check_settings(s, err);
}

/* ---- the worker ------------------------------------------------------------------------------ */

enum kt_status media_worker_run(struct buf *out, char *const argv[], int fd, const char *name,
                                uint64_t n_pixels, bool is_video, const struct settings *s,
                                struct kt_error *err)
{
    struct child c = {
        .program = s->worker_path,
        .argv = argv,
        .in_fd = fd,
        .name = name,
        .words = is_video ? &VIDEO_WORDS : &IMAGE_WORDS,
        .timeout_ms = s->timeout_ms ? s->timeout_ms
                      : is_video    ? VIDEO_TIMEOUT_MS
                                    : IMAGE_TIMEOUT_MS,
        .max_result = media_wire_max_bytes(n_pixels),
        .is_whole = media_wire_is_whole,
        .cancelled = s->cancelled,
        .ctx = s->ctx,
    };
    return child_run(out, &c, err);
}

enum kt_status picture_from_fd(struct buf *out, struct frames *frames, int fd, const char *name,
                               uint32_t n_frames, const struct settings *s, struct kt_error *err)
{
    const struct media_config *c = &s->config;
    uint32_t timeout_ms = s->timeout_ms ? s->timeout_ms : IMAGE_TIMEOUT_MS;
    uint64_t numbers[6] = { s->memory_bytes,
                            timeout_ms / 1000 + 1,
                            s->max_source_pixels,
                            n_frames,
                            n_frames ? c->video_min_pixels : c->image_min_pixels,
                            n_frames ? c->video_max_pixels : c->image_max_pixels };
    char args[6][24], program[] = "kontor", command[] = "media-worker", mode[] = "picture";
    char *argv[10] = { program, command, mode };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        snprintf(args[i], sizeof(args[i]), "%llu", (unsigned long long)numbers[i]);
        argv[3 + i] = args[i];
    }
    enum kt_status st = media_worker_run(out, argv, fd, name,
                                         size_most_pixels(numbers[5], n_frames), false, s, err);
    struct refusal why;
    if (st)
        return st;
    if (!media_wire_get_frames(buf_span(out), frames, &why) || (!why.reason && frames->n != 1))
        return kt_fail(
            err, KT_E_FORMAT,
            "%s: the reading process sent a result that is none; the picture is hostile, "
            "or the program is not of one version",
            name);
    return why.reason ? media_refusal_fail(err, name, &why, s->max_source_pixels) : KT_OK;
}

/* Would it have become larger with the most that there was before the cap? */
static bool is_capped(const struct frames *f, uint64_t most, uint64_t uncapped)
{
    uint64_t source = (uint64_t)f->source_height * f->source_width * MAX(f->n, 1u);
    return most < uncapped && source > most;
}

/* ---- images ---------------------------------------------------------------------------------- */

static enum kt_status image_from_fd(struct kt_media **out, int fd, const char *name,
                                    const struct settings *s, struct kt_error *err)
{
    struct kt_media *m = calloc(1, sizeof(*m));
    if (!m)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", name);
    struct buf result = { 0 };
    enum kt_status st = picture_from_fd(&result, &m->frames, fd, name, 0, s, err);
    if (st) {
        buf_deinit(&result);
        free(m);
        return st;
    }
    m->kind = KT_MEDIA_IMAGE;
    m->block = buf_take(&result);
    m->capped = is_capped(&m->frames, s->config.image_max_pixels, s->image_uncapped);
    *out = m;
    return KT_OK;
}

enum kt_status kt_media_open_image(struct kt_media **out, const char *path,
                                   const struct kt_media_options *opts, struct kt_error *err)
{
    *out = NULL;
    struct settings s;
    struct stat sb;
    int fd;
    enum kt_status st = settings_of(&s, opts, err);
    if (!st)
        st = child_input_open(&fd, &sb, path, &IMAGE_WORDS, err);
    if (st)
        return st;
    st = image_from_fd(out, fd, path, &s, err);
    close(fd);
    return st;
}

enum kt_status kt_media_open_image_bytes(struct kt_media **out, const void *bytes, size_t n_bytes,
                                         const char *name, const struct kt_media_options *opts,
                                         struct kt_error *err)
{
    *out = NULL;
    struct settings s;
    enum kt_status st = settings_of(&s, opts, err);
    if (st)
        return st;
    if (n_bytes == 0)
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: the picture is empty; nothing to look at", name);
    if (n_bytes > INPUT_MAX_BYTES)
        return media_refusal_fail(err, name,
                                  &(struct refusal){ REASON_FILE_TOO_LARGE, INPUT_MAX_BYTES, 0 },
                                  s.max_source_pixels);
    int fd = memfd_create("kontor-picture", MFD_CLOEXEC);
    if (fd < 0)
        return kt_fail_errno(err, errno, "%s: no memory file for it", name);
    st = file_write_fd(fd, bytes, n_bytes, name, err);
    if (!st && lseek(fd, 0, SEEK_SET) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot be read from its beginning", name);
    if (!st)
        st = image_from_fd(out, fd, name, &s, err);
    close(fd);
    return st;
}

/* ---- videos ---------------------------------------------------------------------------------- */

enum kt_status kt_media_open_video(struct kt_media **out, const char *path,
                                   const struct kt_media_options *opts, struct kt_error *err)
{
    *out = NULL;
    struct settings s;
    struct stat sb;
    enum kt_status st = settings_of(&s, opts, err);
    if (st)
        return st;
    if (stat(path, &sb) != 0)
        return kt_fail_errno(err, errno, "%s: cannot be found or looked at", path);
    struct kt_media *m = calloc(1, sizeof(*m));
    if (!m)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    m->kind = KT_MEDIA_VIDEO;
    st = S_ISDIR(sb.st_mode) ? folder_open(m, path, &s, err) : video_open(m, path, &s, err);
    if (st) {
        kt_media_close(m);
        return st;
    }
    m->capped = is_capped(&m->frames, s.config.video_max_pixels, s.video_uncapped);
    *out = m;
    return KT_OK;
}

void kt_media_close(struct kt_media *m)
{
    if (!m)
        return;
    free(m->block);
    free(m->seconds);
    free(m);
}

void kt_media_info(const struct kt_media *m, struct kt_media_info *out)
{
    const struct frames *f = &m->frames;
    uint32_t n_pairs = f->n > 1 ? f->n / 2 : 1;
    *out = (struct kt_media_info){
        .kind = m->kind,
        .input = { .rgb = f->rgb, .n_frames = f->n, .height = f->height, .width = f->width },
        .source_height = f->source_height,
        .source_width = f->source_width,
        .n_tokens = (size_t)n_pairs * (f->height / UNIT) * (f->width / UNIT),
        .seconds = m->seconds,
        .capped = m->capped,
    };
}
