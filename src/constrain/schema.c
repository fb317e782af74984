/* constrain/schema.c: the public side of schema_*.c. */
#include "kontor/schema.h"

#include <stdlib.h>

#include "constrain/schema_priv.h"

enum kt_status sc_compile(char **text, size_t *len, struct span json, const char *subject,
                          const struct kt_schema_options *opts, build_fn build, void *ctx,
                          struct kt_error *err)
{
    struct compilation c = { .subject = subject, .err = err };
    struct buf out = { 0 };
    *text = NULL;
    *len = 0;
    if (opts)
        c.opts = *opts;
    struct js *root = js_parse(&c, json);
    c.root = root;
    struct production *first = root ? build(&c, ctx) : NULL;
    sc_write_rules(&c);
    if (!c.st && first)
        grammar_write(&c, &out, first);
    if (!c.st) {
        *len = out.len;
        *text = buf_take(&out);
        if (!*text)
            sc_fail(&c, KT_E_NOMEM, NULL, NULL, "out of memory");
    }
    buf_deinit(&out);
    arena_deinit(&c.arena);
    return c.st;
}

static struct production *build_schema(struct compilation *c, void *ctx)
{
    (void)ctx;
    sc_check(c, (struct js *)(uintptr_t)c->root);
    const struct expr *e = conj_expr(c, conj_of_one(c, c->root));
    return e ? e->rule : NULL;
}

enum kt_status kt_schema_to_grammar(char **text, size_t *text_len, const char *json,
                                    size_t json_len, const struct kt_schema_options *opts,
                                    struct kt_error *err)
{
    return sc_compile(text, text_len, (struct span){ json, json_len }, "schema", opts, build_schema,
                      NULL, err);
}

static enum kt_status parsed(struct kt_grammar **out, enum kt_status st, char *text, size_t len,
                             struct kt_error *err)
{
    *out = NULL;
    if (!st)
        st = kt_grammar_parse(out, text, len, err);
    free(text);
    return st;
}

enum kt_status kt_grammar_from_schema(struct kt_grammar **out, const char *json, size_t json_len,
                                      const struct kt_schema_options *opts, struct kt_error *err)
{
    char *text;
    size_t len;
    enum kt_status st = kt_schema_to_grammar(&text, &len, json, json_len, opts, err);
    return parsed(out, st, text, len, err);
}

enum kt_status kt_grammar_from_tools(struct kt_grammar **out, const char *tools, size_t tools_len,
                                     const struct kt_tools_options *opts, struct kt_error *err)
{
    char *text;
    size_t len;
    enum kt_status st = kt_tools_to_grammar(&text, &len, tools, tools_len, opts, err);
    return parsed(out, st, text, len, err);
}
