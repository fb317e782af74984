/* kontor watch: keep the index as the folders are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "kontor/office.h"
#include "open.h"
#include "report.h"

struct view {
    bool as_json, first;
    int rc;
};

static bool go_on(void *ctx)
{
    const struct view *v = ctx;
    return !cli_interrupted() && v->rc == EXIT_DONE;
}

static bool on_progress(void *ctx, size_t done, size_t total, const char *path)
{
    (void)ctx;
    cli_progress("reading", done, total, path);
    return true;
}

/* A run that changed nothing is not worth a line, but for the first. */
static void on_run(void *ctx, const struct kt_add_report *r)
{
    struct view *v = ctx;
    cli_progress_end();
    bool news = r->n_indexed || r->n_renamed || r->n_removed || v->first;
    v->first = false;
    if (!news)
        return;
    if (v->as_json)
        v->rc = cli_print_json(add_report_json(r));
    else
        add_report_print(r);
    fflush(stdout);
}

static void on_trouble(void *ctx, const struct kt_error *err)
{
    (void)ctx;
    cli_progress_end();
    fprintf(stderr, "kontor watch: %s; trying again\n", err->text);
}

static int run(int argc, char **argv)
{
    const char *matter = NULL, *model = NULL;
    bool no_vectors = false;
    uint64_t every = 0;
    struct view v = { .first = true };
    struct str_list paths = { 0 };
    const struct opt opts[] = {
        { "--matter", NULL, OPT_STR, &matter },   { "--embed-model", NULL, OPT_STR, &model },
        { "--every", NULL, OPT_U64, &every },     { "--no-vectors", NULL, OPT_FLAG, &no_vectors },
        { "--json", NULL, OPT_FLAG, &v.as_json },
    };
    if (!cli_parse(&cmd_watch, argc, argv, opts, 5, &paths))
        return EXIT_USAGE;
    if (paths.n == 0)
        return cli_usage(&cmd_watch, "needs at least one file or folder");
    if (every > 86400)
        return cli_usage(&cmd_watch, "--every is at most 86400 seconds");

    struct kt_error err;
    struct opened o = { 0 };
    struct kt_engine *embedder = NULL;
    char id[65] = "";
    cli_catch_signals();
    enum kt_status st = no_vectors ? KT_OK : open_embedder(&embedder, id, model, &err);
    if (!st)
        st = open_store(&o, &err);
    if (!st) {
        struct kt_watch_options wo = {
            .add = { .embedder = embedder,
                     .embedder_id = id,
                     .on_progress = v.as_json ? NULL : on_progress },
            .every_s = (uint32_t)every,
            .go_on = go_on,
            .on_run = on_run,
            .on_trouble = on_trouble,
            .ctx = &v,
        };
        st = kt_office_watch(o.store, matter ? matter : KT_DEFAULT_MATTER, paths.items, paths.n,
                             &wo, &err);
    }
    cli_progress_end();
    if (st)
        v.rc = cli_fail("watch", &err);
    opened_close(&o);
    kt_engine_close(embedder);
    return v.rc;
}

const struct command cmd_watch = {
    "watch",
    "PATH... [--matter NAME] [--every SECONDS] [--json]",
    "Keep the index as the folders are, until Ctrl-C.",
    "Indexes like `kontor add` at the beginning and whenever something below the folders changes. "
    "Files that are\n"
    "being written are left alone until they rest. The matter is only taken while it works, so "
    "other commands\n"
    "can write in between. Can be stopped, or killed, at any time.\n\n"
    "  --matter NAME     the matter (Akte) to add to; default: 'default'\n"
    "  --every SECONDS   look through the folders so often in any case; network shares are every "
    "60\n"
    "  --embed-model M   the embedding model, instead of the configured one\n"
    "  --no-vectors      index words only\n"
    "  --json            print a report like that of `kontor add --json` on a line of its own for "
    "each run with news\n",
    run,
};
