/* Properties of messages, and blocks made of them; see mapi.h. */
#include "extract/mapi.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"
#include "base/utf8.h"

static const uint16_t wanted[MAPI_WANTED] = {
    MAPI_SUBJECT,       MAPI_SUBMITTED,      MAPI_SENT_FOR_NAME, MAPI_SENT_FOR_ADDRESS,
    MAPI_SENDER_NAME,   MAPI_SENDER_ADDRESS, MAPI_SHOWN_BCC,     MAPI_SHOWN_CC,
    MAPI_SHOWN_TO,      MAPI_DELIVERED,      MAPI_BODY,          MAPI_BODY_RTF,
    MAPI_BODY_HTML,     MAPI_NAME,           MAPI_ADDRESS,       MAPI_DATA,
    MAPI_FILE_NAME,     MAPI_METHOD,         MAPI_LONG_NAME,     MAPI_MIME_TYPE,
    MAPI_CONTENT_ID,    MAPI_ATTACH_FLAGS,   MAPI_SMTP,          MAPI_INTERNET_CODEPAGE,
    MAPI_CODEPAGE,      MAPI_SENDER_SMTP,    MAPI_SENT_FOR_SMTP, MAPI_HIDDEN,
    MAPI_RECIPIENT_KIND
};

static size_t index_of(unsigned id)
{
    size_t i = 0;
    while (i < MAPI_WANTED && wanted[i] != id)
        i++;
    return i;
}

static bool type_is_ours(unsigned type)
{
    return type == MAPI_SHORT || type == MAPI_LONG || type == MAPI_BOOL || type == MAPI_OBJECT ||
           type == MAPI_STRING8 || type == MAPI_STRING || type == MAPI_TIME || type == MAPI_BINARY;
}

bool mapi_wants(unsigned id, unsigned type)
{
    return index_of(id) < MAPI_WANTED && type_is_ours(type);
}

bool mapi_put(struct mapi_props *p, unsigned id, unsigned type, struct span raw)
{
    if (!mapi_wants(id, type))
        return true;
    struct mapi_value *v = &p->v[index_of(id)];
    bool better = (v->type == MAPI_STRING8 && type == MAPI_STRING) ||
                  (v->type == MAPI_BINARY && type == MAPI_OBJECT);
    if (v->type && !better)
        return true;
    buf_clear(&v->raw);
    buf_append_span(&v->raw, raw);
    v->type = type;
    return !v->raw.failed;
}

static const struct mapi_value *value_of(const struct mapi_props *p, enum mapi_id id)
{
    return &p->v[index_of(id)];
}

bool mapi_has(const struct mapi_props *p, enum mapi_id id)
{
    return value_of(p, id)->raw.len > 0;
}

struct span mapi_raw(const struct mapi_props *p, enum mapi_id id)
{
    return buf_span(&value_of(p, id)->raw);
}

uint32_t mapi_number(const struct mapi_props *p, enum mapi_id id, uint32_t otherwise)
{
    const struct mapi_value *v = value_of(p, id);
    bool is_number = v->type == MAPI_LONG || v->type == MAPI_SHORT || v->type == MAPI_BOOL;
    size_t n = v->type == MAPI_LONG ? 4 : v->type == MAPI_SHORT ? 2 : 1;
    return is_number && v->raw.len >= n ? span_le(buf_span(&v->raw), 0, n) : otherwise;
}

void mapi_deinit(struct mapi_props *p)
{
    for (size_t i = 0; i < MAPI_WANTED; i++)
        buf_deinit(&p->v[i].raw);
    *p = (struct mapi_props){ 0 };
}

/* ---- text ----------------------------------------------------------------------------------- */

unsigned mapi_codepage(const struct mapi_props *p)
{
    return mapi_number(p, MAPI_CODEPAGE, mapi_number(p, MAPI_INTERNET_CODEPAGE, 1252));
}

/* Our own name for a Windows code page; NULL: the one that Windows-1252 stands in for. */
static const char *codepage_name(char out[static 24], unsigned codepage)
{
    static const struct {
        unsigned codepage;
        const char *name;
    } known[] = { { 850, "IBM850" },       { 852, "IBM852" },        { 855, "IBM855" },
                  { 866, "IBM866" },       { 874, "TIS-620" },       { 932, "SHIFT_JIS" },
                  { 936, "GB18030" },      { 949, "UHC" },           { 950, "BIG5" },
                  { 10000, "MACINTOSH" },  { 20127, "US-ASCII" },    { 20866, "KOI8-R" },
                  { 21866, "KOI8-U" },     { 28605, "ISO-8859-15" }, { 51932, "EUC-JP" },
                  { 51949, "EUC-KR" },     { 54936, "GB18030" },     { 52936, "GB18030" },
                  { 28603, "ISO-8859-13" } };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].codepage == codepage)
            return known[i].name;
    if (codepage > 28590 && codepage < 28600)
        snprintf(out, 24, "ISO-8859-%u", codepage - 28590);
    else
        snprintf(out, 24, "WINDOWS-%u", codepage);
    return out;
}

