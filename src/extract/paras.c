/* Paragraphs inside paragraphs; see paras.h. */
#include "extract/paras.h"

struct paragraph *paras_now(struct paras *p)
{
    return p->n ? &p->list[p->n - 1] : NULL;
}

void paras_begin(struct paras *p, struct builder *b, bool heading)
{
    if (p->n == PARA_DEPTH_MAX) {
        builder_refuse(b, REASON_TOO_DEEP, PARA_DEPTH_MAX, 0);
        return;
    }
    struct paragraph *now = &p->list[p->n++];
    buf_clear(&now->text);
    now->heading = heading;
    now->list = false;
}

void paras_text(struct paras *p, struct builder *b, struct span s)
{
    struct paragraph *now = paras_now(p);
    if (now)
        builder_collect(b, &now->text, s);
}

const struct paragraph *paras_end(struct paras *p, struct builder *b)
{
    struct paragraph *now = paras_now(p);
    if (!now || !builder_holds(b, &now->text))
        return NULL;
    p->n--;
    return now;
}

void paras_deinit(struct paras *p)
{
    for (size_t i = 0; i < PARA_DEPTH_MAX; i++)
        buf_deinit(&p->list[i].text);
}
