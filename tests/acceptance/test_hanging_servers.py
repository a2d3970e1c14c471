"""Redis, Postgres or both hang: every operation of the OpenAPI document is answered, with what the document says."""

import contextlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from shared.domain.identifiers import new_uuid7
from tests.support.batches import accepted, lines, send_lines
from tests.support.breakable_stack import Breakable, picture
from tests.support.extra_processes import GatewayByHand
from tests.support.waiting import LIMIT

PNG = {"Content-Type": "image/png"}
BODIES: dict[str, dict[str, Any]] = {
    "/v1/batches": {"content": lines([("1.png", picture(1))]), "headers": {"Content-Type": "application/x-ndjson"}},
    "/v1/files": {"files": {"content": ("1.png", picture(1), "image/png")}},
    "/v1/feedback": {"content": b"id,label\n", "headers": {"Content-Type": "text/csv"}},
    "/v1/batches/{id}/feedback": {"content": b"id,label\n", "headers": {"Content-Type": "text/csv"}},
    "/v1/predictions/{id}/feedback": {"json": {"label": "7"}},
    "/v1/models/{name}/promote": {"json": {"version": "1"}},
    "/v1/models/{name}/rollback": {"json": {"from": "1"}},
    "/v1/models/{name}/challenger": {"json": {"version": "1", "percent": 10}},
    "/v1/models/{name}/shadow": {"json": {"version": "1", "percent": 10}},
    "/v1/models/{name}/canary": {"json": {"version": "1", "percent": 10}},
    "/v1/api-keys": {"json": {"role": "read"}},
}
"""What a POST carries, where that is no image."""
HANGS = {
    "redis": ["redis_server"],
    "postgres": ["postgres"],
    "both": ["redis_server", "postgres"],
}


NEED_NO_STORE = {"/health/live", "/v1/account", "/v1/status", "/metrics"}


@dataclass(frozen=True)
class Asked:
    """A gateway on the breakable servers with short limits, its document, and ids that exist."""

    url: str
    document: dict[str, Any]
    ids: dict[str, str]

    def ask(self, method: str, path: str) -> httpx.Response:
        """Send the operation's request; raises where no answer comes in far longer than any limit."""
        id = self.ids.get(path.split("/")[2] if path.startswith("/v1/") else "", new_uuid7())
        where = path.replace("{id}", id).replace("{owner}", "darkroom").replace("{name}", self.ids["models"])
        body = BODIES.get(path, {"content": picture(2), "headers": PNG}) if method == "POST" else {}
        with httpx.Client(base_url=self.url, timeout=LIMIT, trust_env=False) as http:
            return http.request(method, re.sub("{.*?}", "1", where), **body)


@pytest.fixture(scope="module")
def asked(breakable: Breakable) -> Iterator[Asked]:
    gateway = GatewayByHand(breakable.stack, DARKROOM_REDIS_TIMEOUT="0.5", DARKROOM_DATABASE_TIMEOUT="0.5")
    try:
        gateway.begin()
        prediction = breakable.submit(picture(70_000))
        batch = accepted(send_lines(breakable.http, lines([("1.png", picture(70_001))])))["id"]
        breakable.ended(prediction)
        breakable.wait_until_mended()
        document = breakable.get("/openapi.json")
        model = breakable.get("/v1/models")["results"][0]["name"]
        yield Asked(gateway.url, document, {"predictions": prediction, "batches": batch, "models": model})
    finally:
        gateway.close()


@pytest.mark.parametrize("hang", HANGS)
def test_every_operation_is_answered_while_a_store_hangs(asked: Asked, breakable: Breakable, hang: str) -> None:
    operations = [(method.upper(), path) for path, methods in asked.document["paths"].items() for method in methods]
    with contextlib.ExitStack() as hanging, ThreadPoolExecutor(len(operations)) as threads:
        for server in HANGS[hang]:
            hanging.enter_context(getattr(breakable, server).hanging())
        answers = dict(zip(operations, threads.map(lambda operation: asked.ask(*operation), operations), strict=True))
    for (method, path), answer in answers.items():
        said = asked.document["paths"][path][method.lower()]["responses"]
        assert str(answer.status_code) in said, (method, path, answer.text)
        assert answer.status_code not in (500, 504), (method, path, answer.text)
        if answer.status_code == 503 and path.startswith("/v1/"):
            assert answer.json()["type"] == "/problems/storage-unavailable", (method, path, answer.text)
            assert int(answer.headers["Retry-After"]) > 0, (method, path)
    refused = {path for (_, path), answer in answers.items() if answer.status_code == 503}
    assert refused, "the store hung"
    assert not refused & NEED_NO_STORE
