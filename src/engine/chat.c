/* Conversations for kontor/chat.h: messages to the text layer's, images to pads, replies collected. */
#include "kontor/chat.h"

#include <stdlib.h>
#include <string.h>

#include "engine/engine_priv.h"
#include "text/chat.h"
#include "text/reply.h"

/* ---- messages -------------------------------------------------------------------------------- */

struct talk { /* a conversation as the text layer wants it; points into the caller's */
    struct chat_message *msgs;
    struct chat_part *parts;           /* of all messages, one after the other */
    const struct kt_chat_part **media; /* [n_media] the caller's, by media_idx */
    struct chat_call *calls;
    size_t n_parts, n_media, n_calls;
};

static void talk_deinit(struct talk *t)
{
    free(t->msgs);
    free(t->parts);
    free(t->media);
    free(t->calls);
}

static enum kt_status talk_reserve(struct talk *t, const struct kt_chat_message *msgs,
                                   size_t n_msgs, struct kt_error *err)
{
    size_t n_parts = 1, n_calls = 1;
    for (size_t i = 0; i < n_msgs; i++) {
        n_parts += msgs[i].n_parts;
        n_calls += msgs[i].n_calls;
    }
    *t = (struct talk){
        .msgs = calloc(n_msgs + 1, sizeof(*t->msgs)),
        .parts = calloc(n_parts, sizeof(*t->parts)),
        .media = calloc(n_parts, sizeof(*t->media)),
        .calls = calloc(n_calls, sizeof(*t->calls)),
    };
    if (!t->msgs || !t->parts || !t->media || !t->calls)
        return kt_fail(err, KT_E_NOMEM, "chat: out of memory for %zu messages", n_msgs);
    return KT_OK;
}

static bool role_of(const char *name, enum chat_role *out)
{
    static const char *const NAMES[] = { [CHAT_SYSTEM] = "system",
                                         [CHAT_USER] = "user",
                                         [CHAT_ASSISTANT] = "assistant",
                                         [CHAT_TOOL] = "tool" };
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        if (name && strcmp(name, NAMES[i]) == 0) {
            *out = (enum chat_role)i;
            return true;
        }
    }
    return false;
}

static enum kt_status add_media(struct talk *t, struct chat_part *to,
                                const struct kt_chat_part *from, size_t msg_idx,
                                struct kt_error *err)
{
    size_t n_tokens = kt_vision_tokens(&from->input);
    bool video = from->kind == KT_CHAT_VIDEO;
    if (!n_tokens || !from->input.rgb || (from->input.n_frames > 1) != video ||
        (video && !from->seconds))
        return kt_fail(
            err, KT_E_USAGE,
            "chat: message %zu has %s that is none: an image is one frame, a video an even "
            "number with their times, with sides that are multiples of 32",
            msg_idx + 1, video ? "a video" : "an image");
    to->kind = video ? CHAT_PART_VIDEO : CHAT_PART_IMAGE;
    to->media_idx = t->n_media;
    to->n_pairs = video ? from->input.n_frames / 2 : 1;
    to->n_pads = n_tokens / to->n_pairs;
    to->seconds = from->seconds;
    t->media[t->n_media++] = from;
    return KT_OK;
}

static enum kt_status add_parts(struct talk *t, struct chat_message *to,
                                const struct kt_chat_message *from, size_t msg_idx,
                                struct kt_error *err)
{
    enum kt_status st = KT_OK;
    to->parts = t->parts + t->n_parts;
    to->n_parts = from->n_parts;
    for (size_t i = 0; i < from->n_parts && !st; i++) {
        const struct kt_chat_part *part = &from->parts[i];
        struct chat_part *p = &t->parts[t->n_parts++];
        if (part->kind == KT_CHAT_TEXT)
            p->text = (struct span){ part->text, part->text_len };
        else if (part->kind == KT_CHAT_IMAGE || part->kind == KT_CHAT_VIDEO)
            st = add_media(t, p, part, msg_idx, err);
        else
            st = kt_fail(err, KT_E_USAGE, "chat: message %zu has a part of an unknown kind",
                         msg_idx + 1);
    }
    return st;
}

static enum kt_status add_message(struct talk *t, const struct kt_chat_message *from, size_t i,
                                  struct kt_error *err)
{
    struct chat_message *to = &t->msgs[i];
    if (!role_of(from->role, &to->role))
        return kt_fail(err, KT_E_USAGE,
                       "chat: message %zu has an unknown role; expected system, user, assistant or "
                       "tool",
                       i + 1);
    to->text = (struct span){ from->text, from->text ? from->text_len : 0 };
    to->thought = (struct span){ from->reasoning, from->reasoning ? from->reasoning_len : 0 };
    to->calls = t->calls + t->n_calls;
    to->n_calls = from->n_calls;
    for (size_t k = 0; k < from->n_calls; k++)
        t->calls[t->n_calls++] =
            (struct chat_call){ span_of(from->calls[k].name), span_of(from->calls[k].arguments) };
    return from->parts ? add_parts(t, to, from, i, err) : KT_OK;
}

