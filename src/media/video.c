/* ffmpeg and ffprobe, each in a process of its own, behind its own walls (in the worker).
 *
 * The worker forks before it has read a byte: the child puts up the walls for a program and becomes it,
 * the worker puts up the walls for a parser and reads the child's output from a pipe. Debian's FFmpeg is
 * GPL and stays a separate program. It has to jump about in the file (the index of an MP4 may stand at
 * its end), so it opens the descriptor it inherited again by the name /dev/fd/3, and may open nothing
 * else but its libraries.
 *
 * Frames come as PPM, which says of each how large it is. Of the 2,000 formats FFmpeg guesses at, those
 * of cameras, telephones and screens are let in: a playlist cannot name other files. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/size.h"
#include "media/media.h"
#include "media/media_priv.h"
#include "sandbox/child.h"
#include "sandbox/walls.h"

#define FORMATS                                                                                    \
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,ogg,flv,asf,gif,h264,hevc,"   \
    "mxf,ivf,nut,apng,dv"
#define INPUT "/dev/fd/3" /* WORKER_INPUT_FD */

/* The address space of a program with two hundred libraries, over what it needs to decode. */
enum { ARGS_MAX = 40 };
#define PROGRAM_MEMORY_BYTES ((size_t)1024 * 1024 * 1024)

static const char *find_program(const char *const *places)
{
    for (; *places; places++)
        if (access(*places, X_OK) == 0)
            return *places;
    return NULL;
}

static const char *ffmpeg_program(bool probe)
{
    static const char *const probes[] = { "/usr/bin/ffprobe", "/usr/local/bin/ffprobe",
                                          "/bin/ffprobe", NULL };
    static const char *const ffmpegs[] = { "/usr/bin/ffmpeg", "/usr/local/bin/ffmpeg",
                                           "/bin/ffmpeg", NULL };
    return find_program(probe ? probes : ffmpegs);
}

bool media_has_ffmpeg(void)
{
    return ffmpeg_program(true) && ffmpeg_program(false);
}

/* ---- starting -------------------------------------------------------------------------------- */

/* In the child. Exit status 127: the walls or the program failed. */
static _Noreturn void become(const struct walls *w, const char *const *args, int out_fd, int err_fd)
{
    if (dup2(out_fd, STDOUT_FILENO) < 0 || dup2(err_fd, STDERR_FILENO) < 0)
        _exit(127);
    close(WORKER_RESULT_FD);
    fcntl(WORKER_INPUT_FD, F_SETFD, 0);
    signal(SIGPIPE, SIG_DFL);
    char locale[] = "LC_ALL=C.UTF-8", home[] = "HOME=/nonexistent", zone[] = "TZ=UTC";
    char *const env[] = { locale, home, zone, NULL };
    char *argv[ARGS_MAX + 1] = { NULL };
    for (size_t i = 0; args[i] && i < ARGS_MAX; i++)
        argv[i] = strdup(args[i]);
    struct walls_state state;
    struct walls_failure why;
    if (walls_up(w, &state, &why))
        execve(w->program, argv, env);
    _exit(127);
}

/* "eq(n,4)+eq(n,9)": the frames with these numbers. */
static bool filter_text(struct buf *out, const char *frames)
{
    buf_append_str(out, "select='");
    for (const char *s = frames; *s;) {
        size_t n = strcspn(s, ",");
        buf_append_str(out, s == frames ? "eq(n\\," : "+eq(n\\,");
        buf_append(out, s, n);
        buf_append_char(out, ')');
        s += n + (s[n] == ',');
    }
    /* Each frame once, whatever its time: they are numbered anew, 25 a second. */
    buf_append_str(out, "',settb=1/25,setpts=N");
    return !out->failed;
}

static bool spawn(struct ffmpeg *f, const struct walls *w, const char *const *args,
                  struct refusal *why)
{
    int out[2], errs[2];
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(errs, O_CLOEXEC) != 0)
        return media_refuse(why, REASON_INTERNAL, 1, (uint64_t)errno);
    f->pid = fork();
    if (f->pid == 0)
        become(w, args, out[1], errs[1]);
    close(out[1]);
    close(errs[1]);
    f->out_fd = out[0];
    f->err_fd = errs[0];
    return f->pid > 0 ? true : media_refuse(why, REASON_INTERNAL, 2, (uint64_t)errno);
}

