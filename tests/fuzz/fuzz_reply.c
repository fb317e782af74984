/* Any bytes as what a model writes: thoughts, text and calls are the same, whole and in pieces; a thought has no white
 * space around it, and nothing comes out that did not go in. The first byte says how long the pieces are and whether
 * the reply begins inside a thought. */
#include <stdlib.h>

#include "text/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct log {
    struct buf out, thought;
    size_t n_text;
    char last;
};

/* Which pieces a text comes in is not compared, the turn from one kind to the other is. */
static void add(struct log *l, char kind, struct span s)
{
    if (s.len == 0)
        abort();
    if (l->last != kind)
        buf_append_char(&l->out, kind);
    l->last = kind;
    buf_append_span(&l->out, s);
    l->n_text += s.len;
}

static void on_thought(void *ctx, struct span s)
{
    struct log *l = ctx;
    add(l, 1, s);
    buf_append_span(&l->thought, s);
}

static void on_text(void *ctx, struct span s)
{
    add(ctx, 2, s);
}

static void on_call(void *ctx, struct span name, struct span arguments)
{
    struct log *l = ctx;
    l->last = 3;
    buf_append_char(&l->out, 3);
    buf_append_span(&l->out, name);
    buf_append_span(&l->out, arguments);
}

static void parse(struct log *l, bool thinking, struct span s, size_t step)
{
    struct reply_parser *p;
    const struct reply_events events = { on_thought, on_text, on_call, l };
    if (reply_parser_create(&p, NULL, thinking, &events, NULL))
        abort();
    for (size_t i = 0; i < s.len; i += step)
        if (reply_parser_push(p, span_sub(s, i, i + step), NULL))
            abort();
    if (reply_parser_finish(p, NULL))
        abort();
    reply_parser_destroy(p);
    if (l->n_text > s.len)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span in = { (const char *)data + 1, size - 1 };
    struct log whole = { 0 }, pieces = { 0 };
    parse(&whole, data[0] & 1, in, in.len + 1);
    parse(&pieces, data[0] & 1, in, (data[0] >> 1) + 1u);
    if (!span_eq(buf_span(&whole.out), buf_span(&pieces.out)))
        abort();
    struct span thought = buf_span(&whole.thought);
    if (size < 4096 && span_trim(thought).len != thought.len)
        abort();
    buf_deinit(&whole.out);
    buf_deinit(&whole.thought);
    buf_deinit(&pieces.out);
    buf_deinit(&pieces.thought);
    return 0;
}
