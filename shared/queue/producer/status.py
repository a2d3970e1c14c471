"""The status of the service, as all processes publish it: the gateway's own figures, and what there is to read."""

import asyncio
import time
from datetime import timedelta
from typing import Any, Final

from shared.domain.status.alert_conditions import ShownAlert, shown
from shared.domain.status.process_figures import ProcessFigures
from shared.domain.status.service_status import Figures, RedisState
from shared.queue.connection.pipeline import Pipeline
from shared.queue.inspection import duties, status_board
from shared.queue.inspection.duties import Duty
from shared.queue.inspection.status_board import PAUSE, Board, Call
from shared.queue.lua import Script

__all__ = ["PAUSE", "Status"]

SHARED_FOR: Final = timedelta(seconds=1)
"""Whoever asks within this time gets the same figures: many open pages cost as much as one."""
_Read = tuple[Figures, list[ShownAlert]]


class Status:
    """Reads and publishes through the gateway's pipeline.

    What figures come to is computed in a thread: 64 workers of 20 models take 41 ms, which requests must not wait for.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._redis = pipeline
        self._reading = asyncio.Lock()
        self._last: tuple[float, _Read] | None = None

    async def publish(self, figures: ProcessFigures) -> None:
        """Publish this process' figures; keep a sample of the status where it is this process' turn."""
        slot = int(await self._run(status_board.publish_call(figures, samples=True)))
        if slot:
            replies = await self._replies()
            await self._run(await asyncio.to_thread(_sample_call, slot, replies))

    async def read(self) -> tuple[Figures, list[ShownAlert]]:
        """Return what the figures of all processes come to, and the alerts that hold."""
        async with self._reading:
            if self._last is None or time.monotonic() - self._last[0] > SHARED_FOR.total_seconds():
                self._last = time.monotonic(), await asyncio.to_thread(_read, await self._replies())
            return self._last[1]

    async def samples(self, *, since_ms: int) -> list[tuple[int, dict[str, Any]]]:
        """Return the samples from an instant on: each its slot in milliseconds, and its values by column."""
        return status_board.parse_samples(await self._redis.call(*status_board.samples_command(since_ms)))

    async def server(self) -> RedisState:
        """Return what the server says of itself; its state is `ready`, since it answers."""
        reply: bytes = await self._redis.call("INFO")
        info = dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
        return RedisState(
            state="ready",
            version=info.get("redis_version"),
            clients=int(info.get("connected_clients", 0)),
            memory_bytes=int(info.get("used_memory", 0)),
            memory_limit_bytes=int(info.get("maxmemory", 0)) or None,
        )

    async def _replies(self) -> tuple[Any, Any]:
        """Return the replies of what reads the figures, and of what reads the roles' signs of life."""
        duties_call = self._redis.evaluate(Script.READ_DUTIES, duties.KEYS)
        board, told = await asyncio.gather(self._run(status_board.read_call()), duties_call)
        return board, told

    async def _run(self, call: Call) -> Any:
        return await self._redis.evaluate(call.script, call.keys, *call.arguments)


def _parsed(replies: tuple[Any, Any]) -> tuple[Board, list[Duty]]:
    board, told = replies
    return status_board.parse_board(board), duties.parse_duties(told)


def _read(replies: tuple[Any, Any]) -> _Read:
    board, told = _parsed(replies)
    figures = board.figures(told)
    return figures, shown(board.holding(figures, told), board.alerts_since, now_us=board.now_us)


def _sample_call(slot_ms: int, replies: tuple[Any, Any]) -> Call:
    return status_board.sample_call(slot_ms, *_parsed(replies))
