/* Chat layouts.
 *
 * A layout is written once, against a writer that either spells everything out or makes tokens. In
 * the second case the text between two control tokens is collected and encoded in one go, for a
 * layout's "user\n" and the message after it are one text to the model's own tokenizer (a message
 * that begins with a newline makes another token of the two). It is encoded as plain text, so a
 * message cannot end its own turn. */
#include "text/chat.h"

#include <string.h>

#include "base/size.h"
#include "base/utf8.h"
#include "text/tok_priv.h"
#include "text/tool_priv.h"
#include "text/unicode.h"

#define IM_START "<|im_start|>"
#define IM_END   "<|im_end|>"
#define THINK    "<think>"
#define NO_THINK "</think>"

#define TOOL_CALL         "<tool_call>"
#define TOOL_CALL_END     "</tool_call>"
#define TOOL_RESPONSE     "<tool_response>"
#define TOOL_RESPONSE_END "</tool_response>"

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

/* ---- the writer ------------------------------------------------------------------------------ */

struct writer {
    const struct tokenizer *t;
    struct token_vec *ids; /* NULL: spell everything into 'text' */
    struct buf *text;      /* the output, or the plain text that waits for the next control token */
    enum kt_status st;     /* the first failure; later calls do nothing */
    struct kt_error *err;
};

static void write_text(struct writer *w, struct span s)
{
    buf_append_span(w->text, s);
}

static void write_str(struct writer *w, const char *s)
{
    buf_append_str(w->text, s);
}

static void write_pending(struct writer *w)
{
    if (w->text->failed && !w->st)
        w->st = kt_fail(w->err, KT_E_NOMEM, "chat: out of memory");
    if (w->st || !w->ids)
        return;
    w->st = tokenizer_encode(w->t, w->ids, buf_span(w->text), TOK_PLAIN, w->err);
    buf_clear(w->text);
}

static void write_control(struct writer *w, const char *name)
{
    if (!w->ids) {
        write_str(w, name);
        return;
    }
    write_pending(w);
    int32_t id = vocab_find_added(&w->t->vocab, span_of(name));
    if (w->st)
        return;
    if (id < 0)
        w->st = kt_fail(w->err, KT_E_UNSUPPORTED, "chat: the vocabulary has no %s", name);
    else if (!token_vec_push(w->ids, id))
        w->st = kt_fail(w->err, KT_E_NOMEM, "chat: out of memory");
}

/* A text of the layout's own in which a call is shown. */
static void write_marked(struct writer *w, struct span s)
{
    static const char *const MARKS[] = { TOOL_CALL, TOOL_CALL_END };
    size_t from = 0;
    for (size_t i = 0; i < s.len; i++) {
        for (size_t k = 0; k < ARRAY_LEN(MARKS); k++) {
            if (!span_starts(span_sub(s, i, s.len), span_of(MARKS[k])))
                continue;
            write_text(w, span_sub(s, from, i));
            write_control(w, MARKS[k]);
            from = i + strlen(MARKS[k]);
        }
    }
    write_text(w, span_sub(s, from, s.len));
}

/* ---- parts of a message ---------------------------------------------------------------------- */

/* What the templates' trim takes away: Python's white space. */
static bool is_trimmed(int32_t cp)
{
    enum char_class c = cp < 0 ? CC_OTHER : unicode_class(cp);
    return c == CC_SPACE || c == CC_NEWLINE || (cp >= 0x1C && cp <= 0x1F);
}

static struct span trim(struct span s)
{
    size_t n_bytes;
    while (s.len && is_trimmed(utf8_decode(s.ptr, s.len, &n_bytes)))
        s = span_sub(s, n_bytes, s.len);
    while (s.len) {
        size_t last = s.len - 1;
        while (last && ((unsigned char)s.ptr[last] & 0xC0) == 0x80)
            last--;
        int32_t cp = utf8_decode(s.ptr + last, s.len - last, &n_bytes);
        if (last + n_bytes != s.len || !is_trimmed(cp))
            break;
        s.len = last;
    }
    return s;
}

static size_t find_last(struct span s, struct span needle)
{
    size_t found = SIZE_MAX;
    for (size_t i = span_find(s, needle, 0); i != SIZE_MAX;
         i = span_find(s, needle, i + needle.len))
        found = i;
    return found;
}

