/* kontor doctor: the models: there, whole, of the right kind, and small enough together. */
#include <stdio.h>
#include <string.h>

#include "doctor.h"
#include "hub/catalogue.h"
#include "hub/models.h"
#include "kontor/engine.h"

/* Models that were pulled or imported; whether their content is still right is `kontor verify`'s
 * question, which takes minutes. */
static void check_home_models(struct checkup *c)
{
    struct model_list l;
    struct kt_error err;
    size_t n_whole = 0;
    uint64_t bytes = 0;
    if (models_list(&l, cli_home(), &err)) {
        doctor_say(c, BAD, "models", "look at the folder `models` in the home folder", "%s",
                   err.text);
        return;
    }
    for (size_t i = 0; i < l.n; i++) {
        const struct model_entry *e = &l.entries[i];
        n_whole += !e->unfinished && !e->damaged;
        bytes += e->bytes;
        if (!e->unfinished && !e->damaged)
            continue;
        doctor_say(c, e->unfinished ? NOTE : BAD, "models",
                   e->unfinished ? "`kontor pull` of the same name goes on, `kontor rm` gives up"
                                 : "`kontor rm` it and get it again",
                   "%s is %s", e->name, e->unfinished ? "not fetched whole" : "damaged");
    }
    if (n_whole)
        doctor_say(c, FINE, "models", NULL, "%zu in the home folder, %.2f GB", n_whole,
                   (double)bytes / 1e9);
    model_list_deinit(&l);
}

static const char *next_of(enum kt_status st)
{
    switch (st) {
    case KT_E_NOTFOUND:
        return "name a file that is there in settings.ini, or get one: `kontor pull --list`";
    case KT_E_FORMAT:
        return "get it again: it is not whole or not what it was (`kontor verify` for one of the "
               "home)";
    case KT_E_IO:
        return "let this account read it (and its folder), or move it where it may";
    default:
        return "name another model in settings.ini";
    }
}

/* Bytes of its weights; 0: not to be had. */
static uint64_t check_model(struct checkup *c, const char *what, const char *path,
                            bool should_embed)
{
    struct kt_error err;
    struct kt_engine *e = NULL;
    struct kt_engine_info info;
    enum kt_status st = kt_engine_open(&e, path, NULL, &err);
    if (st) {
        doctor_say(c, BAD, what, next_of(st), "%s", err.text);
        return 0;
    }
    kt_engine_info(e, &info);
    uint64_t bytes = info.weight_bytes;
    if (info.is_encoder && !should_embed)
        doctor_say(c, BAD, what, "name it as embed_model, and one that writes as chat_model",
                   "%s makes vectors, it does not write", path);
    else
        doctor_say(c, FINE, what, NULL, "%s, %.0f MB, %u layers", info.arch, (double)bytes / 1e6,
                   info.n_layers);
    kt_engine_close(e);
    return bytes;
}

void doctor_models(struct checkup *c)
{
    const struct serve_options *o = &c->serve;
    check_home_models(c);
    uint64_t all = 0;
    for (size_t i = 0; i < o->chats.n; i++)
        all += check_model(c, "chat model", cli_model_path(o->chats.items[i]), false);
    if (o->chats.n == 0)
        doctor_say(c, NOTE, "chat model",
                   "`kontor pull --list` shows what fits this machine; or name one in settings.ini",
                   "none: answers are the best sentences, nothing is written");
    const char *embed = cli_embed_model(o->embed);
    if (embed)
        all += check_model(c, "embedding model", embed, true);
    else
        doctor_say(c, NOTE, "embedding model",
                   "`kontor pull --list` shows small ones; or name one in settings.ini",
                   "none: search goes by words only");
    if (o->rank)
        all += check_model(c, "ranking model", cli_model_path(o->rank), true);
    if (all == 0)
        return;
    uint64_t conversations = o->memory_mb * 1000000, machine = memory_of_machine();
    enum fit fit = memory_fit(all + conversations, machine);
    doctor_say(c,
               fit == FIT_NO      ? BAD
               : fit == FIT_TIGHT ? NOTE
                                  : FINE,
               "memory",
               fit == FIT_YES
                   ? NULL
                   : "a smaller model (`kontor pull --list`), or less for conversations (--memory)",
               "weights take %.2f GB, conversations %s; this machine has %.2f GB",
               (double)all / 1e9, conversations ? "what --memory says" : "what is left",
               (double)machine / 1e9);
}
