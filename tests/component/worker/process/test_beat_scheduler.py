"""Beat goes on sending whatever becomes of the clock, and what it sends is never too old for a worker's clock."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from celery import Celery
from celery.beat import Scheduler

from shared.queue import keys
from tests.support.servers import RedisServer
from tests.support.waiting import until
from worker.main import SWEEP_TASK, configuration
from worker.process.beat_scheduler import MOST_WAITING, SteadyScheduler
from worker.process.interval import Interval


@pytest.fixture
def scheduler(redis_server: RedisServer, tmp_path: Path) -> Iterator[SteadyScheduler]:
    """Beat's scheduler as it is configured, but that it sends a sweep every tenth of a second."""
    app = Celery("beat", set_as_current=False, broker=redis_server.url.replace("unix://", "redis+socket://"))
    configured = configuration()
    [(name, sweep)] = configured["beat_schedule"].items()
    app.conf.beat_schedule = {name: sweep | {"schedule": Interval(0.1)}}
    app.conf.task_routes = configured["task_routes"]
    module, _, of_module = configured["beat_scheduler"].partition(":")
    assert (module, of_module) == (SteadyScheduler.__module__, SteadyScheduler.__name__)
    found = SteadyScheduler(app, schedule_filename=str(tmp_path / "beat-schedule"), lazy=False)
    yield found
    found.close()
    app.close()


@pytest.mark.parametrize("jump", [timedelta(hours=-1), timedelta(hours=1), timedelta(seconds=-1)])
def test_sweeps_go_on_after_the_clock_was_set(
    scheduler: SteadyScheduler, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch, jump: timedelta
) -> None:
    def ticked(sweeps: int) -> bool:
        scheduler.tick()
        return redis_client.llen(keys.UPKEEP_QUEUE) >= sweeps  # type: ignore[operator]  # the stub knows async clients

    until(lambda: ticked(2))
    monkeypatch.setattr(Interval, "now", lambda _: datetime.now(UTC) + jump)
    until(lambda: ticked(4))


def test_old_sweeps_are_dropped_by_their_number_and_not_by_a_clock(
    scheduler: SteadyScheduler, redis_client: redis.Redis
) -> None:
    for _ in range(MOST_WAITING):
        scheduler.apply_entry(scheduler.schedule["sweep"])
    first = redis_client.lindex(keys.UPKEEP_QUEUE, -1)
    scheduler.apply_entry(scheduler.schedule["sweep"])
    waiting = redis_client.lrange(keys.UPKEEP_QUEUE, 0, -1)
    assert isinstance(waiting, list)
    assert len(waiting) == MOST_WAITING
    assert first not in waiting
    headers = [json.loads(message)["headers"] for message in waiting]
    assert {(one["task"], one["expires"]) for one in headers} == {(SWEEP_TASK, None)}


def test_what_is_reached_into_exists() -> None:
    assert callable(Scheduler._when)
