/* kontor generate: one prompt, one answer, for people and scripts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "infer.h"

struct job {
    const char *model, *prompt, *tokens_path;
    bool raw, json, ignore_stop;
    uint64_t n, n_ctx;
    struct infer_memory memory;
    struct infer_sampling sampling;
    const char *speculate;
    struct str_list stop;
};

static bool show(void *ctx, const char *text, size_t len)
{
    (void)ctx;
    return fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0;
}

static bool go_on(void *ctx, size_t n_done, size_t n_total)
{
    (void)ctx;
    (void)n_done;
    (void)n_total;
    return !cli_interrupted();
}

static enum kt_status prompt_tokens(const struct job *j, const struct kt_engine *e, int32_t **ids,
                                    size_t *n, struct kt_error *err)
{
    if (j->tokens_path)
        return infer_read_tokens(j->tokens_path, ids, n, err);
    size_t len = strlen(j->prompt);
    if (j->raw)
        return kt_tokenize(e, j->prompt, len, KT_TOKENS_SPECIAL, ids, n, err);
    struct kt_message msg = { "user", j->prompt, len };
    return kt_chat_tokens(e, &msg, 1, ids, n, err);
}

static json_t *result_json(const struct kt_generate_result *r)
{
    json_t *tokens = json_array();
    for (size_t i = 0; i < r->n_tokens; i++)
        json_array_append_new(tokens, json_integer(r->tokens[i]));
    json_t *guesses =
        json_pack("{s:I,s:I,s:I,s:I,s:I}", "steps", (json_int_t)r->n_steps, "lookup_tried",
                  (json_int_t)r->lookup.tried, "lookup_right", (json_int_t)r->lookup.right,
                  "mtp_tried", (json_int_t)r->mtp.tried, "mtp_right", (json_int_t)r->mtp.right);
    return json_pack("{s:o,s:o,s:s,s:I,s:f,s:f,s:f,s:o}", "text",
                     cli_json_text(r->text, r->text_len), "tokens", tokens, "finish",
                     kt_finish_name(r->finish), "tokens_prompt", (json_int_t)r->tokens_prompt,
                     "prompt_s", r->prompt_s, "decode_s", r->decode_s, "mean_logprob",
                     (double)r->mean_logprob, "speculation", guesses);
}

/* A context just large enough, within what the model was trained for unless --ctx says otherwise.
 */
static enum kt_status make_context(const struct job *j, struct kt_engine *e, size_t n_prompt,
                                   struct kt_context **c, struct kt_error *err)
{
    struct kt_context_options o = { 0 };
    enum kt_status st = infer_speculate(j->speculate, &o.speculate, err);
    if (st)
        return st;
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    size_t n_ctx = j->n_ctx;
    if (!n_ctx && j->n && n_prompt + j->n < info.n_ctx_train)
        n_ctx = n_prompt + j->n;
    if (!n_ctx)
        n_ctx = info.n_ctx_train;
    o.n_ctx = n_ctx;
    o.kv = j->memory.kv;
    o.state = j->memory.state;
    return kt_context_create(c, e, &o, err);
}

static enum kt_status generate(const struct job *j, struct kt_generate_result *r,
                               struct kt_error *err)
{
    struct kt_engine *e = NULL;
    struct kt_context *c = NULL;
    int32_t *ids = NULL;
    size_t n = 0;
    enum kt_status st = infer_open(&e, cli_chat_model(j->model), err);
    if (!st)
        st = prompt_tokens(j, e, &ids, &n, err);
    if (!st)
        st = make_context(j, e, n, &c, err);
    if (!st) {
        struct kt_generate_request rq = {
            .prompt = ids,
            .n_prompt = n,
            .n_max = j->n,
            .sampling = infer_sampling(&j->sampling),
            .stop = j->stop.items,
            .n_stop = j->stop.n,
            .ignore_stop_tokens = j->ignore_stop,
            .on_text = j->json ? NULL : show,
            .on_progress = go_on,
        };
        st = kt_generate(c, &rq, r, err);
    }
    free(ids);
    kt_context_destroy(c);
    kt_engine_close(e);
    return st;
}

