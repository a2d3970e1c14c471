"""Sizes and offsets of resizing, cropping and padding, as torchvision has them, and the way back to the picture."""

from collections.abc import Sequence
from typing import NamedTuple

from shared.domain.image import CropRounding, ImageSpec, Pad


def resized_size(now: tuple[int, int], spec: ImageSpec) -> tuple[int, int]:
    """Return the width and height to which an image of width and height `now` is resized.

    One number is the shorter side's length, and the longer side is rounded down; two are height and width, or with
    `pad` those of the frame that the image fits into, to the nearest pixel.
    """
    size = spec.resize_size
    if size is None:
        return now
    width, height = now
    if len(size) > 1:
        high, wide = size
        if spec.pad is None:
            return wide, high
        scale = min(wide / width, high / height)
        return max(1, round(width * scale)), max(1, round(height * scale))
    short, long = min(now), max(now)
    scaled = int(size[0] * long / short)
    return (size[0], scaled) if width <= height else (scaled, size[0])


class Window(NamedTuple):
    """The part of the resized image that is the input, in its pixels; it is wider where the image has a border."""

    left: int
    top: int
    width: int
    height: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom."""
        return self.left, self.top, self.left + self.width, self.top + self.height

    def within(self, size: tuple[int, int]) -> "Window":
        """Return what of it lies within a picture of this width and height."""
        left, top, right, bottom = self.box
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, size[0]), min(bottom, size[1])
        return Window(left, top, right - left, bottom - top)

    def seen_from(self, other: "Window") -> "Window":
        """Return it in the pixels of another window."""
        return Window(self.left - other.left, self.top - other.top, self.width, self.height)


def window(resized: tuple[int, int], spec: ImageSpec) -> Window:
    """Return which part of an image resized to this width and height is the input."""
    size = spec.crop_size if spec.pad is None else spec.resize_size
    if size is None:
        return Window(0, 0, *resized)
    width, height = size[-1], size[0]
    if spec.pad is Pad.END or (width, height) == resized:
        return Window(0, 0, width, height)
    left, top = (_offset(*sides, spec.crop_rounding) for sides in zip(resized, (width, height), strict=True))
    return Window(left, top, width, height)


def _offset(available: int, wanted: int, rounding: CropRounding) -> int:
    """Return where the centre begins; negative if it begins outside the image."""
    if wanted > available:
        return -((wanted - available) // 2)
    return (available - wanted) // 2 if rounding is CropRounding.DOWN else round((available - wanted) / 2)


class Placement(NamedTuple):
    """Where an upright picture lies in the model's input: there x is `x * scale_x - left`, y is `y * scale_y - top`.

    In continuous coordinates: a pixel's upper left corner is a whole number. `left` and `top` are negative where a
    picture has a border, as one that is smaller than the crop.
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
    across, down = resized_size(size, spec)
    left, top, _, _ = window((across, down), spec)
    return Placement(width, height, across / width, down / height, left, top)
