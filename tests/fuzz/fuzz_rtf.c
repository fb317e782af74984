/* Any bytes as Rich Text. */
#include "fuzz/check_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    charset_prepare();
    struct builder b;
    builder_init(&b, (size_t)1 << 20);
    rtf_parse(&b, (struct span){ (const char *)data, size });
    check_document(&b, DOC_RTF);
    builder_deinit(&b);
    return 0;
}
