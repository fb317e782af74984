/* extract/tree.h: a whole XML file in memory, for formats whose elements mean something by where they stand.
 *
 * Nodes are numbers: 0 is the root, TREE_NONE is none. Names come without their namespace. A DOCTYPE anywhere refuses the
 * document (entities need one), and depth, nodes and text are bounded, so that nothing here can be made to grow. */
#ifndef EXTRACT_TREE_H
#define EXTRACT_TREE_H

#include "extract/extract_priv.h"

enum { TREE_NONE = UINT32_MAX };

struct tree_node {
    uint32_t parent, first, last, next; /* TREE_NONE: none */
    uint32_t line;                      /* where it begins, from 1 */
    uint32_t name;                      /* offset in tree.names */
    uint32_t first_attr, n_attrs;
    size_t text, text_len; /* in tree.text: its own text, when it has no elements inside */
    bool used;             /* for who reads it */
};

struct tree_attr {
    uint32_t name; /* offset in tree.names */
    size_t value;  /* offset in tree.text, ends with a zero */
};

struct tree {
    struct buf names, text;
    struct tree_node *nodes;
    struct tree_attr *attrs;
    size_t n_nodes, cap_nodes, n_attrs, cap_attrs;
};

/* False: the builder has refused. tree_deinit() in either case. */
bool tree_read(struct tree *t, struct builder *b, struct span file);
void tree_deinit(struct tree *t);

const char *tree_name(const struct tree *t, uint32_t node);
/* The text of an element without elements, white space off its ends; empty for all others. */
struct span tree_text(const struct tree *t, uint32_t node);
/* "" when it is not there. */
const char *tree_attr(const struct tree *t, uint32_t node, const char *name);

/* A path leads down from a node: "Party/PartyTaxScheme[TaxScheme/ID=VAT]/CompanyID". Its steps are element names,
 * alternatives between '|', '.' for the node itself, '**' for it
 * and everything inside it. A condition holds for the step it stands at: [PATH=VALUE] and [PATH!=VALUE] on the
 * text of what PATH leads to first ("" when it leads nowhere), [@NAME=VALUE] and [@NAME!=VALUE] on an attribute.
 * Paths are ours, never the file's. */
typedef void (*tree_fn)(void *ctx, uint32_t node);
void tree_each(const struct tree *t, uint32_t from, const char *path, tree_fn fn, void *ctx);
/* The first, in the file's order; TREE_NONE: there is none. */
uint32_t tree_find(const struct tree *t, uint32_t from, const char *path);
struct span tree_value(const struct tree *t, uint32_t from, const char *path);

/* ---- invoice.c, xjustiz.c: what is read this way --------------------------------------------- */

void invoice_parse(struct builder *b, struct span file);
void xjustiz_parse(struct builder *b, struct span file);
/* Is the root element of what begins with 'head' one of these? DOC_UNKNOWN: no. For detect.c. */
enum doc_format tree_format(struct span head);

#endif
