/* Reading a shape's numbers from a file, shared by the two kinds of container.
 *
 * A shape_reader remembers the first thing that was wrong, so that the code that fills a shape
 * reads as a list of keys and bounds. After a failure every read returns its lower bound and
 * changes nothing. */
#ifndef MODEL_SHAPE_PRIV_H
#define MODEL_SHAPE_PRIV_H

#include "model/model_file.h"
#include "model/shape.h"

struct shape_reader {
    const struct model_file *f;
    struct kt_error *err;
    enum kt_status st;
    const char *prefix; /* "llama." or "text_config.", put before every key */
};

/* What we accept. A real model lies well inside; a hostile file does not get to choose our
 * allocations. */
enum {
    D_MODEL_MAX = 1 << 16,
    N_FF_MAX = 1 << 20,
    N_VOCAB_MAX = 1 << 21,
    N_CTX_MAX = 1 << 26,
    N_HEADS_MAX = 1024,
    HEAD_DIM_MAX = 512,
    LIN_HEADS_MAX = 1024,
    LIN_DIM_MAX = 512,
};

/* The entry prefix + key, or NULL. */
const struct meta *shape_meta(const struct shape_reader *r, const char *key);
/* A number that must be there (need_*) or may be (opt_*), in [min, max]. An array of equal
 * integers, as some writers give one per layer, counts as that integer. */
uint32_t need_u32(struct shape_reader *r, const char *key, uint32_t min, uint32_t max);
uint32_t opt_u32(struct shape_reader *r, const char *key, uint32_t otherwise, uint32_t min,
                 uint32_t max);
float need_float(struct shape_reader *r, const char *key, double min, double max);
float opt_float(struct shape_reader *r, const char *key, double otherwise, double min, double max);
bool opt_bool(const struct shape_reader *r, const char *key, bool otherwise);
struct span opt_str(const struct shape_reader *r, const char *key);
/* Record a failure unless there is one already. */
void shape_fail(struct shape_reader *r, enum kt_status st, const char *fmt, ...) KT_PRINTF(3, 4);

/* Long-context forms of the rotary frequencies; all fill rope_factor and rope_attn_scale. */
void rope_factors_linear(struct model_shape *s, double factor);
void rope_factors_llama3(struct model_shape *s, double factor, double low, double high,
                         double n_ctx_old);
void rope_factors_yarn(struct model_shape *s, double factor, double n_ctx_old, double beta_fast,
                       double beta_slow, double attn_factor);

void shape_from_gguf(struct model_shape *s, struct shape_reader *r);
void shape_from_config(struct model_shape *s, struct shape_reader *r);
/* Pooling, normalisation and truncation of an embedding model, from the files that the
 * sentence-transformers library puts beside the weights; nothing changes when there are none. */
void shape_sentence_files(struct model_shape *s, struct shape_reader *r);

#endif
