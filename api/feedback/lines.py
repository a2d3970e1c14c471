"""Reads feedback as CSV (RFC 4180) while it arrives: a header, then lines that are used or refused each by itself."""

import csv
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from api.feedback.answers import ANSWERS, read_answer
from shared.domain.errors import BadRequest, InvalidParameter
from shared.domain.feedback import Answer
from shared.domain.identifiers import is_uuid

LONGEST_LINE: Final = 64 * 1024
"""Bytes of a line, those within quotation marks included."""
MOST_COLUMNS: Final = 200
_BOM: Final = b"\xef\xbb\xbf"
_TARGETS: Final = ("id", "custom_id")
_READ: Final = (*_TARGETS, *ANSWERS, "comment", "by")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the CSV. Where it can't be used `refusal` says why; one without an answer has neither."""

    number: int
    id: str = ""
    custom_id: str = ""
    answer: Answer | None = field(default=None)
    refusal: str = ""
    size: int = 0


class LineReader:
    """Splits the bytes of one CSV into lines. The separator is what the header has: a comma, semicolon or tab."""

    def __init__(self, *, takes_custom_ids: bool) -> None:
        """`takes_custom_ids`: a line may name its prediction by `custom_id`, within a batch."""
        self._takes_custom_ids = takes_custom_ids
        self._columns: list[str] | None = None
        self._separator = ","
        self._rest = b""
        self._number = 1

    async def lines(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[Line]:
        """Yield the lines; raises BadRequest where the header is not one of feedback."""
        async for chunk in chunks:
            for line in self._feed(chunk):
                yield line
        for line in self._feed(b"", is_end=True):
            yield line

    def _feed(self, chunk: bytes, *, is_end: bool = False) -> Iterator[Line]:
        """Yield the lines that are complete now. A line goes on over line breaks within quotation marks."""
        data, start, searched = self._rest + chunk, 0, 0
        quotes = 0
        while True:
            end = data.find(b"\n", searched)
            if end < 0:
                break
            quotes += data.count(b'"', searched, end)
            searched = end + 1
            if quotes % 2 and searched - start <= LONGEST_LINE:
                continue
            yield from self._line(data[start:searched])
            start, quotes = searched, 0
        self._rest = data[start:]
        if len(self._rest) > LONGEST_LINE and not is_end:
            # The rest is read on to the next line break and refused as one line; of its bytes only the first are kept.
            self._rest = self._rest[: LONGEST_LINE + 1]
        if is_end and self._rest:
            yield from self._line(self._rest)
            self._rest = b""

    def _line(self, data: bytes) -> Iterator[Line]:
        number = self._number
        self._number += data.count(b"\n") or 1
        if self._columns is None:
            self._columns = self._header(data.removeprefix(_BOM))
        elif data.strip():
            yield self._read(number, data, self._columns)

    def _header(self, data: bytes) -> list[str]:
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise BadRequest(detail="the CSV is not in UTF-8") from None
        self._separator = next((mark for mark in (",", ";", "\t") if mark in text), ",")
        if len(data) > LONGEST_LINE or text.count(self._separator) >= MOST_COLUMNS:
            raise BadRequest(detail=f"the CSV's first line has over {MOST_COLUMNS} columns or {LONGEST_LINE:,} bytes")
        columns = [name.strip().lower() for name in self._cells(text)]
        for name in _READ:
            if columns.count(name) > 1:
                raise BadRequest(detail=f"the CSV has two columns {name}")
        targets = _TARGETS if self._takes_custom_ids else _TARGETS[:1]
        if not set(targets) & set(columns):
            raise BadRequest(detail=f"the CSV's first line names no column {' or '.join(targets)}")
        if not set(ANSWERS) & set(columns):
            raise BadRequest(detail="the CSV's first line names no column label, value or boxes")
        return columns

    def _cells(self, text: str) -> list[str]:
        try:
            return next(iter(csv.reader([text], delimiter=self._separator, strict=True)), [])
        except csv.Error:
            return []

    def _read(self, number: int, data: bytes, columns: list[str]) -> Line:
        row: dict[str, str] = {}
        try:
            row = self._row(number, data, columns)
            id, custom_id = row.get("id", ""), row.get("custom_id", "")
            if not any(name in row for name in ANSWERS):
                return Line(number, id, custom_id)
            _check_target(id, custom_id)
            return Line(number, id, custom_id, read_answer(_members(row)), size=len(data))
        except (_Refused, InvalidParameter) as error:
            why = error.detail if isinstance(error, InvalidParameter) else str(error)
            return Line(number, row.get("id", ""), row.get("custom_id", ""), refusal=why)

    def _row(self, number: int, data: bytes, columns: list[str]) -> dict[str, str]:
        """Return the cells that are read and not empty, by column; raises _Refused."""
        if len(data) > LONGEST_LINE:
            last = number + max(0, data.count(b"\n") - 1)
            where = f"lines {number} to {last}, read as one, have" if last > number else "the line has"
            raise _Refused(f"{where} over {LONGEST_LINE:,} bytes: is a quotation mark not closed?")
        try:
            cells = self._cells(data.decode())
        except UnicodeDecodeError:
            raise _Refused("the line is not in UTF-8") from None
        if len(cells) != len(columns):
            raise _Refused(f"the line has {len(cells)} cells, the header {len(columns)}")
        wanted = _READ if self._takes_custom_ids else [name for name in _READ if name != "custom_id"]
        return {
            name: cell.strip() for name, cell in zip(columns, cells, strict=True) if name in wanted and cell.strip()
        }


class _Refused(Exception):
    """A line can't be used; the message says why."""


def _check_target(id: str, custom_id: str) -> None:
    if not id and not custom_id:
        raise _Refused("the line names no prediction")
    if id and not is_uuid(id):
        raise _Refused("there is no such prediction")


def _members(row: Mapping[str, str]) -> dict[str, Any]:
    """Return a row's cells as the members of an answer: those of value and boxes are JSON."""
    members: dict[str, Any] = {name: row[name] for name in ("label", "comment", "by") if name in row}
    for name in ("value", "boxes"):
        if name in row:
            try:
                members[name] = orjson.loads(row[name])
            except orjson.JSONDecodeError:
                raise InvalidParameter(detail=f"{name} is no JSON", pointer=f"/{name}") from None
    return members
