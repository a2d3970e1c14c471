"""The processes that decode heavy images for this worker: a few, handed out one at a time."""

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from shared.domain.image import ImageSpec
from worker.decode.decoder_process import DecoderProcess
from worker.decode.sized_pixels import SizedPixels

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]


class DecoderPool:
    """The decoder processes of this worker, each used by one thread at a time; `stop` ends them."""

    def __init__(self, count: int, *, longest: timedelta, max_pixels: int) -> None:
        self.count = count
        self._all = [DecoderProcess(longest=longest, max_pixels=max_pixels) for _ in range(count)]
        # Last in, first out: a process is started only when those started before are all in use.
        self._free: queue.LifoQueue[DecoderProcess] = queue.LifoQueue()
        for decoder in reversed(self._all):
            self._free.put(decoder)

    def decode(self, data: bytes, spec: ImageSpec) -> "Pixels":
        """Decode in a free process, waiting for one; raises Undecodable."""
        with self._borrow() as decoder:
            return decoder.decode(data, spec)

    def decode_sized(self, data: bytes, spec: ImageSpec) -> SizedPixels:
        """Decode as `decode` does; return the picture's size too."""
        with self._borrow() as decoder:
            return decoder.decode_sized(data, spec)

    def decode_picture(self, data: bytes) -> "Pixels":
        """Decode the whole picture as `decode` does: upright, (height, width, 3 or 1)."""
        with self._borrow() as decoder:
            return decoder.decode_picture(data)

    @contextmanager
    def _borrow(self) -> Iterator[DecoderProcess]:
        decoder = self._free.get()
        try:
            yield decoder
        finally:
            self._free.put(decoder)

    def stop(self) -> None:
        """End the processes."""
        for decoder in self._all:
            decoder.stop()
