/* What: a desk (serve/serve.h) under visitors of every class: each gets the tokens that the request gives alone, each token
 * once and in order, whoever else is there, whether it was paused or had to begin again; who leaves is gone at once; a
 * desk that closes waits for nobody's answer.
 *
 * How: a small model, a thread a visitor. A background answer is held up in its on_token until somebody better stands in the
 * queue, so that no sleep decides what is tested. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/rng.h"
#include "base/size.h"
#include "golden/synthetic.h"
#include "serve/serve_priv.h"
#include "support/model_writer.h"
#include "support/must.h"

/* Arithmetic is a hundred times slower under the thread sanitizer. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { N_ANSWER = 12, N_VISITORS = 5, N_LONG = 20 };
#else
enum { N_ANSWER = 24, N_VISITORS = 9, N_LONG = 120 };
#endif
enum { N_CTX = 192, SEED = 23 };

static struct kt_engine *engine;

struct guest {
    struct desk *desk;
    struct visitor visitor;
    struct kt_generate_request rq;
    int32_t prompt[N_CTX];
    struct kt_generate_result alone, got;
    int32_t seen[N_ANSWER]; /* by on_token */
    atomic_size_t n_seen;
    size_t hold_at; /* after so many tokens it waits until 'go' */
    atomic_bool go, gone;
    enum kt_status st;
    struct kt_error err;
    pthread_t thread;
};

static int open_engine(void **state)
{
    (void)state;
    char *dir = temp_dir_make(), path[512];
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    synth_write_gguf(synth_named("qwen35-r4"), path, QT_Q8_0);
    must(kt_engine_open(&engine, path, &(struct kt_engine_options){ .n_threads = 1 }, &err));
    temp_dir_remove(dir); /* the mapping stays */
    return 0;
}

static int close_engine(void **state)
{
    (void)state;
    kt_engine_close(engine);
    return 0;
}

static struct desk *open_desk(size_t n_streams, size_t n_places)
{
    struct desk *d;
    size_t n_ctx = N_CTX;
    uint64_t steps, one;
    struct desk_counts n;
    must(warm_bytes(engine, &n_ctx, &steps, &one, &err));
    /* Half of it is for checkpoints where there are more places than streams. */
    uint64_t contexts = n_places > n_streams ? 2 * n_places : n_places;
    struct desk_options o = { .chat = engine,
                              .n_ctx = N_CTX,
                              .memory_bytes = steps + contexts * one,
                              .n_streams = n_streams };
    must(desk_open(&d, &o, &err));
    desk_counts(d, &n);
    assert_int_equal(n.warm_max, n_places);
    return d;
}

static bool is_gone(void *ctx)
{
    return atomic_load(&((struct guest *)ctx)->gone);
}

static void on_token(void *ctx, const struct kt_token *t)
{
    struct guest *g = ctx;
    size_t n = atomic_load(&g->n_seen);
    if (n < N_ANSWER)
        g->seen[n] = t->id;
    atomic_store(&g->n_seen, n + 1);
    while (g->hold_at && n + 1 == g->hold_at && !atomic_load(&g->go))
        usleep(500);
}

/* The request and its answer alone. */
static void invite(struct guest *g, struct desk *d, size_t i, enum serve_class class)
{
    struct rng rng;
    struct kt_context *c;
    *g = (struct guest){ .desk = d };
    rng_init(&rng, SEED + i);
    size_t n = i % 3 ? 4 + rng_below(&rng, 30) : N_LONG;
    for (size_t t = 0; t < n; t++)
        g->prompt[t] = (int32_t)rng_below(&rng, SYNTH_VOCAB);
    g->rq =
        (struct kt_generate_request){ .prompt = g->prompt,
                                      .n_prompt = n,
                                      .n_max = N_ANSWER,
                                      .sampling = { .temperature = i % 2 ? 1.1f : 0, .seed = i },
                                      .on_token = on_token,
                                      .callback_ctx = g };
    g->visitor = (struct visitor){ .user = (int64_t)i % 4,
                                   .scope = i % 2 ? "a-matter" : "",
                                   .class = class,
                                   .gone = is_gone,
                                   .ctx = g };
    must(kt_context_create(&c, engine, &(struct kt_context_options){ .n_ctx = N_CTX }, &err));
    struct kt_generate_request rq = g->rq;
    rq.on_token = NULL;
    must(kt_generate(c, &rq, &g->alone, &err));
    assert_int_equal(g->alone.n_tokens, N_ANSWER);
    kt_context_destroy(c);
}

