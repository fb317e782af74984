/* kontor remove: take documents out of the index, without a trace. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "open.h"

static int run(int argc, char **argv)
{
    const char *matter = NULL;
    bool as_json = false;
    struct str_list paths = { 0 };
    const struct opt opts[] = {
        { "--matter", NULL, OPT_STR, &matter },
        { "--json", NULL, OPT_FLAG, &as_json },
    };
    if (!cli_parse(&cmd_remove, argc, argv, opts, 2, &paths))
        return EXIT_USAGE;
    if (paths.n == 0)
        return cli_usage(&cmd_remove, "needs at least one file or folder");

    struct kt_error err;
    struct opened o = { 0 };
    size_t total = 0;
    json_t *missing = json_array();
    enum kt_status st = open_matter(&o, matter, KT_WRITE, &err);
    for (size_t i = 0; i < paths.n && !st; i++) {
        char *real = realpath(paths.items[i], NULL); /* NULL: the file itself is gone already */
        const char *path = real ? real : paths.items[i];
        size_t n = 0;
        st = kt_matter_remove(o.matter, path, &n, &err);
        if (!st && n == 0)
            json_array_append_new(missing, cli_json_text(path, strlen(path)));
        total += n;
        free(real);
    }
    int rc = EXIT_DONE;
    bool some_missing = json_array_size(missing) > 0;
    if (st) {
        rc = cli_fail("remove", &err);
    } else if (as_json) {
        rc = cli_print_json(
            json_pack("{s:I,s:O}", "removed", (json_int_t)total, "not_indexed", missing));
    } else {
        size_t i;
        json_t *p;
        printf("%zu removed\n", total);
        json_array_foreach(missing, i, p)
            fprintf(stderr, "kontor remove: %s: not in the index\n", json_string_value(p));
    }
    if (rc == EXIT_DONE && some_missing)
        rc = EXIT_FAILED;
    json_decref(missing);
    opened_close(&o);
    return rc;
}

const struct command cmd_remove = {
    "remove",
    "PATH... [--matter NAME] [--json]",
    "Take files or folders out of the index; no word of them stays in any file of the home.",
    "The files themselves are not touched.\n\n"
    "  --matter NAME     the matter to remove from; default: 'default'\n"
    "  --json            print {\"removed\",\"not_indexed\":[...]}\n",
    run,
};
