/* api/openai_completions.c: /v1/completions: texts are gone on with, as they stand. */
#include <stdlib.h>

#include "api/openai_answer.h"
#include "api/shape.h"

static const struct param PARAMS[] = {
    { "prompt", PARAM_USED, NULL, NULL },
    { "best_of", PARAM_ONLY, "1", "answers are not ranked" },
    { "echo", PARAM_ONLY, "false", "the prompt is not repeated" },
    { "suffix", PARAM_ONLY, "\"\"", "texts are continued at their end only" },
};

struct prompt {
    int32_t *ids;
    size_t n;
};

static bool read_ids(struct call *c, struct prompt *p, const json_t *list)
{
    struct kt_engine_info info;
    kt_engine_info(desk_chat(c->desk), &info);
    p->n = json_array_size(list);
    p->ids = calloc(p->n + 1, sizeof(*p->ids));
    for (size_t i = 0; i < p->n && p->ids; i++) {
        json_t *id = json_array_get(list, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) >= info.n_vocab) {
            reply_error(c, 400, NULL, "invalid_value", "prompt",
                        "token ids are whole numbers from 0 to %u", info.n_vocab - 1);
            return false;
        }
        p->ids[i] = (int32_t)json_integer_value(id);
    }
    return true;
}

static bool read_prompt(struct call *c, struct prompt *p, const json_t *v)
{
    struct kt_error err;
    if (!json_is_string(v)) {
        if (!read_ids(c, p, v))
            return false;
    } else if (kt_tokenize(desk_chat(c->desk), json_string_value(v), json_string_length(v),
                           KT_TOKENS_PLAIN, &p->ids, &p->n, &err)) {
        reply_kt_error(c, &err);
        return false;
    }
    if (p->ids && p->n)
        return true;
    reply_error(c, 400, NULL, "invalid_value", "prompt", "the prompt is empty");
    return false;
}

/* A string, strings, token ids, or lists of token ids: how many prompts, 0 when it is none of them. */
static size_t n_prompts(const json_t *prompt)
{
    if (json_is_string(prompt))
        return 1;
    size_t n = json_array_size(prompt);
    json_t *first = json_array_get(prompt, 0);
    if (json_is_integer(first))
        return 1;
    for (size_t i = 0; i < n; i++) {
        json_t *p = json_array_get(prompt, i);
        if (!(json_is_string(first) ? json_is_string(p) : json_is_array(p)))
            return 0;
    }
    return n <= CHOICES_MAX ? n : 0;
}

void handle_completions(struct call *c)
{
    struct answer a = { .g = { .call = c } };
    struct prompt prompts[CHOICES_MAX] = { 0 };
    json_t *prompt = json_object_get(c->body, "prompt");
    bool ok =
        answer_read(&a, "cmpl", PARAMS, ARRAY_LEN(PARAMS)) && param_required(c, "prompt") &&
        shape_read(c, NULL, param_object(c, "response_format"), "response_format", &a.g.grammar);
    if (a.g.n_max == 0)
        a.g.n_max = 16; /* this route's own default */
    size_t n = n_prompts(prompt);
    bool many = json_is_array(prompt) && !json_is_integer(json_array_get(prompt, 0));
    if (ok && n == 0) {
        reply_error(
            c, 400, NULL, "invalid_value", "prompt",
            "'prompt' takes a string, up to %d strings, token ids, or up to %d lists of them",
            CHOICES_MAX, CHOICES_MAX);
        ok = false;
    }
    /* all of them first: an answer that has begun cannot become a 400 */
    for (size_t i = 0; i < n && ok; i++)
        ok = read_prompt(c, &prompts[i], many ? json_array_get(prompt, i) : prompt);
    for (size_t i = 0; i < n && ok; i++) {
        a.g.prompt = prompts[i].ids;
        a.g.n_prompt = prompts[i].n;
        ok = answer_run(&a);
    }
    if (ok)
        answer_finish(&a);
    answer_deinit(&a);
    for (size_t i = 0; i < CHOICES_MAX; i++)
        free(prompts[i].ids);
}
