/* The GGUF reader (src/model/gguf.c): what a good file gives, and that every rule about a bad one
 * holds.
 *
 * Method: a small good file is written, then one thing at a time is made wrong; the reader must
 * refuse with the right status and say what is wrong. Files are opened from exact heap copies, so
 * that the address sanitizer sees any read past the end. Every proper prefix of a good file must be
 * refused, and every flip of one byte either refused or harmless. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/files.h"
#include "base/size.h"
#include "model/model_file.h"
#include "support/model_writer.h"

static const uint64_t DIMS_256[] = { 256, 1 };
static const uint64_t DIMS_32_2[] = { 32, 2 };

/* Metadata of every type, and three tensors. */
static void good(struct gguf_writer *w)
{
    gguf_put_str(w, "general.architecture", "llama");
    gguf_put_u32(w, "a.u32", 4000000000u);
    gguf_put_i32(w, "a.i32", -7);
    gguf_put_u64(w, "a.u64", (uint64_t)INT64_MAX);
    gguf_put_f32(w, "a.f32", 0.5f);
    gguf_put_bool(w, "a.bool", true);
    gguf_put_arr_i32(w, "arr.i32", (int32_t[]){ 1, -2, 3 }, 3);
    gguf_put_arr_f32(w, "arr.f32", (float[]){ 1.5f, 2 }, 2);
    gguf_put_arr_bool(w, "arr.bool", (bool[]){ true, false }, 2);
    gguf_put_arr_str(w, "arr.str", (const char *[]){ "one", "", "drei" }, 3);
    gguf_put_arr_str(w, "arr.empty", NULL, 0);
    gguf_put_random(w, "k.weight", QT_Q4_K, 1, DIMS_256, 0.1f);
    gguf_put_random(w, "q.weight", QT_Q8_0, 2, DIMS_32_2, 0.1f);
    gguf_put_random(w, "f.weight", QT_F32, 1, (uint64_t[]){ 3 }, 0.1f);
}

static enum kt_status open_bytes(struct model_file **f, const void *data, size_t size,
                                 struct kt_error *err)
{
    return model_file_open_memory(f, MODEL_GGUF, data, size, "test.gguf", err);
}

/* Open a heap copy of exactly that size and close it again. */
static enum kt_status try_open(const void *data, size_t size, struct kt_error *err)
{
    char *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, data, size);
    struct model_file *f;
    enum kt_status st = open_bytes(&f, copy, size, err);
    if (st)
        assert_null(f);
    model_file_close(f);
    free(copy);
    return st;
}

/* ---- good files ------------------------------------------------------------------------------ */

static void a_good_file_is_read_whole(void **state)
{
    (void)state;
    struct gguf_writer w = { 0 };
    struct buf file = { 0 };
    struct kt_error err;
    struct model_file *f;
    good(&w);
    gguf_writer_finish(&w, &file);
    if (open_bytes(&f, file.ptr, file.len, &err))
        fail_msg("%s", err.text);

    assert_int_equal(model_file_container(f), MODEL_GGUF);
    assert_string_equal(model_file_path(f), "test.gguf");
    assert_null(model_file_dir(f));
    assert_int_equal(model_file_bytes(f), file.len);
    assert_int_equal(model_file_n_meta(f), 11);
    assert_true(span_eq_str(model_file_str(f, "general.architecture"), "llama"));
    assert_int_equal(model_file_int(f, "a.u32", 0), 4000000000);
    assert_int_equal(model_file_int(f, "a.i32", 0), -7);
    assert_true(model_file_int(f, "a.u64", 0) == INT64_MAX);
    assert_true(model_file_float(f, "a.f32", 0) == 0.5);
    assert_true(model_file_bool(f, "a.bool", false));

    const struct meta *ints = model_file_meta(f, "arr.i32"),
                      *floats = model_file_meta(f, "arr.f32");
    const struct meta *bools = model_file_meta(f, "arr.bool"),
                      *strs = model_file_meta(f, "arr.str");
    assert_int_equal(ints->type, META_ARR_INT);
    assert_int_equal(ints->n, 3);
    assert_int_equal(meta_arr_int(ints, 1), -2);
    assert_true(meta_arr_float(ints, 1) == -2);
    assert_int_equal(floats->type, META_ARR_FLOAT);
    assert_true(meta_arr_float(floats, 0) == 1.5);
    assert_int_equal(meta_arr_int(floats, 1), 2);
    assert_int_equal(bools->type, META_ARR_BOOL);
    assert_int_equal(meta_arr_int(bools, 0), 1);
    assert_int_equal(meta_arr_int(bools, 1), 0);
    assert_int_equal(strs->type, META_ARR_STR);
    assert_true(span_eq_str(meta_arr_str(strs, 0), "one"));
    assert_int_equal(meta_arr_str(strs, 1).len, 0);
    assert_true(span_eq_str(meta_arr_str(strs, 2), "drei"));
    assert_int_equal(model_file_meta(f, "arr.empty")->n, 0);

    assert_int_equal(model_file_n_tensors(f), 3);
    const struct tensor *k = model_file_tensor(f, "k.weight"),
                        *q = model_file_tensor(f, "q.weight");
    assert_ptr_equal(k, model_file_tensor_at(f, 0)); /* file order, not sorted */
    assert_int_equal(k->type, QT_Q4_K);
    assert_int_equal(k->bytes, 144);
    assert_int_equal(k->dims[1], 1);
    assert_int_equal(q->n_dims, 2);
    assert_int_equal(q->dims[1], 2);
    assert_int_equal(q->bytes, 68);
    assert_memory_equal(k->data, w.data.ptr, 144);
    assert_memory_equal(q->data, w.data.ptr + 160, 68); /* 144 rounded up to 32 */
    model_file_close(f);
    buf_deinit(&file);
    gguf_writer_deinit(&w);
}

