"""A gateway process on a test's Redis and Postgres, without workers: what was accepted waits."""

import os
from pathlib import Path
from typing import Protocol

import httpx

from shared.domain.identifiers import ModelName, VersionKey, VersionNumber
from shared.domain.model_route import Route, Version
from tests.support.ports import free_port
from tests.support.program_forks import ROOT, Program, start
from tests.support.waiting import LIMIT, until

DIGITS = Route(
    model=ModelName("digits"),
    description="",
    aliases={"champion": VersionNumber("1")},
    versions={VersionNumber("1"): Version(number=VersionNumber("1"), key=VersionKey("1-m-1"), created_at="")},
)


class Gateway:
    """A gateway process; what it logs is in a file."""

    def __init__(self, folder: Path, environment: dict[str, str], *, descriptors: int | None = None) -> None:
        """`descriptors` is as in Program."""
        port = free_port()
        self.url, self._log = f"http://127.0.0.1:{port}", folder / "log"
        environment = os.environ | environment | {"DARKROOM_SERVER_PORT": str(port)}
        with self._log.open("wb") as log:
            program = Program("api.server", (), environment, ROOT, descriptors=descriptors)
            self._process = start(program, log=log.fileno())
        try:
            until(self._is_alive, what="it serves")
        except AssertionError:
            self.end()
            raise

    def _is_alive(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/live", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def client(self, key: str = "") -> httpx.Client:
        """Return a client with a key, or none."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=LIMIT, trust_env=False)

    def log(self) -> str:
        """Return what it logged."""
        return self._log.read_text()

    def end(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()


class Start(Protocol):
    """Starts a gateway that asks for keys or does not; `descriptors` is as in Program."""

    def __call__(self, required: bool, *, descriptors: int | None = None) -> Gateway: ...  # noqa: FBT001
