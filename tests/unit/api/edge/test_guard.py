"""Every route of the app, by every method and in every spelling of its path, with a key of each role and with none.

Over 300 lines: it holds all tests of one module, whose name it has.
"""

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.types import Message, Receive, Scope, Send

from api.edge import guard
from api.edge.auth import Authentication
from api.edge.guard import GuardedRoute
from api.main import create_app
from api.state.draining import Draining
from api.state.open_requests import OpenRequests
from shared.domain.api_keys import Caller, Role
from shared.domain.identifiers import KeyId, Owner, PredictionId, new_uuid7
from shared.domain.key_limits import Limits
from shared.presentation.stream_tokens import StreamTokens

ID = new_uuid7()
KEYS: dict[str, Caller] = {
    f"dk_{role}": Caller(owner=Owner("ann"), role=role, limits=Limits(key=KeyId(new_uuid7()))) for role in Role
}
# The required roles, repeated here by what each route does.
OPEN = {
    "/",
    "/console/{digest}/{path:path}",
    "/docs",
    "/docs/{name}",
    "/openapi.json",
    "/problems/{slug}",
    "/health/live",
    "/health/ready",
}
OTHERWISE = {
    ("POST", "/v1/models/{name}/promote"): Role.ADMIN,
    ("POST", "/v1/models/{name}/rollback"): Role.ADMIN,
    ("POST", "/v1/models/{name}/challenger"): Role.ADMIN,
    ("DELETE", "/v1/models/{name}/challenger"): Role.ADMIN,
    ("POST", "/v1/models/{name}/shadow"): Role.ADMIN,
    ("DELETE", "/v1/models/{name}/shadow"): Role.ADMIN,
    ("POST", "/v1/models/{name}/canary"): Role.ADMIN,
    ("DELETE", "/v1/models/{name}/canary"): Role.ADMIN,
    ("GET", "/v1/api-keys"): Role.ADMIN,
    ("POST", "/v1/api-keys"): Role.ADMIN,
    ("POST", "/v1/api-keys/{id}/revoke"): Role.ADMIN,
    ("GET", "/metrics"): Role.ADMIN,
    ("GET", "/v1/status"): Role.ADMIN,
    ("GET", "/v1/status/history"): Role.ADMIN,
    ("POST", "/v1/webhooks/default/secret/rotate"): Role.ADMIN,
    ("GET", "/v1/webhooks/default/secret"): Role.SUBMIT,
}
BELOW_ADMIN = (None, Role.READ, Role.SUBMIT)
"""Whoever may not use every endpoint: nothing can let an administrator do too much."""
NOBODY = SimpleNamespace(check=lambda _: None)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")
SPELLINGS: dict[str, Callable[[str], str]] = {
    "newline": lambda path: path + "%0A",
    "raw newline": lambda path: path + "\n",
    "return": lambda path: path + "%0d",
    "both": lambda path: path + "%0d%0a",
    "nul": lambda path: path + "%00",
    "tab": lambda path: path + "%09",
    "delete": lambda path: path + "%7f",
    "next line": lambda path: path + "%C2%85",
    "line separator": lambda path: path + "%E2%80%A8",
    "newline first": lambda path: "/%0A" + path[1:],
    "newline before the last part": lambda path: "%0A/".join(path.rsplit("/", 1)),
    "space": lambda path: path + "%20",
    "slash": lambda path: path + "/",
    "two slashes": lambda path: path + "//",
    "two slashes first": lambda path: "/" + path,
    "two slashes within": lambda path: "/" + path[1:].replace("/", "//"),
    "encoded slashes": lambda path: "/" + path[1:].replace("/", "%2F"),
    "encoded last slash": lambda path: path + "%2f",
    "encoded twice": lambda path: path + "%250A",
    "backslash": lambda path: path.replace("/", "%5C"),
    "parameters": lambda path: path + ";x=1",
    "upper case": str.upper,
    "dot": lambda path: path + "/.",
    "dots": lambda path: path + "/x/..",
    "dots first": lambda path: "/docs/.." + path,
    "encoded dots": lambda path: "/docs/%2e%2e" + path,
    "fullwidth": lambda path: path.replace("/", "%EF%BC%8F"),
    "not UTF-8": lambda path: path + "%FF",
    "encoded": lambda path: "/" + "".join(f"%{ord(letter):02x}" if letter != "/" else "/" for letter in path[1:]),
}
REFUSED = {307, 400, 401, 403, 404, 405}


