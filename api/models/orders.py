"""Changes of what serves: promote, roll back, challenger, shadow, canary. A worker that has the registry makes them."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api import schemas
from api.edge.auth import caller
from api.edge.guard import GuardedRoute, needs
from api.http import problem_kinds as kinds
from api.http.json import JSONResponse
from api.models.wanted_change import read_canary_terms, read_percent, read_text
from api.openapi import requests, responses
from api.state.gateway import gateway
from api.uploads.small_objects import read_small_object, refuse_unknown_members
from shared.domain.api_keys import Role
from shared.domain.errors import ChangeUnanswered
from shared.domain.identifiers import ModelName
from shared.domain.model_orders import ModelOrder, new_order

router = APIRouter(prefix="/v1", tags=["models"], route_class=GuardedRoute)

PATIENCE: Final = timedelta(seconds=20)
"""How long an answer is waited for; MLflow answers in 30 ms, and its client gives up after 21 s."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25

_REFUSALS: Final = (
    kinds.UNKNOWN_MODEL,
    kinds.CHANGE_REFUSED,
    kinds.CHANGE_UNANSWERED,
    kinds.NO_REGISTRY_WORKER,
    kinds.STORAGE_UNAVAILABLE,
)
_ENDED: Final = responses.by_status({200: schemas.ModelChange}, *_REFUSALS)
_CHANGED: Final = responses.by_status(
    {200: schemas.ModelChange}, kinds.BAD_REQUEST, kinds.IMAGE_TOO_LARGE, kinds.INVALID_PARAMETER, *_REFUSALS
)


@router.post(
    "/models/{name}/promote",
    summary="Promote a version",
    responses=_CHANGED,
    openapi_extra=requests.json_object(schemas.WantedPromotion),
)
@needs(Role.ADMIN)
async def promote(request: Request, name: str) -> Response:
    """Make a version the champion. Workers load it first; the one before serves until then. Safe to repeat."""
    given = await _body(request, "version")
    return await _order(request, name, "promote", {"version": read_text(given, "version")})


@router.post(
    "/models/{name}/rollback",
    summary="Roll a model back",
    responses=_CHANGED,
    openapi_extra=requests.json_object(schemas.WantedRollback),
)
@needs(Role.ADMIN)
async def rollback(request: Request, name: str) -> Response:
    """Make the champion before, else the next lower ready version, the champion again. Safe to repeat with `from`."""
    given = await _body(request, "from")
    return await _order(request, name, "rollback", {"from": read_text(given, "from")})


@router.post(
    "/models/{name}/challenger",
    summary="Give a version a share of the requests",
    responses=_CHANGED,
    openapi_extra=requests.json_object(schemas.WantedShare),
)
@needs(Role.ADMIN)
async def challenger(request: Request, name: str) -> Response:
    """Let a version answer a share of the requests that name none. Safe to repeat."""
    return await _order(request, name, "challenger", _share(await _body(request, "version", "percent")))


@router.delete("/models/{name}/challenger", summary="End a challenger", responses=_ENDED)
@needs(Role.ADMIN)
async def end_challenger(request: Request, name: str) -> Response:
    """Give all requests to the champion again. Safe to repeat."""
    return await _order(request, name, "challenger", {"end": True})


@router.post(
    "/models/{name}/shadow",
    summary="Let a version predict beside the champion",
    responses=_CHANGED,
    openapi_extra=requests.json_object(schemas.WantedShare),
)
@needs(Role.ADMIN)
async def shadow(request: Request, name: str) -> Response:
    """Let a version predict a share of the champion's images too, once they are answered. Safe to repeat."""
    return await _order(request, name, "shadow", _share(await _body(request, "version", "percent")))


@router.delete("/models/{name}/shadow", summary="End a shadow", responses=_ENDED)
@needs(Role.ADMIN)
async def end_shadow(request: Request, name: str) -> Response:
    """Let no version predict beside the champion; what was recorded stays. Safe to repeat."""
    return await _order(request, name, "shadow", {"end": True})


@router.post(
    "/models/{name}/canary",
    summary="Begin a canary",
    responses=_CHANGED,
    openapi_extra=requests.json_object(schemas.WantedCanary),
)
@needs(Role.ADMIN)
async def canary(request: Request, name: str) -> Response:
    """Give a version a growing share while its figures hold, and make it the champion; else it goes back."""
    given = await _body(request, "version", *schemas.WantedCanary.model_fields)
    terms = asdict(read_canary_terms(given))
    return await _order(request, name, "canary", {"version": read_text(given, "version"), "terms": terms})


@router.delete("/models/{name}/canary", summary="Stop a canary", responses=_ENDED)
@needs(Role.ADMIN)
async def stop_canary(request: Request, name: str) -> Response:
    """Give the champion every request again. Safe to repeat."""
    return await _order(request, name, "canary", {"end": True})


def _share(given: Mapping[str, Any]) -> dict[str, Any]:
    return {"version": read_text(given, "version"), "percent": read_percent(given)}


async def _body(request: Request, *names: str) -> Mapping[str, Any]:
    """Return the members of the body; raises InvalidParameter for one that is not among `names`."""
    members = await read_small_object(request, owner=caller(request).owner)
    refuse_unknown_members(members, names)
    return members


async def _order(request: Request, name: str, change: str, arguments: dict[str, Any]) -> Response:
    """Place an order and return what became of it; raises what `read_answer` raises, within PATIENCE."""
    given = {key: value for key, value in arguments.items() if value is not None}
    order = new_order(ModelName(name), change, given, owner=caller(request).owner)
    return JSONResponse(await _answered(request, order))


async def _answered(request: Request, order: ModelOrder) -> dict[str, Any]:
    orders, pause = gateway(request).producer.model_orders, _FIRST_PAUSE
    try:
        async with asyncio.timeout(PATIENCE.total_seconds()):
            await orders.place(order, patience=PATIENCE)
            while True:
                found = await orders.read_answer(order, waited=PATIENCE)
                if found is not None:
                    return found
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE)
    except TimeoutError:
        raise ChangeUnanswered(id=order.id, waited_seconds=PATIENCE.total_seconds()) from None
