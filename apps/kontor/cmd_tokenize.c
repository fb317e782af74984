/* kontor tokenize: texts to token ids and back, one a line, for scripts and comparisons. Each line
 * is answered before the next one is read, so the other end may be a program that asks and waits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "text/tokenizer.h"

/* One line holds one text; this bounds what a line without end can take. */
#define LINE_MAX_BYTES ((size_t)256 * 1024 * 1024)

struct job {
    struct tokenizer *tokenizer;
    const char *model;
    unsigned mode;
    bool decode, with_control;
};

/* The next line without its end into 'line'. KT_E_NOTFOUND: there is none. */
static enum kt_status read_line(FILE *in, struct buf *line, struct kt_error *err)
{
    buf_clear(line);
    int c = 0;
    flockfile(in);
    while (line->len <= LINE_MAX_BYTES && !line->failed && (c = getc_unlocked(in)) != EOF &&
           c != '\n')
        buf_append_char(line, (char)c);
    funlockfile(in);
    if (ferror(in))
        return kt_fail(err, KT_E_IO, "stdin: reading failed");
    if (line->failed)
        return kt_fail(err, KT_E_NOMEM, "stdin: out of memory");
    if (line->len > LINE_MAX_BYTES)
        return kt_fail(err, KT_E_LIMIT, "stdin: a line of more than %zu bytes", LINE_MAX_BYTES);
    return c == EOF && !line->len ? KT_E_NOTFOUND : KT_OK;
}

static bool print_ids(const struct token_vec *ids)
{
    putchar('[');
    for (size_t i = 0; i < ids->n; i++)
        printf(i ? ",%d" : "%d", (int)ids->ids[i]);
    fputs("]\n", stdout);
    return fflush(stdout) == 0;
}

static enum kt_status encode_line(const struct job *job, const json_t *text, size_t line_no,
                                  struct kt_error *err)
{
    if (!json_is_string(text))
        return kt_fail(err, KT_E_FORMAT, "stdin: line %zu: expected a JSON string", line_no);
    struct token_vec ids = { 0 };
    struct span s = { json_string_value(text), json_string_length(text) };
    enum kt_status st = tokenizer_encode(job->tokenizer, &ids, s, job->mode, err);
    if (!st && !print_ids(&ids))
        st = kt_fail(err, KT_E_IO, "stdout: cannot be written");
    token_vec_deinit(&ids);
    return st;
}

static enum kt_status decode_line(const struct job *job, const json_t *array, size_t line_no,
                                  struct kt_error *err)
{
    if (!json_is_array(array))
        return kt_fail(err, KT_E_FORMAT, "stdin: line %zu: expected a JSON array of ids", line_no);
    struct buf text = { 0 };
    enum kt_status st = KT_OK;
    size_t i;
    json_t *v;
    json_array_foreach(array, i, v)
    {
        json_int_t id = json_integer_value(v);
        if (!json_is_integer(v) || id < 0 || (uint64_t)id >= tokenizer_n_vocab(job->tokenizer)) {
            st = kt_fail(err, KT_E_FORMAT, "stdin: line %zu: element %zu is no id in 0..%zu",
                         line_no, i, tokenizer_n_vocab(job->tokenizer) - 1);
            break;
        }
        int32_t token = (int32_t)id;
        tokenizer_decode(job->tokenizer, &text, &token, 1, job->with_control);
    }
    if (!st && text.failed)
        st = kt_fail(err, KT_E_NOMEM, "tokenize: out of memory");
    if (!st && (cli_print_json(cli_json_text(text.ptr, text.len)) || fflush(stdout)))
        st = kt_fail(err, KT_E_IO, "stdout: cannot be written");
    buf_deinit(&text);
    return st;
}

static enum kt_status answer_line(const struct job *job, const struct buf *line, size_t line_no,
                                  struct kt_error *err)
{
    json_error_t e;
    json_t *value =
        json_loadb(line->ptr ? line->ptr : "", line->len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    if (!value)
        return kt_fail(err, KT_E_FORMAT, "stdin: line %zu, column %d: not well-formed JSON",
                       line_no, e.column);
    enum kt_status st =
        job->decode ? decode_line(job, value, line_no, err) : encode_line(job, value, line_no, err);
    json_decref(value);
    return st;
}

static enum kt_status answer_lines(const struct job *job, struct kt_error *err)
{
    struct buf line = { 0 };
    enum kt_status st = KT_OK;
    for (size_t line_no = 1; !st && !cli_interrupted(); line_no++) {
        st = read_line(stdin, &line, err);
        if (!st)
            st = answer_line(job, &line, line_no, err);
    }
    buf_deinit(&line);
    return st == KT_E_NOTFOUND ? KT_OK : st;
}

static enum kt_status tokenize(struct job *job, struct kt_error *err)
{
    struct model_file *file;
    enum kt_status st = model_file_open(&file, job->model, err);
    if (st)
        return st;
    st = tokenizer_open(&job->tokenizer, file, err);
    model_file_close(file); /* the tokenizer keeps nothing of it */
    if (st)
        return st;
    st = answer_lines(job, err);
    tokenizer_close(job->tokenizer);
    return st;
}

static int run(int argc, char **argv)
{
    bool lines = false, special = false, frame = false, decode = false;
    const char *model = NULL;
    struct opt opts[] = {
        { "--model", "-m", OPT_STR, &model },      { "--lines", NULL, OPT_FLAG, &lines },
        { "--special", NULL, OPT_FLAG, &special }, { "--frame", NULL, OPT_FLAG, &frame },
        { "--decode", NULL, OPT_FLAG, &decode },
    };
    struct str_list rest = { 0 };
    if (!cli_parse(&cmd_tokenize, argc, argv, opts, sizeof(opts) / sizeof(*opts), &rest))
        return EXIT_USAGE;
    size_t n_rest = rest.n;
    if (n_rest)
        return cli_usage(&cmd_tokenize, "texts come from stdin, not as arguments");
    if (!model)
        return cli_usage(&cmd_tokenize, "-m MODEL is missing");
    if (!lines)
        return cli_usage(&cmd_tokenize, "--lines is missing (one JSON value a line)");
    if (decode && frame)
        return cli_usage(&cmd_tokenize, "--frame is for encoding");

    struct kt_error err = { 0 };
    struct job job = { .model = cli_model_path(model),
                       .mode = (special ? TOK_SPECIAL : 0u) | (frame ? TOK_FRAME : 0u),
                       .decode = decode,
                       .with_control = special };
    enum kt_status st = tokenize(&job, &err);
    return st ? cli_fail("tokenize", &err) : EXIT_DONE;
}

const struct command cmd_tokenize = {
    .name = "tokenize",
    .args = "-m MODEL --lines [--special] [--frame] [--decode]",
    .summary = "texts to token ids and back, one a line",
    .help =
        "Reads one JSON string a line from stdin and prints one JSON array of token ids a line.\n"
        "  -m, --model MODEL  a GGUF file, or a folder with tokenizer.json (weights are not "
        "needed)\n"
        "  --lines            one JSON value a line (the only form there is)\n"
        "  --special          recognise control tokens such as <|im_start|> in the text; without\n"
        "                     it they are ordinary characters, as in everything a user writes\n"
        "  --frame            add the tokens that the model wants around a text, such as [CLS] "
        "[SEP]\n"
        "  --decode           the way back: arrays of ids to JSON strings; control tokens only "
        "with\n"
        "                     --special\n",
    .run = run,
};
