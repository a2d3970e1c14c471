"""The load generator, a process of its own: `python -m benchmarks.load.generator OUTPUT`, its plan on standard input.

As cheap as Python can be, since it shares the cores with what it measures: requests are rendered before the
clock starts, sockets never block, and of an answer only what is checked is read.
"""

import base64
import heapq
import selectors
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Final

import orjson

from benchmarks.load import children, image_files
from benchmarks.load.connection import Connection, WrongAnswer
from benchmarks.load.plan import Outcome, Plan

_BOUNDARY: Final = "------------------------darkroombenchmark"


def render(plan: Plan, image: bytes, *, path: str) -> bytes:
    """Return the whole request that submits `image`."""
    kind = plan.content_type(image)
    if plan.form:
        head = f'Content-Disposition: form-data; name="image"; filename="image"\r\nContent-Type: {kind}\r\n\r\n'
        image = f"--{_BOUNDARY}\r\n{head}".encode() + image + f"\r\n--{_BOUNDARY}--\r\n".encode()
        kind = f"multipart/form-data; boundary={_BOUNDARY}"
    if plan.template:
        image = plan.template.encode().replace(b"BASE64", base64.b64encode(image))
        kind = "application/json"
    prefer = f"Prefer: {plan.prefer}\r\n" if plan.prefer else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\n{prefer}"
        f"Content-Type: {kind}\r\nContent-Length: {len(image)}\r\n\r\n"
    ).encode() + image


def render_all(plan: Plan) -> list[bytes]:
    """Return one request an image, in order."""
    base = image_files.read(Path(plan.images))
    return [
        render(
            plan, image_files.stamped(base[number % len(base)], plan.stamp << 20 | number), path=plan.path_of(number)
        )
        for number in range(plan.count)
    ]


def text_after(mark: bytes, body: bytes) -> str:
    """Return the text between a mark and the next quotation mark, empty where there is none."""
    start = body.find(mark)
    if start < 0:
        return ""
    start += len(mark)
    return body[start : body.index(b'"', start)].decode()


class Generator:
    """Keeps every connection busy with one request at a time until each image has its answer."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests = render_all(plan)
        self._id_mark = plan.id_mark.encode()
        self._class_mark = plan.class_mark.encode()
        self._done_mark, self._failed_mark = plan.done_mark.encode(), plan.failed_mark.encode()
        self._get_tail = f" HTTP/1.1\r\nHost: 127.0.0.1:{plan.port}\r\n\r\n"
        self._selector = selectors.DefaultSelector()
        self._polls: list[tuple[float, int, Connection]] = []
        self._next = 0
        self._answered = 0
        self._ids = [""] * plan.count
        self._classes = [""] * plan.count
        self._milliseconds = [0.0] * plan.count

    def run(self) -> Outcome:
        """Send everything. Raises WrongAnswer, or TimeoutError when the plan's limit is over."""
        with ExitStack() as opened:
            connections = [Connection(self._plan.port) for _ in range(self._plan.connections)]
            for connection in connections:
                opened.callback(connection.close)
                self._selector.register(connection, selectors.EVENT_READ, connection)
            processor, started = time.process_time(), time.monotonic()
            for connection in connections:
                self._submit(connection)
            deadline = started + self._plan.limit
            while self._answered < self._plan.count:
                self._turn(deadline)
            ended = time.monotonic()
            return Outcome(
                started=started,
                ended=ended,
                processor_seconds=time.process_time() - processor,
                ids=self._ids,
                classes=self._classes if any(self._classes) else [],
                milliseconds=self._milliseconds,
            )

    def _turn(self, deadline: float) -> None:
        """Handle what is ready now."""
        pause = 5.0 if not self._polls else max(0.0, self._polls[0][0] - time.monotonic())
        ready = self._selector.select(pause)
        if not ready and time.monotonic() > deadline:
            raise TimeoutError(f"{self._answered} of {self._plan.count} answered in {self._plan.limit:.0f} s")
        for key, events in ready:
            connection: Connection = key.data
            if events & selectors.EVENT_WRITE and connection.send_rest():
                self._selector.modify(connection, selectors.EVENT_READ, connection)
            if events & selectors.EVENT_READ:
                response = connection.receive()
                if response is not None:
                    self._take(connection, *response)
        while self._polls and self._polls[0][0] <= time.monotonic():
            connection = heapq.heappop(self._polls)[2]
            self._get(connection, self._plan.poll_path)

    def _submit(self, connection: Connection) -> None:
        """Send the next image, if one is left."""
        if self._next == self._plan.count:
            return
        connection.image, self._next = self._next, self._next + 1
        connection.id, connection.reads = "", False
        connection.sent = time.perf_counter()
        self._send(connection, self._requests[connection.image])

    def _send(self, connection: Connection, request: bytes) -> None:
        if not connection.send(request):
            self._selector.modify(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)

    def _get(self, connection: Connection, path: str) -> None:
        self._send(connection, f"GET {path}{connection.id}{self._get_tail}".encode())

    def _take(self, connection: Connection, status: int, body: bytes) -> None:
        """Check an answer, then send the next image, or poll this one again."""
        polled = bool(connection.id)
        if status != (200 if polled else self._plan.accepted):
            raise WrongAnswer(f"{status} for image {connection.image}: {body[:500]!r}")
        if not polled:
            connection.id = self._ids[connection.image] = text_after(self._id_mark, body)
            if not connection.id:
                raise WrongAnswer(f"no {self._plan.id_mark} in {body[:500]!r}")
        if self._plan.poll_path and not connection.reads:
            if polled and self._failed_mark in body:
                raise WrongAnswer(f"image {connection.image} failed: {body[:500]!r}")
            if not polled or self._done_mark not in body:
                due = time.monotonic() + self._plan.poll_pause
                heapq.heappush(self._polls, (due, connection.image, connection))
                return
            if self._plan.result_path:
                connection.reads = True
                self._get(connection, self._plan.result_path)
                return
        self._milliseconds[connection.image] = (time.perf_counter() - connection.sent) * 1000
        if polled or self._plan.prefer:
            self._classes[connection.image] = text_after(self._class_mark, body)
            if not self._classes[connection.image]:
                raise WrongAnswer(f"no result for image {connection.image}: {body[:500]!r}")
        self._answered += 1
        self._submit(connection)


def main() -> None:
    """Prepare, report ready, run when told, write the outcome."""
    generator = Generator(Plan.from_json(children.read_task()))
    children.ready()
    outcome = generator.run()
    Path(sys.argv[1]).write_bytes(orjson.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
