/* kontor inspect: what a model file holds, whether it runs here, and what a context of it would
 * cost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/size.h"
#include "hub/catalogue.h"
#include "infer.h"
#include "kernels/kernels.h"
#include "model/model.h"
#include "model/vision.h"
#include "text/chat.h"

enum { CLASSES_MAX = 512 };

/* Tensors that differ only in the numbers of their names, such as all blk.N.attn_q.weight. */
struct tensor_class {
    char *name;
    size_t n[QT_COUNT], bytes[QT_COUNT]; /* by type */
};

struct report {
    struct model_file *file;
    struct model *model; /* NULL: it does not run here, see 'model_err' */
    struct kt_error model_err;
    bool has_vision;       /* there is a tower in the file */
    struct vision *vision; /* NULL: it does not run here, see 'vision_err' */
    struct kt_error vision_err;
    struct model_shape shape;
    bool has_shape;
    struct tokenizer *tokenizer; /* NULL: none, see 'tokenizer_err' */
    struct kt_error tokenizer_err;
    struct tensor_class classes[CLASSES_MAX];
    size_t n_classes;
    uint64_t n_params, weight_bytes;
    size_t n_ctx; /* 0: not asked for */
    size_t n_streams;
    struct infer_memory memory;
    struct memory_plan plan;
};

/* ---- collecting ------------------------------------------------------------------------------ */

/* "blk.12.attn_q.weight" -> "blk.N.attn_q.weight". Heap. */
static char *class_name(struct span name)
{
    struct buf out = { 0 };
    for (size_t from = 0, to; from <= name.len; from = to + 1) {
        to = from;
        bool digits = true;
        for (; to < name.len && name.ptr[to] != '.'; to++)
            digits = digits && name.ptr[to] >= '0' && name.ptr[to] <= '9';
        if (from)
            buf_append_char(&out, '.');
        if (digits && to > from)
            buf_append_char(&out, 'N');
        else
            buf_append_span(&out, span_sub(name, from, to));
    }
    return buf_take(&out);
}

static enum kt_status add_tensor(struct report *r, const struct tensor *t, struct kt_error *err)
{
    char *name = class_name(t->name);
    if (!name)
        return kt_fail(err, KT_E_NOMEM, "out of memory");
    size_t c = 0;
    while (c < r->n_classes && strcmp(r->classes[c].name, name) != 0)
        c++;
    if (c == CLASSES_MAX) {
        free(name);
        return kt_fail(err, KT_E_LIMIT, "%s: more than %d kinds of tensors; not a model's weights",
                       model_file_path(r->file), CLASSES_MAX);
    }
    if (c == r->n_classes)
        r->classes[r->n_classes++].name = name;
    else
        free(name);
    r->classes[c].n[t->type]++;
    r->classes[c].bytes[t->type] += t->bytes;
    r->n_params += t->dims[0] * t->dims[1] * t->dims[2] * t->dims[3];
    r->weight_bytes += t->bytes;
    return KT_OK;
}

/* Does it run here? Binding the weights checks every tensor's shape and computes nothing. */
static void try_model(struct report *r)
{
    static struct kernels k;
    kernels_init(&k, cpu_detect());
    r->has_shape = model_shape_from_file(&r->shape, r->file, &r->model_err) == KT_OK;
    if (r->has_shape && model_create(&r->model, r->file, &k, NULL, &r->model_err) != KT_OK)
        r->model = NULL;
    r->has_vision = vision_in_file(r->file);
    if (r->has_vision &&
        vision_create(&r->vision, r->file, &k, NULL, r->has_shape ? r->shape.d_model : 0,
                      &r->vision_err) != KT_OK)
        r->vision = NULL;
    if (tokenizer_open(&r->tokenizer, r->file, &r->tokenizer_err) != KT_OK)
        r->tokenizer = NULL;
}

/* How many threads an engine would have: scratch memory grows with them. */
static size_t threads_of_engine(void)
{
    if (cli_threads())
        return cli_threads();
    struct pool *p;
    if (pool_create(&p, 0, NULL))
        return 1;
    size_t n = pool_threads(p);
    pool_destroy(p);
    return n;
}

static struct state_types types_of(const struct infer_memory *m)
{
    return (struct state_types){
        .kv = m->kv == KT_KV_F32  ? KV_F32
              : m->kv == KT_KV_Q8 ? KV_Q8
                                  : KV_F16,
        .recurrent = m->state == KT_STATE_BF16 ? STATE_BF16 : STATE_F32,
    };
}

