/* TIFF, by libtiff's interface to RGBA: the first page, of whatever compression, 1 to 16 bits, grey,
 * palette, colour, CMYK, YCbCr; transparency over white. What that interface does not know (floating
 * point, more bits, layers of a scientific camera) is refused as such. */
#include <stdlib.h>
#include <string.h>

#include <tiffio.h>

#include "base/size.h"
#include "media/media_priv.h"

struct source {
    struct span file;
    uint64_t at;
};

static tmsize_t on_read(thandle_t handle, void *out, tmsize_t n)
{
    struct source *s = handle;
    if (n < 0 || s->at > s->file.len)
        return 0;
    size_t take = MIN((size_t)n, s->file.len - (size_t)s->at);
    memcpy(out, s->file.ptr + s->at, take);
    s->at += take;
    return (tmsize_t)take;
}

static tmsize_t on_write(thandle_t handle, void *data, tmsize_t n)
{
    (void)handle;
    (void)data;
    (void)n;
    return -1;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
    struct source *s = handle;
    if (whence == SEEK_CUR)
        offset += s->at;
    else if (whence == SEEK_END)
        offset += s->file.len;
    return s->at = offset;
}

static int on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle)
{
    return ((struct source *)handle)->file.len;
}

static int on_map(thandle_t handle, void **base, toff_t *size)
{
    struct source *s = handle;
    *base = (void *)(uintptr_t)s->file.ptr;
    *size = s->file.len;
    return 1;
}

static void on_unmap(thandle_t handle, void *base, toff_t size)
{
    (void)handle;
    (void)base;
    (void)size;
}

static int on_message(TIFF *tiff, void *ctx, const char *module, const char *format, va_list args)
{
    (void)tiff;
    (void)ctx;
    (void)module;
    (void)format;
    (void)args;
    return 1; /* dealt with: nothing is printed */
}

static TIFF *open_source(struct source *s)
{
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options)
        return NULL;
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, LIBRARY_ALLOC_MAX);
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_message, NULL);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_message, NULL);
    TIFF *tiff = TIFFClientOpenExt("", "r", s, on_read, on_write, on_seek, on_close, on_size,
                                   on_map, on_unmap, options);
    TIFFOpenOptionsFree(options);
    return tiff;
}

/* The library's pixels are multiplied by their opacity already. */
static void over_white(uint8_t *rgb, const uint32_t *abgr, size_t n)
{
    for (size_t i = 0; i < n; i++, rgb += 3) {
        uint32_t white = 255 - TIFFGetA(abgr[i]);
        rgb[0] = (uint8_t)MIN(TIFFGetR(abgr[i]) + white, 255u);
        rgb[1] = (uint8_t)MIN(TIFFGetG(abgr[i]) + white, 255u);
        rgb[2] = (uint8_t)MIN(TIFFGetB(abgr[i]) + white, 255u);
    }
}

static bool read_pixels(TIFF *tiff, struct picture *p, struct refusal *why)
{
    char message[1024] = ""; /* as long as the library says */
    if (!TIFFRGBAImageOK(tiff, message))
        return media_refuse(why, REASON_VARIANT, KIND_TIFF, 0);
    TIFFRGBAImage image;
    if (!TIFFRGBAImageBegin(&image, tiff, 1 /* stop at errors */, message))
        return media_refuse(why, REASON_DAMAGED, KIND_TIFF, 0);
    /* As it is stored; we turn it ourselves, which knows all eight ways. */
    image.orientation = image.req_orientation = ORIENTATION_TOPLEFT;
    size_t n = (size_t)p->width * p->height;
    uint32_t *abgr = calloc(n, sizeof(*abgr));
    bool ok = abgr && image.width == p->width && image.height == p->height &&
              TIFFRGBAImageGet(&image, abgr, p->width, p->height);
    if (ok)
        over_white(p->rgb, abgr, n);
    else
        media_refuse(why, abgr ? REASON_DAMAGED : REASON_NOMEM, KIND_TIFF, 0);
    free(abgr);
    TIFFRGBAImageEnd(&image);
    return ok;
}

bool tiff_decode(struct picture *p, struct span file, struct refusal *why)
{
    struct source s = { .file = file };
    TIFF *tiff = open_source(&s);
    if (!tiff)
        return media_refuse(why, REASON_DAMAGED, KIND_TIFF, 0);
    uint32_t width = 0, height = 0;
    uint16_t orientation = 1;
    bool ok = TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width) &&
              TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    if (!ok)
        media_refuse(why, REASON_DAMAGED, KIND_TIFF, 0);
    ok = ok && picture_begin(p, width, height, why) && read_pixels(tiff, p, why);
    if (ok && TIFFGetField(tiff, TIFFTAG_ORIENTATION, &orientation) && orientation >= 1 &&
        orientation <= 8)
        p->orientation = orientation;
    TIFFClose(tiff);
    return ok;
}
