/* PPM and PGM ("P6", "P5"), which scanning programs and pdftoppm write: a header in words, then the
 * pixels as they are.
 *
 *     "P6" WIDTH HEIGHT MOST, white space and comments (# to the end of the line) between; one white
 *     space; rows of 1 or 3 samples a pixel, of one byte, or two (the high one first) where MOST > 255 */
#include "media/media_priv.h"

struct reader {
    struct span file;
    size_t at;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip(struct reader *r)
{
    bool comment = false;
    for (; r->at < r->file.len; r->at++) {
        char c = r->file.ptr[r->at];
        comment = comment ? c != '\n' : c == '#';
        if (!comment && !is_space(c))
            return;
    }
}

/* Up to nine digits, and what ends them. */
static bool number(struct reader *r, uint32_t *out)
{
    size_t start;
    skip(r);
    *out = 0;
    for (start = r->at; r->at < r->file.len && r->at - start < 9; r->at++) {
        char c = r->file.ptr[r->at];
        if (c < '0' || c > '9')
            break;
        *out = *out * 10 + (uint32_t)(c - '0');
    }
    return r->at > start && r->at < r->file.len &&
           (is_space(r->file.ptr[r->at]) || r->file.ptr[r->at] == '#');
}

/* To 0..255, rounded. */
static uint8_t level(const unsigned char *sample, uint32_t n_bytes, uint32_t most)
{
    uint32_t v = n_bytes == 2 ? (uint32_t)sample[0] << 8 | sample[1] : sample[0];
    v = v < most ? v : most;
    return (uint8_t)((v * 255 + most / 2) / most);
}

bool pnm_decode(struct picture *p, struct span file, struct refusal *why)
{
    struct reader r = { file, 2 };
    uint32_t width, height, most;
    if (!number(&r, &width) || !number(&r, &height) || !number(&r, &most) ||
        !is_space(file.ptr[r.at]) || !most || most > 65535)
        return media_refuse(why, REASON_DAMAGED, KIND_PNM, 0);
    if (!picture_begin(p, width, height, why))
        return false;
    uint32_t n_bytes = most > 255 ? 2 : 1, n_samples = file.ptr[1] == '6' ? 3 : 1;
    const unsigned char *from = (const unsigned char *)file.ptr + r.at + 1;
    size_t n = (size_t)width * height;
    if ((file.len - r.at - 1) / n_bytes / n_samples < n)
        return media_refuse(why, REASON_CUT_OFF, KIND_PNM, 0);
    for (size_t i = 0; i < n; i++, from += n_samples * n_bytes)
        for (uint32_t c = 0; c < 3; c++)
            p->rgb[i * 3 + c] = level(from + (n_samples == 3 ? c * n_bytes : 0), n_bytes, most);
    return true;
}
