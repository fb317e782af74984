/* Fetching a model: room, files one after the other, and one step that makes it a model. */
#include "hub/pull.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <errno.h>

#include "base/files.h"
#include "hub/jread.h"
#include "hub/limits.h"
#include "hub/models.h"
#include "hub/pull_priv.h"
#include "kontor/version.h"

/* Left free for everything else on that disk. */
static const uint64_t SPARE_BYTES = 64u << 20;

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

void puller_say(const struct puller *p, const char *fmt, ...)
{
    char text[KT_ERROR_TEXT_MAX];
    va_list ap;
    if (!p->o->say)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    p->o->say(p->o->ctx, text);
}

uint64_t puller_total(const struct puller *p)
{
    uint64_t n = 0;
    for (size_t i = 0; i < p->state.n_files; i++)
        n += p->state.files[i].bytes;
    return n;
}

/* ---- the state of an earlier run ---- */

enum kt_status puller_save(const struct puller *p, struct kt_error *err)
{
    struct buf text = { 0 };
    char *path = path_join(p->dir, STATE_FILE);
    enum kt_status st = path ? pull_state_print(&text, &p->state, err) : no_memory(err);
    if (!st)
        st = file_replace(path, text.ptr, text.len, 0600, err);
    buf_deinit(&text);
    free(path);
    return st;
}

static enum kt_status fresh_state(struct puller *p, struct kt_error *err)
{
    const struct catalogue_build *b = p->o->build;
    p->state = (struct pull_state){ .files = calloc(b->n_files, sizeof(*p->state.files)) };
    if (!p->state.files)
        return no_memory(err);
    p->state.n_files = b->n_files;
    for (size_t i = 0; i < b->n_files; i++) {
        struct state_file *s = &p->state.files[i];
        snprintf(s->path, sizeof(s->path), "%s", b->files[i].as);
        s->bytes = b->files[i].bytes;
        s->pin = PIN_SEEN;
    }
    return KT_OK;
}

static bool is_of_this_build(const struct puller *p, const struct pull_state *s)
{
    const struct catalogue_build *b = p->o->build;
    bool same = s->n_files == b->n_files;
    for (size_t i = 0; i < s->n_files && same; i++) {
        same = strcmp(s->files[i].path, b->files[i].as) == 0;
        /* A catalogue that now pins another content: what is there is of no use. */
        if (b->files[i].sha256[0] && s->files[i].sha256[0])
            same = same && strcmp(b->files[i].sha256, s->files[i].sha256) == 0;
    }
    return same;
}

/* Is a file that the state calls finished still there, at its length? Its hash was checked when it
 * was finished, and `verify` can check it again. */
static void trust_finished(struct puller *p)
{
    for (size_t i = 0; i < p->state.n_files; i++) {
        struct state_file *s = &p->state.files[i];
        struct stat sb;
        char *path = s->done ? path_join(p->dir, s->path) : NULL;
        if (s->done && (!path || stat(path, &sb) != 0 || (uint64_t)sb.st_size != s->bytes))
            s->done = false;
        free(path);
    }
}

static enum kt_status load_state(struct puller *p, struct kt_error *err)
{
    struct buf text = { 0 };
    struct kt_error ignored;
    char *path = path_join(p->dir, STATE_FILE);
    if (!path)
        return no_memory(err);
    bool usable = file_exists(path) && !file_read(&text, path, HUB_JSON_MAX, &ignored) &&
                  !pull_state_read(&p->state, buf_span(&text), path, &ignored);
    if (usable && !is_of_this_build(p, &p->state)) {
        pull_state_deinit(&p->state);
        usable = false;
    }
    buf_deinit(&text);
    free(path);
    if (usable) {
        trust_finished(p);
        return KT_OK;
    }
    /* Parts without a state that can be understood are worth nothing. */
    enum kt_status st = tree_remove(p->dir, err);
    if (!st)
        st = dir_make(p->dir, 0700, err);
    return st ? st : fresh_state(p, err);
}

/* ---- room ---- */

static uint64_t bytes_there(const struct puller *p, size_t i)
{
    struct stat sb;
    struct buf path = { 0 };
    buf_printf(&path, "%s/%s%s", p->dir, p->state.files[i].path,
               p->state.files[i].done ? "" : PART_SUFFIX);
    bool there = !path.failed && stat(path.ptr, &sb) == 0;
    buf_deinit(&path);
    return there ? (uint64_t)sb.st_size : 0;
}

