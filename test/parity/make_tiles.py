"""Prints what Pillow makes of tiles, for the test that carries these numbers (src/vision/tiles.node.test.ts).

    pip install pillow==13.0.0 numpy==2.4.6 && python make_tiles.py

One line a picture: the sums of R, G and B of every tile. The grids are given, not chosen.
"""
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]

for path, size, columns, rows in [
    ("gallery/animals/cat-face.webp", 64, 3, 3),
    ("gallery/food/pizza.webp", 160, 2, 2),
    ("gallery/places/castle.webp", 448, 1, 1),
    ("test/parity/golden/scene.jpg", 64, 4, 3),
    ("test/parity/golden/scene.jpg", 448, 4, 3),
]:
    image = Image.open(ROOT / path).convert("RGB")
    whole = image.resize((size * columns, size * rows), Image.Resampling.BICUBIC)
    boxes = [(x * size, y * size, (x + 1) * size, (y + 1) * size) for y in range(rows) for x in range(columns)]
    tiles = [whole.crop(box) for box in boxes]
    if len(tiles) > 1:
        tiles.append(image.resize((size, size), Image.Resampling.BICUBIC))
    print(path, image.size, size, [np.asarray(t).astype(int).sum((0, 1)).tolist() for t in tiles])
