"""Bulk uploads: send one, wait for its end, check every result."""

from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import orjson

from benchmarks.load.bodies import name_of
from benchmarks.load.children import Child
from benchmarks.load.upload import Kind, Upload, Uploaded
from benchmarks.measuring.predictions import compare_classes
from benchmarks.stack import servers
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import Subject, Workbench, WrongResult


def plan_upload(bench: Workbench, stack: Stack, subject: Subject, *, images: int, kind: Kind = "zip") -> Upload:
    """Return an upload of images that no cache answers."""
    return Upload(
        port=stack.port,
        kind=kind,
        images=str(subject.images),
        count=images,
        stamp=bench.stamp(),
        folder=str(bench.scratch),
    )


def prepared_client(bench: Workbench, upload: Upload) -> Child:
    """Start a client; it prepares its upload and waits to be told."""
    return Child("benchmarks.load.uploader", task=upload.as_json(), output=bench.new_file("upload"))


def send_prepared(client: Child, upload: Upload) -> Uploaded:
    """Let a prepared client send; return its outcome."""
    client.begin()
    return upload_result(client, upload)


def upload_result(client: Child, upload: Upload) -> Uploaded:
    """Return the outcome of a client that is sending."""
    return Uploaded.from_file(client.result(limit=upload.limit + 30))


def send_upload(bench: Workbench, upload: Upload) -> Uploaded:
    """Upload; return the client's outcome."""
    with prepared_client(bench, upload) as client:
        return send_prepared(client.wait_until_ready(), upload)


def wait_until_completed(stack: Stack, uploaded: Uploaded, *, limit: float) -> float:
    """Return the monotonic time at which the batch was seen with its last row, as Postgres tells every 3 ms."""
    of_it = ("SELECT completed_at IS NOT NULL FROM batches WHERE id = %s", (uploaded.batch,))
    with stack.connected() as cursor:
        return servers.wait_until(
            lambda: bool(_first(cursor, *of_it)), limit=limit, pause=0.003, what="a completed batch"
        )


def completed_after(stack: Stack, client: Child, *, limit: float) -> float:
    """Let a prepared client send, and return the time at which one more batch was seen completed.

    A client takes tens of milliseconds to end, which a small batch would be done in.
    """
    every = "SELECT count(*) FROM batches WHERE completed_at IS NOT NULL"
    with stack.connected() as cursor:
        before = _first(cursor, every)
        client.begin()
        return servers.wait_until(
            lambda: _first(cursor, every) > before, limit=limit, pause=0.003, what="one more completed batch"
        )


def _first(cursor: Any, statement: str, arguments: tuple[str, ...] = ()) -> Any:
    """Return the first value of the first row, None without rows."""
    cursor.execute(statement, arguments)
    row = cursor.fetchone()
    return None if row is None else row[0]


def check_results(bench: Workbench, stack: Stack, subject: Subject, uploaded: Uploaded, *, images: int) -> None:
    """Raise WrongResult unless the batch is complete and has its results in upload order, the bare loop's classes."""
    batch = orjson.loads(b"".join(_get(stack, f"/v1/batches/{uploaded.batch}")))
    counts = {"total": images, "succeeded": images, "failed": 0, "canceled": 0}
    if batch["status"] != "completed" or batch["completed_at"] is None or batch["request_counts"] != counts:
        raise WrongResult(f"{images} images were accepted, the batch is {batch}")
    lines = _get(stack, f"/v1/batches/{uploaded.batch}/results")
    results: list[dict[str, Any]] = [orjson.loads(line) for line in lines]
    if [result["custom_id"] for result in results] != [name_of(number) for number in range(images)]:
        raise WrongResult(f"{len(results)} results of {images} images, not in upload order or not theirs")
    answered = [result["source"] for result in results if result["source"] != "model"]
    if answered:
        raise WrongResult(f"{len(answered)} results are of no model, but of {answered[0]}")
    compare_classes(bench, subject, [result["output"]["predicted_class"] for result in results])


def _get(stack: Stack, path: str) -> Iterator[bytes]:
    """Yield the lines of an answer. Raises WrongResult unless it is a 200."""
    connection = HTTPConnection("127.0.0.1", stack.port, timeout=60)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != 200:
            raise WrongResult(f"{answer.status} for {path}: {answer.read()[:500]!r}")
        yield from answer
    finally:
        connection.close()
