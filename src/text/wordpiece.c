/* WordPiece, BERT's tokenizer: clean the text, cut it into words, spell each word with the longest
 * pieces.
 *
 * Cleaning follows the reference: controls (Cc, Cf, Co) and U+FFFD go, white space becomes a space,
 * CJK ideographs stand alone, accents (Mn after decomposition) go, letters become small. Then words
 * end at white space, and each punctuation mark is a word. A word longer than word_chars_max, or
 * one with a part that no piece fits, is [UNK] as a whole, which also bounds the work per word. */
#include "text/tok_priv.h"

#include <string.h>

#include <utf8proc.h>

#include "base/utf8.h"
#include "text/unicode.h"

bool wordpiece_set(struct vocab *v, size_t id, struct span bytes, unsigned flags)
{
    if (!(flags & TOKEN_CONTINUES))
        buf_append_char(&v->text, ' ');
    return vocab_set(v, id, bytes, flags);
}

/* ---- what characters are --------------------------------------------------------------------- */

static bool is_space(int32_t cp)
{
    enum char_class c = unicode_class(cp);
    return c == CC_SPACE || c == CC_NEWLINE;
}

static bool is_dropped(int32_t cp)
{
    if (cp == '\t' || cp == '\n' || cp == '\r')
        return false;
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
        return true;
    default:
        return cp == 0xFFFD;
    }
}

static bool is_cjk(int32_t cp)
{
    return (cp >= 0x4E00 && cp <= 0x9FFF) || (cp >= 0x3400 && cp <= 0x4DBF) ||
           (cp >= 0x20000 && cp <= 0x2A6DF) || (cp >= 0x2A700 && cp <= 0x2B73F) ||
           (cp >= 0x2B740 && cp <= 0x2B81F) || (cp >= 0x2B920 && cp <= 0x2CEAF) ||
           (cp >= 0xF900 && cp <= 0xFAFF) || (cp >= 0x2F800 && cp <= 0x2FA1F);
}

static bool is_punctuation(int32_t cp)
{
    if (cp < 0x80)
        return (cp >= 33 && cp <= 47) || (cp >= 58 && cp <= 64) || (cp >= 91 && cp <= 96) ||
               (cp >= 123 && cp <= 126);
    switch (utf8proc_category(cp)) {
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return true;
    default:
        return false;
    }
}

/* ---- cleaning -------------------------------------------------------------------------------- */

/* One character of the text, cleaned and set apart where it is an ideograph. */
static bool clean_char(const struct tokenizer *t, struct cp_vec *v, int32_t cp)
{
    if (t->clean && is_dropped(cp))
        return true;
    if (t->clean && is_space(cp))
        cp = ' ';
    bool alone = t->split_cjk && is_cjk(cp);
    bool ok = !alone || cp_vec_push(v, ' ');
    if (t->strip_accents)
        ok = ok && unicode_decompose(v, cp);
    else if (t->lowercase && cp == 0x130) /* the one letter whose small form is two characters */
        ok = ok && cp_vec_push(v, 'i') && cp_vec_push(v, 0x307);
    else
        ok = ok && cp_vec_push(v, cp);
    return ok && (!alone || cp_vec_push(v, ' '));
}

static void drop_accents(struct cp_vec *v)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n; i++) {
        if (utf8proc_category(v->cps[i]) != UTF8PROC_CATEGORY_MN)
            v->cps[n++] = v->cps[i];
    }
    v->n = n;
}

static bool clean(const struct tokenizer *t, struct cp_vec *v, struct span text)
{
    size_t n_bytes;
    for (size_t i = 0; i < text.len; i += n_bytes) {
        int32_t cp = utf8_decode(text.ptr + i, text.len - i, &n_bytes);
        if (!clean_char(t, v, cp < 0 ? 0xFFFD : cp))
            return false;
    }
    if (t->strip_accents) {
        if (!unicode_reorder(v))
            return false;
        drop_accents(v);
    }
    for (size_t i = 0; t->lowercase && i < v->n; i++)
        v->cps[i] = utf8proc_tolower(v->cps[i]);
    return true;
}

/* ---- words and pieces ------------------------------------------------------------------------ */

static bool encode_word(const struct tokenizer *t, struct token_vec *out, const int32_t *cps,
                        size_t n, struct buf *word)
{
    if (n > t->word_chars_max)
        return token_vec_push(out, t->unk_id);
    buf_clear(word);
    for (size_t i = 0; i < n; i++) {
        char c[UTF8_MAX_BYTES];
        buf_append(word, c, utf8_encode(c, cps[i]));
    }
    if (word->failed)
        return false;
    size_t n_before = out->n;
    for (size_t i = 0; i < word->len;) {
        int32_t id = vocab_match_word(&t->vocab, span_sub(buf_span(word), i, word->len), i > 0);
        if (id < 0) {
            out->n = n_before;
            return token_vec_push(out, t->unk_id);
        }
        if (!token_vec_push(out, id))
            return false;
        i += t->vocab.len[id];
    }
    return true;
}

enum kt_status wordpiece_encode(const struct tokenizer *t, struct token_vec *out, struct span text,
                                struct kt_error *err)
{
    struct cp_vec v = { 0 };
    struct buf word = { 0 };
    bool ok = clean(t, &v, text);
    for (size_t i = 0, end; ok && i < v.n; i = end) {
        end = i + 1;
        if (is_space(v.cps[i]))
            continue;
        if (!is_punctuation(v.cps[i])) {
            while (end < v.n && !is_space(v.cps[end]) && !is_punctuation(v.cps[end]))
                end++;
        }
        ok = encode_word(t, out, v.cps + i, end - i, &word);
    }
    buf_deinit(&word);
    cp_vec_deinit(&v);
    return ok ? KT_OK : kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
}
