/* kontor bench: tokens a second, the same work as llama-bench. */
#include <stdio.h>
#include <stdlib.h>

#include "base/size.h"
#include "infer.h"

static bool progress(void *ctx, size_t done, size_t total)
{
    const bool *json = ctx;
    if (!*json)
        cli_progress("bench", done, total, NULL);
    return !cli_interrupted();
}

static int print_machine(const struct kt_machine_speed *m, bool json)
{
    if (json)
        return cli_print_json(json_pack("{s:I,s:s,s:f,s:f,s:f}", "threads",
                                        (json_int_t)m->n_threads, "cpu", m->cpu_level,
                                        "read_bytes_s", m->read_bytes_s, "int8_ops_s",
                                        m->int8_ops_s, "float_ops_s", m->float_ops_s));
    printf("%u threads, %s: reads %.1f GB/s, computes %.0f Gop/s in 8-bit integers and %.0f in "
           "32-bit floats, at most\n",
           m->n_threads, m->cpu_level, m->read_bytes_s * 1e-9, m->int8_ops_s * 1e-9,
           m->float_ops_s * 1e-9);
    return EXIT_DONE;
}

static int bench_machine(const struct kt_engine_options *o, bool json)
{
    struct kt_machine_speed m;
    struct kt_error err;
    enum kt_status st = kt_bench_machine(o, &m, &err);
    return st ? cli_fail("bench", &err) : print_machine(&m, json);
}

static int print(const struct kt_engine *e, const struct kt_bench_request *rq,
                 const struct kt_bench_result *r, bool json)
{
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    size_t n_streams = rq->n_streams ? rq->n_streams : 1;
    if (json)
        return cli_print_json(
            json_pack("{s:f,s:f,s:I,s:I,s:I,s:I,s:I,s:s,s:s,s:I,s:f,s:f,s:f}", "pp", r->pp, "tg",
                      r->tg, "n_prompt", (json_int_t)rq->n_prompt, "n_gen", (json_int_t)rq->n_gen,
                      "depth", (json_int_t)rq->n_depth, "streams", (json_int_t)n_streams, "threads",
                      (json_int_t)info.n_threads, "cpu", info.cpu_level, "arch", info.arch,
                      "weight_bytes", (json_int_t)info.weight_bytes, "streams_s", r->streams_s,
                      "chunk_s", r->chunk_s, "mixed_s", r->mixed_s));
    printf("%s, %.1f MB of weights, %u threads, %s", info.arch, (double)info.weight_bytes * 1e-6,
           info.n_threads, info.cpu_level);
    if (rq->n_depth)
        printf(", at depth %zu", rq->n_depth);
    putchar('\n');
    if (rq->n_prompt)
        printf("prompt of %zu tokens:   %10.2f tokens/s\n", rq->n_prompt, r->pp);
    if (rq->n_gen)
        printf("%zu generated%s: %10.2f tokens/s, %zu stream%s\n", rq->n_gen,
               n_streams > 1 ? " each" : "", r->tg, n_streams, n_streams > 1 ? "s" : "");
    if (rq->mixed)
        printf("a step of %zu generated: %.2f ms, of the prompt: %.2f ms, of both: %.2f ms\n",
               n_streams, r->streams_s * 1e3, r->chunk_s * 1e3, r->mixed_s * 1e3);
    return EXIT_DONE;
}

/* The share of guesses that must come true for n of them to pay: each is of use only after those
 * before it. 1 when even all would not. */
static double break_even(size_t n, double cost)
{
    double lo = 0, hi = 1;
    for (int i = 0; i < 40; i++) {
        double a = (lo + hi) / 2, gain = 0, all = 1;
        for (size_t k = 0; k < n; k++)
            gain += all *= a;
        *(gain < cost ? &lo : &hi) = a;
    }
    return hi;
}

static int print_guesses(const struct kt_bench_guesses *g, bool json)
{
    double one = g->rows_s[0];
    json_t *rows = json_array();
    if (!json)
        printf("a plain step takes %.2f ms\n", one * 1e3);
    for (size_t i = 1; i < KT_BENCH_ROWS; i++) {
        size_t n = g->n_rows[i] - 1;
        double cost = g->rows_s[i] / one - 1;
        json_array_append_new(rows, json_pack("{s:I,s:f,s:f}", "guesses", (json_int_t)n, "cost",
                                              cost, "break_even", break_even(n, cost)));
        if (!json)
            printf("%2zu guess%s verified: %5.2f of it more, pays when %3.0f %% come true\n", n,
                   n > 1 ? "es" : "  ", cost, 100 * break_even(n, cost));
    }
    double made = g->head_s / one, all = made + g->rows_s[1] / one - 1;
    if (json)
        return cli_print_json(json_pack("{s:f,s:o,s:f,s:f}", "plain_s", one, "verified", rows,
                                        "head", made, "head_break_even",
                                        g->head_s > 0 ? break_even(1, all) : 0.0));
    json_decref(rows);
    if (g->head_s > 0)
        printf(
            " 1 guess by the multi-token head: %.2f of it, with verifying %.2f: pays when %.0f %% "
            "come true\n",
            made, all, 100 * break_even(1, all));
    return EXIT_DONE;
}

