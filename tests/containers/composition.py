"""docker-compose.yml as `docker compose config` reads it, and .env.example with every blank filled in."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).parents[2]
FILE: Final = REPOSITORY / "docker-compose.yml"
GPU_FILE: Final = REPOSITORY / "docker-compose.gpu.yml"
EXAMPLE: Final = REPOSITORY / ".env.example"
_COMPOSE: Final = Path(sys.executable).with_name("docker-compose")
_SECONDS: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


def blanks() -> list[str]:
    """Return the variables that .env.example leaves to fill in."""
    return re.findall(r"^(\w+)=$", EXAMPLE.read_text(), re.MULTILINE)


def filled_in(folder: Path, *, without: str = "", **others: str) -> Path:
    """Return an .env made from the example: each blank has a value, `without` has none, `others` are added."""
    secrets = {name: f"{name.lower().replace('_', '')}0" for name in blanks()} | {"FLOWER_BASIC_AUTH": "person:flower0"}
    lines = [f"{name}={value}" for name, value in (secrets | others).items() if name != without]
    file = folder / ".env"
    file.write_text("\n".join(lines) + "\n")
    return file


def config(env_file: Path, *files: Path) -> "subprocess.CompletedProcess[str]":
    """Run `docker compose config`; nothing of this process' environment fills a blank.

    Where it refuses, nothing is on standard output: the wheel's command forgets compose's exit status.
    """
    return subprocess.run(
        (str(_COMPOSE), "--env-file", str(env_file), *(word for file in files for word in ("--file", str(file))),
         "config", "--format", "json"),
        env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@dataclass(frozen=True)
class Service:
    """One service, as compose would hand it to Docker."""

    name: str
    said: dict[str, Any]
    built: tuple[str, str] | None
    """The Dockerfile and the stage of it that its image is built from, None where the image is somebody else's."""

    @property
    def image(self) -> str:
        return str(self.said["image"])

    @property
    def builds(self) -> bool:
        """Tell whether this is the service that says how its image is built."""
        return "build" in self.said

    @property
    def command(self) -> list[str]:
        return [_unescaped(word) for word in self.said.get("command") or []]

    @property
    def entrypoint(self) -> list[str] | None:
        return self.said.get("entrypoint")

    @property
    def environment(self) -> dict[str, str]:
        return {name: _unescaped(value) for name, value in self.said.get("environment", {}).items()}

    @property
    def health(self) -> list[str]:
        """Return the check's words, CMD or CMD-SHELL first; none where it is switched off."""
        check = self.said.get("healthcheck") or {}
        return [] if check.get("disable") else [_unescaped(word) for word in check.get("test", [])]

    @property
    def networks(self) -> list[str]:
        return list(self.said["networks"])

    @property
    def needs(self) -> dict[str, str]:
        """Return which services it starts after, and in which condition each must be."""
        return {name: needed["condition"] for name, needed in self.said.get("depends_on", {}).items()}

    @property
    def tmpfs(self) -> dict[str, str]:
        """Return paths with their options; Docker makes them for everybody to write to."""
        return {
            path: options or "mode=1777" for path, _, options in (line.partition(":") for line in self.said["tmpfs"])
        }

    @property
    def uid(self) -> int:
        """Return the user that the file names, 0 where it leaves that to the image."""
        return int(self.said.get("user", "0:0").split(":")[0])

    @property
    def gid(self) -> int:
        return int(self.said.get("user", "0:0").split(":")[1])

    def seconds(self, what: str) -> float:
        """Return a duration of the service's."""
        return duration(self.said[what])

    def check_seconds(self, what: str) -> float:
        """Return a duration of its health check's."""
        return duration(self.said["healthcheck"][what])


def duration(text: str) -> float:
    """Return the seconds of `1m30s`."""
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([\d.]+)(ms|[hms])", text))


def _unescaped(text: str) -> str:
    """Undo what `config` does so that its output can be read again."""
    return text.replace("$$", "$")


def services(env_file: Path, *files: Path) -> dict[str, Service]:
    """Return the services by name; raises RuntimeError with compose's error where it refuses the files."""
    answer = config(env_file, *files)
    if not answer.stdout:
        raise RuntimeError(answer.stderr)
    found = json.loads(answer.stdout)["services"]
    built = {said["image"]: said["build"] for said in found.values() if "build" in said}
    stages = {image: (build["dockerfile"], build.get("target", "")) for image, build in built.items()}
    return {name: Service(name, said, stages.get(said["image"])) for name, said in found.items()}


def in_order(found: dict[str, Service]) -> list[Service]:
    """Return the services, each after those that it needs."""
    ordered: list[Service] = []
    while len(ordered) < len(found):
        there = {service.name for service in ordered}
        ready = [one for one in found.values() if one.name not in there and set(one.needs) <= there]
        if not ready:
            raise ValueError(f"services that need each other: {set(found) - there}")
        ordered += ready
    return ordered
