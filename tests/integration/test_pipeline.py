"""The gateway's pipeline on a real Redis that forgets scripts, stalls, is killed and restarts.

Over 300 lines: all of it sends commands through one pipeline, with the same few helpers.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import redis
from redis.exceptions import ResponseError

from shared.domain.errors import StorageUnavailable
from shared.queue import keys
from shared.queue.connection.clients import connect_async
from shared.queue.connection.pipeline import LARGE, Pipeline
from shared.queue.lua import Script
from shared.settings import Redis
from tests.support.relay import Relay
from tests.support.servers import RedisServer
from tests.support.waiting import LIMIT, PATIENCE, until_async

T = TypeVar("T")
SHORT = timedelta(seconds=0.5)
LONG = PATIENCE
IMAGE = b"x" * (LARGE + 1)


def piped(url: str, claim: Callable[[Pipeline], Awaitable[T]], *, timeout: timedelta = LONG) -> T:
    """Run a claim with a pipeline."""

    async def run() -> T:
        client = connect_async(Redis(url=url, timeout=timeout))
        pipeline = Pipeline(client, timeout=timeout)
        try:
            return await claim(pipeline)
        finally:
            await pipeline.close()
            await client.aclose()

    return asyncio.run(run())


def relayed(
    directory: Path, to: str, claim: Callable[[Relay, Pipeline], Awaitable[T]], *, timeout: timedelta = LONG
) -> T:
    """Run a claim with a pipeline that goes through a relay."""

    async def run() -> T:
        relay = Relay(directory, to=to)
        async with relay:
            client = connect_async(Redis(url=relay.url, timeout=timeout))
            pipeline = Pipeline(client, timeout=timeout)
            try:
                return await claim(relay, pipeline)
            finally:
                await pipeline.close()
                await client.aclose()

    return asyncio.run(run())


until = partial(until_async, pause=0.001)


def test_commands_of_one_event_loop_turn_share_a_write(
    redis_server: RedisServer, short_directory: Callable[[], Path]
) -> None:
    async def claim(relay: Relay, pipeline: Pipeline) -> None:
        await pipeline.call("PING")
        relay.writes.clear()
        answers = await asyncio.gather(*(pipeline.call("INCRBY", "n", 1) for _ in range(200)))
        assert answers == list(range(1, 201))
        assert len(relay.writes) == 1
        assert relay.connections == 1

    relayed(short_directory(), redis_server.url, claim)


def test_commands_queued_during_a_write_share_the_next(
    redis_server: RedisServer, short_directory: Callable[[], Path]
) -> None:
    async def claim(relay: Relay, pipeline: Pipeline) -> None:
        await pipeline.call("PING")
        relay.writes.clear()
        slow = asyncio.create_task(pipeline.call("EVAL", "for i = 1, 3e6 do end return 1", 0))
        await asyncio.sleep(0)
        others = [asyncio.create_task(pipeline.call("PING")) for _ in range(50)]
        assert await slow == 1
        assert await asyncio.gather(*others) == [b"PONG"] * 50
        assert len(relay.writes) <= 2

    relayed(short_directory(), redis_server.url, claim)


def test_a_script_that_redis_forgot_is_loaded_and_its_neighbours_run_once(
    redis_server: RedisServer, redis_client: redis.Redis
) -> None:
    async def claim(pipeline: Pipeline) -> None:
        redis_client.script_flush()
        count, *rung = await asyncio.gather(
            pipeline.call("INCR", "n"),
            *(pipeline.evaluate(Script.RING, (f"bell:{name}",), f"predict.{name}", "{token}") for name in "abc"),
        )
        assert (count, rung) == (1, [1, 1, 1])
        assert [redis_client.llen(f"predict.{name}") for name in "abc"] == [1, 1, 1]

    piped(redis_server.url, claim)


def test_a_large_body_whose_script_redis_forgot_goes_through(
    redis_server: RedisServer, redis_client: redis.Redis
) -> None:
    async def claim(pipeline: Pipeline) -> None:
        redis_client.script_flush()
        assert await pipeline.evaluate(Script.RING, ("bell:a",), "predict.a", IMAGE) == 1
        assert redis_client.lindex("predict.a", 0) == IMAGE

    piped(redis_server.url, claim)


def test_an_error_reply_reaches_only_its_caller(redis_server: RedisServer) -> None:
    async def claim(pipeline: Pipeline) -> None:
        set_, wrong, unknown, get = await asyncio.gather(
            pipeline.call("SET", "word", "a"),
            pipeline.call("INCR", "word"),
            pipeline.call("NOSUCH"),
            pipeline.call("GET", "word"),
            return_exceptions=True,
        )
        assert (set_, get) == (b"OK", b"a")
        assert isinstance(wrong, ResponseError)
        assert isinstance(unknown, ResponseError)
        with pytest.raises(ResponseError):
            await pipeline.call("HSET", "word", "field", IMAGE)

    piped(redis_server.url, claim)


def test_a_command_that_cannot_be_written_fails_alone(redis_server: RedisServer) -> None:
    async def claim(pipeline: Pipeline) -> None:
        before, wrong, after = await asyncio.wait_for(
            asyncio.gather(
                pipeline.call("SET", "a", 1),
                pipeline.call("SET", "lone surrogate", "\ud800"),
                pipeline.call("GET", "a"),
                return_exceptions=True,
            ),
            5,
        )
        assert (before, after) == (b"OK", b"1")
        assert isinstance(wrong, UnicodeEncodeError)
        assert await asyncio.wait_for(pipeline.call("PING"), LIMIT) == b"PONG"

    piped(redis_server.url, claim)


def test_a_canceled_callers_write_still_goes_through(redis_server: RedisServer, redis_client: redis.Redis) -> None:
    async def claim(pipeline: Pipeline) -> None:
        await pipeline.call("PING")
        leaving = [asyncio.create_task(pipeline.call("SET", key, body)) for key, body in (("s", "a"), ("l", IMAGE))]
        await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        assert all(
            isinstance(e, asyncio.CancelledError) for e in await asyncio.gather(*leaving, return_exceptions=True)
        )
        await until(lambda: redis_client.exists("l"))
        assert (redis_client.get("s"), redis_client.get("l")) == (b"a", IMAGE)

    piped(redis_server.url, claim)


def test_no_command_waits_behind_a_large_body(redis_server: RedisServer, short_directory: Callable[[], Path]) -> None:
    async def claim(relay: Relay, pipeline: Pipeline) -> None:
        await pipeline.call("PING")
        relay.stall_after = 1
        large = asyncio.create_task(pipeline.call("SET", "image", IMAGE))
        await until(lambda: relay.connections > 1)
        assert await pipeline.call("EXISTS", "image") == 0
        with pytest.raises(StorageUnavailable):
            await large

    relayed(short_directory(), redis_server.url, claim, timeout=SHORT)


@pytest.mark.parametrize("body", [b"small", IMAGE], ids=["small", "large"])
def test_a_write_whose_answer_was_lost_is_sent_again(
    redis_server: RedisServer, redis_client: redis.Redis, short_directory: Callable[[], Path], body: bytes
) -> None:
    async def claim(relay: Relay, pipeline: Pipeline) -> None:
        await pipeline.call("SET", "warm", body)
        relay.lose_answers = 1
        # At least once: the count tells that both came.
        assert await pipeline.call("RPUSH", "list", body) == 2
        assert redis_client.lrange("list", 0, -1) == [body, body]

    relayed(short_directory(), redis_server.url, claim)


def test_a_redis_killed_and_restarted_loses_no_answered_write(
    start_redis: Callable[..., RedisServer],
) -> None:
    server = start_redis()

    async def claim(pipeline: Pipeline) -> None:
        written: list[int] = []

        async def write(start: int) -> None:
            for number in range(start, start + 150):
                body = IMAGE if number % 50 == 0 else b"small"
                assert await pipeline.call("SET", f"key:{number}", body) == b"OK"
                written.append(number)

        writers = [asyncio.create_task(write(1000 * n)) for n in range(8)]
        await until(lambda: len(written) >= 100)
        server.kill()
        during = len(written)
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)
        await asyncio.gather(*writers)
        assert during < len(written) == 8 * 150
        assert await pipeline.call("EXISTS", *(f"key:{number}" for number in written)) == len(written)

    piped(server.url, claim)


def test_a_timed_out_caller_gets_an_error_and_later_ones_are_served(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()

    async def claim(pipeline: Pipeline) -> None:
        assert await pipeline.call("PING") == b"PONG"
        server.kill()
        failed = await asyncio.gather(
            *(pipeline.call("SET", "key", body) for body in (b"small", IMAGE)), return_exceptions=True
        )
        assert [(type(error), getattr(error, "store", "")) for error in failed] == [(StorageUnavailable, "redis")] * 2
        await asyncio.to_thread(server.start)
        assert await pipeline.call("GET", "key") is None
        assert await pipeline.evaluate(Script.RING, (keys.RECORD_BELL,), keys.RECORD_QUEUE, b"{token}") == 1

    piped(server.url, claim, timeout=SHORT)


def test_what_waits_behind_a_hanging_write_does_not_wait_twice(redis_server: RedisServer) -> None:
    """Its time runs from when it was handed over, not from when the write before it had failed."""
    timeout = timedelta(seconds=1)

    async def claim(pipeline: Pipeline) -> None:
        assert await pipeline.call("PING") == b"PONG"
        with redis_server.hanging():
            written = asyncio.create_task(pipeline.call("PING"))
            await asyncio.sleep(0.05)
            behind = [asyncio.create_task(pipeline.call("SET", f"behind:{n}", "")) for n in range(3)]
            [failed] = await asyncio.gather(written, return_exceptions=True)
            # A race on one event loop: a slow machine delays both.
            nap = asyncio.create_task(asyncio.sleep(0.75 * timeout.total_seconds()))
            first, _ = await asyncio.wait([nap, *behind], return_when=asyncio.FIRST_COMPLETED)
            assert nap not in first
            refused = await asyncio.gather(*behind, return_exceptions=True)
            assert not nap.done()
        assert {type(error) for error in (failed, *refused)} == {StorageUnavailable}
        assert await pipeline.call("PING") == b"PONG"

    piped(redis_server.url, claim, timeout=timeout)


def test_what_is_lost_and_refused_in_turns_has_its_time_once(short_directory: Callable[[], Path]) -> None:
    """A Redis whose disk is full does so: started again, it loads its file, refuses meanwhile, and ends at a write."""
    timeout = timedelta(seconds=1)
    path = short_directory() / "redis.sock"

    async def run() -> None:
        asked = asyncio.Event()
        refuses_from = asyncio.get_running_loop().time() + 0.6 * timeout.total_seconds()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            """Close the connection at its first PING; once, when the time has come, refuse that first."""
            while b"PING" not in (read := await reader.read(4096)):
                writer.write(b"+OK\r\n" * len(re.findall(rb"\*\d+\r\n", read)))
            if not asked.is_set() and asyncio.get_running_loop().time() > refuses_from:
                asked.set()
                writer.write(b"-LOADING Redis is loading the dataset in memory\r\n")
            writer.close()

        async with await asyncio.start_unix_server(serve, path):
            client = connect_async(Redis(url=f"unix://{path}", timeout=timeout))
            pipeline = Pipeline(client, timeout=timeout)
            # A race on one event loop: a slow machine delays both.
            nap = asyncio.create_task(asyncio.sleep(1.5 * timeout.total_seconds()))
            [failed] = await asyncio.gather(pipeline.call("PING"), return_exceptions=True)
            assert not nap.done()
            assert asked.is_set()
            assert isinstance(failed, StorageUnavailable)
            nap.cancel()
            await pipeline.close()
            await client.aclose()

    asyncio.run(run())


def test_closing_fails_commands_without_an_answer(start_redis: Callable[..., RedisServer]) -> None:
    server = start_redis()

    async def claim(pipeline: Pipeline) -> None:
        assert await pipeline.call("PING") == b"PONG"
        server.kill()
        waiting = [asyncio.create_task(pipeline.call("PING")) for _ in range(2)]
        await asyncio.sleep(0.05)
        late = asyncio.create_task(pipeline.call("PING"))
        await asyncio.sleep(0)
        await pipeline.close()
        failed = await asyncio.gather(*waiting, late, return_exceptions=True)
        assert [type(error) for error in failed] == [StorageUnavailable] * 3

    piped(server.url, claim)


def test_the_pipeline_can_be_closed_at_any_moment(redis_server: RedisServer) -> None:
    async def run(turns: int) -> None:
        client = connect_async(Redis(url=redis_server.url))
        pipeline = Pipeline(client, timeout=LONG)
        asked = asyncio.create_task(pipeline.call("PING"))
        for _ in range(turns):
            await asyncio.sleep(0)
        async with asyncio.timeout(LIMIT):
            await pipeline.close()
            await asyncio.gather(asked, return_exceptions=True)
        await client.aclose()

    for turns in range(25):
        asyncio.run(run(turns))
