/* kontor perplexity: how surprised a model is by a text, and how far it is from another's output.
 *
 * The text is cut into windows of --ctx tokens, each computed from nothing; every token but the
 * first of its window is judged. Fewer than two tokens at the end are left out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/size.h"
#include "infer.h"
#include "quality/divergence.h"
#include "quality/logits_file.h"

enum { WINDOW_TOKENS = 512 };
#define TEXT_MAX_BYTES ((size_t)1 << 30)

struct job {
    const char *model, *text_path, *tokens_path, *base_path, *save_path;
    bool json;
    uint64_t n_ctx;
    struct infer_memory memory;
};

struct measure {
    int32_t *ids;
    size_t first, n_window, n_total; /* the window that is computed now */
    size_t n_judged, n_points;
    double *nll;                     /* [n_points] */
    struct divergence_point *points; /* [n_points], NULL without --kl */
    struct logits_file *base;        /* NULL without --kl */
    float *base_row;                 /* [n_vocab] */
    struct logits_writer *save;      /* NULL without --save-logits */
    struct divergence_summary summary;
};

static enum kt_status judge(void *ctx, size_t pos, const float *logits, size_t n_vocab,
                            struct kt_error *err)
{
    struct measure *m = ctx;
    if (cli_interrupted())
        return kt_fail(err, KT_E_CANCELLED, "interrupted");
    cli_progress("perplexity", m->first + pos + 1, m->n_total, NULL);
    if (pos + 1 == m->n_window)
        return KT_OK;
    int32_t next = m->ids[m->first + pos + 1];
    double lp = kt_logprob(logits, n_vocab, next);
    if (isnan(lp))
        return kt_fail(err, KT_E_INTERNAL,
                       "the logits at token %zu are not numbers; try `kontor inspect`",
                       m->first + pos);
    enum kt_status st = KT_OK;
    if (m->save)
        st = logits_writer_put(m->save, logits, err);
    if (m->base && !st) {
        st = logits_file_row(m->base, m->n_judged, m->base_row, err);
        if (!st)
            m->points[m->n_judged] = divergence_at(m->base_row, logits, n_vocab, next);
    }
    m->nll[m->n_judged++] = -lp;
    return st;
}

/* ---- what is read ---------------------------------------------------------------------------- */

static enum kt_status ids_of_base(struct measure *m, struct kt_error *err)
{
    m->n_total = logits_file_n_tokens(m->base);
    m->ids = calloc(m->n_total + 1, sizeof(*m->ids));
    if (!m->ids)
        return kt_fail(err, KT_E_NOMEM, "out of memory for %zu tokens", m->n_total);
    for (size_t i = 0; i < m->n_total; i++)
        m->ids[i] = logits_file_token(m->base, i);
    return KT_OK;
}

static enum kt_status read_ids(struct measure *m, const struct job *j, const struct kt_engine *e,
                               struct kt_error *err)
{
    if (j->tokens_path)
        return infer_read_tokens(j->tokens_path, &m->ids, &m->n_total, err);
    if (!j->text_path)
        return ids_of_base(m, err);
    struct buf text = { 0 };
    enum kt_status st = file_read(&text, j->text_path, TEXT_MAX_BYTES, err);
    if (!st)
        st = kt_tokenize(e, text.ptr ? text.ptr : "", text.len, KT_TOKENS_PLAIN, &m->ids,
                         &m->n_total, err);
    buf_deinit(&text);
    return st;
}

/* The base must be about these tokens in these windows, or every comparison would be wrong. */
static enum kt_status check_base(const struct measure *m, const char *path, size_t n_ctx,
                                 size_t n_vocab, struct kt_error *err)
{
    if (logits_file_n_vocab(m->base) != n_vocab)
        return kt_fail(err, KT_E_USAGE,
                       "%s: of a model with %zu entries in its vocabulary, this one has %zu; only "
                       "models with the same vocabulary can be compared",
                       path, logits_file_n_vocab(m->base), n_vocab);
    if (logits_file_n_window(m->base) != n_ctx)
        return kt_fail(err, KT_E_USAGE, "%s: made with windows of %zu tokens, not of %zu", path,
                       logits_file_n_window(m->base), n_ctx);
    size_t n = logits_file_n_tokens(m->base), at = 0;
    while (at < n && at < m->n_total && logits_file_token(m->base, at) == m->ids[at])
        at++;
    if (n != m->n_total || at < n)
        return kt_fail(err, KT_E_USAGE,
                       "%s: of another text: %zu tokens, here are %zu, and they differ from token "
                       "%zu on",
                       path, n, m->n_total, at);
    return KT_OK;
}

