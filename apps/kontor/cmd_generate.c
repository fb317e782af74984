/* kontor generate: one prompt, one answer, for people and scripts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "form.h"
#include "infer.h"
#include "look.h"
#include "reply_view.h"

struct job {
    const char *model, *prompt, *tokens_path;
    bool raw, json, ignore_stop;
    uint64_t n, n_ctx;
    struct infer_memory memory;
    struct infer_sampling sampling;
    const char *speculate;
    struct str_list stop;
    struct look_args look;
    struct reply_args reply;
    struct form_args form_args;
    struct form form;
};

struct prompt {
    int32_t *ids;
    size_t n;
    struct kt_vision_input *media; /* [n_media] */
    size_t n_media;
    bool thinking, may_think; /* it ends inside a thought; or one may follow */
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

/* The user's message: images, videos, then the text. */
static enum kt_status chat_prompt(struct prompt *p, const struct job *j, const struct kt_engine *e,
                                  const struct look *l, const struct kt_chat_options *o,
                                  struct kt_error *err)
{
    struct kt_chat_part *parts = calloc(l->n + 1, sizeof(*parts));
    if (!parts)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < l->n; i++)
        parts[i] = look_part(l->items[i]);
    parts[l->n] = (struct kt_chat_part){ .text = j->prompt, .text_len = strlen(j->prompt) };
    struct kt_chat_message msg = { .role = "user", .parts = parts, .n_parts = l->n + 1 };
    struct kt_chat_prompt built;
    enum kt_status st = kt_chat_build(e, &msg, 1, o, &built, err);
    free(parts);
    if (!st)
        *p = (struct prompt){ .ids = built.ids,
                              .n = built.n_ids,
                              .media = built.media,
                              .n_media = built.n_media,
                              .thinking = built.thinking,
                              .may_think = built.may_think };
    return st;
}

/* The whole prompt as it is: text in which each image and video has one pad, or ids in which they have
 * all. */
static enum kt_status raw_prompt(struct prompt *p, const struct job *j, const struct kt_engine *e,
                                 const struct look *l, struct kt_error *err)
{
    enum kt_status st;
    if (j->tokens_path) {
        st = infer_read_tokens(j->tokens_path, &p->ids, &p->n, err);
    } else {
        char *text = look_expand(j->prompt, l);
        if (!text)
            return kt_fail(err, KT_E_NOMEM, "out of memory");
        st = kt_tokenize(e, text, strlen(text), KT_TOKENS_SPECIAL, &p->ids, &p->n, err);
        free(text);
    }
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    if (!st && !(p->media = calloc(l->n + 1, sizeof(*p->media))))
        st = kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!st) {
        p->n_media = l->n;
        look_order(p->media, l, p->ids, p->n, &info);
    }
    return st;
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

/* One answer. In a chat it is taken apart as it comes: 'view' shows the parts. */
static enum kt_status answer(const struct job *j, struct kt_engine *e, const struct prompt *p,
                             struct reply_view *view, struct kt_generate_result *r,
                             struct kt_error *err)
{
    struct kt_context *c = NULL;
    enum kt_status st = make_context(j, e, p->n, &c, err);
    if (!st) {
        struct kt_generate_request rq = {
            .prompt = p->ids,
            .n_prompt = p->n,
            .media = p->media,
            .n_media = p->n_media,
            .n_max = j->n,
            .sampling = infer_sampling(&j->sampling),
            .stop = j->stop.items,
            .n_stop = j->stop.n,
            .ignore_stop_tokens = j->ignore_stop,
            .on_text = view      ? reply_view_text
                       : j->json ? NULL
                                 : show,
            .on_progress = go_on,
            .callback_ctx = view,
        };
        form_apply(&j->form, p->thinking, p->may_think, &rq);
        st = kt_generate(c, &rq, r, err);
    }
    kt_context_destroy(c);
    return st;
}

static enum kt_status print_result(const struct job *j, const struct kt_generate_result *r,
                                   const struct kt_reply *reply, struct kt_error *err)
{
    if (!j->json)
        return putchar('\n') == EOF || fflush(stdout)
                   ? kt_fail(err, KT_E_IO, "standard output cannot be written")
                   : KT_OK;
    json_t *out = result_json(r);
    if (reply)
        reply_view_json(out, reply);
    return cli_print_json(out) == EXIT_DONE
               ? KT_OK
               : kt_fail(err, KT_E_IO, "standard output cannot be written");
}

