/* kontor ask: an answer with quotations that can be checked. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "infer.h"
#include "kontor/cache.h"
#include "kontor/office.h"
#include "open.h"

enum { CONTEXT_TOKENS = 4096, CACHE_BYTES = 512 << 20 };

static json_t *citation_json(const struct kt_citation *c)
{
    return json_pack("{s:o,s:i,s:i,s:[f,f,f,f],s:o,s:I,s:I}", "path",
                     cli_json_text(c->path, strlen(c->path)), "page", (int)c->page, "paragraph",
                     (int)c->para, "box", (double)c->box[0], (double)c->box[1], (double)c->box[2],
                     (double)c->box[3], "quote", cli_json_text(c->quote, strlen(c->quote)), "start",
                     (json_int_t)c->start, "end", (json_int_t)c->end);
}

static json_t *number_or_null(double x)
{
    return isnan(x) ? json_null() : json_real(x);
}

static int print_json(const struct kt_answer *a)
{
    json_t *list = json_array();
    for (size_t i = 0; i < a->n_citations; i++)
        json_array_append_new(list, citation_json(&a->citations[i]));
    json_t *why = json_pack("{s:o,s:o,s:o}", "score", number_or_null(a->support_score), "coverage",
                            number_or_null(a->coverage), "cosine", number_or_null(a->cosine));
    json_t *all =
        json_pack("{s:o,s:b,s:o,s:o,s:s,s:s}", "answer", cli_json_text(a->text, strlen(a->text)),
                  "supported", (int)a->supported, "citations", list, "support", why, "route",
                  kt_route_name(a->route), "route_reason", a->route_reason);
    if (a->route == KT_ROUTE_COUNT || a->route == KT_ROUTE_LIST)
        json_object_set_new(all, "found", json_integer((json_int_t)a->n_found));
    return cli_print_json(all);
}

static int print_text(const struct kt_answer *a)
{
    printf("%s\n", a->text);
    for (size_t i = 0; i < a->n_citations; i++) {
        const struct kt_citation *c = &a->citations[i];
        printf("\n[%zu] %s", i + 1, c->title && c->title[0] ? c->title : c->path);
        if (c->page)
            printf(", page %u", c->page);
        else
            printf(", paragraph %u", c->para);
        printf("\n    \"%s\"\n    %s, characters %zu to %zu\n", c->quote, c->path, c->start,
               c->end);
    }
    return EXIT_DONE;
}

struct models {
    struct kt_engine *embedder, *chat;
    struct kt_cache *cache;
    struct kt_context *context;
};

static enum kt_status open_models(struct models *m, const char *chat_option,
                                  const char *embed_option, const char *speculate,
                                  struct kt_error *err)
{
    char id[65];
    struct kt_context_options co = { .n_ctx = CONTEXT_TOKENS };
    enum kt_status st = infer_speculate(speculate, &co.speculate, err);
    if (!st)
        st = open_embedder(&m->embedder, id, embed_option, err);
    const char *chat = cli_chat_model(chat_option);
    if (st || !chat)
        return st;
    struct kt_engine_options eo = { .n_threads = cli_threads() };
    st = kt_engine_open(&m->chat, chat, &eo, err);
    return st ? st : kt_context_create(&m->context, m->chat, &co, err);
}

/* What the prompts of several questions have in common is read once: instructions, and passages that come again;
 * long ones and what was of use also by a later run, from the matter's folder. */
static enum kt_status use_cache(struct models *m, const struct opened *o, struct kt_error *err)
{
    struct kt_cache_options co = { .memory_bytes = CACHE_BYTES };
    uint8_t key[KT_CACHE_KEY_BYTES];
    char *dir = NULL;
    if (!m->context)
        return KT_OK;
    enum kt_status st = kt_cache_create(&m->cache, m->chat, &co, err);
    if (!st)
        st = kt_context_use_cache(m->context, m->cache, kt_matter_id(o->matter), err);
    if (!st)
        st = kt_matter_side(o->store, kt_matter_id(o->matter), KT_CACHE_PURPOSE, &dir, key, err);
    if (!st)
        st = kt_context_keep_files(m->context, dir, key, 0, err);
    explicit_bzero(key, sizeof(key));
    free(dir);
    return st;
}

static void models_close(struct models *m)
{
    kt_context_destroy(m->context);
    kt_cache_destroy(m->cache);
    kt_engine_close(m->chat);
    kt_engine_close(m->embedder);
}

struct asker {
    struct opened o;
    struct models m;
    uint64_t passages, seed;
};

