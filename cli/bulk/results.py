"""The results of a bulk run: counts, the first failures, and every result in a file."""

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TextIO

from cli.bulk import batches
from cli.bulk.batches import Result
from cli.bulk.parts import NOT_READ, Failure, Unusable
from cli.bulk.results_table import ResultsTable
from cli.bulk.resuming import Taken
from cli.client import Client
from cli.terminal.names import shown
from shared.presentation.spreadsheets import safe_cell

MOST_SHOWN: Final = 10
FORGOTTEN: Final = "the gateway does not know its batch any more"


@dataclass(slots=True)
class Tally:
    """Counts of images by outcome, and the first few that failed or were canceled."""

    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    not_read: int = 0
    not_sent: int = 0
    skipped: int = 0
    skipped_files: list[str] = field(default_factory=list)
    """Names that the gateway reported as skipped; clutter of a folder is never sent."""
    failures: list[Result] = field(default_factory=list)

    @property
    def total(self) -> int:
        """All images, skipped ones not counted."""
        return self.succeeded + self.failed + self.canceled + self.not_read + self.not_sent

    def count(self, result: Result) -> None:
        """Count an image's result."""
        self.succeeded += result.status == "succeeded"
        self.failed += result.status == "failed"
        self.canceled += result.status == "canceled"

    def show(self, result: Result) -> bool:
        """Keep a failure while there is room; return True while there is room for more."""
        if result.status != "succeeded" and len(self.failures) < MOST_SHOWN:
            self.failures.append(result)
        return len(self.failures) < MOST_SHOWN


def check_out(out: Path) -> None:
    """Raise Unusable where results can't be written to this file."""
    if out.is_dir():
        raise Unusable(f"{shown(out)} is a folder; --out names a file")
    if not out.parent.is_dir():
        raise Unusable(f"There is no folder {shown(out.parent)} to write {shown(out.name)} to")


def tally_results(client: Client, taken: Sequence[Taken], failures: Sequence[Failure]) -> Tally:
    """Count every image, by the last batch it was sent in, and the files that were not sent; raises Declined."""
    total = Tally()
    # A file that failed in an earlier batch and could not be sent again is counted by that batch.
    names = {mark.name for part in taken for mark in part.entry.files}
    left = [failure for failure in failures if failure.name not in names]
    total.not_read = sum(failure.status == NOT_READ for failure in left)
    total.not_sent = len(left) - total.not_read
    for part, replaced in last_of_each(taken):
        batch = part.batch
        if batch is None:
            _count_forgotten(total, part, replaced)
            continue
        total.skipped += batch.skipped
        total.skipped_files += batch.skipped_files
        if replaced:
            for result in _results(client, part, replaced):
                total.count(result)
                total.show(result)
            continue
        total.succeeded += batch.succeeded
        total.failed += batch.failed
        total.canceled += batch.canceled
        if not batch.has_succeeded and len(total.failures) < MOST_SHOWN:
            for result in _results(client, part, replaced):
                if not total.show(result):
                    break
    return total


def write_results(client: Client, taken: Sequence[Taken], out: Path) -> None:
    """Write every result to a file, JSON lines where its name says so, else CSV. Raises Declined, OSError.

    The file is replaced atomically: it is complete or not there.
    """
    draft = out.with_name(f".{out.name}.part")
    try:
        with draft.open("w+", encoding="utf-8", newline="") as file:
            write_all = _write_ndjson if out.suffix == ".ndjson" else _write_csv
            write_all(client, taken, file)
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def last_of_each(taken: Sequence[Taken]) -> Iterator[tuple[Taken, Collection[str]]]:
    """Yield parts with the names that a later part replaced; an archive that was sent again is left out."""
    later: set[str] = set()
    found = []
    for part in reversed(taken):
        names = {mark.name for mark in part.entry.files}
        replaced = names & later
        later |= names
        if not (part.entry.is_archive and replaced):
            found.append((part, replaced))
    return reversed(found)


def _count_forgotten(total: Tally, part: Taken, replaced: Collection[str]) -> None:
    for mark in part.entry.files:
        if mark.name not in replaced:
            total.failed += 1
            total.show(Result(mark.name, "failed", FORGOTTEN))


def _results(client: Client, part: Taken, replaced: Collection[str]) -> Iterator[Result]:
    return (result for result in batches.image_results(client, part.entry.batch) if result.name not in replaced)


def _lines(client: Client, part: Taken, format: Literal["ndjson", "csv"]) -> Iterator[str]:
    return iter(()) if part.batch is None else batches.result_lines(client, part.entry.batch, format)


def _write_csv(client: Client, taken: Sequence[Taken], file: TextIO) -> None:
    table = ResultsTable(file)
    for part, replaced in last_of_each(taken):
        # The gateway escapes names in cells, so that no spreadsheet runs one as a formula.
        table.add(_lines(client, part, "csv"), without=frozenset(map(safe_cell, replaced)))


def _write_ndjson(client: Client, taken: Sequence[Taken], file: TextIO) -> None:
    for part, replaced in last_of_each(taken):
        for line in _lines(client, part, "ndjson"):
            if not replaced or json.loads(line)["custom_id"] not in replaced:
                file.write(line)