static enum kt_status check_room(const struct puller *p, struct kt_error *err)
{
    uint64_t need = SPARE_BYTES;
    for (size_t i = 0; i < p->state.n_files; i++) {
        uint64_t have = bytes_there(p, i), all = p->state.files[i].bytes;
        need += all > have ? all - have : 0;
    }
    struct statvfs fs;
    if (statvfs(p->dir, &fs) != 0)
        return kt_fail_errno(err, errno, "%s: cannot ask for its free space", p->dir);
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (room >= need)
        return KT_OK;
    return kt_fail(err, KT_E_NOSPACE,
                   "%s needs %.2f GB more on the disk of the home folder, %.2f GB are free; free "
                   "some, choose a smaller build (`kontor pull --list`), or give another --home",
                   p->o->build->name, (double)(need - SPARE_BYTES) / 1e9, (double)room / 1e9);
}

/* ---- all files ---- */

static enum kt_status fetch_all(struct puller *p, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < p->state.n_files && !st; i++) {
        if (!p->state.files[i].done)
            st = fetch_file(p, i, err);
        p->done_before += p->state.files[i].bytes;
    }
    return st;
}

static const char *what_to_open(const struct catalogue_build *b)
{
    const char *first = b->files[0].as;
    size_t n = strlen(first);
    return n > 5 && strcmp(first + n - 5, ".gguf") == 0 ? first : ".";
}

static enum kt_status install(struct puller *p, struct kt_error *err)
{
    const struct catalogue_build *b = p->o->build;
    char date[24];
    time_text(date);
    struct manifest m = {
        .name = b->name,
        .title = b->model->title,
        .quant = b->quant,
        .license = b->model->license,
        .role = b->model->role,
        .open = what_to_open(b),
        .hub = p->hub_url,
        .repository = b->repository,
        .revision = p->state.revision[0] ? p->state.revision : b->revision,
        .date = date,
        .tool = "kontor " KT_VERSION,
        .n_files = p->state.n_files,
    };
    m.files = calloc(m.n_files, sizeof(*m.files));
    if (!m.files)
        return no_memory(err);
    for (size_t i = 0; i < m.n_files; i++) {
        const struct state_file *s = &p->state.files[i];
        m.files[i] = (struct manifest_file){
            .path = s->path, .bytes = s->bytes, .sha256 = s->sha256, .pin = s->pin
        };
    }
    enum kt_status st = model_install(p->o->home, p->dir, &m, err);
    free(m.files);
    return st;
}

static enum kt_status pull_locked(struct puller *p, struct kt_error *err)
{
    char *dir = model_dir(p->o->home, p->o->build->name);
    p->dir = model_part_dir(p->o->home, p->o->build->name);
    enum kt_status st = dir && p->dir ? KT_OK : no_memory(err);
    if (!st && file_exists(dir))
        st = kt_fail(err, KT_E_EXISTS, "'%s' is here already", p->o->build->name);
    if (!st)
        st = dir_make(p->dir, 0700, err);
    if (!st)
        st = load_state(p, err);
    if (!st)
        st = check_room(p, err);
    if (!st)
        st = fetch_all(p, err);
    if (!st)
        st = install(p, err);
    free(dir);
    return st;
}

enum kt_status pull_model(const struct pull_options *o, struct kt_error *err)
{
    struct puller p = { .o = o };
    struct http_options http = o->http;
    int lock;
    if (!http.hub_url)
        http.hub_url = o->build->hub;
    char *hub = strdup(http.hub_url);
    if (!hub)
        return no_memory(err);
    for (size_t n = strlen(hub); n > 0 && hub[n - 1] == '/'; n--)
        hub[n - 1] = '\0';
    p.hub_url = hub;
    enum kt_status st = model_lock(&lock, o->home, o->build->name, err);
    if (!st)
        st = http_open(&p.http, &http, err);
    if (!st)
        st = pull_locked(&p, err);
    http_close(p.http);
    pull_state_deinit(&p.state);
    free(p.dir);
    free(hub);
    model_unlock(lock);
    return st;
}
