/* kontor inspect, as a script calls it: one JSON object on stdout, nothing else there, and the exit
 * status.
 *
 * Method: real models, a file of our own of a kind that does not run, and files that are no model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/files.h"
#include "support/model_writer.h"

/* Run `kontor inspect ARGS`; its standard output into 'out' and its messages into DIR/err. The exit
 * status. */
static int run(struct buf *out, const char *dir, const char *args)
{
    struct buf cmd = { 0 };
    buf_printf(&cmd, "'%s' inspect --home '%s/home' %s 2>'%s/err'", getenv("KONTOR_BIN"), dir, args,
               dir);
    FILE *p = popen(cmd.ptr, "r");
    assert_non_null(p);
    assert_int_equal(file_read_fd(out, fileno(p), "kontor", 1 << 24, NULL), KT_OK);
    buf_deinit(&cmd);
    int status = pclose(p);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static json_t *inspect(const char *dir, const char *args, int want_status)
{
    struct buf out = { 0 };
    int status = run(&out, dir, args);
    if (status != want_status)
        fail_msg("inspect %s: exit status %d, expected %d; output '%s'", args, status, want_status,
                 out.ptr);
    json_t *o = out.len ? json_loadb(out.ptr, out.len, 0, NULL) : NULL;
    if (want_status == 0 && !o)
        fail_msg("inspect %s: not one JSON object: '%.200s'", args, out.ptr);
    if (want_status != 0)
        assert_int_equal(out.len, 0);
    buf_deinit(&out);
    return o;
}

static json_int_t number(const json_t *o, const char *a, const char *b)
{
    const json_t *v = json_object_get(o, a);
    v = b ? json_object_get(v, b) : v;
    if (!json_is_integer(v))
        fail_msg("%s.%s is not a whole number", a, b ? b : "");
    return json_integer_value(v);
}

static void model_args(struct buf *args, const char *name, const char *options)
{
    const char *data = getenv("KONTOR_TESTDATA");
    buf_printf(args, "'%s/%s' %s", data ? data : "build/deps/models", name, options);
}

static void smollm2_is_described(void **state)
{
    struct buf args = { 0 };
    model_args(&args, "SmolLM2-135M-Instruct.Q4_1.gguf", "--json --context 1000");
    json_t *o = inspect(*state, args.ptr, 0);
    assert_string_equal(json_string_value(json_object_get(o, "container")), "gguf");
    assert_string_equal(json_string_value(json_object_get(o, "architecture")), "llama");
    assert_string_equal(json_string_value(json_object_get(o, "template")), "chatml");
    assert_true(json_is_true(json_object_get(o, "runs")));
    assert_int_equal(number(o, "tensors", NULL), 272);
    assert_int_equal(number(o, "parameters", NULL), 134515008);
    assert_int_equal(number(o, "shape", "n_layers"), 30);
    assert_int_equal(number(o, "shape", "n_kv_heads"), 3);
    assert_int_equal(number(o, "tokenizer", "n_vocab"), 49152);
    assert_int_equal(number(json_object_get(o, "types"), "Q4_1", "tensors"), 210);
    /* 30 layers, 1000 tokens, keys and values of 3 heads of 64 in two bytes */
    assert_int_equal(number(o, "context", "kv_bytes"), 30 * 1024 * 2 * 3 * 64 * 2);
    assert_true(number(o, "context", "machine_bytes") > 1 << 28);
    assert_string_equal(json_string_value(json_object_get(json_object_get(o, "context"), "fits")), "yes");
    const json_t *ctx = json_object_get(o, "context");
    assert_int_equal(number(ctx, "total_bytes", NULL), number(ctx, "weights_bytes", NULL) +
                                                           number(ctx, "state_bytes", NULL) +
                                                           number(ctx, "tentative_bytes", NULL) +
                                                           number(ctx, "scratch_bytes", NULL));
    /* no recurrent layers: the logits of a token and twelve guesses */
    assert_int_equal(number(ctx, "tentative_bytes", NULL), 13 * 49152 * 4);
    json_int_t bytes = 0;
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(o, "quantisation"), i, c) bytes += number(c, "bytes", NULL);
    assert_int_equal(bytes, number(o, "weight_bytes", NULL));
    json_decref(o);
    buf_deinit(&args);
}

/* 8 bits and a scale for each 32; three contexts, one scratch memory, splits to join. */
static void contexts_are_added_up(void **state)
{
    struct buf args = { 0 };
    model_args(&args, "SmolLM2-135M-Instruct.Q4_1.gguf",
               "--json --context 5000 --streams 3 --kv q8 --state bf16");
    json_t *o = inspect(*state, args.ptr, 0), *ctx = json_object_get(o, "context");
    assert_string_equal(json_string_value(json_object_get(ctx, "kv_type")), "q8");
    assert_string_equal(json_string_value(json_object_get(ctx, "state_type")), "bf16");
    assert_int_equal(number(ctx, "kv_bytes", NULL), 40 * 383 * 4096);
    assert_int_equal(number(ctx, "recurrent_bytes", NULL) + number(ctx, "conv_bytes", NULL) +
                         number(ctx, "mtp_bytes", NULL),
                     0);
    assert_int_equal(number(ctx, "parts_bytes", NULL), 9 * 5 * (64 + 2) * 4);
    assert_int_equal(number(ctx, "total_bytes", NULL), number(ctx, "weights_bytes", NULL) +
                                                           3 * number(ctx, "state_bytes", NULL) +
                                                           3 * number(ctx, "tentative_bytes", NULL) +
                                                           number(ctx, "scratch_bytes", NULL));
    json_decref(o);
    buf_deinit(&args);
}

