/* kontor rm: remove a model from this home. (`kontor remove` is for documents.) */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/size.h"
#include "cli.h"
#include "hub/jread.h"
#include "hub/models.h"
#include "settings.h"

/* The role that 'name' is the default of, or that a setting names it for; N_ROLES: none. */
static enum kt_status role_in_use(enum model_role *out, const char *name, struct kt_error *err)
{
    static const char *const SETTINGS[N_ROLES] = {
        [ROLE_CHAT] = "chat_model", [ROLE_EMBED] = "embed_model"
    };
    enum kt_status st = KT_OK;
    *out = N_ROLES;
    for (int r = 0; r < N_ROLES && !st && *out == N_ROLES; r++) {
        char *now = NULL, *meant = NULL;
        const char *setting = SETTINGS[r] ? settings_get(cli_home(), SETTINGS[r]) : NULL;
        st = model_default(&now, cli_home(), (enum model_role)r, err);
        if (!st && setting && !file_exists(setting))
            st = model_find(&meant, cli_home(), setting, err);
        if ((now && strcmp(now, name) == 0) || (meant && strcmp(meant, name) == 0))
            *out = (enum model_role)r;
        free(now);
        free(meant);
    }
    return st;
}

static enum kt_status forget_default(const char *name, enum model_role role, struct kt_error *err)
{
    char *now = NULL;
    if (role == N_ROLES)
        return KT_OK;
    enum kt_status st = model_default(&now, cli_home(), role, err);
    if (!st && now && strcmp(now, name) == 0)
        st = model_set_default(cli_home(), role, NULL, err);
    free(now);
    return st;
}

static enum kt_status remove_model(const char *name, bool force, struct kt_error *err)
{
    enum model_role role = N_ROLES;
    enum kt_status st = KT_OK;
    if (model_name_ok(name))
        st = role_in_use(&role, name, err);
    if (!st && role != N_ROLES && !force)
        return kt_fail(err, KT_E_BUSY,
                       "'%s' is the %s model of this home; choose another with "
                       "`kontor models --use`, or add --force",
                       name, model_role_name(role));
    if (!st)
        st = model_remove(cli_home(), name, err);
    return st ? st : forget_default(name, role, err);
}

static int run(int argc, char **argv)
{
    bool force = false;
    struct str_list names = { 0 };
    const struct opt opts[] = { { "--force", "-f", OPT_FLAG, &force } };
    if (!cli_parse(&cmd_rm, argc, argv, opts, ARRAY_LEN(opts), &names))
        return EXIT_USAGE;
    if (names.n == 0)
        return cli_usage(&cmd_rm, "needs a model's NAME");
    for (size_t i = 0; i < names.n; i++) {
        struct kt_error err;
        if (remove_model(names.items[i], force, &err))
            return cli_fail("rm", &err);
        printf("%s is removed\n", names.items[i]);
    }
    return EXIT_DONE;
}

const struct command cmd_rm = {
    "rm",
    "NAME... [--force]",
    "Remove models from this home, finished or not. Linked files themselves stay.",
    "A program that has the model open goes on with it until it ends.\n\n"
    "  -f, --force       also one that is the default of its role\n",
    run,
};
