/* From a file in memory to an upright picture in 8-bit RGB. */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "media/media_priv.h"

bool media_refuse(struct refusal *why, enum reason reason, uint64_t a, uint64_t b)
{
    *why = (struct refusal){ reason, a, b };
    return false;
}

/* ---- memory ---------------------------------------------------------------------------------- */

bool picture_begin(struct picture *p, uint64_t width, uint64_t height, struct refusal *why)
{
    if (!width || !height)
        return media_refuse(why, REASON_EMPTY, 0, 0);
    if (width > p->max_pixels || height > p->max_pixels / width)
        return media_refuse(why, REASON_TOO_MANY_PIXELS, width, height);
    if ((double)MAX(width, height) / (double)MIN(width, height) > RATIO_MAX)
        return media_refuse(why, REASON_TOO_LONG, width, height);
    size_t n_bytes = (size_t)width * (size_t)height * 3;
    p->rgb = malloc(n_bytes);
    if (!p->rgb)
        return media_refuse(why, REASON_NOMEM, 0, 0);
    memset(p->rgb, 255, n_bytes);
    p->width = (uint32_t)width;
    p->height = (uint32_t)height;
    return true;
}

void picture_deinit(struct picture *p)
{
    free(p->rgb);
    p->rgb = NULL;
}

void picture_over_white(uint8_t rgb[static 3], const uint8_t rgba[static 4])
{
    uint32_t a = rgba[3];
    for (int i = 0; i < 3; i++)
        rgb[i] = (uint8_t)((rgba[i] * a + 255 * (255 - a) + 127) / 255);
}

/* ---- turning --------------------------------------------------------------------------------- */

/* Where pixel (x, y) of the upright picture is in the picture as stored, by its orientation. Seen from
 * the stored one: 2 is mirrored, 3 upside down, 4 both; 5 to 8 stand on their side. */
static size_t stored_at(unsigned orientation, uint32_t x, uint32_t y, uint32_t w, uint32_t h)
{
    uint32_t right = w - 1, bottom = h - 1; /* of the stored one */
    uint32_t sx = x, sy = y;
    switch (orientation) {
    case 2:
        sx = right - x;
        break;
    case 3:
        sx = right - x;
        sy = bottom - y;
        break;
    case 4:
        sy = bottom - y;
        break;
    case 5:
        sx = y;
        sy = x;
        break;
    case 6:
        sx = y;
        sy = bottom - x;
        break;
    case 7:
        sx = right - y;
        sy = bottom - x;
        break;
    case 8:
        sx = right - y;
        sy = x;
        break;
    default:
        break;
    }
    return ((size_t)sy * w + sx) * 3;
}

bool picture_turn(struct picture *p, struct refusal *why)
{
    if (p->orientation <= 1)
        return true;
    bool on_side = p->orientation >= 5;
    uint32_t width = on_side ? p->height : p->width, height = on_side ? p->width : p->height;
    uint8_t *rgb = malloc((size_t)width * height * 3);
    if (!rgb)
        return media_refuse(why, REASON_NOMEM, 0, 0);
    uint8_t *dst = rgb;
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++, dst += 3)
            memcpy(dst, p->rgb + stored_at(p->orientation, x, y, p->width, p->height), 3);
    free(p->rgb);
    p->rgb = rgb;
    p->width = width;
    p->height = height;
    p->orientation = 1;
    return true;
}

/* ---- kinds ----------------------------------------------------------------------------------- */

static bool has_at(struct span file, size_t at, const char *bytes, size_t n)
{
    return file.len >= at + n && memcmp(file.ptr + at, bytes, n) == 0;
}

/* ISO media: a box "ftyp" whose brand says whether it is a picture. */
static enum file_kind iso_kind(struct span file)
{
    static const char *const pictures[] = {
        "heic", "heix", "heim", "heis", "mif1", "msf1", "avif"
    };
    for (size_t i = 0; i < ARRAY_LEN(pictures); i++)
        if (has_at(file, 8, pictures[i], 4))
            return KIND_HEIF;
    return KIND_VIDEO;
}

enum file_kind picture_kind(struct span file)
{
    static const struct {
        enum file_kind kind;
        struct span starts;
    } known[] = {
        { KIND_JPEG, SPAN("\xFF\xD8\xFF") },
        { KIND_PNG, SPAN("\x89PNG\r\n\x1A\n") },
        { KIND_TIFF, SPAN("II*\0") },
        { KIND_TIFF, SPAN("MM\0*") },
        { KIND_TIFF, SPAN("II+\0") }, /* the 64-bit ones */
        { KIND_TIFF, SPAN("MM\0+") },
        { KIND_GIF, SPAN("GIF87a") },
        { KIND_GIF, SPAN("GIF89a") },
        { KIND_BMP, SPAN("BM") },
        { KIND_JPEG2000, SPAN("\0\0\0\x0CjP  \r\n\x87\n") },
        { KIND_JPEG2000, SPAN("\xFF\x4F\xFF\x51") },
        { KIND_PDF, SPAN("%PDF-") },
        { KIND_SVG, SPAN("<svg") },
        { KIND_VIDEO, SPAN("\x1A\x45\xDF\xA3") }, /* Matroska, WebM */
        { KIND_VIDEO, SPAN("OggS") },
        { KIND_VIDEO, SPAN("FLV\1") },
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (span_starts(file, known[i].starts))
            return known[i].kind;
    if (file.len > 2 && file.ptr[0] == 'P' && (file.ptr[1] == '5' || file.ptr[1] == '6') &&
        ((file.ptr[2] >= '\t' && file.ptr[2] <= '\r') || file.ptr[2] == ' ' || file.ptr[2] == '#'))
        return KIND_PNM;
    if (has_at(file, 0, "RIFF", 4))
        return has_at(file, 8, "WEBP", 4) ? KIND_WEBP : KIND_VIDEO;
    if (has_at(file, 4, "ftyp", 4))
        return iso_kind(file);
    if (span_starts(file, SPAN("<?xml")) &&
        span_find(span_sub(file, 0, 1024), SPAN("<svg"), 0) != SIZE_MAX)
        return KIND_SVG;
    return KIND_UNKNOWN;
}

bool picture_decode(struct picture *p, struct span file, uint64_t max_pixels, struct refusal *why)
{
    *p = (struct picture){ .orientation = 1, .max_pixels = max_pixels };
    *why = (struct refusal){ 0 };
    enum file_kind kind = picture_kind(file);
    bool ok = kind == KIND_JPEG   ? jpeg_decode(p, file, why)
              : kind == KIND_PNG  ? png_decode(p, file, why)
              : kind == KIND_WEBP ? webp_decode(p, file, why)
              : kind == KIND_TIFF ? tiff_decode(p, file, why)
              : kind == KIND_GIF  ? gif_decode(p, file, why)
              : kind == KIND_PNM  ? pnm_decode(p, file, why)
                                  : media_refuse(why, REASON_NOT_A_PICTURE, kind, 0);
    return ok && picture_turn(p, why);
}
