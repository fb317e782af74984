/* kontor's book of users: names, keys, sessions, rights, failed logins.
 *
 * Method: a real book in a home of its own. Passwords are slow by design, so few are used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "access/access.h"
#include "store_help.h"

#define MATTER "0123456789abcdef0123456789abcdef"

static char *home;
static struct kt_store *store;
static struct access *book;
static struct kt_error err;

static int setup(void **state)
{
    (void)state;
    home = home_make();
    OK(kt_store_open(&store, home, NULL, &err));
    OK(access_open(&book, store, &err));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    access_close(book);
    kt_store_close(store);
    home_remove(home);
    return 0;
}

static void test_names(void **state)
{
    (void)state;
    static const char *const BAD[] = {
        "",    "Anna",
        "a b", "-a",
        ".a",  "a/b",
        "a\n", "ä",
        "a'b", "a123456789a123456789a123456789a123456789a123456789a123456789a1234"
    };
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++)
        FAILS(access_user_add(book, BAD[i], false, NULL, &err), KT_E_USAGE);
    FAILS(access_user_add(book, NULL, false, NULL, &err), KT_E_USAGE);
    OK(access_user_add(book, "anna.b-c_d@e", false, NULL, &err));
    FAILS(access_user_add(book, "anna.b-c_d@e", true, NULL, &err), KT_E_EXISTS);
    FAILS(access_user_remove(book, "bert", &err), KT_E_NOTFOUND);
    size_t n;
    OK(access_n_users(book, &n, &err));
    assert_int_equal(n, 1);
}

static void test_keys(void **state)
{
    (void)state;
    char a[ACCESS_SECRET_MAX], b[ACCESS_SECRET_MAX];
    struct identity who;
    OK(access_user_add(book, "anna", true, NULL, &err));
    FAILS(access_key_create(book, "bert", "x", a, &err), KT_E_NOTFOUND);
    FAILS(access_key_create(book, "anna", "", a, &err), KT_E_USAGE);
    FAILS(access_key_create(book, "anna", "a\nb", a, &err), KT_E_USAGE);
    OK(access_key_create(book, "anna", "x", a, &err));
    FAILS(access_key_create(book, "anna", "x", b, &err), KT_E_EXISTS);
    OK(access_key_create(book, "anna", "y", b, &err));
    assert_int_equal(strlen(a), 46); /* kt- and 43 letters: 256 bits */
    assert_string_not_equal(a, b);
    OK(access_by_key(book, span_of(a), &who, &err));
    assert_string_equal(who.name, "anna");
    assert_true(who.admin && !who.by_session);
    a[10] ^= 1;
    FAILS(access_by_key(book, span_of(a), &who, &err), KT_E_KEY);
    FAILS(access_by_key(book, span_of(""), &who, &err), KT_E_KEY);
    OK(access_key_remove(book, "anna", "y", &err));
    FAILS(access_by_key(book, span_of(b), &who, &err), KT_E_KEY);
    FAILS(access_key_remove(book, "anna", "y", &err), KT_E_NOTFOUND);
    a[10] ^= 1;
    OK(access_user_remove(book, "anna", &err)); /* and her keys */
    FAILS(access_by_key(book, span_of(a), &who, &err), KT_E_KEY);
}

static enum access_right right_of(const char *name, const char *matter)
{
    struct access_user *list;
    size_t n;
    enum access_right r = ACCESS_WRITE;
    OK(access_user_list(book, &list, &n, &err));
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].name, name) != 0)
            continue;
        struct identity who = { .user = list[i].id, .admin = list[i].admin };
        OK(access_right(book, &who, matter, &r, &err));
    }
    free(list);
    return r;
}

static void test_rights(void **state)
{
    (void)state;
    OK(access_user_add(book, "anna", false, NULL, &err));
    OK(access_user_add(book, "boss", true, NULL, &err));
    assert_int_equal(right_of("anna", MATTER), ACCESS_NONE);
    assert_int_equal(right_of("boss", MATTER),
                     ACCESS_NONE); /* an administrator has no look into it */
    OK(access_grant(book, "anna", MATTER, ACCESS_READ, &err));
    assert_int_equal(right_of("anna", MATTER), ACCESS_READ);
    assert_int_equal(right_of("boss", MATTER), ACCESS_NONE);
    OK(access_grant(book, "anna", MATTER, ACCESS_WRITE, &err));
    assert_int_equal(right_of("anna", MATTER), ACCESS_WRITE);
    assert_int_equal(right_of("anna", "ffffffffffffffffffffffffffffffff"), ACCESS_NONE);
    OK(access_grant(book, "anna", MATTER, ACCESS_NONE, &err));
    assert_int_equal(right_of("anna", MATTER), ACCESS_NONE);
    FAILS(access_grant(book, "nobody", MATTER, ACCESS_READ, &err), KT_E_NOTFOUND);
    OK(access_grant(book, "anna", MATTER, ACCESS_READ, &err));
    OK(access_forget_matter(book, MATTER, &err));
    assert_int_equal(right_of("anna", MATTER), ACCESS_NONE);
    /* a user's number is not given again, or the next one would inherit what hangs on it elsewhere */
    OK(access_user_remove(book, "boss", &err));
    struct access_user *list;
    size_t n;
    OK(access_user_add(book, "carl", false, NULL, &err));
    OK(access_user_list(book, &list, &n, &err));
    assert_int_equal(list[1].id, 3);
    free(list);
}

