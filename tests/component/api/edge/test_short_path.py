"""The short path answers a submission, and its errors, as the framework's router would."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from api.edge.auth import Authentication
from api.edge.short_path import ShortPath
from api.http import problems
from api.http.json import JSONResponse
from api.predictions.routes import DirectRoute
from shared.domain.errors import BadRequest


async def create(request: Request) -> Response:
    """Answer what the router would have put into the scope, or fail as the query says."""
    if b"darkroom" in request.scope["query_string"]:
        raise BadRequest(detail="as asked")
    if b"unexpected" in request.scope["query_string"]:
        raise ValueError("as asked")
    facts = {"path_params": request.path_params, "route": request.scope["route"].path}
    return JSONResponse(facts | {"endpoint": request.scope["endpoint"].__name__}, status_code=202)


@pytest.fixture(params=["short", "router"])
def send(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], httpx.Response]:
    async def admit(*_: Any) -> None:
        return None

    monkeypatch.setattr(Authentication, "admit", admit)
    app, route = FastAPI(), DirectRoute("/v1/things", create, methods=["POST"])
    if request.param == "short":
        app.add_middleware(ShortPath, route=route, method="POST")
    app.add_middleware(Authentication, required=False, public_url="http://testserver")
    app.router.routes.append(route)
    problems.install(app)

    def send(method: str, path: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
                return await client.request(method, path)

        return asyncio.run(ask())

    return send


def test_its_scope_is_that_of_the_router(send: Callable[[str, str], httpx.Response]) -> None:
    for _ in range(2):
        answer = send("POST", "/v1/things")
        assert (answer.status_code, answer.json()) == (
            202, {"path_params": {}, "route": "/v1/things", "endpoint": "create"},
        )  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v1/things?darkroom", 400),
        ("POST", "/v1/things?unexpected", 500),
        ("GET", "/v1/things", 405),
        ("POST", "/v1/other", 404),
    ],
)
def test_its_errors_are_those_of_the_router(
    send: Callable[[str, str], httpx.Response], method: str, path: str, status: int
) -> None:
    answer = send(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
