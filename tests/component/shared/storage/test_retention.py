"""Retention: old rows are deleted, batches before their items; what is unfinished in any way stays."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, text

from shared.domain.identifiers import BatchId, Owner, first_uuid7, new_uuid7
from shared.settings import Database, Retention
from shared.storage import retention, webhook_secrets
from shared.storage.audit_queries import missing_deliveries, wrong_batches
from shared.storage.engine import make_engine
from shared.storage.migrate import upgrade
from shared.storage.recording import record
from tests.support.servers import PostgresServer
from worker.upkeep import retention as housekeeping

Make = Callable[..., dict[bytes, bytes]]
NOW = datetime.now(UTC)
OLD, YOUNG = NOW - timedelta(days=40), NOW - timedelta(days=2)
MONTH = Retention(predictions=timedelta(days=30))
DAY = timedelta(days=1)


def at(moment: datetime) -> str:
    return new_uuid7(unix_ms=int(moment.timestamp() * 1000))


def ids(engine: Engine, table: str) -> set[str]:
    with engine.connect() as connection:
        return set(connection.execute(text(f"SELECT id::text FROM {table}")).scalars())  # noqa: S608


def keeper(engine: Engine, settings: Retention = MONTH) -> housekeeping.Retention:
    return housekeeping.Retention(engine, settings, secret_overlap=DAY)


def sweep(engine: Engine, settings: Retention = MONTH) -> int:
    return keeper(engine, settings).sweep()


@pytest.fixture
def add(engine: Engine, finished_record: Make) -> Callable[..., str]:
    """Record a prediction made at a moment, and ended then or later; with `batch`, an item of it."""

    def add(moment: datetime, *, ended: datetime | None = None, **changes: Any) -> str:
        id = at(moment)
        micros, end = (int(instant.timestamp() * 1e6) for instant in (moment, ended or moment))
        one = finished_record(id=id, created=micros, started=micros, completed=end, **changes)
        with engine.connect() as connection:
            record(connection, [one])
        return id

    return add


def end_batch(engine: Engine, id: str, moment: datetime) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE batches SET total = 1, model = 'm', completed_at = :moment WHERE id = :id"),
            {"id": id, "moment": moment},
        )


def test_rows_past_their_retention_are_deleted_and_others_stay(engine: Engine, add: Callable[..., str]) -> None:
    gone, kept = [add(OLD) for _ in range(5)], [add(YOUNG) for _ in range(5)]
    assert sweep(engine) == len(gone)
    assert ids(engine, "predictions") == set(kept)
    assert sweep(engine) == 0


def test_where_nothing_was_found_nothing_is_asked_for_a_while(
    engine: Engine, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now, keeps = time.monotonic(), keeper(engine)
    monkeypatch.setattr(housekeeping.time, "monotonic", lambda: now)
    assert keeps.sweep() == 0
    add(OLD)
    assert keeps.sweep() == 0
    now += housekeeping.PAUSE.total_seconds()
    assert keeps.sweep() == 1
    add(OLD)
    assert keeps.sweep() == 1  # there may be more where there was something


def test_without_the_setting_everything_is_kept(engine: Engine, add: Callable[..., str]) -> None:
    kept = add(datetime(2020, 1, 1, tzinfo=UTC))
    assert sweep(engine, Retention()) == 0
    assert ids(engine, "predictions") == {kept}


def test_a_batch_is_deleted_with_its_items_and_counts_are_right_after_every_chunk(
    engine: Engine, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "CHUNK", 3)
    old, young, unended = (BatchId(at(moment)) for moment in (OLD, YOUNG, OLD))
    for batch in (old, young, unended):
        for _ in range(7):
            # Those of the young batch, too, were submitted long ago.
            add(OLD, batch=batch)
    for batch, moment in ((old, OLD), (young, YOUNG)):
        end_batch(engine, batch, moment)
    with engine.begin() as connection:
        connection.execute(text("UPDATE batches SET total = 7 WHERE total = 1"))
    with engine.connect() as connection:
        one = keeper(engine)
        for _ in one._chunks(connection):
            assert wrong_batches(connection) == []
            connection.rollback()
    assert ids(engine, "batches") == {young, unended}
    assert len(ids(engine, "predictions")) == 14


def test_rows_with_a_pending_delivery_stay(engine: Engine, add: Callable[..., str]) -> None:
    hook = {"webhook": {"url": "https://a.example/x", "events": ["completed"]}}
    pending, told = add(OLD, request=hook), add(OLD, request=hook)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE webhook_deliveries SET status = 'delivered', delivered_at = now() WHERE subject = :id"),
            {"id": told},
        )
    sweep(engine)
    assert ids(engine, "predictions") == {pending}
    with engine.connect() as connection:
        assert missing_deliveries(connection) == []


def test_ended_deliveries_are_deleted_with_their_attempts(engine: Engine, add: Callable[..., str]) -> None:
    hook = {"webhook": {"url": "https://a.example/x", "events": ["completed"]}}
    for _ in range(3):
        add(OLD, request=hook)
    with engine.begin() as connection:
        # A delivery's id has the time of its recording: replace it by one of long ago.
        for status in ("delivered", "exhausted", "pending"):
            connection.execute(
                text("UPDATE webhook_deliveries SET id = :id, status = :status WHERE id IN "
                     "(SELECT id FROM webhook_deliveries WHERE id > :young LIMIT 1)"),
                {"id": at(OLD), "status": status, "young": at(YOUNG)},
            )  # fmt: skip
        connection.execute(
            text("INSERT INTO webhook_attempts (delivery_id, started_at, duration_ms) "
                 "SELECT id, now(), 1 FROM webhook_deliveries")
        )  # fmt: skip
    assert sweep(engine, Retention(deliveries=timedelta(days=30))) == 2
    with engine.connect() as connection:
        assert connection.execute(text("SELECT status FROM webhook_deliveries")).scalars().all() == ["pending"]
        assert connection.execute(text("SELECT count(*) FROM webhook_attempts")).scalar_one() == 1
        assert missing_deliveries(connection) == [], "nobody searches for those of long ago"


def test_rows_that_stay_do_not_block_later_ones(
    engine: Engine, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "CHUNK", 2)
    unended = BatchId(at(OLD))
    stays = [add(OLD, batch=unended) for _ in range(5)]
    time.sleep(0.002)
    add(OLD + timedelta(seconds=1))
    sweep(engine)
    assert ids(engine, "predictions") == set(stays)


def test_a_query_skips_one_chunk_of_deleted_rows_and_not_all_of_them(
    engine: Engine, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "CHUNK", 2)
    old = sorted(add(OLD + timedelta(seconds=number)) for number in range(8))
    real, begun = retention.delete_predictions, []

    def noting(connection: Connection, before: datetime, *, after: Any, limit: int) -> Any:
        begun.append(after)
        return real(connection, before, after=after, limit=limit)

    monkeypatch.setattr(retention, "delete_predictions", noting)
    one = keeper(engine)
    assert one.sweep() == len(old)
    assert begun == [None, None, old[1], old[3], old[5]]
    begun.clear()
    assert one.sweep() == 0
    assert begun == [None], "then from the start: what stayed may be due by now"


def test_a_locked_row_is_skipped(engine: Engine, add: Callable[..., str]) -> None:
    held, free = add(OLD), add(OLD + timedelta(seconds=1))
    with engine.begin() as other:
        other.execute(text("SELECT 1 FROM predictions WHERE id = :id FOR UPDATE"), {"id": held})
        assert sweep(engine) == 1
        assert ids(engine, "predictions") == {held}
    assert free not in ids(engine, "predictions")
    assert sweep(engine) == 1


def test_a_recently_ended_prediction_stays_however_long_it_waited(engine: Engine, add: Callable[..., str]) -> None:
    kept = add(OLD, ended=YOUNG)
    assert sweep(engine) == 0
    assert ids(engine, "predictions") == {kept}


def test_young_batches_are_not_read(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO batches (id, owner, total, completed_at) "
                 "SELECT darkroom_uuid7(), 'a', 0, now() FROM generate_series(1, 5000)")
        )  # fmt: skip
        connection.execute(text("ANALYZE batches"))
        arguments = {"before": OLD, "bound": first_uuid7(OLD.timestamp() * 1000), "limit": 2000}
        plan = connection.execute(text(f"EXPLAIN {retention._OLD_BATCHES}"), arguments).scalars().all()
    assert not [line for line in plan if "Seq Scan on batches" in line], "\n".join(plan)


def test_retired_secrets_are_deleted_without_another_rotation(engine: Engine) -> None:
    with engine.connect() as connection:
        for owner in (Owner("ann"), Owner("bob")):
            webhook_secrets.signing_secrets(connection, owner, overlap=DAY)
            webhook_secrets.rotate_secret(connection, owner, overlap=DAY)
        with connection.begin():
            connection.execute(
                text("UPDATE webhook_secrets SET retired_at = now() - interval '25 hours' "
                     "WHERE owner = 'ann' AND retired_at IS NOT NULL")
            )  # fmt: skip
        signing = {
            owner: webhook_secrets.signing_secrets(connection, Owner(owner), overlap=DAY) for owner in ("ann", "bob")
        }
    assert sweep(engine, Retention()) == 1
    with engine.connect() as connection:
        left = connection.execute(text("SELECT owner, key FROM webhook_secrets")).all()
    assert {(row.owner, row.key) for row in left} == {(owner, key) for owner, keys in signing.items() for key in keys}
    assert [len(signing["ann"]), len(signing["bob"])] == [1, 2]


def test_after_a_crash_between_two_chunks_the_next_sweep_deletes_the_rest(
    start_postgres: Callable[[], PostgresServer], finished_record: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start_postgres()
    upgrade(server.url)
    engine = make_engine(Database(url=server.url))
    batch, micros = BatchId(at(OLD)), int(OLD.timestamp() * 1e6)
    old = {"created": micros, "started": micros, "completed": micros, "batch": batch}
    with engine.connect() as connection:
        record(connection, [finished_record(id=at(OLD), **old) for _ in range(10)])
    end_batch(engine, batch, OLD)
    monkeypatch.setattr(housekeeping, "CHUNK", 3)
    monkeypatch.setattr(housekeeping, "LONGEST", timedelta(minutes=1))
    real, calls = retention.delete_predictions, 0

    def stop_at_the_second(connection: Connection, *args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            server.stop()
        return real(connection, *args, **options)

    monkeypatch.setattr(retention, "delete_predictions", stop_at_the_second)
    one = keeper(engine)
    assert one.sweep() == 1 + 3, "the batch and a chunk of its items"
    assert one.sweep() == 0, "Postgres is away: nothing is deleted, and nothing is raised"
    server.start()
    assert len(ids(engine, "predictions")) == 7
    with engine.connect() as connection:
        assert wrong_batches(connection) == []
    assert one.sweep() == 7
    assert ids(engine, "predictions") == set()
    engine.dispose()


def test_all_rows_of_one_owner_are_deleted_and_no_others(engine: Engine, add: Callable[..., str]) -> None:
    hook = {"webhook": {"url": "https://a.example/x", "events": ["completed"]}}
    batch = BatchId(at(YOUNG))
    for owner in ("ann", "bob"):
        add(YOUNG, owner=owner)
        add(YOUNG, owner=owner, request=hook)
        add(YOUNG, owner=owner, batch=batch if owner == "ann" else BatchId(at(YOUNG)))
    with engine.connect() as connection:
        for what in retention.OWNED:
            while retention.delete_of_owner(connection, Owner("ann"), what, limit=1):
                pass
        for table, rows in (("predictions", 3), ("batches", 1), ("webhook_deliveries", 1)):
            found = connection.execute(text(f"SELECT owner FROM {table}")).scalars().all()  # noqa: S608
            assert found == ["bob"] * rows, table


def test_the_first_id_of_a_millisecond_is_its_lowest() -> None:
    now = time.time() * 1000
    assert first_uuid7(now) <= new_uuid7(unix_ms=int(now)) < first_uuid7(now + 1)


def test_a_retention_under_a_day_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a day or more"):
        Retention(predictions=timedelta(hours=1))
