/* Any bytes as tool definitions, a zero byte, and what a model writes: the definitions' lines are the
 * same JSON, and the answer gives the same texts and calls, whole and in pieces. The first byte says
 * how long the pieces are. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "text/tool_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add_text(void *ctx, struct span text)
{
    if (text.len == 0)
        abort();
    buf_append_span(ctx, text);
}

static void add_call(void *ctx, struct span name, struct span arguments)
{
    json_t *v =
        json_loadb(arguments.ptr, arguments.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    if (!json_is_object(v))
        abort();
    json_decref(v);
    buf_append(ctx, "\1", 1);
    buf_append_span(ctx, name);
    buf_append_span(ctx, arguments);
}

static void parse(struct buf *out, const struct tool_set *tools, struct span s, size_t step)
{
    struct tool_parser *p;
    const struct tool_events events = { add_text, add_call, out };
    if (tool_parser_create(&p, tools, &events, NULL))
        abort();
    for (size_t i = 0; i < s.len; i += step) {
        if (tool_parser_push(p, span_sub(s, i, i + step), NULL))
            abort();
    }
    if (tool_parser_finish(p, NULL))
        abort();
    tool_parser_destroy(p);
}

static void check_lines(const struct tool_set *tools, struct span json)
{
    json_t *root = json_loadb(json.ptr, json.len, JSON_REJECT_DUPLICATES, NULL);
    if (json_array_size(root) != tool_set_n(tools))
        abort();
    for (size_t i = 0; i < tool_set_n(tools); i++) {
        struct span line = tool_set_line(tools, i);
        json_t *v = json_loadb(line.ptr, line.len, JSON_REJECT_DUPLICATES, NULL);
        if (!json_equal(v, json_array_get(root, i)) || memchr(line.ptr, '\n', line.len))
            abort();
        json_decref(v);
    }
    json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct span in = { (const char *)data + 1, size - 1 };
    const char *zero = memchr(in.ptr, 0, in.len);
    struct span json = span_sub(in, 0, zero ? (size_t)(zero - in.ptr) : in.len);
    struct span answer = span_sub(in, json.len + 1, in.len);
    struct tool_set *tools;
    struct buf whole = { 0 }, pieces = { 0 };
    if (tool_set_create(&tools, json, NULL) == KT_OK)
        check_lines(tools, json);
    parse(&whole, tools, answer, answer.len + 1);
    parse(&pieces, tools, answer, data[0] + 1u);
    if (!span_eq(buf_span(&whole), buf_span(&pieces)))
        abort();
    buf_deinit(&whole);
    buf_deinit(&pieces);
    tool_set_destroy(tools);
    return 0;
}
