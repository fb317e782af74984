/* What: JSON Schema as a grammar. What the grammar accepts satisfies the schema, what does not is not accepted; what
 * cannot be held is refused with place and keyword; hostile schemas end in bounded time and memory. How: tables of a
 * schema, texts that are accepted and texts that are not; the official suite is tests/golden/test_schema_suite.c, and
 * comparing with another validator tests/e2e/test_schema_sampled.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/size.h"
#include "base/span.h"
#include "kontor/chat.h"
#include "kontor/schema.h"

static struct kt_grammar *grammar_of(const char *schema, const struct kt_schema_options *o)
{
    struct kt_grammar *g;
    struct kt_error err;
    if (kt_grammar_from_schema(&g, schema, strlen(schema), o, &err))
        fail_msg("%s: %s", schema, err.text);
    return g;
}

static bool accepts(const struct kt_grammar *g, const char *text)
{
    enum kt_grammar_match m;
    struct kt_error err;
    if (kt_grammar_match(g, text, strlen(text), &m, &err))
        fail_msg("%s: %s", text, err.text);
    return m == KT_GRAMMAR_WHOLE;
}

/* 'yes' and 'no': texts, parted by line ends. */
static void check_texts(const struct kt_grammar *g, const char *schema, const char *texts,
                        bool wanted)
{
    char line[512];
    for (const char *p = texts; *p;) {
        size_t n = strcspn(p, "\n");
        assert_true(n < sizeof(line));
        memcpy(line, p, n);
        line[n] = '\0';
        if (accepts(g, line) != wanted)
            fail_msg("%s: %s is %saccepted", schema, line, wanted ? "not " : "");
        p += n + (p[n] == '\n');
    }
}

struct accepted {
    const char *schema, *yes, *no;
};

static void check_all(const struct accepted *cases, size_t n, const struct kt_schema_options *o)
{
    for (size_t i = 0; i < n; i++) {
        struct kt_grammar *g = grammar_of(cases[i].schema, o);
        check_texts(g, cases[i].schema, cases[i].yes, true);
        check_texts(g, cases[i].schema, cases[i].no, false);
        kt_grammar_destroy(g);
    }
}

static void test_numbers(void **state)
{
    static const struct accepted CASES[] = {
        { "{\"type\":\"integer\"}", "0\n-1\n123456789012345678", "1.0\n01\n-0\n1e3\n\"1\"" },
        { "{\"type\":\"integer\",\"minimum\":-5,\"maximum\":120}", "-5\n-1\n0\n7\n99\n120",
          "-6\n-10\n121\n130\n1000" },
        { "{\"type\":\"integer\",\"exclusiveMinimum\":9,\"exclusiveMaximum\":11}", "10",
          "9\n11\n1\n100" },
        { "{\"type\":\"number\",\"minimum\":0.5,\"exclusiveMaximum\":2}",
          "0.5\n1\n1.0\n1.99999\n0.50", "0.4999\n2\n2.0\n-1\n0\n1e0" },
        { "{\"type\":\"number\",\"maximum\":-1.25}", "-1.25\n-2\n-10.5\n-1.250",
          "-1.24\n0\n-1\n1" },
        { "{\"type\":\"number\",\"multipleOf\":0.01}", "0\n0.01\n12.30\n5\n-0.07", "0.001\n1.999" },
        { "{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":1}", "7\n14\n70\n700\n7007",
          "0\n1\n-7\n15" },
        { "{\"type\":\"number\",\"not\":{\"type\":\"integer\"}}", "0.5\n-3.25", "1\n1.0\n0" },
        { "{\"type\":\"integer\",\"not\":{\"const\":3}}", "2\n4\n33\n-3", "3" },
        { "{\"format\":\"int32\",\"type\":\"integer\"}", "2147483647\n-2147483648",
          "2147483648\n-2147483649" },
        { "{\"type\":\"number\"}", "1\n-1.5\n1e9\n0.25\n1E-3", "01\n.5\n1.\n+1\nNaN" },
        { "{\"minimum\":1e2,\"type\":\"integer\"}", "100\n101", "99\n2" },
    };
    (void)state;
    check_all(CASES, ARRAY_LEN(CASES), NULL);
}

