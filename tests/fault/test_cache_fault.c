/* Goal: whatever allocation fails while prompts are kept and found again, in memory or from files: the answer is the
 * same or the failure is said to be one of memory, nothing leaks, and the next prompt works.
 * Method: every allocation of a scenario fails once, n = 1, 2, ... until none does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/log.h"
#include "engine/engine_priv.h"
#include "fault/failing_alloc.h"
#include "golden/synthetic.h"
#include "kontor/cache.h"
#include "support/model_writer.h"
#include "support/must.h"

enum { N_CTX = 64, N_LONG = 50, N_SHORT = 30 };

static char *dir, files[512];
static struct kt_engine *engine;
static int32_t tokens[N_CTX];
static float *want; /* [SYNTH_VOCAB] after N_LONG tokens */
static const uint8_t KEY[KT_CACHE_KEY_BYTES] = { 4 };

static enum kt_status read_prompt(struct kt_context *c, const int32_t *t, size_t n)
{
    size_t n_cached;
    return context_advance(c, t, n, NULL, &n_cached, NULL, NULL, &err);
}

/* Two prompts that begin alike, something else between them, a second scope. */
static enum kt_status scenario(bool with_files)
{
    struct kt_cache *cache = NULL;
    struct kt_context *c = NULL;
    struct kt_cache_options co = { .memory_bytes = 1 << 26, .file_tokens = 1 << 20 };
    struct kt_context_options o = { .n_ctx = N_CTX, .speculate = KT_SPECULATE_OFF };
    int32_t other = 7;
    enum kt_status st = kt_cache_create(&cache, engine, &co, &err);
    if (!st)
        st = kt_context_create(&c, engine, &o, &err);
    if (!st)
        st = kt_context_use_cache(c, cache, "a", &err);
    if (!st && with_files)
        st = kt_context_keep_files(c, files, KEY, 0, &err);
    if (!st)
        st = read_prompt(c, tokens, N_SHORT);
    if (!st)
        st = read_prompt(c, &other, 1);
    if (!st)
        st = read_prompt(c, tokens, N_LONG);
    if (!st && memcmp(context_logits(c), want, SYNTH_VOCAB * sizeof(*want)) != 0)
        fail_msg("other logits than without a cache");
    size_t left = countdown;
    countdown = 0;
    if (c && cache && st) { /* it goes on as if nothing had been */
        must(kt_context_use_cache(c, cache, "a", &err));
        must(read_prompt(c, tokens, N_LONG));
        if (memcmp(context_logits(c), want, SYNTH_VOCAB * sizeof(*want)) != 0)
            fail_msg("other logits after a failure");
    }
    kt_context_destroy(c);
    kt_cache_destroy(cache);
    countdown = left;
    return st;
}

static void every_allocation_fails_once(void **state)
{
    bool with_files = *state != NULL;
    size_t n = 1, n_failed = 0;
    for (;; n++) {
        countdown = n;
        enum kt_status st = scenario(with_files);
        bool none_failed = countdown > 0;
        countdown = 0;
        if (st && st != KT_E_NOMEM)
            fail_msg("allocation %zu: %s: %s", n, kt_status_name(st), err.text);
        n_failed += st != KT_OK;
        if (none_failed)
            break;
    }
    print_message("%zu allocations, %zu of them needed\n", n - 1, n_failed);
    assert_true(n > 20 && n_failed > 5);
}

static int set_up(void **state)
{
    (void)state;
    char path[512];
    dir = temp_dir_make();
    log_set_level(LOG_ERROR);
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    snprintf(files, sizeof(files), "%s/files", dir);
    assert_int_equal(mkdir(files, 0700), 0);
    synth_write_gguf(synth_named("qwen35-r2"), path, QT_BF16);
    must(kt_engine_open(&engine, path, &(struct kt_engine_options){ .n_threads = 1 }, &err));
    for (size_t i = 0; i < N_CTX; i++)
        tokens[i] = (int32_t)(i * 37 % SYNTH_VOCAB);
    struct kt_context *c;
    must(kt_context_create(
        &c, engine, &(struct kt_context_options){ .n_ctx = N_CTX, .speculate = KT_SPECULATE_OFF },
        &err));
    must(read_prompt(c, tokens, N_LONG));
    want = malloc(SYNTH_VOCAB * sizeof(*want));
    memcpy(want, context_logits(c), SYNTH_VOCAB * sizeof(*want));
    /* files that the second scenario finds */
    struct kt_cache *cache;
    must(kt_cache_create(&cache, engine,
                         &(struct kt_cache_options){ .memory_bytes = 1 << 26, .file_tokens = 1 },
                         &err));
    must(kt_context_use_cache(c, cache, "a", &err));
    must(kt_context_keep_files(c, files, KEY, 0, &err));
    must(read_prompt(c, tokens, N_SHORT));
    kt_context_destroy(c);
    kt_cache_destroy(cache);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    kt_engine_close(engine);
    free(want);
    temp_dir_remove(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { "in memory", every_allocation_fails_once, NULL, NULL, NULL },
        { "with files", every_allocation_fails_once, NULL, NULL, files },
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
