/* How an embedding model turns hidden states into one vector. config.json does not say; the
 * sentence-transformers library writes it into small files beside the weights:
 *
 *   modules.json              the steps, in order: Transformer, Pooling, perhaps Normalize
 *   1_Pooling/config.json     "pooling_mode_mean_tokens": true, or ..._cls_token, ..._lasttoken
 *   sentence_bert_config.json "max_seq_length": inputs are cut there
 *
 * A folder without modules.json is no sentence encoder, except bert, which is good for nothing
 * else: there the mean, normalised, is assumed. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "model/shape_priv.h"

enum { SMALL_FILE_MAX = 1 << 20 };

/* The file's JSON, or NULL when there is none or it is not JSON. The caller's to decref. */
static json_t *small_json(const struct shape_reader *r, const char *name)
{
    const char *dir = model_file_dir(r->f);
    char *path = dir ? path_join(dir, name) : NULL;
    struct buf text = { 0 };
    json_t *json = NULL;
    if (path && file_exists(path) && file_read(&text, path, SMALL_FILE_MAX, NULL) == KT_OK)
        json = json_loadb(text.ptr ? text.ptr : "", text.len, JSON_REJECT_DUPLICATES, NULL);
    buf_deinit(&text);
    free(path);
    return json;
}

static bool has_normalize(const json_t *modules)
{
    size_t i;
    json_t *step;
    json_array_foreach(modules, i, step)
    {
        const char *type = json_string_value(json_object_get(step, "type"));
        if (type && strstr(type, "Normalize"))
            return true;
    }
    return false;
}

void shape_sentence_files(struct model_shape *s, struct shape_reader *r)
{
    json_t *modules = small_json(r, "modules.json");
    if (modules) {
        s->pooling = POOL_MEAN;
        s->normalize = has_normalize(modules);
    } else if (s->arch == ARCH_BERT) {
        s->pooling = POOL_MEAN;
        s->normalize = true;
    }
    json_decref(modules);
    if (s->pooling == POOL_NONE)
        return;

    json_t *pooling = small_json(r, "1_Pooling/config.json");
    if (json_is_true(json_object_get(pooling, "pooling_mode_cls_token")))
        s->pooling = POOL_CLS;
    if (json_is_true(json_object_get(pooling, "pooling_mode_lasttoken")))
        s->pooling = POOL_LAST;
    json_decref(pooling);

    json_t *limits = small_json(r, "sentence_bert_config.json");
    json_int_t n = json_integer_value(json_object_get(limits, "max_seq_length"));
    if (n > 0 && n < (json_int_t)s->n_ctx_train)
        s->n_embed_max_tokens = (uint32_t)n;
    json_decref(limits);
}