static void test_strings(void **state)
{
    static const struct accepted CASES[] = {
        { "{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
          "\"ab\"\n\"\xC3\xA4\xC3\xB6\"\n\"\\n\\\"\"\n\"\xF0\x9F\x98\x80x\"\n\"\\ud83d\\ude00x\"",
          "\"a\"\n\"abcd\"\n\"\\ud83d\\ude00\"\nab" },
        { "{\"type\":\"string\",\"pattern\":\"^[a-z]{2,3}$\"}", "\"ab\"\n\"abc\"",
          "\"a\"\n\"abcd\"\n\"AB\"" },
        { "{\"type\":\"string\",\"pattern\":\"b+\"}", "\"b\"\n\"abba\"\n\"xb\"", "\"\"\n\"a\"" },
        { "{\"type\":\"string\",\"pattern\":\"^a|b$\"}", "\"a\"\n\"ax\"\n\"xb\"",
          "\"xa\"\n\"bx\"" },
        { "{\"type\":\"string\",\"pattern\":\"^(?=.*[0-9])(?!.*--)[a-z0-9-]{4,}$\"}",
          "\"ab-1\"\n\"0000\"", "\"abcd\"\n\"a--1\"\n\"a1\"" },
        { "{\"type\":\"string\",\"pattern\":\"^\\\"\\\\\\\\$\"}", "\"\\\"\\\\\"", "\"\\\"\"" },
        { "{\"type\":\"string\",\"pattern\":\"^\\\\p{Lu}\"}", "\"\xC3\x84x\"\n\"A\"",
          "\"a\"\n\"1\"" },
        { "{\"type\":\"string\",\"pattern\":\"^x*$\",\"minLength\":3,\"maxLength\":1000000}",
          "\"xxx\"", "\"xx\"\n\"xxxy\"" },
        { "{\"enum\":[\"a\",\"b\\\"\",\"\xC3\xA4\"]}", "\"a\"\n\"b\\\"\"\n\"\xC3\xA4\"",
          "\"b\"\n\"c\"" },
        { "{\"type\":\"string\",\"not\":{\"enum\":[\"a\",\"ab\"]}}", "\"\"\n\"b\"\n\"abc\"",
          "\"a\"\n\"ab\"" },
        { "{\"enum\":[\"a\",\"bb\",1],\"minLength\":2}", "\"bb\"\n1", "\"a\"" },
        { "{\"type\":\"string\",\"format\":\"date\"}", "\"2024-02-29\"\n\"1999-12-31\"",
          "\"2023-02-29\"\n\"1900-02-29\"\n\"2024-13-01\"\n\"2024-1-1\"" },
        { "{\"type\":\"string\",\"format\":\"uuid\"}", "\"123e4567-e89b-12d3-a456-426614174000\"",
          "\"123e4567e89b12d3a456426614174000\"" },
        { "{\"type\":\"string\",\"format\":\"ipv4\"}", "\"192.168.0.255\"\n\"0.0.0.0\"",
          "\"256.1.1.1\"\n\"1.1.1\"" },
        { "{\"type\":\"string\",\"format\":\"email\"}", "\"a.b@example.de\"",
          "\"a.b@\"\n\"@b.de\"\n\"a@b..de\"" },
        { "{\"type\":\"string\",\"format\":\"what nobody knows\"}", "\"x\"", "1" },
    };
    (void)state;
    check_all(CASES, ARRAY_LEN(CASES), NULL);
}

