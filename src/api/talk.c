/* api/talk.c: what the two dialects' conversations have in common, and replies. */
#include "api/talk.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"

bool talk_refuse(struct talk *t, const char *param, const char *why)
{
    reply_error(t->call, 400, NULL, "invalid_value", param, "%s", why);
    return false;
}

bool talk_nomem(struct talk *t)
{
    reply_error(t->call, 503, NULL, NULL, NULL, "out of memory");
    return false;
}

bool talk_begin(struct talk *t, struct call *c, size_t n_messages)
{
    *t = (struct talk){ .call = c, .n_msgs_max = n_messages };
    t->msgs = arena_array(&t->arena, n_messages, sizeof(*t->msgs));
    return t->msgs ? true : talk_nomem(t);
}

void talk_deinit(struct talk *t)
{
    kt_chat_prompt_deinit(&t->prompt);
    for (size_t i = 0; i < t->n_media; i++)
        kt_media_close(t->media[i]);
    free(t->tools);
    arena_deinit(&t->arena);
}

struct kt_chat_message *talk_message(struct talk *t, const char *role)
{
    if (NEVER(t->n_msgs == t->n_msgs_max))
        return NULL;
    struct kt_chat_message *m = &t->msgs[t->n_msgs++];
    *m = (struct kt_chat_message){ .role = role };
    return m;
}

static bool stop_decoding(void *ctx)
{
    return caller_gone(ctx);
}

struct kt_media *talk_image(struct talk *t, const char *base64, size_t len)
{
    struct kt_media *m = NULL;
    struct kt_error err;
    struct kt_engine_info info;
    kt_engine_info(desk_chat(t->call->api->opts.desk), &info);
    if (!info.sees || t->n_media == IMAGES_MAX) {
        reply_error(t->call, 400, NULL, "unsupported_content", "messages",
                    info.sees ? "more than %d images in one conversation"
                              : "this model does not see images (%d at most with one that does)",
                    IMAGES_MAX);
        return NULL;
    }
    size_t n = 0, cap = len / 4 * 3 + 3;
    unsigned char *bytes = malloc(cap);
    if (!bytes) {
        talk_nomem(t);
        return NULL;
    }
    struct kt_media_options o = { .cancelled = stop_decoding, .ctx = t->call };
    if (sodium_base642bin(bytes, cap, base64, len, "\r\n", &n, NULL,
                          sodium_base64_VARIANT_ORIGINAL))
        talk_refuse(t, "messages", "an image is not valid base64");
    else if (kt_media_open_image_bytes(&m, bytes, n, "an image of the request", &o, &err))
        reply_kt_error(t->call, &err);
    else
        t->media[t->n_media++] = m;
    free(bytes);
    return m;
}

bool talk_build(struct talk *t)
{
    struct kt_error err;
    if (t->tools) {
        t->opts.tools = t->tools;
        t->opts.tools_len = strlen(t->tools);
        if (t->opts.tools_len > TOOLS_BYTES_MAX)
            return talk_refuse(t, "tools", "the tools' definitions are longer than 1 MiB");
    }
    enum kt_status st = kt_chat_build(desk_chat(t->call->api->opts.desk), t->msgs, t->n_msgs,
                                      &t->opts, &t->prompt, &err);
    if (st == KT_E_UNSUPPORTED && t->tools)
        reply_error(t->call, 400, NULL, "unsupported_parameter", "tools", "%s", err.text);
    else if (st)
        reply_kt_error(t->call, &err);
    return st == KT_OK;
}

/* ---- replies --------------------------------------------------------------------------------- */

static void on_reasoning(void *ctx, const char *text, size_t len)
{
    struct reply *r = ctx;
    r->listened_to = r->listened_to && r->sink.on_reasoning(r->sink.ctx, text, len);
}

static void on_text(void *ctx, const char *text, size_t len)
{
    struct reply *r = ctx;
    r->listened_to = r->listened_to && r->sink.on_text(r->sink.ctx, text, len);
}

static void on_call(void *ctx, const char *name, const char *arguments)
{
    struct reply *r = ctx;
    r->listened_to = r->listened_to && r->sink.on_call(r->sink.ctx, r->n_calls++, name, arguments);
}

enum kt_status reply_begin(struct reply *r, const struct talk *t, const struct reply_sink *sink,
                           struct kt_error *err)
{
    struct kt_reply_events events = { on_reasoning, on_text, on_call, r };
    reply_end(r);
    *r = (struct reply){ .listened_to = true };
    if (sink)
        r->sink = *sink;
    return kt_reply_parser_create(&r->parser, &t->opts, t->prompt.thinking, sink ? &events : NULL,
                                  err);
}

bool reply_push(struct reply *r, const char *text, size_t len)
{
    struct kt_error err;
    return kt_reply_parser_push(r->parser, text, len, &err) == KT_OK && r->listened_to;
}

enum kt_status reply_finish(struct reply *r, const struct kt_reply **out, struct kt_error *err)
{
    return kt_reply_parser_finish(r->parser, out, err);
}

void reply_end(struct reply *r)
{
    kt_reply_parser_destroy(r->parser);
    r->parser = NULL;
}
