/* Tools (src/text/tool.c, tool_instructions.c, tool_parse.c).
 *
 * Definitions and calls against lines written out here as Python's json and the template's string
 * conversion give them. The parser against tables of what a model may write: each text is cut at
 * every place, and byte by byte, and must give the same; what the writer writes, the parser reads
 * back; random texts made of the form's own parts never lose a byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/rng.h"
#include "base/size.h"
#include "text/tool_parse.h"
#include "text/tool_priv.h"

static struct kt_error err;

static const char TOOLS[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"s\":{\"type\":\"string\"},\"i\":{\"type\":\"integer\"},\"n\":{\"type\":"
    "\"number\"},"
    "\"b\":{\"type\":\"boolean\"},\"o\":{\"type\":\"object\"},\"a\":{\"type\":\"array\"},\"z\":{"
    "\"type\":\"null\"},"
    "\"si\":{\"type\":[\"string\",\"null\"]},\"in\":{\"anyOf\":[{\"type\":\"integer\"},{\"type\":"
    "\"null\"}]},"
    "\"free\":{}}}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"bare\"}}]";

static struct tool_set *tools_of(const char *json)
{
    struct tool_set *s;
    if (tool_set_create(&s, span_of(json), &err))
        fail_msg("%s: %s", json, err.text);
    return s;
}

/* ---- definitions ----------------------------------------------------------------------------- */

/* Expected: json.dumps(json.loads(x), ensure_ascii=False) of Python 3.11. */
static void definitions_are_spelled_as_python_does(void **state)
{
    (void)state;
    static const struct {
        const char *json, *line;
    } CASES[] = {
        { "[{\"type\" :\"function\",\n\"function\":{\"name\":\"g\",\"z\":1,\"a\":[ ],\"e\":{}}}]",
          "{\"type\": \"function\", \"function\": {\"name\": \"g\", \"z\": 1, \"a\": [], \"e\": "
          "{}}}" },
        { "[{\"function\":{\"name\":\"g\",\"d\":\"\\u00fc\\u4f60 <&>\\/ \\\"\\\\ "
          "\\n\\t\\u0001\\u007f\"}}]",
          "{\"function\": {\"name\": \"g\", \"d\": \"ü你 <&>/ \\\"\\\\ \\n\\t\\u0001\x7f\"}}" },
        { "[{\"function\":{\"name\":\"g\"},\"n\":[1,-5,1.0,1.50,1e16,1e15,123456789.125,1e-4,1e-5,"
          "0.1,1e100,-0.0,9007199254740993,true,false,null,2.5e-7,1e22]}]",
          "{\"function\": {\"name\": \"g\"}, \"n\": [1, -5, 1.0, 1.5, 1e+16, 1000000000000000.0, "
          "123456789.125, 0.0001, 1e-05, 0.1, 1e+100, -0.0, 9007199254740993, true, false, null, "
          "2.5e-07, 1e+22]}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct tool_set *s = tools_of(CASES[i].json);
        struct span line = tool_set_line(s, 0);
        if (!span_eq_str(line, CASES[i].line))
            fail_msg("expected %s\nfound    %s", CASES[i].line, line.ptr);
        assert_int_equal(tool_set_n(s), 1);
        assert_true(tool_set_has(s, SPAN("g")));
        assert_false(tool_set_has(s, SPAN("h")));
        tool_set_destroy(s);
    }
}

static void bad_definitions_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *json, *part;
    } CASES[] = {
        { "", "expected a JSON array" },
        { "{}", "expected a JSON array" },
        { "[1", "expected a JSON array" },
        { "[{\"a\":1,\"a\":2}]", "expected a JSON array" },
        { "[{\"n\":123456789012345678901234567890}]", "expected a JSON array" },
        { "[1]", "entry 0" },
        { "[{\"name\":\"x\"}]", "entry 0" },
        { "[{\"function\":{\"name\":\"\"}}]", "entry 0" },
        { "[{\"function\":{\"name\":\"a>b\"}}]", "entry 0" },
        { "[{\"function\":{\"name\":\"a\\nb\"}}]", "entry 0" },
        { "[{\"function\":{\"name\":\"a\"}},{\"function\":{\"name\":\"a\"}}]", "entry 1" },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct tool_set *s;
        enum kt_status st = tool_set_create(&s, span_of(CASES[i].json), &err);
        if (st != KT_E_FORMAT || s || !strstr(err.text, CASES[i].part))
            fail_msg("%s: expected \"%s\", found %s \"%s\"", CASES[i].json, CASES[i].part,
                     kt_status_name(st), err.text);
    }
    struct buf deep = { 0 };
    buf_append_str(&deep, "[{\"function\":{\"name\":\"a\"},\"d\":");
    for (int i = 0; i < 100; i++)
        buf_append_char(&deep, '[');
    for (int i = 0; i < 100; i++)
        buf_append_char(&deep, ']');
    buf_append_str(&deep, "}]");
    struct tool_set *s;
    assert_int_equal(tool_set_create(&s, buf_span(&deep), &err), KT_E_LIMIT);
    buf_deinit(&deep);
    assert_int_equal(tool_set_n(NULL), 0);
    assert_false(tool_set_has(NULL, SPAN("x")));
}

