/* Writing what tok_gguf.c reads. The vocabulary in memory is plain bytes; here they get back the
 * spelling that files use: byte-level vocabularies one printable character a byte, WordPiece a
 * U+2581 before words and nothing before inner pieces. */
#include "text/tok_export.h"

#include <stdio.h>
#include <stdlib.h>

#include "text/tok_priv.h"

#define WORD_START "\xE2\x96\x81" /* U+2581 */

enum { TYPE_NORMAL = 1, TYPE_CONTROL = 3, TYPE_USER = 4, TYPE_UNUSED = 5 };

static int32_t type_of(unsigned flags)
{
    if (!flags || flags & TOKEN_UNUSED)
        return TYPE_UNUSED;
    if (flags & TOKEN_CONTROL)
        return TYPE_CONTROL;
    return flags & TOKEN_ADDED ? TYPE_USER : TYPE_NORMAL;
}

/* The spelling of each byte, found by asking for the byte of each character that may be one. */
struct spelling {
    char text[256][3];
    uint8_t len[256];
};

static bool spelling_init(struct spelling *s)
{
    struct buf byte = { 0 };
    size_t n_found = 0;
    *s = (struct spelling){ 0 };
    for (uint32_t cp = 1; cp < 0x180; cp++) {
        char c[2] = { (char)cp, 0 };
        size_t len = 1;
        if (cp >= 0x80) {
            c[0] = (char)(0xC0 | cp >> 6);
            c[1] = (char)(0x80 | (cp & 63));
            len = 2;
        }
        buf_clear(&byte);
        if (!byte_level_undo(&byte, (struct span){ c, len }) || byte.failed)
            continue;
        uint8_t b = (uint8_t)byte.ptr[0];
        s->text[b][0] = c[0];
        s->text[b][1] = c[1];
        s->len[b] = (uint8_t)len;
        n_found++;
    }
    buf_deinit(&byte);
    return n_found == 256;
}

static void spell(struct buf *out, const struct spelling *s, struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t b = (uint8_t)bytes.ptr[i];
        buf_append(out, s->text[b], s->len[b]);
    }
}

static void spell_token(struct buf *out, const struct tokenizer *t, const struct spelling *s,
                        size_t id)
{
    struct span bytes = vocab_bytes(&t->vocab, id);
    unsigned flags = t->vocab.flags[id];
    bool bracketed = span_starts(bytes, SPAN("[")) && span_ends(bytes, SPAN("]")) && bytes.len > 2;
    if (t->family == TOK_BPE && !(flags & (TOKEN_ADDED | TOKEN_UNUSED))) {
        spell(out, s, bytes);
        return;
    }
    if (t->family == TOK_WORDPIECE && !bracketed &&
        !(flags & (TOKEN_ADDED | TOKEN_UNUSED | TOKEN_CONTINUES)))
        buf_append_str(out, WORD_START);
    buf_append_span(out, bytes);
}

static enum kt_status no_memory(struct kt_error *err)
{
    return kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
}

static enum kt_status put_tokens(const struct tokenizer *t, struct gguf_write *w,
                                 const struct spelling *s, size_t n, struct kt_error *err)
{
    struct buf text = { 0 };
    int32_t *types = malloc(n * sizeof(*types));
    gguf_write_arr_str(w, "tokenizer.ggml.tokens", n);
    for (size_t id = 0; types && id < n; id++) {
        types[id] = id < t->vocab.n ? type_of(t->vocab.flags[id]) : TYPE_UNUSED;
        buf_clear(&text);
        if (types[id] == TYPE_UNUSED && (id >= t->vocab.n || !t->vocab.flags[id]))
            buf_printf(&text, "[PAD%zu]", id);
        else
            spell_token(&text, t, s, id);
        gguf_write_arr_str_item(w, buf_span(&text));
    }
    enum kt_status st = !types || text.failed ? no_memory(err) : KT_OK;
    if (!st)
        gguf_write_arr_i32(w, "tokenizer.ggml.token_type", types, n);
    buf_deinit(&text);
    free(types);
    return st;
}

static enum kt_status put_merges(const struct tokenizer *t, struct gguf_write *w,
                                 const struct spelling *s, struct kt_error *err)
{
    struct buf text = { 0 };
    gguf_write_arr_str(w, "tokenizer.ggml.merges", t->bpe.n_merges);
    for (size_t i = 0; i < t->bpe.n_merges; i++) {
        const struct merge *m = &t->bpe.merges[i];
        buf_clear(&text);
        spell(&text, s, vocab_bytes(&t->vocab, (size_t)m->left));
        buf_append_char(&text, ' ');
        spell(&text, s, vocab_bytes(&t->vocab, (size_t)m->right));
        gguf_write_arr_str_item(w, buf_span(&text));
    }
    enum kt_status st = text.failed ? no_memory(err) : KT_OK;
    buf_deinit(&text);
    return st;
}

