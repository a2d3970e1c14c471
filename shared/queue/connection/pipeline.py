"""The gateway's shared connection: all Redis commands of one turn of the event loop go out in one write.

Over 300 lines: one class, whose calls, writer and retries share its state.

A write for each script call cost 0.28 ms of CPU a job, mostly asyncio and the client; sharing it halves that, and one
fsync serves it. Every command must be safe to repeat: one whose reply was lost, or which Redis refuses (`refusals`), is
sent again until its time is up. Refused ones wait outside the queue: reads, which a replica answers, need not wait.
A command's time runs from when it was handed over: what waits behind a write without replies does not wait twice, and
what is lost and refused in turns, by a server that keeps crashing, has no new time each turn.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from redis.asyncio import Redis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.domain.errors import StorageUnavailable
from shared.observability.error_text import error_text
from shared.queue.connection.exchange import LARGE, Pending, exchange, fail
from shared.queue.connection.refusals import REFUSALS, RedisRefuses, code_of, describe
from shared.queue.lua import Script, sha

log = logging.getLogger(__name__)

# At most so many commands larger than LARGE are in flight: until one is carried out, Redis holds its bytes twice,
# besides what it stores.
LARGE_AT_ONCE = 4
RETRY_PAUSE = timedelta(milliseconds=100)
LONGEST_RETRY_PAUSE = timedelta(seconds=1)
RETRY_FULL = timedelta(seconds=5)
FULL = "is out of memory (OOM)"
# Checks, within one timeout, for commands that have waited as long.
CHECKS = 10
# Unknown scripts are loaded and their commands sent again, so many times at most: Redis may restart in between.
LOADS = 3
_LOST = (RedisConnectionError, RedisTimeoutError, OSError, TimeoutError)


@dataclass(slots=True)
class _Retry:
    """A command tried in vain: when to give up (the loop's clock), its next pause, and whether it is in one now."""

    deadline: float
    pause: float = RETRY_PAUSE.total_seconds()
    waits: bool = False


class Pipeline:
    """Runs the commands of many requests over one connection, one pipelined write at a time."""

    def __init__(self, client: Redis, *, timeout: timedelta) -> None:
        self._client = client
        # Kept, because get_running_loop is a system call before Python 3.12.
        self._loop = asyncio.get_running_loop()
        self._timeout = timeout.total_seconds()
        self._pending: deque[Pending] = deque()
        # Commands seen waiting, by when their time is up (the loop's clock); how many of the pending have been seen.
        self._waiting: deque[tuple[float, list[asyncio.Future[Any]]]] = deque()
        self._seen = 0
        self._sources: list[Callable[[], Iterable[Pending]]] = []
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._wake = asyncio.Event()
        self._connection: AbstractConnection | None = None
        self._closed = False
        self._retried: WeakKeyDictionary[asyncio.Future[Any], _Retry] = WeakKeyDictionary()
        # When the delivery under way gives up, and so whatever it tries first.
        self._deadline = 0.0
        # Commands that were written to a connection which was then lost: they may have been carried out.
        self._uncertain: WeakSet[asyncio.Future[Any]] = WeakSet()
        # The code of the last refusal; '' if the connection was lost, or nothing was refused since.
        self._reason = ""
        self._refuses_now = False
        self._has_moved = False
        self._listeners: list[Callable[[], None]] = []
        self._writer = asyncio.create_task(self._write_forever(), name="redis-writer")
        self._watcher = asyncio.create_task(self._end_overdue_forever(), name="redis-watcher")

    def when_moved(self, listener: Callable[[], None]) -> None:
        """Call the listener whenever writes succeed again after the server had stopped being the primary."""
        self._listeners.append(listener)

    def add_source(self, source: Callable[[], Iterable[Pending]]) -> None:
        """Call `source` before each write, and at the end, for commands that it has gathered until then."""
        self._sources.append(source)

    def wake(self) -> None:
        """Write as soon as the writer is free: a source has commands."""
        self._wake.set()

    async def try_once(self, *command: bytes | str | int) -> Any:
        """Run one command; a refusal is not repeated but raised at once, as StorageUnavailable."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._retried[future] = _Retry(deadline=0.0)
        self._pending.append((command, future))
        self._wake.set()
        return await future

    async def call(self, *command: bytes | str | int) -> Any:
        """Run one command and return its reply. It is carried out even if the caller is canceled.

        Raises StorageUnavailable if Redis gives no reply, or refuses, until the timeout, and at once where it is out of
        memory; ResponseError for an error of ours.
        """
        try:
            return await self.call_or_full(*command)
        except OutOfMemoryError:
            raise StorageUnavailable(store="redis", retry_after=RETRY_FULL, reason=FULL, certain=True) from None

    async def call_or_full(self, *command: bytes | str | int) -> Any:
        """Do what `call` does, but raise OutOfMemoryError where Redis is out of memory: for callers that wait then."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if any(type(part) is bytes and len(part) > LARGE for part in command):
            task = asyncio.create_task(self._write_alone((command, future)))
            return await asyncio.shield(task)
        self._pending.append((command, future))
        self._wake.set()
        return await future

    async def evaluate(self, script: Script, keys: tuple[str, ...], *arguments: bytes | str | int) -> Any:
        """Run a script and return its reply; raises what `call` raises."""
        return await self.call("EVALSHA", sha(script), len(keys), *keys, *arguments)

    async def evaluate_or_full(self, script: Script, keys: tuple[str, ...], *arguments: bytes | str | int) -> Any:
        """Run a script and return its reply; raises what `call_or_full` raises."""
        return await self.call_or_full("EVALSHA", sha(script), len(keys), *keys, *arguments)

    async def close(self) -> None:
        """Stop; commands that have no reply yet fail."""
        # The client library, while it connects, may swallow a cancellation; the writer then ends by itself.
        self._closed = True
        self._wake.set()
        self._writer.cancel()
        self._watcher.cancel()
        await asyncio.gather(self._writer, self._watcher, return_exceptions=True)
        for future in [*(future for _, future in self._take_pending()), *self._retried]:
            fail(future, self._unavailable(future))
        if self._connection is not None:
            await self._connection.disconnect()

    async def _write_forever(self) -> None:
        while not self._closed:
            await self._wake.wait()
            self._wake.clear()
            batch = self._take_pending()
            try:
                await self._deliver_all(batch)
            except asyncio.CancelledError:
                self._end(future for _, future in batch)
                raise

    def _take_pending(self) -> list[Pending]:
        """Return every command that waits to be written, those of the sources last."""
        self._gather()
        batch = list(self._pending)
        self._pending.clear()
        self._seen = 0
        return batch

    def _gather(self) -> None:
        for source in self._sources:
            self._pending += source()

    async def _end_overdue_forever(self) -> None:
        while True:
            await asyncio.sleep(self._timeout / CHECKS)
            self._end_overdue()

    def _end_overdue(self) -> None:
        """Fail each command that was seen waiting a timeout ago and has no reply; one that is unwritten stays so."""
        now, overdue = self._loop.time(), set[asyncio.Future[Any]]()
        self._gather()
        if waiting := [future for _, future in islice(self._pending, self._seen, None)]:
            self._waiting.append((now + self._timeout, waiting))
        while self._waiting and self._waiting[0][0] <= now:
            overdue.update(future for future in self._waiting.popleft()[1] if not future.done())
        self._end(overdue)
        if overdue:
            self._pending = deque(pending for pending in self._pending if pending[1] not in overdue)
        self._seen = len(self._pending)

    async def _deliver_all(self, batch: list[Pending]) -> None:
        """Send in one write; if the client library fails, one by one, so that its error reaches only its caller."""
        try:
            await self._deliver(batch)
        except Exception as error:  # noqa: BLE001  if the writer ended, the gateway could serve nobody
            # Not its repr, which of a UnicodeError is the whole text.
            facts = {"error": f"{type(error).__name__}: {error}", "commands": len(batch)}
            log.error("write_failed", extra=facts)  # noqa: TRY400  the caller's error has its traceback
        for pending in self._left(batch):
            if not pending[1].done():
                await self._disconnect()  # answers not read yet would be taken for the next ones
                try:
                    await self._deliver([pending])
                except Exception as error:  # noqa: BLE001  it is handed to the caller
                    fail(pending[1], error)

    async def _deliver(self, batch: list[Pending]) -> None:
        """Send until every command has its reply, waits for its next try, or the time is up."""
        lost, tries = False, 0
        deadline = self._deadline = self._loop.time() + self._timeout
        while batch:
            tries += 1
            try:
                async with asyncio.timeout_at(deadline):
                    batch = await self._try(batch)
            except _LOST as error:
                if not lost:
                    log.warning("redis_lost", extra={"error": error_text(error), "commands": len(batch)})
                lost = True
                await self._disconnect()
                batch = self._left(batch)
                self._set_deadlines(future for _, future in batch)
                if not await _time_to_try_again(deadline):
                    self._end(future for _, future in batch)
                    return
            if not lost and tries > LOADS:
                for pending in batch:
                    self._try_later(pending, RedisRefuses("NOSCRIPT"))
                return
        await self._follow_primary()

    async def _try(self, batch: list[Pending]) -> list[Pending]:
        """Send once; return the commands to send again. Raises the client library's error if the connection is lost."""
        if self._connection is None:
            self._connection = self._client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await self._connection.connect()
        except _LOST as error:
            self._reason = code_of(error) or ""
            raise
        self._refuses_now = False
        try:
            again = await exchange(self._connection, batch, self._try_later)
        except _LOST as error:
            # Some refusals come with the end of the connection, which may be seen first.
            self._reason = code_of(error) or self._reason
            self._uncertain.update(future for _, future in self._left(batch))
            raise
        if not self._refuses_now:
            self._reason = ""
        return again

    def _left(self, batch: list[Pending]) -> list[Pending]:
        """Return the commands that have no reply and are not waiting for their next try."""
        return [
            pending
            for pending in batch
            if not pending[1].done() and not ((retry := self._retried.get(pending[1])) is not None and retry.waits)
        ]

    def _try_later(self, pending: Pending, error: RedisRefuses) -> None:
        """Schedule a refused command's next try, or fail it if its time is up."""
        _, future = pending
        if self._reason != error.code:
            log.warning("redis_refuses", extra={"error": error_text(error)})
        self._reason, self._refuses_now = error.code, True
        self._has_moved |= REFUSALS[error.code].reconnect
        self._set_deadlines([future])
        retry = self._retried[future]
        if self._loop.time() + retry.pause >= retry.deadline:
            fail(future, self._unavailable(future))
            return
        retry.waits = True
        self._loop.call_later(retry.pause, self._send_again, pending, retry)
        retry.pause = min(2 * retry.pause, LONGEST_RETRY_PAUSE.total_seconds())

    def _set_deadlines(self, futures: Iterable[asyncio.Future[Any]]) -> None:
        """Let commands that were tried in vain for the first time end when this delivery does, whoever tries next."""
        if new := [future for future in futures if future not in self._retried]:
            self._retried.update({future: _Retry(deadline=self._deadline) for future in new})
            self._loop.call_at(self._deadline, self._end, new)

    def _end(self, futures: Iterable[asyncio.Future[Any]]) -> None:
        """Fail those that have no reply yet."""
        for future in futures:
            fail(future, self._unavailable(future))

    def _send_again(self, pending: Pending, retry: _Retry) -> None:
        retry.waits = False
        if not pending[1].done() and not self._closed:
            self._pending.append(pending)
            self._wake.set()

    async def _follow_primary(self) -> None:
        """After a refusal by a server that is not the primary: connect again; once writes succeed, call listeners."""
        if not self._has_moved:
            return
        if self._reason and REFUSALS[self._reason].reconnect:
            await self._disconnect()
            await self._client.connection_pool.disconnect(inuse_connections=False)
        elif not self._reason and not any(retry.waits for retry in self._retried.values()):
            self._has_moved = False
            for listener in self._listeners:
                listener()

    async def _disconnect(self) -> None:
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)

    async def _write_alone(self, pending: Pending) -> Any:
        """Send one large command over a connection of its own, so that no other command waits behind its bytes."""
        future, loads, code, last = pending[1], 0, "", ""
        deadline, pause = self._loop.time() + self._timeout, RETRY_PAUSE

        def refuse(_: Pending, error: RedisRefuses) -> None:
            nonlocal code
            code = error.code

        while not future.done():
            connection, sent, code = None, False, ""
            try:
                async with asyncio.timeout_at(deadline), self._large:
                    connection = await self._client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
                    sent = True
                    if await exchange(connection, [pending], refuse, in_pieces=True) and (loads := loads + 1) <= LOADS:
                        continue
            except _LOST as error:
                code = code_of(error) or code
                if sent:
                    self._uncertain.add(future)
                if connection is not None:
                    await connection.disconnect(nowait=True)
            finally:
                if connection is not None:
                    if code and REFUSALS[code].reconnect:
                        self._has_moved = True
                        await connection.disconnect(nowait=True)
                    await self._client.connection_pool.release(connection)
            # A server may refuse once and close the connection during the next write: keep the reason.
            last = code or last
            if not future.done() and not await _time_to_try_again(deadline, pause):
                raise self._unavailable(future, last or ("NOSCRIPT" if loads > LOADS else ""))
            pause = min(2 * pause, LONGEST_RETRY_PAUSE)
        return future.result()

    def _unavailable(self, future: "asyncio.Future[Any]", code: str | None = None) -> StorageUnavailable:
        code = self._reason if code is None else code
        return StorageUnavailable(
            store="redis",
            retry_after=timedelta(seconds=2),
            reason=describe(code) if code else "",
            certain=bool(code) and future not in self._uncertain,
        )


async def _time_to_try_again(deadline: float, pause: timedelta = RETRY_PAUSE) -> bool:
    """Pause before the next try and return True; False at once if `deadline` (the loop's clock) comes first."""
    if asyncio.get_running_loop().time() + pause.total_seconds() >= deadline:
        return False
    await asyncio.sleep(pause.total_seconds())
    return True
