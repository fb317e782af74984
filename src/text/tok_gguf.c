/* Reading a tokenizer from GGUF metadata: parallel arrays of tokens and their types, and the merges
 * as "left right" strings. The splitting rule is a name, tokenizer.ggml.pre.
 *
 * Two differences from the files these were converted from are undone here. NFC is not written
 * down, so it follows from the rule (qwen2, qwen35). And a WordPiece vocabulary is spelled the
 * other way round: words begin with U+2581, inner pieces have nothing. */
#include "text/tok_priv.h"

#include <stdlib.h>
#include <string.h>

/* tokenizer.ggml.token_type */
enum {
    TYPE_NORMAL = 1,
    TYPE_UNKNOWN = 2,
    TYPE_CONTROL = 3,
    TYPE_USER = 4,
    TYPE_UNUSED = 5,
    TYPE_BYTE = 6
};

#define WORD_START "\xE2\x96\x81" /* U+2581 */

static unsigned flags_of(int64_t type, struct span text)
{
    switch (type) {
    case TYPE_CONTROL:
    case TYPE_UNKNOWN:
        return TOKEN_ADDED | TOKEN_CONTROL;
    case TYPE_USER:
        return TOKEN_ADDED | (tok_looks_like_control(text) ? TOKEN_CONTROL : 0u);
    case TYPE_UNUSED:
        return TOKEN_UNUSED;
    default:
        return 0;
    }
}

static bool set_word(struct vocab *v, size_t id, struct span text, unsigned flags)
{
    bool bracketed = span_starts(text, SPAN("[")) && span_ends(text, SPAN("]")) && text.len > 2;
    if (flags || bracketed) /* [CLS], [unused7] are spelled as they are */
        return wordpiece_set(v, id, text, flags);
    if (span_starts(text, SPAN(WORD_START)))
        return wordpiece_set(v, id, span_sub(text, sizeof(WORD_START) - 1, text.len), 0);
    return wordpiece_set(v, id, text, TOKEN_CONTINUES);
}

static bool set_spelled(struct vocab *v, size_t id, struct span text, unsigned flags,
                        struct buf *bytes)
{
    buf_clear(bytes);
    if (flags || !byte_level_undo(bytes, text)) /* added tokens are literal text */
        return vocab_set(v, id, text, flags);
    return !bytes->failed && vocab_set(v, id, buf_span(bytes), flags);
}

static enum kt_status read_tokens(struct tokenizer *t, const struct model_file *f,
                                  struct kt_error *err)
{
    const char *path = model_file_path(f);
    const struct meta *tokens = model_file_meta(f, "tokenizer.ggml.tokens"),
                      *types = model_file_meta(f, "tokenizer.ggml.token_type");
    if (!tokens || tokens->type != META_ARR_STR || !tokens->n || tokens->n > VOCAB_MAX)
        return kt_fail(err, KT_E_FORMAT,
                       "%s: tokenizer.ggml.tokens is missing, empty, or longer than %d", path,
                       VOCAB_MAX);
    if (!types || types->type != META_ARR_INT || types->n != tokens->n)
        return kt_fail(err, KT_E_FORMAT,
                       "%s: tokenizer.ggml.token_type is missing or not as long as the %zu tokens",
                       path, tokens->n);
    if (!vocab_init(&t->vocab, tokens->n))
        return kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
    struct buf bytes = { 0 };
    bool ok = true;
    for (size_t id = 0; ok && id < tokens->n; id++) {
        struct span text = meta_arr_str(tokens, id);
        unsigned flags = flags_of(meta_arr_int(types, id), text);
        ok = t->family == TOK_WORDPIECE ? set_word(&t->vocab, id, text, flags)
                                        : set_spelled(&t->vocab, id, text, flags, &bytes);
    }
    buf_deinit(&bytes);
    if (!ok || !vocab_index(&t->vocab))
        return kt_fail(err, KT_E_LIMIT,
                       "%s: the tokens need too much memory, or one is longer than %d bytes", path,
                       TOKEN_BYTES_MAX);
    return KT_OK;
}

static enum kt_status read_merges(struct tokenizer *t, const struct model_file *f,
                                  struct kt_error *err)
{
    const char *path = model_file_path(f);
    const struct meta *merges = model_file_meta(f, "tokenizer.ggml.merges");
    if (!merges || merges->type != META_ARR_STR)
        return kt_fail(err, KT_E_FORMAT, "%s: tokenizer.ggml.merges is missing", path);
    enum kt_status st = bpe_init(&t->bpe, &t->vocab, merges->n, err);
    struct buf left = { 0 }, right = { 0 };
    for (size_t i = 0; !st && i < merges->n; i++) {
        struct span both = meta_arr_str(merges, i);
        size_t space = span_find(both, SPAN(" "), 1); /* from 1: neither half is empty */
        buf_clear(&left);
        buf_clear(&right);
        if (space == SIZE_MAX || !byte_level_undo(&left, span_sub(both, 0, space)) ||
            !byte_level_undo(&right, span_sub(both, space + 1, both.len)) || !right.len)
            st = kt_fail(err, KT_E_FORMAT,
                         "%s: tokenizer.ggml.merges[%zu] is not a pair of byte-level tokens", path,
                         i);
        else if (left.failed || right.failed)
            st = kt_fail(err, KT_E_NOMEM, "%s: out of memory", path);
        else
            st = bpe_add(&t->bpe, &t->vocab, buf_span(&left), buf_span(&right), err);
    }
    buf_deinit(&left);
    buf_deinit(&right);
    return st;
}

