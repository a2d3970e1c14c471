"""Refusals of Postgres: each gets its words, in an answer's `detail` too; what is none stays without."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace

import psycopg2
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from api.http.problem_table import error_words
from api.state.postgres import ask_postgres
from api.state.threads import Threads
from shared.domain.errors import StorageUnavailable
from shared.settings import Database
from shared.storage.refusals import REFUSALS, describe


def refuse(connection: Connection, code: str) -> None:
    """Let the server raise an error of this SQLSTATE."""
    connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'; END $$"))


@pytest.mark.parametrize("code", REFUSALS)
def test_a_client_is_told_why_postgres_refuses(engine: Engine, code: str) -> None:
    async def claim() -> None:
        threads = Threads(asks=1)
        gate = SimpleNamespace(engine=engine, threads=threads, database=Database())
        try:
            with pytest.raises(StorageUnavailable) as refused:
                await ask_postgres(gate, lambda connection: refuse(connection, code), longest=timedelta(minutes=1))  # type: ignore[arg-type]
        finally:
            threads.close()
        assert error_words(refused.value) == f"postgres {REFUSALS[code]} ({code})"

    asyncio.run(claim())


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("FATAL:  could not write init file: No space left on device", "53100"),
        ("FATAL:  sorry, too many clients already", "53300"),
        ("FATAL:  the database system is in recovery mode", "57P03"),
    ],
)
def test_what_ends_an_attempt_to_connect_has_no_code_and_the_same_words(message: str, code: str) -> None:
    raised = psycopg2.OperationalError(f'connection to server on socket "/x/.s.PGSQL.5432" failed: {message}\n')
    assert describe(DBAPIError("SELECT 1", None, raised)) == describe(raised) == f"{REFUSALS[code]} ({code})"


def test_a_server_that_is_away_or_an_error_of_ours_has_no_words(engine: Engine) -> None:
    with pytest.raises(DBAPIError) as ours, engine.connect() as connection:
        connection.execute(text("SELECT nothing"))
    with pytest.raises(psycopg2.OperationalError) as away:
        psycopg2.connect("postgresql://127.0.0.1:1/none")
    assert describe(ours.value) == describe(away.value) == ""
