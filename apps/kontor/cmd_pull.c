/* kontor pull: get a model of the catalogue. The only command that opens a connection. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/files.h"
#include "base/pool.h"
#include "base/size.h"
#include "catalogues.h"
#include "cli.h"
#include "hub/limits.h"
#include "hub/models.h"
#include "hub/pull.h"
#include "settings.h"

enum { PLAN_TOKENS = 8192 };

/* ---- catalogues ---- */

enum kt_status catalogues_open(struct catalogues *out, const char *own_path, struct kt_error *err)
{
    *out = (struct catalogues){ 0 };
    const char *path = own_path ? own_path : settings_get(cli_home(), "catalogue");
    struct buf text = { 0 };
    enum kt_status st = catalogue_builtin(&out->builtin, err);
    if (!st && path && path[0]) {
        st = file_read(&text, path, HUB_JSON_MAX, err);
        if (!st)
            st = catalogue_read(&out->own, buf_span(&text), path, err);
    }
    buf_deinit(&text);
    if (st)
        catalogues_close(out);
    return st;
}

void catalogues_close(struct catalogues *c)
{
    catalogue_deinit(&c->own);
    catalogue_deinit(&c->builtin);
}

const struct catalogue_build *catalogues_find(const struct catalogues *c, const char *name)
{
    const struct catalogue_build *b = catalogue_find(&c->own, name);
    return b ? b : catalogue_find(&c->builtin, name);
}

/* ---- --list ---- */

struct lister {
    bool as_json;
    json_t *rows;
    uint64_t machine;
    size_t n_threads;
};

static size_t n_threads_of_engine(void)
{
    struct pool *p;
    size_t n = cli_threads();
    if (n || pool_create(&p, 0, NULL))
        return n ? n : 1;
    n = pool_threads(p);
    pool_destroy(p);
    return n;
}

static bool is_here(const char *name)
{
    char *dir = model_dir(cli_home(), name);
    bool here = dir && file_exists(dir);
    free(dir);
    return here;
}

/* "yes": the catalogue knows the SHA-256 of every file; "weights": of all but the vision part; "no". */
static const char *pinned(const struct catalogue_build *b)
{
    bool all = true;
    for (size_t i = 0; i < b->n_files; i++) {
        if (b->files[i].sha256[0])
            continue;
        all = false;
        if (!b->files[i].vision)
            return "no";
    }
    return all ? "yes" : "weights";
}

static json_t *unpinned_files(const struct catalogue_build *b)
{
    json_t *list = json_array();
    for (size_t i = 0; i < b->n_files; i++) {
        if (!b->files[i].sha256[0])
            json_array_append_new(list, json_string(b->files[i].path));
    }
    return list;
}

static void list_build(struct lister *l, const struct catalogue_build *b)
{
    const struct catalogue_model *m = b->model;
    struct memory_need need;
    bool known = m->has_shape && memory_need(&need, &m->shape, b->bytes, PLAN_TOKENS, l->n_threads);
    enum fit fit = known ? memory_fit(need.total, l->machine) : FIT_NO;
    bool here = is_here(b->name);
    if (!l->as_json) {
        char size[16], memory[16];
        snprintf(size, sizeof(size), "%s%.2f", b->approximate ? "~" : "", (double)b->bytes / 1e9);
        snprintf(memory, sizeof(memory), "%.1f", known ? (double)need.total / 1e9 : 0.0);
        printf("%-27s %-6s %8s %9s  %-5s %-7s %-10s %s%s\n", b->name, model_role_name(m->role),
               size, known ? memory : "?", known ? fit_name(fit) : "?", pinned(b), m->license,
               m->about, here ? " (here)" : "");
        return;
    }
    json_t *o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:I,s:b,s:b}", "name", b->name,
                          "model", m->name, "title", m->title, "role", model_role_name(m->role),
                          "quant", b->quant, "license", m->license, "about", m->about, "hub",
                          b->hub, "repository", b->repository, "revision", b->revision, "bytes",
                          (json_int_t)b->bytes, "approximate", b->approximate, "here", here);
    json_object_set_new(o, "unpinned", unpinned_files(b));
    if (known) {
        json_object_set_new(o, "memory", json_integer((json_int_t)need.total));
        json_object_set_new(o, "fits", json_string(fit_name(fit)));
    }
    json_array_append_new(l->rows, o);
}

static void list_catalogue(struct lister *l, const struct catalogue *c,
                           const struct catalogue *hides)
{
    for (size_t i = 0; i < c->n_models; i++) {
        for (size_t k = 0; k < c->models[i].n_builds; k++) {
            const struct catalogue_build *b = &c->models[i].builds[k];
            if (!hides || !catalogue_find(hides, b->name))
                list_build(l, b);
        }
    }
}