/* As an engine does it: one block for each context, scratch memory once, steps of up to 512 rows. */
static enum kt_status plan_context(struct report *r, struct kt_error *err)
{
    if (!r->n_ctx)
        return KT_OK;
    if (!r->has_shape)
        return kt_fail(err, r->model_err.status, "%s", r->model_err.text);
    struct memory_request rq = { .n_ctx = r->n_ctx,
                                 .n_streams = r->n_streams,
                                 .n_batch = MIN((size_t)512, r->n_ctx),
                                 .n_threads = threads_of_engine(),
                                 .n_tentative = TENTATIVE_ROWS,
                                 .types = types_of(&r->memory) };
    enum kt_status st = state_types_check(&r->shape, rq.types, err);
    if (st)
        return st;
    if (!memory_plan(&r->plan, &r->shape, &rq))
        return kt_fail(err, KT_E_LIMIT, "%zu contexts of %zu tokens need more than any memory",
                       r->n_streams, r->n_ctx);
    return KT_OK;
}

static enum kt_status collect(struct report *r, const char *path, struct kt_error *err)
{
    enum kt_status st = model_file_open(&r->file, path, err);
    for (size_t i = 0; !st && i < model_file_n_tensors(r->file); i++)
        st = add_tensor(r, model_file_tensor_at(r->file, i), err);
    if (st)
        return st;
    try_model(r);
    return plan_context(r, err);
}

static void report_deinit(struct report *r)
{
    for (size_t c = 0; c < r->n_classes; c++)
        free(r->classes[c].name);
    tokenizer_close(r->tokenizer);
    vision_destroy(r->vision);
    model_destroy(r->model);
    model_file_close(r->file);
}

/* ---- facts ----------------------------------------------------------------------------------- */

static struct span name_of(const struct report *r)
{
    struct span name = model_file_str(r->file, "general.name");
    return name.len ? name : model_file_str(r->file, "_name_or_path");
}

static struct span arch_of(const struct report *r)
{
    struct span arch = model_file_str(r->file, "general.architecture");
    return arch.len ? arch : model_file_str(r->file, "model_type");
}

static bool has_template(const struct report *r)
{
    return model_file_str(r->file, "tokenizer.chat_template").len ||
           model_file_str(r->file, "tokenizer_config.chat_template").len;
}

static const char *layout_of(const struct report *r)
{
    enum chat_layout l = r->tokenizer ? chat_layout_of(r->file, r->tokenizer) : CHAT_NONE;
    return l == CHAT_NONE ? NULL : chat_layout_name(l);
}

static size_t n_recurrent(const struct model_shape *s)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->n_layers; i++)
        n += s->recurrent[i];
    return n;
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static json_t *span_json(struct span s)
{
    return s.len ? cli_json_text(s.ptr, s.len) : json_null();
}

static json_t *str_json(const char *s)
{
    return s ? json_string(s) : json_null();
}

static json_t *reason_json(const struct kt_error *err, bool ok)
{
    return ok ? json_null() : cli_json_text(err->text, strlen(err->text));
}

static json_t *shape_json(const struct model_shape *s)
{
    json_t *o =
        json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:b,s:b}", "arch",
                  arch_name(s->arch), "n_layers", (json_int_t)s->n_layers, "n_layers_mtp",
                  (json_int_t)s->n_layers_mtp, "n_layers_recurrent", (json_int_t)n_recurrent(s),
                  "d_model", (json_int_t)s->d_model, "n_ff", (json_int_t)s->n_ff, "n_heads",
                  (json_int_t)s->n_heads, "n_kv_heads", (json_int_t)s->n_kv_heads, "head_dim",
                  (json_int_t)s->head_dim, "n_vocab", (json_int_t)s->n_vocab, "n_ctx_train",
                  (json_int_t)s->n_ctx_train, "tied_head", s->tied_head, "causal", s->causal);
    if (s->n_experts)
        json_object_set_new(o, "experts",
                            json_pack("{s:I,s:I,s:I,s:I}", "n", (json_int_t)s->n_experts, "n_used",
                                      (json_int_t)s->n_experts_used, "n_ff",
                                      (json_int_t)s->n_ff_expert, "n_ff_shared",
                                      (json_int_t)s->n_ff_shared));
    if (n_recurrent(s))
        json_object_set_new(
            o, "linear",
            json_pack("{s:I,s:I,s:I,s:I,s:I}", "k_heads", (json_int_t)s->lin_k_heads, "v_heads",
                      (json_int_t)s->lin_v_heads, "k_dim", (json_int_t)s->lin_k_dim, "v_dim",
                      (json_int_t)s->lin_v_dim, "conv_kernel", (json_int_t)s->conv_kernel));
    return o;
}

