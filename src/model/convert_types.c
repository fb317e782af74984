/* The usual mixes: which tensor of a model gets which block format.
 *
 * The head (or the embedding that doubles as one) shapes every answer directly and stays at six
 * bits or more. In the _M mixes the value and down projections of every third layer, and of the
 * first and last eighth, get six bits, since errors there go straight into the residual stream.
 * Small things (norms, biases, convolutions, routers, position tables) stay float. */
#include <ctype.h>
#include <string.h>

#include "base/size.h"
#include "model/convert_priv.h"

struct mix {
    const char *name;
    uint32_t file_type;
    enum qtype base, more, head;
    enum qtype first; /* of sensitive tensors in the first eighth of the layers */
};

static const struct mix mixes[] = {
    { "F32", 0, QT_F32, QT_F32, QT_F32, QT_F32 },
    { "F16", 1, QT_F16, QT_F16, QT_F16, QT_F16 },
    { "BF16", 32, QT_BF16, QT_BF16, QT_BF16, QT_BF16 },
    { "Q8_0", 7, QT_Q8_0, QT_Q8_0, QT_Q8_0, QT_Q8_0 },
    { "Q6_K", 18, QT_Q6_K, QT_Q6_K, QT_Q6_K, QT_Q6_K },
    { "Q5_K_M", 17, QT_Q5_K, QT_Q6_K, QT_Q6_K, QT_Q6_K },
    { "Q5_K", 16, QT_Q5_K, QT_Q5_K, QT_Q6_K, QT_Q5_K },
    { "Q4_K_M", 15, QT_Q4_K, QT_Q6_K, QT_Q6_K, QT_Q6_K },
    { "Q4_K", 14, QT_Q4_K, QT_Q4_K, QT_Q6_K, QT_Q4_K },
    { "Q5_1", 9, QT_Q5_1, QT_Q5_1, QT_Q6_K, QT_Q5_1 },
    { "Q5_0", 8, QT_Q5_0, QT_Q5_0, QT_Q6_K, QT_Q5_0 },
    { "Q4_1", 3, QT_Q4_1, QT_Q4_1, QT_Q6_K, QT_Q4_1 },
    { "Q4_0", 2, QT_Q4_0, QT_Q4_0, QT_Q6_K, QT_Q4_0 },
    { "Q5_K_S", 16, QT_Q5_K, QT_Q5_K, QT_Q6_K, QT_Q5_K },
    { "Q4_K_S", 14, QT_Q4_K, QT_Q4_K, QT_Q6_K, QT_Q5_K },
    { "IQ4_NL", 25, QT_IQ4_NL, QT_IQ4_NL, QT_Q6_K, QT_Q5_K },
    { "IQ4_XS", 30, QT_IQ4_XS, QT_IQ4_XS, QT_Q6_K, QT_Q5_K },
};

static bool same_name(const char *a, const char *b)
{
    while (*a && toupper((unsigned char)*a) == toupper((unsigned char)*b)) {
        a++;
        b++;
    }
    return !*a && !*b;
}

static const struct mix *mix_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(mixes); i++) {
        if (same_name(mixes[i].name, name))
            return &mixes[i];
    }
    return NULL;
}

const char *convert_type_name(size_t idx)
{
    return idx < ARRAY_LEN(mixes) ? mixes[idx].name : NULL;
}

bool convert_type_known(const char *name)
{
    return mix_of(name) != NULL;
}

uint32_t convert_file_type(const char *type)
{
    const struct mix *m = mix_of(type);
    return m ? m->file_type : 0;
}

int layer_of(struct span name)
{
    int n = 0;
    size_t i = 4;
    if (!span_starts(name, SPAN("blk.")))
        return -1;
    for (; i < name.len && name.ptr[i] >= '0' && name.ptr[i] <= '9' && n < LAYERS_MAX; i++)
        n = 10 * n + (name.ptr[i] - '0');
    return i > 4 && i < name.len && name.ptr[i] == '.' ? n : -1;
}

static bool has(struct span name, const char *part)
{
    return span_find(name, span_of(part), 0) != SIZE_MAX;
}

static bool stays_float(const struct item *it)
{
    static const char *const PARTS[] = { "ssm_conv1d.", "ffn_gate_inp", "position_embd.",
                                         "patch_embd.", "token_types." };
    if (it->n_dims == 1 || span_ends(it->name, SPAN("_norm.weight")) ||
        !span_ends(it->name, SPAN(".weight")))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(PARTS); i++) {
        if (has(it->name, PARTS[i]))
            return true;
    }
    return false;
}

/* Does layer i of n belong to those that get more bits? */
static bool wants_more(int i, int n)
{
    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

static enum qtype wanted(const struct item *it, const struct mix *m, const struct plan *p,
                         bool tied)
{
    if (stays_float(it))
        return QT_F32;
    if (span_eq(it->name, SPAN("output.weight")) ||
        (tied && span_eq(it->name, SPAN("token_embd.weight"))))
        return m->head;
    int layer = layer_of(it->name);
    bool sensitive = has(it->name, ".attn_v.") || has(it->name, ".attn_qkv.") ||
                     has(it->name, ".ffn_down.") || has(it->name, ".ffn_down_exps.") ||
                     has(it->name, ".ffn_down_shexp.");
    if (sensitive && layer >= 0 && layer < (int)p->n_layers / 8)
        return m->first;
    return sensitive && layer >= 0 && wants_more(layer, (int)p->n_layers) ? m->more : m->base;
}

/* The next format up whose blocks fill a row. */
static enum qtype fitting(enum qtype type, uint64_t row)
{
    if (row % 256 != 0)
        type = type == QT_Q4_K     ? QT_Q5_0
               : type == QT_Q5_K   ? QT_Q5_1
               : type == QT_Q6_K   ? QT_Q8_0
               : type == QT_IQ4_XS ? QT_IQ4_NL
                                   : type;
    return row % qtype_traits(type)->block_len == 0 ? type : QT_F16;
}

void plan_types(struct plan *p, const char *type, size_t *n_fallback)
{
    const struct mix *m = mix_of(type);
    bool tied = true;
    p->n_layers = 0;
    *n_fallback = 0;
    for (size_t i = 0; i < p->n_items; i++) {
        int layer = layer_of(p->items[i].name);
        p->n_layers = MAX(p->n_layers, (uint32_t)(layer + 1));
        tied = tied && !span_eq(p->items[i].name, SPAN("output.weight"));
    }
    for (size_t i = 0; i < p->n_items; i++) {
        struct item *it = &p->items[i];
        enum qtype want = wanted(it, m, p, tied);
        it->type = fitting(want, it->dims[0]);
        *n_fallback += it->type != want;
    }
}
