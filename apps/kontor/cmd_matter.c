/* kontor matter: create, list, destroy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "open.h"

static int list(struct opened *o, bool as_json, struct kt_error *err)
{
    struct kt_matter_info *m = NULL;
    size_t n = 0;
    enum kt_status st = kt_matter_list(o->store, &m, &n, err);
    if (st)
        return cli_fail("matter list", err);
    int rc = EXIT_DONE;
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(
            a, json_pack("{s:o,s:I,s:I,s:I}", "name", cli_json_text(m[i].name, strlen(m[i].name)),
                         "documents", (json_int_t)m[i].n_documents, "chunks",
                         (json_int_t)m[i].n_chunks, "bytes", (json_int_t)m[i].bytes));
        if (!as_json)
            printf("%-40s %8llu documents %12llu bytes\n", m[i].name,
                   (unsigned long long)m[i].n_documents, (unsigned long long)m[i].bytes);
    }
    if (as_json)
        rc = cli_print_json(json_pack("{s:O}", "matters", a));
    else if (n == 0)
        puts("No matter yet; `kontor add FOLDER` makes the default one.");
    json_decref(a);
    kt_matter_list_free(m, n);
    return rc;
}

static int run(int argc, char **argv)
{
    bool as_json = false, yes = false;
    struct str_list words = { 0 };
    const struct opt opts[] = {
        { "--json", NULL, OPT_FLAG, &as_json },
        { "--yes", NULL, OPT_FLAG, &yes },
    };
    if (!cli_parse(&cmd_matter, argc, argv, opts, 2, &words))
        return EXIT_USAGE;
    const char *verb = words.n ? words.items[0] : "";
    const char *name = words.n == 2 ? words.items[1] : NULL;
    bool is_list = strcmp(verb, "list") == 0 && words.n == 1;
    bool is_create = strcmp(verb, "create") == 0 && name;
    bool is_destroy = strcmp(verb, "destroy") == 0 && name;
    if (!is_list && !is_create && !is_destroy)
        return cli_usage(&cmd_matter, "needs `list`, `create NAME` or `destroy NAME`");
    if (is_destroy && !yes)
        return cli_usage(&cmd_matter, "destroys all of '%s' for good; say --yes to mean it", name);

    struct kt_error err;
    struct opened o;
    enum kt_status st = open_store(&o, &err);
    if (st)
        return cli_fail("matter", &err);
    int rc = EXIT_DONE;
    if (is_list)
        rc = list(&o, as_json, &err);
    else
        st = is_create ? kt_matter_create(o.store, name, &err)
                       : kt_matter_destroy(o.store, name, &err);
    if (st)
        rc = cli_fail("matter", &err);
    else if (!is_list && as_json)
        rc = cli_print_json(json_pack("{s:o}", is_create ? "created" : "destroyed",
                                      cli_json_text(name, strlen(name))));
    else if (!is_list)
        printf("%s: %s\n", is_create ? "created" : "destroyed", name);
    opened_close(&o);
    return rc;
}

const struct command cmd_matter = {
    "matter",
    "list | create NAME | destroy NAME --yes [--json]",
    "Matters (Akten) are walls: one encrypted file and one key each.",
    "`destroy` destroys the matter's key first: what remains on the disk or in a backup cannot be "
    "read again.\n",
    run,
};
