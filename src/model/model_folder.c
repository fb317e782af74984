/* A folder as published on model hubs: config.json, tokenizer files, and safetensors weights in one
 * file or in several with an index. JSON becomes metadata: nested keys joined by dots, see
 * model_file.h.
 *
 * Names of weight files come from the index, so from outside: only a plain name of a .safetensors
 * file in the same folder is accepted. */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "model/model_file_priv.h"

#define INDEX_NAME   "model.safetensors.index.json"
#define WEIGHTS_NAME "model.safetensors"

static const struct span safetensors_ext = { ".safetensors", 12 };

/* ---- JSON to metadata ------------------------------------------------------------------------ */

static enum kt_status new_meta(struct model_file *f, struct span key, enum meta_type type,
                               struct meta **out, struct kt_error *err)
{
    if (f->n_metas == FILE_META_MAX)
        return kt_fail(err, KT_E_LIMIT, "more than %d settings; not a model's configuration",
                       FILE_META_MAX);
    char *kept = arena_strdup(&f->memory, key);
    struct meta *m = kept ? file_push_meta(f) : NULL;
    if (!m)
        return file_no_memory(err);
    *m = (struct meta){ .key = { kept, key.len }, .type = type };
    *out = m;
    return KT_OK;
}

static enum kt_status keep_text(struct model_file *f, struct span *out, const json_t *v,
                                struct kt_error *err)
{
    out->len = json_string_length(v);
    out->ptr = arena_strdup(&f->memory, (struct span){ json_string_value(v), out->len });
    return out->ptr ? KT_OK : file_no_memory(err);
}

/* Numbers are read as doubles (some configurations have whole ones beyond 64 bits); whole ones that
 * a double holds exactly become META_INT again. */
static bool is_whole(const json_t *v)
{
    double d = json_number_value(v);
    return fabs(d) <= 0x1p53 && d == trunc(d);
}

static enum kt_status add_scalar(struct model_file *f, struct span key, const json_t *v,
                                 struct kt_error *err)
{
    struct meta *m;
    enum meta_type type = json_is_string(v)    ? META_STR
                          : json_is_boolean(v) ? META_BOOL
                          : is_whole(v)        ? META_INT
                                               : META_FLOAT;
    enum kt_status st = new_meta(f, key, type, &m, err);
    if (st)
        return st;
    if (type == META_STR)
        return keep_text(f, &m->s, v, err);
    if (type == META_BOOL)
        m->i = json_is_true(v);
    else if (type == META_INT)
        m->i = (int64_t)json_number_value(v);
    else
        m->f = json_number_value(v);
    return KT_OK;
}

/* The one type that all elements have, if they are plain. */
static bool plain_array(const json_t *v, enum meta_type *type)
{
    size_t n = json_array_size(v), n_str = 0, n_bool = 0, n_num = 0, n_whole = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *e = json_array_get(v, i);
        n_str += json_is_string(e);
        n_bool += json_is_boolean(e);
        n_num += json_is_number(e);
        n_whole += json_is_number(e) && is_whole(e);
    }
    *type = n_str == n && n    ? META_ARR_STR
            : n_bool == n && n ? META_ARR_BOOL
            : n_whole == n     ? META_ARR_INT
                               : META_ARR_FLOAT;
    return n_str == n || n_bool == n || n_num == n;
}

