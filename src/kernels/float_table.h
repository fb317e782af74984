/* kernels/float_table.h: what the three float templates put into the table. */

void LEVEL(kernels_init_float)(struct kernels *k)
{
    k->matmul[QT_F32] = matmul_f32;
    k->matmul[QT_F16] = matmul_f16;
    k->matmul[QT_BF16] = matmul_bf16;
    k->act_quantize = act_quantize;
    k->rmsnorm = rmsnorm;
    k->layernorm = layernorm;
    k->l2norm = l2norm;
    k->add = add;
    k->scale = scale;
    k->silu = silu;
    k->silu_mul = silu_mul;
    k->sigmoid_mul = sigmoid_mul;
    k->gelu_erf = gelu_erf;
    k->gelu_tanh = gelu_tanh;
    k->softmax = softmax;
    k->conv4_silu = conv4_silu;
    k->kv_store = kv_store;
    k->attention = attention;
    k->attention_part = attention_part;
    k->attention_join = attention_join;
    k->deltanet = deltanet;
    k->f32_to_f16 = f32_to_f16_row;
    k->f16_to_f32 = f16_to_f32_row;
    k->dot_f32 = dot;
    k->scan_i8 = scan_i8;
}
