"""The descriptors of standard input, output and error, where a model's code closes them or leads them elsewhere.

The next file or connection that the process opens has the number of one that is closed: with those of output and error
free, log lines went into a connection to Redis.
"""

import fcntl
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

_STANDARD: Final = (0, 1, 2)
_FIRST_COPY: Final = 10
"""No copy has a number that code may take for granted."""

Kind = tuple[int, ...]
"""What a descriptor leads to: a type and which one it is. Of a file the type alone, since full ones are replaced."""
_CLOSED: Final[Kind] = ()


class StandardDescriptors:
    """Has copies of them, by which they are set back."""

    def __init__(self, descriptors: Sequence[int] = _STANDARD) -> None:
        self._descriptors = descriptors
        self._copies: dict[int, int] = {}

    def begin(self) -> None:
        """Copy what is open now, in place of the copies before."""
        self.close()
        for one in self._descriptors:
            with suppress(OSError):  # it was closed from the beginning
                self._copies[one] = fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, _FIRST_COPY)

    def read(self) -> tuple[Kind, ...]:
        """Return what each leads to, 2 µs."""
        return tuple([_kind(one) for one in self._descriptors])

    def write(self, kept: tuple[Kind, ...]) -> None:
        """Set back what `read` returned; what was closed from the beginning is left."""
        for one, kind in zip(self._descriptors, kept, strict=True):
            if kind != _kind(one) and one in self._copies:
                os.dup2(self._copies[one], one)

    def close(self) -> None:
        """Close the copies."""
        for copy in self._copies.values():
            os.close(copy)
        self._copies = {}


def _kind(descriptor: int) -> Kind:
    try:
        found = os.fstat(descriptor)
    except OSError:
        return _CLOSED
    kind = stat.S_IFMT(found.st_mode)
    return (kind,) if kind == stat.S_IFREG else (kind, found.st_dev, found.st_ino)
