/* kontor quantize: a model's weights in fewer bits.
 *
 * Also the place of what it shares with `convert`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/size.h"
#include "base/span.h"
#include "base/status.h"
#include "convert.h"
#include "model/convert.h"
#include "model/importance.h"
#include "text/tok_export.h"

struct job {
    const char *name; /* the command's */
    const char *in, *out, *type, *importance;
    bool replace, json, vision, has_no_tokenizer;
};

static bool on_progress(void *ctx, uint64_t done, uint64_t total, struct span tensor)
{
    const struct job *j = ctx;
    char name[80];
    snprintf(name, sizeof(name), "%.*s", (int)MIN(tensor.len, sizeof(name) - 1), tensor.ptr);
    if (!j->json)
        cli_progress(j->name, (size_t)(done >> 20), (size_t)(total >> 20), name);
    return !cli_interrupted();
}

/* A folder without tokenizer.json still has weights, for token-level work. */
static enum kt_status put_tokenizer(void *ctx, struct gguf_write *w, const struct model_file *f,
                                    size_t n_vocab, struct kt_error *err)
{
    struct job *j = ctx;
    struct tokenizer *t;
    enum kt_status st = tokenizer_open(&t, f, err);
    if (st == KT_E_NOTFOUND) {
        j->has_no_tokenizer = true;
        return KT_OK;
    }
    if (!st)
        st = tokenizer_export(t, w, n_vocab, err);
    tokenizer_close(t);
    return st;
}

static int print_json(const struct job *j, const struct convert_result *r, double seconds)
{
    return cli_print_json(
        json_pack("{s:o,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f}", "output",
                  cli_json_text(j->out, strlen(j->out)), "type", j->type, "bytes_in",
                  (json_int_t)r->bytes_in, "bytes_out", (json_int_t)r->bytes_out, "parameters",
                  (json_int_t)r->n_params, "tensors", (json_int_t)r->n_tensors, "fallback",
                  (json_int_t)r->n_fallback, "requantised", (json_int_t)r->n_requantised,
                  "without_importance", (json_int_t)r->n_unimportant, "seconds", seconds));
}

