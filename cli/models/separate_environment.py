"""An environment that has a model's requirements besides what is installed here, so that nothing here is changed."""

import hashlib
import shutil
import subprocess
import sysconfig
import tempfile
import time
import venv
from contextlib import suppress
from pathlib import Path
from typing import Final

from cli.models.registered import refusing
from cli.registry import SETTING, connect_as
from cli.terminal.lines import say
from cli.terminal.refused import Refused

_DONE: Final = "installed"
_LAST_LINES: Final = 5
_TOLD: Final = 30
"""Seconds after which it is told that pip still runs, again and again."""


def environment_for(home: Path, uri: str, registry: dict[str, str]) -> Path:
    """Return the Python of the environment for a model's requirements, made where it is missing.

    Kept in the home under the digest of the requirements: a second check takes no time. Raises Refused where the
    requirements can't be read or installed.
    """
    requirements = _requirements(uri, registry)
    folder = home / "environments" / hashlib.sha256(requirements.encode()).hexdigest()[:12]
    python = folder / "bin" / "python"
    if (folder / _DONE).is_file():
        return python
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True, symlinks=True)
    # What is installed here, editable packages too, is found after what is installed there.
    here = sysconfig.get_path("purelib")
    there = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (there / "darkroom-here.pth").write_text(f"import site; site.addsitedir({here!a})\n", encoding="ascii")
    listed = folder / "requirements.txt"
    listed.write_text(requirements, encoding="utf-8")
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(listed)]
    code, output = _run_telling(command)
    if code:
        last = "\n".join(output.strip().splitlines()[-_LAST_LINES:])
        raise Refused(f"The requirements of {uri} can't be installed; pip said:\n{last}")
    (folder / _DONE).touch()
    return python


def _run_telling(command: list[str]) -> tuple[int, str]:
    """Run pip, and say now and then that it still runs; return its exit status and what it printed."""
    began = time.monotonic()
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:  # noqa: S603  pip, as asked
            try:
                while process.poll() is None:
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_TOLD)
                        break
                    say(f"Still installing, for {time.monotonic() - began:.0f} s now …")
            finally:
                process.kill()
        output.seek(0)
        return process.returncode, output.read()


def _requirements(uri: str, registry: dict[str, str]) -> str:
    """Return the text of a model's requirements.txt."""
    if SETTING in registry:
        connect_as(registry)
    import mlflow.pyfunc  # noqa: PLC0415  slow

    with refusing():
        return Path(mlflow.pyfunc.get_model_dependencies(uri)).read_text(encoding="utf-8")
