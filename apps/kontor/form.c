#include "form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/size.h"
#include "kontor/schema.h"

enum { SOURCE_BYTES_MAX = 64 << 20, GRAMMAR_BYTES_MAX = 4 << 20 };

static enum kt_status open_grammar(struct form *f, const char *path, struct kt_error *err)
{
    struct buf text = { 0 };
    enum kt_status st = file_read(&text, path, GRAMMAR_BYTES_MAX, err);
    if (!st) {
        st = kt_grammar_parse(&f->grammar, text.ptr ? text.ptr : "", text.len, err);
        if (st)
            kt_error_prefix(err, "%s", path);
    }
    buf_deinit(&text);
    return st;
}

static enum kt_status schema_text(char **text, size_t *len, const struct form_args *a,
                                  struct kt_error *err)
{
    static const char *const SPACES[] = { "one", "none", "lines" }; /* as enum kt_schema_space */
    struct kt_schema_options o = { .strict = a->strict };
    size_t space = 0;
    struct buf json = { 0 };
    *text = NULL;
    while (a->space && space < ARRAY_LEN(SPACES) && strcmp(a->space, SPACES[space]) != 0)
        space++;
    if (space == ARRAY_LEN(SPACES))
        return kt_fail(err, KT_E_USAGE, "--space is one, none or lines");
    o.space = (enum kt_schema_space)space;
    enum kt_status st = file_read(&json, a->schema, GRAMMAR_BYTES_MAX, err);
    if (!st) {
        st = kt_schema_to_grammar(text, len, json.ptr ? json.ptr : "", json.len, &o, err);
        if (st)
            kt_error_prefix(err, "%s", a->schema);
    }
    buf_deinit(&json);
    return st;
}

static enum kt_status open_schema(struct form *f, const struct form_args *a, struct kt_error *err)
{
    char *text;
    size_t len;
    enum kt_status st = schema_text(&text, &len, a, err);
    if (!st)
        st = kt_grammar_parse(&f->grammar, text, len, err);
    free(text);
    return st;
}

enum kt_status form_show(const struct form_args *a, struct kt_error *err)
{
    char *text;
    size_t len;
    if (!a->schema)
        return kt_fail(err, KT_E_USAGE, "--show-grammar belongs to --schema");
    enum kt_status st = schema_text(&text, &len, a, err);
    if (!st && (fwrite(text, 1, len, stdout) != len || fflush(stdout)))
        st = kt_fail(err, KT_E_IO, "standard output cannot be written");
    free(text);
    return st;
}

static enum kt_status open_labels(struct form *f, const char *labels, struct kt_error *err)
{
    struct str_list list = { 0 };
    if (!cli_split(&list, labels))
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    return kt_grammar_from_labels(&f->grammar, list.items, list.n, err);
}

static enum kt_status open_sources(struct form *f, const struct str_list *paths,
                                   struct kt_error *err)
{
    f->texts = calloc(paths->n + 1, sizeof(*f->texts));
    f->sources = calloc(paths->n + 1, sizeof(*f->sources));
    if (!f->texts || !f->sources)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < paths->n; i++) {
        enum kt_status st = file_read(&f->texts[i], paths->items[i], SOURCE_BYTES_MAX, err);
        f->n_sources++;
        if (st)
            return st;
        f->sources[i] = (struct kt_quote_source){ f->texts[i].ptr, f->texts[i].len };
    }
    return KT_OK;
}

enum kt_status form_open(struct form *f, const struct form_args *a, struct kt_error *err)
{
    *f = (struct form){ 0 };
    enum kt_status st = KT_OK;
    if (!!a->grammar + !!a->regex + !!a->labels + !!a->schema > 1)
        return kt_fail(err, KT_E_USAGE, "--grammar, --regex, --labels and --schema: one of them");
    if ((a->strict || a->space) && !a->schema)
        return kt_fail(err, KT_E_USAGE, "--strict and --space belong to --schema");
    if (a->grammar)
        st = open_grammar(f, a->grammar, err);
    else if (a->regex)
        st = kt_grammar_from_regex(&f->grammar, a->regex, strlen(a->regex), err);
    else if (a->labels)
        st = open_labels(f, a->labels, err);
    else if (a->schema)
        st = open_schema(f, a, err);
    if (!st && a->sources.n)
        st = open_sources(f, &a->sources, err);
    if (st)
        form_deinit(f);
    return st;
}

void form_deinit(struct form *f)
{
    for (size_t i = 0; i < f->n_sources; i++)
        buf_deinit(&f->texts[i]);
    free(f->texts);
    free(f->sources);
    kt_grammar_destroy(f->grammar);
    *f = (struct form){ 0 };
}

void form_apply(const struct form *f, bool thinking, bool may_think, struct kt_generate_request *rq)
{
    rq->grammar = f->grammar;
    rq->thinking = thinking;
    rq->may_think = may_think;
    rq->quotes = f->n_sources ? f->sources : NULL;
    rq->n_quotes = f->n_sources;
}
