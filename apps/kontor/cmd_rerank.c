/* kontor rerank: how well documents answer a question, for scripts. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/size.h"
#include "base/status.h"
#include "infer.h"

#define LINE_MAX_BYTES ((size_t)64 << 20)

/* The next line as a JSON object; KT_E_NOTFOUND at the end of input. */
static enum kt_status read_object(json_t **out, size_t line_no, struct kt_error *err)
{
    *out = NULL;
    char *line = NULL;
    size_t cap = 0;
    errno = 0;
    ssize_t len = getline(&line, &cap, stdin);
    if (len < 0) {
        free(line);
        return feof(stdin) ? kt_fail(err, KT_E_NOTFOUND, "end of input")
                           : kt_fail_errno(err, errno, "standard input, line %zu", line_no);
    }
    if ((size_t)len <= LINE_MAX_BYTES)
        *out = json_loadb(line, (size_t)len, JSON_REJECT_DUPLICATES, NULL);
    free(line);
    return KT_OK;
}

/* The texts of a line, borrowed from it; *documents is the caller's to free(). */
static enum kt_status read_texts(const json_t *line, size_t line_no, const char **query,
                                 const char ***documents, size_t *n, struct kt_error *err)
{
    const json_t *list = json_object_get(line, "documents");
    bool ok = true;
    *query = json_string_value(json_object_get(line, "query"));
    *n = json_array_size(list);
    *documents = calloc(*n ? *n : 1, sizeof(**documents));
    if (!*documents)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < *n; i++) {
        (*documents)[i] = json_string_value(json_array_get(list, i));
        ok = ok && (*documents)[i];
    }
    if (ok && *query && json_is_array(list))
        return KT_OK;
    return kt_fail(
        err, KT_E_FORMAT,
        "standard input, line %zu: expected {\"query\": \"...\", \"documents\": [\"...\", "
        "...]}",
        line_no);
}

static enum kt_status rerank_line(struct kt_engine *e, const json_t *line, size_t line_no,
                                  struct kt_error *err)
{
    const char *query, **documents;
    size_t n;
    float *scores = NULL;
    enum kt_status st = read_texts(line, line_no, &query, &documents, &n, err);
    if (!st && !(scores = calloc(n ? n : 1, sizeof(*scores))))
        st = kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!st)
        st = kt_rerank(e, query, documents, n, scores, err);
    if (!st && cli_print_json(cli_json_float_array(scores, n)) != EXIT_DONE)
        st = kt_fail(err, KT_E_IO, "standard output cannot be written");
    free(scores);
    free(documents);
    return st;
}

static enum kt_status rerank_lines(struct kt_engine *e, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    for (size_t line_no = 1; !st && !cli_interrupted(); line_no++) {
        json_t *line;
        st = read_object(&line, line_no, err);
        if (!st)
            st = rerank_line(e, line, line_no, err);
        json_decref(line);
    }
    return st == KT_E_NOTFOUND ? KT_OK : st;
}

static int run(int argc, char **argv)
{
    const char *model = NULL;
    bool lines = false;
    const struct opt opts[] = {
        { "--model", "-m", OPT_STR, &model },
        { "--lines", NULL, OPT_FLAG, &lines },
    };
    if (!cli_parse(&cmd_rerank, argc, argv, opts, ARRAY_LEN(opts), NULL))
        return EXIT_USAGE;
    if (!lines)
        return cli_usage(&cmd_rerank, "needs --lines: one JSON object a line on standard input");
    cli_catch_signals();
    struct kt_error err;
    struct kt_engine *e;
    enum kt_status st = infer_open(&e, cli_rerank_model(model), &err);
    if (!st)
        st = rerank_lines(e, &err);
    kt_engine_close(e);
    return st ? cli_fail("rerank", &err) : EXIT_DONE;
}

const struct command cmd_rerank = {
    "rerank",
    "-m MODEL --lines",
    "Score documents by how well they answer a question.",
    "Reads one JSON object a line from standard input, {\"query\": \"...\", \"documents\": "
    "[\"...\", "
    "...]}, and prints one\n"
    "JSON array a line: a score for each document, higher is better. A reranker gives the "
    "probability of its \"yes\",\n"
    "an embedding model the cosine of the vectors. Over-long documents are cut at the model's "
    "limit.\n\n"
    "  -m, --model M     the model; default: this home's reranker, else the embedding model\n"
    "  --lines           one JSON object a line\n",
    run,
};
