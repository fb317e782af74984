/* fuzz/check_document.h: what every parser of src/extract promises about whatever it was given. */
#ifndef FUZZ_CHECK_DOCUMENT_H
#define FUZZ_CHECK_DOCUMENT_H

#include "extract/extract_priv.h"

/* Finishes 'b', and aborts unless it is a refusal with a reason or a document that survives the
 * parent's judgement unchanged. */
void check_document(struct builder *b, enum doc_format format);

#endif
