/* The record of what was done: whatever is changed in it afterwards is found, and named. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "audit/audit_priv.h"
#include "base/files.h"
#include "base/span.h"

static const uint8_t KEY[AUDIT_KEY_BYTES] = { 1, 2, 3 };
static const char MATTER[] = "0123456789abcdef0123456789abcdef";

struct home {
    char dir[64], log[96], head[96];
};

static struct home home_new(void)
{
    struct home h;
    strcpy(h.dir, "/tmp/kontor-audit-XXXXXX");
    assert_non_null(mkdtemp(h.dir));
    snprintf(h.log, sizeof(h.log), "%s/audit/audit.log", h.dir);
    snprintf(h.head, sizeof(h.head), "%s/audit/head", h.dir);
    return h;
}

static void home_remove(const struct home *h)
{
    char command[128];
    snprintf(command, sizeof(command), "rm -r %s", h->dir);
    assert_int_equal(system(command), 0);
}

static struct audit *audit_of(const struct home *h)
{
    struct kt_error err;
    struct audit *a;
    assert_int_equal(audit_open(&a, h->dir, KEY, &err), KT_OK);
    return a;
}

static void note_some(const struct home *h, size_t n)
{
    struct audit *a = audit_of(h);
    for (size_t i = 0; i < n; i++)
        audit_note(a, &(struct audit_event){ .kind = (enum audit_kind)(i % AUDIT_KINDS),
                                             .matter = i % 3 ? MATTER : NULL,
                                             .document = (int64_t)i,
                                             .subject = (int64_t)(i % 5),
                                             .count = i });
    audit_close(a);
}

static struct audit_report verify(const struct home *h)
{
    struct kt_error err;
    struct audit_report r;
    assert_int_equal(audit_verify(&r, h->dir, KEY, &err), KT_OK);
    return r;
}

static struct buf read_all(const char *path)
{
    struct kt_error err;
    struct buf b = { 0 };
    assert_int_equal(file_read(&b, path, 1 << 24, &err), KT_OK);
    return b;
}

static void write_all(const char *path, const char *bytes, size_t n)
{
    struct kt_error err;
    assert_int_equal(file_replace(path, bytes, n, 0600, &err), KT_OK);
}

/* Where line 'n' (from 1) begins; one more than there are: the end. */
static size_t line_at(const struct buf *b, size_t n)
{
    size_t at = 0;
    for (; n > 1; n--)
        at = (size_t)((const char *)memchr(b->ptr + at, '\n', b->len - at) - b->ptr) + 1;
    return at;
}

static void expect_fault(const struct home *h, const char *words, uint64_t n_good)
{
    struct audit_report r = verify(h);
    assert_string_equal(r.fault, words);
    assert_int_equal(r.n, n_good);
}

static void an_empty_record_is_whole(void **state)
{
    (void)state;
    struct home h = home_new();
    struct audit_report r = verify(&h);
    assert_string_equal(r.fault, "");
    assert_int_equal(r.n, 0);
    home_remove(&h);
}

static bool count_line(void *ctx, const char *line, size_t len)
{
    size_t *n = ctx;
    (*n)++;
    assert_true(len < AUDIT_LINE_MAX && line[0] == '{' && line[len - 1] == '}');
    return true;
}

static void what_is_written_is_whole(void **state)
{
    (void)state;
    struct home h = home_new();
    struct kt_error err;
    note_some(&h, 30);
    note_some(&h, 200); /* another process goes on */
    struct audit_report r = verify(&h);
    assert_string_equal(r.fault, "");
    assert_int_equal(r.n, 230);
    assert_int_equal(r.n_unsealed, 0);
    assert_int_equal(r.n_lost, 0);
    size_t n = 0;
    assert_int_equal(audit_each(h.dir, 0, count_line, &n, &err), KT_OK);
    assert_int_equal(n, 230);
    n = 0;
    assert_int_equal(audit_each(h.dir, 200, count_line, &n, &err), KT_OK);
    assert_int_equal(n, 31);
    /* with another home's key nothing is right */
    uint8_t other[AUDIT_KEY_BYTES] = { 9 };
    assert_int_equal(audit_verify(&r, h.dir, other, &err), KT_OK);
    assert_string_equal(r.fault, "the head was changed, or belongs to another home");
    home_remove(&h);
}

