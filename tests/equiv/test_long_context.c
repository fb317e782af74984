/* Goal: long contexts give the reference's numbers, cost the memory that was planned, and the smaller
 * types of memory cost little accuracy. Takes minutes; argument "32k" or "262k".
 *
 * 32k: the model "long" of golden/synthetic.h, whose recurrent states remember up to tens of thousands
 * of tokens, reads 32,768 of them. With 32-bit memory its logits are compared with those that
 * transformers gave; with every other type, and from tied models too, with its own of 32 bits: mean
 * Kullback-Leibler divergence over rows along the text and over its last thousand tokens.
 *
 * 262k: the same model with one head of 64 reads 262,144 tokens, the longest context of the family, in chunks
 * of 512. The memory it really took is compared with the plan. Its state was copied near the end; the
 * copy reads the rest token by token, and must end with the same logits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "golden/gold.h"
#include "golden/synthetic.h"
#include "kernels/kernels.h"
#include "model/model.h"
#include "model/model_file.h"
#include "support/model_writer.h"

enum { N_TOKENS = 32768, N_FULL = 262144, CHUNK = 512 };

/* Of the logits' standard deviation; measured 2e-5. */
static const double TOLERANCE = 1e-4;

static void must(enum kt_status st, const struct kt_error *err)
{
    if (st)
        fail_msg("%s: %s", kt_status_name(st), err->text);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double resident(void)
{
    unsigned long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &size, &pages), 2);
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

struct loaded {
    char *dir;
    struct kernels k;
    struct pool *pool;
    struct model_file *f;
    struct model *m;
    struct model_run *r;
};

static void load(struct loaded *l, const struct synth *synth, bool folder)
{
    struct kt_error err = { 0 };
    char path[512];
    l->dir = temp_dir_make();
    snprintf(path, sizeof(path), "%s/model.gguf", l->dir);
    if (folder)
        synth_write_folder(synth, l->dir);
    else
        synth_write_gguf(synth, path, QT_BF16);
    kernels_init(&l->k, cpu_detect());
    must(pool_create(&l->pool, 0, &err), &err);
    must(model_file_open(&l->f, folder ? l->dir : path, &err), &err);
    must(model_create(&l->m, l->f, &l->k, l->pool, &err), &err);
    must(model_run_create(&l->r, l->m, CHUNK, &err), &err);
}

static void unload(struct loaded *l)
{
    model_run_destroy(l->r);
    model_destroy(l->m);
    model_file_close(l->f);
    pool_destroy(l->pool);
    temp_dir_remove(l->dir);
}

static void read_tokens(struct loaded *l, struct model_state *s, const int32_t *tokens, size_t n,
                        size_t chunk, enum span_output what, float *logits)
{
    struct kt_error err = { 0 };
    for (size_t at = 0; at < n;) {
        size_t k = n - at < chunk ? n - at : chunk;
        struct model_span sp = {
            .state = s, .tokens = tokens + at, .n_tokens = k, .logits_of = what
        };
        if (what != OUT_NONE)
            sp.logits = logits + (what == OUT_ALL ? at * SYNTH_VOCAB : 0);
        must(model_step(l->r, &sp, 1, &err), &err);
        at += k;
    }
}

/* All logits of N_TOKENS: heap. */
static float *run(struct loaded *l, const int32_t *tokens, struct state_types types,
                  double *seconds)
{
    struct kt_error err = { 0 };
    struct model_state *s;
    float *logits = malloc((size_t)N_TOKENS * SYNTH_VOCAB * sizeof(float));
    assert_non_null(logits);
    must(model_state_create(&s, l->m, N_TOKENS, types, &err), &err);
    double t = now_s();
    read_tokens(l, s, tokens, N_TOKENS, CHUNK, OUT_ALL, logits);
    *seconds = now_s() - t;
    model_state_destroy(s);
    return logits;
}