static int run(int argc, char **argv)
{
    const char *model = NULL;
    uint64_t n_prompt = 512, n_gen = 128, depth = 0, streams = 1, reps = 5, batch = 0, cpu_mask = 0;
    bool json = false, guesses = false, mixed = false, machine = false;
    struct infer_memory memory = { 0 };
    const struct opt opts[] = {
        { "--model", "-m", OPT_STR, &model },
        { "--prompt", "-p", OPT_U64, &n_prompt },
        { "--n", "-n", OPT_U64, &n_gen },
        { "--depth", "-d", OPT_U64, &depth },
        { "--streams", NULL, OPT_U64, &streams },
        { "--reps", "-r", OPT_U64, &reps },
        { "--batch", "-b", OPT_U64, &batch },
        { "--guesses", NULL, OPT_FLAG, &guesses },
        { "--mixed", NULL, OPT_FLAG, &mixed },
        { "--machine", NULL, OPT_FLAG, &machine },
        { "--cpu-mask", NULL, OPT_U64, &cpu_mask },
        { "--json", NULL, OPT_FLAG, &json },
        INFER_MEMORY_OPTS(memory),
    };
    if (!cli_parse(&cmd_bench, argc, argv, opts, ARRAY_LEN(opts), NULL) ||
        !infer_memory_parse(&memory, &cmd_bench))
        return EXIT_USAGE;
    if (streams == 0 || reps == 0 || (n_prompt == 0 && n_gen == 0))
        return cli_usage(&cmd_bench,
                         "nothing to measure: --streams and --reps from 1, -p or -n from 1");
    if (cpu_mask > UINT32_MAX)
        return cli_usage(&cmd_bench, "--cpu-mask: a sum of the bits below");
    cli_catch_signals();
    struct kt_error err;
    struct kt_engine *e = NULL;
    struct kt_bench_request rq = {
        .n_prompt = n_prompt,
        .n_gen = n_gen,
        .n_depth = depth,
        .n_streams = streams,
        .mixed = mixed,
        .n_reps = reps,
        .n_batch = batch,
        .kv = memory.kv,
        .state = memory.state,
        .on_progress = progress,
        .callback_ctx = &json,
    };
    struct kt_bench_result r;
    struct kt_bench_guesses g;
    struct kt_engine_options eo = { .n_threads = cli_threads(), .cpu_mask = (uint32_t)cpu_mask };
    if (machine)
        return bench_machine(&eo, json);
    model = cli_chat_model(model);
    enum kt_status st = model ? kt_engine_open(&e, model, &eo, &err)
                              : infer_open(&e, NULL, &err); /* says what is missing */
    if (!st)
        st = guesses ? kt_bench_guesses(e, &rq, &g, &err) : kt_bench(e, &rq, &r, &err);
    cli_progress_end();
    int rc = st        ? cli_fail("bench", &err)
             : guesses ? print_guesses(&g, json)
                       : print(e, &rq, &r, json);
    kt_engine_close(e);
    return rc;
}

const struct command cmd_bench = {
    "bench",
    "-m MODEL [-p 512] [-n 128] [-t THREADS] [--json]",
    "Measure a model's speed on this machine.",
    "Random token ids; no tokenizer and no sampling in the time; the median of several rounds "
    "after one that\n"
    "warms up. The same work as llama-bench.\n\n"
    "  -m, --model M     the model; default: the configured chat model\n"
    "  -p, --prompt N    tokens of the prompt (default 512; 0: not measured)\n"
    "  -n, --n N         tokens to generate, one after the other (default 128; 0: not measured)\n"
    "  -t, --threads N   threads (default: all processors this process may use)\n"
    "  -d, --depth D     tokens already in the context\n"
    "  --streams N       sequences decoded together in one step; tokens a second of all together\n"
    "  -r, --reps N      rounds (default 5)\n"
    "  -b, --batch N     prompt tokens a step (default 512)\n"
    "  --kv TYPE         how keys and values are kept: f16 (default), q8 (8 bits) or f32\n"
    "  --state TYPE      how a recurrent state is kept: f32 (default) or bf16\n"
    "  --guesses         instead: what verifying guessed tokens costs, and how many must come "
    "true\n"
    "  --mixed           also the time of a step of the streams' tokens together with a chunk of a "
    "prompt\n"
    "  --machine         instead, without a model: how fast this machine reads and computes at "
    "most\n"
    "  --cpu-mask BITS   instruction sets to do without, added up: 1 AVX2, 2 AVX-VNNI, 4 AVX-512,\n"
    "                    8 its VNNI, 16 AMX; 512 dot products of ARM\n"
    "  --json            print {\"pp\",\"tg\",...} in tokens a second\n",
    run,
};
