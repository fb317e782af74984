/* hub/jwrite.h: writing JSON so that running out of memory is noticed.
 *
 * jansson's constructors give NULL then, its setters accept that and leave the key out, and its
 * json_dumps() can lose a key's name. Here every step is looked at, and the text is written into
 * memory that was there before. */
#ifndef HUB_JWRITE_H
#define HUB_JWRITE_H

#include <stdbool.h>

#include <jansson.h>

#include "base/span.h"
#include "base/status.h"

struct jwrite {
    json_t *root; /* given by the caller; jwrite_end() takes the reference */
    bool failed;
};

/* Takes the reference to 'value', which may be NULL from a failed allocation. */
void jwrite_put(struct jwrite *w, json_t *o, const char *key, json_t *value);
/* Nothing for NULL or "". */
void jwrite_text(struct jwrite *w, json_t *o, const char *key, const char *text);
void jwrite_append(struct jwrite *w, json_t *array, json_t *value);
/* Append the text and a line's end to 'out'; the tree is gone afterwards. */
KT_MUST_CHECK enum kt_status jwrite_end(struct jwrite *w, struct buf *out, struct kt_error *err);

#endif
