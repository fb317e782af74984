/* kontor audit: what was done in this home, and whether the record of it is whole. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audit/audit.h"
#include "cli.h"
#include "open.h"
#include "store/subkey.h"

static bool print_line(void *ctx, const char *line, size_t len)
{
    (void)ctx;
    return fwrite(line, 1, len, stdout) == len && putchar('\n') != EOF;
}

/* A column, or "-". */
static const char *number(char out[static 24], const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    if (!json_is_integer(v))
        return "-";
    snprintf(out, 24, "%lld", (long long)json_integer_value(v));
    return out;
}

static bool print_row(void *ctx, const char *line, size_t len)
{
    (void)ctx;
    char n[24], user[24], document[24], count[24];
    json_t *j = json_loadb(line, len, 0, NULL);
    if (!j) {
        puts("(a line that is no record; see `kontor audit verify`)");
        return true;
    }
    const char *time = json_string_value(json_object_get(j, "time"));
    const char *event = json_string_value(json_object_get(j, "event"));
    const char *matter = json_string_value(json_object_get(j, "matter"));
    printf("%8s  %-20.20s  user %-4s  %-18.18s  matter %-8.8s  document %-6s  count %s\n",
           number(n, j, "n"), time ? time : "-", number(user, j, "user"), event ? event : "-",
           matter ? matter : "-", number(document, j, "document"), number(count, j, "count"));
    json_decref(j);
    return true;
}

static int list(const char *from, bool as_json)
{
    struct kt_error err;
    char *end = NULL;
    unsigned long long n = from ? strtoull(from, &end, 10) : 0;
    if (from && (!*from || *end || *from == '-'))
        return cli_usage(&cmd_audit, "--from takes the number of a record");
    enum kt_status st = audit_each(cli_home(), n, as_json ? print_line : print_row, NULL, &err);
    return st ? cli_fail("audit", &err) : EXIT_DONE;
}

static int verify(bool as_json)
{
    struct kt_error err;
    struct opened o = { 0 };
    struct audit_report r = { 0 };
    uint8_t *key = key_alloc();
    enum kt_status st = key ? open_store(&o, &err) : kt_fail(&err, KT_E_NOMEM, "out of memory");
    if (!st)
        st = store_audit_key(key, o.store, &err);
    if (!st)
        st = audit_verify(&r, cli_home(), key, &err);
    key_free(key);
    opened_close(&o);
    if (st)
        return cli_fail("audit", &err);
    bool whole = !r.fault[0];
    if (as_json) {
        cli_print_json(json_pack("{s:b,s:I,s:I,s:I,s:s,s:s?}", "whole", whole, "records",
                                 (json_int_t)r.n, "lost", (json_int_t)r.n_lost, "unsealed",
                                 (json_int_t)r.n_unsealed, "hash", r.hash, "fault",
                                 whole ? NULL : r.fault));
    } else if (whole) {
        printf("whole: %llu records, the last one's hash is %s\n", (unsigned long long)r.n, r.hash);
        if (r.n_lost)
            printf("%llu events could not be written (a full disk, a program that was killed)\n",
                   (unsigned long long)r.n_lost);
    } else {
        printf("NOT whole: %s\n%llu records before that are as they were written\n", r.fault,
               (unsigned long long)r.n);
    }
    return whole ? EXIT_DONE : EXIT_FAILED;
}

static int run(int argc, char **argv)
{
    const char *from = NULL;
    bool as_json = false;
    struct str_list words = { 0 };
    const struct opt opts[] = {
        { "--from", NULL, OPT_STR, &from },
        { "--json", NULL, OPT_FLAG, &as_json },
    };
    if (!cli_parse(&cmd_audit, argc, argv, opts, 2, &words))
        return EXIT_USAGE;
    if (words.n == 1 && strcmp(words.items[0], "list") == 0)
        return list(from, as_json);
    if (words.n == 1 && strcmp(words.items[0], "verify") == 0 && !from)
        return verify(as_json);
    return cli_usage(&cmd_audit, "needs 'list' or 'verify'");
}

const struct command cmd_audit = {
    "audit",
    "list [--from N] | verify [--json]",
    "Show the record of what was done, and check that nobody changed it.",
    "The record has what was added, removed, read, searched, answered, and who did it, by number; "
    "never a name, a\n"
    "path, a question or a text. Each record is bound to the one before it.\n\n"
    "  list              the records, oldest first; --from N begins at number N\n"
    "  verify            find the first one that was changed, taken out, moved or cut off\n"
    "  --json            list: the lines as they are; verify: print\n"
    "                    {\"whole\",\"records\",\"lost\",\"unsealed\",\"hash\",\"fault\"}\n",
    run,
};
