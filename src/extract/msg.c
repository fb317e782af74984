/* Outlook messages (.msg), [MS-OXMSG]: a compound file with one storage a recipient and an attachment. A property of fixed
 * length stands in the stream "__properties_version1.0" of its storage, any other in a stream of its own,
 * "__substg1.0_" and eight digits for its number and type.
 *
 * Blocks: the head, the text (plain, else HTML, else RTF, which may hold the HTML it was made from), names of attachments.
 * Attachments are parts; an attached message is a storage inside this one and becomes a .msg of its own, written out by
 * cfb_write.c, which differs from the storage in nothing but the header of its properties. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/size.h"
#include "extract/cfb.h"
#include "extract/mapi.h"

#define PROPERTIES "__properties_version1.0"
#define NAMED      "__nameid_version1.0"

enum {
    HEADER_MESSAGE = 32, /* of the properties of a file */
    HEADER_INSIDE = 24,  /* of a message inside another one */
    HEADER_OTHER = 8,    /* of a recipient or an attachment */
};

struct msg {
    struct builder *b;
    struct cfb *c;
};

static bool refuse(struct msg *m, const struct refusal *why)
{
    return builder_refuse(m->b, why->reason, why->a, why->b);
}

/* ---- properties ----------------------------------------------------------------------------- */

/* 16 bytes each: type, number, flags, value. */
static void fixed_read(struct msg *m, struct mapi_props *p, struct span s, size_t header)
{
    for (size_t at = header; at + 16 <= s.len && builder_ok(m->b); at += 16) {
        uint32_t tag = span_le(s, at, 4);
        unsigned type = tag & 0xFFFF, id = tag >> 16;
        bool in_place =
            type == MAPI_SHORT || type == MAPI_LONG || type == MAPI_BOOL || type == MAPI_TIME;
        if (in_place && !mapi_put(p, id, type, span_sub(s, at + 8, at + 16)))
            builder_refuse(m->b, REASON_NOMEM, 0, 0);
    }
}

/* "__substg1.0_0037001F" */
static bool tag_of(const char *name, unsigned *id, unsigned *type)
{
    static const char front[] = "__substg1.0_";
    size_t n = sizeof(front) - 1;
    if (strncasecmp(name, front, n) != 0 || strlen(name) != n + 8)
        return false;
    char *end;
    unsigned long v = strtoul(name + n, &end, 16);
    *id = (unsigned)(v >> 16) & 0xFFFF;
    *type = (unsigned)v & 0xFFFF;
    return *end == '\0';
}

static void stream_take(struct msg *m, struct mapi_props *p, uint32_t i, size_t header)
{
    const struct cfb_entry *e = cfb_entry(m->c, i);
    unsigned id = 0, type = 0;
    bool fixed = strcasecmp(e->name, PROPERTIES) == 0;
    if (!fixed && !(tag_of(e->name, &id, &type) && mapi_wants(id, type)))
        return;
    struct buf bytes = { 0 };
    struct refusal why;
    if (!cfb_read(m->c, i, &bytes, &why))
        refuse(m, &why);
    else if (fixed)
        fixed_read(m, p, buf_span(&bytes), header);
    else if (!mapi_put(p, id, type, buf_span(&bytes)))
        builder_refuse(m->b, REASON_NOMEM, 0, 0);
    buf_deinit(&bytes);
}

static void props_read(struct msg *m, struct mapi_props *p, uint32_t storage, size_t header)
{
    *p = (struct mapi_props){ 0 };
    for (uint32_t i = cfb_entry(m->c, storage)->first; i != CFB_NONE && builder_ok(m->b);
         i = cfb_entry(m->c, i)->next)
        if (!cfb_entry(m->c, i)->is_storage)
            stream_take(m, p, i, header);
}

/* ---- a message inside this one -------------------------------------------------------------- */

struct copying {
    struct msg *m;
    struct cfb_writer *w;
};

static bool stream_copy(struct copying *k, uint32_t i, uint32_t to, bool is_top)
{
    const struct cfb_entry *e = cfb_entry(k->m->c, i);
    struct buf bytes = { 0 }, longer = { 0 };
    struct refusal why;
    bool ok = cfb_read(k->m->c, i, &bytes, &why);
    if (!ok)
        refuse(k->m, &why);
    struct span s = buf_span(&bytes);
    if (is_top && strcasecmp(e->name, PROPERTIES) == 0 && s.len >= HEADER_INSIDE) {
        buf_append_span(&longer, span_sub(s, 0, HEADER_INSIDE));
        buf_append(&longer, "\0\0\0\0\0\0\0\0", HEADER_MESSAGE - HEADER_INSIDE);
        buf_append_span(&longer, span_sub(s, HEADER_INSIDE, s.len));
        s = buf_span(&longer);
    }
    if (ok && (longer.failed || cfb_writer_stream(k->w, to, e->name, s) == CFB_NONE))
        ok = builder_refuse(k->m->b, REASON_NOMEM, 0, 0);
    buf_deinit(&longer);
    buf_deinit(&bytes);
    return ok;
}

