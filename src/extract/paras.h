/* extract/paras.h: paragraphs being written, of documents in which text boxes and frames stand inside paragraphs: the
 * innermost one takes the text, the ones around it wait. */
#ifndef EXTRACT_PARAS_H
#define EXTRACT_PARAS_H

#include "extract/extract_priv.h"

struct paragraph {
    struct buf text;
    bool heading, list;
};

struct paras {
    struct paragraph list[PARA_DEPTH_MAX];
    size_t n;
};

/* The innermost one; NULL: none is being written. */
struct paragraph *paras_now(struct paras *p);
/* One inside it; too deep: refused. */
void paras_begin(struct paras *p, struct builder *b, bool heading);
/* Text outside of all paragraphs is none. */
void paras_text(struct paras *p, struct builder *b, struct span s);
/* The innermost one is whole; borrowed until the next begins. NULL: there is none, or 'b' has refused. */
const struct paragraph *paras_end(struct paras *p, struct builder *b);
void paras_deinit(struct paras *p);

#endif
