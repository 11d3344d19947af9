"""A folder of pictures to a file of embeddings: Pillow, a ViT of nano's size in f32, numpy.save."""
import pathlib
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy
import torch
from models import Pool, ViT
from PIL import Image
from serve import serve


def prepare(case):
    torch.manual_seed(0)
    torch.set_num_threads(case["threads"])
    vision = ViT(case["size"], case["patch"], case["width"], case["heads"], case["hidden"], case["layers"]).eval()
    pool = Pool(case["width"], case["heads"], case["embed"]).eval()
    threads = ThreadPoolExecutor(case["threads"])

    def load(path):
        with Image.open(path) as image:
            square = image.convert("RGB").resize((case["size"],) * 2, Image.Resampling.BICUBIC)
        return torch.from_numpy(numpy.array(square)).permute(2, 0, 1)

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
