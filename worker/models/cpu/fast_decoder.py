"""Decodes images on a CPU for a version with `decode: fast`: by Pillow as for any other, resized by torch.

torch resizes bytes with the processor's vector instructions: a photograph of 640x427 pixels is decoded and resized to
224 in 1.2 ms in place of 2.1. It rounds its weights elsewhere than Pillow: mostly 0.2% of the values differ, by one
grey level; where the ratio of the sizes gives exact halves (320 to 256 pixels) up to 15%, a few of them by two. What
is read of a file, and what is refused, is as in exact decoding.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from shared.domain.image import ImageSpec, Interpolation
from worker.decode.geometry import resized_size, window
from worker.decode.image_loading import Undecodable, check_pixels
from worker.decode.preprocessing import decode, decode_sized, resize_and_crop
from worker.decode.sized_pixels import SizedPixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

_FILTERS: Final = frozenset({Interpolation.BILINEAR, Interpolation.BICUBIC})
"""Those that torch has with antialiasing, as Pillow computes them."""
_VECTORISED: Final = frozenset({"AVX2", "AVX512"})
"""Processors for which torch has vectorised code; without it, it is slower than Pillow."""


class CpuFastDecoder:
    """Decodes images for one version's input; threads may share it."""

    takes_heavy = False

    def __init__(self, spec: ImageSpec, *, max_pixels: int, sized: bool = False) -> None:
        """`sized` is whether each image's pixels come with the picture's size."""
        decode_one: Callable[..., Pixels | SizedPixels] = decode_sized if sized else decode
        self._decode = partial(decode_one, spec=spec, max_pixels=max_pixels, resize_and_crop=resize_and_crop_fast)

    def decode(self, images: Sequence[bytes]) -> "list[Pixels | SizedPixels | None]":
        """Return each image's pixels (height, width, channels), None for one that can't be decoded."""
        return [self._pixels(image) for image in images]

    def _pixels(self, image: bytes) -> "Pixels | SizedPixels | None":
        try:
            return self._decode(image)
        except Undecodable:
            return None


def is_faster(spec: ImageSpec) -> bool:
    """Tell whether this processor resizes faster with torch than with Pillow, with the spec's filter and no border."""
    return (
        spec.interpolation in _FILTERS and spec.pad is None and torch.backends.cpu.get_cpu_capability() in _VECTORISED
    )


def resize_and_crop_fast(image: Image.Image, spec: ImageSpec, *, max_pixels: int) -> "Pixels":
    """Return what `preprocessing.resize_and_crop` returns for an image of mode RGB or L, but for a few grey levels."""
    size = resized_size(image.size, spec)
    left, top, right, bottom = window(size, spec).box
    has_border = left < 0 or top < 0 or right > size[0] or bottom > size[1]
    if size == image.size or has_border or spec.interpolation not in _FILTERS:
        return resize_and_crop(image, spec, max_pixels=max_pixels)
    check_pixels(*size, max_pixels=max_pixels)
    width, height = image.size
    # A bytearray, because torch warns of memory that it may not write to.
    pixels = torch.frombuffer(bytearray(image.tobytes("raw", spec.mode)), dtype=torch.uint8)
    planes = pixels.view(1, height, width, -1).permute(0, 3, 1, 2)
    with torch.inference_mode():
        [found] = interpolate(planes, (size[1], size[0]), mode=spec.interpolation.value, antialias=True)
        cropped: Pixels = found[:, top:bottom, left:right].permute(1, 2, 0).contiguous().numpy()
        return cropped
