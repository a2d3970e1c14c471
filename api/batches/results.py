"""A batch's results: a line an image in upload order, read from Postgres in pieces by key.

A million rows take the memory of one piece. What is not recorded yet is not there yet.
"""

import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, Final

import orjson
from sqlalchemy import Connection

from api.state.gateway import Gateway
from api.state.postgres_pages import PIECE, read_piece
from shared.domain.batch import Batch
from shared.domain.identifiers import BatchId, PredictionId
from shared.presentation.spreadsheets import safe_cell
from shared.storage import batches as storage
from shared.storage.batches import ItemRow
from shared.storage.predictions import with_sorted_probabilities

COLUMNS: Final = ("custom_id", "id", "status", "predicted_class", "confidence", "version", "error_code", "error")

Format = Callable[[Sequence[ItemRow]], bytes]


async def result_lines(gate: Gateway, batch: Batch, write: Format, *, header: bytes = b"") -> AsyncIterator[bytes]:
    """Yield the results in pieces of bytes; raises StorageUnavailable."""
    if header:
        yield header
    after: PredictionId | None = None
    ask = partial(_piece, batch=batch.id, write=write)
    while True:
        of_piece = partial(ask, after=after)
        written, after = await read_piece(gate, batch.owner, of_piece, pool=gate.threads.results)
        yield written
        if after is None:
            return


def _piece(
    connection: Connection, *, batch: BatchId, after: PredictionId | None, write: Format
) -> tuple[bytes, PredictionId | None]:
    """Return some results as bytes, and the id after which to go on; None where there are no more."""
    rows = storage.list_items(connection, batch=batch, after=after, limit=PIECE)
    return write(rows), rows[-1].id if len(rows) == PIECE else None


def as_ndjson(rows: Sequence[ItemRow]) -> bytes:
    """Write each row as a JSON object on a line of its own."""
    return b"".join(orjson.dumps(_members(row), option=orjson.OPT_APPEND_NEWLINE) for row in rows)


def csv_header() -> bytes:
    """Return the header line."""
    return (",".join(COLUMNS) + "\r\n").encode()


def as_csv(rows: Sequence[ItemRow]) -> bytes:
    """Write each row as a line of CSV (RFC 4180); missing values are empty, and no text is a formula."""
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
        "output": with_sorted_probabilities(row.output),
        "error": row.error,
        "error_code": row.error_code,
    }
