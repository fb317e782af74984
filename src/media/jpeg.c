/* JPEG, by libjpeg(-turbo): grey, colour, CMYK; sequential and progressive.
 *
 * CMYK files are taken to be stored inverted, as Adobe's programs write them and nobody else does it
 * otherwise. A file that ends early is refused: half a page must not be read as a whole one. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jerror.h>
#include <jpeglib.h>

#include "base/size.h"
#include "media/media_priv.h"

struct reader {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf failed;
    bool ended_early;  /* the file has no end mark                */
    bool rows_missing; /* ... and it ended inside the picture     */
    struct refusal *why;
    uint8_t *row; /* of a picture that does not come as RGB */
};

static _Noreturn void on_error(j_common_ptr jpeg)
{
    struct reader *r = jpeg->client_data;
    switch (jpeg->err->msg_code) {
    case JERR_OUT_OF_MEMORY:
        media_refuse(r->why, REASON_NOMEM, 0, 0);
        break;
    case JERR_BAD_PRECISION:
    case JERR_SOF_UNSUPPORTED:
    case JERR_CONVERSION_NOTIMPL:
        media_refuse(r->why, REASON_VARIANT, KIND_JPEG, 0);
        break;
    case JERR_EMPTY_IMAGE:
        media_refuse(r->why, REASON_EMPTY, 0, 0);
        break;
    default:
        media_refuse(r->why, REASON_DAMAGED, KIND_JPEG, 0);
    }
    longjmp(r->failed, 1);
}

/* Called with warnings (level -1) and traces. The library goes on after a warning and fills in grey. */
static void on_message(j_common_ptr jpeg, int level)
{
    struct reader *r = jpeg->client_data;
    r->ended_early = r->ended_early || (level < 0 && jpeg->err->msg_code == JWRN_JPEG_EOF);
    r->rows_missing = r->rows_missing || (level < 0 && jpeg->err->msg_code == JWRN_HIT_MARKER);
}

/* A picture whose end mark alone is missing is whole; of a progressive one nobody can tell. */
static void on_progress(j_common_ptr jpeg)
{
    struct reader *r = jpeg->client_data;
    bool lacks = r->rows_missing || (r->ended_early && r->jpeg.progressive_mode);
    if (r->jpeg.input_scan_number <= JPEG_SCANS_MAX && !lacks)
        return;
    media_refuse(r->why, lacks && r->ended_early ? REASON_CUT_OFF : REASON_DAMAGED, KIND_JPEG, 0);
    longjmp(r->failed, 1);
}

/* a * b / 255, rounded. */
static uint8_t mul_255(unsigned a, unsigned b)
{
    unsigned t = a * b + 128;
    return (uint8_t)((t + (t >> 8)) >> 8);
}

static void from_cmyk(uint8_t *rgb, const uint8_t *cmyk, uint32_t n)
{
    for (uint32_t x = 0; x < n; x++, rgb += 3, cmyk += 4)
        for (int i = 0; i < 3; i++) {
            int v = cmyk[3] - mul_255(255u - cmyk[i], cmyk[3]);
            rgb[i] = (uint8_t)(v < 0 ? 0 : v);
        }
}

static void read_rows(struct reader *r, struct picture *p)
{
    struct jpeg_decompress_struct *j = &r->jpeg;
    while (j->output_scanline < j->output_height) {
        uint8_t *rgb = p->rgb + (size_t)j->output_scanline * p->width * 3;
        JSAMPROW row = r->row ? r->row : rgb;
        if (jpeg_read_scanlines(j, &row, 1) == 1 && r->row)
            from_cmyk(rgb, r->row, p->width);
        on_progress((j_common_ptr)j);
    }
}

static bool decode(struct reader *r, struct picture *p, struct span file)
{
    struct jpeg_decompress_struct *j = &r->jpeg;
    if (setjmp(r->failed))
        return false;
    jpeg_create_decompress(j);
    j->progress = &r->progress;
    jpeg_mem_src(j, (const unsigned char *)file.ptr, file.len);
    jpeg_save_markers(j, JPEG_APP0 + 1, EXIF_MAX_BYTES - 1);
    jpeg_read_header(j, TRUE);
    if (!picture_begin(p, j->image_width, j->image_height, r->why))
        return false;
    for (jpeg_saved_marker_ptr m = j->marker_list; m && p->orientation == 1; m = m->next)
        if (span_starts((struct span){ (char *)m->data, m->data_length }, SPAN("Exif\0\0")))
            p->orientation = exif_orientation((struct span){ (char *)m->data, m->data_length });
    bool four = j->jpeg_color_space == JCS_CMYK || j->jpeg_color_space == JCS_YCCK;
    j->out_color_space = four ? JCS_CMYK : JCS_RGB;
    if (four && !(r->row = malloc((size_t)p->width * 4)))
        return media_refuse(r->why, REASON_NOMEM, 0, 0);
    jpeg_start_decompress(j);
    read_rows(r, p);
    return true;
}

bool jpeg_decode(struct picture *p, struct span file, struct refusal *why)
{
    struct reader *r = calloc(1, sizeof(*r));
    if (!r)
        return media_refuse(why, REASON_NOMEM, 0, 0);
    r->why = why;
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->jpeg.client_data = r;
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->progress.progress_monitor = on_progress;
    bool ok = decode(r, p, file);
    jpeg_destroy_decompress(&r->jpeg);
    free(r->row);
    free(r);
    return ok;
}
