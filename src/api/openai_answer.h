/* api/openai_answer.h: what /v1/chat/completions and /v1/completions have in common.
 *
 * Both are the same work: prompts to tokens, some answers to each, whole or as events. One noun: the answer, which is all the
 * choices of a request. */
#ifndef API_OPENAI_ANSWER_H
#define API_OPENAI_ANSWER_H

#include "api/api_priv.h"
#include "api/talk.h"

struct answer {
    struct generation g;
    struct api_reply reply;
    bool is_chat;
    bool stream, with_usage;
    int64_t n_choices; /* of each prompt */
    char id[48];
    int64_t created;
    size_t index; /* of the choice that is written */
    json_t *choices;
    size_t n_prompt, n_cached, n_generated, n_thought;
};

/* The parameters of both, checked together with the route's own; and what they say, into *a. False after an answer. */
bool answer_read(struct answer *a, const char *prefix, const struct param *own, size_t n_own);
/* The choices of the prompt that stands in a->g. False when the answer is over: an error, or nobody there. */
bool answer_run(struct answer *a);
/* After the last prompt. */
void answer_finish(struct answer *a);
void answer_deinit(struct answer *a);

#endif
