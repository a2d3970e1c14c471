"""The status of the service, as all processes publish it: the gateway's own figures, and what there is to read."""

from typing import Any

from shared.domain.status.alert_conditions import ShownAlert, shown
from shared.domain.status.process_figures import ProcessFigures
from shared.domain.status.service_status import Figures, RedisState
from shared.queue.connection.pipeline import Pipeline
from shared.queue.inspection import duties, status_board
from shared.queue.inspection.duties import Duty
from shared.queue.inspection.status_board import PAUSE, Board, Call
from shared.queue.lua import Script

__all__ = ["PAUSE", "Status"]


class Status:
    """Reads and publishes through the gateway's pipeline."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._redis = pipeline

    async def publish(self, figures: ProcessFigures) -> None:
        """Publish this process' figures; keep a sample of the status where it is this process' turn."""
        slot = int(await self._run(status_board.publish_call(figures, samples=True)))
        if slot:
            board, told = await self._board()
            await self._run(status_board.sample_call(slot, board, told))

    async def read(self) -> tuple[Figures, list[ShownAlert]]:
        """Return what the figures of all processes come to, and the alerts that hold."""
        board, told = await self._board()
        figures = board.figures(told)
        holding = board.holding(figures, told)
        return figures, shown(holding, board.alerts_since, now_us=board.now_us)

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

    async def _board(self) -> tuple[Board, list[Duty]]:
        board = status_board.parse_board(await self._run(status_board.read_call()))
        return board, duties.parse_duties(await self._redis.evaluate(Script.READ_DUTIES, duties.KEYS))

    async def _run(self, call: Call) -> Any:
        return await self._redis.evaluate(call.script, call.keys, *call.arguments)
