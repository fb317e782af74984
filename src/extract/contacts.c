/* Address files (.vcf), vCard 4.0, 3.0 and 2.1: one block a contact, its fields named in plain words. Pictures, sounds and
 * keys are left out. */
#include <string.h>
#include <strings.h>

#include "base/size.h"
#include "base/utf8.h"
#include "extract/cards.h"

enum how { AS_TEXT, AS_LIST, AS_NAME, AS_PLACE };

static const struct field {
    const char *property, *name;
    enum how how;
    bool has_type; /* home, work, ... is worth to be said */
} fields[] = {
    { "FN", "Contact", AS_TEXT, false },
    { "N", "Name", AS_NAME, false },
    { "NICKNAME", "Nickname", AS_TEXT, false },
    { "ORG", "Organisation", AS_LIST, false },
    { "TITLE", "Title", AS_TEXT, false },
    { "ROLE", "Role", AS_TEXT, false },
    { "TEL", "Telephone", AS_TEXT, true },
    { "EMAIL", "E-mail", AS_TEXT, true },
    { "IMPP", "Messenger", AS_TEXT, true },
    { "ADR", "Address", AS_PLACE, true },
    { "LABEL", "Address", AS_TEXT, true },
    { "URL", "Web", AS_TEXT, true },
    { "BDAY", "Birthday", AS_TEXT, false },
    { "ANNIVERSARY", "Anniversary", AS_TEXT, false },
    { "RELATED", "Related", AS_TEXT, true },
    { "MEMBER", "Member", AS_TEXT, false },
    { "LANG", "Language", AS_TEXT, false },
    { "TZ", "Time zone", AS_TEXT, false },
    { "CATEGORIES", "Categories", AS_TEXT, false },
    { "NOTE", "Note", AS_TEXT, false },
};

struct contact {
    bool open;
    size_t n_lines;
    struct buf values[ARRAY_LEN(fields)]; /* whole lines, "Telephone (work): ..." */
    struct buf name;                      /* what it is listed under */
};

/* Pieces in an order of our own, those with text only. */
static void pieces_put(struct buf *out, struct span s, const unsigned char *order, size_t n,
                       const char *between)
{
    size_t start = out->len;
    for (size_t k = 0; k < n; k++) {
        struct span piece = { 0 };
        size_t at = 0;
        bool there = true;
        for (size_t i = 0; i <= order[k] && there; i++)
            there = card_piece(s, ';', &at, &piece);
        if (!there || !span_trim(piece).len)
            continue;
        if (out->len > start)
            buf_append_str(out, between);
        card_unescape(out, span_trim(piece));
    }
}

/* Family; given; further; titles before; titles after. */
static void name_put(struct buf *out, struct span s)
{
    static const unsigned char order[] = { 3, 1, 2, 0, 4 };
    pieces_put(out, s, order, ARRAY_LEN(order), " ");
}

/* Box; addition; street; town; region; code; country. */
static void place_put(struct buf *out, struct span s)
{
    static const unsigned char before[] = { 2, 1, 0 }, town[] = { 5, 3 }, after[] = { 4, 6 };
    struct buf middle = { 0 }, end = { 0 };
    size_t start = out->len;
    pieces_put(out, s, before, ARRAY_LEN(before), ", ");
    pieces_put(&middle, s, town, ARRAY_LEN(town), " ");
    pieces_put(&end, s, after, ARRAY_LEN(after), ", ");
    if (middle.len && out->len > start)
        buf_append_str(out, ", ");
    buf_append_span(out, buf_span(&middle));
    if (end.len && out->len > start)
        buf_append_str(out, ", ");
    buf_append_span(out, buf_span(&end));
    out->failed |= middle.failed || end.failed;
    buf_deinit(&middle);
    buf_deinit(&end);
}

static void list_put(struct buf *out, struct span s)
{
    static const unsigned char order[] = { 0, 1, 2, 3, 4, 5 };
    pieces_put(out, s, order, ARRAY_LEN(order), ", ");
}

