"""The one table of how each error is answered over HTTP: as `application/problem+json` (RFC 9457)."""

import math
from collections.abc import Callable
from dataclasses import fields
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from api.http import problem_kinds as kinds
from api.http import ratelimit
from api.http.problem_kinds import Kind
from api.http.request_facts import REQUEST_ID, request_id
from shared.domain import errors
from shared.domain.errors import DarkroomError, FileQuota, RateLimited, UnknownModel

MEDIA_TYPE: Final = "application/problem+json"
CLIENT_LEFT: Final = 499
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class Row(NamedTuple):
    """How a class of errors is answered; `detail` makes the sentence for one error."""

    kind: Kind
    detail: Callable[[Any], str]


def _unknown_model(error: UnknownModel) -> str:
    names = ", ".join(error.served[:10])
    if error.reason:
        there_is = f"; there is {names}" if names else ""
        return f"{error.reference[:80]!r} is not served: {error.reason}{there_is}"
    if not error.served:
        return "no model is served yet"
    if not error.reference:
        return f"say which model you mean: {names}"
    return f"no model {error.reference[:80]!r} is served; there is {names}"


def _rate_limited(error: RateLimited) -> str:
    if error.limit == "rate":
        return f"this key allows {error.limits.rate:g} images a second"
    return f"this key allows {error.limits.max_inflight:,} unfinished images at a time"


_AWAY: Final = "can't be reached"


def _because(reason: str) -> str:
    return f", for redis {reason}" if reason else ""


def _file_quota(error: FileQuota) -> str:
    if error.limit == "bytes_a_second":
        return f"{error.allowed:,} bytes of files a second may be uploaded"
    left = max(0, error.allowed - error.used)
    if error.limit == "files":
        return f"{error.used:,} files are kept and {error.allowed:,} may be: none is left; delete some"
    return (
        f"{error.used:,} bytes of files are kept and {error.allowed:,} may be: {left:,} are left, "
        f"this file needs {error.size:,}; delete some"
    )


TABLE: Final[dict[type[DarkroomError], Row]] = {
    errors.BadRequest: Row(kinds.BAD_REQUEST, lambda e: e.detail),
    errors.InvalidParameter: Row(kinds.INVALID_PARAMETER, lambda e: e.detail),
    errors.Unauthorized: Row(kinds.UNAUTHORIZED, lambda e: e.detail),
    errors.Forbidden: Row(kinds.FORBIDDEN, lambda e: e.detail),
    errors.UnknownPrediction: Row(kinds.UNKNOWN_PREDICTION, lambda e: f"there is no prediction {e.id[:80]!r}"),
    errors.UnknownBatch: Row(kinds.UNKNOWN_BATCH, lambda e: f"there is no batch {e.id[:80]!r}"),
    errors.UnknownFile: Row(kinds.UNKNOWN_FILE, lambda e: f"there is no file {e.id[:80]!r}, or its time is over"),
    errors.UnknownDelivery: Row(kinds.UNKNOWN_DELIVERY, lambda e: f"there is no webhook delivery {e.id[:80]!r}"),
    UnknownModel: Row(kinds.UNKNOWN_MODEL, _unknown_model),
    errors.ImageTooLarge: Row(
        kinds.IMAGE_TOO_LARGE, lambda e: f"{e.size:,} {e.unit} are over the limit of {e.limit:,}"
    ),
    errors.UploadTooLarge: Row(
        kinds.IMAGE_TOO_LARGE, lambda e: f"the upload has {e.size:,} {e.unit}, over the limit of {e.limit:,}"
    ),
    errors.ArchiveRefused: Row(
        kinds.INVALID_PARAMETER,
        lambda e: f"the archive is refused: {e.reason}" + (f" ({e.entry[:200]!r})" if e.entry else ""),
    ),
    errors.UnsupportedImage: Row(
        kinds.UNSUPPORTED_IMAGE, lambda e: f"this is {e.found}; supported are {', '.join(e.supported)}"
    ),
    errors.UnsupportedEncoding: Row(
        kinds.UNSUPPORTED_ENCODING,
        lambda e: f"a body with Content-Encoding: {e.encoding[:80]} is not taken; send it without",
    ),
    errors.UndecodableImage: Row(kinds.UNDECODABLE_IMAGE, lambda e: f"the {e.format} image is broken: {e.reason}"),
    errors.IdempotencyMismatch: Row(
        kinds.IDEMPOTENCY_MISMATCH,
        lambda e: f"this key was used for another request, which made {e.first_id}",
    ),
    errors.UploadInProgress: Row(
        kinds.UPLOAD_IN_PROGRESS, lambda e: f"the upload under this key, batch {e.first_id}, is still being read"
    ),
    errors.RateLimited: Row(kinds.RATE_LIMITED, _rate_limited),
    errors.TooMuchInHand: Row(
        kinds.RATE_LIMITED,
        lambda e: f"{e.in_hand:,} bytes of your bodies are being read, {e.size:,} more would be over {e.allowed:,}",
    ),
    errors.GatewayBusy: Row(
        kinds.GATEWAY_BUSY, lambda e: f"this gateway reads {e.in_hand:,} bytes of bodies, and {e.allowed:,} at most"
    ),
    errors.FileQuota: Row(kinds.FILE_QUOTA, _file_quota),
    errors.QueueFull: Row(kinds.QUEUE_FULL, lambda e: f"the queue of {e.model} is full; nothing was enqueued"),
    errors.SubmitUncertain: Row(
        kinds.STORAGE_UNAVAILABLE,
        lambda e: f"the queue gave no answer in time{_because(e.reason)}; {e.id} may have been accepted",
    ),
    errors.BeingPurged: Row(kinds.BEING_PURGED, lambda _: "everything of this owner's is being deleted"),
    errors.StorageUnavailable: Row(kinds.STORAGE_UNAVAILABLE, lambda e: f"{e.store} {e.reason or _AWAY}"),
}
KINDS: Final = {
    kind.slug: kind
    for kind in (
        *(row.kind for row in TABLE.values()),
        kinds.NOT_FOUND,
        kinds.METHOD_NOT_ALLOWED,
        *kinds.WIRE,
        kinds.INTERNAL_ERROR,
    )
}
# Facts of errors that stand elsewhere in the answer, and are no extra members.
_PLACED: Final = frozenset({"detail", "pointer", "retry_after", "key", "limits", "left", "reason", "certain"})


