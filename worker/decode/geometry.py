"""Sizes and offsets of resizing and cropping, as torchvision computes them."""


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
