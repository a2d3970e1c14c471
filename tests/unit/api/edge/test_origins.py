"""Pages of other sites: refused while no keys are required, allowed by a setting, and preflights are answered."""

import asyncio
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.main import create_app
from api.state.draining import Draining
from api.state.open_requests import OpenRequests
from shared import settings
from shared.domain.api_keys import Caller, Role
from shared.domain.identifiers import Owner
from shared.settings import Gateway, SettingsError

NOBODY = SimpleNamespace(check=lambda _: None)
APP = "https://app.example"
WRITES = [
    ("POST", "/v1/predictions"), ("POST", "/v1/models/o/m/predictions"), ("POST", "/v1/batches"), ("POST", "/v1/files"),
    ("DELETE", "/v1/files/x"), ("POST", "/v1/predictions/x/cancel"), ("POST", "/v1/batches/x/cancel"),
    ("POST", "/v1/webhooks/default/secret/rotate"), ("POST", "/v1/webhook-deliveries/x/redeliver"),
]  # fmt: skip
# Refused for that, once it is known who sends it.
GZIP = {"Content-Encoding": "gzip"}
STRANGERS = [
    {"Origin": "http://evil.com"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:3000"}, {"Origin": ""},
    {"Origin": "http://127.0.0.1.evil.com"}, {"Origin": "https://app.example.evil.com"}, {"Origin": "http://evil.com/127.0.0.1"},
    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "unheard-of"},
    {"Origin": "http://evil.com", "Sec-Fetch-Site": "same-origin"},
    {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    {"Origin": "null", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Content-Type": "text/plain"},
    {"Origin": "http://evil.com", "Content-Type": "application/x-www-form-urlencoded"},
    {"Origin": "http://evil.com", "Authorization": "Bearer any"},
]  # fmt: skip
OURS: list[dict[str, str]] = [
    {}, {"Origin": "http://127.0.0.1"}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"},
    {"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}, {"Origin": "http://darkroom.test"},
    {"Origin": "http://localhost:8000", "Host": "localhost:8000", "Sec-Fetch-Site": "same-origin"},
]  # fmt: skip


class ApiKeys:
    """Knows one key."""

    def known(self, key: str) -> Caller | None:
        return Caller(owner=Owner("ann"), role=Role.ADMIN) if key == "dk_ann" else None

    async def find(self, key: str) -> Caller | None:
        return self.known(key)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The whole app without stores: an admitted request fails with a 500, or is refused for its content."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKROOM_PUBLIC_URL", "http://darkroom.test/")
        return _made()


@pytest.fixture(scope="module")
def shared_app() -> FastAPI:
    """The app with allowed origins."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKROOM_ALLOWED_ORIGINS", f'["{APP}", "http://localhost:3000"]')
        return _made()


@pytest.fixture(scope="module")
def closed_app() -> FastAPI:
    """The app with allowed origins that requires keys."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKROOM_ALLOWED_ORIGINS", f'["{APP}"]')
        patch.setenv("DARKROOM_AUTH_REQUIRED", "true")
        return _made()


def _made() -> FastAPI:
    app = create_app(Draining())
    app.state.gateway = SimpleNamespace(api_keys=ApiKeys(), open_requests=OpenRequests(), purges=NOBODY)
    return app


def ask(app: FastAPI, method: str, path: str, **headers: str) -> httpx.Response:
    async def within() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, headers=headers)

    return asyncio.run(within())


def is_refused(answer: httpx.Response) -> bool:
    return answer.status_code == 403 and "DARKROOM_ALLOWED_ORIGINS" in answer.json()["detail"]


@pytest.mark.parametrize("headers", STRANGERS, ids=str)
def test_without_keys_cross_site_requests_change_nothing(app: FastAPI, headers: dict[str, str]) -> None:
    for method, path in WRITES:
        assert is_refused(ask(app, method, path, **headers)), (method, path)


@pytest.mark.parametrize("headers", OURS, ids=str)
def test_same_origin_pages_and_other_clients_are_allowed(app: FastAPI, headers: dict[str, str]) -> None:
    for method, path in [*WRITES, ("GET", "/v1/predictions"), ("GET", "/v1/webhooks/default/secret")]:
        assert ask(app, method, path, **headers).status_code not in (401, 403), (method, path)


