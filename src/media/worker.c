/* The worker: one process, one file.
 *
 *     media-worker picture MEMORY CPU MAX_SOURCE N_FRAMES MIN MAX     N_FRAMES 0: an image
 *     media-worker facts MEMORY CPU COUNT
 *     media-worker frames MEMORY CPU MAX_SOURCE N_FRAMES MIN MAX I,J,K...
 *
 *   started by media.c -> (ffmpeg behind its own walls) -> walls_up -> read -> decode -> resize -> write
 *
 * The first byte of the file is read after the walls are up. Exit status 0: a result was written, which
 * may be a refusal. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "media/media.h"
#include "media/media_priv.h"
#include "sandbox/child.h"
#include "sandbox/walls.h"

enum { WORKER_DONE = 0, WORKER_USAGE = 2, WORKER_BROKEN = 70 };

struct job {
    struct walls walls;
    uint64_t max_source, n_frames, min_pixels, max_pixels;
    const char *indices; /* of frames */
    bool count;
};

/* The frames of a video, as they are resized one after the other. */
struct film {
    const struct job *job;
    struct frames frames;
    struct buf pixels;
};

static bool send_refusal(const struct refusal *r)
{
    struct buf out = { 0 };
    bool ok = media_wire_put_refusal(&out, r) && worker_send(buf_span(&out));
    buf_deinit(&out);
    return ok;
}

static bool send_frames(const struct frames *f)
{
    uint8_t head[WIRE_HEAD_BYTES];
    media_wire_frames_head(head, f);
    return worker_send((struct span){ (char *)head, sizeof(head) }) &&
           worker_send(
               (struct span){ (const char *)f->rgb, (size_t)f->n * f->height * f->width * 3 }) &&
           worker_send((struct span){ media_wire_tail, WIRE_TAIL_BYTES });
}

static bool walls_or_refuse(const struct walls *w, struct refusal *why)
{
    struct walls_state state;
    struct walls_failure failed;
    return walls_up(w, &state, &failed) ||
           media_refuse(why, REASON_WALLS, (uint64_t)failed.step, (uint64_t)failed.errnum);
}

/* To the size the model wants. */
static bool fit(const struct job *j, struct picture *p, struct refusal *why)
{
    uint32_t height, width;
    if (!size_for(&height, &width, p->height, p->width, (uint32_t)j->n_frames, j->min_pixels,
                  j->max_pixels))
        return media_refuse(why, REASON_TOO_LONG, p->width, p->height);
    return picture_resize(p, height, width, why);
}

/* ---- one picture ----------------------------------------------------------------------------- */

static bool input_read(struct buf *in, struct refusal *why)
{
    enum { STEP = 256 * 1024 };
    for (;;) {
        if (!buf_reserve(in, STEP))
            return media_refuse(why, REASON_NOMEM, 0, 0);
        ssize_t n = read(WORKER_INPUT_FD, in->ptr + in->len, STEP);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return media_refuse(why, REASON_READ, (uint64_t)errno, 0);
        if (n == 0)
            return true;
        in->len += (size_t)n;
        if (in->len > INPUT_MAX_BYTES)
            return media_refuse(why, REASON_FILE_TOO_LARGE, INPUT_MAX_BYTES, 0);
    }
}

static bool run_picture(const struct job *j)
{
    struct refusal why = { 0 };
    struct buf in = { 0 };
    struct picture p = { 0 };
    bool ok = walls_or_refuse(&j->walls, &why) && input_read(&in, &why) &&
              picture_decode(&p, buf_span(&in), j->max_source, &why);
    buf_deinit(&in);
    struct frames f = { .n = 1, .source_height = p.height, .source_width = p.width };
    ok = ok && fit(j, &p, &why);
    f.height = p.height;
    f.width = p.width;
    f.rgb = p.rgb;
    bool sent = ok ? send_frames(&f) : send_refusal(&why);
    picture_deinit(&p);
    return sent;
}

/* ---- a video --------------------------------------------------------------------------------- */

static bool run_facts(const struct job *j)
{
    struct refusal why = { 0 };
    struct ffmpeg ffmpeg;
    struct video_facts facts;
    struct buf out = { 0 };
    bool ok = ffmpeg_start(&ffmpeg, &j->walls, NULL, j->count, &why) &&
              walls_or_refuse(&j->walls, &why) && ffmpeg_facts(&ffmpeg, &facts, &why);
    bool sent =
        ok ? media_wire_put_facts(&out, &facts) && worker_send(buf_span(&out)) : send_refusal(&why);
    buf_deinit(&out);
    return sent;
}

