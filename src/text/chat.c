/* Chat layouts: which one a model has, and how each is written (chat_priv.h has the writer). */
#include "text/chat_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "text/tok_priv.h"
#include "text/tool_priv.h"

/* ---- recognition ----------------------------------------------------------------------------- */

static bool has_control(const struct tokenizer *t, const char *name)
{
    int32_t id = vocab_find_added(&t->vocab, span_of(name));
    return id >= 0 && t->vocab.flags[id] & TOKEN_CONTROL;
}

static bool can_think(const struct tokenizer *t)
{
    return vocab_find_added(&t->vocab, SPAN(THINK)) >= 0 &&
           vocab_find_added(&t->vocab, SPAN(NO_THINK)) >= 0;
}

static bool template_has(const struct tokenizer *t, const char *marker)
{
    return span_find(tokenizer_chat_template(t), span_of(marker), 0) != SIZE_MAX;
}

/* A vocabulary with the qwen35 rule and the thinking marks belongs to that family alone, so files
 * without a template are recognised, too; but a template of somebody else's making must show the
 * same marks. */
static bool is_qwen35(const struct model_file *f, const struct tokenizer *t)
{
    struct span arch = model_file_str(f, "general.architecture"),
                type = model_file_str(f, "model_type");
    if (t->split != SPLIT_QWEN35 || !can_think(t))
        return false;
    if ((arch.len && !span_starts(arch, SPAN("qwen35"))) ||
        (type.len && !span_starts(type, SPAN("qwen3_5"))))
        return false;
    return !tokenizer_chat_template(t).len ||
           (template_has(t, IM_START) && template_has(t, NO_THINK));
}

enum chat_layout chat_layout_of(const struct model_file *f, const struct tokenizer *t)
{
    if (!has_control(t, IM_START) || !has_control(t, IM_END))
        return CHAT_NONE;
    if (is_qwen35(f, t))
        return CHAT_QWEN35;
    return template_has(t, IM_START) && template_has(t, IM_END) ? CHAT_CHATML : CHAT_NONE;
}

const char *chat_layout_name(enum chat_layout l)
{
    switch (l) {
    case CHAT_CHATML:
        return "chatml";
    case CHAT_QWEN35:
        return "qwen35";
    case CHAT_NONE:
        break;
    }
    return "none";
}

/* ---- parts of a message ---------------------------------------------------------------------- */

struct talk { /* a request with what its messages say put together */
    const struct chat_request *rq;
    struct content *said; /* [n_msgs] */
};

/* The index of the last question: the last user's message that is not a tool's answer; n_msgs when
 * there is none. */
static size_t last_question(const struct talk *k)
{
    for (size_t i = k->rq->n_msgs; i-- > 0;) {
        struct span text = chat_trim(k->said[i].text);
        bool tool =
            span_starts(text, SPAN(TOOL_RESPONSE)) && span_ends(text, SPAN(TOOL_RESPONSE_END));
        if (k->rq->msgs[i].role == CHAT_USER && !tool)
            return i;
    }
    return k->rq->n_msgs;
}

/* A tool answers in the user's turn. */
static const char *role_name(enum chat_role role)
{
    return role == CHAT_SYSTEM ? "system" : role == CHAT_ASSISTANT ? "assistant" : "user";
}

static void begin_turn(struct writer *w, enum chat_role role)
{
    write_control(w, IM_START);
    write_str(w, role_name(role));
    write_str(w, "\n");
}

static void end_turn(struct writer *w)
{
    write_control(w, IM_END);
    write_str(w, "\n");
}

/* 'c': what the thought is a piece of; NULL: a text of its own. */
static void write_thought(struct writer *w, const struct content *c, struct span thought)
{
    write_control(w, THINK);
    write_str(w, "\n");
    if (c)
        write_content(w, c, thought);
    else
        write_text(w, thought);
    write_str(w, "\n");
    write_control(w, NO_THINK);
    write_str(w, "\n\n");
}

/* ---- ChatML ---------------------------------------------------------------------------------- */

