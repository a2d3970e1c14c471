"""The gateway's single writer: Redis commands that come in one turn of the event loop share one write.

One script call at a time cost the gateway 0.28 ms of CPU a job, most of it asyncio and the client; sharing halves it,
and with `appendfsync always` one fsync serves them all. Every command sent here must be safe to repeat: one whose
answer was lost with the connection is sent again until its time is up.
"""

import asyncio
import logging
import math
from collections import deque
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from hiredis import pack_command
from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.domain.errors import StorageUnavailable
from shared.queue.lua import Script, sha, source

log = logging.getLogger(__name__)

Command = tuple[bytes | str | int, ...]
Pending = tuple[Command, "asyncio.Future[Any]"]

# One write holds up every answer behind it: 256 KB is 0.1 ms of copying, 20 MB would be felt by all.
LARGE = 256 * 1024
RETRY_PAUSE = timedelta(milliseconds=100)
_LOST = (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError)


class Pipeline:
    """Run Redis commands from many requests over one connection, a pipelined write at a time."""

    def __init__(self, client: Redis, *, timeout: timedelta) -> None:
        self._client = client
        # Kept, because before Python 3.12 asking for it is a system call.
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout.total_seconds()
        self._pending: deque[Pending] = deque()
        self._wake = asyncio.Event()
        self._connection: AbstractConnection | None = None
        self._closed = False
        self._writer = asyncio.create_task(self._write_forever(), name="redis-writer")

    async def call(self, *command: bytes | str | int) -> Any:
        """Run one command; it goes on if the caller is canceled.

        Raises StorageUnavailable when Redis gave no answer in time, ResponseError when it refused.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        if any(type(part) is bytes and len(part) > LARGE for part in command):
            task = asyncio.create_task(self._write_alone((command, future)))
            return await asyncio.shield(task)
        self._pending.append((command, future))
        self._wake.set()
        return await future

    async def evaluate(self, script: Script, keys: tuple[str, ...], *arguments: bytes | str | int) -> Any:
        """Run a script."""
        return await self.call("EVALSHA", sha(script), len(keys), *keys, *arguments)

    async def close(self) -> None:
        """Stop; commands that have no answer yet fail."""
        # The client library, while it connects, may swallow a cancellation; the writer then ends by itself.
        self._closed = True
        self._wake.set()
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)
        for _, future in self._pending:
            _fail(future, self._unavailable())
        if self._connection is not None:
            await self._connection.disconnect()

    async def _write_forever(self) -> None:
        while not self._closed:
            await self._wake.wait()
            self._wake.clear()
            batch = list(self._pending)
            self._pending.clear()
            try:
                await self._deliver_all(batch)
            except asyncio.CancelledError:
                for _, future in batch:
                    _fail(future, self._unavailable())
                raise

    async def _deliver_all(self, batch: list[Pending]) -> None:
        """Send in one write; where the client library can't, one by one, so that its error reaches one caller."""
        try:
            await self._deliver(batch)
        except Exception as error:  # noqa: BLE001  an end of the writer would be the end of the gateway
            # Not its repr, which of a UnicodeError is the whole text.
            facts = {"error": f"{type(error).__name__}: {error}", "commands": len(batch)}
            log.error("write_failed", extra=facts)  # noqa: TRY400  the caller's error has its traceback
        for pending in batch:
            if not pending[1].done():
                await self._disconnect()  # answers not read yet would be taken for the next ones
                try:
                    await self._deliver([pending])
                except Exception as error:  # noqa: BLE001  it is handed to the caller
                    _fail(pending[1], error)

    async def _deliver(self, batch: list[Pending]) -> None:
        """Send until every command has its answer or the time is up."""
        lost = False
        deadline = self._loop.time() + self._timeout
        while batch:
            try:
                async with asyncio.timeout_at(deadline):
                    if self._connection is None:
                        self._connection = self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
                    batch = await _exchange(self._connection, batch)
            except _LOST as error:
                if not lost:
                    log.warning("redis_lost", extra={"error": str(error), "commands": len(batch)})
                lost = True
                await self._disconnect()
                batch = [pending for pending in batch if not pending[1].done()]
                if not await _time_to_try_again(deadline):
                    for _, future in batch:
                        _fail(future, self._unavailable())
                    return

    async def _disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    async def _write_alone(self, pending: Pending) -> Any:
        """Send one large command over a connection of the pool, so that nobody waits behind its bytes."""
        deadline = self._loop.time() + self._timeout
        left = [pending]
        while left:
            connection = None
            try:
                async with asyncio.timeout_at(deadline):
                    connection = await self._client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
                    left = await _exchange(connection, left)
            except _LOST:
                if connection is not None:
                    await connection.disconnect(nowait=True)
                if not await _time_to_try_again(deadline):
                    raise self._unavailable() from None
            finally:
                if connection is not None:
                    await self._client.connection_pool.release(connection)
        return pending[1].result()

    @staticmethod
    def _unavailable() -> StorageUnavailable:
        return StorageUnavailable(store="redis", retry_after=timedelta(seconds=2))


async def _exchange(connection: AbstractConnection, batch: list[Pending]) -> list[Pending]:
    """Write all, read all; return those to send again because Redis did not know their script."""
    await connection.connect()  # type: ignore[no-untyped-call]
    await connection.send_packed_command(_packed(command for command, _ in batch), check_health=False)
    again = []
    for pending in batch:
        try:
            # Without a time of its own for each reply: the caller's holds for all of them.
            reply = await connection.read_response(timeout=math.inf)
        except NoScriptError:
            again.append(pending)
        except ResponseError as error:
            _fail(pending[1], _named(error))
        else:
            if not pending[1].done():
                pending[1].set_result(reply)
    if again:
        loads = [("SCRIPT", "LOAD", source(script)) for script in Script]
        await connection.send_packed_command(_packed(loads), check_health=False)
        for _ in loads:
            await connection.read_response()
    return again


def _named(error: ResponseError) -> ResponseError:
    """Return a script's want of memory as what it is; before version 7 Redis says so only inside the error's text."""
    return OutOfMemoryError(str(error)) if "-OOM " in str(error) else error


async def _time_to_try_again(deadline: float) -> bool:
    """Pause before the next try and return True; False at once where `deadline` (the loop's clock) comes before."""
    if asyncio.get_running_loop().time() + RETRY_PAUSE.total_seconds() >= deadline:
        return False
    await asyncio.sleep(RETRY_PAUSE.total_seconds())
    return True


def _packed(commands: Iterable[Command]) -> list[bytes]:
    """Write commands in Redis' protocol; the asyncio client's own way takes 10 µs for a submission's 25 parts."""
    return [pack_command(command) for command in commands]  # type: ignore[arg-type]  # its stub takes tuples of one


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    """Hand the error to whoever still waits."""
    if not future.done():
        future.set_exception(error)
