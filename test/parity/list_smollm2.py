"""Prints digests of SmolLM2-135M-Instruct's values as two other readers have them; test/e2e/smollm2.test.ts holds them.

    python test/parity/list_smollm2.py SmolLM2-135M-Instruct.Q4_1.gguf

Needs gguf 0.19.0, transformers 5.24.0 with accelerate, torch 2.13.0. A digest is SHA-256 of a list with one line a
tensor: name, shape, SHA-256 of its values as f32. The first list has the file's names and types, in its order; the
second those of transformers, sorted.
"""

import hashlib
import sys
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from transformers import AutoModelForCausalLM


def digest(values):
    return hashlib.sha256(np.ascontiguousarray(values, np.float32).tobytes()).hexdigest()


def total(lines):
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def main():
    path = Path(sys.argv[1])
    in_file = [
        f"{t.name} {t.tensor_type.name} {'x'.join(str(d) for d in reversed(t.shape))} "
        f"{digest(dequantize(t.data, t.tensor_type))}"
        for t in GGUFReader(path).tensors
    ]
    print("gguf        ", total(in_file))
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    published = [
        f"{key} {'x'.join(str(d) for d in value.shape)} {digest(value.numpy())}"
        for key, value in model.state_dict().items()
        if key != "lm_head.weight"  # tied
    ]
    print("transformers", total(sorted(published)))


main()