class ApiKeys:
    """Knows KEYS."""

    def known(self, key: str) -> Caller | None:
        return KEYS.get(key)

    async def find(self, key: str) -> Caller | None:
        return KEYS.get(key)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    """One event loop for all: tens of thousands of requests."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def app(runner: asyncio.Runner) -> FastAPI:
    """The whole app, asking for keys, with nothing behind it but the keys: what is admitted fails."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DARKROOM_AUTH_REQUIRED", "true")
        app = create_app(Draining())
    app.state.gateway = SimpleNamespace(
        api_keys=ApiKeys(), open_requests=OpenRequests(), purges=NOBODY, tokens=StreamTokens(b"secret")
    )
    app.state.runner = runner
    return app


def ask(app: FastAPI, method: str, target: str, key: str = "", **headers: str) -> tuple[int, Scope]:
    """Return the status and what was made of the request; 500 where an endpoint ran and found nothing behind it."""
    raw, _, query = target.partition("?")
    given = {"host": "h", **headers} | ({"authorization": f"Bearer {key}"} if key else {})
    scope: Scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": method,
        "scheme": "http", "path": unquote(raw), "raw_path": raw.encode(), "query_string": query.encode(),
        "root_path": "", "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "server": ("10.0.0.1", 80), "client": ("10.0.0.2", 1), "state": {},
    }  # fmt: skip
    statuses: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def within() -> None:
        try:
            await app(scope, receive, send)
        except (AttributeError, KeyError):
            assert statuses == [500]

    app.state.runner.run(within())
    return statuses[0], scope


def operations(app: FastAPI) -> Iterator[tuple[str, str, str]]:
    """Return every method and path of the app, and the path with its parameters filled in."""
    for context in iter_route_contexts(app.routes):
        assert context.path
        filled = context.path.replace("{id}", ID).replace("{name}", "digits").replace("{owner}", "ann")
        for method in context.methods or ():
            yield method, context.path, filled.replace("{slug}", "not-found")


def needed(method: str, template: str) -> Role | None:
    if template in OPEN:
        return None
    return OTHERWISE.get((method, template)) or (Role.READ if method == "GET" else Role.SUBMIT)


def may(role: Role | None, wanted: Role | None) -> bool:
    return wanted is None or (role is not None and role.may(wanted))


def test_every_route_requires_its_role(app: FastAPI) -> None:
    asked = 0
    for method, template, path in operations(app):
        wanted = needed(method, template)
        for role in (None, *Role):
            for sent in (method, "HEAD") if method == "GET" else (method,):
                status, _ = ask(app, sent, path, key=f"dk_{role}" if role else "")
                if may(role, wanted):
                    assert status not in REFUSED - {307, 404, 400}, (sent, path, role)
                    assert status != 400 or sent == "POST", (sent, path, role)  # an empty body
                else:
                    assert status == (403 if role else 401), (sent, path, role)
                asked += 1
    assert asked > 200


@pytest.mark.slow
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_path_spelling_or_method_bypasses_the_required_role(app: FastAPI, spelling: str) -> None:
    """Whatever the path's spelling, only endpoints that this role may use run."""
    spell = SPELLINGS[spelling]
    for path in sorted({path for _, _, path in operations(app)}):
        for method in METHODS:
            for role in BELOW_ADMIN:
                status, scope = ask(app, method, spell(path), key=f"dk_{role}" if role else "")
                if status in REFUSED:
                    continue
                route = scope["route"]
                assert isinstance(route, APIRoute)
                wanted = needed("GET" if method == "HEAD" else method, route_template(app, route))
                assert may(role, wanted), (method, spell(path), role, status)
                assert status == 415 or "GET" in route.methods or method in route.methods


