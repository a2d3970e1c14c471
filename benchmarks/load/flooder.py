"""The open-loop load generator, a process of its own: `python -m benchmarks.load.flooder OUTPUT`, a flood on its stdin.

Request n is due at n / rate whatever the answers do, as people come who do not wait for each other. Where every
connection is busy it goes out late, and its time still counts from when it was due.
"""

import selectors
import sys
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

import orjson

from benchmarks.load import children, image_files
from benchmarks.load.connection import Connection, WrongAnswer
from benchmarks.load.generator import render, text_after
from benchmarks.load.plan import Plan

ACCEPTED: Final = (200, 202)
REFUSED: Final = (429, 503)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flood:
    """What to send: `rate` images per second for `seconds`, as `plan` says; the plan's own `count` is not used."""

    plan: Plan
    rate: float
    seconds: float

    @property
    def count(self) -> int:
        """How many images there are."""
        return round(self.rate * self.seconds)

    def as_json(self) -> bytes:
        """Write it for the generator's standard input."""
        return orjson.dumps({**asdict(self), "plan": asdict(self.plan)})

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """Read what `as_json` wrote."""
        members = orjson.loads(text)
        return cls(**{**members, "plan": Plan(**members["plan"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Washed:
    """The outcome: ids of accepted requests, and milliseconds from when each was due to its answer."""

    started: float
    ended: float
    ids: list[str]
    numbers: list[int]
    """The numbers of their images, in the order of `ids`."""
    accepted_milliseconds: list[float]
    refused_milliseconds: list[float]

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read what a flooder wrote."""
        return cls(**orjson.loads(path.read_bytes()))


class Flooder:
    """Sends requests when they are due; each is rendered just before, since all at once would be gigabytes."""

    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self._images = image_files.read(Path(flood.plan.images))
        self._selector = selectors.DefaultSelector()
        self._free: deque[Connection] = deque()
        self._mark = flood.plan.id_mark.encode()
        self._due: dict[Connection, float] = {}
        self._ids: list[str] = []
        self._numbers: list[int] = []
        self._accepted: list[float] = []
        self._refused: list[float] = []

    def run(self) -> Washed:
        """Send everything. Raises WrongAnswer, or TimeoutError where answers are missing at the limit."""
        connections = [Connection(self._flood.plan.port) for _ in range(self._flood.plan.connections)]
        for connection in connections:
            self._selector.register(connection, selectors.EVENT_READ, connection)
        self._free.extend(connections)
        started = time.monotonic()
        try:
            self._send_all(started)
        finally:
            for connection in connections:
                connection.close()
            self._selector.close()
        return Washed(
            started=started,
            ended=time.monotonic(),
            ids=self._ids,
            numbers=self._numbers,
            accepted_milliseconds=self._accepted,
            refused_milliseconds=self._refused,
        )

    def _send_all(self, started: float) -> None:
        """Send each when it is due and a connection is free, until all have an answer."""
        sent, count, rate = 0, self._flood.count, self._flood.rate
        while sent < count or self._due:
            now = time.monotonic()
            if now > started + self._flood.plan.limit:
                raise TimeoutError(f"{len(self._due)} requests without an answer")
            while sent < count and self._free and started + sent / rate <= now:
                self._send(sent, due=started + sent / rate)
                sent += 1
            is_next_known = sent < count and self._free
            self._handle_ready(max(0.0, started + sent / rate - time.monotonic()) if is_next_known else 0.05)

    def _send(self, number: int, *, due: float) -> None:
        plan, connection = self._flood.plan, self._free.popleft()
        image = image_files.stamped(self._images[number % len(self._images)], plan.stamp << 20 | number)
        connection.image = number
        self._due[connection] = due
        if not connection.send(render(plan, image, path=plan.path)):
            self._selector.modify(connection, selectors.EVENT_READ | selectors.EVENT_WRITE, connection)

    def _handle_ready(self, pause: float) -> None:
        """Handle what is ready, or becomes so within a pause (seconds)."""
        for key, events in self._selector.select(pause):
            connection: Connection = key.data
            if events & selectors.EVENT_WRITE and connection.send_rest():
                self._selector.modify(connection, selectors.EVENT_READ, connection)
            if events & selectors.EVENT_READ and (response := connection.receive()) is not None:
                self._take(connection, *response)

    def _take(self, connection: Connection, status: int, body: bytes) -> None:
        milliseconds = (time.monotonic() - self._due.pop(connection)) * 1000
        if status in ACCEPTED:
            self._ids.append(text_after(self._mark, body))
            self._numbers.append(connection.image)
            self._accepted.append(milliseconds)
        elif status in REFUSED:
            self._refused.append(milliseconds)
        else:
            raise WrongAnswer(f"{status} for image {connection.image}: {body[:500]!r}")
        self._free.append(connection)


def main() -> None:
    """Prepare, report ready, run when told, write the outcome."""
    flooder = Flooder(Flood.from_json(children.read_task()))
    children.ready()
    washed = flooder.run()
    Path(sys.argv[1]).write_bytes(orjson.dumps(asdict(washed)))


if __name__ == "__main__":
    main()
