"""Asks the stores whether they answer, for the routes that say what is down."""

import asyncio
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine, text

from api.state.gateway import Gateway
from api.state.threads import in_thread

PATIENCE: Final = timedelta(milliseconds=800)
"""For each store; all are asked at once. Kubernetes gives up after a second by default: it should get an answer."""


async def probe_postgres(gate: Gateway) -> None:
    """Return once Postgres has answered; raises SQLAlchemyError, or TimeoutError after PATIENCE."""
    async with asyncio.timeout(PATIENCE.total_seconds()):
        await in_thread(gate.threads.probes, _select_one, gate.engine)


def _select_one(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
