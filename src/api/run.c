/* api/run.c: one answer: handed to the desk, its tokens noted, its thoughts bounded.
 *
 * A thought that has taken as many tokens as it may is ended: the generation is stopped between two steps, the end of the
 * thought is written for the model, and it goes on from there. To the client that is one answer, and to the model it is a
 * conversation in which it had thought so far. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "api/talk.h"

static const char ENOUGH[] = "\n</think>\n\n";

static bool begin(struct generation *g)
{
    if (g->begun)
        return true;
    g->begun = true;
    return !g->on_begin || g->on_begin(g);
}

static bool on_text(void *ctx, const char *text, size_t len)
{
    struct generation *g = ctx;
    g->n_written += len;
    return begin(g) && (!g->on_text || g->on_text(g, text, len));
}

static void on_token(void *ctx, const struct kt_token *t)
{
    struct generation *g = ctx;
    notes_add(&g->notes, t, g->notes_base);
}

static bool on_progress(void *ctx, size_t n_done, size_t n_total)
{
    (void)n_done, (void)n_total;
    struct generation *g = ctx;
    bool goes_on = begin(g);
    if (!goes_on)
        return false;
    if (!g->thought_cut && g->n_think_max && g->notes.place == NOTE_THOUGHT &&
        g->notes.n_thought >= (size_t)g->n_think_max) {
        g->thought_cut = true; /* once: whoever begins another thought is not to be helped */
        return false;
    }
    g->call_made = g->talk && g->talk->one_call && g->notes.n_calls > 0;
    return !g->call_made;
}

/* The result says that a stop string came, not which: the tokens still have it. */
static const char *which_stop(const struct generation *g, const struct kt_generate_result *r)
{
    const char *found = NULL;
    char *text;
    size_t len;
    struct kt_error ignored;
    if (r->finish != KT_FINISH_STOP_STRING ||
        kt_detokenize(g->notes.engine, r->tokens, r->n_tokens, &text, &len, &ignored))
        return NULL;
    for (size_t i = 0; i < g->n_stop && !found; i++)
        if (span_starts(span_sub((struct span){ text, len }, r->text_len, len),
                        span_of(g->stop[i])))
            found = g->stop[i];
    free(text);
    return found ? found : g->stop[0];
}

/* A part of the answer, from a prompt, which ends in a thought or not. n_max 0: what fits. */
static enum kt_status run_part(struct generation *g, const int32_t *prompt, size_t n_prompt,
                               size_t n_max, uint64_t seed, bool thinking,
                               struct kt_generate_result *out, struct kt_error *err)
{
    struct desk *d = g->call->desk;
    struct kt_generate_request rq = {
        .prompt = prompt,
        .n_prompt = n_prompt,
        .media = g->media,
        .n_media = g->n_media,
        .n_max = n_max ? MIN(n_max, desk_n_ctx(d) - n_prompt) : 0,
        .sampling = { .temperature = (float)g->temperature,
                      .top_p = (float)g->top_p,
                      .min_p = (float)g->min_p,
                      .top_k = (uint32_t)g->top_k,
                      .presence_penalty = (float)g->presence,
                      .frequency_penalty = (float)g->frequency,
                      .biases = g->biases,
                      .n_biases = g->n_biases,
                      .seed = seed },
        .stop = g->stop,
        .n_stop = g->n_stop,
        .grammar = g->grammar,
        .thinking = thinking,
        .may_think = g->talk && g->talk->prompt.may_think && prompt == g->prompt,
        .on_token = on_token,
        .logprobs = g->logprobs,
        .n_top = (uint32_t)g->n_top,
        .on_text = on_text,
        .on_progress = on_progress,
        .callback_ctx = g,
    };
    struct visitor v = visitor_of(g->call);
    enum kt_status st = desk_generate(d, &v, &rq, out, NULL, err);
    if (!st)
        g->stopped_by = which_stop(g, out);
    return st;
}

/* ---- after enough thought ---------------------------------------------------------------------- */

/* Tokens and text of 'b' behind those of 'a', which keeps what it says of the prompt. */
static enum kt_status join(struct kt_generate_result *a, const struct kt_generate_result *b,
                           struct kt_error *err)
{
    int32_t *tokens = realloc(a->tokens, (a->n_tokens + b->n_tokens + 1) * sizeof(*tokens));
    if (tokens)
        a->tokens = tokens;
    char *text = realloc(a->text, a->text_len + b->text_len + 1);
    if (text)
        a->text = text;
    if (!tokens || !text)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    if (b->n_tokens)
        memcpy(tokens + a->n_tokens, b->tokens, b->n_tokens * sizeof(*tokens));
    if (b->text_len)
        memcpy(text + a->text_len, b->text, b->text_len);
    a->n_tokens += b->n_tokens;
    a->text_len += b->text_len;
    a->text[a->text_len] = 0;
    a->finish = b->finish;
    a->decode_s += b->prompt_s + b->decode_s;
    return KT_OK;
}

