/* kernels/cpu.c: which instruction sets may be used. A bit in cpuid only says that the processor
 * knows an instruction; whether the operating system saves the registers it needs is asked
 * separately (xgetbv), and Linux hands out the tile registers of AMX only to a process that asks
 * for them. */
#include "kernels/kernels.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    XCR0_YMM = 0x6,  /* xmm and ymm registers              */
    XCR0_ZMM = 0xe6, /* and masks, and both halves of zmm  */
    XCR0_TILE = 0x60000,
    ARCH_REQ_XCOMP_PERM = 0x1023,
    XFEATURE_TILEDATA = 18,
};

struct cpuid_regs {
    unsigned a, b, c, d;
};

static struct cpuid_regs cpuid(unsigned leaf, unsigned sub)
{
    struct cpuid_regs r = { 0 };
    if (!__get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d))
        r = (struct cpuid_regs){ 0 };
    return r;
}

static bool has(unsigned reg, unsigned bit)
{
    return reg >> bit & 1;
}

static uint64_t xgetbv0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

uint32_t cpu_detect(void)
{
    struct cpuid_regs l1 = cpuid(1, 0), l7 = cpuid(7, 0), l71 = cpuid(7, 1);
    if (!has(l1.c, 27)) /* OSXSAVE: xgetbv may be executed */
        return 0;
    uint64_t xcr0 = xgetbv0();

    bool avx2 = (xcr0 & XCR0_YMM) == XCR0_YMM && has(l7.b, 5) && has(l1.c, 12) /* FMA */
                && has(l1.c, 29) /* F16C */;
    if (!avx2)
        return 0;
    uint32_t flags = CPU_AVX2;
    if (has(l71.a, 4))
        flags |= CPU_AVXVNNI;

    bool avx512 = (xcr0 & XCR0_ZMM) == XCR0_ZMM && has(l7.b, 16) /* F */ && has(l7.b, 17) /* DQ */
                  && has(l7.b, 30) /* BW */ && has(l7.b, 31) /* VL */;
    if (!avx512)
        return flags;
    flags |= CPU_AVX512;
    if (has(l7.c, 11))
        flags |= CPU_AVX512VNNI;
    if (has(l7.d, 24) && has(l7.d, 25) && (xcr0 & XCR0_TILE) == XCR0_TILE &&
        syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_TILEDATA) == 0)
        flags |= CPU_AMX_INT8;
    return flags;
}

#elif defined(__aarch64__)

#include <sys/auxv.h>

enum { HWCAP_BIT_ASIMDDP = 20, HWCAP2_BIT_I8MM = 13 };

uint32_t cpu_detect(void)
{
    uint32_t flags = CPU_NEON;
    if (getauxval(AT_HWCAP) >> HWCAP_BIT_ASIMDDP & 1)
        flags |= CPU_DOTPROD;
    if (getauxval(AT_HWCAP2) >> HWCAP2_BIT_I8MM & 1)
        flags |= CPU_I8MM;
    return flags;
}

#else

uint32_t cpu_detect(void)
{
    return 0;
}

#endif

const char *cpu_level_name(uint32_t flags)
{
    static const struct {
        uint32_t needs;
        const char *name;
    } levels[] = {
        { CPU_AVX2 | CPU_AVX512 | CPU_AVX512VNNI | CPU_AMX_INT8, "amx" },
        { CPU_AVX2 | CPU_AVX512 | CPU_AVX512VNNI, "avx512vnni" },
        { CPU_AVX2 | CPU_AVX512, "avx512" },
        { CPU_AVX2 | CPU_AVXVNNI, "avxvnni" },
        { CPU_AVX2, "avx2" },
        { CPU_NEON | CPU_DOTPROD, "dotprod" },
        { CPU_NEON, "neon" },
    };
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if ((flags & levels[i].needs) == levels[i].needs)
            return levels[i].name;
    return "ref";
}
