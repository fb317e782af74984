/* Goal: what memory_plan() says is what is used.
 * Method: contexts and scratch memory are made for models of several shapes and in every type, all of
 * their pages are written, and the growth of the allocator's books and of the resident set is compared
 * with the plan: within TOLERANCE. Sanitizers have an allocator of their own; there only the making is
 * tested. */
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
#include <unistd.h>

#include "golden/synthetic.h"
#include "kernels/kernels.h"
#include "model/model.h"
#include "model/model_file.h"
#include "model/model_priv.h"
#include "support/model_writer.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const double TOLERANCE = INFINITY;
#else
static const double TOLERANCE = 0.02;
#endif

enum { N_STREAMS = 3, N_BATCH = 256 };

static const struct {
    const char *synth;
    size_t n_ctx;
    struct state_types types;
} CASES[] = {
    { "qwen35-r4", 24000, { KV_F16, STATE_F32 } },
    { "qwen35-r4", 24000, { KV_Q8, STATE_BF16 } },
    { "moe-r2", 12000, { KV_F32, STATE_F32 } },
    { "llama-rope3", 60000, { KV_Q8, STATE_F32 } },
};

static void must(enum kt_status st, const struct kt_error *err)
{
    if (st)
        fail_msg("%s: %s", kt_status_name(st), err->text);
}

static double allocated(void)
{
    struct mallinfo2 i = mallinfo2();
    return (double)(i.uordblks + i.hblkhd);
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

static void near(const char *what, double grown, size_t planned)
{
    print_message("  %-10s grew by %.0f bytes, planned %zu (%+.2f %%)\n", what, grown, planned,
                  100 * (grown / (double)planned - 1));
    if (!(fabs(grown / (double)planned - 1) <= TOLERANCE))
        fail_msg("%s memory grew by %.0f bytes, planned were %zu", what, grown, planned);
}

/* A state with all its pages, and all of it written to. */
static void fill_up(struct model_state *s, const struct state_sizes *sizes)
{
    struct kt_error err = { 0 };
    memset(s->recurrent, 1, sizes->recurrent);
    memset(s->conv, 1, sizes->conv);
    memset(s->parts, 1, sizes->parts);
    must(state_reserve(s, s->n_ctx, &err), &err);
    for (size_t i = 0; i < sizes->n_pages; i++)
        memset(s->page_rows[i], 1, sizes->page);
}

static void test_case(void **state)
{
    size_t c = (size_t)(uintptr_t)*state;
    const struct state_types types = CASES[c].types;
    char *dir = temp_dir_make(), path[512];
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    synth_write_gguf(synth_named(CASES[c].synth), path, QT_Q8_0);
    struct kt_error err = { 0 };
    struct kernels k;
    struct model_file *f;
    struct model *m;
    kernels_init(&k, cpu_detect());
    must(model_file_open(&f, path, &err), &err);
    must(model_create(&m, f, &k, NULL, &err), &err);
    const struct model_shape *s = model_shape_of(m);
    struct memory_plan plan;
    struct memory_request rq = { CASES[c].n_ctx, N_STREAMS, N_BATCH, 1, 0, types };
    assert_true(memory_plan(&plan, s, &rq));

    double malloc0 = allocated(), rss0 = resident();
    struct model_state *states[2 * N_STREAMS] = { NULL };
    struct model_run *r;
    must(model_run_create(&r, m, N_BATCH, &err), &err);
    memset(r->block, 1, plan.scratch);
    for (size_t i = 0; i < N_STREAMS; i++) {
        must(model_state_create(&states[2 * i], m, CASES[c].n_ctx, types, &err), &err);
        fill_up(states[2 * i], &plan.state);
        if (!model_has_mtp(m))
            continue;
        must(model_mtp_state_create(&states[2 * i + 1], m, CASES[c].n_ctx, types, &err), &err);
        fill_up(states[2 * i + 1], &plan.mtp);
    }
    size_t pages = N_STREAMS * (plan.state.kv + (model_has_mtp(m) ? plan.mtp.kv : 0));
    near("allocated", allocated() - malloc0 + (double)pages, plan.total); /* pages are mapped */
    near("resident", resident() - rss0, plan.total);
    assert_true(plan.total > 64 << 20); /* so large that other growth is no matter */

    for (size_t i = 0; i < 2 * N_STREAMS; i++)
        model_state_destroy(states[i]);
    model_run_destroy(r);
    model_destroy(m);
    model_file_close(f);
    temp_dir_remove(dir);
}

int main(void)
{
    /* Large blocks come from the system and go back to it, so that growth can be seen. */
    mallopt(M_MMAP_THRESHOLD, 1 << 17);
    enum { N = sizeof(CASES) / sizeof(CASES[0]) };
    struct CMUnitTest tests[N];
    for (size_t i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){ .name = CASES[i].synth,
                                        .test_func = test_case,
                                        .initial_state = (void *)(uintptr_t)i };
    return _cmocka_run_group_tests("memory_plan", tests, N, NULL, NULL);
}