/* Tokens, windows, and memory for what is judged. */
static enum kt_status prepare(struct measure *m, const struct job *j, const struct kt_engine *e,
                              size_t *n_ctx, struct kt_error *err)
{
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    enum kt_status st = j->base_path ? logits_file_open(&m->base, j->base_path, err) : KT_OK;
    if (!st)
        st = read_ids(m, j, e, err);
    if (st)
        return st;
    size_t n_otherwise = m->base ? logits_file_n_window(m->base) : (size_t)WINDOW_TOKENS;
    *n_ctx = j->n_ctx ? j->n_ctx : n_otherwise;
    m->n_points = logits_n_rows(m->n_total, *n_ctx);
    if (m->n_points == 0)
        return kt_fail(err, KT_E_USAGE, "%zu tokens, at least 2 are needed", m->n_total);
    if (m->base)
        st = check_base(m, j->base_path, *n_ctx, info.n_vocab, err);
    if (!st && j->save_path)
        st = logits_writer_open(&m->save, j->save_path, info.n_vocab, *n_ctx, m->ids, m->n_total,
                                err);
    m->nll = calloc(m->n_points, sizeof(*m->nll));
    m->points = calloc(m->base ? m->n_points : 1, sizeof(*m->points));
    m->base_row = calloc(m->base ? info.n_vocab : 1, sizeof(*m->base_row));
    if (!st && (!m->nll || !m->points || !m->base_row))
        st = kt_fail(err, KT_E_NOMEM, "out of memory for %zu tokens", m->n_total);
    return st;
}

/* ---- the run --------------------------------------------------------------------------------- */

static enum kt_status read_windows(struct measure *m, const struct job *j, struct kt_engine *e,
                                   size_t n_ctx, struct kt_error *err)
{
    struct kt_context *c = NULL;
    struct kt_context_options co = { .n_ctx = MIN(n_ctx, m->n_total),
                                     .kv = j->memory.kv,
                                     .state = j->memory.state,
                                     .speculate = KT_SPECULATE_OFF };
    enum kt_status st = kt_context_create(&c, e, &co, err);
    for (m->first = 0; !st && m->first + 1 < m->n_total; m->first += m->n_window) {
        m->n_window = MIN(n_ctx, m->n_total - m->first);
        st = kt_logits(c, m->ids + m->first, m->n_window, judge, m, err);
    }
    cli_progress_end();
    kt_context_destroy(c);
    return st;
}

static enum kt_status measure(struct measure *m, const struct job *j, struct kt_error *err)
{
    struct kt_engine *e = NULL;
    size_t n_ctx = 0;
    enum kt_status st = infer_open(&e, cli_chat_model(j->model), err);
    if (!st)
        st = prepare(m, j, e, &n_ctx, err);
    if (!st)
        st = read_windows(m, j, e, n_ctx, err);
    if (!st && m->save)
        st = logits_writer_finish(m->save, err);
    kt_engine_close(e);
    if (st)
        return st;
    struct divergence_summary *s = &m->summary;
    if (!m->base) {
        s->nll = measured_mean(m->nll, m->n_points);
        return KT_OK;
    }
    divergence_summarise(s, m->points, m->n_points, m->nll);
    return KT_OK;
}

static void deinit(struct measure *m)
{
    logits_writer_close(m->save);
    logits_file_close(m->base);
    free(m->ids);
    free(m->nll);
    free(m->points);
    free(m->base_row);
}

/* ---- what is said ---------------------------------------------------------------------------- */

static int print_json(const struct measure *m)
{
    const struct divergence_summary *s = &m->summary;
    double ppl = exp(s->nll.value);
    json_t *o =
        json_pack("{s:f,s:f,s:f,s:f,s:I}", "nll", s->nll.value, "nll_error", s->nll.error, "ppl",
                  ppl, "ppl_error", ppl * s->nll.error, "tokens", (json_int_t)m->n_points);
    if (m->base) {
        json_t *kl = json_pack(
            "{s:f,s:f,s:f,s:f,s:f,s:f,s:f, s:f,s:f, s:f,s:f, s:f,s:f, s:f,s:f, s:f}", "kl",
            s->kl.value, "kl_error", s->kl.error, "kl_median", s->kl_median, "kl_90", s->kl_90,
            "kl_99", s->kl_99, "kl_999", s->kl_999, "kl_max", s->kl_max, "same_top",
            s->same_top.value, "same_top_error", s->same_top.error, "dp", s->dp.value, "dp_error",
            s->dp.error, "dp_rms", s->dp_rms.value, "dp_rms_error", s->dp_rms.error,
            "nll_difference", s->nll_difference.value, "nll_difference_error",
            s->nll_difference.error, "ppl_base", exp(s->nll_base.value));
        json_object_update_new(o, kl);
    }
    return cli_print_json(o);
}

