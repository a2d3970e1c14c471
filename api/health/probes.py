"""Asks the stores whether they answer, for the routes that say what is down."""

import asyncio
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine, text

from api.state.gateway import Gateway
from api.state.threads import in_thread

PATIENCE: Final = timedelta(milliseconds=800)
"""For each store; all are asked at once. Kubernetes gives up after a second by default: it should get an answer."""


async def probe_postgres(gate: Gateway) -> bool:
    """Tell whether Postgres takes writes: a standby answers and takes none.

    Raises SQLAlchemyError, or TimeoutError after PATIENCE.
    """
    async with asyncio.timeout(PATIENCE.total_seconds()):
        return await in_thread(gate.threads.probes, _takes_writes, gate.engine)


def _takes_writes(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(connection.scalar(text("SHOW transaction_read_only")) == "off")
