/* A video that is a folder of pictures. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "media/media_priv.h"
#include "sandbox/child.h"

static const struct child_words FRAME_WORDS = {
    .noun = "picture", .use = "look at", .advice = "", .split = ""
};

struct names {
    char **items; /* [n], owned */
    size_t n, cap;
};

static void names_deinit(struct names *names)
{
    for (size_t i = 0; i < names->n; i++)
        free(names->items[i]);
    free(names->items);
}

static size_t digits(const char *s)
{
    return strspn(s, "0123456789");
}

/* frame2 before frame10: runs of digits compare as numbers; equal ones as text. */
static int natural_cmp(const char *a, const char *b)
{
    const char *whole_a = a, *whole_b = b;
    while (*a && *b) {
        size_t n_a = digits(a), n_b = digits(b);
        if (!n_a || !n_b) {
            if (*a != *b)
                return (unsigned char)*a < (unsigned char)*b ? -1 : 1;
            a++;
            b++;
            continue;
        }
        size_t zeros_a = MIN(strspn(a, "0"), n_a), zeros_b = MIN(strspn(b, "0"), n_b);
        if (n_a - zeros_a != n_b - zeros_b)
            return n_a - zeros_a < n_b - zeros_b ? -1 : 1;
        int c = strncmp(a + zeros_a, b + zeros_b, n_a - zeros_a);
        if (c)
            return c;
        a += n_a;
        b += n_b;
    }
    return *a ? 1 : *b ? -1 : strcmp(whole_a, whole_b);
}

static int by_name(const void *a, const void *b)
{
    return natural_cmp(*(char *const *)a, *(char *const *)b);
}

static bool names_push(struct names *names, const char *name)
{
    if (names->n == names->cap) {
        size_t cap = names->cap ? names->cap * 2 : 64;
        char **items = realloc(names->items, cap * sizeof(*items));
        if (!items)
            return false;
        names->items = items;
        names->cap = cap;
    }
    return (names->items[names->n] = strdup(name)) && ++names->n;
}

static bool is_frame_name(const char *name)
{
    return name[0] != '.' && strcmp(name, "fps") != 0;
}

static enum kt_status names_read(struct names *names, const char *path, struct kt_error *err)
{
    DIR *dir = opendir(path);
    if (!dir)
        return kt_fail_errno(err, errno, "%s: the folder cannot be read", path);
    enum kt_status st = KT_OK;
    for (struct dirent *e; !st && (e = readdir(dir));) {
        if (!is_frame_name(e->d_name))
            continue;
        if (names->n == FOLDER_FRAMES_MAX)
            st = kt_fail(err, KT_E_LIMIT, "%s: more than %d frames", path, FOLDER_FRAMES_MAX);
        else if (!names_push(names, e->d_name))
            st = kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    }
    closedir(dir);
    if (!st && names->n < 2)
        st = kt_fail(err, KT_E_FORMAT,
                     "%s: %zu pictures in the folder; a video has at least 2 frames", path,
                     names->n);
    if (!st)
        qsort(names->items, names->n, sizeof(*names->items), by_name);
    return st;
}

/* The file "fps": one number. */
static enum kt_status read_fps(double *fps, const char *path, struct kt_error *err)
{
    char *file = path_join(path, "fps"), *end = NULL;
    struct buf text = { 0 };
    if (!file)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    enum kt_status st = file_exists(file) ? file_read(&text, file, 64, err) : KT_OK;
    if (!st && text.len) {
        double v = strtod(text.ptr, &end);
        if (end == text.ptr || end[strspn(end, " \t\r\n")] || !(v >= 1e-6 && v <= 1e6))
            st = kt_fail(err, KT_E_FORMAT, "%s: expected one number, the frames a second", file);
        else
            *fps = v;
    }
    buf_deinit(&text);
    free(file);
    return st;
}

static enum kt_status frame_read(struct buf *result, struct frames *f, const char *folder,
                                 const char *name, uint32_t n, const struct settings *s,
                                 struct kt_error *err)
{
    char *path = path_join(folder, name);
    if (!path)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", folder);
    struct stat sb;
    int fd;
    enum kt_status st = child_input_open(&fd, &sb, path, &FRAME_WORDS, err);
    if (!st) {
        st = picture_from_fd(result, f, fd, path, n, s, err);
        close(fd);
    }
    free(path);
    return st;
}

/* All frames have the first one's size, before and after. */
static enum kt_status frame_put(struct kt_media *m, const struct frames *f, uint32_t i, uint32_t n,
                                const char *folder, const char *name, struct kt_error *err)
{
    struct frames *all = &m->frames;
    size_t n_bytes = (size_t)f->height * f->width * 3;
    if (i == 0) {
        uint32_t n_even = n + n % 2;
        *all = *f;
        all->n = n_even;
        size_t total;
        m->block = size_mul(&total, n_bytes, n_even) ? malloc(total) : NULL;
        all->rgb = (uint8_t *)m->block;
    }
    if (!m->block)
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", folder);
    if (f->source_height != all->source_height || f->source_width != all->source_width ||
        f->height != all->height || f->width != all->width)
        return kt_fail(err, KT_E_FORMAT,
                       "%s/%s: %u x %u pixels, the frames before it have %u x %u; a video's frames "
                       "are of one size",
                       folder, name, f->source_width, f->source_height, all->source_width,
                       all->source_height);
    memcpy(m->block + i * n_bytes, f->rgb, n_bytes);
    if (i + 1 == n && n % 2)
        memcpy(m->block + n * n_bytes, f->rgb, n_bytes);
    return KT_OK;
}

static enum kt_status frames_read(struct kt_media *m, const char *path, const struct names *names,
                                  const uint64_t *idx, uint32_t n, const struct settings *s,
                                  struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (uint32_t i = 0; i < n && !st; i++) {
        struct buf result = { 0 };
        struct frames f;
        const char *name = names->items[idx[i]];
        st = frame_read(&result, &f, path, name, n, s, err);
        if (!st)
            st = frame_put(m, &f, i, n, path, name, err);
        buf_deinit(&result);
    }
    return st;
}

enum kt_status folder_open(struct kt_media *m, const char *path, const struct settings *s,
                           struct kt_error *err)
{
    struct names names = { 0 };
    double fps = 24;
    uint64_t *idx = NULL;
    enum kt_status st = names_read(&names, path, err);
    if (!st)
        st = read_fps(&fps, path, err);
    if (!st) {
        const struct media_config *c = &s->config;
        fps = s->source_fps > 0 ? s->source_fps : fps;
        uint32_t n = s->all_frames
                         ? (uint32_t)MIN(names.n, (size_t)c->frames_max)
                         : frames_wanted(names.n, fps, c->fps, c->frames_min, c->frames_max);
        n = MAX(n, 2u);
        idx = calloc(n, sizeof(*idx));
        m->seconds = calloc((n + 1) / 2, sizeof(*m->seconds));
        if (idx && m->seconds) {
            frames_choose(idx, n, names.n);
            frames_seconds(m->seconds, idx, n, fps);
            st = frames_read(m, path, &names, idx, n, s, err);
        } else {
            st = kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
        }
    }
    free(idx);
    names_deinit(&names);
    return st;
}
