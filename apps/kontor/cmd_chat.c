/* kontor chat: a conversation in the terminal. Ctrl-C ends the answer, not the conversation; /exit
 * or Ctrl-D ends the conversation. Works in a pipe, too: each line is a message, each answer goes
 * to stdout. Where the model calls a tool, the next line is what the tool answers. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/size.h"
#include "base/status.h"
#include "form.h"
#include "infer.h"
#include "look.h"
#include "reply_view.h"
#include "talk.h"

enum {
    CONTEXT_TOKENS = 4096,
    ANSWER_TOKENS_MIN = 256, /* room kept for an answer when old messages are dropped */
};

struct chat {
    struct kt_engine *engine;
    struct kt_context *context;
    const char *model;
    struct kt_chat_options options; /* its tools are owned */
    struct talk talk;
    size_t n_system;
    struct look_args look_args;
    struct look look; /* all that was ever shown              */
    size_t n_shown;   /* of these, how many stand in messages */
    struct reply_view view;
    size_t n_ctx;
    struct kt_sampling sampling;
    struct form form; /* of every answer */
    bool interactive;
};

static volatile sig_atomic_t stop_answer;

static void on_interrupt(int sig)
{
    (void)sig;
    stop_answer = 1;
}

static void catch_interrupt(void)
{
    struct sigaction sa = { .sa_handler = on_interrupt };
    sigaction(SIGINT, &sa, NULL);
}

/* Returns what was blocked before. */
static sigset_t block_interrupt(void)
{
    sigset_t block, before;
    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    pthread_sigmask(SIG_BLOCK, &block, &before);
    return before;
}

/* Wait at the prompt; false when Ctrl-C came. It is blocked until ppoll() lets it in, so that it
 * cannot slip in between looking and waiting. A terminal gives one line a read: none waits in
 * stdio's buffer. */
static bool wait_for_line(void)
{
    sigset_t before = block_interrupt();
    struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
    bool interrupted = stop_answer || (ppoll(&in, 1, NULL, &before) < 0 && errno == EINTR);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return !interrupted;
}

/* The conversation as tokens; when it has grown too long, its oldest question and answer go. */
static enum kt_status fit(struct chat *c, struct kt_chat_prompt *p, struct kt_error *err)
{
    for (;;) {
        enum kt_status st = kt_chat_build(c->engine, c->talk.msgs, c->talk.n, &c->options, p, err);
        if (st)
            return st;
        size_t n_oldest = talk_oldest(&c->talk, c->n_system);
        if (p->n_ids + MIN((size_t)ANSWER_TOKENS_MIN, c->n_ctx / 4) <= c->n_ctx || !n_oldest)
            return KT_OK;
        kt_chat_prompt_deinit(p);
        talk_drop(&c->talk, c->n_system, n_oldest);
        fputs("(the conversation is long: its oldest question and answer are forgotten)\n", stderr);
    }
}

static bool show(void *ctx, const char *text, size_t len)
{
    struct chat *c = ctx;
    return reply_view_text(&c->view, text, len) && !stop_answer;
}

static bool go_on(void *ctx, size_t n_done, size_t n_total)
{
    (void)ctx;
    (void)n_done;
    (void)n_total;
    return !stop_answer;
}

/* The assistant's next turn, shown and kept. */
static enum kt_status answer_turn(struct chat *c, struct kt_error *err)
{
    struct kt_chat_prompt p = { 0 };
    struct kt_generate_result r = { 0 };
    const struct kt_reply *reply;
    enum kt_status st = fit(c, &p, err);
    if (!st)
        st = reply_view_open(&c->view, &c->options, p.thinking, false, err);
    if (!st) {
        struct kt_generate_request rq = { .prompt = p.ids,
                                          .n_prompt = p.n_ids,
                                          .media = p.media,
                                          .n_media = p.n_media,
                                          .sampling = c->sampling,
                                          .on_text = show,
                                          .on_progress = go_on,
                                          .callback_ctx = c };
        form_apply(&c->form, p.thinking, p.may_think, &rq);
        st = kt_generate(c->context, &rq, &r, err);
    }
    kt_chat_prompt_deinit(&p);
    if (!st)
        st = reply_view_finish(&c->view, &reply, err);
    if (!st) {
        fputs(r.finish == KT_FINISH_CANCELLED ? " [stopped]\n" : "\n", stdout);
        fflush(stdout);
        st = talk_push_reply(&c->talk, reply, err);
    }
    reply_view_close(&c->view);
    kt_generate_result_deinit(&r);
    return st;
}