static void values_convert_exactly_or_not_at_all(void **state)
{
    (void)state;
    struct gguf_writer w = { 0 };
    struct buf file = { 0 };
    struct model_file *f;
    gguf_put_f32(&w, "f.whole", 3);
    gguf_put_f32(&w, "f.half", 0.5f);
    gguf_put_u32(&w, "i.one", 1);
    gguf_put_u32(&w, "i.two", 2);
    gguf_put_u64(&w, "i.big", (UINT64_C(1) << 53) + 1);
    gguf_put_bool(&w, "b", true);
    gguf_put_str(&w, "s", "7");
    gguf_put_key(&w, "i8", 1);
    buf_append_char(&w.metas, (char)-5);
    gguf_put_key(&w, "u16", 2);
    buf_append(&w.metas, "\xFF\xFF", 2);
    gguf_put_key(&w, "f64", 12);
    buf_append(&w.metas, &(double){ 0.1 }, 8);
    gguf_writer_finish(&w, &file);
    assert_int_equal(open_bytes(&f, file.ptr, file.len, NULL), KT_OK);

    assert_int_equal(model_file_int(f, "f.whole", -1), 3);
    assert_int_equal(model_file_int(f, "f.half", -1), -1);
    assert_true(model_file_float(f, "i.two", -1) == 2);
    assert_true(model_file_float(f, "i.big", -1) == -1); /* a double cannot hold it */
    assert_true(model_file_int(f, "i.big", -1) == (INT64_C(1) << 53) + 1);
    assert_true(model_file_bool(f, "i.one", false));
    assert_true(model_file_bool(f, "i.two", true)); /* neither true nor false: the default */
    assert_false(model_file_bool(f, "i.two", false));
    assert_int_equal(model_file_int(f, "b", -1), 1);
    assert_true(model_file_float(f, "b", -1) == -1);
    assert_int_equal(model_file_int(f, "s", -1), -1);
    assert_int_equal(model_file_str(f, "b").len, 0);
    assert_int_equal(model_file_int(f, "i8", 0), -5);
    assert_int_equal(model_file_int(f, "u16", 0), 65535);
    assert_true(model_file_float(f, "f64", 0) == 0.1);
    assert_int_equal(model_file_int(f, "absent", 42), 42);
    assert_null(model_file_meta(f, "absent"));
    assert_null(model_file_tensor(f, "absent"));
    model_file_close(f);
    buf_deinit(&file);
    gguf_writer_deinit(&w);
}

static void version_2_and_other_alignments_are_read(void **state)
{
    (void)state;
    for (uint64_t alignment = 1; alignment <= 65536; alignment *= 16) {
        struct gguf_writer w = { .version = 2, .alignment = alignment };
        struct buf file = { 0 };
        struct kt_error err;
        struct model_file *f;
        gguf_put_u32(&w, "general.alignment", (uint32_t)alignment);
        good(&w);
        gguf_writer_finish(&w, &file);
        if (open_bytes(&f, file.ptr, file.len, &err))
            fail_msg("alignment %u: %s", (unsigned)alignment, err.text);
        assert_memory_equal(model_file_tensor(f, "k.weight")->data, w.data.ptr, 144);
        model_file_close(f);
        buf_deinit(&file);
        gguf_writer_deinit(&w);
    }
}

