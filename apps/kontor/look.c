/* apps/kontor/look.c: see look.h. */
#include "look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/span.h"
#include "base/status.h"

#define VISION_START "<|vision_start|>"
#define VISION_END   "<|vision_end|>"
#define IMAGE_PAD    "<|image_pad|>"
#define VIDEO_PAD    "<|video_pad|>"

static bool cancelled(void *ctx)
{
    (void)ctx;
    return cli_interrupted();
}

void look_limit(struct look_args *a, struct kt_engine *e)
{
    if (!a->max_pixels && !a->cap_pixels)
        a->cap_pixels = kt_vision_pixels(e);
}

static void say_if_capped(const struct kt_media *m, const char *path)
{
    struct kt_media_info info;
    kt_media_info(m, &info);
    if (info.capped)
        fprintf(stderr,
                "%s: looked at in %u x %u pixels, not %u x %u: more would take this machine long; "
                "--max-pixels N for more\n",
                path_base(path), info.input.width, info.input.height, info.source_width,
                info.source_height);
}

enum kt_status look_add(struct look *l, const struct look_args *a, bool video, const char *path,
                        const char *model, bool all_frames, struct kt_error *err)
{
    struct kt_media_options o = { .model_path = model,
                                  .source_fps = a->fps,
                                  .image_max_pixels = a->max_pixels,
                                  .video_max_pixels = a->max_pixels,
                                  .cap_pixels = a->cap_pixels,
                                  .all_frames = all_frames,
                                  .cancelled = cancelled };
    struct kt_media **items = realloc(l->items, (l->n + 1) * sizeof(*items));
    if (!items)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    l->items = items;
    enum kt_status st = video ? kt_media_open_video(&items[l->n], path, &o, err)
                              : kt_media_open_image(&items[l->n], path, &o, err);
    if (st)
        return st;
    say_if_capped(l->items[l->n], path);
    l->n++;
    l->n_images += !video;
    return KT_OK;
}

enum kt_status look_open(struct look *out, const struct look_args *a, const char *model,
                         bool all_frames, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    *out = (struct look){ 0 };
    for (size_t i = 0; i < a->images.n && !st; i++)
        st = look_add(out, a, false, a->images.items[i], model, all_frames, err);
    for (size_t i = 0; i < a->videos.n && !st; i++)
        st = look_add(out, a, true, a->videos.items[i], model, all_frames, err);
    return st;
}

void look_close(struct look *l)
{
    for (size_t i = 0; i < l->n; i++)
        kt_media_close(l->items[i]);
    free(l->items);
    *l = (struct look){ 0 };
}

struct kt_chat_part look_part(const struct kt_media *m)
{
    struct kt_media_info info;
    kt_media_info(m, &info);
    return (struct kt_chat_part){ .kind =
                                      info.kind == KT_MEDIA_VIDEO ? KT_CHAT_VIDEO : KT_CHAT_IMAGE,
                                  .input = info.input,
                                  .seconds = info.seconds };
}

/* ---- ids that have their pads ---------------------------------------------------------------- */

void look_order(struct kt_vision_input *inputs, const struct look *l, const int32_t *ids,
                size_t n_ids, const struct kt_engine_info *info)
{
    size_t image = 0, video = l->n_images, n = 0;
    for (size_t at = 0; at < n_ids && n < l->n;) {
        bool is_image = ids[at] == info->image_pad && info->image_pad >= 0 && image < l->n_images;
        bool is_video = ids[at] == info->video_pad && info->video_pad >= 0 && video < l->n;
        struct kt_media_info m = { 0 };
        if (is_image || is_video)
            kt_media_info(l->items[is_image ? image++ : video++], &m);
        if (m.n_tokens)
            inputs[n++] = m.input;
        /* Over its pads; between a video's pairs there is text. */
        size_t left = m.n_tokens ? m.n_tokens : 1;
        for (int32_t pad = ids[at]; at < n_ids && left; at++)
            left -= ids[at] == pad || !m.n_tokens;
    }
    while (n < l->n) {
        struct kt_media_info m;
        kt_media_info(l->items[image < l->n_images ? image++ : video++], &m);
        inputs[n++] = m.input;
    }
}

size_t look_video_pads(const int32_t *ids, size_t n_ids, const struct kt_engine_info *info)
{
    size_t n = 0;
    for (size_t i = 0; i < n_ids; i++)
        n += info->video_pad >= 0 && ids[i] == info->video_pad;
    return n;
}

size_t look_video_tokens(const struct look *l)
{
    size_t n = 0;
    for (size_t i = l->n_images; i < l->n; i++) {
        struct kt_media_info m;
        kt_media_info(l->items[i], &m);
        n += m.n_tokens;
    }
    return n;
}

/* ---- text with one pad each ------------------------------------------------------------------ */

static void put_pads(struct buf *out, const char *pad, size_t n)
{
    while (n--)
        buf_append_str(out, pad);
}

static void put_video(struct buf *out, const struct kt_media_info *m)
{
    size_t n_pairs = m->input.n_frames / 2;
    for (size_t i = 0; i < n_pairs; i++) {
        buf_printf(out, "<%.1f seconds>" VISION_START, m->seconds[i]);
        put_pads(out, VIDEO_PAD, m->n_tokens / n_pairs);
        buf_append_str(out, VISION_END);
    }
}

char *look_expand(const char *text, const struct look *l)
{
    static const char WHOLE_VIDEO[] = VISION_START VIDEO_PAD VISION_END;
    struct buf out = { 0 };
    size_t image = 0, video = l->n_images;
    while (*text) {
        struct kt_media_info m;
        if (strncmp(text, IMAGE_PAD, sizeof(IMAGE_PAD) - 1) == 0 && image < l->n_images) {
            kt_media_info(l->items[image++], &m);
            put_pads(&out, IMAGE_PAD, m.n_tokens);
            text += sizeof(IMAGE_PAD) - 1;
        } else if (strncmp(text, WHOLE_VIDEO, sizeof(WHOLE_VIDEO) - 1) == 0 && video < l->n) {
            kt_media_info(l->items[video++], &m);
            put_video(&out, &m);
            text += sizeof(WHOLE_VIDEO) - 1;
        } else {
            buf_append_char(&out, *text++);
        }
    }
    buf_append_str(&out, "");
    return buf_take(&out);
}
