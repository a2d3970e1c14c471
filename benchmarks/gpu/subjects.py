"""The images of each model, made by all cores and kept in a folder."""

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final

from benchmarks.load import image_files, images

DIGITS: Final = "digits_cnn"
"""Not `digits`: a stack that serves a model of that name trains it."""
MODELS: Final = ("resnet50", DIGITS, "mobilenet_v3_small", "efficientnet_b0")
"""Those that are measured, the most wanted first."""
_PORTION: Final = 4


def image_file(folder: Path, model: str) -> Path:
    """Return where a model's images are."""
    return folder / ("digits.images" if model == DIGITS else "photographs.images")


def make_images(folder: Path, *, photographs: int, digits: int) -> None:
    """Write 640x427 JPEGs of 53 KB and 32x32 PNGs of 1.6 KB, unless they are there."""
    if not (path := image_file(folder, MODELS[0])).exists():
        portions = range(-(-photographs // _PORTION))
        with ProcessPoolExecutor(min(len(portions), os.cpu_count() or 1)) as pool:
            made = pool.map(_portion, portions)
            image_files.write(path, [image for portion in made for image in portion][:photographs])
    if not (path := image_file(folder, DIGITS)).exists():
        image_files.write(path, images.digits(digits))


def _portion(seed: int) -> list[bytes]:
    return images.photographs(_PORTION, seed=seed)
