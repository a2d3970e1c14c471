"""One CSV file of several batches' results, whose columns may differ: they follow each batch's outputs."""

import csv
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from typing import Final, TextIO

LONGEST_CELL: Final = 2**31 - 1
"""Characters. csv's own limit is 131,072, and an output of detections or a mask may be longer."""
FIRST_AFTER_OUTPUT: Final = "version"
"""The column before which the gateway puts those of outputs."""


class ResultsTable:
    """Writes batches' results below each other. A batch's columns that the file has not yet are added to all rows."""

    def __init__(self, file: TextIO) -> None:
        """`file` is empty, opened for reading and writing, without translation of line ends."""
        self._file = file
        self._columns: list[str] = []
        csv.field_size_limit(LONGEST_CELL)

    def add(self, lines: Iterable[str], *, without: frozenset[str]) -> None:
        """Write the rows of a batch's CSV except those `without` these names, which are `custom_id` as in the cell.

        Lines keep their ends, since a cell may contain line ends.
        """
        rows = csv.reader(lines)
        header = next(rows, None)
        if header is None:
            return
        self._add_columns(header)
        writer, name = csv.writer(self._file), header.index("custom_id")
        wanted = (row for row in rows if row[name] not in without)
        if header == self._columns:
            writer.writerows(wanted)
        else:
            writer.writerows(_arranged(wanted, header, self._columns))

    def _add_columns(self, header: Sequence[str]) -> None:
        new = [name for name in header if name not in self._columns]
        if not new:
            return
        before = self._columns
        place = before.index(FIRST_AFTER_OUTPUT) if FIRST_AFTER_OUTPUT in before else len(before)
        self._columns = [*before[:place], *new, *before[place:]]
        with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as wider:
            self._file.seek(0)
            rows = csv.reader(self._file)
            next(rows, None)
            writer = csv.writer(wider)
            writer.writerow(self._columns)
            writer.writerows(_arranged(rows, before, self._columns))
            wider.seek(0)
            self._file.seek(0)
            self._file.truncate()
            shutil.copyfileobj(wider, self._file)


def _arranged(rows: Iterable[Sequence[str]], given: Sequence[str], wanted: Sequence[str]) -> Iterable[list[str]]:
    """Yield rows with the columns `given` as rows with the columns `wanted`; those that are not given are empty."""
    places = [given.index(name) if name in given else None for name in wanted]
    return (["" if place is None else row[place] for place in places] for row in rows)
