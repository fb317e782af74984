/* Goal: checkpoints in files survive the program that wrote them, come back with the same bytes, and only to whom they
 * belong; a damaged file is never believed; their number and size are bounded; forgetting removes them.
 *
 * Method: a small recurrent model and a conversation of prompts that begin alike. A run leaves files; other runs find
 * them, whole or damaged in many ways, and whatever they find, logits are a cold run's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "base/size.h"
#include "engine/engine_priv.h"
#include "golden/synthetic.h"
#include "kontor/cache.h"
#include "support/model_writer.h"
#include "support/must.h"

enum { SEED = 21, N_CTX = 400, N_PROMPTS = 4, FILES_MAX = 64 };
static const size_t LENGTHS[N_PROMPTS] = { 100, 150, 290, 300 }; /* within, and beyond, two pages */

static char *base_dir, model_path[512], files_path[512];
static const uint8_t KEY[KT_CACHE_KEY_BYTES] = { 1, 2, 3 }, OTHER_KEY[KT_CACHE_KEY_BYTES] = { 9 };
static int32_t tokens[N_CTX];
static float *want; /* [N_PROMPTS, SYNTH_VOCAB] of a cold run */

/* A program's run: an engine, its cache, a context of the scope. */
struct run {
    struct kt_engine *e;
    struct kt_cache *cache;
    struct kt_context *c;
};

static const struct kt_context_options CONTEXT = { .n_ctx = N_CTX,
                                                   .n_batch = 64,
                                                   .speculate = KT_SPECULATE_OFF };

static struct run run_begin(uint64_t memory, const char *scope, const uint8_t *key,
                            uint64_t files_max)
{
    struct run r;
    must(kt_engine_open(&r.e, model_path, &(struct kt_engine_options){ .n_threads = 1 }, &err));
    must(kt_cache_create(&r.cache, r.e,
                         &(struct kt_cache_options){ .memory_bytes = memory, .file_tokens = 1 },
                         &err));
    must(kt_context_create(&r.c, r.e, &CONTEXT, &err));
    must(kt_context_use_cache(r.c, r.cache, scope, &err));
    must(kt_context_keep_files(r.c, files_path, key, files_max, &err));
    must(kt_context_keep_files(r.c, files_path, key, files_max, &err)); /* nothing more */
    return r;
}

static void run_end(struct run *r)
{
    kt_context_destroy(r->c);
    kt_cache_destroy(r->cache);
    kt_engine_close(r->e);
}

/* Prompt i; its logits must be the cold run's. Returns how many tokens were found. */
static size_t read_prompt(struct run *r, size_t i)
{
    size_t n_cached;
    must(context_advance(r->c, tokens, LENGTHS[i], NULL, &n_cached, NULL, NULL, &err));
    if (memcmp(context_logits(r->c), want + i * SYNTH_VOCAB, SYNTH_VOCAB * sizeof(*want)) != 0)
        fail_msg("prompt %zu (seed %d), from token %zu: other logits than cold", i, SEED, n_cached);
    return n_cached;
}

/* Something else, so that the context itself has nothing of the prompts. */
static void turn_away(struct run *r)
{
    int32_t other = 5;
    size_t n_cached;
    must(context_advance(r->c, &other, 1, NULL, &n_cached, NULL, NULL, &err));
}

static struct kt_cache_counts counts(const struct run *r)
{
    struct kt_cache_counts n;
    kt_cache_count(r->cache, &n);
    return n;
}

/* ---- the folder ---- */

struct listing {
    char path[FILES_MAX][768];
    size_t n;
    uint64_t bytes;
};

static struct listing list_files(void)
{
    struct listing l = { .n = 0 };
    DIR *d = opendir(files_path);
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        struct stat sb;
        if (e->d_name[0] == '.')
            continue;
        assert_true(l.n < FILES_MAX);
        assert_true(strncmp(e->d_name, "cache-", 6) == 0);
        snprintf(l.path[l.n], sizeof(l.path[0]), "%s/%s", files_path, e->d_name);
        assert_int_equal(lstat(l.path[l.n], &sb), 0);
        assert_true(!S_ISREG(sb.st_mode) || (sb.st_mode & 0777) == 0600);
        l.bytes += (uint64_t)sb.st_size;
        l.n++;
    }
    closedir(d);
    return l;
}

static void remove_files(void)
{
    struct listing l = list_files();
    for (size_t i = 0; i < l.n; i++)
        unlink(l.path[i]);
}

