/* A layout filled in: see prompt.h. */
#include "text/prompt.h"

#include "text/tok_priv.h"

static enum kt_status flush(const struct tokenizer *t, struct token_vec *out, struct buf *plain,
                            struct kt_error *err)
{
    if (plain->failed)
        return kt_fail(err, KT_E_NOMEM, "prompt: out of memory");
    enum kt_status st = tokenizer_encode(t, out, buf_span(plain), TOK_PLAIN, err);
    buf_clear(plain);
    return st;
}

static const struct prompt_field *field_at(struct span s, const struct prompt_field *fields,
                                           size_t n_fields)
{
    for (size_t i = 0; i < n_fields; i++) {
        if (span_starts(s, fields[i].mark))
            return &fields[i];
    }
    return NULL;
}

enum kt_status prompt_encode(const struct tokenizer *t, struct token_vec *out, struct span layout,
                             const struct prompt_field *fields, size_t n_fields,
                             struct kt_error *err)
{
    struct buf plain = { 0 };
    size_t n_before = out->n;
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < layout.len && !st;) {
        struct span rest = span_sub(layout, i, layout.len);
        const struct prompt_field *field = field_at(rest, fields, n_fields);
        int32_t id = field ? -1 : vocab_match_added(&t->vocab, rest);
        if (field) {
            buf_append_span(&plain, field->text);
            i += field->mark.len;
        } else if (id < 0) {
            buf_append_char(&plain, layout.ptr[i++]);
        } else {
            st = flush(t, out, &plain, err);
            if (!st && !token_vec_push(out, id))
                st = kt_fail(err, KT_E_NOMEM, "prompt: out of memory");
            i += vocab_bytes(&t->vocab, (size_t)id).len;
        }
    }
    if (!st)
        st = flush(t, out, &plain, err);
    if (st)
        out->n = n_before;
    buf_deinit(&plain);
    return st;
}
