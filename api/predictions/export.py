"""The list of predictions as a download: every one that matches, a line each, in the memory of one page."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

import orjson

from api.http.result_formats import as_csv, csv_header, item_row
from api.predictions.listing import Page, Write, list_predictions
from api.state.gateway import Gateway
from shared.domain.identifiers import Owner, PredictionId
from shared.domain.job import Job
from shared.domain.prediction_filter import PredictionFilter
from shared.domain.timestamps import rfc3339

PAGE: Final = 1000
"""Predictions that are read at a time: Redis is read once for them, Postgres in pieces."""
_MORE: Final = ("model", "variant", "batch_id", "filename", "created_at")
"""Columns beside those of a batch's results."""

CSV_HEADER: Final = csv_header(*_MORE)


async def exported_lines(
    gate: Gateway,
    *,
    owner: Owner,
    wanted: PredictionFilter,
    before: PredictionId | None,
    limit: int | None,
    write: Write,
    header: bytes = b"",
) -> AsyncIterator[bytes]:
    """Return the lines, newest first, in pieces of bytes, `limit` of them or all.

    Raises StorageUnavailable: here, before the first piece, or as the lines are read.
    """
    size = PAGE if limit is None else limit
    read = partial(
        list_predictions, gate, owner=owner, wanted=wanted, limit=size, write=write, pool=gate.threads.results
    )
    first = await read(before=before)
    return _lines(read, first, header=header, all_pages=limit is None)


async def _lines(
    read: Callable[..., Awaitable[Page]], page: Page, *, header: bytes, all_pages: bool
) -> AsyncIterator[bytes]:
    if header:
        yield header
    while True:
        if page.found:
            yield b"".join(one.written for one in page.found)
        if page.after is None or not all_pages:
            return
        page = await read(before=page.after)


def as_csv_line(job: Job) -> bytes:
    """Write a prediction as a line of CSV."""
    request = job.request
    # From Redis the output is a fragment of JSON.
    row = replace(item_row(job), output=orjson.loads(orjson.dumps(job.output)))
    more = (request.model, request.variant, job.batch or None, request.image.filename, rfc3339(job.created))
    return as_csv([row], more=[more])
