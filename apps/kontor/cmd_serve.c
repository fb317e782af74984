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
#include "base/log.h"
#include "cli.h"
#include "open.h"
#include "sandbox/house.h"
#include "serve.h"
#include "settings.h"

enum { LISTEN_FD_FIRST = 3, LISTEN_FDS_MAX = 16 };

struct serve {
    struct opened o;
    struct access *access;
    struct kept *kept;
    struct crew *crew;
    char *signature; /* of the crew */
    struct api *api;
};

/* ---- the service manager --------------------------------------------------------------------- */

/* Connected once, while sockets can still be had (sandbox/house.h). */
static int notify_fd = -1;

static void notify_connect(void)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    size_t n = path ? strlen(path) : 0;
    if (n < 2 || n >= sizeof(a.sun_path) || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(a.sun_path, path, n);
    if (path[0] == '@')
        a.sun_path[0] = 0; /* the abstract name space */
    notify_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (notify_fd >= 0 && connect(notify_fd, (struct sockaddr *)&a,
                                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) != 0) {
        log_event(LOG_WARN, "serve.notify_failed", LOG_END);
        close(notify_fd);
        notify_fd = -1;
    }
}

/* Tell systemd how far we are; nothing happens without one. The protocol is one datagram. */
static void notify(const char *state)
{
    if (notify_fd >= 0 && send(notify_fd, state, strlen(state), MSG_NOSIGNAL) < 0)
        log_event(LOG_WARN, "serve.notify_failed", LOG_END);
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

static void serve_close(struct serve *s, unsigned drain_ms)
{
    api_stop(s->api, drain_ms);
    crew_let_go(s->crew);
    kept_close(s->kept);
    access_close(s->access);
    opened_close(&s->o);
    free(s->signature);
    if (notify_fd >= 0)
        close(notify_fd);
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

/* Other models, when the settings name others now or other files lie there. Those that serve go on until the new ones
 * can; on failure they stay. */
static enum kt_status reload_models(struct serve *s, const struct serve_options *given,
                                    struct kt_error *err)
{
    struct serve_options o = *given;
    char *signature = NULL;
    struct crew *crew = NULL;
    enum kt_status st = settings_reload(cli_home(), err);
    if (!st)
        st = serve_options_fill(&o, err);
    if (!st)
        st = serve_signature(&signature, &o, err);
    if (!st && strcmp(signature, s->signature) != 0)
        st = serve_crew_open(&crew, &o, s->signature, err);
    if (crew) {
        api_set_crew(s->api, crew);
        crew_let_go(s->crew);
        s->crew = crew;
        free(s->signature);
        s->signature = signature;
        signature = NULL;
        log_event(LOG_INFO, "serve.models_changed", LOG_U64("writing", crew->n_chats), LOG_END);
    }
    free(signature);
    return st;
}

static void reload(struct serve *s, const struct serve_options *given)
{
    struct kt_error err;
    notify("RELOADING=1");
    enum kt_status certificate = http_server_reload(api_http(s->api), &err);
    if (certificate)
        fprintf(stderr, "kontor serve: the old certificate stays: %s\n", err.text);
    enum kt_status models = reload_models(s, given, &err);
    if (models)
        fprintf(stderr, "kontor serve: the models stay as they are: %s\n", err.text);
    log_event(certificate || models ? LOG_WARN : LOG_INFO, "serve.reloaded",
              LOG_WORD("certificate", certificate ? "failed" : "ok"),
              LOG_WORD("models", models ? "failed" : "ok"), LOG_END);
    notify("READY=1");
}

/* Until somebody wants it to end. */
static void wait_for_signals(struct serve *s, const struct serve_options *given,
                             const sigset_t *set)
{
    for (int sig = 0; sig != SIGTERM && sig != SIGINT;) {
        if (sigwait(set, &sig) != 0)
            return;
        if (sig == SIGHUP)
            reload(s, given);
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

/* From here on nothing is written outside the home and the folders for what is temporary. */
static enum kt_status wall_in(struct kt_error *err)
{
    const char *tmp = getenv("TMPDIR");
    const char *const folders[] = { cli_home(), "/tmp", "/dev/shm", tmp && tmp[0] ? tmp : "/tmp",
                                    NULL };
    int abi;
    enum kt_status st = house_writes_up(folders, &abi, err);
    if (!st)
        log_event(LOG_INFO, "serve.walled", LOG_I64("landlock", abi), LOG_END);
    return st;
}

static enum kt_status start(struct serve *s, struct api_options *ao, const struct serve_options *o,
                            struct kt_error *err)
{
    enum kt_status st = open_store(&s->o, err);
    if (!st)
        st = wall_in(err);
    if (!st)
        st = access_open(&s->access, s->o.store, err);
    if (!st)
        st = kept_open(&s->kept, s->o.store, NULL, err);
    if (!st)
        st = api_forget_users(s->kept, s->access, err);
    if (!st)
        st = serve_signature(&s->signature, o, err);
    if (!st)
        st = serve_crew_open(&s->crew, o, NULL, err);
    ao->store = s->o.store;
    ao->access = s->access;
    ao->kept = s->kept;
    ao->crew = s->crew;
    return st ? st : api_start(&s->api, ao, err);
}

static int run(int argc, char **argv)
{
    struct serve_options given = { .drain_s = SERVE_NOT_SAID };
    struct opt opts[SERVE_OPTIONS];
    size_t n_opts = serve_option_table(&given, opts);
    if (!cli_parse(&cmd_serve, argc, argv, opts, n_opts, NULL))
        return EXIT_USAGE;
    static const char *const DEFAULT_LISTEN[] = { "127.0.0.1:8080" };
    struct serve_options o = given;
    struct kt_error err;
    int fds[LISTEN_FDS_MAX];
    size_t n_fds = inherited_sockets();
    for (size_t i = 0; i < n_fds; i++)
        fds[i] = LISTEN_FD_FIRST + (int)i;
    if (serve_options_fill(&o, &err))
        return cli_usage(&cmd_serve, "%s", err.text);
    bool by_default = o.listen.n == 0 && n_fds == 0;
    struct api_options ao = {
        .hosts = o.hosts.items,
        .n_hosts = o.hosts.n,
        .roots = o.roots.items,
        .n_roots = o.roots.n,
        .http = { .listen = by_default ? DEFAULT_LISTEN : o.listen.items,
                  .n_listen = by_default ? 1 : o.listen.n,
                  .listen_fds = fds,
                  .n_listen_fds = n_fds,
                  .opened = house_wall_up,
                  .cert_path = o.cert,
                  .key_path = o.key },
    };
    if (!getenv("KONTOR_LOG"))
        log_set_level(LOG_INFO);
    sigset_t set = block_signals();
    notify_connect();
    struct serve s = { 0 };
    enum kt_status st = start(&s, &ao, &o, &err);
    if (!st) {
        say_where(&s, &ao);
        notify("READY=1");
        wait_for_signals(&s, &given, &set);
    }
    serve_close(&s, (unsigned)o.drain_s * 1000);
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
    "certificate and the settings again, and changes to other models without losing a request.\n"
    "What is not said here is taken from settings.ini under [serve]. Log lines go to standard "
    "error, without content ($KONTOR_LOG: error warn "
    "info debug).\n\n"
    "  --listen A:P      an address to listen on: 127.0.0.1:8080, [::1]:8080, 0.0.0.0:443; may be "
    "repeated\n"
    "  --cert F, --key F certificate chain and private key, PEM\n"
    "  --host NAME       a name clients call this server by (behind a proxy: the proxy's); may be "
    "repeated\n"
    "  -m, --model M     the model that writes; may be repeated, clients choose by name; default: "
    "the "
    "configured ones\n"
    "  --embed-model M   the model that finds; default: the configured one\n"
    "  --rerank-model M  a model for /v1/rerank; default: the one that finds\n"
    "  --ctx N           tokens of a conversation (default 8192, or what the model was trained "
    "for)\n"
    "  --memory MB       for everything: models, answers at work, the last conversations kept "
    "warm\n"
    "                    (default: leaves half of what is free to others)\n"
    "  --streams N       answers written at the same time, at most (default 8)\n"
    "  --waiting N       requests that may wait for a model (default 64); more are told to come "
    "back\n"
    "  --root DIR        a folder that administrators may index through the API; may be repeated\n"
    "  --drain S         seconds that running requests get when it is told to end (default 30)\n",
    run,
};
