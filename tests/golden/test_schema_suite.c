/* What: the official tests of JSON Schema, draft 2020-12. Of every schema that is taken, no invalid instance is accepted,
 * and every valid one is that is not left out on purpose. How: instances are written as a model would (properties in
 * declared order, whole numbers without fraction) and matched with the schema's grammar. What is refused and what is
 * left out is compared with tests/golden/schema_suite.txt, line by line; --print writes that file's lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/files.h"
#include "base/size.h"
#include "base/span.h"
#include "kontor/schema.h"

/* bignum and float-overflow hold numbers that jansson does not read. */
static const char *const FILES[] = {
    "additionalProperties",
    "allOf",
    "anchor",
    "anyOf",
    "boolean_schema",
    "const",
    "contains",
    "content",
    "default",
    "defs",
    "dependentRequired",
    "dependentSchemas",
    "dynamicRef",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "if-then-else",
    "infinite-loop-detection",
    "items",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "ref",
    "refRemote",
    "required",
    "type",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
    "vocabulary",
    "optional/anchor",
    "optional/cross-draft",
    "optional/dependencies-compatibility",
    "optional/dynamicRef",
    "optional/ecmascript-regex",
    "optional/format-assertion",
    "optional/id",
    "optional/no-schema",
    "optional/non-bmp-regex",
    "optional/refOfUnknownKeyword",
    "optional/unknownKeyword",
    "optional/format/date-time",
    "optional/format/date",
    "optional/format/duration",
    "optional/format/ecmascript-regex",
    "optional/format/email",
    "optional/format/hostname",
    "optional/format/idn-email",
    "optional/format/idn-hostname",
    "optional/format/ipv4",
    "optional/format/ipv6",
    "optional/format/iri-reference",
    "optional/format/iri",
    "optional/format/json-pointer",
    "optional/format/regex",
    "optional/format/relative-json-pointer",
    "optional/format/time",
    "optional/format/unknown",
    "optional/format/uri-reference",
    "optional/format/uri-template",
    "optional/format/uri",
    "optional/format/uuid",
};

static struct {
    struct buf report;
    size_t n_groups, n_refused, n_valid, n_left_out, n_invalid, n_wrong;
} tally;

/* ---- instances, written as models write ---------------------------------------------------------- */

/* Every name under any "properties" of the schema, in the order in which they stand there. */
static void declared(json_t *names, const json_t *schema)
{
    const char *key;
    json_t *v;
    size_t i;
    json_t *properties = json_object_get(schema, "properties");
    json_object_foreach(properties, key, v) json_object_set(names, key, json_true());
    json_object_foreach((json_t *)(uintptr_t)schema, key, v) declared(names, v);
    json_array_foreach(schema, i, v) declared(names, v);
}

static void write_value(struct buf *out, const json_t *v, json_t *names);

static void write_member(struct buf *out, const char *key, const json_t *v, json_t *names)
{
    json_t *name = json_string(key);
    buf_append_str(out, out->ptr[out->len - 1] == '{' ? "" : ", ");
    write_value(out, name, names);
    buf_append_str(out, ": ");
    write_value(out, v, names);
    json_decref(name);
}

static void write_value(struct buf *out, const json_t *v, json_t *names)
{
    const char *key;
    json_t *item;
    size_t i;
    double real = json_real_value(v);
    if (json_is_object(v)) {
        buf_append_str(out, "{");
        json_object_foreach(names, key, item)
        {
            if (json_object_get(v, key))
                write_member(out, key, json_object_get(v, key), names);
        }
        json_object_foreach((json_t *)(uintptr_t)v, key, item)
        {
            if (!json_object_get(names, key))
                write_member(out, key, item, names);
        }
        buf_append_str(out, "}");
    } else if (json_is_array(v)) {
        buf_append_str(out, "[");
        json_array_foreach(v, i, item)
        {
            buf_append_str(out, i ? ", " : "");
            write_value(out, item, names);
        }
        buf_append_str(out, "]");
    } else if (json_is_real(v) && real == floor(real) && fabs(real) < 1e15) {
        buf_printf(out, "%.0f", real);
    } else {
        char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
        for (char *p = text; *p; p++) /* \u001F is written with small letters */
            *p = p > text + 5 && p[-5] == '\\' && p[-4] == 'u' && *p >= 'A' && *p <= 'F'
                     ? (char)(*p + 32)
                     : *p;
        buf_append_str(out, text);
        free(text);
    }
}

/* ---- one group ------------------------------------------------------------------------------------ */

