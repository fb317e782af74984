#include "quality/evaluate.h"

#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "quality/letter.h"
#include "quality/looks.h"

enum {
    CTX_TOKENS = 4096,
    REPLY_TOKENS = 32,
    THOUGHT_TOKENS = 4096,
    WORTH_KEEPING = 32, /* tokens of a common beginning */
    SHOTS_MAX = 64,
};

struct ids {
    int32_t *v;
    size_t n;
};

struct eval {
    struct kt_engine *engine;
    struct kt_engine_info info;
    struct eval_options o;
    size_t n_ctx, n_max;
    struct kt_context *kept;   /* what prompts begin with */
    struct kt_context *prompt; /* the whole prompt        */
    struct kt_context *choice; /* the prompt and one choice; EVAL_TEXT */
    struct ids kept_ids, last; /* what is in 'kept'; the prompt before */
};

const char *eval_way_name(enum eval_way w)
{
    static const char *const NAMES[] = { "letter", "text", "generate" };
    return NAMES[w];
}

const char *eval_norm_name(enum eval_norm n)
{
    static const char *const NAMES[] = { "sum", "tokens", "bytes" };
    return NAMES[n];
}

static bool may_think(const struct eval *v)
{
    return v->o.way == EVAL_GENERATE && v->o.thinking != KT_THINK_OFF;
}

static enum kt_status make_contexts(struct eval *v, struct kt_error *err)
{
    struct kt_context_options plain = { .n_ctx = v->n_ctx,
                                        .kv = KT_KV_F32,
                                        .speculate = KT_SPECULATE_OFF };
    enum kt_status st = kt_context_create(&v->kept, v->engine, &plain, err);
    if (!st)
        st = kt_context_create(&v->prompt, v->engine, &plain, err);
    if (!st && v->o.way == EVAL_TEXT)
        st = kt_context_create(&v->choice, v->engine, &plain, err);
    return st;
}

enum kt_status eval_create(struct eval **out, struct kt_engine *e, const struct eval_options *opts,
                           struct kt_error *err)
{
    *out = NULL;
    if (opts->n_shots > SHOTS_MAX || (opts->n_shots && (!opts->dev || opts->dev->n == 0)))
        return kt_fail(err, KT_E_USAGE,
                       "%zu examples a question: they come from a suite of their own (--dev), and "
                       "%d are the most",
                       opts->n_shots, (int)SHOTS_MAX);
    struct eval *v = calloc(1, sizeof(*v));
    if (!v)
        return kt_fail(err, KT_E_NOMEM, "eval: out of memory");
    v->engine = e;
    v->o = *opts;
    kt_engine_info(e, &v->info);
    v->n_max =
        opts->n_max ? opts->n_max : (may_think(v) ? (size_t)THOUGHT_TOKENS : (size_t)REPLY_TOKENS);
    v->n_ctx = opts->n_ctx ? opts->n_ctx : CTX_TOKENS + (opts->way == EVAL_GENERATE ? v->n_max : 0);
    if (v->info.n_ctx_train)
        v->n_ctx = MIN(v->n_ctx, (size_t)v->info.n_ctx_train);
    enum kt_status st = make_contexts(v, err);
    if (st) {
        eval_destroy(v);
        return st;
    }
    *out = v;
    return KT_OK;
}

void eval_destroy(struct eval *v)
{
    if (!v)
        return;
    kt_context_destroy(v->kept);
    kt_context_destroy(v->prompt);
    kt_context_destroy(v->choice);
    free(v->kept_ids.v);
    free(v->last.v);
    free(v);
}

/* ---- prompts --------------------------------------------------------------------------------- */

static void put_question(struct buf *b, const struct question *q, bool with_choices)
{
    buf_append_span(b, q->text);
    buf_append_char(b, '\n');
    for (uint32_t i = 0; i < q->n_choices && with_choices; i++) {
        buf_printf(b, "%c. ", (int)('A' + i));
        buf_append_span(b, q->choices[i]);
        buf_append_char(b, '\n');
    }
}

static void put_right_choice(struct buf *b, const struct question *q, enum eval_way way)
{
    if (way == EVAL_TEXT)
        buf_append_span(b, q->choices[q->answer]);
    else
        buf_append_char(b, (char)('A' + q->answer));
}

static bool has_media(const struct question *q)
{
    return q->n_images > 0 || q->video != NULL;
}

