"""A fast receiver of webhooks, a process: `python -m benchmarks.load.receiver OUTPUT`, its port on standard input.

It answers 204 at once and only records each request with its time; it parses them when told to end.
"""

import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, cast

import orjson
import uvloop

from benchmarks.load import children
from benchmarks.load.connection import WrongAnswer
from benchmarks.load.received import Received

_ANSWER: Final = b"HTTP/1.1 204 No Content\r\n\r\n"
_HEAD_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Post:
    """One whole request: when its last byte was received by both clocks, its head in lower case, its body."""

    arrived: float
    instant: float
    head: bytes
    body: bytes


class Line(asyncio.Protocol):
    """One keep-alive connection; its requests are appended to `came`, which all connections share."""

    def __init__(self, came: list[Post]) -> None:
        self._came = came
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        """Answer each request that is complete."""
        self._received += data
        while (end := self._received.find(_HEAD_END)) >= 0:
            head = self._received[:end].lower()
            begin = end + len(_HEAD_END)
            end = begin + int(_field(head, b"content-length"))
            if len(self._received) < end:
                return
            self._came.append(Post(time.monotonic(), time.time(), head, self._received[begin:end]))
            self._received = self._received[end:]
            self._transport.write(_ANSWER)


def _field(head: bytes, name: bytes) -> bytes:
    """Return a header's value. Raises WrongAnswer where there is none."""
    _, found, rest = (head + b"\r\n").partition(b"\r\n" + name + b":")
    if not found:
        raise WrongAnswer(f"no {name.decode()} in {head!r}")
    return rest.partition(b"\r\n")[0].strip()


def read(came: Sequence[Post], *, processor_seconds: float) -> Received:
    """Parse the requests. Raises WrongAnswer for one that is not a prediction that has ended."""
    ids, predictions, milliseconds = [], [], []
    for post in came:
        prediction = orjson.loads(post.body)
        if prediction["completed_at"] is None:
            raise WrongAnswer(f"a delivery of a prediction that goes on: {post.body[:500]!r}")
        ids.append(_field(post.head, b"webhook-id").decode())
        predictions.append(prediction["id"])
        completed = datetime.fromisoformat(prediction["completed_at"]).timestamp()
        milliseconds.append((post.instant - completed) * 1000)
    return Received(
        ids=ids,
        predictions=predictions,
        arrived=[post.arrived for post in came],
        milliseconds=milliseconds,
        processor_seconds=processor_seconds,
    )


async def receive(port: int) -> list[Post]:
    """Listen, report ready, and return what was received until told to end."""
    came: list[Post] = []
    server = await asyncio.get_running_loop().create_server(lambda: Line(came), "127.0.0.1", port, backlog=1024)
    await asyncio.to_thread(children.ready)
    await asyncio.to_thread(children.wait_for_end)
    server.close()
    return came


def main() -> None:
    """Receive until told to end, then write what was received."""
    port, processor = int(children.read_task()), time.process_time()
    came = uvloop.run(receive(port))
    received = read(came, processor_seconds=time.process_time() - processor)
    Path(sys.argv[1]).write_bytes(orjson.dumps(asdict(received)))


if __name__ == "__main__":
    main()
