"""Images to model input as torchvision's own preset makes it, `torchvision.transforms._presets.ImageClassification`.

Used where a figure or an expected class has to be independent of Darkroom's decoding: nothing of `worker/` is imported.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg
from torchvision.transforms.v2 import functional

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """What the preset is given, under its names; sizes are those of squares, as in most models."""

    resize_size: int
    crop_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_metadata(cls, image: dict[str, Any]) -> Self:
        """Read the `image` of an `MLmodel` file's metadata."""
        (resize,), (crop,) = image["resize_size"], image["crop_size"]
        return cls(resize_size=resize, crop_size=crop, mean=tuple(image["mean"]), std=tuple(image["std"]))

    def pixels(self, image: bytes) -> Pixels:
        """Decode, resize the shorter side and crop the centre with Pillow: (height, width, 3)."""
        decoded: Image.Image = Image.open(BytesIO(image))
        if decoded.mode != "RGB":
            decoded = decoded.convert("RGB")
        size = self._resized(decoded.width, decoded.height)
        if decoded.size != size:
            decoded = decoded.resize(size, Image.Resampling.BILINEAR)
        if size != (self.crop_size, self.crop_size):
            # Pillow rounds half to even, and so does the preset.
            left, top = (round((side - self.crop_size) / 2) for side in size)
            decoded = decoded.crop((left, top, left + self.crop_size, top + self.crop_size))
        return np.asarray(decoded)

    def fast_pixels(self, image: bytes) -> Pixels:
        """Do the same to a JPEG with libjpeg-turbo's decoder in torchvision and its resizing of bytes.

        Nearly the same pixels: one grey level apart in a thousandth of them.
        """
        file = torch.frombuffer(bytearray(image), dtype=torch.uint8)
        decoded = decode_jpeg(file, mode=ImageReadMode.RGB)
        resized = functional.resize(decoded, [self.resize_size], antialias=True)
        cropped: Pixels = functional.center_crop(resized, [self.crop_size]).permute(1, 2, 0).numpy()
        return cropped

    def batch(self, pixels: Sequence[Pixels]) -> torch.Tensor:
        """Return normalised float32 (images, 3, height, width), channels last in memory: no rearranging copy."""
        planes = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float()
        mean, std = (torch.tensor(values).view(1, -1, 1, 1) * 255 for values in (self.mean, self.std))
        return planes.sub_(mean).div_(std)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        """Return the size whose shorter side is `resize_size`, the longer one rounded down as torchvision does."""
        if width <= height:
            return self.resize_size, int(self.resize_size * height / width)
        return int(self.resize_size * width / height), self.resize_size