static void test_objects(void **state)
{
    static const struct accepted CASES[] = {
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":"
          "\"boolean\"}},"
          "\"required\":[\"a\"],\"additionalProperties\":false}",
          "{\"a\":1}\n{\"a\": 1, \"b\": true}\n{\"a\":1,\"b\":false}",
          "{}\n{\"b\":true}\n{\"b\":true,\"a\":1}\n{\"a\":1,\"c\":2}\n{\"a\":1,}\n{\"a\":1,\"a\":1}"
          "\n{\"a\":  1}" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}",
          "{}\n{\"a\":1}\n{\"a\":1,\"x\":\"y\"}\n{\"x\":null,\"ab\":[]}",
          "{\"a\":\"1\"}\n{\"x\":1,\"a\":2}" },
        { "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"integer\"},\"maxProperties\":"
          "2}",
          "{}\n{\"x\":1}\n{\"x\":1,\"y\":2}", "{\"x\":\"1\"}\n{\"x\":1,\"y\":2,\"z\":3}" },
        { "{\"type\":\"object\",\"patternProperties\":{\"^n\":{\"type\":\"integer\"},\"s$\":{"
          "\"type\":\"string\"}},"
          "\"additionalProperties\":false}",
          "{\"n\":1}\n{\"xs\":\"\"}\n{}",
          "{\"n\":\"\"}\n{\"xs\":1}\n{\"q\":1}\n{\"ns\":1}\n{\"ns\":\"\"}" },
        { "{\"type\":\"object\",\"propertyNames\":{\"pattern\":\"^[a-z]+$\"}}", "{\"ab\":1}",
          "{\"A\":1}" },
        { "{\"type\":\"object\",\"properties\":{\"a\":true,\"b\":true,\"c\":true},"
          "\"minProperties\":2,"
          "\"maxProperties\":2,\"additionalProperties\":false}",
          "{\"a\":1,\"b\":2}\n{\"b\":1,\"c\":2}\n{\"a\":1,\"c\":2}",
          "{\"a\":1}\n{}\n{\"a\":1,\"b\":2,\"c\":3}" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":"
          "\"integer\"}},"
          "\"dependentRequired\":{\"a\":[\"b\"]},\"additionalProperties\":false}",
          "{}\n{\"b\":1}\n{\"a\":1,\"b\":1}", "{\"a\":1}" },
        { "{\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},"
          "{\"properties\":{\"b\":{\"type\":\"string\"},\"a\":{\"minimum\":3}}}],\"type\":"
          "\"object\","
          "\"unevaluatedProperties\":false}",
          "{\"a\":3}\n{\"a\":4,\"b\":\"\"}", "{\"a\":2}\n{\"a\":3,\"c\":1}\n{}" },
        { "{\"$ref\":\"#/$defs/"
          "node\",\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"v\":"
          "{\"type\":\"integer\"},\"next\":{\"$ref\":\"#/$defs/node\"}},\"required\":[\"v\"],"
          "\"additionalProperties\":false}}}",
          "{\"v\":1}\n{\"v\":1,\"next\":{\"v\":2,\"next\":{\"v\":3}}}",
          "{\"next\":{\"v\":1}}\n{\"v\":1,\"next\":{}}" },
    };
    (void)state;
    check_all(CASES, ARRAY_LEN(CASES), NULL);
}

static void test_arrays(void **state)
{
    static const struct accepted CASES[] = {
        { "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"minItems\":1,\"maxItems\":3}",
          "[1]\n[1,2]\n[1, 2, 3]", "[]\n[1,2,3,4]\n[1,]\n[\"1\"]" },
        { "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],"
          "\"items\":false}",
          "[]\n[1]\n[1,\"a\"]", "[\"a\"]\n[1,2]\n[1,\"a\",3]" },
        { "{\"type\":\"array\",\"items\":{\"enum\":[1,2,3]},\"contains\":{\"const\":2},"
          "\"maxItems\":3}",
          "[2]\n[1,2]\n[2,2,2]\n[1,3,2]", "[]\n[1]\n[1,1,1]\n[1,1,1,2]" },
        { "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"contains\":{\"minimum\":5},"
          "\"minContains\":1,"
          "\"maxContains\":2}",
          "[5]\n[1,6,2]\n[5,5]", "[]\n[1]\n[5,6,7]" },
        { "{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"b\",\"c\"]},\"uniqueItems\":true,"
          "\"minItems\":1}",
          "[\"a\"]\n[\"c\",\"a\"]\n[\"b\",\"a\",\"c\"]", "[]\n[\"a\",\"a\"]\n[\"a\",\"b\",\"a\"]" },
        { "{\"type\":\"array\",\"items\":{\"enum\":[1,2,3,4,5,6,7,8]},\"uniqueItems\":true}",
          "[]\n[1,8]\n[1,2,3,4,5,6,7,8]", "[1,1]\n[8,1]" },
        { "{\"type\":\"array\",\"items\":{},\"uniqueItems\":true,\"maxItems\":1}", "[]\n[1]",
          "[1,1]" },
        { "{\"type\":\"array\",\"not\":{\"const\":[]}}", "[1]", "[]" },
        { "{\"type\":\"array\",\"items\":[{\"type\":\"integer\"}],\"additionalItems\":false}",
          "[]\n[1]", "[1,2]\n[\"a\"]" },
    };
    (void)state;
    check_all(CASES, ARRAY_LEN(CASES), NULL);
}