static enum kt_status add_array(struct model_file *f, struct span key, const json_t *v,
                                enum meta_type type, struct kt_error *err)
{
    struct meta *m;
    enum kt_status st = new_meta(f, key, type, &m, err);
    if (st)
        return st;
    size_t n = json_array_size(v);
    bool *bools = NULL;
    int64_t *ints = NULL;
    double *floats = NULL;
    struct span *strs = NULL;
    if (type == META_ARR_BOOL)
        m->raw = bools = arena_array(&f->memory, n, sizeof(*bools));
    else if (type == META_ARR_INT)
        m->raw = ints = arena_array(&f->memory, n, sizeof(*ints));
    else if (type == META_ARR_FLOAT)
        m->raw = floats = arena_array(&f->memory, n, sizeof(*floats));
    else
        m->raw = strs = arena_array(&f->memory, n, sizeof(*strs));
    if (!m->raw)
        return file_no_memory(err);
    m->raw_type = bools ? GGUF_BOOL : ints ? GGUF_I64 : floats ? GGUF_F64 : GGUF_STRING;
    m->n = n;
    for (size_t i = 0; i < n && !st; i++) {
        const json_t *e = json_array_get(v, i);
        if (bools)
            bools[i] = json_is_true(e);
        else if (ints)
            ints[i] = (int64_t)json_number_value(e);
        else if (floats)
            floats[i] = json_number_value(e);
        else
            st = keep_text(f, &strs[i], e, err);
    }
    return st;
}

static enum kt_status add_value(struct model_file *f, struct buf *key, json_t *v, int depth,
                                struct kt_error *err);

/* Add 'v' under key + "." + name. */
static enum kt_status add_member(struct model_file *f, struct buf *key, const char *name, json_t *v,
                                 int depth, struct kt_error *err)
{
    size_t len = key->len;
    if (len)
        buf_append_char(key, '.');
    buf_append_str(key, name);
    if (key->failed)
        return file_no_memory(err);
    if (key->len > FILE_KEY_MAX)
        return kt_fail(err, KT_E_LIMIT, "a setting's name of more than %d bytes; " DAMAGED,
                       FILE_KEY_MAX);
    enum kt_status st = add_value(f, key, v, depth, err);
    key->len = len;
    return st;
}

static enum kt_status add_value(struct model_file *f, struct buf *key, json_t *v, int depth,
                                struct kt_error *err)
{
    enum meta_type type;
    const char *name;
    json_t *child;
    enum kt_status st = KT_OK;
    if (depth > CONFIG_DEPTH_MAX)
        return kt_fail(err, KT_E_LIMIT, "settings nested more than %d deep; " DAMAGED,
                       CONFIG_DEPTH_MAX);
    if (json_is_null(v))
        return KT_OK;
    if (json_is_object(v)) {
        json_object_foreach(v, name, child)
        {
            st = add_member(f, key, name, child, depth + 1, err);
            if (st)
                return st;
        }
        return KT_OK;
    }
    if (!json_is_array(v))
        return add_scalar(f, buf_span(key), v, err);
    if (plain_array(v, &type))
        return add_array(f, buf_span(key), v, type, err);
    for (size_t i = 0; i < json_array_size(v) && !st; i++) {
        char idx[24];
        snprintf(idx, sizeof(idx), "%zu", i);
        st = add_member(f, key, idx, json_array_get(v, i), depth + 1, err);
    }
    return st;
}

/* ---- files of the folder --------------------------------------------------------------------- */

/* Allocates nothing: being out of memory must not look like a missing file. */
static bool has_file(const struct model_file *f, const char *name)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s", f->dir, name);
    return n > 0 && (size_t)n < sizeof(path) && file_exists(path);
}

/* *root is NULL when there is no such file. Numbers come as doubles, see is_whole(). */
static enum kt_status load_json(json_t **root, const struct model_file *f, const char *name,
                                struct kt_error *err)
{
    *root = NULL;
    char *path = path_join(f->dir, name);
    if (!path)
        return file_no_memory(err);
    struct buf text = { 0 };
    enum kt_status st = KT_OK;
    if (file_exists(path))
        st = file_read(&text, path, CONFIG_FILE_MAX, err);
    if (!st && text.ptr) {
        json_error_t je = { 0 };
        *root =
            json_loadb(text.ptr, text.len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, &je);
        if (!*root && json_out_of_memory(&je))
            st = file_no_memory(err);
        else if (!*root)
            st = kt_fail(err, KT_E_FORMAT, "%s: not valid JSON (line %d); " DAMAGED, path, je.line);
        else if (!json_is_object(*root))
            st = kt_fail(err, KT_E_FORMAT, "%s: expected a JSON object; " DAMAGED, path);
    }
    if (st) {
        json_decref(*root);
        *root = NULL;
    }
    buf_deinit(&text);
    free(path);
    return st;
}