static double divergence(const float *p, const float *q)
{
    double top_p = -INFINITY, top_q = -INFINITY, sum_p = 0, sum_q = 0, kl = 0;
    for (size_t i = 0; i < SYNTH_VOCAB; i++) {
        top_p = fmax(top_p, (double)p[i]);
        top_q = fmax(top_q, (double)q[i]);
    }
    for (size_t i = 0; i < SYNTH_VOCAB; i++) {
        sum_p += exp((double)p[i] - top_p);
        sum_q += exp((double)q[i] - top_q);
    }
    double log_p = top_p + log(sum_p), log_q = top_q + log(sum_q);
    for (size_t i = 0; i < SYNTH_VOCAB; i++)
        kl += exp((double)p[i] - log_p) * ((double)p[i] - log_p - (double)q[i] + log_q);
    return kl;
}

/* Mean over every 7th row of [first, first + n). */
static double mean_kl(const float *p, const float *q, size_t first, size_t n)
{
    double sum = 0;
    size_t k = 0;
    for (size_t i = first; i < first + n; i += 7, k++)
        sum += divergence(p + i * SYNTH_VOCAB, q + i * SYNTH_VOCAB);
    return sum / (double)k;
}

static void check_reference(const float *logits)
{
    struct gold g;
    gold_open(&g, "long.gold");
    float *rows = malloc((size_t)g.n_tokens * SYNTH_VOCAB * sizeof(float));
    assert_non_null(rows);
    for (int32_t i = 0; i < g.n_tokens; i++) {
        assert_in_range(g.pos[i], 0, N_TOKENS - 1);
        memcpy(rows + (size_t)i * SYNTH_VOCAB, logits + (size_t)g.pos[i] * SYNTH_VOCAB,
               SYNTH_VOCAB * sizeof(float));
    }
    struct gold_distance d = gold_compare(&g, rows, 2e-3);
    print_message("%d rows of %d tokens: max |delta| / std %.2e, argmax wrong at %zu of %zu sure\n",
                  g.n_tokens, N_TOKENS, d.max_abs, d.n_wrong, d.n_sure);
    if (!(d.max_abs <= TOLERANCE) || d.n_wrong)
        fail_msg("differs from the reference by %.2e of its std, expected at most %.0e", d.max_abs,
                 TOLERANCE);
    free(rows);
    gold_close(&g);
}

/* Another model with states as slow as those of "long", of which so much is kept as fits minutes. */
static struct synth slow(const char *name)
{
    struct synth s = *synth_named(name);
    s.slow = true;
    s.n_layers = 4;
    s.n_heads = s.n_kv_heads = 1;
    return s;
}

static void compare_types(const struct synth *m, bool has_reference)
{
    static const struct {
        const char *name;
        struct state_types types;
        double limit; /* of the mean divergence */
    } TYPES[] = {
        { "kv f16", { KV_F16, STATE_F32 }, 1e-3 },
        { "kv q8", { KV_Q8, STATE_F32 }, 1e-3 },
        { "state bf16", { KV_F32, STATE_BF16 }, 1e-3 },
        { "kv q8, state bf16", { KV_Q8, STATE_BF16 }, 2e-3 },
    };
    struct loaded l;
    load(&l, m, has_reference);
    int32_t *tokens = synth_tokens(m, N_TOKENS);
    double seconds;
    float *want = run(&l, tokens, (struct state_types){ 0 }, &seconds);
    print_message("%s: 32 bits, %.0f s\n", m->name, seconds);
    if (has_reference)
        check_reference(want);
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
        if (m->n_experts && TYPES[i].types.recurrent == STATE_BF16)
            continue; /* refused, for what it costs there */
        float *got = run(&l, tokens, TYPES[i].types, &seconds);
        double all = mean_kl(want, got, 0, N_TOKENS),
               end = mean_kl(want, got, N_TOKENS - 1024, 1024);
        print_message("%-10s %-18s KL mean %.2e, last 1024 tokens %.2e, %.0f s\n", m->name,
                      TYPES[i].name, all, end, seconds);
        if (!(all <= TYPES[i].limit && end <= TYPES[i].limit))
            fail_msg("%s with %s: KL %.2e, at the end %.2e, expected at most %.0e", m->name,
                     TYPES[i].name, all, end, TYPES[i].limit);
        free(got);
    }
    free(want);
    free(tokens);
    unload(&l);
}