/* Every bit of the file, one after the other. */
static void a_flipped_bit_is_found(void **state)
{
    (void)state;
    struct home h = home_new();
    note_some(&h, 6);
    struct buf b = read_all(h.log);
    for (size_t i = 0; i < b.len; i++) {
        for (int bit = 0; bit < 8; bit++) {
            b.ptr[i] ^= (char)(1 << bit);
            int fd = open(h.log, O_WRONLY);
            assert_true(fd >= 0 && pwrite(fd, b.ptr + i, 1, (off_t)i) == 1);
            struct audit_report r = verify(&h);
            size_t line = 1;
            for (size_t k = 0; k < i; k++)
                line += b.ptr[k] == '\n';
            b.ptr[i] ^= (char)(1 << bit);
            /* the last line's end gone: half a line, which was never finished; but the head knows it */
            if (!r.fault[0] || r.n > line)
                fail_msg("bit %d of byte %zu, in line %zu: \"%s\" after %d", bit, i, line, r.fault,
                         (int)r.n);
            assert_true(pwrite(fd, b.ptr + i, 1, (off_t)i) == 1);
            close(fd);
        }
    }
    assert_string_equal(verify(&h).fault, "");
    buf_deinit(&b);
    home_remove(&h);
}

static void a_line_taken_out_moved_or_cut_off_is_found(void **state)
{
    (void)state;
    struct home h = home_new();
    note_some(&h, 10);
    struct buf b = read_all(h.log), c = { 0 };
    size_t l4 = line_at(&b, 4), l5 = line_at(&b, 5), l6 = line_at(&b, 6);

    buf_append(&c, b.ptr, l4);
    buf_append(&c, b.ptr + l5, b.len - l5);
    write_all(h.log, c.ptr, c.len);
    expect_fault(&h, "record 4 is missing", 3);

    buf_clear(&c);
    buf_append(&c, b.ptr, l4);
    buf_append(&c, b.ptr + l5, l6 - l5);
    buf_append(&c, b.ptr + l4, l5 - l4);
    buf_append(&c, b.ptr + l6, b.len - l6);
    write_all(h.log, c.ptr, c.len);
    expect_fault(&h, "record 4 is missing", 3);

    buf_clear(&c);
    buf_append(&c, b.ptr, l5);
    buf_append(&c, b.ptr + l4, b.len - l4);
    write_all(h.log, c.ptr, c.len);
    expect_fault(&h, "record 4 stands where record 5 should: the order was changed", 4);

    write_all(h.log, b.ptr, line_at(&b, 8));
    expect_fault(&h, "records 8 to 10 are missing: the end was cut off", 7);
    note_some(&h, 3); /* going on does not hide it */
    expect_fault(&h, "records 8 to 10 are missing", 7);

    write_all(h.log, b.ptr, b.len);
    assert_int_equal(unlink(h.head), 0);
    expect_fault(&h, "the head is missing", 10);
    buf_deinit(&b);
    buf_deinit(&c);
    home_remove(&h);
}

/* Who knows how the record is made, but not the key, writes lines anew. */
static void a_forged_line_is_found(void **state)
{
    (void)state;
    struct home h = home_new(), forged = home_new();
    struct kt_error err;
    uint8_t other[AUDIT_KEY_BYTES] = { 7 };
    struct audit *a;
    note_some(&h, 5);
    assert_int_equal(audit_open(&a, forged.dir, other, &err), KT_OK);
    for (int i = 0; i < 5; i++)
        audit_note(a, &(struct audit_event){ .kind = AUDIT_SEARCHED });
    audit_close(a);
    struct buf b = read_all(forged.log);
    write_all(h.log, b.ptr, b.len);
    expect_fault(&h, "record 1 was changed", 0);
    buf_deinit(&b);
    home_remove(&h);
    home_remove(&forged);
}

static void full_files_are_set_aside(void **state)
{
    (void)state;
    struct home h = home_new();
    struct kt_error err;
    struct audit *a = audit_of(&h);
    a->max_bytes = 2000;
    for (size_t i = 0; i < 100; i++)
        audit_note(a, &(struct audit_event){ .kind = AUDIT_READ, .document = 7 });
    audit_close(a);
    char **files;
    size_t n;
    char dir[80];
    snprintf(dir, sizeof(dir), "%s/audit", h.dir);
    assert_int_equal(audit_files(&files, &n, dir, &err), KT_OK);
    assert_true(n > 5);
    struct audit_report r = verify(&h);
    assert_string_equal(r.fault, "");
    assert_int_equal(r.n, 100);
    assert_int_equal(unlink(files[2]), 0); /* a whole one is gone */
    r = verify(&h);
    assert_non_null(strstr(r.fault, "are missing"));
    audit_files_free(files, n);
    home_remove(&h);
}

