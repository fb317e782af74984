/* kernels/ref/init.c: the table filled with portable C. */
#include "kernels/ref/ref.h"

static matmul_fn matmul_for(enum qtype type)
{
    const struct qtype_traits *t = qtype_traits(type);
    if (!t)
        return NULL;
    if (!t->is_float)
        return ref_matmul_int;
    return type == QT_F32 ? ref_matmul_f32 : type == QT_F16 ? ref_matmul_f16 : ref_matmul_bf16;
}

void kernels_init_ref(struct kernels *k)
{
    *k = (struct kernels){
        .act_quantize = ref_act_quantize,
        .rmsnorm = ref_rmsnorm,
        .layernorm = ref_layernorm,
        .l2norm = ref_l2norm,
        .add = ref_add,
        .scale = ref_scale,
        .silu = ref_silu,
        .silu_mul = ref_silu_mul,
        .sigmoid_mul = ref_sigmoid_mul,
        .gelu_erf = ref_gelu_erf,
        .gelu_tanh = ref_gelu_tanh,
        .softmax = ref_softmax,
        .conv4_silu = ref_conv4_silu,
        .kv_store = ref_kv_store,
        .attention = ref_attention,
        .attention_part = ref_attention_part,
        .attention_join = ref_attention_join,
        .deltanet = ref_deltanet,
        .f32_to_f16 = ref_f32_to_f16,
        .f16_to_f32 = ref_f16_to_f32,
        .dot_f32 = ref_dot,
        .scan_i8 = ref_scan_i8,
    };
    for (int type = 0; type < QT_COUNT; type++)
        k->matmul[type] = matmul_for((enum qtype)type);
}
