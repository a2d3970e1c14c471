"""The gateway's server: what it is configured with, how it drains, and what it needs of uvicorn's own members."""

import ast
import asyncio
import json
import logging
import re
import signal
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from api import main
from api.edge import http_connection
from api.edge.http_connection import HttpProtocol
from api.main import WrongServer, create_app
from api.server import Server, make_config
from api.state.draining import Draining
from shared import settings

USED_OF_A_CONNECTION = {
    "_unset_keepalive_if_required", "cycle", "flow", "headers", "loop", "pipeline", "scope", "server_state",
    "timeout_keep_alive_task", "transport", "url",
}  # fmt: skip
USED_OF_A_CYCLE = {
    "chunked_encoding", "disconnected", "keep_alive", "message_event", "response_complete", "response_started", "scope",
    "waiting_for_100_continue",
}  # fmt: skip
OVERRIDDEN_IN_A_CONNECTION = {
    "__init__", "data_received", "eof_received", "on_body", "on_headers_complete", "on_message_complete",
    "send_400_response",
}  # fmt: skip


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer nothing."""


def test_no_other_server_may_run_the_app() -> None:
    # As `uvicorn api.main:create_app --factory` calls it.
    with pytest.raises(WrongServer, match=r"python -m api\.server"):
        create_app()


@pytest.mark.parametrize(
    "variable",
    ["DARKROOM_REDIS_TIMEOUT", "DARKROOM_DATABASE_TIMEOUT", "DARKROOM_QUEUE_LEASE", "DARKROOM_WEBHOOKS_AT_ONCE_EACH"],
)
def test_a_setting_that_no_one_can_use_ends_the_start_before_redis_is_waited_for(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "abc")
    with pytest.raises(settings.SettingsError, match=rf"^{variable}: .+ \(it is 'abc'\)$"):
        create_app(Draining())


def test_what_the_lifespan_reads_is_read_before_it() -> None:
    functions = {node.name: ast.unparse(node) for node in ast.parse(Path(main.__file__).read_text()).body
                 if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}  # fmt: skip
    in_lifespan, in_create_app = (
        set(re.findall(r"settings\.read\(settings\.(\w+)\)", functions[name])) for name in ("lifespan", "create_app")
    )
    assert len(in_lifespan) > 5
    assert in_lifespan <= in_create_app | {read.__name__ for read in main.READ_IN_LIFESPAN}


def test_the_server_listens_where_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_config(app, settings.read(settings.Server))
    assert (config.host, config.port, config.uds, config.timeout_graceful_shutdown) == ("127.0.0.1", 8000, None, 25)
    for name, value in {"HOST": "::1", "PORT": "9", "SOCKET": "/run/api", "STOP_TIMEOUT": "5"}.items():
        monkeypatch.setenv(f"DARKROOM_SERVER_{name}", value)
    config = make_config(app, settings.read(settings.Server))
    assert (config.host, config.port, config.uds, config.timeout_graceful_shutdown) == ("::1", 9, "/run/api", 5)


def test_connections_are_limited_and_uvicorns_access_log_is_off() -> None:
    config = make_config(app, settings.Server())
    config.load()
    assert config.http_protocol_class is HttpProtocol
    assert not logging.getLogger("uvicorn.access").hasHandlers()


def test_the_server_drains_before_stopping_until_a_second_signal() -> None:
    draining, woken = Draining(), list[bool]()
    draining.when_over(lambda: woken.append(draining.is_over))

    async def serve() -> None:
        server = Server(make_config(app, settings.Server()), draining=draining, drain=timedelta(hours=1))
        server._loop = asyncio.get_running_loop()
        server.started = True
        server.handle_exit(signal.SIGTERM, None)
        await asyncio.sleep(0.01)
        assert (draining.has_begun, draining.is_over, server.should_exit, woken) == (True, False, False, [])
        server.handle_exit(signal.SIGTERM, None)
        await asyncio.sleep(0.01)
        assert (draining.is_over, server.should_exit, woken) == (True, True, [True])

    asyncio.run(serve())


def test_the_server_stops_at_once_on_control_c() -> None:
    async def serve() -> None:
        server = Server(make_config(app, settings.Server()), draining=Draining(), drain=timedelta(hours=1))
        server._loop = asyncio.get_running_loop()
        server.started = True
        server.handle_exit(signal.SIGINT, None)
        assert server.should_exit

    asyncio.run(serve())


def _attributes_of(name: str, within: ast.AST) -> set[str]:
    found = [node for node in ast.walk(within) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)]
    return {node.attr for node in found if isinstance(node.value, ast.Name) and node.value.id == name}


def test_uvicorn_has_every_member_that_is_used() -> None:
    tree = ast.parse(Path(http_connection.__file__).read_text())
    [connection] = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "HttpProtocol"]
    own = {node.name for node in connection.body if isinstance(node, ast.FunctionDef)}
    [begin] = [node for node in connection.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    assigned = {
        node.attr for node in ast.walk(begin) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    assert _attributes_of("self", connection) - own - assigned == USED_OF_A_CONNECTION
    assert _attributes_of("cycle", tree) == USED_OF_A_CYCLE
    assert own & set(vars(HttpToolsProtocol)) == OVERRIDDEN_IN_A_CONNECTION

    async def check() -> None:
        config, state = make_config(app, settings.Server()), ServerState()
        made = HttpToolsProtocol(config, state, {})
        transport = SimpleNamespace(is_closing=lambda: False)
        flow = FlowControl(transport)  # type: ignore[arg-type]
        cycle = RequestResponseCycle(
            {}, transport, flow, made.logger, made.access_logger, False, [], asyncio.Event(), False, True, print  # type: ignore[typeddict-item, arg-type]  # noqa: FBT003
        )  # fmt: skip
        made.on_message_begin()  # it makes the members `url`, `scope` and `headers` of a request
        missing = partial(filter, lambda pair: not hasattr(*pair))
        assert list(missing((made, name) for name in USED_OF_A_CONNECTION)) == []
        assert list(missing((cycle, name) for name in USED_OF_A_CYCLE)) == []
        assert list(missing((flow, name) for name in ("read_paused", "resume_reading"))) == []
        assert list(missing((state, name) for name in ("connections", "tasks", "default_headers"))) == []
        assert list(missing((uvicorn.Server, name) for name in ("handle_exit", "run", "serve", "shutdown"))) == []

    asyncio.run(check())


def test_a_misspelled_setting_is_logged(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DARKROOM_QUEUE_MAX_LANE_DEPHT", "5")
    create_app(Draining())
    (said,) = [
        line for line in map(json.loads, capfd.readouterr().err.splitlines()) if line["event"] == "no_such_setting"
    ]
    assert (said["setting"], said["resembles"]) == ("DARKROOM_QUEUE_MAX_LANE_DEPHT", "DARKROOM_QUEUE_MAX_LANE_DEPTH")
