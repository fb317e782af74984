/* What `kontor serve` is told: the command line first, then settings.ini (or the environment) under [serve]. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "serve.h"
#include "settings.h"

size_t serve_option_table(struct serve_options *o, struct opt out[static SERVE_OPTIONS])
{
    const struct opt all[SERVE_OPTIONS] = {
        { "--listen", NULL, OPT_STR_LIST, &o->listen },
        { "--cert", NULL, OPT_STR, &o->cert },
        { "--key", NULL, OPT_STR, &o->key },
        { "--host", NULL, OPT_STR_LIST, &o->hosts },
        { "--root", NULL, OPT_STR_LIST, &o->roots },
        { "--model", "-m", OPT_STR_LIST, &o->chats },
        { "--rerank-model", NULL, OPT_STR, &o->rank },
        { "--embed-model", NULL, OPT_STR, &o->embed },
        { "--ctx", NULL, OPT_U64, &o->n_ctx },
        { "--memory", NULL, OPT_U64, &o->memory_mb },
        { "--streams", NULL, OPT_U64, &o->streams },
        { "--waiting", NULL, OPT_U64, &o->waiting },
        { "--drain", NULL, OPT_U64, &o->drain_s },
    };
    memcpy(out, all, sizeof(all));
    return SERVE_OPTIONS;
}

static const char *setting(const char *name)
{
    return settings_get(cli_home(), name);
}

static void fill_text(const char **out, const char *name)
{
    if (!*out)
        *out = setting(name);
}

static enum kt_status fill_list(struct str_list *l, const char *name, struct kt_error *err)
{
    const char *text = l->n ? NULL : setting(name);
    if (text && !cli_split(l, text))
        return kt_fail(err, KT_E_NOMEM, "serve: out of memory");
    return KT_OK;
}

static enum kt_status fill_number(uint64_t *out, uint64_t unsaid, const char *name, uint64_t max,
                                  struct kt_error *err)
{
    const char *text = *out == unsaid ? setting(name) : NULL;
    if (text) {
        char *end;
        errno = 0;
        unsigned long long n = strtoull(text, &end, 10);
        if (errno || end == text || *end || text[0] == '-')
            return kt_fail(err, KT_E_USAGE, "the setting %s under [serve] is not a whole number",
                           name + strlen("serve_"));
        *out = n;
    }
    if (*out != unsaid && *out > max)
        return kt_fail(err, KT_E_USAGE, "%s is %llu, at most %llu makes sense",
                       name + strlen("serve_"), (unsigned long long)*out, (unsigned long long)max);
    return KT_OK;
}

enum kt_status serve_options_fill(struct serve_options *o, struct kt_error *err)
{
    fill_text(&o->cert, "serve_cert");
    fill_text(&o->key, "serve_key");
    fill_text(&o->rank, "serve_rerank_model");
    const struct {
        struct str_list *list;
        const char *name;
    } LISTS[] = { { &o->listen, "serve_listen" },
                  { &o->hosts, "serve_host" },
                  { &o->roots, "serve_root" } };
    const struct {
        uint64_t *n, unsaid, max;
        const char *name;
    } NUMBERS[] = { { &o->n_ctx, 0, INT32_MAX, "serve_ctx" },
                    { &o->memory_mb, 0, 1 << 24, "serve_memory" },
                    { &o->streams, 0, 64, "serve_streams" },
                    { &o->waiting, 0, 10000, "serve_waiting" },
                    { &o->drain_s, SERVE_NOT_SAID, 3600, "serve_drain" } };
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < ARRAY_LEN(LISTS) && !st; i++)
        st = fill_list(LISTS[i].list, LISTS[i].name, err);
    for (size_t i = 0; i < ARRAY_LEN(NUMBERS) && !st; i++)
        st = fill_number(NUMBERS[i].n, NUMBERS[i].unsaid, NUMBERS[i].name, NUMBERS[i].max, err);
    if (st)
        return st;
    if (o->drain_s == SERVE_NOT_SAID)
        o->drain_s = SERVE_DRAIN_S;
    if (!o->cert != !o->key)
        return kt_fail(err, KT_E_USAGE, "a certificate and its key (--cert and --key) go together");
    if (o->chats.n)
        return KT_OK; /* the command line names them all */
    const char *first = cli_chat_model(NULL), *more = setting("serve_more_models");
    if ((first && !cli_append(&o->chats, first)) || (more && !cli_split(&o->chats, more)))
        return kt_fail(err, KT_E_NOMEM, "serve: out of memory");
    return KT_OK;
}
