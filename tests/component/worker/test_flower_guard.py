"""Flower without a login refuses other sites' pages, over real HTTP; the members of Flower and Tornado used exist."""

import asyncio
import inspect
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import flower.app
import flower.command
import httpx
import pytest
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.web import Application, RequestHandler

from tests.support.ports import free_port
from worker import flower_guard


class Pages(RequestHandler):
    """In place of Flower's pages."""

    def get(self) -> None:
        self.write("a page")

    post = get

    def check_xsrf_cookie(self) -> None:
        """As Flower does without a login."""


def ask(options: dict[str, Any], method: str = "GET", **headers: str) -> httpx.Response:
    """Return what a guarded dashboard answers."""

    class Dashboard(Application):
        def __init__(self) -> None:
            super().__init__([(r"/.*", Pages)])
            self.options = SimpleNamespace(
                **{"address": "127.0.0.1", "unix_socket": "", "basic_auth": None, "auth": None} | options
            )

    async def within() -> httpx.Response:
        port = free_port()
        server = HTTPServer(flower_guard._guarded(Dashboard)())
        server.listen(port, address="127.0.0.1")
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
                return await client.request(method, "/tasks", headers=headers)
        finally:
            server.stop()
            await server.close_all_connections()

    return asyncio.run(within())


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5555", "127.0.0.1.evil.example", "localhost.evil", "10.0.0.1"]
)
def test_a_host_name_that_is_not_this_machines_is_refused(host: str) -> None:
    answer = ask({}, Host=host)
    assert answer.status_code == 403
    assert "set FLOWER_BASIC_AUTH" in answer.text
    assert "a page" not in answer.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:5555", "localhost:5555", "LOCALHOST", "[::1]:5555", "127.8.8.8"]
)
def test_this_machines_host_names_are_served(host: str) -> None:
    assert ask({}, Host=host).text == "a page"


@pytest.mark.parametrize(
    "options",
    [{"basic_auth": ["user:password"]}, {"auth": ".*@example.com"}, {"address": ""}, {"address": "0.0.0.0"}],  # noqa: S104
)
def test_with_a_login_or_on_other_addresses_any_host_name_is_served(options: dict[str, Any]) -> None:
    assert ask(options, Host="flower.example").text == "a page"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403), ({"Sec-Fetch-Site": "same-origin"}, 200), ({}, 200),
        ({"Origin": "http://localhost", "Host": "localhost"}, 200),
    ],
)  # fmt: skip
def test_a_cross_site_request_changes_nothing(headers: dict[str, str], status: int) -> None:
    assert ask({}, "POST", **headers).status_code == status
    assert ask({}, "GET", **headers).status_code == 200


def test_the_command_that_flower_starts_is_guarded(monkeypatch: pytest.MonkeyPatch) -> None:
    command = ModuleType(flower_guard.COMMAND)
    command.Flower = flower.app.Flower  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, flower_guard.COMMAND, command)
    flower_guard.guard()
    assert issubclass(command.Flower, flower.app.Flower)  # type: ignore[attr-defined]
    assert command.Flower is not flower.app.Flower  # type: ignore[attr-defined]
    monkeypatch.delitem(sys.modules, flower_guard.COMMAND)
    flower_guard.guard()


def test_flower_and_tornado_have_the_members_that_are_used() -> None:
    """The class that the command makes its application from, Tornado's two methods, and the options that are read."""
    assert flower.command.__name__ == flower_guard.COMMAND
    assert "Flower" in inspect.unwrap(flower.command.flower.callback).__code__.co_names
    assert issubclass(flower.app.Flower, Application)
    assert callable(Application.find_handler)
    assert callable(Application.get_handler_delegate)
    assert {"address", "unix_socket", "basic_auth", "auth"} <= set(flower.options.default_options)
    assert "method" in HTTPServerRequest.__init__.__code__.co_varnames
