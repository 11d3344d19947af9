"""Pictures to squares of pixels, as the models' own preprocessing does it: Pillow, bicubic."""
import numpy
from PIL import Image


def load_square(path, size):
    with Image.open(path) as image:
        return numpy.array(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))
