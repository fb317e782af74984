/* apps/kontor/reply_view.c: see reply_view.h. */
#include "reply_view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/status.h"

enum { TOOLS_MAX_BYTES = 4 * 1024 * 1024 };

enum kt_status reply_view_options(struct kt_chat_options *out, const struct reply_args *a,
                                  struct kt_error *err)
{
    *out = (struct kt_chat_options){ .thinking = a->think      ? KT_THINK_ON
                                                 : a->no_think ? KT_THINK_OFF
                                                               : KT_THINK_DEFAULT };
    if (a->think && a->no_think)
        return kt_fail(err, KT_E_USAGE, "--think and --no-think exclude each other");
    if (!a->tools_path)
        return KT_OK;
    struct buf text = { 0 };
    enum kt_status st = file_read(&text, a->tools_path, TOOLS_MAX_BYTES, err);
    if (st) {
        buf_deinit(&text);
        return st;
    }
    out->tools_len = text.len;
    out->tools = buf_take(&text);
    return KT_OK;
}

/* ---- showing --------------------------------------------------------------------------------- */

static void show_text(void *ctx, const char *text, size_t len)
{
    struct reply_view *v = ctx;
    if (v->thinking)
        fputs("\n\n", stderr);
    v->thinking = false;
    v->mid_line = text[len - 1] != '\n';
    if (fwrite(text, 1, len, stdout) != len || fflush(stdout) != 0)
        v->failed = true;
}

static void show_thought(void *ctx, const char *text, size_t len)
{
    struct reply_view *v = ctx;
    v->thinking = true;
    fwrite(text, 1, len, stderr);
}

static void show_call(void *ctx, const char *name, const char *arguments)
{
    struct reply_view *v = ctx;
    json_t *call = json_pack("{s:s,s:o}", "name", name, "arguments",
                             json_loads(arguments, JSON_DECODE_ANY, NULL));
    char *line = call ? json_dumps(call, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    if (v->thinking)
        fputs("\n\n", stderr);
    v->thinking = false;
    if (!line || printf("%s%s\n", v->mid_line ? "\n" : "", line) < 0 || fflush(stdout) != 0)
        v->failed = true;
    v->mid_line = false;
    free(line);
    json_decref(call);
}

enum kt_status reply_view_open(struct reply_view *v, const struct kt_chat_options *o, bool thinking,
                               bool quiet, struct kt_error *err)
{
    *v = (struct reply_view){ .quiet = quiet };
    struct kt_reply_events shown = { show_thought, show_text, show_call, v };
    return kt_reply_parser_create(&v->parser, o, thinking, quiet ? NULL : &shown, err);
}

void reply_view_close(struct reply_view *v)
{
    kt_reply_parser_destroy(v->parser);
    v->parser = NULL;
}

bool reply_view_text(void *ctx, const char *text, size_t len)
{
    struct reply_view *v = ctx;
    v->failed = v->failed || kt_reply_parser_push(v->parser, text, len, NULL) != KT_OK;
    return !v->failed;
}

enum kt_status reply_view_finish(struct reply_view *v, const struct kt_reply **out,
                                 struct kt_error *err)
{
    enum kt_status st = kt_reply_parser_finish(v->parser, out, err);
    if (v->thinking)
        fputs("\n", stderr);
    return st;
}

void reply_view_json(json_t *object, const struct kt_reply *r)
{
    json_t *calls = json_array();
    for (size_t i = 0; i < r->n_calls; i++)
        json_array_append_new(
            calls, json_pack("{s:o,s:o}", "name",
                             cli_json_text(r->calls[i].name, strlen(r->calls[i].name)), "arguments",
                             json_loads(r->calls[i].arguments, JSON_DECODE_ANY, NULL)));
    json_object_set_new(object, "reasoning", cli_json_text(r->reasoning, r->reasoning_len));
    json_object_set_new(object, "content", cli_json_text(r->text, r->text_len));
    json_object_set_new(object, "tool_calls", calls);
}
