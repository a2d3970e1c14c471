"""Batches over HTTP: upload one, read its state, read its results."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from itertools import islice
from typing import Any, BinaryIO, Final, Literal, NamedTuple, Self

import httpx

from cli.client import LASTING, NO_PIPELINE, Client, Declined, fields

POLL_PAUSE: Final = timedelta(seconds=0.5)
MOST_FIRST_TRIES: Final = 5
"""How often an upload is started whose earlier try the gateway is still reading or has dropped."""
# The gateway answers when every image is in the queue, which may first have to drain.
_UPLOADING: Final = httpx.Timeout(600, connect=5)
_READING: Final = httpx.Timeout(30, connect=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """A batch as read from the gateway last."""

    id: str
    status: str
    total: int
    succeeded: int
    failed: int
    canceled: int
    skipped: int
    skipped_files: tuple[str, ...]
    has_ended: bool
    """Whether every image has its result; nothing changes after that."""

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """Read the JSON object of `GET /v1/batches/{id}`."""
        return cls(
            id=answer["id"],
            status=answer["status"],
            skipped=answer["skipped"],
            skipped_files=tuple(answer["skipped_files"]),
            has_ended=answer["completed_at"] is not None,
            **answer["request_counts"],
        )

    @property
    def done(self) -> int:
        """Number of images with a result."""
        return self.succeeded + self.failed + self.canceled

    @property
    def has_succeeded(self) -> bool:
        """Whether every image has succeeded."""
        return self.has_ended and self.succeeded == self.total


class Result(NamedTuple):
    """The result of one image; `name` is its custom_id."""

    name: str
    status: str
    error: str


def check_gateway(client: Client) -> None:
    """Return if the gateway answers and accepts the key; raises Declined, at once where nobody listens."""
    # It needs a key and no store: images are taken while Postgres is away.
    client.ask("GET", "/v1/account")


def upload_archive(
    client: Client,
    archive: BinaryIO,
    *,
    model: str | None,
    webhook: str | None,
    key: str,
    pipeline: Mapping[str, str | None] = NO_PIPELINE,
) -> Batch:
    """Send an archive from disk and return its batch; raises Declined. Safe to repeat under the same key.

    `pipeline` has the form's fields of an ensemble or a chain.
    """
    tries_left = MOST_FIRST_TRIES
    while True:
        try:
            answer = client.ask(
                "POST",
                "/v1/batches",
                patience=LASTING,
                timeout=_UPLOADING,
                headers={"Idempotency-Key": key},
                data=fields(model=model, webhook=webhook, **pipeline),
                # Always the same name: the gateway recognises a repeated upload also by its length.
                files={"archive": ("archive", archive, "application/octet-stream")},
            )
            return Batch.of(answer.json())
        except Declined as declined:
            tries_left -= 1
            if declined.status != HTTPStatus.CONFLICT or not tries_left:
                raise
            # The gateway is still reading an earlier try, whose connection broke.
            first = _await_reading(client, declined.facts.get("first_id"))
        if first is not None:
            return first


def read_batch(client: Client, id: str) -> Batch | None:
    """Return a batch's state now; None where the gateway does not know it. Raises Declined."""
    try:
        return Batch.of(client.ask("GET", f"/v1/batches/{id}", patience=LASTING, timeout=_READING).json())
    except Declined as declined:
        if declined.status == HTTPStatus.NOT_FOUND:
            return None
        raise


def result_lines(client: Client, id: str, format: Literal["ndjson", "csv"]) -> Iterator[str]:
    """Yield the lines of a batch's results with their line ends, in upload order; raises Declined.

    After a broken connection it resumes after the last line yielded: the lines of an ended batch do not change.
    """
    given = 0
    for pause in (*LASTING.pauses(), None):
        try:
            for line in islice(_lines(client, id, format), given, None):
                yield line
                given += 1
        except httpx.TransportError as error:
            if pause is None:
                raise Declined(f"The results of {id} break off ({type(error).__name__})") from error
            client.pause(pause.total_seconds())
        else:
            return


def image_results(client: Client, id: str) -> Iterator[Result]:
    """Yield the result of each image that has one, in upload order; raises Declined."""
    for line in result_lines(client, id, "ndjson"):
        facts = json.loads(line)
        yield Result(facts["custom_id"], facts["status"], facts["error"] or "")


def _await_reading(client: Client, id: str | None) -> Batch | None:
    """Wait until the gateway has read an earlier try, and return its batch; None where that was canceled."""
    if id is None:
        client.pause(POLL_PAUSE.total_seconds())
        return None
    while (batch := read_batch(client, id)) and batch.status == "validating":
        client.pause(POLL_PAUSE.total_seconds())
    return batch if batch and batch.status != "canceled" else None


def _lines(client: Client, id: str, format: str) -> Iterator[str]:
    """Read the results once. Only a line feed ends a line: names may contain Unicode's other line ends."""
    path = f"/v1/batches/{id}/results"
    answer = client.ask("GET", path, patience=LASTING, timeout=_READING, stream=True, params={"format": format})
    try:
        rest = b""
        for piece in answer.iter_bytes():
            *whole, rest = (rest + piece).split(b"\n")
            yield from (f"{line.decode()}\n" for line in whole)
        if rest:
            yield rest.decode()
    finally:
        answer.close()
