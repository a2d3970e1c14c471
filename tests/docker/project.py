"""A clone of this repository, made under umask 077, and its composition under a name and ports of its own."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.containers.composition import REPOSITORY
from tests.docker.engine import Engine

_PORTS: Final = ("DARKROOM_PORT", "FLOWER_PORT", "MLFLOW_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
OURS: Final = frozenset({"api", "predict", "record", "webhooks", "beat", "flower", "mlflow"})
"""Services that run what is built here, and stay up."""

# The build reaches package indexes by this machine's own names and routes.
_BUILD_NETWORK: Final = """
services:
  api: {build: {network: host}}
  record: {build: {network: host}}
  setup: {build: {network: host}}
  mlflow: {build: {network: host}}
"""


def clone(folder: Path) -> None:
    """Copy the files that git would, from the working tree, readable only by their owner."""
    listed = subprocess.run(
        ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"),
        cwd=REPOSITORY, check=True, capture_output=True, text=True,
    )  # fmt: skip
    folder.mkdir(mode=0o700)
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(REPOSITORY / name, target)
            target.chmod(0o700 if os.access(REPOSITORY / name, os.X_OK) else 0o600)
    for path in folder.rglob("*"):
        if path.is_dir():
            path.chmod(0o700)


@dataclass(frozen=True)
class Project:
    """One composition: `docker compose …` in its folder."""

    engine: Engine
    folder: Path
    name: str

    def prepare(self, **settings: str) -> None:
        """Clone, `make env`, and choose ports that are free."""
        clone(self.folder)
        subprocess.run(("make", "--silent", "env"), cwd=self.folder, check=True, timeout=60)
        with ExitStack() as held:
            sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in _PORTS]
            chosen = {name: str(one.getsockname()[1]) for name, one in zip(_PORTS, sockets, strict=True)}
        with (self.folder / ".env").open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in (chosen | settings).items())
        (self.folder / "build-network.yml").write_text(_BUILD_NETWORK)

    def compose(self, *words: str, seconds: float = 600) -> str:
        """Run a command of compose's; return what it wrote, raise CommandFailed where it fails."""
        return self.engine.docker(
            "compose", "--project-name", self.name, *words, at=self.folder,
            variables={"BUILDKIT_PROGRESS": "plain", "COMPOSE_ANSI": "never"}, seconds=seconds,
        )  # fmt: skip

    def build(self) -> str:
        """Build every image that the file builds."""
        return self.compose("--file", "docker-compose.yml", "--file", "build-network.yml", "build", seconds=3000)

    def settings(self) -> dict[str, str]:
        """Return what .env says."""
        lines = [line for line in (self.folder / ".env").read_text().splitlines() if line and line[0] != "#"]
        return dict(line.split("=", 1) for line in lines)

    def secrets(self) -> list[str]:
        """Return every secret of .env, without the name before Flower's."""
        blanks = {name for name in self.settings() if name.endswith(("_PASSWORD", "_SECRET_KEY", "_AUTH"))}
        return [self.settings()[name].rpartition(":")[2] for name in sorted(blanks)]

    def containers(self, *services: str) -> list[dict[str, Any]]:
        """Return what `docker inspect` says of each container, those that have ended included."""
        ids = self.compose("ps", "--all", "--quiet", *services).split()
        return list(json.loads(self.engine.docker("inspect", *ids))) if ids else []

    def exit_statuses(self, services: Sequence[str] = ()) -> dict[str, int]:
        """Return by container's name how each one ended."""
        return {one["Name"].strip("/"): one["State"]["ExitCode"] for one in self.containers(*services)}


def service(container: dict[str, Any]) -> str:
    """Return the service that an inspected container belongs to."""
    return str(container["Config"]["Labels"]["com.docker.compose.service"])
