"""A run's own folder for everything temporary: pytest's folders, sockets, and what killed processes leave behind.

Two runs on a machine shared /tmp/pytest-of-NAME, which pytest closes to other users as it starts: it took the folder of
Postgres, which runs as another user for root, away from the run before. A run that passes removes its folder. What
ended otherwise leaves it to be looked at, until a later run of the same checkout begins: that one keeps the newest.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

LONGEST = 40
"""Bytes of a folder that may hold a run's: a socket's path below it has 107 at most."""


class RunFolder:
    """A plugin that makes this run's folder, the temporary one of the process and of all that it starts."""

    def __init__(self, checkout: Path) -> None:
        usual = tempfile.gettempdir()
        place = Path(usual if len(usual) <= LONGEST else "/tmp")  # noqa: S108  as pytest's own would be there
        name = f"darkroom-tests-{hashlib.sha256(os.fsencode(checkout)).hexdigest()[:8]}"
        self._in_use = ExitStack()
        self._passed = False
        draft = Path(tempfile.mkdtemp(prefix=".", dir=place))
        draft.chmod(0o711)  # other users pass, as Postgres has to
        assert _locked(draft, self._in_use)
        self.path = draft.rename(place / f"{name}-{draft.name.strip('.')}")
        for old in sorted(place.glob(f"{name}-*"), key=_changed)[:-2]:
            with ExitStack() as held:
                if _locked(old, held):
                    shutil.rmtree(old, ignore_errors=True)
        self._given = os.environ.get("TMPDIR"), tempfile.tempdir
        os.environ["TMPDIR"] = tempfile.tempdir = str(self.path)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self._passed = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """Go back to the usual folder, after everything that a run of tests has stopped."""
        variable, tempfile.tempdir = self._given
        del os.environ["TMPDIR"]
        if variable is not None:
            os.environ["TMPDIR"] = variable
        if self._passed:
            shutil.rmtree(self.path, ignore_errors=True)
        self._in_use.close()


def _locked(folder: Path, held: ExitStack) -> bool:
    """Lock a run's folder until `held` is closed or this process ends; False where another run is using it."""
    with suppress(OSError):
        file = held.enter_context((folder / "in use").open("w"))
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _changed(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except FileNotFoundError:  # another run has removed it
        return 0