bool codepage_text(struct buf *out, struct span s, unsigned codepage)
{
    char name[24];
    bool one_byte = codepage < 900 || (codepage >= 1250 && codepage <= 1258);
    if (codepage == 65001 ||
        (one_byte && utf8_valid(s))) { /* some programs write UTF-8 whatever they say */
        utf8_repair(out, s);
        return !out->failed;
    }
    return charset_convert(out, s, span_of(codepage_name(name, codepage)));
}

/* Up to the zero that ends it, if there is one. */
static struct span string8(struct span s)
{
    const char *end = s.len ? memchr(s.ptr, '\0', s.len) : NULL;
    return end ? span_sub(s, 0, (size_t)(end - s.ptr)) : s;
}

static struct span string16(struct span s)
{
    for (size_t i = 0; i + 1 < s.len; i += 2)
        if (!s.ptr[i] && !s.ptr[i + 1])
            return span_sub(s, 0, i);
    return s;
}

bool mapi_text(struct buf *out, const struct mapi_props *p, enum mapi_id id, unsigned codepage)
{
    const struct mapi_value *v = value_of(p, id);
    struct span s = buf_span(&v->raw);
    if (v->type == MAPI_STRING)
        return charset_utf16(out, string16(s));
    if (v->type == MAPI_STRING8 || v->type == MAPI_BINARY)
        return codepage_text(out, string8(s), codepage);
    return true;
}

/* ---- the head ------------------------------------------------------------------------------- */

/* The first of these that there is; ids end with 0. */
static void first_text(struct builder *b, struct buf *out, const struct mapi_props *p,
                       const uint16_t *ids, unsigned codepage)
{
    for (; *ids && !out->len; ids++)
        if (!mapi_text(out, p, *ids, codepage))
            builder_refuse(b, REASON_NOMEM, 0, 0);
}

/* An address as people know it; Exchange's own ("/O=.../CN=...") say nothing to them. */
static bool is_address(struct span s)
{
    return span_find(s, SPAN("@"), 0) != SIZE_MAX;
}

/* "Name <address>", or what there is of it. */
static void person_put(struct buf *out, struct span name, struct span address)
{
    name = span_trim(name);
    address = span_trim(address);
    if (name.len >= 2 && name.ptr[0] == '\'' && name.ptr[name.len - 1] == '\'')
        name = span_sub(name, 1, name.len - 1); /* Outlook quotes names that are addresses */
    if (!is_address(address) || span_eq(name, address)) {
        buf_append_span(out, name.len ? name : address);
        return;
    }
    buf_append_span(out, name);
    buf_append_str(out, name.len ? " <" : "");
    buf_append_span(out, address);
    buf_append_str(out, name.len ? ">" : "");
}

static void person_read(struct builder *b, struct buf *out, const struct mapi_props *p,
                        const uint16_t *names, const uint16_t *addresses, unsigned codepage)
{
    struct buf name = { 0 }, address = { 0 };
    first_text(b, &name, p, names, codepage);
    for (; *addresses && !is_address(buf_span(&address)); addresses++) {
        buf_clear(&address);
        if (!mapi_text(&address, p, *addresses, codepage))
            builder_refuse(b, REASON_NOMEM, 0, 0);
    }
    person_put(out, buf_span(&name), buf_span(&address));
    builder_holds(b, out);
    buf_deinit(&name);
    buf_deinit(&address);
}

void mapi_person(struct builder *b, struct mapi_people *who, const struct mapi_props *p,
                 unsigned codepage)
{
    static const uint16_t names[] = { MAPI_NAME, 0 };
    static const uint16_t addresses[] = { MAPI_SMTP, MAPI_ADDRESS, 0 };
    uint32_t kind = mapi_number(p, MAPI_RECIPIENT_KIND, 1) & 0xFF;
    struct buf *list = kind == 2 ? &who->cc : kind == 3 ? &who->bcc : kind == 1 ? &who->to : NULL;
    struct buf one = { 0 };
    if (!list) /* the sender himself */
        return;
    person_read(b, &one, p, names, addresses, codepage);
    if (one.len && list->len)
        builder_collect(b, list, SPAN(", "));
    builder_collect(b, list, buf_span(&one));
    buf_deinit(&one);
}