bool ffmpeg_start(struct ffmpeg *f, const struct walls *parser, const char *frames, bool count,
                  struct refusal *why)
{
    *f = (struct ffmpeg){ .pid = -1, .out_fd = -1, .err_fd = -1 };
    struct walls w = {
        .kind = WALLS_PROGRAM,
        .cpu_s = parser->cpu_s,
        .memory_bytes = parser->memory_bytes ? parser->memory_bytes + PROGRAM_MEMORY_BYTES : 0,
        .program = ffmpeg_program(!frames),
        .threads = true,
        .reopen_fd = WORKER_INPUT_FD,
    };
    if (!media_has_ffmpeg())
        return media_refuse(why, REASON_FFMPEG_MISSING, 0, 0);
    char max_pixels[16];
    snprintf(max_pixels, sizeof(max_pixels), "%d", SOURCE_PIXELS_MAX);
    struct buf filter = { 0 };
    if (frames && !filter_text(&filter, frames))
        return media_refuse(why, REASON_NOMEM, 0, 0);
    const char *const probe[] = {
        "ffprobe",
        "-v",
        "error",
        "-threads",
        "1",
        "-max_pixels",
        max_pixels,
        "-protocol_whitelist",
        "file",
        "-format_whitelist",
        FORMATS,
        "-select_streams",
        "v:0",
        count ? "-count_frames" : "-count_packets",
        "-show_entries",
        "stream=nb_read_packets,nb_read_frames,avg_frame_rate,r_frame_rate",
        "-of",
        "default=noprint_wrappers=1",
        INPUT,
        NULL
    };
    const char *const decode[] = { "ffmpeg",
                                   "-v",
                                   "error",
                                   "-nostdin",
                                   "-threads",
                                   "1",
                                   "-max_pixels",
                                   max_pixels,
                                   "-protocol_whitelist",
                                   "file",
                                   "-format_whitelist",
                                   FORMATS,
                                   "-i",
                                   INPUT,
                                   "-map",
                                   "0:v:0",
                                   "-filter_threads",
                                   "1",
                                   "-vf",
                                   filter.ptr ? filter.ptr : "",
                                   "-r",
                                   "25",
                                   "-threads",
                                   "1",
                                   "-c:v",
                                   "ppm",
                                   "-f",
                                   "image2pipe",
                                   "pipe:1",
                                   NULL };
    bool ok = spawn(f, &w, frames ? decode : probe, why);
    buf_deinit(&filter);
    return ok;
}

/* ---- its output ------------------------------------------------------------------------------ */

/* Both streams at once, so that a chatty one for errors cannot block the program. What it complains of
 * is read and dropped: the way it ends says enough. Gives at most n bytes, fewer at the end. */
static bool take(struct ffmpeg *f, void *out, size_t n, size_t *n_taken, struct refusal *why)
{
    char dropped[FFMPEG_ERRORS_KEPT];
    *n_taken = 0;
    while (*n_taken < n) {
        struct pollfd fds[2] = { { f->out_fd, POLLIN, 0 }, { f->err_fd, POLLIN, 0 } };
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            return media_refuse(why, REASON_INTERNAL, 3, (uint64_t)errno);
        if (f->err_fd >= 0 && fds[1].revents && read(f->err_fd, dropped, sizeof(dropped)) <= 0) {
            close(f->err_fd);
            f->err_fd = -1;
        }
        if (!fds[0].revents)
            continue;
        ssize_t r = read(f->out_fd, (char *)out + *n_taken, n - *n_taken);
        if (r < 0 && errno == EINTR)
            continue;
        if (r <= 0)
            break;
        *n_taken += (size_t)r;
    }
    return true;
}

/* Closing our end stops it. */
static void finish(struct ffmpeg *f, int *status)
{
    close(f->out_fd);
    if (f->err_fd >= 0)
        close(f->err_fd);
    *status = 0;
    pid_t r;
    do
        r = waitpid((pid_t)f->pid, status, 0);
    while (r < 0 && errno == EINTR);
}

/* Why there is less than there should be; false when its end does not say. */
static bool judged(int status, struct refusal *why)
{
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        media_refuse(why, REASON_INTERNAL, 4, 0);
    else if (!WIFSIGNALED(status) || WTERMSIG(status) == SIGPIPE)
        return false;
    else if (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL)
        media_refuse(why, REASON_VIDEO_CPU, 0, 0);
    else
        media_refuse(why, REASON_VIDEO_CRASH, (uint64_t)WTERMSIG(status), 0);
    return true;
}

