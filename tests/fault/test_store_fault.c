/* Goal: when memory or disk give out, a call fails with a plain status and everything acknowledged
 * before is whole.
 *
 * Method: (1) the linker sends malloc, calloc and realloc of the store and of SQLite through here;
 * the n-th fails, n = 1, 2, 4, ... over put, search and remove until they succeed, and after each
 * failure the matter must pass its checks and do the same call. (2) A file-size limit makes writes
 * fail in a child. (3) As root, a small tmpfs runs full. */
#include "store_help.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/store_priv.h"

/* ---- allocations that fail ---- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);

static long fail_at; /* 0: never; counts down */
static bool failed_once;

static bool fails_now(void)
{
    if (fail_at <= 0 || --fail_at)
        return false;
    failed_once = true;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return fails_now() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return fails_now() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return fails_now() ? NULL : __real_realloc(p, n);
}

enum { DIM = 8 };
static const char TEXT[] = "Der Mietvertrag über die Wohnung im Erdgeschoss\n"
                           "Kündigungsfrist drei Monate nach § 573c BGB\n"
                           "Unterschrieben am 12. März 2024 in Köln\n";

struct job {
    struct kt_matter *m;
    const char *what;
    enum kt_status (*run)(struct kt_matter *m, struct kt_error *err);
};

/* put_lines() allocates for itself, so the document is laid out beforehand. */
static struct kt_place places[3];
static float vectors[3 * DIM];
static struct kt_doc_put document = { .path = "/fault.txt",
                                      .title = "Ein Titel",
                                      .text = TEXT,
                                      .text_len = sizeof(TEXT) - 1,
                                      .blocks = places,
                                      .n_blocks = 3,
                                      .chunks = places,
                                      .n_chunks = 3,
                                      .vectors = vectors,
                                      .dim = DIM };

static void lay_out(void)
{
    const char *line = TEXT;
    for (int i = 0; i < 3; i++) {
        const char *end = strchr(line, '\n');
        places[i] =
            (struct kt_place){ .start = (size_t)(line - TEXT), .end = (size_t)(end - TEXT) };
        line_vector(vectors + i * DIM, DIM, line, (size_t)(end - line));
        line = end + 1;
    }
}

static enum kt_status do_put(struct kt_matter *m, struct kt_error *err)
{
    return kt_matter_put(m, &document, err);
}

static enum kt_status do_search(struct kt_matter *m, struct kt_error *err)
{
    struct kt_search_request rq = { .query =
                                        "Wohnungsmietvertrag Frist \"drei Monate\" unbekannteswort",
                                    .vector = vectors,
                                    .dim = DIM };
    struct kt_hit *hits;
    size_t n;
    enum kt_status st = kt_matter_search(m, &rq, &hits, &n, err);
    if (!st && n != 3)
        fail_msg("a search that succeeded found %zu hits, expected 3", n);
    if (!st)
        kt_hits_free(hits, n);
    return st;
}

static enum kt_status do_remove(struct kt_matter *m, struct kt_error *err)
{
    size_t n;
    return kt_matter_remove(m, "/fault.txt", &n, err);
}

/* Fail allocation n of the job for growing n until it runs through. Every n up to 40, then steps of
 * a tenth: the later ones are thousands of the same few places. */
static void torture(struct job *j)
{
    struct kt_error err = { 0 };
    long n_failures = 0;
    for (long n = 1;; n += 1 + (n > 40 ? n / 10 : 0)) {
        failed_once = false;
        fail_at = n;
        enum kt_status st = j->run(j->m, &err);
        fail_at = 0;
        if (!failed_once && !st)
            break;
        if (st && st != KT_E_NOMEM)
            fail_msg("%s, allocation %ld: expected out of memory, found %s: %s", j->what, n,
                     kt_status_name(st), err.text);
        n_failures += st != KT_OK;
        enum kt_status check = matter_check(j->m, &err);
        if (check)
            fail_msg("%s, allocation %ld: afterwards %s", j->what, n, err.text);
        if (j->run == do_remove)
            OK(do_put(j->m,
                      &err)); /* it may have gone before the failure: put it back for the next n */
    }
    print_message("%s: %ld failures survived\n", j->what, n_failures);
    assert_true(n_failures > 20);
}

static void test_allocations(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    char *home = home_make();
    struct kt_store *s;
    struct kt_matter *m;
    lay_out();
    OK(kt_store_open(&s, home, NULL, &err));
    OK(kt_matter_open(&m, s, "default", KT_WRITE, &err));
    OK(put_lines(m, "/other", "Apfel\n", DIM, &err));
    struct job jobs[] = { { m, "put", do_put },
                          { m, "search", do_search },
                          { m, "remove", do_remove } };
    torture(&jobs[0]);
    size_t n;
    OK(kt_matter_remove(m, "/other", &n, &err));
    torture(&jobs[1]);
    torture(&jobs[2]);
    kt_matter_close(m);
    kt_store_close(s);
    home_remove(home);
}

