/* kontor user: who may use the server, with what, and which matters. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include <sodium.h>

#include "access/access.h"
#include "api/api.h"
#include "base/size.h"
#include "cli.h"
#include "open.h"

enum { LINE_MAX_BYTES = 1026 };

struct user_command {
    bool admin, password, write, remove, as_json;
    const char *label, *matter;
};

/* One line of standard input; at a terminal, asked for and not shown. */
static enum kt_status read_password(char out[static LINE_MAX_BYTES], struct kt_error *err)
{
    struct termios before, quiet;
    bool terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &before) == 0;
    if (terminal) {
        fputs("Password: ", stderr);
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    bool got = fgets(out, LINE_MAX_BYTES, stdin) != NULL;
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
        fputc('\n', stderr);
    }
    if (!got)
        return kt_fail(err, KT_E_USAGE, "no password on standard input");
    out[strcspn(out, "\r\n")] = 0;
    return KT_OK;
}

static enum kt_status with_password(struct access *a, const char *name,
                                    const struct user_command *u, bool is_new, struct kt_error *err)
{
    char password[LINE_MAX_BYTES];
    enum kt_status st = u->password ? read_password(password, err) : KT_OK;
    const char *p = u->password ? password : NULL;
    if (!st)
        st = is_new ? access_user_add(a, name, u->admin, p, err)
                    : access_user_passwd(a, name, p, err);
    sodium_memzero(password, sizeof(password));
    return st;
}

static enum kt_status make_key(struct access *a, const char *name, const char *label,
                               struct kt_error *err)
{
    char secret[ACCESS_SECRET_MAX];
    enum kt_status st = access_key_create(a, name, label, secret, err);
    if (st)
        return st;
    fputs("This is the only time the key is shown:\n", stderr);
    puts(secret);
    sodium_memzero(secret, sizeof(secret));
    return KT_OK;
}

static enum kt_status list_users(struct access *a, bool as_json, struct kt_error *err)
{
    struct access_user *list;
    size_t n;
    enum kt_status st = access_user_list(a, &list, &n, err);
    if (st)
        return st;
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct access_user *u = &list[i];
        if (as_json)
            json_array_append_new(
                all, json_pack("{s:s,s:s,s:b,s:I,s:I}", "name", u->name, "role",
                               u->admin ? "admin" : "member", "password", (int)u->has_password,
                               "keys", (json_int_t)u->n_keys, "matters", (json_int_t)u->n_matters));
        else
            printf("%-24s %-7s %-12s %zu keys, %zu matters\n", u->name,
                   u->admin ? "admin" : "member", u->has_password ? "password" : "no password",
                   u->n_keys, u->n_matters);
    }
    free(list);
    if (as_json && cli_print_json(json_pack("{s:O}", "users", all)) != EXIT_DONE)
        st = kt_fail(err, KT_E_IO, "standard output cannot be written");
    json_decref(all);
    return st;
}

/* With what is kept of their conversations. */
static enum kt_status remove_user(struct kt_store *s, struct access *a, const char *name,
                                  struct kt_error *err)
{
    struct kept *kept = NULL;
    enum kt_status st = access_user_remove(a, name, err);
    if (!st)
        st = kept_open(&kept, s, NULL, err);
    if (!st)
        st = api_forget_users(kept, a, err);
    kept_close(kept);
    return st;
}

static enum kt_status do_command(const char *verb, const char *name, const struct user_command *u,
                                 struct opened *o, struct access *a, struct kt_error *err)
{
    char id[KT_MATTER_ID_LEN + 1];
    if (strcmp(verb, "list") == 0)
        return list_users(a, u->as_json, err);
    if (strcmp(verb, "add") == 0)
        return with_password(a, name, u, true, err);
    if (strcmp(verb, "passwd") == 0)
        return with_password(a, name, u, false, err);
    if (strcmp(verb, "remove") == 0)
        return remove_user(o->store, a, name, err);
    if (strcmp(verb, "key") == 0)
        return u->remove ? access_key_remove(a, name, u->label, err)
                         : make_key(a, name, u->label, err);
    enum kt_status st = kt_matter_find_id(o->store, u->matter, id, err);
    enum access_right right = strcmp(verb, "revoke") == 0 ? ACCESS_NONE
                              : u->write                  ? ACCESS_WRITE
                                                          : ACCESS_READ;
    return st ? st : access_grant(a, name, id, right, err);
}

static int run(int argc, char **argv)
{
    static const char *const VERBS[] = {
        "list", "add", "passwd", "key", "remove", "grant", "revoke"
    };
    struct user_command u = { .label = "key" };
    struct str_list rest = { 0 };
    const struct opt opts[] = {
        { "--admin", NULL, OPT_FLAG, &u.admin },  { "--password", NULL, OPT_FLAG, &u.password },
        { "--label", NULL, OPT_STR, &u.label },   { "--delete", NULL, OPT_FLAG, &u.remove },
        { "--matter", NULL, OPT_STR, &u.matter }, { "--write", NULL, OPT_FLAG, &u.write },
        { "--json", NULL, OPT_FLAG, &u.as_json },
    };
    if (!cli_parse(&cmd_user, argc, argv, opts, ARRAY_LEN(opts), &rest))
        return EXIT_USAGE;
    size_t verb = ARRAY_LEN(VERBS);
    for (size_t i = 0; i < ARRAY_LEN(VERBS) && rest.n; i++)
        if (strcmp(rest.items[0], VERBS[i]) == 0)
            verb = i;
    if (verb == ARRAY_LEN(VERBS))
        return cli_usage(&cmd_user, "needs list, add, passwd, key, remove, grant or revoke");
    if (rest.n != (verb == 0 ? 1u : 2u))
        return cli_usage(&cmd_user, "%s takes %s", VERBS[verb],
                         verb == 0 ? "no name" : "one user's name");
    if (verb >= 5 && !u.matter)
        return cli_usage(&cmd_user, "%s needs --matter NAME", VERBS[verb]);
    struct opened o;
    struct access *a = NULL;
    struct kt_error err;
    enum kt_status st = open_store(&o, &err);
    if (!st)
        st = access_open(&a, o.store, &err);
    if (!st)
        st = do_command(VERBS[verb], rest.n > 1 ? rest.items[1] : NULL, &u, &o, a, &err);
    access_close(a);
    opened_close(&o);
    return st ? cli_fail("user", &err) : EXIT_DONE;
}

const struct command cmd_user = {
    "user",
    "list | add NAME | passwd NAME | key NAME | remove NAME | grant NAME --matter M | revoke NAME "
    "--matter M",
    "Who may use the server (kontor serve), and which matters.",
    "  list [--json]                     everybody\n"
    "  add NAME [--admin] [--password]   a new user; --password: asked for, or one line of "
    "standard input\n"
    "  passwd NAME [--password]          a new password; without --password: none any more, keys "
    "only\n"
    "  key NAME [--label L] [--delete]   an API key, printed once and kept as a hash; --delete: "
    "away with it\n"
    "  remove NAME                       with keys, sessions and rights\n"
    "  grant NAME --matter M [--write]   the right to read (and change) a matter\n"
    "  revoke NAME --matter M            the right taken away\n\n"
    "Administrators manage users and matters; they read only the matters they were given, like "
    "everybody.\n",
    run,
};
