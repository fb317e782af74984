/* Which model a role means: HOME/models/defaults.json, {"chat": "NAME", "embed": "NAME"}. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/files.h"
#include "hub/jread.h"
#include "hub/jwrite.h"
#include "hub/models.h"
#include "hub/models_priv.h"

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "out of memory");
}

static char *defaults_path(const char *home)
{
    return models_path(home, "", "defaults.json", "");
}

/* An object, the caller's; an empty one when there is no file or it cannot be understood: the file
 * holds nothing that a person could not choose again in a moment. */
static json_t *defaults_load(const char *path)
{
    struct buf text = { 0 };
    json_t *root = NULL;
    if (file_exists(path) && !file_read(&text, path, 1 << 16, NULL))
        root = json_loadb(text.ptr ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES, NULL);
    buf_deinit(&text);
    if (!json_is_object(root)) {
        json_decref(root);
        root = json_object();
    }
    return root;
}

enum kt_status model_default(char **out, const char *home, enum model_role role,
                             struct kt_error *err)
{
    *out = NULL;
    char *path = defaults_path(home);
    json_t *root = path ? defaults_load(path) : NULL;
    const char *name = json_string_value(json_object_get(root, model_role_name(role)));
    enum kt_status st = root ? KT_OK : no_memory(err);
    if (name && model_name_ok(name) && !(*out = strdup(name)))
        st = no_memory(err);
    json_decref(root);
    free(path);
    return st;
}

enum kt_status model_set_default(const char *home, enum model_role role, const char *name,
                                 struct kt_error *err)
{
    struct buf text = { 0 };
    char *path = defaults_path(home);
    struct jwrite w = { .root = path ? defaults_load(path) : NULL };
    if (w.root && name)
        jwrite_put(&w, w.root, model_role_name(role), json_string(name));
    else if (w.root)
        json_object_del(w.root, model_role_name(role));
    enum kt_status st = w.root ? jwrite_end(&w, &text, err) : no_memory(err);
    if (!st)
        st = file_replace(path, text.ptr, text.len, 0600, err);
    buf_deinit(&text);
    free(path);
    return st;
}
