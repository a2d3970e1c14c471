"""Indexes of large tables are built while others write, by one process, and again where a build was killed."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import Engine, text

from shared.settings import Database
from shared.storage.concurrent_indexes import INDEXES, REPLACED, build_indexes
from shared.storage.engine import make_engine
from shared.storage.recording import record

Make = Callable[..., dict[bytes, bytes]]


def are_valid(engine: Engine) -> bool:
    names = {"names": list(INDEXES)}
    query = text("SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid = ANY(CAST(:names AS regclass[]))")
    with engine.connect() as connection:
        return connection.scalar(query, names) == len(INDEXES)


def execute(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


@pytest.mark.parametrize("name", INDEXES)
def test_an_index_that_a_killed_build_left_invalid_is_built_again(engine: Engine, name: str) -> None:
    execute(engine, f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{name}'::regclass")  # noqa: S608
    build_indexes(engine)
    assert are_valid(engine)


@pytest.mark.parametrize("name", INDEXES)
def test_rows_are_written_while_an_index_is_built(
    engine: Engine, database_url: str, finished_record: Make, name: str
) -> None:
    execute(engine, f"DROP INDEX {name}")
    building = make_engine(Database(url=database_url), connections=4)
    builds = [threading.Thread(target=build_indexes, args=[building]) for _ in range(2)]
    with engine.connect() as writer:
        writer.execute(text("INSERT INTO report_pending (ids, rows) VALUES ('{}', 0)"))
        table = INDEXES[name].partition(" ON ")[2].split()[0]
        writer.execute(text(f"LOCK TABLE {table} IN ROW EXCLUSIVE MODE"))  # as a recorder in the middle of a commit
        for build in builds:
            build.start()
        with engine.connect() as connection:
            waiting = text("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%CREATE INDEX CONCURRENTLY %'")
            while connection.scalar(waiting) < 2:  # this query, and the build, which waits for the writer
                connection.rollback()
            connection.rollback()
            assert record(connection, [finished_record(request={"metadata": {"n": 1}})]).inserted == 1
        writer.commit()
    for build in builds:
        build.join()
    building.dispose()
    assert are_valid(engine)


def test_an_index_of_an_earlier_release_goes_once_its_successor_is_there(engine: Engine) -> None:
    for name in REPLACED:
        execute(engine, f"CREATE INDEX {name} ON shadow_predictions (model, version, prediction_id)")
    build_indexes(engine)
    with engine.connect() as connection:
        left = text("SELECT count(*) FROM pg_class WHERE relname = ANY(CAST(:names AS text[]))")
        assert connection.scalar(left, {"names": list(REPLACED)}) == 0
    assert are_valid(engine)