static int print_text(const struct measure *m)
{
    const struct divergence_summary *s = &m->summary;
    double ppl = exp(s->nll.value), ratio = exp(s->nll_difference.value);
    printf("perplexity %.4f ± %.4f (mean negative log-likelihood %.6f over %zu tokens)\n", ppl,
           ppl * s->nll.error, s->nll.value, m->n_points);
    if (m->base) {
        printf("of the base       %.4f, ratio %.5f ± %.5f\n", exp(s->nll_base.value), ratio,
               ratio * s->nll_difference.error);
        printf("KL divergence     %.6f ± %.6f mean, %.6f median, %.6f at 90 %%, %.6f at 99 %%, "
               "%.6f at 99.9 %%, %.6f largest\n",
               s->kl.value, s->kl.error, s->kl_median, s->kl_90, s->kl_99, s->kl_999, s->kl_max);
        printf("probability of the text's tokens: %+.3f ± %.3f %% mean change, %.3f ± %.3f %% "
               "root mean square\n",
               100 * s->dp.value, 100 * s->dp.error, 100 * s->dp_rms.value, 100 * s->dp_rms.error);
        printf("same most likely token: %.2f ± %.2f %%\n", 100 * s->same_top.value,
               100 * s->same_top.error);
    }
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int run(int argc, char **argv)
{
    struct job j = { .memory.kv = KT_KV_F32 };
    struct str_list rest = { 0 };
    const struct opt opts[] = {
        { "--model", "-m", OPT_STR, &j.model },
        { "--tokens", NULL, OPT_STR, &j.tokens_path },
        { "--kl", NULL, OPT_STR, &j.base_path },
        { "--save-logits", NULL, OPT_STR, &j.save_path },
        { "--ctx", NULL, OPT_U64, &j.n_ctx },
        { "--json", NULL, OPT_FLAG, &j.json },
        INFER_MEMORY_OPTS(j.memory),
    };
    bool ok = cli_parse(&cmd_perplexity, argc, argv, opts, ARRAY_LEN(opts), &rest);
    size_t n_rest = rest.n;
    j.text_path = n_rest ? rest.items[0] : NULL;
    free(rest.items);
    if (!ok || !infer_memory_parse(&j.memory, &cmd_perplexity))
        return EXIT_USAGE;
    if (n_rest > 1 || (j.text_path && j.tokens_path) ||
        (!j.text_path && !j.tokens_path && !j.base_path))
        return cli_usage(&cmd_perplexity, "needs one FILE, --tokens FILE, or --kl BASE");
    if (j.n_ctx == 1)
        return cli_usage(&cmd_perplexity,
                         "--ctx takes 2 or more: a window's first token is not judged");
    cli_catch_signals();
    struct kt_error err;
    struct measure m = { 0 };
    int code = measure(&m, &j, &err) ? cli_fail("perplexity", &err)
               : j.json              ? print_json(&m)
                                     : print_text(&m);
    deinit(&m);
    return code;
}

const struct command cmd_perplexity = {
    "perplexity",
    "-m MODEL FILE [--save-logits BASE | --kl BASE] [--json]",
    "Measure how well a model predicts a text.",
    "The mean over all tokens but the first of each window. FILE is plain text; nothing is added "
    "to it.\n"
    "After ± stands the standard error.\n\n"
    "  -m, --model M       the model; default: the configured chat model\n"
    "  --tokens FILE       token ids instead of a text\n"
    "  --ctx N             tokens a window (default 512)\n"
    "  --save-logits BASE  write what the model says about every token to the file BASE (2 bytes "
    "for\n"
    "                      each token and entry of the vocabulary)\n"
    "  --kl BASE           compare with BASE: how far this model, for example one in fewer bits, "
    "is\n"
    "                      from the one that BASE was made with. FILE may be left out\n"
    "  --kv TYPE, --state TYPE    how keys and values are kept, f32 (default), f16 or q8; and a "
    "recurrent\n"
    "                      state, f32 (default) or bf16\n"
    "  --json              print {\"nll\",\"nll_error\",\"ppl\",\"ppl_error\",\"tokens\"}, with "
    "--kl also\n"
    "                      "
    "{\"kl\",\"kl_median\",\"kl_90\",\"kl_99\",\"kl_999\",\"kl_max\",\"same_top\",\n"
    "                      \"dp\",\"dp_rms\",\"nll_difference\",\"ppl_base\"} and *_error\n",
    run,
};
