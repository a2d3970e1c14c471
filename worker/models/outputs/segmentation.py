"""The outputs of a segmentation: the class of each pixel as a PNG, and the share of each class that occurs."""

import base64
import colorsys
import io
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from shared.domain.large_masks import LARGEST_WITH_MASK
from worker.decode.geometry import place, resized_size, window
from worker.models.errors import ModelError
from worker.models.metadata.model_metadata import ModelMetadata
from worker.models.outputs.writer import DIGITS, Output, Size, as_json, write_each

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Mask = NDArray[np.uint8]

LARGEST_MASK: Final = 4_000_000
"""Pixels of the original picture up to which the mask has its size."""
UNSEEN: Final = 255
"""Stands for pixels that the crop cut off: the model has not seen them."""


class SegmentationWriter:
    """Writes one mask for each image: in the original picture's size, or in the model's where that is too large."""

    needs_size = True

    def __init__(self, metadata: ModelMetadata) -> None:
        self._spec = metadata.spec
        self._labels = metadata.labels

    def write(self, found: "Sequence[Mask | ModelError]", sizes: Sequence[Size] = ()) -> Sequence[Output]:
        """Return an output for each image, whose picture has the size at the same place."""
        return write_each(found, self._output, sizes)

    def _output(self, mask: "Mask", size: Size) -> bytes:
        mask = self._in_picture(mask, size) if size[0] * size[1] <= LARGEST_MASK else self._without_border(mask, size)
        counts = np.bincount(mask.reshape(-1), minlength=UNSEEN + 1)
        counts[UNSEEN] = 0
        occurring = np.flatnonzero(counts).tolist()
        if occurring and occurring[-1] >= len(self._labels):
            raise ModelError(f"the model answers with class {occurring[-1]} and has {len(self._labels)} labels")
        seen = max(1, int(counts.sum()))
        shares = [(index, round(int(counts[index]) / seen, DIGITS)) for index in occurring]
        height, width = mask.shape
        output = {
            "width": width,
            "height": height,
            "mask": base64.b64encode(_png(mask)).decode(),
            "classes": [
                {"label": self._labels[index], "index": index, "share": share}
                for index, share in sorted(shares, key=lambda one: -one[1])
            ],
        }
        return as_json(output, most=LARGEST_WITH_MASK)

    def _in_picture(self, mask: "Mask", size: Size) -> "Mask":
        """Return the mask of the original picture: of each of its pixels, what the model says of that place."""
        placement = place(size, self._spec)
        input_size = self._spec.input_size
        assert input_size is not None  # noqa: S101  a spec whose input's size is open is refused when it is read
        rows = _nearest(size[1], placement.scale_y, placement.top, input_size[0], mask.shape[0])
        columns = _nearest(size[0], placement.scale_x, placement.left, input_size[1], mask.shape[1])
        found: Mask = mask[np.clip(rows, 0, None)[:, None], np.clip(columns, 0, None)[None, :]]
        found[rows < 0, :] = UNSEEN
        found[:, columns < 0] = UNSEEN
        return found

    def _without_border(self, mask: "Mask", size: Size) -> "Mask":
        """Return the part of the mask that is of the picture, where `pad` has put a border around that."""
        across, down = resized_size(size, self._spec)
        part, (height, width) = window((across, down), self._spec), mask.shape
        rows, columns = max(0, -part.top) * height // part.height, max(0, -part.left) * width // part.width
        return mask[
            rows : rows + -(-down * height // part.height), columns : columns + -(-across * width // part.width)
        ]


def _nearest(count: int, scale: float, start: int, input_side: int, mask_side: int) -> "NDArray[np.intp]":
    """Return for each of the picture's rows or columns the mask's, -1 where the crop left it out.

    A mask may be smaller than the input: many models answer with a fourth or an eighth of it.
    """
    places = (np.arange(count) + 0.5) * scale - start
    nearest = np.floor(places * (mask_side / input_side)).astype(np.intp)
    return np.where((places >= 0) & (places < input_side), np.clip(nearest, 0, mask_side - 1), -1)


def _png(mask: "Mask") -> bytes:
    image = Image.frombytes("P", (mask.shape[1], mask.shape[0]), np.ascontiguousarray(mask).tobytes())
    image.putpalette(_palette())
    file = io.BytesIO()
    image.save(file, "PNG", compress_level=6)
    return file.getvalue()


@cache
def _palette() -> bytes:
    """Return a colour for each class: black for class 0, then hues as far apart as they can be; white for UNSEEN."""
    colours = [(0.0, 0.0, 0.0)]
    colours += [
        colorsys.hsv_to_rgb(index * 0.618034 % 1, 0.75, 0.9 if index % 2 else 0.65) for index in range(1, UNSEEN)
    ]
    colours.append((1.0, 1.0, 1.0))
    return bytes(round(255 * part) for colour in colours for part in colour)
