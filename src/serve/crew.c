/* serve/crew.c: see crew.h. */
#include "serve/crew.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"

static void desks_close(struct crew *c)
{
    for (size_t i = 0; i < c->n_chats; i++) {
        if (c->chats[i].desk != c->desk)
            desk_close(c->chats[i].desk);
        c->chats[i].desk = NULL;
    }
    desk_close(c->desk);
    c->desk = NULL;
}

void crew_parts_close(struct crew *c)
{
    desks_close(c);
    for (size_t i = 0; i < c->n_chats; i++) {
        kt_engine_close(c->chats[i].engine);
        free(c->chats[i].name);
        free(c->chats[i].path);
    }
    kt_engine_close(c->embed);
    kt_engine_close(c->rank);
    free(c->embed_name);
    free(c->rank_name);
    *c = (struct crew){ 0 };
}

/* Memory that was given is shared out evenly; the first desk has the models that find and rank as well. */
static enum kt_status desks_open(struct crew *c, const struct desk_options *limits,
                                 struct kt_error *err)
{
    struct desk_options o = *limits;
    o.memory_bytes = limits->memory_bytes / MAX(c->n_chats, (size_t)1);
    o.chat = c->n_chats ? c->chats[0].engine : NULL;
    o.embed = c->embed;
    o.rank = c->rank;
    enum kt_status st = desk_open(&c->desk, &o, err);
    o.embed = o.rank = NULL;
    if (c->n_chats)
        c->chats[0].desk = c->desk;
    for (size_t i = 1; i < c->n_chats && !st; i++) {
        o.chat = c->chats[i].engine;
        st = desk_open(&c->chats[i].desk, &o, err);
    }
    return st;
}

enum kt_status crew_create(struct crew **out, const struct crew *parts,
                           const struct desk_options *limits, struct kt_error *err)
{
    *out = NULL;
    struct crew *c = malloc(sizeof(*c));
    if (!c) {
        struct crew given = *parts;
        crew_parts_close(&given);
        return kt_fail(err, KT_E_NOMEM, "serve: out of memory");
    }
    *c = *parts;
    atomic_init(&c->n_holders, 1);
    enum kt_status st = desks_open(c, limits, err);
    if (st) {
        crew_let_go(c);
        return st;
    }
    *out = c;
    return KT_OK;
}

void crew_hold(struct crew *c)
{
    atomic_fetch_add(&c->n_holders, 1);
}

void crew_let_go(struct crew *c)
{
    if (!c || atomic_fetch_sub(&c->n_holders, 1) > 1)
        return;
    crew_parts_close(c);
    free(c);
}

const struct crew_chat *crew_chat_named(const struct crew *c, const char *name)
{
    for (size_t i = 0; i < c->n_chats; i++)
        if (strcmp(c->chats[i].name, name) == 0)
            return &c->chats[i];
    return NULL;
}

void crew_forget(struct crew *c, const char *scope)
{
    desk_forget(c->desk, scope);
    for (size_t i = 1; i < c->n_chats; i++)
        desk_forget(c->chats[i].desk, scope);
}

void crew_counts(struct crew *c, struct desk_counts *out)
{
    desk_counts(c->desk, out);
    for (size_t i = 1; i < c->n_chats; i++) {
        struct desk_counts n;
        desk_counts(c->chats[i].desk, &n);
        out->waiting += n.waiting;
        out->running += n.running;
        out->warm += n.warm;
        out->warm_max += n.warm_max;
        out->warm_bytes += n.warm_bytes;
        out->tokens_prompt += n.tokens_prompt;
        out->tokens_cached += n.tokens_cached;
        out->tokens_generated += n.tokens_generated;
        out->refused += n.refused;
        out->cancelled += n.cancelled;
        out->paused += n.paused;
        out->prompt_s += n.prompt_s;
        out->decode_s += n.decode_s;
    }
}
