/* text/tok_export.h: a tokenizer as the metadata of a GGUF file. */
#ifndef TEXT_TOK_EXPORT_H
#define TEXT_TOK_EXPORT_H

#include "model/gguf_write.h"
#include "text/tokenizer.h"

/* Tokens, their types, merges, splitting rule, what stands around a text, stop tokens and chat
 * template of 't', padded with unused tokens to n_vocab (at least those that 't' has). Read back it
 * cuts every text into the same tokens. KT_E_UNSUPPORTED for what the metadata have no place for: a
 * WordPiece vocabulary with capitals or accents kept. */
KT_MUST_CHECK enum kt_status tokenizer_export(const struct tokenizer *t, struct gguf_write *w,
                                              size_t n_vocab, struct kt_error *err);

#endif
