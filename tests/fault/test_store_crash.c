/* Goal: kill -9 at any moment loses nothing that was acknowledged and leaves nothing half done.
 *
 * Method: a child opens a matter, puts, replaces, renames and removes documents in a loop and
 * writes one line into a pipe after each success; it is killed at a random moment. Then the matter
 * is opened again: every acknowledged change is there, at most the one that was under way beside
 * it; SQLite's, FTS5's and our own checks pass; the last words are found. The number of cycles is
 * the first argument (default 30; `make check-long` runs 1,000), the second a seed. */
#include "store_help.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/rng.h"
#include "store/store_priv.h"

enum { N_PATHS = 12, DIM = 16 };
static int n_cycles = 30;
static uint64_t seed = 1;

/* What stands under each path: the number of the change that put it there, 0 for nothing. */
struct world {
    uint64_t version[N_PATHS];
    uint64_t next;
};

static void path_of(char out[static 32], int i)
{
    snprintf(out, 32, "/akten/%d.txt", i);
}

/* The change with this number: pure, so that the parent can follow the child's acknowledgements. */
struct change {
    enum { PUT, REMOVE } kind;
    int path;
};

static struct change change_of(uint64_t number)
{
    struct rng r;
    rng_init(&r, seed * 1000003 + number);
    return (struct change){ rng_below(&r, 6) ? PUT : REMOVE, (int)rng_below(&r, N_PATHS) };
}

static void apply(struct world *w, uint64_t number)
{
    struct change c = change_of(number);
    w->version[c.path] = c.kind == PUT ? number : 0;
    w->next = number + 1;
}

static enum kt_status perform(struct kt_matter *m, uint64_t number, struct kt_error *err)
{
    struct change c = change_of(number);
    char path[32], text[4096];
    path_of(path, c.path);
    if (c.kind == REMOVE) {
        size_t n;
        return kt_matter_remove(m, path, &n, err);
    }
    size_t len = 0;
    for (int i = 0; i < 20; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len,
                                "Fassung version%llu Zeile zeile%llux%d Mietvertrag\n",
                                (unsigned long long)number, (unsigned long long)number, i);
    return put_lines(m, path, text, DIM, err);
}

_Noreturn static void child(const char *home, uint64_t first, int out)
{
    struct kt_error err = { 0 };
    struct kt_store *s;
    struct kt_matter *m;
    if (kt_store_open(&s, home, NULL, &err) || kt_matter_open(&m, s, "default", KT_WRITE, &err))
        goto failed;
    for (uint64_t number = first;; number++) {
        if (perform(m, number, &err))
            goto failed;
        if (write(out, &number, sizeof(number)) != (ssize_t)sizeof(number))
            _exit(1);
    }
failed:
    fprintf(stderr, "child: %s\n", err.text);
    _exit(2);
}

/* Does the matter hold exactly this? */
static bool holds(struct kt_matter *m, const struct world *w, char why[static 128])
{
    struct kt_error err = { 0 };
    for (int i = 0; i < N_PATHS; i++) {
        char path[32], expected[64], *text = NULL;
        struct kt_doc_info d = { 0 };
        path_of(path, i);
        enum kt_status st = kt_matter_find(m, path, &d, &err);
        snprintf(expected, sizeof(expected), "Fassung version%llu Zeile",
                 (unsigned long long)w->version[i]);
        bool ok = w->version[i] ? st == KT_OK : st == KT_E_NOTFOUND;
        if (ok && w->version[i]) {
            ok = d.n_chunks == 20 && d.has_vectors &&
                 !kt_matter_text(m, d.id, 0, strlen(expected), &text, &err) &&
                 !strcmp(text, expected);
            free(text);
        }
        kt_doc_info_deinit(&d);
        if (!ok) {
            snprintf(why, 128, "%s: expected version %llu", path,
                     (unsigned long long)w->version[i]);
            return false;
        }
    }
    return true;
}

/* The words of what stands there are found, those of the change before are not. */
static void expect_found(struct kt_matter *m, const struct world *w)
{
    char word[64];
    for (int i = 0; i < N_PATHS; i++) {
        if (!w->version[i])
            continue;
        snprintf(word, sizeof(word), "zeile%llux7", (unsigned long long)w->version[i]);
        char *hit = first_hit(m, word);
        if (!hit || !strstr(hit, word))
            fail_msg("%s is not found", word);
        free(hit);
    }
}

static void one_cycle(const char *home, struct world *w, struct rng *r)
{
    int p[2];
    assert_int_equal(pipe(p), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        close(p[0]);
        child(home, w->next, p[1]);
    }
    close(p[1]);
    /* somewhere within opening, or within the first dozen changes */
    struct timespec wait = { 0, (long)rng_below(r, 120) * 1000000 + (long)rng_below(r, 1000000) };
    nanosleep(&wait, NULL);
    kill(pid, SIGKILL);
    int code;
    assert_int_equal(waitpid(pid, &code, 0), pid);
    if (!WIFSIGNALED(code))
        fail_msg("the child ended by itself with %d", WEXITSTATUS(code));
    uint64_t number;
    while (read(p[0], &number, sizeof(number)) == (ssize_t)sizeof(number))
        apply(w, number);
    close(p[0]);

    struct kt_error err = { 0 };
    struct kt_store *s;
    struct kt_matter *m;
    OK(kt_store_open(&s, home, NULL, &err));
    OK(kt_matter_open(&m, s, "default", KT_WRITE, &err));
    OK(matter_check(m, &err));
    char why[128];
    if (!holds(m, w, why)) { /* then the change under way was committed, but not yet acknowledged */
        char first[128];
        memcpy(first, why, sizeof(first));
        apply(w, w->next);
        if (!holds(m, w, why))
            fail_msg("after change %llu: %s; nor with the next one: %s",
                     (unsigned long long)w->next - 2, first, why);
    }
    expect_found(m, w);
    kt_matter_close(m);
    kt_store_close(s);
}

static void test_kill(void **state)
{
    (void)state;
    char *home = home_make();
    struct world w = { .next = 1 };
    struct rng r;
    rng_init(&r, seed);
    for (int i = 0; i < n_cycles; i++)
        one_cycle(home, &w, &r);
    print_message("%d kills, %llu changes acknowledged, seed %llu\n", n_cycles,
                  (unsigned long long)w.next - 1, (unsigned long long)seed);
    assert_true(w.next > (uint64_t)n_cycles / 4); /* or the child never got anywhere */
    home_remove(home);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        n_cycles = atoi(argv[1]);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_kill) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
