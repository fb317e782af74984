/* The safetensors reader and model folders (src/model/safetensors.c, model_folder.c).
 *
 * Method: as test_gguf.c: good files are read whole, then one rule at a time is broken. Folders are
 * real ones in a temporary place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/files.h"
#include "base/size.h"
#include "model/model_file.h"
#include "support/model_writer.h"

static enum kt_status open_bytes(struct model_file **f, const void *data, size_t size,
                                 struct kt_error *err)
{
    return model_file_open_memory(f, MODEL_SAFETENSORS, data, size, "test.safetensors", err);
}

/* A heap copy of exactly that size, so that the sanitizer sees reads past the end. */
static enum kt_status try_open(const void *data, size_t size, struct kt_error *err)
{
    char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    struct model_file *f;
    enum kt_status st = open_bytes(&f, copy, size, err);
    model_file_close(f);
    free(copy);
    return st;
}

/* ---- good files ------------------------------------------------------------------------------ */

static void a_good_file_is_read_whole(void **state)
{
    (void)state;
    struct st_writer w = { 0 };
    struct buf file = { 0 };
    struct kt_error err;
    struct model_file *f;
    st_put_raw(&w, "\"__metadata__\":{\"format\":\"pt\"}", NULL, 0);
    st_put_random(&w, "w", QT_BF16, 2, (uint64_t[]){ 3, 5 }, 1); /* HF shape [5, 3] */
    st_put_random(&w, "odd", QT_F32, 1, (uint64_t[]){ 7 }, 1); /* begins at byte 30: not aligned */
    st_put_raw(&w, "\"ids\":{\"dtype\":\"I64\",\"shape\":[1,2],\"data_offsets\":[58,74]}", NULL,
               16);
    st_put_raw(&w, "\"scalar\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[74,78]}", NULL, 4);
    st_put_raw(&w, "\"none\":{\"dtype\":\"F32\",\"shape\":[4,0],\"data_offsets\":[78,78]}", NULL,
               0);
    st_put_raw(&w, "\"conv\":{\"dtype\":\"F16\",\"shape\":[6,3,2,4,5],\"data_offsets\":[78,1518]}",
               NULL, 1440);
    st_writer_finish(&w, &file);
    if (open_bytes(&f, file.ptr, file.len, &err))
        fail_msg("%s", err.text);
    assert_int_equal(model_file_container(f), MODEL_SAFETENSORS);
    assert_int_equal(model_file_n_tensors(f), 4); /* without the ids and the empty one */
    assert_null(model_file_tensor(f, "ids"));
    const struct tensor *t = model_file_tensor(f, "w");
    assert_int_equal(t->type, QT_BF16);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dims[0], 3);
    assert_int_equal(t->dims[1], 5);
    assert_int_equal(t->bytes, 30);
    assert_memory_equal(t->data, w.data.ptr, 30);
    assert_memory_equal(model_file_tensor(f, "odd")->data, w.data.ptr + 30, 28);
    t = model_file_tensor(f, "scalar");
    assert_int_equal(t->n_dims, 1);
    assert_int_equal(t->dims[0], 1);
    t = model_file_tensor(f, "conv"); /* five dimensions: the inner two as one */
    assert_int_equal(t->n_dims, 4);
    assert_int_equal(t->dims[0], 20);
    assert_int_equal(t->dims[1], 2);
    assert_int_equal(t->dims[2], 3);
    assert_int_equal(t->dims[3], 6);
    model_file_close(f);
    buf_deinit(&file);
    st_writer_deinit(&w);
}

/* ---- bad files ------------------------------------------------------------------------------- */

#define W4 "\"w\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}"