static void at_32k_tokens(void **state)
{
    (void)state;
    struct synth tied = slow("qwen35-r1"), experts = slow("moe-r2");
    compare_types(&SYNTH_LONG, true);
    compare_types(&tied, false);
    compare_types(&experts, false);
}

static void at_262k_tokens(void **state)
{
    enum { LAST = 192 };
    (void)state;
    struct synth m = SYNTH_LONG;
    struct loaded l;
    struct kt_error err = { 0 };
    m.n_heads = 1;
    m.head_dim = 64;
    load(&l, &m, false);
    int32_t *tokens = synth_tokens(&m, N_FULL);
    const struct state_types types = { KV_F16, STATE_F32 };
    struct memory_plan plan;
    struct memory_request rq = { N_FULL, 1, CHUNK, pool_threads(l.pool), 0, types };
    assert_true(memory_plan(&plan, model_shape_of(l.m), &rq));

    /* One token first, for the pages of the weights. The run is made anew, so that its memory is part
     * of what grows. */
    struct model_state *s, *copy;
    must(model_state_create(&s, l.m, 1, types, &err), &err);
    read_tokens(&l, s, tokens, 1, 1, OUT_NONE, NULL);
    model_state_destroy(s);
    model_run_destroy(l.r);
    double rss0 = resident(), t = now_s();
    must(model_run_create(&l.r, l.m, CHUNK, &err), &err);
    must(model_state_create(&s, l.m, N_FULL, types, &err), &err);
    float want[SYNTH_VOCAB], got[SYNTH_VOCAB];
    read_tokens(&l, s, tokens, N_FULL - LAST, CHUNK, OUT_NONE, NULL);
    double t_read = now_s() - t, grown = resident() - rss0;

    must(model_state_create(&copy, l.m, N_FULL, types, &err), &err);
    model_state_copy(copy, s);
    read_tokens(&l, s, tokens + N_FULL - LAST, LAST, LAST, OUT_LAST, want);
    t = now_s();
    read_tokens(&l, copy, tokens + N_FULL - LAST, LAST, 1, OUT_LAST, got);
    double t_single = (now_s() - t) / LAST;
    print_message("%d tokens in %.0f s, then %.1f ms a token; %.0f MB resident, planned %.0f MB "
                  "(%+.2f %%)\n",
                  N_FULL, t_read, t_single * 1e3, grown / 1e6, (double)plan.total / 1e6,
                  100 * (grown / (double)plan.total - 1));
    assert_int_equal(model_state_n_past(s), N_FULL);
    assert_memory_equal(want, got, sizeof(want));
    if (!(fabs(grown / (double)plan.total - 1) <= 0.02))
        fail_msg("%.0f bytes resident, planned were %zu", grown, plan.total);
    struct model_span more = { .state = s, .tokens = tokens, .n_tokens = 1 };
    assert_int_equal(model_step(l.r, &more, 1, &err), KT_E_LIMIT);
    model_state_destroy(s);
    model_state_destroy(copy);
    free(tokens);
    unload(&l);
}

int main(int argc, char **argv)
{
    /* Large blocks come from the system and go back to it, so that growth can be seen. */
    mallopt(M_MMAP_THRESHOLD, 1 << 17);
    bool full = argc > 1 && strcmp(argv[1], "262k") == 0;
    const struct CMUnitTest tests[] = { cmocka_unit_test(at_32k_tokens) };
    const struct CMUnitTest full_tests[] = { cmocka_unit_test(at_262k_tokens) };
    return full ? cmocka_run_group_tests(full_tests, NULL, NULL)
                : cmocka_run_group_tests(tests, NULL, NULL);
}
