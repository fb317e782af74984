/* kontor importance: what a model's matrices read while it reads a text, for `kontor quantize`.
 *
 * The text is cut into windows of --ctx tokens, each read from nothing; a shorter one at the end is
 * read too. */
#include <stdio.h>
#include <stdlib.h>

#include "base/files.h"
#include "base/size.h"
#include "infer.h"

enum { WINDOW_TOKENS = 512 };
#define TEXT_MAX_BYTES ((size_t)1 << 30)

struct job {
    const char *model, *text_path, *tokens_path, *out_path;
    uint64_t n_ctx;
    size_t first, n_total;
};

static enum kt_status on_row(void *ctx, size_t pos, const float *logits, size_t n_vocab,
                             struct kt_error *err)
{
    const struct job *j = ctx;
    (void)logits;
    (void)n_vocab;
    if (cli_interrupted())
        return kt_fail(err, KT_E_CANCELLED, "interrupted");
    cli_progress("importance", j->first + pos + 1, j->n_total, NULL);
    return KT_OK;
}

static enum kt_status read_text(const struct job *j, const struct kt_engine *e, int32_t **ids,
                                size_t *n, struct kt_error *err)
{
    struct buf text = { 0 };
    if (j->tokens_path)
        return infer_read_tokens(j->tokens_path, ids, n, err);
    enum kt_status st = file_read(&text, j->text_path, TEXT_MAX_BYTES, err);
    if (!st)
        st = kt_tokenize(e, text.ptr ? text.ptr : "", text.len, KT_TOKENS_PLAIN, ids, n, err);
    buf_deinit(&text);
    if (!st && *n == 0)
        st = kt_fail(err, KT_E_USAGE, "%s: is empty", j->text_path);
    return st;
}

static enum kt_status collect(struct job *j, struct kt_engine *e, struct kt_error *err)
{
    struct kt_importance *imp = NULL;
    struct kt_context *c = NULL;
    int32_t *ids = NULL;
    size_t n_ctx = j->n_ctx ? j->n_ctx : WINDOW_TOKENS, n_windows = 0;
    enum kt_status st = read_text(j, e, &ids, &j->n_total, err);
    struct kt_context_options co = { .n_ctx = MIN(n_ctx, j->n_total) };
    if (!st)
        st = kt_context_create(&c, e, &co, err);
    if (!st)
        st = kt_importance_create(&imp, e, err);
    if (!st)
        kt_importance_watch(imp, c);
    for (j->first = 0; j->first < j->n_total && !st; j->first += n_ctx, n_windows++)
        st = kt_logits(c, ids + j->first, MIN(n_ctx, j->n_total - j->first), on_row, j, err);
    cli_progress_end();
    if (!st)
        st = kt_importance_write(imp, j->out_path,
                                 path_base(j->text_path ? j->text_path : j->tokens_path), n_windows,
                                 n_ctx, err);
    kt_context_destroy(c);
    kt_importance_destroy(imp);
    free(ids);
    return st;
}

static int run(int argc, char **argv)
{
    struct job j = { 0 };
    struct str_list rest = { 0 };
    const struct opt opts[] = {
        { "--model", "-m", OPT_STR, &j.model },
        { "--output", "-o", OPT_STR, &j.out_path },
        { "--tokens", NULL, OPT_STR, &j.tokens_path },
        { "--ctx", NULL, OPT_U64, &j.n_ctx },
    };
    bool ok = cli_parse(&cmd_importance, argc, argv, opts, ARRAY_LEN(opts), &rest);
    bool has_text = rest.n == 1;
    j.text_path = has_text ? rest.items[0] : NULL;
    free(rest.items);
    if (!ok)
        return EXIT_USAGE;
    if (has_text == (j.tokens_path != NULL) || !j.out_path)
        return cli_usage(&cmd_importance, "needs one FILE, or --tokens FILE, and -o OUT");
    cli_catch_signals();
    struct kt_error err;
    struct kt_engine *e = NULL;
    enum kt_status st = infer_open(&e, cli_chat_model(j.model), &err);
    if (!st)
        st = collect(&j, e, &err);
    kt_engine_close(e);
    if (st)
        return cli_fail("importance", &err);
    printf("%s: from %zu tokens\n", j.out_path, j.n_total);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

const struct command cmd_importance = {
    "importance",
    "-m MODEL FILE -o OUT",
    "Measure which weights matter, for `quantize --importance`.",
    "The model reads FILE, a plain text like those it will be used on, in its languages: some "
    "10,000 tokens do. OUT then "
    "says\n"
    "how large the inputs of each column of each matrix are, and how they go together: a kilobyte "
    "for each column. Best\n"
    "measured on the unquantised model.\n\n"
    "  -m, --model M     the model; default: the configured chat model\n"
    "  -o, --output OUT  the file to write\n"
    "  --tokens FILE     token ids instead of a text\n"
    "  --ctx N           tokens a window (default 512)\n",
    run,
};