def route_template(app: FastAPI, route: APIRoute) -> str:
    [template] = {context.path for context in iter_route_contexts(app.routes) if context.original_route is route}
    assert template
    return template


@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if "newline" in name or name in (
    "return", "both", "nul", "tab", "delete", "next line")])  # fmt: skip
def test_a_control_character_in_a_path_is_refused_with_a_reason(app: FastAPI, spelling: str) -> None:
    for key in ("", "dk_read", "dk_admin"):
        for path in ("/metrics", "/docs", "/nowhere"):
            assert ask(app, "GET", SPELLINGS[spelling](path), key=key)[0] == 400


def test_a_client_without_a_key_cannot_tell_which_paths_exist(app: FastAPI) -> None:
    for path in ("/nowhere", "/v1/predictions/", "/v1/predictions/x/y", "//", "/docs/"):
        for method in METHODS:
            assert ask(app, method, path)[0] == 401, (method, path)
    assert ask(app, "GET", "/nowhere", key="dk_read")[0] == 404
    assert ask(app, "GET", "/v1/predictions/?limit=1", key="dk_read")[0] == 307
    assert ask(app, "PUT", "/v1/predictions", key="dk_read")[0] == 405
    assert ask(app, "PUT", "/v1/predictions")[0] == 401
    assert ask(app, "POST", "/docs")[0] == 405


def test_a_streams_token_opens_only_the_two_streams(app: FastAPI) -> None:
    good = StreamTokens(b"secret").sign(PredictionId(ID))
    for template, path in sorted({(template, path) for _, template, path in operations(app)}):
        for method in METHODS:
            status, _ = ask(app, method, f"{path}?token={good}")
            if template in OPEN:
                continue
            if template.endswith("/stream") and method in ("GET", "HEAD"):
                assert status == 500, (method, path)
            else:
                assert status == 401, (method, path)
    for path in ("/v1/models/ann/stream", "/v1/models/stream", "/v1/predictions/x/stream"):
        assert ask(app, "GET", f"{path}?token={good}")[0] == 401, path


@pytest.mark.parametrize(
    "token",
    [
        "", "x", ".", "1.", ".1", "9" * 5000, "9" * 5000 + "." + "a" * 36, "9" * 12 + "." + "a" * 36, "-1." + "a" * 36,
        "9" * 12 + "." + "a" * 36 + "%0A", "%D9%A1." + "a" * 36, "1e5." + "a" * 36, "9" * 13 + "." + "a" * 36, "%00",
        "%FF", "9" * 12 + "." + "A" * 36, "a" * 16_000, " ", "+1." + "a" * 36, "0x1." + "a" * 36,
        "9" * 12 + "." + "é" * 36,
    ],
)  # fmt: skip
def test_a_token_not_signed_by_us_is_no_key(app: FastAPI, token: str) -> None:
    for path in (f"/v1/predictions/{ID}/stream", f"/v1/batches/{ID}/stream"):
        assert ask(app, "GET", f"{path}?token={token}")[0] == 401


def test_a_token_for_another_id_or_of_another_time_is_no_key(app: FastAPI) -> None:
    tokens = StreamTokens(b"secret")
    other, theirs = tokens.sign(PredictionId(new_uuid7())), StreamTokens(b"theirs").sign(PredictionId(ID))
    over = f"1.{tokens._digest(PredictionId(ID), 1)}"
    for token in (other, theirs, over):
        assert ask(app, "GET", f"/v1/predictions/{ID}/stream?token={token}")[0] == 401


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, identity", "zstd", "x"])
def test_no_route_takes_a_compressed_body(app: FastAPI, encoding: str) -> None:
    headers = {"content-encoding": encoding}
    for method, _, path in operations(app):
        status, _ = ask(app, method, path, key="dk_admin", **headers)
        assert (status == 415) == (method not in ("GET", "HEAD")), (method, path)
    assert ask(app, "POST", "/v1/predictions", **headers)[0] == 401
    assert ask(app, "POST", "/v1/predictions", key="dk_admin", **{"content-encoding": " Identity"})[0] != 415