static const struct {
    const char *what, *header;
    size_t n_data;
    enum kt_status status;
    const char *says;
} BAD[] = {
    { "good, to compare with", "{" W4 "}", 16, KT_OK, "" },
    { "no tensors", "{}", 0, KT_OK, "" },
    { "spaces after the header", "{" W4 "}   ", 16, KT_OK, "" },
    { "not an object", "[1]", 0, KT_E_FORMAT, "does not begin with '{'" },
    { "space before it", " {}", 0, KT_E_FORMAT, "does not begin with '{'" },
    { "no JSON", "{w}", 0, KT_E_FORMAT, "not valid JSON" },
    { "something behind it", "{}{}", 0, KT_E_FORMAT, "not valid JSON" },
    { "trailing comma", "{" W4 ",}", 16, KT_E_FORMAT, "not valid JSON" },
    { "name twice", "{" W4 "," W4 "}", 16, KT_E_FORMAT, "not valid JSON" },
    { "key twice",
      "{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16,
      KT_E_FORMAT, "not valid JSON" },
    { "not UTF-8", "{\"\xFF\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16,
      KT_E_FORMAT, "not valid JSON" },
    { "empty name", "{\"\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16,
      KT_E_FORMAT, "its name is empty" },
    { "escape in a name",
      "{\"a\\u001b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16, KT_E_FORMAT,
      "tensor a?: its name is" },
    { "zero byte in a name",
      "{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16, KT_E_FORMAT,
      "not valid JSON" },
    { "metadata of numbers", "{\"__metadata__\":{\"a\":1}," W4 "}", 16, KT_E_FORMAT,
      "__metadata__" },
    { "metadata a list", "{\"__metadata__\":[]," W4 "}", 16, KT_E_FORMAT, "__metadata__" },
    { "entry a number", "{\"w\":1}", 0, KT_E_FORMAT,
      "expected exactly dtype, shape and data_offsets" },
    { "entry with more",
      "{\"w\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16],\"x\":1}}", 16, KT_E_FORMAT,
      "expected exactly dtype" },
    { "no dtype", "{\"w\":{\"type\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16,
      KT_E_FORMAT, "no dtype" },
    { "dtype F8_E4M3", "{\"w\":{\"dtype\":\"F8_E4M3\",\"shape\":[16],\"data_offsets\":[0,16]}}", 16,
      KT_E_UNSUPPORTED, "dtype F8_E4M3 is not read" },
    { "dtype unknown", "{\"w\":{\"dtype\":\"Q7\",\"shape\":[16],\"data_offsets\":[0,16]}}", 16,
      KT_E_UNSUPPORTED, "dtype Q7 is not read" },
    { "shape a number", "{\"w\":{\"dtype\":\"F32\",\"shape\":4,\"data_offsets\":[0,16]}}", 16,
      KT_E_FORMAT, "no shape" },
    { "nine dimensions",
      "{\"w\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,4],\"data_offsets\":[0,16]}}", 16,
      KT_E_FORMAT, "more than 8 dimensions" },
    { "dimension 4.0", "{\"w\":{\"dtype\":\"F32\",\"shape\":[4.0],\"data_offsets\":[0,16]}}", 16,
      KT_E_FORMAT, "no whole number" },
    { "dimension -4", "{\"w\":{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}}", 16,
      KT_E_FORMAT, "no whole number" },
    { "product wraps",
      "{\"w\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
      KT_E_FORMAT, "larger than can exist" },
    { "folded product wraps",
      "{\"w\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,4294967296,4294967296],\"data_offsets\":[0,"
      "0]}}",
      0, KT_E_FORMAT, "larger than can exist" },
    { "size wraps",
      "{\"w\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0,
      KT_E_FORMAT, "larger than can exist" },
    { "dimension of 2^64",
      "{\"w\":{\"dtype\":\"F32\",\"shape\":[18446744073709551616],\"data_offsets\":[0,0]}}", 0,
      KT_E_FORMAT, "not valid JSON" },
    { "offsets of one", "{\"w\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16]}}", 16,
      KT_E_FORMAT, "data_offsets" },
    { "offsets backwards", "{\"w\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,0]}}", 16,
      KT_E_FORMAT, "data_offsets" },
    { "offsets negative", "{\"w\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[-16,0]}}", 16,
      KT_E_FORMAT, "data_offsets" },
    { "length not the shape's", "{\"w\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,16]}}",
      16, KT_E_FORMAT, "data of 16 bytes, expected 20" },
    { "length not the whole numbers'",
      "{\"w\":{\"dtype\":\"I64\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16, KT_E_FORMAT,
      "data of 16 bytes, expected 32" },
    { "past the end", "{" W4 "}", 12, KT_E_FORMAT, "found 12 after the header" },
    { "more than listed", "{" W4 "}", 20, KT_E_FORMAT, "found 20 after the header" },
    { "a gap before", "{\"w\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[4,16]}}", 16,
      KT_E_FORMAT, "begins at 4, expected 0" },
    { "a gap between", "{" W4 ",\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[20,24]}}",
      24, KT_E_FORMAT, "begins at 20, expected 16" },
    { "overlap", "{" W4 ",\"x\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[12,24]}}", 24,
      KT_E_FORMAT, "begins at 12, expected 16" },
    { "the same place twice",
      "{" W4 ",\"x\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", 16, KT_E_FORMAT,
      "begins at 0, expected 16" },
};

