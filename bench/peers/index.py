"""A folder of pictures to a file of embeddings: Pillow, a ViT of nano's size in f32, numpy.save."""
import pathlib
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy
import torch
from models import Pool, ViT, settle
from serve import serve
from squares import load_square


def prepare(case):
    settle(case)
    vision = ViT(case["size"], case["patch"], case["width"], case["heads"], case["hidden"], case["layers"]).eval()
    pool = Pool(case["width"], case["heads"], case["embed"]).eval()
    threads = ThreadPoolExecutor(case["threads"])

    def load(path):
        return torch.from_numpy(load_square(path, case["size"])).permute(2, 0, 1)

    def run():
        paths = sorted(str(p) for p in pathlib.Path(case["folder"]).rglob("*.webp"))
        pictures = threads.map(load, paths)
        rows = []
        with torch.inference_mode():
            batch = []
            for i, picture in enumerate(pictures):
                batch.append(picture)
                if len(batch) == case["batch"] or i == len(paths) - 1:
                    pixels = torch.stack(batch).float().div(255).sub(0.45).div(0.225)
                    rows.append(torch.nn.functional.normalize(pool(vision(pixels)), dim=-1).numpy())
                    batch = []
        with tempfile.TemporaryFile() as file:
            numpy.save(file, numpy.concatenate(rows))

    return run


serve(prepare, torch)
