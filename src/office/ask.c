/* Answer a question from the files, with quotations that can be checked.
 *
 *   question -> search -> passages -> sentences, ranked -> is there support? -- no --> "not in the files"
 *                                                               | yes
 *                                     the model writes, quoting only under the span constraint
 *                                                               |
 *                                     every quotation read back from the store and compared -> citations
 *
 * The prompt is laid out stable part first: instructions, passages, question. A quotation cannot be
 * invented: between quotation marks the sampler follows the passages' own text (kontor/engine.h),
 * and what comes out is compared with the stored text once more before anybody sees it.
 *
 * How free the model is depends on its size. Below SMALL_MODEL_BYTES a model's own sentences are
 * not worth printing: it chooses the words to quote, and nothing else. From there on it writes an
 * answer around its quotations. Without a chat model the best sentence is quoted. */
#include "kontor/office.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "office/fit.h"
#include "office/sentences.h"
#include "office/support.h"

enum {
    PASSAGES_DEFAULT = 4,
    PASSAGES_MAX = 16,
    RETRIEVE = 24,       /* hits looked at before the best passages are taken */
    QUOTE_MIN_MAX = 160, /* bytes a small model must quote before it may stop */
    ANSWER_TOKENS = 256,
    QUOTE_TOKENS = 160,
    QUESTION_MAX = 4000, /* bytes */
};

/* A 0.8B model in 8 bits or a 2B in 4 is above it, a 135M or 360M below. */
static const uint64_t SMALL_MODEL_BYTES = 700u * 1000 * 1000;

/* A second sentence is quoted too when its score is this near to the best one's: then the answer is
 * in one of them for 86 % of the sample questions instead of 78 %, at the price of a second
 * quotation in 18 % of the answers. */
static const float CLOSE_RACE = 0.8f;

struct ask {
    struct kt_matter *matter;
    const struct kt_ask_options *opts;
    struct span question;
    struct question_terms terms;
    struct kt_hit *hits;
    size_t n_hits, n_passages;
    struct sentences sentences; /* best first */
    struct shown shown[PASSAGES_MAX];
    size_t n_shown;
    struct support support;
};

static const char NOT_FOUND_DE[] = "Dazu steht nichts in den Unterlagen dieser Akte.";
static const char NOT_FOUND_EN[] = "The files of this matter do not answer this.";

/* ---- which language was asked in? --------------------------------------------------------- */

static bool looks_german(struct span q)
{
    static const char *const MARKS[] = { "ä",      "ö",     "ü",     "ß",     "Ä",     "Ö",
                                         "Ü",      " der ", " die ", " das ", " ist ", " und ",
                                         " wie ",  " wer ", "Wie ",  "Wer ",  "Was ",  "Wann ",
                                         "Welche", "Wo ",   " ein",  " für ", " von ", " dem ",
                                         " den ",  " bis " };
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(MARKS); i++)
        n += span_find(q, span_of(MARKS[i]), 0) != SIZE_MAX;
    return n >= 2 || (n == 1 && span_find(q, SPAN(" the "), 0) == SIZE_MAX);
}

/* ---- retrieval ----------------------------------------------------------------------------- */

static void weigh_terms(struct ask *a)
{
    struct span texts[RETRIEVE];
    size_t n = MIN(a->n_hits, (size_t)RETRIEVE);
    for (size_t i = 0; i < n; i++)
        texts[i] = (struct span){ a->hits[i].text, a->hits[i].text_len };
    terms_weigh(&a->terms, texts, n);
}

/* ---- support ------------------------------------------------------------------------------- */

static void weigh_support(struct ask *a)
{
    struct support *s = &a->support;
    *s = (struct support){ .cosine = a->opts->embedder && a->n_passages ? -1 : NAN };
    for (size_t i = 0; i < a->n_passages; i++) {
        const struct kt_hit *h = &a->hits[i];
        struct span text = { h->text, h->text_len };
        s->coverage = fmaxf(s->coverage, terms_coverage(&a->terms, text));
        if (a->opts->embedder)
            s->cosine = fmaxf(s->cosine, (float)h->dense_score);
    }
    support_decide(s);
}

