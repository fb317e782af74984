/* extract/pages.h: documents of one page each, joined into one. */
#ifndef EXTRACT_PAGES_H
#define EXTRACT_PAGES_H

#include "extract/extract_priv.h"

struct pages_join {
    size_t max_text; /* bytes allowed, of all together */
    struct buf text;
    struct block *blocks;
    size_t n_blocks, cap_blocks;
    char *title;
    size_t n_read; /* pages with text */
};

/* Pages come in ascending order. KT_E_LIMIT: too much text. 'd' was checked and stays the caller's. */
KT_MUST_CHECK enum kt_status pages_join_add(struct pages_join *j, const struct document *d,
                                            uint32_t page, const char *name, struct kt_error *err);
/* Block i of 'd' with the page it has there. */
KT_MUST_CHECK enum kt_status pages_join_block(struct pages_join *j, const struct document *d,
                                              size_t i, const char *name, struct kt_error *err);
/* A sentence in place of a page that could not be read. */
KT_MUST_CHECK enum kt_status pages_join_unread(struct pages_join *j, uint32_t page,
                                               const char *name, struct kt_error *err);
/* The whole, a DOC_PDF of n_pages pages. KT_E_UNSUPPORTED: no page had text. */
KT_MUST_CHECK enum kt_status pages_join_take(struct pages_join *j, struct document *out,
                                             uint32_t n_pages, const char *name,
                                             struct kt_error *err);
void pages_join_deinit(struct pages_join *j);

#endif
