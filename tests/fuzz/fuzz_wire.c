/* Any bytes as a worker's result: refused with the name of what is wrong, or a document that keeps
 * its promises, which is to say that sending it again gives the same bytes. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/check_document.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span in = { (const char *)data, size };
    struct document d;
    struct refusal r;
    struct extract_sandbox_report report;
    enum wire_kind kind;
    const char *what = NULL;
    struct buf again = { 0 };
    if (wire_get_document(in, (size_t)1 << 20, &d, &what)) {
        if (!wire_put_document(&again, &d) || again.len != in.len ||
            memcmp(again.ptr, in.ptr, 48 + (d.title ? strlen(d.title) : 0) + d.text_len) != 0)
            abort();
    } else if (!what || d.text || d.blocks || d.title) {
        abort();
    }
    document_deinit(&d);
    if (wire_get_refusal(in, &r, &what)) {
        struct kt_error err;
        if (refusal_fail(&err, "input", &r) == KT_OK)
            abort();
    }
    if (wire_get_report(in, &report, &what) && report.n_probes != SANDBOX_PROBES)
        abort();
    if (!wire_kind_of(in, &kind) && size >= 8 && memcmp(data, "KTX1\1\0\0\0", 8) == 0)
        abort();
    buf_deinit(&again);
    return 0;
}
