/* Answers of a model that is held to a JSON Schema, for test_schema_sampled.py.
 *
 *     schema_sampler MODEL     a path, or the name of a small model of random weights (tests/golden/synthetic.h)
 *
 * Lines of JSON come in on standard input and go out on standard output:
 *
 *     {"schema": TEXT, "space": N, "seeds": [N...], "n": TOKENS, "temperature": T, "prompt": TEXT}
 *     {"status": N, "error": TEXT, "answers": [{"text": TEXT, "finish": TEXT}...], "grammar_bytes": N}
 *     {"tools": TEXT, ...}     calls instead: {"text", "finish", "calls": [{"name", "arguments": TEXT}...]} */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/size.h"
#include "golden/synthetic.h"
#include "kontor/chat.h"
#include "kontor/schema.h"
#include "support/model_writer.h"

enum { N_CTX = 1024 };

static struct kt_error err;

static void must(enum kt_status st)
{
    if (!st)
        return;
    fprintf(stderr, "schema_sampler: %s\n", err.text);
    exit(1);
}

static struct kt_engine *open_model(const char *name)
{
    struct kt_engine *e;
    struct kt_engine_options o = { .n_threads = 1 };
    if (strchr(name, '/')) {
        must(kt_engine_open(&e, name, &o, &err));
        return e;
    }
    char *dir = temp_dir_make(), path[512];
    snprintf(path, sizeof(path), "%s/model.gguf", dir);
    synth_write_gguf(synth_named(name), path, QT_Q8_0);
    must(kt_engine_open(&e, path, &o, &err));
    temp_dir_remove(dir);
    return e;
}

/* The prompt in the model's layout; of a model without one, its bytes. */
static void tokens_of(struct kt_engine *e, const char *prompt, int32_t **ids, size_t *n)
{
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    if (info.chat_layout) {
        struct kt_message m = { "user", prompt, strlen(prompt) };
        must(kt_chat_tokens(e, &m, 1, ids, n, &err));
        return;
    }
    *n = strlen(prompt);
    *ids = calloc(*n + 1, sizeof(**ids));
    for (size_t i = 0; *ids && i < *n; i++)
        (*ids)[i] = (unsigned char)prompt[i];
}

static json_t *calls_in(const char *tools, const struct kt_generate_result *r)
{
    struct kt_chat_options o = { .tools = tools, .tools_len = strlen(tools) };
    struct kt_reply_parser *p;
    const struct kt_reply *reply;
    json_t *calls = json_array();
    must(kt_reply_parser_create(&p, &o, false, NULL, &err));
    must(kt_reply_parser_push(p, r->text, r->text_len, &err));
    must(kt_reply_parser_finish(p, &reply, &err));
    for (size_t i = 0; i < reply->n_calls; i++)
        json_array_append_new(calls, json_pack("{s:s,s:s}", "name", reply->calls[i].name,
                                               "arguments", reply->calls[i].arguments));
    kt_reply_parser_destroy(p);
    return calls;
}

static json_t *answer(struct kt_engine *e, struct kt_context *c, const json_t *job,
                      const struct kt_grammar *g, uint64_t seed)
{
    struct kt_generate_result r;
    int32_t *ids;
    size_t n;
    const char *tools = json_string_value(json_object_get(job, "tools"));
    tokens_of(e, json_string_value(json_object_get(job, "prompt")), &ids, &n);
    struct kt_generate_request rq = {
        .prompt = ids,
        .n_prompt = n,
        .n_max = (size_t)json_integer_value(json_object_get(job, "n")),
        .sampling = { .temperature = (float)json_number_value(json_object_get(job, "temperature")),
                      .seed = seed },
        .grammar = g,
    };
    must(kt_generate(c, &rq, &r, &err));
    json_t *text = json_stringn(r.text, r.text_len);
    json_t *out = json_pack("{s:o,s:s}", "text", text ? text : json_null(), "finish",
                            kt_finish_name(r.finish));
    if (tools)
        json_object_set_new(out, "calls", calls_in(tools, &r));
    kt_generate_result_deinit(&r);
    free(ids);
    return out;
}

static json_t *work(struct kt_engine *e, struct kt_context *c, const json_t *job)
{
    const char *schema = json_string_value(json_object_get(job, "schema")),
               *tools = json_string_value(json_object_get(job, "tools"));
    enum kt_schema_space space =
        (enum kt_schema_space)json_integer_value(json_object_get(job, "space"));
    struct kt_schema_options so = { .space = space };
    struct kt_tools_options to = { .space = space, .n_calls_max = 2 };
    struct kt_grammar *g = NULL;
    json_t *answers = json_array(), *seed;
    size_t i;
    enum kt_status st = tools ? kt_grammar_from_tools(&g, tools, strlen(tools), &to, &err)
                              : kt_grammar_from_schema(&g, schema, strlen(schema), &so, &err);
    if (!st)
        json_array_foreach(json_object_get(job, "seeds"), i, seed) json_array_append_new(
            answers, answer(e, c, job, g, (uint64_t)json_integer_value(seed)));
    kt_grammar_destroy(g);
    return json_pack("{s:i,s:s,s:o}", "status", (int)st, "error", st ? err.text : "", "answers",
                     answers);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: schema_sampler MODEL\n", stderr);
        return 2;
    }
    struct kt_engine *e = open_model(argv[1]);
    struct kt_context *c;
    struct kt_context_options o = { .n_ctx = N_CTX };
    char *line = NULL;
    size_t cap = 0;
    must(kt_context_create(&c, e, &o, &err));
    while (getline(&line, &cap, stdin) > 0) {
        json_t *job = json_loads(line, 0, NULL), *out = work(e, c, job);
        char *text = json_dumps(out, JSON_COMPACT);
        puts(text);
        fflush(stdout);
        free(text);
        json_decref(out);
        json_decref(job);
    }
    free(line);
    kt_context_destroy(c);
    kt_engine_close(e);
    return 0;
}