static int run(int argc, char **argv)
{
    struct job j = { .n = 256 };
    const struct opt opts[] = {
        { "--model", "-m", OPT_STR, &j.model },
        { "--prompt", "-p", OPT_STR, &j.prompt },
        { "--tokens", NULL, OPT_STR, &j.tokens_path },
        { "--raw", NULL, OPT_FLAG, &j.raw },
        { "--n", "-n", OPT_U64, &j.n },
        { "--ctx", NULL, OPT_U64, &j.n_ctx },
        { "--stop", NULL, OPT_STR_LIST, &j.stop },
        { "--ignore-stop", NULL, OPT_FLAG, &j.ignore_stop },
        { "--speculate", NULL, OPT_STR, &j.speculate },
        { "--json", NULL, OPT_FLAG, &j.json },
        INFER_MEMORY_OPTS(j.memory),
        INFER_SAMPLING_OPTS(j.sampling),
    };
    int rc = EXIT_USAGE;
    if (!cli_parse(&cmd_generate, argc, argv, opts, ARRAY_LEN(opts), NULL) ||
        !infer_memory_parse(&j.memory, &cmd_generate))
        goto end;
    if (!j.prompt == !j.tokens_path) {
        rc = cli_usage(&cmd_generate, "needs a prompt: -p TEXT, or --tokens FILE");
        goto end;
    }
    cli_catch_signals();
    struct kt_error err;
    struct kt_generate_result r = { 0 };
    if (generate(&j, &r, &err))
        rc = cli_fail("generate", &err);
    else if (j.json)
        rc = cli_print_json(result_json(&r));
    else
        rc = putchar('\n') == EOF || fflush(stdout) ? EXIT_FAILED : EXIT_DONE;
    if (rc == EXIT_DONE && r.finish == KT_FINISH_CANCELLED)
        rc = EXIT_FAILED;
    kt_generate_result_deinit(&r);
end:
    return rc;
}

const struct command cmd_generate = {
    "generate",
    "-m MODEL -p TEXT [--raw] [-n N] [--json]",
    "Let a model answer one prompt, or continue a text.",
    "Without --raw the prompt is a user's message in the model's own chat layout; control tokens "
    "in it are\n"
    "plain text. With --raw it is the whole prompt, and control tokens such as <|im_end|> are "
    "recognised.\n\n"
    "  -m, --model M     the model; default: the configured chat model\n"
    "  -p, --prompt T    the prompt\n"
    "  --tokens FILE     token ids instead of a prompt (- is standard input)\n"
    "  --raw             TEXT is the whole prompt\n"
    "  -n, --n N         at most N tokens (default 256; 0: until the context is full)\n"
    "  --ctx N           size of the context in tokens (default: what is needed)\n"
    "  --kv TYPE         how keys and values are kept: f16 (default), q8 (8 bits) or f32\n"
    "  --state TYPE      how a recurrent state is kept: f32 (default) or bf16\n"
    "  --temp T          0 (default): always the most likely token; else sample at temperature T\n"
    "  --top-k K, --top-p P, --min-p P, --presence X, --seed S    how to sample, in this order of "
    "filters\n"
    "  --stop TEXT       end before TEXT; may be given several times\n"
    "  --ignore-stop     go on after the model's own end of the answer, for measuring\n"
    "  --speculate KIND  guess tokens and verify several in one step: auto (default), off, lookup "
    "(what "
    "followed the\n"
    "                    same words before), mtp (the model's multi-token head). The answer is the "
    "same "
    "either way\n"
    "  --json            print {\"text\",\"tokens\",\"finish\",\"speculation\"}\n",
    run,
};