static enum kt_status add_config(struct model_file *f, const char *name, const char *prefix,
                                 struct kt_error *err)
{
    json_t *root;
    enum kt_status st = load_json(&root, f, name, err);
    if (st || !root)
        return st;
    struct buf key = { 0 };
    buf_append_str(&key, prefix);
    st = key.failed ? file_no_memory(err) : add_value(f, &key, root, 0, err);
    if (st)
        kt_error_prefix(err, "%s/%s", f->dir, name);
    buf_deinit(&key);
    json_decref(root);
    return st;
}

static bool has_meta(const struct model_file *f, const char *key)
{
    for (size_t i = 0; i < f->n_metas; i++) {
        if (span_eq_str(f->metas[i].key, key))
            return true;
    }
    return false;
}

/* Newer folders keep the chat template in a file of its own. */
static enum kt_status add_template(struct model_file *f, struct kt_error *err)
{
    static const char key[] = "tokenizer_config.chat_template";
    char *path = path_join(f->dir, "chat_template.jinja");
    if (!path)
        return file_no_memory(err);
    struct buf text = { 0 };
    struct meta *m;
    enum kt_status st = KT_OK;
    if (file_exists(path) && !has_meta(f, key)) {
        st = file_read(&text, path, FILE_STRING_MAX, err);
        if (!st)
            st = new_meta(f, span_of(key), META_STR, &m, err);
        if (!st) {
            m->s = (struct span){ arena_strdup(&f->memory, buf_span(&text)), text.len };
            st = m->s.ptr ? KT_OK : file_no_memory(err);
        }
    }
    buf_deinit(&text);
    free(path);
    return st;
}

/* ---- weights --------------------------------------------------------------------------------- */

static enum kt_status add_weights(struct model_file *f, const char *name, struct shard_index *index,
                                  struct kt_error *err)
{
    char *path = path_join(f->dir, name);
    if (!path)
        return file_no_memory(err);
    struct file_map map;
    enum kt_status st = file_push_part(f, path, &map, err);
    if (!st) {
        st = safetensors_parse(f, map.data, map.size, index, err);
        if (st)
            kt_error_prefix(err, "%s", path);
    }
    free(path);
    return st;
}

static bool shard_name_ok(const char *name)
{
    return name && name[0] != '.' && !strchr(name, '/') && !strchr(name, '\\') &&
           name_is_clean(span_of(name)) && span_ends(span_of(name), safetensors_ext);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The distinct file names of the index, sorted; borrowed from 'map'. */
static enum kt_status shard_names(const char ***out, size_t *n_out, json_t *map,
                                  struct kt_error *err)
{
    size_t n = json_object_size(map), n_distinct = 0;
    if (n > FILE_TENSORS_MAX)
        return kt_fail(err, KT_E_FORMAT, "more than %d tensors; " DAMAGED, FILE_TENSORS_MAX);
    const char **names = malloc((n + 1) * sizeof(*names));
    if (!names)
        return file_no_memory(err);
    *out = names;
    const char *tensor;
    json_t *v;
    n = 0;
    json_object_foreach(map, tensor, v)
    {
        const char *name = json_string_value(v);
        if (!shard_name_ok(name))
            return kt_fail(err, KT_E_FORMAT,
                           "tensor %s is said to be in '%s', expected a .safetensors file of this "
                           "folder; " DAMAGED,
                           show_name(span_of(tensor)).text, show_name(span_of(name)).text);
        names[n++] = name;
    }
    qsort(names, n, sizeof(*names), by_text);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(names[i], names[n_distinct - 1]) != 0)
            names[n_distinct++] = names[i];
    }
    *n_out = n_distinct;
    return n_distinct <= FILE_PARTS_MAX
               ? KT_OK
               : kt_fail(err, KT_E_LIMIT, "%zu weight files, expected at most %d; " DAMAGED,
                         n_distinct, FILE_PARTS_MAX);
}

