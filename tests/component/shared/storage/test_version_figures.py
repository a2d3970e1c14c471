"""Figures by version are what the rows say: pending or counted, early or late, deleted or not.

Over 300 lines: its tests share their rows.
"""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from shared.domain.identifiers import ModelName, Owner, new_uuid7
from shared.domain.version_figures import VersionFigures, bin_milliseconds, latency_bin
from shared.settings import Database
from shared.storage import report_days, retention, version_figures
from shared.storage.engine import make_engine
from shared.storage.recording import record
from shared.storage.version_figures import count_pending, read_first_week, read_version_figures, wrong_counters
from worker.upkeep.report_counters import ReportCounters

Make = Callable[..., dict[bytes, bytes]]
DIGITS = ModelName("digits")
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@pytest.fixture
def add(engine: Engine, finished_record: Make) -> Callable[..., str]:
    """Record a prediction submitted at a moment, by default noon: 2 ms in the queue, 10 ms in all, 6.4 ms computing."""

    def add(at: datetime = NOON, *, version: str = "3", variant: str = "champion", **rest: Any) -> str:
        id = new_uuid7(unix_ms=int(at.timestamp() * 1000))
        micros = int(at.timestamp() * 1e6)
        times = {"created": micros, "started": micros + 2_000, "completed": micros + 10_000}
        request = {"version": version, "variant": variant, **rest.pop("request", {})}
        output_text = rest.pop("output_text", None)
        made = finished_record(**({"id": id, "request": request} | times | rest))
        if output_text is not None:
            made[b"output"] = output_text
        with engine.connect() as connection:
            record(connection, [made])
        return id

    return add


def figures(engine: Engine, since: datetime = NOON, **rest: Any) -> dict[tuple[str, str], VersionFigures]:
    with engine.connect() as connection:
        return read_version_figures(connection, DIGITS, since=since, **rest)


def count(engine: Engine, *, rows: int = 10_000) -> int:
    with engine.connect() as connection:
        return count_pending(connection, rows=rows)


def counters(engine: Engine) -> set[tuple[Any, ...]]:
    with engine.connect() as connection:
        return {tuple(row) for row in connection.execute(text("SELECT * FROM report_counters"))}


@pytest.fixture(params=["pending", "counted"])
def settle(request: pytest.FixtureRequest, engine: Engine) -> Callable[[], None]:
    """Count what is pending, or leave it so: figures are the same."""
    return (lambda: None) if request.param == "pending" else lambda: void(count(engine))


def void(_: object) -> None:
    """Return nothing."""


def test_a_dozen_predictions_by_hand(engine: Engine, add: Callable[..., str], settle: Callable[[], None]) -> None:
    for confidence in (0.05, 0.32, 0.34, 1.0):
        add(output={"predicted_class": "7", "confidence": confidence})
    for _ in range(2):
        add(output={"predicted_class": "1", "confidence": 0.998})
    add(source="cache", started="")
    add(state="failed", code="undecodable_image", output_text=b"", error="no image")
    add(state="canceled", code="deadline_exceeded", started="", output_text=b"", error="late")
    for milliseconds in (4, 90):
        end = int(NOON.timestamp() * 1e6) + milliseconds * 1000
        run = f'{{"batch_size": 1, "predict_ms": {milliseconds / 2}, "worker": "w"}}'
        add(version="4", variant="challenger", completed=end, run=run)
    add(request={"model": "other"})
    settle()
    found = figures(engine)
    assert list(found) == [("3", "champion"), ("4", "challenger")]
    third, fourth = found.values()
    assert third.count == 9
    assert third.statuses == {"succeeded": 7, "failed": 1, "canceled": 1}
    assert third.sources == {"model": 8, "cache": 1}
    assert third.computed == 8
    assert third.errors == {"undecodable_image": 1, "deadline_exceeded": 1}
    assert third.failed_share == 1 / 8
    assert third.classes == {"7": 5, "1": 2}
    # Bins of 0.05: 0.05 is in the second; 0.32 and 0.34 in the seventh; three of 0.998 and one of 1 in the last.
    assert third.confidence == (0, 1, 0, 0, 0, 0, 2, *([0] * 12), 4)
    assert fourth.count == 2
    # Nearest rank: the first of two is the median, the second all higher percentiles.
    assert fourth.total_ms is not None
    assert fourth.total_ms.p50 == pytest.approx(4, rel=0.025)
    assert fourth.total_ms.p99 == fourth.total_ms.p90 == pytest.approx(90, rel=0.025)
    # Bounds are 0.5, 1, 2.5, 5, 10, 25, 50, 100, …: 4 is in the fourth bucket and 90 in the eighth, of nineteen.
    assert fourth.total_ms.counts == (0, 0, 0, 1, 0, 0, 0, 1, *([0] * 11))
    assert fourth.predict_ms is not None
    assert (fourth.predict_ms.p50, fourth.predict_ms.p95) == pytest.approx((2, 45), rel=0.025)
    assert fourth.predict_ms.counts == (0, 0, 1, 0, 0, 0, 1, *([0] * 12))
    assert fourth.queue_ms is not None
    assert fourth.queue_ms.p99 == pytest.approx(2, rel=0.025)
    # Only what a model computed successfully has latencies: six of the nine.
    assert third.total_ms is not None
    assert sum(third.total_ms.counts) == 6