static void test_combining(void **state)
{
    static const struct accepted CASES[] = {
        { "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\",\"maxLength\":1}]}",
          "1\n\"a\"\n\"\"", "\"ab\"\nnull" },
        { "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\",\"minimum\":2}]}", "1\n2.5",
          "2\n3\n1.5" },
        { "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"a\"},\"x\":{"
          "\"type\":\"integer\"}},"
          "\"required\":[\"k\",\"x\"],\"additionalProperties\":false},{\"type\":\"object\","
          "\"properties\":{\"k\":"
          "{\"const\":\"b\"},\"y\":{\"type\":\"string\"}},\"required\":[\"k\",\"y\"],"
          "\"additionalProperties\":false}]}",
          "{\"k\":\"a\",\"x\":1}\n{\"k\":\"b\",\"y\":\"\"}",
          "{\"k\":\"a\",\"y\":\"\"}\n{\"k\":\"b\",\"x\":1}" },
        { "{\"type\":\"object\",\"properties\":{\"c\":{\"enum\":[\"de\",\"us\"]},\"z\":{\"type\":"
          "\"string\"}},"
          "\"required\":[\"c\",\"z\"],\"additionalProperties\":false,\"if\":{\"properties\":{\"c\":"
          "{\"const\":\"de\"}}},"
          "\"then\":{\"properties\":{\"z\":{\"pattern\":\"^[0-9]{5}$\"}}},\"else\":{\"properties\":"
          "{\"z\":"
          "{\"pattern\":\"^[A-Z]\"}}}}",
          "{\"c\":\"de\",\"z\":\"12345\"}\n{\"c\":\"us\",\"z\":\"AB\"}",
          "{\"c\":\"de\",\"z\":\"AB\"}\n{\"c\":\"us\",\"z\":\"12345\"}" },
        { "{\"type\":\"object\",\"not\":{\"properties\":{\"a\":{}},\"additionalProperties\":false}"
          "}",
          "{\"b\":1}\n{\"a\":1,\"b\":1}\n{\"x\":1,\"y\":2}", "{}\n{\"a\":1}" },
        { "{\"type\":\"object\",\"properties\":{\"n1\":{}},\"additionalProperties\":false,"
          "\"not\":{\"patternProperties\":{\"^n\":{\"type\":\"integer\"}}}}",
          "{\"n1\":\"x\"}", "{}\n{\"n1\":1}" },
        { "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},"
          "\"additionalProperties\":false},"
          "{\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"integer\"}},"
          "\"additionalProperties\":false}]}",
          "{\"a\":1}\n{\"b\":1}", "{}\n{\"a\":1,\"b\":1}\n{\"c\":1}" },
        { "{\"type\":\"object\",\"not\":{\"propertyNames\":{\"maxLength\":2}}}",
          "{\"abc\":1}\n{\"a\":1,\"abc\":1}", "{}\n{\"ab\":1}" },
        { "{\"not\":{\"type\":[\"object\",\"array\",\"string\"]}}", "1\nnull\ntrue",
          "\"\"\n{}\n[]" },
        { "{\"type\":\"string\",\"nullable\":true}", "\"\"\nnull", "1" },
        { "{\"type\":\"boolean\",\"not\":{\"const\":true}}", "false", "true" },
        { "{\"oneOf\":[{\"const\":\"a\",\"title\":\"A\"},{\"const\":\"b\"}]}", "\"a\"\n\"b\"",
          "\"c\"" },
        { "{\"const\":{\"b\":[1.0,{}],\"a\":null}}",
          "{\"b\":[1,{}],\"a\":null}\n{\"b\": [1, {}], \"a\": null}",
          "{\"a\":null,\"b\":[1,{}]}\n{}" },
        { "true", "1\n\"x\"\n{\"a\":[{}]}\n[[],{}]", "\n{a:1}\n[1" },
    };
    (void)state;
    check_all(CASES, ARRAY_LEN(CASES), NULL);
}

