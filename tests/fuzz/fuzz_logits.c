/* Any bytes as a file of saved log-probabilities: it is refused with a reason, or its ids are in the
 * vocabulary and its rows, where they are numbers, are distributions. */
#include <math.h>
#include <stdlib.h>

#include "quality/divergence.h"
#include "quality/logits_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

static void check_row(const struct logits_file *f, size_t i)
{
    struct kt_error err = { 0 };
    size_t n = logits_file_n_vocab(f);
    float *logp = malloc(n * sizeof(*logp));
    CHECK(logp);
    if (!logits_file_row(f, i, logp, &err)) {
        double sum = 0;
        for (size_t k = 0; k < n; k++)
            sum += exp((double)logp[k]);
        CHECK(fabs(sum - 1) < 0.05); /* floats of up to a million, one for each entry */
        CHECK(divergence_at(logp, logp, n, 0).kl < 1e-3);
    } else {
        CHECK(err.status == KT_E_FORMAT && err.text[0]);
    }
    free(logp);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct logits_file *f;
    struct kt_error err = { 0 };
    if (logits_file_open_memory(&f, (struct span){ (const char *)data, size }, "fuzz", &err)) {
        CHECK(err.status && err.text[0]);
        return 0;
    }
    for (size_t i = 0; i < logits_file_n_tokens(f); i++)
        CHECK((size_t)logits_file_token(f, i) < logits_file_n_vocab(f));
    for (size_t i = 0; i < logits_file_n_rows(f) && i < 64; i++)
        check_row(f, i);
    logits_file_close(f);
    return 0;
}
