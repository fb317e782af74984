/* Any bytes as a file of questions (first byte: which kind), and as a model's reply to the first of them:
 * it is refused with a reason, or every question is one. */
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "quality/results.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(x)                                                                                   \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

static void check_question(const struct question *q)
{
    CHECK(q->text.len > 0 && q->n_choices >= 2 && q->n_choices <= CHOICES_MAX);
    CHECK(q->answer < q->n_choices);
    for (uint32_t i = 0; i < q->n_images; i++)
        CHECK(strncmp(q->images[i], "/data/", 6) == 0 && !strstr(q->images[i], "/../"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const PATHS[] = { "/data/words_test.csv", "/data/words_DE.jsonl" };
    struct suite s = { 0 };
    struct kt_error err = { 0 };
    if (size == 0)
        return 0;
    struct span text = { (const char *)data + 1, size - 1 };
    enum kt_status st = suite_add(&s, text, PATHS[data[0] & 1], &err);
    CHECK(!st || (err.status == st && err.text[0]));
    for (size_t i = 0; i < s.n && !st; i++)
        check_question(&s.list[i]);
    if (!st && s.n > 0) {
        const struct question *q = &s.list[0];
        int v = letter_in_reply(text, q->choices, q->n_choices);
        CHECK(v >= -1 && v < (int)q->n_choices);
        size_t idx;
        int8_t chosen;
        if (results_parse(text, &s, &idx, &chosen))
            CHECK(idx < s.n && chosen < (int)s.list[idx].n_choices);
    }
    suite_close(&s);
    return 0;
}
