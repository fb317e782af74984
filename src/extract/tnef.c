/* TNEF ([MS-OXTNEF]), known as winmail.dat: what Exchange and Outlook put around a mail's text and attachments for their
 * like. A signature and a key, then attributes: level (1 message, 2 attachment), number, length, bytes, checksum. Two of them
 * hold lists of MAPI properties. An attachment begins with its render data.
 *
 * As a file: head, text, attachments. Inside a mail, which has its own head: what the mail lacks. Checksums are not looked
 * at; a file that ends early gives what came before. A message inside is a TNEF of its own behind the number of its kind. */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "extract/mapi.h"

enum attribute {
    ATT_FROM = 0x8000,
    ATT_SUBJECT = 0x8004,
    ATT_SENT = 0x8005,
    ATT_BODY = 0x800C,
    ATT_DATA = 0x800F,
    ATT_TITLE = 0x8010,
    ATT_RENDER = 0x9002,
    ATT_PROPS = 0x9003,
    ATT_RECIPIENTS = 0x9004,
    ATT_FILE_PROPS = 0x9005,
    ATT_CODEPAGE = 0x9007,
};

struct tnef {
    struct builder *b;
    struct span in;
    size_t at;
    bool inside, has_text;
    unsigned codepage;
    struct mapi_props message, file;
    struct mapi_people who;
    bool in_file, message_done;
};

bool tnef_is(struct span file)
{
    return span_starts(file, SPAN("\x78\x9F\x3E\x22"));
}

static void keep(struct tnef *t, struct mapi_props *p, unsigned id, unsigned type, struct span s)
{
    if (!mapi_put(p, id, type, s))
        builder_refuse(t->b, REASON_NOMEM, 0, 0);
}

/* ---- a list of MAPI properties -------------------------------------------------------------- */

struct reader {
    struct span in;
    size_t at;
    bool ok;
};

static uint32_t take_number(struct reader *r, size_t n)
{
    if (r->in.len - r->at < n)
        r->ok = false;
    if (!r->ok)
        return 0;
    r->at += n;
    return span_le(r->in, r->at - n, n);
}

/* n bytes and what fills them up to a multiple of four. */
static struct span take_bytes(struct reader *r, size_t n)
{
    if (r->in.len - r->at < n)
        r->ok = false;
    if (!r->ok)
        return (struct span){ 0 };
    struct span s = span_sub(r->in, r->at, r->at + n);
    r->at = MIN(size_align(r->at + n, 4), r->in.len);
    return s;
}

static size_t fixed_length(unsigned type)
{
    switch (type) {
    case 0x0002: /* short, long, float, error, bool: each fills four */
    case 0x0003:
    case 0x0004:
    case 0x000A:
    case 0x000B:
        return 4;
    case 0x0005: /* double, currency, times, long long */
    case 0x0006:
    case 0x0007:
    case 0x0014:
    case 0x0040:
        return 8;
    case 0x0048: /* a GUID */
        return 16;
    default:
        return 0;
    }
}

static void skip_name(struct reader *r)
{
    take_bytes(r, 16);
    if (take_number(r, 4) == 0)
        take_number(r, 4);
    else
        take_bytes(r, take_number(r, 4));
}

/* The values of one property: most have one, and of those that have more the first will do. */
static void values(struct tnef *t, struct mapi_props *p, struct reader *r, unsigned id,
                   unsigned type)
{
    unsigned base = type & 0x0FFF;
    size_t fixed = fixed_length(base);
    bool counted = (type & 0x1000) || !fixed;
    uint32_t n = counted ? take_number(r, 4) : 1;
    for (uint32_t i = 0; i < n && r->ok; i++) {
        struct span s = take_bytes(r, fixed ? fixed : take_number(r, 4));
        if (r->ok && i == 0 && id < 0x8000 && type == base)
            keep(t, p, id, type, s);
    }
}

static void props_read(struct tnef *t, struct mapi_props *p, struct reader *r)
{
    uint32_t n = take_number(r, 4);
    for (uint32_t i = 0; i < n && r->ok && builder_ok(t->b); i++) {
        unsigned type = take_number(r, 2), id = take_number(r, 2);
        if (id >= 0x8000)
            skip_name(r);
        values(t, p, r, id, type);
    }
}

static void recipients(struct tnef *t, struct span s)
{
    struct reader r = { .in = s, .ok = true };
    uint32_t n = take_number(&r, 4);
    for (uint32_t i = 0; i < n && r.ok && builder_ok(t->b); i++) {
        struct mapi_props p = { 0 };
        props_read(t, &p, &r);
        mapi_person(t->b, &t->who, &p, t->codepage);
        mapi_deinit(&p);
    }
}

/* ---- attributes ----------------------------------------------------------------------------- */

