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
#include "office/route.h"
#include "office/sentences.h"
#include "office/support.h"
#include "office/whole.h"

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
    struct route route;
    bool cut; /* the whole document did not fit: only its beginning was read */
};

static const char NOT_FOUND_DE[] = "Dazu steht nichts in den Unterlagen dieser Akte.";
static const char NOT_FOUND_EN[] = "The files of this matter do not answer this.";

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
    out->text = strdup(route_is_german(a->question) ? NOT_FOUND_DE : NOT_FOUND_EN);
    return out->text ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory for the answer");
}

static enum kt_status look_up(struct ask *a, struct kt_answer *out, struct kt_error *err)
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

/* ---- a whole document ------------------------------------------------------------------------ */

static bool writes_itself(const struct ask *a)
{
    struct kt_engine_info info;
    if (!a->opts->chat)
        return false;
    kt_engine_info(a->opts->chat_engine, &info);
    return info.weight_bytes >= SMALL_MODEL_BYTES;
}

/* The document as one passage. */
static enum kt_status load_document(struct ask *a, struct kt_document_line *d, struct kt_error *err)
{
    struct kt_place *blocks = NULL;
    size_t n = 0;
    enum kt_status st = kt_matter_blocks(a->matter, d->id, 0, 1 << 30, 1000000, &blocks, &n, err);
    size_t end = n ? blocks[n - 1].end : 0;
    free(blocks);
    a->hits = calloc(1, sizeof(*a->hits));
    if (!st && !a->hits)
        st = kt_fail(err, KT_E_NOMEM, "out of memory for a document");
    if (!st)
        st = kt_matter_text(a->matter, d->id, 0, end, &a->hits[0].text, err);
    if (st)
        return st;
    struct kt_hit *h = &a->hits[0];
    h->doc_id = d->id;
    h->text_len = end;
    h->place.end = end;
    h->path = strdup(d->path);
    h->title = strdup(d->title && d->title[0] ? d->title : d->path);
    a->n_hits = a->n_passages = 1;
    return h->path && h->title ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory for a document");
}

/* What fits the context, up to the end of a line. */
static enum kt_status cut_document(struct ask *a, struct kt_error *err)
{
    struct kt_hit *h = &a->hits[0];
    for (int round = 0; a->opts->n_ctx && round < 12; round++) {
        int32_t *ids = NULL;
        size_t n = 0, room = a->opts->n_ctx > ANSWER_TOKENS ? a->opts->n_ctx - ANSWER_TOKENS : 1;
        a->n_shown = 1;
        a->shown[0] = (struct shown){ 0, 0, h->text_len };
        enum kt_status st = build_prompt(a, false, &ids, &n, err);
        free(ids);
        if (st || n <= room)
            return st;
        size_t keep = (size_t)((double)h->text_len * 0.95 * (double)room / (double)n);
        while (keep && h->text[keep - 1] != '\n')
            keep--;
        if (!keep)
            break;
        h->text_len = keep;
        a->cut = true;
    }
    return KT_OK;
}

/* Which part was read, when it was not all of it. */
static enum kt_status say_part(struct ask *a, struct kt_answer *out, uint32_t n_pages,
                               struct kt_error *err)
{
    struct kt_place last = { 0 };
    struct buf text = { 0 };
    enum kt_status st =
        kt_matter_place(a->matter, a->hits[0].doc_id, a->hits[0].text_len - 1, &last, err);
    if (st)
        return st;
    bool de = a->route.german;
    buf_append_str(&text, out->text);
    if (last.page)
        buf_printf(&text,
                   de ? "\n\nGelesen sind die Seiten 1 bis %u von %u: mehr fasst der Kontext des "
                        "Modells nicht."
                      : "\n\nPages 1 to %u of %u were read: the model's context holds no more.",
                   last.page, n_pages);
    else
        buf_printf(&text,
                   de ? "\n\nGelesen ist der Anfang bis Absatz %u: mehr fasst der Kontext des "
                        "Modells nicht."
                      : "\n\nThe beginning up to paragraph %u was read: the model's context holds "
                        "no more.",
                   last.para);
    free(out->text);
    out->text = buf_take(&text);
    return out->text ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory for the answer");
}

static enum kt_status read_document(struct ask *a, struct kt_document_line *d,
                                    struct kt_answer *out, struct kt_error *err)
{
    if (!writes_itself(a))
        return whole_outline(a->matter, d, a->route.german, out, err);
    enum kt_status st = load_document(a, d, err);
    if (!st)
        st = cut_document(a, err);
    if (!st)
        st = answer_by_large_model(a, out, err);
    out->supported = true;
    out->n_passages = a->n_shown;
    if (!st && out->n_citations == 0) /* nothing that could be checked */
        return free(out->text), out->text = NULL,
                                whole_outline(a->matter, d, a->route.german, out, err);
    return !st && a->cut ? say_part(a, out, d->n_pages, err) : st;
}

/* ---- two documents --------------------------------------------------------------------------- */

/* The best passages of one document, added to the hits. */
static enum kt_status add_passages_of(struct ask *a, const struct kt_document_line *d,
                                      const char *q, struct kt_error *err)
{
    struct kt_find_options o = { .embedder = a->opts->embedder,
                                 .k = MAX(a->opts->n_passages / 2, (size_t)1),
                                 .filter = { .path = d->path } };
    struct kt_hit *hits;
    size_t n;
    enum kt_status st = kt_office_find(a->matter, q, &o, &hits, &n, err);
    if (st)
        return st;
    struct kt_hit *all = realloc(a->hits, (a->n_hits + n + 1) * sizeof(*all));
    if (!all) {
        kt_hits_free(hits, n);
        return kt_fail(err, KT_E_NOMEM, "out of memory for passages");
    }
    memcpy(all + a->n_hits, hits, n * sizeof(*hits));
    a->hits = all;
    a->n_hits += n;
    free(hits);
    return KT_OK;
}

