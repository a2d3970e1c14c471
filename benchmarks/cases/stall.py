"""How long one request keeps the gateway from answering others, and the memory it takes, for each shape of body."""

import http.client
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

from benchmarks.load.stall_shapes import SHAPES
from benchmarks.stack import processors
from benchmarks.stack.darkroom import Stack
from benchmarks.workbench import Workbench

PAUSE = 0.005
TRIES = 3
"""Tries per shape, of which the best counts: other work on these cores is not the gateway's."""
LIMIT = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """The worst `/health/live` while one request of this shape was sent and answered, and the gateway's peak memory."""

    name: str
    megabytes: float
    status: int
    milliseconds: float
    above_idle: float
    """Megabytes."""


def measure(bench: Workbench, stack: Stack) -> list[Stall]:
    """Send each shape, one after the other, from a process of its own."""
    found = []
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as sender:
        for name in SHAPES:
            tries = [_try(sender, stack, name) for _ in range(TRIES)]
            best = min(tries, key=lambda stall: stall.milliseconds)
            bench.say(f"  {name}: {best.status}, {best.milliseconds:.0f} ms, {best.above_idle:.0f} MB")
            found.append(best)
    return found


def _try(sender: ProcessPoolExecutor, stack: Stack, name: str) -> Stall:
    pids = stack.roles["api"]
    processors.forget_peak(pids)
    idle = processors.resident_megabytes(pids)
    sent = sender.submit(send, stack.port, name)
    # The body is made first, so that making it is not measured.
    answers = list(_answers(stack.port, sent))
    size, status, started, ended = sent.result()
    # A request that is refused at once may end between two polls.
    worst = max((seconds for at, seconds in answers if at + seconds >= started and at <= ended), default=0.0)
    peak = processors.peak_megabytes(pids)
    return Stall(
        name=name, megabytes=size / 1e6, status=status, milliseconds=worst * 1000, above_idle=max(0.0, peak - idle)
    )


def _answers(port: int, sent: "Future[tuple[int, int, float, float]]") -> Iterator[tuple[float, float]]:
    """Yield when `/health/live` was requested and how long it took, until the request has its answer."""
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    while not sent.done():
        asked = time.monotonic()
        link.request("GET", "/health/live")
        link.getresponse().read()
        yield asked, time.monotonic() - asked
        time.sleep(PAUSE)
    link.close()


def send(port: int, name: str) -> tuple[int, int, float, float]:
    """Send one shape; return its size, the answer's status, and when it began and ended (the system's clock)."""
    os.nice(5)
    shape = SHAPES[name]
    body = shape.body()
    path, query, text = shape.path.partition("?")
    if not query and shape.path == "/v1/batches":
        path += "?model=digits"
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    started = time.monotonic()
    try:
        if shape.piece is None:
            headers = {"Content-Type": shape.content_type}
            link.request("POST", path + query + text, body=body, headers=headers)
        else:
            _send_in_chunks(link, path, shape.content_type, body, shape.piece)
        answer = link.getresponse()
        answer.read()
        status = answer.status
    except (BrokenPipeError, ConnectionResetError):
        status = 0  # answered before it was read, and the answer lost
    finally:
        link.close()
    return len(body), status, started, time.monotonic()


def _send_in_chunks(link: http.client.HTTPConnection, path: str, content_type: str, body: bytes, piece: int) -> None:
    link.putrequest("POST", path)
    link.putheader("Content-Type", content_type)
    link.putheader("Transfer-Encoding", "chunked")
    link.endheaders()
    written = b"".join(
        b"%x\r\n%b\r\n" % (piece, body[at : at + piece]) for at in range(0, len(body) - piece + 1, piece)
    )
    link.send(written + b"0\r\n\r\n")
