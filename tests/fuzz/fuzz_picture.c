/* Any bytes as a picture: decoded, put upright, resized as an image and as a frame. The decoders are the
 * system's libraries; the walls that stand around them in the program are not here. */
#include <stdlib.h>

#include "media/media_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIXELS = 1 << 18 };

static void check_size(const struct picture *p, uint32_t n_frames, uint32_t height, uint32_t width)
{
    if (!height || !width || height % UNIT || width % UNIT ||
        (uint64_t)height * width > size_most_pixels(PIXELS, n_frames) || p->orientation != 1)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct picture p;
    struct refusal why;
    uint32_t height, width;
    bool ok = picture_decode(&p, (struct span){ (const char *)data, size }, PIXELS, &why);
    if (ok == (why.reason != REASON_NONE) || (ok && (uint64_t)p.width * p.height > PIXELS))
        abort();
    for (uint32_t n = 0; ok && n <= 4; n += 4) {
        if (!size_for(&height, &width, p.height, p.width, n, 1024, PIXELS))
            abort(); /* the decoder refuses what is too long */
        check_size(&p, n, height, width);
        if (!picture_resize(&p, height, width, &why) || p.height != height || p.width != width)
            abort();
    }
    picture_deinit(&p);
    struct video_facts facts;
    video_facts_parse(&facts, (struct span){ (const char *)data, size });
    return 0;
}
