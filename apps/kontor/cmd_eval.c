/* kontor eval: how many questions of a multiple-choice suite a model gets right. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/files.h"
#include "base/size.h"
#include "base/utf8.h"
#include "infer.h"
#include "quality/evaluate.h"
#include "quality/published.h"
#include "quality/results.h"

struct job {
    const char *model, *suite_path, *dev_path, *results_path, *way, *norm, *think;
    uint64_t n_shots, n_limit, n_max, n_ctx;
    bool json;
    struct eval_options o;
};

struct run {
    struct kt_engine *engine;
    struct kt_engine_info info;
    struct suite suite, dev;
    struct eval *eval;
    struct results *results; /* NULL: not kept */
    int8_t *chosen;          /* [suite.n] */
    size_t n_wanted, n_reused;
};

static bool interrupted(void *ctx)
{
    (void)ctx;
    return cli_interrupted();
}

/* One line that says what was asked, and how. */
static char *settings_of(const struct run *r, const struct job *j, const char *model)
{
    uint64_t h = 0;
    for (size_t i = 0; i < r->suite.n; i++)
        h = (h ^ r->suite.list[i].id) * 0x100000001B3u;
    uint64_t d = 0;
    for (size_t i = 0; i < r->dev.n && j->n_shots; i++)
        d = (d ^ r->dev.list[i].id) * 0x100000001B3u;
    char id[40];
    snprintf(id, sizeof(id), "%016" PRIx64 "-%016" PRIx64, h, d);
    json_t *o = json_pack("{s:i,s:s,s:s,s:I,s:s,s:I,s:s,s:s,s:I,s:s,s:I,s:I}", "kontor_eval", 1,
                          "suite", r->suite.name, "questions_id", id, "questions",
                          (json_int_t)r->suite.n, "model", path_base(model), "model_bytes",
                          (json_int_t)r->info.weight_bytes, "by", eval_way_name(j->o.way), "norm",
                          eval_norm_name(j->o.norm), "shots", (json_int_t)j->n_shots, "think",
                          j->o.way == EVAL_GENERATE ? (j->think ? j->think : "default") : "off",
                          "max", (json_int_t)j->n_max, "ctx", (json_int_t)j->n_ctx);
    char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    return text;
}

static enum kt_status open_all(struct run *r, struct job *j, struct kt_error *err)
{
    const char *model = cli_chat_model(j->model);
    enum kt_status st = suite_open(&r->suite, j->suite_path, err);
    if (!st)
        st = j->dev_path ? suite_open(&r->dev, j->dev_path, err)
                         : suite_open_dev(&r->dev, j->suite_path, err);
    if (!st)
        st = infer_open(&r->engine, model, err);
    if (st)
        return st;
    kt_engine_info(r->engine, &r->info);
    j->o.dev = &r->dev;
    j->o.model_path = model;
    st = eval_create(&r->eval, r->engine, &j->o, err);
    r->chosen = malloc(r->suite.n);
    char *settings = settings_of(r, j, model);
    if (!st && (!r->chosen || !settings))
        st = kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!st) {
        memset(r->chosen, CHOSEN_NOT_YET, r->suite.n);
        if (j->results_path)
            st = results_open(&r->results, j->results_path, settings, &r->suite, r->chosen, err);
    }
    free(settings);
    return st;
}

/* The i-th of the questions that are asked: evenly spread, since suites are sorted by subject. */
static size_t nth(const struct run *r, size_t i)
{
    return (size_t)((unsigned __int128)i * r->suite.n / r->n_wanted);
}

static enum kt_status ask_all(struct run *r, const struct job *j, struct kt_error *err)
{
    enum kt_status st = KT_OK;
    r->n_wanted = j->n_limit ? MIN((size_t)j->n_limit, r->suite.n) : r->suite.n;
    for (size_t i = 0; i < r->n_wanted && !st; i++) {
        struct eval_answer a;
        size_t idx = nth(r, i);
        if (r->chosen[idx] != CHOSEN_NOT_YET) {
            r->n_reused++;
            continue;
        }
        if (cli_interrupted())
            return kt_fail(err, KT_E_CANCELLED, "interrupted; the same command goes on from here%s",
                           r->results ? "" : " if it is given --results FILE");
        st = eval_question(r->eval, &r->suite.list[idx], &a, err);
        if (!st && r->results)
            st = results_add(r->results, &r->suite, idx, &a, j->o.way != EVAL_GENERATE, err);
        if (!st)
            r->chosen[idx] = (int8_t)a.chosen;
        if (!j->json)
            cli_progress("eval", i + 1, r->n_wanted, NULL);
    }
    cli_progress_end();
    return st;
}