static void test_opening(void **state)
{
    (void)state;
    struct kt_error err = { 0 };
    char *home = home_make();
    int n_failures = 0;
    for (long n = 1;; n += 1 + n / 10) {
        struct kt_store *s = NULL;
        struct kt_matter *m = NULL;
        failed_once = false;
        fail_at = n;
        enum kt_status st = kt_store_open(&s, home, NULL, &err);
        if (!st)
            st = kt_matter_open(&m, s, "default", KT_WRITE, &err);
        fail_at = 0;
        if (st && st != KT_E_NOMEM)
            fail_msg("allocation %ld: expected out of memory, found %s: %s", n, kt_status_name(st),
                     err.text);
        n_failures += st != KT_OK;
        kt_matter_close(m);
        kt_store_close(s);
        if (!failed_once && !st)
            break;
    }
    assert_true(n_failures > 20);
    home_remove(home);
}

/* ---- disks that run full ---- */

/* Put documents until one fails; returns how many went in, the failure in *st. */
static int put_until_full(struct kt_matter *m, enum kt_status *st, struct kt_error *err)
{
    char path[32];
    size_t len = 200000;
    char *text = malloc(len + 1);
    assert_non_null(text);
    for (int i = 0; i < 400; i++) {
        for (size_t k = 0; k < len;
             k++) /* words that do not repeat: nothing compresses here, but terms should differ */
            text[k] = k % 9 == 8 ? ' ' : (char)('a' + (k * 31 + k / 9 * 17 + (size_t)i * 7) % 26);
        text[len] = 0;
        snprintf(path, sizeof(path), "/voll/%d", i);
        struct kt_place chunk = { .end = 2000 };
        struct kt_doc_put d = {
            .path = path, .text = text, .text_len = len, .chunks = &chunk, .n_chunks = 1
        };
        *st = kt_matter_put(m, &d, err);
        if (*st) {
            free(text);
            return i;
        }
    }
    free(text);
    return 400;
}

static bool count_doc(void *ctx, const struct kt_doc_info *d)
{
    (void)d;
    ++*(int *)ctx;
    return true;
}

static void expect_whole(const char *home, int n_expected)
{
    struct kt_error err = { 0 };
    struct kt_store *s;
    struct kt_matter *m;
    int n = 0;
    OK(kt_store_open(&s, home, NULL, &err));
    OK(kt_matter_open(&m, s, "default", KT_WRITE, &err));
    OK(matter_check(m, &err));
    OK(kt_matter_each(m, NULL, count_doc, &n, &err));
    if (n != n_expected)
        fail_msg("%d documents were acknowledged, %d are there", n_expected, n);
    kt_matter_close(m);
    kt_store_close(s);
}

/* In a child, because the limit stays with the process. Exit code: documents that went in; 255: a
 * wrong status. */
static void limited_child(const char *home)
{
    struct kt_error err = { 0 };
    struct kt_store *s;
    struct kt_matter *m;
    enum kt_status st = KT_OK;
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = { 6 << 20, 6 << 20 };
    setrlimit(RLIMIT_FSIZE, &limit);
    if (kt_store_open(&s, home, NULL, &err) || kt_matter_open(&m, s, "default", KT_WRITE, &err))
        _exit(254);
    int n = put_until_full(m, &st, &err);
    if (st != KT_E_NOSPACE) {
        fprintf(stderr, "expected no space, found %s: %s\n", kt_status_name(st), err.text);
        _exit(255);
    }
    /* the handle still answers */
    if (n && kt_matter_find(m, "/voll/0", &(struct kt_doc_info){ 0 }, &err))
        _exit(253);
    _exit(n);
}

static void test_file_limit(void **state)
{
    (void)state;
    char *home = home_make();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        limited_child(home);
    int code;
    assert_int_equal(waitpid(pid, &code, 0), pid);
    assert_true(WIFEXITED(code));
    int n = WEXITSTATUS(code);
    if (n < 2 || n > 200)
        fail_msg("the child ended with %d", n);
    expect_whole(home, n);
    home_remove(home);
}

static void test_full_disk(void **state)
{
    (void)state;
    char *home = home_make();
    if (mount("kontor-test", home, "tmpfs", 0, "size=8m")) {
        print_message("skipped: no tmpfs can be mounted here (%s); the file-size limit above "
                      "covers the same paths\n",
                      strerror(errno));
        home_remove(home);
        skip();
    }
    struct kt_error err = { 0 };
    struct kt_store *s;
    struct kt_matter *m;
    enum kt_status st = KT_OK;
    OK(kt_store_open(&s, home, NULL, &err));
    OK(kt_matter_open(&m, s, "default", KT_WRITE, &err));
    int n = put_until_full(m, &st, &err);
    bool right = st == KT_E_NOSPACE && strstr(err.text, "make room");
    enum kt_status found = st;
    /* removing makes room again, also on a full disk as far as the log allows; reading always works
     */
    struct kt_doc_info d = { 0 };
    enum kt_status read = kt_matter_find(m, "/voll/0", &d, &err);
    kt_doc_info_deinit(&d);
    kt_matter_close(m);
    kt_store_close(s);
    if (n > 0 && right && !read)
        expect_whole(home, n);
    umount(home);
    home_remove(home);
    if (!right || read || n < 2)
        fail_msg("%d documents, then %s: %s; reading afterwards: %s", n, kt_status_name(found),
                 err.text, kt_status_name(read));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_allocations),
        cmocka_unit_test(test_opening),
        cmocka_unit_test(test_file_limit),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
