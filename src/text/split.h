/* text/split.h: cutting text into the pieces that byte-pair merging may not cross.
 *
 * Tokenizers of this family are published with a regular expression for this. The few that matter
 * are one family of alternatives, so a hand-written scanner does it: one pass, no backtracking, no
 * regex library.
 *
 *   gpt2       's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   smollm     every \p{N} is cut out first, then gpt2 on what lies between
 *   qwen2      (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|
 * ?[^\s\p{L}\p{N}]+[\r\n]*
 *              |\s*[\r\n]+|\s+(?!\S)|\s+
 *   qwen35     as qwen2, with [\p{L}\p{M}]+ for words and marks excluded from the symbols
 *   llama-bpe  as qwen2, with \p{N}{1,3}
 */
#ifndef TEXT_SPLIT_H
#define TEXT_SPLIT_H

#include "base/span.h"

enum split_kind {
    SPLIT_UNKNOWN = 0,
    SPLIT_GPT2,
    SPLIT_SMOLLM,
    SPLIT_QWEN2,
    SPLIT_QWEN35,
    SPLIT_LLAMA3
};

/* By a GGUF file's tokenizer.ggml.pre, and by the text of the expression. SPLIT_UNKNOWN for others.
 */
enum split_kind split_by_pre(struct span name);
enum split_kind split_by_regex(struct span pattern);
const char *split_name(enum split_kind k); /* "qwen35" */

/* The end of the piece that starts at 'from' (< s.len). Pieces cover the text without gaps. */
size_t split_next(enum split_kind k, struct span s, size_t from);

#endif
