/* The models of a home: their names, their lock, their list. */
#include "hub/models.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "hub/jread.h"
#include "hub/limits.h"
#include "hub/models_priv.h"

/* ---- paths ---- */

char *models_dir(const char *home)
{
    return path_join(home, "models");
}

char *models_path(const char *home, const char *before, const char *name, const char *after)
{
    struct buf b = { 0 };
    buf_printf(&b, "%s/models/%s%s%s", home, before, name, after);
    return buf_take(&b);
}

char *model_dir(const char *home, const char *name)
{
    return models_path(home, "", name, "");
}

char *model_part_dir(const char *home, const char *name)
{
    return models_path(home, ".", name, PART_SUFFIX);
}

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

static enum kt_status check_name(const char *name, struct kt_error *err)
{
    return model_name_ok(name)
               ? KT_OK
               : kt_fail(err, KT_E_USAGE,
                         "that is not a model's name: a-z, 0-9 and . _ - , at most %d characters",
                         HUB_NAME_MAX);
}

void time_text(char out[static 24])
{
    time_t now = time(NULL);
    struct tm tm;
    if (!gmtime_r(&now, &tm) || strftime(out, 24, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        out[0] = '\0';
}

/* ---- the lock ---- */

enum kt_status model_lock(int *fd, const char *home, const char *name, struct kt_error *err)
{
    *fd = -1;
    enum kt_status st = check_name(name, err);
    char *dir = models_dir(home), *path = models_path(home, ".", name, ".lock");
    if (!st && (!dir || !path))
        st = no_memory(err);
    if (!st)
        st = dir_make(dir, 0700, err);
    if (!st) {
        *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (*fd < 0)
            st = kt_fail_errno(err, errno, "%s: cannot open", path);
    }
    if (!st && flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        st = errno == EWOULDBLOCK
                 ? kt_fail(err, KT_E_BUSY,
                           "another kontor is at work on '%s'; wait for it, or stop it", name)
                 : kt_fail_errno(err, errno, "%s: cannot lock", path);
        model_unlock(*fd);
        *fd = -1;
    }
    free(dir);
    free(path);
    return st;
}

void model_unlock(int fd)
{
    if (fd >= 0)
        close(fd); /* the lock goes with it; its file stays, or two could hold "the" lock */
}

/* ---- listing ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct model_entry *)a)->name, ((const struct model_entry *)b)->name);
}

/* ".NAME.part" -> NAME, in place. */
static bool strip_part(char *s)
{
    size_t n = strlen(s), m = strlen(PART_SUFFIX);
    if (s[0] != '.' || n <= m + 1 || strcmp(s + n - m, PART_SUFFIX) != 0)
        return false;
    memmove(s, s + 1, n - m - 1);
    s[n - m - 1] = '\0';
    return model_name_ok(s);
}

static uint64_t size_of(const char *dir, const char *file, const char *suffix)
{
    struct stat sb;
    struct buf path = { 0 };
    buf_printf(&path, "%s/%s%s", dir, file, suffix);
    bool there = !path.failed && stat(path.ptr, &sb) == 0;
    buf_deinit(&path);
    return there ? (uint64_t)sb.st_size : 0;
}

/* How far an unfinished one is. Its state may be absent: it has only begun. */
static void read_unfinished(struct model_entry *e, const char *dir)
{
    struct buf text = { 0 };
    struct pull_state s = { 0 };
    char *path = path_join(dir, STATE_FILE);
    if (path && file_exists(path) && !file_read(&text, path, HUB_JSON_MAX, NULL) &&
        !pull_state_read(&s, buf_span(&text), path, NULL)) {
        for (size_t i = 0; i < s.n_files; i++) {
            e->bytes += size_of(dir, s.files[i].path, s.files[i].done ? "" : PART_SUFFIX);
            e->bytes_planned += s.files[i].bytes;
        }
    }
    pull_state_deinit(&s);
    buf_deinit(&text);
    free(path);
}

static enum kt_status add_entry(struct model_list *l, const char *home, char *name, bool unfinished,
                                struct kt_error *err)
{
    struct model_entry *more = realloc(l->entries, (l->n + 1) * sizeof(*more));
    char *dir = unfinished ? model_part_dir(home, name) : model_dir(home, name);
    if (more)
        l->entries = more;
    if (!more || !dir) {
        free(name);
        free(dir);
        return no_memory(err);
    }
    struct model_entry *e = &l->entries[l->n++];
    *e = (struct model_entry){ .name = name, .unfinished = unfinished };
    if (unfinished) {
        read_unfinished(e, dir);
    } else {
        e->damaged = model_manifest(&e->manifest, home, name, NULL) != KT_OK;
        e->bytes = manifest_bytes(&e->manifest);
    }
    free(dir);
    return KT_OK;
}

enum kt_status models_list(struct model_list *out, const char *home, struct kt_error *err)
{
    *out = (struct model_list){ 0 };
    char *dir = models_dir(home);
    if (!dir)
        return no_memory(err);
    DIR *d = opendir(dir);
    enum kt_status st = KT_OK;
    if (!d && errno != ENOENT)
        st = kt_fail_errno(err, errno, "%s: cannot list", dir);
    for (struct dirent *e; d && !st && (e = readdir(d));) {
        struct stat sb;
        if (fstatat(dirfd(d), e->d_name, &sb, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISDIR(sb.st_mode))
            continue;
        char *name = strdup(e->d_name);
        if (!name)
            st = no_memory(err);
        else if (model_name_ok(name))
            st = add_entry(out, home, name, false, err);
        else if (strip_part(name))
            st = add_entry(out, home, name, true, err);
        else
            free(name);
    }
    if (d)
        closedir(d);
    free(dir);
    if (st)
        model_list_deinit(out);
    else if (out->n)
        qsort(out->entries, out->n, sizeof(*out->entries), by_name);
    return st;
}

void model_list_deinit(struct model_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->entries[i].name);
        manifest_deinit(&l->entries[i].manifest);
    }
    free(l->entries);
    *l = (struct model_list){ 0 };
}

/* ---- one model ---- */

enum kt_status model_manifest(struct manifest *out, const char *home, const char *name,
                              struct kt_error *err)
{
    *out = (struct manifest){ 0 };
    enum kt_status st = check_name(name, err);
    char *dir = model_dir(home, name);
    char *path = dir ? path_join(dir, MANIFEST_FILE) : NULL;
    if (!st && !path)
        st = no_memory(err);
    if (!st && !file_exists(dir))
        st = kt_fail(err, KT_E_NOTFOUND,
                     "there is no model '%s' in this home; `kontor models` "
                     "lists them",
                     name);
    if (!st)
        st = manifest_load(out, path, err);
    free(path);
    free(dir);
    return st;
}

enum kt_status model_find(char **out, const char *home, const char *name, struct kt_error *err)
{
    *out = NULL;
    struct model_list l;
    if (!model_name_ok(name))
        return KT_OK;
    enum kt_status st = models_list(&l, home, err);
    if (st)
        return st;
    const struct model_entry *exact = NULL, *longer = NULL;
    size_t n = strlen(name), n_longer = 0;
    for (size_t i = 0; i < l.n; i++) {
        const struct model_entry *e = &l.entries[i];
        if (e->unfinished)
            continue;
        if (strcmp(e->name, name) == 0)
            exact = e;
        if (strncmp(e->name, name, n) == 0 && e->name[n] == '-') {
            longer = e;
            n_longer++;
        }
    }
    const struct model_entry *e = exact ? exact : longer;
    if (!exact && n_longer > 1)
        st = kt_fail(err, KT_E_USAGE,
                     "'%s' may be %zu models of this home; give the whole name "
                     "(`kontor models` lists them)",
                     name, n_longer);
    else if (e && !(*out = strdup(e->name)))
        st = no_memory(err);
    model_list_deinit(&l);
    return st;
}

enum kt_status model_open_path(char **out, const char *home, const char *name, struct kt_error *err)
{
    *out = NULL;
    struct manifest m;
    enum kt_status st = model_manifest(&m, home, name, err);
    if (st)
        return st;
    char *dir = model_dir(home, name);
    if (dir)
        *out = strcmp(m.open, ".") == 0 ? strdup(dir) : path_join(dir, m.open);
    if (!*out)
        st = no_memory(err);
    free(dir);
    manifest_deinit(&m);
    return st;
}
