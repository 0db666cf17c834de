"""Writes golden blocks: random bytes with sane half-float scales, and what the Python package
gguf (ggml's own) makes of them. Run in this folder: python make.py"""

import gguf
import numpy as np

# Where the half floats of a block lie.
HALVES = {
    "F32": [], "F16": [0], "BF16": [], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
    "Q8_0": [0], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0],
}
BLOCKS = 64

rng = np.random.default_rng(20261122)
for name, halves in HALVES.items():
    kind = gguf.GGMLQuantizationType[name]
    length, size = gguf.GGML_QUANT_SIZES[kind]
    count = BLOCKS if length > 1 else 1024
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    # The extreme codes and sub-scales, whatever the random bytes hold.
    if length > 1:
        blocks[0], blocks[1], blocks[2], blocks[3] = 0x00, 0xFF, 0x80, 0x7F
    for at in halves:
        scale = rng.normal(0, 0.01, count)
        scale[4], scale[5], scale[6] = 0.0, 6e-8, 1000.0  # zero, subnormal, large
        blocks[:, at : at + 2] = scale.astype(np.float16).view(np.uint8).reshape(count, 2)
    if name == "F32":
        blocks = rng.normal(0, 1, count).astype(np.float32).view(np.uint8).reshape(count, 4)
    if name == "BF16":
        blocks = gguf.quants.quantize(rng.normal(0, 1, count).astype(np.float32), kind).reshape(count, 2)
    expected = gguf.quants.dequantize(blocks.reshape(-1), kind).astype(np.float32)
    assert expected.size == count * length and np.isfinite(expected).all(), name
    blocks.tofile(f"{name}.blocks")
    expected.tofile(f"{name}.f32")
    print(name, blocks.nbytes, expected.nbytes)
