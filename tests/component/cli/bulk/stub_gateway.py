"""A stub gateway for bulk uploads: stores uploads, recognises idempotency keys, fails as a test asks."""

import csv
import io
import json
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.support.waiting import LIMIT

COLUMNS = ("custom_id", "id", "status", "predicted_class", "confidence", "version", "error_code", "error")


@dataclass
class Uploaded:
    """A batch: names in order. Files named .txt fail; those `succeeded` before a cancellation stay so.

    What is called .csv is skipped.
    """

    id: str
    names: list[str]
    canceled: bool = False
    succeeded: frozenset[str] = frozenset()
    results: int | None = None
    """How many images have a result; None: all."""
    skipped: list[str] = field(default_factory=list)

    def status(self, name: str) -> str:
        if name.endswith(".txt"):
            return "failed"
        return "canceled" if self.canceled and name not in self.succeeded else "succeeded"

    def rows(self) -> Iterator[dict[str, Any]]:
        for number, name in enumerate(self.names[: self.results]):
            error = "this is text" if name.endswith(".txt") else None
            yield {"custom_id": name, "id": f"{self.id}-{number}", "status": self.status(name), "error": error}


@dataclass
class Post:
    """One upload as it was received."""

    key: str
    model: str | None
    webhook: str | None
    archive: bytes
    names: list[str]
    pipeline: dict[str, str]


@dataclass
class Fault:
    """How one upload is treated. `taken`: accepted as usual, else without effect. Then the answer, or none."""

    taken: bool = False
    answer: tuple[int, dict[str, str], dict[str, Any]] | None = None
    wait: threading.Event | None = None


BROKEN = Fault()
ANSWER_LOST = Fault(taken=True)
BUSY = Fault(answer=(503, {"Retry-After": "0"}, {"title": "Full", "detail": "the queue is full"}))


def refused(status: int, detail: str, **facts: str) -> Fault:
    return Fault(answer=(status, {}, {"detail": detail} | facts))


@dataclass
class State:
    """Everything a test reads or sets."""

    faults: list[Fault | None] = field(default_factory=list)
    """Faults of the first uploads, in order."""
    posts: list[Post] = field(default_factory=list)
    batches: dict[str, Uploaded] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    predicting: threading.Event = field(default_factory=threading.Event)
    """Batches end only while it is set."""
    posted: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    """Released once an upload has been read."""
    broken_results: int = 0
    """How many answers with results break off after the first line."""


class BulkGateway(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.state = State()
        self.state.predicting.set()
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: BulkGateway

    def do_POST(self) -> None:
        state = self.server.state
        body = self.rfile.read(int(self.headers["Content-Length"]))
        post = _read_form(body, self.headers["Content-Type"], key=self.headers["Idempotency-Key"])
        fault = state.faults.pop(0) if state.faults else None
        state.posts.append(post)
        if fault is None or fault.taken:
            id = state.keys.setdefault(post.key, f"batch{len(state.keys)}")
            tables = [name for name in post.names if name.endswith(".csv")]
            images = [name for name in post.names if name not in tables]
            state.batches.setdefault(id, Uploaded(id, images, skipped=tables))
        state.posted.release()
        if fault is None:
            self._answer(202, self._object(state.batches[id]))
            return
        if fault.wait:
            fault.wait.wait(LIMIT)
        if fault.answer is None:
            self.close_connection = True
            return
        status, headers, problem = fault.answer
        self._answer(status, problem, headers)

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        _, id, *results = [*path.removeprefix("/v1/").split("/"), ""][:3]
        batch = self.server.state.batches.get(id)
        if not id:
            self._answer(200, {"results": [], "next": None, "previous": None})
        elif batch is None:
            self._answer(404, {"title": "No such batch", "detail": f"there is no batch {id!r}"})
        elif results == ["results"]:
            self._send_results(batch, query["format"][0])
        else:
            self._answer(200, self._object(batch))

    def _object(self, batch: Uploaded) -> dict[str, Any]:
        ended = self.server.state.predicting.is_set() or batch.canceled
        statuses = [batch.status(name) for name in batch.names] if ended else []
        counts = {status: statuses.count(status) for status in ("succeeded", "failed", "canceled")}
        return {
            "id": batch.id,
            "status": ("canceled" if batch.canceled else "completed") if ended else "in_progress",
            "request_counts": {"total": len(batch.names)} | counts,
            "skipped": len(batch.skipped),
            "skipped_files": batch.skipped,
            "completed_at": "2026-01-31T12:00:00Z" if ended else None,
        }

    def _send_results(self, batch: Uploaded, format: str) -> None:
        if format == "csv":
            text = io.StringIO(newline="")
            writer = csv.DictWriter(text, COLUMNS)
            writer.writeheader()
            writer.writerows(batch.rows())
            content = text.getvalue().encode()
        else:
            content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in batch.rows()).encode()
        if self.server.state.broken_results:
            self.server.state.broken_results -= 1
            self._send(200, content, {}, of=content.index(b"\n") + 3)
        else:
            self._send(200, content, {})

    def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), headers or {})

    def _send(self, status: int, content: bytes, headers: dict[str, str], of: int | None = None) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[:of])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def bulk_gateway() -> Iterator[BulkGateway]:
    with BulkGateway() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _read_form(body: bytes, content_type: str, *, key: str) -> Post:
    boundary = b"--" + content_type.partition("boundary=")[2].encode()
    fields = {}
    for part in body.split(boundary)[1:-1]:
        headers, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        fields[headers.split(b'name="')[1].split(b'"')[0].decode()] = content.removesuffix(b"\r\n")
    # The gateway reads an archive while it is received, so all other fields must come first.
    assert list(fields)[-1] == "archive"
    texts = {name: fields[name].decode() if name in fields else None for name in ("model", "webhook")}
    pipeline = {name: text.decode() for name, text in fields.items() if name not in {"model", "webhook", "archive"}}
    return Post(key, **texts, archive=fields["archive"], names=_names(fields["archive"]), pipeline=pipeline)


def _names(archive: bytes) -> list[str]:
    if zipfile.is_zipfile(io.BytesIO(archive)):
        return zipfile.ZipFile(io.BytesIO(archive)).namelist()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.getnames()
