/* Tokenizers: opening, the two ways of encoding, and the way back. */
#include "text/tok_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/size.h"
#include "base/utf8.h"
#include "text/unicode.h"

void token_vec_deinit(struct token_vec *v)
{
    free(v->ids);
    *v = (struct token_vec){ 0 };
}

bool token_vec_push(struct token_vec *v, int32_t id)
{
    if (v->n == v->cap) {
        size_t cap = v->cap ? v->cap + v->cap / 2 : 64, bytes;
        int32_t *ids = size_mul(&bytes, cap, sizeof(*ids)) ? realloc(v->ids, bytes) : NULL;
        if (!ids)
            return false;
        v->ids = ids;
        v->cap = cap;
    }
    v->ids[v->n++] = id;
    return true;
}

/* ---- opening --------------------------------------------------------------------------------- */

void tok_add_stop(struct tokenizer *t, int64_t id)
{
    if (id < 0 || (uint64_t)id >= t->vocab.n || t->n_stops == STOPS_MAX)
        return;
    for (size_t i = 0; i < t->n_stops; i++) {
        if (t->stops[i] == id)
            return;
    }
    t->stops[t->n_stops++] = (int32_t)id;
}

void tok_add_stops_of(struct tokenizer *t, const struct model_file *f, const char *key)
{
    const struct meta *m = model_file_meta(f, key);
    if (m && m->type == META_INT)
        tok_add_stop(t, m->i);
    for (size_t i = 0; m && m->type == META_ARR_INT && i < m->n && i < STOPS_MAX; i++)
        tok_add_stop(t, meta_arr_int(m, i));
}

bool tok_looks_like_control(struct span text)
{
    return text.len > 4 && span_starts(text, SPAN("<|")) && span_ends(text, SPAN("|>"));
}

/* What ends an answer besides what the file says: exports of one model disagree about it, and a
 * missed stop goes on talking in the user's name. Only where the token is a control token. */
static void add_usual_stops(struct tokenizer *t)
{
    static const char *const names[] = { "<|im_end|>", "<|endoftext|>", "<|eot_id|>",
                                         "<|end_of_text|>" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        int32_t id = vocab_find_added(&t->vocab, span_of(names[i]));
        if (id >= 0 && t->vocab.flags[id] & TOKEN_CONTROL)
            tok_add_stop(t, id);
    }
}

/* Ids of sound and speech, which Qwen's vocabulary shares with other models and its text models
 * were never trained to write. */
static bool is_foreign(const struct tokenizer *t, size_t id)
{
    static const char *const names[] = { "<|audio_start|>",      "<|audio_end|>",
                                         "<|audio_pad|>",        "<tts_pad>",
                                         "<tts_text_bos>",       "<tts_text_eod>",
                                         "<tts_text_bos_single>" };
    for (size_t i = 0; t->split == SPLIT_QWEN35 && i < ARRAY_LEN(names); i++) {
        if (t->vocab.flags[id] & TOKEN_ADDED && span_eq_str(vocab_bytes(&t->vocab, id), names[i]))
            return true;
    }
    return false;
}

static bool index_samplable(struct tokenizer *t)
{
    t->samplable = calloc(t->vocab.n ? t->vocab.n : 1, 1);
    if (!t->samplable)
        return false;
    for (size_t id = 0; id < t->vocab.n; id++) {
        unsigned flags = t->vocab.flags[id];
        t->samplable[id] = flags & TOKEN_EXISTS && !(flags & TOKEN_UNUSED) && !is_foreign(t, id);
    }
    return true;
}

/* What follows from the vocabulary, whatever it was read from. */
static enum kt_status finish(struct tokenizer *t, struct kt_error *err)
{
    add_usual_stops(t);
    if (!index_samplable(t))
        return kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
    if (t->family == TOK_WORDPIECE)
        snprintf(t->kind, sizeof(t->kind), "wordpiece");
    else
        snprintf(t->kind, sizeof(t->kind), "bpe/%s", split_name(t->split));
    return KT_OK;
}

