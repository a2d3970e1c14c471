"""Compare the ledger with what Darkroom has kept, read by HTTP and by SQL. No product code."""

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import psycopg2

from tests.soak.books import Row, compare
from tests.soak.clients import connect, poll_once
from tests.soak.ledger import Ledger
from tests.soak.receiver import Inbox
from tests.soak.stack import SoakedStack

SETTLED_SECONDS = 180.0
"""Within this after the last fault everything has to have ended, be recorded and be told."""


def reckon(stack: SoakedStack, ledger: Ledger, inbox: Inbox) -> dict[str, Any]:
    """Wait until all has settled, and return the books' totals; what is wrong is in `ledger.violations`."""
    began = time.monotonic()
    _until(stack.not_ready, ledger, "the stack is not ready again")
    _until(lambda: _unfinished(stack, ledger), ledger, "predictions have not ended")
    _until(lambda: _unended_batches(stack, ledger), ledger, "batches have not ended")
    _until(lambda: _unrecorded(stack, ledger), ledger, "predictions have no row")
    _until(lambda: _untold(stack, ledger, inbox), ledger, "webhooks have not come")
    settled = time.monotonic() - began
    rows = _rows(stack)
    batches = {str(upload.id): _batch(stack, str(upload.id)) for upload in ledger.accepted_uploads()}
    for words in compare(ledger, rows=rows, batches=batches, told=inbox.events, feedback=_feedback(stack)):
        ledger.violated(words)
    for words in inbox.violations:
        ledger.violated(words)
    try:
        stack.darkroom("audit")
    except RuntimeError as error:
        ledger.violated(f"audit: {error}")
    ends = Counter(row["status"] for row in rows.values())
    return {
        "rows": len(rows),
        **{status: ends[status] for status in sorted(ends)},
        "submissions": len(ledger.submissions),
        "uploads": len(ledger.uploads),
        "broken off": len(ledger.never),
        "labels": sum(map(len, ledger.feedback.values())),
        "worker_lost": sum(row["error_code"] == "worker_lost" for row in rows.values()),
        "webhooks": len(inbox.taken),
        "webhook attempts": inbox.attempts,
        "longest time without an accepted image, s": round(ledger.longest_gap, 1),
        "settled after, s": round(settled, 1),
        "answers": dict(sorted(ledger.answers.items())),
    }


def _until(late: Callable[[], list[str]], ledger: Ledger, words: str) -> None:
    """Wait until nothing is late; note what still is when the time is over."""
    end = time.monotonic() + SETTLED_SECONDS
    while True:
        try:
            found = late()
        except (psycopg2.Error, httpx.TransportError, KeyError, ValueError) as error:
            found = [f"{type(error).__name__}: {error}"]
        if not found:
            return
        if time.monotonic() > end:
            ledger.violated(f"after {SETTLED_SECONDS:.0f} s {words}: {len(found)}, of them {found[:3]}")
            return
        time.sleep(0.5)


def _unfinished(stack: SoakedStack, ledger: Ledger) -> list[str]:
    with connect(stack.url) as client:
        return [id for id in ledger.known_ids() if ledger.end_of(id) is None and poll_once(client, id, ledger) is None]


def _batch(stack: SoakedStack, id: str) -> Row:
    with connect(stack.url) as client:
        found: Row = client.get(f"/v1/batches/{id}").json()
    return found


def _unended_batches(stack: SoakedStack, ledger: Ledger) -> list[str]:
    batches = ((upload.id, _batch(stack, str(upload.id))) for upload in ledger.accepted_uploads())
    return [
        f"{id}: {found.get('status')}" for id, found in batches if found.get("status") not in ("completed", "canceled")
    ]


def _unrecorded(stack: SoakedStack, ledger: Ledger) -> list[str]:
    return sorted(set(ledger.known_ids()) - _rows(stack).keys())


def _untold(_: SoakedStack, ledger: Ledger, inbox: Inbox) -> list[str]:
    with inbox.lock:
        told = {inbox.events[id]["id"] for id in inbox.taken}
    return sorted(ledger.wanted_webhooks() - told)


def _feedback(stack: SoakedStack) -> list[tuple[str, str]]:
    """Return prediction and label of every row of `feedback`, in the order in which they count."""
    return [(id, label) for id, label in _select(stack, "SELECT prediction_id::text, label FROM feedback ORDER BY id")]


def _rows(stack: SoakedStack) -> dict[str, Row]:
    """Return every row of `predictions` by its id; a doubled id is impossible (it is the key)."""
    names = (
        "id",
        "status",
        "version",
        "output",
        "error",
        "error_code",
        "attempts",
        "metadata",
        "batch_id",
        "custom_id",
    )
    columns = ", ".join(f"{name}::text" if name in ("id", "batch_id") else name for name in names)
    found = _select(stack, f"SELECT {columns} FROM predictions")  # noqa: S608  names from above
    return {row[0]: dict(zip(names, row, strict=True)) for row in found}


def _select(stack: SoakedStack, query: str) -> list[Any]:
    connection = psycopg2.connect(stack.store("DARKROOM_DATABASE_URL"), connect_timeout=5)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()
    finally:
        connection.close()
