"""`darkroom models check --install`: the environment with a version's requirements."""

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.models.separate_environment import environment_for
from tests.support.missing_package import register_with_missing_package

if TYPE_CHECKING:
    from tests.support.registries import MlflowStore

# MLflow warns of its own type hints while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:mlflow")


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
