#include "quality/looks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"

enum kt_status looks_open(struct looks *l, const struct question *q, const char *model_path,
                          struct kt_error *err)
{
    struct kt_media_options mo = { .model_path = model_path };
    enum kt_status st = KT_OK;
    for (uint32_t i = 0; i < q->n_images + (q->video ? 1u : 0u) && !st; i++) {
        struct kt_media_info info;
        bool image = i < q->n_images;
        st = image ? kt_media_open_image(&l->open[l->n], q->images[i], &mo, err)
                   : kt_media_open_video(&l->open[l->n], q->video, &mo, err);
        if (st)
            break;
        kt_media_info(l->open[l->n], &info);
        l->inputs[l->n] = info.input;
        l->parts[l->n++] = (struct kt_chat_part){ .kind = image ? KT_CHAT_IMAGE : KT_CHAT_VIDEO,
                                                  .input = info.input,
                                                  .seconds = info.seconds };
    }
    return st;
}

void looks_close(struct looks *l)
{
    for (size_t i = 0; i < l->n; i++)
        kt_media_close(l->open[i]);
    l->n = 0;
}

/* What is put together. */
struct put {
    const struct kt_engine *e;
    int32_t *ids;
    size_t n;
};

static enum kt_status put_ids(struct put *p, const int32_t *ids, size_t n, struct kt_error *err)
{
    size_t total, bytes;
    int32_t *to = NULL;
    if (size_add(&total, p->n, n) && size_mul(&bytes, MAX(total, (size_t)1), sizeof(*to)))
        to = realloc(p->ids, bytes);
    if (!to)
        return kt_fail(err, KT_E_NOMEM, "tokens of an image: out of memory");
    if (n)
        memcpy(to + p->n, ids, n * sizeof(*ids));
    p->ids = to;
    p->n = total;
    return KT_OK;
}

static enum kt_status put_text(struct put *p, const char *text, unsigned mode, struct kt_error *err)
{
    int32_t *ids;
    size_t n;
    enum kt_status st = kt_tokenize(p->e, text, strlen(text), mode, &ids, &n, err);
    if (st)
        return st;
    st = put_ids(p, ids, n, err);
    free(ids);
    return st;
}

static enum kt_status put_pads(struct put *p, int32_t pad, size_t n, struct kt_error *err)
{
    enum kt_status st = put_text(p, "<|vision_start|>", KT_TOKENS_SPECIAL, err);
    for (size_t i = 0; i < n && !st; i++)
        st = put_ids(p, &pad, 1, err);
    return st ? st : put_text(p, "<|vision_end|>", KT_TOKENS_SPECIAL, err);
}

static enum kt_status put_one(struct put *p, const struct kt_chat_part *part, int32_t pad,
                              struct kt_error *err)
{
    size_t n = kt_vision_tokens(&part->input), n_pairs = part->input.n_frames / 2;
    if (part->kind == KT_CHAT_IMAGE)
        return put_pads(p, pad, n, err);
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < n_pairs && !st; i++) {
        char time[32];
        snprintf(time, sizeof(time), "<%.1f seconds>", part->seconds[i]);
        st = put_text(p, time, KT_TOKENS_PLAIN, err);
        if (!st)
            st = put_pads(p, pad, n / n_pairs, err);
    }
    return st;
}

enum kt_status looks_append(const struct looks *l, const struct kt_engine *e, int32_t **ids,
                            size_t *n, struct kt_error *err)
{
    struct kt_engine_info info;
    struct put p = { e, *ids, *n };
    enum kt_status st = KT_OK;
    kt_engine_info(e, &info);
    if (l->n && (info.image_pad < 0 || info.video_pad < 0))
        return kt_fail(err, KT_E_UNSUPPORTED,
                       "a question with images, and this model sees none; take one that does");
    for (size_t i = 0; i < l->n && !st; i++)
        st = put_one(&p, &l->parts[i],
                     l->parts[i].kind == KT_CHAT_IMAGE ? info.image_pad : info.video_pad, err);
    *ids = p.ids;
    *n = p.n;
    return st;
}
