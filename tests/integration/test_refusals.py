"""A reachable Redis that refuses commands: the gateway's pipeline and the workers' clients repeat them.

Over 300 lines: its tests share a Redis that refuses.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from api.main import once_redis_answers
from api.state.job_waiters import JobWaiters
from shared.domain.errors import StorageUnavailable
from shared.domain.identifiers import PredictionId
from shared.queue import keys
from shared.queue.connection.clients import connect, connect_async, connect_briefly
from shared.queue.connection.pipeline import LARGE, Pipeline
from shared.queue.connection.refusals import RedisRefuses
from shared.queue.lua import Script, Scripts
from shared.queue.producer.done_channel import DoneChannel
from shared.queue.producer.server import Server
from shared.settings import Redis
from tests.support.relay import Relay
from tests.support.servers import RedisServer
from tests.support.waiting import LIMIT, PATIENCE

SHORT, LONG = timedelta(seconds=0.5), PATIENCE
RING = ("bell:a",), "predict.a"
Hold = Callable[[redis.Redis], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def as_replica(client: redis.Redis) -> Iterator[None]:
    client.replicaof("127.0.0.1", "1")
    yield
    client.execute_command("REPLICAOF", "NO", "ONE")


@contextlib.contextmanager
def without_replicas(client: redis.Redis) -> Iterator[None]:
    client.config_set("min-replicas-to-write", 1)
    yield
    client.config_set("min-replicas-to-write", 0)


@contextlib.contextmanager
def without_disk(client: redis.Redis) -> Iterator[None]:
    Path(client.config_get("dir")["dir"]).rmdir()
    client.config_set("save", "1 1")
    client.bgsave()
    while client.info("persistence")["rdb_last_bgsave_status"] == "ok":
        time.sleep(0.01)
    yield
    client.config_set("save", "")


@contextlib.contextmanager
def with_a_password(client: redis.Redis) -> Iterator[None]:
    """A password rotation: connected clients are asked for it too."""
    client.config_set("requirepass", "secret")
    client.execute_command("AUTH", "secret")
    client.client_kill_filter(_type="normal", skipme=True)
    yield
    client.config_set("requirepass", "")


@contextlib.contextmanager
def without_rights(client: redis.Redis) -> Iterator[None]:
    client.execute_command("ACL", "SETUSER", "default", "-@write", "-evalsha", "-script")
    yield
    client.execute_command("ACL", "SETUSER", "default", "+@all")


@contextlib.contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    client.config_set("maxclients", 1)
    client.client_kill_filter(_type="normal", skipme=True)
    yield
    client.config_set("maxclients", 1000)


HOLDS = {
    "READONLY": as_replica,
    "NOREPLICAS": without_replicas,
    "MISCONF": without_disk,
    "NOAUTH": with_a_password,
    "NOPERM": without_rights,
    "MAXCLIENTS": full,
}


@pytest.fixture(params=HOLDS.items(), ids=lambda item: item[0])
def refusing(request: pytest.FixtureRequest) -> tuple[str, Hold]:
    found: tuple[str, Hold] = request.param
    return found


@pytest.fixture
def server(start_redis: Callable[..., RedisServer], short_directory: Callable[[], Path]) -> RedisServer:
    folder = short_directory() / "files"  # not where its socket is, so that it can be taken away
    folder.mkdir()
    return start_redis(appendfsync=None, arguments=("--dir", str(folder)))


def piped(url: str, claim: Callable[[Pipeline], Awaitable[None]], *, timeout: timedelta) -> None:
    async def run() -> None:
        client = connect_async(Redis(url=url, timeout=timeout))
        pipeline = Pipeline(client, timeout=timeout)
        try:
            await claim(pipeline)
        finally:
            await pipeline.close()
            await client.aclose()

    asyncio.run(run())


async def answered(ask: Callable[..., Awaitable[Any]], *command: Any) -> Any:
    """Ask until Redis answers within the pipeline's time-out, which a busy machine may need longer for."""
    async with asyncio.timeout(LIMIT):
        while True:
            with contextlib.suppress(StorageUnavailable):
                return await ask(*command)


async def failed(ask: Callable[..., Awaitable[Any]], *command: Any, code: str) -> StorageUnavailable:
    """Ask until it fails for this reason, not for a Redis that was silent meanwhile; returns that error."""
    async with asyncio.timeout(LIMIT):
        while True:
            with pytest.raises(StorageUnavailable) as error:
                await ask(*command)
            if code in error.value.reason:
                return error.value