static enum kt_status ask(struct asker *a, const char *question, struct kt_answer *answer,
                          struct kt_error *err)
{
    struct kt_ask_options ao = {
        .embedder = a->m.embedder,
        .chat = a->m.context,
        .chat_engine = a->m.chat,
        .n_passages = (size_t)a->passages,
        .n_ctx = a->m.context ? CONTEXT_TOKENS : 0,
        .seed = a->seed,
    };
    return kt_office_ask(a->o.matter, question, &ao, answer, err);
}

static int ask_one(struct asker *a, const char *question, bool as_json)
{
    struct kt_answer answer = { 0 };
    struct kt_error err;
    if (ask(a, question, &answer, &err))
        return cli_fail("ask", &err);
    int rc = as_json ? print_json(&answer) : print_text(&answer);
    kt_answer_deinit(&answer);
    return rc;
}

/* One JSON string a line on standard input, one answer a line on standard output. */
static int ask_lines(struct asker *a)
{
    char *line = NULL;
    size_t cap = 0;
    int rc = EXIT_DONE;
    for (size_t number = 1; rc == EXIT_DONE && getline(&line, &cap, stdin) > 0; number++) {
        json_error_t where;
        json_t *q = json_loads(line, JSON_DECODE_ANY, &where);
        if (json_is_string(q)) {
            rc = ask_one(a, json_string_value(q), true);
        } else {
            fprintf(stderr, "kontor ask: line %zu is not a JSON string\n", number);
            rc = EXIT_BAD_INPUT;
        }
        json_decref(q);
    }
    free(line);
    return rc;
}

static int run(int argc, char **argv)
{
    const char *matter = NULL, *chat = NULL, *embed = NULL, *speculate = NULL;
    bool as_json = false, lines = false;
    struct asker a = { 0 };
    struct str_list words = { 0 };
    const struct opt opts[] = {
        { "--matter", NULL, OPT_STR, &matter },     { "--model", "-m", OPT_STR, &chat },
        { "--embed-model", NULL, OPT_STR, &embed }, { "--passages", NULL, OPT_U64, &a.passages },
        { "--seed", NULL, OPT_U64, &a.seed },       { "--json", NULL, OPT_FLAG, &as_json },
        { "--lines", NULL, OPT_FLAG, &lines },      { "--speculate", NULL, OPT_STR, &speculate },
    };
    if (!cli_parse(&cmd_ask, argc, argv, opts, ARRAY_LEN(opts), &words))
        return EXIT_USAGE;
    const char *question = words.n == 1 ? words.items[0] : NULL;
    bool right_number = lines ? words.n == 0 : words.n == 1;
    if (!right_number)
        return cli_usage(&cmd_ask, "needs one question; put it in quotation marks");
    if (a.passages > 16)
        return cli_usage(&cmd_ask, "--passages takes 1 to 16");

    struct kt_error err;
    enum kt_status st = open_matter(&a.o, matter, KT_READ, &err);
    if (!st)
        st = open_models(&a.m, chat, embed, speculate, &err);
    if (!st)
        st = use_cache(&a.m, &a.o, &err);
    int rc = st ? cli_fail("ask", &err) : lines ? ask_lines(&a) : ask_one(&a, question, as_json);
    models_close(&a.m);
    opened_close(&a.o);
    return rc;
}

const struct command cmd_ask = {
    "ask",
    "\"QUESTION\" | --lines [--matter NAME] [--json]",
    "Answer a question from the files, with quotations that can be checked.",
    "Every quotation is a piece of a stored document, word for word, with the file, the page and "
    "the place.\n"
    "When the files do not answer the question, that is what the answer says.\n\n"
    "  --matter NAME     the matter to ask; default: 'default'\n"
    "  -m, --model M     the chat model, instead of the configured one\n"
    "  --embed-model M   the embedding model, instead of the configured one\n"
    "  --passages N      how many passages the model reads (default 4)\n"
    "  --seed S          for models that sample\n"
    "  --speculate KIND  auto (default) or off: the speed only, as in `kontor generate`\n"
    "  --lines           questions from standard input, one JSON string a line; one JSON answer a "
    "line\n"
    "  --json            print "
    "{\"answer\",\"supported\",\"citations\":[{\"path\",\"page\",\"quote\",\"start\",\"end\"}],"
    "\"route\"}\n\n"
    "\"How often is ... mentioned?\", \"In which documents ...?\", \"Which mails from ... in "
    "2024?\" are counted in the "
    "index,\ncompletely and without a model; \"Summarise ...\" reads the one document that is "
    "named, \"Compare ... with "
    "...\" two.\nThe route that was taken stands in the JSON.\n",
    run,
};
