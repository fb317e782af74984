/* Writing JSON so that running out of memory is noticed. */
#include "hub/jwrite.h"

void jwrite_put(struct jwrite *w, json_t *o, const char *key, json_t *value)
{
    if (json_object_set_new(o, key, value) != 0)
        w->failed = true;
}

void jwrite_text(struct jwrite *w, json_t *o, const char *key, const char *text)
{
    if (text && text[0])
        jwrite_put(w, o, key, json_string(text));
}

void jwrite_append(struct jwrite *w, json_t *array, json_t *value)
{
    if (json_array_append_new(array, value) != 0)
        w->failed = true;
}

enum kt_status jwrite_end(struct jwrite *w, struct buf *out, struct kt_error *err)
{
    size_t n = w->failed ? 0 : json_dumpb(w->root, NULL, 0, JSON_INDENT(1));
    bool ok = n > 0 && buf_reserve(out, n) &&
              json_dumpb(w->root, out->ptr + out->len, n, JSON_INDENT(1)) == n;
    if (ok) {
        out->len += n;
        out->ptr[out->len] = '\0';
        buf_append_char(out, '\n');
    }
    json_decref(w->root);
    w->root = NULL;
    return ok && !out->failed ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory");
}
