"""What a store of kept pictures does: a folder (`folder_store`) and an S3 bucket (`s3_store`) alike."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol


class StoreError(Exception):
    """The store can't be read or written now; the text says why."""


@dataclass(frozen=True, slots=True)
class Kept:
    """One picture in a store: its name, its size in bytes, and when it was written (Unix seconds)."""

    name: str
    size: int
    written: float


class PictureStore(Protocol):
    """A store of pictures by name; threads may share it. Every method may raise StoreError."""

    def make(self) -> None:
        """Make what pictures are kept in, where a store makes that itself."""

    def keep(self, name: str, image: bytes) -> bool:
        """Write a picture whole or not at all; return False, changing nothing, where it is there already."""

    def pictures(self, prefix: str = "") -> Iterator[Kept]:
        """Yield the pictures whose names begin with a prefix, which ends with `/` or is empty."""

    def owners(self) -> Iterator[str]:
        """Yield the first part of all names, each once."""

    def read(self, name: str) -> bytes | None:
        """Return a picture; None where there is none of this name."""

    def delete(self, names: Iterable[str]) -> None:
        """Delete pictures; some of them may be gone already."""

    def clean(self, *, before: float) -> None:
        """Delete what writers that were killed before this time (Unix seconds) left half done."""