/* The next line without its end; NULL at the end of input. */
static char *read_message(struct chat *c, const char *whose)
{
    for (bool ready = !c->interactive; !ready;) {
        stop_answer = 0;
        printf("%s> ", whose);
        fflush(stdout);
        ready = wait_for_line();
        if (!ready)
            fputs("\n(/exit or Ctrl-D ends the conversation)\n", stderr);
    }
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;
    while ((len = getline(&line, &cap, stdin)) < 0 && errno == EINTR && !feof(stdin))
        clearerr(stdin);
    if (len < 0) {
        free(line);
        return NULL;
    }
    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
        line[--len] = 0;
    return line;
}

/* What the tools say that the last message calls; false at the end of input. */
static enum kt_status ask_tools(struct chat *c, bool *more, struct kt_error *err)
{
    const struct kt_chat_message *m = &c->talk.msgs[c->talk.n - 1];
    size_t n_calls = m->n_calls;
    enum kt_status st = KT_OK;
    *more = n_calls > 0 && !stop_answer;
    for (size_t i = 0; i < n_calls && *more && !st; i++) {
        char *line = read_message(c, m->calls[i].name);
        *more = line != NULL;
        if (line)
            st = talk_push(&c->talk, "tool", line, strlen(line), NULL, 0, err);
        free(line);
    }
    return st;
}

/* A question, with the pictures shown since the last one, and all turns until the model has said what it
 * has to say. */
static enum kt_status answer(struct chat *c, const char *question, struct kt_error *err)
{
    size_t n_new = c->look.n - c->n_shown;
    struct kt_chat_part *parts = calloc(n_new + 1, sizeof(*parts));
    if (!parts)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    for (size_t i = 0; i < n_new; i++)
        parts[i] = look_part(c->look.items[c->n_shown + i]);
    enum kt_status st = talk_push(&c->talk, "user", question, strlen(question), parts, n_new, err);
    free(parts);
    stop_answer = 0;
    for (bool more = true; more && !st;) {
        st = answer_turn(c, err);
        if (!st)
            st = ask_tools(c, &more, err);
    }
    if (!st)
        c->n_shown += n_new;
    else
        talk_drop_last(&c->talk); /* what could not be answered */
    return st;
}

/* "/image FILE", "/video PATH": for the next question. */
static bool shows(struct chat *c, const char *line, enum kt_status *st, struct kt_error *err)
{
    bool video = strncmp(line, "/video ", 7) == 0;
    if (!video && strncmp(line, "/image ", 7) != 0)
        return false;
    look_limit(&c->look_args, c->engine);
    *st = look_add(&c->look, &c->look_args, video, line + 7, c->model, false, err);
    return true;
}

/* An answer that failed ends a piped conversation; a person may go on with a shorter question. */
static enum kt_status converse(struct chat *c, struct kt_error *err)
{
    if (c->interactive)
        fputs("Ctrl-C stops an answer; /image FILE and /video PATH show something; /exit or Ctrl-D "
              "ends the conversation.\n",
              stderr);
    enum kt_status st = KT_OK;
    for (char *line; !st && (line = read_message(c, "")); free(line)) {
        if (strcmp(line, "/exit") == 0) {
            free(line);
            break;
        }
        if (line[strspn(line, " \t")] == 0)
            continue;
        if (!shows(c, line, &st, err))
            st = answer(c, line, err);
        if (st && c->interactive) {
            cli_fail("chat", err);
            st = KT_OK;
        }
    }
    if (c->interactive)
        putchar('\n');
    return st;
}