static void *visit(void *arg)
{
    struct guest *g = arg;
    g->st = desk_generate(g->desk, &g->visitor, &g->rq, &g->got, NULL, &g->err);
    return NULL;
}

static void enter(struct guest *g)
{
    assert_int_equal(pthread_create(&g->thread, NULL, visit, g), 0);
}

static void leave(struct guest *g)
{
    kt_generate_result_deinit(&g->got);
    kt_generate_result_deinit(&g->alone);
}

static void served(struct guest *g, size_t i)
{
    pthread_join(g->thread, NULL);
    if (g->st)
        fail_msg("guest %zu (seed %d): %s", i, SEED, g->err.text);
    size_t bytes = N_ANSWER * sizeof(*g->seen);
    if (g->got.n_tokens != N_ANSWER || memcmp(g->got.tokens, g->alone.tokens, bytes) != 0 ||
        memcmp(&g->got.mean_logprob, &g->alone.mean_logprob, sizeof(float)) != 0)
        fail_msg("guest %zu (seed %d): another answer than alone", i, SEED);
    assert_int_equal(atomic_load(&g->n_seen), N_ANSWER);
    assert_memory_equal(g->seen, g->alone.tokens, bytes);
    leave(g);
}

static void wait_for(struct desk *d, size_t n_running, size_t n_waiting)
{
    uint64_t end = clock_now_ns() + 60000000000u;
    struct desk_counts n;
    do {
        desk_counts(d, &n);
        if (clock_now_ns() > end)
            fail_msg("%zu run and %zu wait, expected %zu and %zu", n.running, n.waiting, n_running,
                     n_waiting);
        usleep(500);
    } while (n.running != n_running || n.waiting != n_waiting);
}

static void a_crowd_is_served(void **state)
{
    (void)state;
    static struct guest g[N_VISITORS];
    struct desk *d = open_desk(3, 4);
    for (size_t i = 0; i < N_VISITORS; i++)
        invite(&g[i], d, i, (enum serve_class)(i * 2 % 3));
    for (size_t i = 0; i < N_VISITORS; i++)
        enter(&g[i]);
    for (size_t i = 0; i < N_VISITORS; i++)
        served(&g[i], i);
    wait_for(d, 0, 0);
    desk_close(d);
}

/* With a place for both the background answer is paused, with one place it begins again. */
static void background_makes_room(void **state)
{
    (void)state;
    static struct guest back, better;
    for (size_t n_places = 2; n_places > 0; n_places--) {
        struct desk *d = open_desk(1, n_places);
        struct desk_counts n;
        invite(&back, d, 3, SERVE_BACKGROUND);
        invite(&better, d, 4, SERVE_INTERACTIVE);
        back.hold_at = 7;
        better.hold_at = 2;
        enter(&back);
        while (atomic_load(&back.n_seen) < 7)
            usleep(500);
        enter(&better);
        wait_for(d, 1, 1);
        atomic_store(&back.go, true);
        while (atomic_load(&better.n_seen) < 2) /* it has the stream, and the other had not ended */
            usleep(500);
        wait_for(d, 1, 1);
        assert_true(atomic_load(&back.n_seen) < N_ANSWER);
        atomic_store(&better.go, true);
        served(&better, 4);
        served(&back, 3);
        desk_counts(d, &n);
        assert_int_equal(n.paused, 1);
        desk_close(d);
    }
}

