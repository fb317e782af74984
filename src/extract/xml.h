/* extract/xml.h: the XML parts of an Office package, streamed, and what leads from one to the next.
 *
 * A reader opens one part at a time with expat and hands elements, attributes and text to a format's handlers, with
 * namespaces already known and the depth counted. A DOCTYPE anywhere refuses the document: no Office program writes
 * one, and entity bombs need one. expat does not recurse, and depth is bounded here. */
#ifndef EXTRACT_XML_H
#define EXTRACT_XML_H

#include "extract/extract_priv.h"

/* Namespaces that mean something to us; both of the two that the same Office elements come in. */
enum xml_ns {
    NS_OTHER,
    NS_W,          /* WordprocessingML                       */
    NS_MC,         /* markup compatibility                   */
    NS_M,          /* formulas                               */
    NS_SHEET,      /* SpreadsheetML                          */
    NS_SLIDE,      /* PresentationML                         */
    NS_DRAWING,    /* DrawingML: text in shapes              */
    NS_ODF_OFFICE, /* OpenDocument's parts                   */
    NS_ODF_TEXT,
    NS_ODF_TABLE,
    NS_ODF_DRAW,
    NS_ODF_STYLE,
};

struct xml {
    struct builder *b;
    struct package *pkg;
    size_t depth;     /* of the element a handler is told about, from 1 */
    size_t skip_from; /* inside an element of which nothing is handed out; its depth, 0: not */
    void *parser;     /* of the part being read */
    const struct xml_handlers *handlers;
    void *ctx;
};

/* Each may be NULL. None is called any more once the builder has refused. attrs: names with namespaces and values in
 * turn, ending with NULL; borrowed. */
struct xml_handlers {
    void (*start)(void *ctx, enum xml_ns ns, const char *name, const char **attrs);
    void (*end)(void *ctx, enum xml_ns ns, const char *name);
    void (*text)(void *ctx, struct span s);
};

/* Reads a part from beginning to end. A part that is not there is an empty one. False: the builder has refused. */
bool xml_read(struct xml *x, const char *part, const struct xml_handlers *h, void *ctx);
/* For a start handler: nothing more of this element is handed out, not even its end. */
void xml_skip(struct xml *x);
/* The value of an attribute, "" when it is not there. By local name: the attributes we read mean the same in any
 * namespace they come in. */
const char *xml_attr(const char **attrs, const char *name);
/* The id of a relationship: r:id, which may stand beside an id of another kind. */
const char *xml_attr_rel(const char **attrs);
/* As a number: digits only, at most 'most'; 'otherwise' when it is not there or anything else. */
size_t xml_attr_number(const char **attrs, const char *name, size_t most, size_t otherwise);

/* ---- relationships (OOXML): "word/document.xml" -> "word/_rels/document.xml.rels" ------------ */

struct rel {
    char *id, *type, *target; /* target: the part, resolved */
};
struct rels {
    struct rel list[PARTS_MAX];
    size_t n;
};

/* Those of a part ("" for the package) whose type ends in one of 'wanted' (NULL-terminated); others, and those that
 * lead out of the package, are left out. False: the builder has refused. */
bool rels_read(struct xml *x, struct rels *r, const char *part, const char *const *wanted);
void rels_deinit(struct rels *r);
/* The n-th part of a type, or the one with an id; heap, NULL when there is none (or memory is short: refused). */
char *rels_part(struct xml *x, const struct rels *r, const char *type, size_t n);
char *rels_by_id(struct xml *x, const struct rels *r, const char *id);

/* ---- one parser a kind of package: docx.c xlsx.c pptx.c odf.c --------------------------------- */

/* 'main': the main part; r: its relationships of the wanted types. */
extern const char *const docx_rels[], *const xlsx_rels[], *const pptx_rels[];
void docx_parse(struct xml *x, const char *main, const struct rels *r);
void xlsx_parse(struct xml *x, const char *main, const struct rels *r);
void pptx_parse(struct xml *x, const char *main, const struct rels *r);
/* Text, sheet or slides; refuses other OpenDocument files. */
enum doc_format odf_parse(struct xml *x);

#endif
