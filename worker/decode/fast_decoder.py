"""What decodes images faster than Pillow, where a model version allows it."""

from collections.abc import Sequence
from typing import Protocol


class FastDecoder(Protocol):
    """Decodes images of a usual kind, to pixels that differ from Pillow's by a grey level or two."""

    takes_heavy: bool
    """Whether heavy images may be decoded with their micro-batch: they take a few milliseconds."""

    def decode(self, images: Sequence[bytes]) -> Sequence[object | None]:
        """Return for each image what the version predicts; None for one that Pillow has to decode."""
