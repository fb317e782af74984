/* How a model is told to write calls.
 *
 * Qwen3.5 was trained on fixed words for this, byte by byte. They are the string literal of its chat
 * template that follows "</tools>", and are read from there; files without a template get them from
 * here: an interface, like a file format. The template's words count only while they speak of the
 * form we read. */
#include "text/tool_priv.h"

static const char PUBLISHED[] =
    "\n\nIf you choose to call a function ONLY reply in the following format with NO suffix:\n\n"
    "<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n"
    "</parameter>\n<parameter=example_parameter_2>\nThis is the value for the second parameter\n"
    "that can span\nmultiple lines\n</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\n"
    "Reminder:\n- Function calls MUST follow the specified format: an inner "
    "<function=...></function> "
    "block must be nested within <tool_call></tool_call> XML tags\n- Required parameters MUST be "
    "specified\n- You may provide optional reasoning for your function call in natural language "
    "BEFORE "
    "the function call, but NOT after\n- If there is no function call available, answer the "
    "question "
    "like normal with your current knowledge and do not tell the user about function calls\n"
    "</IMPORTANT>";

/* The literal that goes on at s, until 'quote': appended with its escapes undone. The bytes read, or
 * SIZE_MAX when it does not end. */
static size_t read_literal(struct buf *out, struct span s, char quote)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == quote)
            return i;
        if (s.ptr[i] == '\\' && i + 1 < s.len) {
            char c = s.ptr[++i];
            buf_append_char(out, c == 'n' ? '\n' : c == 't' ? '\t' : c);
        } else {
            buf_append_char(out, s.ptr[i]);
        }
    }
    return SIZE_MAX;
}

/* What opened the literal that s ends in: the nearest quotation mark before. */
static char quote_before(struct span s)
{
    for (size_t i = s.len; i-- > 0;) {
        if (s.ptr[i] == '"' || s.ptr[i] == '\'')
            return s.ptr[i];
    }
    return 0;
}

/* What follows "</tools>" in its literal, or, where that ends there, the next literal. */
static bool from_template(struct buf *out, struct span t)
{
    size_t at = span_find(t, SPAN("</tools>"), 0);
    if (at == SIZE_MAX)
        return false;
    char quote = quote_before(span_sub(t, 0, at));
    struct span rest = span_sub(t, at + sizeof("</tools>") - 1, t.len);
    size_t n = quote ? read_literal(out, rest, quote) : SIZE_MAX;
    if (n == 0) {
        for (n = 1; n < rest.len && rest.ptr[n] != '"' && rest.ptr[n] != '\'';)
            n++;
        quote = n < rest.len ? rest.ptr[n] : 0;
        n = quote ? read_literal(out, span_sub(rest, n + 1, rest.len), quote) : SIZE_MAX;
    }
    return n != SIZE_MAX;
}

static bool speaks_of_our_form(struct span s)
{
    static const char *const PARTS[] = { "<tool_call>\n<function=", "<parameter=", "</parameter>\n",
                                         "</function>\n</tool_call>" };
    bool all = true;
    for (size_t i = 0; i < sizeof(PARTS) / sizeof(PARTS[0]); i++)
        all = all && span_find(s, span_of(PARTS[i]), 0) != SIZE_MAX;
    return all;
}

enum kt_status tool_instructions(struct buf *out, struct span chat_template, struct kt_error *err)
{
    struct buf own = { 0 };
    bool usable = from_template(&own, chat_template) && speaks_of_our_form(buf_span(&own));
    buf_append_span(out, usable ? buf_span(&own) : SPAN(PUBLISHED));
    bool failed = own.failed || out->failed;
    buf_deinit(&own);
    return failed ? kt_fail(err, KT_E_NOMEM, "tools: out of memory") : KT_OK;
}
