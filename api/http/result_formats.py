"""How results of images are written: a line of NDJSON or of CSV an image, for batches and for predictions.

CSV has one line about its columns, which depend on the outputs: `api.http.output_columns` says which.
"""

import csv
import io
from collections.abc import Sequence
from typing import Any, Final

import orjson

from api.http.output_columns import CLASSIFICATION, OutputColumns
from shared.domain.job import Job
from shared.domain.large_masks import shown_output
from shared.presentation.spreadsheets import safe_cell
from shared.storage.batches import ItemRow
from shared.storage.predictions import with_sorted_scores

BEFORE_OUTPUT: Final = ("custom_id", "id", "status")
AFTER_OUTPUT: Final = ("version", "error_code", "error")
NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"


def as_ndjson(rows: Sequence[ItemRow], *, base_url: str) -> bytes:
    """Write each row as a JSON object on a line of its own."""
    return b"".join(
        orjson.dumps(result_object(row, base_url=base_url), option=orjson.OPT_APPEND_NEWLINE) for row in rows
    )


def csv_header(*more: str, columns: OutputColumns = CLASSIFICATION) -> bytes:
    """Return the header line; `more` are the names of columns that follow the usual ones."""
    text = io.StringIO(newline="")
    csv.writer(text).writerow((*BEFORE_OUTPUT, *columns.names, *AFTER_OUTPUT, *more))
    return text.getvalue().encode()


def as_csv(
    rows: Sequence[ItemRow],
    *,
    base_url: str,
    columns: OutputColumns = CLASSIFICATION,
    more: Sequence[Sequence[object]] | None = None,
) -> bytes:
    """Write each row as a line of CSV (RFC 4180); missing values are empty, and no text is a formula.

    `columns` are those of the outputs, `more` the further cells of each row.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    cells, empty = columns.cells, columns.empty
    for row, beside in zip(rows, more if more is not None else [()] * len(rows), strict=True):
        writer.writerow(
            (
                _cell(row.custom_id),
                row.id,
                row.status,
                *(cells(_shown(row, base_url)) if isinstance(row.output, dict) else empty),
                _cell(row.version),
                row.error_code,
                _cell(row.error),
                *map(_cell, beside),
            )
        )
    return text.getvalue().encode()


def _cell(value: object) -> object:
    return safe_cell(value) if isinstance(value, str) else value


def item_row(job: Job) -> ItemRow:
    """Return a prediction as a row of results; its output may be a fragment of JSON."""
    return ItemRow(
        id=job.id,
        custom_id=job.request.custom_id,
        status=job.status,
        version=job.request.version,
        source=job.source,
        output=job.output,
        error=job.error,
        error_code=job.code,
    )


def _shown(row: ItemRow, base_url: str) -> Any:
    return shown_output(row.output, url=f"{base_url}/v1/predictions/{row.id}")


def result_object(row: ItemRow, *, base_url: str) -> dict[str, Any]:
    """Return a row as the HTTP API shows it."""
    return {
        "custom_id": row.custom_id,
        "id": row.id,
        "status": row.status,
        "version": row.version,
        "source": row.source,
        "output": with_sorted_scores(_shown(row, base_url)),
        "error": row.error,
        "error_code": row.error_code,
    }
