/* kontor chat: a conversation in the terminal. Ctrl-C ends the answer, not the conversation; /exit
 * or Ctrl-D ends the conversation. Works in a pipe, too: each line is a message, each answer goes
 * to stdout. */
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
#include "infer.h"

enum {
    CONTEXT_TOKENS = 4096,
    ANSWER_TOKENS_MIN = 256, /* room kept for an answer when old messages are dropped */
    MESSAGES_MAX = 4096,
};

struct chat {
    struct kt_engine *engine;
    struct kt_context *context;
    struct kt_message *msgs; /* texts are owned */
    size_t n_msgs, n_system;
    size_t n_ctx;
    struct kt_sampling sampling;
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

static enum kt_status push(struct chat *c, const char *role, const char *text, size_t len,
                           struct kt_error *err)
{
    if (c->n_msgs == MESSAGES_MAX)
        return kt_fail(err, KT_E_LIMIT, "a conversation ends after %d messages", MESSAGES_MAX);
    char *copy = strndup(text, len);
    if (!copy)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    c->msgs[c->n_msgs++] = (struct kt_message){ role, copy, strlen(copy) };
    return KT_OK;
}

static void drop(struct chat *c, size_t first, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free((char *)c->msgs[first + i].text);
    memmove(c->msgs + first, c->msgs + first + n, (c->n_msgs - first - n) * sizeof(*c->msgs));
    c->n_msgs -= n;
}

/* The conversation as tokens; when it has grown too long, its oldest question and answer go. */
static enum kt_status fit(struct chat *c, int32_t **ids, size_t *n, struct kt_error *err)
{
    for (;;) {
        enum kt_status st = kt_chat_tokens(c->engine, c->msgs, c->n_msgs, ids, n, err);
        if (st)
            return st;
        bool last = c->n_msgs - c->n_system < 3;
        if (*n + MIN((size_t)ANSWER_TOKENS_MIN, c->n_ctx / 4) <= c->n_ctx || last)
            return KT_OK;
        free(*ids);
        drop(c, c->n_system, 2);
        fputs("(the conversation is long: its oldest question and answer are forgotten)\n", stderr);
    }
}

static bool show(void *ctx, const char *text, size_t len)
{
    (void)ctx;
    return fwrite(text, 1, len, stdout) == len && fflush(stdout) == 0 && !stop_answer;
}

static bool go_on(void *ctx, size_t n_done, size_t n_total)
{
    (void)ctx;
    (void)n_done;
    (void)n_total;
    return !stop_answer;
}

static enum kt_status answer(struct chat *c, const char *question, struct kt_error *err)
{
    enum kt_status st = push(c, "user", question, strlen(question), err);
    if (st)
        return st;
    int32_t *ids = NULL;
    size_t n = 0;
    struct kt_generate_result r = { 0 };
    stop_answer = 0;
    st = fit(c, &ids, &n, err);
    if (!st) {
        struct kt_generate_request rq = { .prompt = ids,
                                          .n_prompt = n,
                                          .sampling = c->sampling,
                                          .on_text = show,
                                          .on_progress = go_on };
        st = kt_generate(c->context, &rq, &r, err);
    }
    free(ids);
    if (!st) {
        fputs(r.finish == KT_FINISH_CANCELLED ? " [stopped]\n" : "\n", stdout);
        fflush(stdout);
        st = push(c, "assistant", r.text, r.text_len, err);
    } else {
        drop(c, c->n_msgs - 1, 1); /* the question that could not be answered */
    }
    kt_generate_result_deinit(&r);
    return st;
}

/* The next message without its line end; NULL at the end of input. */
static char *read_message(struct chat *c)
{
    for (bool ready = !c->interactive; !ready;) {
        stop_answer = 0;
        fputs("> ", stdout);
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

/* An answer that failed ends a piped conversation; a person may go on with a shorter question. */
static enum kt_status converse(struct chat *c, struct kt_error *err)
{
    if (c->interactive)
        fputs("Ctrl-C stops an answer; /exit or Ctrl-D ends the conversation.\n", stderr);
    enum kt_status st = KT_OK;
    for (char *line; !st && (line = read_message(c)); free(line)) {
        if (strcmp(line, "/exit") == 0) {
            free(line);
            break;
        }
        if (line[strspn(line, " \t")] == 0)
            continue;
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

static enum kt_status chat_open(struct chat *c, const char *model, const char *system_text,
                                uint64_t n_ctx, struct kt_error *err)
{
    enum kt_status st = infer_open(&c->engine, cli_chat_model(model), err);
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
    st = kt_context_create(&c->context, c->engine,
                           &(struct kt_context_options){ .n_ctx = c->n_ctx }, err);
    if (!st && !(c->msgs = calloc(MESSAGES_MAX, sizeof(*c->msgs))))
        st = kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!st && system_text)
        st = push(c, "system", system_text, strlen(system_text), err);
    c->n_system = c->n_msgs;
    return st;
}

static void chat_close(struct chat *c)
{
    drop(c, 0, c->n_msgs);
    free(c->msgs);
    kt_context_destroy(c->context);
    kt_engine_close(c->engine);
}

static int run(int argc, char **argv)
{
    const char *model = NULL, *system_text = NULL;
    uint64_t n_ctx = 0;
    struct infer_sampling sampling = { .temperature = 0.7, .top_p = 0.8, .top_k = 20 };
    const struct opt opts[] = {
        { "--model", "-m", OPT_STR, &model },
        { "--system", NULL, OPT_STR, &system_text },
        { "--ctx", NULL, OPT_U64, &n_ctx },
        INFER_SAMPLING_OPTS(sampling),
    };
    if (!cli_parse(&cmd_chat, argc, argv, opts, ARRAY_LEN(opts), NULL))
        return EXIT_USAGE;
    catch_interrupt();
    struct kt_error err;
    struct chat c = { .sampling = infer_sampling(&sampling) };
    sigset_t before =
        block_interrupt(); /* the engine's threads inherit it: Ctrl-C comes to this one */
    enum kt_status st = chat_open(&c, model, system_text, n_ctx, &err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!st)
        st = converse(&c, &err);
    chat_close(&c);
    return st ? cli_fail("chat", &err) : EXIT_DONE;
}

const struct command cmd_chat = {
    "chat",
    "[-m MODEL] [--system TEXT]",
    "Talk with a model in the terminal.",
    "Ctrl-C stops an answer; /exit or Ctrl-D ends the conversation. In a pipe each line is a "
    "message.\n"
    "Nothing is stored.\n\n"
    "  -m, --model M     the model; default: the configured chat model\n"
    "  --system TEXT     instructions before the conversation\n"
    "  --ctx N           size of the context in tokens (default 4096, or what the model was "
    "trained for)\n"
    "  --temp T          default 0.7; 0: always the most likely token\n"
    "  --top-k K, --top-p P, --min-p P, --presence X, --seed S    default 20, 0.8, 0, 0, 0\n",
    run,
};
