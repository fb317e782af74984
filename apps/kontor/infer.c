/* apps/kontor/infer.c: see infer.h. */
#include "infer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/size.h"
#include "settings.h"

#define TOKEN_FILE_MAX_BYTES ((size_t)1 << 30)
#define JSON_LINE_MAX_BYTES  ((size_t)64 << 20)

enum kt_status infer_look_seconds(double *seconds, struct kt_error *err)
{
    const char *text = settings_get(cli_home(), "look_seconds");
    char *end;
    *seconds = 0;
    if (!text)
        return KT_OK;
    double v = strtod(text, &end);
    if (end == text || *end || !(v >= 0 && v <= 1e6))
        return kt_fail(err, KT_E_USAGE,
                       "look_seconds is '%.40s'; expected seconds for a picture, 0 for any", text);
    *seconds = v > 0 ? v : -1;
    return KT_OK;
}

enum kt_status infer_open_seeing(struct kt_engine **out, const char *model, const char *mmproj,
                                 struct kt_error *err)
{
    *out = NULL;
    if (!model)
        return kt_fail(err, KT_E_USAGE, "no model is given or configured; name one with -m MODEL");
    struct kt_engine_options eo = { .n_threads = cli_threads(), .mmproj_path = mmproj };
    enum kt_status st = infer_look_seconds(&eo.look_seconds, err);
    return st ? st : kt_engine_open(out, model, &eo, err);
}

enum kt_status infer_open(struct kt_engine **out, const char *model, struct kt_error *err)
{
    return infer_open_seeing(out, model, NULL, err);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* One id at *p, at most INT32_MAX. */
static bool parse_id(const char **p, const char *end, int32_t *id)
{
    int64_t v = 0;
    const char *s = *p;
    while (s < end && *s >= '0' && *s <= '9' && v <= INT32_MAX)
        v = v * 10 + (*s++ - '0');
    if (s == *p || v > INT32_MAX || (s < end && !is_space(*s)))
        return false;
    *id = (int32_t)v;
    *p = s;
    return true;
}

enum kt_status infer_read_tokens(const char *path, int32_t **ids, size_t *n_ids,
                                 struct kt_error *err)
{
    *ids = NULL;
    *n_ids = 0;
    struct buf text = { 0 };
    enum kt_status st = file_read(&text, path, TOKEN_FILE_MAX_BYTES, err);
    if (!st &&
        !(*ids = malloc((text.len / 2 + 1) * sizeof(**ids)))) /* an id and a space: 2 bytes */
        st = kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    const char *p = text.ptr, *end = p ? p + text.len : NULL;
    while (!st && p < end) {
        if (is_space(*p))
            p++;
        else if (!parse_id(&p, end, *ids + *n_ids))
            st = kt_fail(err, KT_E_FORMAT,
                         "%s: byte %zu: expected a token id (a whole number from 0), separated by "
                         "white space",
                         path, (size_t)(p - text.ptr));
        else
            ++*n_ids;
    }
    if (!st && *n_ids == 0)
        st = kt_fail(err, KT_E_FORMAT, "%s: holds no token ids", path);
    if (st) {
        free(*ids);
        *ids = NULL;
        *n_ids = 0;
    }
    buf_deinit(&text);
    return st;
}

enum kt_status infer_read_json_line(FILE *in, size_t line_no, char **text, struct kt_error *err)
{
    *text = NULL;
    char *line = NULL;
    size_t cap = 0;
    errno = 0;
    ssize_t len = getline(&line, &cap, in);
    if (len < 0) {
        free(line);
        return feof(in) ? kt_fail(err, KT_E_NOTFOUND, "end of input")
                        : kt_fail_errno(err, errno, "standard input, line %zu", line_no);
    }
    json_t *value = (size_t)len <= JSON_LINE_MAX_BYTES
                        ? json_loadb(line, (size_t)len, JSON_DECODE_ANY, NULL)
                        : NULL;
    free(line);
    enum kt_status st = KT_OK;
    if (!json_is_string(value))
        st = kt_fail(err, KT_E_FORMAT, "standard input, line %zu: expected one JSON string",
                     line_no);
    else if (!(*text = strdup(json_string_value(value))))
        st = kt_fail(err, KT_E_NOMEM, "out of memory");
    json_decref(value);
    return st;
}

static const char *const KV_NAMES[] = {
    [KT_KV_F16] = "f16", [KT_KV_F32] = "f32", [KT_KV_Q8] = "q8"
};
static const char *const STATE_NAMES[] = { [KT_STATE_F32] = "f32", [KT_STATE_BF16] = "bf16" };

/* The index of 'text', or n. */
static size_t find_name(const char *const *names, size_t n, const char *text)
{
    size_t i = 0;
    while (i < n && strcmp(names[i], text) != 0)
        i++;
    return i;
}

bool infer_memory_parse(struct infer_memory *m, const struct command *cmd)
{
    size_t kv = m->kv_text ? find_name(KV_NAMES, ARRAY_LEN(KV_NAMES), m->kv_text) : m->kv;
    if (kv == ARRAY_LEN(KV_NAMES)) {
        cli_usage(cmd, "--kv is f16, q8 or f32, not '%s'", m->kv_text);
        return false;
    }
    size_t state =
        m->state_text ? find_name(STATE_NAMES, ARRAY_LEN(STATE_NAMES), m->state_text) : m->state;
    if (state == ARRAY_LEN(STATE_NAMES)) {
        cli_usage(cmd, "--state is f32 or bf16, not '%s'", m->state_text);
        return false;
    }
    m->kv = (enum kt_kv_type)kv;
    m->state = (enum kt_state_type)state;
    return true;
}

const char *infer_kv_name(enum kt_kv_type kv)
{
    return KV_NAMES[kv];
}

const char *infer_state_name(enum kt_state_type state)
{
    return STATE_NAMES[state];
}

struct kt_sampling infer_sampling(const struct infer_sampling *s)
{
    return (struct kt_sampling){
        .temperature = (float)s->temperature,
        .top_k = s->top_k > UINT32_MAX ? UINT32_MAX : (uint32_t)s->top_k,
        .top_p = (float)s->top_p,
        .min_p = (float)s->min_p,
        .presence_penalty = (float)s->presence,
        .seed = s->seed,
    };
}

enum kt_status infer_speculate(const char *name, enum kt_speculate *out, struct kt_error *err)
{
    static const char *const NAMES[] = {
        [KT_SPECULATE_AUTO] = "auto",
        [KT_SPECULATE_OFF] = "off",
        [KT_SPECULATE_MTP] = "mtp",
        [KT_SPECULATE_LOOKUP] = "lookup",
    };
    *out = KT_SPECULATE_AUTO;
    for (size_t i = 0; name && i < ARRAY_LEN(NAMES); i++) {
        if (strcmp(name, NAMES[i]) == 0) {
            *out = (enum kt_speculate)i;
            return KT_OK;
        }
    }
    return name ? kt_fail(err, KT_E_USAGE, "--speculate is '%s', expected auto, off, mtp or lookup",
                          name)
                : KT_OK;
}
