"""A batch's results, a line an image in upload order, read from Postgres a page at a time by key.

A million rows take the memory of one page. What is not recorded yet is not there yet.
"""

import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, Final

import orjson

from api.gateway import Gateway
from api.postgres import ask_postgres
from shared.domain.identifiers import BatchId, PredictionId
from shared.domain.spreadsheets import safe_cell
from shared.storage import batches as storage
from shared.storage.batches import ItemRow
from shared.storage.history import in_order

PAGE: Final = 1000
COLUMNS: Final = ("custom_id", "id", "status", "predicted_class", "confidence", "version", "error_code", "error")

Format = Callable[[Sequence[ItemRow]], bytes]


async def lines(gate: Gateway, batch: BatchId, write: Format, *, header: bytes = b"") -> AsyncIterator[bytes]:
    """Give the results in pieces; raises StorageUnavailable."""
    if header:
        yield header
    after: PredictionId | None = None
    while rows := await ask_postgres(
        gate, partial(storage.results, batch=batch, after=after, limit=PAGE), pool=gate.threads.results
    ):
        yield write(rows)
        after = rows[-1].id
        if len(rows) < PAGE:
            return


def as_ndjson(rows: Sequence[ItemRow]) -> bytes:
    """Write a JSON object a row."""
    return b"".join(orjson.dumps(_members(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def csv_header() -> bytes:
    """Return the line of the columns' names."""
    return (",".join(COLUMNS) + "\r\n").encode()


def as_csv(rows: Sequence[ItemRow]) -> bytes:
    """Write a line a row (RFC 4180); empty is what a row has not, and no text is a spreadsheet's formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    for row in rows:
        found = row.output if isinstance(row.output, dict) else {}
        writer.writerow(
            (
                _cell(row.custom_id),
                row.id,
                row.status,
                _cell(found.get("predicted_class")),
                found.get("confidence"),
                _cell(row.version),
                row.error_code,
                _cell(row.error),
            )
        )
    return text.getvalue().encode()


def _cell(value: object) -> object:
    return safe_cell(value) if isinstance(value, str) else value


def _members(row: ItemRow) -> dict[str, Any]:
    return {
        "custom_id": row.custom_id,
        "id": row.id,
        "status": row.status,
        "version": row.version,
        "source": row.source,
        "output": in_order(row.output),
        "error": row.error,
        "error_code": row.error_code,
    }
