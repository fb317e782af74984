/* What a message says, as one text with images and videos in it: see chat_priv.h. */
#include "text/chat_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/unicode.h"

/* ---- text ------------------------------------------------------------------------------------ */

static bool is_trimmed(int32_t cp)
{
    enum char_class c = cp < 0 ? CC_OTHER : unicode_class(cp);
    return c == CC_SPACE || c == CC_NEWLINE || (cp >= 0x1C && cp <= 0x1F);
}

struct span chat_trim(struct span s)
{
    size_t n_bytes;
    while (s.len && is_trimmed(utf8_decode(s.ptr, s.len, &n_bytes)))
        s = span_sub(s, n_bytes, s.len);
    while (s.len) {
        size_t last = s.len - 1;
        while (last && utf8_is_continuation(s.ptr[last]))
            last--;
        int32_t cp = utf8_decode(s.ptr + last, s.len - last, &n_bytes);
        if (last + n_bytes != s.len || !is_trimmed(cp))
            break;
        s.len = last;
    }
    return s;
}

static size_t find_last(struct span s, struct span needle)
{
    size_t found = SIZE_MAX;
    for (size_t i = span_find(s, needle, 0); i != SIZE_MAX;
         i = span_find(s, needle, i + needle.len))
        found = i;
    return found;
}

void split_thinking(struct span text, struct span *thought, struct span *said)
{
    size_t close = span_find(text, SPAN(NO_THINK), 0);
    *thought = (struct span){ 0 };
    *said = text;
    if (close == SIZE_MAX)
        return;
    struct span before = span_sub(text, 0, close);
    size_t open = find_last(before, SPAN(THINK));
    *thought = chat_trim(open == SIZE_MAX ? before
                                          : span_sub(before, open + sizeof(THINK) - 1, before.len));
    *said = span_sub(text, find_last(text, SPAN(NO_THINK)) + sizeof(NO_THINK) - 1, text.len);
    while (said->len && *said->ptr == '\n')
        *said = span_sub(*said, 1, said->len);
}

/* ---- putting together ------------------------------------------------------------------------ */

static void put_media(struct content *c, const struct chat_part *part, bool numbered,
                      struct media_count *count)
{
    bool video = part->kind == CHAT_PART_VIDEO;
    size_t n = video ? ++count->n_videos : ++count->n_images;
    if (numbered)
        buf_printf(&c->joined, video ? "Video %zu: " : "Picture %zu: ", n);
    size_t start = c->joined.len;
    buf_append_str(&c->joined,
                   video ? VISION_START VIDEO_PAD VISION_END : VISION_START IMAGE_PAD VISION_END);
    c->media[c->n_media++] = (struct content_media){ start, c->joined.len, part };
}

enum kt_status content_init(struct content *c, const struct chat_message *m, bool numbered,
                            struct media_count *count, struct kt_error *err)
{
    *c = (struct content){ .text = m->text };
    if (!m->parts)
        return KT_OK;
    c->media = calloc(m->n_parts ? m->n_parts : 1, sizeof(*c->media));
    for (size_t i = 0; i < m->n_parts && c->media; i++) {
        if (m->parts[i].kind == CHAT_PART_TEXT)
            buf_append_span(&c->joined, m->parts[i].text);
        else
            put_media(c, &m->parts[i], numbered, count);
    }
    c->text = buf_span(&c->joined);
    return c->media && !c->joined.failed ? KT_OK : kt_fail(err, KT_E_NOMEM, "chat: out of memory");
}

void content_deinit(struct content *c)
{
    free(c->media);
    buf_deinit(&c->joined);
}

/* The rules cut at white space and at marks, never inside a wrapper. */
void write_content(struct writer *w, const struct content *c, struct span piece)
{
    size_t from = piece.len ? (size_t)(piece.ptr - c->text.ptr) : 0, to = from + piece.len;
    for (size_t i = 0; i < c->n_media; i++) {
        const struct content_media *m = &c->media[i];
        if (m->start < from || m->end > to)
            continue;
        write_text(w, span_sub(c->text, from, m->start));
        write_media(w, m->part);
        from = m->end;
    }
    write_text(w, span_sub(c->text, from, to));
}