/* Cut an assistant's message into what it thought and what it said. Thinking ends at the first
 * closing mark and starts after the last opening one before it; the answer follows the last closing
 * mark. */
static void split_thinking(struct span text, struct span *thought, struct span *said)
{
    size_t close = span_find(text, SPAN(NO_THINK), 0);
    *thought = (struct span){ 0 };
    *said = text;
    if (close == SIZE_MAX)
        return;
    struct span before = span_sub(text, 0, close);
    size_t open = find_last(before, SPAN(THINK));
    *thought =
        trim(open == SIZE_MAX ? before : span_sub(before, open + sizeof(THINK) - 1, before.len));
    *said = span_sub(text, find_last(text, SPAN(NO_THINK)) + sizeof(NO_THINK) - 1, text.len);
    while (said->len && *said->ptr == '\n')
        *said = span_sub(*said, 1, said->len);
}

/* The index of the last question: the last user's message that is not a tool's answer; n_msgs when
 * there is none. */
static size_t last_question(const struct chat_message *msgs, size_t n_msgs)
{
    for (size_t i = n_msgs; i-- > 0;) {
        struct span text = trim(msgs[i].text);
        bool tool =
            span_starts(text, SPAN("<tool_response>")) && span_ends(text, SPAN("</tool_response>"));
        if (msgs[i].role == CHAT_USER && !tool)
            return i;
    }
    return n_msgs;
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

static void write_thought(struct writer *w, struct span thought)
{
    write_control(w, THINK);
    write_str(w, "\n");
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

static void chatml_assistant(struct writer *w, struct span text, bool after_question, bool last)
{
    struct span thought, said;
    split_thinking(text, &thought, &said);
    if (after_question && (thought.len || last))
        write_thought(w, thought);
    write_text(w, said);
}

static void write_chatml(struct writer *w, const struct chat_message *msgs, size_t n_msgs,
                         bool generate, enum chat_thinking thinking)
{
    struct span system = default_system(w->t);
    bool thinks = chatml_thinks(w->t);
    size_t question = last_question(msgs, n_msgs);
    if (n_msgs && msgs[0].role != CHAT_SYSTEM && system.len) {
        begin_turn(w, CHAT_SYSTEM);
        write_text(w, system);
        end_turn(w);
    }
    for (size_t i = 0; i < n_msgs; i++) {
        begin_turn(w, msgs[i].role);
        if (thinks && msgs[i].role == CHAT_ASSISTANT)
            chatml_assistant(w, msgs[i].text, i > question, i + 1 == n_msgs);
        else
            write_text(w, msgs[i].text);
        end_turn(w);
    }
    if (!generate)
        return;
    begin_turn(w, CHAT_ASSISTANT);
    if (thinks && thinking == CHAT_THINK_OFF)
        write_thought(w, (struct span){ 0 });
}

/* ---- Qwen3.5 --------------------------------------------------------------------------------- */

/* Is there a place for every message? */
static enum kt_status check_qwen35(const struct chat_message *msgs, size_t n_msgs,
                                   struct kt_error *err)
{
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
    if (msgs[0].role == CHAT_TOOL)
        return kt_fail(err, KT_E_USAGE, "chat: message 1 is a tool's answer; nothing was asked");
    if (last_question(msgs, n_msgs) == n_msgs)
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
static void qwen35_assistant(struct writer *w, const struct chat_message *m, bool after_question)
{
    struct span thought = trim(m->thought), said = trim(m->text);
    if (!m->thought.ptr)
        split_thinking(said, &thought, &said);
    if (after_question)
        write_thought(w, thought);
    write_text(w, said);
    write_calls(w, m, trim(said).len > 0);
}

/* Answers of tools that follow each other share a turn. */
static void qwen35_tool(struct writer *w, const struct chat_message *msgs, size_t n_msgs, size_t i)
{
    if (i == 0 || msgs[i - 1].role != CHAT_TOOL) {
        write_control(w, IM_START);
        write_str(w, "user");
    }
    write_str(w, "\n");
    write_control(w, TOOL_RESPONSE);
    write_str(w, "\n");
    write_text(w, trim(msgs[i].text));
    write_str(w, "\n");
    write_control(w, TOOL_RESPONSE_END);
    if (i + 1 == n_msgs || msgs[i + 1].role != CHAT_TOOL)
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

static void write_qwen35(struct writer *w, const struct tool_set *tools,
                         const struct chat_message *msgs, size_t n_msgs, bool generate,
                         enum chat_thinking thinking)
{
    size_t question = last_question(msgs, n_msgs), first = 0;
    if (tool_set_n(tools)) {
        first = msgs[0].role == CHAT_SYSTEM;
        qwen35_tools(w, tools, first ? trim(msgs[0].text) : (struct span){ 0 });
    }
    for (size_t i = first; i < n_msgs; i++) {
        if (msgs[i].role == CHAT_TOOL) {
            qwen35_tool(w, msgs, n_msgs, i);
            continue;
        }
        begin_turn(w, msgs[i].role);
        if (msgs[i].role == CHAT_ASSISTANT)
            qwen35_assistant(w, &msgs[i], i > question);
        else
            write_text(w, trim(msgs[i].text));
        end_turn(w);
    }
    if (!generate)
        return;
    begin_turn(w, CHAT_ASSISTANT);
    if (thinking == CHAT_THINK_ON) {
        write_control(w, THINK);
        write_str(w, "\n");
    } else {
        write_thought(w, (struct span){ 0 });
    }
}

/* ---- both ways out --------------------------------------------------------------------------- */

static bool uses_tools(const struct tool_set *tools, const struct chat_message *msgs, size_t n_msgs)
{
    bool uses = tool_set_n(tools) > 0;
    for (size_t i = 0; i < n_msgs; i++)
        uses = uses || msgs[i].role == CHAT_TOOL || msgs[i].n_calls;
    return uses;
}

static enum kt_status write_layout(struct writer *w, enum chat_layout layout,
                                   const struct tool_set *tools, const struct chat_message *msgs,
                                   size_t n_msgs, bool generate, enum chat_thinking thinking)
{
    switch (layout) {
    case CHAT_CHATML:
        if (uses_tools(tools, msgs, n_msgs))
            return kt_fail(w->err, KT_E_UNSUPPORTED,
                           "chat: this model's layout has no place for tools; Qwen3.5's has");
        write_chatml(w, msgs, n_msgs, generate, thinking);
        break;
    case CHAT_QWEN35:
        w->st = check_qwen35(msgs, n_msgs, w->err);
        if (!w->st)
            write_qwen35(w, tools, msgs, n_msgs, generate, thinking);
        break;
    case CHAT_NONE:
        return kt_fail(
            w->err, KT_E_UNSUPPORTED,
            "chat: this model has no chat layout we know; it can still continue a raw text");
    }
    write_pending(w);
    return w->st;
}

enum kt_status chat_encode_tools(const struct tokenizer *t, enum chat_layout layout,
                                 struct token_vec *out, const struct tool_set *tools,
                                 const struct chat_message *msgs, size_t n_msgs, bool generate,
                                 enum chat_thinking thinking, struct kt_error *err)
{
    struct buf text = { 0 };
    struct writer w = { .t = t, .ids = out, .text = &text, .err = err };
    size_t n_before = out->n;
    enum kt_status st = write_layout(&w, layout, tools, msgs, n_msgs, generate, thinking);
    if (st)
        out->n = n_before;
    buf_deinit(&text);
    return st;
}

enum kt_status chat_render_tools(const struct tokenizer *t, enum chat_layout layout,
                                 struct buf *out, const struct tool_set *tools,
                                 const struct chat_message *msgs, size_t n_msgs, bool generate,
                                 enum chat_thinking thinking, struct kt_error *err)
{
    struct writer w = { .t = t, .text = out, .err = err };
    size_t n_before = out->len;
    enum kt_status st = write_layout(&w, layout, tools, msgs, n_msgs, generate, thinking);
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
    return chat_encode_tools(t, layout, out, NULL, msgs, n_msgs, generate, thinking, err);
}

enum kt_status chat_render(const struct tokenizer *t, enum chat_layout layout, struct buf *out,
                           const struct chat_message *msgs, size_t n_msgs, bool generate,
                           enum chat_thinking thinking, struct kt_error *err)
{
    return chat_render_tools(t, layout, out, NULL, msgs, n_msgs, generate, thinking, err);
}
