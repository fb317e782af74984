/* apps/kontor/form.h: what an answer may look like, as the commands take it: a grammar, a regular expression, a list of
 * labels; and the texts that it may quote. */
#ifndef KONTOR_FORM_H
#define KONTOR_FORM_H

#include "base/span.h"
#include "cli.h"
#include "kontor/engine.h"

struct form_args {
    const char *grammar, *regex, *labels, *schema, *space;
    bool strict;
    struct str_list sources;
};
#define FORM_OPTS(a)                                                                               \
    { "--grammar", NULL, OPT_STR, &(a).grammar }, { "--regex", NULL, OPT_STR, &(a).regex },        \
        { "--labels", NULL, OPT_STR, &(a).labels }, { "--schema", NULL, OPT_STR, &(a).schema },    \
        { "--strict", NULL, OPT_FLAG, &(a).strict }, { "--space", NULL, OPT_STR, &(a).space },     \
    {                                                                                              \
        "--source", NULL, OPT_STR_LIST, &(a).sources                                               \
    }
#define FORM_HELP                                                                                  \
    "  --grammar FILE    the answer is a text of this grammar (docs/CONSTRAIN.md)\n"               \
    "  --regex PATTERN   ... matches this regular expression as a whole\n"                         \
    "  --labels A,B,C    ... is one of these\n"                                                    \
    "  --schema FILE     ... is JSON that satisfies this JSON Schema\n"                            \
    "  --strict          with --schema: objects have the properties that are named, and no "       \
    "others\n"                                                                                     \
    "  --space S         with --schema: one (default; a space may follow : and ,), none, or "      \
    "lines\n"                                                                                      \
    "  --source FILE     a text that the answer may quote: where the grammar says @quote, or, "    \
    "without a\n"                                                                                  \
    "                    grammar, between quotation marks; may be given several times\n"

struct form {
    struct kt_grammar *grammar; /* NULL: free text */
    struct buf *texts;          /* [n_sources] */
    struct kt_quote_source *sources;
    size_t n_sources;
};

/* After a failure there is nothing to deinit. */
KT_MUST_CHECK enum kt_status form_open(struct form *f, const struct form_args *a,
                                       struct kt_error *err);
void form_deinit(struct form *f);
/* The grammar that --schema becomes, to standard output. */
KT_MUST_CHECK enum kt_status form_show(const struct form_args *a, struct kt_error *err);
/* Into a request, whose prompt ends in a thought, or may be followed by one. */
void form_apply(const struct form *f, bool thinking, bool may_think,
                struct kt_generate_request *rq);

#endif
