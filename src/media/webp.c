/* WebP, by libwebp: lossy, lossless, with transparency (over white); of an animation the first
 * picture, as large as its canvas. */
#include <stdlib.h>

#include <webp/decode.h>
#include <webp/demux.h>

#include "base/size.h"
#include "media/media_priv.h"

static bool refuse_status(struct refusal *why, VP8StatusCode status)
{
    switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
        return media_refuse(why, REASON_NOMEM, 0, 0);
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
        return media_refuse(why, REASON_CUT_OFF, KIND_WEBP, 0);
    case VP8_STATUS_UNSUPPORTED_FEATURE:
        return media_refuse(why, REASON_VARIANT, KIND_WEBP, 0);
    default:
        return media_refuse(why, REASON_DAMAGED, KIND_WEBP, 0);
    }
}

static void over_white(struct picture *p, const uint8_t *rgba)
{
    size_t n = (size_t)p->width * p->height;
    for (size_t i = 0; i < n; i++)
        picture_over_white(p->rgb + i * 3, rgba + i * 4);
}

static bool decode_still(struct picture *p, struct span file, bool alpha, struct refusal *why)
{
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config))
        return media_refuse(why, REASON_INTERNAL, KIND_WEBP, 0);
    size_t stride = (size_t)p->width * (alpha ? 4 : 3);
    uint8_t *rgba = alpha ? malloc(stride * p->height) : p->rgb;
    if (!rgba)
        return media_refuse(why, REASON_NOMEM, 0, 0);
    config.output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = rgba;
    config.output.u.RGBA.stride = (int)stride;
    config.output.u.RGBA.size = stride * p->height;
    VP8StatusCode status = WebPDecode((const uint8_t *)file.ptr, file.len, &config);
    if (status == VP8_STATUS_OK && alpha)
        over_white(p, rgba);
    if (alpha)
        free(rgba);
    WebPFreeDecBuffer(&config.output);
    return status == VP8_STATUS_OK ? true : refuse_status(why, status);
}

static bool decode_first(struct picture *p, const WebPData *data, struct refusal *why)
{
    WebPAnimDecoderOptions options;
    if (!WebPAnimDecoderOptionsInit(&options))
        return media_refuse(why, REASON_INTERNAL, KIND_WEBP, 0);
    options.color_mode = MODE_RGBA;
    WebPAnimDecoder *d = WebPAnimDecoderNew(data, &options);
    WebPAnimInfo info;
    uint8_t *canvas = NULL;
    int at_ms;
    bool ok = d && WebPAnimDecoderGetInfo(d, &info) && info.canvas_width == p->width &&
              info.canvas_height == p->height && WebPAnimDecoderGetNext(d, &canvas, &at_ms);
    if (ok)
        over_white(p, canvas);
    WebPAnimDecoderDelete(d);
    return ok ? true : media_refuse(why, REASON_DAMAGED, KIND_WEBP, 0);
}

static void read_orientation(struct picture *p, const WebPData *data)
{
    WebPDemuxer *d = WebPDemux(data);
    WebPChunkIterator chunk;
    if (d && WebPDemuxGetChunk(d, "EXIF", 1, &chunk)) {
        p->orientation =
            exif_orientation((struct span){ (const char *)chunk.chunk.bytes, chunk.chunk.size });
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    WebPDemuxDelete(d);
}

bool webp_decode(struct picture *p, struct span file, struct refusal *why)
{
    WebPBitstreamFeatures f;
    WebPData data = { (const uint8_t *)file.ptr, file.len };
    VP8StatusCode status = WebPGetFeatures(data.bytes, data.size, &f);
    if (status != VP8_STATUS_OK)
        return refuse_status(why, status);
    if (f.width < 0 || f.height < 0)
        return media_refuse(why, REASON_DAMAGED, KIND_WEBP, 0);
    if (!picture_begin(p, (uint64_t)f.width, (uint64_t)f.height, why))
        return false;
    bool ok =
        f.has_animation ? decode_first(p, &data, why) : decode_still(p, file, f.has_alpha, why);
    if (ok)
        read_orientation(p, &data);
    return ok;
}
