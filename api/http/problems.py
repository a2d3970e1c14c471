"""Answers errors over HTTP, each as a problem (`application/problem+json`, RFC 9457)."""

import math
from dataclasses import fields
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from api.http import problem_kinds as kinds
from api.http import ratelimit
from api.http.problem_kinds import Kind
from api.http.problem_table import TABLE
from api.http.request_facts import REQUEST_ID, request_id
from shared.domain.errors import DarkroomError, RateLimited

MEDIA_TYPE: Final = "application/problem+json"
CLIENT_LEFT: Final = 499
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
# Facts of errors that stand elsewhere in the answer, and are no extra members.
_PLACED: Final = frozenset({"detail", "pointer", "retry_after", "key", "limits", "left", "reason", "certain"})


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