static void whole_number_tensors_are_checked_and_left_out(void **state)
{
    (void)state;
    struct gguf_writer w = { 0 };
    struct buf file = { 0 };
    struct kt_error err;
    struct model_file *f;
    gguf_put_tensor(&w, "ids", QT_F32, 1, (uint64_t[]){ 8 }, NULL);
    memcpy(w.infos.ptr + w.infos.len - 12, &(uint32_t){ 27 },
           4); /* I64: 64 bytes, but 32 are there */
    gguf_writer_finish(&w, &file);
    assert_int_equal(try_open(file.ptr, file.len, &err), KT_E_FORMAT);
    for (int i = 0; i < 32; i++)
        buf_append_char(&file, 0);
    assert_int_equal(open_bytes(&f, file.ptr, file.len, NULL), KT_OK);
    assert_int_equal(model_file_n_tensors(f), 0);
    model_file_close(f);
    buf_deinit(&file);
    gguf_writer_deinit(&w);
}

/* ---- bad files ------------------------------------------------------------------------------- */

/* Change the file before or after it is put together. */
struct bad {
    const char *what; /* the rule */
    void (*in_writer)(struct gguf_writer *w);
    void (*in_file)(struct buf *file);
    enum kt_status status;
    const char *says; /* part of the message */
};

static void poke_u32(struct buf *b, size_t at, uint32_t v)
{
    memcpy(b->ptr + at, &v, sizeof(v));
}

static void poke_u64(struct buf *b, size_t at, uint64_t v)
{
    memcpy(b->ptr + at, &v, sizeof(v));
}

static void f_magic(struct buf *b)
{
    b->ptr[3] = 'X';
}
static void f_version_1(struct buf *b)
{
    poke_u32(b, 4, 1);
}
static void f_version_4(struct buf *b)
{
    poke_u32(b, 4, 4);
}
static void f_big_endian(struct buf *b)
{
    poke_u32(b, 4, 0x03000000);
}
static void f_n_tensors_huge(struct buf *b)
{
    poke_u64(b, 8, UINT64_MAX);
}
static void f_n_tensors_65537(struct buf *b)
{
    poke_u64(b, 8, 65537);
}
static void f_n_metas_65537(struct buf *b)
{
    poke_u64(b, 16, 65537);
}
static void f_n_metas_more(struct buf *b)
{
    poke_u64(b, 16, 60000);
}
static void f_n_tensors_more(struct buf *b)
{
    poke_u64(b, 8, 60000);
}
static void f_key_len_huge(struct buf *b)
{
    poke_u64(b, 24, UINT64_MAX);
}
static void f_key_len_65537(struct buf *b)
{
    poke_u64(b, 24, 65537);
}
static void f_key_longer_than_file(struct buf *b)
{
    poke_u64(b, 24, 60000);
}

static void w_key_empty(struct gguf_writer *w)
{
    gguf_put_u32(w, "", 1);
}
static void w_key_not_utf8(struct gguf_writer *w)
{
    gguf_put_u32(w, "a\xC3", 1);
}
static void w_key_escape(struct gguf_writer *w)
{
    gguf_put_u32(w, "a\x1B[31m", 1);
}
static void w_key_twice(struct gguf_writer *w)
{
    gguf_put_u32(w, "a.u32", 1);
}
static void w_value_type_13(struct gguf_writer *w)
{
    gguf_put_key(w, "x", 13);
    gguf_raw_u64(&w->metas, 0);
}
static void w_string_too_long(struct gguf_writer *w)
{
    gguf_put_key(w, "x", 8);
    gguf_raw_u64(&w->metas, (16 << 20) + 1);
}
static void w_string_past_end(struct gguf_writer *w)
{
    gguf_put_key(w, "x", 8);
    gguf_raw_u64(&w->metas, 100000);
}
static void w_bool_2(struct gguf_writer *w)
{
    gguf_put_key(w, "x", 7);
    buf_append_char(&w->metas, 2);
}
static void w_u64_huge(struct gguf_writer *w)
{
    gguf_put_u64(w, "x", UINT64_C(1) << 63);
}
static void put_array(struct gguf_writer *w, uint32_t type, uint64_t n)
{
    gguf_put_key(w, "x", 9);
    gguf_raw_u32(&w->metas, type);
    gguf_raw_u64(&w->metas, n);
}
static void w_array_nested(struct gguf_writer *w)
{
    put_array(w, 9, 1);
    gguf_raw_u32(&w->metas, 4);
    gguf_raw_u64(&w->metas, 0);
}
static void w_array_type_99(struct gguf_writer *w)
{
    put_array(w, 99, 0);
}
static void w_array_overflow(struct gguf_writer *w)
{
    put_array(w, 10, UINT64_C(1) << 61); /* times 8 is 0 */
}
static void w_array_past_end(struct gguf_writer *w)
{
    put_array(w, 0, 100000);
}
static void w_array_strings_past_end(struct gguf_writer *w)
{
    put_array(w, 8, 100000);
}
static void w_array_string_too_long(struct gguf_writer *w)
{
    put_array(w, 8, 1);
    gguf_raw_u64(&w->metas, UINT64_MAX - 7);
}
static void w_array_bool_2(struct gguf_writer *w)
{
    put_array(w, 7, 2);
    buf_append(&w->metas, "\1\2", 2);
}
static void w_array_u64_huge(struct gguf_writer *w)
{
    put_array(w, 10, 1);
    gguf_raw_u64(&w->metas, UINT64_MAX);
}
static void w_align_0(struct gguf_writer *w)
{
    gguf_put_u32(w, "general.alignment", 0);
}
static void w_align_48(struct gguf_writer *w)
{
    gguf_put_u32(w, "general.alignment", 48);
}
static void w_align_huge(struct gguf_writer *w)
{
    gguf_put_u32(w, "general.alignment", 131072);
}
static void w_align_negative(struct gguf_writer *w)
{
    gguf_put_i32(w, "general.alignment", -32);
}

