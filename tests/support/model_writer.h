/* tests/support/model_writer.h: tiny model files for tests: GGUF and safetensors, written in
 * memory.
 *
 *     struct gguf_writer w = { 0 };
 *     gguf_put_str(&w, "general.architecture", "llama");
 *     gguf_put_u32(&w, "llama.block_count", 2);
 *     gguf_put_random(&w, "token_embd.weight", QT_Q4_K, 2, (uint64_t[]){ 256, 512 }, 0.05f);
 *     gguf_writer_save(&w, path);                     // fails the test when it cannot
 *     gguf_writer_deinit(&w);
 *
 * Dims are in GGUF's order (the contiguous one first); safetensors' functions take them so too and
 * write them reversed.
 *
 * Random weights are a function of the tensor's name and the element's index alone, so that a
 * reference in another language makes the same model: h    = FNV-1a 64 of the name's bytes x    =
 * splitmix64's finaliser of (h + (i + 1) * 0x9E3779B97F4A7C15) v[i] = ((x >> 40) / 2^23 - 1) *
 * scale, in float: uniform in [-scale, scale) and for F16 and BF16 rounded to nearest even. For the
 * block formats, the block's bytes are the low bytes of x for i = byte index, after which each
 * half-precision scale is set to a value of about 'scale' / the largest level. */
#ifndef SUPPORT_MODEL_WRITER_H
#define SUPPORT_MODEL_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "quant/quant.h"

/* ---- GGUF ------------------------------------------------------------------------------------ */

/* Zero-initialise. Tests of the reader may poke every field before finishing. */
struct gguf_writer {
    struct buf metas, infos, data;
    uint64_t n_metas, n_tensors;
    uint32_t version;   /* 0: 3  */
    uint64_t alignment; /* 0: 32; put "general.alignment" too if it is another */
};

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v);
void gguf_put_u64(struct gguf_writer *w, const char *key, uint64_t v);
void gguf_put_i32(struct gguf_writer *w, const char *key, int32_t v);
void gguf_put_f32(struct gguf_writer *w, const char *key, float v);
void gguf_put_bool(struct gguf_writer *w, const char *key, bool v);
void gguf_put_str(struct gguf_writer *w, const char *key, const char *v);
void gguf_put_arr_i32(struct gguf_writer *w, const char *key, const int32_t *v, size_t n);
void gguf_put_arr_f32(struct gguf_writer *w, const char *key, const float *v, size_t n);
void gguf_put_arr_bool(struct gguf_writer *w, const char *key, const bool *v, size_t n);
void gguf_put_arr_str(struct gguf_writer *w, const char *key, const char *const *v, size_t n);
/* The parts of an entry, for files that are wrong on purpose: a key and its type; a length-prefixed
 * string. */
void gguf_put_key(struct gguf_writer *w, const char *key, uint32_t type);
void gguf_raw_str(struct buf *b, struct span s);
void gguf_raw_u32(struct buf *b, uint32_t v);
void gguf_raw_u64(struct buf *b, uint64_t v);

/* 'data' NULL: zeros. */
void gguf_put_tensor(struct gguf_writer *w, const char *name, enum qtype type, uint32_t n_dims,
                     const uint64_t *dims, const void *data);
void gguf_put_random(struct gguf_writer *w, const char *name, enum qtype type, uint32_t n_dims,
                     const uint64_t *dims, float scale);

/* Append the file to 'out'. */
void gguf_writer_finish(const struct gguf_writer *w, struct buf *out);
void gguf_writer_save(const struct gguf_writer *w, const char *path);
void gguf_writer_deinit(struct gguf_writer *w);

/* ---- safetensors ----------------------------------------------------------------------------- */

struct st_writer {
    struct buf header, data; /* header: the JSON so far, without its closing brace */
};

/* type is QT_F32, QT_F16 or QT_BF16. */
void st_put_tensor(struct st_writer *w, const char *name, enum qtype type, uint32_t n_dims,
                   const uint64_t *dims, const void *data);
void st_put_random(struct st_writer *w, const char *name, enum qtype type, uint32_t n_dims,
                   const uint64_t *dims, float scale);
/* One entry as JSON text, and its bytes: for everything else. */
void st_put_raw(struct st_writer *w, const char *json, const void *data, size_t size);
void st_writer_finish(const struct st_writer *w, struct buf *out);
void st_writer_save(const struct st_writer *w, const char *path);
void st_writer_deinit(struct st_writer *w);

/* ---- values ---------------------------------------------------------------------------------- */

/* n values of tensor 'name', as described at the top. */
void random_weights(float *out, const char *name, size_t n, float scale);
/* n elements in 'type', appended. n is a multiple of the block. */
void random_blocks(struct buf *out, const char *name, enum qtype type, size_t n, float scale);

/* A new folder under $TMPDIR, heap; and removing it with everything in it. Both fail the test when
 * they cannot. */
char *temp_dir_make(void);
void temp_dir_remove(char *dir);
/* Write a file of the test's; fails the test when it cannot. */
void save_file(const char *dir, const char *name, const void *ptr, size_t len);

#endif