static void test_options(void **state)
{
    static const struct accepted STRICT[] = {
        { "{\"type\":\"object\",\"properties\":{\"a\":{}}}", "{}\n{\"a\":1}",
          "{\"b\":1}\n{\"a\":1,\"b\":1}" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{}},\"additionalProperties\":{\"type\":"
          "\"null\"}}",
          "{\"a\":1,\"b\":null}", "{\"b\":1}" },
        { "{\"type\":\"object\"}", "{\"b\":1}", "[]" },
        { "{\"allOf\":[{\"properties\":{\"a\":{}}},{\"properties\":{\"b\":{}}}],\"type\":"
          "\"object\"}",
          "{\"a\":1,\"b\":2}", "{\"c\":1}" },
    };
    static const struct accepted NONE[] = { { "{\"const\":{\"a\":[1,2]}}", "{\"a\":[1,2]}",
                                              "{\"a\": [1,2]}" } };
    static const struct accepted ONE[] = { { "{\"const\":{\"a\":[1,2]}}",
                                             "{\"a\": [1, 2]}\n{\"a\":[1,2]}", "{ \"a\":[1,2]}" } };
    (void)state;
    check_all(STRICT, ARRAY_LEN(STRICT), &(struct kt_schema_options){ .strict = true });
    check_all(NONE, ARRAY_LEN(NONE), &(struct kt_schema_options){ .space = KT_SCHEMA_SPACE_NONE });
    check_all(ONE, ARRAY_LEN(ONE), NULL);
    struct kt_grammar *g = grammar_of(
        "{\"const\":{\"a\":[1,2]}}", &(struct kt_schema_options){ .space = KT_SCHEMA_SPACE_LINES });
    assert_true(accepts(g, "{\n  \"a\": [\n    1,\n    2\n  ]\n}"));
    assert_true(accepts(g, "{\"a\": [1, 2]}"));
    assert_false(accepts(g, "{\n\n\"a\": [1, 2]}"));
    kt_grammar_destroy(g);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *schema;
        enum kt_status st;
        const char *says;
    } CASES[] = {
        { "", KT_E_FORMAT, "not JSON" },
        { "{\"a\":1,\"a\":2}", KT_E_FORMAT, "/a: the key is there twice" },
        { "{\"type\":\"text\"}", KT_E_FORMAT, "/type: expected null, boolean" },
        { "{} {}", KT_E_FORMAT, "something follows" },
        { "{\"a\":\"\xFF\"}", KT_E_FORMAT, "UTF-8" },
        { "[]", KT_E_FORMAT, "a schema is an object" },
        { "{\"properties\":{\"a\":{\"minLength\":-1}}}", KT_E_FORMAT,
          "/properties/a/minLength: expected" },
        { "{\"$ref\":\"#/$defs/x\"}", KT_E_FORMAT, "/$ref: there is nothing" },
        { "{\"$ref\":\"https://example.com/s\"}", KT_E_UNSUPPORTED,
          "/$ref: it refers to another document" },
        { "{\"$ref\":\"#\"}", KT_E_UNSUPPORTED, "refers to itself" },
        { "{\"allOf\":[{\"$ref\":\"#/$defs/a\"}],\"$defs\":{\"a\":{\"anyOf\":[{\"$ref\":\"#/$defs/"
          "a\"}]}}}",
          KT_E_UNSUPPORTED, "refers to itself" },
        { "{\"type\":\"array\",\"uniqueItems\":true}", KT_E_UNSUPPORTED,
          "/uniqueItems: it can be held where" },
        { "{\"type\":\"string\",\"pattern\":\"(a)\\\\1\"}", KT_E_UNSUPPORTED,
          "/pattern: character 6" },
        { "{\"type\":\"string\",\"pattern\":\"(a\"}", KT_E_FORMAT, "no closing )" },
        { "{\"type\":\"string\",\"pattern\":\"\\\\bx\"}", KT_E_UNSUPPORTED, "word's edge" },
        { "{\"type\":\"string\",\"format\":\"regex\"}", KT_E_UNSUPPORTED, "/format" },
        { "{\"$dynamicRef\":\"#a\"}", KT_E_UNSUPPORTED, "/$dynamicRef" },
        { "{\"type\":\"object\",\"minProperties\":2}", KT_E_UNSUPPORTED, "/minProperties" },
        { "{\"type\":\"integer\",\"minimum\":2,\"maximum\":1}", KT_E_USAGE, "nothing satisfies" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}",
          KT_E_USAGE, "nothing satisfies" },
        { "{\"type\":\"integer\",\"multipleOf\":123457}", KT_E_LIMIT, "/multipleOf" },
        { "{\"type\":\"string\",\"pattern\":\"^(a|b){9999}c$\"}", KT_E_LIMIT, "" },
        { "{\"type\":\"string\",\"pattern\":\"(a{1000}){1000}\"}", KT_E_LIMIT, "/pattern" },
        { "{\"type\":\"number\",\"minimum\":1e999}", KT_E_LIMIT, "doubles" },
        { "{\"not\":{\"properties\":{\"a\":{\"unevaluatedItems\":false}}}}", KT_E_UNSUPPORTED,
          "/not/properties/a/unevaluatedItems: its opposite" },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct kt_error err = { 0 };
        struct kt_grammar *g;
        enum kt_status st =
            kt_grammar_from_schema(&g, CASES[i].schema, strlen(CASES[i].schema), NULL, &err);
        if (st != CASES[i].st || !strstr(err.text, CASES[i].says))
            fail_msg("%s: expected %s with '%s', found %s: %s", CASES[i].schema,
                     kt_status_name(CASES[i].st), CASES[i].says, kt_status_name(st), err.text);
        assert_null(g);
    }
}

