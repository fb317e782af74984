/* Goal: questions take the road they should, and what is to be counted is read out of them. Method: tests/data/routes/questions.txt
 * and the questions of the sample office, which are all to be looked up; prints the table of docs/ASK.md. The rules are judged by
 * the share that is right, since a rule for every question would be a list of questions; what is counted must be exact. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/rng.h"
#include "base/size.h"
#include "office/route.h"

static struct span field(struct span line, int n)
{
    size_t at = 0;
    for (; n--; at++)
        if ((at = span_find(line, SPAN("\t"), at)) == SIZE_MAX)
            return (struct span){ 0 };
    size_t end = span_find(line, SPAN("\t"), at);
    return span_sub(line, at, end == SIZE_MAX ? line.len : end);
}

static void read_file(struct buf *out, const char *path)
{
    struct kt_error err = { 0 };
    if (file_read(out, path, 1 << 20, &err))
        fail_msg("%s", err.text);
}

static void test_questions(void **state)
{
    (void)state;
    size_t table[5][5] = { 0 }, later[2] = { 0 }, right = 0, n = 0, misread = 0;
    struct buf file = { 0 };
    read_file(&file, ROUTES_FILE);
    struct span all = buf_span(&file);
    for (size_t at = 0, end; at < all.len; at = end + 1) {
        end = span_find(all, SPAN("\n"), at);
        end = end == SIZE_MAX ? all.len : end;
        struct span line = span_sub(all, at, end);
        if (!line.len || line.ptr[0] == '#')
            continue;
        struct span wanted = field(line, 0), question = field(line, 2), what = field(line, 3);
        bool new = span_ends(wanted, SPAN("*"));
        wanted.len -= new;
        struct route r;
        assert_true(route_question(&r, question));
        size_t row = 0;
        while (!span_eq_str(wanted, kt_route_name((enum kt_route)row)))
            assert_true(++row < 5);
        table[row][r.kind]++;
        n++;
        right += row == r.kind;
        later[0] += new;
        later[1] += new &&row == r.kind;
        if (row != r.kind)
            print_message("%.*s -> %s: %.*s\n", (int)wanted.len, wanted.ptr, kt_route_name(r.kind),
                          (int)question.len, question.ptr);
        struct span found = r.kind == KT_ROUTE_LIST    ? span_of(r.type)
                            : r.kind == KT_ROUTE_COUNT ? buf_span(&r.what)
                                                       : buf_span(&r.left);
        bool check =
            row == r.kind && (r.kind == KT_ROUTE_COUNT || r.kind == KT_ROUTE_LIST || what.len);
        if (check && !span_eq(found, what)) {
            print_message("%.*s: expected '%.*s', found '%.*s'\n", (int)question.len, question.ptr,
                          (int)what.len, what.ptr, (int)found.len, found.ptr);
            misread++;
        }
        route_deinit(&r);
    }
    buf_deinit(&file);
    print_message("%-10s lookup document count list compare\n", "");
    for (size_t i = 0; i < 5; i++)
        print_message("%-10s %6zu %8zu %5zu %4zu %7zu\n", kt_route_name((enum kt_route)i),
                      table[i][0], table[i][1], table[i][2], table[i][3], table[i][4]);
    print_message("right: %zu of %zu; of those not used for the rules %zu of %zu\n", right, n,
                  later[1], later[0]);
    print_message("right, but not the right words: %zu\n", misread);
    assert_true(100 * right >= 93 * n);
    assert_true(100 * misread <= 3 * n);
}

/* The office's own questions are about what stands in a passage. */
static void test_samples(void **state)
{
    (void)state;
    struct buf file = { 0 };
    size_t n = 0, wrong = 0;
    read_file(&file, SAMPLES_FILE);
    struct span all = buf_span(&file), key = SPAN("\"question\": \"");
    for (size_t at = 0; (at = span_find(all, key, at)) != SIZE_MAX;) {
        at += key.len;
        struct span question = span_sub(all, at, span_find(all, SPAN("\""), at));
        struct route r;
        assert_true(route_question(&r, question));
        n++;
        if (r.kind != KT_ROUTE_LOOKUP)
            print_message("%s: %.*s\n", kt_route_name(r.kind), (int)question.len, question.ptr);
        wrong += r.kind != KT_ROUTE_LOOKUP;
        route_deinit(&r);
    }
    buf_deinit(&file);
    print_message("sample questions looked up: %zu of %zu\n", n - wrong, n);
    assert_true(n > 100 && wrong <= 2);
}

static void test_any_bytes(void **state)
{
    (void)state;
    static const char *const PIECES[] = {
        "wie oft", " ",          "kommt",         "„",     "“",
        "\"",      "vergleiche", " mit ",         "fasse", "zusammen",
        "\xC3",    "\x9F",       "von",           "2024",  "mails",
        "welche",  "?",          "every mention", "2",     "summary of"
    };
    struct rng r;
    rng_init(&r, 3);
    for (int round = 0; round < 3000; round++) {
        struct buf q = { 0 };
        struct route route;
        for (size_t k = 1 + rng_below(&r, 9); k--;)
            buf_append_str(&q, PIECES[rng_below(&r, ARRAY_LEN(PIECES))]);
        assert_true(route_question(&route, buf_span(&q)));
        route_deinit(&route);
        buf_deinit(&q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
