/* Comma-separated values, as RFC 4180 has them, line ends of either kind. */
#include <string.h>

#include "quality/suite.h"

/* A field in quotes from *at, which is behind the opening one. Doubled quotes become single. */
static bool quoted(struct span text, size_t *at, struct arena *a, struct span *out,
                   const char **error)
{
    size_t end = *at, n = 0;
    while (end < text.len &&
           (text.ptr[end] != '"' || (end + 1 < text.len && text.ptr[end + 1] == '"')))
        end += text.ptr[end] == '"' ? 2 : 1;
    if (end >= text.len) {
        *error = "a quotation mark that is not closed";
        return false;
    }
    char *v = arena_alloc(a, end - *at + 1);
    if (!v) {
        *error = "out of memory";
        return false;
    }
    for (size_t i = *at; i < end; i++) {
        v[n++] = text.ptr[i];
        i += text.ptr[i] == '"';
    }
    *out = (struct span){ v, n };
    *at = end + 1;
    return true;
}

static bool at_end_of_field(struct span text, size_t at)
{
    return at >= text.len || text.ptr[at] == ',' || text.ptr[at] == '\n' || text.ptr[at] == '\r';
}

static bool field(struct span text, size_t *at, struct arena *a, struct span *out,
                  const char **error)
{
    if (*at < text.len && text.ptr[*at] == '"') {
        ++*at;
        if (!quoted(text, at, a, out, error))
            return false;
        if (!at_end_of_field(text, *at))
            *error = "something behind a closing quotation mark";
        return at_end_of_field(text, *at);
    }
    size_t from = *at;
    while (!at_end_of_field(text, *at))
        ++*at;
    *out = span_sub(text, from, *at);
    return true;
}

bool csv_next(struct span text, size_t *at, struct arena *a, struct span *out, size_t *n_fields,
              const char **error)
{
    *error = NULL;
    *n_fields = 0;
    while (*at < text.len && (text.ptr[*at] == '\n' || text.ptr[*at] == '\r')) /* empty lines */
        ++*at;
    if (*at >= text.len)
        return false;
    for (;;) {
        if (*n_fields == CSV_FIELDS_MAX) {
            *error = "more than 64 fields";
            return false;
        }
        if (!field(text, at, a, &out[(*n_fields)++], error))
            return false;
        if (*at >= text.len || text.ptr[*at] != ',')
            return true;
        ++*at;
    }
}