/* ---- calls as text --------------------------------------------------------------------------- */

static void calls_are_written_as_the_template_does(void **state)
{
    (void)state;
    struct buf out = { 0 };
    assert_int_equal(
        tool_call_write(&out, SPAN("f"),
                        SPAN("{\"s\":\"two\\nlines \\u00fc\",\"i\":5,\"n\":1.50,\"t\":true,\"f\":"
                             "false,\"z\":null,\"o\":{\"k\":[1,true,null,\"x\"]},\"a\":[]}"),
                        &err),
        KT_OK);
    assert_string_equal(out.ptr, "\n<function=f>\n"
                                 "<parameter=s>\ntwo\nlines ü\n</parameter>\n"
                                 "<parameter=i>\n5\n</parameter>\n"
                                 "<parameter=n>\n1.5\n</parameter>\n"
                                 "<parameter=t>\nTrue\n</parameter>\n"
                                 "<parameter=f>\nFalse\n</parameter>\n"
                                 "<parameter=z>\nNone\n</parameter>\n"
                                 "<parameter=o>\n{\"k\": [1, true, null, \"x\"]}\n</parameter>\n"
                                 "<parameter=a>\n[]\n</parameter>\n"
                                 "</function>\n");
    buf_clear(&out);
    assert_int_equal(tool_call_write(&out, SPAN("f"), (struct span){ 0 }, &err), KT_OK);
    assert_string_equal(out.ptr, "\n<function=f>\n</function>\n");
    assert_int_equal(tool_call_write(&out, SPAN("f"), SPAN("[1]"), &err), KT_E_FORMAT);
    assert_int_equal(tool_call_write(&out, SPAN("f"), SPAN("{\"a\":"), &err), KT_E_FORMAT);
    assert_int_equal(tool_call_write(&out, SPAN("a>b"), SPAN("{}"), &err), KT_E_FORMAT);
    buf_deinit(&out);
}

/* ---- the parser ------------------------------------------------------------------------------ */

/* What came out: texts as they are, calls as "[[name arguments]]". */
static void add_text(void *ctx, struct span text)
{
    assert_true(text.len > 0);
    buf_append_span(ctx, text);
}

static void add_call(void *ctx, struct span name, struct span arguments)
{
    struct buf *out = ctx;
    buf_append_str(out, "[[");
    buf_append_span(out, name);
    buf_append_str(out, " ");
    buf_append_span(out, arguments);
    buf_append_str(out, "]]");
}

/* Cut into pieces: [0, cut), and the rest in pieces of 'step'. */
static void parse(struct buf *out, const struct tool_set *tools, struct span s, size_t cut,
                  size_t step)
{
    struct tool_parser *p;
    const struct tool_events events = { add_text, add_call, out };
    buf_clear(out);
    buf_append_str(out, "");
    assert_int_equal(tool_parser_create(&p, tools, &events, &err), KT_OK);
    assert_int_equal(tool_parser_push(p, span_sub(s, 0, cut), &err), KT_OK);
    for (size_t i = cut; i < s.len; i += step)
        assert_int_equal(tool_parser_push(p, span_sub(s, i, i + step), &err), KT_OK);
    assert_int_equal(tool_parser_finish(p, &err), KT_OK);
    tool_parser_destroy(p);
}

#define C(inside) "<tool_call>\n<function=f>\n" inside "</function>\n</tool_call>"
#define P(k, v)   "<parameter=" k ">\n" v "\n</parameter>\n"

#define TEN(s) s s s s s s s s s s
#define DEEP   TEN("[[[[[[[") TEN("]]]]]]]")

