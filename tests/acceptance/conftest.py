"""One whole stack for all acceptance tests, started as people start it: `darkroom up --detach`."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.stack.ports import free_port
from tests.support import faulty_model
from tests.support.api_client import Door
from tests.support.breakable_stack import LANE_DEPTH, LEASE_SECONDS, Breakable
from tests.support.deferred_imports import deferred
from tests.support.gateway_fixtures import closed, door
from tests.support.pictures import renewed
from tests.support.places import RESTARTING
from tests.support.prepared_homes import up_with_digits
from tests.support.program_forks import ROOT, Forked, Program, run
from tests.support.servers import PostgresServer, RedisServer
from tests.support.stack import Stack
from tests.support.tasks_stack import tasks_stack as running_tasks_stack

__all__ = ["closed", "door"]

tracking = deferred("mlflow.tracking")


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack that serves `digits`, shared by the run. It keeps pictures of models that are tagged so: none.

    `twice` is a pipeline of its settings.
    """
    environment = {
        "DARKROOM_KEEP_IMAGES_URL": str(tmp_path_factory.mktemp("kept")),
        "DARKROOM_PIPELINES": '{"twice": {"models": ["digits", "digits:1"]}}',
    }
    # Where its processes are told to end and started anew, it is started as people start it.
    is_restarted = os.environ["PYTEST_CURRENT_TEST"].partition("::")[0].endswith(RESTARTING)
    forked = Forked.AGAIN if is_restarted else Forked.ALL
    stack = Stack(tmp_path_factory.mktemp("stack") / "home", port=free_port(), environment=environment, forked=forked)
    try:
        up_with_digits(stack, tmp_path_factory)
        yield stack
    finally:
        stack.down()


@pytest.fixture
def make_stack(tmp_path: Path) -> Iterator[Callable[..., Stack]]:
    """Make another stack, not started: `make_stack(home=None, environment=None, forked=…)`; stopped after the test."""
    made: list[Stack] = []

    def make(
        home: Path | None = None, *, environment: dict[str, str] | None = None, forked: Forked = Forked.NONE
    ) -> Stack:
        home = home or tmp_path / f"home{len(made)}"
        made.append(Stack(home, port=free_port(), environment=environment, forked=forked))
        return made[-1]

    yield make
    for stack in made:
        stack.down()


@pytest.fixture(scope="module")
def scan(stack: Stack) -> bytes:
    """A held-out digit, a PNG as the demo sends it."""
    return stack.images[0].read_bytes()


@pytest.fixture
def image(scan: bytes) -> bytes:
    """A digit with bytes that were never sent, so that no cache has its output."""
    return renewed(scan)


@pytest.fixture
def nothing_kept(door: Door) -> Iterator[None]:
    """Fails the test if anything was enqueued, answered from the cache, or remembered under a key."""
    door.wait_until_quiet()
    before = door.kept()
    yield
    assert door.kept() == before


@pytest.fixture(scope="package")
def tasks_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack that serves a model of each task."""
    with running_tasks_stack(tmp_path_factory.mktemp("tasks")) as stack:
        yield stack


@pytest.fixture(scope="package")
def breakable(tmp_path_factory: pytest.TempPathFactory, short_directory: Callable[[], Path]) -> Iterator[Breakable]:
    """A running stack that serves `pixels`, on servers of its own to break; its registry is a file."""
    home, directory = tmp_path_factory.mktemp("breakable"), short_directory()
    registry = f"sqlite:///{home}/registry.db"
    made = run(Program(faulty_model.__name__, (registry,), dict(os.environ), ROOT))
    assert made.returncode == 0, made.stdout
    redis_server, postgres = RedisServer(directory, appendfsync="always"), PostgresServer(directory)
    environment = {
        "DARKROOM_REDIS_URL": redis_server.url,
        "DARKROOM_DATABASE_URL": postgres.url,
        "DARKROOM_REGISTRY_URL": registry,
        # Dead workers are given up sooner; every other setting but the last is the default.
        "DARKROOM_QUEUE_LEASE": str(LEASE_SECONDS),
        "DARKROOM_RECORDING_LEASE": str(LEASE_SECONDS),
        "DARKROOM_BULK_LEASE": str(LEASE_SECONDS),
        "DARKROOM_BULK_MAX_LANE_DEPTH": str(LANE_DEPTH),
        "DARKROOM_WEBHOOKS_TIMEOUT": str(LEASE_SECONDS - 1),
        "DARKROOM_WEBHOOKS_LEASE": str(LEASE_SECONDS),
        # Its pictures are tiny and take the way of large images, which has more steps to be killed between.
        "DARKROOM_QUEUE_MAX_INLINE_IMAGE": "1",
    }
    stack = Stack(home / "stack", port=free_port(), environment=environment, predict_workers=2, forked=Forked.ALL)
    try:
        stack.up("--model", faulty_model.NAME)
        system = Breakable(stack, redis_server, postgres, directory, registry=registry)
        yield system
        system.close()
    finally:
        stack.down()
        redis_server.kill()
        postgres.stop()


@pytest.fixture
def registry_client(breakable: Breakable, monkeypatch: pytest.MonkeyPatch) -> Any:
    """MLflow's client of the breakable stack's registry.

    Its store asks the registry that the process uses, whatever the client is given: a test before may have set that.
    """
    monkeypatch.setattr(tracking._tracking_service.utils, "_tracking_uri", breakable.registry)
    return tracking.MlflowClient(breakable.registry, breakable.registry)
