/* What the tokenizer tests share: the committed goldens, the tokenizers they speak of, and the
 * random texts, made here exactly as tools/reference/tokenizer.py makes them. */
#ifndef TOKENIZER_FIXTURE_H
#define TOKENIZER_FIXTURE_H

#include <jansson.h>

#include "text/tokenizer.h"

/* tests/golden/tokenizer/NAME in the source tree, and a file of the test data; heap. The test fails
 * when it cannot be read. */
json_t *golden_json(const char *name);
char *testdata_path(const char *name);

/* A tokenizer from a model file or folder of the test data. */
struct tokenizer *open_testdata(const char *name);
/* tiny.json with the parts of a kind put in: {"pre_tokenizer", "normalizer", "ignore_merges"}. */
struct tokenizer *open_tiny(const json_t *parts);
/* From the text of a tokenizer.json; expects success. */
struct tokenizer *open_json(const json_t *doc);

/* Append the random text of a seed, from atoms' words and the named ranges; see
 * tools/reference/tokenizer.py. */
void random_text(struct buf *out, const json_t *atoms, const char *ranges_name, uint64_t seed);

uint32_t fnv32(const void *ptr, size_t len);
uint32_t hash_ids(const struct token_vec *ids); /* over little-endian int32 */

/* A text for a message: JSON, cut where it is long. Static; valid until the next call. */
const char *shown(struct span text);
const char *shown_ids(const int32_t *ids, size_t n);

/* Encode; the test fails when that fails. */
struct token_vec encoded(const struct tokenizer *t, struct span text, unsigned mode);

#endif
