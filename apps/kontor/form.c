#include "form.h"

#include <stdlib.h>
#include <string.h>

#include "base/files.h"

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
    if (!!a->grammar + !!a->regex + !!a->labels > 1)
        return kt_fail(err, KT_E_USAGE, "--grammar, --regex and --labels: one of them");
    if (a->grammar)
        st = open_grammar(f, a->grammar, err);
    else if (a->regex)
        st = kt_grammar_from_regex(&f->grammar, a->regex, strlen(a->regex), err);
    else if (a->labels)
        st = open_labels(f, a->labels, err);
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

void form_apply(const struct form *f, bool thinking, struct kt_generate_request *rq)
{
    rq->grammar = f->grammar;
    rq->thinking = thinking;
    rq->quotes = f->n_sources ? f->sources : NULL;
    rq->n_quotes = f->n_sources;
}
