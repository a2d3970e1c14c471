"""Processes beside a stack: a predict worker that the test moves step by step, and more gateways on its stores."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import httpx
import redis

from cli.stack.probes import gateway_serves
from shared.queue.consumer.entries import Entry, Result
from shared.queue.consumer.lanes import Lanes
from shared.settings import Queue
from tests.support.api_client import MODEL
from tests.support.ports import free_port
from tests.support.program_forks import ROOT, Program, start
from tests.support.waiting import LIMIT, until

if TYPE_CHECKING:
    from tests.support.stack import Stack

OUTPUT = b'{"predicted_class":"7","predicted_index":7,"confidence":0.75,"probabilities":{"7":0.75,"1":0.25}}'
KEY = re.compile(r"^dk_[A-Za-z0-9_-]{43}$", re.MULTILINE)
STDERR = 2
_RUN = b'{"batch_size":1,"predict_ms":1.5,"worker":"by-hand"}'


class WorkerByHand:
    """A predict worker moved by the test through the product's own scripts, while the stack's are paused.

    What it has begun it must finish within the lease, or a real worker takes it over.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._lanes = Lanes(client, model=MODEL, consumer="by-hand", settings=Queue())
        self._begun: list[Entry] = []

    def begin(self) -> None:
        """Take everything that waits: its jobs are processing."""
        self._begun += self._lanes.begin(self._lanes.pull(64).entries)

    def succeed(self) -> None:
        """End what was begun with OUTPUT."""
        self._finish("succeeded", output=OUTPUT)

    def fail(self, words: str) -> None:
        """End what was begun with an error of the model's."""
        self._finish("failed", error=words, code="model_error")

    def _finish(self, state: str, *, output: bytes = b"", error: str = "", code: str = "") -> None:
        results = [Result(entry, state, output=output, error=error, code=code) for entry in self._begun]
        self._begun = []
        self._lanes.finish(results, run=_RUN)


class GatewayByHand:
    """One more gateway on a stack's stores, with settings of its own. Not started yet."""

    def __init__(self, stack: "Stack", *, port: int | None = None, **environment: str) -> None:
        port = port or free_port()
        server = {"DARKROOM_SERVER_PORT": str(port), "DARKROOM_SERVER_STOP_TIMEOUT": "5"}
        self._environment = stack.environment | stack.stores | server | environment
        self._command = (sys.executable, "-m", "api.server")
        self.port = port
        self.url = f"http://127.0.0.1:{port}"

    def run(self) -> "subprocess.CompletedProcess[str]":
        """Run one that is expected to end at once; return the finished process."""
        return subprocess.run(
            self._command, env=self._environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )

    def begin(self) -> None:
        """Start it, for the first time or once more, and return when it is ready."""
        self.process = start(Program("api.server", (), self._environment, ROOT), log=STDERR)
        # Others may listen on the port too.
        until(lambda: not gateway_serves(self.process.pid, url=self.url, port=self.port), what="it is ready")

    def ready(self) -> int:
        """Return the status of its readiness, on a connection of its own; 0 where nothing listens."""
        try:
            return httpx.get(f"{self.url}/health/ready", trust_env=False).status_code
        except httpx.TransportError:
            return 0

    def stop(self) -> None:
        """Tell it to stop."""
        self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """End it at once, if it has not ended."""
        self.process.kill()
        self.process.wait()


class ClosedGateway(GatewayByHand):
    """A gateway that requires keys, as every gateway on a public address does."""

    def __init__(self, stack: "Stack") -> None:
        super().__init__(stack, DARKROOM_SERVER_HOST="0.0.0.0")  # noqa: S104
        self.stack = stack

    @classmethod
    @contextmanager
    def running(cls, stack: "Stack") -> Iterator[Self]:
        """Run one for the block."""
        gateway = cls(stack)
        try:
            gateway.begin()
            yield gateway
        finally:
            gateway.close()

    def key(self, name: str, *options: str) -> str:
        """Make a key with the command."""
        found = KEY.search(self.stack.darkroom("keys", "create", name, *options).stdout)
        assert found is not None
        return found[0]

    def client(self, key: str = "") -> httpx.Client:
        """Return a client that sends this key, or none."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=LIMIT, trust_env=False)
