/* Goal: what comes out of a checkpoint is what a cold run computes, bit by bit, wherever the checkpoint lies; turns
 * of a conversation compute their own tokens and no others; scopes are walls; the budget holds; what is guessed is
 * never kept.
 *
 * Method: small models of every kind. Logits after a prompt, and after tokens that follow it, are compared byte by
 * byte with those of a context without a cache; for conversations the counters are asserted, not times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/size.h"
#include "engine/engine_priv.h"
#include "engine/marks.h"
#include "engine/speculate.h"
#include "golden/sighted.h"
#include "golden/synthetic.h"
#include "kernels/kernels.h"
#include "kontor/cache.h"
#include "kontor/chat.h"
#include "support/model_writer.h"
#include "support/must.h"

enum { SEED = 11, N_AFTER = 3, N_BATCH = 48 };

static bool all_places; /* a long run */

static struct kt_engine *open_synth(const char *name, char **dir)
{
    struct kt_engine *e;
    *dir = temp_dir_make();
    synth_write_folder(synth_named(name), *dir);
    must(kt_engine_open(&e, *dir, &(struct kt_engine_options){ .n_threads = 1 }, &err));
    return e;
}

static struct kt_cache *open_cache(struct kt_engine *e, uint64_t bytes)
{
    struct kt_cache *cache;
    must(kt_cache_create(&cache, e, &(struct kt_cache_options){ .memory_bytes = bytes }, &err));
    return cache;
}

static struct kt_context *open_context(struct kt_engine *e, size_t n_ctx, enum kt_kv_type kv,
                                       enum kt_state_type state, struct kt_cache *cache,
                                       const char *scope)
{
    struct kt_context *c;
    must(kt_context_create(&c, e,
                           &(struct kt_context_options){ .n_ctx = n_ctx,
                                                         .n_batch = N_BATCH,
                                                         .kv = kv,
                                                         .state = state,
                                                         .speculate = KT_SPECULATE_OFF },
                           &err));
    if (cache)
        must(kt_context_use_cache(c, cache, scope, &err));
    return c;
}

static void random_tokens(int32_t *out, size_t n, uint64_t seed)
{
    struct rng rng;
    rng_init(&rng, seed);
    for (size_t i = 0; i < n; i++)
        out[i] = (int32_t)rng_below(&rng, SYNTH_VOCAB);
}

/* Logits after n tokens and after each of the N_AFTER that follow: [1 + N_AFTER, SYNTH_VOCAB]. Returns how many
 * tokens were there. */
static size_t run(struct kt_context *c, const int32_t *tokens, size_t n, float *out)
{
    size_t n_cached;
    must(context_advance(c, tokens, n, NULL, &n_cached, NULL, NULL, &err));
    for (size_t i = 0;; i++) {
        memcpy(out + i * SYNTH_VOCAB, context_logits(c), SYNTH_VOCAB * sizeof(*out));
        if (i == N_AFTER)
            return n_cached;
        must(context_go_on(c, tokens[n + i], 0, &err));
    }
}

/* ---- every place a prompt may begin at ---- */

enum { N_PROMPT = 2 * ATTN_PAGE + 20, N_CTX = N_PROMPT + 3 * N_AFTER };

static const struct kind {
    const char *synth;
    enum kt_kv_type kv;
    enum kt_state_type state;
    size_t every;
} KINDS[] = {
    { "qwen35-r4", KT_KV_F16, KT_STATE_F32, 6 },
    { "qwen35-r2", KT_KV_Q8, KT_STATE_BF16, 11 },
    { "moe-r2", KT_KV_F32, KT_STATE_F32, 11 },
    { "llama-rope3", KT_KV_F16, KT_STATE_F32, 5 },
};

/* Around the ends of pages, of the context's own chunks, and at both ends of the prompt. */
static bool is_tried(size_t at, size_t every)
{
    static const struct {
        size_t at, every;
    } EDGES[] = { { ATTN_PAGE, 1 }, { 2 * ATTN_PAGE, 4 }, { N_BATCH, 5 }, { 3 * N_BATCH, 5 } };
    for (size_t i = 0; i < ARRAY_LEN(EDGES); i++)
        if (at + 16 >= EDGES[i].at && at <= EDGES[i].at + 16)
            return every > 1 ? at % every == 0 : at % EDGES[i].every == 0;
    return at <= 1 || at >= N_PROMPT - 1;
}

