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
#include "look.h"

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

struct job {
    const char *model, *tokens, *out;
    uint64_t n_ctx;
    bool mtp;
    struct infer_memory memory;
    struct look_args look;
};

/* What the ids' pads stand for, in their order; 'inputs' is the caller's to free. The ids say whether all of
 * a folder's frames are meant, or those that the model's processor would choose. */
static enum kt_status look_at(struct look *l, struct kt_vision_input **inputs, const struct job *j,
                              const struct kt_engine *e, const int32_t *ids, size_t n,
                              struct kt_error *err)
{
    const char *model = cli_chat_model(j->model);
    struct kt_engine_info info;
    kt_engine_info(e, &info);
    enum kt_status st = look_open(l, &j->look, model, true, err);
    if (!st && l->n > l->n_images && look_video_tokens(l) != look_video_pads(ids, n, &info)) {
        look_close(l);
        st = look_open(l, &j->look, model, false, err);
    }
    if (!st && !(*inputs = calloc(l->n + 1, sizeof(**inputs))))
        st = kt_fail(err, KT_E_NOMEM, "out of memory");
    if (!st)
        look_order(*inputs, l, ids, n, &info);
    return st;
}

static enum kt_status write_rows(struct writer *w, const struct job *j, struct kt_context *c,
                                 const int32_t *ids, size_t n, size_t n_ctx,
                                 const struct kt_vision_input *media, size_t n_media,
                                 struct kt_error *err)
{
    enum kt_status st = KT_OK;
    w->n_total = j->mtp ? n - 1 : n;
    if (j->mtp)
        return kt_logits_mtp_media(c, ids, n, media, n_media, write_row, w, err);
    if (n_media)
        return kt_logits_media(c, ids, n, media, n_media, write_row, w, err);
    for (w->first = 0; w->first < n && !st; w->first += n_ctx)
        st = kt_logits(c, ids + w->first, MIN(n_ctx, n - w->first), write_row, w, err);
    return st;
}

static enum kt_status write_all(struct writer *w, const struct job *j, const int32_t *ids, size_t n,
                                struct kt_error *err)
{
    struct kt_engine *e = NULL;
    struct kt_context *c = NULL;
    struct look look = { 0 };
    struct kt_vision_input *inputs = NULL;
    size_t n_ctx = j->n_ctx ? (size_t)j->n_ctx : n;
    enum kt_status st = infer_open_seeing(&e, cli_chat_model(j->model), j->look.mmproj, err);
    struct kt_context_options co = {
        .n_ctx = n_ctx, .kv = j->memory.kv, .state = j->memory.state, .speculate = KT_SPECULATE_OFF
    };
    if (!st)
        st = look_at(&look, &inputs, j, e, ids, n, err);
    if (!st)
        st = kt_context_create(&c, e, &co, err);
    if (!st)
        st = write_rows(w, j, c, ids, n, n_ctx, inputs, look.n, err);
    cli_progress_end();
    free(inputs);
    look_close(&look);
    kt_context_destroy(c);
    kt_engine_close(e);
    return st;
}

static enum kt_status logits(const struct job *j, struct kt_error *err)
{
    int32_t *ids;
    size_t n;
    enum kt_status st = infer_read_tokens(j->tokens, &ids, &n, err);
    if (st)
        return st;
    char *part = malloc(strlen(j->out) + sizeof(".part"));
    if (!part) {
        free(ids);
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    }
    strcat(strcpy(part, j->out), ".part");
    struct writer w = { .fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644),
                        .name = part };
    if (w.fd < 0)
        st = kt_fail(err, KT_E_IO, "%s: cannot be written: %s", part, strerror(errno));
    if (!st)
        st = write_all(&w, j, ids, n, err);
    if (w.fd >= 0 && close(w.fd) != 0 && !st)
        st = kt_fail_errno(err, errno, "%s: cannot be written", part);
    if (!st && rename(part, j->out) != 0)
        st = kt_fail_errno(err, errno, "%s: cannot be replaced", j->out);
    if (st && w.fd >= 0)
        unlink(part);
    free(part);
    free(ids);
    return st;
}

/* "--image A B C" is the same as "--image A --image B --image C". */
static bool more_images(struct str_list *images, const struct str_list *rest)
{
    if (rest->n && !images->n)
        return cli_usage(&cmd_logits, "what is '%s'?", rest->items[0]), false;
    /* Both arrays have room for every argument. */
    for (size_t i = 0; i < rest->n; i++)
        images->items[images->n++] = rest->items[i];
    return true;
}

static int run(int argc, char **argv)
{
    const char *head = "main";
    struct job j = { .memory = { .kv = KT_KV_F32 } };
    struct str_list rest = { 0 };
    const struct opt opts[] = {
        { "--model", "-m", OPT_STR, &j.model },
        { "--tokens", NULL, OPT_STR, &j.tokens },
        { "--output", "-o", OPT_STR, &j.out },
        { "--ctx", NULL, OPT_U64, &j.n_ctx },
        { "--head", NULL, OPT_STR, &head },
        LOOK_OPTS(j.look),
        INFER_MEMORY_OPTS(j.memory),
    };
    if (!cli_parse(&cmd_logits, argc, argv, opts, ARRAY_LEN(opts), &rest) ||
        !infer_memory_parse(&j.memory, &cmd_logits) || !more_images(&j.look.images, &rest))
        return EXIT_USAGE;
    if (!j.tokens || !j.out)
        return cli_usage(&cmd_logits, "needs --tokens FILE and -o OUT");
    j.mtp = strcmp(head, "mtp") == 0;
    if (!j.mtp && strcmp(head, "main") != 0)
        return cli_usage(&cmd_logits, "--head is main or mtp");
    if (j.mtp && j.n_ctx)
        return cli_usage(&cmd_logits, "--head mtp reads all tokens as one text, without --ctx");
    if ((j.look.images.n || j.look.videos.n) && j.n_ctx)
        return cli_usage(&cmd_logits, "--image and --video go without --ctx");
    cli_catch_signals();
    struct kt_error err;
    return logits(&j, &err) ? cli_fail("logits", &err) : EXIT_DONE;
}

const struct command cmd_logits = {
    "logits",
    "-m MODEL --tokens FILE -o OUT [--image FILE...] [--video PATH]",
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
    "  --image FILE...   pictures for the image pads among the ids, in their order\n"
    "  --video PATH      a folder of frames or a video file for the video pads; may be given "
    "several\n"
    "                    times. Of a folder all frames are taken if the ids have pads for them, "
    "else\n"
    "                    those that the model's processor chooses\n"
    "  --fps X           how many of a folder's frames were taken a second (default: its file\n"
    "                    \"fps\", else 24)\n"
    "  --max-pixels N    pictures, and whole videos, become no larger (default: as the model was "
    "made)\n"
    "  --mmproj FILE     the vision part of a GGUF model (default: mmproj*.gguf beside it)\n"
    "  --head main|mtp   mtp: of the head that predicts one token further; row i is what it says\n"
    "                    after token i + 1, and there is one row less\n",
    run,
};
