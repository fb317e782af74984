/* kontor serve: the HTTP server, for one to some people and the programs they use. */
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/api.h"
#include "base/files.h"
#include "base/log.h"
#include "base/size.h"
#include "cli.h"
#include "open.h"

enum { LISTEN_FD_FIRST = 3, LISTEN_FDS_MAX = 16 };

struct serve {
    struct opened o;
    struct kt_engine *chat, *embed, *rank;
    char embedder_id[65];
    char *chat_name, *embed_name, *rank_name;
    struct access *access;
    struct desk *desk;
    struct api *api;
};

/* ---- the service manager --------------------------------------------------------------------- */

/* Tell systemd how far we are; nothing happens without one. The protocol is one datagram. */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof(a.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(a.sun_path, path, n);
    if (path[0] == '@')
        a.sun_path[0] = 0; /* the abstract name space */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a,
               (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        log_event(LOG_WARN, "serve.notify_failed", LOG_END);
    close(fd);
}

/* Sockets that systemd opened for us (socket activation): how many, from LISTEN_FD_FIRST on. */
static size_t inherited_sockets(void)
{
    const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
    if (!pid || !fds || strtol(pid, NULL, 10) != (long)getpid())
        return 0;
    long n = strtol(fds, NULL, 10);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    return n > 0 && n <= LISTEN_FDS_MAX ? (size_t)n : 0;
}

/* ---- beginning and end ----------------------------------------------------------------------- */

/* "SmolLM2-135M-Instruct.Q4_1" of a path to that file. */
static char *model_name(const char *path)
{
    char *copy = strdup(path);
    size_t n = copy ? strlen(copy) : 0;
    while (n > 1 && copy[n - 1] == '/')
        copy[--n] = 0;
    char *name = copy ? strdup(path_base(copy)) : NULL;
    free(copy);
    n = name ? strlen(name) : 0;
    if (n > 5 && strcmp(name + n - 5, ".gguf") == 0)
        name[n - 5] = 0;
    return name;
}

static enum kt_status open_models(struct serve *s, const char *chat, const char *embed,
                                  const char *rank, struct kt_error *err)
{
    struct kt_engine_options eo = { .n_threads = cli_threads() };
    enum kt_status st = open_embedder(&s->embed, s->embedder_id, embed, err);
    if (!st && cli_chat_model(chat))
        st = kt_engine_open(&s->chat, cli_chat_model(chat), &eo, err);
    if (!st && rank)
        st = kt_engine_open(&s->rank, rank, &eo, err);
    if (st)
        return st;
    if (s->rank)
        s->rank_name = model_name(rank);
    if (s->chat)
        s->chat_name = model_name(cli_chat_model(chat));
    if (s->embed)
        s->embed_name = model_name(cli_embed_model(embed));
    if ((s->chat && !s->chat_name) || (s->embed && !s->embed_name) || (s->rank && !s->rank_name))
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    return KT_OK;
}

static void serve_close(struct serve *s, unsigned drain_ms)
{
    api_stop(s->api, drain_ms);
    desk_close(s->desk);
    access_close(s->access);
    kt_engine_close(s->chat);
    kt_engine_close(s->embed);
    kt_engine_close(s->rank);
    opened_close(&s->o);
    free(s->chat_name);
    free(s->embed_name);
    free(s->rank_name);
}

static void say_where(struct serve *s, const struct api_options *o)
{
    for (size_t i = 0; i < o->http.n_listen; i++) {
        const char *address = o->http.listen[i];
        fprintf(stderr, "kontor serve: listening on %s://%.*s:%u\n",
                o->http.cert_path ? "https" : "http", (int)(strrchr(address, ':') - address),
                address, http_server_port(api_http(s->api), i));
    }
    for (size_t i = 0; i < o->http.n_listen_fds; i++)
        fprintf(stderr, "kontor serve: listening on %s://inherited:%u\n",
                o->http.cert_path ? "https" : "http",
                http_server_port(api_http(s->api), o->http.n_listen + i));
    size_t n_users = 0;
    struct kt_error ignored;
    if (access_n_users(s->access, &n_users, &ignored) == KT_OK && n_users == 0)
        fputs("kontor serve: there are no users: it serves programs of this account, and nobody "
              "else. "
              "`kontor user add NAME --admin --password` changes that.\n",
              stderr);
}

/* Until somebody wants it to end. */
static void wait_for_signals(struct serve *s, const sigset_t *set)
{
    for (int sig = 0; sig != SIGTERM && sig != SIGINT;) {
        if (sigwait(set, &sig) != 0)
            return;
        struct kt_error err;
        if (sig != SIGHUP)
            continue;
        notify("RELOADING=1");
        if (http_server_reload(api_http(s->api), &err))
            fprintf(stderr, "kontor serve: the old certificate stays: %s\n", err.text);
        else
            log_event(LOG_INFO, "serve.reloaded", LOG_END);
        notify("READY=1");
    }
    notify("STOPPING=1");
    /* a second one ends it at once */
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, set, NULL);
}

static sigset_t block_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* every thread that begins later inherits it */
    signal(SIGPIPE, SIG_IGN);
    return set;
}