static const struct {
    const char *what, *in, *out;
} CASES[] = {
    { "nothing", "", "" },
    { "text", "Hello.\n", "Hello.\n" },
    { "text that looks like it", "a <tool_cal <tool_ <<tool b < ",
      "a <tool_cal <tool_ <<tool b < " },
    { "a call", C(P("s", "x")), "[[f {\"s\": \"x\"}]]" },
    { "no parameters", C(""), "[[f {}]]" },
    { "text before", "I look.\n\n" C(P("s", "x")), "I look.[[f {\"s\": \"x\"}]]" },
    { "text after", C(P("s", "x")) "\nDone. ", "[[f {\"s\": \"x\"}]]\nDone. " },
    { "space after", C(P("s", "x")) "\n \n", "[[f {\"s\": \"x\"}]]" },
    { "two calls", C(P("s", "x")) "\n" C(P("i", "7")), "[[f {\"s\": \"x\"}]][[f {\"i\": 7}]]" },
    { "types",
      C(P("s", "5") P("i", "-12") P("n", "1.50") P("b", "True") P("o", "{\"k\":[1]}")
            P("a", "[1, \"x\"]") P("z", "None")),
      "[[f {\"s\": \"5\", \"i\": -12, \"n\": 1.5, \"b\": true, \"o\": {\"k\": [1]}, \"a\": [1, "
      "\"x\"], "
      "\"z\": null}]]" },
    { "a whole number is a number", C(P("n", "3")), "[[f {\"n\": 3}]]" },
    { "several types", C(P("si", "null") P("in", "null")), "[[f {\"si\": null, \"in\": null}]]" },
    { "several types, other", C(P("si", "5") P("in", " 5 ")), "[[f {\"si\": \"5\", \"in\": 5}]]" },
    { "values of another type stay text",
      C(P("i", "1.5") P("n", "many") P("b", "yes") P("o", "[1]") P("a", "{torn")),
      "[[f {\"i\": \"1.5\", \"n\": \"many\", \"b\": \"yes\", \"o\": \"[1]\", \"a\": \"{torn\"}]]" },
    { "no schema", C(P("free", "5") P("new", "true")),
      "[[f {\"free\": \"5\", \"new\": \"true\"}]]" },
    { "a string that is null", C(P("s", "null")), "[[f {\"s\": \"null\"}]]" },
    { "lines", C(P("s", "one\n\n two \n")), "[[f {\"s\": \"one\\n\\n two \\n\"}]]" },
    { "empty", C(P("s", "")), "[[f {\"s\": \"\"}]]" },
    { "empty, one break", C("<parameter=s>\n</parameter>\n"), "[[f {\"s\": \"\"}]]" },
    { "marks inside a value", C(P("s", "a </parameter> b\n<tool_call>\n</tool_call> </function>")),
      "[[f {\"s\": \"a </parameter> b\\n<tool_call>\\n</tool_call> </function>\"}]]" },
    { "on one line",
      "<tool_call><function=f><parameter=s>x</parameter><parameter=i>2</parameter></function></"
      "tool_call>",
      "[[f {\"s\": \"x\", \"i\": 2}]]" },
    { "another tool", "<tool_call>\n<function=who knows>\n" P("i", "5") "</function>\n</tool_call>",
      "[[who knows {\"i\": \"5\"}]]" },
    { "characters", C(P("s", "Grüße 你 \"q\" \\")), "[[f {\"s\": \"Grüße 你 \\\"q\\\" \\\\\"}]]" },
    { "bytes that are no characters",
      C(P("s", "a\xff"
               "b")),
      "[[f {\"s\": \"a\xef\xbf\xbd"
      "b\"}]]" },

    /* what is none comes out as it went in */
    { "JSON inside", "x\n<tool_call>\n{\"name\": \"f\"}\n</tool_call>\n",
      "x\n<tool_call>\n{\"name\": \"f\"}\n</tool_call>\n" },
    { "torn", "x\n\n<tool_call>\n<function=f>\n<parameter=s>\nabc",
      "x\n\n<tool_call>\n<function=f>\n<parameter=s>\nabc" },
    { "torn at the mark", "x <tool_call", "x <tool_call" },
    { "no end", "<tool_call>\n<function=f>\n</function>\n",
      "<tool_call>\n<function=f>\n</function>\n" },
    { "something else", C("<param=s>\nx\n</param>\n"), C("<param=s>\nx\n</param>\n") },
    { "no name", "<tool_call>\n<function=>\n</function>\n</tool_call>",
      "<tool_call>\n<function=>\n</function>\n</tool_call>" },
    { "a name of two lines", "<tool_call>\n<function=a\nb>\n</function>\n</tool_call>",
      "<tool_call>\n<function=a\nb>\n</function>\n</tool_call>" },
    { "a name that is no text", "<tool_call>\n<function=\xff>\n</function>\n</tool_call>",
      "<tool_call>\n<function=\xff>\n</function>\n</tool_call>" },
    { "a parameter twice", C(P("s", "a") P("s", "b")), C(P("s", "a") P("s", "b")) },
    { "text before the end", C("words"), C("words") },
    { "text after the function", "<tool_call>\n<function=f>\n</function>\nx</tool_call>",
      "<tool_call>\n<function=f>\n</function>\nx</tool_call>" },
    { "too deep", C(P("a", DEEP)), C(P("a", DEEP)) },

    /* and the next call is found */
    { "after a bad one", "<tool_call>\nno <tool_call>" C(P("i", "1")),
      "<tool_call>\nno <tool_call>[[f {\"i\": 1}]]" },
    { "right after a bad one", "<tool_call>\n<function=" C(P("i", "1")),
      "<tool_call>\n<function=[[f {\"i\": 1}]]" },
    { "opened twice", "<tool_call>\n" C(P("i", "1")), "<tool_call>\n[[f {\"i\": 1}]]" },
    { "a mark begun twice", "<tool_<tool_call>\n<function=f>\n</function>\n</tool_call>",
      "<tool_[[f {}]]" },
};