/* n times 'part', with its % replaced by the number, in between. */
static char *many(const char *before, const char *part, size_t n, const char *after)
{
    struct buf b = { 0 };
    buf_append_str(&b, before);
    for (size_t i = 0; i < n; i++) {
        for (const char *p = part; *p; p++) {
            if (*p == '%')
                buf_printf(&b, "%zu", i);
            else
                buf_append_char(&b, *p);
        }
        if (i + 1 < n)
            buf_append_char(&b, ',');
    }
    buf_append_str(&b, after);
    assert_false(b.failed);
    return buf_take(&b);
}

static void test_large(void **state)
{
    static const struct {
        const char *before, *part, *after;
        size_t n;
        bool fits;
    } CASES[] = {
        { "{\"enum\":[", "\"value %\"", "]}", 5000, true },
        { "{\"type\":\"object\",\"properties\":{", "\"p%\":{\"type\":\"string\"}",
          "},\"additionalProperties\":false}", 2000, true },
        { "{\"type\":\"object\",\"properties\":{", "\"p%\":{\"type\":\"string\"}", "}}", 400,
          true },
        { "{\"oneOf\":[", "{\"const\":\"c%\"}", "]}", 1000, true },
        { "{\"oneOf\":[",
          "{\"type\":\"object\",\"properties\":{\"k\":{\"const\":%}},\"required\":[\"k\"]}", "]}",
          60, true },
        { "{\"$defs\":{", "\"d%\":{\"properties\":{\"x\":{\"$ref\":\"#/$defs/d%\"}}}",
          "},\"$ref\":\"#/$defs/d1\"}", 3000, true },
        { "{\"allOf\":[", "{\"anyOf\":[{\"minimum\":%},{\"maximum\":-%},{\"multipleOf\":3}]}", "]}",
          12, false },
        { "{\"allOf\":[", "{\"not\":{\"properties\":{\"a%\":{\"const\":1},\"b%\":{\"const\":1}}}}",
          "]}", 14, false },
        { "{\"enum\":[", "\"value %\"", "]}", 200000, false },
        { "{\"patternProperties\":{", "\"a.{%}b\":{\"type\":\"integer\"}", "}}", 40, false },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        char *schema = many(CASES[i].before, CASES[i].part, CASES[i].n, CASES[i].after);
        struct kt_grammar *g;
        struct kt_error err;
        enum kt_status st = kt_grammar_from_schema(&g, schema, strlen(schema), NULL, &err);
        if (st != (CASES[i].fits ? KT_OK : KT_E_LIMIT))
            fail_msg("%s...: %s", CASES[i].before, st ? err.text : "accepted");
        kt_grammar_destroy(g);
        free(schema);
    }
    char *deep = many("", "[", 100000, "");
    struct kt_grammar *g;
    struct kt_error err;
    assert_int_equal(kt_grammar_from_schema(&g, deep, strlen(deep), NULL, &err), KT_E_FORMAT);
    for (char *p = deep; *p; p++)
        *p = '[';
    assert_int_equal(kt_grammar_from_schema(&g, deep, strlen(deep), NULL, &err), KT_E_LIMIT);
    free(deep);
}