/* The last tensor of good() is "f.weight": 8 + 8 bytes of name, u32 n_dims, u64 dim, u32 type, u64
 * offset. */
enum { AT_OFFSET = 8, AT_TYPE = 12, AT_DIM = 20, AT_N_DIMS = 24, AT_NAME = 32, AT_NAME_LEN = 40 };
static char *last_info(struct gguf_writer *w, size_t back)
{
    return w->infos.ptr + w->infos.len - back;
}
static void w_n_dims_0(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_N_DIMS), &(uint32_t){ 0 }, 4);
}
static void w_n_dims_5(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_N_DIMS), &(uint32_t){ 5 }, 4);
}
static void w_dim_0(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_DIM), &(uint64_t){ 0 }, 8);
}
static void w_dim_huge(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_DIM), &(uint64_t){ UINT64_C(1) << 62 }, 8); /* times 4 is 0 */
}
static void w_dims_product_overflows(struct gguf_writer *w)
{
    gguf_put_tensor(w, "x", QT_F32, 1, (uint64_t[]){ 1 }, NULL);
    w->infos.len -= 24;
    gguf_raw_u32(&w->infos, 3);
    for (int i = 0; i < 3; i++)
        gguf_raw_u64(&w->infos, UINT64_C(1) << 22);
    gguf_raw_u32(&w->infos, 0);
    gguf_raw_u64(&w->infos, 0);
}
static void w_type_5(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_TYPE), &(uint32_t){ 5 }, 4);
}
static void w_type_huge(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_TYPE), &(uint32_t){ UINT32_MAX }, 4);
}
static void w_type_iq2(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_TYPE), &(uint32_t){ 16 }, 4);
}
static void w_row_no_block(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_TYPE), &(uint32_t){ QT_Q8_0 }, 4);
}
static void w_offset_odd(struct gguf_writer *w)
{
    uint64_t at;
    memcpy(&at, last_info(w, AT_OFFSET), 8);
    at -= 31;
    memcpy(last_info(w, AT_OFFSET), &at, 8);
}
static void w_offset_past_end(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_OFFSET), &(uint64_t){ 1 << 20 }, 8);
}
static void w_offset_huge(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_OFFSET), &(uint64_t){ UINT64_MAX - 31 }, 8); /* plus size wraps */
}
static void w_overlap(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_OFFSET), &(uint64_t){ 64 }, 8);
}
static void w_same_place(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_OFFSET), &(uint64_t){ 0 }, 8);
}
static void w_tensor_twice(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_NAME), "q.weight", 8);
}
static void w_tensor_name_empty(struct gguf_writer *w)
{
    gguf_put_tensor(w, "", QT_F32, 1, (uint64_t[]){ 1 }, NULL);
}
static void w_tensor_name_escape(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_NAME), "\x1B[2J....", 8);
}
static void w_tensor_name_long(struct gguf_writer *w)
{
    memcpy(last_info(w, AT_NAME_LEN), &(uint64_t){ 256 }, 8);
}