/* What a full-sized photograph of today's takes, after it was made smaller: for orientation. */
static const struct vision_grid HD = { .n_pairs = 1,
                                       .rows = 1088 / VISION_UNIT,
                                       .cols = 1920 / VISION_UNIT };

static size_t hd_bytes(const struct vision_shape *s)
{
    size_t bytes;
    return vision_scratch_size(&bytes, s, &HD, threads_of_engine()) ? bytes : SIZE_MAX;
}

static json_t *vision_json(const struct report *r)
{
    if (!r->has_vision)
        return json_null();
    json_t *o = json_pack("{s:b,s:o}", "runs", r->vision != NULL, "reason",
                          reason_json(&r->vision_err, r->vision != NULL));
    if (r->vision) {
        const struct vision_shape *s = vision_shape_of(r->vision);
        json_object_update_new(o, json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "n_layers",
                                            (json_int_t)s->n_layers, "d", (json_int_t)s->d,
                                            "n_heads", (json_int_t)s->n_heads, "n_ff",
                                            (json_int_t)s->n_ff, "d_model", (json_int_t)s->d_model,
                                            "scratch_bytes_1920x1088", (json_int_t)hd_bytes(s)));
    }
    return o;
}

static json_t *class_json(const struct tensor_class *c)
{
    json_t *types = json_object();
    size_t n = 0, bytes = 0;
    for (int t = 0; t < QT_COUNT; t++) {
        if (c->n[t])
            json_object_set_new(types, qtype_traits((enum qtype)t)->name,
                                json_integer((json_int_t)c->n[t]));
        n += c->n[t];
        bytes += c->bytes[t];
    }
    return json_pack("{s:o,s:I,s:I,s:o}", "class", cli_json_text(c->name, strlen(c->name)),
                     "tensors", (json_int_t)n, "bytes", (json_int_t)bytes, "types", types);
}

/* Tensors and bytes of each type over all classes. */
static void type_totals(const struct report *r, int type, size_t *n, size_t *bytes)
{
    *n = *bytes = 0;
    for (size_t c = 0; c < r->n_classes; c++) {
        *n += r->classes[c].n[type];
        *bytes += r->classes[c].bytes[type];
    }
}

static json_t *types_json(const struct report *r)
{
    json_t *o = json_object();
    for (int t = 0; t < QT_COUNT; t++) {
        size_t n, bytes;
        type_totals(r, t, &n, &bytes);
        if (n)
            json_object_set_new(
                o, qtype_traits((enum qtype)t)->name,
                json_pack("{s:I,s:I}", "tensors", (json_int_t)n, "bytes", (json_int_t)bytes));
    }
    return o;
}

static json_t *tokenizer_json(const struct tokenizer *t)
{
    if (!t)
        return json_null();
    size_t n_stops;
    const int32_t *stops = tokenizer_stops(t, &n_stops);
    json_t *list = json_array();
    for (size_t i = 0; i < n_stops; i++)
        json_array_append_new(list, json_integer(stops[i]));
    return json_pack("{s:s,s:I,s:o}", "kind", tokenizer_kind(t), "n_vocab",
                     (json_int_t)tokenizer_n_vocab(t), "stops", list);
}

static uint64_t total_bytes(const struct report *r)
{
    return r->plan.total + model_file_bytes(r->file);
}

