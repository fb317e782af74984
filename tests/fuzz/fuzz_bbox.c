/* Any bytes as pdftotext's output, whole and in two pieces: the same result. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/check_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(struct builder *b, struct span in, size_t cut)
{
    builder_init(b, (size_t)1 << 20);
    struct bbox *x = bbox_create(b);
    if (!x)
        abort();
    if (bbox_feed(x, span_sub(in, 0, cut), false) && bbox_feed(x, span_sub(in, cut, in.len), true))
        bbox_finish(x);
    bbox_destroy(x);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    struct builder whole, halves;
    run(&whole, in, size);
    run(&halves, in, size / 2);
    if (whole.refusal.reason != halves.refusal.reason ||
        !span_eq(buf_span(&whole.text), buf_span(&halves.text)))
        abort();
    check_document(&whole, DOC_PDF);
    check_document(&halves, DOC_PDF);
    builder_deinit(&whole);
    builder_deinit(&halves);
    return 0;
}
