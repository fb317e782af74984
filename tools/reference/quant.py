#!/usr/bin/env python3
"""Golden values for tests/unit/test_quant.c: blocks of random bytes, dequantised by the `gguf` package.

    python3 tools/reference/quant.py            # needs: pip install gguf numpy
    writes tests/data/quant_blocks.bin

The file is a sequence of records, little-endian:
    char name[8], zero-padded; u32 n_elems; u32 n_bytes; u8 blocks[n_bytes]; f32 values[n_elems]

Half of the elements of each type come from bytes that are random throughout, so that scales are any half-precision
numbers, infinities and NaN included; the other half has scales of ordinary size.
"""
import pathlib
import struct

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

N_ELEMS = 1024
# Offsets of the half-precision numbers in a block.
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "IQ4_NL": [0], "IQ4_XS": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "MXFP4": [], "NVFP4": [],
    "F16": [], "BF16": [],
}


def main():
    out = pathlib.Path(__file__).resolve().parents[2] / "tests" / "data" / "quant_blocks.bin"
    out.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.PCG64(20260101))
    with open(out, "wb") as f:
        for name, halves in HALVES.items():
            qtype = GGMLQuantizationType[name]
            block_len, block_bytes = GGML_QUANT_SIZES[qtype]
            n_blocks = N_ELEMS // block_len
            blocks = rng.integers(0, 256, (n_blocks, block_bytes), dtype=np.uint8)
            for at in halves:
                tame = rng.normal(0, 0.02, n_blocks // 2).astype(np.float16)
                blocks[: n_blocks // 2, at : at + 2] = tame.view(np.uint8).reshape(-1, 2)
            with np.errstate(all="ignore"):
                values = dequantize(blocks, qtype).astype(np.float32).reshape(-1)
            assert values.size == N_ELEMS
            f.write(struct.pack("<8sII", name.encode(), N_ELEMS, blocks.size))
            f.write(blocks.tobytes())
            f.write(values.tobytes())
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
