"""`darkroom models check`, on a real MLflow registry.

The command and the process that it starts, which imports for seconds, are run in test_models_commands.py of the
acceptance tests. What the command does before it starts one and with its exit status, and what that process says, are
tested in this one.
"""

import contextlib
import logging
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from cli.models import check as checking_command
from cli.models.check import check
from cli.terminal.refused import Refused
from tests.support.missing_package import register_with_missing_package
from tests.support.pictures import encoded

if TYPE_CHECKING:
    from tests.support.registries import MlflowStore

# MLflow warns of its own type hints while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mlflow")

LINES = ("version", "task", "image", "computes", "speed", "memory")


@pytest.fixture
def registry(mlflow_store: "MlflowStore", monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry as this process's setting."""
    monkeypatch.setenv("DARKROOM_REGISTRY_URL", mlflow_store.url)


def check_in_this_process(*words: object) -> int:
    """Do what the process that the command starts does; return its exit status, 0 where it does not exit.

    Logging is as it was, which the checking process turns off for itself.
    """
    from worker.models import check as checking  # noqa: PLC0415  imports torch

    try:
        checking.main([str(word) for word in words], sys.stdout)
    except SystemExit as ended:
        return int(ended.code or 0)
    finally:
        logging.disable(logging.NOTSET)
    return 0


@pytest.mark.usefixtures("registry")
def test_a_version_that_serves_is_shown_with_its_output(
    mlflow_store: "MlflowStore", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow_store.register("champion")
    mlflow_store.client.set_model_version_tag("shades", "1", "darkroom.labels", '["night", "day"]')
    (tmp_path / "a.png").write_bytes(encoded(Image.new("RGB", (9, 7), "white"), "PNG"))
    assert check_in_this_process("models:/shades/1", "--image", tmp_path / "a.png") == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    *lines, last = captured.out.splitlines()
    told = dict(line.split(maxsplit=1) for line in lines)
    assert tuple(told)[: len(LINES)] == LINES
    assert told["version"].startswith("models:/shades/1, loaded in ")
    assert told["task"] == "classification, 2 labels: night, day"
    assert told["output"].startswith('{"predicted_class":')
    assert last == "A worker would serve it."


@pytest.mark.usefixtures("registry")
def test_a_slow_version_is_measured_with_fewer_photographs_and_warned_of(
    mlflow_store: "MlflowStore", capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from worker.models import check as checking  # noqa: PLC0415  imports torch

    measured: list[int] = []
    timed = checking._timed
    monkeypatch.setattr(
        checking, "_timed", lambda model, images: (measured.append(len(images)), timed(model, images))[1]
    )
    monkeypatch.setattr(checking, "LONGEST_MEASURE", 0)
    monkeypatch.setenv("DARKROOM_PREDICT_TIMEOUT", "0.000001")
    mlflow_store.register()
    assert check_in_this_process("models:/shades/1") == 0
    assert measured == [1, 2]
    told = capsys.readouterr().out
    assert (
        "64 images take 0 s; a micro-batch that takes 0 s ends its worker: set the tag darkroom.max_batch_size" in told
    )


@pytest.mark.usefixtures("registry")
def test_a_version_that_can_not_be_loaded_ends_with_the_reason(
    mlflow_store: "MlflowStore", capsys: pytest.CaptureFixture[str]
) -> None:
    mlflow_store.register(metadata={"image": {"crop_size": 4}})
    assert check_in_this_process("models:/shades/1") == 1
    told = capsys.readouterr().err
    assert told.startswith("A worker could not serve models:/shades/1: ModelError: ")
    assert "labels" in told
    assert "Traceback" not in told


def test_a_logged_model_s_folder_is_checked_without_a_registry(
    mlflow_store: "MlflowStore", tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_REGISTRY_URL", "http://127.0.0.1:1")
    mlflow_store.register()
    monkeypatch.chdir(tmp_path)
    Path("a.png").touch()
    started = starts(monkeypatch, tmp_path, exit_status=0)
    for image, told in ((None, []), (Path("a.png"), ["--image", str(tmp_path / "a.png")])):
        check(tmp_path / "home", str(tmp_path / "model-1"), image=image, install=False)
        command = started()
        assert command[command.index("-P") :] == [
            "-P",
            "-W",
            "ignore",
            "-m",
            "worker.models.check",
            str(tmp_path / "model-1"),
            *told,
        ]
    assert check_in_this_process(tmp_path / "model-1") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "A worker would serve it."
    with pytest.raises(Refused, match="has no file MLmodel"):
        check(tmp_path / "home", str(tmp_path), image=None, install=False)


@pytest.mark.xdist_group("registry")  # MLflow and torch are imported there
def test_rows_that_are_mixed_up_are_warned_of_and_labels_forge_no_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow  # noqa: PLC0415  takes seconds
    import numpy as np  # noqa: PLC0415

    class Mixes(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        # MLflow makes a signature of type hints.
        def predict(self, context, model_input):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002
            return np.stack([model_input.mean((1, 2, 3)), 1 - model_input.mean((1, 2, 3))], axis=1)[::-1]

    labels = ["night\nA worker would serve it.", "day\u202e"]
    metadata = {"image": {"resize_size": [8, 8]}, "labels": labels, "activation": "none"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(tmp_path / "m", python_model=Mixes(), metadata=metadata, pip_requirements=["numpy"])
    assert check_in_this_process(tmp_path / "m") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "labels: night\\nA worker would serve it., day\\u202e" in lines[1]
    assert any(line.startswith("warning") and "among others than alone" in line for line in lines), lines


def starts(monkeypatch: pytest.MonkeyPatch, folder: Path, *, exit_status: int) -> Callable[[], list[str]]:
    """Have the command start a program that ends with this status; the function returns what it was started with."""
    program = folder / "python"
    program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {folder}/words\nexit {exit_status}\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    return lambda: (folder / "words").read_text().splitlines()


@pytest.mark.parametrize("status", [0, 1])
def test_what_libraries_print_is_shown_where_the_check_fails_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    (tmp_path / "MLmodel").touch()
    starts(monkeypatch, tmp_path, exit_status=status)
    program = tmp_path / "python"
    bar = "printf 'Loading weights: 10%%\\rLoading weights: 100%%\\n\\033[31mno such kernel\\n' >&2; echo found"
    program.write_text(f"#!/bin/sh\n{bar}\nexit {status}\n")
    with contextlib.suppress(SystemExit):
        check(tmp_path / "home", str(tmp_path), image=None, install=False)
    told = capfd.readouterr()
    assert told.out == "found\n"
    assert ("no such kernel" in told.err) == bool(status)
    assert "\033" not in told.err


@pytest.mark.xdist_group("registry")  # MLflow and torch are imported there
def test_the_process_that_checks_prints_what_it_found_alone(tmp_path: Path) -> None:
    """Whatever a model's code prints, from Python or from C, is not on standard output."""
    import mlflow  # noqa: PLC0415  takes seconds
    import numpy as np  # noqa: PLC0415

    class Prints(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
        # MLflow makes a signature of type hints.
        def predict(self, context, model_input):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202, ARG002
            import os  # noqa: PLC0415  pickled without this module

            print("Loading weights")  # noqa: T201
            os.write(1, b"from C")
            return np.stack([model_input.mean((1, 2, 3)), 1 - model_input.mean((1, 2, 3))], axis=1)

    metadata = {"image": {"resize_size": [8, 8]}, "labels": ["night", "day"], "activation": "none"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(tmp_path / "m", python_model=Prints(), metadata=metadata, pip_requirements=["numpy"])
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-m", "worker.models.check", str(tmp_path / "m")],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert [line.split()[0] for line in done.stdout.splitlines()][: len(LINES)] == list(LINES)
    assert done.stdout.splitlines()[-1] == "A worker would serve it."
    assert "Loading weights" in done.stderr
    assert "from C" in done.stderr


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("shades:7", "shades has no version 7. Ready are: 1."),
        ("shades@challenger", "shades has no alias challenger. It has: version 1."),
        ("models:/", "does not name a model"),
        ("shade", "No model 'shade' is registered. There is: shades."),
    ],
)
def test_a_reference_to_nothing_is_refused(
    mlflow_store: "MlflowStore", tmp_path: Path, model: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_REGISTRY_URL", mlflow_store.url)
    mlflow_store.client.create_registered_model("shades")
    mlflow_store.client.create_model_version("shades", "file:///nowhere")
    with pytest.raises(Refused) as refused:
        check(tmp_path, model, image=None, install=False)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("registry")
def test_a_missing_package_is_named_with_what_installs_it(
    mlflow_store: "MlflowStore", tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    register_with_missing_package(mlflow_store, tmp_path)
    status = check_in_this_process("models:/shades/1")
    told = capsys.readouterr().err
    assert "No module named 'shadesmath': the model's requirements.txt names shadesmath @ file:///" in told
    started = starts(monkeypatch, tmp_path, exit_status=status)
    with pytest.raises(SystemExit) as ended:
        check(tmp_path / "home", "shades:1", image=None, install=False)
    assert ended.value.code == 1
    assert started()[-1] == "models:/shades/1"
    assert "models check shades:1 --install" in capsys.readouterr().out


@pytest.mark.parametrize(("status", "why"), [(1, None), (-9, "was killed by signal 9: mostly for lack of memory")])
def test_what_ends_the_process_that_loads_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, status: int, why: str | None
) -> None:
    (tmp_path / "MLmodel").touch()
    starts(monkeypatch, tmp_path, exit_status=status)
    if status < 0:
        (tmp_path / "python").write_text(f"#!/bin/sh\nkill {status} $$\n")
    with pytest.raises(SystemExit if why is None else Refused, match=why or "1"):
        check(tmp_path / "home", str(tmp_path), image=None, install=False)
    assert capsys.readouterr().out == ""


HANGING = """#!{python}
import faulthandler, os, signal, sys
{prepare}
open(sys.argv[0] + ".pid", "w").write(str(os.getpid()))
def forward():
    os.read(os.pipe()[0], 1)
forward()
"""


@pytest.mark.parametrize(
    ("prepare", "shown"),
    [("faulthandler.register(signal.SIGUSR1)", "in forward"), ("signal.signal(signal.SIGUSR1, signal.SIG_IGN)", "")],
)
def test_a_check_that_hangs_shows_where_and_is_ended(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, prepare: str, shown: str
) -> None:
    (tmp_path / "MLmodel").touch()
    program = tmp_path / "python"
    program.write_text(HANGING.format(python=sys.executable, prepare=prepare))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    monkeypatch.setattr(checking_command, "_SHOWING", 1)
    for name in ("LOAD_TIMEOUT", "TIMEOUT"):
        monkeypatch.setenv(f"DARKROOM_PREDICT_{name}", "1s")
    with pytest.raises(Refused, match="after 2 s it was not loaded, or had not computed its photographs"):
        check(tmp_path / "home", str(tmp_path), image=None, install=False)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "python.pid").read_text()), 0)
    assert shown in capfd.readouterr().err