/* All four prompts, each building on the one before, written down. */
static void leave_files(void)
{
    remove_files();
    struct run r = run_begin((uint64_t)1 << 28, "u1/m", KEY, 0);
    for (size_t i = 0; i < N_PROMPTS; i++) {
        read_prompt(&r, i);
        turn_away(&r);
    }
    run_end(&r);
    assert_true(list_files().n >= N_PROMPTS);
}

static char *read_all(const char *path, size_t *n)
{
    struct stat sb;
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &sb), 0);
    *n = (size_t)sb.st_size;
    char *bytes = malloc(*n + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *n, f), *n);
    fclose(f);
    return bytes;
}

static void write_all(const char *path, const char *bytes, size_t n)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* ---- the cases ---- */

static void they_survive(void **state)
{
    (void)state;
    leave_files();
    struct listing before = list_files();
    for (size_t i = N_PROMPTS;
         i-- > 0;) { /* the longest first: nothing it builds on is in memory */
        struct run r = run_begin((uint64_t)1 << 28, "u1/m", KEY, 0);
        struct kt_cache_counts n = counts(&r);
        assert_int_equal(n.n_files, before.n);
        assert_int_equal(n.n_checkpoints, 0);
        assert_int_equal(n.file_bytes, before.bytes);
        for (size_t k = 0; k < N_PROMPTS; k++) {
            size_t at = (i + k) % N_PROMPTS;
            assert_int_equal(read_prompt(&r, at), LENGTHS[at]);
            turn_away(&r);
        }
        assert_in_range(counts(&r).read, N_PROMPTS, N_PROMPTS + 1); /* and what turned away */
        run_end(&r);
        assert_int_equal(list_files().bytes, before.bytes); /* what is there is not written again */
    }
    /* what they have in common is in them once: a checkpoint, and the rows of the longest */
    struct run r = run_begin((uint64_t)1 << 28, "u1/m", KEY, 0);
    read_prompt(&r, 0);
    uint64_t fixed = model_state_own_bytes(r.c->state),
             row = model_state_page_bytes(r.c->state) / model_page_tokens();
    assert_in_range(before.bytes, 0,
                    before.n * (fixed + SYNTH_VOCAB * 4 + N_CTX * 4 + 512) + (N_CTX + 1) * row);
    run_end(&r);
}

/* What was pushed out of memory is found in its file. */
static void they_are_larger_than_memory(void **state)
{
    (void)state;
    leave_files();
    struct run r = run_begin((uint64_t)1 << 28, "u1/m", KEY, 0);
    read_prompt(&r, 3);
    uint64_t one = counts(&r).bytes;
    run_end(&r);
    r = run_begin(one + one / 4, "u1/m", KEY, 0);
    for (size_t round = 0; round < 3; round++)
        for (size_t i = 0; i < N_PROMPTS; i++) {
            assert_int_equal(read_prompt(&r, i), LENGTHS[i]);
            turn_away(&r);
            assert_in_range(counts(&r).bytes, 1, one + one / 4);
        }
    assert_true(counts(&r).read > N_PROMPTS);
    run_end(&r);
}

static void walls_stand_on_disk(void **state)
{
    (void)state;
    leave_files();
    size_t n = list_files().n;
    struct run r = run_begin((uint64_t)1 << 28, "u2/m", KEY, 0); /* another user of the matter */
    assert_int_equal(read_prompt(&r, 3), 0);
    run_end(&r);
    r = run_begin((uint64_t)1 << 28, "u1/m", OTHER_KEY, 0); /* the key is gone */
    assert_int_equal(counts(&r).n_files, 0);
    assert_int_equal(read_prompt(&r, 3), 0);
    run_end(&r);
    assert_true(list_files().n > n);
    /* in files no token of a prompt stands in the clear: four that follow each other, at any place */
    struct listing l = list_files();
    for (size_t i = 0; i < l.n; i++) {
        size_t len;
        char *bytes = read_all(l.path[i], &len);
        assert_null(memmem(bytes, len, tokens, 4 * sizeof(*tokens)));
        free(bytes);
    }
    /* forgetting the user's takes those of the user, whatever matter */
    r = run_begin((uint64_t)1 << 28, "u1/m", KEY, 0);
    assert_int_equal(read_prompt(&r, 2), LENGTHS[2]);
    kt_cache_forget(r.cache, "u1");
    assert_int_equal(counts(&r).n_files + counts(&r).n_checkpoints, 0);
    must(kt_context_use_cache(r.c, NULL, NULL, &err));
    run_end(&r);
    r = run_begin((uint64_t)1 << 28, "u1/m", KEY, 0);
    assert_int_equal(read_prompt(&r, 2), 0);
    run_end(&r);
    r = run_begin((uint64_t)1 << 28, "u2/m", KEY, 0);
    assert_int_equal(read_prompt(&r, 3), LENGTHS[3]);
    run_end(&r);
}

