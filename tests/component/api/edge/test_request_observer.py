"""Every request has an id, is counted under its route's template, and is logged in one line.

Over 300 lines: it holds all tests of one module, whose name it has.
"""

import asyncio
import contextlib
import io
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Annotated, Any

import httpx
import orjson
import pytest
import uvicorn
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.responses import StreamingResponse
from fastapi.staticfiles import StaticFiles
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from starlette.requests import ClientDisconnect

from api.edge.request_observer import RequestObserver
from api.http import problems
from api.http.problems import CLIENT_LEFT
from api.http.request_facts import client_request_id
from api.state.draining import Draining
from shared.domain.errors import StorageUnavailable, UnknownPrediction
from shared.domain.identifiers import is_uuid
from shared.observability.logs import JsonLines, bind
from shared.observability.metrics import GatewayMetrics

REQUESTS = "darkroom_http_requests_total"
SECONDS = "darkroom_http_request_duration_seconds_count"
Lines = Callable[[], list[dict[str, Any]]]
FAULTS = {
    "broken": RuntimeError("the gateway's own fault"),
    "leaves": ClientDisconnect(),
    "unavailable": StorageUnavailable(store="redis", retry_after=timedelta(seconds=1)),
}


def routes(metrics: GatewayMetrics) -> APIRouter:
    """Pages that end in each way a page can."""
    router = APIRouter(prefix="/v1")

    @router.get("/things/{id}")
    async def thing(id: str) -> dict[str, str]:
        if id == "nobody":
            raise UnknownPrediction(id=id)
        bind(prediction_id=id)
        return {"id": id}

    @router.post("/things")
    async def post(request: Request, limit: Annotated[int, Query(ge=1)] = 1) -> Response:
        bind(bytes=len(await request.body()), limit=limit)
        return Response(status_code=202)

    @router.get("/in-progress")
    async def in_progress() -> float | None:
        return metrics.registry.get_sample_value("darkroom_http_requests_in_progress")

    @router.get("/raise/{fault}")
    async def fail(fault: str) -> None:
        raise FAULTS[fault]

    @router.get("/breaks-off")
    async def breaks_off() -> Response:
        async def body() -> AsyncIterator[bytes]:
            yield b"begun"
            raise RuntimeError("no more")

        return StreamingResponse(body())

    @router.get("/never")
    async def never() -> None:
        await asyncio.Event().wait()

    return router


@pytest.fixture
def metrics() -> GatewayMetrics:
    return GatewayMetrics(CollectorRegistry())


@pytest.fixture
def make_app(metrics: GatewayMetrics, tmp_path: Any) -> Callable[..., FastAPI]:
    def make(*, lines: Any = "all") -> FastAPI:
        app = FastAPI()
        app.add_middleware(RequestObserver, metrics=metrics, draining=Draining(), lines=lines)
        problems.install(app)
        app.include_router(routes(metrics))
        app.mount("/pages", StaticFiles(directory=tmp_path))
        return app

    return make


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What the gateway and the server write, one object a line."""
    handler = logging.StreamHandler(io.StringIO())
    handler.setFormatter(JsonLines())
    loggers = [logging.getLogger(name) for name in ("api", "uvicorn.error")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    yield lambda: [orjson.loads(line) for line in handler.stream.getvalue().splitlines()]
    for logger in loggers:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


def ask(app: FastAPI, *asked: str | tuple[str, str], headers: dict[str, str] | None = None) -> list[httpx.Response]:
    """Ask for each path, or method and path."""

    async def within() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            pairs = [("GET", one) if isinstance(one, str) else one for one in asked]
            return [await client.request(method, path) for method, path in pairs]

    return asyncio.run(within())


def counted(metrics: GatewayMetrics, name: str) -> dict[tuple[str, ...], float]:
    """Return a metric's samples by the values of their labels: method, route and status."""
    samples = (sample for family in metrics.registry.collect() for sample in family.samples if sample.name == name)
    return {
        tuple(sample.labels[label] for label in ("method", "route", "status") if label in sample.labels): sample.value
        for sample in samples
    }


# The id


@pytest.mark.parametrize("id", ["a", "0193d5a2-7b1c-7c3e-9d55-3f6f2a0c9b11", "trace/Root=1-67:9@host+_.x", "x" * 128])
def test_a_valid_request_id_of_the_client_is_used(make_app: Callable[..., FastAPI], lines: Lines, id: str) -> None:
    [answer] = ask(make_app(), "/v1/things/1", headers={"X-Request-ID": id})
    assert answer.headers["x-request-id"] == id
    assert [line["request_id"] for line in lines()] == [id]


