"""A real gateway over sockets: HEAD beside GET, clients that half-close, trailers, compressed bodies."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product

import pytest
import redis
from sqlalchemy import Engine

from shared.domain.api_keys import Role
from shared.domain.identifiers import Owner
from shared.queue import keys
from shared.storage import api_keys
from tests.support.gateways import Gateway, Start
from tests.support.open_requests import chunk, line
from tests.support.pictures import renewed
from tests.support.waiting import LIMIT

# Headers that differ between answers or describe how the body is framed.
OWN = {"x-request-id", "date", "transfer-encoding", "connection", "content-length"}
# What they answer tells of the moment: two answers, a moment apart, differ in length too.
OF_THE_MOMENT = {"/health/ready", "/metrics", "/v1/status", "/v1/status/history"}


@pytest.fixture
def gateway(start: Start) -> Gateway:
    return start(False)  # noqa: FBT003


def said(gateway: Gateway, sent: bytes, *, half_close: bool = True) -> bytes:
    """Send all of it, half-close, and return everything received."""
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT) as link:
        link.sendall(sent)
        if half_close:
            link.shutdown(socket.SHUT_WR)
        found = b""
        while piece := link.recv(65536):
            found += piece
        return found


def post(path: str, body: bytes, content_type: str = "image/png", *lines: str) -> bytes:
    """Return a request."""
    head = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, *lines, "", ""]).encode() + body


def statuses(answers: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+) ", answers)]


def get_paths(document: dict[str, dict[str, object]], id: str) -> Iterator[str]:
    for path, operations in document["paths"].items():
        if "get" in operations:  # type: ignore[operator]
            yield path.replace("{id}", id).replace("{owner}", "o").replace("{name}", "digits")


def test_head_has_the_headers_of_get_and_no_body(gateway: Gateway, scan: bytes) -> None:
    with gateway.client() as client:
        id = client.post("/v1/predictions", content=scan, headers={"Content-Type": "image/png"}).json()["id"]
        ended = client.post(f"/v1/predictions/{id}/cancel").json()
        assert ended["status"] == "canceled"
        paths = {
            *get_paths(client.get("/openapi.json").json(), id), "/", "/docs", "/docs/start.js", "/openapi.json",
            "/problems/not-found", "/nowhere", "/v1/predictions/x", "/v1/predictions?limit=0", "/v1/models/none",
        }  # fmt: skip
        for path in sorted(paths):
            get, head = client.get(path), client.head(path)
            assert head.status_code == get.status_code, path
            assert head.content == b"", path
            same = [{k: v for k, v in answer.headers.items() if k not in OWN} for answer in (get, head)]
            assert same[0] == same[1], path
            assert ("content-length" in head.headers) == ("content-length" in get.headers), path
            if path not in OF_THE_MOMENT and "content-length" in get.headers:
                assert head.headers["content-length"] == get.headers["content-length"], path
        allowed = client.post("/v1/models").headers["Allow"]
        assert allowed == "GET, HEAD"
        assert client.head("/v1/webhooks/default/secret/rotate").status_code == 405
    assert "Traceback" not in gateway.log()


def test_head_of_a_stream_is_answered_at_once(gateway: Gateway, scan: bytes) -> None:
    with gateway.client() as client:
        id = client.post("/v1/predictions", content=scan, headers={"Content-Type": "image/png"}).json()["id"]
        head = client.head(f"/v1/predictions/{id}/stream")
        assert head.headers["content-type"].startswith("text/event-stream")
        assert client.head(f"/v1/predictions/{id}").status_code == 200
    assert "Traceback" not in gateway.log()


def test_a_client_that_half_closes_after_its_body_gets_the_answer(gateway: Gateway, scan: bytes) -> None:
    form = b'--b\r\nContent-Disposition: form-data; name="image"; filename="1.png"\r\n\r\n%b\r\n--b--\r\n' % scan
    lines = line(renewed(scan)) + line(renewed(scan))
    get = b"GET /v1/predictions HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    for sent, expected in (
        (post("/v1/predictions", renewed(scan)), [202]),
        (post("/v1/predictions", renewed(scan), "image/png", "Prefer: wait=1"), [202]),
        (post("/v1/predictions", form, "multipart/form-data; boundary=b"), [202]),
        (post("/v1/batches?model=digits", lines, "application/x-ndjson"), [202]),
        (post("/v1/predictions", b"text"), [415]),
        (get, [200]),
        (get + post("/v1/predictions", renewed(scan), "image/png", "Prefer: wait=1") + get, [200, 202, 200]),
    ):
        assert statuses(said(gateway, sent)) == expected, sent[:60]
    assert "Traceback" not in gateway.log()


def test_a_client_that_half_closes_within_its_body_enqueues_nothing(
    gateway: Gateway, scan: bytes, redis_client: redis.Redis
) -> None:
    for sent in (
        post("/v1/predictions", scan)[:-20],
        post("/v1/predictions", scan, "image/png", "Prefer: wait=5")[:-1],
    ):
        assert statuses(said(gateway, sent)) == []
    assert redis_client.zcard(keys.inflight(Owner("default"))) == 0
    assert "Traceback" not in gateway.log()


def test_trailers_are_not_headers(start: Start, engine: Engine) -> None:
    gateway = start(True)  # noqa: FBT003
    with engine.connect() as connection:
        key = api_keys.create_key(connection, Owner("ann"), role=Role.ADMIN)[1]
    chunked = (
        b"POST /v1/predictions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Type: image/png\r\n\r\n"
    )
    for head in (chunked, chunked.replace(b"POST /v1/predictions", b"GET /v1/predictions?limit=1")):
        for body in (b"", chunk(b"abc")):
            trailer = b"0\r\nAuthorization: Bearer " + key.encode() + b"\r\nHost: x\r\n\r\n"
            assert statuses(said(gateway, head + body + trailer)) == [401]
    assert "Traceback" not in gateway.log()


def test_a_compressed_body_is_refused_with_a_reason(gateway: Gateway) -> None:
    paths = ("/v1/predictions", "/v1/models/o/digits/predictions", "/v1/batches", "/v1/files")
    media_types = ("image/png", "application/json", "multipart/form-data; boundary=b", "application/x-ndjson")
    for path, media_type in product(paths, media_types):
        answer = said(gateway, post(path, b"\x1f\x8b" * 20, media_type, "Content-Encoding: gzip"))
        assert statuses(answer) == [415]
        assert b"\r\naccept-encoding: identity\r\n" in answer.lower()
        problem = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert problem["type"] == "/problems/unsupported-encoding"
        assert problem["detail"] == "a body with Content-Encoding: gzip is not taken; send it without"


def test_a_hundred_idle_connections_do_not_use_up_a_low_limit_of_descriptors(start: Start) -> None:
    """It was started with 64, as some services are with 1,024; it allows itself what the system does."""
    gateway = start(False, descriptors=64)  # noqa: FBT003
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    with ExitStack() as idle:
        for _ in range(100):
            idle.enter_context(socket.create_connection((host, int(port)), timeout=LIMIT))
        assert statuses(said(gateway, b"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")) == [200]


def test_control_characters_and_long_heads_are_answered_without_a_traceback(gateway: Gateway) -> None:
    for target, status in (
        ("/v1/predictions%0A", 400),
        ("/metrics%0a", 400),
        ("/%00", 400),
        ("/a\x01", 400),
        ("/a\x7f", 400),
    ):
        answer = said(gateway, f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        assert statuses(answer) == [status], target
        assert b"/problems/bad-request" in answer
    for head in (b"X: " + b"a" * 100_000, b"X: y\r\n" * 2000 + b"X: y"):
        answer = said(gateway, b"GET / HTTP/1.1\r\nHost: h\r\n" + head + b"\r\n\r\n", half_close=False)
        assert statuses(answer) == [431]
    assert statuses(said(gateway, b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", half_close=False)) == [
        414
    ]
    assert "Traceback" not in gateway.log()
