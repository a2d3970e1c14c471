"""The account: who the caller is, what it may, what it uses, and the pages beside the API."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from api import schemas
from api.edge.auth import caller
from api.edge.guard import GuardedRoute
from api.http.json import JSONResponse
from api.openapi import responses
from api.state.gateway import Gateway, base_url, gateway
from api.state.postgres import BRIEFLY
from shared.domain.api_keys import Caller
from shared.domain.errors import StorageUnavailable
from shared.domain.identifiers import Owner
from shared.domain.key_limits import Limits

router = APIRouter(prefix="/v1", tags=["account"], route_class=GuardedRoute)


@router.get("/account", summary="Read the account", responses=responses.by_status({200: schemas.Account}))
async def show(request: Request) -> Response:
    """Return the caller's owner, role, limits, their use, and where MLflow, Flower, Grafana and the documents are."""
    gate, who = gateway(request), caller(request)
    return JSONResponse(
        {
            "type": "organization",
            "username": who.owner,
            "name": who.owner,
            "github_url": None,
            "role": who.role,
            "keys_required": gate.keys_required,
            "key": _callers_key(who),
            "limits": limits_object(who.limits),
            "used": await use_object(gate, who.limits, who.owner),
            "links": _links(gate, base_url(request)),
        }
    )


def limits_object(limits: Limits) -> dict[str, Any]:
    """Return a key's limits as answers have them."""
    return {
        "images_a_second": limits.rate,
        "images_at_once": limits.burst or None,
        "unfinished": limits.max_inflight,
    }


async def use_object(gate: Gateway, limits: Limits, owner: Owner) -> dict[str, Any] | None:
    """Return how much of a key's limits is in use; None where Redis can't soon say."""
    try:
        async with asyncio.timeout(BRIEFLY.total_seconds()):
            left, unfinished = await gate.producer.key_limits.read_use(limits, owner)
    except (StorageUnavailable, TimeoutError):
        return None
    return {"unfinished": unfinished, "images_left": left.images, "unfinished_left": left.unfinished}


def _callers_key(who: Caller) -> dict[str, Any] | None:
    return {"id": who.limits.key, "shown": who.shown} if who.limits.key else None


def _links(gate: Gateway, base: str) -> dict[str, Any]:
    found = {name: url or None for name, url in gate.links.model_dump().items()}
    return {**found, "api": f"{base}/docs", "openapi": f"{base}/openapi.json"}