/* The examples: same subject and language, then same language, then any; those with images never. */
static size_t choose_shots(const struct eval *v, const struct question *q,
                           const struct question *out[static SHOTS_MAX])
{
    size_t n = 0;
    for (int round = 0; round < 3 && v->o.dev; round++) {
        for (size_t i = 0; i < v->o.dev->n && n < v->o.n_shots; i++) {
            const struct question *d = &v->o.dev->list[i];
            bool subject = span_eq(d->subject, q->subject),
                 language = span_eq(d->language, q->language);
            int fits = subject && language ? 0 : language ? 1 : 2;
            if (fits == round && d->id != q->id && !has_media(d))
                out[n++] = d;
        }
    }
    return n;
}

/* What stands before the question. */
static void put_lead(const struct eval *v, struct buf *b, const struct question *q)
{
    const struct question *shots[SHOTS_MAX];
    bool letters = v->o.way == EVAL_LETTER;
    size_t n = choose_shots(v, q, shots);
    if (q->subject.len) {
        buf_append_str(b, "The following are multiple choice questions (with answers) about ");
        for (size_t i = 0; i < q->subject.len; i++)
            buf_append_char(b, q->subject.ptr[i] == '_' ? ' ' : q->subject.ptr[i]);
        buf_append_str(b, ".\n\n");
    }
    for (size_t i = 0; i < n; i++) {
        put_question(b, shots[i], letters);
        buf_append_str(b, "Answer: ");
        put_right_choice(b, shots[i], v->o.way);
        buf_append_str(b, "\n\n");
    }
}

static void put_task_to_judge(const struct eval *v, struct buf *b, const struct question *q)
{
    put_question(b, q, v->o.way == EVAL_LETTER);
    buf_append_str(b, "Answer:");
}

static enum kt_status tokens_of(const struct eval *v, struct buf *b, struct ids *out,
                                struct kt_error *err)
{
    if (b->failed)
        return kt_fail(err, KT_E_NOMEM, "eval: out of memory");
    return kt_tokenize(v->engine, b->ptr ? b->ptr : "", b->len, KT_TOKENS_PLAIN, &out->v, &out->n,
                       err);
}

/* ---- what prompts have in common ------------------------------------------------------------- */

static size_t common(const struct ids *a, const struct ids *b)
{
    size_t n = 0;
    while (n < a->n && n < b->n && a->v[n] == b->v[n])
        n++;
    return n;
}

static enum kt_status append_ids(struct ids *to, const struct ids *more, struct kt_error *err)
{
    int32_t *v = realloc(to->v, MAX(to->n + more->n, (size_t)1) * sizeof(*v));
    if (!v)
        return kt_fail(err, KT_E_NOMEM, "eval: out of memory");
    if (more->n)
        memcpy(v + to->n, more->v, more->n * sizeof(*v));
    *to = (struct ids){ v, to->n + more->n };
    return KT_OK;
}

static enum kt_status remember(struct ids *to, const int32_t *v, size_t n, struct kt_error *err)
{
    int32_t *p = realloc(to->v, MAX(n, (size_t)1) * sizeof(*p));
    if (!p)
        return kt_fail(err, KT_E_NOMEM, "eval: out of memory");
    if (n)
        memcpy(p, v, n * sizeof(*p));
    *to = (struct ids){ p, n };
    return KT_OK;
}

/* v->prompt begins as the new prompt does, as far as that is known already. */
static enum kt_status begin_prompt(struct eval *v, const struct ids *p, size_t *n_cached,
                                   struct kt_error *err)
{
    enum kt_status st = KT_OK;
    size_t same = common(&v->last, p);
    bool fits = v->kept_ids.n > 0 && common(&v->kept_ids, p) == v->kept_ids.n;
    same = MIN(same, p->n - 1); /* the last token is computed for its logits */
    if (same >= (fits ? v->kept_ids.n : 0) + WORTH_KEEPING) {
        st = kt_context_read(v->kept, p->v, same, err);
        if (!st)
            st = remember(&v->kept_ids, p->v, same, err);
        fits = true;
    }
    if (!st)
        st = remember(&v->last, p->v, p->n, err);
    *n_cached = fits ? v->kept_ids.n : 0;
    return !st && fits ? kt_context_copy(v->prompt, v->kept, err) : st;
}

/* ---- the three ways -------------------------------------------------------------------------- */

static enum kt_status check_room(const struct eval *v, size_t n_prompt, size_t n_more,
                                 struct kt_error *err)
{
    if (n_prompt == 0 || n_prompt > v->n_ctx || n_more > v->n_ctx - n_prompt)
        return kt_fail(err, KT_E_LIMIT,
                       "a question of %zu tokens and %zu for the answer: the context holds %zu; "
                       "give more with --ctx, or fewer examples",
                       n_prompt, n_more, v->n_ctx);
    return KT_OK;
}