/* Who runs, who is paused, who waits: all can leave. */
static void who_leaves_is_gone(void **state)
{
    (void)state;
    static struct guest back, better, late;
    struct desk *d = open_desk(1, 2);
    invite(&back, d, 5, SERVE_BACKGROUND);
    invite(&better, d, 6, SERVE_INTERACTIVE);
    invite(&late, d, 7, SERVE_INTERACTIVE);
    back.hold_at = better.hold_at = 3;
    enter(&back);
    while (atomic_load(&back.n_seen) < 3)
        usleep(500);
    enter(&better);
    wait_for(d, 1, 1);
    atomic_store(&back.go, true);
    while (atomic_load(&better.n_seen) < 3)
        usleep(500);
    enter(&late);
    wait_for(d, 1, 2);
    atomic_store(&back.gone, true);
    pthread_join(back.thread, NULL);
    assert_int_equal(back.st, KT_OK);
    assert_int_equal(back.got.finish, KT_FINISH_CANCELLED);
    atomic_store(&late.gone, true);
    pthread_join(late.thread, NULL);
    assert_int_equal(late.st, KT_E_CANCELLED);
    wait_for(d, 1, 0);
    uint64_t start = clock_now_ns();
    atomic_store(&better.gone, true);
    atomic_store(&better.go, true);
    pthread_join(better.thread, NULL);
    assert_int_equal(better.got.finish, KT_FINISH_CANCELLED);
    assert_true(clock_now_ns() - start < 20000000000u);
    wait_for(d, 0, 0);
    desk_close(d);
    leave(&back);
    leave(&better);
    leave(&late);
}

static void *let_go(void *arg)
{
    struct guest *g = arg;
    usleep(20000); /* when the desk is closing, most likely; either way it must end */
    atomic_store(&g->go, true);
    return NULL;
}

static void closing_and_forgetting_end(void **state)
{
    (void)state;
    static struct guest g;
    pthread_t other;
    struct desk_counts n;
    struct desk *d = open_desk(2, 2);
    invite(&g, d, 9, SERVE_INTERACTIVE);
    enter(&g);
    served(&g, 9);
    invite(&g, d, 9, SERVE_INTERACTIVE);
    g.hold_at = 2;
    enter(&g);
    while (atomic_load(&g.n_seen) < 2)
        usleep(500);
    assert_int_equal(pthread_create(&other, NULL, let_go, &g), 0);
    desk_forget(d, "a-matter"); /* an answer of it is being written */
    desk_counts(d, &n);
    assert_int_equal(n.warm, 0);
    pthread_join(other, NULL);
    served(&g, 9);
    invite(&g, d, 8, SERVE_INTERACTIVE);
    g.hold_at = 2;
    enter(&g);
    while (atomic_load(&g.n_seen) < 2)
        usleep(500);
    assert_int_equal(pthread_create(&other, NULL, let_go, &g), 0);
    desk_close(d);
    pthread_join(other, NULL);
    pthread_join(g.thread, NULL);
    assert_int_equal(g.st, KT_OK);
    leave(&g);
}

static void what_does_not_fit_is_refused(void **state)
{
    (void)state;
    struct desk *d = (struct desk *)&err;
    struct desk_options o = { .chat = engine, .n_ctx = N_CTX, .memory_bytes = 1000 };
    assert_int_equal(desk_open(&d, &o, &err), KT_E_LIMIT);
    assert_null(d);
    size_t n_ctx = N_CTX;
    uint64_t steps, one;
    must(warm_bytes(engine, &n_ctx, &steps, &one, &err));
    o.memory_bytes = steps + 3 * one;
    o.n_streams = 4;
    assert_int_equal(desk_open(&d, &o, &err), KT_E_LIMIT);
    assert_non_null(strstr(err.text, "--streams"));
    o.n_streams = 3;
    must(desk_open(&d, &o, &err));
    desk_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crowd_is_served),
        cmocka_unit_test(background_makes_room),
        cmocka_unit_test(who_leaves_is_gone),
        cmocka_unit_test(closing_and_forgetting_end),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}
