"""Third-party images: pulled where a registry answers, else made from Debian's packages and tagged the same."""

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.containers.standins import POSTGRES_ENTRYPOINT
from tests.docker.engine import CommandFailed, Engine, make_debian

_PULL_SECONDS: Final = 300
_BUILD_SECONDS: Final = 900
_DEBIAN: Final = "darkroom-standin-debian"
_DOCKERFILE: Final = Path(__file__).with_name("standins.Dockerfile")
_STAGES: Final = {
    "python": "python",
    "redis": "redis",
    "postgres": "postgres",
    "prom/prometheus": "prometheus",
    "grafana/grafana": "grafana",
    "chrislusf/seaweedfs": "seaweedfs",
}


def provide(engine: Engine, images: Iterable[str]) -> list[str]:
    """Load these images into the engine under their names; return those that are substitutes.

    After the first that can't be pulled no other is tried: each would cost its time limit.
    """
    made: list[str] = []
    for image in images:
        if not made and _pull(engine, image):
            continue
        if not made:
            _make_base(engine)
        _make(engine, image)
        made.append(image)
    return made


def _pull(engine: Engine, image: str) -> bool:
    try:
        engine.docker("pull", "--quiet", image, seconds=_PULL_SECONDS)
    except (CommandFailed, subprocess.TimeoutExpired):
        return False
    return True


def _make_base(engine: Engine) -> None:
    """Import a Debian, and lay out beside the Dockerfile what it copies."""
    root, context = engine.folder / "debian", _context(engine)
    make_debian(root, suite="bookworm")
    with tarfile.open(engine.folder / "debian.tar", "w") as archive:
        archive.add(root, arcname=".")
    engine.docker("import", str(engine.folder / "debian.tar"), _DEBIAN)
    (engine.folder / "debian.tar").unlink()
    shutil.rmtree(root)
    context.mkdir()
    shutil.copy(_DOCKERFILE, context / "Dockerfile")
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", context / "ca-certificates.crt")
    (context / "pip.conf").write_text(_pip_settings())
    (context / "postgres-entrypoint.sh").write_text(f"#!/bin/sh\n{POSTGRES_ENTRYPOINT}")
    shutil.copy(Path(sys.executable).with_name("weed"), context / "weed")


def _make(engine: Engine, image: str) -> None:
    stage = _STAGES[image.partition(":")[0]]
    engine.docker(
        "build", "--network", "host", "--target", stage, "--tag", image, str(_context(engine)), seconds=_BUILD_SECONDS
    )


def _context(engine: Engine) -> Path:
    return engine.folder / "standins"


def _pip_settings() -> str:
    """Return this machine's pip settings as a pip.conf, without those that name folders: a build does not see them."""
    listed = subprocess.run(
        (sys.executable, "-m", "pip", "config", "list"),
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    settings: dict[str, str] = {}
    for line in listed.stdout.splitlines():
        name, _, quoted = line.partition("=")
        values = [word for word in quoted.strip("'\"").split() if not word.startswith(("/", "file:"))]
        if values:
            settings[name.split(".")[-1]] = " ".join(values)
    lines = [f"{name} = {value}" for name, value in settings.items()]
    return "\n".join(["[global]", "cert = /etc/ssl/certs/ca-certificates.crt", *lines, ""])