/* " text" after the prompt. */
static enum kt_status score_one(struct eval *v, const struct ids *p, const struct looks *m,
                                struct span text, double *score, struct kt_error *err)
{
    struct buf b = { 0 };
    struct ids tail = { 0 };
    struct kt_context *c = v->prompt;
    buf_append_char(&b, ' ');
    buf_append_span(&b, text);
    enum kt_status st = tokens_of(v, &b, &tail, err);
    if (!st)
        st = check_room(v, p->n, tail.n, err);
    if (!st && v->choice && tail.n > 1 && !m->n) { /* which the timeline would not be rid of */
        st = kt_context_copy(v->choice, v->prompt, err);
        c = v->choice;
    }
    if (!st)
        st = kt_score_media(c, p->v, p->n, m->inputs, m->n, tail.v, tail.n, score, err);
    if (!st && v->o.way == EVAL_TEXT && v->o.norm == EVAL_BY_TOKENS)
        *score /= (double)tail.n;
    if (!st && v->o.way == EVAL_TEXT && v->o.norm == EVAL_BY_BYTES)
        *score /= (double)MAX(text.len, (size_t)1);
    free(tail.v);
    buf_deinit(&b);
    return st;
}

/* A timeline with images is not copied: scoring goes on from it as long as choices are one token, and reads it
 * again behind longer ones. The images themselves are looked at once. */
static enum kt_status by_likelihood(struct eval *v, const struct question *q, const struct ids *p,
                                    const struct looks *m, struct eval_answer *out,
                                    struct kt_error *err)
{
    enum kt_status st = check_room(v, p->n, 1, err);
    if (!st && !m->n)
        st = begin_prompt(v, p, &out->tokens_cached, err);
    if (!st && !m->n)
        st = kt_context_read(v->prompt, p->v, p->n, err);
    for (uint32_t i = 0; i < q->n_choices && !st; i++) {
        const char letter = (char)('A' + i);
        struct span text = v->o.way == EVAL_LETTER ? (struct span){ &letter, 1 } : q->choices[i];
        st = score_one(v, p, m, text, &out->score[i], err);
        if (out->chosen < 0 || out->score[i] > out->score[out->chosen])
            out->chosen = (int)i;
    }
    out->tokens_prompt = p->n;
    return st;
}

/* Lead, images, question; without images in one piece, as one text is cut into tokens. */
static enum kt_status make_prompt(const struct eval *v, const struct question *q,
                                  const struct looks *m, struct ids *p, struct kt_error *err)
{
    struct buf lead = { 0 }, task = { 0 };
    struct ids rest = { 0 };
    enum kt_status st = KT_OK;
    put_lead(v, &lead, q);
    put_task_to_judge(v, m->n ? &task : &lead, q);
    st = tokens_of(v, &lead, p, err);
    if (!st && m->n)
        st = looks_append(m, v->engine, &p->v, &p->n, err);
    if (!st && m->n)
        st = tokens_of(v, &task, &rest, err);
    if (!st && m->n)
        st = append_ids(p, &rest, err);
    free(rest.v);
    buf_deinit(&lead);
    buf_deinit(&task);
    return st;
}

static enum kt_status likelihood(struct eval *v, const struct question *q, struct eval_answer *out,
                                 struct kt_error *err)
{
    struct ids p = { 0 };
    struct looks *m = calloc(1, sizeof(*m));
    if (!m)
        return kt_fail(err, KT_E_NOMEM, "eval: out of memory");
    enum kt_status st = looks_open(m, q, v->o.model_path, err);
    if (!st)
        st = make_prompt(v, q, m, &p, err);
    if (!st)
        st = by_likelihood(v, q, &p, m, out, err);
    free(p.v);
    looks_close(m);
    free(m);
    return st;
}

static bool go_on(void *ctx, const char *text, size_t len)
{
    const struct eval *v = ctx;
    (void)text;
    (void)len;
    return !v->o.cancelled || !v->o.cancelled(v->o.ctx);
}

static enum kt_status read_reply(const struct eval *v, const struct question *q, bool thinking,
                                 const struct kt_generate_result *r, struct eval_answer *out,
                                 struct kt_error *err)
{
    struct kt_reply_parser *parser;
    const struct kt_reply *reply;
    (void)v;
    enum kt_status st = kt_reply_parser_create(&parser, NULL, thinking, NULL, err);
    if (st)
        return st;
    st = kt_reply_parser_push(parser, r->text, r->text_len, err);
    if (!st)
        st = kt_reply_parser_finish(parser, &reply, err);
    if (!st)
        out->chosen = letter_in_reply((struct span){ reply->text, reply->text_len }, q->choices,
                                      q->n_choices);
    kt_reply_parser_destroy(parser);
    return st;
}

