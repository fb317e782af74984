/* Comparing predictions (src/quality/divergence.h) and keeping them (logits_file.h).
 *
 * Method: small vocabularies whose divergences are worked out by hand or by the definition, in double
 * and term by term; summaries of lists whose quantiles and errors are known; files written and read
 * back, then damaged in every byte of their heads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/rng.h"
#include "base/size.h"
#include "quality/divergence.h"
#include "quality/logits_file.h"

enum { VOCAB = 501, WINDOW = 4, TOKENS = 10, ROWS = 7 }; /* windows of 4, 4 and 2 */

static float number(struct rng *r)
{
    return (float)((double)(rng_u64(r) >> 11) * 0x1p-53 * 30 - 15);
}

static void log_softmax(double *out, const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)x[i]);
    for (size_t i = 0; i < n; i++)
        out[i] = (double)x[i] - log(sum);
}

static void two_outcomes_by_hand(void **state)
{
    (void)state;
    /* p = (3/4, 1/4), q = (1/2, 1/2) with logits far from zero */
    float logp[2] = { logf(0.75f), logf(0.25f) }, logits[2] = { 70.0f, 70.0f };
    struct divergence_point d = divergence_at(logp, logits, 2, 1);
    assert_true(fabs(d.kl - (0.75 * log(1.5) + 0.25 * log(0.5))) < 1e-7);
    assert_true(fabs(d.nll - log(2)) < 1e-7);
    assert_true(fabs(d.nll_base - log(4)) < 1e-6);
    assert_true(d.same_top); /* of equal ones the first */
    logits[1] = 71.0f;
    assert_false(divergence_at(logp, logits, 2, 1).same_top);
    /* an outcome that the base rules out costs nothing; the same distribution has none at all */
    float sure[2] = { 0.0f, -INFINITY }, same[2] = { 5.0f, -95.0f };
    assert_true(divergence_at(sure, same, 2, 0).kl < 1e-12);
}

static void random_distributions_by_the_definition(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 11);
    float base[VOCAB], logits[VOCAB];
    double p[VOCAB], q[VOCAB];
    for (size_t round = 0; round < 20; round++) {
        for (size_t i = 0; i < VOCAB; i++) {
            base[i] = number(&r);
            logits[i] = round % 2 ? number(&r) : base[i] + 0.05f * number(&r);
        }
        log_softmax(p, base, VOCAB);
        log_softmax(q, logits, VOCAB);
        double kl = 0;
        for (size_t i = 0; i < VOCAB; i++) {
            kl += exp(p[i]) * (p[i] - q[i]);
            base[i] = (float)p[i];
        }
        struct divergence_point d = divergence_at(base, logits, VOCAB, (int32_t)(round * 7));
        if (fabs(d.kl - kl) > 2e-6 * (1 + kl))
            fail_msg("round %zu: %.9g, expected %.9g", round, d.kl, kl);
        assert_true(fabs(d.nll + q[round * 7]) < 1e-5);
    }
}

static void summaries(void **state)
{
    (void)state;
    enum { N = 101 };
    struct divergence_point p[N];
    double scratch[N];
    for (size_t i = 0; i < N; i++) /* out of order; p(token) is 1/2 before and 1/4 after */
        p[i] = (struct divergence_point){ .nll = log(4),
                                          .nll_base = log(2),
                                          .kl = (double)(i * 37 % N) / 100,
                                          .same_top = i % 2 == 0 };
    struct divergence_summary s;
    divergence_summarise(&s, p, N, scratch);
    assert_true(fabs(s.kl.value - 0.5) < 1e-12);
    /* 0 to 100 hundredths: variance (n^2 - 1) / 12 * n / (n - 1) */
    double var = (101.0 * 101 - 1) / 12 * 101 / 100 * 1e-4;
    assert_true(fabs(s.kl.error - sqrt(var / 101)) < 1e-12);
    assert_true(fabs(s.kl_median - 0.5) < 1e-12);
    assert_true(fabs(s.kl_99 - 0.99) < 1e-12);
    assert_true(fabs(s.kl_999 - 0.999) < 1e-12);
    assert_true(s.kl_max == 1.0);
    assert_true(fabs(s.same_top.value - 51.0 / 101) < 1e-12);
    assert_true(fabs(s.dp.value + 0.25) < 1e-12 && fabs(s.dp_rms.value - 0.25) < 1e-12);
    assert_true(s.dp_rms.error < 1e-9 && s.nll_difference.error < 1e-9);
    assert_true(fabs(s.nll_difference.value - log(2)) < 1e-12);
    divergence_summarise(&s, p + 5, 1, scratch); /* one point: no error, every quantile is it */
    assert_true(s.kl.error == 0 && s.kl_median == s.kl_max && s.kl_999 == s.kl.value);
}

/* ---- the file -------------------------------------------------------------------------------- */

struct saved {
    char path[64];
    float rows[ROWS][VOCAB];
    int32_t ids[TOKENS];
};

