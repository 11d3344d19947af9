"""JPEG files to squares of pixels, in threads."""
from concurrent.futures import ThreadPoolExecutor

import PIL
from serve import serve
from squares import load_square


def prepare(case):
    pool = ThreadPoolExecutor(case["threads"])
    return lambda: list(pool.map(lambda path: load_square(path, case["size"]), case["paths"]))


serve(prepare, PIL)