static enum kt_status write_reply(struct eval *v, const struct question *q,
                                  const struct kt_chat_prompt *p, struct eval_answer *out,
                                  struct kt_error *err)
{
    struct kt_generate_result r;
    struct ids ids = { p->ids, p->n_ids };
    size_t n_kept = 0;
    enum kt_status st = check_room(v, p->n_ids, v->n_max, err);
    if (!st && p->n_media == 0)
        st = begin_prompt(v, &ids, &n_kept, err);
    struct kt_generate_request rq = { .prompt = p->ids,
                                      .n_prompt = p->n_ids,
                                      .media = p->media,
                                      .n_media = p->n_media,
                                      .n_max = v->n_max,
                                      .on_text = go_on,
                                      .callback_ctx = v };
    if (st)
        return st;
    st = kt_generate(v->prompt, &rq, &r, err);
    if (st)
        return st;
    out->tokens_prompt = p->n_ids;
    out->tokens_cached = r.tokens_cached;
    out->tokens_reply = r.n_tokens;
    out->cut = r.finish == KT_FINISH_LENGTH;
    st = r.finish == KT_FINISH_CANCELLED ? kt_fail(err, KT_E_CANCELLED, "interrupted")
                                         : read_reply(v, q, p->thinking, &r, out, err);
    kt_generate_result_deinit(&r);
    return st;
}

static void put_task(struct buf *b, const struct question *q)
{
    put_question(b, q, true);
    buf_printf(b, "Answer with the letter of the right choice only (A to %c).",
               (int)('A' + q->n_choices - 1));
}

/* The conversation: examples as turns that went before. Texts live in 'b'; pointers into it are made when
 * it is complete. */
struct talk {
    struct buf b;
    size_t start[2 * SHOTS_MAX + 2]; /* of each message's text in b */
    struct kt_chat_message msgs[2 * SHOTS_MAX + 1];
    size_t n;
};

static void put_talk(const struct eval *v, const struct question *q, struct talk *t)
{
    const struct question *shots[SHOTS_MAX];
    size_t n_shots = choose_shots(v, q, shots);
    for (size_t i = 0; i < n_shots; i++) {
        t->start[t->n++] = t->b.len;
        put_task(&t->b, shots[i]);
        t->start[t->n++] = t->b.len;
        put_right_choice(&t->b, shots[i], EVAL_GENERATE);
    }
    t->start[t->n++] = t->b.len;
    put_task(&t->b, q);
    t->start[t->n] = t->b.len;
    for (size_t i = 0; i < t->n && !t->b.failed; i++)
        t->msgs[i] = (struct kt_chat_message){ .role = i % 2 ? "assistant" : "user",
                                               .text = t->b.ptr + t->start[i],
                                               .text_len = t->start[i + 1] - t->start[i] };
}

/* The last message's images, and its text behind them. */
static void attach(struct talk *t, struct looks *m)
{
    struct kt_chat_message *last = &t->msgs[t->n - 1];
    if (m->n == 0)
        return;
    m->parts[m->n] = (struct kt_chat_part){ .kind = KT_CHAT_TEXT,
                                            .text = last->text,
                                            .text_len = last->text_len };
    last->parts = m->parts;
    last->n_parts = m->n + 1;
    last->text = NULL;
    last->text_len = 0;
}

static enum kt_status generated(struct eval *v, const struct question *q, struct eval_answer *out,
                                struct kt_error *err)
{
    struct talk *t = calloc(1, sizeof(*t));
    struct looks *m = calloc(1, sizeof(*m));
    struct kt_chat_prompt p = { 0 };
    struct kt_chat_options co = { .thinking = v->o.thinking };
    enum kt_status st = t && m ? KT_OK : kt_fail(err, KT_E_NOMEM, "eval: out of memory");
    if (!st)
        put_talk(v, q, t);
    if (!st && t->b.failed)
        st = kt_fail(err, KT_E_NOMEM, "eval: out of memory");
    if (!st)
        st = looks_open(m, q, v->o.model_path, err);
    if (!st)
        attach(t, m);
    if (!st)
        st = kt_chat_build(v->engine, t->msgs, t->n, &co, &p, err);
    if (!st) {
        st = write_reply(v, q, &p, out, err);
        kt_chat_prompt_deinit(&p);
    }
    if (m)
        looks_close(m);
    if (t)
        buf_deinit(&t->b);
    free(m);
    free(t);
    return st;
}

enum kt_status eval_question(struct eval *v, const struct question *q, struct eval_answer *out,
                             struct kt_error *err)
{
    *out = (struct eval_answer){ .chosen = -1 };
    return v->o.way == EVAL_GENERATE ? generated(v, q, out, err) : likelihood(v, q, out, err);
}