static json_t *context_json(const struct report *r)
{
    if (!r->n_ctx)
        return json_null();
    const struct memory_plan *p = &r->plan;
    uint64_t machine = memory_of_machine();
    return json_pack("{s:I,s:I,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:s}", "n_ctx",
                     (json_int_t)r->n_ctx, "streams", (json_int_t)r->n_streams, "kv_type",
                     infer_kv_name(r->memory.kv), "state_type", infer_state_name(r->memory.state),
                     "kv_bytes", (json_int_t)p->state.kv, "recurrent_bytes",
                     (json_int_t)p->state.recurrent, "conv_bytes", (json_int_t)p->state.conv,
                     "parts_bytes", (json_int_t)p->state.parts, "state_bytes",
                     (json_int_t)p->state.total, "mtp_bytes", (json_int_t)p->mtp.total,
                     "tentative_bytes", (json_int_t)p->tentative, "scratch_bytes",
                     (json_int_t)p->scratch, "weights_bytes", (json_int_t)model_file_bytes(r->file),
                     "total_bytes", (json_int_t)total_bytes(r), "machine_bytes",
                     (json_int_t)machine, "fits", fit_name(memory_fit(total_bytes(r), machine)));
}

static json_t *metadata_json(const struct report *r)
{
    static const char *const KINDS[] = { "int",  "float",  "bool",  "text",
                                         "ints", "floats", "bools", "texts" };
    json_t *o = json_object();
    for (size_t i = 0; i < model_file_n_meta(r->file); i++) {
        const struct meta *m = model_file_meta_at(r->file, i);
        json_t *v = m->type == META_INT     ? json_integer(m->i)
                    : m->type == META_BOOL  ? json_boolean(m->i)
                    : m->type == META_FLOAT ? json_real(m->f)
                    : m->type == META_STR
                        ? cli_json_text(m->s.ptr, m->s.len)
                        : json_pack("{s:s,s:I}", "array", KINDS[m->type], "n", (json_int_t)m->n);
        json_object_setn_new(o, m->key.ptr, m->key.len, v ? v : json_null()); /* NULL: infinity */
    }
    return o;
}

static json_t *tensors_json(const struct report *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < model_file_n_tensors(r->file); i++) {
        const struct tensor *t = model_file_tensor_at(r->file, i);
        json_t *dims = json_array();
        for (uint32_t d = 0; d < t->n_dims; d++)
            json_array_append_new(dims, json_integer((json_int_t)t->dims[d]));
        json_array_append_new(list, json_pack("{s:o,s:s,s:o,s:I}", "name",
                                              cli_json_text(t->name.ptr, t->name.len), "type",
                                              qtype_traits(t->type)->name, "dims", dims, "bytes",
                                              (json_int_t)t->bytes));
    }
    return list;
}

