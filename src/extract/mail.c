/* One mail (.eml): MIME, taken apart by GMime.
 *
 * Blocks: the head (From, To, Cc, Date, Subject) as the head of a letter, the text, then the names of what is attached. Of
 * alternatives the plain text is taken, and HTML when there is none. Character sets are decoded by charset.c, like those
 * of any other text. Attachments are parts, mails among them as .eml; pictures that only stand inside an HTML text
 * (a company's logo) and signatures of the mail itself are left out. */
#include <iconv.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"
#include "extract/cards.h"
#include "extract/extract_priv.h"
#include "extract/gmime_api.h"
#include "extract/mapi.h"

struct mail {
    struct builder *b;
    const struct gmime_api *g;
    bool has_text; /* found so far */
};

/* GMime decodes headers through iconv, which may load nothing once the walls are up: what is open then has its tables. */
static const char *const header_charsets[] = { "iso-8859-1", "iso-8859-15",  "windows-1252",
                                               "utf-8",      "us-ascii",     "iso-8859-2",
                                               "koi8-r",     "windows-1250", "windows-1251",
                                               "utf-16" };
static iconv_t header_converters[ARRAY_LEN(header_charsets)]; /* never closed */

void mail_prepare(void)
{
    static bool done;
    if (done || !gmime_api())
        return;
    done = true;
    for (size_t i = 0; i < ARRAY_LEN(header_charsets); i++)
        header_converters[i] = iconv_open("UTF-8", header_charsets[i]);
}

static bool is_a(const struct mail *m, void *object, size_t type)
{
    return m->g->type_check_instance_is_a(object, type) != 0;
}

static bool is_type(const struct mail *m, void *object, const char *major, const char *minor)
{
    void *type = m->g->object_get_content_type(object);
    return type && m->g->content_type_is_type(type, major, minor);
}

/* ---- the head ------------------------------------------------------------------------------- */

static void head(struct mail *m, void *message)
{
    static const char *const names[] = { "From", "To", "Cc", "Date", "Subject" };
    bool any = false;
    builder_begin(m->b, BLOCK_HEADER);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct span value = span_trim(span_of(m->g->object_get_header(message, names[i])));
        if (!value.len)
            continue;
        if (any)
            builder_char(m->b, '\n');
        any = true;
        builder_text(m->b, span_of(names[i]));
        builder_text(m->b, SPAN(": "));
        builder_text(m->b, value);
    }
    builder_end(m->b);
    builder_title(m->b, span_of(m->g->object_get_header(message, "Subject")));
}

/* ---- what a part holds ---------------------------------------------------------------------- */

/* The bytes of a part, its transfer encoding undone; a new stream that holds them, NULL when it is empty. */
static void *content_of(struct mail *m, void *part, struct span *bytes)
{
    void *content = m->g->part_get_content(part);
    void *stream = content ? m->g->stream_mem_new() : NULL;
    *bytes = (struct span){ 0 };
    if (!stream)
        return NULL;
    m->g->data_wrapper_write_to_stream(content, stream);
    struct gmime_bytes *array = m->g->stream_mem_get_byte_array(stream);
    if (array && array->data)
        *bytes = (struct span){ (const char *)array->data, array->len };
    return stream;
}

static void text_part(struct mail *m, void *part)
{
    struct span bytes;
    void *stream = content_of(m, part, &bytes);
    struct span label =
        span_of(m->g->content_type_get_parameter(m->g->object_get_content_type(part), "charset"));
    struct buf utf8 = { 0 };
    struct refusal why;
    size_t n_before = m->b->n_blocks;
    if (bytes.len && !charset_decode(&utf8, bytes, label, &why)) {
        if (why.reason == REASON_NOMEM) /* a text that is none is no reason to lose the rest */
            builder_refuse(m->b, why.reason, why.a, why.b);
    } else if (is_type(m, part, "text", "html")) {
        html_parse(m->b, buf_span(&utf8));
    } else {
        text_parse(m->b, buf_span(&utf8));
    }
    builder_end(m->b);
    m->has_text |= m->b->n_blocks > n_before;
    buf_deinit(&utf8);
    if (stream)
        m->g->unref(stream);
}

