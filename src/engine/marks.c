#include "engine/marks.h"

#include <string.h>

#include "base/size.h"

enum {
    TAIL = 512, /* tokens of the last message whose breaks count */
    BREAKS_MAX = 2,
    SHORT = 64, /* new tokens that are read in one step: each mark more would cost one */
    STEP_FIRST = 32,
    STEP_GROWS = 2,
    STEP_LAST = 512,
    OPENING_MAX = 24, /* tokens from the assistant's turn to the end of a prompt */
};

struct reader {
    const struct kt_engine *e;
    const int32_t *tokens;
    size_t n, n_from;
    int32_t turn, think, image_end; /* ids, -1: none */
    struct marks *m;
};

static bool is_near(const struct reader *r, size_t at, size_t distance)
{
    for (size_t i = 0; i < r->m->n; i++) {
        size_t a = r->m->at[i];
        if ((a > at ? a - at : at - a) < distance)
            return true;
    }
    return false;
}

static void add(struct reader *r, size_t at, size_t distance)
{
    if (at <= r->n_from || at > r->n || r->m->n == MARKS_MAX || is_near(r, at, distance))
        return;
    size_t i = r->m->n++;
    for (; i > 0 && r->m->at[i - 1] > at; i--)
        r->m->at[i] = r->m->at[i - 1];
    r->m->at[i] = at;
}

static int32_t find_id(const struct kt_engine *e, const char *text)
{
    return e->tokenizer ? tokenizer_find(e->tokenizer, span_of(text)) : -1;
}

/* The last token 'id' before 'end', or SIZE_MAX. */
static size_t last_of(const struct reader *r, int32_t id, size_t end)
{
    for (size_t i = end; id >= 0 && i-- > 0;)
        if (r->tokens[i] == id)
            return i;
    return SIZE_MAX;
}

/* Behind the last breaks of the text [start, end): where paragraphs end, or if there are none, lines. */
static void add_breaks(struct reader *r, size_t start, size_t end, size_t n_newlines)
{
    size_t n = 0, found = r->m->n;
    for (size_t i = end; i-- > start && n < BREAKS_MAX;) {
        struct span text = tokenizer_bytes(r->e->tokenizer, r->tokens[i], false);
        size_t count = 0;
        for (size_t k = 0; k < text.len; k++)
            count += text.ptr[k] == '\n';
        if (count < n_newlines || i + 1 == end)
            continue;
        add(r, i + 1, MARKS_NEAR);
        n++;
    }
    if (r->m->n == found && n_newlines > 1)
        add_breaks(r, start, end, 1);
}

/* Nothing says where the end of a text begins to differ: in growing steps from it, so that hardly more is read again
 * than is new. */
static void add_steps(struct reader *r, size_t end)
{
    for (size_t step = STEP_FIRST; step <= STEP_LAST && step < end; step *= STEP_GROWS)
        add(r, end - step, MARKS_NEAR);
}

/* The end of the prompt: the opening of the assistant's turn, and the last message. */
static void add_end(struct reader *r)
{
    size_t turn = last_of(r, r->turn, r->n), think = last_of(r, r->think, r->n);
    bool opened = turn != SIZE_MAX && r->n - turn <= OPENING_MAX;
    if (opened && think != SIZE_MAX && think > turn)
        add(r, think, MARKS_NEAR);
    add(r, r->n, MARKS_NEAR);
    if (r->n - r->n_from <= SHORT)
        return;
    if (turn == SIZE_MAX) {
        add_steps(r, r->n);
        return;
    }
    size_t end = opened ? turn : r->n, start = opened ? last_of(r, r->turn, turn) : turn;
    add(r, end, MARKS_NEAR);
    if (start == SIZE_MAX)
        return;
    add(r, start, MARKS_NEAR);
    size_t tail = MAX(MAX(start, r->n_from), end > TAIL ? end - TAIL : 0), found = r->m->n;
    add_breaks(r, tail, end, 2);
    if (r->m->n == found && end > start + TAIL)
        add_steps(r, end);
}

/* Messages and images that are far enough from each other, then the emptiest stretches. */
static void add_others(struct reader *r)
{
    size_t length = r->n - r->n_from, apart = MAX((size_t)MARKS_APART, length / 16);
    for (size_t i = r->n_from; i < r->n; i++) {
        if (r->turn >= 0 && r->tokens[i] == r->turn)
            add(r, i, apart);
        else if (r->image_end >= 0 && r->tokens[i] == r->image_end)
            add(r, i + 1, apart);
    }
    size_t far = MAX((size_t)MARKS_FAR, length / 8);
    for (size_t i = r->n_from + far; i < r->n; i += far)
        add(r, i, far / 2);
}

void marks_choose(struct marks *m, const struct kt_engine *e, const int32_t *tokens, size_t n,
                  size_t n_from, size_t common)
{
    m->n = 0;
    struct reader r = { .e = e,
                        .tokens = tokens,
                        .n = n,
                        .n_from = n_from,
                        .turn = find_id(e, "<|im_start|>"),
                        .think = find_id(e, "<think>"),
                        .image_end = find_id(e, "<|vision_end|>"),
                        .m = m };
    if (model_can_cut(e->model)) { /* it may begin anywhere in what is kept */
        add(&r, n, 1);
        return;
    }
    add(&r, common, MARKS_NEAR);
    add_end(&r);
    add_others(&r);
}

size_t marks_next(const struct marks *m, size_t at, size_t n)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->at[i] > at)
            return MIN(m->at[i], n);
    return n;
}

bool marks_has(const struct marks *m, size_t at)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->at[i] == at)
            return true;
    return false;
}
