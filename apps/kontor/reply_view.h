/* apps/kontor/reply_view.h: an answer as people and scripts see it: what the model says on stdout, what it
 * thinks on stderr, the tools it calls as a line of JSON each. */
#ifndef KONTOR_REPLY_VIEW_H
#define KONTOR_REPLY_VIEW_H

#include "cli.h"
#include "kontor/chat.h"

struct reply_args {
    bool think, no_think;
    const char *tools_path;
};
#define REPLY_OPTS(a)                                                                              \
    { "--think", NULL, OPT_FLAG, &(a).think }, { "--no-think", NULL, OPT_FLAG, &(a).no_think },    \
    {                                                                                              \
        "--tools", NULL, OPT_STR, &(a).tools_path                                                  \
    }
#define REPLY_HELP                                                                                 \
    "  --think, --no-think    let it think before it answers, or not (default: as the model was\n" \
    "                    made: Qwen3.5 of 0.8B and 2B does not, larger ones do). Thoughts go to\n" \
    "                    stderr\n"                                                                 \
    "  --tools FILE      JSON: an array of {\"type\":\"function\",\"function\":{\"name\",\n"       \
    "                    \"description\",\"parameters\"}} that the model may call\n"

/* What the arguments say; out->tools is the caller's to free(). */
KT_MUST_CHECK enum kt_status reply_view_options(struct kt_chat_options *out,
                                                const struct reply_args *a, struct kt_error *err);

/* Shows a reply while it comes. */
struct reply_view {
    struct kt_reply_parser *parser;
    bool quiet;    /* nothing is shown (--json) */
    bool thinking; /* the last thing shown was a thought */
    bool mid_line; /* ... was text without a line end    */
    bool failed;   /* stdout cannot be written, or memory is out */
};
KT_MUST_CHECK enum kt_status reply_view_open(struct reply_view *v, const struct kt_chat_options *o,
                                             bool thinking, bool quiet, struct kt_error *err);
void reply_view_close(struct reply_view *v);
/* For kt_generate_request.on_text, with the view as its ctx. */
bool reply_view_text(void *ctx, const char *text, size_t len);
/* Everything there was; borrowed until close. */
KT_MUST_CHECK enum kt_status reply_view_finish(struct reply_view *v, const struct kt_reply **out,
                                               struct kt_error *err);
/* Adds "reasoning", "content" and "tool_calls". */
void reply_view_json(json_t *object, const struct kt_reply *r);

#endif