/* Without a model that writes: the best sentence of each. */
static enum kt_status side_by_side(struct ask *a, const struct kt_document_line d[static 2],
                                   struct kt_answer *out, struct kt_error *err)
{
    struct buf text = { 0 };
    enum kt_status st = KT_OK;
    for (size_t i = 0; i < 2 && !st; i++) {
        const struct sentence *best = NULL;
        for (size_t k = 0; k < a->sentences.n && !best; k++)
            if (a->hits[a->sentences.items[k].hit].doc_id == d[i].id)
                best = &a->sentences.items[k];
        buf_printf(&text, "%s%s: ", i ? "\n" : "",
                   d[i].title && d[i].title[0] ? d[i].title : d[i].path);
        if (!best) {
            buf_append_str(&text,
                           a->route.german ? "dazu nichts gefunden." : "nothing found on this.");
            continue;
        }
        st = cite(a, out, best->hit, best->start, best->end, best->text, err);
        if (!st)
            buf_printf(&text, "\"%s\" [%zu]", out->citations[out->n_citations - 1].quote,
                       out->n_citations);
    }
    out->supported = out->n_citations > 0;
    out->text = buf_take(&text);
    return !st && !out->text ? kt_fail(err, KT_E_NOMEM, "out of memory for the answer") : st;
}

static enum kt_status compare(struct ask *a, const struct kt_document_line d[static 2],
                              struct kt_answer *out, struct kt_error *err)
{
    struct span topic = a->route.what.len ? buf_span(&a->route.what) : a->question;
    char *q = copy_span(topic);
    enum kt_status st = q ? KT_OK : kt_fail(err, KT_E_NOMEM, "out of memory");
    terms_of_question(&a->terms, topic);
    for (size_t i = 0; i < 2 && !st; i++)
        st = add_passages_of(a, &d[i], q, err);
    free(q);
    a->n_passages = MIN(a->n_hits, (size_t)PASSAGES_MAX);
    if (!st && a->n_hits) {
        weigh_terms(a);
        st = sentences_rank(&a->sentences, topic, &a->terms, a->hits, a->n_passages,
                            a->opts->embedder, err);
    }
    if (st)
        return st;
    if (writes_itself(a) && a->sentences.n)
        st = answer_by_large_model(a, out, err);
    out->supported = out->n_citations > 0;
    out->n_passages = a->n_passages;
    if (!st && !out->n_citations) {
        free(out->text);
        out->text = NULL;
        st = side_by_side(a, d, out, err);
    }
    return st;
}

/* ---- which road ------------------------------------------------------------------------------ */

/* The documents a question names; fewer than wanted: it is looked up. */
static enum kt_status find_named(struct ask *a, struct kt_document_line d[static 2], bool *found,
                                 struct kt_error *err)
{
    bool two = a->route.kind == KT_ROUTE_COMPARE;
    enum kt_status st = whole_named(a->matter, buf_span(&a->route.left), 0, &d[0], err);
    *found = !st && d[0].id;
    if (!st && two && *found) {
        st = whole_named(a->matter, buf_span(&a->route.right), d[0].id, &d[1], err);
        *found = !st && d[1].id;
    }
    return st;
}

static void line_deinit(struct kt_document_line *d)
{
    free(d->path);
    free(d->title);
    free(d->format);
    free(d->sender);
}

static enum kt_status run_named(struct ask *a, struct kt_answer *out, struct kt_error *err)
{
    struct kt_document_line d[2] = { 0 };
    bool found;
    enum kt_status st = find_named(a, d, &found, err);
    if (!st && !found) {
        out->route = KT_ROUTE_LOOKUP;
        out->route_reason = a->route.kind == KT_ROUTE_COMPARE
                                ? "lookup: the two documents to compare were not recognised by name"
                                : "lookup: no one document was recognised by name";
        st = look_up(a, out, err);
    } else if (!st && a->route.kind == KT_ROUTE_COMPARE) {
        st = compare(a, d, out, err);
    } else if (!st) {
        st = read_document(a, &d[0], out, err);
    }
    line_deinit(&d[0]);
    line_deinit(&d[1]);
    return st;
}

static enum kt_status run(struct ask *a, struct kt_answer *out, struct kt_error *err)
{
    if (!route_question(&a->route, a->question))
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    out->route = a->route.kind;
    out->route_reason = a->route.reason;
    out->support_score = out->coverage = out->cosine = NAN;
    switch (a->route.kind) {
    case KT_ROUTE_COUNT:
        return whole_count(a->matter, &a->route, out, err);
    case KT_ROUTE_LIST:
        return whole_list(a->matter, &a->route, out, err);
    case KT_ROUTE_DOCUMENT:
    case KT_ROUTE_COMPARE:
        return run_named(a, out, err);
    default:
        return look_up(a, out, err);
    }
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
    route_deinit(&a->route);
    free(a);
    if (st)
        kt_answer_deinit(out);
    else
        kt_matter_note(m, KT_DEED_ANSWERED, 0, out->n_citations);
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