static json_t *report_json(const struct report *r, bool with_all)
{
    json_t *classes = json_array();
    for (size_t c = 0; c < r->n_classes; c++)
        json_array_append_new(classes, class_json(&r->classes[c]));
    const char *path = model_file_path(r->file);
    json_t *o = json_pack(
        "{s:o,s:s,s:o,s:o,s:I,s:I,s:I,s:I,s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:b,s:o}", "path",
        cli_json_text(path, strlen(path)), "container",
        model_file_container(r->file) == MODEL_GGUF ? "gguf" : "safetensors", "architecture",
        span_json(arch_of(r)), "name", span_json(name_of(r)), "file_bytes",
        (json_int_t)model_file_bytes(r->file), "weight_bytes", (json_int_t)r->weight_bytes,
        "parameters", (json_int_t)r->n_params, "tensors", (json_int_t)model_file_n_tensors(r->file),
        "runs", r->model != NULL, "reason", reason_json(&r->model_err, r->model != NULL), "shape",
        r->has_shape ? shape_json(&r->shape) : json_null(), "vision", vision_json(r), "types",
        types_json(r), "quantisation", classes, "tokenizer", tokenizer_json(r->tokenizer),
        "tokenizer_reason", reason_json(&r->tokenizer_err, r->tokenizer != NULL), "template",
        str_json(layout_of(r)), "has_template", has_template(r), "context", context_json(r));
    if (with_all) {
        json_object_set_new(o, "metadata", metadata_json(r));
        json_object_set_new(o, "tensor_list", tensors_json(r));
    }
    return o;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void print_bytes(double bytes)
{
    static const char *const UNITS[] = { "B", "KB", "MB", "GB", "TB" };
    size_t u = 0;
    for (; bytes >= 1000 && u + 1 < ARRAY_LEN(UNITS); u++)
        bytes /= 1000;
    printf(u ? "%.1f %s" : "%.0f %s", bytes, UNITS[u]);
}

/* Text from the file, without what a terminal would obey. */
static void print_text(struct span s)
{
    for (size_t i = 0; i < s.len; i++)
        putchar((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7F ? '?' : s.ptr[i]);
}

static void print_shape(const struct model_shape *s)
{
    printf("  shape       %u layers", s->n_layers);
    if (n_recurrent(s))
        printf(" (%zu recurrent)", n_recurrent(s));
    printf(" of width %u, %u heads of %u (%u for keys and values),", s->d_model, s->n_heads,
           s->head_dim, s->n_kv_heads);
    if (s->n_experts)
        printf("\n              %u of %u experts of width %u and one of %u for all\n",
               s->n_experts_used, s->n_experts, s->n_ff_expert, s->n_ff_shared);
    else
        printf(" feed-forward %u\n", s->n_ff);
    printf("              vocabulary %u, trained for %u tokens%s%s\n", s->n_vocab, s->n_ctx_train,
           s->tied_head && s->causal ? ", head shared with the embedding" : "",
           shape_has_mtp(s) ? ", multi-token head" : "");
}

static void print_vision(const struct report *r)
{
    if (!r->vision) {
        printf("  vision      does not run here: %s\n", r->vision_err.text);
        return;
    }
    const struct vision_shape *s = vision_shape_of(r->vision);
    printf("  vision      %u layers of width %u, %u heads of %u, feed-forward %u, vectors of %u\n"
           "              an image of 1920 x 1088 takes %zu tokens, and ",
           s->n_layers, s->d, s->n_heads, s->d / s->n_heads, s->n_ff, s->d_model,
           vision_n_vectors(&HD));
    print_bytes((double)hd_bytes(s));
    printf(" while it is looked at\n");
}

static void print_weights(const struct report *r)
{
    printf("  weights     %zu tensors, %.1f million parameters, ", model_file_n_tensors(r->file),
           (double)r->n_params / 1e6);
    print_bytes((double)r->weight_bytes);
    if (r->n_params)
        printf(", %.2f bits each", 8.0 * (double)r->weight_bytes / (double)r->n_params);
    putchar('\n');
    for (int t = 0; t < QT_COUNT; t++) {
        size_t n, bytes;
        type_totals(r, t, &n, &bytes);
        if (!n)
            continue;
        printf("    %-8s  %4zu tensors  ", qtype_traits((enum qtype)t)->name, n);
        print_bytes((double)bytes);
        putchar('\n');
    }
}

static void print_classes(const struct report *r)
{
    for (size_t c = 0; c < r->n_classes; c++) {
        printf("    %-40s", r->classes[c].name);
        for (int t = 0; t < QT_COUNT; t++) {
            if (r->classes[c].n[t])
                printf("  %zu %s", r->classes[c].n[t], qtype_traits((enum qtype)t)->name);
        }
        putchar('\n');
    }
}

/* Streams are listed one by one: what is said of a context holds for each. */
static void print_context(const struct report *r)
{
    const struct state_sizes *z = &r->plan.state;
    const struct {
        const char *name;
        size_t bytes;
    } parts[] = {
        { "keys and values", z->kv },
        { "recurrent state", z->recurrent },
        { "convolution", z->conv },
        { "joining splits", z->parts },
        { "multi-token head", r->plan.mtp.total },
        { "guessed tokens", r->plan.tentative },
    };
    printf("  context     %zu tokens, keys and values in %s, recurrent state in %s\n", r->n_ctx,
           infer_kv_name(r->memory.kv), infer_state_name(r->memory.state));
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (!parts[i].bytes)
            continue;
        printf("    %-18s", parts[i].name);
        print_bytes((double)parts[i].bytes);
        printf("%s\n", r->n_streams > 1 ? " each" : "");
    }
    printf("    %-18s", "while computing");
    print_bytes((double)r->plan.scratch);
    printf("\n    %-18s", "weights, mapped");
    print_bytes((double)model_file_bytes(r->file));
    printf("\n    %-18s", "together");
    print_bytes((double)total_bytes(r));
    if (r->n_streams > 1)
        printf(" for %zu contexts", r->n_streams);
    uint64_t machine = memory_of_machine();
    enum fit fit = memory_fit(total_bytes(r), machine);
    printf("\n    %-18s", "this machine has");
    print_bytes((double)machine);
    printf(": %s\n", fit == FIT_YES     ? "it fits"
                     : fit == FIT_TIGHT ? "it fits, with little left for anything else"
                                        : "it does not fit");
}

static int report_print(const struct report *r, bool with_all)
{
    printf("%s\n  format      %s, ", model_file_path(r->file),
           model_file_container(r->file) == MODEL_GGUF ? "GGUF" : "folder with safetensors");
    print_bytes((double)model_file_bytes(r->file));
    printf("\n  model       ");
    print_text(name_of(r).len ? name_of(r) : SPAN("(without a name)"));
    printf(" (");
    print_text(arch_of(r).len ? arch_of(r) : SPAN("architecture unknown"));
    printf(")\n");
    if (r->has_shape)
        print_shape(&r->shape);
    if (r->has_vision)
        print_vision(r);
    print_weights(r);
    if (with_all)
        print_classes(r);
    if (r->tokenizer)
        printf("  tokenizer   %s, %zu tokens\n", tokenizer_kind(r->tokenizer),
               tokenizer_n_vocab(r->tokenizer));
    else
        printf("  tokenizer   none: %s\n", r->tokenizer_err.text);
    printf("  chat        %s\n", layout_of(r)      ? layout_of(r)
                                 : has_template(r) ? "a template of a kind that is not known here"
                                                   : "no template");
    if (r->n_ctx)
        print_context(r);
    bool alone = !r->model && r->vision; /* an mmproj file */
    printf("  runs here   %s%s\n",
           r->model ? "yes"
           : alone  ? "yes, as the vision part of another file's model"
                    : "no: ",
           r->model || alone ? "" : r->model_err.text);
    return fflush(stdout) == 0 ? EXIT_DONE : EXIT_FAILED;
}

/* ---- the command ----------------------------------------------------------------------------- */

static int run(int argc, char **argv)
{
    bool as_json = false, all = false;
    uint64_t n_ctx = 0, n_streams = 1;
    struct infer_memory memory = { 0 };
    struct str_list paths = { 0 };
    const struct opt opts[] = {
        { "--json", NULL, OPT_FLAG, &as_json },
        { "--all", NULL, OPT_FLAG, &all },
        { "--context", "-c", OPT_U64, &n_ctx },
        { "--streams", NULL, OPT_U64, &n_streams },
        INFER_MEMORY_OPTS(memory),
    };
    if (!cli_parse(&cmd_inspect, argc, argv, opts, ARRAY_LEN(opts), &paths) ||
        !infer_memory_parse(&memory, &cmd_inspect))
        return EXIT_USAGE;
    const char *path = paths.n == 1 ? cli_model_path(paths.items[0]) : NULL;
    if (!path)
        return cli_usage(&cmd_inspect, "takes one MODEL: a GGUF file or a folder with config.json");
    if (n_streams == 0)
        return cli_usage(&cmd_inspect, "--streams counts from 1");

    static struct report r;
    r = (struct report){ .n_ctx = n_ctx, .n_streams = n_streams, .memory = memory };
    struct kt_error err = { 0 };
    int rc;
    if (collect(&r, path, &err))
        rc = cli_fail("inspect", &err);
    else if (as_json)
        rc = cli_print_json(report_json(&r, all));
    else
        rc = report_print(&r, all);
    report_deinit(&r);
    return rc;
}

const struct command cmd_inspect = {
    .name = "inspect",
    .args = "MODEL [--context N] [--streams S] [--all] [--json]",
    .summary = "Say what a model file holds, whether it runs here and what a context costs.",
    .help =
        "MODEL is a GGUF file (the first part of a split one) or a folder with config.json.\n"
        "  -c, --context N   add the memory that a context of N tokens takes, in bytes\n"
        "  --streams S       ... that S of them take (default 1)\n"
        "  --kv TYPE         how keys and values are kept: f16 (default), q8 (8 bits) or f32\n"
        "  --state TYPE      how a recurrent state is kept: f32 (default) or bf16\n"
        "  --all             list every kind of tensor; with --json also all metadata and tensors\n"
        "  --json            print one object: "
        "{\"architecture\",\"runs\",\"reason\",\"shape\",\"vision\",\"types\",\n"
        "                    "
        "\"quantisation\":[{\"class\",\"tensors\",\"bytes\",\"types\"}],\"weight_bytes\",\n"
        "                    \"parameters\",\"tokenizer\",\"template\",\"context\",...}\n"
        "A file that is damaged or of another kind gives exit status 3. A good file of a model "
        "that\n"
        "does not run here is described all the same; \"runs\" is false and \"reason\" says why.\n",
    .run = run,
};
