"""From the finished stream to Postgres: one row for each prediction, whichever process dies in between.

Over 300 lines: all of its tests use the same fixtures of a recorder and its stream.
"""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import orjson
import pytest
import redis
from sqlalchemy import Engine, text

from shared.domain.identifiers import new_uuid7
from shared.queue import keys
from shared.queue.consumer.finished_stream import FinishedStream
from shared.settings import Database, Logging, Recording
from shared.storage.engine import make_engine
from shared.storage.migrate import upgrade
from tests.support.leases import LEASE, end_leases
from tests.support.observations import record_observer
from worker.record.prediction_log import PredictionLog
from worker.record.recorder import Recorder

Make = Callable[..., dict[bytes, bytes]]
Finish = Callable[..., list[bytes]]

TTL = timedelta(hours=1)


def quick(**changes: object) -> Recording:
    return Recording(**{"max_rows": 100, "linger": timedelta(0), "lease": LEASE} | changes)


@pytest.fixture
def finish(redis_client: redis.Redis, finished_record: Make) -> Finish:
    """End so many predictions as the scripts do, with a hash without TTL and an entry in the stream; return the ids."""

    def finish(count: int, **changes: object) -> list[bytes]:
        ids = []
        for _ in range(count):
            record = finished_record(**changes)
            redis_client.hset(f"job:{record[b'id'].decode()}", mapping={k: v for k, v in record.items() if k != b"id"})
            redis_client.xadd(keys.FINISHED, record)
            ids.append(record[b"id"])
        return ids

    return finish


@pytest.fixture
def recorder(redis_client: redis.Redis, engine: Engine) -> Iterator[Callable[..., Recorder]]:
    """Make a recorder; `rung` of the maker collects the calls for another."""

    def make(
        consumer: str = "one", settings: Recording | None = None, engine: Engine = engine, **options: object
    ) -> Recorder:
        ring = options.pop("ring_again", lambda: None)
        return Recorder(
            redis_client,
            engine,
            settings or quick(),
            consumer=consumer,
            recorded_ttl=TTL,
            ring_again=ring,
            ring_courier=lambda: None,
            **{"observer": record_observer()} | options,
        )

    return make


def recorded(engine: Engine) -> list[bytes]:
    with engine.connect() as connection:
        return [
            id.encode() for id in connection.execute(text("SELECT id::text FROM predictions ORDER BY id")).scalars()
        ]


def assert_settled(client: redis.Redis, ids: list[bytes]) -> None:
    """Whether the stream is empty, nothing is pending, and each job has a TTL."""
    assert client.xlen(keys.FINISHED) == 0
    assert client.xpending(keys.FINISHED, keys.RECORDERS)["pending"] == 0
    for id in ids:
        assert 0 < client.pttl(b"job:" + id) <= TTL // timedelta(milliseconds=1)


def test_finished_predictions_become_rows_and_their_jobs_get_a_ttl(
    redis_client: redis.Redis, engine: Engine, finish: Finish, recorder: Callable[..., Recorder]
) -> None:
    ids = finish(7)
    assert all(redis_client.pttl(b"job:" + id) == -1 for id in ids)
    assert recorder().run_once() == 7
    assert recorded(engine) == sorted(ids)
    assert_settled(redis_client, ids)
    assert recorder().run_once() == 0


def test_a_recorder_on_an_empty_redis_records_nothing(recorder: Callable[..., Recorder]) -> None:
    assert recorder().run_once() == 0


def test_only_the_current_bell_is_answered_and_only_once(
    redis_client: redis.Redis, finish: Finish, recorder: Callable[..., Recorder]
) -> None:
    finish(1)
    redis_client.set(keys.RECORD_BELL, "record-2", px=5000)
    assert recorder().run_once("record-1") == 0
    assert redis_client.get(keys.RECORD_BELL) == b"record-2"
    assert recorder().run_once("record-2") == 1
    assert redis_client.get(keys.RECORD_BELL) is None
    finish(1)
    assert recorder().run_once("record-3") == 1, "a bell that has stopped ringing is answered"


def test_a_full_commit_rings_for_the_rest_before_it_writes(
    redis_client: redis.Redis, engine: Engine, finish: Finish, recorder: Callable[..., Recorder]
) -> None:
    finish(7)
    rows_when_rung: list[int] = []
    make = recorder(settings=quick(max_rows=3), ring_again=lambda: rows_when_rung.append(len(recorded(engine))))
    assert [make.run_once() for _ in range(4)] == [3, 3, 1, 0]
    assert rows_when_rung == [0, 3]
    assert redis_client.xlen(keys.FINISHED) == 0