static const struct bad BAD[] = {
    { "magic", NULL, f_magic, KT_E_FORMAT, "not a GGUF file" },
    { "version 1", NULL, f_version_1, KT_E_UNSUPPORTED, "version 1, expected 2 or 3" },
    { "version 4", NULL, f_version_4, KT_E_UNSUPPORTED, "version 4, expected 2 or 3" },
    { "big-endian", NULL, f_big_endian, KT_E_UNSUPPORTED, "big-endian" },
    { "2^64-1 tensors", NULL, f_n_tensors_huge, KT_E_FORMAT, "expected at most 65536" },
    { "65537 tensors", NULL, f_n_tensors_65537, KT_E_FORMAT, "65537 tensors" },
    { "65537 metadata", NULL, f_n_metas_65537, KT_E_FORMAT, "65537 metadata" },
    { "fewer metadata than promised", NULL, f_n_metas_more, KT_E_FORMAT, "" },
    { "fewer tensors than promised", NULL, f_n_tensors_more, KT_E_FORMAT, "" },
    { "key of 2^64-1", NULL, f_key_len_huge, KT_E_FORMAT, "at most 65536" },
    { "key of 65537", NULL, f_key_len_65537, KT_E_FORMAT, "65537 bytes" },
    { "key past the end", NULL, f_key_longer_than_file, KT_E_FORMAT, "ends inside a metadata key" },
    { "empty key", w_key_empty, NULL, KT_E_FORMAT, "key '' is empty" },
    { "key that is no UTF-8", w_key_not_utf8, NULL, KT_E_FORMAT, "key 'a?'" },
    { "key with a control character", w_key_escape, NULL, KT_E_FORMAT, "key 'a?[31m'" },
    { "key twice", w_key_twice, NULL, KT_E_FORMAT, "metadata key a.u32 is there twice" },
    { "value type 13", w_value_type_13, NULL, KT_E_FORMAT, "value type 13" },
    { "string over 16 MB", w_string_too_long, NULL, KT_E_FORMAT, "16777217 bytes" },
    { "string past the end", w_string_past_end, NULL, KT_E_FORMAT,
      "ends inside a metadata string" },
    { "truth value 2", w_bool_2, NULL, KT_E_FORMAT, "x: a truth value is 2" },
    { "u64 of 2^63", w_u64_huge, NULL, KT_E_LIMIT, "2^63" },
    { "array of arrays", w_array_nested, NULL, KT_E_UNSUPPORTED, "array of type 9" },
    { "array of type 99", w_array_type_99, NULL, KT_E_FORMAT, "array of type 99" },
    { "array whose size wraps", w_array_overflow, NULL, KT_E_FORMAT, "ends inside an array" },
    { "array past the end", w_array_past_end, NULL, KT_E_FORMAT, "ends inside an array" },
    { "strings past the end", w_array_strings_past_end, NULL, KT_E_FORMAT, "ends inside an array" },
    { "huge string in an array", w_array_string_too_long, NULL, KT_E_FORMAT,
      "a string in an array" },
    { "truth value 2 in an array", w_array_bool_2, NULL, KT_E_FORMAT, "truth value is 2" },
    { "2^64-1 in an array", w_array_u64_huge, NULL, KT_E_LIMIT, "2^63" },
    { "alignment 0", w_align_0, NULL, KT_E_FORMAT, "general.alignment is 0" },
    { "alignment 48", w_align_48, NULL, KT_E_FORMAT, "general.alignment is 48" },
    { "alignment 131072", w_align_huge, NULL, KT_E_FORMAT, "general.alignment is 131072" },
    { "alignment -32", w_align_negative, NULL, KT_E_FORMAT, "general.alignment is -32" },
    { "0 dimensions", w_n_dims_0, NULL, KT_E_FORMAT, "f.weight has 0 dimensions" },
    { "5 dimensions", w_n_dims_5, NULL, KT_E_FORMAT, "f.weight has 5 dimensions" },
    { "dimension 0", w_dim_0, NULL, KT_E_FORMAT, "dimension 0 is 0" },
    { "size that wraps", w_dim_huge, NULL, KT_E_FORMAT, "more than can exist" },
    { "dimensions whose product wraps", w_dims_product_overflows, NULL, KT_E_FORMAT,
      "more than can exist" },
    { "type 5", w_type_5, NULL, KT_E_FORMAT, "type 5 is not known" },
    { "type 2^32-1", w_type_huge, NULL, KT_E_FORMAT, "type 4294967295" },
    { "type IQ2_XXS", w_type_iq2, NULL, KT_E_UNSUPPORTED, "type IQ2_XXS" },
    { "row of no whole blocks", w_row_no_block, NULL, KT_E_FORMAT,
      "rows of 3 elements, expected a multiple of 32" },
    { "offset not aligned", w_offset_odd, NULL, KT_E_FORMAT, "expected a multiple of 32" },
    { "offset past the end", w_offset_past_end, NULL, KT_E_FORMAT, "found only" },
    { "offset that wraps", w_offset_huge, NULL, KT_E_FORMAT, "found only" },
    { "overlap", w_overlap, NULL, KT_E_FORMAT, "overlap" },
    { "two tensors in one place", w_same_place, NULL, KT_E_FORMAT, "overlap" },
    { "tensor twice", w_tensor_twice, NULL, KT_E_FORMAT, "tensor q.weight is there twice" },
    { "tensor without a name", w_tensor_name_empty, NULL, KT_E_FORMAT, "tensor name '' is empty" },
    { "tensor name with an escape", w_tensor_name_escape, NULL, KT_E_FORMAT,
      "tensor name '?[2J....'" },
    { "tensor name of 256 bytes", w_tensor_name_long, NULL, KT_E_FORMAT,
      "256 bytes, expected at most 255" },
};