static void make_file(struct buf *file, const char *header, size_t n_data)
{
    gguf_raw_u64(file, strlen(header));
    buf_append_str(file, header);
    for (size_t i = 0; i < n_data; i++)
        buf_append_char(file, (char)i);
}

static void every_rule_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        struct buf file = { 0 };
        struct kt_error err = { 0 };
        make_file(&file, BAD[i].header, BAD[i].n_data);
        enum kt_status st = try_open(file.ptr, file.len, &err);
        if (st != BAD[i].status || (st && !strstr(err.text, BAD[i].says)))
            fail_msg("%s: %s (%s), expected %s with '%s'", BAD[i].what, kt_status_name(st),
                     err.text, kt_status_name(BAD[i].status), BAD[i].says);
        if (st && strncmp(err.text, "test.safetensors: ", 18) != 0)
            fail_msg("%s: the message does not begin with the file: '%s'", BAD[i].what, err.text);
        buf_deinit(&file);
    }
}

static void the_header_must_fit(void **state)
{
    (void)state;
    struct buf file = { 0 };
    struct kt_error err;
    make_file(&file, "{" W4 "}", 16);
    for (size_t n = 0; n < file.len; n++) {
        if (try_open(file.ptr, n, &err) != KT_E_FORMAT)
            fail_msg("the first %zu of %zu bytes were read as a file", n, file.len);
    }
    static const uint64_t LENGTHS[] = { 0, 1, 100000001, UINT64_MAX, UINT64_MAX - 7, 1000 };
    for (size_t i = 0; i < ARRAY_LEN(LENGTHS); i++) {
        memcpy(file.ptr, &LENGTHS[i], 8);
        if (try_open(file.ptr, file.len, &err) != KT_E_FORMAT)
            fail_msg("a header of %llu bytes was accepted", (unsigned long long)LENGTHS[i]);
    }
    buf_deinit(&file);
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    struct buf header = { 0 }, file = { 0 };
    buf_append_str(&header, "{\"w\":");
    for (int i = 0; i < 200000; i++)
        buf_append_char(&header, '[');
    make_file(&file, header.ptr, 0);
    assert_int_equal(try_open(file.ptr, file.len, NULL), KT_E_FORMAT);
    buf_deinit(&header);
    buf_deinit(&file);
}

/* ---- folders --------------------------------------------------------------------------------- */

static void save_text(const char *dir, const char *name, const char *text)
{
    save_file(dir, name, text, strlen(text));
}

static void save_shard(const char *dir, const char *name, const char *tensor)
{
    struct st_writer w = { 0 };
    st_put_random(&w, tensor, QT_F32, 1, (uint64_t[]){ 4 }, 1);
    char *path = path_join(dir, name);
    st_writer_save(&w, path);
    free(path);
    st_writer_deinit(&w);
}

