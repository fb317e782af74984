/* kontor embed: texts to vectors, one a line, for scripts. */
#include <stdio.h>
#include <stdlib.h>

#include "base/size.h"
#include "base/status.h"
#include "infer.h"

static enum kt_status embed_lines(struct kt_engine *e, bool query, struct kt_error *err)
{
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    float *vector = calloc(info.d_model, sizeof(*vector));
    if (!vector)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    enum kt_status st = KT_OK;
    for (size_t line_no = 1; !st && !cli_interrupted(); line_no++) {
        char *text;
        st = infer_read_json_line(stdin, line_no, &text, err);
        if (st)
            break;
        st = query ? kt_embed_queries(e, NULL, (const char *const[]){ text }, 1, vector, err)
                   : kt_embed(e, (const char *const[]){ text }, 1, vector, err);
        free(text);
        if (!st && cli_print_json(cli_json_float_array(vector, info.d_model)) != EXIT_DONE)
            st = kt_fail(err, KT_E_IO, "standard output cannot be written");
    }
    free(vector);
    return st == KT_E_NOTFOUND ? KT_OK : st;
}

static int run(int argc, char **argv)
{
    const char *model = NULL;
    bool lines = false, query = false;
    const struct opt opts[] = {
        { "--model", "-m", OPT_STR, &model },
        { "--lines", NULL, OPT_FLAG, &lines },
        { "--query", NULL, OPT_FLAG, &query },
    };
    if (!cli_parse(&cmd_embed, argc, argv, opts, ARRAY_LEN(opts), NULL))
        return EXIT_USAGE;
    if (!lines)
        return cli_usage(&cmd_embed, "needs --lines: one JSON string a line on standard input");
    cli_catch_signals();
    struct kt_error err;
    struct kt_engine *e;
    enum kt_status st = infer_open(&e, cli_embed_model(model), &err);
    if (!st)
        st = embed_lines(e, query, &err);
    kt_engine_close(e);
    return st ? cli_fail("embed", &err) : EXIT_DONE;
}

const struct command cmd_embed = {
    "embed",
    "-m MODEL --lines [--query]",
    "Turn texts into vectors.",
    "Reads one JSON string a line from standard input and prints one JSON array of numbers a line, "
    "pooled and\n"
    "normalised as the model wants. Over-long texts are cut at the model's limit.\n\n"
    "  -m, --model M     the model; default: the configured embedding model\n"
    "  --lines           one JSON string a line\n"
    "  --query           the texts are questions: models that are told what is searched "
    "(Qwen3-Embedding)\n"
    "                    are told; others see no difference\n",
    run,
};
