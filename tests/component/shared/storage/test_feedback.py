"""Feedback: the last answer counts, the same again makes no row, and it goes with its prediction."""

import random
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, text

from shared.domain.feedback import Answer
from shared.domain.identifiers import ANYONE, Owner, PredictionId, new_uuid7
from shared.domain.output_form import task_of_output
from shared.settings import Retention
from shared.storage import retention
from shared.storage.audit_queries import wrong_feedback
from shared.storage.feedback import KEY_DIGEST, Given, Taken, find_feedback, give_feedback, list_feedback, read_judged
from shared.storage.recording import record
from tests.support.outputs import OUTPUTS
from tests.support.postgres_engines import plans_of
from worker.upkeep import retention as housekeeping

Make = Callable[..., dict[bytes, bytes]]
ME, OTHER = ANYONE, Owner("other")
HOOK = "https://a.example/x"


@pytest.fixture
def add(engine: Engine, finished_record: Make) -> Callable[..., PredictionId]:
    """Record a prediction; return its id."""

    def add(*, age: timedelta = timedelta(0), **changes: Any) -> PredictionId:
        made = datetime.now(UTC) - age
        id, micros = new_uuid7(unix_ms=int(made.timestamp() * 1000)), int(made.timestamp() * 1e6)
        with engine.connect() as connection:
            record(
                connection,
                [finished_record(id=id, created=micros, started=micros, completed=micros, owner=ME, **changes)],
            )
        return PredictionId(id)

    return add


def give(engine: Engine, id: str, *, key: str | None = None, url: str | None = None, **answer: Any) -> Taken:
    given = Given(
        prediction_id=PredictionId(id),
        answer=Answer(**answer),
        is_recorded=True,
        key=key,
        url=url,
        facts={"model": "m"},
    )
    with engine.connect() as connection:
        [taken] = give_feedback(connection, ME, [given])
    return taken


def told(engine: Engine, id: PredictionId, owner: Owner = ME) -> list[Any]:
    with engine.connect() as connection:
        every = list_feedback(connection, owner, prediction=id, before=None, limit=100)
    return [one.label or one.boxes or one.value for one in every]


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608


def test_the_last_answer_comes_first_and_the_same_again_makes_no_row(
    engine: Engine, add: Callable[..., PredictionId]
) -> None:
    id = add()
    first = give(engine, id, label="7")
    assert first.became == "created"
    assert give(engine, id, label="7") == Taken("unchanged", first.id)
    assert give(engine, id, label="7", by="anna").became == "created"
    assert give(engine, id, value={"a": 1.0}).became == "created"
    assert give(engine, id, value={"a": 1}).became == "unchanged"  # as numbers they are equal
    assert give(engine, id, boxes=[]).became == "created"
    assert give(engine, id, label="7").became == "created"
    assert told(engine, id) == ["7", None, {"a": 1.0}, "7", "7"]
    assert told(engine, id, OTHER) == []
    with engine.connect() as connection:
        assert wrong_feedback(connection) == []
        assert first.id is not None
        assert find_feedback(connection, first.id, OTHER) is None


def test_thousands_in_one_millisecond_keep_their_order(engine: Engine) -> None:
    """Ids of one transaction after another: the one that came later has the higher id."""
    query = text("SELECT darkroom_uuid7()::text FROM generate_series(1, 300), LATERAL (SELECT pg_sleep(0.00001)) AS s")
    with engine.connect() as connection:
        ids = [connection.execute(text("SELECT darkroom_uuid7()::text")).scalar_one() for _ in range(300)]
        assert connection.execute(query).scalars().first()
    assert ids == sorted(ids)
    assert all(id[14] == "7" and id[19] in "89ab" for id in ids)
    now = datetime.now(UTC).timestamp() * 1000
    assert abs(int(ids[-1].replace("-", "")[:12], 16) - now) < 60_000


def test_the_same_said_by_many_at_once_makes_one_row(engine: Engine, add: Callable[..., PredictionId]) -> None:
    id = add()
    with ThreadPoolExecutor(8) as pool:
        became = [one.became for one in pool.map(lambda _: give(engine, id, label="7"), range(16))]
    assert sorted(became) == ["created"] + ["unchanged"] * 15


