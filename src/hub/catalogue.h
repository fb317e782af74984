/* hub/catalogue.h: which models there are, where, how large, under which licence.
 *
 * The catalogue is data: catalogue.json beside this header, compiled into the program, and a file
 * of the same form that a person may keep for models of their own (its entries win). A model has
 * builds: the same weights at different precisions. A build has files. A file with a SHA-256 is
 * pinned: nothing else is ever accepted under its name. One without is "approximate" in size, and
 * its hash is taken from the hub at the first download, shown, and pinned in the manifest.
 *
 * docs/MODELS.md describes the form. Immutable after reading; thread-safe. */
#ifndef HUB_CATALOGUE_H
#define HUB_CATALOGUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/span.h"
#include "base/status.h"
#include "model/shape.h"

enum model_role { ROLE_CHAT, ROLE_EMBED, ROLE_RERANK, N_ROLES };
const char *model_role_name(enum model_role r);
/* False when 'name' is none of the three. */
bool model_role_parse(enum model_role *out, const char *name);

struct catalogue_file {
    const char *path; /* in the repository                                          */
    const char *as;   /* in the model's folder: the path, for a GGUF its last part  */
    uint64_t bytes;
    bool approximate;   /* 'bytes' is for planning only                               */
    const char *sha256; /* 64 hex digits, or ""                                       */
    bool vision;        /* for images only: the model works without it                */
};

struct catalogue_build {
    const char *name; /* "qwen3.5-4b-q4_k_m": what is pulled, and the folder's name */
    const char *quant, *repository, *revision; /* revision: a commit, or "main" */
    const char *hub;                           /* "https://..." of the catalogue it came from */
    struct catalogue_file
        *files; /* the first is the one that the engine opens, or lies beside it */
    size_t n_files;
    uint64_t bytes; /* of all files */
    bool approximate;
    const struct catalogue_model *model;
};

struct catalogue_model {
    const char *name, *title, *license, *about;
    enum model_role role;
    struct model_shape shape; /* filled as far as the size functions look; arch and so on */
    bool has_shape;
    struct catalogue_build *builds; /* the first is the usual choice */
    size_t n_builds;
};

struct catalogue {
    struct arena arena;
    struct catalogue_model *models;
    size_t n_models;
};

/* The compiled-in catalogue; it is correct by construction (a test reads it), so failures are out
 * of memory. */
KT_MUST_CHECK enum kt_status catalogue_builtin(struct catalogue *out, struct kt_error *err);
/* From bytes; 'name' is for messages. On failure *out is empty. */
KT_MUST_CHECK enum kt_status catalogue_read(struct catalogue *out, struct span json,
                                            const char *name, struct kt_error *err);
void catalogue_deinit(struct catalogue *c);

/* The build of this name; a model's name means its first build. NULL when there is none. */
const struct catalogue_build *catalogue_find(const struct catalogue *c, const char *name);

/* What running a model takes: weights, keys and values in f16 for n_ctx tokens, recurrent state,
 * scratch memory of one step (the sizes of model/shape.h). */
struct memory_need {
    uint64_t weights, state, scratch, total;
};
KT_MUST_CHECK bool memory_need(struct memory_need *out, const struct model_shape *s,
                               uint64_t weight_bytes, size_t n_ctx, size_t n_threads);
/* The memory this process may use: the machine's, or its control group's if that is less. */
uint64_t memory_of_machine(void);
/* Does it fit? TIGHT: yes, with less than an eighth of the machine left for everything else. */
enum fit { FIT_YES, FIT_TIGHT, FIT_NO };
enum fit memory_fit(uint64_t need, uint64_t machine);
const char *fit_name(enum fit f); /* "yes", "tight", "no" */

#endif
