"""The sweep: deadlines of jobs that wait, expired keys, jobs that a crash brought back, bells for lanes that wait."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import orjson
import pytest
import redis
from prometheus_client import CollectorRegistry
from sqlalchemy import Engine, text

from shared.domain.identifiers import ANYONE
from shared.domain.model_route import Route
from shared.observability.metrics import UpkeepMetrics
from shared.queue import keys, model_routes
from shared.queue.producer import files
from shared.settings import Bulk, Database, Queue
from shared.storage.engine import make_engine
from tests.support.observations import upkeep_metrics
from tests.support.queue_system import LANE, MODEL, System
from tests.support.servers import RedisServer
from worker.upkeep.sweep import Upkeep

HOUR = timedelta(hours=1)
BULK = keys.bulk_lane("b1")


def keeper(client: redis.Redis, engine: Engine, **options: Any) -> Upkeep:
    return Upkeep(client, engine, settings=Queue(), bulk=Bulk(), metrics=upkeep_metrics(), **options)


@pytest.fixture
def upkeep(redis_client: redis.Redis, engine: Engine) -> Upkeep:
    """A sweep that has seen this start of Redis, so that it does not search for jobs that came back."""
    upkeep = keeper(redis_client, engine)
    upkeep.sweep()
    return upkeep


def serve(client: redis.Redis) -> None:
    model_routes.publish(client, Route(model=MODEL, description="", aliases={}, versions={}))


def state(client: redis.Redis, id: str) -> str:
    found = client.hget(f"job:{id}", "state")
    return found.decode() if found else ""


def now_us(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1_000_000 + int(micros)


# Deadlines


def test_a_job_past_its_deadline_is_canceled_though_no_worker_is_up(system: System, upkeep: Upkeep) -> None:
    other = system.submit(b"two", cancel_after=HOUR)
    assert upkeep.sweep()["canceled"] == 0
    late = system.submit(b"one", cancel_after=HOUR)
    system.end_deadlines(late)
    assert upkeep.sweep()["canceled"] == 1
    assert [state(system.client, id) for id in (late, other)] == ["canceled", "starting"]
    assert system.client.hget(f"job:{late}", "code") == b"deadline_exceeded"
    assert system.client.xlen(LANE) == 1
    assert upkeep.sweep()["canceled"] == 0
    assert system.audit() == []


def test_a_joined_job_is_canceled_at_its_deadline_and_the_others_succeed(system: System, upkeep: Upkeep) -> None:
    first, late = system.submit(b"same"), system.submit(b"same", cancel_after=HOUR)
    system.end_deadlines(late)
    assert upkeep.sweep()["canceled"] == 1
    assert system.compute() == 1
    assert [state(system.client, id) for id in (first, late)] == ["succeeded", "canceled"]


def test_a_job_that_has_started_runs_on_past_its_deadline(system: System, upkeep: Upkeep) -> None:
    id = system.submit(b"one", cancel_after=HOUR)
    entries = system.lanes.begin(system.lanes.pull(8).entries)
    system.end_deadlines(id)
    assert upkeep.sweep()["canceled"] == 0
    assert (len(entries), state(system.client, id)) == (1, "processing")
    assert system.client.zcard(keys.DEADLINES) == 0


# Expired keys and files


def test_idempotency_keys_are_purged_when_they_expire(redis_client: redis.Redis, upkeep: Upkeep) -> None:
    now, day = now_us(redis_client), Queue().idempotency_ttl // timedelta(microseconds=1)
    names = {age: keys.idempotency(ANYONE, f"{age}") for age in (day + 1_000_000, day - 60_000_000)}
    for age, name in names.items():
        redis_client.set(name, "id fingerprint")
        redis_client.zadd(keys.IDEMPOTENCY_KEYS, {name: now - age})
    assert upkeep.sweep()["idempotency_keys"] == 1
    assert [redis_client.exists(name) for name in names.values()] == [0, 1]
    assert redis_client.zrange(keys.IDEMPOTENCY_KEYS, 0, -1) == [names[day - 60_000_000].encode()]


def test_files_are_purged_when_they_expire(redis_client: redis.Redis, upkeep: Upkeep) -> None:
    id, now = files.new_file_id(created=now_us(redis_client)), now_us(redis_client)
    redis_client.hset(keys.file(id), "content", "bytes")
    redis_client.zadd(keys.files_of(ANYONE), {id: now})
    redis_client.zadd(keys.FILES, {f"{id} {ANYONE}": now - 1})
    assert upkeep.sweep()["files"] == 1
    assert not redis_client.exists(keys.file(id), keys.files_of(ANYONE), keys.FILES)


# Jobs that a crash brought back


def came_back(system: System, images: list[bytes]) -> list[str]:
    """Record jobs, then restore what Redis held before they ended, as if a crash had lost its last second."""
    ids = [system.submit(image) for image in images]
    kept = {key: system.client.dump(key) for key in system.client.keys("*")}
    system.compute()
    while system.recorder.run_once():
        pass
    system.client.flushall()
    for key, value in kept.items():
        system.client.restore(key, 0, value)
    return ids


def test_after_a_restart_jobs_that_have_their_row_are_forgotten(
    system: System, redis_client: redis.Redis, engine: Engine
) -> None:
    recorded = came_back(system, [b"one", b"two", b"two"])
    unfinished = [system.submit(image) for image in (b"two", b"three")]
    assert [state(redis_client, id) for id in recorded] == ["starting"] * 3
    assert keeper(redis_client, engine).sweep()["forgotten"] == 3
    assert [state(redis_client, id) for id in recorded] == [""] * 3
    # No job waits for the first image any more; a new job waits for the second.
    assert redis_client.xlen(LANE) == 2
    assert redis_client.zrange(keys.inflight(ANYONE), 0, -1) == [id.encode() for id in unfinished]
    assert system.compute() == 2
    assert [state(redis_client, id) for id in unfinished] == ["succeeded"] * 2
    while system.recorder.run_once():
        pass
    assert system.audit() == []


def test_recorded_jobs_are_searched_once_after_each_start_of_redis(
    system: System, redis_client: redis.Redis, engine: Engine
) -> None:
    nowhere = make_engine(Database(url="postgresql://127.0.0.1:1/none"))
    ids = came_back(system, [b"one"])
    late = system.submit(b"late", cancel_after=HOUR)
    system.end_deadlines(late)
    serve(redis_client)
    upkeep = keeper(redis_client, nowhere)
    done = upkeep.sweep()
    assert (done["canceled"], done["forgotten"]) == (1, 0)
    assert done["bells"] == 2  # the model's and the recorder's
    assert [state(redis_client, id) for id in (*ids, late)] == ["starting", "canceled"]
    upkeep._engine = engine
    assert upkeep.sweep()["forgotten"] == 1
    again = came_back(system, [b"four"])
    assert upkeep.sweep()["forgotten"] == 0  # the same start of Redis: it has no reason to search
    assert state(redis_client, again[0]) == "starting"


def test_a_job_that_ended_differently_in_redis_follows_its_row(
    system: System, redis_client: redis.Redis, engine: Engine
) -> None:
    id = system.submit(b"one")
    kept = {key: redis_client.dump(key) for key in redis_client.keys("*")}
    system.cancel(id)
    assert system.recorder.run_once() == 1
    redis_client.flushall()
    for key, value in kept.items():
        redis_client.restore(key, 0, value)
    assert system.compute() == 1
    assert state(redis_client, id) == "succeeded"
    assert system.recorder.run_once() == 1
    assert state(redis_client, id) == ""
    with engine.connect() as connection:
        assert connection.execute(text("SELECT id::text, status FROM predictions")).all() == [(id, "canceled")]
    assert system.audit() == []


def test_killing_a_redis_that_kept_everything_loses_no_job(
    start_redis: Callable[..., RedisServer], engine: Engine, database_url: str
) -> None:
    server = start_redis()
    with server.client() as client:
        system = System(client, engine, database_url, server.url)
        upkeep = keeper(client, engine)
        ids = [system.submit(image) for image in (b"one", b"two", b"three")]
        system.lanes.pull(1)
        assert upkeep.sweep()["forgotten"] == 0
        server.kill()
        server.start()
        assert upkeep.sweep()["forgotten"] == 0
        assert [state(client, id) for id in ids] == ["starting"] * 3
        assert system.audit() == []


# Bells, and dead consumers


def test_a_bell_is_rung_once_for_waiting_work(system: System, redis_client: redis.Redis, upkeep: Upkeep) -> None:
    assert upkeep.sweep()["bells"] == 0
    serve(redis_client)
    system.submit(b"one", lane=BULK)
    redis_client.delete(keys.bell(MODEL), keys.predict_queue(MODEL))  # the message was lost, its time is over
    assert upkeep.sweep()["bells"] == 1
    assert upkeep.sweep()["bells"] == 1
    assert redis_client.llen(keys.predict_queue(MODEL)) == 1
    message = orjson.loads(redis_client.lindex(keys.predict_queue(MODEL), 0))
    assert message["headers"]["id"] == redis_client.get(keys.bell(MODEL)).decode()
    system.compute()
    redis_client.delete(keys.RECORD_BELL, keys.RECORD_QUEUE)
    assert upkeep.sweep()["bells"] == 1
    assert redis_client.llen(keys.RECORD_QUEUE) == 1


def test_dead_consumers_are_removed_unless_they_have_pending_entries(
    system: System, redis_client: redis.Redis, engine: Engine
) -> None:
    serve(redis_client)
    for lane in (keys.INTERACTIVE, BULK):
        system.submit(b"one", lane=lane)
        redis_client.xgroup_createconsumer(keys.lane(MODEL, lane), keys.WORKERS, "gone")
    system.lanes.pull(8)
    redis_client.xgroup_create(keys.FINISHED, keys.RECORDERS, id="0", mkstream=True)
    redis_client.xgroup_createconsumer(keys.FINISHED, keys.RECORDERS, "gone")
    time.sleep(0.02)
    keeper(redis_client, engine).sweep()
    assert len(redis_client.xinfo_consumers(LANE, keys.WORKERS)) == 2
    Upkeep(
        redis_client,
        engine,
        settings=Queue(),
        bulk=Bulk(),
        metrics=upkeep_metrics(),
        consumer_idle=timedelta(milliseconds=10),
    ).sweep()
    for lane in (LANE, keys.lane(MODEL, BULK)):
        assert [consumer["name"] for consumer in redis_client.xinfo_consumers(lane, keys.WORKERS)] == [b"w"]
    assert redis_client.xinfo_consumers(keys.FINISHED, keys.RECORDERS) == []


def test_workers_without_a_sign_of_life_are_not_counted(redis_client: redis.Redis, engine: Engine) -> None:
    serve(redis_client)
    now = now_us(redis_client)
    redis_client.zadd(keys.workers(MODEL), {"gone": now - 61_000_000, "there": now - 30_000_000})
    keeper(redis_client, engine).sweep()
    assert redis_client.zrange(keys.workers(MODEL), 0, -1) == [b"there"]


def test_concurrent_sweeps_do_each_step_once(
    system: System, redis_server: RedisServer, engine: Engine, upkeep: Upkeep
) -> None:
    ids = [system.submit(str(number).encode(), cancel_after=HOUR) for number in range(100)]
    system.end_deadlines(*ids)
    with redis_server.client() as client, ThreadPoolExecutor(2) as pool:
        sweeps = pool.map(Upkeep.sweep, (upkeep, keeper(client, engine)))
    assert sum(sweep["canceled"] for sweep in sweeps) == len(ids)
    assert system.client.xlen(keys.FINISHED) == len(ids)


def test_a_sweep_stores_its_time_for_health_checks(redis_client: redis.Redis, engine: Engine) -> None:
    registry = CollectorRegistry()
    one = Upkeep(redis_client, engine, settings=Queue(), bulk=Bulk(), metrics=UpkeepMetrics(registry))
    assert registry.get_sample_value("darkroom_sweep_timestamp_seconds") == 0
    before = time.time()
    one.sweep()
    assert before <= (registry.get_sample_value("darkroom_sweep_timestamp_seconds") or 0) <= time.time()


def test_who_is_gone_is_looked_for_once_a_minute(redis_client: redis.Redis, engine: Engine) -> None:
    serve(redis_client)
    now, seconds = now_us(redis_client), [0.0]
    upkeep = keeper(redis_client, engine, monotonic=lambda: seconds[0])
    counts = []
    for seconds[0] in (0.0, 2.0, 59.0, 61.0):
        redis_client.zadd(keys.workers(MODEL), {"gone": now - 61_000_000})
        upkeep.sweep()
        counts.append(redis_client.zcard(keys.workers(MODEL)))
    assert counts == [0, 1, 1, 0]
