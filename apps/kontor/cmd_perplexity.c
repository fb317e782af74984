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

enum { WINDOW_TOKENS = 512 };
#define TEXT_MAX_BYTES ((size_t)1 << 30)

struct job {
    const char *model, *text_path, *tokens_path, *kl_path;
    bool json;
    uint64_t n_ctx;
    struct infer_memory memory;
};

struct measure {
    const int32_t *ids;
    size_t first, n_window, n_total; /* the window that is computed now */
    double nll, kl, kl_max;
    size_t n_judged, n_kl, n_same_top;
    struct file_map base; /* logits to compare with: [n, vocab]; empty without --kl */
};

static size_t top_of(const float *x, size_t n)
{
    size_t top = 0;
    for (size_t i = 1; i < n; i++)
        top = x[i] > x[top] ? i : top;
    return top;
}

/* log of the sum of e^x. */
static double log_sum(const float *x, size_t n)
{
    double top = (double)x[top_of(x, n)], sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)x[i] - top);
    return top + log(sum);
}

/* sum of p (log p - log q), p the base's distribution. */
static void compare(struct measure *m, const float *p, const float *q, size_t n)
{
    double lp = log_sum(p, n), lq = log_sum(q, n), kl = 0;
    for (size_t i = 0; i < n; i++) {
        double a = (double)p[i] - lp;
        if (a > -700)
            kl += exp(a) * (a - ((double)q[i] - lq));
    }
    m->kl += kl;
    m->kl_max = fmax(m->kl_max, kl);
    m->n_kl++;
    m->n_same_top += top_of(p, n) == top_of(q, n);
}

static enum kt_status judge(void *ctx, size_t pos, const float *logits, size_t n_vocab,
                            struct kt_error *err)
{
    struct measure *m = ctx;
    if (cli_interrupted())
        return kt_fail(err, KT_E_CANCELLED, "interrupted");
    cli_progress("perplexity", m->first + pos + 1, m->n_total, NULL);
    if (m->base.data)
        compare(m, (const float *)m->base.data + (m->first + pos) * n_vocab, logits, n_vocab);
    if (pos + 1 == m->n_window)
        return KT_OK;
    double lp = kt_logprob(logits, n_vocab, m->ids[m->first + pos + 1]);
    if (isnan(lp))
        return kt_fail(err, KT_E_INTERNAL,
                       "the logits at token %zu are not numbers; try `kontor inspect`",
                       m->first + pos);
    m->nll -= lp;
    m->n_judged++;
    return KT_OK;
}

static enum kt_status read_ids(const struct job *j, const struct kt_engine *e, int32_t **ids,
                               size_t *n, struct kt_error *err)
{
    if (j->tokens_path)
        return infer_read_tokens(j->tokens_path, ids, n, err);
    struct buf text = { 0 };
    enum kt_status st = file_read(&text, j->text_path, TEXT_MAX_BYTES, err);
    if (!st)
        st = kt_tokenize(e, text.ptr ? text.ptr : "", text.len, KT_TOKENS_PLAIN, ids, n, err);
    buf_deinit(&text);
    if (!st && *n < 2)
        st = kt_fail(err, KT_E_USAGE, "%s: %zu tokens, at least 2 are needed", j->text_path, *n);
    return st;
}

static enum kt_status open_base(struct measure *m, const char *path, size_t n_vocab,
                                struct kt_error *err)
{
    if (!path)
        return KT_OK;
    enum kt_status st = file_map_open(&m->base, path, err);
    size_t bytes;
    if (!st && (!size_mul(&bytes, m->n_total, n_vocab * sizeof(float)) || bytes != m->base.size))
        st = kt_fail(err, KT_E_FORMAT,
                     "%s: %zu bytes, expected %zu tokens x %zu logits x 4; made with `kontor "
                     "logits` from the "
                     "same tokens?",
                     path, m->base.size, m->n_total, n_vocab);
    return st;
}

