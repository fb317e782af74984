/* serve/lane.c: who is next, who is refused, who leaves, who makes room.
 *
 * Method: a first job holds the stream while others line up; the order in which they then run is compared. Each job is
 * a thread, as in the server. No sleeps decide anything: the tests wait until the lane is as they want it. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "serve/serve_priv.h"

enum { JOBS = 8 };

struct fixture {
    struct lane lane;
    char order[JOBS + 1]; /* names of the jobs that ran, in order; under the lane's lock */
    size_t n_ran;
};

struct client {
    struct fixture *f;
    char name;
    struct visitor visitor;
    struct job job;
    struct kt_error err;
    enum kt_status st;
    bool pausable;
    atomic_bool gone, hold;
    atomic_int n_begun; /* times it began, paused ones not */
    enum lane_word last_word;
    pthread_t thread;
};

static void note(struct client *c)
{
    pthread_mutex_lock(&c->f->lane.lock);
    c->f->order[c->f->n_ran++] = c->name;
    pthread_mutex_unlock(&c->f->lane.lock);
}

/* Like desk_generate(): steps until nobody holds it any more; a job that lost its place begins again. */
static void *client_main(void *arg)
{
    struct client *c = arg;
    struct lane *l = &c->f->lane;
    c->job = (struct job){ .visitor = &c->visitor, .pausable = c->pausable };
    c->st = lane_begin(l, &c->job, &c->err);
    if (c->st)
        return NULL;
    atomic_fetch_add(&c->n_begun, 1);
    if (c->name != '*')
        note(c);
    while (atomic_load(&c->hold) && c->last_word != LANE_STOP) {
        usleep(1000);
        c->last_word = c->pausable ? lane_go_on(l, &c->job) : LANE_GO_ON;
        if (c->last_word != LANE_BEGIN_AGAIN)
            continue;
        c->st = lane_begin(l, &c->job, &c->err);
        if (c->st)
            return NULL;
        atomic_fetch_add(&c->n_begun, 1);
    }
    lane_end(l, &c->job, c->last_word == LANE_STOP);
    return NULL;
}

static bool is_gone(void *ctx)
{
    return atomic_load(&((struct client *)ctx)->gone);
}

static size_t n_waiting(struct lane *l)
{
    pthread_mutex_lock(&l->lock);
    size_t n = l->n_waiting + l->n_running * 1000;
    pthread_mutex_unlock(&l->lock);
    return n;
}

static void wait_for(struct lane *l, size_t n)
{
    uint64_t end = clock_now_ns() + 20000000000u;
    while (n_waiting(l) != n) {
        if (clock_now_ns() > end)
            fail_msg("%zu run and wait (a thousand each, and one), expected %zu", n_waiting(l), n);
        usleep(500);
    }
}

static void begin(struct client *c, struct fixture *f, char name, int64_t user,
                  enum serve_class class)
{
    *c = (struct client){ .f = f, .name = name };
    atomic_store(&c->hold, name == '*' || (name >= 'A' && name <= 'Z'));
    c->pausable = name >= 'A' && name <= 'Z';
    c->visitor =
        (struct visitor){ .user = user, .scope = "", .class = class, .gone = is_gone, .ctx = c };
    assert_int_equal(pthread_create(&c->thread, NULL, client_main, c), 0);
}

/* One stream, which is busy with '*' until that is let go. */
static void open_busy(struct fixture *f, struct client *holder, size_t n_max)
{
    *f = (struct fixture){ 0 };
    lane_open(&f->lane, 1, 1, n_max);
    begin(holder, f, '*', 99, SERVE_INTERACTIVE);
    wait_for(&f->lane, 1000);
}

static void line_up(struct client *list, struct fixture *f, const char *names, const int64_t *users,
                    const enum serve_class *classes)
{
    for (size_t i = 0; names[i]; i++) {
        begin(&list[i], f, names[i], users[i], classes ? classes[i] : SERVE_INTERACTIVE);
        wait_for(&f->lane, 1000 + i + 1);
    }
}