static enum kt_status load_bpe(struct tokenizer *t, const struct model_file *f,
                               struct kt_error *err)
{
    struct span pre = model_file_str(f, "tokenizer.ggml.pre");
    t->family = TOK_BPE;
    t->split = split_by_pre(pre);
    if (t->split == SPLIT_UNKNOWN)
        return kt_fail(
            err, KT_E_UNSUPPORTED,
            "%s: tokenizer.ggml.pre is %s, expected gpt-2, smollm, qwen2, qwen35 or llama-bpe; "
            "without the right one every text would be cut wrongly",
            model_file_path(f), pre.len ? "another" : "missing");
    t->nfc = t->split == SPLIT_QWEN2 || t->split == SPLIT_QWEN35;
    enum kt_status st = read_tokens(t, f, err);
    if (!st)
        st = read_merges(t, f, err);
    t->bpe.whole_first = t->split == SPLIT_LLAMA3;
    return st;
}

static enum kt_status load_wordpiece(struct tokenizer *t, const struct model_file *f,
                                     struct kt_error *err)
{
    t->family = TOK_WORDPIECE;
    t->clean = t->split_cjk = t->lowercase = t->strip_accents = true;
    t->word_chars_max = WORD_CHARS;
    enum kt_status st = read_tokens(t, f, err);
    if (st)
        return st;
    int64_t unk =
        model_file_int(f, "tokenizer.ggml.unknown_token_id", tokenizer_find(t, SPAN("[UNK]")));
    if (unk < 0 || (uint64_t)unk >= t->vocab.n)
        return kt_fail(err, KT_E_FORMAT, "%s: there is no unknown token ([UNK])",
                       model_file_path(f));
    t->unk_id = (int32_t)unk;
    return KT_OK;
}

/* ---- what stands around a text, and what ends an answer -------------------------------------- */

static void add_frame(struct tokenizer *t, bool after, int64_t id)
{
    if (id < 0 || (uint64_t)id >= t->vocab.n)
        return;
    if (after)
        t->after[t->n_after++] = (int32_t)id;
    else
        t->before[t->n_before++] = (int32_t)id;
}

static void read_frame(struct tokenizer *t, const struct model_file *f)
{
    bool bert = t->family == TOK_WORDPIECE;
    int64_t bos = model_file_int(f, "tokenizer.ggml.bos_token_id", -1),
            eos = model_file_int(f, "tokenizer.ggml.eos_token_id", -1);
    /* The key really is misspelled in most files. */
    int64_t sep = model_file_int(f, "tokenizer.ggml.seperator_token_id",
                                 model_file_int(f, "tokenizer.ggml.separator_token_id", eos));
    if (bert) {
        add_frame(t, false,
                  model_file_int(f, "tokenizer.ggml.cls_token_id",
                                 bos >= 0 ? bos : tokenizer_find(t, SPAN("[CLS]"))));
        add_frame(t, true, sep >= 0 ? sep : tokenizer_find(t, SPAN("[SEP]")));
        return;
    }
    if (model_file_bool(f, "tokenizer.ggml.add_bos_token", t->split == SPLIT_LLAMA3))
        add_frame(t, false, bos);
    if (model_file_bool(f, "tokenizer.ggml.add_eos_token", false))
        add_frame(t, true, eos);
}

enum kt_status tok_load_gguf(struct tokenizer *t, const struct model_file *f, struct kt_error *err)
{
    struct span model = model_file_str(f, "tokenizer.ggml.model");
    enum kt_status st;
    if (span_eq_str(model, "gpt2"))
        st = load_bpe(t, f, err);
    else if (span_eq_str(model, "bert"))
        st = load_wordpiece(t, f, err);
    else
        st = kt_fail(
            err, model.len ? KT_E_UNSUPPORTED : KT_E_NOTFOUND,
            "%s: tokenizer.ggml.model is %s, expected gpt2 (byte-level BPE) or bert (WordPiece)",
            model_file_path(f), model.len ? "another" : "missing");
    if (st)
        return st;
    read_frame(t, f);
    tok_add_stops_of(t, f, "tokenizer.ggml.eos_token_id");
    tok_add_stops_of(t, f, "tokenizer.ggml.eot_token_id");
    tok_add_stops_of(t, f, "tokenizer.ggml.eom_token_id");
    struct span text = model_file_str(f, "tokenizer.chat_template");
    if (!text.len || text.len > TEMPLATE_MAX)
        return KT_OK;
    t->template = strndup(text.ptr, text.len);
    return t->template ? KT_OK : kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
}
