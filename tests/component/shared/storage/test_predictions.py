"""Reading recorded predictions: by id, in pages, by owner."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, select, text

from shared.domain.identifiers import ANYONE, Owner, PredictionId, new_uuid7
from shared.domain.prediction import ErrorCode, Status
from shared.domain.prediction_filter import MetadataCondition, PredictionFilter
from shared.storage.predictions import Prediction, _conditions, find_prediction, list_predictions
from shared.storage.recording import record
from shared.storage.tables import predictions
from tests.support.postgres_engines import plans_of

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
        before = None
        while True:
            rows, before = list_predictions(connection, ANYONE, PredictionFilter(), before=before, limit=3)
            seen += [row.id for row in rows]
            if before is None:
                break
    assert seen == [id for id in reversed(recorded) if id != recorded[4]]


def found_before(connection: Connection, before: PredictionId) -> Prediction:
    ((row,), _) = list_predictions(connection, ANYONE, PredictionFilter(), before=before, limit=1)
    return row


def test_a_page_can_be_filtered_by_model_status_or_batch(engine: Engine, recorded: list[PredictionId]) -> None:
    with engine.connect() as connection:

        def ids(**filters: Any) -> list[PredictionId]:
            rows, rest = list_predictions(connection, ANYONE, PredictionFilter(**filters), before=None, limit=100)
            assert rest is None
            return [row.id for row in rows]

        batch = found_before(connection, recorded[4]).batch_id
        assert ids(model="faces") == [recorded[2]]
        assert ids(status=Status.FAILED) == [recorded[1]]
        assert ids(status=Status.FAILED, model="faces") == []
        assert ids(batch_id=batch) == [recorded[3]]
        assert ids(batch_id=new_uuid7()) == []
        assert ids(status=Status.STARTING) == []


CONFIDENCES = (0.2, 0.5, 0.9)
MADE = 1_767_225_600_000_000
"""Microseconds; predictions are created a second after one another."""


@pytest.fixture
def various(engine: Engine, finished_record: Make) -> list[PredictionId]:
    """Twelve, the oldest first, a second apart; each differs from the one before in all that can be asked for."""
    records = []
    for number in range(12):
        created = MADE + number * 1_000_000
        records.append(
            finished_record(
                id=new_uuid7(unix_ms=created // 1000 - 1),
                created=str(created),
                state="failed" if number % 4 == 3 else "succeeded",
                output={"confidence": CONFIDENCES[number % 3]},
                request={
                    "model": "digits" if number % 2 else "faces",
                    "version": str(number % 3),
                    "variant": "champion" if number % 5 else "challenger",
                    "metadata": METADATA[number % len(METADATA)],
                },
            )
        )
        if number % 4 == 3:
            records[-1] |= {b"output": b"", b"code": b"worker_lost" if number == 3 else b"model_error"}
    with engine.connect() as connection:
        record(connection, records)
    return [PredictionId(one[b"id"].decode()) for one in records]


METADATA: list[dict[str, Any]] = [
    {},
    {"n": 1},
    {"n": "1"},
    {"n": True},
    {"n": None},
    {"n": [1]},
    {"n": 1.0, "site": "é=ü"},
    {"N": 1},
    {"n": "null"},
    {"n": 1e300},
    {"n": "true"},
    {"n": {"1": 1}},
]


def having(*conditions: str) -> dict[str, Any]:
    return {"metadata": [MetadataCondition(*one.split("=", 1)) for one in conditions]}


FILTERS: list[tuple[dict[str, Any], Callable[[int], bool]]] = [
    ({"version": "2"}, lambda n: n % 3 == 2),
    ({"variant": "challenger"}, lambda n: n % 5 == 0),
    ({"created_after": MADE + 4_000_000}, lambda n: n >= 4),
    ({"created_before": MADE + 4_000_000}, lambda n: n < 4),
    ({"created_after": MADE + 2_000_001, "created_before": MADE + 4_000_001}, lambda n: n in (3, 4)),
    ({"max_confidence": 0.5}, lambda n: n % 4 != 3 and n % 3 < 2),
    ({"max_confidence": 0.1}, lambda _: False),
    ({"min_confidence": 0.5}, lambda n: n % 4 != 3 and n % 3 > 0),
    ({"min_confidence": 0.3, "max_confidence": 0.6}, lambda n: n % 4 != 3 and n % 3 == 1),
    ({"error_code": ErrorCode.MODEL_ERROR}, lambda n: n in (7, 11)),
    ({"error_code": ErrorCode.WORKER_LOST, "status": Status.FAILED}, lambda n: n == 3),
    ({"error_code": ErrorCode.WORKER_LOST, "status": Status.SUCCEEDED}, lambda _: False),
    ({"error_code": ErrorCode.DEADLINE_EXCEEDED}, lambda _: False),
    (having("n=1"), lambda n: n in (1, 2, 6)),
    (having("n=1.00"), lambda n: n in (1, 6)),
    (having("n=true"), lambda n: n in (3, 10)),
    (having("n=null"), lambda n: n in (4, 8)),
    (having("n=1e300"), lambda n: n == 9),
    (having("n=[1]"), lambda _: False),
    (having("n="), lambda _: False),
    (having("n=NaN"), lambda _: False),
    (having("n=1", "site=é=ü"), lambda n: n == 6),
    ({"status": Status.SUCCEEDED, "model": "digits"}, lambda n: n % 2 == 1 and n % 4 != 3),
    ({"status": Status.FAILED, "model": "faces"}, lambda _: False),
    ({"model": "digits", "version": "1", "variant": "champion", "status": Status.SUCCEEDED, "max_confidence": 0.5,
      "created_after": MADE, "created_before": MADE + 20_000_000},
     lambda n: n % 2 == 1 and n % 3 == 1 and n % 5 != 0 and n % 4 != 3),
]  # fmt: skip


@pytest.mark.parametrize("most_read", [1, 3, 5000])
def test_filters_combine_and_every_row_is_found_however_few_are_read_at_a_time(
    engine: Engine, various: list[PredictionId], most_read: int
) -> None:
    with engine.connect() as connection:
        for filters, is_wanted in FILTERS:
            found = found_in_pages(connection, PredictionFilter(**filters), most_read=most_read)
            assert found == [id for n, id in reversed(list(enumerate(various))) if is_wanted(n)], filters


def found_in_pages(connection: Connection, wanted: PredictionFilter, *, most_read: int) -> list[PredictionId]:
    """Return what pages of two list; each row has to be one that is asked for."""
    seen: list[PredictionId] = []
    before = None
    for _ in range(20):
        rows, before = list_predictions(connection, ANYONE, wanted, before=before, limit=2, most_read=most_read)
        assert len(rows) <= 2
        assert all(wanted.admits(row.job(), confidence=(row.output or {}).get("confidence")) for row in rows), wanted
        seen += [row.id for row in rows]
        if before is None:
            break
    return seen


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "predictions_owner"),
        ({"model": "digits"}, "predictions_owner_model"),
        ({"model": "digits", "version": "1", "max_confidence": 0.5}, "predictions_owner_model"),
        ({"status": Status.SUCCEEDED, "variant": "champion"}, "predictions_owner"),
        ({"status": Status.FAILED, "model": "faces"}, "predictions_owner_status"),
        ({"error_code": ErrorCode.MODEL_ERROR}, "predictions_owner_error"),
        ({"error_code": ErrorCode.MODEL_ERROR, "model": "digits"}, "predictions_owner_error"),
        ({"error_code": ErrorCode.MODEL_ERROR, "status": Status.FAILED}, "predictions_owner_error"),
        ({"batch_id": new_uuid7(), "version": "1"}, "predictions_batch"),
        ({"created_after": MADE, "created_before": MADE + 1}, "predictions_owner"),
    ],
)
def test_rows_are_found_by_an_index_and_read_one_by_one(
    engine: Engine, various: list[PredictionId], filters: dict[str, Any], index: str
) -> None:
    """Never by walking the table or its primary key, past the rows of others."""
    with engine.connect() as connection:
        connection.execute(text("ANALYZE predictions"))
        connection.execute(text("SET enable_seqscan = off; SET enable_sort = off; SET enable_bitmapscan = off"))
        plans = plans_of(connection)
        list_predictions(connection, ANYONE, PredictionFilter(**filters), before=various[-1], limit=5)
    assert len(plans) == (1 if set(filters) in (set(), {"model"}, {"error_code"}) else 2)
    for plan in plans:
        assert f"Index Only Scan Backward using {index} on predictions" in plan, plan
        assert "Sort" not in plan
        assert "Seq Scan" not in plan
    # A row is read for each id that the index gave.
    assert "Nested Loop" in plans[-1]
    assert "id = predictions.id)" in plans[-1], plans[-1]


def test_a_confidence_that_is_no_number_matches_nothing(engine: Engine, finished_record: Make) -> None:
    outputs = ['{"confidence": "0.1"}', '{"confidence": null}', "[1]", "0.1", '"x"', '{"confidence": 0.1}', '{"a": 1}']
    records = [finished_record() | {b"output": output.encode()} for output in outputs]
    with engine.connect() as connection:
        record(connection, records)
        query = PredictionFilter(max_confidence=0.5)
        wanted = text("SELECT id::text FROM predictions WHERE output = '{\"confidence\": 0.1}'")
        (id,) = connection.execute(wanted).scalars()
        assert [id] == ids_of(connection, query)


def ids_of(connection: Connection, wanted: PredictionFilter) -> list[str]:
    """Return the ids that match, without reading the rows as predictions of a classifier."""
    indexed, compared = _conditions(ANYONE, wanted)
    return [str(id) for id in connection.execute(select(predictions.c.id).where(*indexed, *compared)).scalars()]
