"""Routes of liveness and readiness.

Redis down, or refusing writes → 503: nothing can be accepted. Stopping → 503, while requests are still served.
Postgres down → 200 and degraded: submitting and reading go on, recording catches up later, history can't be read.
No model, or no worker for one → 200 and degraded: its submissions wait, other models go on.
A role that no process fills, or whose work waits too long → 200 and degraded: results come, rows or webhooks wait.
"""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.exc import SQLAlchemyError

from api import schemas
from api.edge import http_connection as protocol
from api.edge.guard import GuardedRoute, open_to_all
from api.health.limits import limits_in_force, usage
from api.health.probes import PATIENCE, probe_postgres
from api.http.json import JSONResponse
from api.openapi import responses
from api.state.gateway import Gateway, gateway
from shared.domain.errors import StorageUnavailable
from shared.domain.model_route import Route
from shared.queue.producer.server import Duty, State

router = APIRouter(prefix="/health", tags=["health"], route_class=GuardedRoute)


@router.get("/live", summary="Is the process alive", responses=responses.by_status({200: schemas.Alive}))
@open_to_all
async def live() -> Response:
    """Answer at all; a process that does not should be restarted."""
    return JSONResponse({"status": "alive"})


@router.get(
    "/ready",
    summary="Should requests be sent here",
    responses=responses.by_status({200: schemas.Readiness, 503: schemas.Readiness}),
)
@open_to_all
async def ready(request: Request) -> Response:
    """Say what is down (503) and what is degraded (200), which limits hold, and how near they are."""
    gate = gateway(request)
    holds = limits_in_force(gate, wire_holds=protocol.STATE in request.scope.get("state", {}))
    redis_down, postgres_lack, in_use = await asyncio.gather(_redis_down(gate), _postgres_lack(gate), _used(gate))
    degraded = [f"postgres: {postgres_lack}"] if postgres_lack else []
    down = [redis_down] * bool(redis_down) + ["gateway: it is stopping"] * gate.draining.has_begun
    duties = [] if down else await _duties(gate)
    if not down:
        degraded += await _models(gate)
        degraded += [f"{duty.role}: {duty.words}" for duty in duties if duty.state is not State.READY]
    status = "unavailable" if down else "degraded" if degraded else "ready"
    body = {
        "status": status,
        "down": down,
        "degraded": degraded,
        "roles": [{"role": duty.role, "state": duty.state, "detail": duty.words} for duty in duties],
        "limits": holds,
        "used": None if redis_down else in_use,
    }
    return JSONResponse(body, status_code=503 if down else 200)


async def _used(gate: Gateway) -> dict[str, Any] | None:
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            return await usage(gate)
    except (StorageUnavailable, TimeoutError):
        return None


async def _duties(gate: Gateway) -> list[Duty]:
    """Return the state of the roles beside predicting; none where Redis can't tell."""
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            return await gate.producer.server.duties()
    except (StorageUnavailable, TimeoutError):
        return []


async def _redis_down(gate: Gateway) -> str:
    """Return `redis`, with the reason where it refuses; empty where it takes writes. The write changes nothing."""
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            await gate.producer.server.check_writes()
    except StorageUnavailable as error:
        return f"redis: it {error.reason}" if error.reason else "redis"
    except TimeoutError:
        return "redis"
    return ""


async def _postgres_lack(gate: Gateway) -> str:
    """Return what does not go while Postgres is as it is; empty where it answers and takes writes."""
    try:
        takes_writes = await probe_postgres(gate)
    except (SQLAlchemyError, TimeoutError):
        return "history can't be read, results are recorded later"
    return "" if takes_writes else "it takes no writes, results are recorded later"


async def _models(gate: Gateway) -> list[str]:
    """Return what is wrong with models: none served, no workers, never loaded, gone from the registry."""
    routes = await gate.models.all()
    broken = [f"model {route.model}: {_why_broken(route)}" for route in await gate.models.never_loaded()]
    if not routes:
        return ["models: none is served", *broken]
    counts = await asyncio.gather(*(gate.producer.models.live_workers(route.model) for route in routes))
    away = [
        f"workers: none for {route.model}, its images wait"
        for route, count in zip(routes, counts, strict=True)
        if not count
    ]
    kept = [f"model {route.model}: {notice}" for route in routes for notice in route.notices()]
    return away + broken + kept


def _why_broken(route: Route) -> str:
    number, error = next(iter(route.failed.items()))
    return f"version {number} can't be loaded: {error}"