static void every_rule_holds(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        const struct bad *b = &BAD[i];
        struct gguf_writer w = { 0 };
        struct buf file = { 0 };
        struct kt_error err = { 0 };
        good(&w);
        if (b->in_writer)
            b->in_writer(&w);
        gguf_writer_finish(&w, &file);
        if (b->in_file)
            b->in_file(&file);
        enum kt_status st = try_open(file.ptr, file.len, &err);
        if (st != b->status)
            fail_msg("%s: status %s, expected %s (%s)", b->what, kt_status_name(st),
                     kt_status_name(b->status), st ? err.text : "it was opened");
        if (!strstr(err.text, b->says) || strncmp(err.text, "test.gguf: ", 11) != 0)
            fail_msg("%s: the message is '%s', expected the file's name and '%s'", b->what,
                     err.text, b->says);
        for (const char *c = err.text; *c; c++)
            assert_true((unsigned char)*c >= 0x20);
        buf_deinit(&file);
        gguf_writer_deinit(&w);
    }
}

static void no_part_of_a_file_passes_for_the_whole(void **state)
{
    (void)state;
    struct gguf_writer w = { 0 };
    struct buf file = { 0 };
    good(&w);
    gguf_writer_finish(&w, &file);
    for (size_t n = 0; n < file.len; n++) {
        struct kt_error err;
        enum kt_status st = try_open(file.ptr, n, &err);
        if (st != KT_E_FORMAT)
            fail_msg("the first %zu of %zu bytes: %s, expected %s", n, file.len, kt_status_name(st),
                     kt_status_name(KT_E_FORMAT));
    }
    buf_deinit(&file);
    gguf_writer_deinit(&w);
}

static void a_changed_byte_is_refused_or_harmless(void **state)
{
    (void)state;
    static const uint8_t XORS[] = { 0x01, 0x80, 0xFF };
    struct gguf_writer w = { 0 };
    struct buf file = { 0 };
    struct kt_error err;
    size_t n_refused = 0;
    good(&w);
    gguf_writer_finish(&w, &file);
    for (size_t i = 0; i < file.len; i++) {
        for (size_t x = 0; x < sizeof(XORS); x++) {
            file.ptr[i] ^= (char)XORS[x];
            n_refused += try_open(file.ptr, file.len, &err) != KT_OK;
            file.ptr[i] ^= (char)XORS[x];
        }
    }
    assert_true(n_refused > 500); /* most of the header's bytes matter */
    assert_int_equal(try_open(file.ptr, file.len, &err), KT_OK);
    buf_deinit(&file);
    gguf_writer_deinit(&w);
}

static void too_many_strings_are_refused_before_they_cost_memory(void **state)
{
    (void)state;
    size_t n = (4 << 20) + 1;
    struct gguf_writer w = { 0 };
    struct buf file = { 0 };
    struct kt_error err;
    put_array(&w, 8, n);
    for (size_t i = 0; i < n; i++)
        gguf_raw_u64(&w.metas, 0);
    gguf_writer_finish(&w, &file);
    assert_int_equal(try_open(file.ptr, file.len, &err), KT_E_LIMIT);
    buf_deinit(&file);
    gguf_writer_deinit(&w);
}

/* ---- split files ----------------------------------------------------------------------------- */

struct parts {
    int no[3], count[3], total; /* what the parts say of themselves */
    const char *tensors[3];
};

static void save_part(const char *dir, const char *name, const struct parts *p, int i)
{
    struct gguf_writer w = { 0 };
    if (i == 0)
        gguf_put_str(&w, "general.architecture", "llama");
    gguf_put_u32(&w, "split.no", (uint32_t)p->no[i]);
    gguf_put_u32(&w, "split.count", (uint32_t)p->count[i]);
    gguf_put_i32(&w, "split.tensors.count", p->total);
    gguf_put_random(&w, p->tensors[i], QT_F32, 1, (uint64_t[]){ 4 }, 1);
    char *path = path_join(dir, name);
    gguf_writer_save(&w, path);
    free(path);
    gguf_writer_deinit(&w);
}

