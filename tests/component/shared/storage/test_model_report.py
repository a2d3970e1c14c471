"""Reports on a dozen images whose every figure is worked out here by hand."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text

from shared.domain.identifiers import ModelName, Owner, PredictionId, new_uuid7
from shared.domain.model_report import Drift, ModelReport
from shared.storage.model_report import MOST_IDS, read_model_report
from shared.storage.recording import record
from shared.storage.shadow_predictions import ShadowPrediction, store_shadow_predictions

Make = Callable[..., dict[bytes, bytes]]
DIGITS = ModelName("digits")
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class Recorded:
    """Records predictions, what a shadow answered to their images, and feedback."""

    def __init__(self, engine: Engine, make: Make) -> None:
        self._engine = engine
        self._make = make

    def predict(self, predicted: str, *, image: int, version: str = "3", at: datetime = NOON, **rest: Any) -> str:
        id = new_uuid7(unix_ms=int(at.timestamp() * 1000))
        request = {"version": version, "image": {"sha256": f"{image:064x}"}, **rest.pop("request", {})}
        output = {"predicted_class": predicted, **rest.pop("output", {})}
        made = self._make(id=id, request=request, output=output, **rest)
        if "output_text" in rest:
            made[b"output"] = rest["output_text"]
        with self._engine.connect() as connection:
            record(connection, [made])
        return id

    def shadow(self, id: str, output: dict[str, Any] | None, *, agrees: bool | None, version: str = "4") -> None:
        one = ShadowPrediction(
            prediction_id=PredictionId(id),
            version=version,
            version_key=f"{version}-m-1",
            status="failed" if output is None else "succeeded",
            output=output,
            error_code="model_error" if output is None else None,
            agrees=agrees,
            predict_ms=5.0,
            created_at=NOON,
        )
        with self._engine.connect() as connection:
            store_shadow_predictions(connection, [one])

    def tell(self, id: str, *, label: str | None = None, value: str | None = None, owner: str = "default") -> None:
        insert = text("""
            INSERT INTO feedback (id, prediction_id, owner, label, value)
            VALUES (darkroom_uuid7(), :id, :owner, :label, CAST(:value AS jsonb))
        """)
        with self._engine.begin() as connection:
            connection.execute(insert, {"id": id, "owner": owner, "label": label, "value": value})

    def report(self, since: datetime = NOON, **rest: Any) -> ModelReport:
        with self._engine.connect() as connection:
            return read_model_report(connection, DIGITS, since=since, **({"owner": None} | rest))


@pytest.fixture
def recorded(engine: Engine, finished_record: Make) -> Recorded:
    return Recorded(engine, finished_record)


def test_accuracy_counts_the_last_feedback_and_compares_with_the_shadow(recorded: Recorded) -> None:
    # Twelve images of a 7. Version 3 says 7 to four of them, version 4 in its shadow to eleven: only version 3 is right
    # on the first, only version 4 on the last eight.
    ids = [recorded.predict("7" if image < 4 else "1", image=image) for image in range(12)]
    for image, id in enumerate(ids):
        shadow = "1" if image == 0 else "7"
        recorded.shadow(id, {"predicted_class": shadow}, agrees=shadow == ("7" if image < 4 else "1"))
        recorded.tell(id, label="1")
        recorded.tell(id, label="7")
    report = recorded.report()
    third, fourth = report.versions
    assert (third.figures.version, third.figures.variant) == ("3", "champion")
    assert (fourth.figures.version, fourth.figures.variant) == ("4", "shadow")
    assert third.accuracy is not None
    assert (third.accuracy.right, third.accuracy.labelled, third.accuracy.share) == (4, 12, 4 / 12)
    # (4/12 + z²/24 ± z·√(2/9/12 + z²/576)) / (1 + z²/12) with z² = 3.8415.
    assert (third.accuracy.low, third.accuracy.high) == pytest.approx((0.1381, 0.6094), abs=0.0001)
    assert fourth.accuracy is not None
    assert (fourth.accuracy.right, fourth.accuracy.labelled) == (11, 12)
    assert fourth.figures.classes == {"7": 11, "1": 1}
    assert fourth.figures.count == 12
    (compared,) = report.comparisons
    assert (compared.versions, compared.images, compared.only_first, compared.only_second) == (("3", "4"), 12, 1, 8)
    # 2·(C(9,0) + C(9,1)) / 2⁹ = 20/512.
    assert compared.p == 20 / 512
    assert compared.sentence == (
        "Version 4 is better: of 12 labelled images that both saw, only version 3 is right on 1, only version 4 on 8, "
        "which is hardly chance (p = 0.039)."
    )
    (shadow_of_4,) = report.shadows
    assert (shadow_of_4.version, shadow_of_4.compared, shadow_of_4.agreed) == ("4", 12, 3)
    assert shadow_of_4.ids == tuple(sorted([ids[0], *ids[4:]], reverse=True))


def test_images_that_two_versions_answered_are_compared_by_digest(recorded: Recorded) -> None:
    for image in range(8):
        recorded.tell(recorded.predict("7", image=image), label="7")
        recorded.tell(recorded.predict("1" if image < 5 else "7", image=image, version="4"), label="7")
    recorded.tell(recorded.predict("7", image=99), label="7")
    (compared,) = recorded.report().comparisons
    assert (compared.images, compared.only_first, compared.only_second, compared.p) == (8, 5, 0, None)
    assert compared.sentence == (
        "Too few to tell: of 8 labelled images that both saw, versions 3 and 4 differ in 5, and fewer than 6 can't "
        "show a difference."
    )
    recorded.tell(recorded.predict("1", image=99, version="4"), label="7")
    (compared,) = recorded.report().comparisons
    assert compared.p == 2 / 64
    recorded.predict("1", image=5, version="4")
    assert recorded.report(versions=["4"]).comparisons == ()


def test_without_labels_it_is_said_that_nothing_can_be_told(recorded: Recorded) -> None:
    recorded.predict("7", image=1)
    recorded.predict("7", image=1, version="4")
    report = recorded.report()
    assert [one.accuracy for one in report.versions] == [None, None]
    (compared,) = report.comparisons
    assert compared.sentence == ("Too few to tell: no labelled image was seen by both version 3 and version 4.")
    assert report.shadows == ()


def test_a_report_is_an_owners_alone(recorded: Recorded) -> None:
    for owner, predicted in (("alice", "7"), ("bob", "1")):
        id = recorded.predict(predicted, image=1, owner=owner)
        recorded.shadow(id, {"predicted_class": "1"}, agrees=predicted == "1")
        recorded.tell(id, label="1", owner=owner)
    alice, everybody = recorded.report(owner=Owner("alice")), recorded.report()
    assert [one.figures.count for one in alice.versions] == [1, 1]
    assert [one.accuracy and one.accuracy.right for one in alice.versions] == [0, 1]
    assert [one.figures.count for one in everybody.versions] == [2, 2]
    assert [one.compared for one in alice.shadows] == [1]
    assert alice.first_week is not None
    assert alice.first_week.classes == {"7": 1}
    assert recorded.report(owner=Owner("carol")).versions == ()


def test_drift_against_the_first_week(recorded: Recorded) -> None:
    # Ten of each class in the first week; three weeks later one of twenty.
    for number in range(20):
        recorded.predict(str(number % 2), image=number, at=NOON - timedelta(days=21))
    for number in range(20):
        recorded.predict("1" if number else "0", image=number)
    (third,) = recorded.report().versions
    assert third.drift is not None
    # Shares with half an image more in each bin: 10.5/21 twice; 1.5/21 and 19.5/21.
    assert third.drift.index == pytest.approx(9 / 21 * 2.564949, abs=1e-5)
    # (1/20 + 1/20)·3.84, the 95% quantile of chi-squared with one degree of freedom.
    assert third.drift.by_chance == pytest.approx(0.384, rel=0.03)
    assert third.drift.verdict is Drift.LARGE
    (first,) = recorded.report(since=NOON - timedelta(days=21)).versions
    assert first.figures.count == 40


def test_the_ids_where_the_shadow_disagrees_are_few_and_the_newest(recorded: Recorded) -> None:
    ids = []
    for number in range(MOST_IDS + 3):
        ids.append(recorded.predict("7", image=number, at=NOON + timedelta(seconds=number)))
        recorded.shadow(ids[-1], {"predicted_class": "1"}, agrees=False)
    failed = recorded.predict("7", image=77)
    recorded.shadow(failed, None, agrees=None)
    (shadow,) = recorded.report().shadows
    assert shadow.ids == tuple(reversed(ids[3:]))
    assert (shadow.compared, shadow.agreed, shadow.not_comparable) == (MOST_IDS + 3, 0, 1)
    fourth = recorded.report(versions=["4"]).versions[0].figures
    assert fourth.errors == {"model_error": 1}
    assert fourth.predict_ms is not None
    assert fourth.predict_ms.p99 == pytest.approx(5, rel=0.025)
    assert (fourth.total_ms, fourth.queue_ms) == (None, None)


def test_numbers_have_a_mean_absolute_error_and_a_sign_test(recorded: Recorded) -> None:
    # The truth is 30. Version 3 says 33 to all of seven images; version 4 says 31, but 36 to the first.
    for image in range(7):
        id = recorded.predict("", image=image, output_text=b'{"values": {"age": 33.0}}')
        recorded.shadow(id, {"values": {"age": 36.0 if image == 0 else 31.0}}, agrees=None)
        recorded.tell(id, value="30" if image % 2 else '{"age": 30}')
    report = recorded.report()
    assert [one.accuracy for one in report.versions] == [None, None]
    third, fourth = (one.errors for one in report.versions)
    assert third is not None
    assert fourth is not None
    assert (third.labelled, third.mean_absolute_error) == (7, 3)
    assert fourth.mean_absolute_error == pytest.approx((6 + 6 * 1) / 7)
    (compared,) = report.comparisons
    assert (compared.only_first, compared.only_second, compared.p) == (1, 6, 2 * (1 + 7) / 2**7)
    assert compared.sentence.startswith(
        "No difference can be shown: of 7 labelled images that both saw, only version 3 is nearer"
    )


def test_several_labels_are_right_as_a_set(recorded: Recorded) -> None:
    output = b'{"predicted_classes": ["cat", "sofa"], "scores": {"cat": 0.9, "sofa": 0.7}}'
    for told in ('["sofa", "cat"]', '["cat"]'):
        recorded.tell(recorded.predict("", image=1, output_text=output), value=told)
    (third,) = recorded.report().versions
    assert third.accuracy is not None
    assert (third.accuracy.right, third.accuracy.labelled) == (1, 2)
    assert third.drift is None


def test_feedback_to_boxes_gives_no_accuracy(recorded: Recorded) -> None:
    id = recorded.predict("", image=1, output_text=b'{"detections": []}')
    recorded.tell(id, value='["cat"]')
    (third,) = recorded.report().versions
    assert (third.accuracy, third.errors) == (None, None)
