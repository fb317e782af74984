/* Deciding what is to be imported, before a byte is copied. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "hub/import_priv.h"
#include "hub/jread.h"
#include "hub/sign.h"

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

const char *import_keep(struct importer *im, const char *s)
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

enum kt_status import_choose_name(struct importer *im, const char *path, struct kt_error *err)
{
    char made[HUB_NAME_MAX + 1];
    if (im->o->name) {
        im->m.name = import_keep(im, im->o->name);
    } else if (path) {
        name_from_path(made, path);
        im->m.name = import_keep(im, made);
    }
    if (model_name_ok(im->m.name))
        return KT_OK;
    return kt_fail(err, KT_E_USAGE,
                   "'%.40s' is not a model's name (a-z, 0-9 and . _ -); give one "
                   "with --name",
                   text_is_plain(im->m.name) ? im->m.name : "?");
}

/* ---- signatures ---- */

enum kt_status import_check_signature(struct importer *im, struct span sig, struct span text,
                                      struct kt_error *err)
{
    enum kt_status st = sign_check(im->signer, sig, text, im->source, err);
    if (st)
        return st;
    im->m.signer = import_keep(im, im->signer);
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

enum kt_status import_take_manifest(struct importer *im, struct span text, const char *name,
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
        st = import_take_manifest(im, buf_span(&text), path, err);
    if (!st && file_exists(sig_path)) {
        st = file_read(&sig, sig_path, 4096, err);
        if (!st)
            st = import_check_signature(im, buf_span(&sig), buf_span(&text), err);
    }
    buf_deinit(&text);
    buf_deinit(&sig);
    free(path);
    free(sig_path);
    return st ? st : import_choose_name(im, NULL, err);
}

/* The plain file 'from' will be 'path' of the model. */
static enum kt_status add_file(struct importer *im, const char *from, const char *path,
                               struct kt_error *err)
{
    struct manifest *m = &im->m;
    struct stat sb;
    if (m->n_files == HUB_FILES_MAX)
        return kt_fail(err, KT_E_LIMIT, "%s: more than %d files", im->source, HUB_FILES_MAX);
    if (stat(from, &sb) != 0)
        return kt_fail_errno(err, errno, "%s: cannot open", from);
    for (size_t i = 0; i < m->n_files; i++) {
        if (strcmp(m->files[i].path, path) == 0)
            return kt_fail(err, KT_E_USAGE, "two files would have the name %s", path);
    }
    im->from[m->n_files] = import_keep(im, from);
    m->files[m->n_files++] = (struct manifest_file){
        .path = import_keep(im, path), .bytes = (uint64_t)sb.st_size, .sha256 = "", .pin = PIN_SEEN
    };
    return KT_OK;
}

static enum kt_status add_file_of_dir(struct importer *im, const char *name, struct kt_error *err)
{
    char *from = path_join(im->dir, name);
    enum kt_status st = from ? add_file(im, from, name, err) : no_memory(err);
    free(from);
    return st;
}

static enum kt_status room_for_files(struct importer *im, struct kt_error *err)
{
    im->m.files = arena_array(&im->m.arena, HUB_FILES_MAX, sizeof(*im->m.files));
    im->from = arena_array(&im->m.arena, HUB_FILES_MAX, sizeof(*im->from));
    return im->m.files && im->from ? KT_OK : no_memory(err);
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

/* One file of a name that is kept if it can be, else made. */
static enum kt_status add_single(struct importer *im, struct kt_error *err)
{
    const char *base = path_base(im->source);
    struct buf made = { 0 };
    buf_printf(&made, "%s.gguf", im->m.name);
    enum kt_status st = made.failed
                            ? no_memory(err)
                            : add_file(im, im->source, model_path_ok(base) ? base : made.ptr, err);
    buf_deinit(&made);
    return st;
}

static enum kt_status add_parts(struct importer *im, unsigned n_parts, size_t at,
                                struct kt_error *err)
{
    const char *base = path_base(im->source);
    enum kt_status st = KT_OK;
    for (unsigned i = 1; i <= n_parts && !st; i++) {
        char name[HUB_PATH_MAX + 1];
        snprintf(name, sizeof(name), "%.*s%05u-of-%05u.gguf", (int)at, base, i, n_parts);
        st = model_path_ok(name)
                 ? add_file_of_dir(im, name, err)
                 : kt_fail(err, KT_E_FORMAT, "%s: rename its files to plain names first", base);
    }
    return st;
}

static enum kt_status plan_gguf(struct importer *im, struct kt_error *err)
{
    size_t at = 0;
    unsigned n_parts = split_of(path_base(im->source), &at);
    enum kt_status st = import_choose_name(im, im->source, err);
    if (!st)
        st = room_for_files(im, err);
    if (!st)
        st = n_parts ? add_parts(im, n_parts, at, err) : add_single(im, err);
    if (!st)
        im->m.open = im->m.files[0].path;
    return st;
}

/* Files that were named beside it, such as its vision part. */
static enum kt_status add_more(struct importer *im, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < im->o->n_more && !st; i++) {
        const char *base = path_base(im->o->more[i]);
        st = model_path_ok(base)
                 ? add_file(im, im->o->more[i], base, err)
                 : kt_fail(err, KT_E_USAGE, "%s: rename it to a plain name first", im->o->more[i]);
    }
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
    enum kt_status st = real ? import_choose_name(im, real, err) : no_memory(err);
    free(real);
    if (!st)
        st = room_for_files(im, err);
    int n = st ? 0 : scandir(im->dir, &names, NULL, by_text);
    if (n < 0)
        st = kt_fail_errno(err, errno, "%s: cannot list", im->dir);
    for (int i = 0; i < n; i++) {
        if (!st && belongs(names[i]->d_name))
            st = add_file_of_dir(im, names[i]->d_name, err);
        free(names[i]);
    }
    free(names);
    char *pooling = path_join(im->dir, "1_Pooling/config.json");
    if (!st && pooling && file_exists(pooling))
        st = add_file_of_dir(im, "1_Pooling/config.json", err);
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
    im->m.title = import_keep(im, facts.title);
    im->m.license = import_keep(im, im->o->license ? im->o->license : facts.license);
    im->m.signer = "";
    return KT_OK;
}

/* ---- which of them ---- */

static enum kt_status plan_source(struct importer *im, struct kt_error *err)
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
    if (import_is_tar(im->source)) {
        uint64_t bytes;
        if (im->o->link)
            return kt_fail(err, KT_E_USAGE, "--link does not work for a tar file");
        enum kt_status st = carry_open(&im->tar, &bytes, im->source, err);
        return st ? st : import_plan_tar(im, err);
    }
    im->dir = strndup(im->source, (size_t)(path_base(im->source) - im->source));
    if (im->dir && !im->dir[0]) {
        free(im->dir);
        im->dir = strdup(".");
    }
    enum kt_status st = im->dir ? plan_facts(im, err) : no_memory(err);
    return st ? st : plan_gguf(im, err);
}

enum kt_status import_plan(struct importer *im, struct kt_error *err)
{
    enum kt_status st = plan_source(im, err);
    if (!st && im->o->n_more && !im->from)
        st = kt_fail(err, KT_E_USAGE, "%s: is exported as a whole; other files cannot be added",
                     im->source);
    if (!st)
        st = add_more(im, err);
    return st ? st : demand_key(im, err);
}
