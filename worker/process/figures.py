"""Publishes a worker's figures to Redis every two seconds, from a thread of its own."""

import os
import socket
from collections.abc import Callable
from typing import Any

import redis
from prometheus_client import CollectorRegistry

from shared.domain.status.process_figures import ProcessFigures
from shared.observability.process_figures import FigureReader
from shared.queue import keys
from shared.queue.inspection import duties, status_board
from shared.queue.inspection.status_board import PAUSE, Call
from shared.queue.lua import Scripts
from worker.process.background_threads import PeriodicThread


class PublishedFigures:
    """What this process says about itself. Roles and facts are added as roles start; thread-safe."""

    def __init__(self, registry: CollectorRegistry, client: redis.Redis, *, name: str) -> None:
        """`client` must give up soon: a Redis that hangs is seen as silence, and a thread must not hang with it."""
        self._reader = FigureReader(registry)
        self._client = client
        self._scripts = Scripts(client)
        self._name = name
        self._roles: tuple[str, ...] = ()
        self._facts: dict[str, Callable[[], Any]] = {}
        self._thread = PeriodicThread(self._publish_quietly, pause=PAUSE, name="figures")

    def add_role(self, role: str) -> None:
        """Say from now on that this process has a role."""
        self._roles = (*self._roles, role)

    def add_fact(self, name: str, read: Callable[[], Any]) -> None:
        """Publish what `read` returns; where it raises, nothing under that name."""
        self._facts = {**self._facts, name: read}

    def start(self) -> None:
        """Begin to publish."""
        self._thread.start()

    def stop(self) -> None:
        """Publish no more, and be forgotten at once."""
        self._thread.stop()
        try:
            self._client.delete(keys.figures(self._name))
            self._client.zrem(keys.FIGURES, self._name)
        except (redis.RedisError, OSError):
            return  # they expire

    def publish(self) -> None:
        """Publish now; keep a sample of the status where it is this process' turn, but not beside predicting."""
        figures = ProcessFigures(
            name=self._name,
            roles=self._roles,
            host=socket.gethostname(),
            pid=os.getpid(),
            facts={name: fact for name, read in self._facts.items() if (fact := _read(read)) is not None},
            **self._reader.read(),
        )
        # Of many predict workers none should spend its time on the figures of all others.
        slot = int(self._run(status_board.publish_call(figures, samples="predict" not in self._roles)))
        if slot:
            board = status_board.parse_board(self._run(status_board.read_call()))
            self._run(status_board.sample_call(slot, board, duties.read_duties(self._client)))

    def _publish_quietly(self) -> None:
        try:
            self.publish()
        except (redis.RedisError, OSError):
            return  # Redis' absence is logged by those who need it; the status shows this process as silent

    def _run(self, call: Call) -> Any:
        return self._scripts.run(call.script, call.keys, *call.arguments)


def _read(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception:  # noqa: BLE001  the other figures are published all the same
        return None