static void let_go(struct client *c)
{
    atomic_store(&c->hold, false);
    pthread_join(c->thread, NULL);
}

static void run_all(struct client *list, size_t n, struct fixture *f, struct client *holder)
{
    let_go(holder);
    for (size_t i = 0; i < n; i++) {
        pthread_join(list[i].thread, NULL);
        assert_int_equal(list[i].st, KT_OK);
    }
    lane_close(&f->lane);
}

static void test_users_take_turns(void **state)
{
    (void)state;
    struct fixture f;
    struct client holder, list[6];
    open_busy(&f, &holder, 64);
    line_up(list, &f, "abcxyz", (const int64_t[]){ 1, 1, 1, 2, 2, 3 }, NULL);
    run_all(list, 6, &f, &holder);
    assert_string_equal(f.order, "axzbyc");
}

static void test_better_classes_go_first(void **state)
{
    (void)state;
    struct fixture f;
    struct client holder, list[4];
    open_busy(&f, &holder, 64);
    line_up(list, &f, "btib", (const int64_t[]){ 1, 2, 3, 4 },
            (const enum serve_class[]){ SERVE_BACKGROUND, SERVE_TOOL, SERVE_INTERACTIVE,
                                        SERVE_BACKGROUND });
    run_all(list, 4, &f, &holder);
    assert_string_equal(f.order, "itbb");
}

static void test_a_full_queue_refuses(void **state)
{
    (void)state;
    struct fixture f;
    struct client holder, list[2], late;
    open_busy(&f, &holder, 2);
    line_up(list, &f, "ab", (const int64_t[]){ 1, 2 }, NULL);
    begin(&late, &f, 'c', 3, SERVE_INTERACTIVE);
    pthread_join(late.thread, NULL);
    assert_int_equal(late.st, KT_E_BUSY);
    assert_int_equal(f.lane.refused, 1);
    run_all(list, 2, &f, &holder);
    assert_string_equal(f.order, "ab");
}

static void test_who_leaves_is_struck_off(void **state)
{
    (void)state;
    struct fixture f;
    struct client holder, list[3];
    open_busy(&f, &holder, 64);
    line_up(list, &f, "abc", (const int64_t[]){ 1, 2, 3 }, NULL);
    for (size_t i = 1; i < 3; i++) { /* the middle one, then the last */
        uint64_t start = clock_now_ns();
        atomic_store(&list[i].gone, true);
        pthread_join(list[i].thread, NULL);
        assert_int_equal(list[i].st, KT_E_CANCELLED);
        assert_true(clock_now_ns() - start < 1000000000u);
        assert_int_equal(n_waiting(&f.lane), 1000 + 3 - i);
    }
    struct client more;
    begin(&more, &f, 'd', 4, SERVE_INTERACTIVE);
    wait_for(&f.lane, 1002);
    run_all(list, 1, &f, &holder);
    pthread_join(more.thread, NULL);
    assert_int_equal(more.st, KT_OK);
    assert_string_equal(f.order, "ad");
}

static void test_closing_lets_nobody_hang(void **state)
{
    (void)state;
    struct fixture f;
    struct client holder, list[2];
    open_busy(&f, &holder, 64);
    line_up(list, &f, "ab", (const int64_t[]){ 1, 2 }, NULL);
    pthread_mutex_lock(&f.lane.lock);
    f.lane.closing = true;
    pthread_mutex_unlock(&f.lane.lock);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(list[i].thread, NULL);
        assert_int_equal(list[i].st, KT_E_CANCELLED);
    }
    let_go(&holder);
    lane_close(&f.lane);
    assert_string_equal(f.order, "");
}

