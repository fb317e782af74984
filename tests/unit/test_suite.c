/* Reading question suites, replies and results (src/quality/).
 *
 * Method: small files of each layout, whole and damaged in ways that must be named; a table of replies
 * and what they mean; results written, torn and gone on with. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/size.h"
#include "quality/published.h"
#include "quality/results.h"

static struct suite read_suite(const char *text, const char *path)
{
    struct suite s = { 0 };
    struct kt_error err;
    if (suite_add(&s, span_of(text), path, &err))
        fail_msg("%s: %s", path, err.text);
    return s;
}

static void is(struct span got, const char *want)
{
    if (!span_eq_str(got, want))
        fail_msg("\"%.*s\", expected \"%s\"", (int)got.len, got.ptr, want);
}

static void csv_by_place(void **state)
{
    (void)state;
    struct suite s = read_suite("\xEF\xBB\xBFWhat is 1 + 1?,1,2,3,4,B\r\n"
                                "\n\"Say \"\"hi\"\",\nplease\",yes,no,A\n",
                                "/x/high_school_math_test.csv");
    assert_int_equal(s.n, 2);
    is(s.list[0].text, "What is 1 + 1?");
    assert_int_equal(s.list[0].n_choices, 4);
    assert_int_equal(s.list[0].answer, 1);
    is(s.list[0].subject, "high_school_math");
    is(s.list[0].language, "");
    is(s.list[1].text, "Say \"hi\",\nplease");
    assert_int_equal(s.list[1].n_choices, 2);
    assert_true(s.list[0].id != s.list[1].id);
    suite_close(&s);
}

static void csv_by_name(void **state)
{
    (void)state;
    struct suite s = read_suite(",Question,A,B,C,D,Answer,Subject\n"
                                "0,Wie viele?,Eins,Zwei,,,b,zahlen\n",
                                "mmlu_DE-DE.csv");
    assert_int_equal(s.n, 1);
    assert_int_equal(s.list[0].n_choices, 2);
    assert_int_equal(s.list[0].answer, 1);
    is(s.list[0].subject, "zahlen");
    is(s.list[0].language, "DE-DE");
    suite_close(&s);
}

static void json_lines(void **state)
{
    (void)state;
    struct suite s = read_suite(
        "{\"question\":\" Q? \",\"choices\":[\"x\",\"y\"],\"answer\":1,\"language\":\"FR\"}\n\n"
        "{\"question\":\"R?\",\"options\":[\"x\",\"y\",\"z\"],\"answer\":\"c\",\"category\":\"k\","
        "\"images\":[\"a/b.png\",\"..c.jpg\"],\"video\":null}",
        "/data/set/val.jsonl");
    assert_int_equal(s.n, 2);
    is(s.list[0].text, "Q?");
    is(s.list[0].language, "FR");
    is(s.list[0].subject, "val");
    assert_int_equal(s.list[1].answer, 2);
    is(s.list[1].subject, "k");
    assert_int_equal(s.list[1].n_images, 2);
    assert_string_equal(s.list[1].images[0], "/data/set/a/b.png");
    assert_null(s.list[1].video);
    suite_close(&s);
}

static void damage_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *path, *text, *word;
    } CASES[] = {
        { "a.csv", "Q,1,2,B\nQ,1,2\n", "record 2" },
        { "a.csv", "Q,1,2,E\n", "choice 5 of 2" },
        { "a.csv", "Q,1,2,12\n", "letter" },
        { "a.csv", "\"Q,1,2,B\n", "not closed" },
        { "a.csv", "\"Q\"x,1,2,B\n", "closing" },
        { "a.csv", ",1,2,B\n", "no question" },
        { "a.csv", "Question,A,B,Answer\nQ,1\n", "letter" },
        { "a.jsonl", "[1]", "JSON object" },
        { "a.jsonl", "{\"question\":\"Q\"", "JSON object" },
        { "a.jsonl", "{\"question\":3}", "question" },
        { "a.jsonl", "{\"question\":\"Q\",\"choices\":[\"x\"],\"answer\":0}", "choices" },
        { "a.jsonl", "{\"question\":\"Q\",\"choices\":[\"x\",1],\"answer\":0}", "no string" },
        { "a.jsonl", "{\"question\":\"Q\",\"choices\":[\"x\",\"y\"],\"answer\":2}", "choice 3" },
        { "a.jsonl", "{\"question\":\"Q\",\"choices\":[\"x\",\"y\"],\"answer\":-1}", "answer" },
        { "a.jsonl",
          "{\"question\":\"Q\",\"choices\":[\"x\",\"y\"],\"answer\":0,\"video\":\"../v\"}",
          "out of" },
        { "a.jsonl",
          "{\"question\":\"Q\",\"choices\":[\"x\",\"y\"],\"answer\":0,\"images\":[\"a/../../b\"]}",
          "out of" },
        { "a.jsonl",
          "{\"question\":\"Q\",\"choices\":[\"x\",\"y\"],\"answer\":0,\"images\":[\"/b\"]}",
          "out of" },
        { "a.txt", "Q,1,2,B\n", ".csv" },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct suite s = { 0 };
        struct kt_error err = { 0 };
        enum kt_status st = suite_add(&s, span_of(CASES[i].text), CASES[i].path, &err);
        if (!st || !strstr(err.text, CASES[i].word) || !strstr(err.text, CASES[i].path))
            fail_msg("case %zu: \"%s\", expected something about \"%s\"", i, err.text,
                     CASES[i].word);
        suite_close(&s);
    }
}

static void replies(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        int want;
    } CASES[] = {
        { "B", 1 },
        { " (C)\n", 2 },
        { "D. Because it is.", 3 },
        { "**A**", 0 },
        { "The answer is (B).", 1 },
        { "The answer is A? No: the correct answer is **C**.", 2 },
        { "Antwort: D", 3 },
        { "Die richtige Antwort lautet B.", 1 },
        { "answer: c", 2 },
        { "So we get \\boxed{A}", 0 },
        { "A matter of taste, but (D) fits.", 3 },
        { "The answer is a matter of taste.", -1 },
        { "Answer with care.", -1 },
        { "Paris.", 1 },
        { "paris", 1 },
        { "E", -1 }, /* there are four */
        { "", -1 },
        { "Apples are fruit.", -1 },
        { "Option B: it is the only one", -1 }, /* neither at the beginning nor after "answer" */
        { "I would say [B] here", 1 },
        { "ANSWER IS Baltic", -1 },
    };
    const struct span choices[4] = { SPAN("Rome"), SPAN("Paris"), SPAN("Berlin."), SPAN("") };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        int got = letter_in_reply(span_of(CASES[i].reply), choices, 4);
        if (got != CASES[i].want)
            fail_msg("\"%s\" means %d, expected %d", CASES[i].reply, got, CASES[i].want);
    }
}

