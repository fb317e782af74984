/* kernels/x86/vnni.h: products by vpdpbusd, which multiplies unsigned bytes with signed ones and adds each four products to
 * a 32-bit sum, exactly. The file that includes this has the vectors already (v256.h or v512.h) and says as V_DPBUSD which
 * of the instruction's widths and encodings it takes. */
#ifndef KERNELS_X86_VNNI_H
#define KERNELS_X86_VNNI_H

static inline vi v_dot4(vi w, vi q, int largest)
{
    (void)largest;
    return V_DPBUSD(v_set32(0), w, q);
}

static inline __attribute__((always_inline)) void v_dot(vi *sum, size_t n_m, const vi *u, size_t n,
                                                        const int8_t *q, size_t stride, int largest)
{
    (void)largest;
#pragma GCC unroll 8
    for (size_t i = 0; i < n; i++) {
#pragma GCC unroll 8
        for (size_t m = 0; m < n_m; m++) {
            uint32_t four;
            memcpy(&four, q + m * stride + 4 * i, 4);
            sum[m] = V_DPBUSD(sum[m], u[i], v_set32(four));
        }
    }
}

#endif
