/* api/openai_chat.c: /v1/chat/completions. */
#include "api/openai_answer.h"
#include "api/shape.h"

static const struct param PARAMS[] = {
    { "messages", PARAM_USED, NULL, NULL },
    { "max_completion_tokens", PARAM_USED, NULL, NULL },
    { "top_logprobs", PARAM_USED, NULL, NULL },
    { "reasoning_effort", PARAM_USED, NULL, NULL },
    { "thinking_budget", PARAM_USED, NULL, NULL },
    { "chat_template_kwargs", PARAM_USED, NULL, NULL },
    { "tools", PARAM_USED, NULL, NULL },
    { "tool_choice", PARAM_USED, NULL, NULL },
    { "metadata", PARAM_IGNORED, NULL, NULL },
    { "prompt_cache_key", PARAM_IGNORED, NULL, NULL },
    { "prompt_cache_options", PARAM_IGNORED, NULL, NULL },
    { "prompt_cache_retention", PARAM_IGNORED, NULL, NULL },
    { "safety_identifier", PARAM_IGNORED, NULL, NULL },
    { "service_tier", PARAM_USED, NULL, NULL },
    { "verbosity", PARAM_IGNORED, NULL, NULL },
    { "parallel_tool_calls", PARAM_USED, NULL, NULL },
    { "store", PARAM_ONLY, "false", "only responses are stored" },
    { "functions", PARAM_ONLY, "[]", "use tools" },
    { "function_call", PARAM_ONLY, "\"none\"", "use tools" },
    { "modalities", PARAM_ONLY, "[\"text\"]", "only text is written" },
    { "audio", PARAM_ONLY, NULL, "only text is written" },
    { "moderation", PARAM_ONLY, NULL, "nothing is judged here" },
    { "prediction", PARAM_ONLY, NULL, "answers are not predicted" },
    { "web_search_options", PARAM_ONLY, NULL, "nothing here asks the network" },
};

void handle_chat(struct call *c)
{
    struct api_talk talk = { 0 };
    struct answer a = { .g = { .call = c }, .is_chat = true };
    bool ok =
        answer_read(&a, "chatcmpl", PARAMS, ARRAY_LEN(PARAMS)) && param_required(c, "messages") &&
        api_talk_read_openai(&talk, c) &&
        shape_read(c, &talk, param_object(c, "response_format"), "response_format", &a.g.grammar);
    generation_from_talk(&a.g, &talk);
    if (ok && answer_run(&a))
        answer_finish(&a);
    answer_deinit(&a);
    api_talk_deinit(&talk);
}