static enum kt_status start(struct serve *s, struct api_options *ao,
                            const struct desk_options *limits, const char *chat, const char *embed,
                            const char *rank, struct kt_error *err)
{
    struct desk_options dopts = *limits;
    enum kt_status st = open_store(&s->o, err);
    if (!st)
        st = access_open(&s->access, s->o.store, err);
    if (!st)
        st = open_models(s, chat, embed, rank, err);
    dopts.chat = s->chat;
    dopts.embed = s->embed;
    dopts.rank = s->rank;
    if (!st)
        st = desk_open(&s->desk, &dopts, err);
    ao->store = s->o.store;
    ao->access = s->access;
    ao->desk = s->desk;
    ao->chat_name = s->chat_name;
    ao->embed_name = s->embed_name;
    ao->rank_name = s->rank_name;
    ao->embedder_id = s->embedder_id;
    return st ? st : api_start(&s->api, ao, err);
}

static int run(int argc, char **argv)
{
    const char *chat = NULL, *embed = NULL, *rank = NULL, *cert = NULL, *key = NULL;
    uint64_t n_ctx = 0, memory_mb = 0, waiting = 0, drain_s = 30;
    struct str_list listen = { 0 }, hosts = { 0 }, roots = { 0 };
    const struct opt opts[] = {
        { "--listen", NULL, OPT_STR_LIST, &listen },
        { "--cert", NULL, OPT_STR, &cert },
        { "--key", NULL, OPT_STR, &key },
        { "--host", NULL, OPT_STR_LIST, &hosts },
        { "--root", NULL, OPT_STR_LIST, &roots },
        { "--model", "-m", OPT_STR, &chat },
        { "--rerank-model", NULL, OPT_STR, &rank },
        { "--embed-model", NULL, OPT_STR, &embed },
        { "--ctx", NULL, OPT_U64, &n_ctx },
        { "--memory", NULL, OPT_U64, &memory_mb },
        { "--waiting", NULL, OPT_U64, &waiting },
        { "--drain", NULL, OPT_U64, &drain_s },
    };
    if (!cli_parse(&cmd_serve, argc, argv, opts, ARRAY_LEN(opts), NULL))
        return EXIT_USAGE;
    if (!cert != !key)
        return cli_usage(&cmd_serve, "--cert and --key go together");
    if (memory_mb > 1 << 24 || n_ctx > INT32_MAX || waiting > 10000 || drain_s > 3600)
        return cli_usage(&cmd_serve, "a number is too large");
    static const char *const DEFAULT_LISTEN[] = { "127.0.0.1:8080" };
    int fds[LISTEN_FDS_MAX];
    size_t n_fds = inherited_sockets();
    for (size_t i = 0; i < n_fds; i++)
        fds[i] = LISTEN_FD_FIRST + (int)i;
    bool by_default = listen.n == 0 && n_fds == 0;
    struct api_options ao = {
        .hosts = hosts.items,
        .n_hosts = hosts.n,
        .roots = roots.items,
        .n_roots = roots.n,
        .http = { .listen = by_default ? DEFAULT_LISTEN : listen.items,
                  .n_listen = by_default ? 1 : listen.n,
                  .listen_fds = fds,
                  .n_listen_fds = n_fds,
                  .cert_path = cert,
                  .key_path = key },
    };
    struct desk_options limits = { .n_ctx = n_ctx,
                                   .memory_bytes = memory_mb * 1000000,
                                   .n_waiting = waiting };
    if (!getenv("KONTOR_LOG"))
        log_set_level(LOG_INFO);
    sigset_t set = block_signals();
    struct serve s = { 0 };
    struct kt_error err;
    enum kt_status st = start(&s, &ao, &limits, chat, embed, rank, &err);
    if (!st) {
        say_where(&s, &ao);
        notify("READY=1");
        wait_for_signals(&s, &set);
    }
    serve_close(&s, (unsigned)drain_s * 1000);
    return st ? cli_fail("serve", &err) : EXIT_DONE;
}

const struct command cmd_serve = {
    "serve",
    "[--listen ADDRESS:PORT]... [-m MODEL] [--embed-model MODEL]",
    "Serve an HTTP API: OpenAI's and Anthropic's dialects, and the office's own.",
    "Listens on 127.0.0.1:8080. Other addresses need --cert, --key and a user (kontor user add). "
    "What it\n"
    "answers is in docs/SERVER.md and at /openapi.json. SIGTERM lets what runs finish; SIGHUP "
    "reads the\n"
    "certificate again. Log lines go to standard error, without content ($KONTOR_LOG: error warn "
    "info debug).\n\n"
    "  --listen A:P      an address to listen on: 127.0.0.1:8080, [::1]:8080, 0.0.0.0:443; may be "
    "repeated\n"
    "  --cert F, --key F certificate chain and private key, PEM\n"
    "  --host NAME       a name clients call this server by (behind a proxy: the proxy's); may be "
    "repeated\n"
    "  -m, --model M     the model that writes; default: the configured one\n"
    "  --embed-model M   the model that finds; default: the configured one\n"
    "  --rerank-model M  a model for /v1/rerank; default: the one that finds\n"
    "  --ctx N           tokens of a conversation (default 8192, or what the model was trained "
    "for)\n"
    "  --memory MB       for the last conversations, kept warm (default: half of what is free)\n"
    "  --waiting N       requests that may wait for a model (default 64); more are told to come "
    "back\n"
    "  --root DIR        a folder that administrators may index through the API; may be repeated\n"
    "  --drain S         seconds that running requests get when it is told to end (default 30)\n",
    run,
};
