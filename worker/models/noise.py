"""Images of noise, on which a version is tried before it serves."""

from typing import TYPE_CHECKING

import numpy as np

from shared.domain.image import ImageSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


def noise(spec: ImageSpec, count: int) -> "list[NDArray[np.uint8]]":
    """Return images (height, width, channels) in the spec's input size, the same each time.

    Noise, because models that divide by an image's own deviation would divide by zero for a uniform one.
    """
    height, width = spec.input_size or (1, 1)
    return list(np.random.default_rng(0).integers(0, 256, (count, height, width, spec.mode.channels), dtype=np.uint8))
