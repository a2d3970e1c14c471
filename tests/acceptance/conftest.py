"""One whole stack for all acceptance tests, started as people start it: `darkroom up --detach`."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.stack.plan import held_out_folder
from cli.stack.ports import free_port
from cli.stack.servers.mlflow_login import Login
from tests.support import faulty_model
from tests.support.api_client import Door
from tests.support.breakable_stack import LANE_DEPTH, LEASE_SECONDS, Breakable
from tests.support.extra_processes import ClosedGateway
from tests.support.pictures import renewed
from tests.support.servers import PostgresServer, RedisServer

# Nothing that the developer has set points a test elsewhere.
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith(("DARKROOM_", "FLOWER_"))},
    "FLOWER_UNAUTHENTICATED_API": "true",
}
COMMAND = Path(sys.executable).with_name("darkroom")


class Stack:
    """A stack on a home of its own. What a test breaks it must see mended: `wait_until_ready`."""

    def __init__(self, home: Path, *, port: int, environment: dict[str, str] | None = None) -> None:
        self.home = home
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.environment = ENVIRONMENT | {"DARKROOM_HOME": str(home)} | (environment or {})

    def darkroom(self, *arguments: str, expect: int | None = 0) -> "subprocess.CompletedProcess[str]":
        """Run the command on this home; `expect` is the exit code, None for any."""
        done = subprocess.run(
            [COMMAND, *arguments], env=self.environment, capture_output=True, text=True, timeout=170, check=False
        )
        assert expect in (None, done.returncode), done.stdout + done.stderr
        return done

    def up(self, *arguments: str) -> str:
        """Start it and return what the command prints."""
        return self.darkroom("up", "--detach", "--port", str(self.port), *arguments).stdout

    def down(self) -> str:
        """Stop it and return what the command prints."""
        return self.darkroom("down").stdout

    def status(self) -> dict[str, dict[str, Any]]:
        """Return `{role: {url, pids, state, metrics_urls}}`."""
        facts: dict[str, dict[str, Any]] = json.loads(self.darkroom("status", "--json").stdout)
        return facts

    def pids(self, role: str) -> list[int]:
        """Return a role's pids."""
        return [int(pid) for pid in self.status()[role]["pids"]]

    def wait_until_ready(self, *, seconds: float = 60) -> dict[str, dict[str, Any]]:
        """Return the status once every role is ready; fails after `seconds`."""
        until = time.monotonic() + seconds
        while True:
            facts = self.status()
            if all(role["state"] == "ready" for role in facts.values()):
                return facts
            assert time.monotonic() < until, facts
            time.sleep(0.2)

    @property
    def registry_environment(self) -> dict[str, str]:
        """What another program needs to use this stack's registry."""
        login = Login.read(self.home)
        assert login is not None
        return {"DARKROOM_REGISTRY_URL": self.status()["mlflow"]["url"], **login.environment()}

    @property
    def images(self) -> list[Path]:
        """Held-out scans, named `<label>-<number>.png`."""
        return sorted(held_out_folder(self.home).glob("*.png"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack that serves `digits`, shared by the run."""
    stack = Stack(tmp_path_factory.mktemp("stack") / "home", port=free_port())
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Make another stack, not started: `make_stack(home=None, environment=None)`; stopped after the test."""
    made: list[Stack] = []

    def make(home: Path | None = None, *, environment: dict[str, str] | None = None) -> Stack:
        made.append(Stack(home or tmp_path / f"home{len(made)}", port=free_port(), environment=environment))
        return made[-1]

    yield make
    for stack in made:
        stack.down()


@pytest.fixture(scope="module")
def door(stack: Stack) -> Iterator[Door]:
    """A client of the stack's gateway."""
    with Door(stack) as door:
        yield door


@pytest.fixture(scope="module")
def closed(stack: Stack) -> Iterator[ClosedGateway]:
    """A gateway on the stack's stores that asks for keys."""
    gateway = ClosedGateway(stack)
    try:
        gateway.begin()
        yield gateway
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def scan(stack: Stack) -> bytes:
    """A held-out digit, a PNG as the demo sends it."""
    return stack.images[0].read_bytes()


@pytest.fixture
def image(scan: bytes) -> bytes:
    """A digit that nobody has sent yet, so that no cache knows it."""
    return renewed(scan)


@pytest.fixture
def nothing_kept(door: Door) -> Iterator[None]:
    """Fails the test if anything was enqueued, answered from the cache, or remembered under a key."""
    door.wait_until_quiet()
    before = door.kept()
    yield
    assert door.kept() == before


@pytest.fixture(scope="session")
def breakable(tmp_path_factory: pytest.TempPathFactory, short_directory: Callable[[], Path]) -> Iterator[Breakable]:
    """A running stack that serves `pixels`, on servers of its own to break; its registry is a file."""
    home, directory = tmp_path_factory.mktemp("breakable"), short_directory()
    registry = f"sqlite:///{home}/registry.db"
    subprocess.run([sys.executable, "-W", "ignore", faulty_model.__file__, registry], check=True)
    redis_server, postgres = RedisServer(directory, appendfsync="always"), PostgresServer(directory)
    environment = {
        "DARKROOM_REDIS_URL": redis_server.url,
        "DARKROOM_DATABASE_URL": postgres.url,
        "DARKROOM_REGISTRY_URL": registry,
        # Quick to give up the dead; everything else as it ships.
        "DARKROOM_QUEUE_LEASE": str(LEASE_SECONDS),
        "DARKROOM_RECORDING_LEASE": str(LEASE_SECONDS),
        "DARKROOM_BULK_LEASE": str(LEASE_SECONDS),
        "DARKROOM_BULK_MAX_LANE_DEPTH": str(LANE_DEPTH),
        "DARKROOM_WEBHOOKS_TIMEOUT": str(LEASE_SECONDS - 1),
        "DARKROOM_WEBHOOKS_LEASE": str(LEASE_SECONDS),
    }
    stack = Stack(home / "stack", port=free_port(), environment=environment)
    try:
        stack.up("--model", faulty_model.NAME)
        system = Breakable(stack, redis_server, postgres, directory)
        yield system
        system.close()
    finally:
        stack.down()
        redis_server.kill()
        postgres.stop()
