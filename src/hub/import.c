/* Taking a model into a home from files at hand.
 *
 * Everything is decided before the first byte is copied: what it is, whether it opens here, its
 * name, who signed it. Then each file is copied (or linked) into the staging folder, hashed on the
 * way, and the whole is installed in one step. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "hub/carry_priv.h"
#include "hub/jread.h"
#include "hub/limits.h"
#include "hub/sign.h"
#include "hub/tar.h"
#include "kontor/version.h"

struct importer {
    struct carrier c;
    const char *home, *source;
    const struct import_options *o;
    struct manifest m; /* what will be written; texts in its arena */
    char *dir;         /* of the files, when they are files */
    char *first_name;  /* a plain GGUF's own name, when it differs from the one it gets */
    char *part;        /* staging */
    int tar;           /* -1 unless it is one */
    char tar_folder[HUB_NAME_MAX + 1];
    char *signer; /* [SIGN_KEY_HEX + 1] */
};

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

static const char *keep(struct importer *im, const char *s)
{
    const char *copy = arena_strdup(&im->m.arena, span_of(s));
    return copy ? copy : "";
}

/* ---- names ---- */

/* "SmolLM2-135M.Q4_1.gguf" -> "smollm2-135m.q4_1" */
static void name_from_path(char out[static HUB_NAME_MAX + 1], const char *path)
{
    const char *base = path_base(path);
    const char *ext = path_ext(path);
    size_t len = strcmp(ext, ".gguf") == 0 ? (size_t)(ext - base) : strlen(base);
    size_t n = 0;
    for (size_t i = 0; i < len && n < HUB_NAME_MAX; i++) {
        char c = base[i];
        if (c >= 'A' && c <= 'Z')
            c = (char)(c + 32);
        bool ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        if (n == 0 && !ok)
            continue;
        if (!ok && c != '_' && (c != '.' || out[n - 1] == '.'))
            c = '-';
        out[n++] = c;
    }
    while (n > 0 && out[n - 1] == '.')
        n--;
    out[n] = '\0';
}

static enum kt_status choose_name(struct importer *im, const char *path, struct kt_error *err)
{
    char made[HUB_NAME_MAX + 1];
    if (im->o->name) {
        im->m.name = keep(im, im->o->name);
    } else if (path) {
        name_from_path(made, path);
        im->m.name = keep(im, made);
    }
    if (model_name_ok(im->m.name))
        return KT_OK;
    return kt_fail(err, KT_E_USAGE,
                   "'%.40s' is not a model's name (a-z, 0-9 and . _ -); give one "
                   "with --name",
                   text_is_plain(im->m.name) ? im->m.name : "?");
}

/* ---- signatures ---- */

static enum kt_status check_signature(struct importer *im, struct span sig, struct span text,
                                      struct kt_error *err)
{
    enum kt_status st = sign_check(im->signer, sig, text, im->source, err);
    if (st)
        return st;
    im->m.signer = keep(im, im->signer);
    return KT_OK;
}

static enum kt_status demand_key(const struct importer *im, struct kt_error *err)
{
    if (!im->o->key)
        return KT_OK;
    if (!hex_ok(im->o->key, SIGN_KEY_HEX))
        return kt_fail(err, KT_E_USAGE,
                       "--key takes the %d hex digits that `kontor export` "
                       "printed",
                       SIGN_KEY_HEX);
    if (strcmp(im->o->key, im->signer) == 0)
        return KT_OK;
    return kt_fail(err, KT_E_KEY, "%s: %s%s, but %s was demanded", im->source,
                   im->signer[0] ? "signed by " : "not signed", im->signer, im->o->key);
}

/* ---- what it is ---- */

static enum kt_status take_manifest(struct importer *im, struct span text, const char *name,
                                    struct kt_error *err)
{
    enum kt_status st = manifest_read(&im->m, text, name, err);
    im->m.signer = "";
    for (size_t i = 0; i < im->m.n_files; i++)
        im->m.files[i].linked = false;
    return st;
}

/* A folder that export wrote. */
static enum kt_status plan_exported(struct importer *im, struct kt_error *err)
{
    struct buf text = { 0 }, sig = { 0 };
    char *path = path_join(im->dir, MANIFEST_FILE), *sig_path = path_join(im->dir, SIGNATURE_FILE);
    enum kt_status st =
        path && sig_path ? file_read(&text, path, HUB_JSON_MAX, err) : no_memory(err);
    if (!st)
        st = take_manifest(im, buf_span(&text), path, err);
    if (!st && file_exists(sig_path)) {
        st = file_read(&sig, sig_path, 4096, err);
        if (!st)
            st = check_signature(im, buf_span(&sig), buf_span(&text), err);
    }
    buf_deinit(&text);
    buf_deinit(&sig);
    free(path);
    free(sig_path);
    return st ? st : choose_name(im, NULL, err);
}

