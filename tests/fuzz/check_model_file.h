/* tests/fuzz/check_model_file.h: what must be true of every model file that was opened, however
 * hostile. Aborts when it is not. */
#ifndef FUZZ_CHECK_MODEL_FILE_H
#define FUZZ_CHECK_MODEL_FILE_H

#include "model/model_file.h"

/* 'data' is the whole file. */
void check_model_file(const struct model_file *f, const uint8_t *data, size_t size);

#endif
