/* model/convert.h: a model in one container and with some types to a GGUF file with others.
 *
 * The input is a GGUF file (then only types change: names, metadata and order stay) or a folder
 * with config.json and safetensors (then names, order and some values change to what readers of
 * GGUF expect: docs/FORMATS.md lists it). A folder's model must be one that we run, every tensor of
 * it is checked first; a GGUF file may be of any architecture whose types we read.
 *
 * A folder's vision part becomes a file of its own, as readers of GGUF want it (an mmproj file): a run with
 * 'vision' writes that and nothing else.
 *
 * Tensors are read, turned and written a piece at a time: memory stays below some 100 MB (plus the
 * vocabulary) whatever the model's size. The output is the same bytes for any number of threads. */
#ifndef MODEL_CONVERT_H
#define MODEL_CONVERT_H

#include "base/pool.h"
#include "model/gguf_write.h"

/* "Q4_K_M", "Q8_0", "BF16", ...; small letters are fine. NULL past the last. */
const char *convert_type_name(size_t idx);
bool convert_type_known(const char *name);

struct importance;

struct convert_options {
    const char *type;                    /* a known name */
    const struct importance *importance; /* which weights matter (importance.h), or NULL */
    struct pool *pool;                   /* NULL: the calling thread alone */
    bool replace;                        /* the output may exist */
    bool vision; /* of a folder: its vision part; KT_E_NOTFOUND when it has none */
    void *ctx;   /* for the two functions, each of which may be NULL */
    /* Before and between pieces; false cancels. 'done' and 'total' in bytes of the output. */
    bool (*on_progress)(void *ctx, uint64_t done, uint64_t total, struct span tensor);
    /* A folder's tokenizer as metadata, for n_vocab rows (see text/tok_export.h). */
    enum kt_status (*put_tokenizer)(void *ctx, struct gguf_write *w, const struct model_file *f,
                                    size_t n_vocab, struct kt_error *err);
};

struct convert_result {
    uint64_t bytes_in, bytes_out; /* of the files */
    uint64_t n_params;
    size_t n_tensors;
    size_t n_requantised; /* tensors that were in a block format and now are in another */
    size_t
        n_unimportant; /* tensors that were quantised without importance data, though it was given */
    size_t n_fallback; /* tensors whose rows do not fit the wanted format's blocks */
};

/* KT_E_EXISTS when 'out' exists and may not be replaced, or is the input; KT_E_FORMAT for a number
 * that is not one, naming tensor and place; KT_E_CANCELLED. After a failure 'out' is untouched. */
KT_MUST_CHECK enum kt_status model_convert(const char *in, const char *out,
                                           const struct convert_options *opts,
                                           struct convert_result *result, struct kt_error *err);

#endif
