"""Plans a bulk upload: which files are sent, under which names, in which parts."""

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Final, NamedTuple

from cli.bulk import archives
from cli.terminal.names import sent, shown
from shared.domain.file_names import is_clutter, showable_name

MOST_FILES: Final = 5_000
MOST_BYTES: Final = 256 * 1024**2
NOT_READ: Final = "not read"
# The gateway's own limit: it would shorten longer names, and report files under other names than were sent.
_LONGEST_NAME: Final = 1024


class Unusable(Exception):
    """The arguments can't be used; one line for people says why."""


class Mark(NamedTuple):
    """Identifies a version of a file: a changed file has another size or modification time."""

    name: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class File:
    """A file to send."""

    path: str
    mark: Mark
    is_archive: bool = False

    @property
    def name(self) -> str:
        """Its name in results: its path relative to the common parent of all PATHs, with `/`."""
        return self.mark.name

    def is_the_same(self, found: os.stat_result) -> bool:
        """Return True where the file has not changed since it was planned."""
        return (found.st_size, found.st_mtime_ns) == self.mark[1:]


class Failure(NamedTuple):
    """A file without a prediction, with status and reason in words for people."""

    name: str
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Files to send, by name; counts of skipped clutter and of links not followed; unreadable files."""

    files: list[File]
    skipped: int
    unread: list[Failure]
    links: int


class Part(NamedTuple):
    """What one upload sends. `tries` is how often these files were accepted before without success."""

    files: tuple[File, ...]
    tries: int

    @property
    def is_archive(self) -> bool:
        """Whether it is a single archive, sent as it is."""
        return self.files[0].is_archive


def make_plan(paths: Sequence[Path], *, leave_out: Collection[Path] = ()) -> Plan:
    """Find the files in all paths, except those to leave out; raises Unusable where there are none."""
    there = [os.path.abspath(path) for path in paths]  # noqa: PTH100  resolve() would lose a link's own name
    search = _Search(os.path.commonpath([os.path.dirname(path) for path in there]), leave_out)  # noqa: PTH120
    for given, path in zip(paths, there, strict=True):
        search.add(given, path)
    if not search.files and not search.unread:
        clutter = f" but {search.skipped:,} files of clutter" if search.skipped else ""
        raise Unusable(f"There is nothing to send in {' '.join(map(shown, paths))}{clutter}")
    return Plan([search.files[name] for name in sorted(search.files)], search.skipped, search.unread, search.links)


def split_into_parts(
    files: Sequence[File], *, tries: int = 0, most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES
) -> Iterator[Part]:
    """Yield parts within the limits, in order; an archive is a part of its own, and so is a file over the limit."""
    part: list[File] = []
    size = 0
    for file in files:
        is_full = len(part) == most_files or size + file.mark.size > most_bytes
        if part and (is_full or file.is_archive or part[0].is_archive):
            yield Part(tuple(part), tries)
            part, size = [], 0
        part.append(file)
        size += file.mark.size
    if part:
        yield Part(tuple(part), tries)


@dataclass(slots=True)
class _Search:
    """Collects files; names are relative to `base`."""

    base: str
    leave_out: Collection[Path]
    files: dict[str, File] = field(default_factory=dict)
    skipped: int = 0
    unread: list[Failure] = field(default_factory=list)
    links: int = 0

    def add(self, given: Path, path: str) -> None:
        """Add a path of the command line."""
        try:
            found = os.stat(path)  # noqa: PTH116  here and below: Path objects are slow with a million files
            if S_ISREG(found.st_mode):
                open(path, "rb").close()  # noqa: PTH123
                self._take(path, found, is_archive=archives.is_sendable(path))
            elif S_ISDIR(found.st_mode):
                self._walk(path)
            else:
                raise Unusable(f"{shown(given)} is neither a file nor a folder")
        except FileNotFoundError:
            raise Unusable(f"There is no {shown(given)}") from None
        except OSError as error:
            raise Unusable(f"{shown(given)} can't be read: {reason(error)}") from None

    def _walk(self, top: str) -> None:
        """Add all files below; links to folders are not followed, since they may form a cycle."""
        left_out = {_inode(os.stat(path)) for path in self.leave_out if path.exists()}  # noqa: PTH116
        for folder, folders, files in os.walk(top, onerror=self._note):
            inside = [(name, os.path.join(folder, name)) for name in sorted(folders)]  # noqa: PTH118
            self.links += sum(os.path.islink(path) for _, path in inside)  # noqa: PTH114
            folders[:] = [name for name, path in inside if not _is_among(path, left_out)]
            for name in sorted(files):
                path = os.path.join(folder, name)  # noqa: PTH118
                try:
                    found = os.stat(path)  # noqa: PTH116
                except OSError as error:
                    self._note(error)
                    continue
                if _inode(found) not in left_out:
                    self._take(path, found, is_archive=False)

    def _take(self, path: str, found: os.stat_result, *, is_archive: bool) -> None:
        name = self._name(path)
        if is_clutter(name) or not S_ISREG(found.st_mode):
            self.skipped += 1
            return
        # Two names may become equal when cleaned; and a file may be given twice, by itself and in its folder.
        while (other := self.files.get(name)) and other.path != path:
            name += "~"
        if other is None or is_archive:
            self.files[name] = File(path, Mark(name, found.st_size, found.st_mtime_ns), is_archive)

    def _note(self, error: OSError) -> None:
        self.unread.append(Failure(self._name(error.filename), NOT_READ, reason(error)))

    def _name(self, path: str) -> str:
        text = sent(path[len(self.base.rstrip("/")) + 1 :]).replace("\\", "/")
        return showable_name(text)[-_LONGEST_NAME:].lstrip("/")


def reason(error: OSError) -> str:
    """Return why a file can't be read."""
    return error.strerror or type(error).__name__


def _is_among(folder: str, left_out: Collection[tuple[int, int]]) -> bool:
    """Tell whether a folder is one to leave out; one that has gone meanwhile is none: reading it says so."""
    try:
        return bool(left_out) and _inode(os.lstat(folder)) in left_out
    except OSError:
        return False


def _inode(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
