"""Pixels together with the size of the picture that they come from, for versions whose outputs lie in the picture."""

from typing import Any, NamedTuple


class SizedPixels(NamedTuple):
    """What a version takes of an image, and the original picture's (width, height), upright, in pixels."""

    pixels: Any
    size: tuple[int, int]