/* 'place' is file/group/test, as numbers: /g/t of the file's arrays. */
static void check_instance(const struct kt_grammar *g, const char *place, const json_t *test,
                           json_t *names)
{
    struct buf text = { 0 };
    enum kt_grammar_match m;
    struct kt_error err;
    write_value(&text, json_object_get(test, "data"), names);
    assert_false(text.failed);
    if (kt_grammar_match(g, text.ptr, text.len, &m, &err))
        fail_msg("%s: %s", place, err.text);
    bool valid = json_is_true(json_object_get(test, "valid")), accepted = m == KT_GRAMMAR_WHOLE;
    tally.n_valid += valid;
    tally.n_invalid += !valid;
    if (valid && !accepted) {
        tally.n_left_out++;
        buf_printf(&tally.report, "left out %s\n", place);
    }
    if (!valid && accepted) {
        tally.n_wrong++;
        print_error("%s: an invalid instance is accepted: %s\n", place, text.ptr);
    }
    buf_deinit(&text);
}

static void check_group(const char *file, size_t idx, const json_t *group)
{
    json_t *schema = json_object_get(group, "schema"), *names = json_object(), *test;
    char *text = json_dumps(schema, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)), place[128];
    struct kt_grammar *g;
    struct kt_error err;
    size_t i;
    bool any_valid = false;
    declared(names, schema);
    json_array_foreach(json_object_get(group, "tests"), i, test) any_valid =
        any_valid || json_is_true(json_object_get(test, "valid"));
    enum kt_status st = kt_grammar_from_schema(&g, text, strlen(text), NULL, &err);
    tally.n_groups++;
    if (st == KT_E_USAGE && !any_valid) { /* nothing is accepted at all */
        tally.n_invalid += json_array_size(json_object_get(group, "tests"));
    } else if (st) {
        tally.n_refused++;
        buf_printf(&tally.report, "refused %s/%zu %s\n", file, idx, err.text);
    } else {
        json_array_foreach(json_object_get(group, "tests"), i, test)
        {
            snprintf(place, sizeof(place), "%s/%zu/%zu", file, idx, i);
            check_instance(g, place, test, names);
        }
    }
    kt_grammar_destroy(g);
    json_decref(names);
    free(text);
}

static void run_files(void)
{
    const char *data = getenv("KONTOR_TESTDATA");
    if (!data)
        fail_msg("KONTOR_TESTDATA is not set; run this through ctest");
    for (size_t f = 0; f < ARRAY_LEN(FILES); f++) {
        char path[512];
        json_error_t why;
        size_t i;
        json_t *group;
        snprintf(path, sizeof(path), "%s/schema-suite/%s.json", data, FILES[f]);
        json_t *groups = json_load_file(path, JSON_ALLOW_NUL, &why);
        if (!groups)
            fail_msg("%s: %s; tools/fetch.sh check brings it", path, why.text);
        json_array_foreach(groups, i, group) check_group(FILES[f], i, group);
        json_decref(groups);
    }
}

static void test_suite(void **state)
{
    (void)state;
    struct buf wanted = { 0 };
    struct kt_error err;
    char path[512];
    run_files();
    snprintf(path, sizeof(path), "%s/tests/golden/schema_suite.txt", getenv("KONTOR_SOURCE"));
    if (file_read(&wanted, path, 1 << 20, &err))
        fail_msg("%s", err.text);
    print_message("%zu groups, %zu of them refused; %zu valid instances, %zu of them left out; %zu "
                  "invalid ones, "
                  "%zu of them accepted\n",
                  tally.n_groups, tally.n_refused, tally.n_valid, tally.n_left_out, tally.n_invalid,
                  tally.n_wrong);
    assert_int_equal(tally.n_wrong, 0);
    assert_true(tally.n_groups > 400 && tally.n_invalid > 600 && tally.n_valid > 900);
    if (!span_eq(buf_span(&wanted), buf_span(&tally.report))) {
        size_t at = 0;
        while (wanted.ptr[at] && wanted.ptr[at] == tally.report.ptr[at])
            at++;
        while (at && wanted.ptr[at - 1] != '\n')
            at--;
        fail_msg("%s\nexpected: %.200s\nfound:    %.200s\n(--print writes what is found)", path,
                 wanted.ptr + at, tally.report.ptr + at);
    }
    buf_deinit(&wanted);
    buf_deinit(&tally.report);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_suite) };
    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        run_files();
        fputs(tally.report.ptr, stdout);
        return tally.n_wrong > 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
