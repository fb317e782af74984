/* tests/golden/sighted.h: small models with a vision tower, and prompts with images for them: the twin of
 * SIGHTED and SCENES in tools/reference/synthetic.py. Weights and pixels are functions of their names. */
#ifndef GOLDEN_SIGHTED_H
#define GOLDEN_SIGHTED_H

#include "golden/synthetic.h"
#include "model/vision.h"

enum { SIGHTED_TEXT_VOCAB = 1000, SIGHTED_IMAGE_PAD = 1000, SIGHTED_VIDEO_PAD = 1001 };

struct sighted {
    struct synth text;
    uint32_t n_layers, d, n_heads, n_ff; /* of the tower; 48 x 48 positions */
};

extern const struct sighted SIGHTED[];
extern const size_t N_SIGHTED;

/* A whole folder, or the tower alone as an mmproj file: QT_BF16 for the same numbers, QT_F32, or random Q8_0
 * blocks in place of those matrices that have whole blocks. */
void sighted_write_folder(const struct sighted *m, const char *dir);
void sighted_write_tower_folder(const struct sighted *m,
                                const char *dir); /* without text weights */
void sighted_write_mmproj(const struct sighted *m, const char *path, enum qtype mats);

/* One tensor that the next of these two leaves out, or writes with one element more in its last dimension; in the
 * folder's spelling, without "model.visual.". NULL: none. */
extern const char *sighted_left_out, *sighted_misshapen;
/* Visits the tower's tensors: names in both spellings. */
void sighted_each(const struct sighted *m, void (*fn)(void *ctx, const char *hf, const char *gguf),
                  void *ctx);

enum { SCENE_MEDIA_MAX = 4 };

struct scene {
    const char *name;
    size_t n_media;
    struct {
        uint32_t n_frames, height, width;
    } sizes[SCENE_MEDIA_MAX];
};

extern const struct scene SCENES[];
extern const size_t N_SCENES;

/* Its pixels; heap, freed by the second. */
void scene_open(struct vision_input inputs[static SCENE_MEDIA_MAX], const struct scene *s);
void scene_close(struct vision_input inputs[static SCENE_MEDIA_MAX]);

#endif
