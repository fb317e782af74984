/* apps/kontor/serve.h: what `kontor serve` and `kontor doctor` know of a server's settings and models. */
#ifndef KONTOR_SERVE_H
#define KONTOR_SERVE_H

#include "api/api.h"
#include "cli.h"

/* Zero, NULL, none: not said. */
struct serve_options {
    struct str_list listen, hosts, roots;
    struct str_list chats; /* models that write: paths, or names of the home */
    const char *cert, *key, *embed, *rank;
    uint64_t n_ctx, memory_mb, streams, waiting;
    uint64_t drain_s; /* NOT_SAID: not said */
};
#define SERVE_NOT_SAID UINT64_MAX
enum { SERVE_DRAIN_S = 30, SERVE_OPTIONS = 13 };

/* The options of the command line, which write to 'o'; how many. */
size_t serve_option_table(struct serve_options *o, struct opt out[static SERVE_OPTIONS]);

/* What the command line left open is taken from the settings, and checked. KT_E_USAGE says what is wrong. */
KT_MUST_CHECK enum kt_status serve_options_fill(struct serve_options *o, struct kt_error *err);

/* The name clients call the model at 'path' by: the file's without ".gguf". Heap; NULL: out of memory. */
char *serve_model_name(const char *path);
/* Memory that programs can have without pushing anything out, in bytes. */
uint64_t serve_memory_free(void);

/* Open the models of 'o', which is filled. *signature (heap, the caller's) says which files and settings they are: while it
 * is equal, opening them again would give the same. 'before': the signature of what serves now, and stays until the new
 * ones do: what they need besides must be free. NULL: nothing serves. KT_E_LIMIT says how much is missing. */
KT_MUST_CHECK enum kt_status serve_crew_open(struct crew **out, const struct serve_options *o,
                                             const char *before, struct kt_error *err);
KT_MUST_CHECK enum kt_status serve_signature(char **out, const struct serve_options *o,
                                             struct kt_error *err);

#endif
