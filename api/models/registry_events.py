"""Takes MLflow's webhooks, as a hint that the registry has changed. The route is there only where a secret is set.

Nothing of an event is believed but that something changed: workers read the registry, as they do every two seconds.
"""

import base64
import hashlib
import hmac
import re
import time
from typing import Final

from fastapi import APIRouter, Request, Response

from api.edge.guard import GuardedRoute, open_to_all
from api.http.request_facts import header
from api.state.gateway import gateway
from api.uploads.bodies import read_body
from shared.domain.errors import Unauthorized
from shared.domain.identifiers import ANYONE

PATH: Final = "/v1/registry-events"
LARGEST_EVENT: Final = 64 * 1024
TOLERANCE_SECONDS: Final = 300
"""How old an event may be, or how far in the future by the gateway's clock: MLflow repeats one for a minute."""

_TIMESTAMP: Final = re.compile("[0-9]{1,12}")


def router(secret: str) -> APIRouter:
    """Return the route, for events that are signed with this secret."""
    made = APIRouter(route_class=GuardedRoute)

    @made.post(PATH, include_in_schema=False)
    @open_to_all
    async def take(request: Request) -> Response:
        """Wake the workers that follow the registry. Raises Unauthorized for an event that the secret did not sign."""
        gate = gateway(request)
        with gate.body_memory.hold(ANYONE) as hold:
            body = await read_body(request, most=LARGEST_EVENT, hold=hold)
        signed = (header(request, b"x-mlflow-delivery-id") or "", header(request, b"x-mlflow-timestamp") or "")
        if not is_signed(body, *signed, header(request, b"x-mlflow-signature") or "", secret=secret, now=time.time()):
            raise Unauthorized(detail="the event's signature is not that of DARKROOM_REGISTRY_EVENTS_SECRET")
        await gate.producer.registry_hints.give()
        return Response(status_code=204)

    return made


def is_signed(body: bytes, id: str, timestamp: str, signature: str, *, secret: str, now: float) -> bool:
    """Tell whether MLflow signed an event, `v1,` and HMAC-SHA256 of `id.timestamp.body` as base64, and lately."""
    if not _TIMESTAMP.fullmatch(timestamp) or abs(now - int(timestamp)) > TOLERANCE_SECONDS or not signature.isascii():
        return False
    signed = hmac.new(secret.encode(), f"{id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return hmac.compare_digest(b"v1," + base64.b64encode(signed), signature.encode())
