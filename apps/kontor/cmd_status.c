/* kontor status: what is indexed, skipped, failed, and why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "open.h"

struct listing {
    json_t *documents; /* NULL: text */
    size_t n[3];       /* by kt_doc_state */
    bool all;
};

static json_t *text_or_null(const char *s)
{
    return s ? cli_json_text(s, strlen(s)) : json_null();
}

static bool on_doc(void *ctx, const struct kt_doc_info *d)
{
    struct listing *l = ctx;
    l->n[d->state]++;
    if (l->documents) {
        json_array_append_new(
            l->documents,
            json_pack("{s:o,s:s,s:o,s:o,s:o,s:i,s:i,s:I}", "path", text_or_null(d->path), "state",
                      kt_doc_state_name(d->state), "reason", text_or_null(d->reason), "title",
                      text_or_null(d->title), "format", text_or_null(d->format), "pages",
                      (int)d->n_pages, "chunks", (int)d->n_chunks, "bytes", (json_int_t)d->size));
    } else if (l->all || d->state != KT_DOC_INDEXED) {
        printf("%-8s %s\n", kt_doc_state_name(d->state), d->path);
        if (d->reason)
            printf("         %s\n", d->reason);
    }
    return !cli_interrupted();
}

static int run(int argc, char **argv)
{
    const char *matter = NULL;
    bool as_json = false, all = false;
    struct str_list paths = { 0 };
    const struct opt opts[] = {
        { "--matter", NULL, OPT_STR, &matter },
        { "--all", NULL, OPT_FLAG, &all },
        { "--json", NULL, OPT_FLAG, &as_json },
    };
    if (!cli_parse(&cmd_status, argc, argv, opts, 3, &paths))
        return EXIT_USAGE;
    if (paths.n > 1)
        return cli_usage(&cmd_status, "takes one file or folder at most");
    char *below = paths.n ? realpath(paths.items[0], NULL) : NULL;
    if (paths.n && !below)
        below = strdup(paths.items[0]); /* gone from the disk, perhaps not from the index */

    struct kt_error err;
    struct opened o = { 0 };
    struct listing l = { .documents = as_json ? json_array() : NULL, .all = all };
    enum kt_status st = open_matter(&o, matter, KT_READ, &err);
    if (!st)
        st = kt_matter_each(o.matter, below, on_doc, &l, &err);
    int rc = EXIT_DONE;
    if (st)
        rc = cli_fail("status", &err);
    else if (as_json)
        rc = cli_print_json(json_pack(
            "{s:s,s:I,s:I,s:I,s:O}", "matter", matter ? matter : KT_DEFAULT_MATTER, "indexed",
            (json_int_t)l.n[KT_DOC_INDEXED], "skipped", (json_int_t)l.n[KT_DOC_SKIPPED], "failed",
            (json_int_t)l.n[KT_DOC_FAILED], "documents", l.documents));
    else
        printf("%zu indexed, %zu skipped, %zu failed%s\n", l.n[KT_DOC_INDEXED], l.n[KT_DOC_SKIPPED],
               l.n[KT_DOC_FAILED], all ? "" : " (--all lists the indexed ones too)");
    json_decref(l.documents);
    opened_close(&o);
    free(below);
    return rc;
}

const struct command cmd_status = {
    "status",
    "[PATH] [--matter NAME] [--all] [--json]",
    "Say for every file whether it is indexed, skipped or failed, and why.",
    "  --matter NAME     the matter to look at; default: 'default'\n"
    "  --all             list the indexed files too\n"
    "  --json            print "
    "{\"indexed\",\"skipped\",\"failed\",\"documents\":[{\"path\",\"state\",\"reason\",\"pages\","
    "\"chunks\",...}]}\n",
    run,
};
