/* The machine of tool_parse.h.
 *
 * 'held' has every byte that is not given out yet: white space, then the beginning of a call. Inside
 * a call the same bytes are collected a second time as name, key or value. When a call turns out to
 * be none, 'held' is text, except the bytes of the mark that did not match: they may begin another
 * call and are read again as text. */
#include "text/tool_parse.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/tool_priv.h"

/* A call longer than this is text: the memory a model can make us hold. */
enum { CALL_MAX = 1024 * 1024, SPACE_MAX = 4096 };

enum state { TEXT, FUNCTION, NAME, BODY, KEY, VALUE, END };

struct tool_parser {
    const struct tool_set *tools;
    struct tool_events events;
    enum state state;
    struct buf text; /* to be given out at the end of the push */
    struct buf held;
    size_t n_mark; /* bytes of a mark that are matched: the last ones of 'held' */
    struct buf name, key, value;
    json_t *args;
    bool many_lines; /* 'value' has a line break */
    bool after_call; /* nothing but white space since the last call */
    bool failed;     /* out of memory */
};

static const char CALL[] = "<tool_call>";

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void give_text(struct tool_parser *p)
{
    p->failed = p->failed || p->text.failed;
    if (p->text.len && !p->failed)
        p->events.on_text(p->events.ctx, buf_span(&p->text));
    buf_clear(&p->text);
}

/* The first n bytes of what is held become text, the others are forgotten. */
static void release(struct tool_parser *p, size_t n)
{
    if (n)
        p->after_call = false;
    buf_append_span(&p->text, span_sub(buf_span(&p->held), 0, n));
    buf_clear(&p->held);
    p->n_mark = 0;
}