@pytest.mark.parametrize("body", [b"small", b"x" * (LARGE + 1)], ids=["small", "large"])
def test_a_write_refused_for_long_fails_with_the_reason(
    server: RedisServer, refusing: tuple[str, Hold], body: bytes
) -> None:
    code, hold = refusing

    async def claim(pipeline: Pipeline) -> None:
        assert await answered(pipeline.call, "EXISTS", "bell:a") == 0
        # Redis closes such a connection at once, which a writing client may notice before the error.
        is_cut_off = code == "MAXCLIENTS" or (code == "NOAUTH" and len(body) > LARGE)
        with server.client() as operator, hold(operator):
            refused = await failed(pipeline.evaluate, Script.RING, *RING, body, code="" if is_cut_off else code)
            await failed(pipeline.try_once, "DEL", keys.NOTHING, code="" if code == "MAXCLIENTS" else code)
        assert await answered(pipeline.call, "EXISTS", "bell:a") == 0
        # If the connection is lost after a command was sent, nobody knows whether it was carried out.
        assert refused.certain or code in ("NOAUTH", "MAXCLIENTS")
        await answered(pipeline.evaluate, Script.RING, *RING, body)
        with server.client() as operator:
            assert operator.lrange("predict.a", 0, -1) == [body]

    piped(server.url, claim, timeout=SHORT)


def test_a_write_refused_for_a_while_is_carried_out_once_afterwards(
    server: RedisServer, refusing: tuple[str, Hold]
) -> None:
    async def claim(pipeline: Pipeline) -> None:
        await pipeline.call("PING")
        with server.client() as operator:
            with refusing[1](operator):
                waiting = [asyncio.create_task(pipeline.call("RPUSH", f"list:{n}", n)) for n in range(5)]
                waiting.append(asyncio.create_task(pipeline.call("RPUSH", "list:5", b"x" * (LARGE + 1))))
                waiting.append(asyncio.create_task(pipeline.evaluate(Script.RING, *RING, b"{token}")))
                await asyncio.sleep(0.3)
                assert not any(task.done() for task in waiting)
            assert await asyncio.gather(*waiting) == [1] * 7
            assert operator.llen("predict.a") == 1

    piped(server.url, claim, timeout=LONG)


def test_a_busy_script_delays_callers_and_fails_none(server: RedisServer) -> None:
    async def claim(pipeline: Pipeline) -> None:
        await pipeline.call("PING")
        with server.client() as operator:
            operator.config_set("lua-time-limit", 50)
        endless = threading.Thread(target=_run_on, args=[server])
        endless.start()
        with server.client() as operator:
            while True:
                try:
                    operator.ping()
                except redis.ResponseError:
                    break
            with pytest.raises(StorageUnavailable, match="BUSY"):
                await pipeline.try_once("DEL", keys.NOTHING)
            waiting = asyncio.create_task(pipeline.call("INCR", "n"))
            await asyncio.sleep(0.2)
            assert not waiting.done()
            operator.script_kill()
        assert await waiting == 1
        endless.join()

    piped(server.url, claim, timeout=LONG)


def _run_on(server: RedisServer) -> None:
    with server.client() as client, contextlib.suppress(redis.ResponseError):
        client.eval("while true do end", 0)


def test_reads_of_a_replica_do_not_wait_behind_writes_that_it_refuses(server: RedisServer) -> None:
    async def claim(pipeline: Pipeline) -> None:
        await pipeline.call("SET", "word", "a")
        with server.client() as operator:
            with as_replica(operator):
                operator.config_set("replica-serve-stale-data", "yes")
                writing = asyncio.create_task(pipeline.call("SET", "word", "b"))
                for _ in range(20):
                    assert await asyncio.wait_for(pipeline.call("GET", "word"), LIMIT) == b"a"
                    await asyncio.sleep(0.01)
                assert not writing.done()
            assert await writing == b"OK"

    piped(server.url, claim, timeout=LONG)


