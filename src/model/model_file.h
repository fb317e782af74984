/* model/model_file.h: a model as it lies on disk, whatever its container.
 *
 * model_file_open() takes a GGUF file (the first part of a split one) or a folder with config.json
 * and
 * *.safetensors, checks everything that can be checked without knowing the architecture, and gives
 * two things: metadata (typed key/value pairs) and tensors (name, type, dims, bytes inside a
 * mapping). Everything in these files is hostile until compared with the file's size.
 *
 * Dims are in GGUF's order everywhere: dims[0] is the contiguous one. A safetensors [out, in]
 * matrix appears as dims {in, out}; the bytes are the same. Tensor names are as in the file.
 *
 * For a folder, metadata keys are config.json's, nested ones joined by dots
 * ("text_config.hidden_size"), and those of tokenizer_config.json and generation_config.json under
 * "tokenizer_config." and "generation_config.". tokenizer.json itself is not flattened: text/ reads
 * it (model_file_dir). A folder without weights is opened too (zero tensors), so that `tokenize`
 * works on a folder with only tokenizer.json. A chat_template.jinja beside them becomes
 * "tokenizer_config.chat_template" when that key is absent. JSON arrays of arrays or objects are
 * flattened like objects, with the index as the name; null is as good as absent.
 *
 * Tensors of whole numbers (position ids and the like) are checked and then left out: they are not
 * weights. A safetensors tensor of more than four dimensions has its innermost ones multiplied
 * together, one without dimensions is a row of one element.
 *
 * Immutable after opening; thread-safe. Weights stay mapped until model_file_close(). */
#ifndef MODEL_MODEL_FILE_H
#define MODEL_MODEL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "base/status.h"
#include "quant/quant.h"

enum { TENSOR_DIMS_MAX = 4 };

struct tensor {
    struct span name;
    enum qtype type;
    uint32_t n_dims;
    uint64_t dims[TENSOR_DIMS_MAX]; /* unused ones are 1 */
    const void *data;               /* inside the mapping; any alignment */
    size_t bytes;
};

enum meta_type {
    META_INT,
    META_FLOAT,
    META_BOOL,
    META_STR,
    META_ARR_INT,
    META_ARR_FLOAT,
    META_ARR_BOOL,
    META_ARR_STR
};

struct meta {
    struct span key;
    enum meta_type type;
    int64_t i;       /* META_INT, META_BOOL (0/1); u64 values above INT64_MAX are refused   */
    double f;        /* META_FLOAT                                                          */
    struct span s;   /* META_STR                                                            */
    size_t n;        /* elements of an array                                                */
    const void *raw; /* array elements as in the file (GGUF); use the accessors below       */
    uint32_t raw_type;
};

enum model_container { MODEL_GGUF, MODEL_SAFETENSORS };

struct model_file;

KT_MUST_CHECK enum kt_status model_file_open(struct model_file **out, const char *path,
                                             struct kt_error *err);
/* The same from bytes in memory, which are borrowed until closing: a whole GGUF file (not a split
 * one), or one safetensors file without its folder. 'name' is for messages. */
KT_MUST_CHECK enum kt_status
model_file_open_memory(struct model_file **out, enum model_container container, const void *data,
                       size_t size, const char *name, struct kt_error *err);
void model_file_close(struct model_file *f);

enum model_container model_file_container(const struct model_file *f);
const char *model_file_path(const struct model_file *f);
const char *
model_file_dir(const struct model_file *f); /* the folder for safetensors; NULL for GGUF */
uint64_t model_file_bytes(const struct model_file *f); /* of all weight files */

size_t model_file_n_tensors(const struct model_file *f);
const struct tensor *model_file_tensor_at(const struct model_file *f, size_t idx);
/* NULL when there is none. Logarithmic or better. */
const struct tensor *model_file_tensor(const struct model_file *f, const char *name);
/* The tensor of that name with exactly those dims; otherwise NULL, and *err says what was expected and found. */
const struct tensor *model_file_tensor_of(const struct model_file *f, const char *name,
                                          const uint64_t *dims, size_t n_dims,
                                          struct kt_error *err);

size_t model_file_n_meta(const struct model_file *f);
const struct meta *model_file_meta_at(const struct model_file *f, size_t idx);
const struct meta *model_file_meta(const struct model_file *f, const char *key);

/* The value if the key exists and has (or converts exactly to) that type, else 'otherwise'. */
int64_t model_file_int(const struct model_file *f, const char *key, int64_t otherwise);
double model_file_float(const struct model_file *f, const char *key, double otherwise);
bool model_file_bool(const struct model_file *f, const char *key, bool otherwise);
struct span model_file_str(const struct model_file *f, const char *key); /* empty when absent */

/* Element idx (< m->n) of an array. Strings: O(1), an offset table is made at opening. */
int64_t meta_arr_int(const struct meta *m, size_t idx);
double meta_arr_float(const struct meta *m, size_t idx);
struct span meta_arr_str(const struct meta *m, size_t idx);

#endif