/* A folder's share. */
static void their_bytes_are_bounded(void **state)
{
    (void)state;
    leave_files();
    uint64_t all = list_files().bytes, share = all / 2;
    struct run r = run_begin((uint64_t)1 << 28, "u1/m", KEY, share);
    assert_in_range(counts(&r).file_bytes, 0, share);
    run_end(&r);
    assert_in_range(list_files().bytes, 0, share);
    remove_files();
    r = run_begin((uint64_t)1 << 28, "u1/m", KEY, share);
    for (size_t i = 0; i < N_PROMPTS; i++) {
        read_prompt(&r, i);
        turn_away(&r);
    }
    run_end(&r);
    assert_in_range(list_files().bytes, 1, share);
    r = run_begin((uint64_t)1 << 28, "u1/m", KEY, share);
    for (size_t i = 0; i < N_PROMPTS; i++)
        read_prompt(&r, i);
    run_end(&r);
}

static void hurt(const char *path, size_t way, struct rng *rng)
{
    size_t n;
    char *bytes = read_all(path, &n);
    size_t at = way < 3 ? way * 13 % 64 : rng_below(rng, n);
    switch (way % 6) {
    case 0: /* a bit */
    case 1:
        bytes[at] ^= (char)(1 << rng_below(rng, 8));
        write_all(path, bytes, n);
        break;
    case 2: /* cut */
        write_all(path, bytes, at);
        break;
    case 3: /* more than there was */
        bytes = realloc(bytes, n + 100);
        assert_non_null(bytes);
        memset(bytes + n, 7, 100);
        write_all(path, bytes, n + 100);
        break;
    case 4: /* empty */
        write_all(path, bytes, 0);
        break;
    case 5: /* something else of that name */
        unlink(path);
        assert_int_equal(symlink("/dev/zero", path), 0);
        break;
    }
    free(bytes);
}

static void damage_is_never_believed(void **state)
{
    (void)state;
    struct rng rng;
    rng_init(&rng, SEED);
    size_t lost = 0;
    for (size_t round = 0; round < 18; round++) {
        leave_files();
        struct listing l = list_files();
        const char *victim = l.path[rng_below(&rng, l.n)];
        hurt(victim, round, &rng);
        struct run r = run_begin((uint64_t)1 << 28, "u1/m", KEY, 0);
        for (size_t k = 0; k < N_PROMPTS; k++) {
            size_t i = (round + k) % N_PROMPTS;
            lost += read_prompt(&r, i) < LENGTHS[i];
            turn_away(&r);
        }
        run_end(&r);
        /* and the next run is whole again */
        r = run_begin((uint64_t)1 << 28, "u1/m", KEY, 0);
        for (size_t i = 0; i < N_PROMPTS; i++) {
            assert_int_equal(read_prompt(&r, i), LENGTHS[i]);
            turn_away(&r);
        }
        run_end(&r);
    }
    assert_true(lost >= 10);
    /* a file under another's name */
    leave_files();
    struct listing l = list_files();
    size_t n;
    char *bytes = read_all(l.path[0], &n);
    write_all(l.path[1], bytes, n);
    free(bytes);
    struct run r = run_begin((uint64_t)1 << 28, "u1/m", KEY, 0);
    assert_true(counts(&r).n_files < l.n);
    for (size_t i = 0; i < N_PROMPTS; i++)
        read_prompt(&r, i);
    run_end(&r);
    /* a folder that is not there any more: everything works */
    r = run_begin((uint64_t)1 << 28, "u1/m", KEY, 0);
    remove_files();
    assert_int_equal(rmdir(files_path), 0);
    for (size_t i = 0; i < N_PROMPTS; i++)
        read_prompt(&r, i);
    run_end(&r);
    assert_int_equal(mkdir(files_path, 0700), 0);
}

/* ---- many at once ---- */

enum { N_THREADS = 4, N_ROUNDS = 12 };

struct worker {
    struct kt_engine *e;
    struct kt_cache *cache;
    const char *scope;
    uint64_t seed;
    size_t n_hits;
    const char *failed; /* what; NULL: nothing */
};

