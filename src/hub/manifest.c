/* Manifests and the state of unfinished downloads, as JSON. */
#include "hub/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/size.h"
#include "hub/jread.h"
#include "hub/jwrite.h"
#include "hub/limits.h"

static const char *const PIN_NAMES[N_PINS] = {
    [PIN_CATALOGUE] = "catalogue",
    [PIN_HUB] = "hub",
    [PIN_SEEN] = "seen",
};

const char *pin_name(enum pin p)
{
    return (size_t)p < N_PINS ? PIN_NAMES[p] : "?";
}

static enum pin read_pin(struct jread *r, const json_t *v)
{
    const char *s = jread_text(r, v, "pin", true, 16);
    for (size_t i = 0; i < N_PINS; i++) {
        if (strcmp(s, PIN_NAMES[i]) == 0)
            return (enum pin)i;
    }
    jread_fail(r, "'pin' is not catalogue, hub or seen");
    return PIN_SEEN;
}

/* ---- manifests ---- */

static void read_file(struct jread *r, const json_t *v, struct manifest_file *f)
{
    jread_known(r, v, "path bytes sha256 pin linked");
    f->path = jread_text(r, v, "path", true, HUB_PATH_MAX);
    f->bytes = jread_u64(r, v, "bytes", true, 0, HUB_FILE_BYTES_MAX);
    f->sha256 = jread_sha256(r, v, "sha256", true);
    f->pin = read_pin(r, v);
    f->linked = jread_bool(r, v, "linked");
    if (!r->st && !model_path_ok(f->path))
        jread_fail(r, "a file's path is not made of plain names (A-Z a-z 0-9 . _ - +)");
}

static void read_files(struct jread *r, const json_t *root, struct manifest *m)
{
    const json_t *list = jread_array(r, root, "files", HUB_FILES_MAX);
    m->n_files = json_array_size(list);
    m->files = arena_array(r->arena, MAX(m->n_files, (size_t)1), sizeof(*m->files));
    if (!m->files) {
        m->n_files = 0;
        if (!r->st)
            r->st = kt_fail(r->err, KT_E_NOMEM, "%s: out of memory", r->name);
    }
    for (size_t i = 0; i < m->n_files && !r->st; i++) {
        read_file(r, json_array_get(list, i), &m->files[i]);
        for (size_t j = 0; j < i && !r->st; j++) {
            if (strcmp(m->files[i].path, m->files[j].path) == 0)
                jread_fail(r, "the file '%s' is listed twice", m->files[i].path);
        }
    }
}

static bool lists(const struct manifest *m, const char *path)
{
    for (size_t i = 0; i < m->n_files; i++) {
        if (strcmp(m->files[i].path, path) == 0)
            return true;
    }
    return false;
}

static void read_manifest(struct jread *r, const json_t *root, struct manifest *m)
{
    jread_known(r, root,
                "format version name title quant license role open hub repository revision signer "
                "date tool files");
    const char *format = jread_text(r, root, "format", true, 32);
    if (!r->st && strcmp(format, "kontor-model") != 0)
        jread_fail(r, "'format' is not kontor-model");
    jread_u64(r, root, "version", true, 1, 1);
    m->name = jread_text(r, root, "name", true, HUB_NAME_MAX);
    m->title = jread_text(r, root, "title", false, HUB_TEXT_MAX);
    m->quant = jread_text(r, root, "quant", false, HUB_TEXT_MAX);
    m->license = jread_text(r, root, "license", false, HUB_TEXT_MAX);
    const char *role = jread_text(r, root, "role", true, 16);
    m->open = jread_text(r, root, "open", true, HUB_PATH_MAX);
    m->hub = jread_text(r, root, "hub", false, HUB_TEXT_MAX);
    m->repository = jread_text(r, root, "repository", false, HUB_PATH_MAX);
    m->revision = jread_text(r, root, "revision", false, HUB_PATH_MAX);
    m->signer = jread_text(r, root, "signer", false, 64);
    m->date = jread_text(r, root, "date", false, 32);
    m->tool = jread_text(r, root, "tool", false, HUB_TEXT_MAX);
    if (!r->st && !model_name_ok(m->name))
        jread_fail(r, "'%s' is not a model's name (a-z 0-9 . _ -)", m->name);
    if (!r->st && !model_role_parse(&m->role, role))
        jread_fail(r, "role '%s' is not chat, embed or rerank", role);
    if (!r->st && m->signer[0] && !hex_ok(m->signer, 64))
        jread_fail(r, "'signer' is not a public key (64 hex digits)");
    read_files(r, root, m);
    if (!r->st && strcmp(m->open, ".") != 0 && !lists(m, m->open))
        jread_fail(r, "'open' is none of the files");
}