static int list(const struct catalogues *c, bool as_json)
{
    struct lister l = { .as_json = as_json,
                        .rows = json_array(),
                        .machine = memory_of_machine(),
                        .n_threads = n_threads_of_engine() };
    if (!as_json)
        printf("%-27s %-6s %8s %9s  %-5s %-7s %-10s %s\n", "NAME", "ROLE", "GB", "MEMORY GB",
               "FITS", "PINNED", "LICENCE", "");
    list_catalogue(&l, &c->own, NULL);
    list_catalogue(&l, &c->builtin, &c->own);
    if (as_json)
        return cli_print_json(json_pack("{s:I,s:i,s:o}", "machine_bytes", (json_int_t)l.machine,
                                        "context", PLAN_TOKENS, "models", l.rows));
    printf(
        "\nMEMORY: the weights, and what a conversation of %d tokens needs beside them. This "
        "machine has %.1f GB;\n\"tight\" leaves less than an eighth of it to everything else. "
        "A model's name without its last part\n(qwen3.5-4b) means its first line.\n"
        "PINNED: whether the catalogue knows the SHA-256 of all files; \"weights\": of all but the "
        "vision part. What it\ndoes not know is taken from the hub at the first download, shown, "
        "and pinned from then on; so is a size with ~.\n",
        PLAN_TOKENS, (double)l.machine / 1e9);
    json_decref(l.rows);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* ---- pulling ---- */

static bool is_true(const char *v)
{
    return v && (strcasecmp(v, "true") == 0 || strcasecmp(v, "yes") == 0 ||
                 strcasecmp(v, "on") == 0 || strcmp(v, "1") == 0);
}

static bool is_false(const char *v)
{
    return !v || !v[0] || strcasecmp(v, "false") == 0 || strcasecmp(v, "no") == 0 ||
           strcasecmp(v, "off") == 0 || strcmp(v, "0") == 0;
}

/* Whoever cannot be understood about going online stays offline. */
static enum kt_status check_online(struct kt_error *err)
{
    const char *v = settings_get(cli_home(), "offline");
    if (is_false(v))
        return KT_OK;
    if (!is_true(v))
        return kt_fail(err, KT_E_USAGE,
                       "offline is neither true nor false; until that is clear "
                       "nothing is fetched");
    return kt_fail(err, KT_E_UNSUPPORTED,
                   "this home is offline (setting `offline`): nothing is fetched. Pull on another "
                   "machine, `kontor export NAME FOLDER` there and `kontor import FOLDER` here");
}

/* $HF_TOKEN is for the public hub only. */
static const char *token_for(const char *hub_url)
{
    static const char PUBLIC_HUB[] = "https://huggingface.co";
    const char *token = settings_get(cli_home(), "hub_token");
    size_t n = sizeof(PUBLIC_HUB) - 1;
    if (token || strncasecmp(hub_url, PUBLIC_HUB, n) != 0 || (hub_url[n] && hub_url[n] != '/'))
        return token;
    token = getenv("HF_TOKEN");
    return token && token[0] ? token : NULL;
}

static void on_say(void *ctx, const char *text)
{
    (void)ctx;
    cli_progress_end();
    fprintf(stderr, "kontor pull: %s\n", text);
}

static void on_progress(void *ctx, const struct pull_progress *p)
{
    char item[300];
    (void)ctx;
    if (p->n_files > 1)
        snprintf(item, sizeof(item), "%s (%zu of %zu)", p->file, p->file_idx + 1, p->n_files);
    else
        snprintf(item, sizeof(item), "%s", p->file);
    cli_progress_bytes(p->checking ? "checking" : "fetching", p->done, p->total, item);
}

/* A number from the environment, for slow lines and for tests; 0 when it is not set. */
static unsigned env_number(const char *name, double scale)
{
    const char *s = getenv(name);
    double v = s ? strtod(s, NULL) * scale : 0;
    return v >= 1 && v <= 1e9 ? (unsigned)v : 0;
}

static enum kt_status make_default(const struct catalogue_build *b, struct kt_error *err)
{
    char *now = NULL;
    enum kt_status st = model_default(&now, cli_home(), b->model->role, err);
    if (!st && !now) {
        st = model_set_default(cli_home(), b->model->role, b->name, err);
        if (!st)
            fprintf(stderr,
                    "kontor pull: it is now the %s model of this home (`kontor models "
                    "--use NAME` chooses another)\n",
                    model_role_name(b->model->role));
    }
    free(now);
    return st;
}

static int print_pulled(const struct catalogue_build *b, bool was_here, bool as_json)
{
    struct kt_error err;
    char *path = NULL;
    if (model_open_path(&path, cli_home(), b->name, &err))
        return cli_fail("pull", &err);
    int rc = EXIT_DONE;
    if (as_json)
        rc = cli_print_json(
            json_pack("{s:s,s:s,s:b}", "name", b->name, "path", path, "was_here", was_here));
    else
        printf("%s is here%s: use it with -m %s\n", b->name, was_here ? " already" : "", b->name);
    free(path);
    return rc;
}

/* The build without the files that only images need. 'files' is heap. */
static struct catalogue_build without_vision(const struct catalogue_build *b,
                                             struct catalogue_file **files)
{
    struct catalogue_build out = *b;
    *files = calloc(b->n_files, sizeof(**files));
    out.files = *files;
    out.n_files = 0;
    out.bytes = 0;
    for (size_t i = 0; i < b->n_files && *files; i++) {
        if (b->files[i].vision)
            continue;
        out.files[out.n_files++] = b->files[i];
        out.bytes += b->files[i].bytes;
    }
    return out;
}

static int pull(const struct catalogue_build *b, const char *hub_option, bool quiet, bool as_json)
{
    struct kt_error err;
    const char *named = hub_option ? hub_option : settings_get(cli_home(), "hub");
    const char *hub = named && named[0] ? named : b->hub;
    struct pull_options o = {
        .home = cli_home(),
        .build = b,
        .http = { .hub_url = hub,
                  .hub_named = hub != b->hub,
                  .token = token_for(hub),
                  .ca_file = settings_get(cli_home(), "hub_ca"),
                  .stall_s = env_number("KONTOR_HUB_STALL", 1),
                  .stop = cli_interrupted },
        .pause_ms = env_number("KONTOR_HUB_PAUSE", 1000),
        .say = on_say,
        .progress = quiet || as_json ? NULL : on_progress,
    };
    cli_catch_signals();
    signal(SIGXFSZ, SIG_IGN); /* a limit on file sizes is then an error of write() */
    enum kt_status st = check_online(&err);
    if (!st)
        st = pull_model(&o, &err);
    cli_progress_end();
    if (st == KT_E_CANCELLED)
        st = kt_fail(&err, KT_E_CANCELLED,
                     "stopped; what arrived is kept, the same command goes on from there");
    if (st && st != KT_E_EXISTS) {
        cli_fail("pull", &err); /* whatever it was, no file that the person gave was at fault */
        return st == KT_E_USAGE ? EXIT_USAGE : EXIT_FAILED;
    }
    bool was_here = st == KT_E_EXISTS;
    if (!was_here && make_default(b, &err))
        return cli_fail("pull", &err);
    return print_pulled(b, was_here, as_json);
}

static int run(int argc, char **argv)
{
    bool as_json = false, as_list = false, quiet = false, no_vision = false;
    const char *hub = NULL, *own = NULL;
    struct str_list names = { 0 };
    const struct opt opts[] = {
        { "--list", NULL, OPT_FLAG, &as_list }, { "--json", NULL, OPT_FLAG, &as_json },
        { "--quiet", "-q", OPT_FLAG, &quiet },  { "--hub", NULL, OPT_STR, &hub },
        { "--catalogue", NULL, OPT_STR, &own }, { "--no-vision", NULL, OPT_FLAG, &no_vision },
    };
    if (!cli_parse(&cmd_pull, argc, argv, opts, ARRAY_LEN(opts), &names))
        return EXIT_USAGE;
    if (as_list ? names.n != 0 : names.n != 1)
        return cli_usage(&cmd_pull, "takes one NAME, or --list");
    struct kt_error err;
    struct catalogues c;
    if (catalogues_open(&c, own, &err))
        return cli_fail("pull", &err);
    int rc;
    struct catalogue_build text_only;
    struct catalogue_file *files = NULL;
    const struct catalogue_build *b = as_list ? NULL : catalogues_find(&c, names.items[0]);
    if (b && no_vision) {
        text_only = without_vision(b, &files);
        b = &text_only;
    }
    if (as_list)
        rc = list(&c, as_json);
    else if (!b)
        rc = cli_usage(&cmd_pull,
                       "the catalogue has no '%s'; `kontor pull --list` shows what it "
                       "has",
                       names.items[0]);
    else
        rc = pull(b, hub, quiet, as_json);
    free(files);
    catalogues_close(&c);
    return rc;
}

const struct command cmd_pull = {
    "pull",
    "NAME [--no-vision] [--hub URL] [--catalogue FILE] [--quiet] [--json] | --list [--json]",
    "Get a model: download it, check it, and keep it in this home.",
    "The only command that opens a connection, and only to the hub, by HTTPS. An interrupted "
    "download "
    "goes\n"
    "on where it stopped when the same command is given again. Every file's SHA-256 is checked "
    "against the\n"
    "catalogue, or against what the hub says at the first download (docs/MODELS.md).\n\n"
    "  --list            what there is: size, licence, and whether it fits this machine\n"
    "  --no-vision       leave out the file that only images need\n"
    "  --hub URL         a mirror instead of the public hub (setting: hub; also hub_ca, "
    "hub_token)\n"
    "  --catalogue FILE  models of your own beside the built-in ones (setting: catalogue)\n"
    "  -q, --quiet       no progress\n"
    "  --json            print {\"name\",\"path\",\"was_here\"}; with --list\n"
    "                    "
    "{\"machine_bytes\",\"models\":[{\"name\",\"bytes\",\"license\",\"memory\",\"fits\",...}]}\n"
    "Settings: offline = true refuses to fetch anything. Proxies are taken from $https_proxy and "
    "$no_proxy.\n",
    run,
};
