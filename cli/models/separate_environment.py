"""An environment that has a model's requirements besides what is installed here, so that nothing here is changed."""

import hashlib
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path
from typing import Final

from cli.models.registered import refusing
from cli.registry import SETTING, connect_as
from cli.terminal.refused import Refused

_DONE: Final = "installed"
_LAST_LINES: Final = 5


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
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  pip, as the user asked
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_LAST_LINES:])
        raise Refused(f"The requirements of {uri} can't be installed; pip said:\n{last}")
    (folder / _DONE).touch()
    return python


def _requirements(uri: str, registry: dict[str, str]) -> str:
    """Return the text of a model's requirements.txt."""
    if SETTING in registry:
        connect_as(registry)
    import mlflow.pyfunc  # noqa: PLC0415  slow

    with refusing():
        return Path(mlflow.pyfunc.get_model_dependencies(uri)).read_text(encoding="utf-8")
