/* kontor add: index files and folders. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "kontor/office.h"
#include "open.h"
#include "report.h"

static bool on_progress(void *ctx, size_t done, size_t total, const char *path)
{
    (void)ctx;
    cli_progress("reading", done, total, path);
    return !cli_interrupted();
}

static json_t *items_json(const struct kt_add_item *items, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            a, json_pack("{s:o,s:o}", "path", cli_json_text(items[i].path, strlen(items[i].path)),
                         "reason", cli_json_text(items[i].reason, strlen(items[i].reason))));
    return a;
}

static void print_items(const char *what, const struct kt_add_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("  %s  %s\n           %s\n", what, items[i].path, items[i].reason);
}

static json_t *files_json(const struct kt_add_files *f)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "on_disk", (json_int_t)f->on_disk,
                     "indexed", (json_int_t)f->indexed, "unchanged", (json_int_t)f->unchanged,
                     "renamed", (json_int_t)f->renamed, "skipped", (json_int_t)f->skipped, "failed",
                     (json_int_t)f->failed, "left_out", (json_int_t)f->left_out, "waiting",
                     (json_int_t)f->waiting, "vanished", (json_int_t)f->vanished);
}

json_t *add_report_json(const struct kt_add_report *r)
{
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o}", "indexed",
                     (json_int_t)r->n_indexed, "unchanged", (json_int_t)r->n_unchanged, "renamed",
                     (json_int_t)r->n_renamed, "removed", (json_int_t)r->n_removed,
                     "embedded_chunks", (json_int_t)r->n_chunks_embedded, "kept_chunks",
                     (json_int_t)r->n_chunks_kept, "skipped", items_json(r->skipped, r->n_skipped),
                     "failed", items_json(r->failed, r->n_failed), "left_out",
                     items_json(r->left_out, r->n_left_out), "files", files_json(&r->files));
}

void add_report_print(const struct kt_add_report *r)
{
    printf("%zu indexed, %zu unchanged, %zu renamed, %zu removed, %zu skipped, %zu failed\n",
           r->n_indexed, r->n_unchanged, r->n_renamed, r->n_removed, r->n_skipped, r->n_failed);
    print_items("skipped", r->skipped, r->n_skipped);
    print_items("failed ", r->failed, r->n_failed);
    if (r->n_left_out)
        printf("  and %zu left out (hidden, links, lock files; --json lists them)\n",
               r->n_left_out);
    if (r->files.waiting)
        printf("  and %zu being written just now\n", r->files.waiting);
}

static int print_report(const struct kt_add_report *r, bool as_json)
{
    if (as_json)
        return cli_print_json(add_report_json(r));
    add_report_print(r);
    return EXIT_DONE;
}

static int run(int argc, char **argv)
{
    const char *matter = NULL, *model = NULL;
    bool as_json = false, no_vectors = false;
    struct str_list paths = { 0 };
    const struct opt opts[] = {
        { "--matter", NULL, OPT_STR, &matter },
        { "--embed-model", NULL, OPT_STR, &model },
        { "--no-vectors", NULL, OPT_FLAG, &no_vectors },
        { "--json", NULL, OPT_FLAG, &as_json },
    };
    if (!cli_parse(&cmd_add, argc, argv, opts, 4, &paths))
        return EXIT_USAGE;
    if (paths.n == 0)
        return cli_usage(&cmd_add, "needs at least one file or folder");

    struct kt_error err;
    struct opened o = { 0 };
    struct kt_engine *embedder = NULL;
    struct kt_add_report report = { 0 };
    char id[65] = "";
    cli_catch_signals();

    enum kt_status st = no_vectors ? KT_OK : open_embedder(&embedder, id, model, &err);
    if (!st)
        st = open_matter(&o, matter, KT_WRITE, &err);
    if (!st) {
        if (!embedder && !no_vectors)
            fputs("kontor add: no embedding model is configured, so search will go by words only "
                  "(see settings.ini)\n",
                  stderr);
        struct kt_add_options ao = {
            .embedder = embedder,
            .embedder_id = id,
            .on_progress = as_json ? NULL : on_progress,
        };
        st = kt_office_add(o.matter, paths.items, paths.n, &ao, &report, &err);
    }
    cli_progress_end();
    int rc = st == KT_OK || st == KT_E_CANCELLED ? print_report(&report, as_json) : EXIT_DONE;
    if (st)
        rc = cli_fail("add", &err);
    kt_add_report_deinit(&report);
    opened_close(&o);
    kt_engine_close(embedder);
    return rc;
}

const struct command cmd_add = {
    "add",
    "PATH... [--matter NAME] [--json]",
    "Index files and folders so that they can be searched and asked.",
    "Unchanged files cost nothing, renamed ones are not read again, files that vanished from a "
    "folder are\n"
    "removed from the index. Can be stopped at any time and started again.\n\n"
    "  --matter NAME     the matter (Akte) to add to; default: 'default'\n"
    "  --embed-model M   the embedding model, instead of the configured one\n"
    "  --no-vectors      index words only\n"
    "  --json            print "
    "{\"indexed\",\"unchanged\",\"renamed\",\"removed\",\"skipped\":[{\"path\",\"reason\"}],"
    "\"failed\":[...],\n"
    "                    \"left_out\":[...],\"embedded_chunks\",\"kept_chunks\",\"files\":{...}}; "
    "the counts in "
    "\"files\"\n"
    "                    sum to its \"on_disk\"\n",
    run,
};
