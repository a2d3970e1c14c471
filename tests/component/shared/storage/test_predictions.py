"""Reading recorded predictions: by id, in pages, by owner."""

from collections.abc import Callable

import pytest
from sqlalchemy import Engine

from shared.domain.identifiers import ANYONE, BatchId, ModelName, Owner, PredictionId, new_uuid7
from shared.domain.prediction import Status
from shared.storage.predictions import find_prediction, list_predictions
from shared.storage.recording import record

Make = Callable[..., dict[bytes, bytes]]


@pytest.fixture
def recorded(engine: Engine, finished_record: Make) -> list[PredictionId]:
    """Eight, the oldest first; the 2nd failed, the 3rd to 5th are another model's, a batch's, another owner's."""
    batch = new_uuid7()
    changes = [{}, {"state": "failed"}, {"request": {"model": "faces"}}, {"batch": batch}, {"owner": "b"}, {}, {}, {}]
    records = [finished_record(id=new_uuid7(unix_ms=1_000 + i), **change) for i, change in enumerate(changes)]
    with engine.connect() as connection:
        record(connection, records)
    return [PredictionId(one[b"id"].decode()) for one in records]


def test_a_prediction_is_visible_to_its_owner_only(engine: Engine, recorded: list[PredictionId]) -> None:
    with engine.connect() as connection:
        mine = find_prediction(connection, recorded[0], ANYONE)
        assert mine is not None
        assert mine.id == recorded[0]
        assert find_prediction(connection, recorded[0], Owner("b")) is None
        assert find_prediction(connection, PredictionId(new_uuid7()), ANYONE) is None
        assert find_prediction(connection, PredictionId("no id\0"), ANYONE) is None


def test_pages_are_newest_first_without_gap_or_repetition(engine: Engine, recorded: list[PredictionId]) -> None:
    seen: list[PredictionId] = []
    with engine.connect() as connection:
        while rows := list_predictions(connection, ANYONE, before=seen[-1] if seen else None, limit=3):
            seen += [row.id for row in rows]
    assert seen == [id for id in reversed(recorded) if id != recorded[4]]


def test_a_page_can_be_filtered_by_model_status_or_batch(engine: Engine, recorded: list[PredictionId]) -> None:
    with engine.connect() as connection:

        def ids(**filters: object) -> list[PredictionId]:
            return [row.id for row in list_predictions(connection, ANYONE, before=None, limit=100, **filters)]

        batch = list_predictions(connection, ANYONE, before=recorded[4], limit=1)[0].batch_id
        assert ids(model=ModelName("faces")) == [recorded[2]]
        assert ids(status=Status.FAILED) == [recorded[1]]
        assert ids(status=Status.FAILED, model=ModelName("faces")) == []
        assert ids(batch_id=batch) == [recorded[3]]
        assert ids(batch_id=BatchId(new_uuid7())) == []
        assert ids(status=Status.STARTING) == []
