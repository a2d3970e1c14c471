"""Resizes a picture and cuts a window out of it, without computing most of what the window leaves out.

Pillow resizes in two passes, each of which rounds to bytes: it changes the width first, then the height, unless the
picture shrinks much more in height (`ImagingResample` in its `Resample.c`). Two calls that change one side each are
the same two passes, byte for byte, and what the second does not read is cut off between them. Columns can't be cut off
before the first: Pillow takes the corners of a part as floats of 32 bits, and a few bytes would differ.
"""

import math
import random
from functools import cache
from typing import Final

from PIL import Image

from shared.domain.image import Interpolation
from worker.decode.geometry import Window
from worker.decode.image_loading import check_pixels

_FILTERS: Final = {
    Interpolation.NEAREST: (Image.Resampling.NEAREST, 0.0),
    Interpolation.BILINEAR: (Image.Resampling.BILINEAR, 1.0),
    Interpolation.BICUBIC: (Image.Resampling.BICUBIC, 2.0),
    Interpolation.BOX: (Image.Resampling.BOX, 0.5),
    Interpolation.HAMMING: (Image.Resampling.HAMMING, 1.0),
    Interpolation.LANCZOS: (Image.Resampling.LANCZOS, 3.0),
}
"""Pillow's filters, with how many pixels of the smaller picture each reaches to either side."""
_MOST_ROWS: Final = 0.75
"""Share of the rows up to which it pays to resize only those that are read, and to put them into a blank picture."""
_NARROW: Final = 100
"""Times the width: Pillow before 13 changes the height of a higher picture first."""


def resized_window(
    image: Image.Image, size: tuple[int, int], part: Window, interpolation: Interpolation, *, max_pixels: int
) -> Image.Image:
    """Return `image.resize(size, …).crop(part.box)`, byte for byte, for an image of mode RGB or L.

    `part` lies within `size`. Raises Undecodable for a `size` of more than `max_pixels`.
    """
    # A strip of 1 x 50,000,000 pixels is within the limit only until its shorter side becomes 256.
    check_pixels(*size, max_pixels=max_pixels)
    resampling, reach = _FILTERS[interpolation]
    if part == (0, 0, *size):
        return image.resize(size, resampling)
    if interpolation is Interpolation.NEAREST or not (_changes_width_first(image.size, size) and _is_as_two_calls()):
        return image.resize(size, resampling).crop(part.box)
    height = image.height
    first, last = _rows_read(height, size[1], part, reach)
    left, top, right, bottom = part.box
    if last - first > _MOST_ROWS * height:
        narrow = image.resize((size[0], height), resampling).crop((left, 0, right, height))
    else:
        read = image.crop((0, first, image.width, last))
        # The other rows are not read, but by the height Pillow tells which ones are.
        narrow = Image.new(image.mode, (part.width, height))
        narrow.paste(read.resize((size[0], last - first), resampling).crop((left, 0, right, last - first)), (0, first))
    return narrow.resize((part.width, size[1]), resampling).crop((0, top, part.width, bottom))


def _changes_width_first(now: tuple[int, int], size: tuple[int, int]) -> bool:
    """Tell whether each Pillow changes the width first."""
    narrower, lower = now[0] - size[0], now[1] - size[1]
    return lower <= 0 or (lower <= 2 * narrower and now[1] <= _NARROW * now[0])


@cache
def _is_as_two_calls() -> bool:
    """Tell whether the installed Pillow is known: whether one call gives what two give, at the edge of that rule."""
    noise = Image.frombytes("L", (24, 48), random.Random(0).randbytes(24 * 48))  # noqa: S311  not a secret
    half, narrow = (noise.resize(size, Image.Resampling.BILINEAR) for size in ((12, 24), (12, 48)))
    return half == narrow.resize((12, 24), Image.Resampling.BILINEAR)


def _rows_read(height: int, resized: int, part: Window, reach: float) -> tuple[int, int]:
    """Return the first row, and the one after the last, that a part of a picture resized to another height is made of.

    And one more at either end, since Pillow rounds them.
    """
    scale = height / resized
    reach *= max(scale, 1.0)
    first = math.floor((part.top + 0.5) * scale - reach) - 1
    last = math.ceil((part.top + part.height - 0.5) * scale + reach) + 1
    return max(0, first), min(height, last)
