"""Reports against a plain count of what is left, whatever was counted, summed, deleted and labelled in between."""

import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from shared.domain.identifiers import ModelName, Owner, PredictionId, new_uuid7
from shared.domain.model_route import SHADOW
from shared.domain.statistics import mcnemar_p, stability_bins, stability_index, wilson_interval
from shared.storage.audit_queries import wrong_feedback
from shared.storage.feedback import Answer, Given, give_feedback
from shared.storage.judged_feedback import judge_feedback
from shared.storage.model_report import read_model_report
from shared.storage.recording import record
from shared.storage.report_days import sum_day, unsummed_days, wrong_days
from shared.storage.shadow_predictions import ShadowPrediction, store_shadow_predictions
from shared.storage.version_figures import count_pending, wrong_counters

DIGITS = ModelName("digits")
MIDNIGHT = datetime(2026, 11, 1, tzinfo=UTC)  # the night in which America/New_York's clocks go back
DAYS, IMAGES, EACH, STEPS = 9, 12, 40, 12
CLASSES = "abc"
ZONES = ("UTC", "America/New_York", "Asia/Kathmandu")
Row = tuple[datetime, str, int, str, str]
"""When it was submitted, its version, image, class and owner. A shadow's row has the id of its prediction."""


class Log:
    """Predictions around the midnights of some days, kept here and in Postgres."""

    def __init__(self, engine: Engine, make: Callable[..., dict[bytes, bytes]], chance: random.Random) -> None:
        self._engine, self._make, self._chance = engine, make, chance
        self.rows: dict[str, Row] = {}
        self.labels: dict[str, str] = {}
        self.shadows: dict[str, str] = {}

    def act(self, what: Callable[[Any], object]) -> None:
        """Do something on a connection whose session is in another time zone each time."""
        with self._engine.connect() as connection:
            connection.execute(text(f"SET TIME ZONE '{self._chance.choice(ZONES)}'"))
            connection.commit()
            what(connection)
            connection.rollback()
            connection.execute(text("RESET TIME ZONE"))
            connection.commit()

    def predict(self) -> None:
        """Record some, within minutes of a midnight or anywhere."""
        chance, records = self._chance, []
        for _ in range(EACH):
            at = MIDNIGHT + timedelta(days=chance.randrange(DAYS))
            at += timedelta(minutes=chance.choice((-1, 0, 1, 5, 60, 720)), milliseconds=chance.choice((-1, 0, 1)))
            id = new_uuid7(unix_ms=round(at.timestamp() * 1000))
            row = (at, chance.choice("34"), chance.randrange(IMAGES), chance.choice(CLASSES), chance.choice("ab"))
            self.rows[id] = row
            request = {"version": row[1], "image": {"sha256": f"{row[2]:064x}"}}
            output = {"predicted_class": row[3]}
            records.append(self._make(id=id, request=request, output=output, owner=row[4]))
        self.act(lambda connection: record(connection, records))

    def shadow(self) -> None:
        """Let version 5 answer some in the shadow; whether both agree is not known of a few."""
        told = []
        for id in self._chance.sample(sorted(self.rows), min(len(self.rows), EACH)):
            if id not in self.shadows:
                self.shadows[id] = self._chance.choice(CLASSES)
                agrees = self._chance.choice((None, *[self.shadows[id] == self.rows[id][3]] * 3))
                told.append(_shadow(id, self.shadows[id], agrees=agrees))
        self.act(lambda connection: store_shadow_predictions(connection, told))

    def judge(self) -> None:
        self.act(lambda connection: judge_feedback(connection, rows=self._chance.choice((1, 10, 10_000))))

    def count(self) -> None:
        self.act(lambda connection: count_pending(connection, rows=self._chance.choice((1, 10, 10_000))))

    def sum_days(self) -> None:
        self.act(
            lambda connection: [
                sum_day(connection, *one) for one in unsummed_days(connection, before=MIDNIGHT + timedelta(days=99))
            ]
        )

    def delete(self) -> None:
        gone = self._chance.sample(sorted(self.rows), len(self.rows) // 5)
        for id in gone:
            del self.rows[id]
            self.labels.pop(id, None)
            self.shadows.pop(id, None)

        def forget(connection: Any) -> None:
            connection.execute(text("DELETE FROM predictions WHERE id = ANY(CAST(:ids AS uuid[]))"), {"ids": gone})
            connection.commit()

        self.act(forget)

    def label(self) -> None:
        """Label some, of which some have a label already."""
        given: dict[str, list[Given]] = {"a": [], "b": []}
        for id in self._chance.sample(sorted(self.rows), min(len(self.rows), EACH)):
            answer = Answer(label=self._chance.choice(CLASSES))
            self.labels[id] = str(answer.label)
            given[self.rows[id][4]].append(Given(prediction_id=PredictionId(id), answer=answer, is_recorded=True))
        self.act(lambda connection: [give_feedback(connection, Owner(one), those) for one, those in given.items()])

    def compare(self, since: datetime, owner: str | None) -> None:
        """Hold a report to a count of the rows."""
        found: list[Any] = []
        zoned = since.astimezone(self._chance.choice([UTC, *map(_zone, ZONES)]))
        self.act(
            lambda connection: found.append(
                read_model_report(connection, DIGITS, since=zoned, owner=Owner(owner) if owner else None)
            )
        )
        (report,) = found
        of_owner = {id: row for id, row in self.rows.items() if owner in (None, row[4])}
        asked = {id: row for id, row in of_owner.items() if row[0] >= since}
        beside = {f"{id} {SHADOW}": self._beside(id) for id in asked if id in self.shadows}
        answers = asked | beside
        versions = {one.figures.version: one for one in report.versions}
        assert versions.keys() == {row[1] for row in answers.values()}
        right: dict[str, dict[str, bool]] = {}
        for id, row in answers.items():
            if (label := self.labels.get(id.removesuffix(f" {SHADOW}"))) is not None:
                right.setdefault(row[1], {})[id] = row[3] == label
        first = min((row[0] for row in of_owner.values()), default=since)
        bucket = datetime.fromtimestamp(first.timestamp() // 300 * 300, UTC)
        week = Counter(row[3] for row in of_owner.values() if bucket <= row[0] < bucket + timedelta(days=7))
        for version, one in versions.items():
            classes = Counter(row[3] for row in answers.values() if row[1] == version)
            assert dict(one.figures.classes) == classes
            assert one.figures.count == classes.total()
            assert one.drift is not None
            assert one.drift.index == pytest.approx(stability_index(stability_bins(week, classes)))
            judged = right.get(version, {}).values()
            if one.accuracy is None:
                assert not judged
            else:
                assert (one.accuracy.right, one.accuracy.labelled) == (sum(judged), len(judged))
                assert (one.accuracy.low, one.accuracy.high) == wilson_interval(sum(judged), len(judged))
        for pair in report.comparisons:
            newest = [self._newest(answers, right.get(version, {})) for version in pair.versions]
            both = newest[0].keys() & newest[1].keys()
            only = [sum(newest[n][image] and not newest[1 - n][image] for image in both) for n in (0, 1)]
            assert (pair.images, pair.only_first, pair.only_second) == (len(both), *only)
            assert pair.p == (mcnemar_p(*only) if sum(only) >= 6 else None)

    def _beside(self, id: str) -> Row:
        """Return what the shadow answered to a prediction's image, as a row."""
        at, _, image, _, owner = self.rows[id]
        return (at, "5", image, self.shadows[id], owner)

    @staticmethod
    def _newest(asked: dict[str, Row], right: dict[str, bool]) -> dict[int, bool]:
        """Return by image whether a version's newest labelled answer to it is right."""
        return {asked[id][2]: is_right for id, is_right in sorted(right.items())}


def _shadow(id: str, answer: str, *, agrees: bool | None) -> ShadowPrediction:
    return ShadowPrediction(
        prediction_id=PredictionId(id),
        version="5",
        version_key="5-m-1",
        status="succeeded",
        output={"predicted_class": answer},
        agrees=agrees,
        created_at=MIDNIGHT,
    )


def _zone(name: str) -> Any:
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    return ZoneInfo(name)


def test_a_report_is_what_a_plain_count_says(
    engine: Engine, finished_record: Callable[..., dict[bytes, bytes]]
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201  pytest shows it where the test fails
    chance = random.Random(seed)
    log = Log(engine, finished_record, chance)
    log.predict()
    acts = (log.predict, log.count, log.count, log.sum_days, log.delete, log.label, log.label, log.shadow, log.judge)
    for _ in range(STEPS):
        chance.choice(acts)()
        since = MIDNIGHT + timedelta(days=chance.randrange(-1, 5), milliseconds=chance.choice((-1, 0, 1, 300_000)))
        log.compare(since, chance.choice((None, "a")))
    log.act(lambda connection: [count_pending(connection, rows=10_000), log.sum_days()])
    log.act(lambda connection: _assert_nothing(wrong_counters(connection), wrong_days(connection, days=3650)))
    log.act(lambda connection: _assert_nothing(wrong_feedback(connection), []))


def _assert_nothing(*found: list[str]) -> None:
    assert found == ([], [])
