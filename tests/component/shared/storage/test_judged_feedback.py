"""What reports need of feedback is kept beside it: filled in by upkeep, once, and gone with the prediction."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text

from shared.domain.identifiers import Owner, PredictionId, new_uuid7
from shared.settings import Database
from shared.storage.audit_queries import wrong_feedback
from shared.storage.engine import make_engine
from shared.storage.feedback import Answer, Given, give_feedback
from shared.storage.judged_feedback import judge_feedback
from shared.storage.recording import record
from tests.support.waiting import LIMIT
from worker.upkeep.judged_feedback import JudgedFeedback

Make = Callable[..., dict[bytes, bytes]]
ME = Owner("default")
KEPT = text("SELECT model, version, variant, status, image_sha256, is_right, error FROM feedback ORDER BY id")
CASES: list[tuple[dict[str, Any], Answer, bool | None, float | None]] = [
    ({"predicted_class": "7"}, Answer(label="7"), True, None),
    ({"predicted_class": "7"}, Answer(label="1"), False, None),
    ({"predicted_classes": ["cat", "sofa"]}, Answer(value=["sofa", "cat"]), True, None),
    ({"predicted_classes": ["cat"]}, Answer(value=[]), False, None),
    ({"values": {"age": 33.0}}, Answer(value=30), None, 3.0),
    ({"values": {"age": 33.0, "cm": 10}}, Answer(value={"age": 30, "cm": 11}), None, 2.0),
    ({"detections": []}, Answer(boxes=[]), None, None),
    ({"anything": 1}, Answer(value={"a": 1}), None, None),
]


def give(engine: Engine, id: str, answer: Answer) -> None:
    with engine.connect() as connection:
        give_feedback(connection, ME, [Given(prediction_id=PredictionId(id), answer=answer, is_recorded=False)])


def kept(engine: Engine) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(KEPT)]


@pytest.mark.parametrize("case", CASES)
def test_it_is_judged_by_what_was_answered(
    engine: Engine, finished_record: Make, case: tuple[dict[str, Any], Answer, bool | None, float | None]
) -> None:
    (output, answer, *expected), id = case, new_uuid7()
    give(engine, id, answer)
    with engine.connect() as connection:
        assert judge_feedback(connection, rows=10) == 0, "its prediction is not recorded yet"
        record(connection, [finished_record(id=id, output=output)])
    assert JudgedFeedback(engine).sweep() == 1
    ((model, version, variant, status, digest, *judged),) = kept(engine)
    assert (model, version, variant, status) == ("digits", "3", "champion", "succeeded")
    assert digest
    assert judged == expected
    assert JudgedFeedback(engine).sweep() == 0
    with engine.connect() as connection:
        assert wrong_feedback(connection) == []


def test_a_killed_one_leaves_them_to_the_next_and_two_share_them(
    engine: Engine, database_url: str, finished_record: Make
) -> None:
    ids = [new_uuid7() for _ in range(6)]
    with engine.connect() as connection:
        record(connection, [finished_record(id=id, output={"predicted_class": "7"}) for id in ids])
    for id in ids:
        give(engine, id, Answer(label="7"))
    own = make_engine(Database(url=database_url))
    with engine.connect() as connection, own.connect() as other:
        backend = other.scalar(text("SELECT pg_backend_pid()"))
        other.rollback()
        with connection.begin():
            # Somebody gives up two of them in the middle: the other one passes over those, and over no more.
            connection.execute(text("SELECT id FROM feedback ORDER BY id LIMIT 2 FOR UPDATE"))
            assert judge_feedback(other, rows=3) == 3
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": backend})
    own.dispose()
    assert [row[0] for row in kept(engine)] == [None, None, "digits", "digits", "digits", None]
    with engine.connect() as connection:
        assert judge_feedback(connection, rows=10) == 3
        assert wrong_feedback(connection) == []
    assert {row[5] for row in kept(engine)} == {True}


def test_it_goes_with_its_prediction_whoever_deletes_that(engine: Engine, finished_record: Make) -> None:
    ids = [new_uuid7() for _ in range(3)]
    with engine.connect() as connection:
        record(connection, [finished_record(id=id, output={"predicted_class": "7"}) for id in ids])
    for id in ids:
        give(engine, id, Answer(label="7"))
    judging = threading.Event()

    def delete() -> None:
        with engine.begin() as connection:
            judging.wait(LIMIT)
            connection.execute(text("DELETE FROM predictions WHERE id <> :kept"), {"kept": ids[1]})

    deleting = threading.Thread(target=delete)
    deleting.start()
    with engine.connect() as connection:
        judging.set()
        judge_feedback(connection, rows=10)
    deleting.join()
    assert len(kept(engine)) == 1


def test_audit_finds_what_is_judged_otherwise(engine: Engine, finished_record: Make) -> None:
    ids = [new_uuid7() for _ in range(3)]
    with engine.connect() as connection:
        record(connection, [finished_record(id=id, output={"predicted_class": "7"}) for id in ids])
    for id in ids:
        give(engine, id, Answer(label="7"))
    with engine.begin() as connection:
        connection.execute(text("UPDATE feedback SET model = 'digits'"))  # the rest is missing
    with engine.connect() as connection:
        assert len(wrong_feedback(connection)) == 3
    with engine.begin() as connection:
        connection.execute(text("UPDATE feedback SET model = NULL"))
    assert JudgedFeedback(engine).sweep() == 3
    with engine.begin() as connection:
        connection.execute(text("UPDATE feedback SET is_right = false WHERE prediction_id = :id"), {"id": ids[1]})
    with engine.connect() as connection:
        (found,) = wrong_feedback(connection)
    assert found.endswith("is judged otherwise than its prediction says")