static enum kt_status open_parts(const struct parts *p, int n_parts, const char *opened,
                                 struct kt_error *err)
{
    static const char *const NAMES[] = { "m-00001-of-00003.gguf", "m-00002-of-00003.gguf",
                                         "m-00003-of-00003.gguf" };
    char *dir = temp_dir_make();
    for (int i = 0; i < n_parts; i++)
        save_part(dir, NAMES[i], p, i);
    save_part(dir, "other.gguf", p, 0);
    char *path = path_join(dir, opened ? opened : NAMES[0]);
    struct model_file *f;
    enum kt_status st = model_file_open(&f, path, err);
    if (!st) {
        assert_int_equal(model_file_n_tensors(f), 3);
        assert_int_equal(model_file_n_meta(f), 4); /* the first part's */
        for (int i = 0; i < 3; i++)
            assert_non_null(model_file_tensor(f, p->tensors[i]));
        assert_true(model_file_bytes(f) > 3 * 128);
    }
    model_file_close(f);
    free(path);
    temp_dir_remove(dir);
    return st;
}

static void parts_are_opened_together(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        struct parts p;
        int n_parts;
        const char *opened;
        enum kt_status status;
        const char *says;
    } CASES[] = {
        { "all there", { { 0, 1, 2 }, { 3, 3, 3 }, 3, { "a", "b", "c" } }, 3, NULL, KT_OK, "" },
        { "one missing",
          { { 0, 1, 2 }, { 3, 3, 3 }, 3, { "a", "b", "c" } },
          2,
          NULL,
          KT_E_NOTFOUND,
          "m-00003-of-00003.gguf" },
        { "two exchanged",
          { { 0, 2, 1 }, { 3, 3, 3 }, 3, { "a", "b", "c" } },
          3,
          NULL,
          KT_E_FORMAT,
          "says it is part 3 of 3, expected part 2 of 3" },
        { "of another split",
          { { 0, 1, 2 }, { 3, 3, 4 }, 3, { "a", "b", "c" } },
          3,
          NULL,
          KT_E_FORMAT,
          "says it is part 3 of 4" },
        { "a tensor short",
          { { 0, 1, 2 }, { 3, 3, 3 }, 4, { "a", "b", "c" } },
          3,
          NULL,
          KT_E_FORMAT,
          "3 tensors in all 3 parts, expected 4" },
        { "a tensor twice",
          { { 0, 1, 2 }, { 3, 3, 3 }, 3, { "a", "b", "a" } },
          3,
          NULL,
          KT_E_FORMAT,
          "tensor a is there twice" },
        { "a later part",
          { { 0, 1, 2 }, { 3, 3, 3 }, 3, { "a", "b", "c" } },
          3,
          "m-00002-of-00003.gguf",
          KT_E_USAGE,
          "name the first part" },
        { "renamed",
          { { 0, 1, 2 }, { 3, 3, 3 }, 3, { "a", "b", "c" } },
          3,
          "other.gguf",
          KT_E_FORMAT,
          "expected a name ending in -00001-of-00003.gguf" },
        { "a million parts",
          { { 0, 1, 2 }, { 1000000, 3, 3 }, 3, { "a", "b", "c" } },
          3,
          NULL,
          KT_E_FORMAT,
          "split.count is 1000000" },
    };
    for (size_t i = 0; i < ARRAY_LEN(CASES); i++) {
        struct kt_error err = { 0 };
        enum kt_status st = open_parts(&CASES[i].p, CASES[i].n_parts, CASES[i].opened, &err);
        if (st != CASES[i].status || (st && !strstr(err.text, CASES[i].says)))
            fail_msg("%s: %s (%s), expected %s with '%s'", CASES[i].what, kt_status_name(st),
                     err.text, kt_status_name(CASES[i].status), CASES[i].says);
    }
}

/* ---- real and large files -------------------------------------------------------------------- */

static void what_is_no_file_is_said_so(void **state)
{
    (void)state;
    struct kt_error err;
    struct model_file *f;
    assert_int_equal(model_file_open(&f, "/nonexistent/m.gguf", &err), KT_E_NOTFOUND);
    assert_non_null(strstr(err.text, "/nonexistent/m.gguf"));
    assert_null(f);
    assert_int_equal(model_file_open(&f, "/dev/null", &err), KT_E_UNSUPPORTED);
    char *dir = temp_dir_make();
    char *path = path_join(dir, "empty.gguf");
    save_file(dir, "empty.gguf", "", 0);
    assert_int_equal(model_file_open(&f, path, &err), KT_E_FORMAT);
    assert_int_equal(model_file_open(&f, dir, &err),
                     KT_E_FORMAT); /* a folder without config.json */
    free(path);
    temp_dir_remove(dir);
    model_file_close(NULL);
}