/* What was held back when a part was stopped, in case it became a stop string. False: nobody listens. */
static bool give_held(struct generation *g)
{
    struct kt_generate_result *r = &g->result;
    size_t n = r->text_len > g->n_written ? r->text_len - g->n_written : 0;
    return n == 0 || on_text(g, r->text + g->n_written, n);
}

/* The end of the thought, as if the model had written it. */
static enum kt_status end_thought(struct generation *g, struct kt_error *err)
{
    struct kt_generate_result *r = &g->result, end = { .finish = KT_FINISH_LENGTH };
    enum kt_status st = kt_tokenize(g->notes.engine, ENOUGH, strlen(ENOUGH), KT_TOKENS_SPECIAL,
                                    &end.tokens, &end.n_tokens, err);
    if (st)
        return st;
    bool there = give_held(g) && on_text(g, ENOUGH, strlen(ENOUGH));
    for (size_t i = 0; i < end.n_tokens; i++)
        notes_add(&g->notes, &(struct kt_token){ .id = end.tokens[i], .text_end = g->n_written },
                  0);
    end.text = (char *)(uintptr_t)ENOUGH; /* borrowed */
    end.text_len = strlen(ENOUGH);
    if (!there)
        end.finish = KT_FINISH_CANCELLED;
    st = join(r, &end, err);
    free(end.tokens);
    return st;
}

static enum kt_status go_on_after_thought(struct generation *g, uint64_t seed, struct kt_error *err)
{
    struct kt_generate_result *r = &g->result, rest = { 0 };
    enum kt_status st = end_thought(g, err);
    size_t n = g->n_prompt + r->n_tokens;
    if (st || r->finish == KT_FINISH_CANCELLED || n >= desk_n_ctx(g->call->desk) ||
        (g->n_max && r->n_tokens >= (size_t)g->n_max))
        return st;
    int32_t *prompt = calloc(n, sizeof(*prompt));
    if (!prompt)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    memcpy(prompt, g->prompt, g->n_prompt * sizeof(*prompt));
    memcpy(prompt + g->n_prompt, r->tokens, r->n_tokens * sizeof(*prompt));
    g->notes_base = g->n_written;
    st = run_part(g, prompt, n, g->n_max ? (size_t)g->n_max - r->n_tokens : 0, ~seed, false, &rest,
                  err);
    if (!st)
        st = join(r, &rest, err);
    kt_generate_result_deinit(&rest);
    free(prompt);
    return st;
}

/* ---- the whole --------------------------------------------------------------------------------- */

void generation_from_talk(struct generation *g, const struct api_talk *t)
{
    g->talk = t;
    g->prompt = t->prompt.ids;
    g->n_prompt = t->prompt.n_ids;
    g->media = t->prompt.media;
    g->n_media = t->prompt.n_media;
    if (t->n_think_max)
        g->n_think_max = t->n_think_max;
}

enum kt_status generation_run(struct generation *g, size_t index, struct kt_error *err)
{
    size_t n_ctx = desk_n_ctx(g->call->desk);
    if (g->n_prompt >= n_ctx)
        return kt_fail(err, KT_E_LIMIT,
                       "the prompt has %zu tokens, a conversation here holds %zu with its answer; "
                       "shorten it, or "
                       "start the server with a larger --ctx",
                       g->n_prompt, n_ctx);
    uint64_t seed;
    randombytes_buf(&seed, sizeof(seed));
    if (g->seed >= 0)
        seed = (uint64_t)g->seed + index;
    g->begun = g->thought_cut = g->call_made = false;
    g->n_written = g->notes_base = 0;
    notes_begin(&g->notes, desk_chat(g->call->desk), !g->talk, g->talk && g->talk->prompt.thinking,
                g->logprobs, (size_t)g->n_top);
    kt_generate_result_deinit(&g->result);
    enum kt_status st = run_part(g, g->prompt, g->n_prompt, (size_t)g->n_max, seed,
                                 g->talk && g->talk->prompt.thinking, &g->result, err);
    if (!st && g->result.finish == KT_FINISH_CANCELLED && g->thought_cut && !caller_gone(g->call))
        st = go_on_after_thought(g, seed, err);
    if (!st && g->result.finish == KT_FINISH_CANCELLED && g->call_made && give_held(g))
        g->result.finish = KT_FINISH_STOP;
    return st;
}

void generation_deinit(struct generation *g)
{
    notes_deinit(&g->notes);
    free(g->biases);
    kt_grammar_destroy(g->grammar);
    kt_generate_result_deinit(&g->result);
}
