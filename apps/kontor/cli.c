/* What the commands share: arguments, messages, JSON, progress, and which model to use. */
#include "cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/utf8.h"
#include "hub/models.h"
#include "kontor/store.h"
#include "settings.h"

/* ---- arguments ------------------------------------------------------------------------------- */

static const char *home_option;
static uint64_t threads_option;

static const struct opt COMMON[] = {
    { "--home", NULL, OPT_STR, &home_option },
    { "--threads", "-t", OPT_U64, &threads_option },
};

int cli_print_help(const struct command *cmd)
{
    printf("usage: kontor %s %s\n\n%s\n", cmd->name, cmd->args, cmd->summary);
    if (cmd->help && cmd->help[0])
        printf("\n%s", cmd->help);
    fputs("\nEvery command also takes:\n"
          "  --home DIR        where everything is kept\n"
          "  -t, --threads N   processors to use (default: all this process may use)\n",
          stdout);
    return EXIT_DONE;
}

int cli_usage(const struct command *cmd, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "kontor %s: ", cmd->name);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nusage: kontor %s %s\n`kontor %s --help` explains it.\n", cmd->name,
            cmd->args, cmd->name);
    return EXIT_USAGE;
}

static bool name_matches(const char *name, const char *arg, size_t arg_len)
{
    return name && strlen(name) == arg_len && strncmp(name, arg, arg_len) == 0;
}

static const struct opt *find_opt(const struct opt *opts, size_t n, const char *arg, size_t arg_len)
{
    for (size_t i = 0; i < n; i++) {
        if (name_matches(opts[i].name, arg, arg_len) || name_matches(opts[i].alias, arg, arg_len))
            return &opts[i];
    }
    return NULL;
}

/* Arrays of arguments live as long as the program: every command has many ways out, and none has to free
 * them. The chain keeps them reachable. */
static struct kept {
    struct kept *next;
    const char **items;
} * kept;

static bool keep(const char **items)
{
    struct kept *k = malloc(sizeof(*k));
    if (!k)
        return false;
    *k = (struct kept){ kept, items };
    kept = k;
    return true;
}

bool cli_append(struct str_list *l, const char *s)
{
    const char **items = calloc(l->n + 2, sizeof(*items));
    if (!items || !keep(items)) {
        free(items);
        return false;
    }
    if (l->n)
        memcpy(items, l->items, l->n * sizeof(*items));
    items[l->n] = s;
    *l = (struct str_list){ items, l->n + 1 };
    return true;
}

bool cli_split(struct str_list *l, const char *text)
{
    for (const char *p = text; *p; p += strcspn(p, ",") + (p[strcspn(p, ",")] == ',')) {
        const char *from = p + strspn(p, " \t");
        size_t len = strcspn(from, ",");
        while (len && (from[len - 1] == ' ' || from[len - 1] == '\t'))
            len--;
        char *item = len ? strndup(from, len) : NULL;
        if (len && (!item || !cli_append(l, item))) {
            free(item);
            return false;
        }
    }
    return true;
}

/* argv bounds the number of items, so the array is made once. */
static bool list_push(struct str_list *l, int argc, const char *s)
{
    if (!l->items) {
        l->items = calloc((size_t)argc, sizeof(*l->items));
        if (!l->items || !keep(l->items))
            return false;
    }
    l->items[l->n++] = s;
    return true;
}

static bool store_value(const struct command *cmd, const struct opt *o, int argc, const char *value)
{
    char *end;
    errno = 0;
    switch (o->kind) {
    case OPT_FLAG:
        *(bool *)o->value = true;
        return true;
    case OPT_STR:
        *(const char **)o->value = value;
        return true;
    case OPT_STR_LIST:
        return list_push(o->value, argc, value);
    case OPT_U64: {
        unsigned long long n = strtoull(value, &end, 10);
        if (errno || end == value || *end || strchr(value, '-')) {
            cli_usage(cmd, "%s takes a whole number of at least 0, not '%s'", o->name, value);
            return false;
        }
        *(uint64_t *)o->value = n;
        return true;
    }
    case OPT_F64: {
        double f = strtod(value, &end);
        if (errno || end == value || *end || f != f) {
            cli_usage(cmd, "%s takes a number, not '%s'", o->name, value);
            return false;
        }
        *(double *)o->value = f;
        return true;
    }
    }
    return false;
}