static void minilm_is_described(void **state)
{
    struct buf args = { 0 };
    model_args(&args, "minilm", "--json --all");
    json_t *o = inspect(*state, args.ptr, 0);
    assert_string_equal(json_string_value(json_object_get(o, "container")), "safetensors");
    assert_string_equal(json_string_value(json_object_get(json_object_get(o, "shape"), "arch")),
                        "bert");
    assert_true(json_is_true(json_object_get(o, "runs")));
    assert_true(json_is_null(json_object_get(o, "template")));
    assert_true(json_is_null(json_object_get(o, "context")));
    assert_int_equal(number(o, "metadata", "hidden_size"), 384);
    assert_int_equal(json_array_size(json_object_get(o, "tensor_list")), 103);
    json_decref(o);
    buf_deinit(&args);
}

static void a_model_that_does_not_run_is_described_too(void **state)
{
    struct gguf_writer w = { 0 };
    struct buf args = { 0 };
    gguf_put_str(&w, "general.architecture", "mamba");
    gguf_put_f32(&w, "odd", 1.0f / 0.0f);
    gguf_put_random(&w, "blk.0.w.weight", QT_Q6_K, 2, (uint64_t[]){ 256, 2 }, 1);
    gguf_put_random(&w, "blk.1.w.weight", QT_Q4_K, 2, (uint64_t[]){ 256, 2 }, 1);
    char *path = path_join(*state, "mamba.gguf");
    gguf_writer_save(&w, path);
    gguf_writer_deinit(&w);
    buf_printf(&args, "'%s' --json --all", path);
    json_t *o = inspect(*state, args.ptr, 0);
    assert_true(json_is_false(json_object_get(o, "runs")));
    assert_true(json_is_string(json_object_get(o, "reason")));
    assert_true(json_is_null(json_object_get(o, "shape")));
    assert_true(json_is_null(json_object_get(o, "tokenizer")));
    const json_t *classes = json_object_get(o, "quantisation");
    assert_int_equal(json_array_size(classes), 1); /* blk.N.w.weight */
    assert_int_equal(number(json_array_get(classes, 0), "types", "Q6_K"), 1);
    assert_int_equal(number(json_array_get(classes, 0), "types", "Q4_K"), 1);
    json_decref(o);
    buf_clear(&args);
    buf_printf(&args, "'%s' --json --context 100", path);
    assert_null(inspect(*state, args.ptr, 3)); /* a context of what? */
    buf_deinit(&args);
    free(path);
}

static void what_is_no_model_ends_with_3_and_a_reason(void **state)
{
    struct buf args = { 0 }, message = { 0 };
    const char *dir = *state;
    save_file(dir, "text.gguf", "Sehr geehrte Damen", 18);
    buf_printf(&args, "'%s/text.gguf' --json", dir);
    assert_null(inspect(dir, args.ptr, 3));
    char *err_path = path_join(dir, "err");
    assert_int_equal(file_read(&message, err_path, 4096, NULL), KT_OK);
    assert_non_null(strstr(message.ptr, "text.gguf: not a GGUF file"));
    assert_null(strstr(message.ptr, "geehrte"));
    free(err_path);
    buf_clear(&args);
    buf_printf(&args, "'%s' --json", dir); /* a folder without a model */
    assert_null(inspect(dir, args.ptr, 3));
    buf_clear(&args);
    buf_printf(&args, "'%s/absent.gguf' --json", dir);
    assert_null(inspect(dir, args.ptr, 3)); /* what does not exist is a bad input too */
    assert_null(inspect(dir, "--json", 2));
    assert_null(inspect(dir, "a b --json", 2));
    assert_null(inspect(dir, "a --kv q4", 2));
    assert_null(inspect(dir, "a --state f16", 2));
    assert_null(inspect(dir, "a --context 8 --streams 0", 2));
    buf_deinit(&args);
    buf_deinit(&message);
}

/* The text for people: the same facts, and no byte of the file that a terminal would obey. */
static void people_get_text(void **state)
{
    struct buf args = { 0 }, out = { 0 };
    struct gguf_writer w = { 0 };
    gguf_put_str(&w, "general.architecture", "mamba");
    gguf_put_str(&w, "general.name", "evil\x1B[2Jname");
    gguf_put_random(&w, "w", QT_Q8_0, 1, (uint64_t[]){ 32 }, 1);
    char *path = path_join(*state, "evil.gguf");
    gguf_writer_save(&w, path);
    gguf_writer_deinit(&w);
    buf_printf(&args, "'%s' --all", path);
    assert_int_equal(run(&out, *state, args.ptr), 0);
    assert_non_null(strstr(out.ptr, "evil?[2Jname"));
    assert_non_null(strstr(out.ptr, "runs here   no: "));
    assert_null(memchr(out.ptr, 0x1B, out.len));
    buf_deinit(&args);
    buf_deinit(&out);
    free(path);
}

static int make_dir(void **state)
{
    *state = temp_dir_make();
    return 0;
}

static int remove_dir(void **state)
{
    temp_dir_remove(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smollm2_is_described),
        cmocka_unit_test(contexts_are_added_up),
        cmocka_unit_test(minilm_is_described),
        cmocka_unit_test(a_model_that_does_not_run_is_described_too),
        cmocka_unit_test(what_is_no_model_ends_with_3_and_a_reason),
        cmocka_unit_test(people_get_text),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
