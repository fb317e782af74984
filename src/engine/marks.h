/* engine/marks.h: where in a prompt checkpoints are worth their memory.
 *
 * Another prompt goes on from this one where a message ends (the next one, or another in its place), where the
 * assistant's turn has been opened but not its thoughts (which are left out of later prompts), behind an image,
 * where a document ends and a question about it begins, or where two prompts parted before. The layout's control
 * tokens and the breaks of the text tell most of that; whoever builds the prompt need not say it. Where nothing tells
 * anything, checkpoints lie in growing steps from the end. */
#ifndef ENGINE_MARKS_H
#define ENGINE_MARKS_H

#include "engine/engine_priv.h"

enum {
    MARKS_MAX = 24,
    /* Reading so many tokens again costs hardly more than one step: no two marks closer together. */
    MARKS_NEAR = 16,
    MARKS_APART = 256, /* messages that are not the last ones */
    MARKS_FAR = 1024,  /* in long texts without any */
};

struct marks {
    size_t at[MARKS_MAX]; /* [n] ascending: a checkpoint after so many tokens */
    size_t n;
};

/* Of tokens, the first n_from of which are computed already; 'common': how far they are the same as something that
 * is kept. */
void marks_choose(struct marks *m, const struct kt_engine *e, const int32_t *tokens, size_t n,
                  size_t n_from, size_t common);
/* The first mark behind 'at', or n. */
size_t marks_next(const struct marks *m, size_t at, size_t n);
bool marks_has(const struct marks *m, size_t at);

#endif
