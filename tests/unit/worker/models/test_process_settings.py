"""What a model's code changes for its whole process is set back, and a process that it forks does not go on as ours."""

import gc
import io
import logging
import logging.config
import os
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFile

from tests.support.deferred_imports import deferred
from worker.process.exit_statuses import FORKED_EXIT

torch = deferred("torch")
log_writing = deferred("worker.models.log_writing")
process_settings = deferred("worker.models.process_settings")
pytestmark = pytest.mark.xdist_group("torch")  # one process runs them all, and no other imports torch and MLflow


def lead_to(path: str) -> None:
    """Lead standard output to this file, as code does that wants to keep a library silent."""
    new = os.open(path, os.O_WRONLY)
    os.dup2(new, 1)
    os.close(new)


CHANGES: dict[str, Callable[[], Any]] = {
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's number of threads": lambda: torch.set_num_threads(3),
    "torch's deterministic algorithms": lambda: torch.set_deterministic_debug_mode("warn"),
    "torch's default device": lambda: torch.set_default_device("meta"),
    "NumPy's handling of errors": lambda: np.seterr(all="raise"),
    "Pillow's LOAD_TRUNCATED_IMAGES": lambda: setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True),
    "Pillow's MAX_IMAGE_PIXELS": lambda: setattr(Image, "MAX_IMAGE_PIXELS", None),
    "the default timeout of sockets": lambda: socket.setdefaulttimeout(1),
    "garbage collection": gc.disable,
    "the current folder": lambda: os.chdir("/"),
    "the mask of new files' permissions": lambda: os.umask(0o777),
    "Python's recursion limit": lambda: sys.setrecursionlimit(400),
    "environment variables (HOME)": lambda: os.environ.update(HOME="/nowhere"),
    "the folder of temporary files": lambda: setattr(tempfile, "tempdir", "/nowhere"),
    "warnings that raise": lambda: warnings.simplefilter("error", DeprecationWarning),
    "standard output or error": lambda: setattr(sys, "stdout", io.StringIO()),
    "how logs are written": lambda: logging.disable(logging.CRITICAL),
    "the descriptors of standard input, output or error": lambda: lead_to(os.devnull),
}
"""By the words that name each."""
FOLDER = Path("/a version's folder")
LOGGING: dict[str, Callable[[], Any]] = {
    "no handler": logging.root.handlers.clear,
    "another handler": lambda: logging.root.addHandler(logging.NullHandler()),
    "another level": lambda: logging.root.setLevel(logging.DEBUG),
    "loggers are disabled": lambda: logging.config.dictConfig({"version": 1}),
}


def values() -> dict[str, Any]:
    settings = {one.name: one.read() for one in process_settings._SETTINGS}
    return {**settings, "how logs are written": log_writing._read()}


@pytest.fixture(autouse=True)
def before() -> dict[str, Any]:
    """Return the settings before a version is read."""
    process_settings._told.clear()
    process_settings._kept.clear()
    with process_settings.kept_while_reading(FOLDER, threads=1):
        pass
    return values()


def test_every_setting_is_changed_here(before: dict[str, Any]) -> None:
    assert {name.partition(" (")[0] for name in CHANGES} == before.keys()


@pytest.mark.parametrize("name", CHANGES)
def test_what_reading_a_version_changes_is_set_back_and_named(name: str, before: dict[str, Any]) -> None:
    with process_settings.kept_while_reading(FOLDER, threads=1) as (_, changed):
        CHANGES[name]()
    assert (changed, values()) == ([name], before)


