"""Writes the torch archives that the tests of src/weights read, good ones and bad ones.

    python test/parity/make_torch_checkpoints.py src/weights/fixtures

Needs torch 2.13.0 and safetensors 0.8.0. The values are fixed numbers, so the files are the same every time up to what
torch writes about itself.
"""

import os
import sys
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file


def ramp(*shape, dtype=torch.float32):
    count = 1
    for size in shape:
        count *= size
    return ((torch.arange(count) % 7) - 3).div(4).reshape(shape).to(dtype)


class Layer(torch.nn.Module):
    """Its state dict is an OrderedDict with version numbers in an attribute."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 2)
        self.norm = torch.nn.LayerNorm(2)
        with torch.no_grad():
            for i, parameter in enumerate(self.parameters()):
                parameter.copy_(ramp(*parameter.shape) + i)


def tensors():
    base = ramp(4, 6)
    return {
        "f64": ramp(2, 3, dtype=torch.float64),
        "f32": ramp(2, 3, 2),
        "f16": ramp(5, dtype=torch.float16),
        "bf16": ramp(3, 2, dtype=torch.bfloat16),
        "f8_e4m3": ramp(6, dtype=torch.float8_e4m3fn),
        "i64": torch.tensor([-(2**40), 0, 2**40]),
        "i32": torch.tensor([-7, 7], dtype=torch.int32),
        "u8": torch.tensor([0, 255], dtype=torch.uint8),
        "u16": torch.tensor([0, 65535], dtype=torch.uint16),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 4),
        "parameter": torch.nn.Parameter(ramp(2, 2)),
        "shared": base,
        "shared.row": base[2],
        "shared.transposed": base.t(),
        "shared.window": base[1:3, 1:5:2],
        "half.transposed": ramp(3, 5, dtype=torch.float16).t(),
    }


class Attack:
    def __reduce__(self):
        return os.system, ("echo executed > /tmp/internvl-pickle-was-executed",)


def rewrite(source, target, change=lambda name, data: data, compression=zipfile.ZIP_STORED, extra=None):
    """A copy of an archive whose entries `change` may replace or, with None, leave out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            data = change(name.split("/", 1)[1], old.read(name))
            if data is not None:
                new.writestr(zipfile.ZipInfo(name), data, compression)
        for name, data in (extra or {}).items():
            new.writestr(zipfile.ZipInfo(name), data, compression)


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    state = tensors()
    torch.save(state, out / "plain.pth")
    save_file({k: v.detach().clone().contiguous() for k, v in state.items()}, out / "plain.safetensors")

    layer = Layer().state_dict()
    torch.save({"module": OrderedDict(layer), "epoch": 3, "best": 0.5}, out / "nested.pth")
    torch.save({f"module.{k}": v for k, v in layer.items()}, out / "prefixed.pth")
    torch.save(layer, out / "legacy.pth", _use_new_zipfile_serialization=False)
    torch.save({"weight": ramp(2), "attack": Attack()}, out / "evil.pth")
    torch.save({"epoch": 3, "lr": 0.1}, out / "no_tensors.pth")
    torch.save({"weight": ramp(2), "epoch": 3}, out / "mixed.pth")
    torch.save({"weight": ramp(1).expand(2**20, 2**20)}, out / "expanded.pth")

    small = out / "small.pth"
    torch.save({"weight": ramp(2, 3)}, small)
    rewrite(small, out / "deflated.pth", compression=zipfile.ZIP_DEFLATED)
    rewrite(small, out / "big_endian.pth", lambda name, data: b"big" if name == "byteorder" else data)
    rewrite(small, out / "no_storage.pth", lambda name, data: None if name == "data/0" else data)
    rewrite(small, out / "short_storage.pth", lambda name, data: data[:16] if name == "data/0" else data)
    larger = lambda name, data: data.replace(b"K\x02K\x03\x86", b"K\x09K\x03\x86") if name == "data.pkl" else data
    rewrite(small, out / "outside.pth", larger)
    rewrite(small, out / "no_pickle.pth", lambda name, data: None if name == "data.pkl" else data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the entry exists already is the point
        rewrite(small, out / "doubled.pth", extra={"small/data/0": bytes(24)})
    rewrite(small, out / "script.pth", extra={"small/constants.pkl": b"."})


if __name__ == "__main__":
    main()
