/* The models of a home: finding, installing, removing. */
#include "hub/models.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
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
#include "model/model_file.h"

/* ---- paths ---- */

char *models_dir(const char *home)
{
    return path_join(home, "models");
}

static char *inside(const char *home, const char *before, const char *name, const char *after)
{
    struct buf b = { 0 };
    buf_printf(&b, "%s/models/%s%s%s", home, before, name, after);
    return buf_take(&b);
}

char *model_dir(const char *home, const char *name)
{
    return inside(home, "", name, "");
}

char *model_part_dir(const char *home, const char *name)
{
    return inside(home, ".", name, PART_SUFFIX);
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
    char *dir = models_dir(home), *path = inside(home, ".", name, ".lock");
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

static void take_fact(char *out, size_t size, const struct model_file *f, const char *key)
{
    struct span v = model_file_str(f, key);
    if (v.len < size && !memchr(v.ptr ? v.ptr : "", 0, v.len)) {
        memcpy(out, v.ptr ? v.ptr : "", v.len);
        out[v.len] = '\0';
    }
    if (!text_is_plain(out))
        out[0] = '\0';
}

static enum model_role role_of(const struct model_shape *s)
{
    if (s->pooling == POOL_RANK)
        return ROLE_RERANK;
    return s->arch == ARCH_BERT || s->pooling != POOL_NONE ? ROLE_EMBED : ROLE_CHAT;
}

enum kt_status model_inspect(struct model_facts *out, const char *path, struct kt_error *err)
{
    *out = (struct model_facts){ 0 };
    struct model_file *f = NULL;
    struct model_shape *s = malloc(sizeof(*s));
    enum kt_status st = s ? model_file_open(&f, path, err) : no_memory(err);
    if (!st)
        st = model_shape_from_file(s, f, err);
    if (!st && model_file_n_tensors(f) == 0)
        st = kt_fail(err, KT_E_FORMAT, "%s: holds no weights", path);
    if (!st) {
        out->role = role_of(s);
        take_fact(out->title, sizeof(out->title), f, "general.name");
        take_fact(out->license, sizeof(out->license), f, "general.license");
    }
    model_file_close(f);
    free(s);
    return st;
}

/* ---- installing ---- */

enum kt_status dir_sync(const char *dir, struct kt_error *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum kt_status st = KT_OK;
    if (fd < 0 || fsync(fd) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot sync the folder", dir);
    if (fd >= 0)
        close(fd);
    return st;
}

static enum kt_status write_manifest(const char *part, const struct manifest *m,
                                     struct kt_error *err)
{
    struct buf text = { 0 };
    char *path = path_join(part, MANIFEST_FILE);
    enum kt_status st = path ? manifest_print(&text, m, err) : no_memory(err);
    if (!st)
        st = file_replace(path, text.ptr, text.len, 0600, err);
    buf_deinit(&text);
    free(path);
    return st;
}

static enum kt_status check_opens(const char *part, const struct manifest *m, struct kt_error *err)
{
    struct model_facts facts;
    char *path = strcmp(m->open, ".") == 0 ? strdup(part) : path_join(part, m->open);
    enum kt_status st = path ? model_inspect(&facts, path, err) : no_memory(err);
    if (st && st != KT_E_NOMEM)
        kt_error_prefix(err, "'%s' is whole, but it does not run here", m->name);
    free(path);
    return st;
}

enum kt_status model_install(const char *home, const char *part, const struct manifest *m,
                             struct kt_error *err)
{
    char *dir = model_dir(home, m->name), *all = models_dir(home);
    char *state = path_join(part, STATE_FILE);
    enum kt_status st = dir && all && state ? KT_OK : no_memory(err);
    if (!st && file_exists(dir))
        st = kt_fail(err, KT_E_EXISTS,
                     "there is a model '%s' already; `kontor rm %s` removes it, "
                     "or give another name with --name",
                     m->name, m->name);
    if (!st)
        st = check_opens(part, m, err);
    if (!st)
        st = write_manifest(part, m, err);
    if (!st && unlink(state) != 0 && errno != ENOENT)
        st = kt_fail_errno(err, errno, "%s: cannot remove", state);
    if (!st)
        st = dir_sync(part, err);
    if (!st && rename(part, dir) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot rename into place", dir);
    if (!st)
        st = dir_sync(all, err);
    free(dir);
    free(all);
    free(state);
    return st;
}

/* ---- removing ---- */

static int remove_one(const char *path, const struct stat *sb, int kind, struct FTW *where)
{
    (void)sb, (void)kind, (void)where;
    return remove(path) == 0 || errno == ENOENT ? 0 : -1;
}

enum kt_status tree_remove(const char *dir, struct kt_error *err)
{
    struct stat sb;
    if (lstat(dir, &sb) != 0 && errno == ENOENT)
        return KT_OK;
    if (nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return kt_fail_errno(err, errno, "%s: cannot be removed", dir);
    return KT_OK;
}

/* Out of sight first: what is half removed must not look like a model. */
static enum kt_status remove_locked(const char *home, const char *name, struct kt_error *err)
{
    char *dir = model_dir(home, name), *part = model_part_dir(home, name);
    char *gone = inside(home, ".", name, ".gone");
    enum kt_status st = dir && part && gone ? KT_OK : no_memory(err);
    if (!st && !file_exists(dir) && !file_exists(part) && !file_exists(gone))
        st = kt_fail(err, KT_E_NOTFOUND,
                     "there is no model '%s' in this home; `kontor models` "
                     "lists them",
                     name);
    if (!st)
        st = tree_remove(gone, err); /* of an earlier run that was killed */
    if (!st && file_exists(dir) && rename(dir, gone) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot be moved away", dir);
    if (!st)
        st = tree_remove(gone, err);
    if (!st)
        st = tree_remove(part, err);
    free(dir);
    free(part);
    free(gone);
    return st;
}

enum kt_status model_remove(const char *home, const char *name, struct kt_error *err)
{
    int lock;
    enum kt_status st = model_lock(&lock, home, name, err);
    if (!st)
        st = remove_locked(home, name, err);
    model_unlock(lock);
    return st;
}

/* ---- verifying ---- */

static enum kt_status verify_file(const char *dir, const struct manifest_file *f,
                                  const struct verify_watch *w, bool *differs, struct kt_error *err)
{
    char sha[65], finding[256];
    uint64_t bytes = 0;
    struct kt_error why = { 0 };
    char *path = path_join(dir, f->path);
    if (!path)
        return no_memory(err);
    finding[0] = '\0';
    if (!file_exists(path)) {
        snprintf(finding, sizeof(finding), "missing");
    } else {
        enum kt_status st = hash_file(sha, &bytes, path, w->on_bytes, w->ctx, &why);
        if (st == KT_E_CANCELLED || st == KT_E_NOMEM) {
            free(path);
            return kt_fail(err, st, "%s", why.text);
        }
        if (st)
            snprintf(finding, sizeof(finding), "cannot be read (%s)", kt_status_name(st));
        else if (bytes != f->bytes)
            snprintf(finding, sizeof(finding), "%llu bytes, expected %llu",
                     (unsigned long long)bytes, (unsigned long long)f->bytes);
        else if (strcmp(sha, f->sha256) != 0)
            snprintf(finding, sizeof(finding), "SHA-256 is %.16s..., expected %.16s...", sha,
                     f->sha256);
    }
    free(path);
    *differs = *differs || finding[0];
    if (w->on_file)
        w->on_file(w->ctx, f, finding[0] ? finding : NULL);
    return KT_OK;
}

enum kt_status model_verify(const char *home, const char *name, const struct verify_watch *w,
                            struct kt_error *err)
{
    struct manifest m;
    enum kt_status st = model_manifest(&m, home, name, err);
    if (st)
        return st;
    char *dir = model_dir(home, name);
    bool differs = false;
    if (!dir)
        st = no_memory(err);
    for (size_t i = 0; i < m.n_files && !st; i++)
        st = verify_file(dir, &m.files[i], w, &differs, err);
    if (!st && differs)
        st = kt_fail(err, KT_E_FORMAT,
                     "'%s' is not what was installed; remove it (`kontor rm`) "
                     "and get it again",
                     name);
    free(dir);
    manifest_deinit(&m);
    return st;
}

/* ---- defaults ---- */

static char *defaults_path(const char *home)
{
    return inside(home, "", "defaults.json", "");
}

/* An object, the caller's; an empty one when there is no file or it cannot be understood: the file
 * holds nothing that a person could not choose again in a moment. */
static json_t *defaults_load(const char *path)
{
    struct buf text = { 0 };
    json_t *root = NULL;
    if (file_exists(path) && !file_read(&text, path, 1 << 16, NULL))
        root = json_loadb(text.ptr ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES, NULL);
    buf_deinit(&text);
    if (!json_is_object(root)) {
        json_decref(root);
        root = json_object();
    }
    return root;
}

enum kt_status model_default(char **out, const char *home, enum model_role role,
                             struct kt_error *err)
{
    *out = NULL;
    char *path = defaults_path(home);
    json_t *root = path ? defaults_load(path) : NULL;
    const char *name = json_string_value(json_object_get(root, model_role_name(role)));
    enum kt_status st = root ? KT_OK : no_memory(err);
    if (name && model_name_ok(name) && !(*out = strdup(name)))
        st = no_memory(err);
    json_decref(root);
    free(path);
    return st;
}

enum kt_status model_set_default(const char *home, enum model_role role, const char *name,
                                 struct kt_error *err)
{
    char *path = defaults_path(home);
    json_t *root = path ? defaults_load(path) : NULL;
    char *text = NULL;
    enum kt_status st = root ? KT_OK : no_memory(err);
    if (!st && name)
        json_object_set_new(root, model_role_name(role), json_string(name));
    else if (!st)
        json_object_del(root, model_role_name(role));
    if (!st && !(text = json_dumps(root, JSON_INDENT(1) | JSON_SORT_KEYS)))
        st = no_memory(err);
    if (!st)
        st = file_replace(path, text, strlen(text), 0600, err);
    free(text);
    json_decref(root);
    free(path);
    return st;
}
