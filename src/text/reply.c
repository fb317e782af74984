/* The machine of reply.h.
 *
 *   BEFORE --"<think>"--> THOUGHT --"</think>"--> AFTER --a letter--> TEXT
 *      +--anything else--------------------------------------------->
 *
 * BEFORE and AFTER drop white space. 'held' has the bytes that may be a mark's beginning, or white space
 * that is left out if the mark follows. */
#include "text/reply.h"

#include <stdlib.h>
#include <string.h>

enum state { BEFORE, THOUGHT, AFTER, TEXT };

/* White space that is held back before a mark: more than this is part of the thought. */
enum { SPACE_MAX = 4096 };

struct reply_parser {
    struct tool_parser *calls;
    struct reply_events events;
    enum state state;
    bool began; /* the thought has a letter */
    struct buf held;
    size_t n_mark;  /* the last bytes of 'held': a mark's beginning */
    struct buf out; /* of the state's kind, to be given out at the end of the push */
};

static const char OPEN[] = "<think>", CLOSE[] = "</think>";

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static enum kt_status give(struct reply_parser *p, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    if (p->out.failed || p->held.failed)
        return kt_fail(err, KT_E_NOMEM, "reply: out of memory");
    if (p->out.len && p->state == TEXT)
        st = tool_parser_push(p->calls, buf_span(&p->out), err);
    else if (p->out.len)
        p->events.on_thought(p->events.ctx, buf_span(&p->out));
    buf_clear(&p->out);
    return st;
}

static enum kt_status go_to(struct reply_parser *p, enum state state, struct kt_error *err)
{
    enum kt_status st = give(p, err);
    p->state = state;
    buf_clear(&p->held);
    p->n_mark = 0;
    return st;
}

/* What was held is no mark. */
static void release(struct reply_parser *p)
{
    buf_append_span(&p->out, buf_span(&p->held));
    buf_clear(&p->held);
    p->n_mark = 0;
}

static enum kt_status push_before(struct reply_parser *p, char c, struct kt_error *err)
{
    if (p->n_mark == 0 && is_space(c) && p->held.len < SPACE_MAX) {
        buf_append_char(&p->held, c);
        return KT_OK;
    }
    if (c == OPEN[p->n_mark]) {
        buf_append_char(&p->held, c);
        return ++p->n_mark == sizeof(OPEN) - 1 ? go_to(p, THOUGHT, err) : KT_OK;
    }
    p->state = TEXT;
    release(p);
    buf_append_char(&p->out, c);
    return KT_OK;
}

static enum kt_status push_thought(struct reply_parser *p, char c, struct kt_error *err)
{
    if (p->n_mark && c != CLOSE[p->n_mark]) {
        p->began = true;
        release(p); /* '<' stands only at the mark's beginning: no shorter match */
    }
    if (c == CLOSE[p->n_mark]) {
        buf_append_char(&p->held, c);
        return ++p->n_mark == sizeof(CLOSE) - 1 ? go_to(p, AFTER, err) : KT_OK;
    }
    if (is_space(c) && !p->began)
        return KT_OK;
    p->began = true;
    if (!is_space(c) || p->held.len >= SPACE_MAX)
        release(p);
    buf_append_char(is_space(c) ? &p->held : &p->out, c);
    return KT_OK;
}

static enum kt_status push_byte(struct reply_parser *p, char c, struct kt_error *err)
{
    switch (p->state) {
    case BEFORE:
        return push_before(p, c, err);
    case THOUGHT:
        return push_thought(p, c, err);
    case AFTER:
        if (is_space(c))
            return KT_OK;
        p->state = TEXT;
        break;
    case TEXT:
        break;
    }
    buf_append_char(&p->out, c);
    return KT_OK;
}

/* ---- outside --------------------------------------------------------------------------------- */

enum kt_status reply_parser_create(struct reply_parser **out, const struct tool_set *tools,
                                   bool thinking, const struct reply_events *events,
                                   struct kt_error *err)
{
    *out = NULL;
    struct reply_parser *p = calloc(1, sizeof(*p));
    if (!p)
        return kt_fail(err, KT_E_NOMEM, "reply: out of memory");
    p->events = *events;
    p->state = thinking ? THOUGHT : BEFORE;
    struct tool_events forward = { events->on_text, events->on_call, events->ctx };
    enum kt_status st = tool_parser_create(&p->calls, tools, &forward, err);
    if (st) {
        free(p);
        return st;
    }
    *out = p;
    return KT_OK;
}

void reply_parser_destroy(struct reply_parser *p)
{
    if (!p)
        return;
    tool_parser_destroy(p->calls);
    buf_deinit(&p->held);
    buf_deinit(&p->out);
    free(p);
}

enum kt_status reply_parser_push(struct reply_parser *p, struct span bytes, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < bytes.len && !st; i++)
        st = push_byte(p, bytes.ptr[i], err);
    return st ? st : give(p, err);
}

enum kt_status reply_parser_finish(struct reply_parser *p, struct kt_error *err)
{
    if (p->n_mark || p->state == BEFORE) /* half a mark is what it says */
        release(p);
    if (p->state == BEFORE)
        p->state = TEXT;
    enum kt_status st = give(p, err);
    return st ? st : tool_parser_finish(p->calls, err);
}