def test_what_changed_before_it_raised_is_set_back(before: dict[str, Any], tmp_path: Path) -> None:
    def read() -> None:
        with process_settings.kept_while_reading(FOLDER, threads=1):
            os.chdir(tmp_path)
            CHANGES["torch's default dtype"]()
            raise OSError("no such file")

    with pytest.raises(OSError, match="no such"):
        read()
    assert values() == before


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_pass_changes_is_set_back_and_logged_once(
    name: str, before: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        with process_settings.kept_in_a_pass():
            CHANGES[name]()
        assert values() == before
    assert [one.message for one in caplog.records].count("model_changed_process") == 1


def test_a_pass_beside_the_reading_of_files_leaves_what_a_library_changed_for_that_long(before: dict[str, Any]) -> None:
    with process_settings.kept_while_reading(FOLDER, threads=1) as (_, changed):
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


@pytest.mark.parametrize("change", LOGGING.values(), ids=LOGGING)
def test_logs_are_written_as_before_whatever_a_pass_did_to_them(
    change: Callable[[], Any], before: dict[str, Any]
) -> None:
    other = logging.getLogger("tests.of.process.settings")
    with process_settings.kept_in_a_pass():
        change()
    assert (values(), other.disabled) == (before, False)


def test_an_environment_that_was_emptied_is_set_back_and_five_of_its_variables_named(
    before: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with process_settings.kept_in_a_pass():
        os.environ.clear()
    assert values() == before
    (line,) = [one for one in caplog.records if one.message == "model_changed_process"]
    told = str(vars(line)["settings"])
    assert told.count(", ") == 4
    assert "more)" in told


@pytest.mark.parametrize("name", ["MLFLOW_TRACKING_URI", "https_proxy", "AWS_PROFILE", "TMPDIR", "DARKROOM_REDIS_URL"])
def test_variables_that_libraries_read_are_taken_back(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name, raising=False)
    process_settings._kept.clear()
    with process_settings.kept_while_reading(FOLDER, threads=1) as (_, changed):
        os.environ[name] = "http://127.0.0.1:1"
    assert name not in os.environ
    assert changed == [f"environment variables ({name})"]


def test_a_variable_that_a_model_adds_for_itself_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_MODEL_FOLDER", "")
    monkeypatch.delenv("MY_MODEL_FOLDER")
    with process_settings.kept_while_reading(FOLDER, threads=1) as (_, changed):
        os.environ["MY_MODEL_FOLDER"] = "/models"
    with process_settings.kept_in_a_pass():
        pass
    assert (os.environ["MY_MODEL_FOLDER"], changed) == ("/models", [])


def test_the_environment_has_the_private_member_that_is_compared() -> None:
    assert os.environ._data[b"PATH"] == os.environb[b"PATH"]  # type: ignore[attr-defined]


def test_torch_has_the_private_function_that_tells_of_a_default_device() -> None:
    assert torch._C._len_torch_function_stack() == 0
    with torch.device("meta"):
        assert torch._C._len_torch_function_stack() == 1


def test_a_folder_that_a_pass_enters_and_deletes_is_left(tmp_path: Path, before: dict[str, Any]) -> None:
    folder = tmp_path / "of the model"
    folder.mkdir()
    with process_settings.kept_in_a_pass():
        os.chdir(folder)
        folder.rmdir()
    assert values() == before


def test_more_calls_within_each_other_than_usual_are_left_to_a_model() -> None:
    usual = sys.getrecursionlimit()
    try:
        with process_settings.kept_in_a_pass():
            sys.setrecursionlimit(usual + 1000)
        assert sys.getrecursionlimit() == usual + 1000
    finally:
        sys.setrecursionlimit(usual)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda *_: None], ids=["ignores", "handles"])
def test_a_handler_of_a_signal_that_ends_the_worker_is_set_back(
    number: signal.Signals, handler: Any, caplog: pytest.LogCaptureFixture
) -> None:
    before = signal.getsignal(number)
    try:
        with process_settings.kept_in_a_pass():
            signal.signal(number, handler)
        assert signal.getsignal(number) == before
    finally:
        signal.signal(number, before)
    assert f"the handler of {number.name}" in str([vars(one).get("settings") for one in caplog.records])


def test_a_handler_that_celery_replaces_meanwhile_stays() -> None:
    def handler(*_: object) -> None:
        pass

    handler.__module__ = "celery.apps.worker"
    before = signal.getsignal(signal.SIGINT)
    try:
        with process_settings.kept_in_a_pass():
            signal.signal(signal.SIGINT, handler)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_pass_in_another_thread_leaves_what_the_main_thread_sets() -> None:
    entered, leave = threading.Event(), threading.Event()

    def compute() -> None:
        with process_settings.kept_in_a_pass():
            entered.set()
            leave.wait()

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=compute)
    thread.start()
    entered.wait()
    try:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        leave.set()
        thread.join()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)
