/* Making a folder a model, and removing one. */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "hub/jread.h"
#include "hub/models.h"
#include "hub/models_priv.h"
#include "model/model_file.h"

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

/* ---- what it is ---- */

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
    char *gone = models_path(home, ".", name, ".gone");
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