/* A mail's files lie beside each other: what looks like a folder is none. */
static void name_append(struct buf *name, struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        buf_append_char(name, s.ptr[i] == '/' ? '_' : s.ptr[i]);
}

/* An attached file; 'message': an attached mail, which is written out. */
static void attachment(struct mail *m, void *part, void *message)
{
    struct span bytes = { 0 };
    void *stream = NULL;
    struct buf name = { 0 };
    if (message) {
        stream = m->g->stream_mem_new();
        if (stream && m->g->object_write_to_stream(message, NULL, stream) >= 0) {
            struct gmime_bytes *array = m->g->stream_mem_get_byte_array(stream);
            bytes = (struct span){ (const char *)array->data, array->len };
        }
        name_append(&name, span_sub(span_of(m->g->object_get_header(message, "Subject")), 0, 120));
        buf_append_str(&name, name.len ? ".eml" : "message.eml");
    } else {
        stream = content_of(m, part, &bytes);
        name_append(&name, span_of(m->g->part_get_filename(part)));
    }
    if (builder_holds(m->b, &name) && bytes.len && builder_part(m->b, buf_span(&name), bytes))
        builder_part_shown(m->b);
    buf_deinit(&name);
    if (stream)
        m->g->unref(stream);
}

/* An appointment that the mail invites to, and what Exchange packs text and attachments into: read here, so that what is in
 * them stands in the mail itself. False: it was neither. */
static bool inside_part(struct mail *m, void *part)
{
    const char *file = m->g->part_get_filename(part);
    bool calendar = is_type(m, part, "text", "calendar") && !file;
    struct span bytes;
    void *stream = content_of(m, part, &bytes);
    bool done = true;
    if (calendar)
        calendar_entries(m->b, bytes);
    else if (tnef_is(bytes))
        tnef_inside(m->b, bytes, m->has_text);
    else
        done = false;
    if (stream)
        m->g->unref(stream);
    return done;
}

/* ---- the tree ------------------------------------------------------------------------------- */

static bool is_attached(const struct mail *m, void *part)
{
    const char *d = m->g->object_get_disposition(part);
    return d && strcasecmp(d, "attachment") == 0;
}

/* A logo inside an HTML text, or what only proves who sent it. */
static bool is_furniture(const struct mail *m, void *part)
{
    bool shown_inside = m->g->object_get_content_id(part) && !is_attached(m, part);
    return (is_type(m, part, "image", "*") && shown_inside) ||
           is_type(m, part, "application", "pkcs7-signature") ||
           is_type(m, part, "application", "x-pkcs7-signature") ||
           is_type(m, part, "application", "pgp-signature");
}

static void walk(struct mail *m, void *object, size_t depth);

/* The same text more than once, plainest first: the first plain one, else the last that is text. */
static bool is_better(const struct mail *m, void *part, void *best)
{
    if (!best || is_type(m, part, "text", "plain"))
        return true;
    return is_type(m, part, "text", "html") || is_a(m, part, m->g->multipart_get_type());
}

static void alternatives(struct mail *m, void *multipart, size_t depth)
{
    int n = m->g->multipart_get_count(multipart);
    void *best = NULL;
    for (int i = 0; i < n; i++) {
        void *part = m->g->multipart_get_part(multipart, i);
        bool settled = best && is_type(m, best, "text", "plain");
        if (!settled && is_better(m, part, best))
            best = part;
    }
    if (best)
        walk(m, best, depth + 1);
    for (int i = 0; i < n; i++) { /* a calendar, or files that some programs put here */
        void *part = m->g->multipart_get_part(multipart, i);
        bool is_file = is_a(m, part, m->g->part_get_type()) &&
                       (!is_type(m, part, "text", "*") || is_type(m, part, "text", "calendar"));
        if (part != best && is_file)
            walk(m, part, depth + 1);
    }
}

