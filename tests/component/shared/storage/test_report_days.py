"""Sums by day: reports are the same with and without them, and none outlives a change of what it is of."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from shared.domain.identifiers import ModelName, Owner, new_uuid7
from shared.domain.version_figures import VersionFigures
from shared.storage import retention
from shared.storage.recording import record
from shared.storage.report_days import sum_day, unsummed_days, wrong_days
from shared.storage.version_figures import count_pending, read_first_week, read_version_figures, wrong_counters
from tests.support.postgres_engines import plans_of
from worker.upkeep.report_counters import ReportCounters

Make = Callable[..., dict[bytes, bytes]]
DIGITS = ModelName("digits")
MIDNIGHT = datetime(2026, 11, 2, tzinfo=UTC)
DAYS = 5
HOUR = timedelta(hours=1)


class Days:
    """Predictions of five days, one every two hours."""

    def __init__(self, engine: Engine, make: Make) -> None:
        self.engine = engine
        self._make = make

    def add(self, *moments: datetime, **rest: Any) -> None:
        records = [self._make(id=new_uuid7(unix_ms=int(at.timestamp() * 1000)), **rest) for at in moments]
        with self.engine.connect() as connection:
            record(connection, records)
            count_pending(connection, rows=10_000)

    def sum_up(self, *, before: datetime = MIDNIGHT + timedelta(days=30)) -> list[tuple[str, datetime]]:
        """Sum the days that have no sums; return them."""
        with self.engine.connect() as connection:
            found = unsummed_days(connection, before=before)
            assert all(sum_day(connection, *one) for one in found)
        return list(found)

    def summed(self) -> dict[datetime, int]:
        """Return the number of sums by day."""
        counts = text("""
            SELECT day.at, count(sums.n) FROM report_days AS day LEFT JOIN report_day_counters AS sums USING (model, at)
            WHERE model = 'digits' GROUP BY day.at
        """)
        with self.engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM report_day_counters")) == connection.scalar(
                text("SELECT count(*) FROM report_day_counters JOIN report_days USING (model, at)")
            )
            return {at.astimezone(UTC): n for at, n in connection.execute(counts)}

    def figures(self, since: datetime, until: datetime | None = None, **rest: Any) -> dict[Any, VersionFigures]:
        with self.engine.connect() as connection:
            return read_version_figures(connection, DIGITS, since=since, until=until, **rest)


@pytest.fixture
def days(engine: Engine, finished_record: Make) -> Days:
    made = Days(engine, finished_record)
    hours = [MIDNIGHT + number * 2 * HOUR for number in range(DAYS * 12)]
    made.add(*hours[::2])
    made.add(*hours[1::2], request={"version": "4"}, owner="bob")
    made.add(MIDNIGHT + HOUR, request={"model": "other"})
    return made


def test_a_report_of_any_time_is_the_same_with_sums_of_any_days(days: Days) -> None:
    asked = [
        (since, until, rest)
        for since in (MIDNIGHT - HOUR, MIDNIGHT, MIDNIGHT + HOUR, MIDNIGHT + timedelta(days=2, minutes=3))
        for until in (None, MIDNIGHT + timedelta(days=1), MIDNIGHT + timedelta(days=3, hours=5, seconds=7))
        for rest in ({}, {"owner": Owner("bob")}, {"versions": ["3"]})
    ]
    before = [days.figures(since, until, **rest) for since, until, rest in asked]
    assert before[0]["4", "champion"].count == DAYS * 6
    all_days = days.sum_up()
    assert len(all_days) == DAYS + 1
    for dropped in ([], [1], [0, 2, 4]):
        with days.engine.begin() as connection:
            for number in dropped:
                at = {"at": MIDNIGHT + timedelta(days=number)}
                connection.execute(text("DELETE FROM report_days WHERE at = :at"), at)
                connection.execute(text("DELETE FROM report_day_counters WHERE at = :at"), at)
        assert [days.figures(since, until, **rest) for since, until, rest in asked] == before
        with days.engine.connect() as connection:
            week = read_first_week(connection, DIGITS)
        assert week is not None
        assert week.classes == {"7": DAYS * 12}


def test_a_change_drops_the_sums_of_its_day_alone_and_they_are_made_again(days: Days) -> None:
    days.sum_up()
    full = days.summed()
    assert set(full) == {MIDNIGHT + timedelta(days=number) for number in range(DAYS)}
    late = MIDNIGHT + timedelta(days=2, hours=3)
    days.add(late, late)  # new counters
    days.add(late)  # counters that exist
    assert full.keys() - days.summed().keys() == {MIDNIGHT + timedelta(days=2)}
    assert days.figures(MIDNIGHT)["3", "champion"].count == DAYS * 6 + 3
    assert days.sum_up() == [(DIGITS, MIDNIGHT + timedelta(days=2))]
    assert days.figures(MIDNIGHT)["3", "champion"].count == DAYS * 6 + 3
    with days.engine.connect() as connection:
        assert retention.delete_predictions(connection, MIDNIGHT + HOUR * 30, after=None, limit=100).rows == 0, (
            "they ended a moment ago"
        )
    assert days.summed() == {**full, MIDNIGHT + timedelta(days=2): days.summed()[MIDNIGHT + timedelta(days=2)]}
    with days.engine.connect() as connection:
        retention.delete_of_owner(connection, Owner("bob"), "predictions", limit=1)
    assert full.keys() - days.summed().keys() == {MIDNIGHT}
    with days.engine.begin() as connection:
        connection.execute(text("DELETE FROM predictions"))
    assert days.summed() == {}
    assert days.sum_up() == []


def test_days_that_have_not_ended_are_not_summed_and_one_process_at_a_time_sums(days: Days) -> None:
    assert [day for _, day in days.sum_up(before=MIDNIGHT + timedelta(days=1))] == [MIDNIGHT, MIDNIGHT]
    with days.engine.begin() as connection, days.engine.connect() as other:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": int.from_bytes(b"counters", "big")})
        assert not sum_day(other, DIGITS, MIDNIGHT + timedelta(days=1))
    assert set(days.summed()) == {MIDNIGHT}


def test_upkeep_sums_every_day_but_the_last_hours(engine: Engine, finished_record: Make) -> None:
    days = Days(engine, finished_record)
    now = datetime.now(UTC)
    days.add(now, now - timedelta(days=2), now - timedelta(days=40))
    assert ReportCounters(engine).sweep() == 0
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    assert set(days.summed()) == {midnight - timedelta(days=2), midnight - timedelta(days=40)}


def test_the_audit_finds_a_sum_that_is_not_what_its_counters_say(engine: Engine, finished_record: Make) -> None:
    days = Days(engine, finished_record)
    day = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
    days.add(*[day + HOUR * number for number in range(3)])

    def wrong() -> list[str]:
        with engine.connect() as connection:
            return [*wrong_counters(connection), *wrong_days(connection)]

    assert wrong() == []
    days.sum_up()
    assert wrong() == []
    for change in ("UPDATE report_day_counters SET n = 2 WHERE figure = 'class'",
                   "DELETE FROM report_day_counters WHERE figure = 'class'",
                   "UPDATE report_day_counters SET bin = '8' WHERE figure = 'class'"):  # fmt: skip
        with engine.begin() as connection:
            connection.execute(text(change))
        assert len(found := wrong()) == (2 if "bin" in change else 1)
        assert found[0].startswith("report on digits: ")
        assert "summed as class" in found[0]
        with engine.begin() as connection:
            connection.execute(text("TRUNCATE report_days, report_day_counters"))
        days.sum_up()


def test_a_summed_day_is_read_from_its_sums_and_other_days_by_the_index(days: Days) -> None:
    days.sum_up()
    with days.engine.connect() as connection:
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plans = plans_of(connection, analyze=True)
        read_version_figures(
            connection, DIGITS, since=MIDNIGHT, until=MIDNIGHT + timedelta(days=DAYS), with_shadow=False
        )
    (plan,) = plans
    lines = [line for line in plan.splitlines() if "report_" in line and "pending" not in line]
    assert any("using report_day_counters_pkey" in line or "on report_day_counters_pkey" in line for line in lines), (
        plan
    )
    five_minutes = [line for line in lines if "report_counters" in line]
    assert five_minutes, plan
    assert all("never executed" in line or "rows=0" in line for line in five_minutes), plan