/* ---- the answer ---------------------------------------------------------------------------- */

static char *copy_span(struct span s)
{
    struct buf b = { 0 };
    buf_append_span(&b, s);
    return buf_take(&b);
}

/* Runs of white space become one space: how a quotation is printed. */
static char *one_line(const char *s)
{
    struct buf b = { 0 };
    bool gap = false;
    for (; *s; s++) {
        bool space = *s == ' ' || *s == '\n' || *s == '\t' || *s == '\r';
        if (space) {
            gap = b.len > 0;
            continue;
        }
        if (gap)
            buf_append_char(&b, ' ');
        gap = false;
        buf_append_char(&b, *s);
    }
    return buf_take(&b);
}

/* Read bytes [start, end) back from the store and make a citation of them. 'claimed' is what the
 * model wrote: it must be the same but for white space. */
static enum kt_status cite(struct ask *a, struct kt_answer *out, size_t hit, size_t start,
                           size_t end, struct span claimed, struct kt_error *err)
{
    const struct kt_hit *h = &a->hits[hit];
    char *stored = NULL, *quote = NULL, *said = NULL, *said_raw = NULL;
    struct kt_place place = { 0 };
    struct kt_citation *list = realloc(out->citations, (out->n_citations + 1) * sizeof(*list));
    if (!list)
        return kt_fail(err, KT_E_NOMEM, "out of memory for citations");
    out->citations = list;
    enum kt_status st = kt_matter_text(a->matter, h->doc_id, start, end, &stored, err);
    if (!st)
        st = kt_matter_place(a->matter, h->doc_id, start, &place, err);
    if (!st) {
        quote = one_line(stored);
        said_raw = copy_span(claimed);
        said = said_raw ? one_line(said_raw) : NULL;
        if (!quote || !said)
            st = kt_fail(err, KT_E_NOMEM, "out of memory for a citation");
        else if (strcmp(quote, said) != 0)
            st = kt_fail(err, KT_E_INTERNAL,
                         "a quotation differs from the stored text; the answer was withheld, "
                         "please report this");
    }
    if (!st) {
        struct kt_citation *c = &list[out->n_citations++];
        *c = (struct kt_citation){
            .path = strdup(h->path),
            .title = h->title ? strdup(h->title) : NULL,
            .page = place.page,
            .para = place.para,
            .quote = quote,
            .start = start,
            .end = end,
        };
        memcpy(c->box, place.box, sizeof(c->box));
        quote = NULL;
        if (!c->path)
            st = kt_fail(err, KT_E_NOMEM, "out of memory for a citation");
    }
    free(quote);
    free(said);
    free(said_raw);
    free(stored);
    return st;
}

/* Without a chat model: the best sentence. */
static enum kt_status answer_by_sentence(struct ask *a, struct kt_answer *out, struct kt_error *err)
{
    const struct sentence *s = &a->sentences.items[0];
    enum kt_status st = cite(a, out, s->hit, s->start, s->end, s->text, err);
    if (st)
        return st;
    struct buf text = { 0 };
    buf_printf(&text, "\"%s\" [1]", out->citations[0].quote);
    out->text = buf_take(&text);
    return out->text ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory for the answer");
}

static void describe_passage(struct buf *p, const struct kt_hit *h, const struct shown *s,
                             size_t number)
{
    buf_printf(p, "[%zu] ", number);
    if (h->title && h->title[0])
        buf_append_str(p, h->title);
    buf_append_str(p, ":\n");
    buf_append(p, h->text + s->start, s->end - s->start);
    buf_append_str(p, "\n\n");
}

