/* text/tool_parse.h: calls of tools in what a model writes, found while it writes.
 *
 * Bytes go in, in pieces of any size; text and calls come out, and do not depend on how the bytes
 * were cut. The form is in tool.h. White space before a call and after the last one belongs to the
 * form and is left out when a call follows or came before.
 *
 * What begins like a call and is none (another form, a torn end, a parameter twice, too long) comes
 * out as text, byte for byte; calls after it are found. A call of a tool that does not exist is a
 * call: only the caller knows what to answer.
 *
 *   TEXT --<tool_call>--> FUNCTION --<function=--> NAME --'>'--> BODY --</function>--> END
 *     ^                                             BODY <--</parameter>-- VALUE        |
 *     |                              BODY --<parameter=--> KEY --'>'--> VALUE           |
 *     +------------------------------</tool_call>: the call is given--------------------+
 *
 * Every other way out leads to TEXT. Time is linear in the bytes. */
#ifndef TEXT_TOOL_PARSE_H
#define TEXT_TOOL_PARSE_H

#include "text/tool.h"

struct tool_parser;

struct tool_events {
    void (*on_text)(void *ctx, struct span text); /* never empty */
    void (*on_call)(void *ctx, struct span name,
                    struct span arguments); /* a JSON object, one line */
    void *ctx;
};

/* 'tools' (may be NULL: every value is a string) is borrowed. */
KT_MUST_CHECK enum kt_status
tool_parser_create(struct tool_parser **out, const struct tool_set *tools,
                   const struct tool_events *events, struct kt_error *err);
void tool_parser_destroy(struct tool_parser *p);

/* KT_E_NOMEM is the only failure; the parser is then good for destroying. */
KT_MUST_CHECK enum kt_status tool_parser_push(struct tool_parser *p, struct span bytes,
                                              struct kt_error *err);
/* The answer is over: what was held back comes out. */
KT_MUST_CHECK enum kt_status tool_parser_finish(struct tool_parser *p, struct kt_error *err);

#endif