@pytest.mark.parametrize("id", ["", "two words", 'quo"te', "x" * 129, "ä", "a\tb", "<script>", "a,b"])
def test_an_invalid_request_id_is_replaced(make_app: Callable[..., FastAPI], lines: Lines, id: str) -> None:
    [answer] = ask(make_app(), "/v1/things/1", headers={"X-Request-ID": id.encode()})  # type: ignore[dict-item]
    assert is_uuid(answer.headers["x-request-id"])
    assert [line["request_id"] for line in lines()] == [answer.headers["x-request-id"]]


@given(st.binary(max_size=140) | st.text("aZ09._:@/+=-\n\r ", max_size=140).map(str.encode))
def test_a_request_id_of_any_bytes_is_used_whole_or_replaced(id: bytes) -> None:
    found = client_request_id([(b"host", b"h"), (b"x-request-id", id)])
    assert found is None or (found.encode() == id and found.isprintable() and len(found) <= 128)


def test_requests_without_an_id_get_different_ids(make_app: Callable[..., FastAPI]) -> None:
    ids = [answer.headers["x-request-id"] for answer in ask(make_app(), *["/v1/things/1"] * 100)]
    assert len(set(ids)) == 100


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("/v1/things/1", 200),
        (("POST", "/v1/things"), 202),
        ("/v1/things/nobody", 404),
        ("/nowhere", 404),
        (("DELETE", "/v1/things/1"), 405),
        (("POST", "/v1/things?limit=0"), 422),
        ("/v1/raise/leaves", CLIENT_LEFT),
        ("/v1/raise/broken", 500),
        ("/v1/raise/unavailable", 503),
    ],
)
def test_every_answer_has_the_request_id_once(make_app: Callable[..., FastAPI], asked: Any, status: int) -> None:
    [answer] = ask(make_app(), asked, headers={"X-Request-ID": "mine"})
    assert (answer.status_code, answer.headers.get_list("x-request-id")) == (status, ["mine"])


# The counts


def test_requests_are_counted_by_route_template(make_app: Callable[..., FastAPI], metrics: GatewayMetrics) -> None:
    asked: list[Any] = ["/v1/things/1", "/v1/things/2?x=3", "/v1/things/nobody", ("POST", "/v1/things")]
    ask(make_app(), *asked, "/v1/raise/leaves", "/v1/raise/broken", "/v1/raise/unavailable")
    assert counted(metrics, REQUESTS) == {
        ("GET", "/v1/things/{id}", "200"): 2,
        ("GET", "/v1/things/{id}", "404"): 1,
        ("POST", "/v1/things", "202"): 1,
        ("GET", "/v1/raise/{fault}", "499"): 1,
        ("GET", "/v1/raise/{fault}", "500"): 1,
        ("GET", "/v1/raise/{fault}", "503"): 1,
    }
    assert counted(metrics, SECONDS) == {
        ("GET", "/v1/things/{id}"): 3,
        ("POST", "/v1/things"): 1,
        ("GET", "/v1/raise/{fault}"): 3,
    }


def test_paths_and_methods_that_clients_invent_become_no_labels(
    make_app: Callable[..., FastAPI], metrics: GatewayMetrics
) -> None:
    paths = ["/nowhere", "/v1", "/v1/things/a/b", "/v1/things/1/", "//", "/%0a", "/problems/x/y"]
    answers = ask(make_app(), *paths, *((f"MADE-UP-{n}", "/v1/things/1") for n in range(3)), ("BREW", "/pot"))
    assert {answer.status_code for answer in answers} == {404, 405, 307}
    assert {key: value for key, value in counted(metrics, REQUESTS).items() if key[2] != "307"} == {
        ("GET", "unmatched", "404"): len(paths) - 1,
        ("other", "/v1/things/{id}", "405"): 3,
        ("other", "unmatched", "404"): 1,
    }
    assert counted(metrics, REQUESTS)["GET", "unmatched", "307"] == 1


def test_mounted_pages_are_counted_by_their_paths(
    make_app: Callable[..., FastAPI], metrics: GatewayMetrics, tmp_path: Any
) -> None:
    (tmp_path / "page.html").write_text("a page")
    ask(make_app(), "/docs", "/openapi.json", "/pages/page.html", "/pages/no/such.html")
    assert counted(metrics, REQUESTS) == {
        ("GET", "/docs", "200"): 1,
        ("GET", "/openapi.json", "200"): 1,
        ("GET", "/pages", "200"): 1,
        ("GET", "/pages", "404"): 1,
    }