def test_a_key_makes_one_row_and_refuses_another_answer(engine: Engine, add: Callable[..., PredictionId]) -> None:
    id, other = add(), add()
    first = give(engine, id, key="k", label="7")
    give(engine, id, label="5")
    assert give(engine, id, key="k", label="7") == Taken("unchanged", first.id)
    assert give(engine, id, key="k", label="8") == Taken("mismatch", first.id)
    assert give(engine, other, key="k", label="7") == Taken("mismatch", first.id)
    assert told(engine, id) == ["5", "7"]


@pytest.mark.parametrize("seed", range(6))
def test_answers_of_one_commit_become_what_they_become_one_at_a_time(
    engine: Engine, add: Callable[..., PredictionId], seed: int
) -> None:
    chance = random.Random(seed)
    pairs = [(add(), add()) for _ in range(3)]
    lines = [
        (chance.randrange(3), chance.choice([{"label": "1"}, {"label": "2"}, {"value": [1]}]), chance.random() < 0.3)
        for _ in range(40)
    ]

    def given(one: int, number: int, answer: dict[str, Any], *, keyed: bool) -> Given:
        key = f"{one} {number}" if keyed else None
        return Given(prediction_id=pairs[number][one], answer=Answer(**answer), is_recorded=True, key=key)

    for rounds in range(2):  # the second time most are known
        with engine.connect() as connection:
            at_once = give_feedback(connection, ME, [given(0, n, answer, keyed=keyed) for n, answer, keyed in lines])
            each = [give_feedback(connection, ME, [given(1, n, answer, keyed=keyed)])[0] for n, answer, keyed in lines]
        assert [one.became for one in at_once] == [one.became for one in each]
        for one, other in pairs:
            assert told(engine, one) == told(engine, other), rounds


