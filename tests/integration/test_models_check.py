"""`darkroom models check`, on a real MLflow registry, in the worker's own process."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from cli.models.check import check
from cli.models.separate_environment import environment_for
from cli.terminal.refused import Refused
from tests.support.missing_package import register_with_missing_package
from tests.support.pictures import encoded

if TYPE_CHECKING:
    from tests.support.registries import MlflowStore

# MLflow warns of its own type hints while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mlflow")
Run = Callable[..., "subprocess.CompletedProcess[str]"]

LINES = ("version", "task", "image", "computes", "speed", "memory")


@pytest.fixture
def run(mlflow_store: "MlflowStore", tmp_path: Path) -> Run:
    """Run `models check` on this registry, in an empty folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DARKROOM_")}
    environment |= {"DARKROOM_REGISTRY_URL": mlflow_store.url, "DARKROOM_HOME": str(tmp_path / "home")}
    program = Path(sys.executable).with_name("darkroom")

    def run(*words: object) -> "subprocess.CompletedProcess[str]":
        command = [program, "models", "check", *map(str, words)]
        return subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False
        )

    return run


def test_a_version_that_serves_is_shown_with_its_output(run: Run, mlflow_store: "MlflowStore", tmp_path: Path) -> None:
    mlflow_store.register("champion")
    mlflow_store.client.set_model_version_tag("shades", "1", "darkroom.labels", '["night", "day"]')
    (tmp_path / "a.png").write_bytes(encoded(Image.new("RGB", (9, 7), "white"), "PNG"))
    done = run("shades", "--image", "a.png")
    assert (done.returncode, done.stderr) == (0, "")
    *lines, last = done.stdout.splitlines()
    told = dict(line.split(maxsplit=1) for line in lines)
    assert tuple(told)[: len(LINES)] == LINES
    assert told["version"].startswith("models:/shades/1, loaded in ")
    assert told["task"] == "classification, 2 labels: night, day"
    assert told["output"].startswith('{"predicted_class":')
    assert last == "A worker would serve it."


def test_a_version_that_can_not_be_loaded_ends_with_the_reason(run: Run, mlflow_store: "MlflowStore") -> None:
    mlflow_store.register(metadata={"image": {"crop_size": 4}})
    done = run("models:/shades/1")
    assert done.returncode == 1
    assert "A worker could not serve models:/shades/1: ModelError: " in done.stderr
    assert "labels" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_logged_model_s_folder_is_checked_without_a_registry(
    run: Run, mlflow_store: "MlflowStore", tmp_path: Path
) -> None:
    mlflow_store.register()
    done = run(tmp_path / "model-1")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "A worker would serve it.")
    done = run(tmp_path)
    assert (done.returncode, "has no file MLmodel" in done.stderr) == (1, True)


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


def test_a_missing_package_is_named_with_what_installs_it(
    run: Run, mlflow_store: "MlflowStore", tmp_path: Path
) -> None:
    register_with_missing_package(mlflow_store, tmp_path)
    done = run("shades:1")
    assert done.returncode == 1
    assert "No module named 'shadesmath': the model's requirements.txt names shadesmath @ file:///" in done.stderr
    assert "models check shades:1 --install" in done.stdout


@pytest.mark.slow
def test_an_environment_with_a_version_s_requirements_is_made_once(mlflow_store: "MlflowStore", tmp_path: Path) -> None:
    """`make flavours` runs `models check --install` itself."""
    register_with_missing_package(mlflow_store, tmp_path)
    home = tmp_path / "home"
    python = environment_for(home, str(tmp_path / "model-1"), {})
    tried = "import importlib.util as util, shadesmath as m; print(len(m.scores(3)), util.find_spec('torch').name)"
    done = subprocess.run([python, "-c", tried], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "3 torch\n", "what is installed here is found there too"
    [environment] = (home / "environments").iterdir()
    made = environment.stat().st_ino
    assert environment_for(home, str(tmp_path / "model-1"), {}) == python
    assert [one.stat().st_ino for one in (home / "environments").iterdir()] == [made]
