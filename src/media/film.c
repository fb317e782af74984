/* A video that is a file: the parent's side. First the facts (how many frames, how fast), then the
 * frames that are wanted, each by a worker of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "media/media_priv.h"
#include "sandbox/child.h"

static const struct child_words WORDS = {
    .noun = "video", .use = "look at", .advice = "", .split = ""
};

enum { N_NUMBERS = 6 };

struct args { /* of a worker */
    char text[N_NUMBERS][24];
    char program[8], command[16], mode[8];
    char *argv[N_NUMBERS + 5];
};

static void args_init(struct args *a, const char *mode, const uint64_t *numbers, size_t n)
{
    *a = (struct args){ .program = "kontor", .command = "media-worker" };
    snprintf(a->mode, sizeof(a->mode), "%s", mode);
    a->argv[0] = a->program;
    a->argv[1] = a->command;
    a->argv[2] = a->mode;
    for (size_t i = 0; i < n; i++) {
        snprintf(a->text[i], sizeof(a->text[i]), "%llu", (unsigned long long)numbers[i]);
        a->argv[3 + i] = a->text[i];
    }
}

static uint64_t cpu_seconds(const struct settings *s)
{
    return (s->timeout_ms ? s->timeout_ms : VIDEO_TIMEOUT_MS) / 1000 + 1;
}

static enum kt_status bad_result(const char *name, struct kt_error *err)
{
    return kt_fail(
        err, KT_E_FORMAT,
        "%s: the reading process sent a result that is none; the video is hostile, or the "
        "program is not of one version",
        name);
}

static enum kt_status read_facts(struct video_facts *facts, int fd, const char *name, bool count,
                                 const struct settings *s, struct kt_error *err)
{
    struct args a;
    args_init(&a, "facts", (uint64_t[]){ s->memory_bytes, cpu_seconds(s), count }, 3);
    struct buf out = { 0 };
    struct refusal why = { 0 };
    enum kt_status st = media_worker_run(&out, a.argv, fd, name, 0, true, s, err);
    if (!st && !media_wire_get_facts(buf_span(&out), facts, &why))
        st = bad_result(name, err);
    if (!st && why.reason)
        st = media_refusal_fail(err, name, &why, s->max_source_pixels);
    if (!st && facts->n_frames < 2)
        st = kt_fail(err, KT_E_UNSUPPORTED,
                     "%s: a video with %llu frame; at least 2 are needed, and a single picture is "
                     "given as an image",
                     name, (unsigned long long)facts->n_frames);
    buf_deinit(&out);
    return st;
}

/* *short_of_frames: fewer came than ffprobe spoke of. */
static enum kt_status read_frames(struct kt_media *m, int fd, const char *name, const uint64_t *idx,
                                  uint32_t n, bool *short_of_frames, const struct settings *s,
                                  struct kt_error *err)
{
    const struct media_config *c = &s->config;
    struct args a;
    args_init(&a, "frames",
              (uint64_t[]){ s->memory_bytes, cpu_seconds(s), s->max_source_pixels, n,
                            c->video_min_pixels, c->video_max_pixels },
              N_NUMBERS);
    struct buf list = { 0 }, out = { 0 };
    for (uint32_t i = 0; i < n; i++)
        buf_printf(&list, i ? ",%llu" : "%llu", (unsigned long long)idx[i]);
    if (list.failed)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", name);
    a.argv[3 + N_NUMBERS] = list.ptr;
    struct refusal why = { 0 };
    uint64_t most = size_most_pixels(c->video_max_pixels, n) * (n + 1);
    enum kt_status st = media_worker_run(&out, a.argv, fd, name, most, true, s, err);
    if (!st && (!media_wire_get_frames(buf_span(&out), &m->frames, &why) ||
                (!why.reason && m->frames.n != n + n % 2)))
        st = bad_result(name, err);
    *short_of_frames = !st && why.reason == REASON_VIDEO_FRAMES;
    if (!st && why.reason)
        st = media_refusal_fail(err, name, &why, s->max_source_pixels);
    if (!st)
        m->block = buf_take(&out);
    buf_deinit(&out);
    buf_deinit(&list);
    return st;
}

static enum kt_status try_film(struct kt_media *m, int fd, const char *name, bool count,
                               bool *short_of_frames, const struct settings *s,
                               struct kt_error *err)
{
    const struct media_config *c = &s->config;
    struct video_facts facts = { 0 };
    *short_of_frames = false;
    enum kt_status st = read_facts(&facts, fd, name, count, s, err);
    if (st)
        return st;
    double fps = facts.fps_den ? (double)facts.fps_num / facts.fps_den : 24;
    uint32_t n = MAX(frames_wanted(facts.n_frames, fps, c->fps, c->frames_min, c->frames_max), 2u);
    uint64_t *idx = calloc(n, sizeof(*idx));
    free(m->seconds);
    m->seconds = calloc((n + 1) / 2, sizeof(*m->seconds));
    if (idx && m->seconds) {
        frames_choose(idx, n, facts.n_frames);
        frames_seconds(m->seconds, idx, n, fps);
        st = read_frames(m, fd, name, idx, n, short_of_frames, s, err);
    } else {
        st = kt_fail(err, KT_E_NOMEM, "%s: out of memory", name);
    }
    free(idx);
    return st;
}

/* A file may hold packets that are no frames (cut out by its edit list, or damaged). Then the frames are
 * counted by decoding them all, and chosen anew. */
enum kt_status video_open(struct kt_media *m, const char *path, const struct settings *s,
                          struct kt_error *err)
{
    struct stat sb;
    int fd;
    enum kt_status st = child_input_open(&fd, &sb, path, &WORDS, err);
    if (st)
        return st;
    bool short_of_frames;
    st = try_film(m, fd, path, false, &short_of_frames, s, err);
    if (short_of_frames)
        st = try_film(m, fd, path, true, &short_of_frames, s, err);
    close(fd);
    return st;
}
