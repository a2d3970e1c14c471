"""What a header reader returns, and the errors it raises."""

from collections.abc import Callable

Header = tuple[int, int, float]
"""Width and height in pixels, as stored (turning an image upright is the worker's), and an estimate of the work.

The estimate is in milliseconds of one core of 2024, and rather too high: an image estimated at a few milliseconds never
takes a hundred to decode.
"""
HeaderReader = Callable[[bytes], Header]


class BrokenImageError(Exception):
    """The file begins like an image but is broken, or would take too much work; the message says how."""


class OtherFormatError(BrokenImageError):
    """The file begins like one format but is another one, which is not supported; the message says which."""
