#include "tokenizer_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/rng.h"
#include "base/utf8.h"

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    if (!value)
        fail_msg("the environment has no %s; run the tests with ctest", name);
    return value;
}

char *testdata_path(const char *name)
{
    char *path = path_join(environment("KONTOR_TESTDATA"), name);
    assert_non_null(path);
    if (!file_exists(path))
        fail_msg("%s: missing test data; `tools/fetch.sh models check` brings it", path);
    return path;
}

json_t *golden_json(const char *name)
{
    char path[4096];
    json_error_t e;
    snprintf(path, sizeof(path), "%s/tests/golden/tokenizer/%s", environment("KONTOR_SOURCE"),
             name);
    json_t *doc = json_load_file(path, JSON_ALLOW_NUL, &e);
    if (!doc)
        fail_msg("%s: line %d: %s", path, e.line, e.text);
    return doc;
}

struct tokenizer *open_testdata(const char *name)
{
    char *path = testdata_path(name);
    struct kt_error err = { 0 };
    struct model_file *f;
    struct tokenizer *t = NULL;
    if (model_file_open(&f, path, &err))
        fail_msg("%s: %s", path, err.text);
    if (tokenizer_open(&t, f, &err))
        fail_msg("%s: %s", path, err.text);
    model_file_close(f);
    free(path);
    return t;
}

struct tokenizer *open_json(const json_t *doc)
{
    char *text = json_dumps(doc, JSON_COMPACT);
    assert_non_null(text);
    struct kt_error err = { 0 };
    struct tokenizer *t;
    if (tokenizer_open_json(&t, span_of(text), "test.json", &err))
        fail_msg("%s", err.text);
    free(text);
    return t;
}

struct tokenizer *open_tiny(const json_t *parts)
{
    json_t *doc = golden_json("tiny.json");
    json_object_set(doc, "pre_tokenizer", json_object_get(parts, "pre_tokenizer"));
    json_object_set(doc, "normalizer", json_object_get(parts, "normalizer"));
    json_t *ignore = json_object_get(parts, "ignore_merges");
    json_object_set_new(json_object_get(doc, "model"), "ignore_merges",
                        json_boolean(json_is_true(ignore)));
    struct tokenizer *t = open_json(doc);
    json_decref(doc);
    return t;
}

static void append_cp(struct buf *out, int32_t cp)
{
    char c[UTF8_MAX_BYTES];
    buf_append(out, c, utf8_encode(c, cp));
}

void random_text(struct buf *out, const json_t *atoms, const char *ranges_name, uint64_t seed)
{
    const json_t *words = json_object_get(atoms, "words"),
                 *ranges = json_object_get(atoms, ranges_name);
    struct rng r;
    rng_init(&r, seed);
    for (size_t n = 1 + rng_below(&r, 24); n; n--) {
        size_t kind = rng_below(&r, 4);
        if (kind < 2) {
            const json_t *w = json_array_get(words, rng_below(&r, json_array_size(words)));
            buf_append(out, json_string_value(w), json_string_length(w));
            continue;
        }
        int32_t lo = 0x20, hi = 0x7E;
        if (kind == 3) {
            const json_t *range = json_array_get(ranges, rng_below(&r, json_array_size(ranges)));
            lo = (int32_t)json_integer_value(json_array_get(range, 0));
            hi = (int32_t)json_integer_value(json_array_get(range, 1));
        }
        for (size_t k = 1 + rng_below(&r, 4); k; k--)
            append_cp(out, lo + (int32_t)rng_below(&r, (size_t)(hi - lo + 1)));
    }
    assert_false(out->failed);
}

uint32_t fnv32(const void *ptr, size_t len)
{
    uint32_t h = 0x811C9DC5;
    for (size_t i = 0; i < len; i++)
        h = (h ^ ((const unsigned char *)ptr)[i]) * 0x01000193u;
    return h;
}

uint32_t hash_ids(const struct token_vec *ids)
{
    struct buf bytes = { 0 };
    for (size_t i = 0; i < ids->n; i++) {
        for (int shift = 0; shift < 32; shift += 8)
            buf_append_char(&bytes, (char)(ids->ids[i] >> shift));
    }
    uint32_t h = fnv32(bytes.ptr, bytes.len);
    buf_deinit(&bytes);
    return h;
}

const char *shown(struct span text)
{
    static char out[2048];
    struct buf repaired = { 0 };
    utf8_repair(&repaired, span_sub(text, 0, 300));
    json_t *s = json_stringn(repaired.ptr ? repaired.ptr : "", repaired.len);
    char *dump = json_dumps(s, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    snprintf(out, sizeof(out), "%s", dump ? dump : "(?)");
    free(dump);
    json_decref(s);
    buf_deinit(&repaired);
    return out;
}

const char *shown_ids(const int32_t *ids, size_t n)
{
    static char out[2][2048];
    static int turn;
    char *o = out[turn ^= 1];
    size_t len = 0;
    o[0] = 0;
    for (size_t i = 0; i < n && len < sizeof(out[0]) - 16; i++)
        len += (size_t)snprintf(o + len, sizeof(out[0]) - len, i ? " %d" : "%d", (int)ids[i]);
    return o;
}

struct token_vec encoded(const struct tokenizer *t, struct span text, unsigned mode)
{
    struct token_vec ids = { 0 };
    struct kt_error err = { 0 };
    if (tokenizer_encode(t, &ids, text, mode, &err))
        fail_msg("%s: %s", shown(text), err.text);
    return ids;
}
