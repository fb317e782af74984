/* What a model is, as numbers: reading, bounds, and the sizes that follow.
 *
 * The two containers spell the same facts differently (shape_gguf.c, shape_config.c). Both fill one
 * struct, and check_shape() below judges it by rules that know nothing of containers. */
#include "model/shape.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "base/status.h"
#include "model/model_file.h"
#include "model/shape_priv.h"

static const char *const ARCH_NAMES[] = {
    [ARCH_LLAMA] = "llama",   [ARCH_QWEN2] = "qwen2",         [ARCH_QWEN3] = "qwen3",
    [ARCH_QWEN35] = "qwen35", [ARCH_QWEN35MOE] = "qwen35moe", [ARCH_BERT] = "bert",
};

const char *arch_name(enum arch a)
{
    return (size_t)a < ARRAY_LEN(ARCH_NAMES) ? ARCH_NAMES[a] : "unknown";
}

/* ---- reading ---- */

void shape_fail(struct shape_reader *r, enum kt_status st, const char *fmt, ...)
{
    if (r->st)
        return;
    char text[KT_ERROR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    r->st = kt_fail(r->err, st, "%s", text);
}

const struct meta *shape_meta(const struct shape_reader *r, const char *key)
{
    char full[160];
    snprintf(full, sizeof(full), "%s%s", r->prefix, key);
    return model_file_meta(r->f, full);
}

/* An integer, a float that is one, or an array of equal integers. */
static bool meta_to_int(int64_t *out, const struct meta *m)
{
    if (m->type == META_INT) {
        *out = m->i;
        return true;
    }
    if (m->type == META_FLOAT && m->f == floor(m->f) && fabs(m->f) < 0x1p53) {
        *out = (int64_t)m->f;
        return true;
    }
    if (m->type != META_ARR_INT || m->n == 0 || m->n > LAYERS_MAX)
        return false;
    *out = meta_arr_int(m, 0);
    for (size_t i = 1; i < m->n; i++) {
        if (meta_arr_int(m, i) != *out)
            return false;
    }
    return true;
}

static uint32_t checked_u32(struct shape_reader *r, const char *key, const struct meta *m,
                            uint32_t min, uint32_t max)
{
    int64_t v;
    if (!meta_to_int(&v, m)) {
        shape_fail(r, KT_E_UNSUPPORTED,
                   "%s%s is not one whole number (values that differ by layer are not supported)",
                   r->prefix, key);
        return min;
    }
    if (v < (int64_t)min || v > (int64_t)max) {
        shape_fail(r, KT_E_FORMAT, "%s%s is %lld, expected %u to %u", r->prefix, key, (long long)v,
                   min, max);
        return min;
    }
    return (uint32_t)v;
}

uint32_t need_u32(struct shape_reader *r, const char *key, uint32_t min, uint32_t max)
{
    const struct meta *m = shape_meta(r, key);
    if (m)
        return checked_u32(r, key, m, min, max);
    shape_fail(r, KT_E_FORMAT, "%s%s is missing; is the file complete?", r->prefix, key);
    return min;
}

uint32_t opt_u32(struct shape_reader *r, const char *key, uint32_t otherwise, uint32_t min,
                 uint32_t max)
{
    const struct meta *m = shape_meta(r, key);
    return m ? checked_u32(r, key, m, min, max) : otherwise;
}

static float checked_float(struct shape_reader *r, const char *key, const struct meta *m,
                           double min, double max)
{
    double v = m->type == META_FLOAT ? m->f : m->type == META_INT ? (double)m->i : NAN;
    if (v >= min && v <= max) /* false for NaN */
        return (float)v;
    shape_fail(r, KT_E_FORMAT, "%s%s is %g, expected %g to %g", r->prefix, key, v, min, max);
    return (float)min;
}

float need_float(struct shape_reader *r, const char *key, double min, double max)
{
    const struct meta *m = shape_meta(r, key);
    if (m)
        return checked_float(r, key, m, min, max);
    shape_fail(r, KT_E_FORMAT, "%s%s is missing; is the file complete?", r->prefix, key);
    return (float)min;
}

float opt_float(struct shape_reader *r, const char *key, double otherwise, double min, double max)
{
    const struct meta *m = shape_meta(r, key);
    return m ? checked_float(r, key, m, min, max) : (float)otherwise;
}

bool opt_bool(const struct shape_reader *r, const char *key, bool otherwise)
{
    const struct meta *m = shape_meta(r, key);
    return m && m->type == META_BOOL ? m->i != 0 : otherwise;
}

struct span opt_str(const struct shape_reader *r, const char *key)
{
    const struct meta *m = shape_meta(r, key);
    return m && m->type == META_STR ? m->s : (struct span){ NULL, 0 };
}

/* ---- rotary frequencies for long contexts ---- */

void rope_factors_linear(struct model_shape *s, double factor)
{
    for (uint32_t i = 0; i < s->rope_dims / 2; i++)
        s->rope_factor[i] = (float)factor;
}

static double inv_freq(const struct model_shape *s, uint32_t i)
{
    return pow((double)s->rope_theta, -2.0 * i / s->rope_dims);
}

/* Wavelengths above n_ctx_old / low are stretched by 'factor', those below n_ctx_old / high are
 * kept, between the two the frequency is interpolated. */
void rope_factors_llama3(struct model_shape *s, double factor, double low, double high,
                         double n_ctx_old)
{
    for (uint32_t i = 0; i < s->rope_dims / 2; i++) {
        double turns = n_ctx_old * inv_freq(s, i) / (2.0 * M_PI); /* in the old context */
        double keep = fmin(fmax((turns - low) / (high - low), 0.0), 1.0);
        s->rope_factor[i] = (float)(1.0 / ((1.0 - keep) / factor + keep));
    }
}

void rope_factors_yarn(struct model_shape *s, double factor, double n_ctx_old, double beta_fast,
                       double beta_slow, double attn_factor)
{
    double n = s->rope_dims;
    double per_turn = n / (2.0 * log((double)s->rope_theta));
    double lo = fmax(floor(per_turn * log(n_ctx_old / (beta_fast * 2.0 * M_PI))), 0.0);
    double hi = fmin(ceil(per_turn * log(n_ctx_old / (beta_slow * 2.0 * M_PI))), n - 1.0);
    if (hi <= lo)
        hi = lo + 0.001; /* a step instead of a ramp */
    for (uint32_t i = 0; i < s->rope_dims / 2; i++) {
        double rho = fmin(fmax((i - lo) / (hi - lo), 0.0), 1.0);
        s->rope_factor[i] = (float)(1.0 / ((1.0 - rho) + rho / factor));
    }
    s->rope_attn_scale = (float)(attn_factor > 0.0 ? attn_factor
                                 : factor > 1.0    ? 0.1 * log(factor) + 1.0
                                                   : 1.0);
}

/* ---- judging ---- */

static void check_attention(const struct model_shape *s, struct shape_reader *r)
{
    if (s->n_heads % s->n_kv_heads != 0)
        shape_fail(r, KT_E_FORMAT, "%u query heads do not divide among %u key/value heads",
                   s->n_heads, s->n_kv_heads);
    if (s->rope_dims % 2 != 0 || s->rope_dims > s->head_dim || s->rope_dims > 256)
        shape_fail(r, KT_E_FORMAT,
                   "%u rotary dimensions, expected an even number, at most %u (the head) and 256",
                   s->rope_dims, s->head_dim);
    uint32_t sections = s->mrope_sections[0] + s->mrope_sections[1] + s->mrope_sections[2];
    if (sections != 0 && sections != s->rope_dims / 2)
        shape_fail(r, KT_E_FORMAT, "rotary sections add up to %u pairs, expected %u", sections,
                   s->rope_dims / 2);
    for (uint32_t i = 0; i < s->rope_dims / 2 && i < ARRAY_LEN(s->rope_factor); i++) {
        bool used = s->rope_factor[0] != 0.0f;
        if (used && !(s->rope_factor[i] >= 1e-6f && s->rope_factor[i] <= 1e6f))
            shape_fail(r, KT_E_FORMAT, "rotary factor %u is %g, expected 1e-6 to 1e6", i,
                       (double)s->rope_factor[i]);
    }
}

static void check_linear(const struct model_shape *s, struct shape_reader *r)
{
    if (s->lin_v_heads % s->lin_k_heads != 0)
        shape_fail(r, KT_E_FORMAT, "%u linear value heads do not divide among %u key heads",
                   s->lin_v_heads, s->lin_k_heads);
    if (s->conv_kernel != 4)
        shape_fail(r, KT_E_UNSUPPORTED, "convolution kernel %u, we run 4", s->conv_kernel);
}

static void check_shape(const struct model_shape *s, struct shape_reader *r)
{
    check_attention(s, r);
    if (s->arch == ARCH_BERT && s->n_kv_heads != s->n_heads)
        shape_fail(r, KT_E_UNSUPPORTED,
                   "a bert with %u key/value heads for %u query heads; we run equal numbers",
                   s->n_kv_heads, s->n_heads);
    if (arch_is_qwen35(s->arch))
        check_linear(s, r);
    if (s->n_experts_used > s->n_experts)
        shape_fail(r, KT_E_FORMAT, "%u experts for each token of %u", s->n_experts_used,
                   s->n_experts);
    if (s->n_vocab_real > s->n_vocab || s->n_vocab_real == 0)
        shape_fail(r, KT_E_FORMAT, "%u tokens for %u embedding rows", s->n_vocab_real, s->n_vocab);
}

enum kt_status model_shape_from_file(struct model_shape *s, const struct model_file *f,
                                     struct kt_error *err)
{
    memset(s, 0, sizeof(*s));
    s->rope_attn_scale = 1.0f;
    s->causal = true;

    struct shape_reader r = { .f = f, .err = err, .prefix = "" };
    if (model_file_container(f) == MODEL_GGUF)
        shape_from_gguf(s, &r);
    else
        shape_from_config(s, &r);
    if (!r.st)
        check_shape(s, &r);
    if (r.st)
        kt_error_prefix(err, "%s", model_file_path(f));
    return r.st;
}

/* ---- sizes ---- */

enum kt_status state_types_check(const struct model_shape *s, struct state_types types,
                                 struct kt_error *err)
{
    if (types.recurrent != STATE_BF16 || s->n_experts == 0)
        return KT_OK;
    return kt_fail(err, KT_E_UNSUPPORTED,
                   "the recurrent state of a mixture of experts is kept in f32 only: in bf16 other "
                   "experts would be asked");
}

/* The system gives whole pages of its own. */
enum { PAGE_ALIGN = 4096 };

/* Sizes of parts, and of the block that holds all but the pages: every part starts on a cache line; the
 * last 64 bytes let an unaligned allocation be aligned. */
static bool sizes_of(struct state_sizes *out, const struct model_shape *s, size_t n_attention,
                     size_t n_recurrent, size_t n_ctx, struct state_types types)
{
    size_t lin_elem = types.recurrent == STATE_BF16 ? 2 : 4;
    size_t conv_channels =
        2 * (size_t)s->lin_k_heads * s->lin_k_dim + (size_t)s->lin_v_heads * s->lin_v_dim;
    size_t n_splits =
        n_ctx > ATTN_SPLIT ? (n_ctx - 1) / ATTN_SPLIT + 1 : 0; /* one needs no joining */
    size_t n_pages = n_attention && n_ctx ? (n_ctx - 1) / ATTN_PAGE + 1 : 0;
    size_t largest = (size_t)1 << 62; /* so that rounding and adding below cannot wrap */
    bool ok = size_mul(&out->page, n_attention * 2 * s->n_kv_heads,
                       ATTN_PAGE * kv_row_bytes(types.kv, s->head_dim)) &&
              out->page < largest / 8 && (out->page = size_align(out->page, PAGE_ALIGN), true) &&
              size_mul(&out->kv, out->page, n_pages) &&
              size_mul(&out->recurrent, n_recurrent * lin_elem * s->lin_v_heads,
                       (size_t)s->lin_k_dim * s->lin_v_dim) &&
              size_mul(&out->conv, n_recurrent * 3 * sizeof(float), conv_channels) &&
              size_mul(&out->table, n_pages, 2 * sizeof(void *)) &&
              size_mul(&out->parts, s->n_heads * attn_part_floats(s->head_dim) * sizeof(float),
                       n_attention ? n_splits : 0);
    out->n_pages = n_pages;
    size_t *parts[] = { &out->recurrent, &out->conv, &out->parts, &out->table };
    out->block = 64;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (!ok || *parts[i] >= largest / 8)
            return false;
        out->block += size_align(*parts[i], 64);
    }
    out->total = out->kv + out->block;
    return out->kv < largest / 8;
}

