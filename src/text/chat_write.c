/* Writing pieces of a layout, as text or as tokens: see chat_priv.h. */
#include "text/chat_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "text/tok_priv.h"

void write_text(struct writer *w, struct span s)
{
    buf_append_span(w->text, s);
}

void write_str(struct writer *w, const char *s)
{
    buf_append_str(w->text, s);
}

void write_pending(struct writer *w)
{
    if (w->text->failed && !w->st)
        w->st = kt_fail(w->err, KT_E_NOMEM, "chat: out of memory");
    if (w->st || !w->ids)
        return;
    w->st = tokenizer_encode(w->t, w->ids, buf_span(w->text), TOK_PLAIN, w->err);
    buf_clear(w->text);
}

void write_control(struct writer *w, const char *name)
{
    if (!w->ids) {
        write_str(w, name);
        return;
    }
    write_pending(w);
    int32_t id = vocab_find_added(&w->t->vocab, span_of(name));
    if (w->st)
        return;
    if (id < 0)
        w->st = kt_fail(w->err, KT_E_UNSUPPORTED, "chat: the vocabulary has no %s", name);
    else if (!token_vec_push(w->ids, id))
        w->st = kt_fail(w->err, KT_E_NOMEM, "chat: out of memory");
}

void write_marked(struct writer *w, struct span s)
{
    static const char *const MARKS[] = { TOOL_CALL, TOOL_CALL_END };
    size_t from = 0;
    for (size_t i = 0; i < s.len; i++) {
        for (size_t k = 0; k < ARRAY_LEN(MARKS); k++) {
            if (!span_starts(span_sub(s, i, s.len), span_of(MARKS[k])))
                continue;
            write_text(w, span_sub(s, from, i));
            write_control(w, MARKS[k]);
            from = i + strlen(MARKS[k]);
        }
    }
    write_text(w, span_sub(s, from, s.len));
}

static bool note_media(struct chat_seen *seen, size_t media_idx)
{
    if (seen->n == seen->cap) {
        size_t cap = seen->cap ? seen->cap * 2 : 8;
        size_t *idx = realloc(seen->media_idx, cap * sizeof(*idx));
        if (!idx)
            return false;
        seen->media_idx = idx;
        seen->cap = cap;
    }
    seen->media_idx[seen->n++] = media_idx;
    return true;
}

void chat_seen_deinit(struct chat_seen *seen)
{
    free(seen->media_idx);
    *seen = (struct chat_seen){ 0 };
}

static void write_pads(struct writer *w, const char *pad, size_t n)
{
    write_control(w, VISION_START);
    for (size_t i = 0; i < n && !w->st; i++)
        write_control(w, pad);
    write_control(w, VISION_END);
}

/* Each pair of frames has its own wrapper, after its time; together they take the place of the video's
 * one. */
static void write_pairs(struct writer *w, const struct chat_part *part)
{
    for (size_t i = 0; i < part->n_pairs && !w->st; i++) {
        char time[48];
        snprintf(time, sizeof(time), "<%.1f seconds>", part->seconds[i]);
        char *comma = strchr(time, ','); /* a host program's locale */
        if (comma)
            *comma = '.';
        write_str(w, time);
        write_pads(w, VIDEO_PAD, part->n_pads);
    }
}

void write_media(struct writer *w, const struct chat_part *part)
{
    bool video = part->kind == CHAT_PART_VIDEO;
    if (part->n_pads == 0)
        write_pads(w, video ? VIDEO_PAD : IMAGE_PAD, 1);
    else if (video)
        write_pairs(w, part);
    else
        write_pads(w, IMAGE_PAD, part->n_pads);
    if (!w->st && w->seen && !note_media(w->seen, part->media_idx))
        w->st = kt_fail(w->err, KT_E_NOMEM, "chat: out of memory");
}
