/* Importing, exporting, verifying and removing a model while memory runs out and while the disk
 * fails: the n-th allocation, write, flush or rename fails, n = 1, 2, ... until one round gets
 * through. Whatever fails, the home holds either the whole model or none, no staging folder, and the
 * status is the one of the failure. The sanitizer build counts what was not freed.
 *
 * The linker sends our own calls through here, jansson is told to come here too. What OpenSSL and
 * libsodium allocate themselves does not fail here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/files.h"
#include "hub/carry.h"
#include "support/model_writer.h"

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t alignment, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
ssize_t __real_write(int fd, const void *p, size_t n);
int __real_rename(const char *from, const char *to);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t alignment, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);

/* 0: nothing fails; 1: the next one does. */
static size_t memory_countdown, disk_countdown;

static bool memory_fails(void)
{
    return memory_countdown && --memory_countdown == 0;
}

static bool disk_fails(void)
{
    if (!disk_countdown || --disk_countdown != 0)
        return false;
    errno = ENOSPC;
    return true;
}

void *__wrap_malloc(size_t n)
{
    return memory_fails() ? NULL : __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return memory_fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n)
{
    return memory_fails() ? NULL : __real_realloc(p, n);
}

void *__wrap_aligned_alloc(size_t alignment, size_t n)
{
    return memory_fails() ? NULL : __real_aligned_alloc(alignment, n);
}

char *__wrap_strdup(const char *s)
{
    return memory_fails() ? NULL : __real_strdup(s);
}

char *__wrap_strndup(const char *s, size_t n)
{
    return memory_fails() ? NULL : __real_strndup(s, n);
}

ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    return disk_fails() ? -1 : __real_write(fd, p, n);
}

int __wrap_fsync(int fd)
{
    (void)fd;
    return disk_fails() ? -1 : 0; /* without the medium's time */
}

int __wrap_rename(const char *from, const char *to)
{
    return disk_fails() ? -1 : __real_rename(from, to);
}

/* ---- a model, a home ---- */

static char root[64], home[80], source[96], folder[96], archive[96];

static void save_model(void)
{
    struct gguf_writer w = { 0 };
    gguf_put_str(&w, "general.architecture", "llama");
    gguf_put_str(&w, "general.name", "Small");
    gguf_put_u32(&w, "llama.block_count", 1);
    gguf_put_u32(&w, "llama.context_length", 64);
    gguf_put_u32(&w, "llama.embedding_length", 64);
    gguf_put_u32(&w, "llama.feed_forward_length", 64);
    gguf_put_u32(&w, "llama.attention.head_count", 2);
    gguf_put_f32(&w, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
    gguf_put_random(&w, "token_embd.weight", QT_F32, 2, (uint64_t[]){ 64, 8 }, 1);
    gguf_writer_save(&w, source);
    gguf_writer_deinit(&w);
}

static int set_up(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/kontor-hub-fault-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    snprintf(home, sizeof(home), "%s/home", root);
    snprintf(source, sizeof(source), "%s/small.gguf", root);
    snprintf(folder, sizeof(folder), "%s/folder", root);
    snprintf(archive, sizeof(archive), "%s/small.tar", root);
    save_model();
    return mkdir(home, 0700);
}

static int tear_down(void **state)
{
    (void)state;
    return tree_remove(root, NULL) ? -1 : 0;
}

static bool there(const char *fmt, const char *name)
{
    char path[192];
    snprintf(path, sizeof(path), "%s/models/", home);
    size_t n = strlen(path);
    snprintf(path + n, sizeof(path) - n, fmt[0] == '.' ? ".%s.part" : "%s", name);
    return file_exists(path);
}

static enum kt_status import(const char *what, const char *name, struct kt_error *err)
{
    struct import_options o = { .name = name };
    char signer[SIGN_KEY_HEX + 1];
    char *got = NULL;
    enum kt_status st = model_import(&got, home, what, &o, signer, NULL, err);
    free(got);
    return st;
}

/* Everything once: into the home, looked at, out twice, in again, away. */
static enum kt_status round_trip(struct kt_error *err)
{
    char key[SIGN_KEY_HEX + 1];
    char *text = NULL;
    struct model_list l = { 0 };
    enum kt_status st = import(source, "one", err);
    if (!st)
        st = models_list(&l, home, err);
    model_list_deinit(&l);
    if (!st)
        st = model_find(&text, home, "one", err);
    free(text);
    text = NULL;
    if (!st)
        st = model_set_default(home, ROLE_CHAT, "one", err);
    if (!st)
        st = model_default(&text, home, ROLE_CHAT, err);
    free(text);
    if (!st)
        st = model_verify(home, "one", &(struct verify_watch){ 0 }, err);
    if (!st)
        st = model_export(home, "one", folder, key, NULL, err);
    if (!st)
        st = model_export(home, "one", archive, key, NULL, err);
    if (!st)
        st = import(folder, "two", err);
    if (!st)
        st = import(archive, "three", err);
    if (!st)
        st = model_remove(home, "two", err);
    return st;
}

/* Whole, or not there. */
static void judge_home(void)
{
    static const char *const NAMES[] = { "one", "two", "three" };
    struct kt_error err = { 0 };
    for (size_t i = 0; i < 3; i++) {
        assert_false(there(".", NAMES[i]));
        if (there("", NAMES[i]) && model_verify(home, NAMES[i], &(struct verify_watch){ 0 }, &err))
            fail_msg("%s: %s", NAMES[i], err.text);
    }
    char part[112];
    snprintf(part, sizeof(part), "%s.part", archive);
    assert_false(file_exists(part));
}

static void begin_again(void)
{
    assert_int_equal(tree_remove(home, NULL), KT_OK);
    assert_int_equal(tree_remove(folder, NULL), KT_OK);
    unlink(archive);
    assert_int_equal(mkdir(home, 0700), 0);
}

/* Every n-th failure is tried (argv[1]); all of them in `make check-long`. */
static size_t stride = 1;

static void run(size_t *countdown, enum kt_status expected, size_t n_at_least)
{
    struct kt_error err;
    size_t n = 1 - stride, n_tried = 0;
    for (;;) {
        err = (struct kt_error){ 0 };
        *countdown = n += stride;
        enum kt_status st = round_trip(&err);
        bool through = *countdown != 0;
        *countdown = 0;
        if (st && st != expected)
            fail_msg("failure %zu: %s (%s), expected %s", n, err.text, kt_status_name(st),
                     kt_status_name(expected));
        judge_home();
        begin_again();
        if (through && st == KT_OK)
            break;
        n_tried++;
    }
    print_message("%zu of %zu failures tried\n", n_tried, n);
    assert_true(n > n_at_least);
}

static void test_memory_runs_out(void **state)
{
    (void)state;
    json_set_alloc_funcs(__wrap_malloc, free);
    run(&memory_countdown, KT_E_NOMEM, 300);
    json_set_alloc_funcs(__real_malloc, free);
}

static void test_disk_fails(void **state)
{
    (void)state;
    run(&disk_countdown, KT_E_NOSPACE, 30);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        stride = strtoul(argv[1], NULL, 10);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_runs_out),
        cmocka_unit_test(test_disk_fails),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
