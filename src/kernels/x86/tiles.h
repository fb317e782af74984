/* kernels/x86/tiles.h: the shapes of AMX's eight tile registers, as _tile_loadconfig() reads them. */
#ifndef KERNELS_X86_TILES_H
#define KERNELS_X86_TILES_H

#include <stdint.h>

struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} __attribute__((aligned(64)));

#endif
