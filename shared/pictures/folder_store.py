"""Kept pictures in a folder, which may be a network drive that all predict and upkeep workers mount.

A picture is written to a file in `.partial` and renamed, so that a killed writer leaves no half picture under a name.
Nothing is forced to disk: a power cut may lose or empty the last pictures, which `darkroom export` notices by their
digests. Only the user that runs the workers may read files and folders.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from shared.pictures.names import read_name
from shared.pictures.picture_store import Kept, StoreError

PARTIAL: Final = ".partial"
_PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600


class FolderStore:
    """A folder of pictures; files in it that have other names are left alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self) -> None:
        """Make the folder, where it is missing."""
        try:
            self._folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)  # those above keep the usual mode
            (self._folder / PARTIAL).mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)
        except OSError as error:
            raise StoreError(_reason(error)) from error

    def keep(self, name: str, image: bytes) -> bool:
        """Write a picture whole or not at all; return False, changing nothing, where it is there already."""
        path = self._folder / name
        if path.exists():
            return False
        partial = self._folder / PARTIAL / f"{os.getpid()}-{threading.get_ident()}"
        self.make()
        try:
            self._make_folders(path.parent)
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE_FILE), "wb") as file:
                file.write(image)
            try:
                partial.replace(path)
            except FileNotFoundError:  # a purge has just removed the empty folder
                self._make_folders(path.parent)
                partial.replace(path)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise StoreError(_reason(error)) from error
        return True

    def pictures(self, prefix: str = "") -> Iterator[Kept]:
        """Yield the pictures whose names begin with a prefix, which ends with `/` or is empty."""
        try:
            yield from self._below(self._folder / prefix, prefix)
        except OSError as error:
            raise StoreError(_reason(error)) from error

    def owners(self) -> Iterator[str]:
        """Yield the first part of all names, each once."""
        try:
            for entry in _entries(self._folder):
                if entry.name != PARTIAL and entry.is_dir(follow_symlinks=False):
                    yield entry.name
        except OSError as error:
            raise StoreError(_reason(error)) from error

    def read(self, name: str) -> bytes | None:
        """Return a picture; None where there is none of this name."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(_reason(error)) from error

    def delete(self, names: Iterable[str]) -> None:
        """Delete pictures and folders that are empty then; some may be gone already."""
        try:
            for name in names:
                path = self._folder / name
                path.unlink(missing_ok=True)
                for folder in path.relative_to(self._folder).parents[:-1]:
                    with suppress(OSError):  # not empty, or gone
                        (self._folder / folder).rmdir()
        except OSError as error:
            raise StoreError(_reason(error)) from error

    def clean(self, *, before: float) -> None:
        """Delete what writers that were killed before this time (Unix seconds) left half done."""
        with suppress(OSError):
            for entry in _entries(self._folder / PARTIAL):
                if entry.stat(follow_symlinks=False).st_mtime < before:
                    Path(entry.path).unlink(missing_ok=True)

    def _make_folders(self, folder: Path) -> None:
        """Make a folder and those above it: `mkdir` with `parents` gives its mode to the last one alone."""
        for one in (*reversed(folder.relative_to(self._folder).parents), folder.relative_to(self._folder)):
            (self._folder / one).mkdir(mode=_PRIVATE_FOLDER, exist_ok=True)

    def _below(self, folder: Path, prefix: str) -> Iterator[Kept]:
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False):
                if prefix or entry.name != PARTIAL:
                    yield from self._below(Path(entry.path), f"{prefix}{entry.name}/")
            elif read_name(f"{prefix}{entry.name}") and entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):
                    facts = entry.stat(follow_symlinks=False)
                    yield Kept(f"{prefix}{entry.name}", facts.st_size, facts.st_mtime)


def _entries(folder: Path) -> "list[os.DirEntry[str]]":
    """Return what is in a folder, by name; nothing where it is missing."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []


def _reason(error: OSError) -> str:
    return f"{error.strerror or type(error).__name__}: {error.filename or ''}"
