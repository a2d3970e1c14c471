"""The queue's metrics, of a real Redis."""

import socket
import time
from datetime import timedelta

import pytest
import redis

from shared.domain.model_route import Route
from shared.observability.metrics import LaneState, QueueState
from shared.queue import keys, model_routes
from shared.queue.connection import clients
from shared.queue.inspection.gauges import LANES_AT_ONCE, Gauges
from shared.settings import Redis
from tests.support.queue_system import MODEL, System

IMAGE_BYTES = 10_000


@pytest.fixture
def served(redis_client: redis.Redis) -> None:
    model_routes.publish(redis_client, Route(model=MODEL, description="", aliases={}, versions={}))


def lanes(state: QueueState) -> dict[str, LaneState]:
    return {lane.lane: lane for lane in state.lanes if lane.model == MODEL}


@pytest.mark.usefixtures("served")
def test_an_empty_queue_has_empty_lanes_and_no_workers(redis_client: redis.Redis) -> None:
    state = Gauges(redis_client).read()
    assert {kind: (lane.entries, lane.bytes, lane.oldest) for kind, lane in lanes(state).items()} == {
        "interactive": (0, 0, timedelta(0)),
        "bulk": (0, 0, timedelta(0)),
    }
    assert (state.workers, state.finished, state.recorder_lag) == ({MODEL: 0}, 0, timedelta(0))


@pytest.mark.usefixtures("served")
def test_lanes_export_entries_bytes_and_the_age_of_the_oldest(redis_client: redis.Redis, system: System) -> None:
    for number in range(3):
        system.submit(bytes([number]) * IMAGE_BYTES)
    batches = LANES_AT_ONCE + 5
    for number in range(batches):
        system.submit(b"%04d" % number * 10, lane=keys.bulk_lane(f"b{number}"))
    before = time.time()
    assert len(system.lanes.pull(1, bulk=False).entries) == 1
    time.sleep(0.05)
    found = lanes(Gauges(redis_client).read())
    assert (found["interactive"].entries, found["bulk"].entries) == (3, batches)
    # An entry names its image's digest twice, which is here the image itself, in hexadecimal digits; and Redis counts
    # what its allocator rounds up.
    assert found["interactive"].bytes == pytest.approx(3 * 5 * IMAGE_BYTES, rel=0.25)
    assert timedelta(seconds=0.05) <= found["interactive"].oldest <= timedelta(seconds=time.time() - before + 5)
    assert found["bulk"].oldest > timedelta(0)


@pytest.mark.usefixtures("served")
def test_workers_with_a_sign_of_life_are_counted(redis_client: redis.Redis, system: System) -> None:
    system.lanes.sign_of_life()
    redis_client.zadd(keys.workers(MODEL), {"gone": (time.time() - 60) * 1e6})
    assert Gauges(redis_client).read().workers == {MODEL: 1}


def test_the_recorders_lag_is_the_age_of_the_oldest_unrecorded_result(redis_client: redis.Redis) -> None:
    redis_client.xadd(keys.FINISHED, {"id": "a"}, id=f"{int((time.time() - 30) * 1000)}-0")
    redis_client.xadd(keys.FINISHED, {"id": "b"})
    state = Gauges(redis_client).read()
    assert state.finished == 2
    assert timedelta(seconds=29) < state.recorder_lag < timedelta(seconds=40)


def test_reading_a_hanging_redis_times_out_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "BRIEFLY", timedelta(milliseconds=100))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = clients.connect_briefly(Redis(url=f"redis://127.0.0.1:{silent.getsockname()[1]}"))
        with client, pytest.raises(redis.TimeoutError):
            Gauges(client).read()
        silent.setblocking(False)  # noqa: FBT003  its only parameter
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):  # it was asked once
            silent.accept()


def test_memory_gauges_are_what_redis_reports(redis_client: redis.Redis) -> None:
    redis_client.config_set("maxmemory", 500_000_000)
    state = Gauges(redis_client).read()
    assert state.memory_limit_bytes == 500_000_000
    assert 100_000 < state.memory_used_bytes < 500_000_000


@pytest.mark.usefixtures("served")
def test_redis_cpu_time_grows_with_what_it_executes(redis_client: redis.Redis) -> None:
    before = Gauges(redis_client).read().redis_cpu_seconds
    redis_client.eval("for i = 1, 100000 do redis.sha1hex('a') end", 0)
    assert 0 < before < Gauges(redis_client).read().redis_cpu_seconds