static enum kt_status add_file(struct importer *im, const char *path, struct kt_error *err)
{
    struct manifest *m = &im->m;
    struct stat sb;
    char *full = path_join(im->dir, m->n_files == 0 && im->first_name ? im->first_name : path);
    enum kt_status st = full ? KT_OK : no_memory(err);
    if (!st && stat(full, &sb) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot open", full);
    if (!st && m->n_files == HUB_FILES_MAX)
        st = kt_fail(err, KT_E_LIMIT, "%s: more than %d files", im->dir, HUB_FILES_MAX);
    if (!st)
        m->files[m->n_files++] = (struct manifest_file){
            .path = keep(im, path), .bytes = (uint64_t)sb.st_size, .sha256 = "", .pin = PIN_SEEN
        };
    free(full);
    return st;
}

static enum kt_status room_for_files(struct importer *im, struct kt_error *err)
{
    im->m.files = arena_array(&im->m.arena, HUB_FILES_MAX, sizeof(*im->m.files));
    return im->m.files ? KT_OK : no_memory(err);
}

/* "x-00001-of-00003.gguf": where the part's number begins, and how many there are; 0 otherwise. */
static unsigned split_of(const char *name, size_t *at)
{
    size_t n = strlen(name);
    unsigned part, parts;
    char tail[8];
    if (n < 21 || sscanf(name + n - 20, "-%5u-of-%5u%7s", &part, &parts, tail) != 3 ||
        strcmp(tail, ".gguf") != 0 || parts < 1 || parts > HUB_FILES_MAX || part < 1)
        return 0;
    *at = n - 19;
    return parts;
}

static enum kt_status plan_gguf(struct importer *im, struct kt_error *err)
{
    const char *base = path_base(im->source);
    size_t at = 0;
    unsigned parts = split_of(base, &at);
    enum kt_status st = choose_name(im, im->source, err);
    if (!st)
        st = room_for_files(im, err);
    if (st)
        return st;
    if (parts) {
        for (unsigned i = 1; i <= parts && !st; i++) {
            char name[HUB_PATH_MAX + 1];
            snprintf(name, sizeof(name), "%.*s%05u-of-%05u.gguf", (int)at, base, i, parts);
            if (!model_path_ok(name))
                st = kt_fail(err, KT_E_FORMAT, "%s: rename its files to plain names first", base);
            if (!st)
                st = add_file(im, name, err);
        }
    } else {
        struct buf name = { 0 };
        buf_printf(&name, "%s.gguf", model_path_ok(base) ? "" : im->m.name);
        im->first_name = strdup(base);
        st = name.failed || !im->first_name
                 ? no_memory(err)
                 : add_file(im, model_path_ok(base) ? base : name.ptr, err);
        buf_deinit(&name);
    }
    im->m.open = im->m.n_files ? im->m.files[0].path : "";
    return st;
}

/* Of a folder only what a model is read from: no programs, no pickles, no pictures. */
static bool belongs(const char *name)
{
    static const char *const ENDS[] = { ".safetensors", ".json", ".jinja", ".txt" };
    for (size_t i = 0; i < ARRAY_LEN(ENDS); i++) {
        if (strcmp(path_ext(name), ENDS[i]) == 0)
            return model_path_ok(name);
    }
    return false;
}

static int by_text(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum kt_status plan_folder(struct importer *im, struct kt_error *err)
{
    struct dirent **names = NULL;
    char *real = realpath(im->dir, NULL);
    enum kt_status st = real ? choose_name(im, real, err) : no_memory(err);
    free(real);
    if (!st)
        st = room_for_files(im, err);
    int n = st ? 0 : scandir(im->dir, &names, NULL, by_text);
    if (n < 0)
        st = kt_fail_errno(err, errno, "%s: cannot list", im->dir);
    for (int i = 0; i < n; i++) {
        if (!st && belongs(names[i]->d_name))
            st = add_file(im, names[i]->d_name, err);
        free(names[i]);
    }
    free(names);
    char *pooling = path_join(im->dir, "1_Pooling/config.json");
    if (!st && pooling && file_exists(pooling))
        st = add_file(im, "1_Pooling/config.json", err);
    free(pooling);
    im->m.open = ".";
    return st;
}

/* Plain files: what they say of themselves. */
static enum kt_status plan_facts(struct importer *im, struct kt_error *err)
{
    struct model_facts facts;
    enum kt_status st = model_inspect(&facts, im->source, err);
    if (st)
        return st;
    im->m.role = facts.role;
    im->m.title = keep(im, facts.title);
    im->m.license = keep(im, im->o->license ? im->o->license : facts.license);
    im->m.signer = "";
    return KT_OK;
}

/* ---- tar ---- */

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

static enum kt_status plan_tar(struct importer *im, struct kt_error *err)
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
        st = take_manifest(im, buf_span(&text), im->source, err);
    if (!st)
        st = next_member(im, &t, &path, err);
    if (!st && strcmp(path, SIGNATURE_FILE) != 0)
        st = kt_fail(err, KT_E_FORMAT, "%s: the signature is missing", im->source);
    if (!st)
        st = member_text(im, &t, 4096, &sig, err);
    if (!st)
        st = check_signature(im, buf_span(&sig), buf_span(&text), err);
    buf_deinit(&text);
    buf_deinit(&sig);
    return st ? st : choose_name(im, NULL, err);
}

static bool is_tar(const char *path)
{
    unsigned char block[TAR_BLOCK];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    bool yes = fd >= 0 && read(fd, block, sizeof(block)) == (ssize_t)sizeof(block) &&
               memcmp(block + 257, "ustar", 5) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

/* ---- copying ---- */

static enum kt_status settle_hash(struct manifest_file *f, struct importer *im, const char *sha,
                                  struct kt_error *err)
{
    if (!f->sha256[0])
        f->sha256 = keep(im, sha);
    if (strcmp(f->sha256, sha) == 0)
        return KT_OK;
    return kt_fail(err, KT_E_FORMAT,
                   "%s: %s has SHA-256 %.16s..., its manifest says %.16s...; it "
                   "was damaged or changed on the way",
                   im->source, f->path, sha, f->sha256);
}

static enum kt_status staging_path(char **out, const struct importer *im, const char *path,
                                   struct kt_error *err)
{
    *out = path_join(im->part, path);
    char *dir = *out ? strndup(*out, (size_t)(path_base(*out) - *out)) : NULL;
    enum kt_status st = dir ? dir_make(dir, 0700, err) : no_memory(err);
    free(dir);
    return st;
}

/* n bytes of 'in' become file f of the staging folder; with to NULL they are only hashed. */
static enum kt_status take_bytes(struct importer *im, struct manifest_file *f, int in,
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
    char *from = path_join(im->dir, i == 0 && im->first_name ? im->first_name : f->path);
    enum kt_status st = from ? carry_open(&in, &bytes, from, err) : no_memory(err);
    if (!st && bytes != f->bytes)
        st = kt_fail(err, KT_E_FORMAT, "%s: %llu bytes, expected %llu; was it copied whole?", from,
                     (unsigned long long)bytes, (unsigned long long)f->bytes);
    if (!st)
        st = staging_path(&to, im, f->path, err);
    if (!st)
        st = take_bytes(im, f, in, from, im->o->link ? NULL : to, err);
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

static enum kt_status take_member(struct importer *im, const struct tar_member *t, const char *path,
                                  bool *seen, struct kt_error *err)
{
    char *to = NULL;
    for (size_t i = 0; i < im->m.n_files; i++) {
        struct manifest_file *f = &im->m.files[i];
        if (strcmp(f->path, path) != 0 || f->bytes != t->bytes || seen[i])
            continue;
        seen[i] = true;
        enum kt_status st = staging_path(&to, im, path, err);
        if (!st)
            st = take_bytes(im, f, im->tar, im->source, to, err);
        free(to);
        return st ? st : skip_padding(im, t->bytes, err);
    }
    return kt_fail(err, KT_E_FORMAT, "%s: a member that its manifest does not list", im->source);
}

static enum kt_status take_members(struct importer *im, struct kt_error *err)
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

/* ---- the whole ---- */

static enum kt_status plan(struct importer *im, struct kt_error *err)
{
    struct stat sb;
    if (stat(im->source, &sb) != 0)
        return kt_fail_errno(err, errno, "%s: cannot open", im->source);
    if (S_ISDIR(sb.st_mode)) {
        im->dir = strdup(im->source);
        char *manifest = path_join(im->source, MANIFEST_FILE);
        enum kt_status st = !im->dir || !manifest   ? no_memory(err)
                            : file_exists(manifest) ? plan_exported(im, err)
                                                    : plan_facts(im, err);
        if (!st && !file_exists(manifest))
            st = plan_folder(im, err);
        free(manifest);
        return st;
    }
    if (is_tar(im->source)) {
        uint64_t bytes;
        if (im->o->link)
            return kt_fail(err, KT_E_USAGE, "--link does not work for a tar file");
        enum kt_status st = carry_open(&im->tar, &bytes, im->source, err);
        return st ? st : plan_tar(im, err);
    }
    im->dir = strndup(im->source, (size_t)(path_base(im->source) - im->source));
    if (im->dir && !im->dir[0]) {
        free(im->dir);
        im->dir = strdup(".");
    }
    enum kt_status st = im->dir ? plan_facts(im, err) : no_memory(err);
    return st ? st : plan_gguf(im, err);
}

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
        st = im->tar >= 0 ? take_members(im, err) : take_files(im, err);
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
    enum kt_status st = plan(&im, err);
    if (!st)
        st = demand_key(&im, err);
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
    free(im.first_name);
    free(im.part);
    manifest_deinit(&im.m);
    return st;
}
