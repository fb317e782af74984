/* Every allocation of decoding and resizing a picture fails once, and then all of them from the n-th on;
 * n = 1, 2, ... until none fails any more. Then the same for what a model writes.
 *
 * The allocator is interposed for the whole process, so those inside the pictures' libraries fail too.
 * Each time the decoder must either refuse or give exactly the pixels it gives with memory to spare:
 * half a picture must not look whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/size.h"
#include "kontor/chat.h"
#include "media/media_priv.h"

/* ---- the allocator that fails ---- */

/* Visible, or the libraries would go on using the C library's. */
#define INTERPOSED __attribute__((visibility("default")))

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

static long fail_at; /* 0: never */
static bool fail_on; /* and every one after it */
static long n_allocs;
static bool failed;

static bool must_fail(void)
{
    if (!fail_at)
        return false;
    n_allocs++;
    bool now = fail_on ? n_allocs >= fail_at : n_allocs == fail_at;
    failed |= now;
    if (now)
        errno = ENOMEM;
    return now;
}

INTERPOSED void *malloc(size_t n)
{
    return must_fail() ? NULL : __libc_malloc(n);
}

INTERPOSED void *calloc(size_t n, size_t size)
{
    return must_fail() ? NULL : __libc_calloc(n, size);
}

INTERPOSED void *realloc(void *p, size_t n)
{
    return must_fail() ? NULL : __libc_realloc(p, n);
}

static void start(long at, bool on)
{
    fail_at = at;
    fail_on = on;
    n_allocs = 0;
    failed = false;
}

/* ---- pictures ---- */

static bool decode(struct picture *p, struct span file, struct refusal *why)
{
    uint32_t height, width;
    return picture_decode(p, file, 1 << 20, why) &&
           size_for(&height, &width, p->height, p->width, 0, 1024, 4096) &&
           picture_resize(p, height, width, why);
}

static void check_file(const char *name)
{
    char path[512];
    struct buf file = { 0 };
    struct kt_error err;
    struct refusal why;
    struct picture want, got;
    snprintf(path, sizeof(path), "%s/tests/data/media/%s", getenv("KONTOR_SOURCE"), name);
    if (file_read(&file, path, 1 << 20, &err))
        fail_msg("%s", err.text);
    assert_true(decode(&want, buf_span(&file), &why));
    long n_refused = 0;
    for (int on = 0; on < 2; on++) {
        for (long n = 1; n < 10000; n++) {
            start(n, on);
            bool ok = decode(&got, buf_span(&file), &why), hit = failed;
            start(0, false);
            n_refused += !ok;
            if (!ok && why.reason == REASON_NONE)
                fail_msg("%s: allocation %ld: refused without a reason", name, n);
            if (ok && (got.width != want.width || got.height != want.height ||
                       memcmp(got.rgb, want.rgb, (size_t)want.width * want.height * 3) != 0))
                fail_msg("%s: allocation %ld: another picture", name, n);
            picture_deinit(&got);
            if (!hit)
                break;
        }
    }
    assert_true(n_refused > 2);
    picture_deinit(&want);
    buf_deinit(&file);
}

/* Not lossless WebP and not TIFF: libwebp 1.2.4 and libtiff 4.5.0 die in their own code where it has no memory (decoder
 * of lossless pictures, TIFFReadDirectory). In the program that is a process of its own. */
static void pictures(void **state)
{
    (void)state;
    static const char *const FILES[] = { "exif6.jpg",     "progressive.jpg", "cmyk.jpg",
                                         "alpha.png",     "palette.png",     "colour.png",
                                         "exif3.png",     "lossy.webp",      "colour.gif",
                                         "interlaced.gif" };
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++)
        check_file(FILES[i]);
}

/* ---- replies ---- */

static const char REPLY[] =
    "hm\n</think>\n\nI look.\n\n<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n"
    "</function>\n</tool_call>";

static enum kt_status read_reply(struct kt_reply_parser **p, const struct kt_reply **reply)
{
    struct kt_error err;
    enum kt_status st = kt_reply_parser_create(p, NULL, true, NULL, &err);
    for (size_t i = 0; i < sizeof(REPLY) - 1 && !st; i += 7)
        st = kt_reply_parser_push(*p, REPLY + i, MIN((size_t)7, sizeof(REPLY) - 1 - i), &err);
    return st ? st : kt_reply_parser_finish(*p, reply, &err);
}

static void replies(void **state)
{
    (void)state;
    for (int on = 0; on < 2; on++) {
        for (long n = 1; n < 10000; n++) {
            struct kt_reply_parser *p = NULL;
            const struct kt_reply *reply = NULL;
            start(n, on);
            enum kt_status st = read_reply(&p, &reply);
            bool hit = failed;
            start(0, false);
            if (st && st != KT_E_NOMEM)
                fail_msg("allocation %ld: %s", n, kt_status_name(st));
            if (!st && (strcmp(reply->reasoning, "hm") != 0 ||
                        strcmp(reply->text, "I look.") != 0 || reply->n_calls != 1))
                fail_msg("allocation %ld: another reply", n);
            kt_reply_parser_destroy(p);
            if (!hit) {
                assert_true(n > 5);
                break;
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(pictures), cmocka_unit_test(replies) };
    return cmocka_run_group_tests_name("media_fault", tests, NULL, NULL);
}
