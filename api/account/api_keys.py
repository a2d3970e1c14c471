"""API keys over HTTP: an admin lists, makes and revokes those of its own owner, as `darkroom keys` does for all."""

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from api import schemas
from api.account.new_key import read_new_key
from api.account.routes import limits_object, use_object
from api.edge.auth import caller
from api.edge.guard import GuardedRoute, needs
from api.http import problem_kinds as kinds
from api.http.json import JSONResponse
from api.openapi import requests, responses
from api.state.gateway import Gateway, gateway
from api.state.postgres import ask_postgres
from api.uploads.small_objects import read_small_object
from shared.domain.api_keys import ApiKey, Caller, Role
from shared.domain.errors import Forbidden, UnknownKey
from shared.domain.identifiers import KeyId, is_uuid
from shared.domain.timestamps import microseconds, rfc3339
from shared.storage import api_keys

router = APIRouter(prefix="/v1", tags=["account"], route_class=GuardedRoute)

MOST_LISTED: Final = 1000
"""Keys that the list has, the newest of an owner; `darkroom keys list` has all."""
MOST_VALID: Final = 1000
"""Valid keys of an owner from which on it makes no more here: every gateway has all valid keys in memory."""
_WITHOUT: Final = (
    "without an API key none can be made or revoked here: darkroom keys create NAME --role admin makes the first one"
)


@router.get(
    "/api-keys",
    summary="List API keys",
    responses=responses.by_status({200: schemas.ApiKeyList}, kinds.STORAGE_UNAVAILABLE),
)
@needs(Role.ADMIN)
async def index(request: Request) -> Response:
    """Return the keys of the caller's owner, revoked ones too, the newest first; the newest 1,000 on one page."""
    gate, who = gateway(request), caller(request)
    found = await ask_postgres(gate, lambda connection: api_keys.list_keys_of(connection, who.owner, most=MOST_LISTED))
    results = await asyncio.gather(*(_key_object(gate, key, who) for key in found))
    return JSONResponse({"results": results, "next": None, "previous": None})


@router.post(
    "/api-keys",
    status_code=201,
    summary="Make an API key",
    responses=responses.by_status(
        {201: schemas.NewApiKey},
        kinds.BAD_REQUEST,
        kinds.IMAGE_TOO_LARGE,
        kinds.INVALID_PARAMETER,
        kinds.STORAGE_UNAVAILABLE,
    ),
    openapi_extra=requests.json_object(schemas.WantedApiKey),
)
@needs(Role.ADMIN)
async def create(request: Request) -> Response:
    """Make a key of the caller's own owner. The answer has the key, which is shown this once.

    It may do no more at a time than the key that makes it: a limit that is left out is that key's.
    """
    gate, who = gateway(request), _with_a_key(caller(request))
    wanted = read_new_key(await read_small_object(request, owner=who.owner), owner=who.owner, limits=who.limits)
    made = await ask_postgres(
        gate,
        lambda connection: api_keys.create_key_within(
            connection, who.owner, most=MOST_VALID, role=wanted.role, rate=wanted.rate, max_inflight=wanted.max_inflight
        ),
    )
    if made is None:
        raise Forbidden(
            detail=f"{who.owner} has {MOST_VALID:,} valid keys, the most that there may be: revoke one first"
        )
    known, key = made
    answer = await _key_object(gate, known, who) | {"key": key}
    # No cache or proxy may keep it.
    return JSONResponse(answer, status_code=201, headers={"Cache-Control": "no-store"})


@router.post(
    "/api-keys/{id}/revoke",
    summary="Revoke an API key",
    responses=responses.by_status({200: schemas.RevokedApiKey}, kinds.UNKNOWN_KEY, kinds.STORAGE_UNAVAILABLE),
)
@needs(Role.ADMIN)
async def revoke(request: Request, id: str) -> Response:
    """Revoke a key of the caller's owner: it stops within 5 s, also where it is this request's own. Safe to repeat."""
    gate, who = gateway(request), _with_a_key(caller(request))
    if not is_uuid(id):
        raise UnknownKey(id=id)
    key = await ask_postgres(gate, lambda connection: api_keys.revoke_key_of(connection, who.owner, KeyId(id)))
    if key is None:
        raise UnknownKey(id=id)
    own = "this is the key of this request: it stops within 5 s" if key.id == who.limits.key else None
    return JSONResponse(await _key_object(gate, key, who) | {"notice": own})


def _with_a_key(who: Caller) -> Caller:
    """Return the caller; raises Forbidden for one without a key: keys outlast the time in which none is asked for."""
    if who.limits.key is None:
        raise Forbidden(detail=_WITHOUT)
    return who


async def _key_object(gate: Gateway, key: ApiKey, who: Caller) -> dict[str, Any]:
    revoked = key.revoked_at
    return {
        "id": key.id,
        "owner": key.owner,
        "shown": key.shown,
        "role": key.role,
        "limits": limits_object(key.limits),
        "used": None if revoked else await use_object(gate, key.limits, key.owner),
        "current": key.id == who.limits.key,
        "created_at": rfc3339(microseconds(key.created_at)),
        "revoked_at": rfc3339(microseconds(revoked)) if revoked else None,
    }
