/* text/tokenizer.h: text to token ids and back, exactly as the model's own tokenizer does.
 *
 * Byte-level BPE (GPT-2 family, with the splitting rules of qwen35, qwen2, smollm/gpt2, llama-bpe)
 * and WordPiece (BERT), read from GGUF metadata or from tokenizer.json. Encoding time is O(n log n)
 * in the length, whatever the text.
 *
 * Two ways to encode: ordinary text can never become a control token (TOK_PLAIN); only text that
 * the program itself wrote, such as a chat layout, may use TOK_SPECIAL. Text from people and files
 * is always TOK_PLAIN.
 *
 * Immutable after opening; thread-safe. */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "model/model_file.h"

struct tokenizer;

struct token_vec {
    int32_t *ids;
    size_t n, cap;
};
void token_vec_deinit(struct token_vec *v);
KT_MUST_CHECK bool token_vec_push(struct token_vec *v, int32_t id);

KT_MUST_CHECK enum kt_status tokenizer_open(struct tokenizer **out, const struct model_file *f,
                                            struct kt_error *err);
/* The same from the text of a tokenizer.json alone; 'name' is for messages. */
KT_MUST_CHECK enum kt_status tokenizer_open_json(struct tokenizer **out, struct span json,
                                                 const char *name, struct kt_error *err);
void tokenizer_close(struct tokenizer *t);

enum tok_mode {
    TOK_PLAIN = 0,
    TOK_SPECIAL = 1, /* recognise added tokens such as <|im_start|>            */
    TOK_FRAME = 2,   /* add what the model wants around a text ([CLS] .. [SEP]; an end token for
                        embedding models). May be combined. */
};

/* Append the ids of 'text' (any bytes; ill-formed UTF-8 is taken as U+FFFD for WordPiece and
 * byte-wise for BPE). */
KT_MUST_CHECK enum kt_status tokenizer_encode(const struct tokenizer *t, struct token_vec *out,
                                              struct span text, unsigned mode,
                                              struct kt_error *err);

size_t tokenizer_n_vocab(const struct tokenizer *t); /* ids that exist */
/* The bytes token 'id' stands for: with_control false gives the empty span for control tokens.
 * Borrowed. Never fails: unknown ids are empty. BPE bytes may be a part of a character; WordPiece:
 * the piece with "##" kept off and a space before word beginnings. */
struct span tokenizer_bytes(const struct tokenizer *t, int32_t id, bool with_control);
/* Append the text of ids (WordPiece: with the space before the first word); incomplete characters
 * at the end are kept as they are. */
void tokenizer_decode(const struct tokenizer *t, struct buf *out, const int32_t *ids, size_t n,
                      bool with_control);

/* Streaming: feed tokens, take only whole characters. */
struct token_stream {
    char held[8]; /* the beginning of a character */
    size_t n_held;
};
/* Append to 'out' what is certain after 'id'. Ill-formed sequences come out as U+FFFD. */
void token_stream_push(struct token_stream *s, const struct tokenizer *t, struct buf *out,
                       int32_t id);
void token_stream_finish(struct token_stream *s, struct buf *out); /* a torn tail becomes U+FFFD */

/* Id of an added or ordinary token by its exact text, or -1. */
int32_t tokenizer_find(const struct tokenizer *t, struct span text);
bool tokenizer_is_control(const struct tokenizer *t, int32_t id);
/* Tokens that end an answer; *n of them. */
const int32_t *tokenizer_stops(const struct tokenizer *t, size_t *n);
/* May this id ever be sampled? False for padding rows, unused and foreign-modality ids. */
bool tokenizer_is_samplable(const struct tokenizer *t, int32_t id);
const char *
tokenizer_kind(const struct tokenizer *t); /* "bpe/qwen35", "bpe/smollm", "wordpiece", ... */

#endif