static bool take_frame(void *ctx, struct picture *p, struct refusal *why)
{
    struct film *film = ctx;
    struct frames *f = &film->frames;
    if (f->n == 0) {
        f->source_height = p->height;
        f->source_width = p->width;
    } else if (f->source_height != p->height || f->source_width != p->width) {
        return media_refuse(why, REASON_VIDEO_SIZE, f->n, 0);
    }
    if (!fit(film->job, p, why))
        return false;
    f->height = p->height;
    f->width = p->width;
    f->n++;
    buf_append(&film->pixels, p->rgb, (size_t)p->height * p->width * 3);
    return film->pixels.failed ? media_refuse(why, REASON_NOMEM, 0, 0) : true;
}

/* Pairs: an odd one out is its own second. */
static bool even_out(struct film *film, struct refusal *why)
{
    struct frames *f = &film->frames;
    size_t n_bytes = (size_t)f->height * f->width * 3;
    if (f->n % 2 == 0)
        return true;
    if (!buf_reserve(&film->pixels, n_bytes))
        return media_refuse(why, REASON_NOMEM, 0, 0);
    buf_append(&film->pixels, film->pixels.ptr + film->pixels.len - n_bytes, n_bytes);
    f->n++;
    return true;
}

static bool run_frames(const struct job *j)
{
    struct refusal why = { 0 };
    struct ffmpeg ffmpeg;
    struct film film = { .job = j };
    bool ok = ffmpeg_start(&ffmpeg, &j->walls, j->indices, false, &why) &&
              walls_or_refuse(&j->walls, &why) &&
              ffmpeg_frames(&ffmpeg, j->max_source, take_frame, &film, &why);
    if (ok && film.frames.n != j->n_frames)
        ok = media_refuse(&why, REASON_VIDEO_FRAMES, film.frames.n, j->n_frames);
    ok = ok && even_out(&film, &why);
    film.frames.rgb = (const uint8_t *)film.pixels.ptr;
    bool sent = ok ? send_frames(&film.frames) : send_refusal(&why);
    buf_deinit(&film.pixels);
    return sent;
}

/* ---- main ------------------------------------------------------------------------------------ */

static bool numbers(uint64_t *const out[], size_t n, char *const *args)
{
    for (size_t i = 0; i < n; i++)
        if (!args[i] || !worker_number(args[i], SIZE_MAX / 16, out[i]))
            return false;
    return true;
}

/* Digits and commas: it becomes part of ffmpeg's arguments. */
static bool is_list(const char *s)
{
    return s && *s && s[strspn(s, "0123456789,")] == '\0';
}

static int run(char *const *args)
{
    struct job j = { .walls = { .kind = WALLS_PARSER } };
    uint64_t memory, cpu, count = 0;
    bool facts = args[0] && strcmp(args[0], "facts") == 0;
    bool frames = args[0] && strcmp(args[0], "frames") == 0;
    bool picture = args[0] && strcmp(args[0], "picture") == 0;
    uint64_t *const all[] = { &memory,     &cpu,          &j.max_source,
                              &j.n_frames, &j.min_pixels, &j.max_pixels };
    uint64_t *const few[] = { &memory, &cpu, &count };
    if ((!facts && !frames && !picture) || !numbers(facts ? few : all, facts ? 3 : 6, args + 1) ||
        (frames && (!is_list(args[7]) || j.n_frames > FRAMES_MAX)))
        return WORKER_USAGE;
    j.walls.memory_bytes = (size_t)memory;
    j.walls.cpu_s = (uint32_t)MIN(cpu, (uint64_t)1000000);
    j.count = count != 0;
    j.indices = frames ? args[7] : NULL;
    bool sent = facts ? run_facts(&j) : frames ? run_frames(&j) : run_picture(&j);
    return sent ? WORKER_DONE : WORKER_BROKEN;
}

int media_worker_main(int argc, char **argv)
{
    (void)argc;
    signal(SIGPIPE, SIG_IGN);
    bool started = fcntl(WORKER_RESULT_FD, F_GETFD) >= 0;
    if (started && !worker_parent_is_there())
        _exit(WORKER_BROKEN);
    int rc = started ? run(argv + 1) : WORKER_USAGE;
    if (rc == WORKER_USAGE) {
        fprintf(stderr,
                "kontor media-worker: started by kontor itself to read one picture or video; "
                "not by hand\n");
        return rc;
    }
    _exit(rc); /* no handlers at exit: they are none of a locked-in process */
}
