"""Folders of versions' files, of processes that live and of those that were killed, in every order of two of them."""

import fcntl
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker.models import model_folder
from worker.models.model_folder import ModelFolder, delete_abandoned_folders

HOLD = """
import sys
from worker.models.model_folder import ModelFolder
folder = ModelFolder()
folder.path.joinpath("data").mkdir()
folder.path.joinpath("data", "weights").write_bytes(b"...")
print(folder.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_killed_processs_folder_is_deleted_and_those_of_living_ones_stay(temporary_folder: Path) -> None:
    ours = ModelFolder()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        delete_abandoned_folders()
        assert set(temporary_folder.iterdir()) == {ours.path, theirs}
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert (theirs / "data" / "weights").exists()
        delete_abandoned_folders()
        assert list(temporary_folder.iterdir()) == [ours.path]
    ours.delete()
    assert not list(temporary_folder.iterdir())


def test_what_is_no_folder_of_a_version_stays(temporary_folder: Path) -> None:
    elsewhere = temporary_folder / "elsewhere"
    elsewhere.mkdir()
    kept = {elsewhere, temporary_folder / f"{model_folder.PREFIX}file", temporary_folder / f"{model_folder.PREFIX}link"}
    (temporary_folder / f"{model_folder.PREFIX}file").touch()
    (temporary_folder / f"{model_folder.PREFIX}link").symlink_to(elsewhere)
    delete_abandoned_folders()
    assert set(temporary_folder.iterdir()) == kept


@pytest.mark.parametrize(("module", "name"), [(model_folder, "_open"), (fcntl, "flock")])
def test_a_new_folder_that_another_load_takes_for_abandoned_is_made_anew(
    module: Any, name: str, temporary_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original: Callable[..., Any] = getattr(module, name)
    deleted: list[Path] = []

    def delayed(*arguments: Any) -> Any:
        """Let another load come first, once."""
        monkeypatch.setattr(module, name, original)
        deleted.extend(temporary_folder.iterdir())
        delete_abandoned_folders()
        return original(*arguments)

    monkeypatch.setattr(module, name, delayed)
    folder = ModelFolder()
    assert len(deleted) == 1
    assert not deleted[0].exists()
    assert list(temporary_folder.iterdir()) == [folder.path]
    delete_abandoned_folders()
    assert folder.path.exists()
    folder.delete()
