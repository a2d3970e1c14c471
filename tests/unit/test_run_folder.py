"""Runs of the tests at once disturb no other; one that passed leaves nothing, and of others the newest is kept."""

import os
import stat
import tempfile
from pathlib import Path

import pytest

from tests.support import run_folder
from tests.support.run_folder import RunFolder

PASSED, FAILED = pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the folders of runs lie, as in /tmp."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(run_folder, "LONGEST", 1000)
    return tmp_path


def end(run: RunFolder, status: pytest.ExitCode) -> Path:
    run.pytest_sessionfinish(status)
    run.pytest_unconfigure()
    return run.path


def test_a_run_s_temporary_files_are_in_its_folder_which_goes_with_it(place: Path) -> None:
    run = RunFolder(Path("/checkout"))
    assert Path(tempfile.mkdtemp()).parent == run.path == Path(os.environ["TMPDIR"])
    assert stat.S_IMODE(run.path.stat().st_mode) == 0o711, "Postgres passes, which runs as another user for root"
    end(run, PASSED)
    assert list(place.iterdir()) == []
    assert tempfile.gettempdir() == os.environ["TMPDIR"] == str(place)


def test_of_runs_that_failed_the_next_one_keeps_the_newest(place: Path) -> None:
    first, second = (end(RunFolder(Path("/checkout")), FAILED) for _ in range(2))
    other = end(RunFolder(Path("/another/checkout")), FAILED)
    assert {first, second, other} == set(place.iterdir())
    os.utime(first, (1, 1))
    third = RunFolder(Path("/checkout"))
    assert {second, other, third.path} == set(place.iterdir())
    end(third, PASSED)
    assert {second, other} == set(place.iterdir())


def test_a_run_in_progress_keeps_its_folder(place: Path) -> None:
    running = RunFolder(Path("/checkout"))
    os.utime(running.path, (1, 1))
    tempfile.tempdir = str(place)  # as in another process
    end(RunFolder(Path("/checkout")), FAILED)
    last = end(RunFolder(Path("/checkout")), FAILED)
    assert {running.path, last} <= set(place.iterdir())
    end(running, PASSED)