/* Two streams; a user who has one comes after a user who has none. */
static void test_streams_are_shared_out(void **state)
{
    (void)state;
    struct fixture f = { 0 };
    struct client hold[2], list[3];
    lane_open(&f.lane, 2, 2, 64);
    begin(&hold[0], &f, '*', 1, SERVE_INTERACTIVE);
    wait_for(&f.lane, 1000);
    begin(&hold[1], &f, '*', 2, SERVE_INTERACTIVE);
    wait_for(&f.lane, 2000);
    begin(&list[0], &f, 'a', 1, SERVE_INTERACTIVE);
    wait_for(&f.lane, 2001);
    begin(&list[1], &f, 'b', 2, SERVE_INTERACTIVE);
    wait_for(&f.lane, 2002);
    begin(&list[2], &f, 'c', 1, SERVE_INTERACTIVE);
    wait_for(&f.lane, 2003);
    let_go(&hold[1]); /* user 1 still has a stream: 'b' goes first, then whoever came first */
    for (size_t i = 0; i < 3; i++) {
        pthread_join(list[i].thread, NULL);
        assert_int_equal(list[i].st, KT_OK);
    }
    let_go(&hold[0]);
    lane_close(&f.lane);
    assert_string_equal(f.order, "bac");
}

/* A background job makes room, keeps its place, and goes on afterwards; one of the same class makes no room. */
static void test_background_is_paused(void **state)
{
    (void)state;
    struct fixture f = { 0 };
    struct client back, same, better;
    lane_open(&f.lane, 1, 2, 64);
    begin(&back, &f, 'B', 1, SERVE_BACKGROUND);
    wait_for(&f.lane, 1000);
    begin(&same, &f, 'b', 2, SERVE_BACKGROUND);
    wait_for(&f.lane, 1001);
    begin(&better, &f, 'I', 3, SERVE_INTERACTIVE);
    while (!atomic_load(&better.n_begun))
        usleep(500);
    wait_for(&f.lane, 1002);
    assert_int_equal(f.lane.paused, 1);
    assert_int_equal(f.lane.n_places_taken, 2);
    let_go(&better);
    wait_for(&f.lane, 1001); /* again: it goes before the other, which was not begun */
    assert_int_equal(back.job.state, JOB_RUNS);
    let_go(&back);
    pthread_join(same.thread, NULL);
    assert_int_equal(atomic_load(&back.n_begun), 1);
    lane_close(&f.lane);
    assert_string_equal(f.order, "BIb");
}

/* There is one place only: the paused job loses it, and begins again when everybody better is done. */
static void test_a_place_is_given_up(void **state)
{
    (void)state;
    struct fixture f = { 0 };
    struct client back, better[2];
    lane_open(&f.lane, 1, 1, 64);
    begin(&back, &f, 'B', 1, SERVE_BACKGROUND);
    wait_for(&f.lane, 1000);
    for (size_t i = 0; i < 2; i++)
        begin(&better[i], &f, (char)('I' + (char)i), 2 + (int64_t)i,
              i ? SERVE_TOOL : SERVE_INTERACTIVE);
    while (!atomic_load(&better[0].n_begun))
        usleep(500);
    wait_for(&f.lane, 1002);
    let_go(&better[0]);
    while (!atomic_load(&better[1].n_begun))
        usleep(500);
    let_go(&better[1]);
    while (atomic_load(&back.n_begun) < 2)
        usleep(500);
    let_go(&back);
    assert_int_equal(back.st, KT_OK);
    assert_int_equal(f.lane.n_places_taken, 0);
    lane_close(&f.lane);
}

/* The same when a tool job has got the place before: it is paused, too, although the job that gave the place up first
 * still waits before it. */
