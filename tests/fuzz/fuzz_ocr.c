/* Any bytes as tesseract's table, in pieces; the first byte says how long these are. */
#include <stdlib.h>

#include "extract/ocr.h"
#include "fuzz/check_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct builder b;
    struct span in = { (const char *)data, size };
    size_t step = size ? data[0] + (size_t)1 : 1;
    builder_init(&b, (size_t)1 << 20);
    struct ocr_table *t = ocr_table_create(&b, size & 1 ? 300 : 0);
    if (!t)
        abort();
    bool ok = true;
    for (size_t at = 1; at < size && ok; at += step)
        ok = ocr_table_feed(t, span_sub(in, at, at + step));
    if (ok)
        ocr_table_finish(t);
    ocr_table_destroy(t);
    check_document(&b, DOC_PICTURE);
    builder_deinit(&b);
    return 0;
}
