/* kontor verify: are the models still what they were when they came? */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "cli.h"
#include "hub/models.h"

struct verifier {
    const char *name;
    bool as_json;
    json_t *differs;
    uint64_t done, total;
};

static bool on_bytes(void *ctx, uint64_t more)
{
    struct verifier *v = ctx;
    v->done += more;
    if (!v->as_json)
        cli_progress_bytes("verifying", v->done, v->total, v->name);
    return cli_interrupted();
}

static void on_file(void *ctx, const struct manifest_file *f, const char *finding)
{
    struct verifier *v = ctx;
    if (!finding)
        return;
    json_array_append_new(v->differs, json_pack("{s:s,s:s,s:s}", "name", v->name, "path", f->path,
                                                "finding", finding));
    cli_progress_end();
    if (!v->as_json)
        printf("%s: %s: %s\n", v->name, f->path, finding);
}

static enum kt_status verify_one(struct verifier *v, const char *name, struct kt_error *err)
{
    const struct verify_watch w = { .on_file = on_file, .on_bytes = on_bytes, .ctx = v };
    struct manifest m;
    v->name = name;
    enum kt_status st = model_manifest(&m, cli_home(), name, err);
    if (st)
        return st;
    v->done = 0;
    v->total = manifest_bytes(&m);
    manifest_deinit(&m);
    st = model_verify(cli_home(), name, &w, err);
    cli_progress_end();
    if (!st && !v->as_json)
        printf("%s: whole\n", name);
    return st;
}

/* Every one is looked at; the first failure is the result. */
static enum kt_status verify_all(struct verifier *v, struct kt_error *err)
{
    struct model_list l;
    enum kt_status st = models_list(&l, cli_home(), err), one;
    for (size_t i = 0; i < l.n && st != KT_E_CANCELLED; i++) {
        struct kt_error why;
        if (l.entries[i].unfinished)
            continue;
        one = verify_one(v, l.entries[i].name, &why);
        if (one && (!st || one == KT_E_CANCELLED))
            st = kt_fail(err, one, "%s", why.text);
    }
    model_list_deinit(&l);
    return st;
}

static int run(int argc, char **argv)
{
    struct verifier v = { 0 };
    struct str_list names = { 0 };
    const struct opt opts[] = { { "--json", NULL, OPT_FLAG, &v.as_json } };
    if (!cli_parse(&cmd_verify, argc, argv, opts, ARRAY_LEN(opts), &names))
        return EXIT_USAGE;
    struct kt_error err;
    enum kt_status st = KT_OK;
    v.differs = json_array();
    cli_catch_signals();
    for (size_t i = 0; i < names.n && !st; i++) {
        char *name = NULL;
        st = model_find(&name, cli_home(), names.items[i], &err);
        if (!st)
            st = verify_one(&v, name ? name : names.items[i], &err);
        free(name);
    }
    if (names.n == 0)
        st = verify_all(&v, &err);
    int rc = EXIT_DONE;
    if (st) {
        cli_fail("verify", &err);
        rc = st == KT_E_NOTFOUND ? EXIT_BAD_INPUT : EXIT_FAILED;
    }
    if (v.as_json && cli_print_json(json_pack("{s:b,s:O}", "ok", !st, "differs", v.differs)))
        rc = EXIT_FAILED;
    json_decref(v.differs);
    return rc;
}

const struct command cmd_verify = {
    "verify",
    "[NAME...] [--json]",
    "Read models again from the disk and compare them with what was installed.",
    "Without a NAME every model of this home. Exit status 1 when a file is missing, shorter or "
    "different.\n\n"
    "  --json            print {\"ok\",\"differs\":[{\"name\",\"path\",\"finding\"}]}\n",
    run,
};
