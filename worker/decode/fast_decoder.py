"""What decodes images faster than Pillow, where a model version allows it."""

from collections.abc import Sequence
from typing import Protocol


class FastDecoder(Protocol):
    """Decodes images of a usual kind, to pixels that differ from Pillow's by a grey level or two."""

    def decode(self, images: Sequence[bytes]) -> Sequence[object | None]:
        """Return for each image what the version predicts; None for one that Pillow has to decode."""
