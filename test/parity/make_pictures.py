"""Makes golden/pictures.json, scene.jpg and cmyk.jpg: what Pillow does with pictures; the tests in src/vision read them.

    pip install pillow==13.0.0 numpy==2.4.6 && python make_pictures.py

Only integer arithmetic makes the small picture, so that every language gets the same bytes.
"""
import base64
import json
from pathlib import Path

import numpy as np
from PIL import Image, __version__

HERE = Path(__file__).parent / "golden"


def pattern(width, height):
    """Noise, edges and flat parts: what makes rounding and clamping visible."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    noise = (x * x * 7 + y * y * 13 + x * y * 5 + c * 101) % 256
    edge = np.where((x // 8 + y // 8 + c) % 2 == 0, 255, 0)
    return np.where(x % 24 < 8, edge, np.where(y < height // 4, 37 * (c + 1), noise)).astype(np.uint8)


def scene(width, height):
    """A smooth picture with a few shapes, for the JPEG."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = [
        127 + 90 * np.sin(x / 97 + c) * np.cos(y / 83 - c) + 30 * ((x - 300) ** 2 + (y - 200) ** 2 < 150**2) * (c - 1)
        for c in range(3)
    ]
    a = np.stack(planes, -1)
    a[100:420:20, 80:620:9] = 250
    a[500:620, 300:1100:3] = 20
    return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))


def pack(image):
    return base64.b64encode(np.asarray(image).tobytes()).decode()


def main():
    HERE.mkdir(exist_ok=True)
    filters = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
    cases = []
    for (w, h), (tw, th), name in [
        ((61, 47), (20, 20), "bicubic"),
        ((61, 47), (20, 20), "bilinear"),
        ((61, 47), (32, 30), "bicubic"),
        ((61, 47), (75, 60), "bicubic"),
        ((61, 47), (70, 11), "bilinear"),
        ((61, 47), (61, 9), "bicubic"),
        ((61, 47), (13, 47), "bicubic"),
        ((200, 3), (17, 17), "bicubic"),
        ((1, 1), (5, 4), "bicubic"),
        ((2, 90), (3, 1), "bicubic"),
        # The height loses twice what the width loses, and one more: the order of the passes changes here.
        ((21, 34), (11, 14), "bicubic"),
        ((21, 35), (11, 14), "bicubic"),
        ((20, 10), (31, 16), "bicubic"),
    ]:
        out = Image.fromarray(pattern(w, h)).resize((tw, th), filters[name])
        cases.append({"from": [w, h], "to": [tw, th], "filter": name, "pixels": pack(out)})
    box = (7, 5, 7 + 33, 5 + 28)
    cut = Image.fromarray(pattern(61, 47)).crop(box).resize((16, 16), filters["bicubic"])
    boxed = {"from": [61, 47], "to": [16, 16], "box": [7, 5, 33, 28], "pixels": pack(cut)}

    width, height, size = 1210, 871, 48
    scene(width, height).save(HERE / "scene.jpg", quality=35)
    photo = Image.open(HERE / "scene.jpg").convert("RGB")
    # torchvision's Resize and CenterCrop, by its formulas.
    longer = int(size * width / height)
    left = int(round((longer - size) / 2.0))
    frames = {
        "squash": pack(photo.resize((size, size), filters["bicubic"])),
        "crop": pack(photo.resize((longer, size), filters["bicubic"]).crop((left, 0, left + size, size))),
    }
    inks = [[(200, 0, 0, 0), (0, 200, 0, 0)], [(0, 0, 200, 0), (90, 40, 0, 120)]]
    ink = np.kron(np.array(inks, np.uint8), np.ones((8, 8, 1), np.uint8))
    Image.fromarray(ink, "CMYK").save(HERE / "cmyk.jpg", quality=95)
    cmyk = pack(Image.open(HERE / "cmyk.jpg").convert("RGB"))

    golden = {"pillow": __version__, "resize": cases, "box": boxed, "scene": {"size": size, **frames}, "cmyk": cmyk}
    (HERE / "pictures.json").write_text(json.dumps(golden, indent=1) + "\n")


main()
