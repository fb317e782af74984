/* text/tool_priv.h: JSON and tools, for the files of this folder. */
#ifndef TEXT_TOOL_PRIV_H
#define TEXT_TOOL_PRIV_H

#include <jansson.h>

#include "text/tool.h"

enum {
    TOOLS_MAX = 512,
    TOOL_JSON_MAX = 4 * 1024 * 1024, /* of all definitions, or of one call's arguments */
    TOOL_DEPTH_MAX = 64,
    TOOL_NAME_MAX = 256,
};

/* May stand between '=' and '>': not empty, one line, no angle brackets. */
bool tool_name_ok(struct span name);
/* Append the words in which a model is told how to write calls: those of its chat template, or the
 * published ones. */
KT_MUST_CHECK enum kt_status tool_instructions(struct buf *out, struct span chat_template,
                                               struct kt_error *err);
/* Append 'v' as Python's json.dumps(v, ensure_ascii=False) does. False: too deep. */
KT_MUST_CHECK bool tool_json(struct buf *out, const json_t *v);
/* The value that 'text' is for parameter 'key' of tool 'name', as its schema says: a new reference,
 * NULL when out of memory. Text that is not of its type, and what no schema speaks of, is a string;
 * ill-formed UTF-8 is repaired. */
json_t *tool_value(const struct tool_set *s, struct span name, const char *key, struct span text);

#endif