static void test_who_gave_up_a_place_hides_no_other(void **state)
{
    (void)state;
    struct fixture f = { 0 };
    struct client back, tool, better;
    lane_open(&f.lane, 1, 1, 64);
    begin(&back, &f, 'B', 1, SERVE_BACKGROUND);
    wait_for(&f.lane, 1000);
    begin(&tool, &f, 'T', 2, SERVE_TOOL);
    while (!atomic_load(&tool.n_begun))
        usleep(500);
    wait_for(&f.lane, 1001);
    begin(&better, &f, 'I', 3, SERVE_INTERACTIVE);
    uint64_t end = clock_now_ns() + 20000000000u;
    while (!atomic_load(&better.n_begun)) {
        if (clock_now_ns() > end)
            fail_msg("the tool job was not paused");
        usleep(500);
    }
    let_go(&better);
    let_go(&tool);
    let_go(&back);
    assert_int_equal(tool.st, KT_OK);
    assert_int_equal(back.st, KT_OK);
    assert_int_equal(f.lane.n_places_taken, 0);
    lane_close(&f.lane);
}

/* However many better ones come: who waits long enough has its turn, undisturbed for a while, and only then makes room. */
static void test_nobody_waits_for_ever(void **state)
{
    (void)state;
    struct fixture f = { 0 };
    struct client hold, back, list[3];
    open_busy(&f, &hold, 64);
    f.lane.age_ns = 100000000u; /* two of them: from background to interactive */
    f.lane.undisturbed_ns = 400000000u;
    begin(&back, &f, 'B', 1, SERVE_BACKGROUND);
    wait_for(&f.lane, 1001);
    usleep(250000);
    for (size_t i = 0; i < 2; i++) {
        begin(&list[i], &f, (char)('1' + i), 2 + (int64_t)i, SERVE_INTERACTIVE);
        wait_for(&f.lane, 1002 + i);
    }
    let_go(&hold);
    while (!atomic_load(&back.n_begun)) /* before those who came later */
        usleep(500);
    uint64_t t0 = clock_now_ns();
    begin(&list[2], &f, '3', 4, SERVE_INTERACTIVE);
    for (size_t i = 0; i < 3; i++)
        pthread_join(list[i].thread, NULL); /* it is paused for them */
    assert_true(clock_now_ns() - t0 > 200000000u);
    let_go(&back);
    assert_int_equal(back.st, KT_OK);
    assert_int_equal(f.lane.paused, 1);
    lane_close(&f.lane);
    assert_string_equal(f.order, "B123");
}

/* Whoever is paused can leave, and is not waited for by a lane that closes. */
static void test_paused_jobs_leave(void **state)
{
    (void)state;
    for (int closing = 0; closing < 2; closing++) {
        struct fixture f = { 0 };
        struct client back, better;
        lane_open(&f.lane, 1, 2, 64);
        begin(&back, &f, 'B', 1, SERVE_BACKGROUND);
        wait_for(&f.lane, 1000);
        begin(&better, &f, 'I', 3, SERVE_INTERACTIVE);
        wait_for(&f.lane, 1001);
        while (!atomic_load(&better.n_begun))
            usleep(500);
        if (closing) {
            lane_close(&f.lane); /* both are told to stop */
            pthread_join(better.thread, NULL);
            assert_int_equal(better.last_word, LANE_STOP);
        } else {
            atomic_store(&back.gone, true);
        }
        pthread_join(back.thread, NULL);
        assert_int_equal(back.last_word, LANE_STOP);
        if (!closing) {
            assert_int_equal(f.lane.n_places_taken, 1);
            let_go(&better);
            lane_close(&f.lane);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users_take_turns),
        cmocka_unit_test(test_better_classes_go_first),
        cmocka_unit_test(test_a_full_queue_refuses),
        cmocka_unit_test(test_who_leaves_is_struck_off),
        cmocka_unit_test(test_closing_lets_nobody_hang),
        cmocka_unit_test(test_streams_are_shared_out),
        cmocka_unit_test(test_background_is_paused),
        cmocka_unit_test(test_a_place_is_given_up),
        cmocka_unit_test(test_who_gave_up_a_place_hides_no_other),
        cmocka_unit_test(test_nobody_waits_for_ever),
        cmocka_unit_test(test_paused_jobs_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