/* A vocabulary as large as Qwen3.5's: opening must not be what a user waits for. */
static void a_large_vocabulary_opens_quickly(void **state)
{
    (void)state;
    enum { N = 250000 };
    struct gguf_writer w = { 0 };
    struct buf file = { 0 };
    struct model_file *f;
    for (int a = 0; a < 2; a++) {
        gguf_put_key(&w, a ? "tokenizer.ggml.merges" : "tokenizer.ggml.tokens", 9);
        gguf_raw_u32(&w.metas, 8);
        gguf_raw_u64(&w.metas, N);
        for (int i = 0; i < N; i++) {
            char text[24];
            snprintf(text, sizeof(text), "token %d", i * 7);
            gguf_raw_str(&w.metas, span_of(text));
        }
    }
    gguf_writer_finish(&w, &file);
    uint64_t start = clock_now_ns();
    assert_int_equal(open_bytes(&f, file.ptr, file.len, NULL), KT_OK);
    double ms = (double)(clock_now_ns() - start) / 1e6;
    const struct meta *m = model_file_meta(f, "tokenizer.ggml.merges");
    assert_int_equal(m->n, N);
    assert_true(span_eq_str(meta_arr_str(m, N - 1), "token 1749993"));
    model_file_close(f);
    printf("    2 x %d strings: opened in %.1f ms\n", N, ms);
    assert_true(ms < 2000); /* some 10 ms; sanitizers and busy machines need room */
    buf_deinit(&file);
    gguf_writer_deinit(&w);
}

static void many_tensors_are_found_by_name(void **state)
{
    (void)state;
    enum { N = 20000 };
    struct gguf_writer w = { 0 };
    struct buf file = { 0 };
    struct model_file *f;
    char name[32];
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "blk.%d.w", i);
        gguf_put_tensor(&w, name, QT_F32, 1, (uint64_t[]){ 8 }, NULL);
    }
    gguf_writer_finish(&w, &file);
    assert_int_equal(open_bytes(&f, file.ptr, file.len, NULL), KT_OK);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof(name), "blk.%d.w", i);
        assert_ptr_equal(model_file_tensor(f, name), model_file_tensor_at(f, (size_t)i));
    }
    assert_null(model_file_tensor(f, "blk.20000.w"));
    assert_null(model_file_tensor(f, ""));
    model_file_close(f);
    buf_deinit(&file);
    gguf_writer_deinit(&w);
}

static void smollm2_is_read(void **state)
{
    (void)state;
    const char *data = getenv("KONTOR_TESTDATA");
    char *path = path_join(data ? data : "build/deps/models", "SmolLM2-135M-Instruct.Q4_1.gguf");
    struct kt_error err;
    struct model_file *f;
    if (model_file_open(&f, path, &err))
        fail_msg("%s", err.text);
    assert_int_equal(model_file_n_tensors(f), 272);
    assert_true(span_eq_str(model_file_str(f, "general.architecture"), "llama"));
    assert_int_equal(model_file_int(f, "llama.block_count", 0), 30);
    assert_true(model_file_float(f, "llama.rope.freq_base", 0) == 100000);
    const struct meta *tokens = model_file_meta(f, "tokenizer.ggml.tokens");
    assert_int_equal(tokens->n, 49152);
    assert_true(span_eq_str(meta_arr_str(tokens, 1), "<|im_start|>"));
    const struct tensor *t = model_file_tensor(f, "blk.0.ffn_down.weight");
    assert_int_equal(t->type, QT_Q4_1);
    assert_int_equal(t->dims[0], 1536);
    assert_int_equal(t->dims[1], 576);
    model_file_close(f);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_is_read_whole),
        cmocka_unit_test(values_convert_exactly_or_not_at_all),
        cmocka_unit_test(version_2_and_other_alignments_are_read),
        cmocka_unit_test(whole_number_tensors_are_checked_and_left_out),
        cmocka_unit_test(every_rule_holds),
        cmocka_unit_test(no_part_of_a_file_passes_for_the_whole),
        cmocka_unit_test(a_changed_byte_is_refused_or_harmless),
        cmocka_unit_test(too_many_strings_are_refused_before_they_cost_memory),
        cmocka_unit_test(parts_are_opened_together),
        cmocka_unit_test(what_is_no_file_is_said_so),
        cmocka_unit_test(a_large_vocabulary_opens_quickly),
        cmocka_unit_test(many_tensors_are_found_by_name),
        cmocka_unit_test(smollm2_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