static void *work(void *ctx)
{
    struct worker *w = ctx;
    struct kt_context *c = NULL;
    struct kt_error e;
    struct rng rng;
    rng_init(&rng, w->seed);
    if (kt_context_create(&c, w->e, &CONTEXT, &e) ||
        kt_context_use_cache(c, w->cache, w->scope, &e) ||
        kt_context_keep_files(c, files_path, KEY, 0, &e))
        w->failed = "a context";
    for (size_t round = 0; round < N_ROUNDS && !w->failed; round++) {
        size_t i = rng_below(&rng, N_PROMPTS), n_cached;
        int32_t other = (int32_t)rng_below(&rng, SYNTH_VOCAB);
        if (context_advance(c, tokens, LENGTHS[i], NULL, &n_cached, NULL, NULL, &e))
            w->failed = "a prompt";
        else if (memcmp(context_logits(c), want + i * SYNTH_VOCAB, SYNTH_VOCAB * sizeof(*want)))
            w->failed = "logits";
        w->n_hits += n_cached > 0;
        if (!w->failed && context_advance(c, &other, 1, NULL, &n_cached, NULL, NULL, &e))
            w->failed = "a prompt of one token";
        if (round % 5 == 4)
            kt_cache_forget(w->cache, "v");
    }
    kt_context_destroy(c);
    return NULL;
}

/* Threads look, keep, push out, read and write files, and forget, in two scopes and too little memory. */
static void many_at_once(void **state)
{
    (void)state;
    remove_files();
    struct run r = run_begin((uint64_t)1 << 28, "u/m", KEY, 0);
    read_prompt(&r, 3);
    uint64_t memory = counts(&r).bytes;
    run_end(&r);
    struct kt_engine *e;
    struct kt_cache *cache;
    must(kt_engine_open(&e, model_path, &(struct kt_engine_options){ .n_threads = 1 }, &err));
    must(kt_cache_create(
        &cache, e, &(struct kt_cache_options){ .memory_bytes = memory, .file_tokens = 1 }, &err));
    struct worker workers[N_THREADS];
    pthread_t threads[N_THREADS];
    for (size_t i = 0; i < N_THREADS; i++) {
        workers[i] = (struct worker){ e, cache, i % 2 ? "v/m" : "u/m", SEED + i, 0, NULL };
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    size_t n_hits = 0;
    for (size_t i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        n_hits += workers[i].n_hits;
        if (workers[i].failed)
            fail_msg("thread %zu (seed %d): %s", i, SEED, workers[i].failed);
    }
    assert_true(n_hits >= N_THREADS * N_ROUNDS / 4);
    struct kt_cache_counts n;
    kt_cache_count(cache, &n);
    assert_in_range(n.bytes, 0, memory);
    kt_cache_destroy(cache);
    kt_engine_close(e);
}

static int set_up(void **state)
{
    (void)state;
    base_dir = temp_dir_make();
    snprintf(model_path, sizeof(model_path), "%s/model.gguf", base_dir);
    snprintf(files_path, sizeof(files_path), "%s/files", base_dir);
    synth_write_gguf(synth_named("qwen35-r2"), model_path, QT_BF16);
    assert_int_equal(mkdir(files_path, 0700), 0);
    struct rng rng;
    rng_init(&rng, SEED);
    for (size_t i = 0; i < N_CTX; i++)
        tokens[i] = (int32_t)rng_below(&rng, SYNTH_VOCAB);
    want = calloc(N_PROMPTS * SYNTH_VOCAB, sizeof(*want));
    struct kt_engine *e;
    struct kt_context *c;
    must(kt_engine_open(&e, model_path, &(struct kt_engine_options){ .n_threads = 1 }, &err));
    must(kt_context_create(&c, e, &CONTEXT, &err));
    for (size_t i = 0; i < N_PROMPTS; i++) {
        size_t n_cached;
        must(context_advance(c, tokens, LENGTHS[i], NULL, &n_cached, NULL, NULL, &err));
        memcpy(want + i * SYNTH_VOCAB, context_logits(c), SYNTH_VOCAB * sizeof(*want));
    }
    kt_context_destroy(c);
    kt_engine_close(e);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(want);
    temp_dir_remove(base_dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_survive),
        cmocka_unit_test(they_are_larger_than_memory),
        cmocka_unit_test(walls_stand_on_disk),
        cmocka_unit_test(their_bytes_are_bounded),
        cmocka_unit_test(damage_is_never_believed),
        cmocka_unit_test(many_at_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