static void every_cut_gives_the_same(void **state)
{
    (void)state;
    struct tool_set *tools = tools_of(TOOLS);
    struct buf out = { 0 };
    size_t n_cuts = 0;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct span in = span_of(CASES[i].in);
        for (size_t step = 1; step <= in.len + 1; step += in.len ? in.len : 1) {
            for (size_t cut = 0; cut <= in.len; cut++, n_cuts++) {
                parse(&out, tools, in, cut, step);
                if (strcmp(out.ptr, CASES[i].out) != 0)
                    fail_msg("%s, cut at %zu, then by %zu:\nexpected %s\nfound    %s",
                             CASES[i].what, cut, step, CASES[i].out, out.ptr);
            }
        }
    }
    print_message("%zu texts, %zu ways to cut them\n", ARRAY_LEN(CASES), n_cuts);
    buf_deinit(&out);
    tool_set_destroy(tools);
}

/* Without tools every value is a string. */
static void without_definitions(void **state)
{
    (void)state;
    struct buf out = { 0 };
    parse(&out, NULL, SPAN(C(P("i", "5"))), 3, 7);
    assert_string_equal(out.ptr, "[[f {\"i\": \"5\"}]]");
    buf_deinit(&out);
}

/* A call may be as long as the limit, and what is longer is text; both take no time. */
static void long_calls(void **state)
{
    (void)state;
    struct buf in = { 0 }, out = { 0 };
    for (int too_long = 0; too_long < 2; too_long++) {
        buf_clear(&in);
        buf_append_str(&in, "<tool_call>\n<function=f>\n<parameter=s>\n");
        for (size_t n = in.len + 100; in.len < (too_long ? 1 << 20 : (1 << 20) - n);)
            buf_append_str(&in, "<tool_call></parameter>\n<tool_call>");
        buf_append_str(&in, "\n</parameter>\n</function>\n</tool_call>");
        parse(&out, NULL, buf_span(&in), 0, 5000);
        assert_int_equal(out.ptr[0], too_long ? '<' : '[');
        if (too_long)
            assert_true(span_eq(buf_span(&out), buf_span(&in)));
    }
    buf_deinit(&in);
    buf_deinit(&out);
}

/* Law: what is written is read back, whatever the strings hold (but a line "</parameter>" of their
 * own, which the form cannot say). */
static void what_is_written_is_read(void **state)
{
    (void)state;
    static const char ARGS[] =
        "{\"s\": \" a\\n<b>\\n\\n</function>\", \"i\": 5, \"n\": -1.25, \"b\": "
        "false, \"o\": {\"x\": \"\\n\"}, \"a\": [], \"z\": null}";
    struct tool_set *tools = tools_of(TOOLS);
    struct buf in = { 0 }, out = { 0 }, want = { 0 };
    buf_append_str(&in, "<tool_call>");
    assert_int_equal(tool_call_write(&in, SPAN("f"), SPAN(ARGS), &err), KT_OK);
    buf_append_str(&in, "</tool_call>");
    parse(&out, tools, buf_span(&in), in.len, 1);
    buf_printf(&want, "[[f %s]]", ARGS);
    assert_string_equal(out.ptr, want.ptr);
    buf_deinit(&in);
    buf_deinit(&out);
    buf_deinit(&want);
    tool_set_destroy(tools);
}

