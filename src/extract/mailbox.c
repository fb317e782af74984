/* Mailboxes (.mbox): messages one after the other, each behind a line "From ...". The mailbox itself gives the list of
 * their subjects; each message is a part.
 *
 * A message begins at the start of the file or after an empty line, with "From " and something that looks like an address
 * and a date: "From " in a text that nobody quoted is taken for one less often so. Lines that were quoted (">From ")
 * are given back as they were. */
#include <string.h>

#include "base/size.h"
#include "extract/extract_priv.h"

/* "From someone@example.org Mon Mar  2 14:05:11 2026": a time of day is in it. */
static bool is_separator(struct span line)
{
    if (!span_starts(line, SPAN("From ")))
        return false;
    for (size_t i = 5; i + 4 < line.len; i++)
        if (line.ptr[i + 2] == ':' && line.ptr[i] >= '0' && line.ptr[i] <= '9' &&
            line.ptr[i + 3] >= '0' && line.ptr[i + 3] <= '9')
            return true;
    return false;
}

static struct span line_at(struct span s, size_t at)
{
    size_t end = MIN(span_find(s, SPAN("\n"), at), s.len);
    struct span line = span_sub(s, at, end);
    if (line.len && line.ptr[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* Where the next message's separator stands, from 'at' on; the end of the file when there is none. */
static size_t next_separator(struct span s, size_t at)
{
    bool empty_before = at == 0;
    while (at < s.len) {
        struct span line = line_at(s, at);
        if (empty_before && is_separator(line))
            return at;
        empty_before = line.len == 0;
        at = MIN(span_find(s, SPAN("\n"), at), s.len);
        at += at < s.len;
    }
    return s.len;
}

static bool is_quoted_from(struct span line)
{
    size_t i = 0;
    while (i < line.len && line.ptr[i] == '>')
        i++;
    return i && span_starts(span_sub(line, i, line.len), SPAN("From "));
}

static void unquote(struct buf *out, struct span s)
{
    for (size_t at = 0; at < s.len;) {
        size_t end = MIN(span_find(s, SPAN("\n"), at), s.len);
        struct span line = span_sub(s, at, MIN(end + 1, s.len));
        buf_append_span(out, is_quoted_from(line) ? span_sub(line, 1, line.len) : line);
        at = end + 1;
    }
}

/* The subject as it stands there, encoded or not: the message's own reading has it clean. For the name, only what is
 * plain. */
static struct span subject_of(struct span message)
{
    for (size_t at = 0; at < message.len;) {
        struct span line = line_at(message, at);
        if (!line.len)
            break;
        if (line.len > 8 &&
            (memcmp(line.ptr, "Subject:", 8) == 0 || memcmp(line.ptr, "subject:", 8) == 0))
            return span_trim(span_sub(line, 8, line.len));
        at = MIN(span_find(message, SPAN("\n"), at), message.len) + 1;
    }
    return (struct span){ 0 };
}

static void message_take(struct builder *b, struct span message)
{
    struct buf plain = { 0 }, name = { 0 };
    struct span subject = subject_of(message);
    unquote(&plain, message);
    buf_printf(&name, "%04zu.eml", b->n_parts + 1);
    if (builder_holds(b, &plain))
        builder_holds(b, &name);
    builder_begin(b, BLOCK_LIST_ITEM);
    builder_text(b, buf_span(&name));
    if (span_find(subject, SPAN("=?"), 0) == SIZE_MAX) { /* not encoded */
        builder_char(b, ' ');
        builder_text(b, subject);
    }
    builder_end(b);
    builder_part(b, buf_span(&name), buf_span(&plain));
    buf_deinit(&plain);
    buf_deinit(&name);
}

void mailbox_parse(struct builder *b, struct span file)
{
    size_t at = next_separator(file, 0);
    if (at == file.len)
        builder_refuse(b, REASON_MAIL_DAMAGED, 0, 0);
    while (at < file.len && builder_ok(b)) {
        size_t begin = MIN(span_find(file, SPAN("\n"), at), file.len);
        begin += begin < file.len;
        at = next_separator(file, begin);
        message_take(b, span_sub(file, begin, at));
    }
}
