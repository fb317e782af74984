/* api/shape.h: what an answer must look like, as the grammar that the engine holds it to.
 *
 * A format (JSON of a schema, a regular expression, a grammar, one of some labels), a call of a tool that must come, or calls
 * whose arguments must satisfy their schema wherever they come. The three dialects say it in their own words; here it is one. */
#ifndef API_SHAPE_H
#define API_SHAPE_H

#include <jansson.h>

#include "kontor/constrain.h"

struct call;
struct api_talk;

/* *out: NULL when anything may be written. 't' may be NULL: no conversation. 'format' is the dialect's object, or NULL; 'param'
 * names it in messages. False after an answer. */
bool shape_read(struct call *c, const struct api_talk *t, const json_t *format, const char *param,
                struct kt_grammar **out);

#endif
