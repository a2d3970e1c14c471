"""This machine beside the containers: the `darkroom` command and HTTP, by the ports that are published."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.docker.project import Project


@dataclass(frozen=True)
class Host:
    """A user with a key."""

    project: Project
    key: str

    @property
    def url(self) -> str:
        """Return where the gateway is."""
        return f"http://127.0.0.1:{self.project.settings()['DARKROOM_PORT']}"

    def images(self) -> list[Path]:
        """Return what `setup` wrote and the model has never seen; a name begins with what the image shows."""
        return sorted((self.project.folder / "held-out").rglob("*.png"))

    def darkroom(self, *words: str, home: Path) -> "subprocess.Popen[str]":
        """Begin the host's command; `home` is a folder of its own, where nothing runs."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
        return subprocess.Popen(
            (Path(sys.executable).with_name("darkroom"), *words), cwd=home, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
            env=kept | {"DARKROOM_URL": self.url, "DARKROOM_API_KEY": self.key, "DARKROOM_HOME": str(home / "home")},
        )  # fmt: skip

    def run(self, *words: str, home: Path, seconds: float = 300) -> str:
        """Run the host's command to its end; return its output."""
        process = self.darkroom(*words, home=home)
        said, _ = process.communicate(timeout=seconds)
        assert process.returncode == 0, said
        return said

    def ask(self, method: str, path: str, *, body: bytes | None = None, **headers: str) -> tuple[int, Any]:
        """Ask the gateway; return the status and the JSON."""
        fields = {"Authorization": f"Bearer {self.key}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return _read(
            httpx.request(method, f"{self.url}{path}", content=body, headers=fields, timeout=60, trust_env=False)
        )

    def at(self, port: str, path: str, *, login: str = "") -> tuple[int, Any]:
        """Ask what is published at a port that .env names."""
        url = f"http://127.0.0.1:{self.project.settings()[port]}{path}"
        who = tuple(login.split(":", 1)) if login else None
        return _read(httpx.get(url, auth=who, timeout=60, trust_env=False))  # type: ignore[arg-type]


def _read(answer: httpx.Response) -> tuple[int, Any]:
    is_json = answer.headers.get("content-type", "").partition(";")[0].endswith("json")
    return answer.status_code, answer.json() if is_json else answer.text
