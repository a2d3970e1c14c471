"""Compare the ledger with what was found at the end: rows by id, batches by id, webhook events by `webhook-id`."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.soak.ledger import ENDS, Ledger, wrong_end

Row = dict[str, Any]
Rows = dict[str, Row]


def compare(ledger: Ledger, *, rows: Rows, batches: Rows, told: Rows, feedback: list[tuple[str, str]]) -> list[str]:
    """Return what does not agree, a line each; `batches` has every upload that was accepted.

    `feedback` has prediction and label of every row, in their order.
    """
    return [
        *_check_submissions(ledger, rows),
        *_check_uploads(ledger, rows, batches),
        *_check_strangers(ledger, rows, batches),
        *_check_webhooks(ledger, told, rows, batches),
        *_check_feedback(ledger, feedback),
    ]


def _mark(thing: Row) -> str:
    return str((thing.get("metadata") or {}).get("mark"))


def _check_submissions(ledger: Ledger, rows: Rows) -> Iterator[str]:
    """Each accepted submission has its row, with the status that clients were told and the right answer."""
    by_mark: dict[str, list[str]] = {}
    for id, row in rows.items():
        if row["batch_id"] is None:
            by_mark.setdefault(_mark(row), []).append(id)
    for one in ledger.submissions.values():
        ids = by_mark.get(one.mark, [])
        if len(ids) > 1:
            yield f"one submission, {len(ids)} rows: {ids}"
        if one.id is not None and ids != [one.id]:
            yield f"{one.id} was accepted, and its rows are {ids}"
        for id in ids:
            for problem in wrong_end(one.number, rows[id], may_be_canceled=one.may_be_canceled, on_error=one.on_error):
                yield f"row {problem}"
            if ledger.end_of(id) not in (None, rows[id]["status"]):
                yield f"{id} was told to be {ledger.end_of(id)}, its row says {rows[id]['status']}"


def _check_uploads(ledger: Ledger, rows: Rows, batches: Rows) -> Iterator[str]:
    """Each accepted upload has a row for each of its files, once, right, and counts that add up."""
    by_batch: dict[str, list[Row]] = {}
    for row in rows.values():
        if row["batch_id"] is not None:
            by_batch.setdefault(row["batch_id"], []).append(row)
    for upload in ledger.accepted_uploads():
        id, items = str(upload.id), by_batch.get(str(upload.id), [])
        found = batches[id]
        counts = found.get("request_counts", {})
        ends = Counter(row["status"] for row in items)
        wanted = {"total": len(items)} | {status: ends[status] for status in ENDS}
        if counts != wanted:
            yield f"batch {id} counts {counts}, its rows are {wanted}"
        if found.get("status") != "completed":
            yield f"batch {id} was accepted and is {found.get('status')}"
        names = Counter(row["custom_id"] for row in items)
        if names != Counter(upload.numbers.keys()):
            missing, more = Counter(upload.numbers.keys()) - names, names - Counter(upload.numbers.keys())
            yield f"batch {id}: {sum(missing.values())} files have no row, {sum(more.values())} too many"
        for row in items:
            for problem in wrong_end(upload.numbers.get(row["custom_id"]), row, on_error=upload.on_error):
                yield f"batch {id}: {problem}"


def _check_strangers(ledger: Ledger, rows: Rows, batches: Rows) -> Iterator[str]:
    """No row without a submission; no row of a request that was sent in part."""
    for id, row in rows.items():
        mark = _mark(row)
        if mark in ledger.never:
            yield f"half a request became {id}"
        elif row["batch_id"] is None and mark not in ledger.submissions:
            yield f"nobody asked for {id}"
        elif row["batch_id"] not in (None, *batches) and mark not in ledger.uploads and row["metadata"]:
            # Else it is of an upload whose gateway died: its first images may have ended before it was canceled.
            yield f"{id} is of a batch that nobody sent, {row['batch_id']}: {row['metadata']}"


def _check_webhooks(ledger: Ledger, told: Rows, rows: Rows, batches: Rows) -> Iterator[str]:
    """Each requested event was delivered under one `webhook-id` with the right content, and no other was."""
    wanted = ledger.wanted_webhooks()
    for id, times in Counter(event["id"] for event in told.values()).items():
        if times > 1:
            yield f"{id} was told under {times} webhook-ids"
    for event in told.values():
        id, status = event["id"], event["status"]
        kept = rows.get(id) or batches.get(id)
        mark = _mark(event)
        if id not in wanted and mark not in ledger.submissions and mark not in ledger.uploads:
            yield f"{id} was told and nobody wanted that"
        elif kept is not None and status != kept["status"]:
            yield f"{id} was told to be {status} and is {kept['status']}"


def _check_feedback(ledger: Ledger, feedback: list[tuple[str, str]]) -> Iterator[str]:
    """Each label that was answered has its row, once and in the order of the answers, so that the last one counts."""
    found: dict[str, list[str]] = {}
    for id, label in feedback:
        found.setdefault(id, []).append(label)
    for id, labels in ledger.feedback.items():
        if found.get(id, []) != labels:
            yield f"{id} was given the labels {labels}, and has {found.get(id, [])}"