bool cli_parse(const struct command *cmd, int argc, char **argv, const struct opt *opts,
               size_t n_opts, struct str_list *rest)
{
    bool only_positional = false;
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (only_positional || arg[0] != '-' || arg[1] == '\0') {
            if (!rest) {
                cli_usage(cmd, "does not take '%s'", arg);
                return false;
            }
            if (!list_push(rest, argc, arg))
                return false;
            continue;
        }
        if (strcmp(arg, "--") == 0) {
            only_positional = true;
            continue;
        }
        if (strcmp(arg, "--help") == 0)
            exit(cli_print_help(cmd));

        const char *eq = arg[1] == '-' ? strchr(arg, '=') : NULL;
        size_t name_len = eq ? (size_t)(eq - arg) : strlen(arg);
        const struct opt *o = find_opt(opts, n_opts, arg, name_len);
        if (!o)
            o = find_opt(COMMON, sizeof(COMMON) / sizeof(COMMON[0]), arg, name_len);
        if (!o) {
            cli_usage(cmd, "does not know the option '%.*s'", (int)name_len, arg);
            return false;
        }
        const char *value = eq ? eq + 1 : NULL;
        if (o->kind == OPT_FLAG && value) {
            cli_usage(cmd, "%s takes no value", o->name);
            return false;
        }
        if (o->kind != OPT_FLAG && !value) {
            if (i + 1 >= argc) {
                cli_usage(cmd, "%s needs a value", o->name);
                return false;
            }
            value = argv[++i];
        }
        if (!store_value(cmd, o, argc, value))
            return false;
    }
    return true;
}

const char *cli_home(void)
{
    static char *home;
    if (home_option)
        return home_option;
    if (!home)
        home = kt_default_home();
    if (!home) {
        fputs("kontor: no home folder is known; give one with --home DIR or $KONTOR_HOME\n",
              stderr);
        exit(EXIT_USAGE);
    }
    return home;
}

uint32_t cli_threads(void)
{
    return threads_option > 256 ? 256 : (uint32_t)threads_option;
}

/* ---- output ---------------------------------------------------------------------------------- */

int cli_fail(const char *command, const struct kt_error *err)
{
    cli_progress_end();
    fprintf(stderr, "kontor %s: %s\n", command, err->text);
    switch (err->status) {
    case KT_E_USAGE:
        return EXIT_USAGE;
    case KT_E_FORMAT:
    case KT_E_UNSUPPORTED:
    case KT_E_NOTFOUND:
        return EXIT_BAD_INPUT;
    default:
        return EXIT_FAILED;
    }
}

int cli_print_json(json_t *value)
{
    /* JSON_ENSURE_ASCII is off: people read this too. */
    int rc =
        value ? json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(9))
              : -1;
    json_decref(value);
    if (rc != 0 || fputc('\n', stdout) == EOF || fflush(stdout) != 0) {
        fputs("kontor: cannot write the result to standard output\n", stderr);
        return EXIT_FAILED;
    }
    return EXIT_DONE;
}

json_t *cli_json_float_array(const float *v, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(a, json_real((double)v[i]));
    return a;
}

json_t *cli_json_text(const char *text, size_t len)
{
    struct buf b = { 0 };
    utf8_repair(&b, (struct span){ text, len });
    json_t *s = b.ptr ? json_stringn(b.ptr, b.len) : json_string("");
    buf_deinit(&b);
    return s;
}

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
    (void)sig;
    interrupted = 1;
}

void cli_catch_signals(void)
{
    struct sigaction sa = { .sa_handler = on_signal,
                            .sa_flags = SA_RESETHAND }; /* twice: really stop */
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
}

bool cli_interrupted(void)
{
    return interrupted;
}

static bool progress_shown;

static size_t terminal_columns(void)
{
    struct winsize ws;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col ? ws.ws_col : 80;
}

/* The beginning of s that fits n columns, cut between characters. */
static int fitting_bytes(const char *s, size_t n)
{
    size_t i = 0, width = 0, step;
    size_t len = strlen(s);
    while (i < len && width < n) {
        utf8_decode(s + i, len - i, &step);
        i += step;
        width++;
    }
    return (int)i;
}

void cli_progress(const char *what, size_t done, size_t total, const char *item)
{
    static uint64_t last_ns;
    bool tty = isatty(STDERR_FILENO);
    uint64_t now = clock_now_ns();
    uint64_t step = tty ? 50000000u : 5000000000u;
    if (done < total && last_ns && now - last_ns < step)
        return;
    last_ns = now;
    if (!tty) {
        fprintf(stderr, "%s: %zu of %zu\n", what, done, total);
        return;
    }
    enum { BAR = 24 };
    char bar[BAR + 1];
    size_t full = total ? done * BAR / total : BAR;
    for (size_t i = 0; i < BAR; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR] = '\0';
    size_t columns = terminal_columns();
    size_t used = strlen(what) + BAR + 30;
    size_t room = columns > used ? columns - used : 0;
    item = item ? item : "";
    fprintf(stderr, "\r\033[K%s [%s] %zu/%zu  %.*s", what, bar, done, total,
            fitting_bytes(item, room), item);
    fflush(stderr);
    progress_shown = true;
}

