/* Are a model's files what the manifest says? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "hub/models.h"

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

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