/* A newline inside a template's string literal: itself, or as an escape. */
static size_t newline_len(struct span s)
{
    return span_starts(s, SPAN("\n")) ? 1 : span_starts(s, SPAN("\\n")) ? 2 : 0;
}

/* The system text a template gives to conversations that bring none: a literal that opens a system
 * turn, has text, and closes it. Text with escapes or expressions in it is not a constant and is
 * left alone. */
static struct span default_system(const struct tokenizer *t)
{
    struct span tpl = tokenizer_chat_template(t), open = SPAN("'" IM_START "system");
    for (size_t i = span_find(tpl, open, 0); i != SIZE_MAX; i = span_find(tpl, open, i + 1)) {
        struct span rest = span_sub(tpl, i + open.len, tpl.len);
        size_t newline = newline_len(rest), end = span_find(rest, SPAN(IM_END), 0);
        struct span text = span_sub(rest, newline, end == SIZE_MAX ? 0 : end);
        if (newline && text.len && !memchr(text.ptr, '\'', text.len) &&
            !memchr(text.ptr, '\\', text.len) && !memchr(text.ptr, '{', text.len))
            return text;
    }
    return (struct span){ 0 };
}

/* Qwen3: ChatML with thinking that the template can turn off. */
static bool chatml_thinks(const struct tokenizer *t)
{
    return can_think(t) && template_has(t, "enable_thinking");
}

bool chat_may_think(const struct tokenizer *t, enum chat_layout layout, enum chat_thinking thinking)
{
    return layout == CHAT_CHATML && thinking != CHAT_THINK_OFF && chatml_thinks(t);
}

static void chatml_assistant(struct writer *w, struct span text, bool after_question, bool last)
{
    struct span thought, said;
    split_thinking(text, &thought, &said);
    if (after_question && (thought.len || last))
        write_thought(w, NULL, thought);
    write_text(w, said);
}

static void write_chatml(struct writer *w, const struct talk *k)
{
    const struct chat_message *msgs = k->rq->msgs;
    size_t n_msgs = k->rq->n_msgs;
    struct span system = default_system(w->t);
    bool thinks = chatml_thinks(w->t);
    size_t question = last_question(k);
    if (n_msgs && msgs[0].role != CHAT_SYSTEM && system.len) {
        begin_turn(w, CHAT_SYSTEM);
        write_text(w, system);
        end_turn(w);
    }
    for (size_t i = 0; i < n_msgs; i++) {
        begin_turn(w, msgs[i].role);
        if (thinks && msgs[i].role == CHAT_ASSISTANT)
            chatml_assistant(w, k->said[i].text, i > question, i + 1 == n_msgs);
        else
            write_text(w, k->said[i].text);
        end_turn(w);
    }
    if (!k->rq->generate)
        return;
    begin_turn(w, CHAT_ASSISTANT);
    if (thinks && k->rq->thinking == CHAT_THINK_OFF)
        write_thought(w, NULL, (struct span){ 0 });
}

/* ---- Qwen3.5 --------------------------------------------------------------------------------- */

/* Is there a place for every message? */
static enum kt_status check_qwen35(const struct talk *k, struct kt_error *err)
{
    const struct chat_message *msgs = k->rq->msgs;
    size_t n_msgs = k->rq->n_msgs;
    if (!n_msgs)
        return kt_fail(err, KT_E_USAGE, "chat: no messages");
    for (size_t i = 1; i < n_msgs; i++) {
        if (msgs[i].role == CHAT_SYSTEM)
            return kt_fail(
                err, KT_E_USAGE,
                "chat: message %zu is a system message; this model's layout has a place for "
                "one at the beginning only",
                i + 1);
    }
    if (msgs[0].role == CHAT_SYSTEM && k->said[0].n_media)
        return kt_fail(err, KT_E_USAGE,
                       "chat: the system message has an image or a video; they have a place in the "
                       "user's messages");
    if (msgs[0].role == CHAT_TOOL)
        return kt_fail(err, KT_E_USAGE, "chat: message 1 is a tool's answer; nothing was asked");
    if (last_question(k) == n_msgs)
        return kt_fail(err, KT_E_USAGE, "chat: none of the %zu messages is a user's question",
                       n_msgs);
    return KT_OK;
}