static enum kt_status add_shards(struct model_file *f, json_t *root, struct kt_error *err)
{
    struct shard_index index = { .weight_map = json_object_get(root, "weight_map") };
    if (!json_is_object(index.weight_map))
        return kt_fail(err, KT_E_FORMAT,
                       "%s/" INDEX_NAME
                       ": no weight_map, expected one naming each tensor's file; " DAMAGED,
                       f->dir);
    const char **names = NULL;
    size_t n = 0;
    enum kt_status st = shard_names(&names, &n, index.weight_map, err);
    if (st)
        kt_error_prefix(err, "%s/" INDEX_NAME, f->dir);
    for (size_t i = 0; i < n && !st; i++) {
        index.shard = names[i];
        st = add_weights(f, names[i], &index, err);
    }
    size_t n_listed = json_object_size(index.weight_map);
    if (!st && index.n_seen != n_listed)
        st = kt_fail(err, KT_E_FORMAT,
                     "%s/" INDEX_NAME
                     ": lists %zu tensors, found %zu in the files; fetch all files again",
                     f->dir, n_listed, index.n_seen);
    free(names);
    return st;
}

/* model.safetensors, or the only *.safetensors file of the folder. The caller's to free; NULL when
 * there is none. */
static enum kt_status only_weights(char **out, const struct model_file *f, struct kt_error *err)
{
    *out = NULL;
    if (has_file(f, WEIGHTS_NAME)) {
        *out = strdup(WEIGHTS_NAME);
        return *out ? KT_OK : file_no_memory(err);
    }
    DIR *d = opendir(f->dir);
    if (!d)
        return kt_fail_errno(err, errno, "%s: cannot read the folder", f->dir);
    enum kt_status st = KT_OK;
    for (struct dirent *e; !st && (e = readdir(d));) {
        if (!shard_name_ok(e->d_name))
            continue;
        if (*out)
            st =
                kt_fail(err, KT_E_UNSUPPORTED,
                        "%s: several .safetensors files and no " INDEX_NAME "; fetch the index too",
                        f->dir);
        else if (!(*out = strdup(e->d_name)))
            st = file_no_memory(err);
    }
    closedir(d);
    return st;
}

static enum kt_status add_all_weights(struct model_file *f, struct kt_error *err)
{
    json_t *index;
    enum kt_status st = load_json(&index, f, INDEX_NAME, err);
    if (st)
        return st;
    if (index) {
        st = add_shards(f, index, err);
        json_decref(index);
        return st;
    }
    char *name;
    st = only_weights(&name, f, err);
    if (!st && name)
        st = add_weights(f, name, NULL, err);
    free(name);
    return st;
}

enum kt_status model_folder_open(struct model_file *f, const char *path, struct kt_error *err)
{
    f->container = MODEL_SAFETENSORS;
    f->dir = strdup(path);
    if (!f->dir)
        return file_no_memory(err);
    if (!has_file(f, "config.json") && !has_file(f, "tokenizer.json"))
        return kt_fail(err, KT_E_FORMAT,
                       "%s: neither config.json nor tokenizer.json; name a model's folder, or a "
                       ".gguf file itself",
                       path);
    enum kt_status st = add_config(f, "config.json", "", err);
    if (!st)
        st = add_config(f, "tokenizer_config.json", "tokenizer_config", err);
    if (!st)
        st = add_config(f, "generation_config.json", "generation_config", err);
    if (!st)
        st = add_template(f, err);
    return st ? st : add_all_weights(f, err);
}