static void hits_are_cold_runs(void **state)
{
    const struct kind *k = &KINDS[(size_t)(uintptr_t)*state];
    size_t every = all_places ? 1 : k->every;
    char *dir;
    struct kt_engine *e = open_synth(k->synth, &dir);
    struct kt_cache *cache = open_cache(e, (uint64_t)1 << 30);
    struct kt_context *cold = open_context(e, N_CTX, k->kv, k->state, NULL, NULL);
    struct kt_context *warm = open_context(e, N_CTX, k->kv, k->state, cache, "a");
    int32_t tokens[N_CTX], others[N_CTX];
    static float want[(1 + N_AFTER) * SYNTH_VOCAB], got[(1 + N_AFTER) * SYNTH_VOCAB];
    random_tokens(tokens, N_CTX, SEED);
    random_tokens(others, N_CTX, SEED + 1);
    run(cold, tokens, N_PROMPT, want);
    bool cuts = model_can_cut(e->model);
    size_t n_tried = 0;
    for (size_t at = 1; at <= N_PROMPT; at++) {
        if (!is_tried(at, every))
            continue;
        /* The beginning alone, something else, then the whole prompt: from the checkpoint. */
        kt_cache_forget(cache, "a");
        size_t n_cached;
        must(context_advance(warm, tokens, at, NULL, &n_cached, NULL, NULL, &err));
        assert_int_equal(n_cached, 0);
        must(context_advance(warm, others, 20, NULL, &n_cached, NULL, NULL, &err));
        assert_int_equal(n_cached, 0);
        n_cached = run(warm, tokens, N_PROMPT, got);
        if (n_cached != at)
            fail_msg("%s: %zu tokens were found again, %zu were kept", k->synth, n_cached, at);
        if (memcmp(want, got, sizeof(want)) != 0)
            fail_msg("%s (seed %d): from a checkpoint after %zu tokens other logits than cold",
                     k->synth, SEED, at);
        if (n_tried++ % 4)
            continue;
        /* and the checkpoint itself is not hurt by what went on from it, nor by what begins alike */
        must(context_advance(warm, others, 20, NULL, &n_cached, NULL, NULL, &err));
        memcpy(others, tokens, at * sizeof(*tokens));
        must(context_advance(warm, others, N_PROMPT, NULL, &n_cached, NULL, NULL, &err));
        if (!cuts && n_cached < at)
            fail_msg("%s: a second prompt began at %zu instead of %zu", k->synth, n_cached, at);
        random_tokens(others, N_CTX, SEED + 1 + at);
        must(context_advance(warm, others, 20, NULL, &n_cached, NULL, NULL, &err));
        run(warm, tokens, N_PROMPT, got);
        if (memcmp(want, got, sizeof(want)) != 0)
            fail_msg("%s (seed %d): checkpoint at %zu: other logits the second time", k->synth,
                     SEED, at);
    }
    assert_true(n_tried >= 8);
    kt_context_destroy(cold);
    kt_context_destroy(warm);
    kt_cache_destroy(cache);
    kt_engine_close(e);
    temp_dir_remove(dir);
}

/* ---- answers with guesses ---- */

