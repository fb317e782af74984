/* kontor models: which models this home has, and which of them are used when none is named. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "cli.h"
#include "hub/models.h"
#include "settings.h"

/* ---- listing ---- */

struct defaults {
    char *names[N_ROLES];
};

static enum kt_status defaults_open(struct defaults *d, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    *d = (struct defaults){ 0 };
    for (int r = 0; r < N_ROLES && !st; r++)
        st = model_default(&d->names[r], cli_home(), (enum model_role)r, err);
    return st;
}

static void defaults_close(struct defaults *d)
{
    for (int r = 0; r < N_ROLES; r++)
        free(d->names[r]);
}

static const char *state_of(const struct model_entry *e)
{
    return e->unfinished ? "unfinished" : e->damaged ? "damaged" : "whole";
}

static bool is_default(const struct defaults *d, const struct model_entry *e)
{
    const char *name = d->names[e->manifest.role];
    return !e->unfinished && !e->damaged && name && strcmp(name, e->name) == 0;
}

static void print_entry(const struct model_entry *e, const struct defaults *d)
{
    const struct manifest *m = &e->manifest;
    if (e->unfinished && e->bytes_planned == 0) {
        printf("%-34s %-7s %8s  begun and not finished; begin again, or `kontor rm` it\n", e->name,
               "-", "?");
        return;
    }
    if (e->unfinished) {
        printf(
            "%-34s %-7s %8.2f  of %.2f GB fetched; `kontor pull` goes on, `kontor rm` gives up\n",
            e->name, "-", (double)e->bytes / 1e9, (double)e->bytes_planned / 1e9);
        return;
    }
    if (e->damaged) {
        printf("%-34s %-7s %8s  its manifest cannot be read; `kontor rm` and get it again\n",
               e->name, "?", "?");
        return;
    }
    printf("%-34s %-7s %8.2f  %-11s %.10s  %s%s\n", e->name, model_role_name(m->role),
           (double)e->bytes / 1e9, m->license[0] ? m->license : "-", m->date,
           m->repository[0] ? m->repository : "imported", is_default(d, e) ? "  (default)" : "");
}

static json_t *entry_json(const struct model_entry *e, const struct defaults *d)
{
    const struct manifest *m = &e->manifest;
    json_t *o = json_pack("{s:s,s:s,s:I}", "name", e->name, "state", state_of(e), "bytes",
                          (json_int_t)e->bytes);
    if (e->unfinished) {
        json_object_set_new(o, "bytes_planned", json_integer((json_int_t)e->bytes_planned));
    } else if (!e->damaged) {
        json_t *more = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "role",
                                 model_role_name(m->role), "title", m->title, "quant", m->quant,
                                 "license", m->license, "date", m->date, "repository",
                                 m->repository, "signer", m->signer, "default", is_default(d, e));
        json_object_update(o, more);
        json_decref(more);
    }
    return o;
}

static int list(bool as_json)
{
    struct kt_error err;
    struct model_list l = { 0 };
    struct defaults d = { 0 };
    enum kt_status st = models_list(&l, cli_home(), &err);
    if (!st)
        st = defaults_open(&d, &err);
    int rc = st ? cli_fail("models", &err) : EXIT_DONE;
    json_t *rows = json_array();
    if (!st && !as_json && l.n == 0)
        puts("no models here yet; `kontor pull --list` shows what can be had");
    for (size_t i = 0; i < l.n && !st; i++) {
        if (as_json)
            json_array_append_new(rows, entry_json(&l.entries[i], &d));
        else
            print_entry(&l.entries[i], &d);
    }
    if (!st && as_json)
        rc = cli_print_json(json_pack("{s:O}", "models", rows));
    json_decref(rows);
    defaults_close(&d);
    model_list_deinit(&l);
    return rc;
}

/* ---- --use ---- */

static int use(const char *given)
{
    struct kt_error err;
    struct manifest m = { 0 };
    char *name = NULL;
    enum kt_status st = model_find(&name, cli_home(), given, &err);
    if (!st)
        st = model_manifest(&m, cli_home(), name ? name : given, &err);
    if (!st)
        st = model_set_default(cli_home(), m.role, m.name, &err);
    int rc = st ? cli_fail("models", &err) : EXIT_DONE;
    if (!st) {
        printf("%s is now the %s model of this home\n", m.name, model_role_name(m.role));
        const char *setting = m.role == ROLE_CHAT    ? "chat_model"
                              : m.role == ROLE_EMBED ? "embed_model"
                                                     : NULL;
        if (setting && settings_get(cli_home(), setting))
            fprintf(stderr, "kontor models: but the setting %s names another one, and wins\n",
                    setting);
    }
    free(name);
    manifest_deinit(&m);
    return rc;
}

static int run(int argc, char **argv)
{
    bool as_json = false;
    const char *name = NULL;
    const struct opt opts[] = {
        { "--use", NULL, OPT_STR, &name },
        { "--json", NULL, OPT_FLAG, &as_json },
    };
    if (!cli_parse(&cmd_models, argc, argv, opts, ARRAY_LEN(opts), NULL))
        return EXIT_USAGE;
    return name ? use(name) : list(as_json);
}

const struct command cmd_models = {
    "models",
    "[--use NAME] [--json]",
    "List the models of this home, or choose which is used when none is named.",
    "  --use NAME        the model for its role (chat, embed) from now on; a setting or -m wins\n"
    "  --json            print "
    "{\"models\":[{\"name\",\"state\",\"role\",\"bytes\",\"license\",\"default\",...}]}\n",
    run,
};
