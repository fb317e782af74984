/* apps/kontor/infer.h: what the commands that run a model share: opening it, reading token ids and
 * texts. */
#ifndef KONTOR_INFER_H
#define KONTOR_INFER_H

#include <stdio.h>

#include "cli.h"
#include "kontor/engine.h"

/* 'model' as cli_chat_model() or cli_embed_model() gave it: NULL is reported as a missing setting.
 */
KT_MUST_CHECK enum kt_status infer_open(struct kt_engine **out, const char *model,
                                        struct kt_error *err);

/* The setting look_seconds, as struct kt_engine_options wants it. */
KT_MUST_CHECK enum kt_status infer_look_seconds(double *seconds, struct kt_error *err);

/* With the vision part of a GGUF model; NULL: the one beside it. */
KT_MUST_CHECK enum kt_status infer_open_seeing(struct kt_engine **out, const char *model,
                                               const char *mmproj, struct kt_error *err);

/* Token ids of a text file, separated by white space ('-' is stdin); *ids is the caller's to
 * free(). */
KT_MUST_CHECK enum kt_status infer_read_tokens(const char *path, int32_t **ids, size_t *n_ids,
                                               struct kt_error *err);

/* The next line of 'in', a JSON string; KT_E_NOTFOUND at the end of input. *text is the caller's to
 * free(). */
KT_MUST_CHECK enum kt_status infer_read_json_line(FILE *in, size_t line_no, char **text,
                                                  struct kt_error *err);

/* Options of a context's memory. The types are set by infer_memory_parse(), from texts of which NULL
 * is the default; it says what is wrong and returns false otherwise. */
struct infer_memory {
    const char *kv_text, *state_text;
    enum kt_kv_type kv;
    enum kt_state_type state;
};
#define INFER_MEMORY_OPTS(m)                                                                       \
    { "--kv", NULL, OPT_STR, &(m).kv_text },                                                       \
    {                                                                                              \
        "--state", NULL, OPT_STR, &(m).state_text                                                  \
    }
bool infer_memory_parse(struct infer_memory *m, const struct command *cmd);
const char *infer_kv_name(enum kt_kv_type kv);
const char *infer_state_name(enum kt_state_type state);

/* "auto" (also NULL), "off", "mtp", "lookup". */
KT_MUST_CHECK enum kt_status infer_speculate(const char *name, enum kt_speculate *out,
                                             struct kt_error *err);

/* Options of sampling, shared by generate and chat. */
struct infer_sampling {
    double temperature, top_p, min_p, presence;
    uint64_t top_k, seed;
};
#define INFER_SAMPLING_OPTS(s)                                                                     \
    { "--temp", NULL, OPT_F64, &(s).temperature }, { "--top-k", NULL, OPT_U64, &(s).top_k },       \
        { "--top-p", NULL, OPT_F64, &(s).top_p }, { "--min-p", NULL, OPT_F64, &(s).min_p },        \
        { "--presence", NULL, OPT_F64, &(s).presence },                                            \
    {                                                                                              \
        "--seed", NULL, OPT_U64, &(s).seed                                                         \
    }
enum { INFER_N_SAMPLING_OPTS = 6 };
struct kt_sampling infer_sampling(const struct infer_sampling *s);

#endif
