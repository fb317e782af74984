/* api/notes.h: what is remembered of each token of an answer while it is written.
 *
 * One noun: the notes. They count the tokens of thoughts, for usage, and keep what the model thought of each token of the text,
 * for those who ask for log-probabilities. A token is of a thought, of what is said, or of a tool's call; only what is said has
 * log-probabilities in an answer, and a token is given out with the first piece of text that has a byte of it. */
#ifndef API_NOTES_H
#define API_NOTES_H

#include <jansson.h>

#include "base/span.h"
#include "kontor/engine.h"

enum note_place { NOTE_THOUGHT, NOTE_SAID, NOTE_CALL };

struct notes {
    const struct kt_engine *engine; /* borrowed */
    bool plain;                     /* everything is said: no marks are looked for */
    bool keep;                      /* log-probabilities are wanted                */
    size_t n_top;
    enum note_place place;
    char tail[16]; /* the last bytes: a mark may be a token or several */
    size_t n_tail;
    bool before_text; /* white space between a thought and the text is of neither */
    size_t n_thought; /* tokens of thoughts, marks included */
    size_t n_calls;   /* of tools, complete */
    size_t n_seen;    /* bytes of all tokens */
    struct buf list;  /* struct note, see notes.c */
    struct buf tops;  /* [n][n_top] ids, then numbers */
    size_t n_given;
    size_t n_chars; /* of the tokens given out, for text_offset */
};

/* For a new answer; 'thinking': it begins inside a thought. */
void notes_begin(struct notes *n, const struct kt_engine *e, bool plain, bool thinking, bool keep,
                 size_t n_top);
/* Token by token. text_end counts from where the generation began, 'base' is what was written before it. */
void notes_add(struct notes *n, const struct kt_token *t, size_t base);
/* Those not given out yet that begin before byte 'until': an array as in chat completions and responses, or an object as in
 * completions. */
json_t *notes_take(struct notes *n, size_t until);
json_t *notes_take_plain(struct notes *n, size_t until);
void notes_deinit(struct notes *n);

#endif
