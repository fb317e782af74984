/* PNG, by libpng: all depths and colour types, interlaced or not. Of 16 bits the upper 8 are kept;
 * transparency goes over white; gamma and colour profiles are left alone, as the reference does. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "base/size.h"
#include "media/media_priv.h"

struct reader {
    struct span file;
    size_t at;
    bool cut_off, no_memory;
    bool whole;      /* all rows are there; what is wrong after them is no matter */
    uint8_t *rgba;   /* [rows, width, 4]: one row, or all of them when interlaced */
    png_bytep *rows; /* [height] into it, when interlaced */
    struct refusal *why;
};

static void on_read(png_structp png, png_bytep out, size_t n)
{
    struct reader *r = png_get_io_ptr(png);
    if (n > r->file.len - r->at) {
        r->cut_off = true;
        png_error(png, "end of file");
    }
    memcpy(out, r->file.ptr + r->at, n);
    r->at += n;
}

/* The library goes on without a chunk that there is no memory for; one of them says how the picture is
 * turned. */
static void on_warning(png_structp png, png_const_charp message)
{
    struct reader *r = png_get_error_ptr(png);
    r->no_memory = r->no_memory || strstr(message, "memory");
}

static _Noreturn void on_error(png_structp png, png_const_charp message)
{
    on_warning(png, message);
    png_longjmp(png, 1);
}

static void over_white(uint8_t *rgb, const uint8_t *rgba, uint32_t n)
{
    for (uint32_t x = 0; x < n; x++, rgb += 3, rgba += 4)
        picture_over_white(rgb, rgba);
}

/* Everything becomes RGB or RGBA of 8 bits. True: it has transparency. */
static bool set_transforms(png_structp png, png_infop info)
{
    bool alpha = png_get_color_type(png, info) & PNG_COLOR_MASK_ALPHA ||
                 png_get_valid(png, info, PNG_INFO_tRNS);
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_gray_to_rgb(png);
    return alpha;
}

static void read_row_by_row(struct reader *r, struct picture *p, png_structp png, bool alpha)
{
    for (uint32_t y = 0; y < p->height; y++) {
        uint8_t *rgb = p->rgb + (size_t)y * p->width * 3;
        png_read_row(png, alpha ? r->rgba : rgb, NULL);
        if (alpha)
            over_white(rgb, r->rgba, p->width);
    }
}

static void read_interlaced(struct reader *r, struct picture *p, png_structp png, bool alpha)
{
    size_t row = (size_t)p->width * (alpha ? 4 : 3);
    for (uint32_t y = 0; y < p->height; y++)
        r->rows[y] = (alpha ? r->rgba : p->rgb) + y * row;
    png_read_image(png, r->rows);
    if (alpha)
        over_white(p->rgb, r->rgba, p->width * p->height);
}

static bool reserve(struct reader *r, const struct picture *p, bool alpha, bool interlaced)
{
    size_t n_rows = interlaced ? p->height : 1;
    if (alpha)
        r->rgba = malloc(n_rows * p->width * 4);
    if (interlaced)
        r->rows = malloc(n_rows * sizeof(*r->rows));
    return (r->rgba || !alpha) && (r->rows || !interlaced)
               ? true
               : media_refuse(r->why, REASON_NOMEM, 0, 0);
}

static bool decode(struct reader *r, struct picture *p, png_structp png, png_infop info)
{
    if (setjmp(png_jmpbuf(png))) {
        if (!r->whole && !r->why->reason)
            media_refuse(r->why, r->cut_off ? REASON_CUT_OFF : REASON_DAMAGED, KIND_PNG, 0);
        return r->whole;
    }
    png_set_read_fn(png, r, on_read);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); /* picture_begin() has ours */
    png_set_chunk_cache_max(png, 64);
    png_set_chunk_malloc_max(png, 16 * EXIF_MAX_BYTES);
    png_read_info(png, info);
    if (!picture_begin(p, png_get_image_width(png, info), png_get_image_height(png, info), r->why))
        return false;
    bool alpha = set_transforms(png, info);
    bool interlaced = png_set_interlace_handling(png) > 1;
    png_read_update_info(png, info);
    if (!reserve(r, p, alpha, interlaced))
        return false;
    if (interlaced)
        read_interlaced(r, p, png, alpha);
    else
        read_row_by_row(r, p, png, alpha);
    r->whole = true;
    png_read_end(png, info);
    return true;
}

bool png_decode(struct picture *p, struct span file, struct refusal *why)
{
    struct reader r = { .file = file, .why = why };
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    bool ok = info ? decode(&r, p, png, info) : media_refuse(why, REASON_NOMEM, 0, 0);
    if (r.no_memory)
        ok = media_refuse(why, REASON_NOMEM, 0, 0);
    png_uint_32 n = 0;
    png_bytep exif = NULL;
    if (ok && png_get_eXIf_1(png, info, &n, &exif))
        p->orientation = exif_orientation((struct span){ (char *)exif, n });
    png_destroy_read_struct(&png, &info, NULL);
    free(r.rgba);
    free(r.rows);
    return ok;
}
