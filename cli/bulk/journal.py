"""What a bulk run has sent, for `--resume`: a file of JSON lines that a kill at any instant leaves readable."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cli.bulk.parts import Mark


@dataclass(frozen=True, slots=True)
class Entry:
    """A part that the gateway took: its batch and what is in it."""

    batch: str
    files: tuple[Mark, ...]
    is_archive: bool


@dataclass(slots=True)
class Journal:
    """A run's id, which makes its idempotency keys its own, and the parts that were taken, in order."""

    path: Path
    run: str
    entries: list[Entry] = field(default_factory=list)

    @classmethod
    def begin(cls, path: Path) -> Self:
        """Begin a run; what was noted of an earlier one is gone."""
        journal = cls(path, secrets.token_hex(16))
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # A new file takes the old one's place: who still writes that one does not write into ours.
        draft = path.with_suffix(f".{journal.run}")
        _write(draft, {"run": journal.run}, mode="x")
        draft.replace(path)
        return journal

    @classmethod
    def resume(cls, path: Path) -> Self:
        """Go on with the run that was noted last; without one, begin."""
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return cls.begin(path)
        lines = list(_whole_lines(text))
        if not lines:
            return cls.begin(path)
        (_, first), *rest = lines
        # What was being written when the run was killed would run into the next line.
        os.truncate(path, lines[-1][0])
        return cls(path, first["run"], [_entry(facts) for _, facts in rest])

    def add(self, entry: Entry) -> None:
        """Note a part that was taken; it is on disk when this returns."""
        facts: dict[str, Any] = {"batch": entry.batch, "files": entry.files}
        _write(self.path, facts | ({"archive": True} if entry.is_archive else {}), mode="a")
        self.entries.append(entry)


def journal_path(home: Path, *, url: str, model: str | None, paths: Sequence[Path]) -> Path:
    """Return where the journal is of sending these paths to this gateway and model."""
    # By their bytes: another locale's words for the same paths must lead to the same journal.
    what = [url, model, *sorted(os.fsencode(path.resolve()).decode("utf-8", "surrogateescape") for path in paths)]
    return home / "bulk" / f"{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]}.jsonl"


def idempotency_key(run: str, *, model: str | None, webhook: str | None, files: Sequence[Mark], tries: int) -> str:
    """Return the key of a part: the same for the same files of a run, until they were taken and are sent once more.

    To the gateway a request with another model or webhook is another request, and needs another key.
    """
    what = [run, model, tries, files] + ([webhook] if webhook else [])
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _whole_lines(text: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give each line's end and facts, up to the first that is not whole."""
    end = 0
    for line in text.splitlines(keepends=True):
        end += len(line)
        try:
            facts = json.loads(line)
        except ValueError:
            return
        if not line.endswith(b"\n") or not isinstance(facts, dict):
            return
        yield end, facts


def _entry(facts: dict[str, Any]) -> Entry:
    return Entry(facts["batch"], tuple(Mark(*mark) for mark in facts["files"]), facts.get("archive", False))


def _write(path: Path, facts: dict[str, Any], *, mode: str) -> None:
    """Write a line at the end of a file, and to disk."""
    with path.open(mode) as file:
        file.write(json.dumps(facts) + "\n")
        file.flush()
        os.fsync(file.fileno())
