/* Uploaded files that a matter keeps: they come back as they came, go with their document, and are readable by nobody else.
 *
 * Method: a real home; traces are looked for in every file of it, and in the decrypted database; a crash is what it leaves: a file
 * without a row, a row of a matter of an earlier version. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/files.h"
#include "store/store_priv.h"
#include "store_help.h"

static char *home;
static struct kt_store *store;
static struct kt_matter *matter;
static struct kt_error err;
static const char SECRET[] = "the planted bytes of a file that was uploaded";

static int setup(void **state)
{
    (void)state;
    home = home_make();
    OK(kt_store_open(&store, home, NULL, &err));
    OK(kt_matter_open(&matter, store, KT_DEFAULT_MATTER, KT_WRITE, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kt_matter_close(matter);
    kt_store_close(store);
    home_remove(home);
    return 0;
}

static void reopen(enum kt_access access)
{
    kt_matter_close(matter);
    OK(kt_matter_open(&matter, store, KT_DEFAULT_MATTER, access, &err));
}

/* *.orig in the matter's folder; the last one's path to 'path'. */
static size_t count_originals(char path[static 4096])
{
    size_t n = 0;
    DIR *d = opendir(matter->dir);
    struct dirent *e;
    while ((e = readdir(d))) {
        if (strcmp(path_ext(e->d_name), ".orig") != 0)
            continue;
        snprintf(path, 4096, "%s/%s", matter->dir, e->d_name);
        n++;
    }
    closedir(d);
    return n;
}

static int64_t keep(const char *path, const char *text, const void *bytes, size_t n)
{
    struct kt_doc_info d;
    OK(put_lines(matter, path, text, 0, &err));
    OK(kt_matter_keep(matter, path, bytes, n, &err));
    OK(kt_matter_find(matter, path, &d, &err));
    assert_true(d.has_original);
    int64_t id = d.id;
    kt_doc_info_deinit(&d);
    return id;
}

static void assert_original(int64_t id, const void *bytes, size_t n)
{
    uint8_t *found;
    size_t n_found;
    OK(kt_matter_original(matter, id, &found, &n_found, &err));
    assert_int_equal(n_found, n);
    assert_memory_equal(found, bytes, n);
    free(found);
}

static void assert_gone(int64_t id)
{
    uint8_t *found = (uint8_t *)1;
    size_t n;
    FAILS(kt_matter_original(matter, id, &found, &n, &err), KT_E_NOTFOUND);
    assert_null(found);
}

static void files_come_back_as_they_came(void **state)
{
    (void)state;
    char path[4096];
    int64_t a = keep("/upload/a.txt", "one\n", SECRET, sizeof(SECRET));
    int64_t b = keep("/upload/b.txt", "two\n", "", 0);
    size_t n = 3 << 20;
    uint8_t *large = malloc(n);
    for (size_t i = 0; i < n; i++)
        large[i] = (uint8_t)(i * 2654435761u >> 13);
    int64_t c = keep("/upload/c.bin", "three\n", large, n);
    assert_original(a, SECRET, sizeof(SECRET));
    reopen(KT_READ);
    assert_original(a, SECRET, sizeof(SECRET));
    assert_original(b, "", 0);
    assert_original(c, large, n);
    assert_int_equal(count_originals(path), 3);
    assert_int_equal(count_in_files(home, SECRET, strlen(SECRET)), 0);
    assert_int_equal(count_in_files(home, large, 64), 0);
    reopen(KT_WRITE);
    FAILS(kt_matter_keep(matter, "/upload/none", "x", 1, &err), KT_E_NOTFOUND);
    FAILS(kt_matter_keep(matter, "/upload/a.txt", large, LIMIT_ORIGINAL_BYTES + 1u, &err),
          KT_E_LIMIT);
    assert_original(a, SECRET, sizeof(SECRET));
    free(large);
}