/* ---- what is said ---------------------------------------------------------------------------- */

static json_t *json_of(const struct tally *t)
{
    struct interval ci = wilson(t->n_right, t->n);
    return json_pack("{s:o,s:I,s:I,s:I,s:f,s:f,s:f}", "name",
                     cli_json_text(t->name.ptr, t->name.len), "n", (json_int_t)t->n, "right",
                     (json_int_t)t->n_right, "without_answer", (json_int_t)t->n_none, "accuracy",
                     (double)t->n_right / (double)t->n, "low", ci.low, "high", ci.high);
}

static enum kt_status put_json(const struct run *r, json_t *o, const char *key, enum tally_by by,
                               struct kt_error *err)
{
    struct tally *rows;
    size_t n;
    enum kt_status st = tally(&r->suite, r->chosen, by, &rows, &n, err);
    if (st)
        return st;
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_of(&rows[i]));
    json_object_set_new(o, key, list);
    free(rows);
    return KT_OK;
}

static bool published(const struct run *r, const struct job *j, double *percent, const char **bench)
{
    bool thinks = j->o.way == EVAL_GENERATE && j->o.thinking != KT_THINK_OFF;
    return strncmp(r->info.arch, "qwen35", 6) == 0 &&
           published_figure(r->suite.name, r->info.d_model, r->info.n_layers, thinks, percent,
                            bench);
}

static enum kt_status print_json(const struct run *r, const struct job *j, struct kt_error *err)
{
    double percent;
    const char *bench;
    json_t *o =
        json_pack("{s:s,s:s,s:I,s:I}", "suite", r->suite.name, "by", eval_way_name(j->o.way),
                  "questions", (json_int_t)r->suite.n, "reused", (json_int_t)r->n_reused);
    enum kt_status st = put_json(r, o, "all", TALLY_ALL, err);
    if (!st)
        st = put_json(r, o, "subjects", TALLY_SUBJECT, err);
    if (!st)
        st = put_json(r, o, "languages", TALLY_LANGUAGE, err);
    if (published(r, j, &percent, &bench))
        json_object_set_new(o, "published",
                            json_pack("{s:s,s:f}", "name", bench, "percent", percent));
    if (st)
        json_decref(o);
    else
        (void)cli_print_json(o);
    return st;
}

/* How many characters a name takes on a terminal, near enough. */
static int width_of(struct span s)
{
    int n = 0;
    for (size_t i = 0; i < s.len; i++)
        n += !utf8_is_continuation(s.ptr[i]);
    return n;
}

static void print_row(const struct tally *t, struct span name)
{
    struct interval ci = wilson(t->n_right, t->n);
    printf("  %.*s%*s %6" PRIu64 " %6" PRIu64 "  %5.1f %%  %5.1f to %5.1f", (int)name.len, name.ptr,
           MAX(40 - width_of(name), 0), "", t->n, t->n_right,
           100 * (double)t->n_right / (double)t->n, 100 * ci.low, 100 * ci.high);
    if (t->n_none)
        printf("   (%" PRIu64 " without an answer)", t->n_none);
    putchar('\n');
}

static enum kt_status print_table(const struct run *r, enum tally_by by, const char *title,
                                  struct kt_error *err)
{
    struct tally *rows;
    size_t n;
    enum kt_status st = tally(&r->suite, r->chosen, by, &rows, &n, err);
    if (st)
        return st;
    if (by == TALLY_ALL || n > 1) {
        if (by != TALLY_ALL)
            printf("\n%s\n", title);
        for (size_t i = 0; i < n; i++)
            print_row(&rows[i], by == TALLY_ALL         ? SPAN("all")
                                : rows[i].name.len == 0 ? SPAN("(not said)")
                                                        : rows[i].name);
    }
    free(rows);
    return KT_OK;
}

static enum kt_status print_text(const struct run *r, const struct job *j, struct kt_error *err)
{
    double percent;
    const char *bench;
    printf("%s, %zu of %zu questions, by %s, %" PRIu64 " examples each\n", r->suite.name,
           r->n_wanted, r->suite.n, eval_way_name(j->o.way), j->n_shots);
    printf("  %-40s %6s %6s  %7s  95 %% of such samples\n", "", "asked", "right", "");
    enum kt_status st = print_table(r, TALLY_ALL, "", err);
    if (published(r, j, &percent, &bench))
        printf("  its makers say: %s %.1f %%\n", bench, percent);
    if (!st)
        st = print_table(r, TALLY_SUBJECT, "by subject", err);
    if (!st)
        st = print_table(r, TALLY_LANGUAGE, "by language", err);
    return st;
}