/* The text is for people, too. */
static void test_text(void **state)
{
    static const char SCHEMA[] =
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":80},"
        "\"age\":{\"type\":\"integer\",\"minimum\":0}},\"required\":[\"name\"],"
        "\"additionalProperties\":false}";
    static const char WANTED[] = "root ::= \"{\\\"name\\\":\" \" \"? name (\",\" \" \"? "
                                 "\"\\\"age\\\":\" \" \"? age)? \"}\"\n";
    (void)state;
    char *text;
    size_t len;
    struct kt_error err;
    assert_int_equal(kt_schema_to_grammar(&text, &len, SCHEMA, strlen(SCHEMA), NULL, &err), KT_OK);
    assert_int_equal(len, strlen(text));
    if (strncmp(text, WANTED, strlen(WANTED)) != 0)
        fail_msg("expected %sfound %s", WANTED, text);
    free(text);
}

/* ---- tools --------------------------------------------------------------------------------------- */

static const char TOOLS[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"find\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{"
    "\"text\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":20},"
    "\"all\":{\"type\":\"boolean\"},\"kind\":{\"enum\":[\"file\",\"null\"]},\"who\":{\"type\":["
    "\"string\",\"null\"]},"
    "\"at\":{\"$ref\":\"#/$defs/"
    "p\"},\"any\":{}},\"required\":[\"text\"],\"$defs\":{\"p\":{\"type\":\"object\","
    "\"properties\":{\"x\":{\"type\":\"number\"}},\"required\":[\"x\"],\"additionalProperties\":"
    "false}}}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"now\"}}]";

#define FIND(arguments) "<tool_call>\n<function=find>\n" arguments "</function>\n</tool_call>"
#define ARG(key, value) "<parameter=" key ">\n" value "\n</parameter>\n"

static void test_tools(void **state)
{
    static const struct {
        const char *text;
        bool wanted;
        const char *arguments; /* as they are read back */
    } CASES[] = {
        { FIND(ARG("text", "a <b>\n\n\"c\"")), true, "{\"text\": \"a <b>\\n\\n\\\"c\\\"\"}" },
        { FIND(ARG("text", "")), true, "{\"text\": \"\"}" },
        { FIND(ARG("text", "x") ARG("n", "20") ARG("all", "True")), true,
          "{\"text\": \"x\", \"n\": 20, \"all\": true}" },
        { FIND(ARG("text", "true") ARG("kind", "null") ARG("who", "None") ARG("at", "{\"x\": 1.5}")
                   ARG("any", "12")),
          true,
          "{\"text\": \"true\", \"kind\": \"null\", \"who\": null, \"at\": {\"x\": 1.5}, \"any\": "
          "\"12\"}" },
        { FIND(ARG("text", "x") ARG("who", "Ada")), true, "{\"text\": \"x\", \"who\": \"Ada\"}" },
        { "<tool_call>\n<function=now>\n</function>\n</tool_call>", true, "{}" },
        { FIND(""), false, NULL },
        { FIND(ARG("n", "3")), false, NULL },
        { FIND(ARG("text", "x") ARG("n", "21")), false, NULL },
        { FIND(ARG("text", "x") ARG("n", "\"3\"")), false, NULL },
        { FIND(ARG("n", "3") ARG("text", "x")), false, NULL },
        { FIND(ARG("text", "x") ARG("text", "y")), false, NULL },
        { FIND(ARG("text", "x\n</parameter>")), false, NULL },
        { FIND(ARG("text", "</parameter>")), false, NULL },
        { FIND(ARG("text", "x") ARG("who", " NULL")), false, NULL },
        { FIND(ARG("text", "x") ARG("at", "{\"x\": \"1\"}")), false, NULL },
        { FIND(ARG("text", "x") ARG("other", "1")), false, NULL },
        { "<tool_call>\n<function=later>\n</function>\n</tool_call>", false, NULL },
        { "", false, NULL },
    };
    (void)state;
    struct kt_grammar *g;
    struct kt_error err;
    assert_int_equal(kt_grammar_from_tools(&g, TOOLS, strlen(TOOLS), NULL, &err), KT_OK);
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        if (accepts(g, CASES[i].text) != CASES[i].wanted)
            fail_msg("%s is %saccepted", CASES[i].text, CASES[i].wanted ? "not " : "");
        if (!CASES[i].wanted)
            continue;
        struct kt_chat_options o = { .tools = TOOLS, .tools_len = strlen(TOOLS) };
        struct kt_reply_parser *p;
        const struct kt_reply *r;
        assert_int_equal(kt_reply_parser_create(&p, &o, false, NULL, &err), KT_OK);
        assert_int_equal(kt_reply_parser_push(p, CASES[i].text, strlen(CASES[i].text), &err),
                         KT_OK);
        assert_int_equal(kt_reply_parser_finish(p, &r, &err), KT_OK);
        assert_int_equal(r->n_calls, 1);
        assert_string_equal(r->calls[0].arguments, CASES[i].arguments);
        kt_reply_parser_destroy(p);
    }
    kt_grammar_destroy(g);
}

