/* What a model writes, taken apart (src/text/reply.c): thoughts, text, calls; the same however the bytes
 * were cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/size.h"
#include "kontor/chat.h"
#include "text/reply.h"

/* Everything that came out, in order: t(...) thought, x(...) text, c(name args) a call. */
struct log {
    struct buf out;
    char last;
};

static void add(struct log *l, char kind, struct span s)
{
    assert_true(s.len > 0);
    if (l->last != kind)
        buf_printf(&l->out, "%s%c(", l->last ? ")" : "", kind);
    buf_append_span(&l->out, s);
    l->last = kind;
}

static void on_thought(void *ctx, struct span s)
{
    add(ctx, 't', s);
}

static void on_text(void *ctx, struct span s)
{
    add(ctx, 'x', s);
}

static void on_call(void *ctx, struct span name, struct span arguments)
{
    struct log *l = ctx;
    buf_printf(&l->out, "%sc(%.*s %.*s", l->last ? ")" : "", (int)name.len, name.ptr,
               (int)arguments.len, arguments.ptr);
    l->last = 'c';
}

#define CALL "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>"

static const struct {
    bool thinking;
    const char *in, *out;
} CASES[] = {
    { false, "Hi.", "x(Hi.)" },
    { false, "", "" },
    { false, " \n", "x( \n)" },
    { false, "  Hi", "x(  Hi)" },
    { false, "<think>\nhm\n</think>\n\nHi.", "t(hm)x(Hi.)" },
    { false, "\n<think>\n\n</think>\n\nHi.", "x(Hi.)" },
    { false, "<thin air", "x(<thin air)" },
    { false, "<thi", "x(<thi)" },
    { false, "a <think>b</think>", "x(a <think>b</think>)" },
    { true, "hm\n</think>\n\nHi.", "t(hm)x(Hi.)" },
    { true, "a\n\nb </th </think", "t(a\n\nb </th </think)" },
    { true, "a <b> </think>Hi", "t(a <b>)x(Hi)" },
    { true, "</think>Hi", "x(Hi)" },
    { true, "< </think>", "t(<)" },
    { true, "never ends \n", "t(never ends)" },
    { true, "a</think></think>b", "t(a)x(</think>b)" },
    { true, "I call " CALL " now</think>\n" CALL, "t(I call " CALL " now)c(f {\"a\": \"1\"})" },
    { true, "hm</think>\n\nI look.\n\n" CALL "\n" CALL "\n",
      "t(hm)x(I look.)c(f {\"a\": \"1\"})c(f {\"a\": \"1\"})" },
    { false, CALL, "c(f {\"a\": \"1\"})" },
};

static void parse(struct log *l, bool thinking, struct span in, struct rng *r)
{
    struct reply_events e = { on_thought, on_text, on_call, l };
    struct reply_parser *p;
    struct kt_error err;
    assert_int_equal(reply_parser_create(&p, NULL, thinking, &e, &err), KT_OK);
    for (size_t at = 0; at < in.len;) {
        size_t n = r ? 1 + rng_below(r, 9) : in.len;
        assert_int_equal(reply_parser_push(p, span_sub(in, at, at + n), &err), KT_OK);
        at += n;
    }
    assert_int_equal(reply_parser_finish(p, &err), KT_OK);
    reply_parser_destroy(p);
    if (l->last)
        buf_append_char(&l->out, ')');
}

static void replies_are_taken_apart(void **state)
{
    (void)state;
    struct rng r;
    rng_init(&r, 1);
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        for (int cut = 0; cut < 50; cut++) {
            struct log l = { 0 };
            parse(&l, CASES[i].thinking, span_of(CASES[i].in), cut ? &r : NULL);
            if (strcmp(l.out.ptr ? l.out.ptr : "", CASES[i].out) != 0)
                fail_msg("case %zu, cut %d: expected %s, found %s", i, cut, CASES[i].out,
                         l.out.ptr ? l.out.ptr : "");
            buf_deinit(&l.out);
        }
    }
}

/* The public door: collected, with the types that the tools declare. */
static void replies_are_collected(void **state)
{
    (void)state;
    static const char TOOLS[] =
        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{"
        "\"properties\":{\"a\":{\"type\":\"integer\"}}}}}]";
    static const char REPLY[] = "hm\n</think>\n\nI look.\n\n" CALL;
    struct kt_chat_options o = { .tools = TOOLS, .tools_len = sizeof(TOOLS) - 1 };
    struct kt_reply_parser *p;
    const struct kt_reply *reply;
    struct kt_error err;
    assert_int_equal(kt_reply_parser_create(&p, &o, true, NULL, &err), KT_OK);
    assert_int_equal(kt_reply_parser_push(p, REPLY, sizeof(REPLY) - 1, &err), KT_OK);
    assert_int_equal(kt_reply_parser_finish(p, &reply, &err), KT_OK);
    assert_string_equal(reply->reasoning, "hm");
    assert_string_equal(reply->text, "I look.");
    assert_int_equal(reply->n_calls, 1);
    assert_string_equal(reply->calls[0].name, "f");
    assert_string_equal(reply->calls[0].arguments, "{\"a\": 1}");
    kt_reply_parser_destroy(p);
    assert_int_equal(kt_reply_parser_create(&p, NULL, false, NULL, &err), KT_OK);
    assert_int_equal(kt_reply_parser_finish(p, &reply, &err), KT_OK);
    assert_true(reply->text_len == 0 && reply->text[0] == 0 && reply->reasoning[0] == 0);
    kt_reply_parser_destroy(p);
    o.tools = "{}";
    o.tools_len = 2;
    assert_int_equal(kt_reply_parser_create(&p, &o, false, NULL, &err), KT_E_FORMAT);
    kt_reply_parser_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_taken_apart),
        cmocka_unit_test(replies_are_collected),
    };
    return cmocka_run_group_tests_name("reply", tests, NULL, NULL);
}
