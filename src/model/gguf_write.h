/* model/gguf_write.h: writing a GGUF file (version 3) as a stream.
 *
 *     gguf_write_open(&w, path)          a temporary file beside 'path'
 *     gguf_write_str(w, key, value) ...  metadata, any number, kept in memory
 *     gguf_write_tensor(w, name, ...)    every tensor's description, in order
 *     gguf_write_data(w, bytes, n) ...   the tensors' bytes in that order, in pieces of any size
 *     gguf_write_finish(w)               padding, fsync, rename into place
 *     gguf_write_close(w)                frees; without a successful finish the temporary file goes
 *
 * Nothing is ever half there: 'path' keeps its old content until the rename. Memory is the
 * metadata's, about 15 MB for a large vocabulary, whatever the size of the tensors. The first
 * failure is remembered: metadata functions return nothing, and every later step fails with it. */
#ifndef MODEL_GGUF_WRITE_H
#define MODEL_GGUF_WRITE_H

#include "model/model_file.h"

struct gguf_write;

KT_MUST_CHECK enum kt_status gguf_write_open(struct gguf_write **out, const char *path,
                                             struct kt_error *err);
void gguf_write_close(struct gguf_write *w); /* NULL is fine */

void gguf_write_u32(struct gguf_write *w, const char *key, uint32_t v);
void gguf_write_f32(struct gguf_write *w, const char *key, float v);
void gguf_write_bool(struct gguf_write *w, const char *key, bool v);
void gguf_write_str(struct gguf_write *w, const char *key, struct span v);
void gguf_write_arr_i32(struct gguf_write *w, const char *key, const int32_t *v, size_t n);
void gguf_write_arr_f32(struct gguf_write *w, const char *key, const float *v, size_t n);
void gguf_write_arr_bool(struct gguf_write *w, const char *key, const bool *v, size_t n);
/* An array of strings: the head, and then exactly n strings. */
void gguf_write_arr_str(struct gguf_write *w, const char *key, size_t n);
void gguf_write_arr_str_item(struct gguf_write *w, struct span v);
/* An entry of another GGUF file, with the very type it has there. */
void gguf_write_meta(struct gguf_write *w, const struct meta *m);

/* dims in GGUF's order, all > 0, rows of whole blocks: the caller's own numbers. */
KT_MUST_CHECK enum kt_status gguf_write_tensor(struct gguf_write *w, struct span name,
                                               enum qtype type, uint32_t n_dims,
                                               const uint64_t *dims, struct kt_error *err);
KT_MUST_CHECK enum kt_status gguf_write_data(struct gguf_write *w, const void *ptr, size_t len,
                                             struct kt_error *err);
/* Bytes of the whole file, known when all tensors are described. */
uint64_t gguf_write_bytes(const struct gguf_write *w);
KT_MUST_CHECK enum kt_status gguf_write_finish(struct gguf_write *w, struct kt_error *err);

#endif
