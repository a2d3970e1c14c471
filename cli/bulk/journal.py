"""The journal of a bulk run, for `--resume`: JSON lines of what was sent, readable after a kill at any instant."""

import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cli.bulk.parts import Mark
from cli.client import NO_PIPELINE, fields


@dataclass(frozen=True, slots=True)
class Entry:
    """A part that the gateway accepted: its batch and its files."""

    batch: str
    files: tuple[Mark, ...]
    is_archive: bool


@dataclass(slots=True)
class Journal:
    """A run's id, from which its idempotency keys are made, and its accepted parts in order."""

    path: Path
    run: str
    entries: list[Entry] = field(default_factory=list)

    @classmethod
    def begin(cls, path: Path) -> Self:
        """Start a new run; the journal of an earlier one is replaced."""
        journal = cls(path, secrets.token_hex(16))
        path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        # A new file replaces the old one: a run that still writes to the old one does not write into this.
        draft = path.with_suffix(f".{journal.run}")
        _write(draft, {"run": journal.run}, mode="x")
        draft.replace(path)
        return journal

    @classmethod
    def resume(cls, path: Path) -> Self:
        """Continue the last run; start a new one where there is none."""
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return cls.begin(path)
        lines = list(_whole_lines(text))
        if not lines:
            return cls.begin(path)
        (_, first), *rest = lines
        # Drop a line that was cut short by a kill, or the next one would be appended to it.
        os.truncate(path, lines[-1][0])
        return cls(path, first["run"], [_entry(facts) for _, facts in rest])

    def add(self, entry: Entry) -> None:
        """Write an accepted part to the journal; it is on disk when this returns."""
        facts: dict[str, Any] = {"batch": entry.batch, "files": entry.files}
        _write(self.path, facts | ({"archive": True} if entry.is_archive else {}), mode="a")
        self.entries.append(entry)


def journal_path(
    home: Path,
    *,
    url: str,
    model: str | None,
    paths: Sequence[Path],
    pipeline: Mapping[str, str | None] = NO_PIPELINE,
) -> Path:
    """Return the journal file for sending these paths to this gateway and model or pipeline."""
    # By the paths' bytes: another locale must lead to the same journal.
    ours = sorted(os.fsencode(path.resolve()).decode("utf-8", "surrogateescape") for path in paths)
    what = [url, model, ours, fields(**pipeline)]
    return home / "bulk" / f"{hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]}.jsonl"


def idempotency_key(
    run: str,
    *,
    model: str | None,
    webhook: str | None,
    files: Sequence[Mark],
    tries: int,
    pipeline: Mapping[str, str | None] = NO_PIPELINE,
) -> str:
    """Return the idempotency key of a part: the same for the same files of a run, until they are sent again.

    The model, the webhook and the pipeline are part of it, since the gateway refuses the same key with another request.
    """
    what = [run, model, webhook, files, tries, fields(**pipeline)]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()


def _whole_lines(text: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each line's end offset and its JSON object, up to the first line that is incomplete."""
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
    """Append a line to a file and sync it to disk."""
    with path.open(mode) as file:
        file.write(json.dumps(facts) + "\n")
        file.flush()
        os.fsync(file.fileno())
