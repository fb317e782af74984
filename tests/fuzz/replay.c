/* Runs a fuzz target without a fuzzing engine, as an ordinary test: every file of its corpus, then
 * mutations of them.
 *
 *     fuzz_gguf CORPUS_DIR|FILE...
 *
 * $KONTOR_FUZZ_ITERS mutations (default 4000) from $KONTOR_FUZZ_SEED (default 1): the same numbers
 * make the same inputs. When the target dies, the input is left as crash-SEED-N in the current
 * folder; giving that file as the argument runs it alone (with KONTOR_FUZZ_ITERS=0), and it belongs
 * into the corpus with the fix.
 *
 * The mutations are those that break parsers: bits, bytes and whole numbers changed to the edges of
 * their ranges, pieces cut out, doubled, exchanged with those of another file, and files cut short.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/files.h"
#include "base/rng.h"
#include "base/size.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_MAX = 1 << 20, FILES_MAX = 4096, EDITS_MAX = 6, ITERS_DEFAULT = 4000 };

struct input {
    uint8_t *data;
    size_t size;
};
static struct input corpus[FILES_MAX];
static size_t n_corpus;

/* ---- leaving the input behind ---------------------------------------------------------------- */

static struct input running;
static char crash_name[64];

/* Called when the process is about to die: nothing but system calls. */
static void save_running(void)
{
    int fd = open(crash_name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        return;
    ssize_t n = write(fd, running.data, running.size);
    close(fd);
    static const char note[] = "\nthe input was saved as ";
    if (n >= 0 && write(STDERR_FILENO, note, sizeof(note) - 1) > 0 &&
        write(STDERR_FILENO, crash_name, strlen(crash_name)) > 0)
        (void)!write(STDERR_FILENO, "\n", 1);
}

static void on_signal(int sig)
{
    save_running();
    signal(sig, SIG_DFL);
    raise(sig);
}

/* There when a sanitizer is linked in. */
extern void __sanitizer_set_death_callback(void (*fn)(void)) __attribute__((weak));

static void watch_for_death(void)
{
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(save_running);
    else
        signal(SIGSEGV, on_signal);
    signal(SIGABRT, on_signal);
}

/* The target gets a heap block of exactly the input's size, so that a sanitizer sees reads past its
 * end. */
static void run_one(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    if (size)
        memcpy(copy, data, size);
    running = (struct input){ copy, size };
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

/* ---- corpus ---------------------------------------------------------------------------------- */

static void add_file(const char *path)
{
    struct kt_error err;
    struct buf b = { 0 };
    if (n_corpus == FILES_MAX || file_read(&b, path, INPUT_MAX, &err)) {
        fprintf(stderr, "%s: cannot be used: %s\n", path,
                n_corpus == FILES_MAX ? "too many files" : err.text);
        exit(1);
    }
    size_t size = b.len;
    corpus[n_corpus++] = (struct input){ (uint8_t *)buf_take(&b), size };
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name,
                  (*b)->d_name); /* not the locale's order: seeds must mean the same everywhere */
}

static int is_visible(const struct dirent *e)
{
    return e->d_name[0] != '.';
}

static void add_path(const char *path)
{
    struct stat sb;
    if (stat(path, &sb) == 0 && S_ISREG(sb.st_mode)) {
        add_file(path);
        return;
    }
    struct dirent **names;
    int n = scandir(path, &names, is_visible, by_name);
    if (n < 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    for (int i = 0; i < n; i++) {
        char *file = path_join(path, names[i]->d_name);
        if (!file)
            abort();
        add_file(file);
        free(file);
        free(names[i]);
    }
    free(names);
}

/* ---- mutations ------------------------------------------------------------------------------- */

static uint64_t edge_number(struct rng *r)
{
    static const uint64_t EDGES[] = { 0,          1,
                                      2,          7,
                                      8,          31,
                                      32,         255,
                                      256,        65535,
                                      65536,      INT32_MAX,
                                      UINT32_MAX, (uint64_t)UINT32_MAX + 1,
                                      INT64_MAX,  (uint64_t)INT64_MAX + 1,
                                      UINT64_MAX };
    uint64_t v = EDGES[rng_below(r, ARRAY_LEN(EDGES))];
    return v + (rng_below(r, 4) == 0 ? rng_below(r, 5) - 2 : 0);
}

static size_t cut_out(uint8_t *d, size_t size, size_t at, size_t len)
{
    memmove(d + at, d + at + len, size - at - len);
    return size - len;
}

static size_t put_in(uint8_t *d, size_t size, size_t at, const uint8_t *piece, size_t len)
{
    len = MIN(len, (size_t)INPUT_MAX - size);
    memmove(d + at + len, d + at, size - at);
    memcpy(d + at, piece, len);
    return size + len;
}

/* One change to d[0..size), which has room for INPUT_MAX; the new size. */
static size_t mutate(uint8_t *d, size_t size, struct rng *r)
{
    static uint8_t piece[INPUT_MAX];
    if (size == 0) {
        d[0] = (uint8_t)rng_u64(r);
        return 1;
    }
    size_t at = rng_below(r, size);
    size_t len = 1 + rng_below(r, MIN(size - at, (size_t)64));
    const struct input *other = &corpus[rng_below(r, n_corpus)];
    uint64_t number = edge_number(r);
    size_t width = MIN((size_t)1 << rng_below(r, 4), size - at);
    switch (rng_below(r, 9)) {
    case 0:
        d[at] ^= (uint8_t)(1u << rng_below(r, 8));
        return size;
    case 1:
        d[at] = (uint8_t)rng_u64(r);
        return size;
    case 2:
    case 3: /* a number, in the machine's order and at one of the usual widths */
        memcpy(d + at, &number, width);
        return size;
    case 4:
        return cut_out(d, size, at, len);
    case 5: /* doubled */
        memcpy(piece, d + at, len);
        return put_in(d, size, at, piece, len);
    case 6: /* from another file */
        if (other->size == 0)
            return size;
        at = MIN(at, other->size - 1);
        len = MIN(len, other->size - at);
        return put_in(d, size, at, other->data + at, len);
    case 7: /* the same digit again and again: long numbers, deep nesting */
        memset(piece, d[at], len);
        return put_in(d, size, at, piece, len);
    default:
        return rng_below(r, 4) == 0 ? at : size; /* cut short, not too often */
    }
}

static void run_mutations(uint64_t n_iters, uint64_t seed)
{
    uint8_t *d = malloc(INPUT_MAX);
    struct rng r;
    if (!d)
        abort();
    rng_init(&r, seed);
    for (uint64_t i = 0; i < n_iters; i++) {
        const struct input *from = &corpus[rng_below(&r, n_corpus)];
        size_t size = from->size;
        if (size)
            memcpy(d, from->data, size);
        for (size_t e = 1 + rng_below(&r, EDITS_MAX); e > 0; e--)
            size = mutate(d, size, &r);
        snprintf(crash_name, sizeof(crash_name), "crash-%llu-%llu", (unsigned long long)seed,
                 (unsigned long long)i);
        run_one(d, size);
    }
    free(d);
}

static uint64_t number_from_env(const char *name, uint64_t otherwise)
{
    const char *s = getenv(name);
    return s && *s ? strtoull(s, NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        add_path(argv[i]);
    if (n_corpus == 0) {
        fprintf(stderr, "no corpus: name a folder or files\n");
        return 1;
    }
    watch_for_death();
    for (size_t i = 0; i < n_corpus; i++) {
        snprintf(crash_name, sizeof(crash_name), "crash-corpus-%zu", i);
        run_one(corpus[i].data, corpus[i].size);
    }
    uint64_t n_iters = number_from_env("KONTOR_FUZZ_ITERS", ITERS_DEFAULT);
    run_mutations(n_iters, number_from_env("KONTOR_FUZZ_SEED", 1));
    printf("%llu inputs\n", (unsigned long long)(n_corpus + n_iters));
    for (size_t i = 0; i < n_corpus; i++)
        free(corpus[i].data);
    return 0;
}
