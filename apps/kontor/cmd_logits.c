/* kontor logits: the model's raw output for given tokens, for comparing with other implementations.
 * The file is little-endian float32, [n, vocab]; it appears under its name only when it is
 * complete. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/files.h"
#include "base/size.h"
#include "infer.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the rows are written as they lie in memory"
#endif

struct writer {
    int fd;
    const char *name;
    size_t first, n_total; /* rows before this window, rows of all */
};

static enum kt_status write_row(void *ctx, size_t pos, const float *logits, size_t n_vocab,
                                struct kt_error *err)
{
    struct writer *w = ctx;
    if (cli_interrupted())
        return kt_fail(err, KT_E_CANCELLED, "interrupted");
    cli_progress("logits", w->first + pos + 1, w->n_total, NULL);
    return file_write_fd(w->fd, logits, n_vocab * sizeof(*logits), w->name, err);
}

static enum kt_status write_all(struct writer *w, const char *model, const int32_t *ids, size_t n,
                                size_t n_ctx, bool mtp, const struct infer_memory *memory,
                                struct kt_error *err)
{
    struct kt_engine *e = NULL;
    struct kt_context *c = NULL;
    enum kt_status st = infer_open(&e, cli_chat_model(model), err);
    struct kt_context_options co = { .n_ctx = n_ctx,
                                     .kv = memory->kv,
                                     .state = memory->state,
                                     .speculate = KT_SPECULATE_OFF };
    if (!st)
        st = kt_context_create(&c, e, &co, err);
    w->n_total = mtp ? n - 1 : n;
    if (mtp && !st)
        st = kt_logits_mtp(c, ids, n, write_row, w, err);
    for (w->first = 0; w->first < n && !mtp && !st; w->first += n_ctx)
        st = kt_logits(c, ids + w->first, MIN(n_ctx, n - w->first), write_row, w, err);
    cli_progress_end();
    kt_context_destroy(c);
    kt_engine_close(e);
    return st;
}

static enum kt_status logits(const char *model, const char *tokens, const char *out, uint64_t n_ctx,
                             bool mtp, const struct infer_memory *memory, struct kt_error *err)
{
    int32_t *ids;
    size_t n;
    enum kt_status st = infer_read_tokens(tokens, &ids, &n, err);
    if (st)
        return st;
    char *part = malloc(strlen(out) + sizeof(".part"));
    if (!part) {
        free(ids);
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    }
    strcat(strcpy(part, out), ".part");
    struct writer w = { .fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644),
                        .name = part };
    if (w.fd < 0)
        st = kt_fail(err, KT_E_IO, "%s: cannot be written: %s", part, strerror(errno));
    if (!st)
        st = write_all(&w, model, ids, n, n_ctx ? n_ctx : n, mtp, memory, err);
    if (w.fd >= 0 && close(w.fd) != 0 && !st)
        st = kt_fail_errno(err, errno, "%s: cannot be written", part);
    if (!st && rename(part, out) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot be replaced", out);
    if (st && w.fd >= 0)
        unlink(part);
    free(part);
    free(ids);
    return st;
}

static int run(int argc, char **argv)
{
    const char *model = NULL, *tokens = NULL, *out = NULL, *head = "main";
    uint64_t n_ctx = 0;
    struct infer_memory memory = { .kv = KT_KV_F32 };
    const struct opt opts[] = {
        { "--model", "-m", OPT_STR, &model }, { "--tokens", NULL, OPT_STR, &tokens },
        { "--output", "-o", OPT_STR, &out },  { "--ctx", NULL, OPT_U64, &n_ctx },
        { "--head", NULL, OPT_STR, &head },   INFER_MEMORY_OPTS(memory),
    };
    if (!cli_parse(&cmd_logits, argc, argv, opts, ARRAY_LEN(opts), NULL) ||
        !infer_memory_parse(&memory, &cmd_logits))
        return EXIT_USAGE;
    if (!tokens || !out)
        return cli_usage(&cmd_logits, "needs --tokens FILE and -o OUT");
    bool mtp = strcmp(head, "mtp") == 0;
    if (!mtp && strcmp(head, "main") != 0)
        return cli_usage(&cmd_logits, "--head is main or mtp");
    if (mtp && n_ctx)
        return cli_usage(&cmd_logits, "--head mtp reads all tokens as one text, without --ctx");
    cli_catch_signals();
    struct kt_error err;
    return logits(model, tokens, out, n_ctx, mtp, &memory, &err) ? cli_fail("logits", &err)
                                                                 : EXIT_DONE;
}

const struct command cmd_logits = {
    "logits",
    "-m MODEL --tokens FILE -o OUT",
    "Write a model's raw output for given token ids.",
    "OUT becomes [n, vocab] little-endian float32: row i is what the model says after token "
    "i.\n\n"
    "  -m, --model M     the model; default: the configured chat model\n"
    "  --tokens FILE     token ids separated by white space (- is standard input)\n"
    "  -o, --output OUT  the file to write\n"
    "  --ctx N           start over after every N tokens, as perplexity does (default: never)\n"
    "  --kv TYPE         how keys and values are kept: f32 (default), f16 or q8 (8 bits); of the\n"
    "                    other head always f32\n"
    "  --state TYPE      how a recurrent state is kept: f32 (default) or bf16\n"
    "  --head main|mtp   mtp: of the head that predicts one token further; row i is what it says\n"
    "                    after token i + 1, and there is one row less\n",
    run,
};
