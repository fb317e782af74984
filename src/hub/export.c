/* Writing a model out of a home: a folder, or one tar file. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "hub/carry_priv.h"
#include "hub/jread.h"
#include "hub/limits.h"
#include "hub/sign.h"
#include "hub/tar.h"

struct exporter {
    struct carrier c;
    struct manifest m;
    char *from;           /* the model's folder */
    const char *dest;     /* as given */
    struct buf text, sig; /* manifest.json, manifest.sig */
    char *part;           /* the tar file under way */
    int tar;              /* -1 for a folder */
};

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

static bool ends_in_tar(const char *s)
{
    size_t n = strlen(s);
    return n > 4 && strcmp(s + n - 4, ".tar") == 0;
}

/* ---- tar ---- */

static enum kt_status tar_begin(struct exporter *x, const char *path, uint64_t bytes,
                                struct kt_error *err)
{
    unsigned char block[TAR_BLOCK];
    struct buf name = { 0 };
    buf_printf(&name, "%s/%s", x->m.name, path);
    enum kt_status st = KT_OK;
    if (name.failed)
        st = no_memory(err);
    else if (!tar_header(block, name.ptr, bytes))
        st = kt_fail(err, KT_E_LIMIT,
                     "%s: the name is too long for a tar file; export into a "
                     "folder instead",
                     path);
    else
        st = file_write_fd(x->tar, block, sizeof(block), x->part, err);
    buf_deinit(&name);
    return st;
}

static enum kt_status tar_pad(struct exporter *x, size_t n, struct kt_error *err)
{
    static const unsigned char ZERO[2 * TAR_BLOCK];
    return file_write_fd(x->tar, ZERO, n, x->part, err);
}

static enum kt_status tar_text(struct exporter *x, const char *path, const struct buf *text,
                               struct kt_error *err)
{
    enum kt_status st = tar_begin(x, path, text->len, err);
    if (!st)
        st = file_write_fd(x->tar, text->ptr, text->len, x->part, err);
    return st ? st : tar_pad(x, tar_padding(text->len), err);
}

/* ---- files ---- */