static enum kt_status check_sees(const struct kt_engine *e, const struct talk *t,
                                 struct kt_error *err)
{
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    if (!t->n_media || info.sees)
        return KT_OK;
    return kt_fail(err, KT_E_UNSUPPORTED,
                   "%s: the model cannot see, and the conversation has images or videos; a GGUF "
                   "model's vision part is a file of its own (mmproj)",
                   model_file_path(e->file));
}

/* ---- thinking -------------------------------------------------------------------------------- */

/* The 24 layers of 0.8B and 2B; larger models of the family have more. */
enum { LAYERS_OF_SMALL = 24 };

static enum chat_thinking thinking_of(const struct kt_engine *e, enum kt_thinking wanted)
{
    if (wanted == KT_THINK_ON)
        return CHAT_THINK_ON;
    if (wanted == KT_THINK_OFF)
        return CHAT_THINK_OFF;
    if (e->layout != CHAT_QWEN35)
        return CHAT_THINK_DEFAULT;
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    return info.n_layers <= LAYERS_OF_SMALL ? CHAT_THINK_OFF : CHAT_THINK_ON;
}

/* ---- prompts --------------------------------------------------------------------------------- */

static enum kt_status encode(const struct kt_engine *e, const struct talk *t, size_t n_msgs,
                             const struct kt_chat_options *o, struct kt_chat_prompt *out,
                             struct kt_error *err)
{
    struct tool_set *tools = NULL;
    struct token_vec ids = { 0 };
    struct chat_seen seen = { 0 };
    enum kt_status st = o->tools && o->tools_len
                            ? tool_set_create(&tools, (struct span){ o->tools, o->tools_len }, err)
                            : KT_OK;
    struct chat_request rq = { .msgs = t->msgs,
                               .n_msgs = n_msgs,
                               .tools = tools,
                               .thinking = thinking_of(e, o->thinking),
                               .generate = !o->no_generation,
                               .number_media = o->number_media };
    if (!st)
        st = chat_encode_request(e->tokenizer, e->layout, &ids, &rq, &seen, err);
    if (!st) {
        out->media = calloc(seen.n + 1, sizeof(*out->media));
        if (!out->media || (!ids.ids && !(ids.ids = malloc(sizeof(*ids.ids)))))
            st = kt_fail(err, KT_E_NOMEM, "chat: out of memory");
    }
    for (size_t i = 0; i < seen.n && !st; i++)
        out->media[out->n_media++] = t->media[seen.media_idx[i]]->input;
    if (!st) {
        out->ids = ids.ids;
        out->n_ids = ids.n;
        out->thinking = rq.generate && e->layout == CHAT_QWEN35 && rq.thinking == CHAT_THINK_ON;
        out->may_think = rq.generate && chat_may_think(e->tokenizer, e->layout, rq.thinking);
    } else {
        token_vec_deinit(&ids);
    }
    chat_seen_deinit(&seen);
    tool_set_destroy(tools);
    return st;
}

enum kt_status kt_chat_build(const struct kt_engine *e, const struct kt_chat_message *msgs,
                             size_t n_msgs, const struct kt_chat_options *opts,
                             struct kt_chat_prompt *out, struct kt_error *err)
{
    static const struct kt_chat_options DEFAULTS;
    *out = (struct kt_chat_prompt){ 0 };
    enum kt_status st = engine_need_tokenizer(e, err);
    if (st)
        return st;
    if (e->layout == CHAT_NONE)
        return kt_fail(
            err, KT_E_UNSUPPORTED,
            "%s: the model's chat layout is unknown; it can only continue text (generate --raw)",
            model_file_path(e->file));
    struct talk t;
    st = talk_reserve(&t, msgs, n_msgs, err);
    for (size_t i = 0; i < n_msgs && !st; i++)
        st = add_message(&t, &msgs[i], i, err);
    if (!st)
        st = check_sees(e, &t, err);
    if (!st)
        st = encode(e, &t, n_msgs, opts ? opts : &DEFAULTS, out, err);
    if (st)
        kt_chat_prompt_deinit(out);
    talk_deinit(&t);
    return st;
}

/* Thinking aloud is off: the answer's constraints and stop strings apply to the answer alone. */
enum kt_status kt_chat_tokens(const struct kt_engine *e, const struct kt_message *msgs,
                              size_t n_msgs, int32_t **ids, size_t *n_ids, struct kt_error *err)
{
    *ids = NULL;
    *n_ids = 0;
    struct kt_chat_message *m = calloc(n_msgs + 1, sizeof(*m));
    if (!m)
        return kt_fail(err, KT_E_NOMEM, "chat: out of memory for %zu messages", n_msgs);
    for (size_t i = 0; i < n_msgs; i++)
        m[i] = (struct kt_chat_message){ .role = msgs[i].role,
                                         .text = msgs[i].text,
                                         .text_len = msgs[i].text_len };
    struct kt_chat_options o = { .thinking = KT_THINK_OFF };
    struct kt_chat_prompt p;
    enum kt_status st = kt_chat_build(e, m, n_msgs, &o, &p, err);
    free(m);
    if (st)
        return st;
    *ids = p.ids;
    *n_ids = p.n_ids;
    free(p.media);
    return KT_OK;
}

