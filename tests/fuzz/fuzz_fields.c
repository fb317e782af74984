/* Any bytes as an invoice, an XJustiz message, or, when they do not begin like XML, as a table of text. */
#include "extract/tree.h"
#include "fuzz/check_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    enum doc_format format = DOC_CSV;
    if (span_starts(in, SPAN("<")))
        format = tree_format(in) == DOC_XJUSTIZ ? DOC_XJUSTIZ : DOC_INVOICE;
    charset_prepare();
    struct builder b;
    builder_init(&b, (size_t)1 << 20);
    parse_memory(&b, format, in);
    check_document(&b, format);
    builder_deinit(&b);
    return 0;
}
