/* kernels/peak.h: what a processor does at most, to hold kernels against: the ends of a roofline.
 *
 * A processor multiplies fastest when all it multiplies lies in registers and no product waits for another; it reads
 * fastest when it does nothing but read. Both are measured with the widest instructions that 'cpu' (kernels.h) allows,
 * on one thread; whoever wants a machine's sum runs one on each. */
#ifndef KERNELS_PEAK_H
#define KERNELS_PEAK_H

#include <stddef.h>
#include <stdint.h>

/* n_rounds rounds of 8-bit integer dot products, and of 32-bit float fused multiply-adds. Returns how many operations
 * that was, a multiplication and an addition being two. *sink takes a number that depends on every product, so that
 * none can be left out. */
uint64_t peak_int8(uint32_t cpu, size_t n_rounds, uint64_t *sink);
uint64_t peak_float(uint32_t cpu, size_t n_rounds, uint64_t *sink);
/* Reads n bytes in order; 'data' is aligned to 8 bytes. The sum of its 64-bit words. */
uint64_t peak_read(const void *data, size_t n);

#endif
