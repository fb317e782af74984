/* serve/lane.h: who is next, who is refused, who leaves.
 *
 * Method: a first job holds the lane while others line up; the order in which they then run is compared. Each job is
 * a thread, as in the server. No sleeps decide anything: the tests wait until the queue has the length they want. */
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
    atomic_bool hold;
    char order[JOBS + 1]; /* names of the jobs that ran, in order; written by the lane's thread */
    size_t n_ran;
};

struct client {
    struct fixture *f;
    char name;
    struct visitor visitor;
    struct job job;
    struct kt_error err;
    enum kt_status st;
    atomic_bool gone;
    pthread_t thread;
};

static enum kt_status work(struct job *j)
{
    struct client *c = j->arg;
    while (c->name == '*' && atomic_load(&c->f->hold))
        usleep(1000);
    if (c->name != '*')
        c->f->order[c->f->n_ran++] = c->name;
    return KT_OK;
}

static void *client_main(void *arg)
{
    struct client *c = arg;
    c->job = (struct job){ .visitor = &c->visitor, .run = work, .arg = c, .err = &c->err };
    c->st = lane_do(&c->f->lane, &c->job);
    return NULL;
}

static bool is_gone(void *ctx)
{
    return atomic_load(&((struct client *)ctx)->gone);
}

static size_t n_waiting(struct lane *l)
{
    pthread_mutex_lock(&l->lock);
    size_t n = l->n_waiting + l->running * 1000;
    pthread_mutex_unlock(&l->lock);
    return n;
}

static void wait_for(struct lane *l, size_t n)
{
    uint64_t end = clock_now_ns() + 20000000000u;
    while (n_waiting(l) != n) {
        assert_true(clock_now_ns() < end);
        usleep(500);
    }
}

static void begin(struct client *c, struct fixture *f, char name, int64_t user,
                  enum serve_class class)
{
    *c = (struct client){ .f = f, .name = name };
    c->visitor =
        (struct visitor){ .user = user, .scope = "", .class = class, .gone = is_gone, .ctx = c };
    assert_int_equal(pthread_create(&c->thread, NULL, client_main, c), 0);
}

/* The lane is busy with '*' until 'hold' is false. */
static void open_busy(struct fixture *f, struct client *holder, size_t n_max)
{
    struct kt_error err;
    *f = (struct fixture){ 0 };
    atomic_store(&f->hold, true);
    assert_int_equal(lane_open(&f->lane, n_max, &err), KT_OK);
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

static void run_all(struct client *list, size_t n, struct fixture *f, struct client *holder)
{
    atomic_store(&f->hold, false);
    pthread_join(holder->thread, NULL);
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
    atomic_store(&f.hold, false);
    pthread_join(holder.thread, NULL);
    lane_close(&f.lane);
    assert_string_equal(f.order, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users_take_turns),
        cmocka_unit_test(test_better_classes_go_first),
        cmocka_unit_test(test_a_full_queue_refuses),
        cmocka_unit_test(test_who_leaves_is_struck_off),
        cmocka_unit_test(test_closing_lets_nobody_hang),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
