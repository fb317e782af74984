/* What the readers of model files share: the struct they fill, and growing it within limits.h.
 *
 *   model_file.c    opening, looking up, what both containers have in common
 *   gguf.c          one GGUF file, or the parts of a split one
 *   safetensors.c   one safetensors file
 *   model_folder.c  a folder: which weight files it has, and config.json as metadata */
#ifndef MODEL_FILE_PRIV_H
#define MODEL_FILE_PRIV_H

#include "base/arena.h"
#include "base/files.h"
#include "model/limits.h"
#include "model/model_file.h"

/* Ends every message about content that no converter writes. */
#define DAMAGED "the file is damaged: fetch or convert it again"

struct model_file {
    enum model_container container;
    char *path;
    char *dir;              /* NULL for GGUF */
    struct file_map *parts; /* [n_parts] */
    size_t n_parts, cap_parts;
    uint64_t bytes;

    struct tensor *tensors; /* in the order of the files */
    size_t n_tensors, cap_tensors;
    struct meta *metas;
    size_t n_metas, cap_metas;
    /* The same by name, for binary search; made once at the end. */
    uint32_t *tensors_by_name, *metas_by_key;

    size_t n_strings;    /* in arrays, against FILE_STRINGS_MAX */
    struct arena memory; /* names, strings and arrays that are not in a mapping as we need them */
};

/* A name from a file, made fit for a message: cut, and without bytes that a terminal would obey. */
struct shown {
    char text[80];
};
struct shown show_name(struct span name);
/* Names and keys are non-empty well-formed UTF-8 without control characters. */
bool name_is_clean(struct span name);

/* A zeroed new element at the end, or NULL: out of memory or (for these two: the caller checks
 * first) full. */
struct tensor *file_push_tensor(struct model_file *f);
struct meta *file_push_meta(struct model_file *f);
/* Map the file and keep the mapping; *out is borrowed. */
KT_MUST_CHECK enum kt_status file_push_part(struct model_file *f, const char *path,
                                            struct file_map *out, struct kt_error *err);
enum kt_status file_no_memory(struct kt_error *err);

/* Bytes of a tensor with these dims (all > 0), rows checked against the block length. 'what' is its
 * name. */
KT_MUST_CHECK enum kt_status tensor_bytes(size_t *out, const struct tensor *t,
                                          struct kt_error *err);

/* One GGUF file in memory. 'keep_meta' false reads and checks the metadata but adds none of it.
 * The split.* keys are reported; 0, 1 and -1 when absent. Nothing in the messages names the file.
 */
struct gguf_split {
    int64_t no, count, n_tensors;
    uint64_t n_found; /* tensors in this file */
};
KT_MUST_CHECK enum kt_status gguf_parse(struct model_file *f, const uint8_t *data, size_t size,
                                        bool keep_meta, struct gguf_split *split,
                                        struct kt_error *err);
/* 'path' and, when it is split, the other parts. */
KT_MUST_CHECK enum kt_status gguf_open(struct model_file *f, const char *path,
                                       struct kt_error *err);

/* The index of a model in several safetensors files: each tensor of file 'shard' must be listed
 * there, under that file. 'n_seen' counts them. */
struct json_t;
struct shard_index {
    struct json_t *weight_map; /* tensor name -> file name */
    const char *shard;
    size_t n_seen;
};
/* Did parsing end for want of memory, not because of the text? */
struct json_error_t;
bool json_out_of_memory(const struct json_error_t *je);
/* One safetensors file in memory; 'index' may be NULL. */
KT_MUST_CHECK enum kt_status safetensors_parse(struct model_file *f, const uint8_t *data,
                                               size_t size, struct shard_index *index,
                                               struct kt_error *err);
KT_MUST_CHECK enum kt_status model_folder_open(struct model_file *f, const char *path,
                                               struct kt_error *err);

/* GGUF's type numbers of metadata values; also in meta.raw_type of arrays from JSON. */
enum gguf_type {
    GGUF_U8 = 0,
    GGUF_I8 = 1,
    GGUF_U16 = 2,
    GGUF_I16 = 3,
    GGUF_U32 = 4,
    GGUF_I32 = 5,
    GGUF_F32 = 6,
    GGUF_BOOL = 7,
    GGUF_STRING = 8, /* in arrays, meta.raw points to struct span[n] */
    GGUF_ARRAY = 9,
    GGUF_U64 = 10,
    GGUF_I64 = 11,
    GGUF_F64 = 12,
};

#endif