def error_words(error: DarkroomError) -> str:
    """Return the sentence that describes an error."""
    return TABLE[type(error)].detail(error)


def problem_body(kind: Kind, detail: str, *, path: str, facts: dict[str, Any] | None = None) -> bytes:
    """Return a problem as JSON; `facts` are further members."""
    body = {
        "type": f"/problems/{kind.slug}",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
        "instance": path.encode("utf-8", "replace").decode(),
        **(facts or {}),
    }
    return orjson.dumps(body)


def problem_response(
    kind: Kind,
    detail: str,
    request: Request,
    *,
    facts: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return a problem as a response."""
    body = problem_body(kind, detail, path=request.scope["path"], facts=facts)
    return Response(
        body,
        status_code=kind.status,
        headers={**kind.headers, **(headers or {})},
        media_type=MEDIA_TYPE,
    )


async def on_darkroom_error(request: Request, error: Exception) -> Response:
    """Answer as the error's row in the table says; its facts become members."""
    assert isinstance(error, DarkroomError)  # noqa: S101  what it is installed for
    row = TABLE[type(error)]
    given = {f.name: getattr(error, f.name) for f in fields(error)}  # type: ignore[arg-type]
    facts = {name: value for name, value in given.items() if name not in _PLACED}
    detail = row.detail(error)
    if "pointer" in given:
        facts["errors"] = [{"detail": detail, "pointer": given["pointer"]}]
    headers = {}
    if "retry_after" in given:
        headers["Retry-After"] = str(max(1, math.ceil(given["retry_after"].total_seconds())))
    if isinstance(error, RateLimited):
        headers |= ratelimit.rate_limit_headers(error.limits, error.left)
    return problem_response(row.kind, detail, request, facts=facts, headers=headers)


async def on_invalid_request(request: Request, error: Exception) -> Response:
    """Answer for parameters that FastAPI refused, in the same form as for those we refuse."""
    assert isinstance(error, RequestValidationError)  # noqa: S101  what it is installed for
    wrong = [
        # A location begins with where it is: path, query, header or body.
        {"detail": found["msg"], "pointer": "".join(f"/{part}" for part in found["loc"][1:])}
        for found in error.errors()
    ]
    detail = "; ".join(f"{found['pointer'].lstrip('/')}: {found['detail']}" for found in wrong)
    return problem_response(kinds.INVALID_PARAMETER, detail, request, facts={"errors": wrong})


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer for what the framework refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)  # noqa: S101  what it is installed for
    kind = _of_framework(error.status_code)
    headers = dict(error.headers or {})
    detail = error.detail if isinstance(error.detail, str) else kind.title
    if kind is kinds.NOT_FOUND:
        detail = f"there is nothing at {request.scope['path'][:200]}"
    elif kind is kinds.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed(request))
        detail = f"{request.method} is not allowed here; allowed: {headers['Allow']}"
    return problem_response(kind, detail, request, headers=headers)


def _allowed(request: Request) -> list[str]:
    """Return the methods that routes take at this path; the framework's own `Allow` names the first route's alone."""
    routes = request.app.routes
    asked = ({**request.scope, "method": method} for method in _METHODS)
    return [scope["method"] for scope in asked if any(route.matches(scope)[0] is Match.FULL for route in routes)]


def _of_framework(status: int) -> Kind:
    """Return the kind for a status of the framework's."""
    for kind in (kinds.NOT_FOUND, kinds.METHOD_NOT_ALLOWED, kinds.BAD_REQUEST, kinds.UNAUTHORIZED):
        if kind.status == status:
            return kind
    phrase = HTTPStatus(status).phrase
    return Kind(status=status, slug=phrase.lower().replace(" ", "-"), title=phrase, meaning=phrase)


async def on_unexpected(request: Request, _: Exception) -> Response:
    """Answer for an unexpected error; the server gets the exception too and logs it with its traceback."""
    # This answer alone is made outside the middleware that gives all others their id.
    id = request_id(request)
    headers = {} if id is None else {REQUEST_ID: id}
    return problem_response(kinds.INTERNAL_ERROR, "the gateway failed on this request", request, headers=headers)


async def on_disconnect(_: Request, __: Exception) -> Response:
    """Answer a client that has left, which reads it no more."""
    return Response(status_code=CLIENT_LEFT)


def install(app: FastAPI) -> None:
    """Make every error of an app a problem. Its `type` URI is a page of `api/openapi/problem_pages.py`."""
    app.add_exception_handler(DarkroomError, on_darkroom_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    app.add_exception_handler(HTTPException, on_http_exception)
    app.add_exception_handler(ClientDisconnect, on_disconnect)
    app.add_exception_handler(Exception, on_unexpected)
