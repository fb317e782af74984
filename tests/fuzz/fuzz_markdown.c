/* Any bytes as a markdown file: decoded, parsed, judged. */
#include "fuzz/check_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct builder b;
    charset_prepare(); /* once; then nothing */
    html_prepare();
    builder_init(&b, (size_t)1 << 20);
    parse_memory(&b, DOC_MARKDOWN, (struct span){ (const char *)data, size });
    check_document(&b, DOC_MARKDOWN);
    builder_deinit(&b);
    return 0;
}