static void configuration_becomes_metadata(void **state)
{
    (void)state;
    struct kt_error err;
    struct model_file *f;
    char *dir = temp_dir_make();
    save_text(
        dir, "config.json",
        "{\"model_type\":\"qwen3_5\",\"tie\":true,\"eps\":1e-6,\"theta\":1000000.0,\"none\":null,"
        "\"huge\":1000000000000000019884624838656,"
        "\"text_config\":{\"hidden_size\":2560,\"rope\":{\"sections\":[11,11,10],\"mix\":[1,2.5]}},"
        "\"layer_types\":[\"full_attention\",\"linear_attention\"],\"flags\":[true,false],"
        "\"empty\":[],"
        "\"list\":[{\"a\":1},[2,3],\"x\"]}");
    save_text(dir, "tokenizer_config.json", "{\"model_max_length\":512,\"bos_token\":null}");
    save_text(dir, "generation_config.json", "{\"eos_token_id\":[248046,248044]}");
    save_text(dir, "chat_template.jinja", "{{ messages }}");
    if (model_file_open(&f, dir, &err))
        fail_msg("%s", err.text);
    assert_string_equal(model_file_dir(f), dir);
    assert_int_equal(model_file_n_tensors(f), 0);
    assert_int_equal(model_file_bytes(f), 0);
    assert_true(span_eq_str(model_file_str(f, "model_type"), "qwen3_5"));
    assert_true(model_file_bool(f, "tie", false));
    assert_true(model_file_float(f, "eps", 0) == 1e-6);
    assert_int_equal(model_file_int(f, "theta", 0), 1000000);
    assert_true(model_file_float(f, "theta", 0) == 1e6);
    assert_null(model_file_meta(f, "none"));
    assert_true(model_file_float(f, "huge", 0) == 1000000000000000019884624838656.0);
    assert_int_equal(model_file_int(f, "huge", -1), -1);
    assert_int_equal(model_file_int(f, "text_config.hidden_size", 0), 2560);
    const struct meta *m = model_file_meta(f, "text_config.rope.sections");
    assert_int_equal(m->type, META_ARR_INT);
    assert_int_equal(m->n, 3);
    assert_int_equal(meta_arr_int(m, 2), 10);
    m = model_file_meta(f, "text_config.rope.mix");
    assert_int_equal(m->type, META_ARR_FLOAT);
    assert_true(meta_arr_float(m, 1) == 2.5);
    m = model_file_meta(f, "layer_types");
    assert_int_equal(m->type, META_ARR_STR);
    assert_true(span_eq_str(meta_arr_str(m, 1), "linear_attention"));
    m = model_file_meta(f, "flags");
    assert_int_equal(m->type, META_ARR_BOOL);
    assert_int_equal(meta_arr_int(m, 0), 1);
    assert_int_equal(model_file_meta(f, "empty")->n, 0);
    assert_int_equal(model_file_int(f, "list.0.a", 0), 1);
    assert_int_equal(meta_arr_int(model_file_meta(f, "list.1"), 1), 3);
    assert_true(span_eq_str(model_file_str(f, "list.2"), "x"));
    assert_int_equal(model_file_int(f, "tokenizer_config.model_max_length", 0), 512);
    assert_true(span_eq_str(model_file_str(f, "tokenizer_config.chat_template"), "{{ messages }}"));
    assert_int_equal(meta_arr_int(model_file_meta(f, "generation_config.eos_token_id"), 0), 248046);
    model_file_close(f);
    temp_dir_remove(dir);
}

/* A folder with these files; 'index' NULL: none. Shards hold tensors named after their first
 * letter. */