static int do_job(struct job *j)
{
    struct run r = { 0 };
    struct kt_error err = { 0 };
    enum kt_status st = open_all(&r, j, &err);
    if (!st)
        st = ask_all(&r, j, &err);
    if (!st)
        st = j->json ? print_json(&r, j, &err) : print_text(&r, j, &err);
    results_close(r.results);
    eval_destroy(r.eval);
    kt_engine_close(r.engine);
    suite_close(&r.suite);
    suite_close(&r.dev);
    free(r.chosen);
    if (st)
        return cli_fail("eval", &err);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* Which of the names 'text' is (NULL: the first); -1: none. */
static int pick(const char *text, const char *const *names)
{
    for (int i = 0; names[i]; i++) {
        if (!text || strcmp(text, names[i]) == 0)
            return i;
    }
    return -1;
}

static int run(int argc, char **argv)
{
    static const char *const WAYS[] = { "letter", "text", "generate", NULL };
    static const char *const NORMS[] = { "sum", "tokens", "bytes", NULL };
    static const char *const THINKS[] = { "default", "on", "off", NULL };
    struct job j = { 0 };
    struct str_list rest = { 0 };
    const struct opt opts[] = {
        { "--model", "-m", OPT_STR, &j.model },   { "--by", NULL, OPT_STR, &j.way },
        { "--norm", NULL, OPT_STR, &j.norm },     { "--shots", NULL, OPT_U64, &j.n_shots },
        { "--dev", NULL, OPT_STR, &j.dev_path },  { "--think", NULL, OPT_STR, &j.think },
        { "--max", NULL, OPT_U64, &j.n_max },     { "--ctx", NULL, OPT_U64, &j.n_ctx },
        { "--limit", NULL, OPT_U64, &j.n_limit }, { "--results", NULL, OPT_STR, &j.results_path },
        { "--json", NULL, OPT_FLAG, &j.json },
    };
    bool ok = cli_parse(&cmd_eval, argc, argv, opts, ARRAY_LEN(opts), &rest);
    bool has_suite = rest.n == 1;
    j.suite_path = has_suite ? rest.items[0] : NULL;
    free(rest.items);
    if (!ok)
        return EXIT_USAGE;
    int way = pick(j.way, WAYS), norm = pick(j.norm, NORMS), think = pick(j.think, THINKS);
    if (!has_suite)
        return cli_usage(&cmd_eval, "needs one SUITE, a file .csv or .jsonl or a folder of them");
    if (way < 0 || norm < 0 || think < 0)
        return cli_usage(&cmd_eval,
                         "--by is letter, text or generate; --norm sum, tokens or bytes; "
                         "--think on, off or default");
    if (j.norm && way != EVAL_TEXT)
        return cli_usage(&cmd_eval, "--norm is for --by text");
    if (j.think && way != EVAL_GENERATE)
        return cli_usage(&cmd_eval, "--think is for --by generate");
    j.o = (struct eval_options){ .way = (enum eval_way)way,
                                 .norm = (enum eval_norm)norm,
                                 .thinking = (enum kt_thinking)think,
                                 .n_shots = (size_t)j.n_shots,
                                 .n_max = (size_t)j.n_max,
                                 .n_ctx = (size_t)j.n_ctx,
                                 .cancelled = interrupted };
    cli_catch_signals();
    return do_job(&j);
}

const struct command cmd_eval = {
    "eval",
    "SUITE -m MODEL [--by letter|text|generate] [--shots N] [--results FILE] [--json]",
    "Ask a model the questions of a multiple-choice suite, and count.",
    "SUITE is a file or a folder of files: .csv as MMLU and MMMLU have it, or .jsonl with "
    "question, "
    "choices,\n"
    "answer, and perhaps subject, language, images, video (docs/QUALITY.md has the layouts, the "
    "prompts and\n"
    "the rules).\n\n"
    "  -m, --model M    the model; default: the configured chat model\n"
    "  --by letter      the most probable letter after the question and its choices (default)\n"
    "  --by text        the choice whose text is the most probable answer; --norm tokens or bytes "
    "divides by\n"
    "                   its length\n"
    "  --by generate    the letter in the reply the model writes in a conversation\n"
    "  --think on|off   may it think first (default: as the model does by itself)\n"
    "  --max N          tokens of a reply (default 32, 4096 when it may think)\n"
    "  --shots N        examples before each question, from SUITE/dev or --dev PATH\n"
    "  --limit N        only N of the questions, evenly spread\n"
    "  --results FILE   write each answer to FILE; the same command later goes on where it was "
    "stopped\n"
    "  --ctx N          tokens a prompt and its answer may take (default 4096 and --max)\n"
    "  --json           print {\"all\",\"subjects\",\"languages\",\"published\",...}\n",
    run,
};