static void hold(struct tool_parser *p, char c)
{
    buf_append_char(&p->held, c);
    p->failed = p->failed || p->held.failed;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void begin_call(struct tool_parser *p)
{
    p->state = FUNCTION;
    p->n_mark = 0;
    json_decref(p->args);
    p->args = json_object();
    p->failed = p->failed || !p->args;
    buf_clear(&p->name);
}

static void push_text(struct tool_parser *p, char c)
{
    if (c != CALL[p->n_mark] && p->n_mark)
        release(p, p->held.len); /* '<' stands only at the mark's beginning: no shorter match */
    if (c == CALL[p->n_mark]) {
        hold(p, c);
        if (++p->n_mark == sizeof(CALL) - 1)
            begin_call(p);
    } else if (is_space(c)) {
        hold(p, c);
        if (p->held.len > SPACE_MAX)
            release(p, p->held.len);
    } else {
        hold(p, c);
        release(p, p->held.len);
    }
}

/* ---- inside a call --------------------------------------------------------------------------- */

/* It is no call. The last n_again bytes held are read again. */
static void reject(struct tool_parser *p, size_t n_again)
{
    char again[16];
    size_t n = p->held.len - n_again;
    memcpy(again, p->held.ptr + n, n_again);
    release(p, n);
    p->state = TEXT;
    for (size_t i = 0; i < n_again; i++)
        push_text(p, again[i]);
}

/* After white space, one of the marks (the second may be NULL), whose n_mark bytes are there. Gives
 * 0 or 1 when complete, -1 when not yet; something else rejects the call. */
static int expect(struct tool_parser *p, char c, const char *const marks[2])
{
    if (p->n_mark == 0 && is_space(c))
        return -1;
    const char *seen = p->held.ptr + p->held.len - ++p->n_mark;
    for (int i = 0; i < 2 && marks[i]; i++) {
        if (strncmp(seen, marks[i], p->n_mark) != 0)
            continue;
        if (marks[i][p->n_mark])
            return -1;
        p->n_mark = 0;
        return i;
    }
    reject(p, p->n_mark);
    return -1;
}

/* A name up to '>'; true when it is complete. */
static bool collect_name(struct tool_parser *p, struct buf *name, char c)
{
    bool complete = c == '>';
    if (!complete)
        buf_append_char(name, c);
    p->failed = p->failed || name->failed;
    if (!p->failed && tool_name_ok(buf_span(name)) && (!complete || utf8_valid(buf_span(name))))
        return complete;
    if (!p->failed)
        reject(p, 1);
    return false;
}

static void push_key(struct tool_parser *p, char c)
{
    if (!collect_name(p, &p->key, c))
        return;
    if (json_object_get(p->args, p->key.ptr)) {
        reject(p, 1);
        return;
    }
    p->state = VALUE;
    p->many_lines = false;
    buf_clear(&p->value);
}

/* The value without the line breaks around it, when it is complete: one that begins on its own line
 * ends on its own, so that the closing mark can occur within lines; a short form stands on one. */
static bool value_ends(struct span v, bool many_lines, struct span *out)
{
    struct span close = SPAN("</parameter>");
    if (!span_ends(v, close))
        return false;
    *out = span_sub(v, 0, v.len - close.len);
    bool own_line = span_starts(*out, SPAN("\n")), last_line = span_ends(*out, SPAN("\n"));
    if (many_lines && !last_line)
        return false;
    *out = span_sub(*out, own_line, out->len - (last_line && out->len > own_line));
    return true;
}

static void push_value(struct tool_parser *p, char c)
{
    struct span value;
    buf_append_char(&p->value, c);
    p->failed = p->failed || p->value.failed;
    p->many_lines = p->many_lines || c == '\n';
    if (c != '>' || p->failed || !value_ends(buf_span(&p->value), p->many_lines, &value))
        return;
    json_t *v = tool_value(p->tools, buf_span(&p->name), p->key.ptr, value);
    p->failed = !v || json_object_set_new(p->args, p->key.ptr, v) != 0;
    p->state = BODY;
}

static void push_body(struct tool_parser *p, char c)
{
    static const char *const MARKS[2] = { "<parameter=", "</function>" };
    int which = expect(p, c, MARKS);
    if (which == 0)
        p->state = KEY;
    else if (which == 1)
        p->state = END;
    buf_clear(&p->key);
}

static void push_function(struct tool_parser *p, char c)
{
    static const char *const MARKS[2] = { "<function=", NULL };
    if (expect(p, c, MARKS) == 0)
        p->state = NAME;
}

static void push_end(struct tool_parser *p, char c)
{
    static const char *const MARKS[2] = { "</tool_call>", NULL };
    if (expect(p, c, MARKS) != 0)
        return;
    struct buf args = { 0 };
    if (!tool_json(&args, p->args) || args.failed) {
        p->failed = p->failed || args.failed;
        reject(p, 0);
    } else {
        give_text(p);
        if (!p->failed)
            p->events.on_call(p->events.ctx, buf_span(&p->name), buf_span(&args));
        buf_clear(&p->held);
        p->after_call = true;
        p->state = TEXT;
    }
    buf_deinit(&args);
}

static void push_byte(struct tool_parser *p, char c)
{
    if (p->state == TEXT) {
        push_text(p, c);
        return;
    }
    hold(p, c);
    if (p->failed)
        return;
    if (p->held.len > CALL_MAX) {
        reject(p, 0);
        return;
    }
    switch (p->state) {
    case FUNCTION:
        push_function(p, c);
        break;
    case NAME:
        if (collect_name(p, &p->name, c))
            p->state = BODY;
        break;
    case BODY:
        push_body(p, c);
        break;
    case KEY:
        push_key(p, c);
        break;
    case VALUE:
        push_value(p, c);
        break;
    case END:
        push_end(p, c);
        break;
    case TEXT:
        break;
    }
}

/* ---- outside --------------------------------------------------------------------------------- */

enum kt_status tool_parser_create(struct tool_parser **out, const struct tool_set *tools,
                                  const struct tool_events *events, struct kt_error *err)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return kt_fail(err, KT_E_NOMEM, "tools: out of memory");
    **out = (struct tool_parser){ .tools = tools, .events = *events };
    return KT_OK;
}

void tool_parser_destroy(struct tool_parser *p)
{
    if (!p)
        return;
    json_decref(p->args);
    buf_deinit(&p->text);
    buf_deinit(&p->held);
    buf_deinit(&p->name);
    buf_deinit(&p->key);
    buf_deinit(&p->value);
    free(p);
}

static enum kt_status given(struct tool_parser *p, struct kt_error *err)
{
    give_text(p);
    return p->failed ? kt_fail(err, KT_E_NOMEM, "tools: out of memory") : KT_OK;
}

enum kt_status tool_parser_push(struct tool_parser *p, struct span bytes, struct kt_error *err)
{
    for (size_t i = 0; i < bytes.len && !p->failed; i++)
        push_byte(p, bytes.ptr[i]);
    return given(p, err);
}

enum kt_status tool_parser_finish(struct tool_parser *p, struct kt_error *err)
{
    bool space = p->state == TEXT && p->n_mark == 0;
    release(p, space && p->after_call ? 0 : p->held.len);
    p->state = TEXT;
    p->after_call = false;
    return given(p, err);
}
