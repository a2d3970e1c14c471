import asyncio
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.stack.servers.mlflow_guard import Guard, Message, Receive, Scope, Send
from cli.stack.servers.mlflow_login import Login, keep_login, login_file

LOGIN = Login("darkroom", "s3cret:with:colons")
URL = "http://127.0.0.1:5000"


def test_a_random_login_is_created_once_and_readable_only_by_its_user(tmp_path: Path) -> None:
    first = keep_login(tmp_path, url=URL)
    assert keep_login(tmp_path, url=URL) == first == Login.read(tmp_path)
    assert len(first.password) >= 32
    other = tmp_path / "other"
    other.mkdir()
    assert keep_login(other, url=URL).password != first.password
    login_file(tmp_path).chmod(0o644)
    keep_login(tmp_path, url="http://127.0.0.1:5001")
    assert login_file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert first.password not in repr(first)


def test_a_shell_can_source_the_file_as_mlflows_environment(tmp_path: Path) -> None:
    login = keep_login(tmp_path, url=URL)
    script = f"set -a; . {shlex.quote(str(login_file(tmp_path)))}; env"
    said = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    for name, value in ({"MLFLOW_TRACKING_URI": URL} | login.environment()).items():
        assert f"{name}={value}" in said


def test_a_password_that_the_user_wrote_is_kept(tmp_path: Path) -> None:
    login_file(tmp_path).write_text("MLFLOW_TRACKING_USERNAME=ann\nMLFLOW_TRACKING_PASSWORD=of-her-own\n")
    assert keep_login(tmp_path, url=URL) == Login("ann", "of-her-own") == Login.read(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"MLFLOW_TRACKING_PASSWORD=\n", b"MLFLOW_TRACKING_USERNAME=ann\n"]
)
def test_a_file_without_a_password_gets_one(tmp_path: Path, content: bytes) -> None:
    login_file(tmp_path).write_bytes(content)
    assert Login.read(tmp_path) is None
    assert keep_login(tmp_path, url=URL).password


def test_the_environment_is_read_as_mlflows_client_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LOGIN.environment():
        monkeypatch.delenv(name, raising=False)
    assert Login.of_environment() is None
    for name, value in LOGIN.environment().items():
        monkeypatch.setenv(name, value)
    assert Login.of_environment() == LOGIN
    assert not {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"} - set(os.environ)


async def inside(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001  the form of an app
    await send({"type": "inside"})


def asked(*, kind: str = "http", path: str = "/api/2.0/mlflow/runs/create", headers: list[bytes]) -> list[Any]:
    """The status that the guarded app answers with."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": f"{kind}.request"}

    scope = {"type": kind, "path": path, "headers": [(b"authorization", value) for value in headers]}
    asyncio.run(Guard(inside, LOGIN)(scope, receive, send))
    return [message.get("status", message["type"]) for message in sent]


GOOD = LOGIN.header().encode()


@pytest.mark.parametrize("header", [GOOD, GOOD.replace(b"Basic", b"basic"), GOOD.replace(b" ", b"  ") + b" "])
@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_request_with_the_login_is_forwarded(kind: str, header: bytes) -> None:
    assert asked(kind=kind, headers=[header]) == ["inside"]


BAD = {
    "none": [],
    "empty": [b""],
    "a scheme alone": [b"Basic"],
    "another scheme": [GOOD.replace(b"Basic", b"Bearer")],
    "no scheme": [GOOD.removeprefix(b"Basic ")],
    "another password": [Login("darkroom", "s3cret").header().encode()],
    "another user": [Login("admin", LOGIN.password).header().encode()],
    "mlflow's own default": [Login("admin", "password1234").header().encode()],
    "a beginning": [GOOD[:-1]],
    "more": [GOOD + b"A"],
    "no base64": [b"Basic \xff\x00"],
    "twice": [GOOD, GOOD],
    "one good of two": [b"Basic x", GOOD],
}


@pytest.mark.parametrize("headers", BAD.values(), ids=BAD)
def test_every_other_request_is_refused(headers: list[bytes]) -> None:
    assert asked(headers=headers) == [401, "http.response.body"]
    assert asked(kind="websocket", headers=headers) == ["websocket.close"]


@pytest.mark.parametrize("path", ["/health/", "/health/x", "//health", "/HEALTH", "/health\n", "/x/../health", ""])
def test_only_the_health_path_needs_no_login(path: str) -> None:
    assert asked(path="/health", headers=[]) == ["inside"]
    assert asked(path=path, headers=[])[0] == 401
