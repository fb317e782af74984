/* Taking a model into a home from files at hand.
 *
 * Everything is decided before the first byte is copied: what it is, whether it opens here, its
 * name, who signed it. Then each file is copied (or linked) into the staging folder, hashed on the
 * way, and the whole is installed in one step. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "hub/import_priv.h"
#include "kontor/version.h"

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

static enum kt_status settle_hash(struct manifest_file *f, struct importer *im, const char *sha,
                                  struct kt_error *err)
{
    if (!f->sha256[0])
        f->sha256 = import_keep(im, sha);
    if (strcmp(f->sha256, sha) == 0)
        return KT_OK;
    return kt_fail(err, KT_E_FORMAT,
                   "%s: %s has SHA-256 %.16s..., its manifest says %.16s...; it "
                   "was damaged or changed on the way",
                   im->source, f->path, sha, f->sha256);
}

enum kt_status import_staging_path(char **out, const struct importer *im, const char *path,
                                   struct kt_error *err)
{
    *out = path_join(im->part, path);
    char *dir = *out ? strndup(*out, (size_t)(path_base(*out) - *out)) : NULL;
    enum kt_status st = dir ? dir_make(dir, 0700, err) : no_memory(err);
    free(dir);
    return st;
}

/* n bytes of 'in' become file f of the staging folder; with to NULL they are only hashed. */
enum kt_status import_take_bytes(struct importer *im, struct manifest_file *f, int in,
                                 const char *in_name, const char *to, struct kt_error *err)
{
    char sha[65];
    int out = -1;
    struct hasher *h = hasher_create(UINT64_MAX);
    enum kt_status st = h ? KT_OK : no_memory(err);
    im->c.file = f->path;
    if (!st && to) {
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444);
        if (out < 0)
            st = carry_fail_write(errno, to, err);
    }
    if (!st)
        st = carry_bytes(&im->c, in, in_name, out, to, f->bytes, h, err);
    if (!st && out >= 0 && fsync(out) != 0)
        st = carry_fail_write(errno, to, err);
    if (out >= 0)
        close(out);
    if (!st) {
        hasher_end(h, sha, NULL);
        st = settle_hash(f, im, sha, err);
    }
    hasher_destroy(h);
    return st;
}

static enum kt_status take_file(struct importer *im, size_t i, struct kt_error *err)
{
    struct manifest_file *f = &im->m.files[i];
    int in = -1;
    uint64_t bytes = 0;
    char *to = NULL, *real = NULL;
    char *from = im->from ? strdup(im->from[i]) : path_join(im->dir, f->path);
    enum kt_status st = from ? carry_open(&in, &bytes, from, err) : no_memory(err);
    if (!st && bytes != f->bytes)
        st = kt_fail(err, KT_E_FORMAT, "%s: %llu bytes, expected %llu; was it copied whole?", from,
                     (unsigned long long)bytes, (unsigned long long)f->bytes);
    if (!st)
        st = import_staging_path(&to, im, f->path, err);
    if (!st)
        st = import_take_bytes(im, f, in, from, im->o->link ? NULL : to, err);
    if (!st && im->o->link) {
        f->linked = true;
        real = realpath(from, NULL);
        if (!real || symlink(real, to) != 0)
            st = kt_fail_errno(err, errno, "%s: cannot link", to);
    }
    if (in >= 0)
        close(in);
    free(real);
    free(from);
    free(to);
    return st;
}

static enum kt_status take_files(struct importer *im, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < im->m.n_files && !st; i++)
        st = take_file(im, i, err);
    return st;
}

/* ---- the whole ---- */

static enum kt_status import_locked(struct importer *im, struct kt_error *err)
{
    char *dir = model_dir(im->home, im->m.name), *all = models_dir(im->home);
    im->part = model_part_dir(im->home, im->m.name);
    enum kt_status st = dir && all && im->part ? KT_OK : no_memory(err);
    if (!st && file_exists(dir))
        st = kt_fail(err, KT_E_EXISTS,
                     "there is a model '%s' already; `kontor rm %s` removes it, "
                     "or give another name with --name",
                     im->m.name, im->m.name);
    if (!st)
        st = tree_remove(im->part, err);
    if (!st)
        st = dir_make(im->part, 0700, err);
    im->c.total = manifest_bytes(&im->m);
    if (!st && !im->o->link)
        st = carry_room(all, im->c.total, err);
    if (!st)
        st = im->tar >= 0 ? import_take_members(im, err) : take_files(im, err);
    if (!st)
        st = model_install(im->home, im->part, &im->m, err);
    if (st && im->part)
        (void)!tree_remove(im->part, NULL); /* what failed is told; this is only tidying */
    free(dir);
    free(all);
    return st;
}

enum kt_status model_import(char **name, const char *home, const char *source,
                            const struct import_options *o, char signer[static SIGN_KEY_HEX + 1],
                            const struct carry_watch *w, struct kt_error *err)
{
    struct importer im = {
        .c = { .w = w }, .home = home, .source = source, .o = o, .tar = -1, .signer = signer
    };
    char date[24];
    int lock = -1;
    *name = NULL;
    signer[0] = '\0';
    im.m.name = im.m.title = im.m.license = im.m.open = im.m.signer = "";
    enum kt_status st = import_plan(&im, err);
    time_text(date);
    im.m.date = date;
    im.m.tool = "kontor " KT_VERSION;
    if (!st)
        st = model_lock(&lock, home, im.m.name, err);
    if (!st)
        st = import_locked(&im, err);
    if (!st && !(*name = strdup(im.m.name)))
        st = no_memory(err);
    model_unlock(lock);
    if (im.tar >= 0)
        close(im.tar);
    free(im.dir);
    free(im.part);
    manifest_deinit(&im.m);
    return st;
}