/* A sender: kind, length and lengths of name and address, then both, each ended with a zero. */
static void sender(struct tnef *t, struct span s)
{
    size_t name = span_le(s, 4, 2), address = span_le(s, 6, 2);
    struct span n = span_sub(s, 8, 8 + name), a = span_sub(s, 8 + name, 8 + name + address);
    if (span_starts(a, SPAN("SMTP:")) || span_starts(a, SPAN("smtp:")))
        a = span_sub(a, 5, a.len);
    keep(t, &t->message, MAPI_SENDER_NAME, MAPI_STRING8, n);
    keep(t, &t->message, MAPI_SENDER_ADDRESS, MAPI_STRING8, a);
}

static void message_attribute(struct tnef *t, enum attribute id, struct span s)
{
    struct reader r = { .in = s, .ok = true };
    if (id == ATT_SUBJECT)
        keep(t, &t->message, MAPI_SUBJECT, MAPI_STRING8, s);
    else if (id == ATT_BODY)
        keep(t, &t->message, MAPI_BODY, MAPI_STRING8, s);
    else if (id == ATT_FROM)
        sender(t, s);
    else if (id == ATT_PROPS)
        props_read(t, &t->message, &r);
    else if (id == ATT_RECIPIENTS)
        recipients(t, s);
    else if (id == ATT_CODEPAGE && s.len >= 4 && span_le(s, 0, 4))
        t->codepage = span_le(s, 0, 4);
}

static void message_end(struct tnef *t)
{
    if (t->message_done || !builder_ok(t->b))
        return;
    t->message_done = true;
    char codepage[4];
    for (size_t i = 0; i < 4; i++)
        codepage[i] = (char)(t->codepage >> 8 * i & 0xFF);
    keep(t, &t->message, MAPI_CODEPAGE, MAPI_LONG, (struct span){ codepage, 4 });
    if (!t->inside)
        mapi_head(t->b, &t->message, &t->who);
    if (!t->has_text)
        mapi_body(t->b, &t->message);
}

static void file_end(struct tnef *t)
{
    struct span s = mapi_raw(&t->file, MAPI_DATA);
    const char *ending = "";
    enum { CLASS_BYTES = 16 }; /* in front of an object: what it is */
    if (tnef_is(span_sub(s, CLASS_BYTES, s.len))) {
        s = span_sub(s, CLASS_BYTES, s.len);
        ending = ".tnef";
    }
    if (t->in_file && !mapi_is_furniture(&t->file, t->codepage))
        mapi_attachment(t->b, &t->file, s, ending, t->codepage);
    mapi_deinit(&t->file);
    t->in_file = false;
}

static void file_attribute(struct tnef *t, enum attribute id, struct span s)
{
    struct reader r = { .in = s, .ok = true };
    if (id == ATT_RENDER) {
        message_end(t);
        file_end(t);
        t->in_file = true;
    } else if (!t->in_file) {
        return;
    } else if (id == ATT_DATA) {
        keep(t, &t->file, MAPI_DATA, MAPI_BINARY, s);
    } else if (id == ATT_TITLE) {
        keep(t, &t->file, MAPI_FILE_NAME, MAPI_STRING8, s);
    } else if (id == ATT_FILE_PROPS) {
        props_read(t, &t->file, &r);
    }
}

static void attributes(struct tnef *t)
{
    enum { HEAD = 9, CHECKSUM = 2 };
    while (t->in.len - t->at >= HEAD && builder_ok(t->b)) {
        unsigned level = span_le(t->in, t->at, 1);
        uint32_t id = span_le(t->in, t->at + 1, 4) & 0xFFFF;
        size_t len = span_le(t->in, t->at + 5, 4);
        t->at += HEAD;
        if (len > t->in.len - t->at || (level != 1 && level != 2))
            return;
        struct span s = span_sub(t->in, t->at, t->at + len);
        if (level == 1)
            message_attribute(t, (enum attribute)id, s);
        else
            file_attribute(t, (enum attribute)id, s);
        t->at += MIN(len + CHECKSUM, t->in.len - t->at);
    }
}

static void read_all(struct tnef *t)
{
    enum { SIGNATURE_AND_KEY = 6 };
    t->at = MIN((size_t)SIGNATURE_AND_KEY, t->in.len);
    attributes(t);
    message_end(t);
    file_end(t);
    mapi_deinit(&t->message);
    mapi_people_deinit(&t->who);
}

void tnef_inside(struct builder *b, struct span file, bool has_text)
{
    struct tnef t = { .b = b, .in = file, .inside = true, .has_text = has_text, .codepage = 1252 };
    read_all(&t);
}

void tnef_parse(struct builder *b, struct span file)
{
    struct tnef t = { .b = b, .in = file, .codepage = 1252 };
    if (!tnef_is(file))
        builder_refuse(b, REASON_MAIL_DAMAGED, 0, 0);
    else
        read_all(&t);
}
