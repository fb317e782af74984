/* The one thing we want to know of a photograph's EXIF block: how the camera was held.
 *
 *     "Exif\0\0"                     only in JPEG, and in files that copied it from there
 *     "II*\0" or "MM\0*", u32 offset byte order; where the first directory is, from here
 *     directory: u16 n, n x { u16 tag, u16 type, u32 count, 4 bytes value }
 *
 * Tag 0x0112, type 3 (short), is the orientation. Whatever does not look like this means upright. */
#include "media/media_priv.h"

enum { TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3, ENTRY_BYTES = 12 };

static uint32_t number(struct span s, size_t at, size_t n_bytes, bool big)
{
    uint32_t v = 0;
    for (size_t i = 0; i < n_bytes; i++)
        v |= (uint32_t)(unsigned char)s.ptr[at + i] << 8 * (big ? n_bytes - 1 - i : i);
    return v;
}

unsigned exif_orientation(struct span s)
{
    if (span_starts(s, SPAN("Exif\0\0")))
        s = span_sub(s, 6, s.len);
    bool big = span_starts(s, SPAN("MM\0*"));
    if ((!big && !span_starts(s, SPAN("II*\0"))) || s.len < 8)
        return 1;
    uint32_t dir = number(s, 4, 4, big);
    if (dir > s.len || s.len - dir < 2)
        return 1;
    uint32_t n = number(s, dir, 2, big);
    for (uint32_t i = 0; i < n; i++) {
        size_t at = dir + 2 + (size_t)i * ENTRY_BYTES;
        if (s.len < ENTRY_BYTES || at > s.len - ENTRY_BYTES)
            return 1;
        if (number(s, at, 2, big) != TAG_ORIENTATION)
            continue;
        uint32_t v = number(s, at + 2, 2, big) == TYPE_SHORT ? number(s, at + 8, 2, big) : 1;
        return v >= 1 && v <= 8 ? v : 1;
    }
    return 1;
}