@pytest.mark.parametrize("analyzed", ["never", "when it was empty", "when no row had a key", "now"])
def test_a_line_is_compared_by_indexes_however_many_rows_there_are_and_whatever_postgres_knows_of_them(
    analyzed: str, engine: Engine, add: Callable[..., PredictionId]
) -> None:
    ids, digest = [add() for _ in range(3)], "a" * KEY_DIGEST
    given = [
        Given(prediction_id=ids[n % 2], answer=Answer(label=str(n // 2 % 2)), is_recorded=True, key=f"{digest} {n:010}")
        for n in range(4000)
    ]
    lines = [
        *given[:200],
        *(replace(given[0], prediction_id=ids[2], key=f"{'b' * KEY_DIGEST} {n:010}") for n in (1, 2)),
    ]
    with engine.connect() as connection:
        moments = {"when it was empty": [], "when no row had a key": [replace(one, key=None) for one in given[:40]]}
        give_feedback(connection, ME, moments.get(analyzed, []))
        if analyzed in moments:
            connection.execute(text("ANALYZE feedback"))
        connection.commit()
        give_feedback(connection, ME, given)
        if analyzed == "now":
            connection.execute(text("ANALYZE feedback"))
        for way in ("hashjoin", "mergejoin"):  # as with more rows than a test makes
            connection.execute(text(f"SET enable_{way} = off"))
        connection.commit()
        plans = plans_of(connection)
        taken = give_feedback(connection, ME, lines)
        connection.invalidate()  # no other test gets it from the pool
    assert [one.became for one in taken] == ["unchanged"] * 200 + ["created", "unchanged"]
    compared = next(plan for plan in plans if "jsonb_to_recordset" in plan)
    ways = re.findall(r"Scan.*? (?:using|on) (feedback\w*)", compared)
    assert sorted(ways) == ["feedback_key", "feedback_key", "feedback_prediction"], compared


def test_a_large_output_is_read_as_its_form(engine: Engine, finished_record: Make) -> None:
    large = {
        task: orjson.loads(orjson.dumps(output)) | {"pipeline": {"steps": [random.Random(1).randbytes(20_000).hex()]}}
        for task, output in OUTPUTS.items()
    }
    ids = {task: PredictionId(new_uuid7()) for task in large}
    with engine.connect() as connection:
        record(
            connection,
            [finished_record(id=ids[task]) | {b"output": orjson.dumps(output)} for task, output in large.items()],
        )
        read = read_judged(connection, ME, ids.values(), batch=None)
    for task, id in ids.items():
        assert task_of_output(read[id].output) is task_of_output(large[task])
        assert read[id].output.get("values") == large[task].get("values")
        assert len(orjson.dumps(read[id].output)) < 1000


def test_an_answer_and_its_webhook_are_committed_together(engine: Engine, add: Callable[..., PredictionId]) -> None:
    id = add()
    one = give(engine, id, url=HOOK, label="7", by="anna")
    give(engine, id, url=HOOK, label="7", by="anna")
    with engine.connect() as connection:
        [row] = connection.execute(text("SELECT subject::text, kind, event, url, body FROM webhook_deliveries")).all()
        assert one.id is not None
        found = find_feedback(connection, one.id, ME)
    assert found is not None
    assert (row.subject, row.kind, row.event, row.url) == (one.id, "feedback", "feedback", HOOK)
    assert row.body == {"type": "feedback", "model": "m"} | found.as_json()


def test_a_prediction_that_is_gone_gets_no_answer(engine: Engine) -> None:
    assert give(engine, new_uuid7(), label="7") == Taken("gone", None)
    assert count(engine, "feedback") == 0


def test_an_answer_may_come_before_its_prediction_is_recorded(engine: Engine) -> None:
    id = PredictionId(new_uuid7())
    with engine.connect() as connection:
        given = Given(prediction_id=id, answer=Answer(label="7"), is_recorded=False)
        assert give_feedback(connection, ME, [given])[0].became == "created"
        assert wrong_feedback(connection) == []  # it may be recorded yet


def test_an_owner_reads_only_its_own_and_those_of_the_batch(engine: Engine, add: Callable[..., PredictionId]) -> None:
    batch = new_uuid7()
    item, single = add(batch=batch, request={"custom_id": "a.png"}), add()
    with engine.connect() as connection:
        assert set(read_judged(connection, ME, [item, single], batch=None)) == {item, single}
        assert set(read_judged(connection, ME, [item, single], batch=batch)) == {item}  # type: ignore[arg-type]
        assert read_judged(connection, OTHER, [item, single], batch=None) == {}


def test_retention_deletes_it_with_its_prediction_and_what_was_never_recorded(
    engine: Engine, add: Callable[..., PredictionId]
) -> None:
    month = Retention(predictions=timedelta(days=30))
    old, young = add(age=timedelta(days=40)), add()
    lost = PredictionId(new_uuid7(unix_ms=int((datetime.now(UTC) - timedelta(days=41)).timestamp() * 1000)))
    for id in (old, young):
        give(engine, id, label="7")
    with engine.connect() as connection:
        give_feedback(connection, ME, [Given(prediction_id=lost, answer=Answer(label="7"), is_recorded=False)])
    housekeeping.Retention(engine, month, secret_overlap=timedelta(days=1)).sweep()
    assert [told(engine, id) for id in (old, young, lost)] == [[], ["7"], []]


def test_purge_deletes_an_owners_feedback_alone(engine: Engine, add: Callable[..., PredictionId]) -> None:
    id = add()
    give(engine, id, label="7")
    with engine.connect() as connection:
        assert [retention.delete_of_owner(connection, OTHER, what, limit=9) for what in retention.OWNED] == [0] * len(
            retention.OWNED
        )
        for what in retention.OWNED:
            retention.delete_of_owner(connection, ME, what, limit=9)
    assert count(engine, "feedback") == 0


def test_audit_finds_what_can_not_be(engine: Engine, add: Callable[..., PredictionId]) -> None:
    id = add()
    values = {"id": id, "other": OTHER, "lost": new_uuid7()}
    with engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO feedback (prediction_id, owner, label, created_at) VALUES
                (:lost, 'default', '7', now() - interval '2 hours'), (:id, :other, '7', now())
            """),
            values,
        )
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO feedback (prediction_id, owner, label) VALUES (:id, 'default', '7')"), values
        )
    with engine.connect() as connection:
        found = [one.partition(": ")[2] for one in wrong_feedback(connection)]
    assert found == [
        "it is on a prediction that has no row",
        "it is of another owner than its prediction",
        "it says the same as the one before it",
    ]
