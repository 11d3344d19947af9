"""Writes blocks of ggml's formats and the values that its own Python package reads in them.

    python test/parity/make_gguf_blocks.py > src/weights/fixtures/ggml-blocks.json

Needs gguf 0.19.0 and numpy. The blocks are random bytes with f16 scales of a usual size, so every code and every scale
of a format occurs; the first block has a scale of 0. Values are written as the bits of f32, little-endian, in hex.
"""

import json
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize

# Format -> where its blocks hold f16 numbers, and how many blocks are written.
HALFS = {
    T.Q4_0: ([0], 4),
    T.Q4_1: ([0, 2], 4),
    T.Q5_0: ([0], 4),
    T.Q5_1: ([0, 2], 4),
    T.Q8_0: ([0], 4),
    T.Q4_K: ([0, 2], 2),
    T.Q5_K: ([0, 2], 2),
    T.Q6_K: ([208], 2),
    T.MXFP4: ([], 4),
}


def main():
    rng = np.random.default_rng(7)
    out = {}
    for kind, (halfs, count) in HALFS.items():
        block_size, size = GGML_QUANT_SIZES[kind]
        blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
        for at in halfs:
            scales = rng.uniform(-0.02, 0.02, count).astype(np.float16)
            if at == halfs[0]:
                scales[0] = 0
            blocks[:, at : at + 2] = scales.view(np.uint8).reshape(count, 2)
        if kind == T.MXFP4:
            blocks[:, 0] = [0, 1, 120, 130]
        values = dequantize(blocks.reshape(1, -1), kind).astype("<f4")
        out[kind.name] = {
            "shape": [1, count * block_size],
            "bytes": blocks.tobytes().hex(),
            "values": values.tobytes().hex(),
        }
    json.dump(out, sys.stdout, indent=1)
    sys.stdout.write("\n")


main()
