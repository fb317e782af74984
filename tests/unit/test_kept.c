/* Answers that are kept: for their user only, until they are deleted, too old, too many, or their user is gone.
 *
 * Method: a real file in a home of its own; what must be gone is looked for in the whole decrypted file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kept/kept.h"
#include "store_help.h"

enum { LIMIT_N = 6, LIMIT_BYTES = 4500 };

static char *home;
static struct kt_store *store;
static struct kept *kept;
static struct kt_error err;

static int setup(void **state)
{
    (void)state;
    home = home_make();
    OK(kt_store_open(&store, home, NULL, &err));
    OK(kept_open(&kept, store, &(struct kept_limits){ LIMIT_N, LIMIT_BYTES }, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kept_close(kept);
    kt_store_close(store);
    home_remove(home);
    return 0;
}

static bool has(int64_t user, const char *id, const char *wanted)
{
    char *text;
    size_t len;
    enum kt_status st = kept_get(kept, user, id, &text, &len, &err);
    if (st) {
        assert_int_equal(st, KT_E_NOTFOUND);
        assert_null(text);
        return false;
    }
    if (wanted)
        assert_string_equal(text, wanted);
    assert_int_equal(text[len], 0);
    free(text);
    return true;
}

static void a_user_sees_their_own(void **state)
{
    (void)state;
    OK(kept_put(kept, 1, "resp_a", SPAN("one"), &err));
    OK(kept_put(kept, 2, "resp_a", SPAN("two"), &err));
    FAILS(kept_put(kept, 1, "resp_a", SPAN("again"), &err), KT_E_EXISTS);
    assert_true(has(1, "resp_a", "one"));
    assert_true(has(2, "resp_a", "two"));
    assert_false(has(3, "resp_a", NULL));
    assert_false(has(1, "resp_a' OR '1'='1", NULL));
    FAILS(kept_remove(kept, 3, "resp_a", &err), KT_E_NOTFOUND);
    OK(kept_remove(kept, 1, "resp_a", &err));
    assert_false(has(1, "resp_a", NULL));
    assert_true(has(2, "resp_a", "two"));
    OK(kept_put(kept, 1, "resp_empty", SPAN(""), &err));
    assert_true(has(1, "resp_empty", ""));
}

static void users_that_are_gone_take_theirs_with_them(void **state)
{
    (void)state;
    for (int64_t user = 1; user <= 5; user++)
        OK(kept_put(kept, user, "resp_u", SPAN("a secret"), &err));
    int64_t left[] = { 2, 4 };
    OK(kept_only_users(kept, left, 2, &err));
    for (int64_t user = 1; user <= 5; user++)
        assert_int_equal(has(user, "resp_u", NULL), user == 2 || user == 4);
    OK(kept_only_users(kept, NULL, 0, &err));
    assert_false(has(2, "resp_u", NULL));
}

static void the_oldest_make_room(void **state)
{
    (void)state;
    char id[32], thousand[LIMIT_BYTES + 1];
    memset(thousand, 'y', sizeof(thousand));
    for (int i = 0; i < LIMIT_N + 5; i++) {
        snprintf(id, sizeof(id), "resp_%d", i);
        OK(kept_put(kept, 7, id, SPAN("x"), &err));
    }
    assert_false(has(7, "resp_4", NULL));
    assert_true(has(7, "resp_5", "x"));
    assert_true(has(7, id, "x"));
    /* and by their bytes: four thousands fit 4,500, the fifth takes the place of the first */
    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof(id), "large_%d", i);
        OK(kept_put(kept, 8, id, (struct span){ thousand, 1000 }, &err));
    }
    assert_false(has(8, "large_0", NULL));
    assert_true(has(8, "large_1", NULL));
    FAILS(kept_put(kept, 8, "huge", (struct span){ thousand, LIMIT_BYTES + 1 }, &err), KT_E_LIMIT);
    assert_true(has(7, "resp_5", "x"));
}

static void nothing_lies_in_the_clear(void **state)
{
    (void)state;
    static const char SECRET[] = "the planted secret of this test";
    OK(kept_put(kept, 9, "resp_s", span_of(SECRET), &err));
    char path[4096];
    snprintf(path, sizeof(path), "%s/responses.db", home);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    size_t n = (size_t)ftell(f);
    rewind(f);
    char *all = malloc(n);
    assert_int_equal(fread(all, 1, n, f), n);
    fclose(f);
    assert_null(memmem(all, n, SECRET, strlen(SECRET)));
    assert_null(memmem(all, n, "SQLite format", 13));
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_user_sees_their_own, setup, teardown),
        cmocka_unit_test_setup_teardown(users_that_are_gone_take_theirs_with_them, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_make_room, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_lies_in_the_clear, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
