"""Loads a .npy file as an image: one copy of its bytes, and no pickle is ever read."""

import numpy as np
from PIL import Image

from shared.image_files.npy import read_layout


def load_array(data: bytes) -> Image.Image:
    """Return the image of an array of uint8; raises BrokenImageError for any other."""
    layout = read_layout(data)
    samples = np.frombuffer(data, np.uint8, offset=layout.offset)
    shape = (layout.height, layout.width) if layout.channels == 1 else (layout.height, layout.width, layout.channels)
    return Image.fromarray(samples.reshape(shape, order="F" if layout.fortran else "C"))