/* The full file has its name, and whoever gave it was killed before its first line in the next one. Another process, whose
 * own last line is long behind, must go on where the record went, and not begin a second chain. */
static void who_finds_an_empty_file_goes_on_behind_the_full_one(void **state)
{
    (void)state;
    struct home h = home_new();
    char full[96];
    snprintf(full, sizeof(full), "%s/audit/audit-1.log", h.dir);
    struct audit *old = audit_of(&h);
    audit_note(old, &(struct audit_event){ .kind = AUDIT_READ, .document = 1, .count = 1 });
    note_some(&h, 30); /* closing seals, as setting a file aside does */
    assert_int_equal(rename(h.log, full), 0);
    int fd = open(h.log, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    close(fd);
    audit_note(old, &(struct audit_event){ .kind = AUDIT_READ, .document = 1, .count = 1 });
    audit_close(old);

    struct audit_report r = verify(&h);
    assert_string_equal(r.fault, "");
    assert_int_equal(r.n, 32);
    assert_int_equal(r.n_unsealed, 0);
    home_remove(&h);
}

/* A full disk, as far as the record sees it: the file cannot be written. What happened meanwhile is counted. */
static void what_cannot_be_written_is_counted(void **state)
{
    (void)state;
    struct home h = home_new();
    struct audit *a = audit_of(&h);
    audit_note(a, &(struct audit_event){ .kind = AUDIT_READ });
    char away[128];
    snprintf(away, sizeof(away), "%s.away", h.log);
    assert_int_equal(rename(h.log, away), 0);
    assert_int_equal(mkdir(h.log, 0700), 0); /* nobody, not even root, writes to that */
    for (int i = 0; i < 3; i++)
        audit_note(a, &(struct audit_event){ .kind = AUDIT_READ });
    assert_int_equal(rmdir(h.log), 0);
    assert_int_equal(rename(away, h.log), 0);
    audit_note(a, &(struct audit_event){ .kind = AUDIT_READ });
    audit_close(a);
    struct audit_report r = verify(&h);
    assert_string_equal(r.fault, "");
    assert_int_equal(r.n, 2);
    assert_int_equal(r.n_lost, 3);
    home_remove(&h);
}

/* Processes that write at once, and are killed at any moment. */
static void writers_together_and_killed(void **state)
{
    (void)state;
    struct home h = home_new();
    unsigned seed = 1;
    for (int round = 0; round < 20; round++) {
        pid_t pids[3];
        for (int i = 0; i < 3; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                struct audit *a = audit_of(&h);
                for (;;)
                    audit_note(a, &(struct audit_event){ .kind = AUDIT_READ, .document = i + 1 });
            }
        }
        usleep(3000 + (unsigned)(rand_r(&seed) % 4000));
        for (int i = 0; i < 3; i++) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }
        assert_string_equal(verify(&h).fault, "");
    }
    assert_true(verify(&h).n > 60);
    /* half a line at the end: whoever comes next takes it away and says so */
    uint64_t n = verify(&h).n, lost = verify(&h).n_lost;
    int fd = open(h.log, O_WRONLY | O_APPEND);
    assert_true(fd >= 0 && write(fd, "{\"n\":12", 7) == 7);
    close(fd);
    assert_string_equal(verify(&h).fault, "");
    note_some(&h, 1);
    struct audit_report r = verify(&h);
    assert_string_equal(r.fault, "");
    assert_int_equal(r.n, n + 1);
    assert_int_equal(r.n_lost, lost + 1);
    home_remove(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_record_is_whole),
        cmocka_unit_test(what_is_written_is_whole),
        cmocka_unit_test(a_flipped_bit_is_found),
        cmocka_unit_test(a_line_taken_out_moved_or_cut_off_is_found),
        cmocka_unit_test(a_forged_line_is_found),
        cmocka_unit_test(full_files_are_set_aside),
        cmocka_unit_test(who_finds_an_empty_file_goes_on_behind_the_full_one),
        cmocka_unit_test(what_cannot_be_written_is_counted),
        cmocka_unit_test(writers_together_and_killed),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