static enum kt_status build_prompt(struct ask *a, bool small, int32_t **ids, size_t *n_ids,
                                   struct kt_error *err)
{
    static const char SMALL_SYSTEM[] =
        "You find the words in an office's documents that answer a question. "
        "Reply with one short quotation in quotation marks.";
    static const char SYSTEM[] = "You answer questions from an office's own documents, in the "
                                 "language of the question, in one to three sentences. "
                                 "Every fact you state must be backed by a short quotation from "
                                 "the passages, copied word for word between quotation "
                                 "marks (\"). Use nothing but the passages. If they do not answer "
                                 "the question, reply: NOT FOUND";
    struct buf user = { 0 };
    buf_append_str(&user, "Passages:\n\n");
    for (size_t i = 0; i < a->n_shown; i++)
        describe_passage(&user, &a->hits[a->shown[i].hit], &a->shown[i], i + 1);
    buf_append_str(&user, "Question: ");
    buf_append_span(&user, a->question);
    if (user.failed) {
        buf_deinit(&user);
        return kt_fail(err, KT_E_NOMEM, "out of memory for the prompt");
    }
    const char *sys = small ? SMALL_SYSTEM : SYSTEM;
    struct kt_message msgs[] = {
        { "system", sys, strlen(sys) },
        { "user", user.ptr, user.len },
    };
    enum kt_status st =
        kt_chat_tokens(a->opts->chat_engine, msgs, ARRAY_LEN(msgs), ids, n_ids, err);
    buf_deinit(&user);
    return st;
}

/* The same with no more of the passages than leaves room for n_answer tokens. */
static enum kt_status build_fitting_prompt(struct ask *a, bool small, size_t n_answer,
                                           int32_t **ids, size_t *n_ids, struct kt_error *err)
{
    a->n_shown = a->n_passages;
    for (size_t i = 0; i < a->n_shown; i++)
        a->shown[i] = (struct shown){ i, 0, a->hits[i].text_len };
    for (;;) {
        enum kt_status st = build_prompt(a, small, ids, n_ids, err);
        if (st || !a->opts->n_ctx || *n_ids + n_answer <= a->opts->n_ctx)
            return st;
        free(*ids);
        *ids = NULL;
        if (!shown_less(a->shown, &a->n_shown, a->hits, &a->sentences.items[0]))
            return kt_fail(
                err, KT_E_LIMIT,
                "the question, the sentence that may answer it and the answer take %zu tokens, the "
                "context holds %zu; ask shorter, or give the model a larger context",
                *n_ids + n_answer, a->opts->n_ctx);
    }
}

static enum kt_status append_tokens(const struct kt_engine *e, const char *text, int32_t **ids,
                                    size_t *n, struct kt_error *err)
{
    int32_t *more = NULL;
    size_t n_more = 0;
    enum kt_status st = kt_tokenize(e, text, strlen(text), KT_TOKENS_PLAIN, &more, &n_more, err);
    if (st)
        return st;
    int32_t *all = realloc(*ids, (*n + n_more) * sizeof(*all));
    if (!all) {
        free(more);
        return kt_fail(err, KT_E_NOMEM, "out of memory for the prompt");
    }
    memcpy(all + *n, more, n_more * sizeof(*all));
    *ids = all;
    *n += n_more;
    free(more);
    return KT_OK;
}

/* One run of the model over 'prompt', quoting from 'src' only. */
struct writing {
    const int32_t *prompt;
    size_t n_prompt;
    const struct kt_quote_source *src;
    size_t n_src;
    bool starts_in_quote;
    size_t quote_min_bytes;
    size_t n_max;
    bool (*on_text)(void *ctx, const char *text, size_t len);
    void *ctx;
};

static enum kt_status write_text(struct ask *a, const struct writing *w,
                                 struct kt_generate_result *out, struct kt_error *err)
{
    struct kt_generate_request rq = {
        .prompt = w->prompt,
        .n_prompt = w->n_prompt,
        .n_max = w->n_max,
        .sampling = { .seed = a->opts->seed },
        .quotes = w->src,
        .n_quotes = w->n_src,
        .start_in_quote = w->starts_in_quote,
        .quote_min_bytes = w->quote_min_bytes,
        .on_text = w->on_text,
        .callback_ctx = w->ctx,
    };
    return kt_generate(a->opts->chat, &rq, out, err);
}

/* ---- a small model: it says which words of the best sentence to quote ---------------------- */

static bool until_the_mark_closes(void *ctx, const char *text, size_t len)
{
    (void)ctx;
    return !memchr(text, '"', len);
}