@pytest.mark.parametrize(
    "path", ["/v1/predictions", "/v1/predictions/x/stream", "/v1/webhooks/default/secret", "/metrics"]
)
def test_without_keys_cross_site_reads_work_only_by_navigation(app: FastAPI, path: str) -> None:
    for method in ("GET", "HEAD"):
        for mode in ("cors", "no-cors", "websocket"):
            answer = ask(app, method, path, **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode})
            assert answer.status_code == 403
        link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
        assert ask(app, method, path, **link).status_code != 403
    assert is_refused(ask(app, "GET", path, Origin="http://evil.com"))


@pytest.mark.parametrize("path", ["/docs", "/health/live", "/openapi.json", "/problems/not-found"])
def test_public_pages_can_be_linked_from_other_sites(app: FastAPI, path: str) -> None:
    assert ask(app, "GET", path, **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status_code == 200


def test_with_keys_cross_site_requests_need_a_key(app: FastAPI) -> None:
    headers = {"Origin": "http://evil.com", "Authorization": "Bearer dk_ann", "Sec-Fetch-Site": "cross-site", **GZIP}
    assert ask(app, "POST", "/v1/files", **headers).status_code == 415
    assert ask(app, "POST", "/v1/files", **headers | {"Authorization": "Bearer dk_other"}).status_code == 401


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_preflights_are_answered_only_for_allowed_origins(closed_app: FastAPI, method: str) -> None:
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "authorization,idempotency-key"}
    answer = ask(closed_app, "OPTIONS", "/v1/predictions", Origin=APP, **asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == APP
    assert method in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "authorization,idempotency-key"
    assert "access-control-allow-credentials" not in answer.headers
    assert "origin" in answer.headers["vary"].lower()
    for origin in ("https://evil.example", "null", "http://app.example", f"{APP}:8443", f"{APP}.evil"):
        refused = ask(closed_app, "OPTIONS", "/v1/predictions", Origin=origin, **asked)
        assert refused.status_code == 401
        assert not [name for name in refused.headers if name.startswith("access-control-")]


def test_an_allowed_origin_reads_answers_and_errors_with_headers(closed_app: FastAPI) -> None:
    key = {"Authorization": "Bearer dk_ann", **GZIP}
    for headers, status in ((key, 415), ({}, 401), ({"Authorization": "Bearer dk_x"}, 401)):
        answer = ask(closed_app, "POST", "/v1/files", Origin=APP, **headers)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers.get_list("cross-origin-resource-policy") == ["cross-origin"]
        exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
        assert {
            "location", "retry-after", "ratelimit", "ratelimit-policy", "x-request-id", "preference-applied",
        } <= exposed  # fmt: skip
    elsewhere = ask(closed_app, "POST", "/v1/files", Origin="https://evil.example", **key)
    assert elsewhere.headers["cross-origin-resource-policy"] == "same-origin"
    assert "access-control-allow-origin" not in elsewhere.headers


def test_without_keys_only_allowed_origins_are_served(shared_app: FastAPI) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    for origin in (APP, "http://localhost:3000"):
        for method, path in [*WRITES, ("GET", "/v1/predictions")]:
            answer = ask(shared_app, method, path, Origin=origin, **headers)
            assert answer.status_code not in (401, 403), (method, path)
            # A 500 is answered outside of every layer.
            assert answer.status_code == 500 or answer.headers["access-control-allow-origin"] == origin
    for origin in ("http://localhost:3001", "null", "http://evil.com"):
        assert is_refused(ask(shared_app, "POST", "/v1/predictions", Origin=origin, **headers))
    assert is_refused(ask(shared_app, "POST", "/v1/predictions", **headers))


@pytest.mark.parametrize(
    "origin", ["*", "null", "example.com", "https://a.example/", "https://a.example/x", "https://*.a", "", "//a"]
)
def test_an_origin_that_no_browser_sends_is_an_invalid_setting(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("DARKROOM_ALLOWED_ORIGINS", f'["{origin}"]')
    with pytest.raises(SettingsError, match=r"DARKROOM_ALLOWED_ORIGINS: .* is not an origin"):
        settings.read(Gateway)


def test_an_origin_is_normalised_as_browsers_write_it() -> None:
    given: Any = ("HTTPS://App.Example:443", "http://a:80", "http://a:8080", "app://x")
    assert Gateway(allowed_origins=given).allowed_origins == (
        "https://app.example",
        "http://a",
        "http://a:8080",
        "app://x",
    )
