/* text/tool.h: tools that a model may call.
 *
 * A tool set is the definitions of a request, as JSON; its lines are what the model's layout shows
 * to the model. A call is a name and a JSON object of arguments. The model writes calls as marked
 * text (chat.h renders them, tool_parse.h reads them):
 *
 *     <tool_call>
 *     <function=NAME>
 *     <parameter=KEY>
 *     VALUE
 *     </parameter>
 *     </function>
 *     </tool_call>
 *
 * Strings are written as they are; the definition says which type a value is to be read as. */
#ifndef TEXT_TOOL_H
#define TEXT_TOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "base/status.h"

struct tool_set;

/* 'json': an array of {"type": "function", "function": {"name": ..., "parameters": {JSON schema}}}.
 * KT_E_FORMAT says which entry is not, KT_E_LIMIT when there are too many or too deep ones. */
KT_MUST_CHECK enum kt_status tool_set_create(struct tool_set **out, struct span json,
                                             struct kt_error *err);
void tool_set_destroy(struct tool_set *s);
size_t tool_set_n(const struct tool_set *s); /* NULL: 0 */
/* Definition i on one line, spelled as Python's json does (", " and ": ", non-ASCII kept, keys in
 * the order given). Borrowed. */
struct span tool_set_line(const struct tool_set *s, size_t i);
bool tool_set_has(const struct tool_set *s, struct span name);

/* Append what stands between <tool_call> and </tool_call>; 'arguments' is a JSON object or empty.
 * KT_E_FORMAT when it is not, or the name cannot be written in this form. */
KT_MUST_CHECK enum kt_status tool_call_write(struct buf *out, struct span name,
                                             struct span arguments, struct kt_error *err);

#endif
