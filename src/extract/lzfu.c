/* Compressed RTF, [MS-OXRTFCP]: a window of 4,096 bytes that begins with what every RTF begins with, and references of two
 * bytes into it: twelve bits of place, four of length. Its checksum is not looked at: some text is better than none. */
#include <string.h>

#include "base/size.h"
#include "extract/mapi.h"

enum { HEADER = 16, WINDOW = 4096 };

/* The window's beginning, as the specification has it. */
static const char begin[] = "{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman "
                            "\\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArial"
                            "Times New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par "
                            "\\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

struct window {
    char bytes[WINDOW];
    size_t at; /* where the next byte is written */
};

static void give(struct buf *out, struct window *w, char c)
{
    buf_append_char(out, c);
    w->bytes[w->at] = c;
    w->at = (w->at + 1) % WINDOW;
}

/* False: the end. */
static bool reference(struct buf *out, struct window *w, unsigned high, unsigned low)
{
    size_t from = high << 4 | low >> 4, n = (low & 15) + 2;
    if (from == w->at)
        return false;
    for (size_t i = 0; i < n; i++)
        give(out, w, w->bytes[(from + i) % WINDOW]);
    return true;
}

static void decompress(struct buf *out, const unsigned char *p, const unsigned char *end,
                       size_t most)
{
    struct window w = { .at = sizeof(begin) - 1 };
    memset(w.bytes, ' ',
           sizeof(w.bytes)); /* what nobody wrote yet is asked for by damaged files only */
    memcpy(w.bytes, begin, sizeof(begin) - 1);
    while (p < end && out->len < most && !out->failed) {
        unsigned control = *p++;
        for (int i = 0; i < 8 && p < end && out->len < most; i++, control >>= 1) {
            if (!(control & 1)) {
                give(out, &w, (char)*p++);
                continue;
            }
            if (end - p < 2 || !reference(out, &w, p[0], p[1]))
                return;
            p += 2;
        }
    }
}

bool lzfu_decompress(struct buf *out, struct span in)
{
    if (in.len < HEADER)
        return false;
    const unsigned char *p = (const unsigned char *)in.ptr;
    size_t raw = p[4] | (size_t)p[5] << 8 | (size_t)p[6] << 16 | (size_t)p[7] << 24;
    struct span rest = span_sub(in, HEADER, in.len);
    if (span_eq(span_sub(in, 8, 12), SPAN("MELA"))) {
        buf_append_span(out, span_sub(rest, 0, raw));
        return !out->failed;
    }
    if (!span_eq(span_sub(in, 8, 12), SPAN("LZFu")) || raw > BLOCK_RAW_MAX)
        return false;
    decompress(out, (const unsigned char *)rest.ptr, (const unsigned char *)rest.ptr + rest.len,
               raw);
    return !out->failed;
}
