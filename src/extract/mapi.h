/* extract/mapi.h: messages as Outlook and Exchange hold them: a list of numbered properties ([MS-OXPROPS]), for the
 * message, for each recipient and for each attachment. Compound files (msg.c) and TNEF (tnef.c) both carry such lists. */
#ifndef EXTRACT_MAPI_H
#define EXTRACT_MAPI_H

#include "extract/extract_priv.h"

/* Types of values; the second byte says "more than one", which none of ours is. */
enum mapi_type {
    MAPI_SHORT = 0x0002,
    MAPI_LONG = 0x0003,
    MAPI_BOOL = 0x000B,
    MAPI_OBJECT = 0x000D,
    MAPI_STRING8 = 0x001E, /* in the message's code page */
    MAPI_STRING = 0x001F,  /* UTF-16, little end first   */
    MAPI_TIME = 0x0040,    /* 100 ns since 1601          */
    MAPI_BINARY = 0x0102,
};

enum mapi_id {
    MAPI_SUBJECT = 0x0037,
    MAPI_SUBMITTED = 0x0039,
    MAPI_SENT_FOR_NAME = 0x0042,
    MAPI_SENT_FOR_ADDRESS = 0x0065,
    MAPI_RECIPIENT_KIND = 0x0C15, /* 1 To, 2 Cc, 3 Bcc */
    MAPI_SENDER_NAME = 0x0C1A,
    MAPI_SENDER_ADDRESS = 0x0C1F,
    MAPI_SHOWN_BCC = 0x0E02,
    MAPI_SHOWN_CC = 0x0E03,
    MAPI_SHOWN_TO = 0x0E04,
    MAPI_DELIVERED = 0x0E06,
    MAPI_BODY = 0x1000,
    MAPI_BODY_RTF = 0x1009,
    MAPI_BODY_HTML = 0x1013,
    MAPI_NAME = 0x3001,
    MAPI_ADDRESS = 0x3003,
    MAPI_DATA = 0x3701, /* as MAPI_BINARY the file, as MAPI_OBJECT a message or an object */
    MAPI_FILE_NAME = 0x3704,
    MAPI_METHOD = 0x3705, /* 1 a file, 5 a message, 6 an OLE object */
    MAPI_LONG_NAME = 0x3707,
    MAPI_MIME_TYPE = 0x370E,
    MAPI_CONTENT_ID = 0x3712,
    MAPI_ATTACH_FLAGS = 0x3714, /* 4: shown inside the HTML text */
    MAPI_SMTP = 0x39FE,
    MAPI_INTERNET_CODEPAGE = 0x3FDE,
    MAPI_CODEPAGE = 0x3FFD,
    MAPI_SENDER_SMTP = 0x5D01,
    MAPI_SENT_FOR_SMTP = 0x5D02,
    MAPI_HIDDEN = 0x7FFE,
};
enum { MAPI_WANTED = 29 };

struct mapi_value {
    unsigned type; /* 0: not there */
    struct buf raw;
};
struct mapi_props {
    struct mapi_value v[MAPI_WANTED];
};

/* Is this one of ours, in a type that can hold it? So that no other is read at all. */
bool mapi_wants(unsigned id, unsigned type);
/* Keep a value, copied; Unicode takes the place of other text, an object that of a file that only
 * says that there is one. False: out of memory. */
bool mapi_put(struct mapi_props *p, unsigned id, unsigned type, struct span raw);
bool mapi_has(const struct mapi_props *p, enum mapi_id id);
struct span mapi_raw(const struct mapi_props *p, enum mapi_id id);
uint32_t mapi_number(const struct mapi_props *p, enum mapi_id id, uint32_t otherwise);
void mapi_deinit(struct mapi_props *p);
/* What strings that are not Unicode are written in. */
unsigned mapi_codepage(const struct mapi_props *p);
/* Append a text as UTF-8. False: out of memory. */
bool mapi_text(struct buf *out, const struct mapi_props *p, enum mapi_id id, unsigned codepage);
/* Bytes in a Windows code page, as UTF-8. */
bool codepage_text(struct buf *out, struct span s, unsigned codepage);

struct mapi_people {
    struct buf to, cc, bcc; /* "Name <address>, ..." */
};
/* Adds a recipient. */
void mapi_person(struct builder *b, struct mapi_people *who, const struct mapi_props *p,
                 unsigned codepage);
void mapi_people_deinit(struct mapi_people *who);

/* From, To, Cc, Bcc, Date and Subject as the head of a letter. */
void mapi_head(struct builder *b, const struct mapi_props *p, const struct mapi_people *who);
/* The text: plain, else HTML, else RTF. */
void mapi_body(struct builder *b, const struct mapi_props *p);
/* Is it a picture that only stands inside an HTML text? */
bool mapi_is_furniture(const struct mapi_props *p, unsigned codepage);
/* An attachment's bytes as a part; 'ending' is what its name ends in if it has none of its own ("" for files). */
void mapi_attachment(struct builder *b, const struct mapi_props *p, struct span bytes,
                     const char *ending, unsigned codepage);

/* lzfu.c: [MS-OXRTFCP]. False: damaged, or larger than it may be. */
bool lzfu_decompress(struct buf *out, struct span in);

/* tnef.c: a winmail.dat inside a mail: its text if the mail has none, and what is attached to it. */
bool tnef_is(struct span file);
void tnef_inside(struct builder *b, struct span file, bool has_text);

#endif