static void write_calls(struct writer *w, const struct chat_message *m, bool after_text)
{
    for (size_t i = 0; i < m->n_calls && !w->st; i++) {
        write_str(w, i ? "\n" : after_text ? "\n\n" : "");
        write_control(w, TOOL_CALL);
        if (!w->st)
            w->st = tool_call_write(w->text, m->calls[i].name, m->calls[i].arguments, w->err);
        write_control(w, TOOL_CALL_END);
    }
}

/* Earlier thinking is left out of the history, later thinking is kept (an answer that went through
 * tools). */
static void qwen35_assistant(struct writer *w, const struct chat_message *m,
                             const struct content *c, bool after_question)
{
    struct span thought = chat_trim(m->thought), said = chat_trim(c->text);
    if (!m->thought.ptr)
        split_thinking(said, &thought, &said);
    if (after_question)
        write_thought(w, m->thought.ptr ? NULL : c, thought);
    write_content(w, c, said);
    write_calls(w, m, chat_trim(said).len > 0);
}

/* Answers of tools that follow each other share a turn. */
static void qwen35_tool(struct writer *w, const struct talk *k, size_t i)
{
    const struct chat_message *msgs = k->rq->msgs;
    if (i == 0 || msgs[i - 1].role != CHAT_TOOL) {
        write_control(w, IM_START);
        write_str(w, "user");
    }
    write_str(w, "\n");
    write_control(w, TOOL_RESPONSE);
    write_str(w, "\n");
    write_content(w, &k->said[i], chat_trim(k->said[i].text));
    write_str(w, "\n");
    write_control(w, TOOL_RESPONSE_END);
    if (i + 1 == k->rq->n_msgs || msgs[i + 1].role != CHAT_TOOL)
        end_turn(w);
}

/* The system turn of a conversation with tools. How calls are written is told in the words the model
 * was trained on, which its own template has. */
static void qwen35_tools(struct writer *w, const struct tool_set *tools, struct span system)
{
    begin_turn(w, CHAT_SYSTEM);
    write_str(w, "# Tools\n\nYou have access to the following functions:\n\n<tools>");
    for (size_t i = 0; i < tool_set_n(tools); i++) {
        write_str(w, "\n");
        write_text(w, tool_set_line(tools, i));
    }
    write_str(w, "\n</tools>");
    struct buf told = { 0 };
    if (!w->st)
        w->st = tool_instructions(&told, tokenizer_chat_template(w->t), w->err);
    write_marked(w, buf_span(&told));
    buf_deinit(&told);
    if (system.len)
        write_str(w, "\n\n");
    write_text(w, system);
    end_turn(w);
}

static void write_qwen35(struct writer *w, const struct talk *k)
{
    const struct chat_message *msgs = k->rq->msgs;
    size_t question = last_question(k), first = 0;
    if (tool_set_n(k->rq->tools)) {
        first = msgs[0].role == CHAT_SYSTEM;
        qwen35_tools(w, k->rq->tools, first ? chat_trim(k->said[0].text) : (struct span){ 0 });
    }
    for (size_t i = first; i < k->rq->n_msgs && !w->st; i++) {
        if (msgs[i].role == CHAT_TOOL) {
            qwen35_tool(w, k, i);
            continue;
        }
        begin_turn(w, msgs[i].role);
        if (msgs[i].role == CHAT_ASSISTANT)
            qwen35_assistant(w, &msgs[i], &k->said[i], i > question);
        else
            write_content(w, &k->said[i], chat_trim(k->said[i].text));
        end_turn(w);
    }
    if (!k->rq->generate)
        return;
    begin_turn(w, CHAT_ASSISTANT);
    if (k->rq->thinking == CHAT_THINK_ON) {
        write_control(w, THINK);
        write_str(w, "\n");
    } else {
        write_thought(w, NULL, (struct span){ 0 });
    }
}

