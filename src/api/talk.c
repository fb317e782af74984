/* api/talk.c: what the two dialects' conversations have in common, and replies. */
#include "api/talk.h"

#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"

bool api_talk_refuse(struct api_talk *t, const char *param, const char *why)
{
    reply_error(t->call, 400, NULL, "invalid_value", param, "%s", why);
    return false;
}

bool api_talk_nomem(struct api_talk *t)
{
    reply_error(t->call, 503, NULL, NULL, NULL, "out of memory");
    return false;
}

bool api_talk_begin(struct api_talk *t, struct call *c, const char *param, size_t n_messages)
{
    *t = (struct api_talk){ .call = c, .param = param, .n_msgs_max = n_messages };
    t->msgs = arena_array(&t->arena, n_messages, sizeof(*t->msgs));
    return t->msgs ? true : api_talk_nomem(t);
}

void api_talk_deinit(struct api_talk *t)
{
    kt_chat_prompt_deinit(&t->prompt);
    for (size_t i = 0; i < t->n_media; i++)
        kt_media_close(t->media[i]);
    free(t->tools);
    free(t->allowed);
    arena_deinit(&t->arena);
}

struct kt_chat_message *api_talk_message(struct api_talk *t, const char *role)
{
    if (NEVER(t->n_msgs == t->n_msgs_max))
        return NULL;
    struct kt_chat_message *m = &t->msgs[t->n_msgs++];
    *m = (struct kt_chat_message){ .role = role };
    return m;
}

/* "high" and more is as much as the model wants; what bounds it then is the answer's own length. */
bool api_talk_effort(struct api_talk *t, const char *param, const char *effort)
{
    static const struct {
        const char *word;
        enum kt_thinking thinking;
        int64_t n_max;
    } EFFORTS[] = {
        { "none", KT_THINK_OFF, 0 },  { "minimal", KT_THINK_OFF, 0 },
        { "low", KT_THINK_ON, 1024 }, { "medium", KT_THINK_ON, 4096 },
        { "high", KT_THINK_ON, 0 },   { "xhigh", KT_THINK_ON, 0 },
        { "max", KT_THINK_ON, 0 },
    };
    for (size_t i = 0; effort && i < ARRAY_LEN(EFFORTS); i++) {
        if (strcmp(effort, EFFORTS[i].word) != 0)
            continue;
        t->opts.thinking = EFFORTS[i].thinking;
        t->n_think_max = EFFORTS[i].n_max;
        return true;
    }
    return !effort || api_talk_refuse(
                          t, param, "the effort is none, minimal, low, medium, high, xhigh or max");
}

bool api_talk_build(struct api_talk *t)
{
    struct kt_error err;
    if (t->n_msgs && strcmp(t->msgs[t->n_msgs - 1].role, "tool") == 0)
        t->call->class = SERVE_TOOL;
    if (t->tools) {
        t->opts.tools = t->tools;
        t->opts.tools_len = strlen(t->tools);
        if (t->opts.tools_len > TOOLS_BYTES_MAX)
            return api_talk_refuse(t, "tools", "the tools' definitions are longer than 1 MiB");
    }
    enum kt_status st =
        kt_chat_build(desk_chat(t->call->desk), t->msgs, t->n_msgs, &t->opts, &t->prompt, &err);
    if (st == KT_E_UNSUPPORTED && t->tools)
        reply_error(t->call, 400, NULL, "unsupported_parameter", "tools", "%s", err.text);
    else if (st)
        reply_kt_error(t->call, &err);
    return st == KT_OK;
}

/* ---- replies --------------------------------------------------------------------------------- */

static void on_reasoning(void *ctx, const char *text, size_t len)
{
    struct api_reply *r = ctx;
    r->listened_to = r->listened_to && r->sink.on_reasoning(r->sink.ctx, text, len);
}

static void on_text(void *ctx, const char *text, size_t len)
{
    struct api_reply *r = ctx;
    r->listened_to = r->listened_to && r->sink.on_text(r->sink.ctx, text, len);
}

static void on_call(void *ctx, const char *name, const char *arguments)
{
    struct api_reply *r = ctx;
    r->listened_to = r->listened_to && r->sink.on_call(r->sink.ctx, r->n_calls++, name, arguments);
}

enum kt_status api_reply_begin(struct api_reply *r, const struct api_talk *t,
                               const struct reply_sink *sink, struct kt_error *err)
{
    struct kt_reply_events events = { on_reasoning, on_text, on_call, r };
    api_reply_end(r);
    *r = (struct api_reply){ .listened_to = true };
    if (sink)
        r->sink = *sink;
    return kt_reply_parser_create(&r->parser, &t->opts, t->prompt.thinking, sink ? &events : NULL,
                                  err);
}

bool api_reply_push(struct api_reply *r, const char *text, size_t len)
{
    struct kt_error err;
    return kt_reply_parser_push(r->parser, text, len, &err) == KT_OK && r->listened_to;
}

enum kt_status api_reply_finish(struct api_reply *r, const struct kt_reply **out,
                                struct kt_error *err)
{
    return kt_reply_parser_finish(r->parser, out, err);
}

void api_reply_end(struct api_reply *r)
{
    kt_reply_parser_destroy(r->parser);
    r->parser = NULL;
}
