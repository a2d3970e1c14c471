"""SIGTERM, taken as Ctrl-C, and the exit status of a command that was interrupted."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

INTERRUPTED: Final = 130
"""As shells have it: 128 and the number of SIGINT."""


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """Raise KeyboardInterrupt at SIGTERM while the block runs: both stop what the command started."""

    def interrupt(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  the signal module's form
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
