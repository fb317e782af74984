/* JSON Schema to grammar while memory runs out: the n-th allocation fails, n = 1, 2, ... until one run gets through. Each
 * run before it ends with "out of memory", and leaves nothing behind: the sanitizer build counts what was not freed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "failing_alloc.h"
#include "kontor/schema.h"

/* Of everything a little: it takes more than one block of every kind of memory. */
static const char SCHEMA[] =
    "{\"$id\":\"http://x/y/"
    "\",\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"z#q\"},\"b\":{\"type\":\"string\","
    "\"pattern\":\"^(?!x)[a-z]{2,9}$|\\\\d\",\"maxLength\":7},\"c\":{\"type\":\"number\","
    "\"minimum\":-1.5,\"maximum\":1e3,"
    "\"multipleOf\":0.25},\"d\":{\"type\":\"array\",\"items\":{\"enum\":[1,\"two\",{\"3\":[null]}]}"
    ",\"uniqueItems\":true},"
    "\"e\":{\"type\":\"array\",\"contains\":{\"const\":1},\"maxContains\":2,\"maxItems\":5},\"f\":{"
    "\"oneOf\":[{\"type\":"
    "\"integer\"},{\"minimum\":2,\"type\":\"number\"}]},\"g2\":{\"type\":\"string\",\"format\":"
    "\"date\"}},\"required\":[\"a\"],"
    "\"patternProperties\":{\"^n\":{\"type\":\"null\"}},\"if\":{\"required\":[\"b\"]},\"then\":{"
    "\"required\":[\"c\"]},"
    "\"$defs\":{\"q\":{\"$id\":\"z\",\"$anchor\":\"q\",\"type\":\"object\",\"minProperties\":1,"
    "\"maxProperties\":2,"
    "\"properties\":{\"x\":{\"$ref\":\"#\"},\"y\":{}},\"additionalProperties\":false}}}";
static const char TOOLS[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"s\":"
    "{\"type\":\"string\"},\"n\":{\"type\":[\"integer\",\"null\"]}},\"required\":[\"s\"]}}}]";

typedef enum kt_status (*run_fn)(char **text, size_t *len, struct kt_error *err);

static enum kt_status run_schema(char **text, size_t *len, struct kt_error *err)
{
    return kt_schema_to_grammar(text, len, SCHEMA, sizeof(SCHEMA) - 1, NULL, err);
}

static enum kt_status run_tools(char **text, size_t *len, struct kt_error *err)
{
    return kt_tools_to_grammar(text, len, TOOLS, sizeof(TOOLS) - 1, NULL, err);
}

static void each_allocation(run_fn run)
{
    struct kt_error err = { 0 };
    char *whole, *text;
    size_t whole_len, len, n = 0;
    if (run(&whole, &whole_len, &err))
        fail_msg("%s", err.text);
    enum kt_status st;
    do {
        countdown = ++n;
        st = run(&text, &len, &err);
        bool reached = countdown == 0;
        countdown = 0;
        if (st != (reached ? KT_E_NOMEM : KT_OK))
            fail_msg("allocation %zu: status %d: %s", n, (int)st, err.text);
        assert_true(st ? text == NULL : len == whole_len && strcmp(text, whole) == 0);
        free(text);
    } while (st);
    print_message("%zu allocations\n", n - 1);
    assert_true(n > 10);
    free(whole);
}

static void test_schema(void **state)
{
    (void)state;
    each_allocation(run_schema);
}

static void test_tools(void **state)
{
    (void)state;
    each_allocation(run_tools);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_schema),
                                        cmocka_unit_test(test_tools) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