static void walk(struct mail *m, void *object, size_t depth)
{
    if (!object || !builder_ok(m->b))
        return;
    if (depth > MAIL_DEPTH_MAX) {
        builder_refuse(m->b, REASON_TOO_DEEP, MAIL_DEPTH_MAX, 0);
    } else if (is_a(m, object, m->g->message_part_get_type())) {
        void *inner = m->g->message_part_get_message(object);
        if (inner)
            attachment(m, object, inner);
    } else if (is_a(m, object, m->g->multipart_get_type())) {
        if (is_type(m, object, "multipart", "alternative")) {
            alternatives(m, object, depth);
            return;
        }
        int n = m->g->multipart_get_count(object);
        for (int i = 0; i < n; i++)
            walk(m, m->g->multipart_get_part(object, i), depth + 1);
    } else if (!is_a(m, object, m->g->part_get_type()) || is_furniture(m, object)) {
        return;
    } else if (is_type(m, object, "text", "plain") || is_type(m, object, "text", "html")) {
        if (is_attached(m, object) || m->g->part_get_filename(object))
            attachment(m, object, NULL);
        else
            text_part(m, object);
    } else if (!inside_part(m, object)) {
        attachment(m, object, NULL);
    }
}

/* A saved page has its frames beside it; all else only serves how it looks. */
static void walk_page(struct mail *m, void *object, size_t depth)
{
    if (!object || !builder_ok(m->b))
        return;
    if (depth > MAIL_DEPTH_MAX) {
        builder_refuse(m->b, REASON_TOO_DEEP, MAIL_DEPTH_MAX, 0);
    } else if (is_a(m, object, m->g->multipart_get_type())) {
        int n = m->g->multipart_get_count(object);
        for (int i = 0; i < n; i++)
            walk_page(m, m->g->multipart_get_part(object, i), depth + 1);
    } else if (is_a(m, object, m->g->part_get_type()) &&
               (is_type(m, object, "text", "html") || is_type(m, object, "text", "plain"))) {
        text_part(m, object);
    }
}

/* Where it was saved from. */
static void page_head(struct mail *m, void *message)
{
    const char *from = m->g->object_get_header(message, "Snapshot-Content-Location");
    if (!from)
        from = m->g->object_get_header(message, "Content-Location");
    builder_begin(m->b, BLOCK_HEADER);
    card_field(m->b, "Address", span_of(from));
    card_field(m->b, "Date", span_of(m->g->object_get_header(message, "Date")));
    builder_end(m->b);
    builder_title(m->b, span_of(m->g->object_get_header(message, "Subject")));
}

static void parse(struct builder *b, struct span file, bool is_page)
{
    struct mail m = { .b = b, .g = gmime_api() };
    if (!m.g) {
        builder_refuse(b, REASON_MAIL_MISSING, 0, 0);
        return;
    }
    void *stream = m.g->stream_mem_new_with_buffer(file.ptr, file.len);
    void *parser = m.g->parser_new_with_stream(stream);
    void *message = m.g->parser_construct_message(parser, NULL);
    bool any =
        message &&
        (m.g->object_get_header(message, "From") || m.g->object_get_header(message, "Subject") ||
         m.g->object_get_header(message, "Received") || m.g->object_get_header(message, "Date") ||
         m.g->object_get_header(message, "MIME-Version"));
    if (any && is_page) {
        page_head(&m, message);
        walk_page(&m, m.g->message_get_mime_part(message), 0);
    } else if (any) {
        head(&m, message);
        walk(&m, m.g->message_get_mime_part(message), 0);
    } else {
        builder_refuse(b, REASON_MAIL_DAMAGED, 0, 0);
    }
    if (message)
        m.g->unref(message);
    m.g->unref(parser);
    m.g->unref(stream);
}

void mail_parse(struct builder *b, struct span file)
{
    parse(b, file, false);
}

void mhtml_parse(struct builder *b, struct span file)
{
    parse(b, file, true);
}
