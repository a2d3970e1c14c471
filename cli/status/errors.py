"""The last warnings and errors in a stack's logs, in every format that its programs write."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cli.status.log_lines import Line, read_line

MOST: Final = 20
"""How many of the newest are kept."""
_TAIL: Final = 64 * 1024
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
    """Reads the logs in a folder; unchanged files are not read again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, tuple[tuple[int, int], list[Trouble]]] = {}

    def newest(self) -> list[Trouble]:
        """Return the last warnings and errors of all logs, the newest first; none where there are no logs."""
        return merge_repeated(trouble for path in self._folder.glob("*.log") for trouble in self._of(path))[:MOST]

    def _of(self, path: Path) -> list[Trouble]:
        try:
            now = path.stat()
            version = (now.st_size, now.st_mtime_ns)
            if path not in self._read or self._read[path][0] != version:
                lines = _last_lines(path)
                changed = datetime.fromtimestamp(now.st_mtime, UTC)
                self._read[path] = version, parse_log(lines, role=path.stem, changed=changed)
        except FileNotFoundError:  # renamed meanwhile
            return []
        return self._read[path][1]


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


def _last_lines(path: Path) -> list[str]:
    """Return the last complete lines of a log."""
    with path.open("rb") as file:
        begin = max(0, file.seek(0, 2) - _TAIL)
        file.seek(begin)
        lines = file.read().decode(errors="replace").splitlines()
    return [line for line in lines[1 if begin else 0 :] if line.strip()]