def test_the_databases_bins_are_those_of_the_domain(engine: Engine, add: Callable[..., str]) -> None:
    exact = [0.0004, 0.01, 0.7, 1.0, 1.05, 3.3, 10.0, 47.1, 999.0, 86_400_000.0, 2e9]
    for milliseconds in exact:
        add(run=f'{{"batch_size": 1, "predict_ms": {milliseconds}, "worker": "w"}}')
    count(engine)
    with engine.connect() as connection:
        bins = connection.execute(text("SELECT bin::int, n FROM report_counters WHERE figure = 'predict'"))
        assert {row.bin for row in bins} == {latency_bin(milliseconds) for milliseconds in exact}
    for milliseconds in exact[1:-1]:
        assert bin_milliseconds(latency_bin(milliseconds)) == pytest.approx(milliseconds, rel=0.025)


def test_only_what_was_submitted_since_then_and_before_the_end_counts(
    engine: Engine, add: Callable[..., str], settle: Callable[[], None]
) -> None:
    for minutes in range(-2, 13):
        add(NOON + timedelta(minutes=minutes, seconds=30))
    settle()
    for first, last in ((0, 10), (1, 3), (4, 6), (2, 12), (-1, 4)):
        since, until = NOON + timedelta(minutes=first), NOON + timedelta(minutes=last)
        assert figures(engine, since, until=until)["3", "champion"].count == last - first
    assert figures(engine, NOON + timedelta(minutes=4))["3", "champion"].count == 9
    assert figures(engine, NOON + timedelta(hours=1)) == {}


def test_late_rows_are_added_to_the_time_they_were_submitted(engine: Engine, add: Callable[..., str]) -> None:
    add()
    count(engine)
    add()
    assert figures(engine)["3", "champion"].count == 2
    count(engine)
    assert figures(engine)["3", "champion"].count == 2
    assert count(engine) == 0


def test_figures_of_an_owner_and_of_versions(
    engine: Engine, add: Callable[..., str], settle: Callable[[], None]
) -> None:
    add(owner="alice")
    add(owner="alice", version="4")
    add(owner="bob")
    settle()
    assert figures(engine, owner=Owner("alice"))["3", "champion"].count == 1
    assert figures(engine)["3", "champion"].count == 2
    assert list(figures(engine, versions=["4"])) == [("4", "champion")]
    assert figures(engine, owner=Owner("carol")) == {}


def test_deleted_predictions_are_subtracted_whether_pending_or_counted(engine: Engine, add: Callable[..., str]) -> None:
    for _ in range(3):
        add(owner="alice")
    count(engine)
    before = counters(engine)
    add(owner="bob")
    count(engine)
    add(owner="bob", output={"predicted_class": "2"})
    with engine.connect() as connection:
        assert retention.delete_of_owner(connection, Owner("bob"), "predictions", limit=10) == 2
    assert counters(engine) == before
    assert figures(engine)["3", "champion"].count == 3
    count(engine)
    assert counters(engine) == before
    with engine.connect() as connection:
        retention.delete_predictions(connection, datetime.now(UTC), after=None, limit=2)
    assert figures(engine)["3", "champion"].count == 1
    with engine.connect() as connection:
        retention.delete_predictions(connection, datetime.now(UTC), after=None, limit=2)
    assert counters(engine) == set()


def test_counting_that_is_killed_before_its_commit_counts_nothing(engine: Engine, add: Callable[..., str]) -> None:
    add()
    with engine.connect() as connection:
        transaction = connection.begin()
        connection.execute(version_figures._COUNT_PENDING, {"rows": 10})
        transaction.rollback()
    assert counters(engine) == set()
    assert figures(engine)["3", "champion"].count == 1
    assert count(engine) == 1
    assert figures(engine)["3", "champion"].count == 1