void mapi_people_deinit(struct mapi_people *who)
{
    buf_deinit(&who->to);
    buf_deinit(&who->cc);
    buf_deinit(&who->bcc);
}

/* "Mon, 02 Mar 2026 13:05:11 +0000", as mails write it. */
static void date_put(struct buf *out, uint64_t filetime)
{
    static const char days[] = "MonTueWedThuFriSatSun";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t s = filetime / 10000000;
    uint64_t day =
        s / 86400; /* since Monday, 1 January 1601, with which a cycle of 400 years begins */
    if (filetime == 0 || day > 1000000)
        return;
    s %= 86400;
    unsigned weekday = (unsigned)(day % 7), year = 1601, month = 0;
    for (;;) {
        bool leap = year % 4 == 0 && (year % 100 || year % 400 == 0);
        if (day < 365u + leap)
            break;
        day -= 365u + leap;
        year++;
    }
    static const unsigned char lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 || year % 400 == 0);
    while (day >= (unsigned)lengths[month] + (month == 1 && leap)) {
        day -= (unsigned)lengths[month] + (month == 1 && leap);
        month++;
    }
    buf_printf(out, "%.3s, %02u %.3s %u %02u:%02u:%02u +0000", days + 3 * weekday,
               (unsigned)day + 1, months + 3 * month, year, (unsigned)(s / 3600),
               (unsigned)(s / 60 % 60), (unsigned)(s % 60));
}

static void line_put(struct builder *b, const char *name, struct span value)
{
    value = span_trim(value);
    if (!value.len)
        return;
    if (b->raw.len)
        builder_char(b, '\n');
    builder_text(b, span_of(name));
    builder_text(b, SPAN(": "));
    builder_text(b, value);
}

/* The recipients as they were listed, else as Outlook shows them. */
static void people_put(struct builder *b, const char *name, const struct buf *listed,
                       const struct mapi_props *p, enum mapi_id shown, unsigned codepage)
{
    struct buf text = { 0 };
    if (!listed->len && !mapi_text(&text, p, shown, codepage))
        builder_refuse(b, REASON_NOMEM, 0, 0);
    line_put(b, name, listed->len ? buf_span(listed) : buf_span(&text));
    buf_deinit(&text);
}

/* MAPI may put a mark and the length of "Re: " in front. */
static struct span subject_plain(struct span s)
{
    if (s.len >= 2 && s.ptr[0] == 1)
        s = span_sub(s, 2, s.len);
    return s;
}

void mapi_head(struct builder *b, const struct mapi_props *p, const struct mapi_people *who)
{
    static const uint16_t names[] = { MAPI_SENT_FOR_NAME, MAPI_SENDER_NAME, 0 };
    static const uint16_t addresses[] = {
        MAPI_SENT_FOR_SMTP,  MAPI_SENDER_SMTP, MAPI_SENT_FOR_ADDRESS,
        MAPI_SENDER_ADDRESS, MAPI_SMTP,        0
    };
    static const uint16_t subjects[] = { MAPI_SUBJECT, 0 };
    unsigned codepage = mapi_codepage(p);
    struct buf from = { 0 }, date = { 0 }, subject = { 0 };
    person_read(b, &from, p, names, addresses, codepage);
    struct span time = mapi_raw(p, MAPI_SUBMITTED);
    if (time.len < 8)
        time = mapi_raw(p, MAPI_DELIVERED);
    if (time.len >= 8)
        date_put(&date, span_le(time, 0, 8));
    first_text(b, &subject, p, subjects, codepage);
    struct span title = subject_plain(buf_span(&subject));

    builder_begin(b, BLOCK_HEADER);
    line_put(b, "From", buf_span(&from));
    people_put(b, "To", &who->to, p, MAPI_SHOWN_TO, codepage);
    people_put(b, "Cc", &who->cc, p, MAPI_SHOWN_CC, codepage);
    people_put(b, "Bcc", &who->bcc, p, MAPI_SHOWN_BCC, codepage);
    line_put(b, "Date", buf_span(&date));
    line_put(b, "Subject", title);
    builder_end(b);
    builder_title(b, title);
    buf_deinit(&from);
    buf_deinit(&date);
    buf_deinit(&subject);
}

