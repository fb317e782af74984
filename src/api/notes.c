/* api/notes.c: see notes.h. */
#include "api/notes.h"

#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "base/utf8.h"

struct note {
    int32_t id;
    float logprob;
    size_t start; /* its first byte in what the model wrote */
    size_t n_top;
};

void notes_begin(struct notes *n, const struct kt_engine *e, bool plain, bool thinking, bool keep,
                 size_t n_top)
{
    notes_deinit(n);
    *n = (struct notes){ .engine = e,
                         .plain = plain,
                         .keep = keep,
                         .n_top = n_top,
                         .place = thinking ? NOTE_THOUGHT : NOTE_SAID };
}

void notes_deinit(struct notes *n)
{
    buf_deinit(&n->list);
    buf_deinit(&n->tops);
}

/* A token's bytes, which may be a part of a character. */
static char *bytes_of(const struct notes *n, int32_t id, size_t *len)
{
    struct kt_error ignored;
    char *text = NULL;
    return kt_detokenize(n->engine, &id, 1, &text, len, &ignored) ? NULL : text;
}

/* The marks of the layouts whose replies are taken apart. */
static const struct {
    const char *text;
    enum note_place place; /* after it */
} MARKS[] = {
    { "<think>", NOTE_THOUGHT },
    { "</think>", NOTE_SAID },
    { "<tool_call>", NOTE_CALL },
    { "</tool_call>", NOTE_SAID },
};

static bool see_byte(struct notes *n, char byte)
{
    if (n->n_tail == sizeof(n->tail))
        memmove(n->tail, n->tail + 1, --n->n_tail);
    n->tail[n->n_tail++] = byte;
    for (size_t i = 0; byte == '>' && i < ARRAY_LEN(MARKS); i++) {
        size_t len = strlen(MARKS[i].text);
        if (n->n_tail < len || memcmp(n->tail + n->n_tail - len, MARKS[i].text, len) != 0)
            continue;
        n->n_calls += n->place == NOTE_CALL && MARKS[i].place == NOTE_SAID;
        n->place = MARKS[i].place;
        n->before_text = true;
        return true;
    }
    return false;
}

/* Of what is this token? Of the text, if it brings some behind the last mark in it. */
static enum note_place place_of(struct notes *n, int32_t id)
{
    enum note_place before = n->place, now;
    size_t len = 0, i;
    char *text = bytes_of(n, id, &len);
    bool marked = false, has_text = false;
    for (i = 0; text && i < len; i++) {
        bool is_mark = see_byte(n, text[i]);
        marked = marked || is_mark;
        has_text = !is_mark && (has_text || !strchr(" \t\r\n", text[i]));
    }
    free(text);
    now = n->place;
    if (now == NOTE_SAID && n->before_text && !has_text)
        now =
            before == NOTE_SAID ? NOTE_CALL : before; /* white space between a mark and the text */
    if (now == NOTE_SAID)
        n->before_text = false;
    n->n_thought += before == NOTE_THOUGHT || n->place == NOTE_THOUGHT;
    return marked && !has_text ? (before == NOTE_SAID ? NOTE_CALL : before) : now;
}

void notes_add(struct notes *n, const struct kt_token *t, size_t base)
{
    enum note_place place = n->plain ? NOTE_SAID : place_of(n, t->id);
    struct note note = { t->id, t->logprob, MAX(n->n_seen, base), t->n_top };
    n->n_seen = base + t->text_end;
    if (!n->keep || place != NOTE_SAID)
        return;
    buf_append(&n->list, (const char *)&note, sizeof(note));
    int32_t ids[KT_TOP_MAX] = { 0 };
    float logprobs[KT_TOP_MAX] = { 0 };
    for (size_t i = 0; i < t->n_top; i++) {
        ids[i] = t->top_ids[i];
        logprobs[i] = t->top_logprobs[i];
    }
    buf_append(&n->tops, (const char *)ids, n->n_top * sizeof(*ids));
    buf_append(&n->tops, (const char *)logprobs, n->n_top * sizeof(*logprobs));
}

/* The next one that begins before 'until'; false: none. */
static bool next(struct notes *n, size_t until, struct note *out, int32_t *ids, float *logprobs)
{
    if (n->list.failed || n->tops.failed || (n->n_given + 1) * sizeof(*out) > n->list.len)
        return false;
    memcpy(out, n->list.ptr + n->n_given * sizeof(*out), sizeof(*out));
    if (out->start >= until)
        return false;
    const size_t one = n->n_top * sizeof(*ids);
    if (one) {
        memcpy(ids, n->tops.ptr + n->n_given * 2 * one, one);
        memcpy(logprobs, n->tops.ptr + n->n_given * 2 * one + one, one);
    }
    n->n_given++;
    return true;
}

/* {"token", "logprob", "bytes"} */
static json_t *token_json(const struct notes *n, int32_t id, double logprob)
{
    size_t len = 0;
    char *text = bytes_of(n, id, &len);
    json_t *bytes = json_array();
    for (size_t i = 0; text && i < len; i++)
        json_array_append_new(bytes, json_integer((unsigned char)text[i]));
    json_t *j = json_pack("{s:o,s:f,s:o}", "token", text_json(text, text ? len : 0), "logprob",
                          logprob, "bytes", bytes);
    free(text);
    return j;
}

json_t *notes_take(struct notes *n, size_t until)
{
    json_t *list = json_array();
    struct note note;
    int32_t ids[KT_TOP_MAX];
    float logprobs[KT_TOP_MAX];
    while (next(n, until, &note, ids, logprobs)) {
        json_t *tops = json_array();
        for (size_t i = 0; i < note.n_top; i++)
            json_array_append_new(tops, token_json(n, ids[i], (double)logprobs[i]));
        json_t *one = token_json(n, note.id, (double)note.logprob);
        json_object_set_new(one, "top_logprobs", tops);
        json_array_append_new(list, one);
    }
    return list;
}

static size_t count_chars(const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += !utf8_is_continuation(text[i]);
    return n;
}

json_t *notes_take_plain(struct notes *n, size_t until)
{
    json_t *tokens = json_array(), *numbers = json_array(), *tops = json_array(),
           *offsets = json_array();
    struct note note;
    int32_t ids[KT_TOP_MAX];
    float logprobs[KT_TOP_MAX];
    while (next(n, until, &note, ids, logprobs)) {
        size_t len = 0;
        char *text = bytes_of(n, note.id, &len);
        json_array_append_new(tokens, text_json(text, text ? len : 0));
        json_array_append_new(numbers, json_real((double)note.logprob));
        json_array_append_new(offsets, json_integer((json_int_t)n->n_chars));
        n->n_chars += text ? count_chars(text, len) : 0;
        free(text);
        json_t *top = json_object();
        for (size_t i = 0; i < note.n_top; i++) {
            text = bytes_of(n, ids[i], &len);
            json_t *name = text_json(text, text ? len : 0);
            json_object_set_new(top, json_string_value(name), json_real((double)logprobs[i]));
            json_decref(name);
            free(text);
        }
        json_array_append_new(tops, top);
    }
    return json_pack("{s:o,s:o,s:o,s:o}", "tokens", tokens, "token_logprobs", numbers,
                     "top_logprobs", tops, "text_offset", offsets);
}