/* Everything is guessed, most of it wrongly; what stays at the end of an answer is what a plain context has. */
static void guesses_are_never_kept(void **state)
{
    (void)state;
    char *dir;
    struct kt_engine *e = open_synth("qwen35-r4", &dir);
    struct kt_cache *cache = open_cache(e, (uint64_t)1 << 30);
    struct kt_context *c, *cold = open_context(e, 256, KT_KV_F16, KT_STATE_F32, NULL, NULL);
    must(kt_context_create(&c, e, &(struct kt_context_options){ .n_ctx = 256, .n_batch = 16 },
                           &err));
    must(kt_context_use_cache(c, cache, "a", &err));
    speculation_be_eager(c->guessing);
    int32_t tokens[256];
    static float want[(1 + N_AFTER) * SYNTH_VOCAB], got[(1 + N_AFTER) * SYNTH_VOCAB];
    size_t tried = 0, n_rounds = 0;
    for (size_t round = 0; round < 8; round++) {
        size_t n = 100 + 5 * round;
        random_tokens(tokens, 256, SEED + round);
        for (size_t i = 20; i < n; i++) /* words that come again */
            tokens[i] = tokens[i % 20];
        struct kt_generate_request rq = {
            .prompt = tokens, .n_prompt = n, .n_max = 13, .ignore_stop_tokens = true
        };
        struct kt_generate_result r;
        must(kt_generate(c, &rq, &r, &err));
        tried += r.lookup.tried + r.mtp.tried - r.lookup.right - r.mtp.right;
        memcpy(tokens + n, r.tokens, r.n_tokens * sizeof(*tokens));
        size_t n_answer = r.n_tokens, n_cached;
        kt_generate_result_deinit(&r);
        /* From the end of the answer, in another context. */
        struct kt_context *next = open_context(e, 256, KT_KV_F16, KT_STATE_F32, cache, "a");
        n_cached = run(next, tokens, n + n_answer, got);
        assert_int_equal(n_cached, n + n_answer - 1); /* the last one was not read */
        run(cold, tokens, n + n_answer, want);
        if (memcmp(want, got, sizeof(want)) != 0)
            fail_msg("round %zu: a guess stayed", round);
        kt_context_destroy(next);
        n_rounds++;
    }
    if (tried < 20)
        fail_msg("only %zu wrong guesses in %zu answers: this proves nothing", tried, n_rounds);
    kt_context_destroy(c);
    kt_context_destroy(cold);
    kt_cache_destroy(cache);
    kt_engine_close(e);
    temp_dir_remove(dir);
}

/* ---- walls and budget ---- */

static size_t cached(struct kt_context *c, const int32_t *tokens, size_t n)
{
    size_t n_cached;
    must(context_advance(c, tokens, n, NULL, &n_cached, NULL, NULL, &err));
    return n_cached;
}

/* Tokens without any layout: hardly more than what is new, and from the third prompt on that alone. */
static void prompts_part_where_others_did(void **state)
{
    (void)state;
    enum { N_TEXT = 200, N_QUESTION = 40 };
    char *dir;
    struct kt_engine *e = open_synth("qwen35-r2", &dir);
    struct kt_cache *cache = open_cache(e, (uint64_t)1 << 30);
    struct kt_context *c = open_context(e, 256, KT_KV_F16, KT_STATE_F32, cache, "a");
    int32_t tokens[N_TEXT + N_QUESTION];
    random_tokens(tokens, N_TEXT, SEED);
    for (size_t i = 0; i < 5; i++) {
        random_tokens(tokens + N_TEXT, N_QUESTION, SEED + 1 + i);
        size_t n = N_TEXT + N_QUESTION - cached(c, tokens, N_TEXT + N_QUESTION);
        assert_in_range(n, i ? N_QUESTION : N_TEXT,
                        i == 0   ? N_TEXT + N_QUESTION
                        : i == 1 ? 2 * N_QUESTION
                                 : N_QUESTION);
    }
    kt_context_destroy(c);
    kt_cache_destroy(cache);
    kt_engine_close(e);
    temp_dir_remove(dir);
}