def test_after_a_failover_every_client_uses_the_new_primary(
    server: RedisServer, start_redis: Callable[..., RedisServer], short_directory: Callable[[], Path]
) -> None:
    """A failover: the name leads to another server, and the old one goes on as a read-only replica."""
    promoted = start_redis(appendfsync=None)

    async def run() -> None:
        async with Relay(short_directory(), to=server.url) as name:
            settings = Redis(url=name.url, timeout=LONG)
            client = connect_async(settings)
            pipeline, waiting = Pipeline(client, timeout=LONG), JobWaiters(DoneChannel(client))
            pipeline.when_moved(waiting.listen_anew)
            id = PredictionId("01a1fcbb-4b36-71de-a741-01ba9b5eeb24")
            with server.client() as old, promoted.client() as new, connect(settings) as worker:
                assert await asyncio.to_thread(worker.set, "worker", "old")
                await asyncio.to_thread(_until_somebody_listens, old)
                old.replicaof("127.0.0.1", "1")
                writing = asyncio.create_task(pipeline.call("SET", "gateway", "new"))
                blocked = asyncio.create_task(asyncio.to_thread(worker.set, "worker", "new"))
                await asyncio.sleep(0.2)
                name.lead_to(promoted.url)
                assert await writing == b"OK"
                assert await blocked
                assert new.mget("gateway", "worker") == [b"new", b"new"]
                assert await pipeline.call("SET", "gateway", b"x" * (LARGE + 1)) == b"OK"
                with waiting.listen(id) as ended:
                    await asyncio.to_thread(_until_somebody_listens, new)
                    ended.clear()
                    new.publish(keys.DONE, id)
                    await asyncio.wait_for(ended.wait(), LIMIT)
            await waiting.close()
            await pipeline.close()
            await client.aclose()

    asyncio.run(run())


def _until_somebody_listens(client: redis.Redis) -> None:
    while not client.pubsub_numsub(keys.DONE)[0][1]:
        time.sleep(0.01)


def test_a_script_that_redis_never_keeps_causes_no_endless_loop(server: RedisServer) -> None:
    async def claim(pipeline: Pipeline) -> None:
        with server.client() as operator:
            operator.execute_command("ACL", "SETUSER", "default", "-script")
            await failed(pipeline.evaluate, Script.RING, *RING, b"{token}", code="NOPERM")
            operator.execute_command("ACL", "SETUSER", "default", "+@all")
            await answered(pipeline.evaluate, Script.RING, *RING, b"{token}")
            assert operator.llen("predict.a") == 1

    piped(server.url, claim, timeout=SHORT)


def test_a_gateway_started_on_a_replica_waits_until_it_accepts_writes(server: RedisServer) -> None:
    async def claim(pipeline: Pipeline) -> None:
        with server.client() as operator:
            with as_replica(operator):
                starting = asyncio.create_task(once_redis_answers(Server(pipeline).wait_for_writes))
                await asyncio.sleep(1)  # longer than a command is tried for
                assert not starting.done()
            await asyncio.wait_for(starting, LIMIT)

    piped(server.url, claim, timeout=SHORT)


def test_closing_fails_refused_commands(server: RedisServer) -> None:
    async def claim(pipeline: Pipeline) -> None:
        await pipeline.call("PING")
        with server.client() as operator, without_replicas(operator):
            refused = asyncio.create_task(pipeline.call("SET", "a", "b"))
            await asyncio.sleep(0.2)
            await pipeline.close()
            with pytest.raises(StorageUnavailable, match="NOREPLICAS"):
                await refused

    piped(server.url, claim, timeout=LONG)


def test_a_workers_client_waits_and_runs_its_script_once(server: RedisServer, refusing: tuple[str, Hold]) -> None:
    code, hold = refusing
    client = connect(Redis(url=server.url))
    scripts = Scripts(client)
    client.ping()
    with server.client() as operator:
        with hold(operator):
            if code != "MAXCLIENTS":  # then the one that is let in could be this one
                brief = connect_briefly(Redis(url=server.url))
                with pytest.raises(RedisRefuses, match=code):
                    Scripts(brief).run(Script.RING, *RING, b"{token}")
                pipeline = brief.pipeline(transaction=False).delete(keys.NOTHING).delete(keys.NOTHING)
                with pytest.raises(RedisRefuses, match=code):
                    pipeline.execute()
            asked = threading.Thread(target=scripts.run, args=[Script.RING, *RING, b"{token}"])
            asked.start()
            time.sleep(0.2)
            assert asked.is_alive()
        asked.join(timeout=LIMIT)
        assert not asked.is_alive()
        assert operator.llen("predict.a") == 1
    client.close()


def test_an_error_of_ours_is_not_retried(server: RedisServer) -> None:
    with connect(Redis(url=server.url)) as client:
        client.set("word", "a")
        with pytest.raises(redis.ResponseError) as fault:
            client.incr("word")
        assert not isinstance(fault.value, RedisConnectionError)
        calls = client.info("commandstats")
        assert sum(said["calls"] for name, said in calls.items() if name.startswith("cmdstat_incr")) == 1
