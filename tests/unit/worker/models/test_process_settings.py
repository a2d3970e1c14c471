"""What a model's code changes for its whole process is set back, and a process that it forks does not go on as ours."""

import gc
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from tests.support.deferred_imports import deferred
from worker.process.exit_statuses import FORKED_EXIT

torch = deferred("torch")
process_settings = deferred("worker.models.process_settings")
pytestmark = pytest.mark.xdist_group("torch")  # one process runs them all, and no other imports torch and MLflow

CHANGES: dict[str, Callable[[], Any]] = {
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's number of threads": lambda: torch.set_num_threads(3),
    "torch's deterministic algorithms": lambda: torch.set_deterministic_debug_mode("warn"),
    "torch's default device": lambda: torch.set_default_device("meta"),
    "NumPy's handling of errors": lambda: np.seterr(all="raise"),
    "Pillow's LOAD_TRUNCATED_IMAGES": lambda: setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True),
    "Pillow's MAX_IMAGE_PIXELS": lambda: setattr(Image, "MAX_IMAGE_PIXELS", None),
    "the default timeout of sockets": lambda: socket.setdefaulttimeout(1),
    "which logs are disabled": lambda: logging.disable(logging.CRITICAL),
    "garbage collection": gc.disable,
    "the current folder": lambda: os.chdir("/"),
}
OF_READING = ("torch's default device", "the current folder")


def values() -> dict[str, Any]:
    return {one.name: one.read() for one in (*process_settings._OF_READING, *process_settings._OF_PASSES)}


@pytest.fixture(autouse=True)
def before(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return the settings before a version is read."""
    monkeypatch.setattr(process_settings, "_told", set())
    with process_settings.kept_while_reading(threads=1):
        pass
    return values()


def test_every_setting_is_changed_here(before: dict[str, Any]) -> None:
    assert before.keys() == CHANGES.keys()


@pytest.mark.parametrize("name", CHANGES)
def test_what_reading_a_version_changes_is_set_back_and_named(name: str, before: dict[str, Any]) -> None:
    with process_settings.kept_while_reading(threads=1) as changed:
        CHANGES[name]()
        assert values() != before
    assert (changed, values()) == ([name], before)


def test_what_changed_before_it_raised_is_set_back(before: dict[str, Any], tmp_path: Path) -> None:
    def read() -> None:
        with process_settings.kept_while_reading(threads=1):
            os.chdir(tmp_path)
            CHANGES["torch's default dtype"]()
            raise OSError("no such file")

    with pytest.raises(OSError, match="no such"):
        read()
    assert values() == before


@pytest.mark.parametrize("name", [name for name in CHANGES if name not in OF_READING])
def test_what_a_pass_changes_is_set_back_and_logged_once(
    name: str, before: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        with process_settings.kept_in_a_pass():
            CHANGES[name]()
        assert values() == before
    assert [one.message for one in caplog.records].count("model_changed_process") == 1


def test_a_pass_beside_the_reading_of_files_leaves_what_a_library_changed_for_that_long(before: dict[str, Any]) -> None:
    with process_settings.kept_while_reading(threads=1) as changed:
        torch.set_default_dtype(torch.float16)
        with process_settings.kept_in_a_pass():
            pass
        assert torch.get_default_dtype() is torch.float16
        torch.set_default_dtype(torch.float32)
    assert (changed, values()) == ([], before)


def test_a_process_that_a_model_forks_ends_where_it_would_go_on_as_the_worker() -> None:
    with process_settings.kept_in_a_pass():
        child = os.fork()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == FORKED_EXIT
