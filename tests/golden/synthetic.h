/* tests/golden/synthetic.h: small models of every shape, whose weights are a function of their
 * names.
 *
 * tools/reference/synthetic.py makes the same models in Python and asks the transformers library
 * for their logits; only those are committed. Here the models are written as a folder (config.json
 * and model.safetensors, bfloat16) or as GGUF with the transformations that converters apply. */
#ifndef GOLDEN_SYNTHETIC_H
#define GOLDEN_SYNTHETIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/shape.h"

enum { SYNTH_VOCAB = 1024, SYNTH_HIDDEN = 256, SYNTH_FF = 512, SYNTH_BERT_CTX = 512 };

struct synth {
    const char *name;
    enum arch arch;
    uint32_t n_layers, n_heads, n_kv_heads, head_dim;
    bool tied;
    double theta;
    double llama3_factor; /* 0: none; low 1, high 4, old context 64 */
    double yarn_factor;   /* 0: none; old context 32                */
    uint32_t nk, nv;
    uint32_t n_experts, n_used, n_ff_expert, n_ff_shared; /* 0: dense */
    bool apart;  /* a folder has one tensor for each expert, and GGUF gate and up in one */
    bool mtp;    /* with the multi-token head; NAME.mtp.gold has its logits */
    bool nested; /* the folder has "text_config" and "model.language_model." */
    bool slow;   /* decays so slow that the recurrent states remember tens of thousands of tokens */
};

extern const struct synth SYNTHS[];
extern const size_t N_SYNTHS;
const struct synth *synth_named(const char *name);
extern const struct synth SYNTH_LONG; /* "long", which is not among SYNTHS: takes minutes */

/* The first n of a model's tokens. Heap. */
int32_t *synth_tokens(const struct synth *m, size_t n);

/* Both fail the test when they cannot write. 'mats' is the type of matrices: QT_BF16 for the same
 * numbers as the folder; a block format fills them with random blocks instead. */
void synth_write_folder(const struct synth *m, const char *dir);
void synth_write_gguf(const struct synth *m, const char *path, enum qtype mats);
/* The same, and only the first n_real of its ids may be produced: the others are marked as unused. */
void synth_write_gguf_of(const struct synth *m, const char *path, enum qtype mats, size_t n_real);
/* The same into a writer, without a tokenizer: for tests that have more to say. */
struct gguf_writer;
void synth_put_gguf(struct gguf_writer *w, const struct synth *m, enum qtype mats);
struct st_writer;
void synth_put_folder(struct st_writer *w, const struct synth *m);
/* config.json; 'more', of a nested one, stands in the outer object, ending with a comma. */
struct buf;
void synth_print_config(struct buf *b, const struct synth *m, const char *more);

#endif