/* "work", "mobile" of TYPE=WORK,CELL or of bare words. */
static void types_put(struct buf *out, const struct card_line *l)
{
    static const struct {
        const char *type, *word;
    } known[] = { { "HOME", "home" }, { "WORK", "work" },   { "CELL", "mobile" },
                  { "FAX", "fax" },   { "PAGER", "pager" }, { "VIDEO", "video" },
                  { "CAR", "car" } };
    bool said[ARRAY_LEN(known)] = { 0 };
    for (size_t i = 0; i < l->n_params; i++) {
        const struct card_param *p = &l->params[i];
        struct span piece;
        if (p->name.len && !card_is(p->name, "TYPE"))
            continue;
        for (size_t at = 0; card_piece(p->value, ',', &at, &piece);)
            for (size_t k = 0; k < ARRAY_LEN(known); k++)
                said[k] |= card_is(span_trim(piece), known[k].type);
    }
    bool any = false;
    for (size_t k = 0; k < ARRAY_LEN(known); k++) {
        if (!said[k])
            continue;
        buf_append_str(out, any ? ", " : " (");
        buf_append_str(out, known[k].word);
        any = true;
    }
    buf_append_str(out, any ? ")" : "");
}

static struct span without_scheme(struct span s)
{
    static const char *const schemes[] = { "tel:", "mailto:", "urn:uuid:" };
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        size_t n = strlen(schemes[i]);
        if (s.len > n && strncasecmp(s.ptr, schemes[i], n) == 0)
            return span_sub(s, n, s.len);
    }
    return s;
}

static void field_add(struct builder *b, struct contact *c, size_t i, const struct card_line *l)
{
    struct buf text = { 0 };
    struct buf *out = &c->values[i];
    switch (fields[i].how) {
    case AS_NAME:
        name_put(&text, l->value);
        break;
    case AS_PLACE:
        place_put(&text, l->value);
        break;
    case AS_LIST:
        list_put(&text, l->value);
        break;
    case AS_TEXT:
        card_unescape(&text, without_scheme(span_trim(l->value)));
        break;
    }
    if (text.len && builder_holds(b, &text)) {
        if (!c->name.len)
            buf_append_span(&c->name, buf_span(&text));
        if (out->len)
            buf_append_char(out, '\n');
        buf_append_str(out, fields[i].name);
        if (fields[i].has_type)
            types_put(out, l);
        buf_append_str(out, ": ");
        builder_collect(b, out, buf_span(&text));
    }
    buf_deinit(&text);
}

static void line_take(struct builder *b, struct contact *c, const struct card_line *l)
{
    if (c->n_lines++ >= CARD_FIELDS_MAX || l->is_binary)
        return;
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (card_is(l->name, fields[i].property))
            field_add(b, c, i, l);
}

static bool contact_end(struct builder *b, struct contact *c)
{
    bool any = false;
    builder_begin(b, BLOCK_PARAGRAPH);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        card_field(b, "", buf_span(&c->values[i]));
        any |= c->values[i].len > 0;
        buf_clear(&c->values[i]);
    }
    builder_end(b);
    c->open = false;
    c->n_lines = 0;
    return any;
}

void contacts_parse(struct builder *b, struct span file)
{
    struct card_reader r;
    struct card_line l;
    struct contact c = { 0 };
    struct buf utf8 = { 0 };
    size_t n = 0;
    bool ok = card_reader_init(&r, b, file, &utf8);
    while (ok && card_next(&r, &l)) {
        bool card = card_is(span_trim(l.value), "VCARD");
        bool begins = card && card_is(l.name, "BEGIN"), ends = card && card_is(l.name, "END");
        if (c.open && (begins || ends))
            n += contact_end(b, &c);
        if (begins) {
            c.open = true;
            buf_clear(&c.name);
        }
        if (c.open && !begins)
            line_take(b, &c, &l);
    }
    if (c.open && builder_ok(b))
        n += contact_end(b, &c);
    if (n == 1)
        builder_title(b, buf_span(&c.name));
    if (!n)
        builder_refuse(b, REASON_CARDS_DAMAGED, 0, 0);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        buf_deinit(&c.values[i]);
    buf_deinit(&c.name);
    card_reader_deinit(&r);
    buf_deinit(&utf8);
}
