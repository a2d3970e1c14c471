"""Beat sends its task in time after the clock was set back, also where it reads its last run from its file."""

import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from celery import Celery
from celery.beat import PersistentScheduler

from worker.main import SWEEP_PAUSE_SECONDS, configuration
from worker.process.interval import Interval

NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since_last_run", "found"),
    [
        (timedelta(seconds=1), (False, 1.0)),
        (timedelta(seconds=3), (True, 2.0)),
        (timedelta(hours=3), (True, 2.0)),
        (timedelta(seconds=-1), (True, 2.0)),
        (timedelta(hours=-1), (True, 2.0)),
    ],
)
def test_it_is_due_once_the_interval_has_passed_or_the_last_run_lies_ahead(
    since_last_run: timedelta, found: tuple[bool, float]
) -> None:
    interval = Interval(2.0, nowfun=lambda: NOW)
    for one in (interval, pickle.loads(pickle.dumps(Interval(2.0)))):  # noqa: S301  as beat's file has it
        one.nowfun = lambda: NOW
        assert tuple(one.is_due(NOW - since_last_run)) == found


def test_the_sweep_is_due_after_a_restart_with_a_clock_that_was_set_back(tmp_path: Path) -> None:
    def scheduler() -> PersistentScheduler:
        app = Celery("beat", set_as_current=False, broker="memory://")
        app.conf.beat_schedule = configuration()["beat_schedule"]
        return PersistentScheduler(app, schedule_filename=str(tmp_path / "beat-schedule"), lazy=False)

    first = scheduler()
    entry = first.schedule["sweep"]
    entry.last_run_at = datetime.now(UTC) + timedelta(hours=1)
    first.close()
    again = scheduler()
    try:
        kept = again.schedule["sweep"]
        assert kept.last_run_at > datetime.now(UTC) + timedelta(minutes=30)
        assert tuple(again.is_due(kept)) == (True, SWEEP_PAUSE_SECONDS)
    finally:
        again.close()