static const struct {
    const char *what, *config, *index, *shards[3];
    enum kt_status status;
    size_t n_tensors;
    const char *says;
} FOLDERS[] = {
    { "one file", "{}", NULL, { "model.safetensors" }, KT_OK, 1, "" },
    { "one file of another name", "{}", NULL, { "weights.safetensors" }, KT_OK, 1, "" },
    { "model.safetensors first",
      "{}",
      NULL,
      { "model.safetensors", "extra.safetensors" },
      KT_OK,
      1,
      "" },
    { "two and no index",
      "{}",
      NULL,
      { "a.safetensors", "b.safetensors" },
      KT_E_UNSUPPORTED,
      0,
      "no model.safetensors.index.json" },
    { "two and an index",
      "{}",
      "{\"weight_map\":{\"a\":\"a.safetensors\",\"b\":\"b.safetensors\"}}",
      { "a.safetensors", "b.safetensors" },
      KT_OK,
      2,
      "" },
    { "a shard missing",
      "{}",
      "{\"weight_map\":{\"a\":\"a.safetensors\",\"b\":\"b.safetensors\"}}",
      { "a.safetensors" },
      KT_E_NOTFOUND,
      0,
      "b.safetensors" },
    { "in the wrong shard",
      "{}",
      "{\"weight_map\":{\"a\":\"b.safetensors\",\"b\":\"a.safetensors\"}}",
      { "a.safetensors", "b.safetensors" },
      KT_E_FORMAT,
      0,
      "lists it in another file" },
    { "not listed",
      "{}",
      "{\"weight_map\":{\"x\":\"a.safetensors\"}}",
      { "a.safetensors" },
      KT_E_FORMAT,
      0,
      "lists it nowhere" },
    { "listed and not there",
      "{}",
      "{\"weight_map\":{\"a\":\"a.safetensors\",\"b\":\"b.safetensors\",\"c\":\"b.safetensors\"}}",
      { "a.safetensors", "b.safetensors" },
      KT_E_FORMAT,
      0,
      "lists 3 tensors, found 2" },
    { "no map", "{}", "{}", { "a.safetensors" }, KT_E_FORMAT, 0, "no weight_map" },
    { "upwards",
      "{}",
      "{\"weight_map\":{\"a\":\"../a.safetensors\"}}",
      { 0 },
      KT_E_FORMAT,
      0,
      "expected a .safetensors file of this folder" },
    { "absolute",
      "{}",
      "{\"weight_map\":{\"a\":\"/etc/a.safetensors\"}}",
      { 0 },
      KT_E_FORMAT,
      0,
      "is said to be in" },
    { "below",
      "{}",
      "{\"weight_map\":{\"a\":\"sub/a.safetensors\"}}",
      { 0 },
      KT_E_FORMAT,
      0,
      "is said to be in" },
    { "hidden",
      "{}",
      "{\"weight_map\":{\"a\":\".a.safetensors\"}}",
      { 0 },
      KT_E_FORMAT,
      0,
      "is said to be in" },
    { "another kind",
      "{}",
      "{\"weight_map\":{\"a\":\"a.bin\"}}",
      { 0 },
      KT_E_FORMAT,
      0,
      "is said to be in" },
    { "a number", "{}", "{\"weight_map\":{\"a\":1}}", { 0 }, KT_E_FORMAT, 0, "is said to be in" },
    { "configuration no JSON",
      "{",
      NULL,
      { "model.safetensors" },
      KT_E_FORMAT,
      0,
      "config.json: not valid JSON" },
    { "configuration a list",
      "[]",
      NULL,
      { "model.safetensors" },
      KT_E_FORMAT,
      0,
      "config.json: expected a JSON object" },
    { "configuration key twice",
      "{\"a\":1,\"a\":2}",
      NULL,
      { "model.safetensors" },
      KT_E_FORMAT,
      0,
      "config.json" },
    { "configuration key twice when flat",
      "{\"a\":{\"b\":1},\"a.b\":2}",
      NULL,
      { "model.safetensors" },
      KT_E_FORMAT,
      0,
      "a.b is there twice" },
};

