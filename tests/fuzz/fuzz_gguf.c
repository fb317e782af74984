/* Any bytes as a GGUF file: refused with a message, or opened and all that model_file.h promises.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz/check_model_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model_file *f;
    struct kt_error err = { 0 };
    enum kt_status st = model_file_open_memory(&f, MODEL_GGUF, data, size, "input", &err);
    if (st && (err.status != st || strncmp(err.text, "input: ", 7) != 0))
        abort(); /* a refusal without a reason */
    if (!st)
        check_model_file(f, data, size);
    model_file_close(f);
    return 0;
}