/* 'f' or 'json'; the other is NULL. */
static enum kt_status open_either(struct tokenizer **out, const struct model_file *f,
                                  const struct span *json, const char *name, struct kt_error *err)
{
    *out = NULL;
    struct tokenizer *t = calloc(1, sizeof(*t));
    if (!t)
        return kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
    enum kt_status st;
    if (json)
        st = tok_parse_json(t, *json, name, err);
    else if (model_file_container(f) == MODEL_GGUF)
        st = tok_load_gguf(t, f, err);
    else
        st = tok_load_json(t, f, err);
    if (!st)
        st = finish(t, err);
    if (st) {
        tokenizer_close(t);
        return st;
    }
    *out = t;
    return KT_OK;
}

enum kt_status tokenizer_open(struct tokenizer **out, const struct model_file *f,
                              struct kt_error *err)
{
    return open_either(out, f, NULL, NULL, err);
}

enum kt_status tokenizer_open_json(struct tokenizer **out, struct span json, const char *name,
                                   struct kt_error *err)
{
    return open_either(out, NULL, &json, name, err);
}

void tokenizer_close(struct tokenizer *t)
{
    if (!t)
        return;
    vocab_deinit(&t->vocab);
    bpe_deinit(&t->bpe);
    free(t->samplable);
    free(t->template);
    free(t);
}

/* ---- encoding -------------------------------------------------------------------------------- */

static enum kt_status encode_pieces(const struct tokenizer *t, struct token_vec *out,
                                    struct span text, struct kt_error *err)
{
    struct bpe_scratch scratch = { 0 };
    bool ok = true;
    for (size_t i = 0, end; ok && i < text.len; i = end) {
        end = split_next(t->split, text, i);
        ok = bpe_encode(&t->bpe, &t->vocab, &scratch, out, span_sub(text, i, end));
    }
    bpe_scratch_deinit(&scratch);
    return ok ? KT_OK : kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
}

static enum kt_status encode_bpe(const struct tokenizer *t, struct token_vec *out, struct span text,
                                 struct kt_error *err)
{
    if (!t->nfc || unicode_nfc_is_safe(text))
        return encode_pieces(t, out, text, err);
    struct buf normal = { 0 };
    enum kt_status st = unicode_nfc(&normal, text)
                            ? encode_pieces(t, out, buf_span(&normal), err)
                            : kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
    buf_deinit(&normal);
    return st;
}

static enum kt_status encode_plain(const struct tokenizer *t, struct token_vec *out,
                                   struct span text, struct kt_error *err)
{
    if (!text.len)
        return KT_OK;
    return t->family == TOK_WORDPIECE ? wordpiece_encode(t, out, text, err)
                                      : encode_bpe(t, out, text, err);
}

static bool is_space(enum char_class c)
{
    return c == CC_SPACE || c == CC_NEWLINE;
}

/* Where the white space that ends text[from..to) begins. */
static size_t space_before(struct span text, size_t from, size_t to)
{
    size_t n_bytes;
    while (to > from) {
        size_t last = to - 1;
        while (last > from && utf8_is_continuation(text.ptr[last]))
            last--;
        if (!is_space(unicode_class_at(text.ptr + last, to - last, &n_bytes)) ||
            last + n_bytes != to)
            break;
        to = last;
    }
    return to;
}

static size_t space_after(struct span text, size_t from)
{
    size_t n_bytes;
    while (from < text.len &&
           is_space(unicode_class_at(text.ptr + from, text.len - from, &n_bytes)))
        from += n_bytes;
    return from;
}

/* Added tokens cut the text: the leftmost first, of several at one place the longest. */
static enum kt_status encode_special(const struct tokenizer *t, struct token_vec *out,
                                     struct span text, struct kt_error *err)
{
    size_t from = 0;
    for (size_t i = 0; i < text.len;) {
        int32_t id = vocab_match_added(&t->vocab, span_sub(text, i, text.len));
        if (id < 0) {
            i++;
            continue;
        }
        unsigned flags = t->vocab.flags[id];
        size_t end = flags & TOKEN_LSTRIP ? space_before(text, from, i) : i;
        enum kt_status st = encode_plain(t, out, span_sub(text, from, end), err);
        if (st)
            return st;
        if (!token_vec_push(out, id))
            return kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
        i += t->vocab.len[id];
        if (flags & TOKEN_RSTRIP)
            i = space_after(text, i);
        from = i;
    }
    return encode_plain(t, out, span_sub(text, from, text.len), err);
}

