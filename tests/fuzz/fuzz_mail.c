/* Any bytes as a mail, or, when they begin like one, as a mailbox. */
#include "fuzz/check_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    bool box = span_starts(in, SPAN("From "));
    charset_prepare();
    html_prepare();
    mail_prepare();
    struct builder b;
    builder_init(&b, (size_t)1 << 20);
    parse_memory(&b, box ? DOC_MAILBOX : DOC_MAIL, in);
    check_document(&b, box ? DOC_MAILBOX : DOC_MAIL);
    builder_deinit(&b);
    return 0;
}
