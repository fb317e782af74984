/* serve/crew.c: see crew.h. */
#include "serve/crew.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "serve/budget.h"
#include "serve/serve_priv.h"

static_assert((int)BUDGET_MODELS_MAX == (int)CREW_CHATS_MAX, "a row each");

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

static void add_engine(struct budget *b, const struct kt_engine *e, bool chat)
{
    struct kt_engine_memory m;
    if (!e)
        return;
    kt_engine_memory(e, b->n_ctx, &m);
    b->weights += m.weights;
    b->seeing += chat ? m.seeing : 0;
    b->texts += chat ? 0 : m.texts;
}

/* Memory that is left when all models are in it is shared out evenly. */
static enum kt_status plan(struct budget *b, const struct crew *c,
                           const struct desk_options *limits, struct kt_error *err)
{
    *b = (struct budget){ .limit = limits->memory_bytes,
                          .free = budget_free_bytes(),
                          .program = budget_program_bytes(),
                          .n_models = c->n_chats };
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < c->n_chats && !st; i++) {
        struct kt_engine_info info;
        size_t n_ctx = limits->n_ctx;
        kt_engine_info(c->chats[i].engine, &info);
        if (!info.is_encoder) /* a desk says what is wrong with it */
            st = warm_bytes(c->chats[i].engine, &n_ctx, &b->models[i].steps,
                            &b->models[i].conversation, err);
        b->n_ctx = MAX(b->n_ctx, n_ctx);
    }
    for (size_t i = 0; i < c->n_chats; i++)
        add_engine(b, c->chats[i].engine, true);
    add_engine(b, c->embed, false);
    add_engine(b, c->rank, false);
    return st ? st : budget_share_out(b, err);
}

/* The first desk has the models that find and rank as well. */
static enum kt_status desks_open(struct crew *c, const struct desk_options *limits,
                                 struct kt_error *err)
{
    struct budget b;
    enum kt_status st = plan(&b, c, limits, err);
    if (st)
        return st;
    c->memory_limit = b.limit;
    struct desk_options o = *limits;
    o.memory_bytes = b.for_conversations[0];
    o.chat = c->n_chats ? c->chats[0].engine : NULL;
    o.embed = c->embed;
    o.rank = c->rank;
    st = desk_open(&c->desk, &o, err);
    o.embed = o.rank = NULL;
    if (c->n_chats)
        c->chats[0].desk = c->desk;
    for (size_t i = 1; i < c->n_chats && !st; i++) {
        o.chat = c->chats[i].engine;
        o.memory_bytes = b.for_conversations[i];
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
    out->memory_limit = c->memory_limit;
    for (size_t i = 1; i < c->n_chats; i++) {
        struct desk_counts n;
        desk_counts(c->chats[i].desk, &n);
        out->waiting += n.waiting;
        out->running += n.running;
        out->warm += n.warm;
        out->warm_max += n.warm_max;
        out->warm_bytes += n.warm_bytes;
        out->checkpoints += n.checkpoints;
        out->checkpoint_bytes += n.checkpoint_bytes;
        out->checkpoint_bytes_max += n.checkpoint_bytes_max;
        out->checkpoint_hits += n.checkpoint_hits;
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