#define NOW "<tool_call>\n<function=now>\n</function>\n</tool_call>"

static void test_tool_options(void **state)
{
    static const struct {
        struct kt_tools_options o;
        const char *text;
        bool wanted;
    } CASES[] = {
        { { 0 }, NOW "\n" NOW, true },
        { { 0 }, NOW NOW, false },
        { { .n_calls_max = 1 }, NOW "\n" NOW, false },
        { { .n_calls_max = 2 }, NOW "\n" NOW, true },
        { { .n_calls_max = 2 }, NOW "\n" NOW "\n" NOW, false },
        { { .name = "find" }, NOW, false },
        { { .name = "now" }, NOW, true },
        { { .name = "now" }, FIND(ARG("text", "x")), false },
        { { .after_mark = true }, "\n<function=now>\n</function>\n</tool_call>", true },
        { { .after_mark = true }, NOW, false },
        { { .optional = true }, "Just text, <tool> and <tool_cal.", true },
        { { .optional = true }, "", true },
        { { .optional = true }, "Let me look.\n\n" NOW, true },
        { { .optional = true }, "Let me look.\n\n<tool_call>\n<function=never>", false },
        { { .optional = true }, NOW " and text", false },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct kt_grammar *g;
        struct kt_error err;
        if (kt_grammar_from_tools(&g, TOOLS, strlen(TOOLS), &CASES[i].o, &err))
            fail_msg("case %zu: %s", i, err.text);
        if (accepts(g, CASES[i].text) != CASES[i].wanted)
            fail_msg("case %zu: %s is %saccepted", i, CASES[i].text, CASES[i].wanted ? "not " : "");
        kt_grammar_destroy(g);
    }
    struct kt_grammar *g;
    struct kt_error err;
    struct kt_tools_options o = { .name = "nobody" };
    assert_int_equal(kt_grammar_from_tools(&g, TOOLS, strlen(TOOLS), &o, &err), KT_E_NOTFOUND);
    assert_int_equal(kt_grammar_from_tools(&g, "[]", 2, NULL, &err), KT_E_USAGE);
    assert_int_equal(kt_grammar_from_tools(&g, "{}", 2, NULL, &err), KT_E_FORMAT);
    assert_int_equal(kt_grammar_from_tools(&g, "[{}]", 4, NULL, &err), KT_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),      cmocka_unit_test(test_strings),
        cmocka_unit_test(test_objects),      cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_combining),    cmocka_unit_test(test_options),
        cmocka_unit_test(test_refusals),     cmocka_unit_test(test_large),
        cmocka_unit_test(test_text),         cmocka_unit_test(test_tools),
        cmocka_unit_test(test_tool_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
