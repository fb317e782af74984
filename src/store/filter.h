/* store/filter.h: which documents a search may look at. */
#ifndef STORE_FILTER_H
#define STORE_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "kontor/store.h"
#include "store/syntax.h"

struct kt_matter;

/* A document that passes. Borrowed for the call. */
struct filter_doc {
    int64_t id, first_chunk;
    size_t text_len;
    uint32_t n_chunks, n_pages;
    const char *path, *title, *format;
    const char *sender; /* its mail's for what is attached; "" when there is none */
    char date[11];      /* of the mail, or of the file's last change */
};
typedef bool (*filter_fn)(void *ctx, const struct filter_doc *d); /* false: out of memory */

/* What is asked for in a request and in a query, together. */
struct filter {
    struct syntax_item items[SYNTAX_ITEMS + 6];
    size_t n;
};
/* Adds the request's fields; KT_E_USAGE names one that means nothing. */
KT_MUST_CHECK enum kt_status filter_add_request(struct filter *f, const struct kt_search_filter *rq,
                                                struct kt_error *err);
/* Adds the items of a query but excluded words. */
void filter_add_syntax(struct filter *f, const struct syntax *s);
/* What is in force, for people: "type: pdf; date: 2024-01-01..2024-12-31". */
void filter_describe(const struct filter *f, struct buf *out);
/* All documents that pass, by path. */
KT_MUST_CHECK enum kt_status filter_each(struct kt_matter *m, const struct filter *f, filter_fn fn,
                                         void *ctx, struct kt_error *err);

/* The chunks of those documents: a document's chunks have consecutive ids. */
struct allowed {
    bool all;
    struct chunk_range {
        int64_t first, n;
    } * ranges; /* by first */
    size_t n, cap;
};
KT_MUST_CHECK enum kt_status filter_chunks(struct kt_matter *m, const struct filter *f,
                                           struct allowed *out, struct kt_error *err);
bool allowed_has(const struct allowed *a, int64_t chunk_id);
void allowed_deinit(struct allowed *a);

#endif
