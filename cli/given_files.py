"""Files that a person names: read whole, and never more of them than can be meant."""

from pathlib import Path
from typing import Final

MIB: Final = 1024 * 1024


class TooLarge(OSError):
    """The file has more bytes than what it should be can have."""

    def __init__(self, most: int) -> None:
        super().__init__(f"it has over {most // MIB:,} MiB")
        self.strerror = str(self)


def read_given(file: Path, *, most: int) -> bytes:
    """Return a file's or a pipe's content, of `most` bytes; raises OSError, which TooLarge is.

    Devices, sparse files and pipes may have any number of bytes: without a bound they would fill the memory.
    """
    with file.open("rb") as source:
        content = source.read(most + 1)
    if len(content) > most:
        raise TooLarge(most)
    return content