static enum kt_status measure(struct measure *m, const struct job *j, struct kt_error *err)
{
    struct kt_engine *e = NULL;
    struct kt_context *c = NULL;
    int32_t *ids = NULL;
    size_t n_ctx = j->n_ctx ? j->n_ctx : WINDOW_TOKENS;
    enum kt_status st = infer_open(&e, cli_chat_model(j->model), err);
    if (!st)
        st = read_ids(j, e, &ids, &m->n_total, err);
    m->ids = ids;
    if (!st) {
        struct kt_engine_info info;
        kt_engine_info(e, &info);
        st = open_base(m, j->kl_path, info.n_vocab, err);
    }
    if (!st) {
        n_ctx = MIN(n_ctx, m->n_total);
        struct kt_context_options co = { .n_ctx = n_ctx,
                                         .kv = j->memory.kv,
                                         .state = j->memory.state };
        st = kt_context_create(&c, e, &co, err);
    }
    for (m->first = 0; !st && m->first + 1 < m->n_total; m->first += n_ctx) {
        m->n_window = MIN(n_ctx, m->n_total - m->first);
        st = kt_logits(c, ids + m->first, m->n_window, judge, m, err);
    }
    cli_progress_end();
    file_map_close(&m->base);
    free(ids);
    kt_context_destroy(c);
    kt_engine_close(e);
    return st;
}

static int print(const struct measure *m, bool json)
{
    double nll = m->nll / (double)m->n_judged, kl = m->n_kl ? m->kl / (double)m->n_kl : 0;
    double same = m->n_kl ? (double)m->n_same_top / (double)m->n_kl : 0;
    if (json) {
        json_t *o = json_pack("{s:f,s:f,s:I}", "nll", nll, "ppl", exp(nll), "tokens",
                              (json_int_t)m->n_judged);
        if (m->n_kl) {
            json_object_set_new(o, "kl", json_real(kl));
            json_object_set_new(o, "kl_max", json_real(m->kl_max));
            json_object_set_new(o, "same_top", json_real(same));
        }
        return cli_print_json(o);
    }
    printf("perplexity %.4f (mean negative log-likelihood %.6f over %zu tokens)\n", exp(nll), nll,
           m->n_judged);
    if (m->n_kl)
        printf("KL divergence %.6g mean, %.6g largest; the same most likely token in %.2f %%\n", kl,
               m->kl_max, 100 * same);
    return EXIT_DONE;
}

static int run(int argc, char **argv)
{
    struct job j = { .memory.kv = KT_KV_F32 };
    struct str_list rest = { 0 };
    const struct opt opts[] = {
        { "--model", "-m", OPT_STR, &j.model }, { "--tokens", NULL, OPT_STR, &j.tokens_path },
        { "--kl", NULL, OPT_STR, &j.kl_path },  { "--ctx", NULL, OPT_U64, &j.n_ctx },
        { "--json", NULL, OPT_FLAG, &j.json },  INFER_MEMORY_OPTS(j.memory),
    };
    bool ok = cli_parse(&cmd_perplexity, argc, argv, opts, ARRAY_LEN(opts), &rest);
    size_t n_rest = rest.n;
    j.text_path = n_rest ? rest.items[0] : NULL;
    if (!ok || !infer_memory_parse(&j.memory, &cmd_perplexity))
        return EXIT_USAGE;
    if (n_rest > 1 || !j.text_path == !j.tokens_path)
        return cli_usage(&cmd_perplexity, "needs one FILE, or --tokens FILE");
    if (j.n_ctx == 1)
        return cli_usage(&cmd_perplexity,
                         "--ctx takes 2 or more: a window's first token is not judged");
    cli_catch_signals();
    struct kt_error err;
    struct measure m = { 0 };
    if (measure(&m, &j, &err))
        return cli_fail("perplexity", &err);
    return print(&m, j.json);
}

const struct command cmd_perplexity = {
    "perplexity",
    "-m MODEL FILE [--json]",
    "Measure how well a model predicts a text.",
    "The mean over all tokens but the first of each window. FILE is plain text; nothing is added "
    "to it.\n\n"
    "  -m, --model M     the model; default: the configured chat model\n"
    "  --tokens FILE     token ids instead of a text\n"
    "  --ctx N           tokens a window (default 512)\n"
    "  --kl BASE         also compare with the logits in BASE, made by `kontor logits --ctx N` "
    "from the same\n"
    "                    tokens and windows: mean and largest KL divergence, agreement of the top "
    "token\n"
    "  --kv TYPE, --state TYPE    how keys and values are kept, f32 (default), f16 or q8; and a "
    "recurrent\n"
    "                    state, f32 (default) or bf16\n"
    "  --json            print {\"nll\",\"ppl\",\"tokens\"}\n",
    run,
};
