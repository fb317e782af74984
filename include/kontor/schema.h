/* kontor/schema.h: from JSON Schema to a grammar that output is held to.
 *
 * Every text that the grammar accepts is JSON that satisfies the schema. The other way round some ways of writing
 * are left out, and those only (docs/CONSTRAIN.md): properties come in the order in which the schema declares them,
 * numbers have a limited number of digits, strings one spelling of each character. What cannot be promised is
 * refused with the place and the keyword, never approximated.
 *
 * Draft 2020-12. References stay inside the schema; nothing is fetched. */
#ifndef KONTOR_SCHEMA_H
#define KONTOR_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include "kontor/constrain.h"
#include "kontor/status.h"

/* White space between the parts of an array or object. */
enum kt_schema_space {
    KT_SCHEMA_SPACE_ONE,  /* one space may follow "," and ":": {"a": 1, "b": 2} and {"a":1,"b":2} */
    KT_SCHEMA_SPACE_NONE, /* {"a":1,"b":2}                                                        */
    KT_SCHEMA_SPACE_LINES, /* as the first, or members on lines of their own, indented by at most 16 */
};

struct kt_schema_options {
    /* An object whose schema has properties and says nothing about additionalProperties has no others, as in OpenAI's
     * strict mode. */
    bool strict;
    enum kt_schema_space space;
};

/* The grammar's text, terminated, the caller's to free(). 'opts' may be NULL. On failure *text is NULL and err names
 * the place in the schema (a JSON pointer), the keyword, the reason and what would help.
 *
 * KT_E_FORMAT       not JSON, or a keyword with a value it cannot have
 * KT_E_UNSUPPORTED  a keyword, or a combination, that cannot be held exactly
 * KT_E_LIMIT        too large
 * KT_E_USAGE        nothing satisfies the schema
 * Thread-safe. Milliseconds for ordinary schemas; a bounded number of seconds for any. */
KT_API KT_MUST_CHECK enum kt_status
kt_schema_to_grammar(char **text, size_t *text_len, const char *json, size_t json_len,
                     const struct kt_schema_options *opts, struct kt_error *err);

/* The same, compiled: for struct kt_generate_request. The caller's to kt_grammar_destroy(). */
KT_API KT_MUST_CHECK enum kt_status
kt_grammar_from_schema(struct kt_grammar **out, const char *json, size_t json_len,
                       const struct kt_schema_options *opts, struct kt_error *err);

/* Calls of tools, in the form of Qwen3.5's layout (kontor/chat.h reads them back). */
struct kt_tools_options {
    const char *name;   /* only this tool; NULL: any of them                                   */
    size_t n_calls_max; /* one after the other; 0: any number; 1: no parallel calls            */
    bool optional;      /* text may stand before the first call, or instead of it ("auto")     */
    bool after_mark;    /* the answer begins behind the first "<tool_call>", which is there    */
    enum kt_schema_space space; /* in arrays and objects; strict closes those inside           */
    bool strict;
};

/* 'tools' as in struct kt_chat_options; 'opts' may be NULL. The grammar accepts one call or several, each with arguments
 * that satisfy the tool's parameters when kt_reply_parser reads them with the same tools. Arguments come in the order
 * of the parameters; those that are not declared are not written. Errors as above; KT_E_NOTFOUND: no tool of that
 * name. */
KT_API KT_MUST_CHECK enum kt_status
kt_tools_to_grammar(char **text, size_t *text_len, const char *tools, size_t tools_len,
                    const struct kt_tools_options *opts, struct kt_error *err);
KT_API KT_MUST_CHECK enum kt_status
kt_grammar_from_tools(struct kt_grammar **out, const char *tools, size_t tools_len,
                      const struct kt_tools_options *opts, struct kt_error *err);

#endif