bool state_sizes(struct state_sizes *out, const struct model_shape *s, size_t n_ctx,
                 struct state_types types)
{
    *out = (struct state_sizes){ 0 };
    if (s->arch == ARCH_BERT)
        return true; /* an encoder keeps nothing */
    size_t n_recurrent = 0;
    for (uint32_t i = 0; i < s->n_layers; i++)
        n_recurrent += s->recurrent[i];
    return sizes_of(out, s, s->n_layers - n_recurrent, n_recurrent, n_ctx, types);
}

bool mtp_state_sizes(struct state_sizes *out, const struct model_shape *s, size_t n_ctx,
                     struct state_types types)
{
    *out = (struct state_sizes){ 0 };
    return sizes_of(out, s, 1, 0, n_ctx, types);
}

bool memory_plan(struct memory_plan *out, const struct model_shape *s,
                 const struct memory_request *rq)
{
    *out = (struct memory_plan){ 0 };
    size_t one, states, logits;
    return state_sizes(&out->state, s, rq->n_ctx, rq->types) &&
           tentative_size(&out->tentative, s, rq->n_tentative) &&
           size_mul(&logits, rq->n_tentative, s->n_vocab * sizeof(float)) &&
           size_add(&out->tentative, out->tentative, logits) &&
           (!shape_has_mtp(s) || mtp_state_sizes(&out->mtp, s, rq->n_ctx, rq->types)) &&
           scratch_size(&out->scratch, s, rq->n_batch, rq->n_threads) &&
           size_add(&one, out->state.total, out->mtp.total) &&
           size_add(&one, one, out->tentative) && size_mul(&states, one, rq->n_streams) &&
           size_add(&out->total, states, out->scratch);
}