enum kt_status manifest_read(struct manifest *out, struct span json, const char *name,
                             struct kt_error *err)
{
    *out = (struct manifest){ 0 };
    struct jread r = { .name = name, .arena = &out->arena, .err = err };
    json_t *root = jread_parse(&r, json);
    if (root)
        read_manifest(&r, root, out);
    json_decref(root);
    if (r.st)
        manifest_deinit(out);
    return r.st;
}

enum kt_status manifest_load(struct manifest *out, const char *path, struct kt_error *err)
{
    *out = (struct manifest){ 0 };
    struct buf text = { 0 };
    enum kt_status st = file_read(&text, path, HUB_JSON_MAX, err);
    if (!st)
        st = manifest_read(out, buf_span(&text), path, err);
    buf_deinit(&text);
    return st;
}

void manifest_deinit(struct manifest *m)
{
    arena_deinit(&m->arena);
    *m = (struct manifest){ 0 };
}

uint64_t manifest_bytes(const struct manifest *m)
{
    uint64_t n = 0;
    for (size_t i = 0; i < m->n_files; i++)
        n += m->files[i].bytes;
    return n;
}

/* ---- writing ---- */

static json_t *file_json(struct jwrite *w, const struct manifest_file *f)
{
    json_t *o = json_object();
    jwrite_text(w, o, "path", f->path);
    jwrite_put(w, o, "bytes", json_integer((json_int_t)f->bytes));
    jwrite_text(w, o, "sha256", f->sha256);
    jwrite_text(w, o, "pin", pin_name(f->pin));
    if (f->linked)
        jwrite_put(w, o, "linked", json_true());
    return o;
}

enum kt_status manifest_print(struct buf *out, const struct manifest *m, struct kt_error *err)
{
    struct jwrite w = { .root = json_object() };
    json_t *files = json_array();
    jwrite_text(&w, w.root, "format", "kontor-model");
    jwrite_put(&w, w.root, "version", json_integer(1));
    jwrite_text(&w, w.root, "name", m->name);
    jwrite_text(&w, w.root, "title", m->title);
    jwrite_text(&w, w.root, "role", model_role_name(m->role));
    jwrite_text(&w, w.root, "quant", m->quant);
    jwrite_text(&w, w.root, "license", m->license);
    jwrite_text(&w, w.root, "open", m->open);
    jwrite_text(&w, w.root, "hub", m->hub);
    jwrite_text(&w, w.root, "repository", m->repository);
    jwrite_text(&w, w.root, "revision", m->revision);
    jwrite_text(&w, w.root, "signer", m->signer);
    jwrite_text(&w, w.root, "date", m->date);
    jwrite_text(&w, w.root, "tool", m->tool);
    for (size_t i = 0; i < m->n_files; i++) {
        jwrite_append(&w, files, file_json(&w, &m->files[i]));
    }
    jwrite_put(&w, w.root, "files", files);
    return jwrite_end(&w, out, err);
}

/* ---- unfinished downloads ---- */

static void copy_text(struct jread *r, char *out, size_t size, const json_t *v, const char *key,
                      bool needed)
{
    const char *s = jread_text(r, v, key, needed, size - 1);
    memcpy(out, s, strlen(s) + 1);
}