static enum kt_status quote_sentence(struct ask *a, struct kt_answer *out, struct buf *text,
                                     const int32_t *ids, size_t n_ids, const struct sentence *s,
                                     struct kt_error *err)
{
    struct kt_quote_source src = { s->text.ptr, s->text.len };
    struct kt_generate_result g = { 0 };
    struct writing w = {
        .prompt = ids,
        .n_prompt = n_ids,
        .src = &src,
        .n_src = 1,
        .starts_in_quote = true,
        .quote_min_bytes = MIN(s->text.len * 3 / 4, (size_t)QUOTE_MIN_MAX),
        .n_max = QUOTE_TOKENS,
        .on_text = until_the_mark_closes,
    };
    size_t start = s->start, end = s->end;
    struct span said = s->text;
    enum kt_status st = write_text(a, &w, &g, err);
    if (!st && g.n_quotes) {
        start = s->start + g.quotes[0].src_start;
        end = s->start + g.quotes[0].src_end;
        said = (struct span){ g.text + g.quotes[0].out_start,
                              g.quotes[0].out_end - g.quotes[0].out_start };
    } /* else nothing in it could be quoted in part: the whole sentence */
    if (!st)
        st = cite(a, out, s->hit, start, end, said, err);
    if (!st)
        buf_printf(text, "%s\"%s\" [%zu]", text->len ? " " : "",
                   out->citations[out->n_citations - 1].quote, out->n_citations);
    kt_generate_result_deinit(&g);
    return st;
}

/* The best sentence; the second too when it was a close race. */
static enum kt_status answer_by_small_model(struct ask *a, struct kt_answer *out,
                                            struct kt_error *err)
{
    int32_t *ids = NULL;
    size_t n_ids = 0;
    struct buf text = { 0 };
    enum kt_status st = build_fitting_prompt(a, true, QUOTE_TOKENS + 8, &ids, &n_ids, err);
    if (!st)
        st = append_tokens(a->opts->chat_engine, "\"", &ids, &n_ids, err);
    for (size_t i = 0; !st && i < MIN(a->sentences.n, (size_t)2); i++) {
        if (i && a->sentences.items[i].score < a->sentences.items[0].score - CLOSE_RACE)
            break;
        st = quote_sentence(a, out, &text, ids, n_ids, &a->sentences.items[i], err);
    }
    free(ids);
    out->text = buf_take(&text);
    if (!st && !out->text)
        st = kt_fail(err, KT_E_NOMEM, "out of memory for the answer");
    return st;
}

/* ---- a larger model: an answer of its own around its quotations ---------------------------- */

/* The model's text with [n] after every quotation. */
static enum kt_status number_quotes(struct ask *a, struct kt_answer *out,
                                    const struct kt_generate_result *g, struct kt_error *err)
{
    struct buf text = { 0 };
    size_t at = 0;
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < g->n_quotes && !st; i++) {
        const struct kt_quote *q = &g->quotes[i];
        struct span said = { g->text + q->out_start, q->out_end - q->out_start };
        const struct shown *s = &a->shown[q->src_idx];
        size_t origin = a->hits[s->hit].place.start + s->start;
        st = cite(a, out, s->hit, origin + q->src_start, origin + q->src_end, said, err);
        if (st)
            break;
        buf_append(&text, g->text + at, q->out_start - at);
        buf_append_str(&text, out->citations[out->n_citations - 1].quote);
        buf_printf(&text, "\" [%zu]", out->n_citations);
        at = MIN(q->out_end + 1, g->text_len); /* the mark itself */
    }
    if (!st)
        buf_append(&text, g->text + at, g->text_len - at);
    out->text = buf_take(&text);
    if (!st && !out->text)
        st = kt_fail(err, KT_E_NOMEM, "out of memory for the answer");
    return st;
}

