"""The list of predictions as a download: every one that matches, a line each, in the memory of one page."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

import orjson

from api.http.output_columns import OutputColumns, output_columns
from api.http.result_formats import as_csv, csv_header, item_row
from api.predictions.listing import Page, Write, list_predictions
from api.state.gateway import Gateway
from shared.domain.identifiers import Owner, PredictionId
from shared.domain.job import Job
from shared.domain.prediction import Status
from shared.domain.prediction_filter import PredictionFilter
from shared.domain.timestamps import rfc3339

PAGE: Final = 1000
"""Predictions that are read at a time: Redis is read once for them, Postgres in pieces."""
_MORE: Final = ("model", "variant", "batch_id", "filename", "created_at")
"""Columns beside those of a batch's results."""


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


async def exported_csv(
    gate: Gateway,
    *,
    owner: Owner,
    wanted: PredictionFilter,
    before: PredictionId | None,
    limit: int | None,
    base_url: str,
) -> AsyncIterator[bytes]:
    """Return the lines of a CSV, like `exported_lines`; its columns are those of the newest output that matches."""
    succeeded = replace(wanted, status=wanted.status or Status.SUCCEEDED)
    newest = await list_predictions(
        gate, owner=owner, wanted=succeeded, before=before, limit=1, write=_output, pool=gate.threads.results
    )
    columns = output_columns(orjson.loads(newest.found[0].written) if newest.found else None)
    return await exported_lines(
        gate,
        owner=owner,
        wanted=wanted,
        before=before,
        limit=limit,
        write=partial(_csv_line, columns=columns, base_url=base_url),
        header=csv_header(*_MORE, columns=columns),
    )


def _output(job: Job) -> bytes:
    """Return a prediction's output as JSON; from Redis it is a fragment of that."""
    return orjson.dumps(job.output)


def _csv_line(job: Job, *, columns: OutputColumns, base_url: str) -> bytes:
    request = job.request
    row = replace(item_row(job), output=orjson.loads(_output(job)))
    more = (request.model, request.variant, job.batch or None, request.image.filename, rfc3339(job.created))
    return as_csv([row], base_url=base_url, columns=columns, more=[more])
