/* kontor import and kontor export: models by disk instead of by network. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "cli.h"
#include "hub/carry.h"

static char EXPORTING[] = "exporting", IMPORTING[] = "importing";

/* ctx: what is going on, or NULL to be quiet. */
static bool on_bytes(void *ctx, uint64_t done, uint64_t total, const char *file)
{
    if (ctx)
        cli_progress_bytes(ctx, done, total, file);
    return cli_interrupted();
}

/* ---- export ---- */

static int run_export(int argc, char **argv)
{
    bool as_json = false;
    struct str_list args = { 0 };
    const struct opt opts[] = { { "--json", NULL, OPT_FLAG, &as_json } };
    if (!cli_parse(&cmd_export, argc, argv, opts, ARRAY_LEN(opts), &args))
        return EXIT_USAGE;
    if (args.n != 2)
        return cli_usage(&cmd_export, "takes a model's NAME and where to put it");
    char key[SIGN_KEY_HEX + 1];
    char *name = NULL;
    struct kt_error err;
    struct carry_watch w = { .on_bytes = on_bytes, .ctx = as_json ? NULL : EXPORTING };
    cli_catch_signals();
    signal(SIGXFSZ, SIG_IGN);
    enum kt_status st = model_find(&name, cli_home(), args.items[0], &err);
    if (!st)
        st = model_export(cli_home(), name ? name : args.items[0], args.items[1], key, &w, &err);
    cli_progress_end();
    int rc = EXIT_DONE;
    if (st)
        rc = cli_fail("export", &err);
    else if (as_json)
        rc = cli_print_json(json_pack("{s:s,s:o,s:s}", "name", name, "path",
                                      cli_json_text(args.items[1], strlen(args.items[1])), "key",
                                      key));
    else
        printf("%s is in %s, signed by this home's key\n%s\n", name, args.items[1], key);
    free(name);
    return rc;
}

const struct command cmd_export = {
    "export",
    "NAME FOLDER|FILE.tar [--json]",
    "Write a model into a folder or one file, to carry it to a machine without a network.",
    "The manifest with every file's SHA-256 is signed by this home's key, whose public half is "
    "printed:\n"
    "`kontor import --key` can demand it. Files over 4 GB do not fit on FAT32 disks; exFAT takes "
    "them.\n",
    run_export,
};

/* ---- import ---- */

static int print_imported(const char *name, const char *signer, bool as_json)
{
    struct kt_error err;
    struct manifest m;
    char *now = NULL;
    bool first = false;
    enum kt_status st = model_manifest(&m, cli_home(), name, &err);
    if (!st) {
        st = model_default(&now, cli_home(), m.role, &err);
        first = !st && !now;
        if (first)
            st = model_set_default(cli_home(), m.role, name, &err);
    }
    int rc = EXIT_DONE;
    if (st) {
        rc = cli_fail("import", &err);
    } else if (as_json) {
        rc = cli_print_json(json_pack("{s:s,s:s,s:s,s:b}", "name", name, "role",
                                      model_role_name(m.role), "signer", signer, "default", first));
    } else {
        printf("%s is here: use it with -m %s\n", name, name);
        fprintf(stderr, "kontor import: %s%s\n", signer[0] ? "signed by " : "not signed", signer);
        if (first)
            fprintf(stderr,
                    "kontor import: it is now the %s model of this home (`kontor models "
                    "--use NAME` chooses another)\n",
                    model_role_name(m.role));
    }
    free(now);
    manifest_deinit(&m);
    return rc;
}

static int run_import(int argc, char **argv)
{
    bool as_json = false;
    struct import_options o = { 0 };
    struct str_list args = { 0 };
    const struct opt opts[] = {
        { "--name", NULL, OPT_STR, &o.name },       { "--key", NULL, OPT_STR, &o.key },
        { "--license", NULL, OPT_STR, &o.license }, { "--link", NULL, OPT_FLAG, &o.link },
        { "--json", NULL, OPT_FLAG, &as_json },
    };
    if (!cli_parse(&cmd_import, argc, argv, opts, ARRAY_LEN(opts), &args))
        return EXIT_USAGE;
    if (args.n == 0)
        return cli_usage(&cmd_import, "takes a FILE or FOLDER");
    o.more = args.items + 1;
    o.n_more = args.n - 1;
    char signer[SIGN_KEY_HEX + 1];
    char *name = NULL;
    struct kt_error err;
    struct carry_watch w = { .on_bytes = on_bytes, .ctx = as_json ? NULL : IMPORTING };
    cli_catch_signals();
    signal(SIGXFSZ, SIG_IGN);
    enum kt_status st = model_import(&name, cli_home(), args.items[0], &o, signer, &w, &err);
    cli_progress_end();
    int rc = st ? cli_fail("import", &err) : print_imported(name, signer, as_json);
    free(name);
    return rc;
}

const struct command cmd_import = {
    "import",
    "FILE|FOLDER [MORE...] [--name NAME] [--link] [--key HEX] [--license TEXT] [--json]",
    "Take a model into this home: an exported one, a GGUF file, or a folder of safetensors.",
    "An exported model's signature and every file's SHA-256 are checked. Other files are checked "
    "to "
    "be a\n"
    "model that runs here, and their SHA-256 is written down for `kontor verify`. Of a split GGUF "
    "give the\n"
    "first part; MORE are files that belong to it, such as the mmproj file that images need.\n\n"
    "  --name NAME       what to call it; default: its exported name, or made from the file's "
    "name\n"
    "  --link            leave the files where they are and link to them\n"
    "  --key HEX         accept only what this key signed (`kontor export` prints it)\n"
    "  --license TEXT    write this licence down\n"
    "  --json            print {\"name\",\"role\",\"signer\",\"default\"}\n",
    run_import,
};
