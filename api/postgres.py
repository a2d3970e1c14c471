"""How the gateway asks Postgres: from a thread, and a Postgres that is away is an error with words."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.gateway import Gateway
from shared.domain.errors import StorageUnavailable

T = TypeVar("T")


async def ask_postgres(gate: Gateway, ask: Callable[[Connection], T]) -> T:
    """Return what is found with a connection, in a thread; raises StorageUnavailable."""

    def in_thread() -> T:
        try:
            with gate.engine.connect() as connection:
                return ask(connection)
        except (DBAPIError, PoolTimeout):
            raise StorageUnavailable(store="postgres", retry_after=timedelta(seconds=2)) from None

    return await asyncio.to_thread(in_thread)
