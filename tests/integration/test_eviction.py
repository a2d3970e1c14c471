"""A nearly full Redis evicts what it may lose (cached outputs, recorded jobs) and nothing else."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
import redis
from sqlalchemy import Engine

from api.state.redis_memory import RedisMemory
from shared.queue import keys
from shared.queue.connection.clients import connect_async
from shared.queue.connection.pipeline import Pipeline
from shared.queue.producer.server import Server
from shared.settings import Queue, Redis
from tests.support.observations import upkeep_metrics
from tests.support.queue_system import LANE, System
from tests.support.servers import RedisServer
from tests.support.waiting import LIMIT, PATIENCE
from worker.upkeep import eviction
from worker.upkeep.eviction import Eviction

MEGABYTE = 1024 * 1024
DAY = timedelta(hours=24)


@pytest.fixture
def small(redis_client: redis.Redis) -> Iterator[redis.Redis]:
    """The empty Redis, with room for 60 MB more than it takes empty."""
    while redis_client.info("memory")["lazyfree_pending_objects"]:
        time.sleep(0.01)
    empty = int(redis_client.info("memory")["used_memory"])
    redis_client.config_set("maxmemory", empty + 60 * MEGABYTE)
    yield redis_client
    redis_client.config_set("maxmemory", 0)


@pytest.fixture
def system(small: redis.Redis, redis_server: RedisServer, engine: Engine, database_url: str) -> System:
    return System(small, engine, database_url, redis_server.url)


def evicting(client: redis.Redis, *, share: float = 0.5) -> Eviction:
    return Eviction(client, share=share, settings=Queue(), count=upkeep_metrics().evicted)


def full(client: redis.Redis) -> float:
    memory = client.info("memory")
    return float(memory["used_memory"]) / float(memory["maxmemory"])


def fill_with_cache(client: redis.Redis, *, until: float) -> None:
    """Cache outputs of 4 KB, each a minute older than the one before."""
    number = 0
    while full(client) < until:
        with client.pipeline(transaction=False) as pipe:
            for number in range(number, number + 500):  # noqa: B020  it goes on where it was
                life = max(timedelta(minutes=1), DAY - number * timedelta(seconds=10))
                pipe.set(f"{keys.cache_prefix()}a:m:3:{number}", os.urandom(4096), px=life)
            pipe.execute()
        number += 1


def admits(url: str) -> bool:
    """Read admission once as a gateway does."""

    async def read() -> bool:
        client = connect_async(Redis(url=url))
        pipeline = Pipeline(client, timeout=PATIENCE)
        watch = RedisMemory(Server(pipeline), share=Redis().memory_share)
        try:
            async with asyncio.timeout(LIMIT):
                while not watch.limit_bytes:  # noqa: ASYNC110  it polls by itself and has no event
                    await asyncio.sleep(0.001)
            return not watch.high
        finally:
            await watch.close()
            await pipeline.close()
            await client.aclose()

    return asyncio.run(read())


def waiting(system: System, count: int) -> list[str]:
    return [system.submit(os.urandom(20_000)) for _ in range(count)]


def test_cached_outputs_are_evicted_oldest_first_until_there_is_room(small: redis.Redis) -> None:
    fill_with_cache(small, until=0.9)
    before = {key: small.pttl(key) for key in small.scan_iter(match="cache:*", count=10_000)}
    one = evicting(small)
    dropped = one.sweep()
    assert 0 < dropped == len(before) - small.dbsize()
    assert full(small) < 0.51
    left = {key: life for key, life in before.items() if small.exists(key)}
    gone = [life for key, life in before.items() if key not in left]
    # Pages are only nearly in order: compare the medians of those evicted and those kept.
    assert sorted(gone)[len(gone) // 2] < sorted(left.values())[len(left) // 2]
    assert one.sweep() == 0


def test_unfinished_work_is_never_evicted(small: redis.Redis, system: System) -> None:
    ids = waiting(system, 150)
    fill_with_cache(small, until=0.85)
    unfinished = {key: small.dump(key) for key in small.scan_iter(match="[jwlid]*", count=10_000)}
    assert evicting(small).sweep() > 0
    assert list(small.scan_iter(match="cache:*", count=10_000)) == [], "all of it is too little"
    assert {key: small.dump(key) for key in unfinished} == unfinished
    assert full(small) > 0.5
    assert small.xlen(LANE) == len(ids)
    while system.compute():
        pass
    # They have ended, and are not recorded yet.
    evicting(small).sweep()
    assert all(small.exists(keys.job_prefix() + id) for id in ids)
    assert small.xlen(keys.FINISHED) == len(ids)


def test_evicting_cached_outputs_reopens_admission_and_keeps_the_rest(
    small: redis.Redis, system: System, redis_server: RedisServer
) -> None:
    ended = waiting(system, 20)
    assert system.compute() == len(ended)
    ids = waiting(system, 20)
    fill_with_cache(small, until=0.85)
    # Bells end by themselves after 5 s.
    kept = {k: small.dump(k) for k in small.scan_iter(count=10_000) if not k.startswith((b"cache:", b"bell:"))}
    assert not admits(redis_server.url)
    assert evicting(small).sweep() > 0
    assert admits(redis_server.url)
    assert {key: small.dump(key) for key in kept} == kept
    assert (small.xlen(LANE), small.xlen(keys.FINISHED)) == (len(ids), len(ended))


def test_full_lanes_keep_admission_closed_until_workers_catch_up(
    small: redis.Redis, system: System, redis_server: RedisServer
) -> None:
    ids: list[str] = []
    while full(small) < 0.85:
        ids += waiting(system, 50)
    small.set(f"{keys.cache_prefix()}a:m:3:1", b"output", px=DAY)
    # Bells end by themselves after 5 s.
    kept = {k: small.dump(k) for k in small.scan_iter(count=10_000) if not k.startswith((b"cache:", b"bell:"))}
    one = evicting(small)
    assert one.sweep() == 1, "the cached output"
    assert one.sweep() == 0
    assert {key: small.dump(key) for key in kept} == kept
    assert not admits(redis_server.url)
    done = 0
    while count := system.compute():
        done += count
    assert done == len(ids)
    assert admits(redis_server.url)


def test_recorded_predictions_are_evicted_and_nothing_breaks(small: redis.Redis, system: System) -> None:
    ids = waiting(system, 60)
    while system.compute():
        pass
    while system.recorder.run_once():
        pass
    assert evicting(small, share=0.001).sweep() > 0
    assert not any(small.exists(keys.job_prefix() + id) for id in ids)
    assert system.audit() == []


def test_nothing_is_evicted_without_a_limit_or_far_below_it(redis_client: redis.Redis, small: redis.Redis) -> None:
    fill_with_cache(small, until=0.4)
    assert evicting(small).sweep() == 0
    small.config_set("maxmemory", 0)
    assert evicting(redis_client, share=0.0001).sweep() == 0


def test_a_sweep_stops_at_its_time_limit_and_the_next_continues(
    small: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_with_cache(small, until=0.9)
    monkeypatch.setattr(eviction, "PAGES", 1)
    one = evicting(small)
    sweeps: list[int] = []
    while full(small) > 0.5:
        sweeps.append(one.sweep())
        assert len(sweeps) < 200
    assert len(sweeps) > 2
    assert max(sweeps) <= 1000


def test_a_key_that_lost_its_ttl_meanwhile_is_not_evicted(small: redis.Redis) -> None:
    fill_with_cache(small, until=0.6)
    kept: Callable[[], list[bytes]] = lambda: list(small.scan_iter(match="cache:*", count=10_000))  # noqa: E731
    for key in kept():
        small.persist(key)
    before = kept()
    assert evicting(small).sweep() == 0
    assert set(kept()) == set(before)