def test_requests_in_progress_are_those_being_answered(
    make_app: Callable[..., FastAPI], metrics: GatewayMetrics
) -> None:
    [answer] = ask(make_app(), "/v1/in-progress")
    assert answer.json() == 1
    ask(make_app(), "/v1/raise/broken", "/nowhere")
    assert metrics.registry.get_sample_value("darkroom_http_requests_in_progress") == 0


def test_a_request_without_an_answer_is_not_counted(
    make_app: Callable[..., FastAPI], metrics: GatewayMetrics, lines: Lines
) -> None:
    app = make_app()

    async def within() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(client.get("/v1/never"), 0.05)

    asyncio.run(within())
    assert counted(metrics, REQUESTS) == {}
    assert metrics.registry.get_sample_value("darkroom_http_requests_in_progress") == 0
    assert lines() == []


# The lines


@pytest.mark.parametrize(("wanted", "told"), [("none", []), ("errors", [500, 503]), ("all", [200, 404, 500, 503])])
def test_the_log_setting_selects_which_requests_are_logged(
    make_app: Callable[..., FastAPI], lines: Lines, wanted: str, told: list[int]
) -> None:
    ask(make_app(lines=wanted), "/v1/things/1", "/nowhere", "/v1/raise/broken", "/v1/raise/unavailable")
    assert [(line["event"], line["status"]) for line in lines()] == [("request", status) for status in told]
    assert {line["level"] for line in lines() if line["status"] >= 500} <= {"warning"}


def test_a_log_line_has_the_requests_facts_and_none_of_its_content(
    make_app: Callable[..., FastAPI], lines: Lines
) -> None:
    headers = {"X-Request-ID": "mine", "Authorization": "Bearer swordfish"}
    ask(make_app(), "/v1/things/1?token=swordfish", "/nowhere/swordfish", ("SWORDFISH", "/"), headers=headers)
    line, *others = lines()
    assert 0 < line.pop("milliseconds") < 10_000
    del line["time"]
    assert line == {
        "level": "info",
        "event": "request",
        "logger": "api.edge.request_observer",
        "request_id": "mine",
        "prediction_id": "1",
        "method": "GET",
        "route": "/v1/things/{id}",
        "status": 200,
    }
    assert "swordfish" not in str(others).lower()


# Behind a real server


async def served(app: FastAPI, claim: Callable[[int], Awaitable[None]]) -> None:
    """Serve the app with uvicorn as `darkroom up` does, but for the port and the loop."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, http="httptools", log_config=None, access_log=False))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  it has no event for that
        await asyncio.sleep(0.005)
    try:
        await claim(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await serving


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["small", "large"])
@pytest.mark.parametrize("at_once", [False, True], ids=["one by one", "pipelined"])
def test_no_fact_of_a_request_is_bound_to_the_next_on_its_connection(
    make_app: Callable[..., FastAPI], lines: Lines, size: int, *, at_once: bool
) -> None:
    # A pipelined request's task, and with asyncio's own loop one after a large body, begins with a copy of the context
    # of the request before.
    first = b"POST /v1/things HTTP/1.1\r\nHost: h\r\nX-Request-ID: first\r\nContent-Length: %d\r\n\r\n" % size
    first += bytes(size)
    second = b"GET /v1/in-progress HTTP/1.1\r\nHost: h\r\nX-Request-ID: second\r\n\r\n"

    async def claim(port: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for sent in [first + second] if at_once else [first, second]:
            writer.write(sent)
            for _ in range(sent.count(b"HTTP/1.1")):
                await reader.readuntil(b"\r\n\r\n")
        writer.close()

    asyncio.run(served(make_app(), claim))
    about = {line["request_id"]: line for line in lines() if line["event"] == "request"}
    assert about["first"]["bytes"] == size
    assert about["second"].keys() == about["first"].keys() - {"bytes", "limit"}


@pytest.mark.parametrize(("path", "route"), [("/v1/raise/broken", "/v1/raise/{fault}"), ("/v1/breaks-off",) * 2])
def test_an_internal_error_has_one_line_and_one_traceback_with_the_id(
    make_app: Callable[..., FastAPI], metrics: GatewayMetrics, lines: Lines, path: str, route: str
) -> None:
    async def claim(port: int) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            with contextlib.suppress(httpx.RemoteProtocolError):
                await client.get(path, headers={"X-Request-ID": "mine"})

    asyncio.run(served(make_app(lines="errors"), claim))
    told = [line for line in lines() if "request_id" in line]
    assert [(line["event"], line["request_id"]) for line in told] == [
        ("request", "mine"),
        ("Exception in ASGI application", "mine"),
    ]
    assert [line["exception"].count("RuntimeError: ") for line in told if "exception" in line] == [1]
    assert counted(metrics, REQUESTS) == {("GET", route, "500"): 1}
