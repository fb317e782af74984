/* GIF, by giflib: the first picture, on its canvas; what is transparent or not covered is white. */
#include <stdlib.h>
#include <string.h>

#include <gif_lib.h>

#include "base/size.h"
#include "media/media_priv.h"

struct source {
    struct span file;
    size_t at;
    bool cut_off;
};

static int on_read(GifFileType *gif, GifByteType *out, int n)
{
    struct source *s = gif->UserData;
    size_t take = MIN((size_t)MAX(n, 0), s->file.len - s->at);
    memcpy(out, s->file.ptr + s->at, take);
    s->at += take;
    s->cut_off = s->cut_off || take < (size_t)MAX(n, 0);
    return (int)take;
}

/* Extensions before the picture; one of them may say which colour is transparent (-1: none). */
static bool read_extension(GifFileType *gif, int *transparent)
{
    int code;
    GifByteType *data;
    if (DGifGetExtension(gif, &code, &data) == GIF_ERROR)
        return false;
    GraphicsControlBlock gcb;
    if (code == GRAPHICS_EXT_FUNC_CODE && data &&
        DGifExtensionToGCB(data[0], data + 1, &gcb) == GIF_OK)
        *transparent = gcb.TransparentColor;
    while (data)
        if (DGifGetExtensionNext(gif, &data) == GIF_ERROR)
            return false;
    return true;
}

/* Goes on to the first picture. */
static bool find_image(GifFileType *gif, int *transparent)
{
    for (;;) {
        GifRecordType type;
        if (DGifGetRecordType(gif, &type) == GIF_ERROR)
            return false;
        if (type == IMAGE_DESC_RECORD_TYPE)
            return DGifGetImageDesc(gif) == GIF_OK;
        if (type != EXTENSION_RECORD_TYPE || !read_extension(gif, transparent))
            return false;
    }
}

static void put_row(struct picture *p, const GifImageDesc *d, const ColorMapObject *map,
                    const GifPixelType *row, uint32_t y, int transparent)
{
    uint64_t at_y = (uint64_t)d->Top + y;
    for (uint32_t x = 0; x < (uint32_t)d->Width && at_y < p->height; x++) {
        uint64_t at_x = (uint64_t)d->Left + x;
        if (at_x >= p->width || row[x] == transparent || row[x] >= map->ColorCount)
            continue;
        uint8_t *rgb = p->rgb + (at_y * p->width + at_x) * 3;
        rgb[0] = map->Colors[row[x]].Red;
        rgb[1] = map->Colors[row[x]].Green;
        rgb[2] = map->Colors[row[x]].Blue;
    }
}

/* Interlaced rows come in four passes: every 8th, the 8ths between, the 4ths, the odd ones. */
static bool read_rows(GifFileType *gif, struct picture *p, GifPixelType *row, int transparent)
{
    static const uint32_t FROM[] = { 0, 4, 2, 1 }, STEP[] = { 8, 8, 4, 2 };
    const GifImageDesc *d = &gif->Image;
    const ColorMapObject *map = d->ColorMap ? d->ColorMap : gif->SColorMap;
    size_t n_passes = d->Interlace ? 4 : 1;
    for (size_t pass = 0; pass < n_passes; pass++) {
        uint32_t from = d->Interlace ? FROM[pass] : 0, step = d->Interlace ? STEP[pass] : 1;
        for (uint32_t y = from; y < (uint32_t)d->Height; y += step) {
            if (DGifGetLine(gif, row, d->Width) == GIF_ERROR)
                return false;
            put_row(p, d, map, row, y, transparent);
        }
    }
    return true;
}

static bool decode(GifFileType *gif, struct source *s, struct picture *p, struct refusal *why)
{
    int transparent = NO_TRANSPARENT_COLOR;
    if (!picture_begin(p, (uint64_t)MAX(gif->SWidth, 0), (uint64_t)MAX(gif->SHeight, 0), why))
        return false;
    if (!find_image(gif, &transparent))
        return media_refuse(why, s->cut_off ? REASON_CUT_OFF : REASON_DAMAGED, KIND_GIF, 0);
    const GifImageDesc *d = &gif->Image;
    if (d->Width <= 0 || d->Height <= 0 || d->Left < 0 || d->Top < 0 ||
        (!d->ColorMap && !gif->SColorMap))
        return media_refuse(why, REASON_DAMAGED, KIND_GIF, 0);
    if ((uint64_t)d->Width * (uint64_t)d->Height > p->max_pixels)
        return media_refuse(why, REASON_TOO_MANY_PIXELS, (uint64_t)d->Width, (uint64_t)d->Height);
    GifPixelType *row = malloc((size_t)d->Width);
    if (!row)
        return media_refuse(why, REASON_NOMEM, 0, 0);
    bool ok = read_rows(gif, p, row, transparent);
    free(row);
    return ok ? true : media_refuse(why, s->cut_off ? REASON_CUT_OFF : REASON_DAMAGED, KIND_GIF, 0);
}

bool gif_decode(struct picture *p, struct span file, struct refusal *why)
{
    struct source s = { .file = file };
    int code = 0;
    GifFileType *gif = DGifOpen(&s, on_read, &code);
    if (!gif)
        return media_refuse(why, s.cut_off ? REASON_CUT_OFF : REASON_DAMAGED, KIND_GIF, 0);
    bool ok = decode(gif, &s, p, why);
    DGifCloseFile(gif, &code);
    return ok;
}