static void scopes_are_walls(void **state)
{
    (void)state;
    char *dir;
    struct kt_engine *e = open_synth("qwen35-r2", &dir);
    struct kt_cache *cache = open_cache(e, (uint64_t)1 << 30);
    int32_t tokens[128];
    random_tokens(tokens, 128, SEED);
    struct kt_context *a = open_context(e, 128, KT_KV_F16, KT_STATE_F32, cache, "a");
    struct kt_context *b = open_context(e, 128, KT_KV_F16, KT_STATE_F32, cache, "b");
    assert_int_equal(cached(a, tokens, 100), 0);
    assert_int_equal(cached(b, tokens, 120), 0);
    must(kt_context_use_cache(a, cache, "b", &err)); /* nothing is carried over the wall */
    assert_int_equal(cached(a, tokens, 50), 0);
    assert_int_equal(cached(a, tokens, 120), 120);
    must(kt_context_use_cache(a, cache, "a", &err));
    assert_int_equal(cached(a, tokens, 110), 100);
    must(kt_context_use_cache(a, NULL, NULL, &err));
    assert_int_equal(cached(a, tokens, 110), 0);
    /* other numbers, other checkpoints */
    struct kt_context *q = open_context(e, 128, KT_KV_Q8, KT_STATE_F32, cache, "b");
    assert_int_equal(cached(q, tokens, 125), 0);
    kt_cache_forget(cache, "b");
    struct kt_cache_counts n;
    kt_cache_count(cache, &n);
    assert_int_equal(n.n_scopes, 1);
    must(kt_context_use_cache(b, cache, "c", &err));
    must(kt_context_use_cache(b, cache, "b", &err));
    assert_int_equal(cached(b, tokens, 126), 0);
    char name[KT_CACHE_SCOPE_MAX + 2];
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(kt_context_use_cache(b, cache, name, &err), KT_E_USAGE);
    kt_context_destroy(a);
    kt_context_destroy(b);
    kt_context_destroy(q);
    kt_cache_destroy(cache);
    kt_engine_close(e);
    temp_dir_remove(dir);
}

/* Conversations come and go in a cache that holds a few; one is asked for again and again and stays. */
static void the_budget_holds(void **state)
{
    (void)state;
    char *dir;
    struct kt_engine *e = open_synth("qwen35-r2", &dir);
    int32_t tokens[300], favourite[300];
    random_tokens(favourite, 300, SEED);
    struct kt_cache *cache = open_cache(e, (uint64_t)1 << 30);
    struct kt_context *c = open_context(e, 300, KT_KV_F16, KT_STATE_F32, cache, "a");
    struct kt_cache_counts n;
    assert_int_equal(cached(c, favourite, 150), 0);
    kt_cache_count(cache, &n);
    assert_int_equal(n.n_checkpoints, 4); /* at its end, and in steps before it */
    uint64_t one = n.bytes, bytes_max = 5 * one;
    must(kt_context_use_cache(c, NULL, NULL, &err));
    kt_cache_destroy(cache);
    cache = open_cache(e, bytes_max);
    must(kt_context_use_cache(c, cache, "a", &err));
    assert_int_equal(cached(c, favourite, 150), 0);
    for (size_t round = 0; round < 40; round++) {
        random_tokens(tokens, 300, SEED + 1 + round);
        assert_int_equal(cached(c, tokens, 140 + round % 20), 0);
        assert_int_equal(cached(c, favourite, 150), 150);
        kt_cache_count(cache, &n);
        assert_in_range(n.bytes, 1, bytes_max);
    }
    assert_true(n.evicted >= 30 && n.n_checkpoints >= 3);
    assert_int_equal(n.hits, 40);
    assert_int_equal(n.tokens_saved, 40 * 150);
    kt_cache_forget(cache, "a");
    kt_cache_count(cache, &n);
    assert_int_equal(n.bytes, 0);
    assert_int_equal(n.n_checkpoints + n.n_scopes, 0);
    /* too small for anything: everything works, nothing is kept */
    must(kt_context_use_cache(c, NULL, NULL, &err));
    kt_cache_destroy(cache);
    cache = open_cache(e, one / 10);
    must(kt_context_use_cache(c, cache, "a", &err));
    assert_int_equal(cached(c, favourite, 150), 0);
    kt_cache_count(cache, &n);
    assert_int_equal(n.n_checkpoints, 0);
    kt_context_destroy(c);
    kt_cache_destroy(cache);
    kt_engine_close(e);
    temp_dir_remove(dir);
}

/* ---- images ---- */

static size_t see(struct kt_context *c, const int32_t *prompt, size_t n,
                  const struct kt_vision_input *media, size_t n_media, int32_t *answer)
{
    struct kt_generate_request rq = { .prompt = prompt,
                                      .n_prompt = n,
                                      .media = media,
                                      .n_media = n_media,
                                      .n_max = 4,
                                      .ignore_stop_tokens = true };
    struct kt_generate_result r;
    must(kt_generate(c, &rq, &r, &err));
    memcpy(answer, r.tokens, 4 * sizeof(*answer));
    size_t n_cached = r.tokens_cached;
    kt_generate_result_deinit(&r);
    return n_cached;
}

