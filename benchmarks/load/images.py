"""The images that are sent: digits with noise as PNG, and photograph-like JPEGs."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

# 32x32 RGB with this much grey noise makes a PNG of about 1.5 KB, the size the design's figures were taken with.
_DIGIT_NOISE = 3
_PHOTO_SIZE = (640, 427)
_PHOTO_QUALITY = 85


def digits(count: int, *, seed: int = 0) -> list[bytes]:
    """Return `count` different 32x32 RGB PNGs of scanned handwritten digits with noise."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  takes a second, and most who import this make no digits

    random = np.random.default_rng(seed)
    scans = load_digits().images
    enlarged = [_enlarged_digit(scan) for scan in scans]
    images = []
    for number in range(count):
        digit = enlarged[number % len(enlarged)]
        noise = random.integers(-_DIGIT_NOISE, _DIGIT_NOISE + 1, (32, 32, 1), dtype=np.int16)
        images.append(_encode(np.clip(digit + noise, 0, 255).astype(np.uint8), "PNG"))
    return images


def photographs(count: int, *, seed: int = 0) -> list[bytes]:
    """Return `count` different 640x427 JPEGs of about 54 KB: clouds of every scale, as photographs have."""
    random = np.random.default_rng(seed)
    return [_encode(_clouds(random), "JPEG", quality=_PHOTO_QUALITY) for _ in range(count)]


def numbered_pixel(number: int) -> bytes:
    """Return a 1x1 PNG whose colour is the number modulo 2**24: the smallest image, different for each."""
    colour = [[[number >> 16 & 255, number >> 8 & 255, number & 255]]]
    return _encode(np.array(colour, dtype=np.uint8), "PNG")


def _enlarged_digit(scan: NDArray[np.float64]) -> NDArray[np.int16]:
    """8x8 in 0..16 → 32x32x3 in 0..255."""
    grey = Image.fromarray((scan * (255 / 16)).astype(np.uint8)).resize((32, 32), Image.Resampling.BILINEAR)
    return np.asarray(grey.convert("RGB"), dtype=np.int16)


def _clouds(random: np.random.Generator) -> Pixels:
    """Sum noise of seven scales, the finer the fainter; height x width x 3."""
    width, height = _PHOTO_SIZE
    canvas = np.full((height, width, 3), 128.0, dtype=np.float32)
    for octave in range(1, 9):
        cells = (min(width, 2**octave * 3), min(height, 2**octave * 2))
        noise = random.integers(0, 256, (cells[1], cells[0], 3), dtype=np.uint8)
        layer = Image.fromarray(noise).resize(_PHOTO_SIZE, Image.Resampling.BICUBIC)
        canvas += (np.asarray(layer, dtype=np.float32) - 128.0) * 0.65**octave * 1.1
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _encode(pixels: Pixels, format: str, **options: int) -> bytes:
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()