static void read_state_file(struct jread *r, const json_t *v, struct state_file *f)
{
    jread_known(r, v, "path bytes sha256 etag synced done pin");
    copy_text(r, f->path, HUB_PATH_MAX + 1, v, "path", true);
    copy_text(r, f->etag, sizeof(f->etag), v, "etag", false);
    const char *sha = jread_sha256(r, v, "sha256", false);
    memcpy(f->sha256, sha, strlen(sha) + 1);
    f->bytes = jread_u64(r, v, "bytes", true, 0, HUB_FILE_BYTES_MAX);
    f->synced = jread_u64(r, v, "synced", false, 0, HUB_FILE_BYTES_MAX);
    f->done = jread_bool(r, v, "done");
    f->pin = read_pin(r, v);
    if (!r->st && !model_path_ok(f->path))
        jread_fail(r, "a file's path is not made of plain names");
    if (!r->st && f->done && !f->sha256[0])
        jread_fail(r, "a finished file without its SHA-256");
}

static void read_state(struct jread *r, const json_t *root, struct pull_state *s)
{
    jread_known(r, root, "version revision boot files");
    jread_u64(r, root, "version", true, 1, 1);
    copy_text(r, s->revision, HUB_PATH_MAX + 1, root, "revision", false);
    copy_text(r, s->boot, sizeof(s->boot), root, "boot", false);
    if (!r->st && s->revision[0] && !model_path_ok(s->revision))
        jread_fail(r, "the revision is not a commit or a branch");
    const json_t *list = jread_array(r, root, "files", HUB_FILES_MAX);
    size_t n = json_array_size(list);
    s->files = r->st ? NULL : calloc(MAX(n, (size_t)1), sizeof(*s->files));
    if (!s->files && !r->st)
        r->st = kt_fail(r->err, KT_E_NOMEM, "%s: out of memory", r->name);
    for (; s->n_files < n && !r->st; s->n_files++)
        read_state_file(r, json_array_get(list, s->n_files), &s->files[s->n_files]);
}

enum kt_status pull_state_read(struct pull_state *out, struct span json, const char *name,
                               struct kt_error *err)
{
    *out = (struct pull_state){ 0 };
    struct arena arena = { 0 };
    struct jread r = { .name = name, .arena = &arena, .err = err };
    json_t *root = jread_parse(&r, json);
    if (root)
        read_state(&r, root, out);
    json_decref(root);
    arena_deinit(&arena);
    if (r.st)
        pull_state_deinit(out);
    return r.st;
}

static json_t *state_file_json(struct jwrite *w, const struct state_file *f)
{
    json_t *o = json_object();
    jwrite_text(w, o, "path", f->path);
    jwrite_put(w, o, "bytes", json_integer((json_int_t)f->bytes));
    jwrite_put(w, o, "synced", json_integer((json_int_t)f->synced));
    jwrite_put(w, o, "done", json_boolean(f->done));
    jwrite_text(w, o, "pin", pin_name(f->pin));
    jwrite_text(w, o, "sha256", f->sha256);
    jwrite_text(w, o, "etag", f->etag);
    return o;
}

enum kt_status pull_state_print(struct buf *out, const struct pull_state *s, struct kt_error *err)
{
    struct jwrite w = { .root = json_object() };
    json_t *files = json_array();
    jwrite_put(&w, w.root, "version", json_integer(1));
    jwrite_text(&w, w.root, "revision", s->revision);
    jwrite_text(&w, w.root, "boot", s->boot);
    for (size_t i = 0; i < s->n_files; i++) {
        jwrite_append(&w, files, state_file_json(&w, &s->files[i]));
    }
    jwrite_put(&w, w.root, "files", files);
    return jwrite_end(&w, out, err);
}

void pull_state_deinit(struct pull_state *s)
{
    free(s->files);
    *s = (struct pull_state){ 0 };
}
