"""The last warnings and errors in a stack's logs, in every format that its programs write."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cli.status.log_lines import Line, read_line

MOST: Final = 20
"""How many of the newest are kept."""
_UNSETTLED: Final = 64 * 1024
"""Bytes at the end of a log, at least, that are parsed again when it grows: a traceback there may go on."""
# Of our own lines, which are nearly all: those that are neither, before another one of them.
_NO_TROUBLE: Final = rb'\{"time":"[^"]+","level":"(?:info|debug)",'
_PASSED_OVER: Final = re.compile(rb"(?m)^" + _NO_TROUBLE + rb".*\n(?=" + _NO_TROUBLE + rb")")
_TRACEBACK: Final = "Traceback (most recent call last):"
_CHAINED: Final = ("During handling of the above exception", "The above exception was the direct cause")
_HARMLESS: Final = (
    # Answers to probes while Postgres starts or stops.
    "the database system is starting up",
    "the database system is shutting down",
    # Redis prints this at every start on most machines; it concerns replicas and background saves, unused here.
    "WARNING Memory overcommit must be enabled!",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A warning or error that a process logged; `times` is how often, `at` when last."""

    at: datetime
    role: str
    event: str
    reason: str = ""
    times: int = 1


class Logs:
    """Reads the logs in a folder, full ones that were renamed too; what was read of a file is not read again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._logs: dict[Path, _Log] = {}

    def newest(self) -> list[Trouble]:
        """Return the last warnings and errors of all logs, the newest first; none where there are no logs."""
        paths = set(self._folder.glob("*.log*"))
        self._logs = {path: self._logs.get(path) or _Log(path) for path in sorted(paths)}
        return merge_repeated(trouble for log in self._logs.values() for trouble in log.read())[:MOST]


class _Log:
    """One file, and the warnings and errors in it; the role is what its name begins with."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._role = path.name.partition(".log")[0]
        self._begin_anew(None)

    def _begin_anew(self, file: int | None) -> None:
        self._file = file
        self._version = (0, 0)
        self._offset = 0
        self._settled: list[Trouble] = []
        self._latest: list[Trouble] = []

    def read(self) -> list[Trouble]:
        """Return the file's newest warnings and errors; only what is new is parsed."""
        try:
            with self._path.open("rb") as file:
                now = os.fstat(file.fileno())
                if now.st_ino != self._file or now.st_size < self._offset:  # another file has the name, or it was cut
                    self._begin_anew(now.st_ino)
                if self._version != (now.st_size, now.st_mtime_ns):
                    file.seek(self._offset)
                    self._parse(file.readlines(), changed=datetime.fromtimestamp(now.st_mtime, UTC))
                    self._version = now.st_size, now.st_mtime_ns
        except FileNotFoundError:  # renamed meanwhile
            return []
        return [*self._settled, *self._latest]

    def _parse(self, lines: list[bytes], *, changed: datetime) -> None:
        """Parse what is not settled, and settle all but its end."""
        end = _begin_of_end(lines, changed=changed)
        if end:
            begun = read_line(_text(lines[end]), changed=changed)
            until = begun.at if begun is not None and begun.at is not None else changed
            settled = b"".join(lines[:end])
            self._offset += len(settled)
            # Parsing them all would take a second and a half for a full log.
            found = self._of(_PASSED_OVER.sub(b"", settled).splitlines(), changed=until)
            self._settled = merge_repeated([*self._settled, *found])[:MOST]
        self._latest = self._of(lines[end:], changed=changed)

    def _of(self, lines: Iterable[bytes], *, changed: datetime) -> list[Trouble]:
        texts = [text for text in map(_text, lines) if text.strip()]
        return parse_log(texts, role=self._role, changed=changed)


def _begin_of_end(lines: Sequence[bytes], *, changed: datetime) -> int:
    """Return the place of the line with which the last _UNSETTLED bytes begin, or of one with a time before it."""
    place, length = len(lines), 0
    while place and length < _UNSETTLED:
        place -= 1
        length += len(lines[place])
    for timed in range(min(place, len(lines) - 1), -1, -1):
        line = read_line(_text(lines[timed]), changed=changed)
        if line is not None and line.at is not None:
            return timed
    return place


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\r\n")


def merge_repeated(troubles: Iterable[Trouble]) -> list[Trouble]:
    """Return the newest first; repeated ones are merged into one, at the time of the last."""
    merged: dict[tuple[str, str, str], Trouble] = {}
    for trouble in sorted(troubles, key=lambda trouble: trouble.at):
        key = (trouble.role, trouble.event, trouble.reason)
        before = merged.pop(key, None)
        merged[key] = replace(trouble, times=trouble.times + (before.times if before else 0))
    return list(reversed(merged.values()))


def parse_log(lines: Sequence[str], *, role: str, changed: datetime) -> list[Trouble]:
    """Return the warnings and errors in the lines of a log, in order; `changed` is when the file was written last.

    A line without a time gets that of the line before it; after the last line with a time, `changed`.
    """
    read = list(_without_tracebacks(lines, changed=changed))
    last_timed = max((number for number, line in enumerate(read) if line.at), default=-1)
    troubles, at = [], changed
    for number, line in enumerate(read):
        at = changed if number > last_timed else line.at or at
        if line.is_severe and not line.event.startswith(_HARMLESS):
            troubles.append(Trouble(at=at, role=role, event=line.event, reason=line.reason))
    return troubles


def _without_tracebacks(lines: Iterable[str], *, changed: datetime) -> Iterator[Line]:
    """Yield the parsed lines. A traceback is merged into the error logged just before it, as its reason."""
    before: Line | None = None
    goes_on, inside = False, False
    for text in lines:
        if text == _TRACEBACK:
            inside = True
        elif inside and text[:1].isspace():
            continue
        elif inside:
            inside = False
            if before is not None and before.is_severe and goes_on:
                before = replace(before, reason=text)
                goes_on = False
            else:
                yield from [before] if before else []
                event, _, reason = text.partition(": ")
                before = Line(at=None, is_severe=True, event=event, reason=reason)
                goes_on = False
        elif text.startswith(_CHAINED):
            goes_on = True
        elif (line := read_line(text, changed=changed)) is not None:
            yield from [before] if before else []
            before, goes_on = line, True
    yield from [before] if before else []
