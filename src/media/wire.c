/* The result over the pipe. All numbers little-endian.
 *
 *   frames    "KTMF" u32 n, u32 height, u32 width, u32 source height, u32 source width, u64 0
 *             n * height * width * 3 bytes of pixels, "KTME"
 *   refusal   "KTMR" u32 reason, u64 a, u64 b, u64 0, "KTME"
 *   facts     "KTMV" u64 frames, u32 fps numerator, u32 fps denominator, u64 0, u32 0, "KTME"
 *
 * Every head is WIRE_HEAD_BYTES long. */
#include <string.h>

#include "base/size.h"
#include "media/media_priv.h"

const char media_wire_tail[WIRE_TAIL_BYTES] = { 'K', 'T', 'M', 'E' };

static void put(uint8_t *at, uint64_t v, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes; i++)
        at[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get(struct span in, size_t at, size_t n_bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n_bytes; i++)
        v |= (uint64_t)(unsigned char)in.ptr[at + i] << 8 * i;
    return v;
}

static void head_begin(uint8_t head[static WIRE_HEAD_BYTES], char kind)
{
    memset(head, 0, WIRE_HEAD_BYTES);
    memcpy(head, "KTM", 3);
    head[3] = (uint8_t)kind;
}

static bool is_kind(struct span in, char kind)
{
    return media_wire_is_whole(in) && in.ptr[3] == kind;
}

size_t media_wire_max_bytes(uint64_t n_pixels)
{
    return WIRE_HEAD_BYTES + WIRE_TAIL_BYTES + (size_t)n_pixels * 3;
}

bool media_wire_is_whole(struct span in)
{
    return in.len >= WIRE_HEAD_BYTES + WIRE_TAIL_BYTES && span_starts(in, SPAN("KTM")) &&
           span_ends(in, (struct span){ media_wire_tail, WIRE_TAIL_BYTES });
}

void media_wire_frames_head(uint8_t head[static WIRE_HEAD_BYTES], const struct frames *f)
{
    head_begin(head, 'F');
    put(head + 4, f->n, 4);
    put(head + 8, f->height, 4);
    put(head + 12, f->width, 4);
    put(head + 16, f->source_height, 4);
    put(head + 20, f->source_width, 4);
}

static bool put_whole(struct buf *out, const uint8_t head[static WIRE_HEAD_BYTES])
{
    buf_append(out, head, WIRE_HEAD_BYTES);
    buf_append(out, media_wire_tail, WIRE_TAIL_BYTES);
    return !out->failed;
}

bool media_wire_put_refusal(struct buf *out, const struct refusal *r)
{
    uint8_t head[WIRE_HEAD_BYTES];
    head_begin(head, 'R');
    put(head + 4, r->reason, 4);
    put(head + 8, r->a, 8);
    put(head + 16, r->b, 8);
    return put_whole(out, head);
}

bool media_wire_put_facts(struct buf *out, const struct video_facts *f)
{
    uint8_t head[WIRE_HEAD_BYTES];
    head_begin(head, 'V');
    put(head + 4, f->n_frames, 8);
    put(head + 12, f->fps_num, 4);
    put(head + 16, f->fps_den, 4);
    return put_whole(out, head);
}

/* True: it was one. */
static bool get_refusal(struct span in, struct refusal *why)
{
    if (!is_kind(in, 'R'))
        return false;
    uint64_t reason = get(in, 4, 4);
    if (reason == REASON_NONE || reason >= REASON_COUNT)
        return false;
    *why = (struct refusal){ (enum reason)reason, get(in, 8, 8), get(in, 16, 8) };
    return true;
}

bool media_wire_get_frames(struct span in, struct frames *out, struct refusal *why)
{
    *why = (struct refusal){ 0 };
    if (get_refusal(in, why))
        return true;
    if (!is_kind(in, 'F'))
        return false;
    *out = (struct frames){
        .n = (uint32_t)get(in, 4, 4),
        .height = (uint32_t)get(in, 8, 4),
        .width = (uint32_t)get(in, 12, 4),
        .source_height = (uint32_t)get(in, 16, 4),
        .source_width = (uint32_t)get(in, 20, 4),
        .rgb = (const uint8_t *)in.ptr + WIRE_HEAD_BYTES,
    };
    size_t n_bytes = 3;
    bool fits = out->n && out->height && out->width && out->source_height && out->source_width &&
                out->height % UNIT == 0 && out->width % UNIT == 0 &&
                size_mul(&n_bytes, n_bytes, out->n) && size_mul(&n_bytes, n_bytes, out->height) &&
                size_mul(&n_bytes, n_bytes, out->width) &&
                n_bytes == in.len - WIRE_HEAD_BYTES - WIRE_TAIL_BYTES;
    return fits;
}

bool media_wire_get_facts(struct span in, struct video_facts *out, struct refusal *why)
{
    *why = (struct refusal){ 0 };
    if (get_refusal(in, why))
        return true;
    if (!is_kind(in, 'V') || in.len != WIRE_HEAD_BYTES + WIRE_TAIL_BYTES)
        return false;
    *out = (struct video_facts){ .n_frames = get(in, 4, 8),
                                 .fps_num = (uint32_t)get(in, 12, 4),
                                 .fps_den = (uint32_t)get(in, 16, 4) };
    return true;
}
