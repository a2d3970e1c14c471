"""What goes wrong with a model version: it can't be loaded, it is not what it says, or it needs too much memory."""

from asyncio import CancelledError
from collections.abc import Sequence


class ModelUnavailable(Exception):
    """A version can't be loaded; the message says why, in one line."""


class ModelError(Exception):
    """A version is not what its metadata says, or its scores can't be used."""


class IncompleteMetadata(ModelError):
    """A version lacks metadata that it can't be served without."""

    def __init__(self, text: str, *, missing: Sequence[str]) -> None:
        super().__init__(text)
        self.missing = tuple(missing)
        """The keys."""


class OutOfMemory(Exception):
    """The device has too little memory for a micro-batch of this size."""


def is_of_a_model(error: BaseException) -> bool:
    """Tell whether a model may have raised this: whatever fails an image or a load, and not the worker.

    Besides exceptions those are exits, and panics of libraries written in Rust, which have no class to import.
    """
    ends = (SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError)
    return isinstance(error, (Exception, *ends)) or type(error).__name__ == "PanicException"
