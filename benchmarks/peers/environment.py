"""A peer's own Python environment: its pinned packages before those of the project, whose torch they all use."""

import hashlib
import os
import site
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

from benchmarks.stack.servers import NotReady

_REQUIREMENTS: Final = Path(__file__).parent / "requirements"


def environment_python(name: str) -> str:
    """Return the Python of a peer's environment, made where it is missing or its pins have changed.

    Raises NotReady with pip's words where they can't be installed.
    """
    pins = _REQUIREMENTS / f"{name}.txt"
    digest = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = _cache() / f"{name}-{digest}"
    python = folder / "bin" / "python"
    complete = (folder / "complete").exists()
    if not complete:
        _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
    packages = Path(_run(str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # Found after the environment's own: what a peer pins goes before, and torch is not installed once more. Written
    # each time: clones of the project share the environment.
    (packages / "project.pth").write_text("\n".join(_project_packages()) + "\n")
    if not complete:
        _run(
            *(
                sys.executable,
                "-m",
                "pip",
                "--python",
                str(python),
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ),
            *("--requirement", str(pins)),
        )
        (folder / "complete").touch()
    return str(python)


def _project_packages() -> list[str]:
    return list(dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]))


def _cache() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "darkroom-benchmarks" / "peers"


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotReady(f"{' '.join(command[:5])}…: {done.stderr[-1500:]}")
    return done.stdout
