"""Engines and connections of Postgres as a test wants them: whose plans are seen, or which take no writes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event


def plans_of(connection: Connection, *, analyze: bool = False) -> list[str]:
    """Return a list that is to hold the plan of each query that the connection runs from now on.

    `analyze`: the plan is carried out for it, and tells what each step has read.
    """
    plans: list[str] = []

    def explain(_: Connection, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            cursor.execute(f"EXPLAIN {'(ANALYZE) ' if analyze else ''}{statement}", parameters)
            plans.append("\n".join(row[0] for row in cursor.fetchall()))

    event.listen(connection, "before_cursor_execute", explain)
    return plans


@contextmanager
def read_only(engine: Engine) -> Iterator[None]:
    """Let the engine's connections take no writes for the block, as those to a standby."""

    def only_read(connection: Any, _: object) -> None:
        connection.set_session(readonly=True)

    engine.dispose()
    event.listen(engine, "connect", only_read)
    try:
        yield
    finally:
        event.remove(engine, "connect", only_read)
        engine.dispose()
