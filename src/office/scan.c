/* Which files are at and below the paths a person named. */
#include "office/scan.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/size.h"

enum { DEPTH_MAX = 64 }; /* folders inside folders: more is a mistake or a trap */

static bool grow(void **items, size_t *cap, size_t n, size_t size)
{
    if (n < *cap)
        return true;
    size_t want = *cap ? *cap * 2 : 64, bytes;
    void *p = size_mul(&bytes, want, size) ? realloc(*items, bytes) : NULL;
    if (!p)
        return false;
    *items = p;
    *cap = want;
    return true;
}

static bool add_file(struct scan *s, const char *path, const struct stat *st)
{
    void *items = s->files;
    if (!grow(&items, &s->cap_files, s->n_files, sizeof(*s->files)))
        return false;
    s->files = items;
    char *copy = strdup(path);
    if (!copy)
        return false;
    s->files[s->n_files++] = (struct scan_file){
        .path = copy,
        .size = st->st_size,
        .mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec,
    };
    return true;
}

static bool note_unreadable(struct scan *s, const char *path)
{
    char **u = realloc(s->unreadable, (s->n_unreadable + 1) * sizeof(*u));
    if (!u)
        return false;
    s->unreadable = u;
    u[s->n_unreadable] = strdup(path);
    return u[s->n_unreadable++] != NULL;
}

static bool leave_out(struct scan *s, const char *path, const char *reason)
{
    void *items = s->left_out;
    if (!grow(&items, &s->cap_left_out, s->n_left_out, sizeof(*s->left_out)))
        return false;
    s->left_out = items;
    s->left_out[s->n_left_out] = (struct scan_left){ strdup(path), reason };
    return s->left_out[s->n_left_out++].path != NULL;
}

/* Why something with this name or of this kind is never read; NULL: it is. */
static const char *left_out(const char *name, mode_t mode)
{
    if (name[0] == '.')
        return S_ISDIR(mode)
                   ? "a hidden folder; give it a name that does not begin with a dot to have it "
                     "read"
                   : "a hidden file; give it a name that does not begin with a dot to have it read";
    if (strncmp(name, "~$", 2) == 0)
        return "a lock file of an office program that has a document open; nothing to do";
    if (S_ISLNK(mode))
        return "a link; add the place it leads to instead";
    if (!S_ISDIR(mode) && !S_ISREG(mode))
        return "not a file but a socket, pipe or device; nothing to do";
    return NULL;
}

/* False only when out of memory. */
static bool walk(struct scan *s, struct scan_root *root, const char *dir, int depth)
{
    DIR *d = depth < DEPTH_MAX ? opendir(dir) : NULL;
    if (!d) {
        root->complete = false;
        return note_unreadable(s, dir);
    }
    bool ok = true;
    struct dirent *e;
    while (ok && (e = readdir(d))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        char *path = path_join(dir, e->d_name);
        struct stat st;
        if (!path) {
            ok = false;
        } else if (lstat(path, &st) == 0) {
            const char *reason = left_out(e->d_name, st.st_mode);
            if (reason) {
                ok = leave_out(s, path, reason);
            } else if (S_ISDIR(st.st_mode)) {
                ok = walk(s, root, path, depth + 1);
            } else {
                ok = add_file(s, path, &st);
                root->n_files++;
            }
        } /* gone between readdir and lstat: as if it had never been there */
        free(path);
    }
    closedir(d);
    return ok;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct scan_file *)a)->path, ((const struct scan_file *)b)->path);
}

static void drop_duplicates(struct scan *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n_files; i++) {
        if (kept && strcmp(s->files[kept - 1].path, s->files[i].path) == 0)
            free(s->files[i].path);
        else
            s->files[kept++] = s->files[i];
    }
    s->n_files = kept;
}

/* Folders named twice, or one inside the other: what was left out counts once, too. */
static int by_left_path(const void *a, const void *b)
{
    return strcmp(((const struct scan_left *)a)->path, ((const struct scan_left *)b)->path);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void drop_duplicate_lines(struct scan *s)
{
    size_t kept = 0;
    if (s->n_left_out)
        qsort(s->left_out, s->n_left_out, sizeof(*s->left_out), by_left_path);
    for (size_t i = 0; i < s->n_left_out; i++) {
        if (kept && by_left_path(&s->left_out[kept - 1], &s->left_out[i]) == 0)
            free(s->left_out[i].path);
        else
            s->left_out[kept++] = s->left_out[i];
    }
    s->n_left_out = kept;
    kept = 0;
    if (s->n_unreadable)
        qsort(s->unreadable, s->n_unreadable, sizeof(*s->unreadable), by_text);
    for (size_t i = 0; i < s->n_unreadable; i++) {
        if (kept && strcmp(s->unreadable[kept - 1], s->unreadable[i]) == 0)
            free(s->unreadable[i]);
        else
            s->unreadable[kept++] = s->unreadable[i];
    }
    s->n_unreadable = kept;
}

static enum kt_status scan_root(struct scan *s, struct scan_root *root, const char *path,
                                struct kt_error *err)
{
    struct stat st;
    root->path = realpath(path, NULL);
    if (!root->path || stat(root->path, &st) != 0)
        return kt_fail_errno(
            err, errno,
            "%s: cannot be reached, so nothing was changed; is the folder or share connected?",
            path);
    root->complete = true;
    root->is_folder = S_ISDIR(st.st_mode);
    bool ok = true;
    if (root->is_folder) {
        ok = walk(s, root, root->path, 0);
    } else if (S_ISREG(st.st_mode)) {
        ok = add_file(s, root->path, &st);
        root->n_files = 1;
    } else {
        return kt_fail(err, KT_E_UNSUPPORTED, "%s: neither a file nor a folder", path);
    }
    return ok ? KT_OK : kt_fail(err, KT_E_NOMEM, "%s: out of memory while listing files", path);
}

enum kt_status scan_paths(struct scan *out, const char *const *paths, size_t n_paths,
                          struct kt_error *err)
{
    *out = (struct scan){ 0 };
    out->roots = calloc(n_paths ? n_paths : 1, sizeof(*out->roots));
    if (!out->roots)
        return kt_fail(err, KT_E_NOMEM, "out of memory while listing files");
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < n_paths && !st; i++) {
        out->n_roots++;
        st = scan_root(out, &out->roots[i], paths[i], err);
    }
    if (st) {
        scan_deinit(out);
        return st;
    }
    if (out->n_files)
        qsort(out->files, out->n_files, sizeof(*out->files), by_path);
    drop_duplicates(out);
    drop_duplicate_lines(out);
    return KT_OK;
}

const struct scan_file *scan_find(const struct scan *s, const char *path)
{
    struct scan_file key = { .path = (char *)(uintptr_t)path };
    return s->n_files ? bsearch(&key, s->files, s->n_files, sizeof(*s->files), by_path) : NULL;
}

void scan_deinit(struct scan *s)
{
    for (size_t i = 0; i < s->n_files; i++)
        free(s->files[i].path);
    for (size_t i = 0; i < s->n_roots; i++)
        free(s->roots[i].path);
    for (size_t i = 0; i < s->n_unreadable; i++)
        free(s->unreadable[i]);
    for (size_t i = 0; i < s->n_left_out; i++)
        free(s->left_out[i].path);
    free(s->left_out);
    free(s->files);
    free(s->roots);
    free(s->unreadable);
    *s = (struct scan){ 0 };
}
