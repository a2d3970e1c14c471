"""Routes of webhooks: the signing secret, deliveries, delivering again."""

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy import Connection

from api import schemas
from api.edge.auth import caller
from api.edge.guard import GuardedRoute, needs
from api.http import problem_kinds as kinds
from api.http.delivery_objects import delivery_detail, delivery_object
from api.http.json import JSONResponse
from api.http.paging import Cursor, Limit, check_cursor, page_answer
from api.openapi import responses
from api.state.gateway import base_url, gateway
from api.state.postgres import ask_postgres
from api.state.postgres_pages import read_rows
from shared.domain.api_keys import Role
from shared.domain.errors import StorageUnavailable, UnknownDelivery
from shared.domain.identifiers import Owner, is_uuid
from shared.domain.webhooks import DeliveryStatus
from shared.observability.logs import bind
from shared.storage import deliveries, webhook_secrets
from shared.storage.deliveries import Delivery, Logged

Found = tuple[Delivery, list[Logged]]

router = APIRouter(prefix="/v1", tags=["webhooks"], route_class=GuardedRoute)

_SECRET: Final = responses.by_status({200: schemas.WebhookSecret}, kinds.STORAGE_UNAVAILABLE)
_UNKNOWN: Final = (kinds.UNKNOWN_DELIVERY, kinds.STORAGE_UNAVAILABLE)


@router.get("/webhooks/default/secret", summary="Read the webhooks' secret", responses=_SECRET)
# Receivers trust what it signs, so a key that may only read does not get it.
@needs(Role.SUBMIT)
async def secret(request: Request) -> Response:
    """Return what signs the caller's webhooks; after a rotation the new one."""
    gate, owner = gateway(request), caller(request).owner
    overlap = gate.webhooks.secret_overlap
    found = await ask_postgres(
        gate, lambda connection: webhook_secrets.signing_secrets(connection, owner, overlap=overlap)
    )
    return _secret(found[0])


@router.post("/webhooks/default/secret/rotate", summary="Change the webhooks' secret", responses=_SECRET)
@needs(Role.ADMIN)
async def rotate(request: Request) -> Response:
    """Make a new secret and return it. For a day the old one signs too, so that receivers can change over."""
    gate, owner = gateway(request), caller(request).owner
    overlap = gate.webhooks.secret_overlap
    return _secret(
        await ask_postgres(gate, lambda connection: webhook_secrets.rotate_secret(connection, owner, overlap=overlap))
    )


@router.get(
    "/webhook-deliveries",
    summary="List webhook deliveries",
    responses=responses.by_status(
        {200: schemas.WebhookDeliveryList}, kinds.INVALID_PARAMETER, kinds.STORAGE_UNAVAILABLE
    ),
)
async def index(
    request: Request,
    status: Annotated[DeliveryStatus | None, Query(description="Only those in this state")] = None,
    subject: Annotated[str | None, Query(description="Only this prediction's or batch's")] = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Response:
    """Return the caller's deliveries, newest first: an event appears when it is recorded."""
    check_cursor(cursor)
    base, owner = base_url(request), caller(request).owner
    gate, ask = gateway(request), partial(deliveries.list_deliveries, owner=owner, status=status, subject=subject)
    nothing = subject is not None and not is_uuid(subject)
    found = [] if nothing else await read_rows(gate, owner, ask, before=cursor, limit=limit + 1)
    return page_answer(
        request,
        found,
        partial(delivery_object, base=base),
        path="/v1/webhook-deliveries",
        limit=limit,
        status=status,
        subject=subject,
    )


@router.get(
    "/webhook-deliveries/{id}",
    summary="Read a webhook delivery",
    responses=responses.by_status({200: schemas.WebhookDeliveryDetail}, *_UNKNOWN),
)
async def read(request: Request, id: str) -> Response:
    """Return a delivery and every attempt that was made."""
    found = await _find(request, id, deliveries.find_delivery)
    return JSONResponse(delivery_detail(*found, base=base_url(request)))


@router.post(
    "/webhook-deliveries/{id}/redeliver",
    summary="Deliver a webhook again",
    status_code=202,
    responses=responses.by_status({202: schemas.WebhookDeliveryDetail}, *_UNKNOWN),
)
async def redeliver(request: Request, id: str) -> Response:
    """Make a delivery due now in any state, under the same `webhook-id`, with its full number of attempts again."""
    found = await _find(request, id, deliveries.retry_delivery)
    # The delivery is committed and due; without a bell the courier finds it within a second.
    with contextlib.suppress(StorageUnavailable):
        await gateway(request).producer.server.ring_courier()
    return JSONResponse(delivery_detail(*found, base=base_url(request)), status_code=202)


async def _find(request: Request, id: str, ask: Callable[[Connection, str, Owner], Found | None]) -> Found:
    """Return the caller's delivery as `ask` finds it; raises UnknownDelivery."""
    if not is_uuid(id):
        raise UnknownDelivery(id=id)
    bind(delivery_id=id)
    owner = caller(request).owner
    found = await ask_postgres(gateway(request), lambda connection: ask(connection, id, owner))
    if found is None:
        raise UnknownDelivery(id=id)
    return found


def _secret(key: str) -> Response:
    # A secret must not be stored on the way.
    return JSONResponse({"key": key}, headers={"Cache-Control": "no-store"})