static enum kt_status chat_open(struct chat *c, const char *system_text, uint64_t n_ctx,
                                const char *speculate, struct kt_error *err)
{
    struct kt_context_options o = { 0 };
    enum kt_status st = infer_speculate(speculate, &o.speculate, err);
    if (!st)
        st = infer_open_seeing(&c->engine, c->model, c->look_args.mmproj, err);
    if (st)
        return st;
    struct kt_engine_info info;
    kt_engine_info(c->engine, &info);
    if (!info.is_encoder && !info.chat_layout)
        return kt_fail(
            err, KT_E_UNSUPPORTED,
            "the model's chat layout is unknown; it can only continue text (generate --raw)");
    c->n_ctx = n_ctx ? n_ctx : MIN((size_t)info.n_ctx_train, (size_t)CONTEXT_TOKENS);
    c->interactive = isatty(STDIN_FILENO);
    o.n_ctx = c->n_ctx;
    st = kt_context_create(&c->context, c->engine, &o, err);
    if (!st)
        st = talk_init(&c->talk, err);
    if (!st && system_text)
        st = talk_push(&c->talk, "system", system_text, strlen(system_text), NULL, 0, err);
    c->n_system = c->talk.n;
    if (!st && c->look_args.images.n + c->look_args.videos.n)
        look_limit(&c->look_args, c->engine);
    if (!st)
        st = look_open(&c->look, &c->look_args, c->model, false, err);
    return st;
}

static void chat_close(struct chat *c)
{
    talk_deinit(&c->talk);
    form_deinit(&c->form);
    look_close(&c->look);
    free((char *)c->options.tools);
    kt_context_destroy(c->context);
    kt_engine_close(c->engine);
}

static int run(int argc, char **argv)
{
    const char *model = NULL, *system_text = NULL, *speculate = NULL;
    uint64_t n_ctx = 0;
    struct infer_sampling sampling = { .temperature = 0.7, .top_p = 0.8, .top_k = 20 };
    struct reply_args reply = { 0 };
    struct form_args form = { 0 };
    struct chat c = { 0 };
    const struct opt opts[] = {
        { "--model", "-m", OPT_STR, &model },
        { "--system", NULL, OPT_STR, &system_text },
        { "--ctx", NULL, OPT_U64, &n_ctx },
        { "--speculate", NULL, OPT_STR, &speculate },
        LOOK_OPTS(c.look_args),
        REPLY_OPTS(reply),
        FORM_OPTS(form),
        INFER_SAMPLING_OPTS(sampling),
    };
    if (!cli_parse(&cmd_chat, argc, argv, opts, ARRAY_LEN(opts), NULL))
        return EXIT_USAGE;
    catch_interrupt();
    struct kt_error err;
    c.sampling = infer_sampling(&sampling);
    c.model = cli_chat_model(model);
    sigset_t before =
        block_interrupt(); /* the engine's threads inherit it: Ctrl-C comes to this one */
    enum kt_status st = reply_view_options(&c.options, &reply, &err);
    if (!st)
        st = form_open(&c.form, &form, &err);
    if (!st)
        st = chat_open(&c, system_text, n_ctx, speculate, &err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!st)
        st = converse(&c, &err);
    chat_close(&c);
    return st ? cli_fail("chat", &err) : EXIT_DONE;
}

const struct command cmd_chat = {
    "chat",
    "[-m MODEL] [--system TEXT] [--image FILE] [--video PATH]",
    "Talk with a model in the terminal.",
    "Ctrl-C stops an answer; /exit or Ctrl-D ends the conversation. In a pipe each line is a "
    "message.\n"
    "/image FILE and /video PATH show the model something with the next message, as --image and "
    "--video do with\n"
    "the first. Where it calls a tool, the next line is the tool's answer. Nothing is stored.\n\n"
    "  -m, --model M     the model; default: the configured chat model\n"
    "  --system TEXT     instructions before the conversation\n"
    "  --ctx N           size of the context in tokens (default 4096, or what the model was "
    "trained for)\n"
    "  --speculate KIND  guess tokens: auto (default), off, lookup, mtp, as in `kontor "
    "generate`\n" LOOK_HELP REPLY_HELP FORM_HELP
    "  --temp T          default 0.7; 0: always the most likely token\n"
    "  --top-k K, --top-p P, --min-p P, --presence X, --seed S    default 20, 0.8, 0, 0, 0\n",
    run,
};
