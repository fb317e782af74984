/* text/reply.h: what a model writes, taken apart while it writes: thoughts, text, calls of tools.
 *
 * Bytes go in, in pieces of any size; what comes out does not depend on how they were cut. A reply that
 * begins inside a thought (the prompt opened it) or opens one itself is thought until "</think>"; then
 * come text and calls (tool_parse.h). White space around a thought is left out. A reply that ends inside its thought is all thought. Time is linear in the bytes. */
#ifndef TEXT_REPLY_H
#define TEXT_REPLY_H

#include "text/tool_parse.h"

struct reply_parser;

struct reply_events {
    void (*on_thought)(void *ctx, struct span text); /* never empty */
    void (*on_text)(void *ctx, struct span text);
    void (*on_call)(void *ctx, struct span name,
                    struct span arguments); /* a JSON object, one line */
    void *ctx;
};

/* 'tools' is borrowed and may be NULL: then values are strings; calls are found all the same.
 * 'thinking': the prompt ends inside a thought. */
KT_MUST_CHECK enum kt_status
reply_parser_create(struct reply_parser **out, const struct tool_set *tools, bool thinking,
                    const struct reply_events *events, struct kt_error *err);
void reply_parser_destroy(struct reply_parser *p);
/* KT_E_NOMEM is the only failure; the parser is then good for destroying. */
KT_MUST_CHECK enum kt_status reply_parser_push(struct reply_parser *p, struct span bytes,
                                               struct kt_error *err);
/* The reply is over: what was held back comes out. */
KT_MUST_CHECK enum kt_status reply_parser_finish(struct reply_parser *p, struct kt_error *err);

#endif
