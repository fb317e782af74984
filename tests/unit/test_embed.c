/* What: texts to vectors, from the text on: tokenizer, frame, cut, pooling, length 1.
 * How: the real MiniLM against vectors that transformers computed from the same texts
 * (tests/golden/minilm.vec; the texts are in tools/reference/goldens_real.py), cosine at least
 * 0.99999; and laws of cutting. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/size.h"
#include "kontor/engine.h"

#define COSINE_MIN 0.99999

enum { D = 384, N_TOKENS_MAX = 256 };

static const char *const TEXTS[] = {
    "The lease ends on 30 September.",
    "Der Mietvertrag endet am 30. September.",
    "Invoice 2024-117 is overdue since the first of May.",
    "Please send the signed contract by Friday.",
    "The patient was seen for a routine examination.",
    "Meeting minutes: the budget was approved unanimously.",
    "Bitte überweisen Sie den Betrag innerhalb von 14 Tagen.",
    "Notice of termination without notice period",
    "How much is the deposit?",
    "Wie hoch ist die Kaution?",
    "a",
    "",
    "12345 67890",
    "The court dismissed the appeal because it was filed after the deadline had expired.",
    "Our office is closed between Christmas and New Year.",
    "Attached you will find the expert opinion on the water damage in the basement of the "
    "building, "
    "together with photographs, the cost estimate of two contractors and the statement of the "
    "tenant.",
    "Kündigung",
    "E-mail: kanzlei@example.org, phone +49 30 123456",
    "What is the capital of France?",
    NULL, /* "This sentence repeats itself. " forty times */
};

static struct kt_engine *engine;
static struct kt_error err;

static char *path_below(const char *variable, const char *name)
{
    const char *dir = getenv(variable);
    if (!dir)
        fail_msg("%s is not set; run through ctest", variable);
    char *path = path_join(dir, name);
    if (!path || !file_exists(path))
        fail_msg("%s: missing; tools/fetch.sh gets models", path);
    return path;
}

static int setup(void **state)
{
    (void)state;
    char *path = path_below("KONTOR_TESTDATA", "minilm");
    if (kt_engine_open(&engine, path, NULL, &err))
        fail_msg("%s", err.text);
    free(path);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kt_engine_close(engine);
    return 0;
}

static char *repeated(const char *s, size_t n)
{
    char *out = malloc(strlen(s) * n + 1);
    assert_non_null(out);
    out[0] = 0;
    for (size_t i = 0; i < n; i++)
        strcpy(out + i * strlen(s), s);
    return out;
}

static void embed(const char *text, float *v)
{
    if (kt_embed(engine, &text, 1, v, &err))
        fail_msg("%s", err.text);
}

static double cosine(const float *a, const float *b)
{
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < D; i++) {
        dot += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    return dot / sqrt(aa * bb);
}

static void vectors_are_those_of_the_reference(void **state)
{
    (void)state;
    char *path = path_below("KONTOR_SOURCE", "tests/golden/minilm.vec");
    struct buf file = { 0 };
    if (file_read(&file, path, 1 << 20, &err))
        fail_msg("%s", err.text);
    const int32_t *p = (const int32_t *)(const void *)file.ptr;
    assert_int_equal(*p, ARRAY_LEN(TEXTS));
    p++;
    char *last = repeated("This sentence repeats itself. ", 40);
    double worst = 1;
    for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
        size_t n = (size_t)*p++;
        float v[D];
        embed(TEXTS[i] ? TEXTS[i] : last, v);
        double c = cosine(v, (const float *)(const void *)(p + n)), length = 0;
        for (size_t k = 0; k < D; k++)
            length += (double)v[k] * (double)v[k];
        if (!(c >= COSINE_MIN))
            fail_msg("text %zu of %zu tokens: cosine %.7f, expected %.5f", i, n, c, COSINE_MIN);
        assert_float_equal(length, 1, 1e-5);
        worst = fmin(worst, c);
        p += n + D;
    }
    print_message("%zu texts, worst cosine %.9f\n", ARRAY_LEN(TEXTS), worst);
    free(last);
    free(path);
    buf_deinit(&file);
}

/* 256 tokens are [CLS], 254 of the text, [SEP]: what comes after does not count, what is before
 * does. */
static void long_texts_are_cut(void **state)
{
    (void)state;
    char *w254 = repeated("house ", 254), *w253 = repeated("house ", 253),
         *w5000 = repeated("house ", 5000);
    float a[D], b[D], c[D];
    embed(w254, a);
    embed(w5000, b);
    embed(w253, c);
    assert_memory_equal(a, b, sizeof(a));
    if (memcmp(a, c, sizeof(a)) == 0)
        fail_msg("253 and 254 words have the same vector: cut too early");
    free(w254);
    free(w253);
    free(w5000);
}

static void many_are_the_same_as_one_by_one(void **state)
{
    (void)state;
    static const char *const three[] = { "Kaution", "a longer sentence about rent and deposits",
                                         "" };
    float together[3 * D], alone[D];
    if (kt_embed(engine, three, 3, together, &err))
        fail_msg("%s", err.text);
    for (size_t i = 3; i-- > 0;) {
        embed(three[i], alone);
        assert_memory_equal(alone, together + i * D, sizeof(alone));
    }
}

static void roles_are_not_mixed(void **state)
{
    (void)state;
    struct kt_engine_info info;
    kt_engine_info(engine, &info);
    assert_true(info.is_encoder);
    assert_int_equal(info.d_model, D);
    struct kt_context *c;
    assert_int_equal(kt_context_create(&c, engine, NULL, &err), KT_E_UNSUPPORTED);
    assert_null(c);

    char *path = path_below("KONTOR_TESTDATA", "SmolLM2-135M-Instruct.Q4_1.gguf");
    struct kt_engine *chat;
    if (kt_engine_open(&chat, path, NULL, &err))
        fail_msg("%s", err.text);
    float v[1];
    assert_int_equal(kt_embed(chat, (const char *const[]){ "x" }, 1, v, &err), KT_E_UNSUPPORTED);
    kt_engine_close(chat);
    free(path);
}

static void a_missing_model_is_named(void **state)
{
    (void)state;
    struct kt_engine *e;
    assert_int_equal(kt_engine_open(&e, "/nonexistent/model.gguf", NULL, &err), KT_E_NOTFOUND);
    assert_null(e);
    assert_non_null(strstr(err.text, "/nonexistent/model.gguf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_are_those_of_the_reference), cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(many_are_the_same_as_one_by_one),    cmocka_unit_test(roles_are_not_mixed),
        cmocka_unit_test(a_missing_model_is_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