static void folders_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(FOLDERS); i++) {
        struct kt_error err = { 0 };
        struct model_file *f;
        char *dir = temp_dir_make();
        save_text(dir, "config.json", FOLDERS[i].config);
        if (FOLDERS[i].index)
            save_text(dir, "model.safetensors.index.json", FOLDERS[i].index);
        for (size_t s = 0; s < 3 && FOLDERS[i].shards[s]; s++)
            save_shard(dir, FOLDERS[i].shards[s], (char[]){ FOLDERS[i].shards[s][0], 0 });
        enum kt_status st = model_file_open(&f, dir, &err);
        if (st != FOLDERS[i].status || (st && !strstr(err.text, FOLDERS[i].says)))
            fail_msg("%s: %s (%s), expected %s with '%s'", FOLDERS[i].what, kt_status_name(st),
                     err.text, kt_status_name(FOLDERS[i].status), FOLDERS[i].says);
        if (st && strncmp(err.text, dir, strlen(dir)) != 0)
            fail_msg("%s: the message does not begin with the folder: '%s'", FOLDERS[i].what,
                     err.text);
        if (!st)
            assert_int_equal(model_file_n_tensors(f), FOLDERS[i].n_tensors);
        model_file_close(f);
        temp_dir_remove(dir);
    }
}

static void deep_configuration_is_refused(void **state)
{
    (void)state;
    struct kt_error err;
    struct model_file *f;
    struct buf text = { 0 };
    char *dir = temp_dir_make();
    for (int i = 0; i < 100; i++)
        buf_append_str(&text, "{\"a\":");
    buf_append_str(&text, "1");
    for (int i = 0; i < 100; i++)
        buf_append_str(&text, "}");
    save_file(dir, "config.json", text.ptr, text.len);
    assert_int_equal(model_file_open(&f, dir, &err), KT_E_LIMIT);
    assert_non_null(strstr(err.text, "nested more than 32 deep"));
    buf_deinit(&text);
    temp_dir_remove(dir);
}

static void a_tokenizer_alone_is_enough(void **state)
{
    (void)state;
    struct kt_error err;
    struct model_file *f;
    char *dir = temp_dir_make();
    assert_int_equal(model_file_open(&f, dir, &err), KT_E_FORMAT);
    assert_non_null(strstr(err.text, "neither config.json nor tokenizer.json"));
    save_text(dir, "tokenizer.json", "{}");
    assert_int_equal(model_file_open(&f, dir, &err), KT_OK);
    assert_int_equal(model_file_n_tensors(f), 0);
    model_file_close(f);
    temp_dir_remove(dir);
}

static void minilm_is_read(void **state)
{
    (void)state;
    const char *data = getenv("KONTOR_TESTDATA");
    char *path = path_join(data ? data : "build/deps/models", "minilm");
    struct kt_error err;
    struct model_file *f;
    if (model_file_open(&f, path, &err))
        fail_msg("%s", err.text);
    assert_int_equal(model_file_n_tensors(f), 103); /* 104 with the position ids */
    assert_true(span_eq_str(model_file_str(f, "model_type"), "bert"));
    assert_int_equal(model_file_int(f, "num_hidden_layers", 0), 6);
    assert_true(model_file_float(f, "layer_norm_eps", 0) == 1e-12);
    const struct tensor *t = model_file_tensor(f, "embeddings.word_embeddings.weight");
    assert_int_equal(t->type, QT_F32);
    assert_int_equal(t->dims[0], 384);
    assert_int_equal(t->dims[1], 30522);
    assert_int_equal(t->bytes, 4u * 384 * 30522);
    model_file_close(f);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_is_read_whole),
        cmocka_unit_test(every_rule_holds),
        cmocka_unit_test(the_header_must_fit),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(configuration_becomes_metadata),
        cmocka_unit_test(folders_are_checked),
        cmocka_unit_test(deep_configuration_is_refused),
        cmocka_unit_test(a_tokenizer_alone_is_enough),
        cmocka_unit_test(minilm_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