static void intervals(void **state)
{
    (void)state;
    struct interval i = wilson(8, 10); /* the textbook's: 0.490 to 0.943 */
    assert_true(fabs(i.low - 0.4902) < 1e-4 && fabs(i.high - 0.9433) < 1e-4);
    i = wilson(0, 20);
    assert_true(i.low == 0 && fabs(i.high - 0.1611) < 1e-4);
    i = wilson(20, 20);
    assert_true(i.high > 0.999999 && fabs(i.low - 0.8389) < 1e-4);
}

static void published_figures(void **state)
{
    (void)state;
    double v;
    const char *name;
    assert_true(published_figure("mmlu-pro_test", 2560, 32, true, &v, &name));
    assert_true(fabs(v - 79.1) < 1e-4);
    assert_true(published_figure("MMMLU", 1024, 24, false, &v, &name) && fabs(v - 34.1) < 1e-4);
    assert_true(published_figure("gpqa_diamond", 4096, 32, true, &v, &name));
    assert_string_equal(name, "GPQA diamond");
    assert_false(published_figure("gpqa_diamond", 4096, 32, false, &v, &name)); /* not published */
    assert_false(published_figure("mmlu-pro", 5120, 64, true, &v, &name));
    assert_false(published_figure("anything", 1024, 24, true, &v, &name));
}