/* A picture is part of the beginning: the same tokens with other pixels are another one. */
static void images_are_told_apart(void **state)
{
    (void)state;
    enum { N = 60, AT = 5, SIDE = 128, N_PADS = SIDE / 32 * (SIDE / 32) };
    char *dir = temp_dir_make();
    sighted_write_folder(&SIGHTED[0], dir);
    struct kt_engine *e;
    must(kt_engine_open(&e, dir, &(struct kt_engine_options){ .n_threads = 1 }, &err));
    struct kt_cache *cache = open_cache(e, (uint64_t)1 << 30);
    struct kt_context *c = open_context(e, 128, KT_KV_F32, KT_STATE_F32, cache, "a");
    struct kt_context *cold = open_context(e, 128, KT_KV_F32, KT_STATE_F32, NULL, NULL);
    int32_t prompt[N], want[4], got[4];
    for (size_t i = 0; i < N; i++)
        prompt[i] = (int32_t)(i * 7 % SIGHTED_TEXT_VOCAB);
    for (size_t i = 0; i < N_PADS; i++)
        prompt[AT + i] = SIGHTED_IMAGE_PAD;
    static uint8_t one[SIDE * SIDE * 3], other[SIDE * SIDE * 3];
    for (size_t i = 0; i < sizeof(one); i++) {
        one[i] = (uint8_t)(i * 31);
        other[i] = (uint8_t)(i * 17 + 90);
    }
    struct kt_vision_input a = { one, 1, SIDE, SIDE }, b = { other, 1, SIDE, SIDE };
    assert_int_equal(see(c, prompt, 40, &a, 1, got), 0);
    assert_int_equal(see(c, prompt, N, &b, 1, got), 0);
    see(cold, prompt, N, &b, 1, want);
    assert_memory_equal(want, got, sizeof(want));
    assert_int_equal(see(c, prompt, N, &a, 1, got), 40);
    see(cold, prompt, N, &a, 1, want);
    assert_memory_equal(want, got, sizeof(want));
    assert_int_equal(see(c, prompt, N, &b, 1, got), N);
    kt_context_destroy(c);
    kt_context_destroy(cold);
    kt_cache_destroy(cache);
    kt_engine_close(e);
    temp_dir_remove(dir);
}

/* ---- conversations ---- */

static const char *const CONTROLS[] = { "<|endoftext|>",    "<|im_start|>",     "<|im_end|>",
                                        "<|vision_start|>", "<|vision_end|>",   "<|image_pad|>",
                                        "<|video_pad|>",    "<tool_call>",      "</tool_call>",
                                        "<tool_response>",  "</tool_response>", "<think>",
                                        "</think>" };

/* The letter that stands for a byte in a byte-level vocabulary, as JSON. */
static void put_letter(struct buf *b, unsigned byte, unsigned *n_others)
{
    bool plain = (byte >= 33 && byte < 127) || (byte >= 161 && byte < 173) || byte >= 174;
    unsigned cp = plain ? byte : 256 + (*n_others)++;
    if (cp == '"' || cp == '\\')
        buf_append_char(b, '\\');
    if (cp < 128) {
        buf_append_char(b, (char)cp);
    } else {
        buf_append_char(b, (char)(0xC0 | cp >> 6));
        buf_append_char(b, (char)(0x80 | (cp & 63)));
    }
}