/* ---- facts ----------------------------------------------------------------------------------- */

/* "key=A/B" or "key=A" on a line of its own; false when it is not there. */
static bool find_value(struct span text, const char *key, uint64_t *a, uint64_t *b)
{
    size_t at = span_find(text, span_of(key), 0);
    if (at == SIZE_MAX || (at && text.ptr[at - 1] != '\n'))
        return false;
    uint64_t v[2] = { 0, 1 };
    size_t i = at + strlen(key);
    for (int k = 0; k < 2; k++) {
        if (i == text.len || text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        for (v[k] = 0; i < text.len && text.ptr[i] >= '0' && text.ptr[i] <= '9'; i++) {
            if (v[k] > UINT32_MAX)
                return false;
            v[k] = v[k] * 10 + (uint64_t)(text.ptr[i] - '0');
        }
        if (k == 0 && (i == text.len || text.ptr[i] != '/'))
            break;
        i++;
    }
    *a = v[0];
    *b = v[1];
    return v[0] <= UINT32_MAX && v[1] <= UINT32_MAX;
}

bool video_facts_parse(struct video_facts *out, struct span text)
{
    uint64_t n, one, num, den;
    *out = (struct video_facts){ 0 };
    if (!find_value(text, "nb_read_frames=", &n, &one) &&
        !find_value(text, "nb_read_packets=", &n, &one))
        return false;
    out->n_frames = n;
    if ((find_value(text, "avg_frame_rate=", &num, &den) && num && den) ||
        (find_value(text, "r_frame_rate=", &num, &den) && num && den)) {
        out->fps_num = (uint32_t)num;
        out->fps_den = (uint32_t)den;
    }
    return n > 0;
}

bool ffmpeg_facts(struct ffmpeg *f, struct video_facts *out, struct refusal *why)
{
    char text[4096];
    size_t n;
    int status;
    bool ok = take(f, text, sizeof(text), &n, why);
    finish(f, &status);
    if (!ok || judged(status, why))
        return false;
    return video_facts_parse(out, (struct span){ text, n })
               ? true
               : media_refuse(why, REASON_VIDEO_UNKNOWN, 0, 0);
}

/* ---- frames ---------------------------------------------------------------------------------- */

enum { PPM_HEAD_MAX = 32 };

/* "P6\nWIDTH HEIGHT\n255\n", a byte at a time, for what follows is pixels. *more is false at the end of
 * the stream. */
static bool read_head(struct ffmpeg *f, uint32_t *width, uint32_t *height, bool *more,
                      struct refusal *why)
{
    char head[PPM_HEAD_MAX + 1] = "";
    size_t n = 0, lines = 0;
    *more = true;
    while (lines < 3) {
        size_t got;
        if (n == PPM_HEAD_MAX || !take(f, head + n, 1, &got, why))
            return media_refuse(why, REASON_INTERNAL, 5, 0);
        if (!got) {
            *more = false;
            return n == 0 ? true : media_refuse(why, REASON_INTERNAL, 6, 0);
        }
        lines += head[n++] == '\n';
    }
    int used = 0;
    if (sscanf(head, "P6\n%9u %9u\n255\n%n", width, height, &used) != 2 || (size_t)used != n)
        return media_refuse(why, REASON_INTERNAL, 7, 0);
    return true;
}

static bool read_frame(struct ffmpeg *f, struct picture *p, bool *more, struct refusal *why)
{
    uint32_t width = 0, height = 0;
    if (!read_head(f, &width, &height, more, why))
        return false;
    if (!*more)
        return true;
    if (!picture_begin(p, width, height, why))
        return false;
    size_t n = (size_t)width * height * 3, got;
    if (!take(f, p->rgb, n, &got, why))
        return false;
    *more = got == n; /* half a frame is none */
    return true;
}

bool ffmpeg_frames(struct ffmpeg *f, uint64_t max_pixels, ffmpeg_frame_fn fn, void *ctx,
                   struct refusal *why)
{
    bool ok = true, more = true;
    while (ok && more) {
        struct picture p = { .orientation = 1, .max_pixels = max_pixels };
        ok = read_frame(f, &p, &more, why);
        ok = ok && (!more || fn(ctx, &p, why));
        picture_deinit(&p);
    }
    int status;
    finish(f, &status);
    return ok && !judged(status, why);
}