static enum kt_status chat_answer(const struct job *j, struct kt_engine *e, const struct look *l,
                                  struct kt_generate_result *r, struct kt_error *err)
{
    struct kt_chat_options o;
    struct prompt p = { 0 };
    struct reply_view view = { 0 };
    const struct kt_reply *reply = NULL;
    enum kt_status st = reply_view_options(&o, &j->reply, err);
    if (st)
        return st;
    st = chat_prompt(&p, j, e, l, &o, err);
    if (!st)
        st = reply_view_open(&view, &o, p.thinking, j->json, err);
    if (!st)
        st = answer(j, e, &p, &view, r, err);
    if (!st)
        st = reply_view_finish(&view, &reply, err);
    if (!st)
        st = print_result(j, r, reply, err);
    if (view.parser)
        reply_view_close(&view);
    free(p.ids);
    free(p.media);
    free((char *)o.tools);
    return st;
}

static enum kt_status raw_answer(const struct job *j, struct kt_engine *e, const struct look *l,
                                 struct kt_generate_result *r, struct kt_error *err)
{
    struct prompt p = { 0 };
    enum kt_status st = raw_prompt(&p, j, e, l, err);
    if (!st)
        st = answer(j, e, &p, NULL, r, err);
    if (!st)
        st = print_result(j, r, NULL, err);
    free(p.ids);
    free(p.media);
    return st;
}

static enum kt_status generate(const struct job *j, struct kt_generate_result *r,
                               struct kt_error *err)
{
    struct kt_engine *e = NULL;
    struct look l = { 0 };
    const char *model = cli_chat_model(j->model);
    enum kt_status st = infer_open_seeing(&e, model, j->look.mmproj, err);
    struct look_args args = j->look;
    if (!st && args.images.n + args.videos.n)
        look_limit(&args, e);
    if (!st)
        st = look_open(&l, &args, model, false, err);
    if (!st)
        st =
            j->raw || j->tokens_path ? raw_answer(j, e, &l, r, err) : chat_answer(j, e, &l, r, err);
    look_close(&l);
    kt_engine_close(e);
    return st;
}

static int run(int argc, char **argv)
{
    struct job j = { .n = 256 };
    bool show_grammar = false;
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
        LOOK_OPTS(j.look),
        REPLY_OPTS(j.reply),
        FORM_OPTS(j.form_args),
        { "--show-grammar", NULL, OPT_FLAG, &show_grammar },
        INFER_MEMORY_OPTS(j.memory),
        INFER_SAMPLING_OPTS(j.sampling),
    };
    if (!cli_parse(&cmd_generate, argc, argv, opts, ARRAY_LEN(opts), NULL) ||
        !infer_memory_parse(&j.memory, &cmd_generate))
        return EXIT_USAGE;
    if (show_grammar) {
        struct kt_error why;
        return form_show(&j.form_args, &why) ? cli_fail("generate", &why) : EXIT_DONE;
    }
    if (!j.prompt == !j.tokens_path)
        return cli_usage(&cmd_generate, "needs a prompt: -p TEXT, or --tokens FILE");
    if ((j.raw || j.tokens_path) && (j.reply.think || j.reply.no_think || j.reply.tools_path))
        return cli_usage(&cmd_generate, "--think, --no-think and --tools belong to a chat: without "
                                        "--raw and --tokens");
    cli_catch_signals();
    struct kt_error err;
    struct kt_generate_result r = { 0 };
    enum kt_status st = form_open(&j.form, &j.form_args, &err);
    if (!st)
        st = generate(&j, &r, &err);
    int rc = st ? cli_fail("generate", &err) : EXIT_DONE;
    form_deinit(&j.form);
    if (rc == EXIT_DONE && r.finish == KT_FINISH_CANCELLED)
        rc = EXIT_FAILED;
    kt_generate_result_deinit(&r);
    return rc;
}

const struct command cmd_generate = {
    "generate",
    "-m MODEL -p TEXT [--image FILE] [--video PATH] [--raw] [-n N] [--grammar FILE] [--json]",
    "Let a model answer one prompt, or continue a text.",
    "Without --raw the prompt is a user's message in the model's own chat layout; control tokens "
    "in it are\n"
    "plain text. With --raw it is the whole prompt, and control tokens such as <|im_end|> are "
    "recognised.\n"
    "Images come before the text, videos after the images; with --raw, where the prompt has "
    "<|image_pad|> and\n"
    "<|vision_start|><|video_pad|><|vision_end|>; with --tokens, where the ids have all their "
    "pads.\n\n"
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
    "filters\n" LOOK_HELP REPLY_HELP FORM_HELP
    "  --show-grammar    print the grammar that --schema becomes, and nothing else\n"
    "  --stop TEXT       end before TEXT; may be given several times\n"
    "  --ignore-stop     go on after the model's own end of the answer, for measuring\n"
    "  --speculate KIND  guess tokens and verify several in one step: auto (default), off, lookup "
    "(what "
    "followed the\n"
    "                    same words before), mtp (the model's multi-token head). The answer is the "
    "same "
    "either way\n"
    "  --json            print {\"text\",\"tokens\",\"finish\",\"speculation\"} and, of a chat,\n"
    "                    {\"reasoning\",\"content\",\"tool_calls\"}\n",
    run,
};
