"""Recording: each record once, exact counters, and records that Postgres refuses."""

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine, text

from shared.domain.identifiers import ANYONE, BatchId, Owner, new_uuid7
from shared.settings import Database
from shared.storage import batches
from shared.storage.engine import make_engine
from shared.storage.predictions import find_prediction
from shared.storage.recording import UNSTORABLE, record

Make = Callable[..., dict[bytes, bytes]]
Record = dict[bytes, bytes]


def store(engine: Engine, *records: Record) -> list[int]:
    """Record and return which were kept."""
    with engine.connect() as connection:
        return record(connection, records).kept


def rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def instant(microseconds: bytes) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=int(microseconds))


def test_a_row_holds_every_field_of_its_record(engine: Engine, finished_record: Make) -> None:
    one = finished_record(request={"metadata": {"a": [1, "é\t\\\n\"'"]}, "custom_id": "line 1"}, batch=new_uuid7())
    store(engine, one)
    with engine.connect() as connection:
        row = find_prediction(connection, one[b"id"].decode(), ANYONE)
    assert row is not None
    assert (row.status, row.source, row.error, row.error_code, row.attempts) == ("succeeded", "model", None, None, 1)
    assert (row.model, row.version, row.version_key, row.variant) == ("digits", "3", "3-m-1", "champion")
    assert row.batch_id == one[b"batch"].decode()
    assert row.custom_id == "line 1"
    assert row.metadata == {"a": [1, "é\t\\\n\"'"]}
    assert row.image_sha256 == "ab" * 32
    assert row.image == {"format": "PNG", "width": 32, "height": 32, "bytes": 1480, "filename": "7.png"}
    assert row.output["probabilities"] == {"7": 0.998, "1": 0.001}
    assert [row.created_at, row.started_at, row.completed_at] == [
        instant(one[b"created"]), instant(one[b"started"]), instant(one[b"completed"]),
    ]  # fmt: skip
    assert (row.queue_ms, row.predict_ms, row.batch_size, row.worker) == (2.1, 6.4, 17, "host-1")
    assert row.webhook is None
    assert row.base_url == "http://host:8000"


def test_a_failures_or_cache_hits_missing_fields_are_null(engine: Engine, finished_record: Make) -> None:
    failed = finished_record(state="failed", error="tab\tand\nline\\", code="model_error", run="")
    failed |= {b"output": b"", b"id": new_uuid7(unix_ms=1).encode()}
    hit = finished_record(source="cache", started="", run="", attempts=0)
    store(engine, failed, hit)
    found = rows(
        engine, "SELECT output IS NULL, error, error_code, started_at IS NULL, worker FROM predictions ORDER BY id"
    )
    assert found == [(True, "tab\tand\nline\\", "model_error", False, None), (False, None, None, True, None)]


def test_an_id_is_recorded_once_within_a_commit_and_across_commits(engine: Engine, finished_record: Make) -> None:
    batch = new_uuid7()
    one, two = finished_record(batch=batch), finished_record(batch=batch, state="failed")
    assert store(engine, one, one, two) == [0, 1, 2]
    assert store(engine, two, one) == [0, 1]
    assert rows(engine, "SELECT count(*) FROM predictions") == [(2,)]
    assert rows(engine, "SELECT succeeded, failed, canceled, total FROM batches") == [(1, 1, 0, None)]


@pytest.mark.parametrize("total_first", [True, False])
def test_a_batch_is_complete_once_its_last_item_and_its_total_are_known(
    engine: Engine, finished_record: Make, batch_record: Make, *, total_first: bool
) -> None:
    batch = BatchId(new_uuid7())
    items = [finished_record(batch=batch) for _ in range(3)]
    webhook = {"url": "https://example.org/hook", "events": ["completed"]}
    described = batch_record(batch, total=3, request={"webhook": webhook})
    store(engine, *items[:2])
    if total_first:
        store(engine, described)
        assert rows(engine, "SELECT completed_at FROM batches") == [(None,)]
    store(engine, items[2])
    if not total_first:
        assert rows(engine, "SELECT completed_at FROM batches") == [(None,)]
        store(engine, described)
    assert rows(engine, "SELECT succeeded, completed_at IS NOT NULL FROM batches") == [(3, True)]
    with engine.connect() as connection:
        again = [record(connection, [one]) for one in (*items, described)]
    assert [(outcome.inserted, outcome.complete) for outcome in again] == [(0, {batch})] * 4
    assert rows(engine, "SELECT subject::text, event, url FROM webhook_deliveries") == [
        (batch, "completed", "https://example.org/hook")
    ]


