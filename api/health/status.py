"""Routes of the status: what runs, how it is doing, and how it did within the last hour.

The figures are those that every process publishes to Redis. Without Redis, or without Postgres, the answer says what is
not known and why; it comes within about a second.
"""

import asyncio
import time
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.exc import SQLAlchemyError

from api import schemas
from api.edge.guard import GuardedRoute, needs
from api.health.probes import PATIENCE, probe_postgres
from api.http import problem_kinds as kinds
from api.http.json import JSONResponse
from api.openapi import responses
from api.state.gateway import Gateway, gateway
from shared.domain.api_keys import Role
from shared.domain.errors import StorageUnavailable
from shared.domain.status.alert_conditions import ShownAlert
from shared.domain.status.computation import figures_of
from shared.domain.status.samples import KEPT, SLOT, history
from shared.domain.status.service_status import Figures, PostgresState, RedisState, Unknown
from shared.domain.timestamps import now_us, rfc3339

router = APIRouter(prefix="/v1/status", tags=["health"], route_class=GuardedRoute)

_MOST_MINUTES: Final = KEPT // timedelta(minutes=1)
_NOTHING: Final = figures_of([], {}, now_seconds=0.0)


@router.get("", summary="Read the status", responses=responses.by_status({200: schemas.ServiceStatus}))
@needs(Role.ADMIN)
async def read(request: Request) -> Response:
    """Return what runs and how it is doing, and the alerts that hold, each with what to do."""
    gate = gateway(request)
    redis, postgres, (figures, alerts) = await asyncio.gather(_redis(gate), _postgres(gate), _figures(gate))
    body = {
        "at": rfc3339(now_us()),
        "state": _state(redis, postgres, figures, alerts),
        "redis": asdict(redis),
        "postgres": asdict(postgres),
        **asdict(figures),
        "alerts": [_alert(alert) for alert in alerts],
    }
    # Those of Redis are asked of Redis itself.
    del body["memory_bytes"], body["memory_limit_bytes"]
    return JSONResponse(body)


@router.get(
    "/history",
    summary="Read the status of the last hour",
    responses=responses.by_status({200: schemas.StatusHistory}, kinds.INVALID_PARAMETER, kinds.STORAGE_UNAVAILABLE),
)
@needs(Role.ADMIN)
async def read_history(
    request: Request,
    minutes: Annotated[int, Query(ge=1, le=_MOST_MINUTES, description="How far back")] = 30,
) -> Response:
    """Return a sample for every ten seconds, the oldest first, as one list for each figure."""
    since_ms = now_us() // 1000 - minutes * 60_000
    samples = await gateway(request).producer.status.samples(since_ms=since_ms)
    return JSONResponse({"every_seconds": SLOT // timedelta(seconds=1), **history(samples)})


async def _redis(gate: Gateway) -> RedisState:
    """Return how Redis is: what it says of itself, and whether it takes a write that changes nothing."""

    async def ask() -> RedisState:
        server = await gate.producer.status.server()
        await gate.producer.server.check_writes()
        return server

    begun = time.perf_counter()
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            return replace(await ask(), answered_ms=_milliseconds_since(begun))
    except StorageUnavailable as error:
        if error.reason:
            return RedisState(state="refusing", detail=f"it {error.reason}")
        return RedisState(state="down", detail="it does not answer")
    except TimeoutError:
        return RedisState(state="down", detail=f"no answer within {PATIENCE.total_seconds():g} s")


async def _postgres(gate: Gateway) -> PostgresState:
    begun = time.perf_counter()
    try:
        if not await probe_postgres(gate):
            return PostgresState(state="refusing", detail="it takes no writes: a standby, or set to read-only")
    except SQLAlchemyError as error:
        return PostgresState(state="down", detail=type(error.__cause__ or error).__name__)
    except TimeoutError:
        return PostgresState(state="down", detail=f"no answer within {PATIENCE.total_seconds():g} s")
    return PostgresState(state="ready", answered_ms=_milliseconds_since(begun))


async def _figures(gate: Gateway) -> tuple[Figures, list[ShownAlert]]:
    """Return the figures and alerts; where Redis does not answer, that all of it is unknown."""
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            return await gate.producer.status.read()
    except (StorageUnavailable, TimeoutError):
        return _unknown("Redis does not answer"), []


def _unknown(why: str) -> Figures:
    """Return figures of which nothing is known."""
    roles = [replace(role, state="unknown", detail=why) for role in _NOTHING.roles]
    return replace(_NOTHING, roles=roles, unknown=[Unknown(what="everything that processes publish", why=why)])


def _state(redis: RedisState, postgres: PostgresState, figures: Figures, alerts: list[ShownAlert]) -> str:
    if redis.state != "ready":
        return "unavailable"
    well = postgres.state == "ready" and all(role.state == "ready" for role in figures.roles) and not figures.unknown
    return "ready" if well and not any(alert.state == "firing" for alert in alerts) else "degraded"


def _alert(alert: ShownAlert) -> dict[str, Any]:
    return {
        "name": alert.name,
        "severity": alert.severity,
        "subject": alert.subject,
        "state": alert.state,
        "since": rfc3339(alert.since_us),
        "summary": alert.summary,
        "what_to_do": alert.what_to_do,
    }


def _milliseconds_since(begun: float) -> float:
    return round((time.perf_counter() - begun) * 1000, 2)