/* One token a byte, and the layout's control tokens: the family's way to split. */
static void write_tokenizer(const char *dir)
{
    char path[512];
    struct buf b = { 0 };
    buf_append_str(&b, "{\"version\":\"1.0\",\"added_tokens\":[");
    for (size_t i = 0; i < ARRAY_LEN(CONTROLS); i++)
        buf_printf(&b,
                   "%s{\"id\":%zu,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,"
                   "\"rstrip\":false,\"normalized\":false,\"special\":%s}",
                   i ? "," : "", 256 + i, CONTROLS[i], CONTROLS[i][1] == '|' ? "true" : "false");
    buf_append_str(
        &b, "],\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\","
            "\"pretokenizers\":[{"
            "\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^"
            "\\\\r\\\\n\\\\p{L}\\\\p{N}]?"
            "[\\\\p{L}\\\\p{M}]+|\\\\p{N}| "
            "?[^\\\\s\\\\p{L}\\\\p{M}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|"
            "\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\",\"invert\":false},{\"type\":"
            "\"ByteLevel\","
            "\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":false}]},\"post_"
            "processor\":null,"
            "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":false,"
            "\"use_regex\":"
            "false},\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
            "\"continuing_subword_prefix\":\"\",\"end_of_word_suffix\":\"\",\"fuse_unk\":false,"
            "\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{");
    unsigned n_others = 0;
    for (unsigned i = 0; i < 256; i++) {
        buf_append_str(&b, i ? ",\"" : "\"");
        put_letter(&b, i, &n_others);
        buf_printf(&b, "\":%u", i);
    }
    buf_append_str(&b, "},\"merges\":[]}}");
    snprintf(path, sizeof(path), "%s/tokenizer.json", dir);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(b.ptr, 1, b.len, f), b.len);
    assert_int_equal(fclose(f), 0);
    buf_deinit(&b);
}

enum { MESSAGES_MAX = 24, TALK_CTX = 6000 };

struct talk {
    struct kt_engine *e;
    struct kt_context *c;
    struct kt_chat_message list[MESSAGES_MAX];
    char text[MESSAGES_MAX][2048];
    size_t n;
    enum kt_thinking thinking;
};

static void say(struct talk *t, const char *role, const char *text)
{
    assert_true(t->n < MESSAGES_MAX);
    snprintf(t->text[t->n], sizeof(t->text[0]), "%s", text);
    t->list[t->n] = (struct kt_chat_message){ .role = role,
                                              .text = t->text[t->n],
                                              .text_len = strlen(t->text[t->n]) };
    t->n++;
}

/* An answer of some tokens, which is added to the conversation; how many tokens of the prompt were computed. */
static size_t answer(struct talk *t, size_t *n_prompt, bool add)
{
    struct kt_chat_prompt p;
    struct kt_generate_result r;
    must(kt_chat_build(t->e, t->list, t->n, &(struct kt_chat_options){ .thinking = t->thinking },
                       &p, &err));
    struct kt_generate_request rq = {
        .prompt = p.ids, .n_prompt = p.n_ids, .n_max = 20, .ignore_stop_tokens = true
    };
    must(kt_generate(t->c, &rq, &r, &err));
    size_t n = r.tokens_prompt - r.tokens_cached;
    if (n_prompt)
        *n_prompt = r.tokens_prompt;
    if (add)
        say(t, "assistant", "a short answer, which is what stays of it");
    kt_generate_result_deinit(&r);
    kt_chat_prompt_deinit(&p);
    return n;
}

static void fill(char *text, size_t n, char first)
{
    for (size_t i = 0; i < n; i++)
        text[i] = i % 6 == 5 ? ' ' : (char)(first + i % 20);
    text[n] = '\0';
}

/* Tokens of the layout around a message and the assistant's opening, generously. */
enum { FRAME = 40, ANSWER = 42 };

static void few(const char *what, size_t n, size_t at_most)
{
    if (n > at_most)
        fail_msg("%s: %zu tokens were computed, expected at most %zu", what, n, at_most);
}