def test_a_batch_ends_with_its_last_item_or_its_upload_whichever_is_later(
    engine: Engine, finished_record: Make, batch_record: Make
) -> None:
    read_last, item_last = BatchId(new_uuid7()), BatchId(new_uuid7())
    store(engine, *(finished_record(batch=read_last, completed=at) for at in (2_000_000, 1_000_000)))
    store(engine, batch_record(read_last, total=2, completed=3_000_000))
    store(engine, batch_record(item_last, total=2, completed=3_000_000))
    store(engine, finished_record(batch=item_last, completed=5_000_000))
    store(engine, finished_record(batch=item_last, completed=4_000_000))
    ended = "SELECT extract(epoch FROM completed_at)::integer FROM batches WHERE id = "
    assert rows(engine, f"{ended} '{read_last}'") == [(3,)]
    assert rows(engine, f"{ended} '{item_last}'") == [(5,)]


@pytest.mark.parametrize("canceled_first", [True, False])
def test_a_canceled_batch_stays_canceled_with_its_first_total(
    engine: Engine, finished_record: Make, batch_record: Make, *, canceled_first: bool
) -> None:
    batch = BatchId(new_uuid7())
    request = {"metadata": {"who": "me"}, "skipped": 4}
    both = [batch_record(batch, total=1, state=state, request=request) for state in ("in_progress", "canceled")]
    store(engine, finished_record(batch=batch, state="canceled"))
    for one in reversed(both) if canceled_first else both:
        store(engine, one)
    store(engine, batch_record(batch, total=7, request=request))
    query = "SELECT model, total, canceled, skipped, metadata, canceled_at IS NULL, completed_at IS NULL FROM batches"
    assert rows(engine, query) == [("digits", 1, 1, 4, {"who": "me"}, False, False)]


def test_a_batch_with_text_that_postgres_refuses_is_stored_without_that_text(
    engine: Engine, finished_record: Make, batch_record: Make
) -> None:
    batch = BatchId(new_uuid7())
    with engine.connect() as connection:
        skipped = {"skipped": 2, "skipped_files": ["labels.csv", "\0b.txt"]}
        odd = batch_record(batch, total=1, request={"metadata": {"note": "\0"}} | skipped)
        outcome = record(connection, [finished_record(batch=batch), odd, finished_record()])
    assert (sorted(outcome.kept), outcome.stripped, outcome.complete) == ([0, 1, 2], [1], {batch})
    query = "SELECT model, skipped, skipped_files, metadata, completed_at IS NOT NULL FROM batches"
    assert rows(engine, query) == [("digits", 2, ["labels.csv", "b.txt"], {}, True)]


def test_a_list_of_batches_has_no_names_of_skipped_files(engine: Engine, batch_record: Make) -> None:
    batch = BatchId(new_uuid7())
    store(engine, batch_record(batch, total=1, request={"skipped": 3, "skipped_files": ["labels.csv"]}))
    with engine.connect() as connection:
        found = batches.find_batch(connection, batch, None)
        [listed] = batches.list_batches(connection, Owner("default"), before=None, limit=9, unended=[])
    assert found is not None
    assert (found.skipped, found.skipped_files) == (3, ["labels.csv"])
    assert (listed.skipped, listed.skipped_files) == (3, ())


def test_the_outbox_gets_one_row_for_each_prediction_with_a_webhook(engine: Engine, finished_record: Make) -> None:
    url = "https://example.org/hook"
    asked = [
        finished_record(request={"webhook": {"url": url}}),
        finished_record(request={"webhook": {"url": url, "events": ["start", "completed"]}}),
    ]
    silent = [finished_record(), finished_record(request={"webhook": {"url": url, "events": ["start"]}})]
    store(engine, *asked, *silent)
    store(engine, *asked)
    found = rows(
        engine, "SELECT subject::text, owner, event, attempts, delivered_at FROM webhook_deliveries ORDER BY subject"
    )
    assert found == [
        (one[b"id"].decode(), "default", "completed", 0, None) for one in sorted(asked, key=lambda r: r[b"id"])
    ]


POISON = {
    "NUL in the output": {"output": {"predicted_class": "\0"}},
    "NaN in the output": {"output_bytes": b'{"confidence":NaN}'},
    "lone surrogate": {"output_bytes": b'{"predicted_class":"\\ud800"}'},
    "no JSON": {"output_bytes": b"{"},
    "NUL in the error": {"error": "a\0b"},
    "invalid UTF-8": {"error": b"\xff\xfe"},
    "NUL in metadata": {"request": {"metadata": {"note": "\0"}}},
    "model longer than an index takes": {"request": {"model": "".join(random.Random(1).choices("abcdefghij", k=9000))}},
    "request no JSON": {"request_bytes": b"{"},
}