def test_one_process_at_a_time_counts(engine: Engine, add: Callable[..., str]) -> None:
    add()
    with engine.begin() as connection:
        assert connection.scalar(report_days.TRY_LOCK, {"lock": report_days.LOCK})
        assert count(engine) == 0
    assert count(engine) == 1


def test_counting_and_deleting_at_once_leave_what_the_rows_say(engine: Engine, add: Callable[..., str]) -> None:
    over = threading.Event()

    def repeat(act: Callable[[], object]) -> Iterator[threading.Thread]:
        def work() -> None:
            while not over.is_set():
                act()

        thread = threading.Thread(target=work)
        thread.start()
        yield thread

    def delete() -> None:
        with engine.connect() as connection:
            retention.delete_of_owner(connection, Owner("bob"), "predictions", limit=3)

    threads = [*repeat(lambda: count(engine, rows=3)), *repeat(delete), *repeat(lambda: count(engine, rows=1))]
    try:
        for number in range(150):
            add(owner=("alice", "bob")[number % 2])
    finally:
        over.set()
        for thread in threads:
            thread.join()
    delete_all = text("DELETE FROM predictions WHERE owner = 'bob'")
    with engine.begin() as connection:
        connection.execute(delete_all)
    assert figures(engine)["3", "champion"].count == 75
    count(engine)
    assert figures(engine)["3", "champion"].count == 75
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM predictions"))
    assert counters(engine) == set()


def test_any_output_can_be_counted(engine: Engine, add: Callable[..., str]) -> None:
    for output in (
        b"[]", b"null", b'"text"', b"{}", b'{"predicted_class": 7}', b'{"predicted_class": null, "confidence": 0.5}',
        b'{"predicted_class": "7", "confidence": 1e300}', b'{"predicted_class": "7", "confidence": -4}',
        b'{"predicted_class": "7", "confidence": "high"}', b'{"values": {"age": 31.5}}', b"",
    ):  # fmt: skip
        add(output_text=output)
    assert count(engine) == 11
    found = figures(engine)["3", "champion"]
    assert found.count == 11
    assert found.classes == {"7": 3}
    assert (found.confidence[0], found.confidence[19]) == (1, 1)


def test_the_first_week_is_that_of_all_versions(
    engine: Engine, add: Callable[..., str], settle: Callable[[], None]
) -> None:
    with engine.connect() as connection:
        assert read_first_week(connection, DIGITS) is None
    add(NOON - timedelta(days=20), output={"predicted_class": "1"})
    add(NOON - timedelta(days=14), version="4", output={"predicted_class": "2"})
    add(NOON - timedelta(days=12))
    settle()
    with engine.connect() as connection:
        week = read_first_week(connection, DIGITS)
    assert week is not None
    assert week.since == NOON - timedelta(days=20)
    assert week.classes == {"1": 1, "2": 1}


def test_audit_finds_counters_that_are_not_what_the_rows_say(engine: Engine, add: Callable[..., str]) -> None:
    def wrong(rows: int = 200_000) -> list[str]:
        with engine.connect() as connection:
            return wrong_counters(connection, rows=rows)

    assert wrong() == []
    add()
    add(NOON + timedelta(minutes=20))
    add(NOON + timedelta(minutes=25))
    assert wrong() == []
    count(engine)
    assert wrong() == []
    add()
    assert wrong() == []
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE report_counters SET n = n + 1 WHERE figure = 'outcome' AND at = :at"), {"at": NOON}
        )
        connection.execute(text("DELETE FROM report_counters WHERE figure = 'class' AND at > :at"), {"at": NOON})
    first, *rest = wrong()
    assert first == (
        "report on digits: 2 predictions of version 3 (champion) at 2026-11-20 12:00:00+00:00 are counted as outcome "
        "succeeded model, and there are 1"
    )
    assert len(rest) == 2
    # The newest row alone is of a bucket that is read whole.
    assert len(wrong(rows=1)) == 1


def test_sweeps_count_what_is_pending_and_wait_for_a_postgres_that_is_away(
    engine: Engine, add: Callable[..., str]
) -> None:
    add()
    add()
    assert ReportCounters(engine).sweep() == 2
    assert figures(engine)["3", "champion"].count == 2
    away = make_engine(Database(url="postgresql://127.0.0.1:1/none"))
    assert ReportCounters(away).sweep() == 0
    away.dispose()