static enum kt_status folder_begin(int *out, char **path, const struct exporter *x,
                                   const struct manifest_file *f, struct kt_error *err)
{
    *out = -1;
    *path = path_join(x->dest, f->path);
    char *dir = *path ? strndup(*path, (size_t)(path_base(*path) - *path)) : NULL;
    enum kt_status st = dir ? dir_make(dir, 0755, err) : no_memory(err);
    free(dir);
    if (!st) {
        *out = open(*path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (*out < 0)
            st = carry_fail_write(errno, *path, err);
    }
    return st;
}

static enum kt_status copy_checked(struct exporter *x, const struct manifest_file *f, int in,
                                   const char *in_name, int out, const char *out_name,
                                   struct kt_error *err)
{
    char sha[65];
    struct hasher *h = hasher_create(UINT64_MAX);
    if (!h)
        return no_memory(err);
    enum kt_status st = carry_bytes(&x->c, in, in_name, out, out_name, f->bytes, h, err);
    hasher_end(h, sha, NULL);
    hasher_destroy(h);
    if (!st && strcmp(sha, f->sha256) != 0)
        st = kt_fail(err, KT_E_FORMAT,
                     "%s: is not what was installed (SHA-256 %.16s..., expected "
                     "%.16s...); get the model again before you hand it on",
                     f->path, sha, f->sha256);
    return st;
}

static enum kt_status export_file(struct exporter *x, const struct manifest_file *f,
                                  struct kt_error *err)
{
    int in = -1, out = x->tar;
    uint64_t bytes = 0;
    char *from = path_join(x->from, f->path), *to = NULL;
    enum kt_status st = from ? carry_open(&in, &bytes, from, err) : no_memory(err);
    x->c.file = f->path;
    if (!st && bytes != f->bytes)
        st = kt_fail(err, KT_E_FORMAT,
                     "%s: %llu bytes, expected %llu; get the model again before "
                     "you hand it on",
                     f->path, (unsigned long long)bytes, (unsigned long long)f->bytes);
    if (!st)
        st = x->tar >= 0 ? tar_begin(x, f->path, bytes, err) : folder_begin(&out, &to, x, f, err);
    if (!st)
        st = copy_checked(x, f, in, from, out, to ? to : x->part, err);
    if (!st)
        st = x->tar >= 0 ? tar_pad(x, tar_padding(bytes), err) : KT_OK;
    if (!st && x->tar < 0 && fsync(out) != 0)
        st = carry_fail_write(errno, to, err);
    if (in >= 0)
        close(in);
    if (out >= 0 && out != x->tar)
        close(out);
    free(from);
    free(to);
    return st;
}

/* ---- both kinds of destination ---- */

static bool is_empty_dir(const char *path)
{
    DIR *d = opendir(path);
    bool empty = d != NULL;
    for (struct dirent *e; d && empty && (e = readdir(d));)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    if (d)
        closedir(d);
    return empty;
}

static enum kt_status check_dest(const struct exporter *x, struct kt_error *err)
{
    if (!file_exists(x->dest) || (x->tar < 0 && !ends_in_tar(x->dest) && is_empty_dir(x->dest)))
        return KT_OK;
    return kt_fail(err, KT_E_EXISTS,
                   "%s: exists; name a new folder, or a new file that ends in "
                   ".tar",
                   x->dest);
}

static enum kt_status dest_room(const struct exporter *x, struct kt_error *err)
{
    char *dir = ends_in_tar(x->dest) ? strndup(x->dest, (size_t)(path_base(x->dest) - x->dest))
                                     : strdup(x->dest);
    enum kt_status st = dir ? KT_OK : no_memory(err);
    if (!st)
        st = carry_room(dir[0] ? dir : ".", x->c.total, err);
    free(dir);
    return st;
}

static enum kt_status export_tar(struct exporter *x, struct kt_error *err)
{
    struct buf part = { 0 };
    buf_printf(&part, "%s%s", x->dest, PART_SUFFIX);
    x->part = buf_take(&part);
    if (!x->part)
        return no_memory(err);
    enum kt_status st = dest_room(x, err);
    if (st)
        return st;
    x->tar = open(x->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (x->tar < 0)
        return carry_fail_write(errno, x->part, err);
    st = tar_text(x, MANIFEST_FILE, &x->text, err);
    if (!st)
        st = tar_text(x, SIGNATURE_FILE, &x->sig, err);
    for (size_t i = 0; i < x->m.n_files && !st; i++)
        st = export_file(x, &x->m.files[i], err);
    if (!st)
        st = tar_pad(x, 2 * TAR_BLOCK, err);
    if (!st && fsync(x->tar) != 0)
        st = carry_fail_write(errno, x->part, err);
    if (!st && rename(x->part, x->dest) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot rename into place", x->dest);
    if (st)
        unlink(x->part);
    return st;
}

static enum kt_status write_text(const struct exporter *x, const char *name, const struct buf *text,
                                 struct kt_error *err)
{
    char *path = path_join(x->dest, name);
    enum kt_status st = path ? file_replace(path, text->ptr, text->len, 0644, err) : no_memory(err);
    free(path);
    return st;
}

/* The manifest comes last: a folder without it is not taken for a model. */
static enum kt_status export_folder(struct exporter *x, struct kt_error *err)
{
    enum kt_status st = dir_make(x->dest, 0755, err);
    if (!st)
        st = dest_room(x, err);
    for (size_t i = 0; i < x->m.n_files && !st; i++)
        st = export_file(x, &x->m.files[i], err);
    if (!st)
        st = write_text(x, SIGNATURE_FILE, &x->sig, err);
    return st ? st : write_text(x, MANIFEST_FILE, &x->text, err);
}

enum kt_status model_export(const char *home, const char *name, const char *dest,
                            char key[static SIGN_KEY_HEX + 1], const struct carry_watch *w,
                            struct kt_error *err)
{
    struct exporter x = { .c = { .w = w }, .dest = dest, .tar = -1 };
    key[0] = '\0';
    enum kt_status st = model_manifest(&x.m, home, name, err);
    if (st)
        return st;
    for (size_t i = 0; i < x.m.n_files; i++)
        x.m.files[i].linked = false; /* there it will be a file */
    x.c.total = manifest_bytes(&x.m);
    x.from = model_dir(home, name);
    st = x.from ? check_dest(&x, err) : no_memory(err);
    if (!st)
        st = manifest_print(&x.text, &x.m, err);
    if (!st)
        st = sign_manifest(&x.sig, key, home, buf_span(&x.text), err);
    if (!st)
        st = ends_in_tar(dest) ? export_tar(&x, err) : export_folder(&x, err);
    if (x.tar >= 0)
        close(x.tar);
    buf_deinit(&x.text);
    buf_deinit(&x.sig);
    free(x.part);
    free(x.from);
    manifest_deinit(&x.m);
    return st;
}