void kt_chat_prompt_deinit(struct kt_chat_prompt *p)
{
    free(p->ids);
    free(p->media);
    *p = (struct kt_chat_prompt){ 0 };
}

/* ---- replies --------------------------------------------------------------------------------- */

struct kt_reply_parser {
    struct reply_parser *parser;
    struct tool_set *tools;
    struct kt_reply_events events;
    struct buf reasoning, text;
    struct kt_reply_call *calls; /* [n_calls] */
    size_t n_calls, cap_calls;
    bool failed; /* out of memory */
    struct kt_reply reply;
};

static void on_thought(void *ctx, struct span s)
{
    struct kt_reply_parser *p = ctx;
    buf_append_span(&p->reasoning, s);
    if (p->events.on_reasoning)
        p->events.on_reasoning(p->events.ctx, s.ptr, s.len);
}

static void on_text(void *ctx, struct span s)
{
    struct kt_reply_parser *p = ctx;
    buf_append_span(&p->text, s);
    if (p->events.on_text)
        p->events.on_text(p->events.ctx, s.ptr, s.len);
}

static void on_call(void *ctx, struct span name, struct span arguments)
{
    struct kt_reply_parser *p = ctx;
    if (p->n_calls == p->cap_calls) {
        size_t cap = p->cap_calls ? p->cap_calls * 2 : 4;
        struct kt_reply_call *calls = realloc(p->calls, cap * sizeof(*calls));
        p->failed = p->failed || !calls;
        if (!calls)
            return;
        p->calls = calls;
        p->cap_calls = cap;
    }
    struct kt_reply_call c = { strndup(name.ptr, name.len), strndup(arguments.ptr, arguments.len) };
    if (!c.name || !c.arguments) {
        free(c.name);
        free(c.arguments);
        p->failed = true;
        return;
    }
    p->calls[p->n_calls++] = c;
    if (p->events.on_call)
        p->events.on_call(p->events.ctx, c.name, c.arguments);
}

enum kt_status kt_reply_parser_create(struct kt_reply_parser **out,
                                      const struct kt_chat_options *opts, bool thinking,
                                      const struct kt_reply_events *events, struct kt_error *err)
{
    *out = NULL;
    struct kt_reply_parser *p = calloc(1, sizeof(*p));
    if (!p)
        return kt_fail(err, KT_E_NOMEM, "reply: out of memory");
    if (events)
        p->events = *events;
    enum kt_status st = KT_OK;
    if (opts && opts->tools && opts->tools_len)
        st = tool_set_create(&p->tools, (struct span){ opts->tools, opts->tools_len }, err);
    struct reply_events own = { on_thought, on_text, on_call, p };
    if (!st)
        st = reply_parser_create(&p->parser, p->tools, thinking, &own, err);
    if (st) {
        kt_reply_parser_destroy(p);
        return st;
    }
    *out = p;
    return KT_OK;
}

void kt_reply_parser_destroy(struct kt_reply_parser *p)
{
    if (!p)
        return;
    reply_parser_destroy(p->parser);
    tool_set_destroy(p->tools);
    buf_deinit(&p->reasoning);
    buf_deinit(&p->text);
    for (size_t i = 0; i < p->n_calls; i++) {
        free(p->calls[i].name);
        free(p->calls[i].arguments);
    }
    free(p->calls);
    free(p);
}

static enum kt_status collected(const struct kt_reply_parser *p, struct kt_error *err)
{
    return p->failed || p->reasoning.failed || p->text.failed
               ? kt_fail(err, KT_E_NOMEM, "reply: out of memory")
               : KT_OK;
}

enum kt_status kt_reply_parser_push(struct kt_reply_parser *p, const char *text, size_t len,
                                    struct kt_error *err)
{
    enum kt_status st = reply_parser_push(p->parser, (struct span){ text, len }, err);
    return st ? st : collected(p, err);
}

enum kt_status kt_reply_parser_finish(struct kt_reply_parser *p, const struct kt_reply **out,
                                      struct kt_error *err)
{
    *out = NULL;
    enum kt_status st = reply_parser_finish(p->parser, err);
    buf_append_str(&p->reasoning, ""); /* so that there is a terminated string */
    buf_append_str(&p->text, "");
    if (!st)
        st = collected(p, err);
    if (st)
        return st;
    static char none[] = "";
    p->reply = (struct kt_reply){
        .reasoning = p->reasoning.ptr ? p->reasoning.ptr : none,
        .reasoning_len = p->reasoning.len,
        .text = p->text.ptr ? p->text.ptr : none,
        .text_len = p->text.len,
        .calls = p->calls,
        .n_calls = p->n_calls,
    };
    *out = &p->reply;
    return KT_OK;
}
