"""Headers that every answer has."""

from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from api.openapi import docs_page

HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
}


@pytest.mark.parametrize("path", ["/health/live", "/v1/files", "/nothing", "/problems/queue-full", "/openapi.json"])
def test_every_answer_forbids_framing_and_sniffing(serve: Any, path: str) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        answer = await client.get(path)
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "connection" not in answer.headers

    serve(claim)


def test_the_documentation_pages_run_only_our_own_files(serve: Any) -> None:

    async def claim(client: httpx.AsyncClient) -> None:
        page = await client.get("/docs")
        assert page.headers["content-security-policy"] == docs_page.POLICY
        assert page.headers.get_list("content-security-policy") == [docs_page.POLICY]
        assert "//" not in page.text.replace("<!doctype html>", "")
        for name in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js", "favicon-32x32.png"):
            assert f"docs/{name}" in page.text
            file = await client.get(f"/docs/{name}")
            assert file.status_code == 200
            assert file.headers["cache-control"] == "public, max-age=86400"
        for name in ("other.js", "..%2Fpyproject.toml", "__init__.py"):
            assert (await client.get(f"/docs/{name}")).status_code == 404

    serve(claim)


def test_while_draining_answers_close_the_connection(serve: Any, app: Any, nowhere: Engine) -> None:
    app.state.draining.has_begun = True

    async def claim(client: httpx.AsyncClient) -> None:
        assert (await client.get("/health/live")).headers["connection"] == "close"
        ready = await client.get("/health/ready")
        assert ready.status_code == 503
        assert "gateway: it is stopping" in ready.json()["down"]

    serve(claim, engine=nowhere)
