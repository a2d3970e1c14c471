"""What a run of the tests leaves in the repository's root, as MLflow does that has no registry's address."""

from fnmatch import fnmatch
from pathlib import Path

import pytest


class Leftovers:
    """A plugin that fails a run which leaves a new name in a folder, and tells which."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._before = frozenset(folder.iterdir())
        self._left: list[Path] = []

    def find(self) -> list[Path]:
        """Return what has come into the folder since, without what its .gitignore names."""
        ignored = [line.strip("/") for line in (self._folder / ".gitignore").read_text().split()]
        new = set(self._folder.iterdir()) - self._before
        return sorted(path for path in new if not any(fnmatch(path.name, pattern) for pattern in ignored))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._left = self.find()
        if self._left and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for path in self._left:
            terminalreporter.write_line(f"ERROR: the tests left {path}", red=True)