static void tallies(void **state)
{
    (void)state;
    struct suite s = read_suite("Question,A,B,Answer,Subject,Language\n"
                                "q1,x,y,A,b,DE\nq2,x,y,B,a,DE\nq3,x,y,A,b,EN\nq4,x,y,A,b,EN\n",
                                "t.csv");
    const int8_t chosen[] = { 0, CHOSEN_NONE, 1, CHOSEN_NOT_YET };
    struct tally *t;
    struct kt_error err;
    size_t n;
    assert_int_equal(tally(&s, chosen, TALLY_ALL, &t, &n, &err), KT_OK);
    assert_true(n == 1 && t[0].n == 3 && t[0].n_right == 1 && t[0].n_none == 1);
    free(t);
    assert_int_equal(tally(&s, chosen, TALLY_SUBJECT, &t, &n, &err), KT_OK);
    assert_int_equal(n, 2);
    is(t[0].name, "a");
    assert_true(t[0].n == 1 && t[0].n_right == 0 && t[1].n == 2 && t[1].n_right == 1);
    free(t);
    assert_int_equal(tally(&s, chosen, TALLY_LANGUAGE, &t, &n, &err), KT_OK);
    assert_true(n == 2 && t[0].n == 2 && t[1].n == 1);
    free(t);
    suite_close(&s);
}

static void results_go_on(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/kontor-results-%d.jsonl", (int)getpid());
    struct suite s = read_suite("q1,x,y,A\nq2,x,y,B\nq3,x,y,A\n", "t.csv");
    struct kt_error err;
    struct results *r;
    int8_t chosen[3];
    struct eval_answer a = { .chosen = 1, .score = { -2, -1 }, .tokens_prompt = 5 };
    memset(chosen, CHOSEN_NOT_YET, 3);
    assert_int_equal(results_open(&r, path, "{\"a\":1}", &s, chosen, &err), KT_OK);
    assert_int_equal(results_add(r, &s, 2, &a, true, &err), KT_OK);
    a.chosen = CHOSEN_NONE;
    assert_int_equal(results_add(r, &s, 0, &a, false, &err), KT_OK);
    struct results *other;
    assert_int_equal(results_open(&other, path, "{\"a\":1}", &s, chosen, &err), KT_E_BUSY);
    results_close(r);

    struct buf b = { 0 };
    assert_int_equal(file_read(&b, path, 1 << 20, &err), KT_OK);
    size_t whole = b.len;
    for (size_t cut = 0; cut < 30; cut += 7) { /* killed while it wrote a third line */
        buf_append_str(&b, "{\"i\":1,\"id\":\"0123456789abcdef\",\"chosen\":0");
        assert_int_equal(file_replace(path, b.ptr, whole + cut, 0600, &err), KT_OK);
        b.len = whole;
        memset(chosen, CHOSEN_NOT_YET, 3);
        assert_int_equal(results_open(&r, path, "{\"a\":1}", &s, chosen, &err), KT_OK);
        assert_true(chosen[0] == CHOSEN_NONE && chosen[1] == CHOSEN_NOT_YET && chosen[2] == 1);
        a.chosen = 0;
        assert_int_equal(results_add(r, &s, 1, &a, false, &err), KT_OK);
        results_close(r);
        memset(chosen, CHOSEN_NOT_YET, 3);
        assert_int_equal(results_open(&r, path, "{\"a\":1}", &s, chosen, &err), KT_OK);
        assert_true(chosen[1] == 0);
        results_close(r);
    }
    assert_int_equal(results_open(&r, path, "{\"a\":2}", &s, chosen, &err), KT_E_USAGE);
    s.list[2].id ^= 1; /* another question under that number */
    assert_int_equal(results_open(&r, path, "{\"a\":1}", &s, chosen, &err), KT_E_USAGE);
    unlink(path);
    buf_deinit(&b);
    suite_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_by_place),      cmocka_unit_test(csv_by_name),
        cmocka_unit_test(json_lines),        cmocka_unit_test(damage_is_named),
        cmocka_unit_test(replies),           cmocka_unit_test(intervals),
        cmocka_unit_test(published_figures), cmocka_unit_test(tallies),
        cmocka_unit_test(results_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