static enum kt_status answer_by_large_model(struct ask *a, struct kt_answer *out,
                                            struct kt_error *err)
{
    struct kt_quote_source src[PASSAGES_MAX];
    struct kt_generate_result g = { 0 };
    int32_t *ids = NULL;
    size_t n_ids = 0;
    enum kt_status st = build_fitting_prompt(a, false, ANSWER_TOKENS, &ids, &n_ids, err);
    for (size_t i = 0; i < a->n_shown; i++)
        src[i] = (struct kt_quote_source){ a->hits[a->shown[i].hit].text + a->shown[i].start,
                                           a->shown[i].end - a->shown[i].start };
    if (!st) {
        struct writing w = {
            .prompt = ids,
            .n_prompt = n_ids,
            .src = src,
            .n_src = a->n_shown,
            .quote_min_bytes = 12,
            .n_max = ANSWER_TOKENS,
            .on_text = a->opts->on_text,
            .ctx = a->opts->ctx,
        };
        st = write_text(a, &w, &g, err);
    }
    if (!st && g.n_quotes) /* nothing quoted: nothing shown that could not be checked */
        st = number_quotes(a, out, &g, err);
    kt_generate_result_deinit(&g);
    free(ids);
    return st;
}

static enum kt_status answer_by_model(struct ask *a, struct kt_answer *out, struct kt_error *err)
{
    struct kt_engine_info info;
    kt_engine_info(a->opts->chat_engine, &info);
    return info.weight_bytes < SMALL_MODEL_BYTES ? answer_by_small_model(a, out, err)
                                                 : answer_by_large_model(a, out, err);
}

static enum kt_status answer_unsupported(struct ask *a, struct kt_answer *out, struct kt_error *err)
{
    out->supported = false;
    out->text = strdup(looks_german(a->question) ? NOT_FOUND_DE : NOT_FOUND_EN);
    return out->text ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory for the answer");
}

static enum kt_status run(struct ask *a, struct kt_answer *out, struct kt_error *err)
{
    char *q = copy_span(a->question);
    enum kt_status st = q ? kt_office_search(a->matter, q, KT_SEARCH_HYBRID, RETRIEVE,
                                             a->opts->embedder, &a->hits, &a->n_hits, err)
                          : kt_fail(err, KT_E_NOMEM, "out of memory");
    free(q);
    if (st)
        return st;
    a->n_passages = MIN(a->n_hits, a->opts->n_passages);
    weigh_terms(a);
    st = a->n_hits ? sentences_rank(&a->sentences, a->question, &a->terms, a->hits, a->n_passages,
                                    a->opts->embedder, err)
                   : KT_OK;
    if (st)
        return st;
    weigh_support(a);
    out->support_score = a->support.score;
    out->coverage = a->support.coverage;
    out->cosine = a->support.cosine;
    out->supported = a->support.supported && a->sentences.n > 0;
    if (!out->supported)
        return answer_unsupported(a, out, err);
    st = a->opts->chat ? answer_by_model(a, out, err) : answer_by_sentence(a, out, err);
    out->n_passages = a->opts->chat ? a->n_shown : a->n_passages;
    if (!st && out->n_citations == 0)
        st = answer_unsupported(a, out, err);
    return st;
}

enum kt_status kt_office_ask(struct kt_matter *m, const char *question,
                             const struct kt_ask_options *opts, struct kt_answer *out,
                             struct kt_error *err)
{
    *out = (struct kt_answer){ 0 };
    struct kt_ask_options o = opts ? *opts : (struct kt_ask_options){ 0 };
    struct span q = span_trim(span_of(question));
    if (q.len == 0)
        return kt_fail(err, KT_E_USAGE, "the question is empty");
    if (q.len > QUESTION_MAX)
        return kt_fail(err, KT_E_LIMIT, "the question has %zu bytes, at most %d are read", q.len,
                       QUESTION_MAX);
    o.n_passages = o.n_passages ? MIN(o.n_passages, (size_t)PASSAGES_MAX) : PASSAGES_DEFAULT;

    struct ask *a = calloc(1, sizeof(*a));
    if (!a)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    a->matter = m;
    a->opts = &o;
    a->question = q;
    terms_of_question(&a->terms, q);
    enum kt_status st = run(a, out, err);
    kt_hits_free(a->hits, a->n_hits);
    free(a);
    if (st)
        kt_answer_deinit(out);
    return st;
}

void kt_answer_deinit(struct kt_answer *a)
{
    for (size_t i = 0; i < a->n_citations; i++) {
        free(a->citations[i].path);
        free(a->citations[i].title);
        free(a->citations[i].quote);
    }
    free(a->citations);
    free(a->text);
    *a = (struct kt_answer){ 0 };
}