static int save(void **state)
{
    struct saved *s = calloc(1, sizeof(*s));
    assert_non_null(s);
    snprintf(s->path, sizeof(s->path), "/tmp/kontor-logits-%d", (int)getpid());
    struct rng r;
    rng_init(&r, 12);
    for (size_t i = 0; i < TOKENS; i++)
        s->ids[i] = (int32_t)rng_below(&r, VOCAB);
    struct kt_error err;
    struct logits_writer *w;
    assert_int_equal(logits_n_rows(TOKENS, WINDOW), ROWS);
    assert_int_equal(logits_writer_open(&w, s->path, VOCAB, WINDOW, s->ids, TOKENS, &err), KT_OK);
    for (size_t k = 0; k < ROWS; k++) {
        for (size_t i = 0; i < VOCAB; i++)
            s->rows[k][i] = k == ROWS - 1 ? 3.0f : number(&r); /* the last: all the same */
        s->rows[2][300] = s->rows[2][200] = 16.0f;             /* the first of equal ones counts */
        s->rows[3][100] = nextafterf(s->rows[3][50] = 16.0f, 17.0f);
        assert_int_equal(logits_writer_put(w, s->rows[k], &err), KT_OK);
    }
    assert_int_equal(logits_writer_finish(w, &err), KT_OK);
    logits_writer_close(w);
    *state = s;
    return 0;
}

static int forget(void **state)
{
    struct saved *s = *state;
    unlink(s->path);
    free(s);
    return 0;
}

static void a_file_comes_back(void **state)
{
    const struct saved *s = *state;
    struct kt_error err;
    struct logits_file *f;
    assert_int_equal(logits_file_open(&f, s->path, &err), KT_OK);
    assert_int_equal(logits_file_n_vocab(f), VOCAB);
    assert_int_equal(logits_file_n_window(f), WINDOW);
    assert_int_equal(logits_file_n_tokens(f), TOKENS);
    assert_int_equal(logits_file_n_rows(f), ROWS);
    for (size_t i = 0; i < TOKENS; i++)
        assert_int_equal(logits_file_token(f, i), s->ids[i]);
    for (size_t k = 0; k < ROWS; k++) {
        float logp[VOCAB];
        double want[VOCAB], sum = 0;
        assert_int_equal(logits_file_row(f, k, logp, &err), KT_OK);
        log_softmax(want, s->rows[k], VOCAB);
        for (size_t i = 0; i < VOCAB; i++) {
            /* half a step of 30 / 65535, and what that does to the sum */
            if (fabs((double)logp[i] - want[i]) > 30.0 / 65535 + 1e-5)
                fail_msg("row %zu, entry %zu: %g, expected %g", k, i, (double)logp[i], want[i]);
            sum += exp((double)logp[i]);
        }
        assert_true(fabs(sum - 1) < 1e-5);
        assert_true(divergence_at(logp, s->rows[k], VOCAB, 0).kl < 1e-7);
        assert_true(divergence_at(logp, s->rows[k], VOCAB, 0).same_top);
    }
    logits_file_close(f);
}

static void damage_is_found(void **state)
{
    const struct saved *s = *state;
    struct kt_error err;
    struct buf b = { 0 };
    struct logits_file *f;
    assert_int_equal(file_read(&b, s->path, 1 << 20, &err), KT_OK);
    for (size_t i = 0; i < 32; i++) { /* every byte of the head matters */
        b.ptr[i] = (char)(b.ptr[i] ^ 1);
        enum kt_status st = logits_file_open_memory(&f, buf_span(&b), "damaged", &err);
        if (!st)
            fail_msg("byte %zu of the head changed, and nobody noticed", i);
        assert_true(strstr(err.text, "damaged") == err.text);
        b.ptr[i] = (char)(b.ptr[i] ^ 1);
    }
    for (size_t n = 0; n < b.len; n += 97) /* cut anywhere */
        assert_int_not_equal(logits_file_open_memory(&f, (struct span){ b.ptr, n }, "cut", &err),
                             KT_OK);
    b.ptr[32 + 3] = 0x7F; /* token 0 beyond the vocabulary */
    assert_int_equal(logits_file_open_memory(&f, buf_span(&b), "x", &err), KT_E_FORMAT);
    b.ptr[32 + 3] = 0;
    float nan = NAN, row[VOCAB];
    memcpy(b.ptr + 32 + 4 * TOKENS, &nan, sizeof(nan));
    assert_int_equal(logits_file_open_memory(&f, buf_span(&b), "x", &err), KT_OK);
    assert_int_equal(logits_file_row(f, 0, row, &err), KT_E_FORMAT);
    assert_int_equal(logits_file_row(f, 1, row, &err), KT_OK);
    logits_file_close(f);
    buf_deinit(&b);
}

static void an_unfinished_file_never_appears(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/kontor-unfinished-%d", (int)getpid());
    int32_t ids[3] = { 1, 0, 1 };
    float row[2] = { 0, NAN };
    struct kt_error err;
    struct logits_writer *w;
    assert_int_equal(logits_writer_open(&w, path, 2, 3, ids, 3, &err), KT_OK);
    assert_int_equal(logits_writer_put(w, row, &err), KT_E_INTERNAL);
    row[1] = 1;
    assert_int_equal(logits_writer_put(w, row, &err), KT_OK);
    assert_int_equal(logits_writer_finish(w, &err), KT_E_INTERNAL); /* one row of two */
    logits_writer_close(w);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(logits_writer_open(&w, "/nowhere/at/all", 2, 3, ids, 3, &err), KT_E_NOTFOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_outcomes_by_hand),
        cmocka_unit_test(random_distributions_by_the_definition),
        cmocka_unit_test(summaries),
        cmocka_unit_test_setup_teardown(a_file_comes_back, save, forget),
        cmocka_unit_test_setup_teardown(damage_is_found, save, forget),
        cmocka_unit_test(an_unfinished_file_never_appears),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
