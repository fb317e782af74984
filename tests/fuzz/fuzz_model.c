/* Any bytes as a GGUF file, taken as far as an engine takes it: shape, weights, state sizes,
 * tokenizer; an mmproj file: shape, weights, size of its scratch memory. A file may be refused at each step, with a reason; nothing may be read that is not
 * there. */
#include <stdlib.h>
#include <string.h>

#include "kernels/kernels.h"
#include "model/model.h"
#include "model/vision.h"
#include "text/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void need_reason(enum kt_status st, const struct kt_error *err)
{
    if (st && (err->status != st || err->text[0] == '\0'))
        abort();
}

static void use_tokenizer(const struct model_file *f)
{
    struct tokenizer *t;
    struct kt_error err = { 0 };
    enum kt_status st = tokenizer_open(&t, f, &err);
    need_reason(st, &err);
    if (st)
        return;
    struct token_vec ids = { 0 };
    struct buf text = { 0 };
    st = tokenizer_encode(t, &ids, SPAN("Der Vertrag endet am 31. Dezember."), TOK_FRAME, &err);
    need_reason(st, &err);
    tokenizer_decode(t, &text, ids.ids, ids.n, true);
    (void)chat_layout_of(f, t);
    buf_deinit(&text);
    token_vec_deinit(&ids);
    tokenizer_close(t);
}

static void use_vision(const struct model_file *f, const struct kernels *k)
{
    struct vision *v;
    struct kt_error err = { 0 };
    if (!vision_in_file(f))
        return;
    enum kt_status st = vision_create(&v, f, k, NULL, 0, &err);
    need_reason(st, &err);
    if (st)
        return;
    size_t scratch;
    (void)!vision_scratch_size(&scratch, vision_shape_of(v), &(struct vision_grid){ 1, 34, 60 }, 4);
    vision_destroy(v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kernels k;
    if (!k.rmsnorm)
        kernels_init(&k, 0);
    struct model_file *f;
    struct model *m;
    struct kt_error err = { 0 };
    if (model_file_open_memory(&f, MODEL_GGUF, data, size, "input", &err))
        return 0;
    enum kt_status st = model_create(&m, f, &k, NULL, &err);
    need_reason(st, &err);
    if (!st) {
        struct state_sizes sizes;
        size_t scratch;
        (void)!state_sizes(&sizes, model_shape_of(m), 4096, (struct state_types){ .kv = KV_F16 });
        (void)!scratch_size(&scratch, model_shape_of(m), 512, 4);
    }
    model_destroy(m);
    use_vision(f, &k);
    use_tokenizer(f);
    model_file_close(f);
    return 0;
}