/* ---- the text ------------------------------------------------------------------------------- */

static void plain_body(struct builder *b, const struct mapi_props *p, unsigned codepage)
{
    struct buf text = { 0 };
    if (!mapi_text(&text, p, MAPI_BODY, codepage))
        builder_refuse(b, REASON_NOMEM, 0, 0);
    text_parse(b, buf_span(&text));
    buf_deinit(&text);
}

static void html_body(struct builder *b, const struct mapi_props *p)
{
    const struct mapi_value *v = value_of(p, MAPI_BODY_HTML);
    struct span raw = buf_span(&v->raw);
    uint32_t codepage = mapi_number(p, MAPI_INTERNET_CODEPAGE, 0);
    char name[24];
    struct buf text = { 0 };
    struct refusal why = { 0 };
    bool ok;
    if (v->type == MAPI_STRING)
        ok = charset_utf16(&text, string16(raw));
    else if (codepage && codepage != 65001)
        ok = charset_decode(&text, raw, span_of(codepage_name(name, codepage)), &why);
    else
        ok = charset_decode(&text, raw, html_charset(raw), &why);
    if (!ok && (why.reason == REASON_NONE || why.reason == REASON_NOMEM))
        builder_refuse(b, REASON_NOMEM, 0, 0);
    else if (ok) /* a text that is none is no reason to lose the rest */
        html_parse(b, buf_span(&text));
    buf_deinit(&text);
}

static void rtf_body(struct builder *b, const struct mapi_props *p)
{
    struct buf rtf = { 0 }, html = { 0 };
    if (!lzfu_decompress(&rtf, mapi_raw(p, MAPI_BODY_RTF))) {
        if (rtf.failed)
            builder_refuse(b, REASON_NOMEM, 0, 0);
    } else if (rtf_html(b, buf_span(&rtf), &html)) {
        html_parse(b, buf_span(&html));
    } else {
        rtf_parse(b, buf_span(&rtf));
    }
    buf_deinit(&html);
    buf_deinit(&rtf);
}

void mapi_body(struct builder *b, const struct mapi_props *p)
{
    size_t before = b->n_blocks;
    if (mapi_has(p, MAPI_BODY))
        plain_body(b, p, mapi_codepage(p));
    builder_end(b);
    if (b->n_blocks == before && mapi_has(p, MAPI_BODY_HTML))
        html_body(b, p);
    builder_end(b);
    if (b->n_blocks == before && mapi_has(p, MAPI_BODY_RTF))
        rtf_body(b, p);
    builder_end(b);
}

/* ---- attachments ---------------------------------------------------------------------------- */

bool mapi_is_furniture(const struct mapi_props *p, unsigned codepage)
{
    struct buf type = { 0 };
    bool known = mapi_text(&type, p, MAPI_MIME_TYPE, codepage) && type.len > 6;
    bool picture = known && strncasecmp(type.ptr, "image/", 6) == 0;
    buf_deinit(&type);
    bool inside = mapi_number(p, MAPI_HIDDEN, 0) || (mapi_number(p, MAPI_ATTACH_FLAGS, 0) & 4);
    return picture && inside && mapi_has(p, MAPI_CONTENT_ID);
}

void mapi_attachment(struct builder *b, const struct mapi_props *p, struct span bytes,
                     const char *ending, unsigned codepage)
{
    static const uint16_t file_names[] = { MAPI_LONG_NAME, MAPI_FILE_NAME, MAPI_NAME, 0 };
    static const uint16_t message_names[] = { MAPI_NAME, MAPI_LONG_NAME, MAPI_FILE_NAME, 0 };
    struct buf name = { 0 };
    first_text(b, &name, p, *ending ? message_names : file_names, codepage);
    for (size_t i = 0; i < name.len; i++) /* files of a mail lie beside each other */
        if (name.ptr[i] == '/')
            name.ptr[i] = '_';
    if (*ending && name.len > 120) {
        name.len = 120;
        while (name.len && utf8_is_continuation(name.ptr[name.len]))
            name.len--;
    }
    if (*ending && !name.len)
        buf_append_str(&name, "message");
    if (!span_ends(buf_span(&name), span_of(ending)))
        buf_append_str(&name, ending);
    if (bytes.len && builder_holds(b, &name) && builder_part(b, buf_span(&name), bytes))
        builder_part_shown(b);
    buf_deinit(&name);
}