/* Law: any cut gives the same, and without a whole call the text is what went in. */
static void random_texts(void **state)
{
    (void)state;
    static const char *const ATOMS[] = {
        "<tool_call>",
        "\n",
        " ",
        "<function=",
        "f",
        ">",
        "<parameter=",
        "s",
        "i",
        "5",
        "</parameter>",
        "</function>",
        "</tool_call>",
        "<",
        "\xff",
        "<tool_call>\n<function=f>\n",
        "\n</parameter>\n",
        "</function>\n</tool_call>",
        "<parameter=s>\n",
    };
    struct rng r;
    const uint64_t seed = 20261124;
    rng_init(&r, seed);
    struct tool_set *tools = tools_of(TOOLS);
    struct buf in = { 0 }, whole = { 0 }, cut = { 0 };
    size_t n_calls = 0, n_texts = 0;
    for (int i = 0; i < 4000; i++) {
        buf_clear(&in);
        buf_append_str(&in, "");
        for (uint64_t n = rng_u64(&r) % 24; n; n--)
            buf_append_str(&in, ATOMS[rng_u64(&r) % ARRAY_LEN(ATOMS)]);
        parse(&whole, tools, buf_span(&in), in.len, 1);
        parse(&cut, tools, buf_span(&in), rng_u64(&r) % (in.len + 1), 1 + rng_u64(&r) % 9);
        if (strcmp(whole.ptr, cut.ptr) != 0)
            fail_msg("seed %llu, text %d:\nwhole %s\ncut   %s", (unsigned long long)seed, i,
                     whole.ptr, cut.ptr);
        bool call = strstr(whole.ptr, "[[") != NULL;
        if (!call && strcmp(whole.ptr, in.ptr) != 0)
            fail_msg("seed %llu, text %d:\nin  %s\nout %s", (unsigned long long)seed, i, in.ptr,
                     whole.ptr);
        n_calls += call;
        n_texts += !call;
    }
    print_message("%zu with calls, %zu without\n", n_calls, n_texts);
    assert_true(n_calls > 10 && n_texts > 1000);
    buf_deinit(&in);
    buf_deinit(&whole);
    buf_deinit(&cut);
    tool_set_destroy(tools);
}

/* ---- the words ------------------------------------------------------------------------------- */

/* The published words by their length and checksum (FNV-1a, 64 bit, of the text whose SHA-256 is
 * c618bf70de036a3337fbf9cfaf7171d7b700d3e116d61b6f4a40511e1ab4e25b). */
static void instructions_are_those_of_the_model(void **state)
{
    (void)state;
#define FORM                                                                                       \
    "<tool_call>\\n<function=x>\\n<parameter=y>\\nv\\n</parameter>\\n</function>\\n</tool_call>"
#define SAID "<tool_call>\n<function=x>\n<parameter=y>\nv\n</parameter>\n</function>\n</tool_call>"
    static const struct {
        const char *template, *want; /* NULL: the published ones */
    } WORDS[] = {
        { "", NULL },
        { "no tools here", NULL },
        { "{{- \"\\n</tools>\" }}\n    {{- '\\n\\nIt\\'s:\\n" FORM "' }}{{ 'x' }}",
          "\n\nIt's:\n" SAID },
        { "{{ '\\n</tools>\\n\\nSo:\\n" FORM "' }}", "\n\nSo:\n" SAID },
        { "{{ '</tools>' }}{{ \"" FORM "\" }}", SAID },
        { "{{ '</tools>\\n{\"name\": ...}' }}", NULL }, /* another form */
        { "{{ '</tools>' }}{{ 'torn " FORM, NULL },
        { "</tools>", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(WORDS); i++) {
        struct buf out = { 0 };
        assert_int_equal(tool_instructions(&out, span_of(WORDS[i].template), &err), KT_OK);
        uint64_t h = 0xCBF29CE484222325u;
        for (size_t k = 0; k < out.len; k++)
            h = (h ^ (unsigned char)out.ptr[k]) * 0x100000001B3u;
        bool published = out.len == 817 && h == 0xE3736834FDC5E18u;
        if (WORDS[i].want ? strcmp(out.ptr, WORDS[i].want) != 0 : !published)
            fail_msg("template %zu: %s: found %s", i, WORDS[i].template, out.ptr);
        buf_deinit(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(definitions_are_spelled_as_python_does),
        cmocka_unit_test(bad_definitions_are_named),
        cmocka_unit_test(calls_are_written_as_the_template_does),
        cmocka_unit_test(every_cut_gives_the_same),
        cmocka_unit_test(without_definitions),
        cmocka_unit_test(long_calls),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(random_texts),
        cmocka_unit_test(instructions_are_those_of_the_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
