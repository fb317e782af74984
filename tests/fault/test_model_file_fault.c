/* Opening a model while memory runs out: the n-th allocation fails, n = 1, 2, ... until one opening
 * gets through. Each must end with "out of memory" and nothing else (not "damaged", not "missing"),
 * and leave nothing behind: the sanitizer build counts what was not freed.
 *
 * The linker sends our own allocations through here, jansson is told to come here too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/files.h"
#include "model/model_file.h"
#include "fault/failing_alloc.h"
#include "support/model_writer.h"

/* ---- models ---------------------------------------------------------------------------------- */

static void save_gguf_part(const char *dir, const char *name, unsigned no, const char *tensor)
{
    struct gguf_writer w = { 0 };
    gguf_put_u32(&w, "split.no", no);
    gguf_put_u32(&w, "split.count", 2);
    gguf_put_i32(&w, "split.tensors.count", 66);
    gguf_put_arr_str(&w, "tokens", (const char *[]){ "a", "b" }, 2);
    for (int i = 0; i < 33; i++) { /* more than the table begins with, in both parts together */
        char text[16];
        snprintf(text, sizeof(text), "%s%d", tensor, i);
        gguf_put_random(&w, text, QT_Q8_0, 1, (uint64_t[]){ 32 }, 1);
    }
    char *path = path_join(dir, name);
    gguf_writer_save(&w, path);
    free(path);
    gguf_writer_deinit(&w);
}

static void save_shard(const char *dir, const char *name, const char *tensor)
{
    struct st_writer w = { 0 };
    st_put_random(&w, tensor, QT_BF16, 2, (uint64_t[]){ 4, 2 }, 1);
    char *path = path_join(dir, name);
    st_writer_save(&w, path);
    free(path);
    st_writer_deinit(&w);
}

static void save_folder(const char *dir)
{
    static const char config[] =
        "{\"a\":{\"b\":[1,2],\"c\":[0.5],\"d\":[\"x\",\"y\"],\"e\":[true]},\"f\":[{\"g\":\"h\"}]}";
    static const char index[] =
        "{\"weight_map\":{\"a\":\"a.safetensors\",\"b\":\"b.safetensors\"}}";
    save_file(dir, "config.json", config, sizeof(config) - 1);
    save_file(dir, "generation_config.json", "{\"k\":1}", 7);
    save_file(dir, "chat_template.jinja", "{{ x }}", 7);
    save_file(dir, "model.safetensors.index.json", index, sizeof(index) - 1);
    save_shard(dir, "a.safetensors", "a");
    save_shard(dir, "b.safetensors", "b");
}

/* Let every allocation of one opening fail in turn. */
static void open_with_failures(const char *path, size_t n_tensors)
{
    size_t n = 0, n_said = 0;
    enum kt_status st;
    do {
        struct kt_error err = { 0 };
        struct model_file *f;
        countdown = ++n;
        st = model_file_open(&f, path, &err);
        size_t left = countdown;
        countdown = 0;
        bool in_json = st == KT_E_FORMAT && strstr(err.text, "not valid JSON");
        bool said_so = st == KT_E_NOMEM && strstr(err.text, "out of memory");
        if (st && (f || err.status != st || (!said_so && !in_json)))
            fail_msg("%s, allocation %zu failed: %s (%s), expected out of memory", path, n,
                     kt_status_name(st), err.text);
        n_said += said_so;
        if (!st && left == 0)
            fail_msg("%s: allocation %zu failed and nobody noticed", path, n);
        if (!st)
            assert_int_equal(model_file_n_tensors(f), n_tensors);
        model_file_close(f);
    } while (st);
    printf("    %s: %zu allocations, each failed once; %zu were called by their name\n",
           path_base(path), n - 1, n_said);
    assert_true(n > 10 && n_said > (n - 1) / 2);
}

static void gguf_parts(void **state)
{
    (void)state;
    char *dir = temp_dir_make();
    save_gguf_part(dir, "m-00001-of-00002.gguf", 0, "x");
    save_gguf_part(dir, "m-00002-of-00002.gguf", 1, "y");
    char *path = path_join(dir, "m-00001-of-00002.gguf");
    open_with_failures(path, 66);
    free(path);
    temp_dir_remove(dir);
}

static void folder_of_shards(void **state)
{
    (void)state;
    char *dir = temp_dir_make();
    save_folder(dir);
    open_with_failures(dir, 2);
    temp_dir_remove(dir);
}

int main(void)
{
    json_set_alloc_funcs(__wrap_malloc, free);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gguf_parts),
        cmocka_unit_test(folder_of_shards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
