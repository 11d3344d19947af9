"""A vision tower's forward pass: dtype "f32" or "bf16", compiled or not."""
import torch
from models import ViT, settle
from serve import serve


def prepare(case):
    settle(case)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[case["dtype"]]
    model = ViT(case["size"], case["patch"], case["width"], case["heads"], case["hidden"], case["layers"])
    model = model.eval().to(dtype)
    pixels = torch.randn(case["batch"], 3, case["size"], case["size"], dtype=dtype)
    if case["compiled"]:
        model = torch.compile(model)

    def run():
        with torch.inference_mode():
            model(pixels)

    return run


serve(prepare, torch)
