"""The console's page and files, as the gateway sends them."""

from typing import Any

import httpx
from sqlalchemy import Engine

from api.console.files import web_files
from api.console.routes import FOR_GOOD, POLICY


def test_the_page_is_asked_for_anew_and_its_files_are_kept_for_good(serve: Any, nowhere: Engine) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        page = await client.get("/")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers.get_list("content-security-policy") == [POLICY]
        assert page.headers["cache-control"] == "no-cache"
        digest = web_files().digest
        script = await client.get(f"/console/{digest}/app.js")
        assert script.headers["content-type"] == "text/javascript; charset=utf-8"
        assert script.headers["cache-control"] == FOR_GOOD
        assert script.content == web_files().by_path["app.js"].content

    serve(claim, engine=nowhere)


def test_a_page_of_another_version_gets_files_that_it_does_not_keep(serve: Any, nowhere: Engine) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        script = await client.get("/console/0123456789abcdef/app.js")
        assert script.status_code == 200
        assert script.headers["cache-control"] == "no-store"

    serve(claim, engine=nowhere)


def test_files_are_compressed_for_those_who_take_that(serve: Any, nowhere: Engine) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        path = f"/console/{web_files().digest}/style/base.css"
        plain = await client.get(path, headers={"Accept-Encoding": "identity"})
        packed = await client.get(path, headers={"Accept-Encoding": "br, gzip"})
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert int(packed.headers["content-length"]) < int(plain.headers["content-length"])
        assert plain.content == packed.content
        assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"

    serve(claim, engine=nowhere)


def test_nothing_else_of_the_package_is_served(serve: Any, nowhere: Engine) -> None:
    async def claim(client: httpx.AsyncClient) -> None:
        digest = web_files().digest
        for path in (
            "../files.py",
            "..%2Ffiles.py",
            "vendor/README.md",
            "vendor/preact.LICENSE",
            "index.html",
            "lib",
            "",
            "nothing.js",
        ):
            assert (await client.get(f"/console/{digest}/{path}")).status_code == 404

    serve(claim, engine=nowhere)
