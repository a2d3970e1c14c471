"""A worker that is told to stop ends in its grace period, also where Redis is down and each call takes seconds."""

import os
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from tests.support.ports import free_port
from tests.support.program_forks import ROOT, Program, run, start
from tests.support.registries import MlflowStore
from tests.support.servers import RedisServer
from tests.support.waiting import LIMIT, until
from tests.support.workers import Worker

ROLES = ("webhooks", "record,upkeep", "predict.shades")
GRACE_SECONDS = 30
"""What docker-compose.yml gives the record worker, the shortest."""


class Door:
    """A TCP port that leads to a Redis on a Unix socket until `shut`; then it accepts connections and answers none.

    This is what a container sees when another one is gone: connections are not refused, but each call times out.
    """

    def __init__(self, to: str) -> None:
        self._to = to.removeprefix("unix://")
        self._server = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"redis://127.0.0.1:{self._server.getsockname()[1]}/0"
        self._open = True
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._kept: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def shut(self) -> None:
        """From now on accept connections and answer none; close those that are open."""
        with self._lock:
            self._open = False
            for pair in self._pairs:
                for one in pair:
                    with suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)

    def wait_until_tried(self) -> None:
        """Return when somebody waits for an answer that does not come."""
        until(lambda: bool(self._kept), what="a connection was taken after the door was shut")

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            # Together, or a connection that is taken while it is shut would stay open.
            with self._lock:
                if not self._open:
                    self._kept.append(client)
                    continue
                to = socket.socket(socket.AF_UNIX)
                to.connect(self._to)
                self._pairs.append((client, to))
            for one, other in ((client, to), (to, client)):
                threading.Thread(target=self._pump, args=(one, other), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, to: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                to.sendall(data)
        except OSError:
            return


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("gone", [True, False], ids=["Redis is gone", "Redis is there"])
@pytest.mark.parametrize("role", ROLES)
def test_a_worker_ends_within_its_grace_period(
    role: str,
    begin: Callable[..., Worker],
    start_redis: Any,
    mlflow_store: MlflowStore,
    database_url: str,
    *,
    gone: bool,
) -> None:
    mlflow_store.register("champion")
    server: RedisServer = start_redis()
    with closing(Door(server.url)) as door:
        worker = begin(role, redis_url=door.url, database_url=database_url, registry_url=mlflow_store.url)
        worker.wait_until_healthy()
        if gone:
            door.shut()
            # Not until Celery says that its broker is lost: it may wait for an answer to something else, for minutes.
            door.wait_until_tried()
        worker.tell_to_stop()
        assert worker.wait_for_end(seconds=GRACE_SECONDS) == 0
        assert bool(worker.said("stopping_late")) is gone


def test_flower_ends_within_its_grace_period_without_redis(start_redis: Any, tmp_path: Path) -> None:
    port = free_port()
    with closing(Door(start_redis().url)) as door, (tmp_path / "log").open("wb") as log:
        arguments = ("--address=127.0.0.1", f"--port={port}", "--logging=error")
        environment = dict(os.environ) | {"DARKROOM_REDIS_URL": door.url}
        flower = start(Program("worker.flower", arguments, environment, ROOT), log=log.fileno())
        try:
            until(lambda: answers(port) or flower.poll() is not None, what="it answers")
            assert flower.poll() is None, (tmp_path / "log").read_text()
            door.shut()
            # Its threads search for workers now, and do not return.
            with suppress(OSError):
                urlopen(f"http://127.0.0.1:{port}/workers?refresh=1", timeout=1)
            flower.terminate()
            assert flower.wait(timeout=LIMIT) == 0
        finally:
            flower.kill()
            flower.wait()


def test_flower_does_what_it_does_at_its_end() -> None:
    """It writes its state with FLOWER_PERSISTENT."""
    code = (
        "import atexit, sys, worker.flower as flower; atexit.register(print, 'written')\n"
        "flower.app.start = lambda _: sys.exit(3); flower.main()"
    )
    done = run(Program(code, (), dict(os.environ), ROOT, is_code=True))
    assert (done.returncode, done.stdout.split()) == (3, ["written"])


def answers(port: int) -> bool:
    with suppress(OSError):
        return int(urlopen(f"http://127.0.0.1:{port}/healthcheck", timeout=LIMIT).status) == 200
    return False