def test_every_get_with_query_parameters_refuses_others_by_name(app: FastAPI) -> None:
    """The document says which operations have parameters; streams take those of EventSource's replacements."""
    refusing = set()
    for path, methods in app.openapi()["paths"].items():
        names = [said["name"] for said in methods.get("get", {}).get("parameters", ()) if said["in"] == "query"]
        if not names or path.endswith("/stream"):
            continue
        refusing.add(path)
        filled = path.replace("{id}", ID).replace("{name}", "digits").replace("{owner}", "ann")
        wrong = f"{names[0][:-1]}X"
        for method in ("GET", "HEAD"):
            assert ask(app, method, f"{filled}?{wrong}=1")[0] == 401, path
            assert ask(app, method, f"{filled}?{wrong}=1", key="dk_admin")[0] == 422, path
            assert ask(app, method, f"{filled}?{names[0]}=1&%F6=1", key="dk_admin")[0] == 422, path
            assert ask(app, method, f"{filled}?{'&' * 9}", key="dk_admin")[0] != 422, path
    lists = {"/v1/predictions", "/v1/batches", "/v1/files", "/v1/webhook-deliveries"}
    assert refusing >= {*lists, "/v1/batches/{id}/results"}
    for path in (f"/v1/predictions/{ID}/stream", "/v1/models", f"/v1/batches/{ID}/stream"):
        assert ask(app, "GET", f"{path}?lastEventId=1", key="dk_admin")[0] != 422, path


# Routes added later


@pytest.fixture
def new_app(runner: asyncio.Runner) -> FastAPI:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_middleware(Authentication, required=True, public_url="")
    app.state.gateway = SimpleNamespace(api_keys=ApiKeys(), open_requests=OpenRequests(), purges=NOBODY)
    app.state.runner = runner
    return app


async def _hello() -> str:
    return "hello"


async def _asgi(_: Scope, __: Receive, ___: Send) -> None:
    pass


def _add_plain(app: FastAPI) -> None:
    app.add_api_route("/new", _hello)


def _include_plain(app: FastAPI) -> None:
    router = APIRouter()
    router.add_api_route("/new", _hello)
    outer = APIRouter(route_class=GuardedRoute)
    outer.include_router(router, prefix="/deep")
    app.include_router(outer)


def _mount(app: FastAPI) -> None:
    app.mount("/new", _asgi)


def _add_websocket(app: FastAPI) -> None:
    app.add_api_websocket_route("/new", _hello)


def _add_pages(app: FastAPI) -> None:
    app.frontend("/new", directory="tests")


@pytest.mark.parametrize("add", [_add_plain, _include_plain, _mount, _add_websocket, _add_pages])
def test_an_app_with_a_route_without_a_policy_does_not_start(add: Callable[[FastAPI], None], new_app: FastAPI) -> None:
    add(new_app)
    with pytest.raises(TypeError, match=r"checks? no key"):
        guard.install(new_app)


def test_a_route_without_a_policy_refuses_everybody(new_app: FastAPI) -> None:
    app = new_app
    router = APIRouter(route_class=GuardedRoute)
    for methods in (["GET"], ["POST"], ["GET", "DELETE"]):
        router.add_api_route(f"/new-{'-'.join(methods)}", _hello, methods=methods)
    app.include_router(router)
    guard.install(app)
    # An app's errors are the app's own here: a refusal is one that is raised.
    found: dict[str, list[Any]] = {}
    for method, path in (("GET", "/new-GET"), ("POST", "/new-POST"), ("GET", "/new-GET-DELETE")):
        found[path] = []
        for role in (None, *Role):
            try:
                found[path].append(ask(app, method, path, key=f"dk_{role}" if role else "")[0])
            except Exception as error:  # noqa: BLE001
                found[path].append(type(error).__name__)
    assert found == {
        "/new-GET": ["Unauthorized", 200, 200, 200],
        "/new-POST": ["Unauthorized", "Forbidden", 200, 200],
        "/new-GET-DELETE": ["Unauthorized", "Forbidden", 200, 200],
    }
