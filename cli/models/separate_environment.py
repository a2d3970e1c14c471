"""An environment that has a model's requirements besides what is installed here, so that nothing here is changed."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cli.models.long_wait import reporting_progress
from cli.models.registered import refusing
from cli.registry import SETTING, connect_as
from cli.stack.supervisor.programs import ending_with_this_process
from cli.terminal.lines import say
from cli.terminal.refused import Refused

_DONE: Final = "installed"
_LAST_LINES: Final = 5
_LONGEST: Final = 300
"""Characters of a line of pip's that are shown: it may list every version of a package."""


def environment_for(home: Path, uri: str, registry: dict[str, str]) -> Path:
    """Return the Python of the environment for a model's requirements, made where it is missing.

    Kept in the home under the digest of the requirements: a second check installs nothing. Raises Refused where the
    requirements can't be read or installed. One that is not whole is deleted, after a kill by the next check; several
    commands at once make one after the other.
    """
    requirements = _requirements(uri, registry)
    environments = home / "environments"
    folder = environments / hashlib.sha256(requirements.encode()).hexdigest()[:12]
    python = folder / "bin" / "python"
    environments.mkdir(parents=True, exist_ok=True)
    with _alone_in(environments) as lock:
        if (folder / _DONE).is_file():
            say(f"The requirements of {uri} are installed already, in {folder}.")
            return python
        say(f"Installing the requirements of {uri} into an environment of its own …")
        try:
            _make(folder, python, requirements, lock=lock, uri=uri)
            (folder / _DONE).touch()
        finally:
            if not (folder / _DONE).is_file():
                shutil.rmtree(folder, ignore_errors=True)
    return python


@contextmanager
def _alone_in(folder: Path) -> Iterator[int]:
    """Wait for other commands that make environments there, then keep them waiting; yields the lock's descriptor.

    A process that inherits it keeps the lock: where this one is killed, nobody begins before its pip has ended too.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another check that installs requirements …")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock
    finally:
        os.close(lock)


def _make(folder: Path, python: Path, requirements: str, *, lock: int, uri: str) -> None:
    """Make an environment in a folder, of which nothing that is there stays; raises Refused where pip can't."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        venv.create(folder, with_pip=True, symlinks=True)
    except subprocess.CalledProcessError as error:
        raise Refused(
            f"An environment can't be made, {error}; on Debian that needs the package python3-venv."
        ) from None
    # What is installed here, editable packages too, is found after what is installed there.
    here = sysconfig.get_path("purelib")
    there = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (there / "darkroom-here.pth").write_text(f"import site; site.addsitedir({here!a})\n", encoding="ascii")
    listed = folder / "requirements.txt"
    listed.write_text(requirements, encoding="utf-8")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(listed)]
    command = ending_with_this_process(pip)
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output,
        reporting_progress("Still installing"),
    ):
        code = subprocess.call(command, stdout=output, stderr=subprocess.STDOUT, pass_fds=[lock])  # noqa: S603  pip
        output.seek(0)
        lines = [line[:_LONGEST] for line in output.read().strip().splitlines()[-_LAST_LINES:]]
    if code:
        raise Refused("\n".join([f"The requirements of {uri} can't be installed; pip said:", *lines]))


def _requirements(uri: str, registry: dict[str, str]) -> str:
    """Return the text of a model's requirements.txt."""
    if SETTING in registry:
        connect_as(registry)
    import mlflow.pyfunc  # noqa: PLC0415  slow

    with refusing():
        return Path(mlflow.pyfunc.get_model_dependencies(uri)).read_text(encoding="utf-8")