static const char *pre_of(enum split_kind k)
{
    switch (k) {
    case SPLIT_GPT2:
        return "gpt-2";
    case SPLIT_LLAMA3:
        return "llama-bpe";
    default:
        return split_name(k);
    }
}

/* What ends an answer, under the keys that readers look at. A text's own end token is first: it is
 * the one that add_eos_token adds. */
static void put_ends(const struct tokenizer *t, struct gguf_write *w)
{
    static const char *const KEYS[] = { "tokenizer.ggml.eos_token_id",
                                        "tokenizer.ggml.eot_token_id",
                                        "tokenizer.ggml.eom_token_id" };
    size_t n = 0, n_keys = sizeof(KEYS) / sizeof(*KEYS);
    int32_t first = t->n_after ? t->after[0] : -1;
    if (first >= 0)
        gguf_write_u32(w, KEYS[n++], (uint32_t)first);
    for (size_t i = 0; i < t->n_stops && n < n_keys; i++) {
        if (t->stops[i] != first)
            gguf_write_u32(w, KEYS[n++], (uint32_t)t->stops[i]);
    }
}

static void put_bpe_frame(const struct tokenizer *t, struct gguf_write *w)
{
    if (t->n_before)
        gguf_write_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)t->before[0]);
    gguf_write_bool(w, "tokenizer.ggml.add_bos_token", t->n_before > 0);
    gguf_write_bool(w, "tokenizer.ggml.add_eos_token", t->n_after > 0);
    put_ends(t, w);
}

static void put_wordpiece_frame(const struct tokenizer *t, struct gguf_write *w)
{
    gguf_write_u32(w, "tokenizer.ggml.unknown_token_id", (uint32_t)t->unk_id);
    if (t->n_before) {
        gguf_write_u32(w, "tokenizer.ggml.bos_token_id", (uint32_t)t->before[0]);
        gguf_write_u32(w, "tokenizer.ggml.cls_token_id", (uint32_t)t->before[0]);
    }
    if (t->n_after) /* the misspelling is the key's name */
        gguf_write_u32(w, "tokenizer.ggml.seperator_token_id", (uint32_t)t->after[0]);
    int32_t pad = tokenizer_find(t, SPAN("[PAD]")), mask = tokenizer_find(t, SPAN("[MASK]"));
    if (pad >= 0)
        gguf_write_u32(w, "tokenizer.ggml.padding_token_id", (uint32_t)pad);
    if (mask >= 0)
        gguf_write_u32(w, "tokenizer.ggml.mask_token_id", (uint32_t)mask);
}

static enum kt_status check_expressible(const struct tokenizer *t, struct kt_error *err)
{
    if (t->n_before > 1 || t->n_after > 1)
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "the tokenizer puts several tokens around a text; a GGUF file names one");
    if (t->family == TOK_WORDPIECE && (!t->lowercase || !t->strip_accents || !t->split_cjk ||
                                       !t->clean || t->word_chars_max != WORD_CHARS))
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "the tokenizer keeps capitals or accents; readers of GGUF files take every "
                       "WordPiece vocabulary for one that does not");
    bool nfc = t->split == SPLIT_QWEN2 || t->split == SPLIT_QWEN35;
    if (t->family == TOK_BPE && (t->nfc != nfc || t->bpe.whole_first != (t->split == SPLIT_LLAMA3)))
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "the tokenizer splits as %s and normalises or merges otherwise, which a "
                       "GGUF file has no place for",
                       split_name(t->split));
    return KT_OK;
}

enum kt_status tokenizer_export(const struct tokenizer *t, struct gguf_write *w, size_t n_vocab,
                                struct kt_error *err)
{
    struct spelling s;
    enum kt_status st = check_expressible(t, err);
    if (st)
        return st;
    if (!spelling_init(&s))
        return no_memory(err);
    if (t->vocab.n > n_vocab)
        return kt_fail(err, KT_E_FORMAT,
                       "the tokenizer has ids up to %zu, the model's embedding %zu rows; they do "
                       "not belong together",
                       t->vocab.n - 1, n_vocab);
    bool bpe = t->family == TOK_BPE;
    gguf_write_str(w, "tokenizer.ggml.model", bpe ? SPAN("gpt2") : SPAN("bert"));
    if (bpe)
        gguf_write_str(w, "tokenizer.ggml.pre", span_of(pre_of(t->split)));
    st = put_tokens(t, w, &s, n_vocab, err);
    if (!st && bpe)
        st = put_merges(t, w, &s, err);
    if (st)
        return st;
    if (bpe)
        put_bpe_frame(t, w);
    else
        put_wordpiece_frame(t, w);
    if (t->template)
        gguf_write_str(w, "tokenizer.chat_template", span_of(t->template));
    return KT_OK;
}
