"""A batch's results: a line an image in upload order, read from Postgres in pieces by key.

A million rows take the memory of one piece. What is not recorded yet is not there yet.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

from sqlalchemy import Connection

from api.http.output_columns import OutputColumns, output_columns
from api.state.gateway import Gateway
from api.state.postgres_pages import read_piece, rows_of_piece
from shared.domain.batch import Batch
from shared.domain.identifiers import BatchId, PredictionId
from shared.storage import batches as storage
from shared.storage.batches import ItemRow

Format = Callable[[Sequence[ItemRow]], bytes]


async def result_lines(gate: Gateway, batch: Batch, write: Format, *, header: bytes = b"") -> AsyncIterator[bytes]:
    """Yield the results in pieces of bytes; raises StorageUnavailable."""
    if header:
        yield header
    after: PredictionId | None = None
    ask = partial(_piece, batch=batch.id, write=write)
    rows = size = 0
    while True:
        limit = rows_of_piece(rows=rows, size=size)
        of_piece = partial(ask, after=after, limit=limit)
        written, after = await read_piece(gate, batch.owner, of_piece, pool=gate.threads.results)
        yield written
        rows, size = rows + limit, size + len(written)
        if after is None:
            return


async def read_columns(gate: Gateway, batch: Batch) -> OutputColumns:
    """Return the columns of CSV that fit the batch's outputs; raises StorageUnavailable."""
    first = partial(storage.first_output, batch=batch.id)
    return output_columns(await read_piece(gate, batch.owner, first, pool=gate.threads.results))


def _piece(
    connection: Connection, *, batch: BatchId, after: PredictionId | None, limit: int, write: Format
) -> tuple[bytes, PredictionId | None]:
    """Return some results as bytes, and the id after which to go on; None where there are no more."""
    rows = storage.list_items(connection, batch=batch, after=after, limit=limit)
    return write(rows), rows[-1].id if len(rows) == limit else None
