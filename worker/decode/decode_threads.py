"""Decodes the images of a micro-batch on several cores at once: beside a GPU, which would wait for one core."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

Decoded = TypeVar("Decoded")

WORTH_A_THREAD: Final = 1.0
"""Milliseconds of estimated work in a micro-batch from which threads are quicker: handing an image over takes 0.05."""


class DecodeThreads:
    """Threads that decode; Pillow lets go of Python's lock meanwhile. With no threads the caller decodes alone."""

    def __init__(self, count: int) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="decode") if count > 1 else None

    def map(
        self, decode: Callable[[bytes], Decoded], images: Sequence[bytes], *, estimated_work: float
    ) -> list[Decoded]:
        """Return each image's result, in order; `estimated_work` is the milliseconds of all of them together."""
        if self._threads is None or len(images) == 1 or estimated_work < WORTH_A_THREAD:
            return [decode(image) for image in images]
        return list(self._threads.map(decode, images))

    def stop(self) -> None:
        """End the threads once they have decoded what they have."""
        if self._threads is not None:
            self._threads.shutdown()