def test_a_recorder_waits_for_more_results_unless_many_wait_already(
    finish: Finish, recorder: Callable[..., Recorder]
) -> None:
    slept: list[float] = []
    one = recorder(settings=quick(max_rows=5, linger=timedelta(milliseconds=50)), sleep=slept.append)
    finish(4)
    one.run_once()
    assert slept == [0.05]
    finish(5)
    one.run_once()
    assert slept == [0.05]


def test_results_that_arrive_while_the_recorder_waits_join_its_commit(
    finish: Finish, recorder: Callable[..., Recorder]
) -> None:
    finish(1)
    one = recorder(settings=quick(linger=timedelta(milliseconds=50)), sleep=lambda _: finish(4) and None)
    assert one.run_once() == 5


@pytest.mark.parametrize("point", ["before commit", "between commit and settle", "while settling"])
def test_a_recorder_killed_at_any_step_leaves_one_row_each(
    redis_client: redis.Redis, engine: Engine, database_url: str, redis_server: object,
    finish: Finish, recorder: Callable[..., Recorder], point: str,
) -> None:  # fmt: skip
    ids = finish(300, batch=new_uuid7())
    killed = subprocess.run(
        [sys.executable, "-c", SUICIDE, redis_server.url, database_url, point, os.devnull],
        check=False,
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(recorded(engine)) == (0 if point == "before commit" else 300)
    assert recorder(settings=quick(lease=timedelta(hours=1))).run_once() == 0, "its lease still runs"
    end_leases(redis_client)
    while recorder().run_once():
        pass
    assert recorded(engine) == sorted(ids)
    assert_settled(redis_client, ids)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT succeeded FROM batches")).scalars().all() == [300]


@pytest.mark.parametrize("point", ["before commit", "between commit and settle", "while settling"])
def test_a_recorder_killed_at_any_step_ends_a_batch_once_with_all_lines(
    redis_client: redis.Redis, engine: Engine, database_url: str, redis_server: object,
    finish: Finish, batch_record: Make, recorder: Callable[..., Recorder], point: str, tmp_path: Path,
) -> None:  # fmt: skip
    log = tmp_path / "predictions.ndjson"
    batch = new_uuid7()
    redis_client.hset(f"batch:{batch}", mapping={"state": "in_progress", "owner": "default"})
    redis_client.zadd("batches:default", {batch: 1})
    ids = finish(300, batch=batch)
    redis_client.xadd(keys.FINISHED, batch_record(batch, total=300))
    killed = subprocess.run(
        [sys.executable, "-c", SUICIDE, redis_server.url, database_url, point, str(log)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    end_leases(redis_client)
    lines = PredictionLog(Logging(predictions=str(log)))
    while recorder(observer=record_observer(lines)).run_once():
        pass
    lines.close()
    assert {orjson.loads(line)["prediction_id"].encode() for line in log.read_text().splitlines()} == set(ids)
    assert_settled(redis_client, ids)
    assert redis_client.hget(f"batch:{batch}", "state") == b"ended"
    assert redis_client.pttl(f"batch:{batch}") > 0
    assert redis_client.zcard("batches:default") == 0
    with engine.connect() as connection:
        query = text("SELECT total, succeeded, completed_at IS NOT NULL FROM batches")
        assert [tuple(row) for row in connection.execute(query)] == [(300, 300, True)]


SUICIDE = """
import os, signal, sys
from datetime import timedelta
import redis
import worker.record.recorder
from shared.queue import keys
from shared.queue.consumer import finished_stream
from shared.settings import Database, Logging, Recording
from shared.storage.engine import make_engine
from tests.support import observations
from worker.record.prediction_log import PredictionLog

url, database_url, point, log = sys.argv[1:]
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if point == "before commit":
    worker.record.recorder.record = die
elif point == "between commit and settle":
    finished_stream.FinishedStream.settle = die
else:
    settle, finished_stream.AT_ONCE = finished_stream.FinishedStream.settle, 100
    def half(stream, found):
        settle(stream, found[:150])
        die()
    finished_stream.FinishedStream.settle = half
settings = Recording(max_rows=1000, linger=timedelta(0), lease=timedelta(milliseconds=300))
worker.record.recorder.Recorder(
    redis.Redis.from_url(url, protocol=2), make_engine(Database(url=database_url)), settings,
    consumer="doomed", recorded_ttl=timedelta(hours=1), ring_again=lambda: None, ring_courier=lambda: None,
    observer=observations.record_observer(PredictionLog(Logging(predictions=log))),
).run_once()
"""


def test_concurrent_recorders_record_everything_once_with_exact_counters(
    redis_server: object, redis_client: redis.Redis, engine: Engine, database_url: str, finish: Finish
) -> None:
    batches = [new_uuid7() for _ in range(4)]
    ids = [id for batch in batches for id in finish(100, batch=batch)]

    def run(name: str) -> int:
        # A lease of zero: each recorder takes over what the others are committing.
        settings = quick(max_rows=60, lease=timedelta(milliseconds=1))
        own = make_engine(Database(url=database_url))
        with redis_server.client() as client:
            one = Recorder(
                client,
                own,
                settings,
                consumer=name,
                recorded_ttl=TTL,
                ring_again=lambda: None,
                ring_courier=lambda: None,
                observer=record_observer(),
            )
            settled = sum(one.run_once() for _ in range(12))
        own.dispose()
        return settled

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(run, "abcd")) >= 400
    assert recorded(engine) == sorted(ids)
    assert_settled(redis_client, ids)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT succeeded FROM batches")).scalars().all() == [100] * 4


def test_results_are_recorded_once_when_postgres_returns(
    redis_client: redis.Redis, finish: Finish, recorder: Callable[..., Recorder],
    start_postgres: Callable[[], object], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    postgres = start_postgres()
    upgrade(postgres.url)
    engine = make_engine(Database(url=postgres.url))
    one = recorder(engine=engine)
    ids = finish(10)
    assert one.run_once() == 10  # the pool now holds a connection that will break

    postgres.stop()
    ids += finish(150)
    redis_client.set(keys.RECORD_BELL, "record-1")
    with caplog.at_level(logging.WARNING):
        assert [one.run_once("record-1") for _ in range(3)] == [0, 0, 0]
    said = [(line.message, line.exc_info) for line in caplog.records if line.name == "worker.record.recorder"]
    assert said == [("recording_failed", None)] * 3
    assert redis_client.xpending(keys.FINISHED, keys.RECORDERS)["pending"] == 0, "nothing is leased in vain"
    assert redis_client.get(keys.RECORD_BELL) == b"record-1", "the bell keeps the next attempt away"

    postgres.start()
    assert [one.run_once() for _ in range(3)] == [100, 50, 0]
    assert recorded(engine) == sorted(ids)
    assert_settled(redis_client, ids)
    engine.dispose()


def test_stopping_postgres_during_a_commit_only_delays_by_the_lease(
    redis_client: redis.Redis, finish: Finish, recorder: Callable[..., Recorder], start_postgres: Callable[[], object]
) -> None:
    postgres = start_postgres()
    upgrade(postgres.url)
    engine = make_engine(Database(url=postgres.url))
    ids = finish(5, batch=new_uuid7())
    # Called after reading and before the commit.
    one = recorder(engine=engine, settings=quick(max_rows=5), ring_again=postgres.stop)
    assert one.run_once() == 0
    assert redis_client.xpending(keys.FINISHED, keys.RECORDERS)["pending"] == 5
    postgres.start()
    end_leases(redis_client)
    assert recorder("two", engine=engine).run_once() == 5
    assert recorded(engine) == sorted(ids)
    assert_settled(redis_client, ids)
    engine.dispose()


def test_a_record_that_postgres_refuses_is_settled_like_any_other(
    redis_client: redis.Redis, engine: Engine, finish: Finish, recorder: Callable[..., Recorder]
) -> None:
    ids = [*finish(20), *finish(1, error="a\0b", state="failed"), *finish(20)]
    assert recorder().run_once() == 41
    assert recorded(engine) == sorted(ids)
    assert_settled(redis_client, ids)


def test_settling_goes_on_when_redis_is_out_of_memory(
    redis_client: redis.Redis, engine: Engine, finish: Finish, recorder: Callable[..., Recorder]
) -> None:
    ids = finish(50)
    FinishedStream(redis_client, consumer="x", lease=LEASE, recorded_ttl=TTL).take_over(1)  # makes the group
    redis_client.config_set("maxmemory", 1)
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        redis_client.set("more", "x")
    assert recorder().run_once() == 50
    redis_client.config_set("maxmemory", 0)
    assert recorded(engine) == sorted(ids)
    assert redis_client.xlen(keys.FINISHED) == 0


def test_settling_an_evicted_job_does_not_bring_it_back(
    redis_client: redis.Redis, finish: Finish, recorder: Callable[..., Recorder]
) -> None:
    ids = finish(3)
    redis_client.delete(b"job:" + ids[0])
    assert recorder().run_once() == 3
    assert redis_client.exists(b"job:" + ids[0]) == 0


def test_of_large_outputs_fewer_are_read_for_one_commit(
    redis_client: redis.Redis, engine: Engine, finish: Finish, recorder: Callable[..., Recorder]
) -> None:
    rung: list[None] = []
    ids = finish(130, output={"mask": "x" * 300_000})
    one = recorder(settings=quick(max_rows=1000), ring_again=lambda: rung.append(None))
    assert one.run_once() == 128
    assert len(rung) == 1
    assert one.run_once() == 2
    assert recorded(engine) == sorted(ids)
    assert_settled(redis_client, ids)