static void test_passwords_and_sessions(void **state)
{
    (void)state;
    char token[ACCESS_SECRET_MAX];
    struct identity who;
    unsigned wait_s;
    FAILS(access_user_add(book, "anna", false, "zu kurz", &err), KT_E_USAGE);
    OK(access_user_add(book, "anna", false, "zehn Zeichen", &err));
    OK(access_login(book, "anna", "zehn Zeichen", "::1", token, &who, &wait_s, &err));
    assert_true(who.by_session);
    char csrf[ACCESS_SECRET_MAX];
    strcpy(csrf, who.csrf);
    assert_int_equal(strlen(csrf), 43);
    OK(access_by_session(book, span_of(token), &who, &err));
    assert_string_equal(who.csrf, csrf);
    FAILS(access_by_session(book, span_of(csrf), &who, &err), KT_E_KEY);
    FAILS(access_by_key(book, span_of(token), &who, &err), KT_E_KEY); /* one is not the other */
    OK(access_logout(book, span_of(token), &err));
    FAILS(access_by_session(book, span_of(token), &who, &err), KT_E_KEY);
    OK(access_login(book, "anna", "zehn Zeichen", "::1", token, &who, &wait_s, &err));
    OK(access_user_passwd(book, "anna", NULL, &err)); /* ends her sessions, and logins altogether */
    FAILS(access_by_session(book, span_of(token), &who, &err), KT_E_KEY);
    FAILS(access_login(book, "anna", "", "::1", token, &who, &wait_s, &err), KT_E_KEY);
}

static void test_failures_are_counted(void **state)
{
    (void)state;
    char token[ACCESS_SECRET_MAX];
    struct identity who;
    unsigned wait_s;
    for (int i = 0; i < 5; i++)
        FAILS(access_login(book, "anna", "x", "10.0.0.1", token, &who, &wait_s, &err), KT_E_KEY);
    FAILS(access_login(book, "anna", "x", "10.0.0.2", token, &who, &wait_s, &err),
          KT_E_TIMEOUT); /* the name */
    FAILS(access_login(book, "bert", "x", "10.0.0.1", token, &who, &wait_s, &err),
          KT_E_TIMEOUT); /* the address */
    assert_in_range(wait_s, 1, 900);
    FAILS(access_login(book, "bert", "x", "10.0.0.2", token, &who, &wait_s, &err), KT_E_KEY);
}

/* Another process, as `kontor user` is beside a server: what it writes is seen, and both may begin a new home. */
static void test_two_processes(void **state)
{
    (void)state;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct access *mine;
        struct kt_store *s;
        bool ok =
            kt_store_open(&s, home, NULL, &err) == KT_OK && access_open(&mine, s, &err) == KT_OK;
        for (int i = 0; i < 20 && ok; i++) {
            char name[24];
            snprintf(name, sizeof(name), "child%d", i);
            ok = access_user_add(mine, name, false, NULL, &err) == KT_OK;
        }
        _exit(ok ? 0 : 1);
    }
    for (int i = 0; i < 20; i++) {
        char name[24];
        snprintf(name, sizeof(name), "parent%d", i);
        OK(access_user_add(book, name, false, NULL, &err));
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    size_t n;
    OK(access_n_users(book, &n, &err));
    assert_int_equal(n, 40);
}

static void test_the_book_belongs_to_its_home(void **state)
{
    (void)state;
    OK(access_user_add(book, "anna", false, NULL, &err));
    access_close(book);
    book = NULL;
    char *other = home_make(), from[512], to[512];
    struct kt_store *s;
    struct access *a;
    OK(kt_store_open(&s, other, NULL, &err));
    snprintf(from, sizeof(from), "%s/access.db", home);
    snprintf(to, sizeof(to), "%s/access.db", other);
    assert_int_equal(link(from, to), 0);
    assert_int_not_equal(access_open(&a, s, &err), KT_OK); /* another master key */
    kt_store_close(s);
    home_remove(other);
    OK(access_open(&book, store, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_names, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rights, setup, teardown),
        cmocka_unit_test_setup_teardown(test_passwords_and_sessions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_processes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_book_belongs_to_its_home, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