static void turns_compute_their_own_tokens(void **state)
{
    enum kt_thinking thinking = (enum kt_thinking)(uintptr_t)*state;
    char *dir = temp_dir_make(), text[2048];
    synth_write_folder(synth_named("qwen35-r2"), dir);
    write_tokenizer(dir);
    struct talk t = { .thinking = thinking };
    must(kt_engine_open(&t.e, dir, &(struct kt_engine_options){ .n_threads = 2 }, &err));
    struct kt_engine_info info;
    kt_engine_info(t.e, &info);
    assert_string_equal(info.chat_layout, "qwen35");
    struct kt_cache *cache = open_cache(t.e, (uint64_t)1 << 30);
    t.c = open_context(t.e, TALK_CTX, KT_KV_F16, KT_STATE_F32, cache, "a");

    fill(text, 300, 'a');
    say(&t, "system", text);
    size_t n_prompt, sum = 0;
    for (size_t turn = 0; turn < 6; turn++) { /* thoughts are stripped from what was said before */
        fill(text, 120 + turn, (char)('b' + turn));
        say(&t, "user", text);
        size_t n = answer(&t, &n_prompt, true);
        if (turn)
            few("the next turn", n, 120 + turn + ANSWER + FRAME);
        sum += n;
    }
    few("six turns", sum, n_prompt + 6 * 16);
    /* the last message edited */
    t.n -= 2;
    fill(text, 130, 'Q');
    say(&t, "user", text);
    few("the last message edited", answer(&t, NULL, false), 130 + FRAME);
    few("the answer made again", answer(&t, NULL, false), 16);
    /* a branch from an earlier message: messages are shorter than the distance between checkpoints */
    t.n = 6;
    fill(text, 50, 'R');
    say(&t, "user", text);
    few("a branch", answer(&t, NULL, false), 50 + FRAME + MARKS_APART);
    /* another conversation under the same system message, which two have had in common: from the third on */
    for (size_t i = 0; i < 3; i++) {
        t.n = 1;
        fill(text, 60, (char)('F' + 2 * (char)i));
        say(&t, "user", text);
        size_t n = answer(&t, NULL, false);
        if (i)
            few("another conversation", n, 60 + FRAME);
    }
    kt_context_destroy(t.c);
    kt_cache_destroy(cache);
    kt_engine_close(t.e);
    temp_dir_remove(dir);
}

/* Questions about one document in one message: the second already begins behind the document. */
static void questions_begin_behind_the_document(void **state)
{
    (void)state;
    char *dir = temp_dir_make(), text[2048];
    synth_write_folder(synth_named("qwen35-r2"), dir);
    write_tokenizer(dir);
    struct talk t = { .thinking = KT_THINK_OFF };
    must(kt_engine_open(&t.e, dir, &(struct kt_engine_options){ .n_threads = 2 }, &err));
    struct kt_cache *cache = open_cache(t.e, (uint64_t)1 << 30);
    t.c = open_context(t.e, TALK_CTX, KT_KV_F16, KT_STATE_F32, cache, "a");
    for (size_t i = 0; i < 4; i++) {
        t.n = 0;
        fill(text, 1500, 'a');
        text[700] = text[701] = '\n';
        snprintf(text + 1500, sizeof(text) - 1500, "\n\nWhat does it say about the %zu. point?", i);
        say(&t, "user", text);
        size_t n_prompt, n = answer(&t, &n_prompt, false);
        assert_in_range(n_prompt, 1540, 1600);
        few("a question", n, i ? 40 + FRAME : n_prompt);
    }
    kt_context_destroy(t.c);
    kt_cache_destroy(cache);
    kt_engine_close(t.e);
    temp_dir_remove(dir);
}

/* With an argument: every place around the ends of pages and chunks. */
int main(int argc, char **argv)
{
    (void)argv;
    all_places = argc > 1;
    const struct CMUnitTest tests[] = {
        { "a gated delta net", hits_are_cold_runs, NULL, NULL, (void *)0 },
        { "... in few bits", hits_are_cold_runs, NULL, NULL, (void *)1 },
        { "experts", hits_are_cold_runs, NULL, NULL, (void *)2 },
        { "attention alone", hits_are_cold_runs, NULL, NULL, (void *)3 },
        cmocka_unit_test(guesses_are_never_kept),
        cmocka_unit_test(prompts_part_where_others_did),
        cmocka_unit_test(scopes_are_walls),
        cmocka_unit_test(the_budget_holds),
        cmocka_unit_test(images_are_told_apart),
        { "turns, thinking", turns_compute_their_own_tokens, NULL, NULL, (void *)KT_THINK_ON },
        { "turns, not thinking", turns_compute_their_own_tokens, NULL, NULL, (void *)KT_THINK_OFF },
        cmocka_unit_test(questions_begin_behind_the_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
