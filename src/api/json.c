/* api/json.c: bodies in.
 *
 * The parser makes a tree that is many times larger than its text, and goes down into it as deep as the text
 * says. So depth and number of values are counted in the text first, and too much is refused before a tree is
 * made. After that: strict JSON, no duplicate keys, UTF-8 only. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"

/* Upper bounds on depth and values: what stands outside of strings. False: too much of either. */
static bool is_moderate(struct span s, const char **what)
{
    size_t depth = 0, n = 0;
    bool in_string = false;
    for (size_t i = 0; i < s.len; i++) {
        char ch = s.ptr[i];
        if (in_string) {
            if (ch == '\\')
                i++;
            else if (ch == '"')
                in_string = false;
            continue;
        }
        in_string = ch == '"';
        n += ch == ',' || ch == '[' || ch == '{';
        depth += ch == '[' || ch == '{';
        depth -= depth && (ch == ']' || ch == '}');
        *what = "is nested too deep";
        if (depth > JSON_DEPTH)
            return false;
        *what = "has too many values";
        if (n > JSON_VALUES)
            return false;
    }
    return true;
}

bool body_parse(struct call *c)
{
    struct span body = http_body(c->rq);
    const char *what = "";
    if (!is_moderate(body, &what)) {
        reply_error(c, 400, NULL, "invalid_json", NULL,
                    "the body %s (%d levels, %d values at most)", what, JSON_DEPTH, JSON_VALUES);
        return false;
    }
    json_error_t e;
    c->body = body.len ? json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES, &e) : json_object();
    if (!c->body) {
        /* the parser's own words would repeat what it stumbled over */
        reply_error(c, 400, NULL, "invalid_json", NULL,
                    "the body is not valid JSON in UTF-8 (line %d, column %d)", e.line, e.column);
        return false;
    }
    if (!json_is_object(c->body)) {
        reply_error(c, 400, NULL, "invalid_json", NULL, "the body must be a JSON object");
        return false;
    }
    return true;
}

static const struct param *find_param(const struct param *table, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static bool means_nothing(const json_t *value, const char *only)
{
    if (json_is_null(value))
        return true;
    json_t *same = only ? json_loads(only, JSON_DECODE_ANY, NULL) : NULL;
    bool equal = same && (json_equal(value, same) ||
                          (json_is_number(value) && json_is_number(same) &&
                           fabs(json_number_value(value) - json_number_value(same)) < 1e-12));
    json_decref(same);
    return equal;
}

/* A name goes back to the client only when it looks like one. */
static const char *safe_name(const char *name)
{
    return strlen(name) <= 64 &&
                   strspn(name,
                          "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") ==
                       strlen(name)
               ? name
               : "(unnameable)";
}

bool params_check_both(struct call *c, const struct param *common, size_t n_common,
                       const struct param *own, size_t n_own)
{
    const char *name;
    json_t *value;
    json_object_foreach(c->body, name, value)
    {
        const struct param *p = find_param(own, n_own, name);
        if (!p)
            p = find_param(common, n_common, name);
        if (!p) {
            reply_error(c, 400, NULL, "unknown_parameter", safe_name(name),
                        "unknown parameter '%s'", safe_name(name));
            return false;
        }
        if (p->kind == PARAM_ONLY && !means_nothing(value, p->only)) {
            reply_error(c, 400, NULL, "unsupported_parameter", name,
                        "parameter '%s' is not supported: %s", name, p->why);
            return false;
        }
    }
    return true;
}

bool params_check(struct call *c, const struct param *table, size_t n)
{
    return params_check_both(c, table, n, NULL, 0);
}

json_t *param_object(struct call *c, const char *name)
{
    json_t *v = json_object_get(c->body, name);
    return json_is_null(v) ? NULL : v;
}

bool param_required(struct call *c, const char *name)
{
    if (param_object(c, name))
        return true;
    reply_error(c, 400, NULL, "missing_required_parameter", name, "the parameter '%s' is missing",
                name);
    return false;
}

bool param_number(struct call *c, const char *name, double min, double max, double *out)
{
    json_t *v = param_object(c, name);
    if (!v)
        return true;
    double x = json_number_value(v);
    if (!json_is_number(v) || !(x >= min && x <= max)) {
        reply_error(c, 400, NULL, "invalid_value", name, "'%s' takes a number from %g to %g", name,
                    min, max);
        return false;
    }
    *out = x;
    return true;
}

bool param_int(struct call *c, const char *name, int64_t min, int64_t max, int64_t *out)
{
    json_t *v = param_object(c, name);
    if (!v)
        return true;
    json_int_t x = json_integer_value(v);
    if (!json_is_integer(v) || x < min || x > max) {
        reply_error(c, 400, NULL, "invalid_value", name,
                    "'%s' takes a whole number from %lld to %lld", name, (long long)min,
                    (long long)max);
        return false;
    }
    *out = x;
    return true;
}

bool param_bool(struct call *c, const char *name, bool *out)
{
    json_t *v = param_object(c, name);
    if (!v)
        return true;
    if (!json_is_boolean(v)) {
        reply_error(c, 400, NULL, "invalid_type", name, "'%s' takes true or false", name);
        return false;
    }
    *out = json_is_true(v);
    return true;
}

bool param_string(struct call *c, const char *name, const char **out)
{
    json_t *v = param_object(c, name);
    if (!v)
        return true;
    if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v)) {
        reply_error(c, 400, NULL, "invalid_type", name,
                    "'%s' takes a string without zero characters", name);
        return false;
    }
    *out = json_string_value(v);
    return true;
}