static bool push_all(struct token_vec *out, const int32_t *ids, size_t n)
{
    bool ok = true;
    for (size_t i = 0; ok && i < n; i++)
        ok = token_vec_push(out, ids[i]);
    return ok;
}

enum kt_status tokenizer_encode(const struct tokenizer *t, struct token_vec *out, struct span text,
                                unsigned mode, struct kt_error *err)
{
    if (text.len > INT32_MAX / 4) /* NFC may make a text three times as long */
        return kt_fail(err, KT_E_LIMIT, "tokenizer: a text of %zu bytes, at most %d at a time",
                       text.len, INT32_MAX / 4);
    size_t n_before = out->n;
    bool frame = mode & TOK_FRAME;
    enum kt_status st = KT_OK;
    if (frame && !push_all(out, t->before, t->n_before))
        st = kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
    if (!st)
        st = mode & TOK_SPECIAL ? encode_special(t, out, text, err)
                                : encode_plain(t, out, text, err);
    if (!st && frame && !push_all(out, t->after, t->n_after))
        st = kt_fail(err, KT_E_NOMEM, "tokenizer: out of memory");
    if (st)
        out->n = n_before;
    return st;
}

/* ---- decoding -------------------------------------------------------------------------------- */

struct span tokenizer_bytes(const struct tokenizer *t, int32_t id, bool with_control)
{
    if (id < 0 || (size_t)id >= t->vocab.n)
        return (struct span){ 0 };
    unsigned flags = t->vocab.flags[id];
    if (flags & TOKEN_UNUSED || (flags & TOKEN_CONTROL && !with_control))
        return (struct span){ 0 };
    struct span bytes = vocab_bytes(&t->vocab, (size_t)id);
    if (t->family == TOK_WORDPIECE && bytes.len && !(flags & TOKEN_CONTINUES)) {
        bytes.ptr--; /* a space stands before every word, see tok_set_word() */
        bytes.len++;
    }
    return bytes;
}

void tokenizer_decode(const struct tokenizer *t, struct buf *out, const int32_t *ids, size_t n,
                      bool with_control)
{
    for (size_t i = 0; i < n; i++)
        buf_append_span(out, tokenizer_bytes(t, ids[i], with_control));
}

void token_stream_push(struct token_stream *s, const struct tokenizer *t, struct buf *out,
                       int32_t id)
{
    struct span bytes = tokenizer_bytes(t, id, false);
    /* A held beginning is completed byte by byte; the rest is then looked at in one go. */
    while (s->n_held && bytes.len) {
        s->held[s->n_held++] = *bytes.ptr++;
        bytes.len--;
        struct span held = { s->held, s->n_held };
        if (utf8_torn_tail(held) == held.len)
            continue;
        size_t keep = utf8_torn_tail(held);
        utf8_repair(out, span_sub(held, 0, held.len - keep));
        memmove(s->held, s->held + held.len - keep, keep);
        s->n_held = keep;
    }
    if (!bytes.len)
        return;
    size_t keep = utf8_torn_tail(bytes);
    utf8_repair(out, span_sub(bytes, 0, bytes.len - keep));
    memcpy(s->held, bytes.ptr + bytes.len - keep, keep);
    s->n_held = keep;
}

void token_stream_finish(struct token_stream *s, struct buf *out)
{
    utf8_repair(out, (struct span){ s->held, s->n_held });
    s->n_held = 0;
}

/* ---- questions ------------------------------------------------------------------------------- */

size_t tokenizer_n_vocab(const struct tokenizer *t)
{
    return t->vocab.n;
}

int32_t tokenizer_find(const struct tokenizer *t, struct span text)
{
    int32_t id = vocab_find_added(&t->vocab, text);
    return id >= 0 ? id : vocab_find(&t->vocab, text, false);
}

bool tokenizer_is_control(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->vocab.n && t->vocab.flags[id] & TOKEN_CONTROL;
}

const int32_t *tokenizer_stops(const struct tokenizer *t, size_t *n)
{
    *n = t->n_stops;
    return t->stops;
}

bool tokenizer_is_samplable(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && (size_t)id < t->vocab.n && t->samplable[id];
}

const char *tokenizer_kind(const struct tokenizer *t)
{
    return t->kind;
}

struct span tokenizer_chat_template(const struct tokenizer *t)
{
    return span_of(t->template);
}
