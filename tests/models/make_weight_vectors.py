#!/usr/bin/env python3
"""Writes tests/data/weights/<TYPE>.bin: random blocks of each of GGUF's quantized types, and what they mean in f32.

  python make_weight_vectors.py      # needs the PyPI package gguf, whose dequantizer is the oracle

A file is u32 number of blocks, the blocks, their weights as f32. Codes and 6-bit factors are random bytes; f16 scales
and E8M0 exponents are kept in a sensible range.
"""
import os
import numpy as np
from gguf import GGMLQuantizationType as T, GGML_QUANT_SIZES
from gguf.quants import dequantize

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "data", "weights")
# Where a block's f16 scales stand.
F16_AT = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.IQ4_NL: [0], T.Q2_K: [80, 82],
          T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.MXFP4: []}


def blocks_of(kind, count, random):
    elements, size = GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (count, size), dtype=np.uint8)
    for at in F16_AT[kind]:
        scales = (random.standard_normal(count) * 0.05).astype(np.float16)
        blocks[:, at:at + 2] = scales.view(np.uint8).reshape(count, 2)
    if kind == T.MXFP4:
        blocks[:, 0] = random.integers(100, 150, count)
        blocks[:2, 0] = [0, 1]  # subnormal scales
    return blocks


def main():
    os.makedirs(OUT, exist_ok=True)
    for kind in F16_AT:
        random = np.random.default_rng(int(kind))
        blocks = blocks_of(kind, 6 if GGML_QUANT_SIZES[kind][0] == 256 else 24, random)
        weights = dequantize(blocks.reshape(-1), kind).astype(np.float32)
        with open(os.path.join(OUT, kind.name + ".bin"), "wb") as file:
            file.write(np.uint32(len(blocks)).tobytes() + blocks.tobytes() + weights.tobytes())


if __name__ == "__main__":
    main()
