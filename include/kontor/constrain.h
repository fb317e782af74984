/* kontor/constrain.h: what an answer may look like, decided before it is written.
 *
 * Two nouns: a kt_grammar is a set of texts, compiled from a grammar, a regular expression or a list of labels;
 * a quotation is text that stands in the sources of a request, word for word. kt_generate() takes both
 * (kontor/engine.h): before each token, those that cannot lead to a text of the grammar are ruled out, so that
 * whatever comes out whole is one of its texts. Nothing is repaired afterwards.
 *
 * docs/CONSTRAIN.md is the page for whoever writes grammars.
 *
 * A grammar is immutable once made, knows no vocabulary and no model, and may be used by any number of threads and
 * requests at once; it must outlive those. */
#ifndef KONTOR_CONSTRAIN_H
#define KONTOR_CONSTRAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kontor/status.h"

/* ---- grammars -------------------------------------------------------------------------------- */

struct kt_grammar;

/* Compile a grammar; the answer is what 'root' stands for.
 *
 *     root   ::= "{" ws pair ("," ws pair)* "}"       # a comment
 *     pair   ::= string ":" ws value
 *     string ::= "\"" [^"\\\x00-\x1F]* "\""
 *     value  ::= string | number | /(true|false)/ | "\"" @quote "\"" | root
 *     number ::= "-"? [0-9]{1,9}
 *     ws     ::= " "?
 *
 * A rule goes on until the next "name ::=", over lines. Names are letters, digits, - and _, beginning with a letter.
 *
 *   "..."        a literal; \n \r \t \" \\ \xHH (a code point), \uHHHH, \u{H...}, \UHHHHHHHH
 *   [...] [^...] one character of a class: the same escapes, ranges, \d \w \s \D \W \S, \- \] \[ \^
 *   .            any one character but a line's end
 *   /.../        a regular expression as kt_grammar_from_regex() reads it, / written \/. Letters after it:
 *                j  what stands between the marks of a JSON string whose value matches: " \ and control characters
 *                   come out escaped
 *                f  find: the match may stand anywhere in the text (JSON Schema's "pattern"), unless ^ or $ tie it
 *   @quote       a quotation of the request's sources; it contains neither " nor \ nor control characters, so that it
 *                may stand in a JSON string. Without sources the rule that needs it cannot be completed.
 *   ( ) |        groups and alternatives; an empty alternative is the empty text
 *   * + ? {m} {m,} {m,n}
 *   # ...        a comment
 *
 * Everything is in characters, of UTF-8; a rule may use itself. A rule may use itself at its own beginning
 * (sum ::= sum "+" n | n) directly, not by way of others. Ambiguity is no error.
 *
 * On failure *out is NULL and err names the line and column. KT_E_FORMAT: not the language above; a rule that is
 * missing or defined twice; a root that can never be completed. KT_E_UNSUPPORTED: what is named in err; left recursion
 * by way of other rules. KT_E_LIMIT: larger than docs/CONSTRAIN.md says. */
KT_API KT_MUST_CHECK enum kt_status kt_grammar_parse(struct kt_grammar **out, const char *text,
                                                     size_t text_len, struct kt_error *err);

/* The texts that a regular expression matches as a whole. ECMAScript's syntax in its "u" mode: classes, . \d \w \s
 * \D \W \S, groups (all kinds are the same: nothing is captured), alternatives, counted and lazy repetition (lazy is
 * the same), \n \r \t \f \v \0 \xHH \uHHHH \u{H...} \cX, ^ and $ at the ends. KT_E_UNSUPPORTED, with the place:
 * back references, looking around, \b, \p{...}, ^ and $ elsewhere. KT_E_FORMAT: not a regular expression. */
KT_API KT_MUST_CHECK enum kt_status kt_grammar_from_regex(struct kt_grammar **out,
                                                          const char *pattern, size_t pattern_len,
                                                          struct kt_error *err);

/* One of n labels, each UTF-8, none empty. */
KT_API KT_MUST_CHECK enum kt_status kt_grammar_from_labels(struct kt_grammar **out,
                                                           const char *const *labels, size_t n,
                                                           struct kt_error *err);

KT_API void kt_grammar_destroy(struct kt_grammar *g);

/* Is 'text' one of the grammar's, the beginning of one, or neither? @quote counts as what cannot be. For tests and for
 * judging a text from elsewhere. KT_E_LIMIT: the grammar is too ambiguous to say. */
enum kt_grammar_match { KT_GRAMMAR_NONE, KT_GRAMMAR_BEGINNING, KT_GRAMMAR_WHOLE };
KT_API KT_MUST_CHECK enum kt_status kt_grammar_match(const struct kt_grammar *g, const char *text,
                                                     size_t text_len, enum kt_grammar_match *out,
                                                     struct kt_error *err);

/* ---- quotations ------------------------------------------------------------------------------ */

/* Text that may be quoted. */
struct kt_quote_source {
    const char *text; /* UTF-8 */
    size_t text_len;
};

/* One quotation of the output: output bytes [out_start, out_end) (without the marks) equal bytes
 * [src_start, src_end) of source src_idx, white-space runs counted as equal. */
struct kt_quote {
    size_t out_start, out_end;
    size_t src_idx, src_start, src_end;
};

/* Are the two equal, white-space runs counted as equal (no-break and other Unicode spaces are white space, too)? What
 * kt_generate promises of each quotation and its source. */
KT_API bool kt_quote_matches(const char *a, size_t a_len, const char *b, size_t b_len);

#endif
