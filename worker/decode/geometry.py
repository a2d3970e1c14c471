"""Sizes and offsets of resizing and cropping, as torchvision computes them, and the way back to the picture."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.domain.image import ImageSpec


def resized_size(now: tuple[int, int], size: tuple[int, ...]) -> tuple[int, int]:
    """Return the width and height to which an image of width and height `now` is resized.

    One number is the shorter side's length, and the longer side is rounded down; two are height and width.
    """
    if len(size) > 1:
        return size[1], size[0]
    width, height = now
    short, long = min(now), max(now)
    scaled = int(size[0] * long / short)
    return (size[0], scaled) if width <= height else (scaled, size[0])


def crop_size(size: tuple[int, ...]) -> tuple[int, int]:
    """Return the width and height of a centre crop."""
    return (size[1], size[0]) if len(size) > 1 else (size[0], size[0])


def crop_offset(available: int, wanted: int) -> int:
    """Return where the crop begins; negative if it begins outside the image."""
    if wanted > available:
        return -((wanted - available) // 2)
    return round((available - wanted) / 2)


class Placement(NamedTuple):
    """Where an upright picture lies in the model's input: there x is `x * scale_x - left`, y is `y * scale_y - top`.

    In continuous coordinates: a pixel's upper left corner is a whole number. `left` and `top` are negative where a
    picture is smaller than the crop, which has a border then.
    """

    width: int
    height: int
    scale_x: float
    scale_y: float
    left: int
    top: int

    def in_picture(self, box: Sequence[float]) -> tuple[float, float, float, float]:
        """Return a box (x0, y0, x1, y1) of the input in the picture's pixels, clipped to the picture."""
        x0, y0, x1, y1 = box
        return (
            min(max((x0 + self.left) / self.scale_x, 0.0), float(self.width)),
            min(max((y0 + self.top) / self.scale_y, 0.0), float(self.height)),
            min(max((x1 + self.left) / self.scale_x, 0.0), float(self.width)),
            min(max((y1 + self.top) / self.scale_y, 0.0), float(self.height)),
        )


def place(size: tuple[int, int], spec: ImageSpec) -> Placement:
    """Return where an upright picture of this width and height lies in the input that a spec makes of it."""
    width, height = size
    across, down = size if spec.resize_size is None else resized_size(size, spec.resize_size)
    left = top = 0
    if spec.crop_size is not None:
        wide, high = crop_size(spec.crop_size)
        left, top = crop_offset(across, wide), crop_offset(down, high)
    return Placement(width, height, across / width, down / height, left, top)