/* What is in storage 'from' into the copy's storage 'to', with all that is below it. Recursion ends at CFB_DEPTH_MAX. */
static bool storage_copy(struct copying *k, uint32_t from, uint32_t to, bool is_top)
{
    bool ok = true;
    for (uint32_t i = cfb_entry(k->m->c, from)->first; i != CFB_NONE && ok;
         i = cfb_entry(k->m->c, i)->next) {
        const struct cfb_entry *e = cfb_entry(k->m->c, i);
        if (!e->is_storage) {
            ok = stream_copy(k, i, to, is_top);
            continue;
        }
        uint32_t inner = cfb_writer_storage(k->w, to, e->name);
        ok = inner != CFB_NONE ? storage_copy(k, i, inner, false)
                               : builder_refuse(k->m->b, REASON_NOMEM, 0, 0);
    }
    return ok;
}

static bool message_copy(struct msg *m, uint32_t storage, struct buf *out)
{
    struct copying k = { .m = m, .w = cfb_writer_create() };
    bool ok = k.w != NULL;
    if (!ok)
        builder_refuse(m->b, REASON_NOMEM, 0, 0);
    ok = ok && storage_copy(&k, storage, CFB_ROOT, true);
    uint32_t named = cfb_child(m->c, CFB_ROOT, NAMED); /* once in a file, for all messages in it */
    if (ok && named != CFB_NONE && cfb_child(m->c, storage, NAMED) == CFB_NONE) {
        uint32_t to = cfb_writer_storage(k.w, CFB_ROOT, NAMED);
        ok = to != CFB_NONE && storage_copy(&k, named, to, false);
    }
    if (ok && !cfb_writer_finish(k.w, out))
        ok = builder_refuse(m->b, REASON_NOMEM, 0, 0);
    cfb_writer_destroy(k.w);
    return ok;
}

/* ---- recipients and attachments ------------------------------------------------------------- */

static void attachment(struct msg *m, uint32_t storage, unsigned codepage)
{
    struct mapi_props p;
    props_read(m, &p, storage, HEADER_OTHER);
    uint32_t method = mapi_number(&p, MAPI_METHOD, 1);
    uint32_t object = cfb_child(m->c, storage, "__substg1.0_3701000D");
    bool is_message = object != CFB_NONE && cfb_entry(m->c, object)->is_storage &&
                      cfb_child(m->c, object, PROPERTIES) != CFB_NONE;
    if (!builder_ok(m->b) || mapi_is_furniture(&p, codepage)) {
        /* nothing of it is read */
    } else if (is_message && method != 6) {
        struct buf copy = { 0 };
        if (message_copy(m, object, &copy))
            mapi_attachment(m->b, &p, buf_span(&copy), ".msg", codepage);
        buf_deinit(&copy);
    } else {
        mapi_attachment(m->b, &p, mapi_raw(&p, MAPI_DATA), "", codepage);
    }
    mapi_deinit(&p);
}

static bool is_numbered(const struct cfb_entry *e, const char *front)
{
    return e->is_storage && strncasecmp(e->name, front, strlen(front)) == 0;
}

static void recipients(struct msg *m, struct mapi_people *who, unsigned codepage)
{
    for (uint32_t i = cfb_entry(m->c, CFB_ROOT)->first; i != CFB_NONE && builder_ok(m->b);
         i = cfb_entry(m->c, i)->next) {
        if (!is_numbered(cfb_entry(m->c, i), "__recip_version1.0_"))
            continue;
        struct mapi_props p;
        props_read(m, &p, i, HEADER_OTHER);
        mapi_person(m->b, who, &p, codepage);
        mapi_deinit(&p);
    }
}

static void message(struct msg *m)
{
    struct mapi_props p;
    struct mapi_people who = { 0 };
    props_read(m, &p, CFB_ROOT, HEADER_MESSAGE);
    unsigned codepage = mapi_codepage(&p);
    recipients(m, &who, codepage);
    if (builder_ok(m->b)) {
        mapi_head(m->b, &p, &who);
        mapi_body(m->b, &p);
    }
    for (uint32_t i = cfb_entry(m->c, CFB_ROOT)->first; i != CFB_NONE && builder_ok(m->b);
         i = cfb_entry(m->c, i)->next)
        if (is_numbered(cfb_entry(m->c, i), "__attach_version1.0_"))
            attachment(m, i, codepage);
    mapi_people_deinit(&who);
    mapi_deinit(&p);
}

void msg_parse(struct builder *b, struct span file)
{
    struct refusal why;
    struct msg m = { .b = b, .c = cfb_open(file, &why) };
    if (!m.c)
        refuse(&m, &why);
    else if (cfb_child(m.c, CFB_ROOT, PROPERTIES) == CFB_NONE)
        builder_refuse(b, REASON_MSG_OTHER, 0, 0);
    else
        message(&m);
    cfb_close(m.c);
}
