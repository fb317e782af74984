/* api/talk_media.c: images and videos of a conversation. They come inside of the request, never from an address: nothing a client
 * says makes this server call out. */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "api/spool.h"
#include "api/talk.h"

enum { FRAMES_MAX = 256 }; /* of a video that is sent as pictures */

static bool stop_decoding(void *ctx)
{
    return caller_gone(ctx);
}

static struct kt_media_options options_of(struct api_talk *t)
{
    return (struct kt_media_options){ .model_path = t->call->chat_path,
                                      .cap_pixels = kt_vision_pixels(desk_chat(t->call->desk)),
                                      .cancelled = stop_decoding,
                                      .ctx = t->call };
}

/* Is there room for one more, and somebody to look at it? */
static bool may_see(struct api_talk *t)
{
    struct kt_engine_info info;
    kt_engine_info(desk_chat(t->call->desk), &info);
    if (info.sees && t->n_media < MEDIA_MAX)
        return true;
    reply_error(t->call, 400, NULL, "unsupported_content", t->param,
                info.sees ? "more than %d images and videos in one conversation"
                          : "this model does not see images (%d at most with one that does)",
                MEDIA_MAX);
    return false;
}

/* Heap; NULL after an answer. */
static char *from_base64(struct api_talk *t, const char *text, size_t len, size_t *n)
{
    size_t cap = len / 4 * 3 + 3;
    unsigned char *bytes = malloc(cap);
    if (!bytes) {
        api_talk_nomem(t);
    } else if (sodium_base642bin(bytes, cap, text, len, "\r\n", n, NULL,
                                 sodium_base64_VARIANT_ORIGINAL)) {
        api_talk_refuse(t, t->param, "an image or a video is not valid base64");
        free(bytes);
        bytes = NULL;
    }
    return (char *)bytes;
}

/* What was opened becomes a part; false after an answer. */
static bool take(struct api_talk *t, enum kt_status st, struct kt_media *m,
                 const struct kt_error *err, struct kt_chat_part *out)
{
    struct kt_media_info info;
    if (st == KT_E_CANCELLED || st == KT_E_NOMEM)
        reply_kt_error(t->call, err);
    else if (st)
        reply_error(t->call, 400, NULL, "invalid_value", t->param, "%s", err->text);
    if (st)
        return false;
    t->media[t->n_media++] = m;
    kt_media_info(m, &info);
    *out =
        (struct kt_chat_part){ .kind = info.kind == KT_MEDIA_VIDEO ? KT_CHAT_VIDEO : KT_CHAT_IMAGE,
                               .input = info.input,
                               .seconds = info.seconds };
    return true;
}

bool api_talk_image(struct api_talk *t, const char *base64, size_t len, struct kt_chat_part *out)
{
    struct kt_media *m = NULL;
    struct kt_error err;
    struct kt_media_options o = options_of(t);
    size_t n = 0;
    char *bytes = may_see(t) ? from_base64(t, base64, len, &n) : NULL;
    if (!bytes)
        return false;
    enum kt_status st =
        kt_media_open_image_bytes(&m, bytes, n, "an image of the request", &o, &err);
    free(bytes);
    return take(t, st, m, &err, out);
}

/* The base64 of "data:KIND/...;base64,..."; NULL: it is something else. */
static const char *data_of(const json_t *url, const char *kind)
{
    const char *s = json_string_value(url);
    if (!s || strlen(s) != json_string_length(url) || strncmp(s, "data:", 5) != 0 ||
        strncmp(s + 5, kind, strlen(kind)) != 0)
        return NULL;
    const char *data = strstr(s, ";base64,");
    return data && data - s <= 64 ? data + strlen(";base64,") : NULL;
}

bool api_talk_image_url(struct api_talk *t, const json_t *url, struct kt_chat_part *out)
{
    const char *data = data_of(url, "image/");
    return data ? api_talk_image(t, data, strlen(data), out)
                : api_talk_refuse(t, t->param,
                                  "an image is given as data:image/...;base64,...; addresses are "
                                  "not fetched");
}

bool api_talk_video_url(struct api_talk *t, const json_t *url, struct kt_chat_part *out)
{
    struct kt_media *m = NULL;
    struct kt_error err;
    struct kt_media_options o = options_of(t);
    struct spool s = { 0 };
    size_t n = 0;
    const char *data = data_of(url, "video/");
    if (!data)
        return api_talk_refuse(t, t->param,
                               "a video is given as data:video/...;base64,..., or as its frames; "
                               "addresses are not fetched");
    char *bytes = may_see(t) ? from_base64(t, data, strlen(data), &n) : NULL;
    if (!bytes)
        return false;
    enum kt_status st = spool_write(&s, "video", (struct span){ bytes, n }, &err);
    free(bytes);
    if (!st)
        st = kt_media_open_video(&m, s.path, &o, &err);
    spool_remove(&s);
    return take(t, st, m, &err, out);
}

/* Each frame a file of the spool; false after an answer. */
static bool write_frames(struct api_talk *t, struct spool *s, const json_t *frames)
{
    struct kt_error err;
    for (size_t i = 0; i < json_array_size(frames); i++) {
        char name[32];
        size_t n = 0;
        const char *data = data_of(json_array_get(frames, i), "image/");
        if (!data)
            return api_talk_refuse(t, t->param,
                                   "a video's frames are given as data:image/...;base64,...");
        char *bytes = from_base64(t, data, strlen(data), &n);
        if (!bytes)
            return false;
        snprintf(name, sizeof(name), "frame%zu", i);
        enum kt_status st = spool_write(s, name, (struct span){ bytes, n }, &err);
        free(bytes);
        if (st) {
            reply_kt_error(t->call, &err);
            return false;
        }
    }
    return true;
}

bool api_talk_video_frames(struct api_talk *t, const json_t *frames, double fps,
                           struct kt_chat_part *out)
{
    struct kt_media *m = NULL;
    struct kt_error err;
    struct kt_media_options o = options_of(t);
    struct spool s = { 0 };
    size_t n = json_array_size(frames);
    o.source_fps = fps;
    o.all_frames = true; /* whoever sends frames has chosen them */
    if (n < 2 || n > FRAMES_MAX || !(fps > 0 && fps <= 1000))
        return api_talk_refuse(t, t->param, "a video has 2 to 256 frames, and up to 1000 a second");
    bool ok = may_see(t) && write_frames(t, &s, frames);
    if (ok) {
        enum kt_status st = kt_media_open_video(&m, s.dir, &o, &err);
        ok = take(t, st, m, &err, out);
    }
    spool_remove(&s);
    return ok;
}