def poison(make: Make, changes: dict[str, object]) -> Record:
    """Make a record Postgres refuses; `*_bytes` replace a field whole."""
    whole = {name.removesuffix("_bytes").encode(): value for name, value in changes.items() if name.endswith("_bytes")}
    rest = {name: value for name, value in changes.items() if not name.endswith("_bytes")}
    return make(**rest) | whole


@pytest.mark.parametrize("changes", POISON.values(), ids=POISON.keys())
def test_a_record_that_postgres_refuses_is_stored_alone_without_its_text(
    engine: Engine, finished_record: Make, changes: dict[str, object]
) -> None:
    bad = poison(finished_record, changes)
    good = [finished_record() for _ in range(6)]
    with engine.connect() as connection:
        outcome = record(connection, [*good[:4], bad, *good[4:]])
    assert sorted(outcome.kept) == list(range(7))
    assert (outcome.inserted, outcome.stripped, outcome.refused) == (7, [4], [])
    stored = rows(engine, f"SELECT id::text, status, output FROM predictions WHERE error = '{UNSTORABLE}'")  # noqa: S608
    assert stored == [(bad[b"id"].decode(), "succeeded", None)]
    assert rows(engine, "SELECT count(*) FROM predictions WHERE output IS NOT NULL AND error IS NULL") == [(6,)]


def test_a_record_without_a_usable_id_is_refused_and_the_others_stored(engine: Engine, finished_record: Make) -> None:
    with engine.connect() as connection:
        outcome = record(connection, [finished_record(), finished_record(id="x\ty"), finished_record(state="paused")])
    assert (outcome.kept, outcome.refused) == ([0], [1, 2])


def test_concurrent_recorders_count_exactly_and_never_deadlock(
    engine: Engine, database_url: str, finished_record: Make, batch_record: Make
) -> None:
    batches = [BatchId(new_uuid7()) for _ in range(5)]
    states = ["succeeded", "failed", "canceled"]
    records = [finished_record(batch=batches[i % 5], state=states[i % 3]) for i in range(600)]
    webhook = {"url": "https://example.org/hook"}
    described = [batch_record(batch, total=120, request={"webhook": webhook}) for batch in batches]

    def run(seed: int) -> None:
        chance = random.Random(seed)
        own = make_engine(Database(url=database_url))
        with own.connect() as connection:
            for _ in range(25):
                record(connection, chance.sample(records, 60) + chance.sample(described, chance.randrange(3)))
        own.dispose()

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(run, seed) for seed in range(4)]
        for one in running:
            one.result()
    store(engine, *records, *described)

    counted = "SELECT succeeded, failed, canceled, completed_at IS NOT NULL FROM batches"
    assert rows(engine, counted) == [(40, 40, 40, True)] * 5
    assert rows(engine, "SELECT count(*) FROM predictions") == [(600,)]
    assert rows(engine, "SELECT count(*), count(DISTINCT subject) FROM webhook_deliveries") == [(5, 5)]


def test_commits_are_durable_when_they_return(engine: Engine) -> None:
    assert rows(engine, "SHOW synchronous_commit") == [("on",)]


def test_lists_and_batches_are_read_through_an_index(engine: Engine, finished_record: Make) -> None:
    """Newest first, with or without a filter, without sorting all that an owner has."""

    def many(count: int, **changes: object) -> Sequence[Record]:
        return [finished_record(**changes) for _ in range(count)]

    store(engine, *many(3000, owner="other"), *many(30), *many(30, batch=new_uuid7()))
    store(engine, *many(30, request={"model": "rare"}), *many(30, state="failed"))
    wheres = {
        "owner = 'default'": "predictions_owner",
        "owner = 'default' AND model = 'rare'": "predictions_owner_model",
        "owner = 'default' AND status = 'failed'": "predictions_owner_status",
        f"batch_id = '{new_uuid7()}' AND owner = 'default'": "predictions_batch",
    }
    with engine.connect() as connection:
        connection.execute(text("ANALYZE predictions"))
        connection.execute(text("SET enable_seqscan = off; SET enable_sort = off"))
        for where, index in wheres.items():
            query = f"EXPLAIN SELECT * FROM predictions WHERE {where} ORDER BY id DESC LIMIT 20"  # noqa: S608
            plan = "\n".join(connection.execute(text(query)).scalars())
            assert f"using {index} on" in plan, plan
            assert "Sort" not in plan
