"""JPEG files to squares of pixels, as the models' own preprocessing does it: Pillow, bicubic, in threads."""
from concurrent.futures import ThreadPoolExecutor

import numpy
import PIL
from PIL import Image
from serve import serve


def prepare(case):
    def load(path):
        with Image.open(path) as image:
            return numpy.asarray(image.convert("RGB").resize((case["size"],) * 2, Image.Resampling.BICUBIC))

    pool = ThreadPoolExecutor(case["threads"])
    return lambda: list(pool.map(load, case["paths"]))


serve(prepare, PIL)