/* ---- both ways out --------------------------------------------------------------------------- */

/* ChatML has a place for text. */
static enum kt_status check_chatml(const struct talk *k, struct kt_error *err)
{
    bool tools = tool_set_n(k->rq->tools) > 0, media = false;
    for (size_t i = 0; i < k->rq->n_msgs; i++) {
        tools = tools || k->rq->msgs[i].role == CHAT_TOOL || k->rq->msgs[i].n_calls;
        media = media || k->said[i].n_media;
    }
    if (tools || media)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "chat: this model's layout has no place for %s; Qwen3.5's has",
                       tools ? "tools" : "images and videos");
    return KT_OK;
}

static void write_layout(struct writer *w, enum chat_layout layout, const struct talk *k)
{
    switch (layout) {
    case CHAT_CHATML:
        w->st = check_chatml(k, w->err);
        if (!w->st)
            write_chatml(w, k);
        break;
    case CHAT_QWEN35:
        w->st = check_qwen35(k, w->err);
        if (!w->st)
            write_qwen35(w, k);
        break;
    case CHAT_NONE:
        w->st = kt_fail(
            w->err, KT_E_UNSUPPORTED,
            "chat: this model has no chat layout we know; it can still continue a raw text");
    }
    write_pending(w);
}

static enum kt_status write_request(struct writer *w, enum chat_layout layout,
                                    const struct chat_request *rq)
{
    struct talk k = { rq, calloc(rq->n_msgs ? rq->n_msgs : 1, sizeof(*k.said)) };
    struct media_count count = { 0 };
    if (!k.said)
        return kt_fail(w->err, KT_E_NOMEM, "chat: out of memory for %zu messages", rq->n_msgs);
    for (size_t i = 0; i < rq->n_msgs && !w->st; i++)
        w->st = content_init(&k.said[i], &rq->msgs[i], rq->number_media, &count, w->err);
    if (!w->st)
        write_layout(w, layout, &k);
    for (size_t i = 0; i < rq->n_msgs; i++)
        content_deinit(&k.said[i]);
    free(k.said);
    return w->st;
}

enum kt_status chat_encode_request(const struct tokenizer *t, enum chat_layout layout,
                                   struct token_vec *out, const struct chat_request *rq,
                                   struct chat_seen *seen, struct kt_error *err)
{
    struct buf text = { 0 };
    struct writer w = { .t = t, .ids = out, .text = &text, .seen = seen, .err = err };
    size_t n_before = out->n;
    enum kt_status st = write_request(&w, layout, rq);
    if (st)
        out->n = n_before;
    if (st && seen)
        chat_seen_deinit(seen);
    buf_deinit(&text);
    return st;
}

enum kt_status chat_render_request(const struct tokenizer *t, enum chat_layout layout,
                                   struct buf *out, const struct chat_request *rq,
                                   struct kt_error *err)
{
    struct writer w = { .t = t, .text = out, .err = err };
    size_t n_before = out->len;
    enum kt_status st = write_request(&w, layout, rq);
    if (st && out->ptr) {
        out->len = n_before;
        out->ptr[n_before] = 0;
    }
    return st;
}

enum kt_status chat_encode(const struct tokenizer *t, enum chat_layout layout,
                           struct token_vec *out, const struct chat_message *msgs, size_t n_msgs,
                           bool generate, enum chat_thinking thinking, struct kt_error *err)
{
    struct chat_request rq = { msgs, n_msgs, NULL, thinking, generate, false };
    return chat_encode_request(t, layout, out, &rq, NULL, err);
}

enum kt_status chat_render(const struct tokenizer *t, enum chat_layout layout, struct buf *out,
                           const struct chat_message *msgs, size_t n_msgs, bool generate,
                           enum chat_thinking thinking, struct kt_error *err)
{
    struct chat_request rq = { msgs, n_msgs, NULL, thinking, generate, false };
    return chat_render_request(t, layout, out, &rq, err);
}