static void they_go_with_their_document(void **state)
{
    (void)state;
    char path[4096];
    uint8_t *image, key[KEY_BYTES];
    size_t n;
    int64_t a = keep("/upload/a.txt", "one\n", SECRET, sizeof(SECRET));
    int64_t b = keep("/upload/b.txt", "two\n", "other", 5);
    sqlite3_stmt *q;
    OK(db_prepare(&q, matter, "SELECT key FROM originals ORDER BY doc_id LIMIT 1", &err));
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    memcpy(key, sqlite3_column_blob(q, 0), sizeof(key));
    sqlite3_finalize(q);
    OK(kt_matter_remove(matter, "/upload/a.txt", &n, &err));
    assert_int_equal(n, 1);
    assert_gone(a);
    assert_original(b, "other", 5);
    assert_int_equal(count_originals(path), 1);
    OK(matter_plain_image(matter, &image, &n, &err));
    assert_int_equal(count_in_bytes(image, n, key, sizeof(key)), 0);
    free(image);
    /* replaced: the new one's file, and no other */
    int64_t again = keep("/upload/b.txt", "two, again\n", "newer", 5);
    assert_int_not_equal(again, b);
    assert_gone(b);
    assert_original(again, "newer", 5);
    OK(kt_matter_keep(matter, "/upload/b.txt", "newest", 6, &err));
    assert_original(again, "newest", 6);
    OK(matter_check(matter, &err));
    reopen(KT_WRITE);
    assert_int_equal(count_originals(path), 1);
}

static void a_crash_leaves_nothing_for_long(void **state)
{
    (void)state;
    char path[4096], orphan[4096];
    int64_t a = keep("/upload/a.txt", "one\n", SECRET, sizeof(SECRET));
    /* killed between the file and the row */
    snprintf(orphan, sizeof(orphan), "%s/%032d.orig", matter->dir, 7);
    OK(file_replace(orphan, "x", 1, 0600, &err));
    assert_int_equal(count_originals(path), 2);
    reopen(KT_READ); /* readers leave it */
    assert_int_equal(count_originals(path), 2);
    reopen(KT_WRITE);
    assert_int_equal(count_originals(path), 1);
    assert_original(a, SECRET, sizeof(SECRET));
}

static void changed_files_are_refused(void **state)
{
    (void)state;
    char path[4096];
    struct buf b = { 0 };
    uint8_t *found;
    size_t n;
    int64_t a = keep("/upload/a.txt", "one\n", SECRET, sizeof(SECRET));
    assert_int_equal(count_originals(path), 1);
    OK(file_read(&b, path, 1 << 20, &err));
    for (size_t at = 0; at < b.len; at += 5) {
        b.ptr[at] ^= 1;
        OK(file_replace(path, b.ptr, b.len, 0600, &err));
        FAILS(kt_matter_original(matter, a, &found, &n, &err), KT_E_FORMAT);
        b.ptr[at] ^= 1;
    }
    OK(file_replace(path, b.ptr, b.len - 1, 0600, &err));
    FAILS(kt_matter_original(matter, a, &found, &n, &err), KT_E_FORMAT);
    OK(file_replace(path, b.ptr, b.len, 0600, &err));
    assert_original(a, SECRET, sizeof(SECRET));
    buf_deinit(&b);
}

static void matters_of_earlier_versions_are_read_and_brought_up_to_date(void **state)
{
    (void)state;
    struct kt_doc_info d;
    OK(put_lines(matter, "/a.txt", "one\n", 0, &err));
    OK(db_exec(matter, "DROP TABLE originals", "make it old", &err));
    reopen(KT_READ);
    OK(kt_matter_find(matter, "/a.txt", &d, &err));
    assert_false(d.has_original);
    assert_gone(d.id);
    kt_doc_info_deinit(&d);
    reopen(KT_WRITE);
    OK(kt_matter_keep(matter, "/a.txt", "x", 1, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(files_come_back_as_they_came, setup, teardown),
        cmocka_unit_test_setup_teardown(they_go_with_their_document, setup, teardown),
        cmocka_unit_test_setup_teardown(a_crash_leaves_nothing_for_long, setup, teardown),
        cmocka_unit_test_setup_teardown(changed_files_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(matters_of_earlier_versions_are_read_and_brought_up_to_date,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
