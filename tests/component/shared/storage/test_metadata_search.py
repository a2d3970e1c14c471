"""The index on metadata finds what is rare, and is given up where much matches."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, text

from shared.domain.identifiers import ANYONE, Owner, PredictionId, new_uuid7
from shared.domain.prediction_filter import MetadataCondition, PredictionFilter
from shared.storage.metadata_search import MetadataSearch
from shared.storage.predictions import list_predictions
from shared.storage.recording import record
from tests.support.postgres_engines import plans_of

Make = Callable[..., dict[bytes, bytes]]
RARE = [MetadataCondition("order", "42")]


@pytest.fixture
def rare(engine: Engine, finished_record: Make) -> list[PredictionId]:
    """Three of two hundred, the oldest, are of an order; one is another owner's and one failed."""
    changes: list[dict[str, Any]] = [{}, {"owner": "b"}, {"state": "failed"}, {}]
    records = [
        finished_record(
            id=new_uuid7(unix_ms=1_000 + n),
            request={"metadata": {"order": 42 if n < len(changes) else n} if n % 2 or n < len(changes) else {}},
            **(changes[n] if n < len(changes) else {}),
        )
        for n in range(200)
    ]
    with engine.connect() as connection:
        record(connection, records)
    return [PredictionId(one[b"id"].decode()) for one in records[: len(changes)]]


def test_a_rare_value_is_found_in_one_call_by_the_index(engine: Engine, rare: list[PredictionId]) -> None:
    with engine.connect() as connection:
        # Of so few rows any other index would do as well. The connection ends with a rollback.
        connection.execute(text("ALTER TABLE predictions DROP CONSTRAINT predictions_pkey CASCADE"))
        connection.execute(text("DROP INDEX predictions_owner, predictions_owner_model"))
        connection.execute(text("SET LOCAL enable_seqscan = off"))
        plans = plans_of(connection)
        rows, after = list_predictions(
            connection, ANYONE, PredictionFilter(metadata=RARE), before=None, limit=5, most_read=10
        )
    assert [row.id for row in rows] == [rare[3], rare[2], rare[0]]
    assert after is None
    assert any("Bitmap Index Scan on predictions_metadata" in plan for plan in plans), plans


@pytest.mark.parametrize("most_read", [10, 195])
def test_pages_of_what_the_index_finds_have_every_match_once(
    engine: Engine, rare: list[PredictionId], most_read: int
) -> None:
    found, before = [], None
    with engine.connect() as connection:
        for _ in range(10):
            rows, before = list_predictions(
                connection, ANYONE, PredictionFilter(metadata=RARE), before=before, limit=1, most_read=most_read
            )
            found += [row.id for row in rows]
            if before is None:
                break
        assert list_predictions(
            connection, Owner("b"), PredictionFilter(metadata=RARE), before=None, limit=5, most_read=1
        )[0][0].id == rare[1]  # fmt: skip
    assert found == [rare[3], rare[2], rare[0]]


def test_an_index_that_takes_too_long_is_given_up_for_the_page_and_leaves_no_trace(
    engine: Engine, rare: list[PredictionId]
) -> None:
    search = MetadataSearch(timedelta(milliseconds=50))
    slow = [func.pg_sleep(60).is_(None)]
    with engine.connect() as connection:
        connection.execute(text("SET LOCAL statement_timeout = '7s'"))
        assert search.find(connection, RARE, [], limit=9) == sorted(rare, reverse=True)
        assert search.find(connection, RARE, slow, limit=9) is None
        assert search.find(connection, RARE, [], limit=9) is None
        assert connection.scalar(text("SHOW statement_timeout")) == "7s"
        rows, after = list_predictions(
            connection, ANYONE, PredictionFilter(metadata=RARE), before=None, limit=5, most_read=10, search=search
        )
        assert rows == []
        assert after is not None
