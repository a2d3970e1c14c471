"""How many pictures and crops a pipeline holds at once."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from worker.predict.pipelines.condition import Selection

PORTION: Final = 32_000_000
"""Pixels of pictures that are held at once, if they are of more than one: 100 MB in RGB."""
MOST_CROPS_AT_ONCE: Final = 64
"""Crops and pictures that one micro-batch asks a second step about; one picture's where it has more."""

One = TypeVar("One")


def portions(pieces: Sequence[One], *, size: Callable[[One], int], most: int) -> Iterator[list[One]]:
    """Yield the pieces in portions of at most PORTION pixels and `most` pieces, or of one piece."""
    portion: list[One] = []
    held = 0
    for one in pieces:
        pixels = size(one)
        if portion and (held + pixels > PORTION or len(portion) >= most):
            yield portion
            portion, held = [], 0
        portion.append(one)
        held += pixels
    if portion:
        yield portion


def selected_pixels(selection: Selection) -> int:
    """Return the pixels of a selection's crop; a whole picture is held already and counts for none."""
    if selection.crop is None:
        return 0
    left, top, right, bottom = selection.crop
    return (right - left) * (bottom - top)