static int print_text(const struct job *j, const struct convert_result *r, double seconds)
{
    printf("%s: %.1f MB, %.2f bits a weight (from %.1f MB) in %.1f s\n", j->out,
           (double)r->bytes_out / 1e6, (double)r->bytes_out * 8.0 / (double)r->n_params,
           (double)r->bytes_in / 1e6, seconds);
    if (r->n_fallback)
        printf("  %zu of %zu tensors have rows that do not fill the blocks of their type and got "
               "the next larger one\n",
               r->n_fallback, r->n_tensors);
    if (r->n_requantised)
        printf("  %zu tensors were quantised already: both errors add up; a bf16 source gives a "
               "better file\n",
               r->n_requantised);
    if (r->n_unimportant)
        printf("  of %zu tensors the importance data says nothing\n", r->n_unimportant);
    if (j->has_no_tokenizer)
        printf("  the folder has no tokenizer.json, so the file has no tokenizer\n");
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int do_job(struct job *j)
{
    struct kt_error err = { 0 };
    struct pool *pool;
    struct convert_result result;
    if (pool_create(&pool, cli_threads(), &err))
        return cli_fail(j->name, &err);
    cli_catch_signals();
    struct convert_options opts = { .type = j->type,
                                    .pool = pool,
                                    .replace = j->replace,
                                    .vision = j->vision,
                                    .ctx = j,
                                    .on_progress = on_progress,
                                    .put_tokenizer = put_tokenizer };
    uint64_t start = clock_now_ns();
    struct importance *importance = NULL;
    enum kt_status st = j->importance ? importance_open(&importance, j->importance, &err) : KT_OK;
    opts.importance = importance;
    if (!st)
        st = model_convert(j->in, j->out, &opts, &result, &err);
    importance_close(importance);
    double seconds = (double)(clock_now_ns() - start) / 1e9;
    pool_destroy(pool);
    if (!j->json)
        cli_progress_end();
    if (st)
        return cli_fail(j->name, &err);
    return j->json ? print_json(j, &result, seconds) : print_text(j, &result, seconds);
}

/* The name as the table spells it, or NULL. */
static const char *find_type(const char *name, const char *const *allowed)
{
    for (size_t i = 0; convert_type_name(i); i++) {
        if (strcasecmp(convert_type_name(i), name) != 0)
            continue;
        for (size_t k = 0; allowed && allowed[k]; k++) {
            if (strcmp(allowed[k], convert_type_name(i)) == 0)
                return allowed[k];
        }
        return allowed ? NULL : convert_type_name(i);
    }
    return NULL;
}

int convert_run(const struct command *cmd, int argc, char **argv, const char *type,
                const char *const *allowed)
{
    struct job j = { .name = cmd->name };
    struct str_list paths = { 0 };
    const struct opt opts[] = {
        { "--type", "-t", OPT_STR, &type },        { "--replace", NULL, OPT_FLAG, &j.replace },
        { "--vision", NULL, OPT_FLAG, &j.vision }, { "--importance", NULL, OPT_STR, &j.importance },
        { "--json", NULL, OPT_FLAG, &j.json },
    };
    if (!cli_parse(cmd, argc, argv, opts, ARRAY_LEN(opts), &paths))
        return EXIT_USAGE;
    bool has_both = paths.n == 2;
    j.in = has_both ? paths.items[0] : NULL;
    j.out = has_both ? paths.items[1] : NULL;
    free(paths.items);
    if (!has_both)
        return cli_usage(cmd, "takes a model and the file to write: %s %s", cmd->name, cmd->args);
    if (!type)
        return cli_usage(cmd, "needs --type; Q4_K_M is small and good, Q8_0 nearly exact");
    j.type = find_type(type, allowed);
    if (!j.type)
        return cli_usage(cmd, "no type '%s' here; `kontor %s --help` lists them", type, cmd->name);
    if (j.importance && allowed)
        return cli_usage(cmd, "floats need no importance data; that is for `kontor quantize`");
    return do_job(&j);
}

static int run(int argc, char **argv)
{
    return convert_run(&cmd_quantize, argc, argv, NULL, NULL);
}

const struct command cmd_quantize = {
    .name = "quantize",
    .args = "MODEL OUT.gguf --type TYPE [--vision] [--importance FILE] [--replace] [--json]",
    .summary = "Write a model's weights in fewer bits, as one GGUF file.",
    .help =
        "MODEL is a GGUF file or a folder with config.json and safetensors; best one in bf16, f16 "
        "or "
        "f32.\n"
        "Nothing is left behind when it fails. The same input gives the same bytes on every "
        "machine.\n"
        "  -t, --type TYPE   Q4_K_M  4.8 bits a weight: the usual choice\n"
        "                    Q5_K_M  5.7 bits, Q6_K  6.6 bits, Q8_0  8.5 bits: closer to the "
        "original\n"
        "                    Q4_K_S  4.6 bits, IQ4_XS  4.3 bits: smaller than Q4_K_M, less exact; "
        "IQ4_NL, Q5_K_S\n"
        "                    Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K: one format for all but the head\n"
        "                    BF16, F16, F32: not quantised\n"
        "  --vision          write the folder's vision part instead, best as Q8_0 or BF16: see "
        "`kontor convert`\n"
        "  --importance FILE which weights matter, measured by `kontor importance`: a better file "
        "of the same size\n"
        "  --replace         OUT.gguf may exist and is replaced\n"
        "  --json            print one object: {\"output\",\"type\",\"bytes_in\",\"bytes_out\",\n"
        "                    \"parameters\",\"tensors\",\"fallback\",\"requantised\",\"seconds\"}\n"
        "  --threads N       how many processors to use\n",
    .run = run,
};
