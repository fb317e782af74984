/* A tar file as a source: the manifest first, the signature, then the files. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hub/import_priv.h"
#include "hub/jread.h"
#include "hub/tar.h"

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

static enum kt_status read_block(struct importer *im, unsigned char block[static TAR_BLOCK],
                                 struct kt_error *err)
{
    size_t n = 0;
    while (n < TAR_BLOCK) {
        ssize_t got = read(im->tar, block + n, TAR_BLOCK - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return kt_fail_errno(err, errno, "%s: cannot read", im->source);
        if (got == 0)
            return kt_fail(err, KT_E_FORMAT, "%s: ends too early; was it copied whole?",
                           im->source);
        n += (size_t)got;
    }
    return KT_OK;
}

/* The next member; *path is its name without the folder, "" at the end. */
static enum kt_status next_member(struct importer *im, struct tar_member *t, const char **path,
                                  struct kt_error *err)
{
    unsigned char block[TAR_BLOCK];
    *path = "";
    enum kt_status st = read_block(im, block, err);
    if (st)
        return st;
    enum tar_kind kind = tar_parse(t, block);
    if (kind == TAR_END)
        return KT_OK;
    const char *slash = strchr(t->name, '/');
    size_t folder = slash ? (size_t)(slash - t->name) : 0;
    if (kind == TAR_FILE && !im->tar_folder[0] && folder && folder <= HUB_NAME_MAX) {
        memcpy(im->tar_folder, t->name, folder);
        im->tar_folder[folder] = '\0';
    }
    if (kind == TAR_BAD || !folder || folder != strlen(im->tar_folder) ||
        memcmp(t->name, im->tar_folder, folder) != 0)
        return kt_fail(err, KT_E_FORMAT, "%s: not a tar file that `kontor export` wrote",
                       im->source);
    *path = slash + 1;
    return KT_OK;
}

static enum kt_status skip_padding(struct importer *im, uint64_t bytes, struct kt_error *err)
{
    off_t n = (off_t)tar_padding(bytes);
    return n == 0 || lseek(im->tar, n, SEEK_CUR) >= 0
               ? KT_OK
               : kt_fail_errno(err, errno, "%s: cannot read", im->source);
}

static enum kt_status member_text(struct importer *im, const struct tar_member *t, size_t max,
                                  struct buf *out, struct kt_error *err)
{
    if (t->bytes > max)
        return kt_fail(err, KT_E_LIMIT, "%s: a member of %llu bytes, at most %zu are read",
                       im->source, (unsigned long long)t->bytes, max);
    if (!buf_reserve(out, (size_t)t->bytes))
        return no_memory(err);
    while (out->len < t->bytes) {
        ssize_t got = read(im->tar, out->ptr + out->len, (size_t)t->bytes - out->len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return kt_fail_errno(err, errno, "%s: cannot read", im->source);
        if (got == 0)
            return kt_fail(err, KT_E_FORMAT, "%s: ends too early; was it copied whole?",
                           im->source);
        out->len += (size_t)got;
    }
    return skip_padding(im, t->bytes, err);
}

enum kt_status import_plan_tar(struct importer *im, struct kt_error *err)
{
    struct tar_member t;
    const char *path;
    struct buf text = { 0 }, sig = { 0 };
    enum kt_status st = next_member(im, &t, &path, err);
    if (!st && strcmp(path, MANIFEST_FILE) != 0)
        st = kt_fail(err, KT_E_FORMAT, "%s: not a tar file that `kontor export` wrote", im->source);
    if (!st)
        st = member_text(im, &t, HUB_JSON_MAX, &text, err);
    if (!st)
        st = import_take_manifest(im, buf_span(&text), im->source, err);
    if (!st)
        st = next_member(im, &t, &path, err);
    if (!st && strcmp(path, SIGNATURE_FILE) != 0)
        st = kt_fail(err, KT_E_FORMAT, "%s: the signature is missing", im->source);
    if (!st)
        st = member_text(im, &t, 4096, &sig, err);
    if (!st)
        st = import_check_signature(im, buf_span(&sig), buf_span(&text), err);
    buf_deinit(&text);
    buf_deinit(&sig);
    return st ? st : import_choose_name(im, NULL, err);
}

bool import_is_tar(const char *path)
{
    unsigned char block[TAR_BLOCK];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool yes = fd >= 0 && read(fd, block, sizeof(block)) == (ssize_t)sizeof(block) &&
               memcmp(block + 257, "ustar", 5) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

static enum kt_status take_member(struct importer *im, const struct tar_member *t, const char *path,
                                  bool *seen, struct kt_error *err)
{
    char *to = NULL;
    for (size_t i = 0; i < im->m.n_files; i++) {
        struct manifest_file *f = &im->m.files[i];
        if (strcmp(f->path, path) != 0 || f->bytes != t->bytes || seen[i])
            continue;
        seen[i] = true;
        enum kt_status st = import_staging_path(&to, im, path, err);
        if (!st)
            st = import_take_bytes(im, f, im->tar, im->source, to, err);
        free(to);
        return st ? st : skip_padding(im, t->bytes, err);
    }
    return kt_fail(err, KT_E_FORMAT, "%s: a member that its manifest does not list", im->source);
}

enum kt_status import_take_members(struct importer *im, struct kt_error *err)
{
    struct tar_member t;
    const char *path = "";
    bool *seen = calloc(im->m.n_files ? im->m.n_files : 1, sizeof(*seen));
    enum kt_status st = seen ? KT_OK : no_memory(err);
    while (!st) {
        st = next_member(im, &t, &path, err);
        if (!st && !path[0])
            break;
        if (!st)
            st = take_member(im, &t, path, seen, err);
    }
    for (size_t i = 0; i < im->m.n_files && !st; i++) {
        if (!seen[i])
            st = kt_fail(err, KT_E_FORMAT, "%s: %s is missing", im->source, im->m.files[i].path);
    }
    free(seen);
    return st;
}
