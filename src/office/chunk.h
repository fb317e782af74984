/* office/chunk.h: cutting a document into the units of search.
 *
 * A chunk is a run of whole blocks on one page, or a run of whole sentences of one long block:
 * about CHUNK_TARGET bytes, because an embedding model reads some 250 tokens and a person reads a
 * screenful. A heading opens a new chunk and stays with what follows it. Chunks do not overlap and
 * leave nothing out but the white space between them. */
#ifndef OFFICE_CHUNK_H
#define OFFICE_CHUNK_H

#include "base/status.h"
#include "extract/extract.h"
#include "kontor/store.h"

enum { CHUNK_TARGET = 700, CHUNK_MAX = 1100 };

/* *out: [*n], the caller's to free(). Places carry page, paragraph and box of the chunk's first
 * block. */
KT_MUST_CHECK enum kt_status chunk_document(struct kt_place **out, size_t *n,
                                            const struct document *d, struct kt_error *err);

/* The end of the sentence that begins at 'from': the byte after its full stop (or the line's, or
 * the text's end). German ordinals and abbreviations ("12. März", "Abs. 2", "Dr. Weber") do not end
 * one. */
size_t sentence_end(struct span text, size_t from);

#endif