void cli_progress_end(void)
{
    if (progress_shown)
        fputs("\r\033[K", stderr);
    progress_shown = false;
}

/* "12.3 MB/s, 4 min left", from what the last call of a series saw; "" while too little is known. */
static void rate_text(char out[static 48], uint64_t done, uint64_t total)
{
    static uint64_t start_ns, start_done, last_done;
    uint64_t now = clock_now_ns();
    if (!start_ns || done < last_done) {
        start_ns = now;
        start_done = done;
    }
    last_done = done;
    double s = (double)(now - start_ns) / 1e9;
    double rate = s > 0 ? (double)(done - start_done) / s : 0;
    out[0] = '\0';
    if (s < 0.5 || rate < 1)
        return;
    double left = (double)(total - done) / rate;
    int n = rate < 1e6 ? snprintf(out, 24, "%.0f kB/s, ", rate / 1e3)
                       : snprintf(out, 24, "%.1f MB/s, ", rate / 1e6);
    if (left < 90)
        snprintf(out + n, 24, "%.0f s left", left);
    else if (left < 90 * 60)
        snprintf(out + n, 24, "%.0f min left", left / 60);
    else
        snprintf(out + n, 24, "%.1f h left", left / 3600);
}

void cli_progress_bytes(const char *what, uint64_t done, uint64_t total, const char *item)
{
    static uint64_t last_ns;
    bool tty = isatty(STDERR_FILENO);
    uint64_t now = clock_now_ns();
    char rate[48];
    total = total < done ? done : total;
    rate_text(rate, done, total);
    if (last_ns && now - last_ns < (tty ? 200000000u : 10000000000u))
        return;
    last_ns = now;
    double percent = total ? 100.0 * (double)done / (double)total : 100.0;
    bool large = total >= 1000000000u;
    double unit = large ? 1e9 : 1e6;
    int digits = large ? 2 : total < 10000000u ? 1 : 0;
    char line[160];
    snprintf(line, sizeof(line), "%s  %5.1f %%  %.*f of %.*f %s  %s", what, percent, digits,
             (double)done / unit, digits, (double)total / unit, large ? "GB" : "MB", rate);
    if (!tty) {
        fprintf(stderr, "%s\n", line);
        return;
    }
    size_t columns = terminal_columns(), used = strlen(line) + 2;
    fprintf(stderr, "\r\033[K%.*s  %.*s", (int)columns - 1, line,
            used < columns ? fitting_bytes(item ? item : "", columns - used - 1) : 0,
            item ? item : "");
    fflush(stderr);
    progress_shown = true;
}

/* ---- models ---------------------------------------------------------------------------------- */

/* Paths found for names live as long as the program, like everything that comes from here. */
static const char *keep_path(char *path)
{
    const char **item = malloc(sizeof(*item));
    if (!item || !keep(item)) {
        free(item);
        return path; /* a leak at the end of memory */
    }
    *item = path;
    return path;
}

const char *cli_model_path(const char *model)
{
    struct kt_error err = { 0 };
    char *name = NULL, *path = NULL;
    if (!model || !model[0] || file_exists(model) || strchr(model, '/'))
        return model;
    enum kt_status st = model_find(&name, cli_home(), model, &err);
    if (!st && name)
        st = model_open_path(&path, cli_home(), name, &err);
    free(name);
    if (st)
        fprintf(stderr, "kontor: %s\n", err.text);
    else if (!path)
        fprintf(stderr,
                "kontor: '%s' is no file, and no model of this home: `kontor models` lists those, "
                "`kontor pull %s` may get it\n",
                model, model);
    return path ? keep_path(path) : model;
}

static const char *model_of_role(const char *option, const char *setting, enum model_role role)
{
    const char *model = option ? option : settings_get(cli_home(), setting);
    char *name = NULL;
    if (!model && model_default(&name, cli_home(), role, NULL) == KT_OK && name)
        model = keep_path(name);
    return cli_model_path(model);
}

const char *cli_chat_model(const char *option)
{
    return model_of_role(option, "chat_model", ROLE_CHAT);
}

const char *cli_embed_model(const char *option)
{
    return model_of_role(option, "embed_model", ROLE_EMBED);
}

const char *cli_rerank_model(const char *option)
{
    char *name = NULL;
    if (!option && model_default(&name, cli_home(), ROLE_RERANK, NULL) == KT_OK && name)
        return cli_model_path(keep_path(name));
    return cli_embed_model(option);
}
